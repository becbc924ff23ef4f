/* Where new partitions are to be: on certain brokers (what is refused, in which words, and where they are then), or wherever it is even. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "controller/decide.h"
#include "tests/unit/controller/map_rig.h"

#define PLACES_MAX 4u

static struct change_place places[PLACES_MAX];
static struct change change;
static uint32_t brokers;

/* Each digit is a broker. */
static void want(const char *const *digits, size_t count) {
  change = (struct change){
      .kind = COMMAND_CREATE_TOPIC, .name = "t", .settings = topic_settings_default, .places = places, .place_count = count};
  for (size_t i = 0; i < count; i++) {
    places[i] = (struct change_place){.count = (uint32_t)strlen(digits[i])};
    for (size_t at = 0; at < MAP_REPLICAS_MAX && digits[i][at] != '\0'; at++)
      places[i].brokers[at] = (uint32_t)(digits[i][at] - '0');
  }
}
#define WANT(...) want((const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

static enum status carry_out(void) {
  const struct decision_facts facts = {.map = map, .brokers = brokers, .brokers_are_late = true, .logs_max = UINT64_MAX};
  struct command command = {0};
  enum status status = decide(&facts, &change, &command);
  if (status == STATUS_OK) assert_int_equal(rig_apply_through_bytes(&command), STATUS_OK);
  command_deinit(&command);
  return status;
}

static void expect_refused(enum status status, const char *problem) {
  assert_int_equal(carry_out(), status);
  assert_string_equal(change.problem, problem);
  assert_null(cluster_map_topic(map, bytes_of_string("t")));
}

static void expect_on(uint32_t partition, const char *digits) {
  const struct map_partition *made = &rig_find("t")->partitions[partition];
  assert_int_equal(made->replica_count, strlen(digits));
  for (size_t i = 0; i < made->replica_count; i++) {
    assert_int_equal(made->replicas[i].broker, digits[i] - '0');
    assert_memory_equal(made->replicas[i].incarnation, cluster_map_broker(map, made->replicas[i].broker)->incarnation,
                        CLUSTER_ID_SIZE);
  }
}

static int set_up(void **state) {
  assert_int_equal(rig_set_up(state), 0);
  brokers = 5;
  for (uint32_t id = 1; id <= brokers; id++) rig_register_broker(id, id == 5 ? "" : "peer:1");
  return 0;
}

static void they_are_where_they_were_asked_to_be(void **state) {
  (void)state;
  WANT("312", "123", "423");
  assert_int_equal(carry_out(), STATUS_OK);
  assert_int_equal(rig_find("t")->partition_count, 3);
  assert_int_equal(rig_find("t")->replicas, 3);
  expect_on(0, "312");
  expect_on(1, "123");
  expect_on(2, "423");
}

static void numbers_that_say_the_same_are_fine(void **state) {
  (void)state;
  WANT("12", "21");
  change.partition_count = 2;
  change.replicas = 2;
  assert_int_equal(carry_out(), STATUS_OK);
  expect_on(1, "21");
}

static void numbers_that_say_otherwise_are_not(void **state) {
  (void)state;
  WANT("12", "21");
  change.partition_count = 3;
  expect_refused(STATUS_INVALID,
                 "3 partitions are wanted, and there are places for 2: name the brokers of each, or leave their number out");
  change.partition_count = 0;
  change.replicas = 3;
  expect_refused(STATUS_INVALID, "partition 0 is to have 2 replicas, and 3 are wanted of each: name as many brokers for all");
  WANT("12", "2");
  expect_refused(STATUS_INVALID, "partition 1 is to have 1 replicas, and 2 are wanted of each: name as many brokers for all");
}

static void a_place_is_one_to_seven_brokers(void **state) {
  (void)state;
  WANT("12", "");
  expect_refused(STATUS_INVALID, "partition 1 is to have 0 replicas: name 1 to 7 brokers");
  WANT("12341234");
  expect_refused(STATUS_INVALID, "partition 0 is to have 8 replicas: name 1 to 7 brokers");
}

static void nobody_is_named_who_cannot_have_it(void **state) {
  (void)state;
  WANT("12", "19");
  expect_refused(STATUS_NOT_FOUND,
                 "partition 1 is to be on broker 9, and the cluster has no such broker: start it, or name another");
  WANT("15");
  expect_refused(STATUS_NOT_FOUND,
                 "partition 0 is to be on broker 5, which takes no other brokers: start it with --peer-listen, or name another");
  WANT("11");
  expect_refused(STATUS_INVALID, "broker 1 is named twice for partition 0: name each broker once");
  assert_int_equal(rig_stand(4, STANDING_LEAVING), STATUS_OK);
  WANT("14");
  expect_refused(
      STATUS_INVALID,
      "partition 0 is to be on broker 4, which is about to leave the cluster: name another, or let that one stay first");
}

static void one_that_is_alone_needs_no_peers(void **state) {
  assert_int_equal(rig_tear_down(state), 0);
  assert_int_equal(rig_set_up(state), 0);
  brokers = 1;
  rig_register_broker(1, "");
  WANT("1", "1");
  assert_int_equal(carry_out(), STATUS_OK);
  expect_on(1, "1");
}

/* ---- Partitions that a topic gets later ---- */

/* The new ones. */
static void want_more(uint32_t partitions, const char *const *digits, size_t count) {
  want(digits, count);
  change.kind = COMMAND_GROW_TOPIC;
  change.partition_count = partitions;
}
#define WANT_MORE(partitions, ...) \
  want_more(partitions, (const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

static void expect_no_more(enum status status, const char *problem) {
  uint64_t version = cluster_map_version(map);
  assert_int_equal(carry_out(), status);
  assert_string_equal(change.problem, problem);
  assert_int_equal(cluster_map_version(map), version);
}

static void new_ones_are_where_they_were_asked_to_be(void **state) {
  (void)state;
  WANT("12");
  assert_int_equal(carry_out(), STATUS_OK);
  WANT_MORE(3, "41", "32");
  assert_int_equal(carry_out(), STATUS_OK);
  assert_int_equal(rig_find("t")->partition_count, 3);
  expect_on(0, "12");
  expect_on(1, "41");
  expect_on(2, "32");
}

static void new_ones_have_what_the_topic_has(void **state) {
  (void)state;
  WANT("12");
  assert_int_equal(carry_out(), STATUS_OK);
  WANT_MORE(3, "12");
  expect_no_more(STATUS_INVALID, "2 partitions more are wanted, and there are places for 1: name the brokers of each new one");
  WANT_MORE(3, "12", "123");
  expect_no_more(STATUS_INVALID, "partition 2 is to have 3 replicas, and 2 are wanted of each: name as many brokers for all");
  WANT_MORE(3, "12", "");
  expect_no_more(STATUS_INVALID, "partition 2 is to have 0 replicas: name 1 to 7 brokers");
  WANT_MORE(3, "12", "19");
  expect_no_more(STATUS_NOT_FOUND,
                 "partition 2 is to be on broker 9, and the cluster has no such broker: start it, or name another");
  WANT_MORE(3, "11", "12");
  expect_no_more(STATUS_INVALID, "broker 1 is named twice for partition 1: name each broker once");
}

/* Moves have made them fewer, perhaps as there are fewer brokers by now: a topic that grows is not to need those that it was made with. */
static void new_ones_have_what_partition_0_has_by_now(void **state) {
  (void)state;
  WANT("123", "234");
  assert_int_equal(carry_out(), STATUS_OK);
  assert_int_equal(rig_begin_move(rig_find("t")->id, 0, (const uint32_t[]){1, 2}, 2), STATUS_OK);
  WANT_MORE(3, "41");
  assert_int_equal(carry_out(), STATUS_OK); /* it is about to have two */
  rig_end_move(cluster_map_move_after(map, 0));
  change = (struct change){.kind = COMMAND_GROW_TOPIC, .name = "t", .partition_count = 4};
  assert_int_equal(carry_out(), STATUS_OK);
  for (uint32_t i = 2; i < 4; i++) assert_int_equal(rig_find("t")->partitions[i].replica_count, 2);
  WANT_MORE(5, "123");
  expect_no_more(STATUS_INVALID, "partition 4 is to have 3 replicas, and 2 are wanted of each: name as many brokers for all");
}

/* An answer that was lost: whoever asks again is told the same, and whoever asks for something else is not. */
static void new_ones_that_are_there_are_not_made_again(void **state) {
  (void)state;
  static const char elsewhere[] =
      "it has 3 partitions already, and its last ones are elsewhere: cairn partition move puts them on other brokers";
  WANT("12");
  assert_int_equal(carry_out(), STATUS_OK);
  WANT_MORE(3, "41", "32");
  assert_int_equal(carry_out(), STATUS_OK);

  assert_int_equal(rig_begin_move(rig_find("t")->id, 2, (const uint32_t[]){4, 3}, 2), STATUS_OK);
  WANT_MORE(3, "41", "43");
  struct command command = {0};
  const struct decision_facts facts = {.map = map, .brokers = brokers, .brokers_are_late = true, .logs_max = UINT64_MAX};
  assert_int_equal(decide(&facts, &change, &command), STATUS_OK);
  assert_true(change.unchanged);
  command_deinit(&command);
  WANT_MORE(3, "41", "32");
  expect_no_more(STATUS_INVALID, elsewhere);
  WANT_MORE(3, "12", "12", "41", "43");
  expect_no_more(STATUS_INVALID, elsewhere);
}

/* One that is empty, and about to have half of what there is, is not empty to a new topic. */
static void what_is_on_its_way_counts_where_it_goes(void **state) {
  assert_int_equal(rig_tear_down(state), 0);
  assert_int_equal(rig_set_up(state), 0);
  brokers = 2;
  rig_register_broker(1, "peer:1");
  WANT("1", "1", "1", "1");
  assert_int_equal(carry_out(), STATUS_OK);
  rig_register_broker(2, "peer:1");
  uint64_t id = rig_find("t")->id;
  for (uint32_t i = 0; i < 2; i++) assert_int_equal(rig_begin_move(id, i, (const uint32_t[]){2}, 1), STATUS_OK);

  change = (struct change){.kind = COMMAND_CREATE_TOPIC, .name = "u", .partition_count = 4, .replicas = 1};
  change.settings = topic_settings_default;
  assert_int_equal(carry_out(), STATUS_OK);
  uint32_t on_second = 0;
  for (uint32_t i = 0; i < 4; i++) on_second += rig_find("u")->partitions[i].replicas[0].broker == 2;
  assert_int_equal(on_second, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, rig_tear_down)
int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(they_are_where_they_were_asked_to_be),      TEST(numbers_that_say_the_same_are_fine),
      TEST(numbers_that_say_otherwise_are_not),        TEST(a_place_is_one_to_seven_brokers),
      TEST(nobody_is_named_who_cannot_have_it),        TEST(one_that_is_alone_needs_no_peers),
      TEST(new_ones_are_where_they_were_asked_to_be),  TEST(new_ones_have_what_the_topic_has),
      TEST(new_ones_have_what_partition_0_has_by_now), TEST(new_ones_that_are_there_are_not_made_again),
      TEST(what_is_on_its_way_counts_where_it_goes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
