/* One pretended machine that runs one process: its five doors, its clock, its death. A new process on the same disk is a new world.
 *
 *   struct sim *sim = sim_new(seed);
 *   struct sim_disk *device = sim_disk_new(sim, "disk", 1 << 30);
 *   struct sim_world *node = sim_world_new(sim, device, "node");
 *   sim_world_boot(node, open_everything, context);      a fiber: may block, e.g. log_set_open()
 *   sim_run_until(sim, everything_is_open, context, limit);
 *   ...
 *   sim_world_kill(node);                                nothing it does reaches the disk any more
 *   sim_world_boot(node, close_everything, context);     unwinds: each call fails at once
 *   sim_run_until(sim, everything_is_closed, context, limit);
 *   sim_world_free(node);
 *
 * Opening and closing code may also be called from outside of any fiber: then disk calls take no time.
 */
#ifndef CAIRN_TESTS_SIM_SIM_WORLD_H
#define CAIRN_TESTS_SIM_SIM_WORLD_H

#include "base/world.h"
#include "tests/sim/sim.h"
#include "tests/sim/sim_disk.h"

struct sim_world;

struct sim_world *sim_world_new(struct sim *sim, struct sim_disk *device, const char *name); /* copies `name` */
void sim_world_free(struct sim_world *sim_world); /* PRE: its loops are stopped, its fibers over, its stores closed */
struct world *sim_world_doors(struct sim_world *sim_world);
struct sim_process *sim_world_process(struct sim_world *sim_world);

/* Runs blocking code on a fiber of the process. One at a time; sim_world_booted() tells when it has returned. */
void sim_world_boot(struct sim_world *sim_world, void (*run)(void *context), void *context);
bool sim_world_booted(void *sim_world); /* fits sim_run_until() */

void sim_world_kill(struct sim_world *sim_world);

/* The process's clocks: the monotonic one may run fast or slow (parts per million), the wall clock may jump. */
void sim_world_set_rate(struct sim_world *sim_world, int32_t parts_per_million);
void sim_world_jump_wall(struct sim_world *sim_world, int64_t by_ms);

#endif
