#include "controller/reassignment.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "controller/cluster_health.h"
#include "controller/racks.h"
#include "controller/spread.h"

static bool names(const uint32_t *brokers, size_t count, uint32_t broker) {
  for (size_t i = 0; i < count; i++)
    if (brokers[i] == broker) return true;
  return false;
}

/* ---- Who may have them ---- */

static enum status refuse_broker(struct reassignment *plan, enum status status, uint32_t id, const char *why) {
  snprintf(plan->problem, sizeof plan->problem, "broker %u is to have replicas, and %s", id, why);
  return status;
}

static enum status check_named(const struct reassignment_goal *goal, struct reassignment *plan) {
  for (size_t i = 0; i < goal->broker_count; i++) {
    uint32_t id = goal->brokers[i];
    const struct map_broker *broker = cluster_map_broker(goal->map, id);
    if (broker == NULL)
      return refuse_broker(plan, STATUS_NOT_FOUND, id, "the cluster has no such broker: cairn broker list shows those it has");
    if (broker->peer_address[0] == '\0')
      return refuse_broker(plan, STATUS_NOT_FOUND, id, "it takes no other brokers: start it with --peer-listen, or name another");
    if (broker->standing == STANDING_GONE) return refuse_broker(plan, STATUS_INVALID, id, "it has left the cluster");
    if (broker->standing == STANDING_LEAVING) return refuse_broker(plan, STATUS_INVALID, id, "it is about to leave the cluster");
    if (names(goal->brokers, i, id)) return refuse_broker(plan, STATUS_INVALID, id, "is named twice: name each broker once");
    if (!goal->is_up(goal->context, id))
      return refuse_broker(plan, STATUS_INVALID, id, "it is down: what goes to it would not arrive: start it first");
  }
  return STATUS_OK;
}

static enum spread_use use_of(const struct reassignment_goal *goal, const struct map_broker *broker) {
  if (goal->broker_count > 0) return names(goal->brokers, goal->broker_count, broker->id) ? SPREAD_TAKES : SPREAD_LEAVES;
  bool able = broker->standing == STANDING_IN && broker->peer_address[0] != '\0' && goal->is_up(goal->context, broker->id);
  return able ? SPREAD_TAKES : SPREAD_STAYS;
}

static struct spread_broker *gather_brokers(const struct reassignment_goal *goal) {
  struct spread_broker *brokers = memory_new_array(cluster_map_broker_count(goal->map) + 1, sizeof *brokers);
  struct racks racks;
  racks_init(&racks, goal->map);
  for (size_t i = 0; i < racks.count; i++)
    brokers[i] = (struct spread_broker){.id = racks.brokers[i],
                                        .rack = racks.racks[i] + 1, /* 0 would be none */
                                        .use = use_of(goal, cluster_map_broker(goal->map, racks.brokers[i]))};
  racks_deinit(&racks);
  return brokers;
}

/* ---- What is asked about, and what is there besides ---- */

struct planning {
  const struct reassignment_goal *goal;
  struct reassignment *plan;
  struct spread_broker *brokers;
  struct spread_partition *asked;
  struct reassignment_move *moves; /* of the same partitions, as they are now */
  size_t count;
};

static struct spread_broker *find(const struct planning *planning, uint32_t id) {
  size_t low = 0, high = cluster_map_broker_count(planning->goal->map);
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (planning->brokers[middle].id < id) low = middle + 1;
    else high = middle;
  }
  bool found = low < cluster_map_broker_count(planning->goal->map) && planning->brokers[low].id == id;
  return found ? &planning->brokers[low] : NULL;
}

static void count_other(const struct planning *planning, const struct map_replica *replicas, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) {
    struct spread_broker *broker = find(planning, replicas[i].broker);
    if (broker == NULL) continue; /* it left the cluster */
    broker->others++;
    broker->other_firsts += i == 0;
  }
}

static bool has_quorum(const struct reassignment_goal *goal, const struct map_partition *partition) {
  return cluster_health_has_quorum(goal->map, partition, goal->is_up, goal->context);
}

/* Of one that is on its way what counts is where it goes. */
static void take_in(struct planning *planning, const struct map_topic *topic, uint32_t i) {
  const struct map_partition *partition = &topic->partitions[i];
  const struct map_move *move = cluster_map_move(planning->goal->map, partition->group);
  const struct map_replica *replicas = move != NULL ? move->target : partition->replicas;
  bool is_known = partition->replica_count > 0,
       without_quorum = is_known && move == NULL && !has_quorum(planning->goal, partition);
  struct spread_partition *asked = &planning->asked[planning->count];
  struct reassignment_move *as_it_is = &planning->moves[planning->count++];
  *asked = (struct spread_partition){.topic = topic->id,
                                     .stays = move != NULL || without_quorum || !is_known,
                                     .count = move != NULL ? move->target_count : partition->replica_count};
  for (uint32_t at = 0; at < asked->count; at++) asked->replicas[at] = replicas[at].broker;
  *as_it_is = (struct reassignment_move){
      .topic_id = topic->id, .partition = i, .group = partition->group, .from_count = asked->count, .to_count = asked->count};
  memcpy(as_it_is->from, asked->replicas, sizeof as_it_is->from);
  planning->plan->partitions++;
  planning->plan->left_moving += move != NULL;
  planning->plan->left_without_quorum += without_quorum;
}

/* A topic that nobody asked about. */
static void count_topic(struct planning *planning, const struct map_topic *topic) {
  for (uint32_t i = 0; i < topic->partition_count; i++) {
    const struct map_partition *partition = &topic->partitions[i];
    const struct map_move *move = cluster_map_move(planning->goal->map, partition->group);
    if (move != NULL) count_other(planning, move->target, move->target_count);
    else count_other(planning, partition->replicas, partition->replica_count);
  }
}

static bool topic_is_asked(const struct reassignment_goal *goal, const struct map_topic *topic) {
  return goal->is_asked == NULL || goal->is_asked(goal->context, topic);
}

static size_t count_asked(const struct reassignment_goal *goal) {
  const struct map_topic *topic;
  size_t count = 0;
  if (goal->is_asked == NULL) return cluster_map_partition_count(goal->map);
  for (size_t place = 0; (topic = cluster_map_topic_at(goal->map, place)) != NULL; place++)
    if (topic_is_asked(goal, topic)) count += topic->partition_count;
  return count;
}

static void take_all_in(struct planning *planning) {
  const struct map_topic *topic;
  for (size_t place = 0; (topic = cluster_map_topic_at(planning->goal->map, place)) != NULL; place++) {
    bool is_asked = topic_is_asked(planning->goal, topic);
    if (!is_asked) count_topic(planning, topic);
    for (uint32_t i = 0; is_asked && i < topic->partition_count; i++) take_in(planning, topic, i);
  }
}

/* ---- What is to move ---- */

static void keep_moves(struct planning *planning) {
  struct reassignment *plan = planning->plan;
  for (size_t i = 0; i < planning->count; i++) {
    struct reassignment_move move = planning->moves[i];
    memcpy(move.to, planning->asked[i].replicas, sizeof move.to);
    if (memcmp(move.to, move.from, move.to_count * sizeof *move.to) == 0) continue;
    for (uint32_t at = 0; at < move.to_count; at++) move.copies += !names(move.from, move.from_count, move.to[at]);
    plan->copies += move.copies;
    plan->leads += move.to[0] != move.from[0];
    planning->moves[plan->count++] = move;
  }
}

/* Brokers that may have replicas of it: whoever takes some, and whoever keeps what it has. */
static uint32_t count_room(const struct planning *planning, const struct spread_partition *partition) {
  uint32_t room = 0;
  for (size_t i = 0; i < cluster_map_broker_count(planning->goal->map); i++) {
    const struct spread_broker *broker = &planning->brokers[i];
    bool keeps = broker->use == SPREAD_STAYS && names(partition->replicas, partition->count, broker->id);
    room += broker->use == SPREAD_TAKES || keeps;
  }
  return room;
}

/* The first of those that have more replicas than that. */
static void tell_too_many_replicas(struct planning *planning) {
  for (size_t i = 0; i < planning->count; i++) {
    const struct spread_partition *partition = &planning->asked[i];
    uint32_t room = count_room(planning, partition);
    if (partition->stays || partition->count <= room) continue;
    snprintf(planning->plan->problem, sizeof planning->plan->problem,
             "partition %u of %.100s has %u replicas, and there are %u brokers for them: name more brokers, or give it fewer "
             "replicas first",
             planning->moves[i].partition, cluster_map_topic_by_id(planning->goal->map, partition->topic)->name, partition->count,
             room);
    return;
  }
}

static enum status check(const struct reassignment_goal *goal, size_t asked, struct reassignment *plan) {
  *plan = (struct reassignment){0};
  enum status status = check_named(goal, plan);
  if (status != STATUS_OK || asked <= REASSIGNMENT_PARTITIONS_MAX) return status;
  snprintf(plan->problem, sizeof plan->problem, "%zu partitions are asked about, and one plan has at most %u: name some topics",
           asked, REASSIGNMENT_PARTITIONS_MAX);
  return STATUS_TOO_LARGE;
}

enum status reassignment_check(const struct reassignment_goal *goal, struct reassignment *out_plan) {
  return check(goal, goal->is_asked == NULL ? count_asked(goal) : 0, out_plan);
}

enum status reassignment_plan(const struct reassignment_goal *goal, struct reassignment *out_plan) {
  size_t asked = count_asked(goal);
  enum status status = check(goal, asked, out_plan);
  if (status != STATUS_OK) return status;
  struct planning planning = {.goal = goal, .plan = out_plan, .brokers = gather_brokers(goal)};
  planning.asked = memory_new_array(asked + 1, sizeof *planning.asked);
  planning.moves = memory_new_array(asked + 1, sizeof *planning.moves);
  out_plan->moves = planning.moves;
  take_all_in(&planning);
  status = spread(planning.brokers, cluster_map_broker_count(goal->map), planning.asked, planning.count);
  if (status == STATUS_OK) keep_moves(&planning);
  else tell_too_many_replicas(&planning);
  memory_free(planning.asked);
  memory_free(planning.brokers);
  return status;
}

void reassignment_deinit(struct reassignment *plan) {
  memory_free(plan->moves);
  plan->moves = NULL;
  plan->count = 0;
}

/* ---- One after the other ---- */

enum reassignment_stage reassignment_stage_of(const struct cluster_map *map, const struct reassignment_move *move) {
  const struct map_topic *topic = cluster_map_topic_by_id(map, move->topic_id);
  if (topic == NULL || move->partition >= topic->partition_count) return REASSIGNMENT_ELSEWHERE;
  const struct map_partition *partition = &topic->partitions[move->partition];
  const struct map_move *goes = cluster_map_move(map, partition->group);
  if (goes != NULL) {
    bool there = map_replicas_are(goes->target, goes->target_count, move->to, move->to_count);
    return there ? REASSIGNMENT_GOES : REASSIGNMENT_ELSEWHERE;
  }
  if (map_replicas_are(partition->replicas, partition->replica_count, move->to, move->to_count)) return REASSIGNMENT_ARRIVED;
  bool same = map_replicas_are(partition->replicas, partition->replica_count, move->from, move->from_count);
  return same ? REASSIGNMENT_READY : REASSIGNMENT_ELSEWHERE;
}

/* It gets a replica by that move, or gives one up. */
static bool concerns(const struct cluster_map *map, const struct map_move *move, uint32_t broker) {
  const struct map_partition *from = &cluster_map_topic_by_id(map, move->topic_id)->partitions[move->partition];
  return map_replicas_have(from->replicas, from->replica_count, broker) !=
         map_replicas_have(move->target, move->target_count, broker);
}

static bool has_room(const struct cluster_map *map, uint32_t broker, uint32_t per_broker) {
  uint32_t count = 0;
  const struct map_move *move = cluster_map_move_after(map, 0);
  for (; move != NULL; move = cluster_map_move_after(map, move->group)) count += concerns(map, move, broker);
  return count < per_broker;
}

bool reassignment_may_begin(const struct reassignment_goal *goal, const struct reassignment_move *move,
                            const struct reassignment_bounds *bounds) {
  if (cluster_map_move_count(goal->map) >= bounds->in_all) return false;
  if (reassignment_stage_of(goal->map, move) != REASSIGNMENT_READY) return false;
  for (uint32_t i = 0; i < move->from_count; i++) {
    bool goes = !names(move->to, move->to_count, move->from[i]);
    if (goes && !has_room(goal->map, move->from[i], bounds->per_broker)) return false;
  }
  for (uint32_t i = 0; i < move->to_count; i++) {
    bool comes = !names(move->from, move->from_count, move->to[i]);
    if (comes && (!goal->is_up(goal->context, move->to[i]) || !has_room(goal->map, move->to[i], bounds->per_broker)))
      return false;
  }
  return has_quorum(goal, &cluster_map_topic_by_id(goal->map, move->topic_id)->partitions[move->partition]);
}
