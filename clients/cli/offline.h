/* What `cairn` does to files, without a broker: implemented in tools/inspect, which may open our files, and linked into the
 * program. Files are only read. */
#ifndef CAIRN_CLIENTS_CLI_OFFLINE_H
#define CAIRN_CLIENTS_CLI_OFFLINE_H

#include "clients/cli/cli.h"

/* `cairn segment dump FILE`: operand 0 is the file. Returns the exit code. */
int offline_segment_dump(struct cli *cli);

/* `cairn verify DATA_DIR`: operand 0 is the directory. CLI_CHECK_FAILED when there is damage, CLI_PRECONDITION while a
 * broker runs on it. */
int offline_verify(struct cli *cli);

#endif
