/* Keeps the cluster even by itself, where group 0 is led and as long as that is wanted (auto-balance): once everything has been calm for a set time, and
 * some broker has many more replicas than another (imbalance.h), a plan is made (reassignment.h) and carried out a few moves at a time. It stops at
 * once where something is not calm any more, is asked for by somebody else, or is wanted no more: what has begun goes on, and what has not does
 * not begin. Nothing is kept of it but moves in the map: the next leader of group 0 waits for calm anew, and plans anew. On lane 0, except new and
 * free; plans are made beside it.
 */
#ifndef CAIRN_SERVER_BALANCER_H
#define CAIRN_SERVER_BALANCER_H

#include "base/loop.h"
#include "controller/controller.h"
#include "replication/lane.h"
#include "server/offload.h"

#define BALANCER_MOVES_MAX 2u /* of its own under way at a time, and one for each broker that gives or takes a replica */

struct balancer;

struct balancer *balancer_new(void);
void balancer_free(struct balancer *balancer); /* PRE: not started, or stopped. NULL is fine */
struct balancer_wiring {
  struct lane *lane; /* 0 */
  struct controller *controller;
  struct offload *planner;
  broker_id self;
  bool wanted;
  uint64_t calm_ns; /* for so long everything has to be calm before */
};
void balancer_start(struct balancer *balancer, const struct balancer_wiring *wiring);
/* From now on it is wanted, or not. */
void balancer_set(struct balancer *balancer, bool wanted);
/* Group 0 is led by another broker, perhaps by this one. It may come before the start. */
void balancer_wake(struct balancer *balancer);
void balancer_stop(struct balancer *balancer, void (*done)(void *context), void *context);

#endif
