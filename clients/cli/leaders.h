/* Who leads the partitions of a topic that the broker which described it knows nothing of: they are asked themselves, one after the other.
 *
 * Of one that nobody leads just now that is not told at once, as somebody may be about to. So the first of them is waited for, two seconds
 * at most, each further one for a moment, and all together for some five seconds; --timeout may be less. Those that nobody was found
 * for say so in a table; those that there was no time for stay as they are ("-"). Neither has a start and an end then: null, "-" in a table.
 */
#ifndef CAIRN_CLIENTS_CLI_LEADERS_H
#define CAIRN_CLIENTS_CLI_LEADERS_H

#include <jansson.h>

#include "clients/cli/cli.h"

/* `partitions`: rows as `topic describe` prints them. */
void leaders_ask(const struct cli *cli, const char *topic, json_t *partitions);

#endif
