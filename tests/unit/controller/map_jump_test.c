/* From one map to another that is ahead of it: what is told of the way that nobody saw. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "controller/map_jump.h"
#include "tests/unit/controller/map_rig.h"

static char story[2048];

static void tell(const char *what, const char *of) {
  size_t at = strlen(story);
  snprintf(story + at, sizeof story - at, "%s %s\n", what, of);
}

static void topic_created(void *context, const struct map_topic *topic) {
  (void)context;
  tell("created", topic->name);
}
static void topic_altered(void *context, const struct map_topic *topic) {
  (void)context;
  tell("altered", topic->name);
}
static void topic_grown(void *context, const struct map_topic *topic, uint32_t first) {
  char of[64];
  (void)context;
  snprintf(of, sizeof of, "%s from %u to %u", topic->name, first, topic->partition_count);
  tell("grown", of);
}
static void topic_deleted(void *context, const struct map_topic *topic) {
  (void)context;
  tell("deleted", topic->name);
}
static void partition_placed(void *context, const struct map_topic *topic, uint32_t partition, const struct map_move *move) {
  char of[64];
  (void)context;
  snprintf(of, sizeof of, "%s/%u%s", topic->name, partition, move == NULL ? "" : ", moving");
  tell("placed", of);
}
static void registered(void *context, const struct map_broker *broker) {
  (void)context;
  tell("broker", broker->peer_address);
}

static const struct controller_watch watch = {.topic_created = topic_created,
                                              .topic_altered = topic_altered,
                                              .topic_grown = topic_grown,
                                              .topic_deleted = topic_deleted,
                                              .partition_placed = partition_placed};
static const struct broker_watch brokers = {.registered = registered};

/* The map as it is. */
static struct cluster_map *copy_of_map(void) {
  struct buffer bytes;
  buffer_init(&bytes, 1 << 20);
  struct cluster_map *copy = cluster_map_new(2);
  assert_int_equal(cluster_map_encode(map, &bytes), STATUS_OK);
  assert_int_equal(cluster_map_decode(copy, buffer_bytes(&bytes)), STATUS_OK);
  buffer_deinit(&bytes);
  return copy;
}

static void jump_from(const struct cluster_map *before, bool places) {
  const struct map_jump jump = {.before = before, .after = map, .watch = &watch, .brokers = &brokers, .places = places};
  story[0] = '\0';
  map_jump_tell_gone(&jump);
  map_jump_tell_new(&jump);
}

/* Brokers 1 to 3, and topic `name` of two partitions on 1 and 2. */
static void found(const char *name) {
  for (uint32_t id = 1; id <= 3; id++) rig_register_broker(id, "peer:1");
  struct command command = rig_create_command(name, 2);
  for (uint32_t i = 0; i < 2; i++) {
    command.topic.partitions[i].replica_count = 2;
    for (uint32_t at = 0; at < 2; at++)
      command.topic.partitions[i].replicas[at] = (struct map_replica){.broker = at + 1, .incarnation = {(uint8_t)(at + 1)}};
  }
  assert_int_equal(cluster_map_apply(map, &command), STATUS_OK);
  command_deinit(&command);
}

static void move_to_3(uint32_t partition) {
  struct command command = {.kind = COMMAND_MOVE_PARTITION, .move = {.topic_id = 1, .partition = partition, .target_count = 1}};
  command.move.target[0] = (struct map_replica){.broker = 3, .incarnation = {3}};
  assert_int_equal(rig_apply_through_bytes(&command), STATUS_OK);
}

static void end_move(uint32_t partition) {
  uint64_t group = cluster_map_topic_by_id(map, 1)->partitions[partition].group;
  struct command command = {.kind = COMMAND_PARTITION_MOVED,
                            .move = {.topic_id = 1, .partition = partition, .number = cluster_map_move(map, group)->number}};
  assert_int_equal(rig_apply_through_bytes(&command), STATUS_OK);
}

static void what_is_the_same_is_not_told(void **state) {
  (void)state;
  found("a");
  move_to_3(1);
  struct cluster_map *before = copy_of_map();
  jump_from(before, true);
  assert_string_equal(story, "");
  cluster_map_free(before);
}

static void what_came_went_and_changed_is_told(void **state) {
  (void)state;
  found("a");
  assert_int_equal(rig_create("gone", 1), STATUS_OK);
  struct cluster_map *before = copy_of_map();
  assert_int_equal(rig_delete(2), STATUS_OK);
  assert_int_equal(rig_create("new", 1), STATUS_OK);
  struct command alter = {.kind = COMMAND_ALTER_TOPIC, .topic_id = 1, .settings = topic_settings_default};
  alter.settings.retention_ms = 7;
  assert_int_equal(rig_apply_through_bytes(&alter), STATUS_OK);
  rig_register_broker(2, "elsewhere:1");

  jump_from(before, true);

  assert_string_equal(story, "deleted gone\naltered a\ncreated new\nbroker elsewhere:1\n");
  cluster_map_free(before);
}

static void places_are_told_where_they_are_others_or_about_to_be(void **state) {
  (void)state;
  found("a");
  struct cluster_map *before = copy_of_map();
  move_to_3(0);
  end_move(0);
  move_to_3(1);
  jump_from(before, true);
  assert_string_equal(story, "placed a/0\nplaced a/1, moving\n");
  jump_from(before, false); /* they are looked at when all is known */
  assert_string_equal(story, "");
  cluster_map_free(before);

  before = copy_of_map();
  end_move(1);
  jump_from(before, true);
  assert_string_equal(story, "placed a/1\n");
  cluster_map_free(before);
}

static void a_new_topic_that_moves_already_is_told_to(void **state) {
  (void)state;
  struct cluster_map *before = copy_of_map();
  found("a");
  move_to_3(1);
  jump_from(before, true);
  assert_non_null(strstr(story, "created a\nplaced a/1, moving\n"));
  cluster_map_free(before);
}

static void what_grew_is_told_before_it_is_placed(void **state) {
  (void)state;
  found("a");
  struct cluster_map *before = copy_of_map();
  struct command command = {.kind = COMMAND_GROW_TOPIC, .topic_id = 1};
  command.topic.partition_count = 2;
  command.topic.partitions = memory_new_array(2, sizeof *command.topic.partitions);
  for (uint32_t i = 0; i < 2; i++) {
    struct map_partition *partition = &command.topic.partitions[i];
    *partition =
        (struct map_partition){.number = 2 + i, .group = cluster_map_next_group_id(map) + i, .instance = 1, .replica_count = 1};
    partition->replicas[0] = (struct map_replica){.broker = 1, .incarnation = {1}};
  }
  assert_int_equal(rig_apply_through_bytes(&command), STATUS_OK);
  command_deinit(&command);
  move_to_3(3);

  jump_from(before, true);

  assert_string_equal(story, "grown a from 2 to 4\nplaced a/3, moving\n");
  cluster_map_free(before);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)
int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(what_is_the_same_is_not_told),
      TEST(what_came_went_and_changed_is_told),
      TEST(places_are_told_where_they_are_others_or_about_to_be),
      TEST(a_new_topic_that_moves_already_is_told_to),
      TEST(what_grew_is_told_before_it_is_placed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
