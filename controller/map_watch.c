#include "controller/map_watch.h"

#include "base/check.h"
#include "base/mutant.h"
#include "base/probe.h"
#include "proto/pack.h"
#include "security/random.h"

void map_watch_init(struct map_watch *watch, struct map_filter filter, uint64_t from) {
  *watch = (struct map_watch){.filter = filter, .version = from, .told = from, .begins = from == 0};
  watch->walk.begun = watch->walk.over = from != 0;
}

void map_watch_deinit(struct map_watch *watch) { map_filter_deinit(&watch->filter); }

static void begin_anew(struct map_watch *watch, const struct map_teller *teller) {
  watch->walk = (struct map_walk){0};
  watch->version = cluster_map_version(teller->map);
  watch->told = 0;
  watch->begins = true;
}

static bool wants(const struct map_watch *watch, const struct map_past *past) {
  if (past->blob == NULL || !map_walk_tells(&watch->walk, past)) return false;
  if (MUTANT(change_not_told) && !watch->spoke) return false;
  return past->topic == NULL || map_filter_has(&watch->filter, bytes_of_string(past->topic));
}

/* As many deltas as a message holds; `watch->version` goes on with them. Returns their size. */
static size_t add_deltas(struct map_watch *watch, const struct map_teller *teller, struct map_message *message) {
  size_t size = 0;
  uint64_t newest = map_history_version(teller->history);
  while (watch->version < newest) {
    const struct map_past *past = map_history_at(teller->history, watch->version + 1);
    if (wants(watch, past)) {
      bool full = message->count == MAP_MESSAGE_CHANGES_MAX || (size > 0 && size + past->blob->size > MAP_PIECE_BYTES);
      if (full) break;
      message->parts[message->count++] = blob_part_of(past->blob, 0, past->blob->size);
      size += past->blob->size;
    }
    watch->version++;
  }
  return size;
}

/* Once what was told is up to date, and where there is room left. */
static enum status add_piece(struct map_watch *watch, const struct map_teller *teller, struct map_message *message, size_t size) {
  struct blob *blob = NULL;
  if (watch->walk.over || watch->version < cluster_map_version(teller->map) || size > MAP_PIECE_BYTES / 2) return STATUS_OK;
  enum status status = map_walk_next(&watch->walk, &watch->filter, teller->map, teller->account, &blob);
  if (blob != NULL)
    message->parts[message->count++] = (struct blob_part){.blob = blob, .bytes = bytes_of(blob->data, blob->size)};
  return status;
}

/* Of those that are part of the cluster. protobuf-c's strings are not const; it only reads what it packs. */
static size_t list_addresses(const struct cluster_map *map, char *out_addresses[MAP_ADDRESSES_MAX]) {
  size_t count = 0;
  const struct map_broker *broker = cluster_map_broker_after(map, 0);
  for (; broker != NULL && count < MAP_ADDRESSES_MAX; broker = cluster_map_broker_after(map, broker->id))
    if (broker->standing != STANDING_GONE) out_addresses[count++] = (char *)(uintptr_t)broker->advertised;
  return count;
}

static struct blob_part head_of(const struct map_watch *watch, const struct map_teller *teller) {
  char cluster[RANDOM_ID_HEX_SIZE];
  Cairn__V1__WatchClusterResponse head;
  cairn__v1__watch_cluster_response__init(&head);
  random_id_hex(teller->cluster, cluster);
  head.cluster_id = cluster;
  head.broker_id = teller->broker;
  head.controller_id = teller->controller;
  head.follows = watch->told;
  head.version = watch->version;
  head.begins = watch->begins;
  head.partial = !watch->walk.over;
  char *addresses[MAP_ADDRESSES_MAX];
  head.n_addresses = watch->spoke ? 0 : list_addresses(teller->map, addresses);
  head.addresses = addresses;
  return pack_part(&head.base);
}

enum status map_watch_next(struct map_watch *watch, const struct map_teller *teller, bool idle, struct map_message *out_message) {
  PRE(map_history_version(teller->history) == cluster_map_version(teller->map));
  bool behind = watch->version < map_history_from(teller->history);
  if (behind && watch->told > 0) REACHED(watch_falls_out_of_the_history);
  if (behind || watch->begins) begin_anew(watch, teller);
  bool was_over = watch->walk.over;
  out_message->count = 0;
  size_t size = add_deltas(watch, teller, out_message);
  enum status status = add_piece(watch, teller, out_message, size);
  if (status != STATUS_OK && out_message->count == 0) return status;
  bool told = out_message->count > 0 || watch->walk.over != was_over;
  if (!told && !idle) return STATUS_OK;
  out_message->parts[out_message->count++] = head_of(watch, teller);
  watch->told = watch->version;
  watch->begins = false;
  watch->spoke = true;
  return STATUS_OK;
}
