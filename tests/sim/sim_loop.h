/* The twin of loop.h's thread. A loop that may block runs on a fiber of its own; the others (lanes) run in plain events, where a
 * door that blocks fails a CHECK. Between a post and its run lies a small delay drawn from the seed.
 */
#ifndef CAIRN_TESTS_SIM_SIM_LOOP_H
#define CAIRN_TESTS_SIM_SIM_LOOP_H

#include "base/loop.h"
#include "tests/sim/sim.h"
#include "tests/sim/sim_random.h"

/* A process's clocks, shared by its loops. */
struct sim_clock {
  uint64_t base_sim_ns;
  uint64_t base_local_ns;
  int64_t rate_ppm;
  int64_t wall_offset_ms;
};
uint64_t sim_clock_local_ns(const struct sim_clock *clock, uint64_t sim_ns);
uint64_t sim_clock_sim_ns(const struct sim_clock *clock, uint64_t local_ns); /* the first instant at which it is that late */

struct sim_loops { /* of one process */
  struct sim_process *process;
  struct sim_clock clock;
  struct sim_random delays;
  struct list loops;
};
void sim_loops_init(struct sim_loops *loops, struct sim_process *process);
void sim_loops_clock_changed(struct sim_loops *loops); /* looks at all timers again */

struct loop *sim_loop_new(struct sim_loops *loops, const char *name, unsigned flags);

#endif
