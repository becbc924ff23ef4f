/* Moves that something is in the way of, as they are told to people. */
#ifndef CAIRN_CLIENTS_CLI_STUCK_H
#define CAIRN_CLIENTS_CLI_STUCK_H

#include <jansson.h>
#include <stddef.h>

#include "clients/cli/cli.h"

#define STUCK_SIZE 512u

/* "partition 0 of orders waits: broker 4 is down: start it, or take the move back"; "": nothing is in its way. Returns `into`. */
const char *stuck_text(char into[STUCK_SIZE], const struct cairn_move *move);
/* The first such of these topics, of all where none is named, as a look tells it; "" as well where nobody tells. */
void stuck_find(char into[STUCK_SIZE], struct cli *cli, const char *const *topics, size_t topic_count);
/* A line for each of the first of these, and how many more there are. `moves`: move_json() of each. */
void stuck_print(const struct cli *cli, const json_t *moves);

#endif
