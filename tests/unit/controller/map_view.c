#include "tests/unit/controller/map_view.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/memory.h"
#include "controller/map_public.h"
#include "proto/pack.h"

#define PARTITIONS_SEEN_MAX TOPIC_PARTITIONS_MAX
#define LINE_MAX_SIZE 512u

struct view_topic {
  char name[TOPIC_NAME_MAX + 1];
  uint64_t id;
  int64_t retention_ms;
  uint32_t count;
  char (*partitions)[96]; /* as text */
};

struct map_view {
  uint64_t version;
  bool whole;
  unsigned changes;
  unsigned begun;
  size_t largest;
  struct view_topic *topics;
  size_t topic_count;
  uint32_t feature_level; /* 0: told of none */
  char brokers[16][192];  /* by number, as text */
};

struct map_view *map_view_new(void) {
  return NEW(struct map_view);
}

static void forget(struct map_view *view) {
  for (size_t i = 0; i < view->topic_count; i++) memory_free(view->topics[i].partitions);
  memory_free(view->topics);
  view->topics = NULL;
  view->topic_count = 0;
  view->feature_level = 0;
  memset(view->brokers, 0, sizeof view->brokers);
}

void map_view_free(struct map_view *view) {
  forget(view);
  memory_free(view);
}

/* ---- Lines ---- */

static void partition_line(const Cairn__V1__Partition *partition, char out_line[96]) {
  int at = snprintf(out_line, 96, "%u group=%" PRIu64, partition->partition, partition->group_id);
  for (size_t i = 0; i < partition->n_replicas; i++)
    at += snprintf(out_line + at, 96 - (size_t)at, " %u", partition->replicas[i]);
  if (partition->n_moving_to > 0) at += snprintf(out_line + at, 96 - (size_t)at, " ->");
  for (size_t i = 0; i < partition->n_moving_to; i++)
    at += snprintf(out_line + at, 96 - (size_t)at, " %u", partition->moving_to[i]);
}

static void broker_line(const Cairn__V1__Broker *broker, char out_line[192]) {
  snprintf(out_line, 192, "broker %u %s %s %s %d %s %u-%u", broker->id, broker->advertised, broker->peer_address,
           broker->incarnation, (int)broker->standing, broker->rack, broker->feature_least, broker->feature_most);
}

/* ---- What is told ---- */

static struct view_topic *topic_of(struct map_view *view, const Cairn__V1__Topic *topic) {
  for (size_t i = 0; i < view->topic_count; i++)
    if (view->topics[i].id == topic->id) return &view->topics[i];
  view->topics = memory_grow_array(view->topics, view->topic_count + 1, sizeof *view->topics);
  struct view_topic *made = &view->topics[view->topic_count++];
  memset(made, 0, sizeof *made);
  made->id = topic->id;
  snprintf(made->name, sizeof made->name, "%s", topic->name);
  return made;
}

static void forget_topic(struct map_view *view, uint64_t id) {
  for (size_t i = 0; i < view->topic_count; i++) {
    if (view->topics[i].id != id) continue;
    memory_free(view->topics[i].partitions);
    view->topics[i] = view->topics[--view->topic_count];
    return;
  }
}

static void take_topic(struct map_view *view, const Cairn__V1__ClusterChange *change) {
  struct view_topic *topic = topic_of(view, change->topic);
  topic->retention_ms = change->topic->config->retention_ms;
  if (topic->count < change->topic->partitions) {
    topic->partitions = memory_grow_array(topic->partitions, change->topic->partitions, sizeof *topic->partitions);
    topic->count = change->topic->partitions;
  }
  for (size_t i = 0; i < change->n_partitions; i++) {
    assert_in_range(change->partitions[i]->partition, 0, topic->count - 1);
    partition_line(change->partitions[i], topic->partitions[change->partitions[i]->partition]);
  }
}

static void take_change(struct map_view *view, const Cairn__V1__ClusterChange *change) {
  view->changes++;
  assert_int_not_equal(change->kind, CAIRN__V1__CLUSTER_CHANGE_KIND__CLUSTER_CHANGE_KIND_UNSPECIFIED);
  if (change->broker != NULL) {
    assert_in_range(change->broker->id, 1, 15);
    broker_line(change->broker, view->brokers[change->broker->id]);
  } else if (change->kind == CAIRN__V1__CLUSTER_CHANGE_KIND__CLUSTER_CHANGE_KIND_TOPIC_DELETED) {
    forget_topic(view, change->topic->id);
  } else if (change->kind == CAIRN__V1__CLUSTER_CHANGE_KIND__CLUSTER_CHANGE_KIND_FEATURE_LEVEL) {
    view->feature_level = change->feature_level;
  } else {
    take_topic(view, change);
  }
}

static void join(struct map_message *message, struct buffer *out) {
  for (size_t i = 0; i < message->count; i++) {
    struct bytes bytes = message->parts[i].bytes;
    assert_int_equal(buffer_append(out, bytes.data, bytes.size), STATUS_OK);
    blob_part_release(message->parts[i]);
  }
}

void map_view_take(struct map_view *view, struct map_message *message) {
  struct buffer bytes;
  buffer_init(&bytes, MAP_MESSAGE_BYTES_MAX);
  join(message, &bytes);
  if (bytes.size > view->largest) view->largest = bytes.size;
  struct arena *arena = arena_new(64u << 20);
  const Cairn__V1__WatchClusterResponse *response = NULL;
  assert_int_equal(pack_unpack(arena, &cairn__v1__watch_cluster_response__descriptor, buffer_bytes(&bytes), &response),
                   STATUS_OK);
  assert_true(response->version >= response->follows);
  if (response->begins) forget(view);
  view->begun += response->begins;
  assert_int_equal(response->follows, response->begins ? 0 : view->version);
  uint64_t newest = response->follows;
  for (size_t i = 0; i < response->n_changes; i++) {
    assert_in_range(response->changes[i]->version, response->begins ? 0 : newest, response->version);
    newest = response->changes[i]->version;
    take_change(view, response->changes[i]);
  }
  view->version = response->version;
  view->whole = !response->partial;
  arena_free(arena);
  buffer_deinit(&bytes);
}

uint64_t map_view_version(const struct map_view *view) { return view->version; }
bool map_view_whole(const struct map_view *view) { return view->whole; }
unsigned map_view_changes(const struct map_view *view) { return view->changes; }
unsigned map_view_begun(const struct map_view *view) { return view->begun; }
size_t map_view_largest(const struct map_view *view) { return view->largest; }

/* ---- As text ---- */

static void say(struct buffer *text, const char *line) {
  assert_int_equal(buffer_append_string(text, line), STATUS_OK);
  assert_int_equal(buffer_append_string(text, "\n"), STATUS_OK);
}

static void say_topic(struct buffer *text, const char *name, uint64_t id, int64_t retention_ms, uint32_t count) {
  char line[LINE_MAX_SIZE];
  snprintf(line, sizeof line, "topic %s %" PRIu64 " retention=%" PRId64 " partitions=%u", name, id, retention_ms, count);
  say(text, line);
}

static void say_level(struct buffer *text, uint32_t level) {
  char line[LINE_MAX_SIZE];
  snprintf(line, sizeof line, "level %u", level == 0 ? 1 : level);
  say(text, line);
}

static char *end_text(struct buffer *text) {
  assert_int_equal(buffer_append(text, "", 1), STATUS_OK);
  return (char *)text->data;
}

static int compare_topics(const void *a, const void *b) {
  return strcmp(((const struct view_topic *)a)->name, ((const struct view_topic *)b)->name);
}

char *map_view_text(const struct map_view *view) {
  struct buffer text;
  buffer_init(&text, SIZE_MAX);
  say_level(&text, view->feature_level);
  for (size_t i = 0; i < sizeof view->brokers / sizeof view->brokers[0]; i++)
    if (view->brokers[i][0] != '\0') say(&text, view->brokers[i]);
  if (view->topic_count > 0) qsort(view->topics, view->topic_count, sizeof *view->topics, compare_topics);
  for (size_t i = 0; i < view->topic_count; i++) {
    const struct view_topic *topic = &view->topics[i];
    say_topic(&text, topic->name, topic->id, topic->retention_ms, topic->count);
    for (uint32_t at = 0; at < topic->count; at++) say(&text, topic->partitions[at]);
  }
  return end_text(&text);
}

char *map_text(const struct cluster_map *map, const struct map_filter *filter) {
  struct buffer text;
  char line[LINE_MAX_SIZE];
  buffer_init(&text, SIZE_MAX);
  say_level(&text, cluster_map_feature_level(map));
  const struct map_broker *broker = cluster_map_broker_after(map, 0);
  for (; broker != NULL; broker = cluster_map_broker_after(map, broker->id)) {
    struct public_broker message;
    public_broker_fill(&message, broker);
    broker_line(&message.broker, line);
    say(&text, line);
  }
  const struct map_topic *topic = cluster_map_topic_after(map, bytes_of_string(""));
  for (; topic != NULL; topic = cluster_map_topic_after(map, bytes_of_string(topic->name))) {
    if (!map_filter_has(filter, bytes_of_string(topic->name))) continue;
    say_topic(&text, topic->name, topic->id, topic->settings.retention_ms, topic->partition_count);
    for (uint32_t at = 0; at < topic->partition_count; at++) {
      struct public_partition message;
      public_partition_fill(&message, map, &topic->partitions[at]);
      partition_line(&message.partition, line);
      say(&text, line);
    }
  }
  return end_text(&text);
}
