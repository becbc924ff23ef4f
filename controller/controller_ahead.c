/* The map as it may become: with what the log has beyond what is applied here. */
#include <inttypes.h>
#include <stdio.h>

#include "base/check.h"
#include "base/memory.h"
#include "base/trace.h"
#include "controller/controller_internal.h"

struct ahead {
  struct cluster_map *map;
  bool deletes;
};

#define PASSING_NAME_SIZE 32u

/* Where nothing is deleted a name may be had by one that is to go: whoever has it next is kept too, by its number, under a name that none can have. */
static void make_way(const struct ahead *ahead, struct map_topic *topic) {
  char name[PASSING_NAME_SIZE];
  if (ahead->deletes || cluster_map_topic(ahead->map, bytes_of_string(topic->name)) == NULL) return;
  snprintf(name, sizeof name, "/%" PRIu64, topic->id);
  memory_free(topic->name);
  topic->name = memory_copy_string(name);
}

static enum status apply_ahead(void *context, const struct entry *entry) {
  const struct ahead *ahead = context;
  struct command command = {0};
  if (entry->head.kind != ENTRY_COMMAND) return STATUS_OK;
  enum status status = command_decode(entry->payload.bytes, &command);
  if (command.kind == COMMAND_DELETE_TOPIC && !ahead->deletes) command.topic_id = 0; /* of none: its version is as it would be */
  if (status == STATUS_OK && command.kind == COMMAND_CREATE_TOPIC) make_way(ahead, &command.topic);
  if (status == STATUS_OK) status = cluster_map_apply(ahead->map, &command);
  command_deinit(&command);
  return STATUS_OK; /* a command that is refused changes nothing, and one that cannot be read stops whoever applies it in earnest */
}

static struct cluster_map *look_ahead(const struct controller *controller, bool deletes) {
  struct cluster_map *map = cluster_map_new(entropy_next(controller->world->entropy));
  struct buffer bytes;
  buffer_init(&bytes, SIZE_MAX);
  enum status status = cluster_map_encode(controller->map, &bytes);
  if (status == STATUS_OK) status = cluster_map_decode(map, buffer_bytes(&bytes));
  CHECK(status == STATUS_OK); /* it is our own map */
  buffer_deinit(&bytes);
  struct log *log = replica_log(controller->replica);
  status = log_replay(log, replica_applied(controller->replica), log_view(log).last_index, apply_ahead,
                      &(struct ahead){.map = map, .deletes = deletes});
  if (status == STATUS_OK) return map;
  trace_error("map_ahead_incomplete", "reason=%s", status_name(status));
  cluster_map_free(map);
  return NULL;
}

struct cluster_map *controller_map_ahead(const struct controller *controller) {
  return look_ahead(controller, true);
}
struct cluster_map *controller_map_passing(const struct controller *controller) {
  return look_ahead(controller, false);
}
