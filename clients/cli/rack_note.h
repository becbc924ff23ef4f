/* A word on standard error about brokers that were chosen by hand: two of them stand in one rack, and there is another rack that has none of them. */
#ifndef CAIRN_CLIENTS_CLI_RACK_NOTE_H
#define CAIRN_CLIENTS_CLI_RACK_NOTE_H

#include "clients/cli/cli.h"

/* Silent where the racks are not known. PRE: connected. */
void rack_note_tell(const struct cli *cli, const uint32_t *brokers, size_t count);

#endif
