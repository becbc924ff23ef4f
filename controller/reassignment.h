/* Partitions that are to be elsewhere: which ones, and which of them may go next. Pure: same map, same goal, same brokers up, same answer. What is
 * done of it stands in the map and nowhere else, so whoever asks again, another leader of group 0 or a command that was interrupted, goes
 * on where it stopped.
 *
 * A plan has one move for each partition that is not where it had better be (spread.h). The group itself takes the steps of a move: whoever is new
 * learns everything first, and then one decision of both majorities changes over; so the partition has its quorum all the while.
 *
 * 1. Left out of a plan: what is on its way elsewhere, what has no quorum, and what a Cairn made that knew one broker only.
 * 2. A broker that is down, drained or about to leave gets nothing by a plan that names no brokers, and keeps what it has.
 */
#ifndef CAIRN_CONTROLLER_REASSIGNMENT_H
#define CAIRN_CONTROLLER_REASSIGNMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "controller/cluster_map.h"

#define REASSIGNMENT_PARTITIONS_MAX 20000u /* in one plan */

struct reassignment_goal {
  const struct cluster_map *map;
  bool (*is_up)(void *context, uint32_t broker);
  bool (*is_asked)(void *context, const struct map_topic *topic); /* NULL: all topics are meant */
  void *context;
  const uint32_t *brokers; /* that are to have them, and nobody else */
  size_t broker_count;     /* 0: whoever may */
};

struct reassignment_move {
  uint64_t topic_id;
  uint32_t partition;
  uint64_t group;
  uint32_t from[MAP_REPLICAS_MAX];
  uint32_t from_count;
  uint32_t to[MAP_REPLICAS_MAX];
  uint32_t to_count;
  uint32_t copies; /* replicas that are made anew; 0: only who is to lead changes */
};

struct reassignment {
  struct reassignment_move *moves; /* by topic's name and partition */
  size_t count;
  uint32_t partitions; /* that were looked at */
  uint32_t copies;     /* of all moves */
  uint32_t leads;      /* partitions that another broker is to lead */
  uint32_t left_moving;
  uint32_t left_without_quorum;
  char problem[256]; /* in words, when there is no plan */
};

/* The caller's to deinit, whatever came of it. NOT_FOUND: a broker that is named is none, or takes no peers. INVALID: it leaves, is down, or is
 * named twice. TOO_FEW_BROKERS: fewer than a partition has replicas. TOO_LARGE: too many partitions are asked about. */
enum status reassignment_plan(const struct reassignment_goal *goal, struct reassignment *out_plan) MUST_CHECK;
/* What that would refuse, as far as it can be said without a look at any topic: all but too many partitions of those that `is_asked` (which is not
 * called) would pick, and TOO_FEW_BROKERS. There is no plan yet, and nothing to deinit; `problem` is set where it is not OK. */
enum status reassignment_check(const struct reassignment_goal *goal, struct reassignment *out_plan) MUST_CHECK;
void reassignment_deinit(struct reassignment *plan);

/* ---- One after the other ---- */

enum reassignment_stage {
  REASSIGNMENT_READY,    /* it is where the plan found it */
  REASSIGNMENT_GOES,     /* it is on its way, there */
  REASSIGNMENT_ARRIVED,  /* it is there */
  REASSIGNMENT_ELSEWHERE /* somebody moved it since, or deleted it: the plan says nothing about it any more */
};
enum reassignment_stage reassignment_stage_of(const struct cluster_map *map, const struct reassignment_move *move);

struct reassignment_bounds {
  uint32_t per_broker; /* moves under way, whoever asked for them, that give one broker a replica or take one from it */
  uint32_t in_all;
};
/* May it begin now? It is READY, no broker that it gives a replica or takes one from has as many moves as it may, and all that get one are up. */
bool reassignment_may_begin(const struct reassignment_goal *goal, const struct reassignment_move *move,
                            const struct reassignment_bounds *bounds);

#endif
