/* Commands as bytes: what is read back, what older ones say, what cannot be one; and the names and settings that a topic may have. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/controller/map_rig.h"

static void the_largest_command_survives_encoding(void **state) {
  (void)state;
  struct command command = rig_create_command("orders", TOPIC_PARTITIONS_MAX);
  for (uint32_t i = 0; i < TOPIC_PARTITIONS_MAX; i++) rig_put_replicas(&command.topic.partitions[i], MAP_REPLICAS_MAX);
  struct blob *blob = NULL;
  assert_int_equal(command_encode(&command, &blob), STATUS_OK);

  struct command copy;
  assert_int_equal(command_decode(bytes_of(blob->data, blob->size), &copy), STATUS_OK);

  assert_int_equal(copy.kind, COMMAND_CREATE_TOPIC);
  assert_string_equal(copy.topic.name, "orders");
  assert_int_equal(copy.topic.partition_count, TOPIC_PARTITIONS_MAX);
  assert_memory_equal(copy.topic.partitions, command.topic.partitions, TOPIC_PARTITIONS_MAX * sizeof *copy.topic.partitions);
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

  const struct map_topic *topic = rig_find("old");
  assert_int_equal(topic->partition_count, 2);
  assert_int_equal(topic->partitions[1].group, 2);
  assert_int_equal(topic->partitions[1].replica_count, 0);
  struct buffer encoded;
  buffer_init(&encoded, 1 << 16);
  assert_int_equal(cluster_map_encode(map, &encoded), STATUS_OK);
  assert_non_null(memmem(encoded.data, encoded.size, bytes + 7, sizeof bytes - 7)); /* and written as it was */
  buffer_deinit(&encoded);
}

static enum status decode_replicas(void (*spoil)(struct map_partition *partition)) {
  struct command command = rig_create_command("a", 1), copy = {0};
  rig_put_replicas(&command.topic.partitions[0], 3);
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

static void a_rack_that_is_none_is_corrupt(void **state) {
  (void)state;
  static const struct {
    const char *rack;
    enum status status;
  } cases[] = {{"", STATUS_OK}, {"a", STATUS_OK}, {"a b", STATUS_CORRUPT}, {"\xc3\xa9", STATUS_CORRUPT}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct command command = {.kind = COMMAND_REGISTER_BROKER, .broker = {.id = 1}}, copy = {0};
    memcpy(command.broker.rack, cases[i].rack, strlen(cases[i].rack) + 1);
    struct blob *blob = NULL;
    assert_int_equal(command_encode(&command, &blob), STATUS_OK);
    assert_int_equal(command_decode(bytes_of(blob->data, blob->size), &copy), cases[i].status);
    blob_release(blob);
  }
}

/* What a Cairn wrote that knew nothing of racks: Command { register_broker { broker { id 3, incarnation, advertised "a:1", peer_address "p:1" },
 * cluster_id } }, both ids of ones. */
static void brokers_of_before_racks_are_read(void **state) {
  (void)state;
  static const uint8_t head[] = {0x12, 0x32, 0x0a, 0x1e, 0x08, 0x03, 0x12, 0x10};
  static const uint8_t addresses[] = {0x1a, 0x03, 'a', ':', '1', 0x22, 0x03, 'p', ':', '1', 0x12, 0x10};
  uint8_t bytes[sizeof head + sizeof addresses + 2 * (size_t)CLUSTER_ID_SIZE];
  memset(bytes, 1, sizeof bytes);
  memcpy(bytes, head, sizeof head);
  memcpy(bytes + sizeof head + CLUSTER_ID_SIZE, addresses, sizeof addresses);
  struct command command;
  assert_int_equal(command_decode(bytes_of(bytes, sizeof bytes), &command), STATUS_OK);
  assert_int_equal(cluster_map_apply(map, &command), STATUS_OK);
  assert_string_equal(cluster_map_broker(map, 3)->peer_address, "p:1");
  assert_string_equal(cluster_map_broker(map, 3)->rack, "");
  struct blob *blob = NULL;
  assert_int_equal(command_encode(&command, &blob), STATUS_OK);
  assert_true(bytes_equal(bytes_of(blob->data, blob->size), bytes_of(bytes, sizeof bytes))); /* and written as it was */
  blob_release(blob);
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)
int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(the_largest_command_survives_encoding),
      TEST(command_of_an_unknown_kind_is_foreign),
      TEST(commands_of_before_replicas_are_read),
      TEST(replicas_that_cannot_be_are_refused),
      TEST(moves_to_nobody_or_twice_to_one_are_corrupt),
      TEST(a_rack_that_is_none_is_corrupt),
      TEST(brokers_of_before_racks_are_read),
      TEST(topic_names_are_as_kafka_allows),
      TEST(topic_settings_have_bounds),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
