/* Where new partitions are to be. */
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "controller/decide_internal.h"
#include "controller/placement.h"

uint32_t decide_places_of(const struct cluster_map *map, const struct map_partition *partition,
                          const struct map_replica **out_replicas) {
  const struct map_move *move = cluster_map_move(map, partition->group);
  *out_replicas = move == NULL ? partition->replicas : move->target;
  return move == NULL ? partition->replica_count : move->target_count;
}

/* Puts each partition on brokers, with the directories that these have now. What is on its way to one counts there: else a broker that is just being
 * filled would get all that is new besides. */
static void place(const struct cluster_map *map, uint32_t replicas, struct map_topic *topic) {
  size_t count = cluster_map_broker_count(map);
  if (count == 0) return;
  struct placement_load *loads = memory_new_array(count, sizeof *loads);
  uint32_t *brokers = memory_new_array((size_t)topic->partition_count * replicas, sizeof *brokers), *next = brokers;
  count = placement_candidates(map, loads, placement_loads(map, loads));
  placement_count_moves(map, loads, count);
  placement_deal(loads, count, topic->partition_count, replicas, brokers);
  for (uint32_t i = 0; i < topic->partition_count; i++) {
    struct map_partition *partition = &topic->partitions[i];
    partition->replica_count = replicas;
    for (uint32_t at = 0; at < replicas; at++, next++) {
      partition->replicas[at].broker = *next;
      memcpy(partition->replicas[at].incarnation, cluster_map_broker(map, *next)->incarnation, CLUSTER_ID_SIZE);
    }
  }
  memory_free(brokers);
  memory_free(loads);
}

void decide_make_partitions(const struct cluster_map *map, uint32_t first, uint32_t count, uint32_t replicas,
                            struct map_topic *topic) {
  topic->partition_count = count;
  topic->partitions = memory_new_array(count, sizeof *topic->partitions);
  for (uint32_t i = 0; i < count; i++)
    topic->partitions[i] =
        (struct map_partition){.number = first + i, .group = cluster_map_next_group_id(map) + i, .instance = 1};
  place(map, replicas, topic);
}

/* ---- By name ---- */

static enum status add_known(const struct map_broker *broker, struct change *change, const struct decide_target *target,
                             bool alone) {
  if (broker->peer_address[0] == '\0' && !alone) {
    snprintf(change->problem, sizeof change->problem,
             "partition %u is %s broker %u, which takes no other brokers: start it with --peer-listen, or name another",
             target->partition, target->is, target->broker);
    return STATUS_NOT_FOUND;
  }
  if (broker->standing >= STANDING_LEAVING && !target->has_it) {
    snprintf(change->problem, sizeof change->problem,
             "partition %u is %s broker %u, which %s: name another, or let that one stay first", target->partition, target->is,
             target->broker, broker->standing == STANDING_GONE ? "has left the cluster" : "is about to leave the cluster");
    return STATUS_INVALID;
  }
  return STATUS_OK;
}

enum status decide_add_replica(const struct cluster_map *map, struct change *change, const struct decide_target *target,
                               struct map_replica *replicas, uint32_t *count) {
  const struct map_broker *broker = cluster_map_broker(map, target->broker);
  if (broker == NULL) {
    snprintf(change->problem, sizeof change->problem,
             "partition %u is %s broker %u, and the cluster has no such broker: start it, or name another", target->partition,
             target->is, target->broker);
    return STATUS_NOT_FOUND;
  }
  enum status status = add_known(broker, change, target, cluster_map_broker_count(map) == 1);
  if (status != STATUS_OK) return status;
  if (map_replicas_have(replicas, *count, target->broker)) {
    snprintf(change->problem, sizeof change->problem, "broker %u is named twice for partition %u: name each broker once",
             target->broker, target->partition);
    return STATUS_INVALID;
  }
  struct map_replica *replica = &replicas[(*count)++];
  replica->broker = target->broker;
  memcpy(replica->incarnation, broker->incarnation, CLUSTER_ID_SIZE);
  return STATUS_OK;
}

static enum status check_place_count(struct change *change, uint32_t first, uint32_t partitions) {
  if (partitions == 0 || partitions == change->place_count) return STATUS_OK;
  snprintf(change->problem, sizeof change->problem,
           "%u partitions%s are wanted, and there are places for %zu: name the brokers of each%s", partitions,
           first == 0 ? "" : " more", change->place_count, first == 0 ? ", or leave their number out" : " new one");
  return STATUS_INVALID;
}

enum status decide_read_places(struct change *change, uint32_t first, uint32_t *partitions, uint32_t *replicas) {
  if (change->place_count == 0) return STATUS_OK;
  enum status status = check_place_count(change, first, *partitions);
  if (status != STATUS_OK) return status;
  uint32_t wanted = *replicas == 0 ? change->places[0].count : *replicas;
  for (size_t i = 0; i < change->place_count; i++) {
    uint32_t count = change->places[i].count;
    if (count == wanted && count >= 1 && count <= MAP_REPLICAS_MAX) continue;
    if (count >= 1 && count <= MAP_REPLICAS_MAX)
      snprintf(change->problem, sizeof change->problem,
               "partition %zu is to have %u replicas, and %u are wanted of each: name as many brokers for all", first + i, count,
               wanted);
    else
      snprintf(change->problem, sizeof change->problem, "partition %zu is to have %u replicas: name 1 to %u brokers", first + i,
               count, MAP_REPLICAS_MAX);
    return STATUS_INVALID;
  }
  *partitions = change->place_count > TOPIC_PARTITIONS_MAX ? TOPIC_PARTITIONS_MAX + 1 : (uint32_t)change->place_count;
  *replicas = wanted;
  return STATUS_OK;
}

enum status decide_put(const struct cluster_map *map, struct change *change, struct map_topic *topic) {
  for (uint32_t i = 0; i < change->place_count; i++) {
    const struct change_place *place = &change->places[i];
    struct map_partition *partition = &topic->partitions[i];
    partition->replica_count = 0;
    for (uint32_t at = 0; at < place->count; at++) {
      const struct decide_target target = {.broker = place->brokers[at], .partition = partition->number, .is = "to be on"};
      enum status status = decide_add_replica(map, change, &target, partition->replicas, &partition->replica_count);
      if (status != STATUS_OK) return status;
    }
  }
  return STATUS_OK;
}

static bool is_put(const struct cluster_map *map, const struct map_partition *partition, const struct change_place *place) {
  const struct map_replica *replicas;
  uint32_t count = decide_places_of(map, partition, &replicas);
  return map_replicas_are(replicas, count, place->brokers, place->count);
}

enum status decide_check_put(const struct cluster_map *map, struct change *change, const struct map_topic *topic) {
  size_t has = topic->partition_count, count = change->place_count;
  bool are_there = count <= has;
  for (size_t i = 0; are_there && i < count; i++)
    are_there = is_put(map, &topic->partitions[has - count + i], &change->places[i]);
  if (are_there) return STATUS_OK;
  snprintf(change->problem, sizeof change->problem,
           "it has %zu partitions already, and its last ones are elsewhere: cairn partition move puts them on other brokers",
           has);
  return STATUS_INVALID;
}
