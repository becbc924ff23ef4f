/* Moves of partitions in the map: when one is under way, when it is over, and what is no move. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/controller/map_rig.h"

/* Four brokers, and topic 1 with partitions 0 (group 1) to 2 on brokers 1, 2, 3. */
static void found_three_of_four(void) {
  for (uint32_t id = 1; id <= 4; id++) rig_register_broker(id, "peer:1");
  struct command command = rig_create_command("a", 3);
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
  return rig_apply_through_bytes(&command);
}

static enum status end_move(uint32_t partition, uint64_t number) {
  return rig_apply_through_bytes(
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

static uint64_t placement(const struct map_replica *replicas, uint32_t count, uint32_t broker) {
  for (uint32_t i = 0; i < count; i++)
    if (replicas[i].broker == broker) return replicas[i].placement;
  fail_msg("broker %u has no replica", broker);
  return 0;
}
static uint64_t placed(uint32_t partition, uint32_t broker) {
  const struct map_partition *place = &cluster_map_topic(map, bytes_of_string("a"))->partitions[partition];
  return placement(place->replicas, place->replica_count, broker);
}
static uint64_t to_be_placed(uint64_t group, uint32_t broker) {
  const struct map_move *move = cluster_map_move(map, group);
  return placement(move->target, move->target_count, broker);
}

static void who_comes_back_to_where_it_was_given_up_is_another(void **state) {
  (void)state;
  found_three_of_four();
  assert_int_equal(move_to(0, "234"), STATUS_OK);
  uint64_t first = move_number(1);
  assert_int_equal(end_move(0, first), STATUS_OK);
  assert_int_equal(placed(0, 2), 0); /* it has been there all the time */
  assert_int_equal(placed(0, 4), first);

  assert_int_equal(move_to(0, "124"), STATUS_OK);
  uint64_t second = move_number(1);
  assert_int_equal(end_move(0, second), STATUS_OK);

  assert_int_equal(placed(0, 1), second);
  assert_int_equal(placed(0, 2), 0);
  assert_int_equal(placed(0, 4), first);
}

/* Nobody knows how far it has come: perhaps it votes already. */
static void who_is_named_again_before_a_move_is_over_is_the_same(void **state) {
  (void)state;
  found_three_of_four();
  assert_int_equal(move_to(0, "234"), STATUS_OK);
  uint64_t first = move_number(1);
  assert_int_equal(move_to(0, "23"), STATUS_OK);
  assert_int_equal(move_to(0, "14"), STATUS_OK);

  assert_int_equal(to_be_placed(1, 4), first);
  assert_int_equal(to_be_placed(1, 1), 0);
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
  assert_int_equal(rig_apply_through_bytes(&command), STATUS_NOT_FOUND);
  command.move.topic_id = 7;
  assert_int_equal(rig_apply_through_bytes(&command), STATUS_UNKNOWN_TOPIC);
  assert_int_equal(end_move(0, 0), STATUS_NOT_FOUND);
  assert_int_equal(rig_create("old", 1), STATUS_OK); /* of whose replicas the map says nothing */
  command = (struct command){.kind = COMMAND_MOVE_PARTITION, .move = {.topic_id = 2, .target_count = 1}};
  command.move.target[0] = (struct map_replica){.broker = 4, .incarnation = {4}};
  assert_int_equal(rig_apply_through_bytes(&command), STATUS_UNSUPPORTED);

  assert_int_equal(cluster_map_move_count(map), 0);
  assert_replicas(map, 0, "123");
}

static void a_deleted_topic_takes_its_moves_along(void **state) {
  (void)state;
  found_three_of_four();
  assert_int_equal(move_to(2, "4"), STATUS_OK);
  assert_int_equal(move_to(0, "4"), STATUS_OK);
  assert_int_equal(rig_delete(1), STATUS_OK);

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
  assert_int_equal(move->known_count, 4);
  assert_memory_equal(move->known, cluster_map_move(map, 3)->known, sizeof move->known);
  assert_null(cluster_map_move_after(again, 3));
  cluster_map_free(again);
  buffer_deinit(&bytes);
  buffer_deinit(&again_bytes);
}

static void moves_have_a_bound(void **state) {
  (void)state;
  for (uint32_t id = 1; id <= 2; id++) rig_register_broker(id, "peer:1");
  struct command command = rig_create_command("a", MAP_MOVES_MAX + 1);
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)
int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_move_changes_the_replicas_when_it_is_over),
      TEST(who_comes_back_to_where_it_was_given_up_is_another),
      TEST(who_is_named_again_before_a_move_is_over_is_the_same),
      TEST(only_the_move_that_is_under_way_can_be_over),
      TEST(a_move_to_where_it_goes_already_is_none),
      TEST(moves_that_cannot_be_change_nothing),
      TEST(a_deleted_topic_takes_its_moves_along),
      TEST(moves_survive_encoding),
      TEST(moves_have_a_bound),
      TEST(histories_of_moves_keep_their_rules),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
