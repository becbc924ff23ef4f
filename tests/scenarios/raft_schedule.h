/* Random schedules for the pretended cluster, each decided by one seed.
 *
 * A seed draws the world (members, spares, delays, disks) and a subset of what may happen in it (swarm testing: what always happens hides
 * what happens alone). First a phase of faults, in which only safety is asked for; then everything heals, and within a bound there must be
 * one leader, everybody must have everything, one more entry must be committed, and the group must fall asleep.
 */
#ifndef CAIRN_TESTS_SCENARIOS_RAFT_SCHEDULE_H
#define CAIRN_TESTS_SCENARIOS_RAFT_SCHEDULE_H

#include <stdint.h>

#include "base/bytes.h"

struct schedule_result {
  char violation[256]; /* empty: none */
  uint64_t hash;       /* of everything that happened */
  uint64_t steps;
  uint64_t committed;
  uint64_t reads;
  uint64_t leader_changes;
  uint64_t faults;
  uint64_t settle_ms; /* from healing to sleep */
};

/* `trace`: every step in words is added to it; NULL: none. */
void schedule_run(uint64_t seed, struct buffer *trace, struct schedule_result *out_result);

/* One bad link and nothing else: the leader stays. */
void schedule_disrupt(uint64_t seed, struct schedule_result *out_result);

/* One forgets a vote that may still make another leader. */
void schedule_forget(uint64_t seed, struct schedule_result *out_result);

#endif
