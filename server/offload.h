/* A loop for dear work that would hold up a lane: one job at a time, in the order in which they were asked for. What waits for it is bounded by those
 * who wait: each is a request in flight, or something that asks once.
 */
#ifndef CAIRN_SERVER_OFFLOAD_H
#define CAIRN_SERVER_OFFLOAD_H

#include "base/world.h"

/* Embedded in what waits. `work` runs on the other loop, then `done` on `loop`. */
struct offload_job {
  struct task task;
  struct loop *loop;
  void (*work)(struct offload_job *job);
  void (*done)(struct offload_job *job);
};

struct offload;

struct offload *offload_new(struct world *world, const char *name); /* the loop's: at most 15 characters */
void offload_free(struct offload *offload);                         /* finishes what was asked; NULL is fine */
void offload_run(struct offload *offload, struct offload_job *job); /* @any-thread */

#endif
