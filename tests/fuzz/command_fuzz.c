/* What group 0 keeps, of any bytes. The first byte chooses: a command, decoded and applied to a map that has a topic already; or a whole
 * map. What decodes must encode to bytes that decode and encode alike, whatever was applied. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "base/memory.h"
#include "controller/cluster_map.h"
#include "controller/command.h"
#include "controller/feature_level.h"

#define MAP_BYTES_MAX (64u << 20)

static void check_map(const struct cluster_map *map) {
  size_t topics = 0, partitions = 0;
  struct bytes after = {0};
  for (const struct map_topic *topic; (topic = cluster_map_topic_after(map, after)) != NULL; topics++) {
    struct bytes name = bytes_of_string(topic->name);
    CHECK(topics == 0 || bytes_compare(after, name) < 0);
    CHECK(cluster_map_topic(map, name) == topic && cluster_map_topic_by_id(map, topic->id) == topic);
    CHECK(topic->id < cluster_map_next_topic_id(map));
    for (uint32_t i = 0; i < topic->partition_count; i++) CHECK(topic->partitions[i].group < cluster_map_next_group_id(map));
    partitions += topic->partition_count;
    after = name;
  }
  CHECK(topics == cluster_map_topic_count(map) && partitions == cluster_map_partition_count(map));
}

static struct buffer encode(const struct cluster_map *map) {
  struct buffer buffer;
  buffer_init(&buffer, MAP_BYTES_MAX);
  enum status status = cluster_map_encode(map, &buffer);
  CHECK(status == STATUS_OK);
  return buffer;
}

static void check_map_again(const struct cluster_map *map) {
  check_map(map);
  struct buffer once = encode(map);
  struct cluster_map *copy = cluster_map_new(2);
  enum status status = cluster_map_decode(copy, buffer_bytes(&once));
  CHECK_MSG(status == STATUS_OK, "%s", status_name(status));
  check_map(copy);
  struct buffer twice = encode(copy);
  CHECK(bytes_equal(buffer_bytes(&once), buffer_bytes(&twice)));
  buffer_deinit(&once);
  buffer_deinit(&twice);
  cluster_map_free(copy);
}

/* A map with the topic "a" of two partitions. */
static struct cluster_map *map_with_topic(void) {
  struct cluster_map *map = cluster_map_new(1);
  struct command command = {.kind = COMMAND_CREATE_TOPIC};
  command.topic = (struct map_topic){.name = memory_copy_string("a"), .id = 1, .replicas = 1, .partition_count = 2};
  command.topic.settings = topic_settings_default;
  command.topic.partitions = memory_new_array(2, sizeof *command.topic.partitions);
  command.topic.partitions[0] = (struct map_partition){.number = 0, .group = 1, .instance = 1};
  command.topic.partitions[1] = (struct map_partition){.number = 1, .group = 2, .instance = 1};
  enum status status = cluster_map_apply(map, &command);
  CHECK(status == STATUS_OK);
  command_deinit(&command);
  return map;
}

static void check_command_again(const struct command *command, struct blob **out_encoded) {
  enum status status = command_encode(command, out_encoded);
  CHECK(status == STATUS_OK);
  struct command copy = {0};
  status = command_decode(bytes_of((*out_encoded)->data, (*out_encoded)->size), &copy);
  CHECK_MSG(status == STATUS_OK, "%s", status_name(status));
  struct blob *twice = NULL;
  status = command_encode(&copy, &twice);
  CHECK(status == STATUS_OK && twice->size == (*out_encoded)->size);
  CHECK(memcmp(twice->data, (*out_encoded)->data, twice->size) == 0);
  blob_release(twice);
  command_deinit(&copy);
}

/* Whoever cannot the level applies nothing of it: controller.c. */
static bool is_applied(const struct command *command) {
  return command->kind != COMMAND_SET_FEATURE_LEVEL || command->feature_level <= FEATURE_LEVEL_MOST;
}

static void check_applied(const struct command *command) {
  struct cluster_map *map = map_with_topic();
  uint64_t version = cluster_map_version(map);
  for (uint64_t round = 1; round <= 2; round++) {
    enum status status = cluster_map_apply(map, command);
    CHECK(status != STATUS_BUG && cluster_map_version(map) == version + round); /* refused or not: the map is whole */
    check_map_again(map);
  }
  cluster_map_free(map);
}

static void run_command(struct bytes bytes) {
  struct command command = {0};
  enum status status = command_decode(bytes, &command);
  CHECK(status == STATUS_OK || status == STATUS_CORRUPT || status == STATUS_FOREIGN);
  if (status != STATUS_OK) return;
  struct blob *encoded = NULL;
  check_command_again(&command, &encoded);
  if (is_applied(&command)) check_applied(&command);
  command_deinit(&command);
  blob_release(encoded);
}

static void run_map(struct bytes bytes) {
  struct cluster_map *map = cluster_map_new(1);
  enum status status = cluster_map_decode(map, bytes);
  CHECK(status == STATUS_OK || status == STATUS_CORRUPT || status == STATUS_FOREIGN);
  if (status == STATUS_OK) check_map_again(map);
  cluster_map_free(map);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 1) return 0;
  struct bytes bytes = bytes_of(data + 1, size - 1);
  if (data[0] % 2 == 0) run_command(bytes);
  else run_map(bytes);
  return 0;
}
