#include "controller/map_history.h"

#include "base/check.h"
#include "base/memory.h"

struct map_history {
  struct map_past *ring; /* by version, modulo its size */
  size_t changes_max;
  uint64_t from;
  uint64_t version;
  size_t bytes;
};

static struct map_past *slot_of(const struct map_history *history, uint64_t version) {
  return &history->ring[version % history->changes_max];
}

static size_t bytes_of_past(const struct map_past *past) {
  size_t name = past->topic == NULL ? 0 : TOPIC_NAME_MAX;
  return past->blob == NULL ? 0 : past->blob->size + name;
}

static void forget_oldest(struct map_history *history) {
  struct map_past *past = slot_of(history, ++history->from);
  history->bytes -= bytes_of_past(past);
  blob_release(past->blob);
  memory_free(past->topic);
  *past = (struct map_past){0};
}

struct map_history *map_history_new(size_t changes_max) {
  PRE(changes_max > 0);
  struct map_history *history = NEW(struct map_history);
  history->ring = memory_new_array(changes_max, sizeof *history->ring);
  history->changes_max = changes_max;
  return history;
}

void map_history_free(struct map_history *history) {
  if (history == NULL) return;
  map_history_begin(history, 0);
  memory_free(history->ring);
  memory_free(history);
}

void map_history_begin(struct map_history *history, uint64_t version) {
  while (history->from < history->version) forget_oldest(history);
  history->from = version;
  history->version = version;
}

void map_history_add(struct map_history *history, const struct map_delta *delta, struct blob *blob) {
  PRE(delta->version == history->version + 1);
  if (history->version - history->from == history->changes_max) forget_oldest(history);
  struct map_past *past = slot_of(history, ++history->version);
  past->blob = blob;
  if (blob != NULL && delta->topic[0] != '\0') past->topic = memory_copy_string(delta->topic);
  history->bytes += bytes_of_past(past);
  while (history->bytes > MAP_HISTORY_BYTES_MAX) forget_oldest(history);
}

uint64_t map_history_from(const struct map_history *history) { return history->from; }
uint64_t map_history_version(const struct map_history *history) { return history->version; }

const struct map_past *map_history_at(const struct map_history *history, uint64_t version) {
  PRE(version > history->from && version <= history->version);
  return slot_of(history, version);
}
