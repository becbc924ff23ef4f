#include "controller/map_message.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/memory.h"
#include "controller/feature_level.h"

/* Arenas here are sized for the largest message their callers can make: running out is a bug. */
static void *take(struct arena *arena, size_t size) {
  void *memory = arena_take(arena, size);
  CHECK_MSG(memory != NULL, "a message of the cluster map outgrew its arena");
  return memory;
}

void map_topic_deinit(struct map_topic *topic) {
  memory_free(topic->name);
  memory_free(topic->partitions);
  memset(topic, 0, sizeof *topic);
}

ProtobufCBinaryData id_to_message(const uint8_t id[CLUSTER_ID_SIZE]) {
  union {
    const uint8_t *in;
    uint8_t *out;
  } data = {.in = id}; /* protobuf-c only reads it */
  return (ProtobufCBinaryData){.data = data.out, .len = CLUSTER_ID_SIZE};
}

bool id_from_message(const ProtobufCBinaryData *data, uint8_t out_id[CLUSTER_ID_SIZE]) {
  if (data->len != CLUSTER_ID_SIZE) return false;
  memcpy(out_id, data->data, CLUSTER_ID_SIZE);
  return true;
}

Cairn__Internal__V1__TopicSettings settings_to_message(const struct topic_settings *settings) {
  Cairn__Internal__V1__TopicSettings message = CAIRN__INTERNAL__V1__TOPIC_SETTINGS__INIT;
  message.retention_bytes = settings->retention_bytes;
  message.retention_ms = settings->retention_ms;
  message.segment_bytes = settings->segment_bytes;
  message.record_bytes_max = settings->record_bytes_max;
  return message;
}

enum status settings_from_message(const Cairn__Internal__V1__TopicSettings *message, struct topic_settings *out) {
  if (message == NULL) return STATUS_CORRUPT;
  *out = (struct topic_settings){.retention_bytes = message->retention_bytes,
                                 .retention_ms = message->retention_ms,
                                 .segment_bytes = message->segment_bytes,
                                 .record_bytes_max = message->record_bytes_max};
  return STATUS_OK;
}

enum status standing_from_message(uint32_t number, enum map_standing *out_standing) {
  if (number >= STANDINGS) return STATUS_FOREIGN;
  *out_standing = (enum map_standing)number;
  return STATUS_OK;
}

Cairn__Internal__V1__Broker *broker_to_message(struct arena *arena, const struct map_broker *broker) {
  Cairn__Internal__V1__Broker *message = take(arena, sizeof *message);
  cairn__internal__v1__broker__init(message);
  message->id = broker->id;
  message->standing = broker->standing;
  message->feature_least = broker->feature_least;
  message->feature_most = broker->feature_most;
  message->incarnation = id_to_message(broker->incarnation);
  message->advertised = arena_copy_string(arena, broker->advertised, strlen(broker->advertised));
  message->peer_address = arena_copy_string(arena, broker->peer_address, strlen(broker->peer_address));
  message->rack = arena_copy_string(arena, broker->rack, strlen(broker->rack));
  if (broker->earlier_count == 0) return message;
  message->n_earlier = broker->earlier_count;
  message->earlier = take(arena, broker->earlier_count * sizeof *message->earlier);
  for (uint32_t i = 0; i < broker->earlier_count; i++) message->earlier[i] = id_to_message(broker->earlier[i]);
  return message;
}

enum status broker_from_message(const Cairn__Internal__V1__Broker *message, struct map_broker *out) {
  struct map_broker broker = {0};
  if (message == NULL || message->id == 0) return STATUS_CORRUPT;
  if (!id_from_message(&message->incarnation, broker.incarnation)) return STATUS_CORRUPT;
  if (strlen(message->advertised) >= sizeof broker.advertised) return STATUS_CORRUPT;
  if (strlen(message->peer_address) >= sizeof broker.peer_address) return STATUS_CORRUPT;
  if (message->rack[0] != '\0' && !rack_name_valid(bytes_of_string(message->rack))) return STATUS_CORRUPT;
  broker.id = message->id;
  snprintf(broker.advertised, sizeof broker.advertised, "%s", message->advertised);
  snprintf(broker.peer_address, sizeof broker.peer_address, "%s", message->peer_address);
  snprintf(broker.rack, sizeof broker.rack, "%s", message->rack);
  enum status status = standing_from_message(message->standing, &broker.standing);
  if (status != STATUS_OK) return status;
  broker.feature_least = message->feature_least;
  broker.feature_most = message->feature_most;
  struct feature_range features = map_broker_features(&broker);
  if (features.least > features.most) return STATUS_CORRUPT;
  if (message->n_earlier > MAP_EARLIER_MAX) return STATUS_CORRUPT;
  broker.earlier_count = (uint32_t)message->n_earlier;
  for (uint32_t i = 0; i < broker.earlier_count; i++)
    if (!id_from_message(&message->earlier[i], broker.earlier[i])) return STATUS_CORRUPT;
  *out = broker;
  return STATUS_OK;
}

/* The lists of a message: brokers' numbers, their directories' incarnations, and when each was placed there. */
struct replica_lists {
  size_t count;
  size_t incarnation_count;
  size_t placement_count; /* `count`, or 0 where all are from the founding on */
  uint32_t *numbers;
  ProtobufCBinaryData *incarnations;
  uint64_t *placements;
};

static struct replica_lists replicas_to_lists(struct arena *arena, const struct map_replica *replicas, uint32_t count) {
  struct replica_lists lists = {.count = count, .incarnation_count = count};
  if (count == 0) return lists;
  lists.numbers = take(arena, count * sizeof *lists.numbers);
  lists.incarnations = take(arena, count * sizeof *lists.incarnations);
  lists.placements = take(arena, count * sizeof *lists.placements);
  for (uint32_t i = 0; i < count; i++) {
    lists.numbers[i] = replicas[i].broker;
    lists.incarnations[i] = id_to_message(replicas[i].incarnation);
    lists.placements[i] = replicas[i].placement;
    if (replicas[i].placement != 0) lists.placement_count = count;
  }
  return lists;
}

static bool replicas_from_lists(const struct replica_lists *lists, struct map_replica *out_replicas, uint32_t max,
                                uint32_t *out_count) {
  bool placed = lists->placement_count != 0;
  if (lists->count > max || lists->incarnation_count != lists->count || (placed && lists->placement_count != lists->count))
    return false;
  *out_count = (uint32_t)lists->count;
  for (uint32_t i = 0; i < *out_count; i++) {
    out_replicas[i].broker = lists->numbers[i];
    out_replicas[i].placement = placed ? lists->placements[i] : 0;
    if (lists->numbers[i] == 0 || !id_from_message(&lists->incarnations[i], out_replicas[i].incarnation)) return false;
  }
  return true;
}

/* Of a partition or a target: each broker once. */
static bool once_each(const struct map_replica *replicas, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) {
    for (uint32_t before = 0; before < i; before++)
      if (replicas[before].broker == replicas[i].broker) return false;
  }
  return true;
}

static void replicas_to_message(struct arena *arena, const struct map_partition *partition,
                                Cairn__Internal__V1__PartitionPlace *message) {
  struct replica_lists lists = replicas_to_lists(arena, partition->replicas, partition->replica_count);
  message->n_replicas = message->n_incarnations = lists.count;
  message->n_placements = lists.placement_count;
  message->replicas = lists.numbers;
  message->incarnations = lists.incarnations;
  message->placements = lists.placements;
}

static bool replicas_from_message(const Cairn__Internal__V1__PartitionPlace *message, struct map_partition *partition) {
  struct replica_lists lists = {.count = message->n_replicas,
                                .incarnation_count = message->n_incarnations,
                                .placement_count = message->n_placements,
                                .numbers = message->replicas,
                                .incarnations = message->incarnations,
                                .placements = message->placements};
  return replicas_from_lists(&lists, partition->replicas, MAP_REPLICAS_MAX, &partition->replica_count) &&
         once_each(partition->replicas, partition->replica_count);
}

Cairn__Internal__V1__Move *move_to_message(struct arena *arena, const struct map_move *move) {
  Cairn__Internal__V1__Move *message = take(arena, sizeof *message);
  cairn__internal__v1__move__init(message);
  struct replica_lists target = replicas_to_lists(arena, move->target, move->target_count);
  struct replica_lists known = replicas_to_lists(arena, move->known, move->known_count);
  message->topic_id = move->topic_id;
  message->partition = move->partition;
  message->n_replicas = message->n_incarnations = target.count;
  message->n_placements = target.placement_count;
  message->replicas = target.numbers;
  message->incarnations = target.incarnations;
  message->placements = target.placements;
  message->n_known = message->n_known_incarnations = known.count;
  message->n_known_placements = known.placement_count;
  message->known = known.numbers;
  message->known_incarnations = known.incarnations;
  message->known_placements = known.placements;
  message->number = move->number;
  message->bytes_per_second = move->bytes_per_second;
  return message;
}

enum status move_from_message(const Cairn__Internal__V1__Move *message, struct map_move *out) {
  struct map_move move = {.topic_id = message->topic_id,
                          .partition = message->partition,
                          .number = message->number,
                          .bytes_per_second = message->bytes_per_second};
  struct replica_lists target = {.count = message->n_replicas,
                                 .incarnation_count = message->n_incarnations,
                                 .placement_count = message->n_placements,
                                 .numbers = message->replicas,
                                 .incarnations = message->incarnations,
                                 .placements = message->placements};
  struct replica_lists known = {.count = message->n_known,
                                .incarnation_count = message->n_known_incarnations,
                                .placement_count = message->n_known_placements,
                                .numbers = message->known,
                                .incarnations = message->known_incarnations,
                                .placements = message->known_placements};
  bool whole = target.count > 0 && replicas_from_lists(&target, move.target, MAP_REPLICAS_MAX, &move.target_count) &&
               once_each(move.target, move.target_count) &&
               replicas_from_lists(&known, move.known, MAP_MOVE_KNOWN_MAX, &move.known_count);
  if (!whole) return STATUS_CORRUPT;
  *out = move;
  return STATUS_OK;
}

Cairn__Internal__V1__PartitionPlace **partitions_to_message(struct arena *arena, const struct map_partition *partitions,
                                                            uint32_t count) {
  Cairn__Internal__V1__PartitionPlace *places = take(arena, count * sizeof *places);
  Cairn__Internal__V1__PartitionPlace **list = take(arena, count * sizeof *list);
  for (uint32_t i = 0; i < count; i++) {
    cairn__internal__v1__partition_place__init(&places[i]);
    places[i].partition = partitions[i].number;
    places[i].group_id = partitions[i].group;
    places[i].instance = partitions[i].instance;
    replicas_to_message(arena, &partitions[i], &places[i]);
    list[i] = &places[i];
  }
  return list;
}

/* Their numbers follow on one another, and their groups rise. */
enum status partitions_from_message(Cairn__Internal__V1__PartitionPlace *const *messages, size_t count, struct map_topic *topic) {
  if (count == 0 || count > TOPIC_PARTITIONS_MAX) return STATUS_CORRUPT;
  topic->partition_count = (uint32_t)count;
  topic->partitions = memory_new_array(count, sizeof *topic->partitions);
  uint32_t first = messages[0]->partition;
  uint64_t group = 0; /* of the partition before */
  for (uint32_t i = 0; i < topic->partition_count; i++) {
    const Cairn__Internal__V1__PartitionPlace *place = messages[i];
    topic->partitions[i] =
        (struct map_partition){.number = place->partition, .group = place->group_id, .instance = place->instance};
    bool follows = place->partition == first + i && place->group_id > group && place->group_id != UINT64_MAX;
    if (!follows || place->instance == 0 || !replicas_from_message(place, &topic->partitions[i])) {
      memory_free(topic->partitions);
      topic->partitions = NULL;
      topic->partition_count = 0;
      return STATUS_CORRUPT;
    }
    group = place->group_id;
  }
  return STATUS_OK;
}

Cairn__Internal__V1__TopicPlace *topic_to_message(struct arena *arena, const struct map_topic *topic) {
  Cairn__Internal__V1__TopicPlace *message = take(arena, sizeof *message);
  Cairn__Internal__V1__TopicSettings *settings = take(arena, sizeof *settings);
  cairn__internal__v1__topic_place__init(message);
  *settings = settings_to_message(&topic->settings);
  message->name = topic->name;
  message->id = topic->id;
  message->replicas = topic->replicas;
  message->settings = settings;
  message->created_ms = topic->created_ms;
  message->n_partitions = topic->partition_count;
  message->partitions = partitions_to_message(arena, topic->partitions, topic->partition_count);
  return message;
}

enum status topic_from_message(const Cairn__Internal__V1__TopicPlace *message, struct map_topic *out) {
  struct map_topic topic = {0};
  if (message == NULL || message->id == 0 || message->id == UINT64_MAX) return STATUS_CORRUPT;
  if (!topic_name_valid(bytes_of_string(message->name))) return STATUS_CORRUPT;
  enum status status = settings_from_message(message->settings, &topic.settings);
  if (status == STATUS_OK) status = partitions_from_message(message->partitions, message->n_partitions, &topic);
  if (status == STATUS_OK && topic.partitions[0].number != 0) status = STATUS_CORRUPT;
  if (status != STATUS_OK) {
    map_topic_deinit(&topic);
    return status;
  }
  topic.name = memory_copy_string(message->name);
  topic.id = message->id;
  topic.replicas = message->replicas;
  topic.created_ms = message->created_ms;
  *out = topic;
  return STATUS_OK;
}
