/* The map as bytes, and back. */
#include "base/arena.h"
#include "base/check.h"
#include "base/memory.h"
#include "controller/cluster_map_internal.h"
#include "controller/feature_level.h"
#include "controller/map_head.h"
#include "controller/map_message.h"
#include "proto/pack.h"

/* A generous bound for the objects that stand for the map while it is packed or unpacked. */
static size_t arena_bytes(size_t brokers, size_t topics, size_t partitions) {
  return ((size_t)1 << 20) + (size_t)MAP_MOVES_MAX * 4096 + brokers * 640 + topics * 2048 + partitions * 1024;
}

enum status cluster_map_encode(const struct cluster_map *map, struct buffer *out) {
  struct arena *arena = arena_new(arena_bytes(map->broker_count, map->topic_count, map->partition_count));
  Cairn__Internal__V1__ClusterMap message = CAIRN__INTERNAL__V1__CLUSTER_MAP__INIT;
  enum status status = STATUS_TOO_LARGE;

  message.cluster_id = id_to_message(map->cluster_id);
  message.version = map->version;
  message.next_topic_id = map->next_topic_id;
  message.next_group_id = map->next_group_id;
  if (map->feature_level > FEATURE_LEVEL_FIRST) message.feature_level = map->feature_level;
  message.brokers = arena_take(arena, (map->broker_count + 1) * sizeof *message.brokers);
  message.topics = arena_take(arena, (map->topic_count + 1) * sizeof *message.topics);
  message.moves = arena_take(arena, (map->move_count + 1) * sizeof *message.moves);
  if (message.brokers == NULL || message.topics == NULL || message.moves == NULL) goto done;
  for (size_t i = 0; i < map->broker_count; i++)
    message.brokers[message.n_brokers++] = broker_to_message(arena, map->brokers_sorted[i]);
  for (size_t i = 0; i < map->topic_count; i++) message.topics[message.n_topics++] = topic_to_message(arena, map->sorted[i]);
  for (size_t i = 0; i < map->move_count; i++) message.moves[message.n_moves++] = move_to_message(arena, &map->moves[i]);

  if (!map_head_put(map->feature_level, out)) goto done;
  uint8_t *into = buffer_extend(out, protobuf_c_message_get_packed_size(&message.base));
  if (into == NULL) goto done;
  protobuf_c_message_pack(&message.base, into);
  status = STATUS_OK;
done:
  arena_free(arena);
  return status;
}

/* A topic among those of a snapshot: nobody else's name or id, and none that is still to be given out. */
static bool fits(const struct cluster_map *map, const struct map_topic *topic) {
  if (map_get(map->by_name, bytes_of_string(topic->name)) != NULL || map_get_number(map->by_id, topic->id) != NULL) return false;
  return topic->id < map->next_topic_id && topic->partitions[topic->partition_count - 1].group < map->next_group_id;
}

/* A move among those of a snapshot: of a partition that is there, and its only one. */
static enum status take_move(struct cluster_map *map, const Cairn__Internal__V1__Move *message) {
  struct map_move move;
  struct map_partition *partition = NULL;
  enum status status = move_from_message(message, &move);
  if (status != STATUS_OK) return status;
  if (cluster_map_find_partition(map, &move, &partition) != STATUS_OK) return STATUS_CORRUPT;
  move.group = partition->group;
  bool sound = map->move_count < MAP_MOVES_MAX && move.number > 0 && move.number <= map->version;
  if (!sound || cluster_map_move(map, move.group) != NULL) return STATUS_CORRUPT;
  cluster_map_put_move(map, &move);
  return STATUS_OK;
}

static enum status take_broker(struct cluster_map *map, const Cairn__Internal__V1__Broker *message) {
  struct map_broker broker;
  enum status status = broker_from_message(message, &broker);
  if (status != STATUS_OK) return status;
  if (map->broker_count >= MAP_BROKERS_MAX || cluster_map_broker(map, broker.id) != NULL) return STATUS_CORRUPT;
  cluster_map_put_broker(map, &broker);
  return STATUS_OK;
}

static enum status take_topic(struct cluster_map *map, const Cairn__Internal__V1__TopicPlace *message) {
  struct map_topic topic;
  enum status status = topic_from_message(message, &topic);
  if (status != STATUS_OK) return status;
  if (!fits(map, &topic)) {
    map_topic_deinit(&topic);
    return STATUS_CORRUPT;
  }
  struct map_topic *kept = NEW(struct map_topic);
  *kept = topic;
  cluster_map_add_topic(map, kept);
  return STATUS_OK;
}

/* Two partitions of one group would write to one log. */
static bool groups_differ(const struct cluster_map *map) {
  struct map *groups = map_new(0);
  bool differ = true;
  for (size_t i = 0; i < map->topic_count; i++) {
    struct map_topic *topic = map->sorted[i];
    for (uint32_t at = 0; at < topic->partition_count; at++)
      differ = map_put_number(groups, topic->partitions[at].group, topic) == NULL && differ;
  }
  map_free(groups);
  return differ;
}

static enum status from_message(struct cluster_map *map, const Cairn__Internal__V1__ClusterMap *message, uint32_t level) {
  if ((message->feature_level == 0 ? FEATURE_LEVEL_FIRST : message->feature_level) != level) return STATUS_CORRUPT;
  map->feature_level = level;
  if (!id_from_message(&message->cluster_id, map->cluster_id)) return STATUS_CORRUPT;
  map->version = message->version;
  map->next_topic_id = message->next_topic_id;
  map->next_group_id = message->next_group_id;
  if (map->next_topic_id == 0 || map->next_group_id == 0) return STATUS_CORRUPT; /* both begin at 1 */
  enum status status = STATUS_OK;
  for (size_t i = 0; status == STATUS_OK && i < message->n_brokers; i++) status = take_broker(map, message->brokers[i]);
  for (size_t i = 0; status == STATUS_OK && i < message->n_topics; i++) status = take_topic(map, message->topics[i]);
  if (status == STATUS_OK && !groups_differ(map)) status = STATUS_CORRUPT;
  for (size_t i = 0; status == STATUS_OK && i < message->n_moves; i++) status = take_move(map, message->moves[i]);
  return status;
}

enum status cluster_map_decode(struct cluster_map *map, struct bytes bytes) {
  PRE(map->version == 0 && map->topic_count == 0);
  uint32_t level;
  enum status status = map_head_take(&bytes, &level);
  if (status == STATUS_OK && level > FEATURE_LEVEL_MOST) status = STATUS_FOREIGN;
  if (status != STATUS_OK) return status;
  struct arena *arena = arena_new(arena_bytes(MAP_BROKERS_MAX, MAP_TOPICS_MAX, MAP_PARTITIONS_MAX));
  Cairn__Internal__V1__ClusterMap *message = NULL;
  status = pack_unpack(arena, &cairn__internal__v1__cluster_map__descriptor, bytes, &message);
  status = status == STATUS_OK ? from_message(map, message, level) : STATUS_CORRUPT;
  arena_free(arena);
  return status;
}
