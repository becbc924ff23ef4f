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

static void put_replicas(struct map_partition *partition, uint32_t count) {
  partition->replica_count = count;
  for (uint32_t i = 0; i < count; i++)
    partition->replicas[i] = (struct map_replica){.broker = 9 - i, .incarnation = {(uint8_t)(i + 1), 7}};
}

static void register_broker(uint32_t id, const char *peer_address) {
  struct command command = {.kind = COMMAND_REGISTER_BROKER, .broker = {.id = id, .incarnation = {(uint8_t)id}}};
  command.cluster_id[0] = 1;
  snprintf(command.broker.advertised, sizeof command.broker.advertised, "b%u:7411", id);
  snprintf(command.broker.peer_address, sizeof command.broker.peer_address, "%s", peer_address);
  struct blob *blob = NULL;
  struct command copy;
  assert_int_equal(command_encode(&command, &blob), STATUS_OK);
  assert_int_equal(command_decode(bytes_of(blob->data, blob->size), &copy), STATUS_OK);
  blob_release(blob);
  assert_int_equal(cluster_map_apply(map, &copy), STATUS_OK);
}

static void map_walks_brokers_by_number(void **state) {
  (void)state;
  register_broker(300, "b300:7412");
  register_broker(2, "");
  register_broker(7, "b7:7412");
  register_broker(2, "b2:7412"); /* it tells a new address */

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
  register_broker(1, "b1:7412");
  struct command command = create_command("a", 3);
  put_replicas(&command.topic.partitions[0], 3);
  put_replicas(&command.topic.partitions[2], MAP_REPLICAS_MAX);
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

static enum status decode_replicas(void (*spoil)(struct map_partition *partition)) {
  struct command command = create_command("a", 1), copy = {0};
  put_replicas(&command.topic.partitions[0], 3);
  spoil(&command.topic.partitions[0]);
  struct blob *blob = NULL;
  assert_int_equal(command_encode(&command, &blob), STATUS_OK);
  enum status status = command_decode(bytes_of(blob->data, blob->size), &copy);
  blob_release(blob);
  command_deinit(&command);
  command_deinit(&copy);
  return status;
}

static void spoil_nothing(struct map_partition *partition) { (void)partition; }
static void spoil_twice(struct map_partition *partition) { partition->replicas[2].broker = partition->replicas[0].broker; }
static void spoil_nobody(struct map_partition *partition) { partition->replicas[1].broker = 0; }

static void replicas_that_cannot_be_are_refused(void **state) {
  (void)state;
  assert_int_equal(decode_replicas(spoil_nothing), STATUS_OK);
  assert_int_equal(decode_replicas(spoil_twice), STATUS_CORRUPT);
  assert_int_equal(decode_replicas(spoil_nobody), STATUS_CORRUPT);
  /* CreateTopic { topic { name "a", id 1, settings { 1 MiB, 1 }, partitions { group_id 1, instance 1, replicas [1] } } }: no incarnation. */
  static const uint8_t numbers_alone[] = {0x1a, 0x18, 0x0a, 0x16, 0x0a, 0x01, 0x61, 0x10, 0x01, 0x22, 0x06, 0x18, 0x80,
                                          0x80, 0x40, 0x20, 0x01, 0x32, 0x07, 0x10, 0x01, 0x18, 0x01, 0x22, 0x01, 0x01};
  struct command command;
  assert_int_equal(command_decode(bytes_of(numbers_alone, sizeof numbers_alone), &command), STATUS_CORRUPT);
}

/* What a Cairn wrote that knew nothing of replicas: Command { time_ms 1000, create_topic { topic { name "old", id 1, replicas 1,
 * settings { -1, -1, 1 MiB, 100 }, created_ms 1000, partitions { { 0, group 1, instance 1 }, { 1, group 2, instance 1 } } } } }. */
static void commands_of_before_replicas_are_read(void **state) {
  (void)state;
  static const uint8_t bytes[] = {0x08, 0xe8, 0x07, 0x1a, 0x3a, 0x0a, 0x38, 0x0a, 0x03, 0x6f, 0x6c, 0x64, 0x10, 0x01, 0x18, 0x01,
                                  0x22, 0x1c, 0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0x10, 0xff, 0xff,
                                  0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0x18, 0x80, 0x80, 0x40, 0x20, 0x64, 0x28, 0xe8,
                                  0x07, 0x32, 0x04, 0x10, 0x01, 0x18, 0x01, 0x32, 0x06, 0x08, 0x01, 0x10, 0x02, 0x18, 0x01};
  struct command command;
  assert_int_equal(command_decode(bytes_of(bytes, sizeof bytes), &command), STATUS_OK);
  assert_int_equal(cluster_map_apply(map, &command), STATUS_OK);
  command_deinit(&command);

  const struct map_topic *topic = find("old");
  assert_int_equal(topic->partition_count, 2);
  assert_int_equal(topic->partitions[1].group, 2);
  assert_int_equal(topic->partitions[1].replica_count, 0);
  struct buffer encoded;
  buffer_init(&encoded, 1 << 16);
  assert_int_equal(cluster_map_encode(map, &encoded), STATUS_OK);
  assert_non_null(memmem(encoded.data, encoded.size, bytes + 7, sizeof bytes - 7)); /* and written as it was */
  buffer_deinit(&encoded);
}

/* ---- Moves ---- */

/* What the log makes of a command: it goes through its bytes. */
static enum status apply_through_bytes(const struct command *command) {
  struct blob *blob = NULL;
  struct command copy = {0};
  assert_int_equal(command_encode(command, &blob), STATUS_OK);
  assert_int_equal(command_decode(bytes_of(blob->data, blob->size), &copy), STATUS_OK);
  blob_release(blob);
  enum status status = cluster_map_apply(map, &copy);
  command_deinit(&copy);
  return status;
}

/* Four brokers, and topic 1 with partitions 0 (group 1) to 2 on brokers 1, 2, 3. */
static void found_three_of_four(void) {
  for (uint32_t id = 1; id <= 4; id++) register_broker(id, "peer:1");
  struct command command = create_command("a", 3);
  for (uint32_t i = 0; i < 3; i++) {
    struct map_partition *partition = &command.topic.partitions[i];
    partition->replica_count = 3;
    for (uint32_t at = 0; at < 3; at++)
      partition->replicas[at] = (struct map_replica){.broker = at + 1, .incarnation = {(uint8_t)(at + 1)}};
  }
  assert_int_equal(cluster_map_apply(map, &command), STATUS_OK);
  command_deinit(&command);
}

/* `to`: each digit is a broker. */
static enum status move_to(uint32_t partition, const char *to) {
  struct command command = {.kind = COMMAND_MOVE_PARTITION, .move = {.topic_id = 1, .partition = partition, .number = 99}};
  for (; *to != '\0'; to++) {
    uint32_t id = (uint32_t)(*to - '0');
    command.move.target[command.move.target_count++] = (struct map_replica){.broker = id, .incarnation = {(uint8_t)id}};
  }
  return apply_through_bytes(&command);
}

static enum status end_move(uint32_t partition, uint64_t number) {
  return apply_through_bytes(
      &(struct command){.kind = COMMAND_PARTITION_MOVED, .move = {.topic_id = 1, .partition = partition, .number = number}});
}

static uint64_t move_number(uint64_t group) {
  const struct map_move *move = cluster_map_move(map, group);
  return move == NULL ? 0 : move->number;
}

static void assert_replicas(const struct cluster_map *of, uint32_t partition, const char *expected) {
  const struct map_partition *place = &cluster_map_topic(of, bytes_of_string("a"))->partitions[partition];
  char found[MAP_REPLICAS_MAX + 1] = {0};
  for (uint32_t i = 0; i < place->replica_count; i++) {
    found[i] = (char)('0' + place->replicas[i].broker);
    assert_int_equal(place->replicas[i].incarnation[0], place->replicas[i].broker);
  }
  assert_string_equal(found, expected);
}

static void a_move_changes_the_replicas_when_it_is_over(void **state) {
  (void)state;
  found_three_of_four();

  assert_int_equal(move_to(1, "42"), STATUS_OK);
  assert_int_equal(move_number(2), cluster_map_version(map));
  assert_int_equal(cluster_map_move(map, 2)->target_count, 2);
  assert_replicas(map, 1, "123");

  assert_int_equal(end_move(1, move_number(2)), STATUS_OK);
  assert_int_equal(cluster_map_move_count(map), 0);
  assert_replicas(map, 1, "42");
  assert_replicas(map, 0, "123");
}

/* There and back and there again: what is said of the first says nothing of the third. */
static void only_the_move_that_is_under_way_can_be_over(void **state) {
  (void)state;
  found_three_of_four();
  assert_int_equal(move_to(0, "234"), STATUS_OK);
  uint64_t first = move_number(1);
  assert_int_equal(move_to(0, "123"), STATUS_OK); /* back: a move too, for it may have begun */
  assert_int_equal(move_to(0, "234"), STATUS_OK);
  assert_true(move_number(1) > first);

  assert_int_equal(end_move(0, first), STATUS_NOT_FOUND);
  assert_replicas(map, 0, "123");
  assert_int_equal(end_move(1, move_number(1)), STATUS_NOT_FOUND); /* of another partition */

  uint64_t last = move_number(1);
  assert_int_equal(end_move(0, last), STATUS_OK);
  assert_int_equal(end_move(0, last), STATUS_NOT_FOUND); /* told twice */
  assert_replicas(map, 0, "234");
}

static void a_move_to_where_it_goes_already_is_none(void **state) {
  (void)state;
  found_three_of_four();
  assert_int_equal(move_to(0, "123"), STATUS_OK);
  assert_int_equal(cluster_map_move_count(map), 0);
  assert_int_equal(move_to(0, "124"), STATUS_OK);
  uint64_t number = move_number(1);

  assert_int_equal(move_to(0, "124"), STATUS_OK);

  assert_int_equal(move_number(1), number);
  assert_int_equal(move_to(0, "142"), STATUS_OK); /* another is to be first */
  assert_true(move_number(1) > number);
}

static void moves_that_cannot_be_change_nothing(void **state) {
  (void)state;
  found_three_of_four();
  assert_int_equal(move_to(3, "234"), STATUS_UNKNOWN_PARTITION);
  assert_int_equal(move_to(0, "235"), STATUS_NOT_FOUND);
  struct command command = {.kind = COMMAND_MOVE_PARTITION, .move = {.topic_id = 1, .target_count = 1}};
  command.move.target[0] = (struct map_replica){.broker = 4, .incarnation = {44}}; /* a directory that it does not have */
  assert_int_equal(apply_through_bytes(&command), STATUS_NOT_FOUND);
  command.move.topic_id = 7;
  assert_int_equal(apply_through_bytes(&command), STATUS_UNKNOWN_TOPIC);
  assert_int_equal(end_move(0, 0), STATUS_NOT_FOUND);
  assert_int_equal(create("old", 1), STATUS_OK); /* of whose replicas the map says nothing */
  command = (struct command){.kind = COMMAND_MOVE_PARTITION, .move = {.topic_id = 2, .target_count = 1}};
  command.move.target[0] = (struct map_replica){.broker = 4, .incarnation = {4}};
  assert_int_equal(apply_through_bytes(&command), STATUS_UNSUPPORTED);

  assert_int_equal(cluster_map_move_count(map), 0);
  assert_replicas(map, 0, "123");
}

static void a_deleted_topic_takes_its_moves_along(void **state) {
  (void)state;
  found_three_of_four();
  assert_int_equal(move_to(2, "4"), STATUS_OK);
  assert_int_equal(move_to(0, "4"), STATUS_OK);
  assert_int_equal(delete (1), STATUS_OK);

  assert_int_equal(cluster_map_move_count(map), 0);
  assert_null(cluster_map_move_after(map, 0));
  assert_int_equal(end_move(0, 8), STATUS_UNKNOWN_TOPIC);
}

static void moves_survive_encoding(void **state) {
  (void)state;
  found_three_of_four();
  assert_int_equal(move_to(2, "4312"), STATUS_OK);
  assert_int_equal(move_to(0, "24"), STATUS_OK);
  struct buffer bytes, again_bytes;
  buffer_init(&bytes, 1 << 20);
  buffer_init(&again_bytes, 1 << 20);
  assert_int_equal(cluster_map_encode(map, &bytes), STATUS_OK);

  struct cluster_map *again = cluster_map_new(2);
  assert_int_equal(cluster_map_decode(again, buffer_bytes(&bytes)), STATUS_OK);

  assert_int_equal(cluster_map_encode(again, &again_bytes), STATUS_OK);
  assert_true(bytes_equal(buffer_bytes(&bytes), buffer_bytes(&again_bytes)));
  const struct map_move *move = cluster_map_move_after(again, 0);
  assert_int_equal(move->group, 1);
  assert_int_equal(move->number, move_number(1));
  move = cluster_map_move_after(again, 1);
  assert_int_equal(move->group, 3);
  assert_int_equal(move->partition, 2);
  assert_int_equal(move->target_count, 4);
  assert_memory_equal(move->target, cluster_map_move(map, 3)->target, sizeof move->target);
  assert_null(cluster_map_move_after(again, 3));
  cluster_map_free(again);
  buffer_deinit(&bytes);
  buffer_deinit(&again_bytes);
}

static void moves_have_a_bound(void **state) {
  (void)state;
  for (uint32_t id = 1; id <= 2; id++) register_broker(id, "peer:1");
  struct command command = create_command("a", MAP_MOVES_MAX + 1);
  for (uint32_t i = 0; i <= MAP_MOVES_MAX; i++) {
    command.topic.partitions[i].replica_count = 1;
    command.topic.partitions[i].replicas[0] = (struct map_replica){.broker = 1, .incarnation = {1}};
  }
  assert_int_equal(cluster_map_apply(map, &command), STATUS_OK);
  command_deinit(&command);
  for (uint32_t i = MAP_MOVES_MAX; i > 0; i--) assert_int_equal(move_to(i, "2"), STATUS_OK);

  assert_int_equal(move_to(0, "2"), STATUS_BUSY);
  assert_int_equal(move_to(7, "21"), STATUS_OK); /* one in place of another is no more */
  assert_int_equal(end_move(9, move_number(10)), STATUS_OK);
  assert_int_equal(move_to(0, "2"), STATUS_OK);
  struct buffer bytes;
  buffer_init(&bytes, 1 << 20);
  assert_int_equal(cluster_map_encode(map, &bytes), STATUS_OK);
  struct cluster_map *again = cluster_map_new(2);
  assert_int_equal(cluster_map_decode(again, buffer_bytes(&bytes)), STATUS_OK);
  assert_int_equal(cluster_map_move_count(again), MAP_MOVES_MAX);
  cluster_map_free(again);
  buffer_deinit(&bytes);
}

static enum status decode_move(const uint8_t *bytes, size_t size) {
  struct command command = {0};
  enum status status = command_decode(bytes_of(bytes, size), &command);
  command_deinit(&command);
  return status;
}

static void moves_to_nobody_or_twice_to_one_are_corrupt(void **state) {
  (void)state;
  static const uint8_t nobody[] = {0x32, 0x02, 0x08, 0x01}; /* Command { move_partition { topic_id 1 } } */
  uint8_t twice[4 + 4 + 2 * 18] = {0x32, 2 + 4 + 2 * 18, 0x08, 0x01, 0x1a, 0x02, 0x05, 0x05, 0x22, 16};
  twice[26] = 0x22, twice[27] = 16; /* ..., replicas [5, 5], two incarnations of zeros */
  assert_int_equal(decode_move(nobody, sizeof nobody), STATUS_CORRUPT);
  assert_int_equal(decode_move(twice, sizeof twice), STATUS_CORRUPT);
  twice[7] = 6;
  assert_int_equal(decode_move(twice, sizeof twice), STATUS_OK);
}

/* Whatever is asked for and told, in whatever order: the replicas are always those of the last move that was over. */
static void histories_of_moves_keep_their_rules(void **state) {
  (void)state;
  found_three_of_four();
  static const char *const targets[] = {"123", "234", "4", "1", "41", "14", "2341", "32"};
  const char *now[3] = {"123", "123", "123"}, *going[3] = {NULL};
  uint64_t numbers[3] = {0}, earlier[3] = {0};
  uint32_t draw = 12345;
  for (unsigned step = 0; step < 5000; step++) {
    draw = draw * 1664525u + 1013904223u;
    uint32_t i = (draw >> 28) % 3;
    const char *to = targets[(draw >> 16) % 8];
    if ((draw >> 20) % 3 > 0) {
      assert_int_equal(move_to(i, to), STATUS_OK);
      if (strcmp(going[i] == NULL ? now[i] : going[i], to) != 0) {
        earlier[i] = numbers[i];
        numbers[i] = cluster_map_version(map);
        going[i] = to;
      }
    } else if ((draw >> 24) % 2 == 0) {
      assert_int_equal(end_move(i, earlier[i]), STATUS_NOT_FOUND);
    } else {
      assert_int_equal(end_move(i, numbers[i]), going[i] == NULL ? STATUS_NOT_FOUND : STATUS_OK);
      if (going[i] != NULL) now[i] = going[i];
      going[i] = NULL;
    }
    for (uint32_t at = 0; at < 3; at++) {
      assert_replicas(map, at, now[at]);
      assert_int_equal(move_number(at + 1), going[at] == NULL ? 0 : numbers[at]);
    }
  }
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
      TEST(map_walks_brokers_by_number),
      TEST(a_directory_that_was_replaced_is_refused_for_good),
      TEST(the_last_directories_of_a_broker_are_remembered),
      TEST(map_has_a_bound_for_brokers),
      TEST(replicas_and_peer_addresses_survive_encoding),
      TEST(replicas_that_cannot_be_are_refused),
      TEST(commands_of_before_replicas_are_read),
      TEST(a_move_changes_the_replicas_when_it_is_over),
      TEST(only_the_move_that_is_under_way_can_be_over),
      TEST(a_move_to_where_it_goes_already_is_none),
      TEST(moves_that_cannot_be_change_nothing),
      TEST(a_deleted_topic_takes_its_moves_along),
      TEST(moves_survive_encoding),
      TEST(moves_have_a_bound),
      TEST(moves_to_nobody_or_twice_to_one_are_corrupt),
      TEST(histories_of_moves_keep_their_rules),
      TEST(map_refuses_bytes_that_are_no_map),
      TEST(command_survives_encoding),
      TEST(command_of_an_unknown_kind_is_foreign),
      TEST(topic_names_are_as_kafka_allows),
      TEST(topic_settings_have_bounds),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
