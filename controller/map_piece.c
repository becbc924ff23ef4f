#include "controller/map_piece.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/memory.h"
#include "controller/feature_level.h"
#include "controller/map_public.h"

/* ---- Of which topics ---- */

static int compare_names(const void *a, const void *b) { return strcmp(a, b); }

void map_filter_init(struct map_filter *filter, char *const *names, size_t count) {
  PRE(count <= MAP_FILTER_TOPICS_MAX);
  filter->names = memory_new_array(count, sizeof *filter->names);
  for (size_t i = 0; i < count; i++) snprintf(filter->names[i], sizeof filter->names[i], "%s", names[i]);
  if (count > 0) qsort(filter->names, count, sizeof *filter->names, compare_names);
  filter->count = 0;
  for (size_t i = 0; i < count; i++) { /* each once */
    if (filter->count > 0 && strcmp(filter->names[filter->count - 1], filter->names[i]) == 0) continue;
    if (filter->count != i) memcpy(filter->names[filter->count], filter->names[i], sizeof filter->names[i]);
    filter->count++;
  }
}

void map_filter_deinit(struct map_filter *filter) {
  memory_free(filter->names);
  *filter = (struct map_filter){0};
}

bool map_filter_has(const struct map_filter *filter, struct bytes name) {
  for (size_t i = 0; i < filter->count; i++)
    if (bytes_equal(bytes_of_string(filter->names[i]), name)) return true;
  return filter->count == 0;
}

/* The first above `after` that is there. */
static const struct map_topic *next_topic(const struct map_filter *filter, const struct cluster_map *map, const char *after) {
  if (filter->count == 0) return cluster_map_topic_after(map, bytes_of_string(after));
  for (size_t i = 0; i < filter->count; i++) {
    if (strcmp(filter->names[i], after) <= 0) continue;
    const struct map_topic *topic = cluster_map_topic(map, bytes_of_string(filter->names[i]));
    if (topic != NULL) return topic;
  }
  return NULL;
}

bool map_walk_tells(const struct map_walk *walk, const struct map_past *past) {
  if (walk->over || past->topic == NULL) return walk->begun;
  return strcmp(past->topic, walk->after) <= 0;
}

/* ---- Pieces: written as they are found, so that nothing large is built of parts ---- */

static void add(struct buffer *out, Cairn__V1__ClusterChange *change) {
  Cairn__V1__WatchClusterResponse response;
  cairn__v1__watch_cluster_response__init(&response);
  response.n_changes = 1;
  response.changes = &change;
  uint8_t *into = buffer_extend(out, protobuf_c_message_get_packed_size(&response.base));
  CHECK(into != NULL); /* it has no bound; a topic has */
  protobuf_c_message_pack(&response.base, into);
}

static void add_brokers(struct buffer *out, const struct cluster_map *map) {
  const struct map_broker *broker = cluster_map_broker_after(map, 0);
  for (; broker != NULL; broker = cluster_map_broker_after(map, broker->id)) {
    struct public_broker message;
    Cairn__V1__ClusterChange change;
    cairn__v1__cluster_change__init(&change);
    public_broker_fill(&message, broker);
    change.kind = CAIRN__V1__CLUSTER_CHANGE_KIND__CLUSTER_CHANGE_KIND_BROKER;
    change.version = cluster_map_version(map);
    change.broker = &message.broker;
    add(out, &change);
  }
}

/* Who is told of none has level 1. */
static void add_feature_level(struct buffer *out, const struct cluster_map *map) {
  if (cluster_map_feature_level(map) == FEATURE_LEVEL_FIRST) return;
  Cairn__V1__ClusterChange change;
  cairn__v1__cluster_change__init(&change);
  change.kind = CAIRN__V1__CLUSTER_CHANGE_KIND__CLUSTER_CHANGE_KIND_FEATURE_LEVEL;
  change.version = cluster_map_version(map);
  change.feature_level = cluster_map_feature_level(map);
  add(out, &change);
}

static void add_topic(struct buffer *out, const struct cluster_map *map, const struct map_topic *topic) {
  struct public_topic message;
  struct public_partition *partitions = memory_new_array(topic->partition_count, sizeof *partitions);
  Cairn__V1__ClusterChange change;
  cairn__v1__cluster_change__init(&change);
  public_topic_fill(&message, topic);
  change.kind = CAIRN__V1__CLUSTER_CHANGE_KIND__CLUSTER_CHANGE_KIND_TOPIC;
  change.version = cluster_map_version(map);
  change.topic = &message.topic;
  change.partitions = memory_new_array(topic->partition_count, sizeof(Cairn__V1__Partition *));
  for (uint32_t i = 0; i < topic->partition_count; i++) {
    public_partition_fill(&partitions[i], map, &topic->partitions[i]);
    change.partitions[change.n_partitions++] = &partitions[i].partition;
  }
  add(out, &change);
  memory_free(change.partitions);
  memory_free(partitions);
}

enum status map_walk_next(struct map_walk *walk, const struct map_filter *filter, const struct cluster_map *map,
                          struct account *account, struct blob **out_blob) {
  PRE(!walk->over);
  struct map_walk next = *walk;
  struct buffer bytes;
  buffer_init(&bytes, SIZE_MAX);
  if (!next.begun) add_feature_level(&bytes, map);
  if (!next.begun) add_brokers(&bytes, map);
  next.begun = true;
  const struct map_topic *topic = next_topic(filter, map, next.after);
  for (; topic != NULL && bytes.size < MAP_PIECE_BYTES; topic = next_topic(filter, map, next.after)) {
    add_topic(&bytes, map, topic);
    snprintf(next.after, sizeof next.after, "%s", topic->name);
  }
  next.over = topic == NULL;
  struct blob *blob = NULL;
  enum status status = bytes.size == 0 ? STATUS_OK : blob_new(account, bytes.size, &blob);
  if (status == STATUS_OK) {
    if (blob != NULL) memcpy(blob->data, bytes.data, bytes.size);
    *walk = next;
    *out_blob = blob;
  }
  buffer_deinit(&bytes);
  return status;
}
