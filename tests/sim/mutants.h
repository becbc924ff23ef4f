/* Bugs on purpose, one after the other, until a check notices each: those of brokers and of the client (base/mutant.h), and those of the
 * protocol between brokers (replication/raft_mutant.h).
 */
#ifndef CAIRN_TESTS_SIM_MUTANTS_H
#define CAIRN_TESTS_SIM_MUTANTS_H

#include "base/mutant.h"
#include "replication/raft_mutant.h"
#include "tests/sim/jobs.h"

struct sim_mutant {
  const char *name;
  const char *where;
  const char *what;
  unsigned
      nodes; /* brokers in which it is hunted; 0: no cluster comes to it, and it is hunted in the protocol alone (raft_mutant_test) */
  enum plan_kind kind; /* of seeds that come to it */
  enum mutant in_broker;
  enum raft_mutant in_protocol;
};

const struct sim_mutant *mutant_find(const char *name); /* NULL: there is no such */
void mutant_switch_on(const struct sim_mutant *mutant); /* in this process; NULL: none */

/* Hunts each, or those that `only` names (separated by commas), with at most `options->count` seeds: one of them must fail, and the same
 * seed without the mutant must pass. `options->nodes` 0: in as many brokers, and in seeds of the kind, as each needs. Prints a line for each, as soon as it is known. Returns EXIT_SUCCESS or EXIT_FAILURE. */
int mutants_run(const struct jobs_options *options, const char *only);

#endif
