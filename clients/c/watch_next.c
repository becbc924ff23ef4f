#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/memory.h"
#include "clients/c/map_words.h"
#include "clients/c/watch_internal.h"
#include "proto/pack.h"

/* A message is below 1 MiB; a topic of 10,000 partitions in it costs some ten times that as objects. */
#define SHOWN_ARENA_BYTES_MAX (32u << 20)

/* ---- The next message ---- */

static struct watch_message *take_message(struct cairn_watch *watch, struct failure *out_failure, bool *out_failed) {
  pthread_mutex_lock(&watch->lock);
  struct list_node *node = list_pop_front(&watch->queue);
  struct watch_message *message = node == NULL ? NULL : list_entry(node, struct watch_message, node);
  if (message != NULL) watch->queue_bytes -= message->blob->size;
  bool resume = watch->paused && !watch->resume_posted && watch->queue_bytes <= WATCH_QUEUE_BYTES / 2;
  if (resume) watch->resume_posted = true;
  *out_failed = message == NULL && watch->failed;
  if (*out_failed) *out_failure = watch->failure;
  pthread_mutex_unlock(&watch->lock);
  if (resume) loop_post(watch->client->loop, &watch->resume_task);
  return message;
}

/* CAIRN_OK: it is shown from now on. CAIRN_WAIT: nothing is there. */
static int show_next(struct cairn_watch *watch, struct cairn_error *error) {
  struct failure failure;
  bool failed = false;
  struct watch_message *message = take_message(watch, &failure, &failed);
  if (failed) return error_from_failure(error, &failure);
  if (message == NULL) return CAIRN_WAIT;
  arena_free(watch->arena);
  watch->arena = arena_new(SHOWN_ARENA_BYTES_MAX);
  enum status status = pack_unpack(watch->arena, &cairn__v1__watch_cluster_response__descriptor,
                                   bytes_of(message->blob->data, message->blob->size), (void *)&watch->shown);
  watch->shown_head = message->head;
  watch->shown_next = 0;
  watch->begin_shown = false;
  snprintf(watch->cluster_id, sizeof watch->cluster_id, "%s", message->head.cluster_id);
  blob_release(message->blob);
  memory_free(message);
  if (status == STATUS_OK) return CAIRN_OK;
  watch->shown = NULL;
  return error_set(error, status, "the broker's answer is not a WatchClusterResponse");
}

/* ---- Its changes ---- */

static int show_partitions(struct cairn_watch *watch, const Cairn__V1__ClusterChange *change, struct cairn_change *out_change,
                           struct cairn_error *error) {
  struct cairn_partition *partitions = arena_take(watch->arena, change->n_partitions * sizeof *partitions);
  if (partitions == NULL) return error_set(error, STATUS_TOO_LARGE, "a change has %zu partitions", change->n_partitions);
  for (size_t i = 0; i < change->n_partitions; i++) partition_unpack(change->partitions[i], &partitions[i]);
  out_change->partitions = partitions;
  out_change->partition_count = change->n_partitions;
  return CAIRN_OK;
}

static int show_change(struct cairn_watch *watch, const Cairn__V1__ClusterChange *change, struct cairn_change *out_change,
                       struct cairn_error *error) {
  *out_change = (struct cairn_change){
      .kind = (enum cairn_change_kind)change->kind, .version = change->version, .feature_level = change->feature_level};
  if (!watch->partial_seen) watch->version = change->version;
  if (change->broker != NULL) {
    member_unpack(change->broker, &watch->member);
    out_change->member = &watch->member;
  }
  if (change->topic != NULL) {
    topic_unpack(change->topic, &watch->topic);
    out_change->topic = &watch->topic;
  }
  return change->n_partitions == 0 ? CAIRN_OK : show_partitions(watch, change, out_change, error);
}

static int show_mark(struct cairn_watch *watch, enum cairn_change_kind kind, struct cairn_change *out_change) {
  *out_change = (struct cairn_change){.kind = kind, .version = watch->shown_head.version};
  return CAIRN_OK;
}

/* What is left of the message that is shown; CAIRN_END: nothing. */
static int show_more(struct cairn_watch *watch, struct cairn_change *out_change, struct cairn_error *error) {
  const Cairn__V1__WatchClusterResponse *shown = watch->shown;
  if (shown == NULL) return CAIRN_END;
  if (watch->shown_head.begins && !watch->begin_shown) {
    watch->begin_shown = watch->partial_seen = true;
    watch->version = 0;
    return show_mark(watch, CAIRN_CHANGE_MAP_BEGINS, out_change);
  }
  if (watch->shown_next < shown->n_changes) return show_change(watch, shown->changes[watch->shown_next++], out_change, error);
  watch->shown = NULL;
  if (watch->shown_head.partial) return CAIRN_END;
  watch->version = watch->shown_head.version;
  if (!watch->partial_seen) return CAIRN_END;
  watch->partial_seen = false;
  return show_mark(watch, CAIRN_CHANGE_MAP_WHOLE, out_change);
}

/* Without waiting. */
static int try_next(struct cairn_watch *watch, struct cairn_change *out_change, struct cairn_error *error) {
  for (;;) {
    int code = show_more(watch, out_change, error);
    if (code != CAIRN_END) return code;
    code = show_next(watch, error);
    if (code != CAIRN_OK) return code;
  }
}

int cairn_watch_next(struct cairn_watch *watch, uint32_t timeout_ms, struct cairn_change *out_change, struct cairn_error *error) {
  if (watch->broken != CAIRN_OK) {
    if (error != NULL) *error = watch->broken_error;
    return watch->broken;
  }
  uint64_t deadline_ns = 0;
  for (;;) {
    unsigned seen = bell_listen(&watch->bell);
    int code = try_next(watch, out_change, &watch->broken_error);
    if (code != CAIRN_OK && code != CAIRN_WAIT) {
      watch->broken = code;
      if (error != NULL) *error = watch->broken_error;
    }
    if (code != CAIRN_WAIT || timeout_ms == 0) return code;
    if (deadline_ns == 0) deadline_ns = client_deadline_ns(watch->client, timeout_ms);
    uint64_t left_ns = client_left_ns(watch->client, deadline_ns);
    if (left_ns == 0) return CAIRN_WAIT;
    bell_wait(watch->client->world, &watch->bell, seen, left_ns);
  }
}

uint64_t cairn_watch_version(const struct cairn_watch *watch) { return watch->version; }
const char *cairn_watch_cluster_id(const struct cairn_watch *watch) { return watch->cluster_id; }
