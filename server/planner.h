/* Makes plans of moves (reassignment.h) beside the lanes: one of twenty thousand partitions takes most of a second, and lane 0 may lead what clients
 * wait for. A plan is made for the map as it was, and for who was up, when it was asked for; what has changed since is noticed by
 * whoever carries it out (PLAN_STALE).
 */
#ifndef CAIRN_SERVER_PLANNER_H
#define CAIRN_SERVER_PLANNER_H

#include "base/bytes.h"
#include "controller/reassignment.h"
#include "server/offload.h"

/* One plan that is asked for. */
struct planner_job {
  /* Whoever asks fills in, and keeps alive until `done`: */
  const uint32_t *brokers; /* as in reassignment_goal */
  size_t broker_count;
  bool (*is_asked)(void *context, const struct map_topic *topic); /* not on the lane; NULL: all topics are meant */
  void *context;
  void (*done)(struct planner_job *job); /* on the lane; never before planner_begin() has returned */

  /* The answer: what reassignment_plan() says; the plan is the asker's to deinit. */
  enum status status;
  struct reassignment plan;

  struct task refusal; /* without a plan */
  struct offload_job job;
  struct buffer map;
  uint32_t *up;
  size_t up_count;
};

/* On the lane whose loop this is, which has the map, and from which it is copied here: one of 90,000 partitions in some 100 ms. What cannot be planned
 * whatever the topics are (reassignment_check) is refused without that; `done` comes later in any case. */
void planner_begin(struct offload *planner, struct planner_job *job, struct loop *loop, const struct cluster_map *map,
                   bool (*is_up)(void *context, uint32_t broker), void *is_up_context);

#endif
