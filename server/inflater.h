/* The loop that inflates compressed batches, once, to check and count what is in them: dear work that would hold up a lane.
 *
 * One batch at a time, so it never needs more memory than the largest batch may declare. What waits for it is bounded by those who
 * wait: each is a request in flight.
 */
#ifndef CAIRN_SERVER_INFLATER_H
#define CAIRN_SERVER_INFLATER_H

#include "base/world.h"

/* Embedded in what waits. `work` runs on the inflater's loop, then `done` on `loop`. */
struct inflater_job {
  struct task task;
  struct loop *loop;
  void (*work)(struct inflater_job *job);
  void (*done)(struct inflater_job *job);
};

struct inflater;

struct inflater *inflater_new(struct world *world);
void inflater_free(struct inflater *inflater);                          /* finishes what was asked; NULL is fine */
void inflater_run(struct inflater *inflater, struct inflater_job *job); /* @any-thread */

#endif
