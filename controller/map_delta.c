#include "controller/map_delta.h"

#include <stdio.h>

#include "base/check.h"
#include "base/memory.h"
#include "controller/command.h"
#include "controller/map_public.h"
#include "proto/pack.h"

/* ---- What changed ---- */

static uint64_t topic_of(const struct command *command) {
  switch (command->kind) {
    case COMMAND_CREATE_TOPIC: return command->topic.id;
    case COMMAND_ALTER_TOPIC:
    case COMMAND_DELETE_TOPIC:
    case COMMAND_GROW_TOPIC: return command->topic_id;
    case COMMAND_MOVE_PARTITION:
    case COMMAND_PARTITION_MOVED: return command->move.topic_id;
    case COMMAND_REGISTER_BROKER:
    case COMMAND_SET_STANDING:
    case COMMAND_SET_FEATURE_LEVEL: break;
  }
  return 0;
}

static void name_topic(struct map_delta *delta, const struct map_topic *topic) {
  if (topic != NULL) snprintf(delta->topic, sizeof delta->topic, "%s", topic->name);
}

/* The same move once more is none. */
static bool is_moving(const struct cluster_map *map, const struct map_move *move) {
  const struct map_topic *topic = cluster_map_topic_by_id(map, move->topic_id);
  return cluster_map_move(map, topic->partitions[move->partition].group) != NULL;
}

static void fill(struct map_delta *delta, const struct cluster_map *map, const struct command *command) {
  switch (command->kind) {
    case COMMAND_REGISTER_BROKER:
    case COMMAND_SET_STANDING:
      delta->kind = CAIRN__V1__CLUSTER_CHANGE_KIND__CLUSTER_CHANGE_KIND_BROKER;
      delta->broker = command->broker.id;
      break;
    case COMMAND_SET_FEATURE_LEVEL:
      delta->kind = CAIRN__V1__CLUSTER_CHANGE_KIND__CLUSTER_CHANGE_KIND_FEATURE_LEVEL;
      delta->feature_level = cluster_map_feature_level(map);
      break;
    case COMMAND_CREATE_TOPIC:
      delta->kind = CAIRN__V1__CLUSTER_CHANGE_KIND__CLUSTER_CHANGE_KIND_TOPIC_CREATED;
      delta->count = command->topic.partition_count;
      break;
    case COMMAND_ALTER_TOPIC: delta->kind = CAIRN__V1__CLUSTER_CHANGE_KIND__CLUSTER_CHANGE_KIND_TOPIC_ALTERED; break;
    case COMMAND_GROW_TOPIC:
      delta->kind = CAIRN__V1__CLUSTER_CHANGE_KIND__CLUSTER_CHANGE_KIND_TOPIC_GROWN;
      delta->first = command->topic.partitions[0].number;
      delta->count = command->topic.partition_count;
      break;
    case COMMAND_DELETE_TOPIC: delta->kind = CAIRN__V1__CLUSTER_CHANGE_KIND__CLUSTER_CHANGE_KIND_TOPIC_DELETED; break;
    case COMMAND_MOVE_PARTITION:
      if (!is_moving(map, &command->move)) break;
      delta->kind = CAIRN__V1__CLUSTER_CHANGE_KIND__CLUSTER_CHANGE_KIND_PARTITION_MOVING;
      delta->first = command->move.partition;
      delta->count = 1;
      break;
    case COMMAND_PARTITION_MOVED:
      delta->kind = CAIRN__V1__CLUSTER_CHANGE_KIND__CLUSTER_CHANGE_KIND_PARTITION_MOVED;
      delta->first = command->move.partition;
      delta->count = 1;
      break;
  }
}

enum status map_delta_apply(struct cluster_map *map, const struct command *command, struct map_delta *out_delta) {
  struct map_delta delta = {.topic_id = topic_of(command)};
  name_topic(&delta, cluster_map_topic_by_id(map, delta.topic_id)); /* while it is there */
  enum status status = cluster_map_apply(map, command);
  delta.version = cluster_map_version(map);
  name_topic(&delta, cluster_map_topic_by_id(map, delta.topic_id));
  if (status == STATUS_OK) fill(&delta, map, command);
  *out_delta = delta;
  return status;
}

/* ---- As bytes ---- */

static enum status pack(Cairn__V1__ClusterChange *change, struct account *account, struct blob **out_blob) {
  Cairn__V1__WatchClusterResponse response;
  cairn__v1__watch_cluster_response__init(&response);
  response.n_changes = 1;
  response.changes = &change;
  return pack_blob(&response.base, account, out_blob);
}

static enum status pack_broker(const struct map_broker *broker, Cairn__V1__ClusterChange *change, struct account *account,
                               struct blob **out_blob) {
  struct public_broker message;
  public_broker_fill(&message, broker);
  change->broker = &message.broker;
  return pack(change, account, out_blob);
}

static enum status pack_topic(const struct map_delta *delta, const struct cluster_map *map, Cairn__V1__ClusterChange *change,
                              struct account *account, struct blob **out_blob) {
  struct public_topic message;
  const struct map_topic *topic = cluster_map_topic_by_id(map, delta->topic_id);
  struct public_partition *partitions = memory_new_array(delta->count, sizeof *partitions);
  change->partitions = memory_new_array(delta->count, sizeof(Cairn__V1__Partition *));
  public_topic_fill(&message, topic);
  change->topic = &message.topic;
  for (uint32_t i = 0; i < delta->count; i++) {
    public_partition_fill(&partitions[i], map, &topic->partitions[delta->first + i]);
    change->partitions[change->n_partitions++] = &partitions[i].partition;
  }
  enum status status = pack(change, account, out_blob);
  memory_free(change->partitions);
  memory_free(partitions);
  return status;
}

static enum status pack_deletion(const struct map_delta *delta, Cairn__V1__ClusterChange *change, struct account *account,
                                 struct blob **out_blob) {
  Cairn__V1__Topic topic;
  struct map_delta named = *delta; /* protobuf-c wants to be able to write */
  cairn__v1__topic__init(&topic);
  topic.id = named.topic_id;
  topic.name = named.topic;
  change->topic = &topic;
  return pack(change, account, out_blob);
}

enum status map_delta_pack(const struct map_delta *delta, const struct cluster_map *map, struct account *account,
                           struct blob **out_blob) {
  PRE(delta->kind != CAIRN__V1__CLUSTER_CHANGE_KIND__CLUSTER_CHANGE_KIND_UNSPECIFIED);
  Cairn__V1__ClusterChange change;
  cairn__v1__cluster_change__init(&change);
  change.kind = delta->kind;
  change.version = delta->version;
  change.feature_level = delta->feature_level;
  if (delta->kind == CAIRN__V1__CLUSTER_CHANGE_KIND__CLUSTER_CHANGE_KIND_FEATURE_LEVEL) return pack(&change, account, out_blob);
  if (delta->kind == CAIRN__V1__CLUSTER_CHANGE_KIND__CLUSTER_CHANGE_KIND_BROKER)
    return pack_broker(cluster_map_broker(map, delta->broker), &change, account, out_blob);
  if (delta->kind == CAIRN__V1__CLUSTER_CHANGE_KIND__CLUSTER_CHANGE_KIND_TOPIC_DELETED)
    return pack_deletion(delta, &change, account, out_blob);
  return pack_topic(delta, map, &change, account, out_blob);
}
