/* Carries out a plan of moves: a few at a time, each only where the partition is where the plan found it. What is done of it stands in the cluster's
 * map and nowhere else: whoever is interrupted runs the same command again, and it goes on.
 *
 * A plan is an array of rows as `cluster reassign` prints and saves them: topic, topic_id, partition, from, to, copies, bytes.
 */
#ifndef CAIRN_CLIENTS_CLI_REASSIGNMENT_H
#define CAIRN_CLIENTS_CLI_REASSIGNMENT_H

#include <jansson.h>

#include "clients/cli/cli.h"

#define REASSIGNMENT_BROKERS_MAX 64u

struct reassignment {
  struct cli *cli;
  json_t *rows;              /* borrowed; each gets a "state" */
  uint32_t per_broker;       /* moves at a time that give one broker a replica or take one from it */
  uint64_t bytes_per_second; /* of each move; 0: no bound of its own */
  bool waits;                /* until all have arrived; else until all have begun */
};

struct reassignment_result {
  uint32_t begun;   /* and on their way */
  uint32_t arrived; /* or there before */
  uint32_t refused; /* the plan says nothing about them any more: a row's "why" */
};

/* CLI_OK: all that could be done was done, see the result. Else it was reported why not, with what goes on by itself. */
int reassignment_carry_out(const struct reassignment *reassignment, struct reassignment_result *out_result);

/* The row's brokers. PRE: `out_brokers` has room for CAIRN_REPLICAS_MAX. Returns how many; 0: it has none, too many, or something else. */
size_t reassignment_brokers(const json_t *row, const char *field, uint32_t *out_brokers);

#endif
