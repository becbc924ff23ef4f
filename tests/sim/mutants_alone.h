/* Faults of the protocol that no cluster comes to, hunted in the protocol alone: random schedules of tests/scenarios/raft_schedule.h, as in
 * tests/unit/replication/raft_mutant_test.c.
 */
#ifndef CAIRN_TESTS_SIM_MUTANTS_ALONE_H
#define CAIRN_TESTS_SIM_MUTANTS_ALONE_H

#include <stdbool.h>

#include "tests/sim/mutants.h"

#define SCHEDULES_MAX 12000u

struct lone_hunt {
  uint64_t schedules; /* that it took */
  char found[256];    /* "": nothing in SCHEDULES_MAX */
  bool healthy;       /* the same schedule passes without the mutant */
};

/* In a process of its own. */
void mutants_hunt_alone(const struct sim_mutant *mutant, struct lone_hunt *out_hunt);

#endif
