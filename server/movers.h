/* Brings partitions to where the map says that they are to be: those that this broker leads. In rounds, as long as moves are under way:
 *
 *   look     each partition's lane says whether it leads and has a step to take, and how far its new replicas are (partition_move_look)
 *   ask      group 0's leader confirms how new the map is; this broker's is waited for until it is as new
 *   act      each takes its step, by the map as it is now (partition_move_act)
 *   tell     what is over, to group 0's leader (map_question.h); once a second, and besides, how far all are
 *
 * A step that is not taken for any reason is looked at again in the next round, here or wherever the partition is led by then: nothing of
 * a round outlives it. On lane 0, except new and free. What a round does on other lanes has come back when `done` of stop runs.
 */
#ifndef CAIRN_SERVER_MOVERS_H
#define CAIRN_SERVER_MOVERS_H

#include "base/world.h"
#include "controller/controller.h"
#include "server/partition.h"
#include "server/routing.h"

struct movers;

struct movers_wiring {
  struct world *world;
  struct loop *loop; /* lane 0's */
  struct controller *controller;
  struct routing *routing;
  broker_id self;
  const uint8_t *cluster_id;
  struct progress_board *board; /* for what is told where group 0 is led */
};
struct movers *movers_new(void);
void movers_free(struct movers *movers); /* PRE: not started, or stopped. NULL is fine */
void movers_start(struct movers *movers, const struct movers_wiring *wiring);
/* The map has a move, perhaps a new one. It may come before the start. */
void movers_wake(struct movers *movers);
void movers_stop(struct movers *movers, void (*done)(void *context), void *context);

#endif
