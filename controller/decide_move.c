/* What it comes to that a partition is to be elsewhere, and that it is. */
#include <stdio.h>
#include <string.h>

#include "controller/decide_internal.h"

/* It has a replica of it, or is about to: whoever leaves keeps what it has until its own turn comes. */
static bool belongs(const struct cluster_map *map, const struct map_partition *partition, uint32_t broker) {
  const struct map_move *move = cluster_map_move(map, partition->group);
  return map_replicas_have(partition->replicas, partition->replica_count, broker) ||
         (move != NULL && map_replicas_have(move->target, move->target_count, broker));
}

/* Those it named before and those it would name besides are remembered until it rests. */
static enum status check_room(const struct map_move *under_way, const struct map_move *move, struct change *change) {
  uint32_t named = under_way->known_count;
  for (uint32_t i = 0; i < move->target_count; i++)
    if (map_move_known(under_way, &move->target[i]) == NULL) named++;
  if (named <= MAP_MOVE_KNOWN_MAX) return STATUS_OK;
  snprintf(
      change->problem, sizeof change->problem,
      "partition %u has been sent to %u replicas since it last rested, and may be sent to %u: let its move come to rest first, "
      "if need be back where it was",
      change->partition, under_way->known_count, MAP_MOVE_KNOWN_MAX);
  return STATUS_BUSY;
}

/* A broker that is to leave may be named, as long as enough others stay to take its place: else it could never leave. */
static enum status check_leaves(const struct cluster_map *map, const struct map_move *move, struct change *change) {
  for (uint32_t i = 0; i < move->target_count; i++) {
    uint32_t id = move->target[i].broker, others = decide_count_others(map, id);
    if (cluster_map_broker(map, id)->standing != STANDING_LEAVING || move->target_count <= others) continue;
    snprintf(
        change->problem, sizeof change->problem,
        "with %u replicas partition %u would keep broker %u, which is about to leave: %u brokers stay: name as many, or let it "
        "stay first",
        move->target_count, change->partition, id, others);
    return STATUS_TOO_FEW_BROKERS;
  }
  return STATUS_OK;
}

static enum status find_partition(const struct decision_facts *facts, struct change *change, const struct map_topic **out_topic) {
  const struct map_topic *topic = cluster_map_topic(facts->map, bytes_of_string(change->name));
  if (topic == NULL) return decide_refuse(change, STATUS_UNKNOWN_TOPIC, "");
  if (change->planned_topic_id != 0 && change->planned_topic_id != topic->id)
    return decide_refuse(change, STATUS_PLAN_STALE, "a topic of that name was made since, and is another one: make a new plan");
  if (change->partition >= topic->partition_count) {
    snprintf(change->problem, sizeof change->problem, "there is no partition %u: its partitions are 0 to %u", change->partition,
             topic->partition_count - 1);
    return STATUS_UNKNOWN_PARTITION;
  }
  if (topic->partitions[change->partition].replica_count == 0) {
    snprintf(change->problem, sizeof change->problem,
             "partition %u was made by a Cairn that knew one broker only, and cannot be moved: copy it into a new topic",
             change->partition);
    return STATUS_UNSUPPORTED;
  }
  *out_topic = topic;
  return STATUS_OK;
}

/* What was decided by what is no more had better not happen; what has happened already, or is about to, is as good as asked for again. */
static enum status check_planned(const struct cluster_map *map, const struct map_partition *partition, struct change *change) {
  if (change->planned_from_count == 0) return STATUS_OK;
  const struct map_move *under_way = cluster_map_move(map, partition->group);
  const struct map_replica *going;
  uint32_t going_count = decide_places_of(map, partition, &going);
  if (map_replicas_are(going, going_count, change->to, change->to_count)) return STATUS_OK;
  bool rests = map_replicas_are(partition->replicas, partition->replica_count, change->planned_from, change->planned_from_count);
  if (under_way == NULL && rests) return STATUS_OK;
  snprintf(change->problem, sizeof change->problem, "partition %u %s: make a new plan", change->partition,
           under_way != NULL ? "is on its way elsewhere by now" : "has other replicas by now");
  return STATUS_PLAN_STALE;
}

/* Where it was is where it is to be. */
static enum status turn_back(const struct map_partition *partition, const struct map_move *under_way, struct change *change) {
  if (under_way == NULL) {
    snprintf(change->problem, sizeof change->problem, "partition %u is not on its way anywhere", change->partition);
    return STATUS_NOT_FOUND;
  }
  if (change->move != 0 && change->move != under_way->number) {
    snprintf(change->problem, sizeof change->problem, "another move of partition %u has taken the place of that one",
             change->partition);
    return STATUS_PLAN_STALE;
  }
  change->to_count = partition->replica_count;
  for (uint32_t i = 0; i < change->to_count; i++) change->to[i] = partition->replicas[i].broker;
  return STATUS_OK;
}

enum status decide_move(const struct decision_facts *facts, struct change *change, struct command *command) {
  const struct map_topic *topic = NULL;
  struct map_move *move = &command->move;
  enum status status = find_partition(facts, change, &topic);
  if (status != STATUS_OK) return status;
  const struct map_partition *partition = &topic->partitions[change->partition];
  const struct map_move *under_way = cluster_map_move(facts->map, partition->group);
  if (change->take_back) status = turn_back(partition, under_way, change);
  if (status != STATUS_OK) return status;
  if (change->to_count == 0 || change->to_count > MAP_REPLICAS_MAX) {
    snprintf(change->problem, sizeof change->problem, "partition %u is to have %u replicas: name 1 to %u brokers",
             change->partition, change->to_count, MAP_REPLICAS_MAX);
    return STATUS_INVALID;
  }
  move->topic_id = topic->id;
  move->partition = change->partition;
  move->bytes_per_second = change->bytes_per_second;
  for (uint32_t i = 0; i < change->to_count; i++) {
    const struct decide_target target = {.broker = change->to[i],
                                         .partition = change->partition,
                                         .is = "to go to",
                                         .has_it = belongs(facts->map, partition, change->to[i])};
    status = decide_add_replica(facts->map, change, &target, move->target, &move->target_count);
    if (status != STATUS_OK) return status;
  }
  status = check_leaves(facts->map, move, change);
  if (status == STATUS_OK) status = check_planned(facts->map, partition, change);
  if (status != STATUS_OK) return status;
  uint64_t number = under_way == NULL ? 0 : under_way->number;
  if (change->exactly && number != change->move) return decide_refuse(change, STATUS_BUSY, "it is on its way elsewhere by now");
  if (under_way != NULL) return check_room(under_way, move, change);
  if (cluster_map_move_count(facts->map) >= MAP_MOVES_MAX)
    return decide_refuse(change, STATUS_BUSY, "1000 partitions are being moved already: wait until some have arrived");
  return STATUS_OK;
}

/* Of a move that is no more, nothing is to be written: it was told twice, or another took its place. */
enum status decide_moved(const struct decision_facts *facts, struct change *change, struct command *command) {
  const struct map_topic *topic = cluster_map_topic_by_id(facts->map, change->topic_id);
  if (topic == NULL) return decide_refuse(change, STATUS_UNKNOWN_TOPIC, "");
  if (change->partition >= topic->partition_count) return decide_refuse(change, STATUS_UNKNOWN_PARTITION, "");
  const struct map_move *move = cluster_map_move(facts->map, topic->partitions[change->partition].group);
  if (move == NULL || move->number != change->move) return decide_refuse(change, STATUS_NOT_FOUND, "that move is not under way");
  command->move.topic_id = change->topic_id;
  command->move.partition = change->partition;
  command->move.number = change->move;
  return STATUS_OK;
}
