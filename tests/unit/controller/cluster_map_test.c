/* The map and its commands: what they change, what they refuse, and that bytes give back what they were made of. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "controller/cluster_map.h"
#include "controller/command.h"

static struct cluster_map *map;

static int setup(void **state) {
  (void)state;
  map = cluster_map_new(1);
  return 0;
}
static int teardown(void **state) {
  (void)state;
  cluster_map_free(map);
  return 0;
}

static struct command create_command(const char *name, uint32_t partitions) {
  struct command command = {.kind = COMMAND_CREATE_TOPIC, .time_ms = 1000};
  command.topic.name = memory_copy_string(name);
  command.topic.id = cluster_map_next_topic_id(map);
  command.topic.replicas = 1;
  command.topic.settings = topic_settings_default;
  command.topic.created_ms = 1000;
  command.topic.partition_count = partitions;
  command.topic.partitions = memory_new_array(partitions, sizeof *command.topic.partitions);
  for (uint32_t i = 0; i < partitions; i++)
    command.topic.partitions[i] = (struct map_partition){.number = i, .group = cluster_map_next_group_id(map) + i, .instance = 1};
  return command;
}

static enum status create(const char *name, uint32_t partitions) {
  struct command command = create_command(name, partitions);
  enum status status = cluster_map_apply(map, &command);
  command_deinit(&command);
  return status;
}

static enum status delete (uint64_t id) {
  struct command command = {.kind = COMMAND_DELETE_TOPIC, .topic_id = id}; return cluster_map_apply(map, &command);
}

static const struct map_topic *find(const char *name) { return cluster_map_topic(map, bytes_of_string(name)); }

static void map_creates_topics_with_fresh_ids(void **state) {
  (void)state;
  assert_int_equal(create("a", 3), STATUS_OK);
  assert_int_equal(create("b", 1), STATUS_OK);

  assert_int_equal(find("a")->id, 1);
  assert_int_equal(find("b")->id, 2);
  assert_int_equal(find("a")->partitions[2].group, 3);
  assert_int_equal(find("b")->partitions[0].group, 4);
  assert_int_equal(cluster_map_partition_count(map), 4);
  assert_int_equal(cluster_map_version(map), 2);
}

static void map_never_reuses_ids_of_deleted_topics(void **state) {
  (void)state;
  assert_int_equal(create("a", 2), STATUS_OK);
  assert_int_equal(delete (1), STATUS_OK);
  assert_null(find("a"));

  assert_int_equal(create("a", 1), STATUS_OK);

  assert_int_equal(find("a")->id, 2);
  assert_int_equal(find("a")->partitions[0].group, 3);
}

static void map_refuses_a_second_topic_of_a_name(void **state) {
  (void)state;
  assert_int_equal(create("a", 1), STATUS_OK);

  assert_int_equal(create("a", 1), STATUS_TOPIC_EXISTS);

  assert_int_equal(cluster_map_topic_count(map), 1);
  assert_int_equal(cluster_map_version(map), 2);
}

static void map_refuses_what_does_not_exist(void **state) {
  (void)state;
  assert_int_equal(delete (9), STATUS_UNKNOWN_TOPIC);
  struct command alter = {.kind = COMMAND_ALTER_TOPIC, .topic_id = 9, .settings = topic_settings_default};
  assert_int_equal(cluster_map_apply(map, &alter), STATUS_UNKNOWN_TOPIC);
}

static void map_walks_topics_by_name(void **state) {
  (void)state;
  assert_int_equal(create("m", 1), STATUS_OK);
  assert_int_equal(create("z", 1), STATUS_OK);
  assert_int_equal(create("a", 1), STATUS_OK);

  const char *expected[] = {"a", "m", "z"};
  struct bytes after = bytes_of(NULL, 0);
  for (size_t i = 0; i < 3; i++) {
    const struct map_topic *topic = cluster_map_topic_after(map, after);
    assert_non_null(topic);
    assert_string_equal(topic->name, expected[i]);
    after = bytes_of_string(topic->name);
  }
  assert_null(cluster_map_topic_after(map, after));
}

static void map_keeps_its_first_cluster_id(void **state) {
  (void)state;
  struct command command = {.kind = COMMAND_REGISTER_BROKER};
  command.broker.id = 1;
  memset(command.cluster_id, 7, sizeof command.cluster_id);
  assert_int_equal(cluster_map_apply(map, &command), STATUS_OK);
  assert_int_equal(cluster_map_broker(map, 1)->id, 1);

  memset(command.cluster_id, 8, sizeof command.cluster_id);
  assert_int_equal(cluster_map_apply(map, &command), STATUS_FOREIGN);
  assert_int_equal(cluster_map_cluster_id(map)[0], 7);
}

static void map_survives_encoding(void **state) {
  (void)state;
  for (int i = 0; i < 50; i++) {
    char name[16];
    snprintf(name, sizeof name, "topic-%d", i);
    assert_int_equal(create(name, (uint32_t)(i % 5) + 1), STATUS_OK);
  }
  assert_int_equal(delete (7), STATUS_OK);
  struct buffer first, second;
  buffer_init(&first, 1 << 20);
  buffer_init(&second, 1 << 20);
  assert_int_equal(cluster_map_encode(map, &first), STATUS_OK);

  struct cluster_map *copy = cluster_map_new(2);
  assert_int_equal(cluster_map_decode(copy, buffer_bytes(&first)), STATUS_OK);

  assert_int_equal(cluster_map_encode(copy, &second), STATUS_OK);
  assert_true(bytes_equal(buffer_bytes(&first), buffer_bytes(&second)));
  assert_int_equal(cluster_map_topic_count(copy), 49);
  assert_int_equal(cluster_map_next_group_id(copy), cluster_map_next_group_id(map));
  cluster_map_free(copy);
  buffer_deinit(&first);
  buffer_deinit(&second);
}

static void map_refuses_bytes_that_are_no_map(void **state) {
  (void)state;
  assert_int_equal(cluster_map_decode(map, bytes_of("\xff\xff\xff", 3)), STATUS_CORRUPT);
}

static void command_survives_encoding(void **state) {
  (void)state;
  struct command command = create_command("orders", 10000);
  struct blob *blob = NULL;
  assert_int_equal(command_encode(&command, &blob), STATUS_OK);

  struct command copy;
  assert_int_equal(command_decode(bytes_of(blob->data, blob->size), &copy), STATUS_OK);

  assert_int_equal(copy.kind, COMMAND_CREATE_TOPIC);
  assert_string_equal(copy.topic.name, "orders");
  assert_int_equal(copy.topic.partition_count, 10000);
  assert_int_equal(copy.topic.partitions[9999].group, command.topic.partitions[9999].group);
  assert_int_equal(copy.topic.settings.segment_bytes, topic_settings_default.segment_bytes);
  assert_int_equal(copy.topic.settings.retention_ms, -1);
  blob_release(blob);
  command_deinit(&command);
  command_deinit(&copy);
}

static void command_of_an_unknown_kind_is_foreign(void **state) {
  (void)state;
  const uint8_t unknown_change[] = {0x7a, 0x00}; /* field 15, empty */
  struct command command;
  assert_int_equal(command_decode(bytes_of(unknown_change, sizeof unknown_change), &command), STATUS_FOREIGN);
}

static void topic_names_are_as_kafka_allows(void **state) {
  (void)state;
  char longest[TOPIC_NAME_MAX + 2];
  memset(longest, 'x', sizeof longest);
  assert_true(topic_name_valid(bytes_of(longest, TOPIC_NAME_MAX)));
  assert_false(topic_name_valid(bytes_of(longest, TOPIC_NAME_MAX + 1)));
  assert_true(topic_name_valid(bytes_of_string("Orders_2.eu-west")));
  const char *bad[] = {"", ".", "..", "a/b", "a b", "\xc3\xa9", "a\tb"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_false(topic_name_valid(bytes_of_string(bad[i])));
  assert_false(topic_name_valid(bytes_of("a\0b", 3)));
}

static void topic_settings_have_bounds(void **state) {
  (void)state;
  struct topic_settings settings = topic_settings_default;
  assert_null(topic_settings_problem(&settings));
  settings.segment_bytes = 1000;
  assert_non_null(topic_settings_problem(&settings));
  settings = topic_settings_default;
  settings.record_bytes_max = 4 << 20;
  assert_non_null(topic_settings_problem(&settings));
  settings = topic_settings_default;
  settings.retention_ms = -2;
  assert_non_null(topic_settings_problem(&settings));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(map_creates_topics_with_fresh_ids),
      TEST(map_never_reuses_ids_of_deleted_topics),
      TEST(map_refuses_a_second_topic_of_a_name),
      TEST(map_refuses_what_does_not_exist),
      TEST(map_walks_topics_by_name),
      TEST(map_keeps_its_first_cluster_id),
      TEST(map_survives_encoding),
      TEST(map_refuses_bytes_that_are_no_map),
      TEST(command_survives_encoding),
      TEST(command_of_an_unknown_kind_is_foreign),
      TEST(topic_names_are_as_kafka_allows),
      TEST(topic_settings_have_bounds),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
