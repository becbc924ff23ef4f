/* The map: what commands change of it, what it refuses, and that its bytes give back what it was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "tests/unit/controller/map_rig.h"

static void map_creates_topics_with_fresh_ids(void **state) {
  (void)state;
  assert_int_equal(rig_create("a", 3), STATUS_OK);
  assert_int_equal(rig_create("b", 1), STATUS_OK);

  assert_int_equal(rig_find("a")->id, 1);
  assert_int_equal(rig_find("b")->id, 2);
  assert_int_equal(rig_find("a")->partitions[2].group, 3);
  assert_int_equal(rig_find("b")->partitions[0].group, 4);
  assert_int_equal(cluster_map_partition_count(map), 4);
  assert_int_equal(cluster_map_version(map), 2);
}

static void map_never_reuses_ids_of_deleted_topics(void **state) {
  (void)state;
  assert_int_equal(rig_create("a", 2), STATUS_OK);
  assert_int_equal(rig_delete(1), STATUS_OK);
  assert_null(rig_find("a"));

  assert_int_equal(rig_create("a", 1), STATUS_OK);

  assert_int_equal(rig_find("a")->id, 2);
  assert_int_equal(rig_find("a")->partitions[0].group, 3);
}

static void map_refuses_a_second_topic_of_a_name(void **state) {
  (void)state;
  assert_int_equal(rig_create("a", 1), STATUS_OK);

  assert_int_equal(rig_create("a", 1), STATUS_TOPIC_EXISTS);

  assert_int_equal(cluster_map_topic_count(map), 1);
  assert_int_equal(cluster_map_version(map), 2);
}

/* `count` partitions more, as the next free groups. */
static enum status grow(uint64_t id, uint32_t first, uint32_t count, uint64_t group) {
  struct command command = {.kind = COMMAND_GROW_TOPIC, .topic_id = id};
  command.topic.partition_count = count;
  command.topic.partitions = memory_new_array(count, sizeof *command.topic.partitions);
  for (uint32_t i = 0; i < count; i++)
    command.topic.partitions[i] = (struct map_partition){.number = first + i, .group = group + i, .instance = 1};
  enum status status = rig_apply_through_bytes(&command);
  command_deinit(&command);
  return status;
}

static void map_grows_a_topic_behind_what_it_has(void **state) {
  (void)state;
  assert_int_equal(rig_create("a", 2), STATUS_OK);
  assert_int_equal(rig_create("b", 1), STATUS_OK);

  assert_int_equal(grow(1, 2, 3, 4), STATUS_OK);

  assert_int_equal(rig_find("a")->partition_count, 5);
  assert_int_equal(rig_find("a")->partitions[1].group, 2);
  for (uint32_t i = 2; i < 5; i++) {
    assert_int_equal(rig_find("a")->partitions[i].number, i);
    assert_int_equal(rig_find("a")->partitions[i].group, 2 + i);
  }
  assert_int_equal(cluster_map_partition_count(map), 6);
  assert_int_equal(cluster_map_next_group_id(map), 7);
  struct buffer bytes;
  buffer_init(&bytes, 1 << 20);
  struct cluster_map *copy = cluster_map_new(2);
  assert_int_equal(cluster_map_encode(map, &bytes), STATUS_OK);
  assert_int_equal(cluster_map_decode(copy, buffer_bytes(&bytes)), STATUS_OK);
  assert_int_equal(cluster_map_topic_by_id(copy, 1)->partition_count, 5);
  assert_int_equal(rig_delete(1), STATUS_OK);
  assert_int_equal(cluster_map_partition_count(map), 1);
  cluster_map_free(copy);
  buffer_deinit(&bytes);
}

static void map_refuses_growth_that_does_not_follow(void **state) {
  (void)state;
  assert_int_equal(rig_create("a", 2), STATUS_OK);
  assert_int_equal(grow(9, 2, 1, 3), STATUS_UNKNOWN_TOPIC);
  assert_int_equal(grow(1, 1, 1, 3), STATUS_INVALID); /* it has that number */
  assert_int_equal(grow(1, 3, 1, 3), STATUS_INVALID);
  assert_int_equal(grow(1, 2, 1, 2), STATUS_INVALID); /* and somebody that group */
  assert_int_equal(grow(1, 2, TOPIC_PARTITIONS_MAX - 1, 3), STATUS_INVALID);
  assert_int_equal(rig_find("a")->partition_count, 2);
  assert_int_equal(grow(1, 2, 1, 3), STATUS_OK);
}

static void map_refuses_what_does_not_exist(void **state) {
  (void)state;
  assert_int_equal(rig_delete(9), STATUS_UNKNOWN_TOPIC);
  struct command alter = {.kind = COMMAND_ALTER_TOPIC, .topic_id = 9, .settings = topic_settings_default};
  assert_int_equal(cluster_map_apply(map, &alter), STATUS_UNKNOWN_TOPIC);
}

static void map_walks_topics_by_name(void **state) {
  (void)state;
  assert_int_equal(rig_create("m", 1), STATUS_OK);
  assert_int_equal(rig_create("z", 1), STATUS_OK);
  assert_int_equal(rig_create("a", 1), STATUS_OK);

  const char *expected[] = {"a", "m", "z"};
  struct bytes after = bytes_of(NULL, 0);
  for (size_t i = 0; i < 3; i++) {
    const struct map_topic *topic = cluster_map_topic_after(map, after);
    assert_non_null(topic);
    assert_string_equal(topic->name, expected[i]);
    assert_ptr_equal(cluster_map_topic_at(map, i), topic);
    after = bytes_of_string(topic->name);
  }
  assert_null(cluster_map_topic_after(map, after));
  assert_null(cluster_map_topic_at(map, 3));
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
    assert_int_equal(rig_create(name, (uint32_t)(i % 5) + 1), STATUS_OK);
  }
  assert_int_equal(rig_delete(7), STATUS_OK);
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

static void map_walks_brokers_by_number(void **state) {
  (void)state;
  rig_register_broker(300, "b300:7412");
  rig_register_broker(2, "");
  rig_register_broker(7, "b7:7412");
  rig_register_broker(2, "b2:7412"); /* it tells a new address */

  assert_int_equal(cluster_map_broker_count(map), 3);
  static const uint32_t expected[] = {2, 7, 300};
  uint32_t after = 0;
  for (size_t i = 0; i < 3; i++) {
    const struct map_broker *broker = cluster_map_broker_after(map, after);
    assert_int_equal(broker->id, expected[i]);
    after = broker->id;
  }
  assert_null(cluster_map_broker_after(map, after));
  assert_string_equal(cluster_map_broker(map, 2)->peer_address, "b2:7412");
  assert_string_equal(cluster_map_broker(map, 300)->advertised, "b300:7411");
}

static enum status register_directory(uint8_t directory) {
  struct command command = {.kind = COMMAND_REGISTER_BROKER, .broker = {.id = 5, .incarnation = {directory}}, .cluster_id = {1}};
  return cluster_map_apply(map, &command);
}

static void a_directory_that_was_replaced_is_refused_for_good(void **state) {
  (void)state;
  assert_int_equal(register_directory(1), STATUS_OK);
  assert_int_equal(register_directory(1), STATUS_OK); /* the same again is no other */
  assert_int_equal(register_directory(2), STATUS_OK);
  assert_int_equal(register_directory(1), STATUS_DIRECTORY_REPLACED);

  struct buffer bytes;
  buffer_init(&bytes, 1 << 20);
  assert_int_equal(cluster_map_encode(map, &bytes), STATUS_OK);
  struct cluster_map *again = cluster_map_new(2);
  assert_int_equal(cluster_map_decode(again, buffer_bytes(&bytes)), STATUS_OK);

  const struct map_broker *broker = cluster_map_broker(again, 5);
  assert_int_equal(broker->incarnation[0], 2);
  assert_int_equal(broker->earlier_count, 1);
  assert_true(map_broker_had(broker, (const uint8_t[CLUSTER_ID_SIZE]){1}));
  assert_false(map_broker_had(broker, (const uint8_t[CLUSTER_ID_SIZE]){2}));
  cluster_map_free(again);
  buffer_deinit(&bytes);
}

static void the_last_directories_of_a_broker_are_remembered(void **state) {
  (void)state;
  for (uint8_t directory = 1; directory <= MAP_EARLIER_MAX + 2; directory++)
    assert_int_equal(register_directory(directory), STATUS_OK);

  const struct map_broker *broker = cluster_map_broker(map, 5);
  assert_int_equal(broker->earlier_count, MAP_EARLIER_MAX);
  assert_int_equal(broker->earlier[0][0], 2);
  assert_int_equal(broker->earlier[MAP_EARLIER_MAX - 1][0], MAP_EARLIER_MAX + 1);
}

/* It is told anew with every registration. */
static void the_rack_of_a_broker_is_kept_and_changes(void **state) {
  (void)state;
  rig_register_in_rack(1, "eu-west-1a");
  rig_register_in_rack(2, "");
  struct buffer bytes;
  buffer_init(&bytes, 1 << 20);
  assert_int_equal(cluster_map_encode(map, &bytes), STATUS_OK);
  struct cluster_map *again = cluster_map_new(2);
  assert_int_equal(cluster_map_decode(again, buffer_bytes(&bytes)), STATUS_OK);
  assert_string_equal(cluster_map_broker(again, 1)->rack, "eu-west-1a");
  assert_string_equal(cluster_map_broker(again, 2)->rack, "");
  assert_int_equal(rig_apply_through_bytes(&(struct command){.kind = COMMAND_SET_STANDING,
                                                             .broker = {.id = 1, .standing = STANDING_DRAINED, .rack = "none"}}),
                   STATUS_OK);
  assert_string_equal(cluster_map_broker(map, 1)->rack, "eu-west-1a");
  rig_register_in_rack(1, "");
  assert_string_equal(cluster_map_broker(map, 1)->rack, "");
  assert_int_equal(cluster_map_broker(map, 1)->standing, STANDING_DRAINED);
  cluster_map_free(again);
  buffer_deinit(&bytes);
}

static void map_has_a_bound_for_brokers(void **state) {
  (void)state;
  struct command command = {.kind = COMMAND_REGISTER_BROKER, .cluster_id = {1}};
  for (uint32_t id = 1; id <= MAP_BROKERS_MAX; id++) {
    command.broker.id = id;
    assert_int_equal(cluster_map_apply(map, &command), STATUS_OK);
  }
  command.broker.id = MAP_BROKERS_MAX + 1;
  assert_int_equal(cluster_map_apply(map, &command), STATUS_TOO_LARGE);
  command.broker.id = 1;
  assert_int_equal(cluster_map_apply(map, &command), STATUS_OK);
  assert_int_equal(cluster_map_broker_count(map), MAP_BROKERS_MAX);
}

static void replicas_and_peer_addresses_survive_encoding(void **state) {
  (void)state;
  rig_register_broker(1, "b1:7412");
  struct command command = rig_create_command("a", 3);
  rig_put_replicas(&command.topic.partitions[0], 3);
  rig_put_replicas(&command.topic.partitions[2], MAP_REPLICAS_MAX);
  struct command copy;
  struct blob *blob = NULL;
  assert_int_equal(command_encode(&command, &blob), STATUS_OK);
  assert_int_equal(command_decode(bytes_of(blob->data, blob->size), &copy), STATUS_OK);
  assert_int_equal(cluster_map_apply(map, &copy), STATUS_OK);
  struct buffer bytes;
  buffer_init(&bytes, 1 << 20);
  assert_int_equal(cluster_map_encode(map, &bytes), STATUS_OK);

  struct cluster_map *again = cluster_map_new(2);
  assert_int_equal(cluster_map_decode(again, buffer_bytes(&bytes)), STATUS_OK);

  const struct map_topic *topic = cluster_map_topic(again, bytes_of_string("a"));
  assert_memory_equal(topic->partitions, command.topic.partitions, 3 * sizeof *topic->partitions);
  assert_int_equal(topic->partitions[1].replica_count, 0);
  assert_string_equal(cluster_map_broker(again, 1)->peer_address, "b1:7412");
  cluster_map_free(again);
  buffer_deinit(&bytes);
  blob_release(blob);
  command_deinit(&copy);
  command_deinit(&command);
}

static void map_refuses_bytes_that_are_no_map(void **state) {
  (void)state;
  assert_int_equal(cluster_map_decode(map, bytes_of("\xff\xff\xff", 3)), STATUS_CORRUPT);
}

/* ---- Maps that cannot be ---- */

/* The map as it is, encoded, and more behind it: a field that comes again takes the place of the earlier one, and lists go on. */
static enum status decode_with(const uint8_t *more, size_t size) {
  struct buffer bytes;
  struct cluster_map *copy = cluster_map_new(2);
  buffer_init(&bytes, 1 << 20);
  assert_int_equal(cluster_map_encode(map, &bytes), STATUS_OK);
  uint8_t *behind = buffer_extend(&bytes, size);
  if (size > 0) memcpy(behind, more, size);
  enum status status = cluster_map_decode(copy, buffer_bytes(&bytes));
  cluster_map_free(copy);
  buffer_deinit(&bytes);
  return status;
}
#define DECODE_WITH(...) decode_with((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

/* A topic of one partition, as ClusterMap.topics has it: the name's letter, its id, its group. */
#define TOPIC(letter, id, group)                                                                                                 \
  0x32, 0x13, 0x0a, 0x01, (letter), 0x10, (id), 0x22, 0x06, 0x18, 0x80, 0x80, 0x40, 0x20, 0x01, 0x32, 0x04, 0x10, (group), 0x18, \
      0x01

static void a_map_that_cannot_be_is_refused(void **state) {
  (void)state;
  rig_register_broker(3, "b3:1");
  assert_int_equal(rig_create("a", 2), STATUS_OK); /* id 1, groups 1 and 2 */
  assert_int_equal(rig_create("b", 3), STATUS_OK); /* id 2, groups 3 to 5 */
  assert_int_equal(rig_delete(2), STATUS_OK);
  assert_int_equal(decode_with(NULL, 0), STATUS_OK);
  assert_int_equal(DECODE_WITH(TOPIC('c', 2, 4)), STATUS_OK);

  assert_int_equal(DECODE_WITH(TOPIC('a', 2, 4)), STATUS_CORRUPT); /* a name twice */
  assert_int_equal(DECODE_WITH(TOPIC('c', 1, 4)), STATUS_CORRUPT); /* an id twice */
  assert_int_equal(DECODE_WITH(TOPIC('c', 2, 2)), STATUS_CORRUPT); /* a group twice: both would write to one log */
  assert_int_equal(DECODE_WITH(TOPIC('c', 3, 4)), STATUS_CORRUPT); /* an id, or a group, that is still to be given out */
  assert_int_equal(DECODE_WITH(TOPIC('c', 2, 6)), STATUS_CORRUPT);
  assert_int_equal(DECODE_WITH(0x2a, 0x14, 0x08, 0x04, 0x12, 0x10, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1), STATUS_OK);
  assert_int_equal(DECODE_WITH(0x2a, 0x14, 0x08, 0x03, 0x12, 0x10, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1),
                   STATUS_CORRUPT); /* a broker twice */
}

static void a_map_gives_out_no_number_that_is_taken_for_good(void **state) {
  (void)state;
  assert_int_equal(DECODE_WITH(0x18, 0x01), STATUS_OK);
  assert_int_equal(DECODE_WITH(0x18, 0x00), STATUS_CORRUPT); /* topic 0 is none */
  assert_int_equal(DECODE_WITH(0x20, 0x00), STATUS_CORRUPT); /* group 0 is the controller's */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)
int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(map_creates_topics_with_fresh_ids),
      TEST(map_never_reuses_ids_of_deleted_topics),
      TEST(map_refuses_a_second_topic_of_a_name),
      TEST(map_refuses_what_does_not_exist),
      TEST(map_walks_topics_by_name),
      TEST(map_grows_a_topic_behind_what_it_has),
      TEST(map_refuses_growth_that_does_not_follow),
      TEST(map_keeps_its_first_cluster_id),
      TEST(map_survives_encoding),
      TEST(map_walks_brokers_by_number),
      TEST(a_directory_that_was_replaced_is_refused_for_good),
      TEST(the_last_directories_of_a_broker_are_remembered),
      TEST(the_rack_of_a_broker_is_kept_and_changes),
      TEST(map_has_a_bound_for_brokers),
      TEST(replicas_and_peer_addresses_survive_encoding),
      TEST(map_refuses_bytes_that_are_no_map),
      TEST(a_map_that_cannot_be_is_refused),
      TEST(a_map_gives_out_no_number_that_is_taken_for_good),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
