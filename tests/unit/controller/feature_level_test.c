/* Feature levels: how far a cluster could go, what of a level stands in the map's bytes, who is refused, and when the level rises. */
#include "controller/feature_level.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "cairn/internal/v1/controller.pb-c.h"
#include "controller/decide.h"
#include "controller/map_head.h"
#include "proto/pack.h"
#include "tests/unit/controller/map_rig.h"

static void register_that_can(uint32_t id, uint32_t least, uint32_t most) {
  struct command command = {.kind = COMMAND_REGISTER_BROKER,
                            .broker = {.id = id, .incarnation = {(uint8_t)id}, .advertised = "a:1", .peer_address = "a:2"},
                            .cluster_id = {1}};
  map_broker_set_features(&command.broker, (struct feature_range){least, most});
  assert_int_equal(rig_apply_through_bytes(&command), STATUS_OK);
}

static enum status set_level(uint32_t level) {
  struct command command = {.kind = COMMAND_SET_FEATURE_LEVEL, .feature_level = level};
  return rig_apply_through_bytes(&command);
}

static void assert_reach(uint32_t level, uint32_t all, uint32_t anyone) {
  struct feature_reach reach = feature_reach_of(map);
  assert_int_equal(reach.level, level);
  assert_int_equal(reach.all, all);
  assert_int_equal(reach.anyone, anyone);
}

/* ---- Ranges ---- */

static void a_broker_can_what_its_version_can_or_less(void **state) {
  (void)state;
  assert_int_equal(feature_range_own(0).least, FEATURE_LEVEL_LEAST);
  assert_int_equal(feature_range_own(0).most, FEATURE_LEVEL_MOST);
  assert_int_equal(feature_range_own(1).most, 1);
  assert_int_equal(feature_range_own(FEATURE_LEVEL_MOST + 5).most, FEATURE_LEVEL_MOST);
}

static void who_tells_nothing_can_level_1_alone(void **state) {
  (void)state;
  rig_register_broker(1, "a:2");
  struct feature_range range = map_broker_features(cluster_map_broker(map, 1));
  assert_int_equal(range.least, 1);
  assert_int_equal(range.most, 1);
  assert_reach(1, 1, 1);
}

static void who_can_level_1_alone_tells_nothing(void **state) {
  (void)state;
  register_that_can(1, 1, 1);
  assert_int_equal(cluster_map_broker(map, 1)->feature_least, 0);
  assert_int_equal(cluster_map_broker(map, 1)->feature_most, 0);
}

static void a_cluster_can_what_the_least_of_its_brokers_can(void **state) {
  (void)state;
  assert_reach(1, 1, 1); /* nobody is there */
  register_that_can(1, 1, 2);
  register_that_can(2, 1, 3);
  assert_reach(1, 2, 3);
  register_that_can(3, 1, 1);
  assert_reach(1, 1, 3);
  assert_int_equal(feature_holder(map, 2, 0)->id, 3);
  assert_null(feature_holder(map, 2, 3));
  assert_int_equal(feature_holder(map, 3, 0)->id, 1);
  assert_int_equal(feature_holder(map, 3, 1)->id, 3);
}

static void who_is_gone_holds_nobody_back(void **state) {
  (void)state;
  register_that_can(1, 1, 2);
  register_that_can(2, 1, 1);
  assert_int_equal(rig_stand(2, STANDING_LEAVING), STATUS_OK);
  assert_reach(1, 1, 2);
  assert_int_equal(rig_stand(2, STANDING_GONE), STATUS_OK);
  assert_reach(1, 2, 2);
  assert_null(feature_holder(map, 2, 0));
}

static void the_words_say_what_to_do(void **state) {
  (void)state;
  char problem[FEATURE_LEVEL_PROBLEM_SIZE];
  feature_problem(7, (struct feature_range){1, 1}, 2, problem);
  assert_string_equal(problem,
                      "the cluster is at feature level 2, and broker 7 can levels 1 to 1; a level is never lowered: run a newer "
                      "Cairn on it, or, where its feature-level-most holds it back, take that setting away");
  feature_problem(7, (struct feature_range){3, 4}, 2, problem);
  assert_non_null(strstr(problem, "raise the cluster's level with the version before (cairn cluster upgrade)"));
}

/* ---- The map ---- */

static void a_level_is_never_lowered(void **state) {
  (void)state;
  assert_int_equal(cluster_map_feature_level(map), 1);
  assert_int_equal(set_level(1), STATUS_INVALID);
  assert_int_equal(set_level(2), STATUS_OK);
  assert_int_equal(cluster_map_feature_level(map), 2);
  assert_int_equal(set_level(2), STATUS_INVALID);
  assert_int_equal(set_level(1), STATUS_INVALID);
  assert_int_equal(cluster_map_feature_level(map), 2);
  assert_int_equal(cluster_map_version(map), 4);
}

/* What is committed is so for everybody, whatever a map says of who can it: one that a Cairn from before once had may have lost that. */
static void what_is_committed_is_applied_whoever_is_said_to_be_able(void **state) {
  (void)state;
  register_that_can(1, 1, 1);
  assert_int_equal(set_level(2), STATUS_OK);
  assert_int_equal(cluster_map_feature_level(map), 2);
  assert_int_equal(map_broker_features(cluster_map_broker(map, 1)).most, 1);
  assert_reach(2, 2, 2);
}

static struct buffer encoded(void) {
  struct buffer bytes;
  buffer_init(&bytes, 1 << 20);
  assert_int_equal(cluster_map_encode(map, &bytes), STATUS_OK);
  return bytes;
}

static enum status decode(struct bytes bytes, uint32_t *out_level) {
  struct cluster_map *copy = cluster_map_new(2);
  enum status status = cluster_map_decode(copy, bytes);
  *out_level = cluster_map_feature_level(copy);
  cluster_map_free(copy);
  return status;
}

/* ClusterMap { cluster_id 01 00.., version 1, next_topic_id 1, next_group_id 1, brokers { { id 1, incarnation 01 00.., "a:1", "a:2" } } }, as every
 * Cairn from before there were levels wrote it. */
static const uint8_t map_of_before[] = {
    0x0a, 0x10, 0x01, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0x01, 0x18, 0x01, 0x20, 0x01, 0x2a, 0x1e, 0x08, 0x01,
    0x12, 0x10, 0x01, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x1a, 0x03, 'a',  ':',  '1',  0x22, 0x03, 'a',  ':',  '2'};

static void a_map_of_level_1_is_written_as_it_was_before(void **state) {
  (void)state;
  register_that_can(1, 1, 1);
  struct buffer bytes = encoded();
  assert_int_equal(bytes.size, sizeof map_of_before);
  assert_memory_equal(bytes.data, map_of_before, sizeof map_of_before);
  buffer_deinit(&bytes);
}

static void a_map_from_before_there_were_levels_is_of_level_1(void **state) {
  (void)state;
  uint32_t level = 0;
  assert_int_equal(decode(bytes_of(map_of_before, sizeof map_of_before), &level), STATUS_OK);
  assert_int_equal(level, 1);
}

static void a_map_of_level_2_has_a_head_and_is_read_back(void **state) {
  (void)state;
  static const uint8_t head[MAP_HEAD_SIZE] = {'C', 'R', 'N', 'T', 'H', 'M', 'A', 'P', 1, 0, 0, 0, 2, 0, 0, 0};
  register_that_can(1, 1, 2);
  assert_int_equal(set_level(2), STATUS_OK);
  struct buffer bytes = encoded();
  assert_memory_equal(bytes.data, head, sizeof head);

  struct cluster_map *copy = cluster_map_new(2);
  assert_int_equal(cluster_map_decode(copy, buffer_bytes(&bytes)), STATUS_OK);

  assert_int_equal(cluster_map_feature_level(copy), 2);
  assert_int_equal(map_broker_features(cluster_map_broker(copy, 1)).most, 2);
  assert_int_equal(cluster_map_version(copy), 2);
  cluster_map_free(copy);
  buffer_deinit(&bytes);
}

/* One that reads the message alone must not take it for a map without what it does not know. */
static void who_knows_no_head_cannot_read_it(void **state) {
  (void)state;
  assert_int_equal(set_level(2), STATUS_OK);
  struct buffer bytes = encoded();
  struct arena *arena = arena_new(1 << 20);
  Cairn__Internal__V1__ClusterMap *message = NULL;
  assert_int_not_equal(pack_unpack(arena, &cairn__internal__v1__cluster_map__descriptor, buffer_bytes(&bytes), &message),
                       STATUS_OK);
  arena_free(arena);
  buffer_deinit(&bytes);
}

static enum status decode_spoilt(size_t at, uint8_t byte) {
  uint32_t level = 0;
  struct buffer bytes = encoded();
  bytes.data[at] = byte;
  enum status status = decode(buffer_bytes(&bytes), &level);
  buffer_deinit(&bytes);
  return status;
}

static void a_map_from_a_newer_cairn_is_foreign(void **state) {
  (void)state;
  assert_int_equal(set_level(2), STATUS_OK);
  assert_int_equal(decode_spoilt(8, 2), STATUS_FOREIGN);                       /* another head */
  assert_int_equal(decode_spoilt(12, FEATURE_LEVEL_MOST + 1), STATUS_FOREIGN); /* another level */
  assert_int_equal(decode_spoilt(12, 1), STATUS_CORRUPT);                      /* that needs no head */
  uint32_t level = 0;
  struct buffer bytes = encoded();
  assert_int_equal(decode(bytes_of(bytes.data, MAP_HEAD_SIZE - 1), &level), STATUS_CORRUPT);
  buffer_deinit(&bytes);
}

/* So whoever cannot read it knows what to say of it. */
static void the_level_of_a_map_is_told_whatever_it_is(void **state) {
  (void)state;
  struct buffer bytes;
  buffer_init(&bytes, 64);
  assert_true(map_head_put(FEATURE_LEVEL_MOST + 1, &bytes));
  struct bytes behind = buffer_bytes(&bytes);
  uint32_t level = 0;
  assert_int_equal(map_head_take(&behind, &level), STATUS_OK);
  assert_int_equal(level, FEATURE_LEVEL_MOST + 1);
  assert_int_equal(behind.size, 0);
  buffer_deinit(&bytes);
}

static void a_range_the_wrong_way_round_is_corrupt(void **state) {
  (void)state;
  struct command command = {.kind = COMMAND_REGISTER_BROKER, .broker = {.id = 1, .feature_least = 3, .feature_most = 2}};
  struct blob *blob = NULL;
  assert_int_equal(command_encode(&command, &blob), STATUS_OK);
  assert_int_equal(command_decode(bytes_of(blob->data, blob->size), &command), STATUS_CORRUPT);
  blob_release(blob);
}

/* ---- What is decided ---- */

static enum status decide_with(struct change *change, uint32_t untold, struct command *out_command) {
  const struct decision_facts facts = {
      .map = map, .brokers = 9, .untold = untold, .brokers_are_late = true, .logs_max = UINT64_MAX};
  *out_command = (struct command){0};
  return decide(&facts, change, out_command);
}

static enum status ask(uint32_t level, struct change *out_change) {
  struct command command;
  *out_change = (struct change){.kind = COMMAND_SET_FEATURE_LEVEL, .feature_level = level};
  enum status status = decide_with(out_change, 0, &command);
  if (status != STATUS_OK || out_change->unchanged) return status;
  assert_int_equal(command.feature_level, out_change->feature_level);
  return rig_apply_through_bytes(&command);
}

static void the_level_rises_when_all_can(void **state) {
  (void)state;
  struct change change;
  register_that_can(1, 1, 2);
  register_that_can(2, 1, 2);

  assert_int_equal(ask(0, &change), STATUS_OK);

  assert_int_equal(change.feature_level_before, 1);
  assert_int_equal(change.feature_level, 2);
  assert_int_equal(cluster_map_feature_level(map), 2);
  assert_int_equal(ask(2, &change), STATUS_OK);
  assert_true(change.unchanged);
  assert_int_equal(change.feature_level_before, 2);
}

static void who_holds_it_back_is_named(void **state) {
  (void)state;
  struct change change;
  for (uint32_t id = 1; id <= 5; id++) register_that_can(id, 1, id == 1 ? 2 : 1);
  assert_int_equal(ask(0, &change), STATUS_FEATURE_LEVEL);
  assert_string_equal(change.problem,
                      "broker 2 can levels 1 to 1, broker 3 can levels 1 to 1, broker 4 can levels 1 to 1, ...: run a newer "
                      "Cairn on them, or let them leave (cairn broker decommission)");
  assert_int_equal(cluster_map_feature_level(map), 1);
  for (uint32_t id = 3; id <= 5; id++) register_that_can(id, 1, 2);
  assert_int_equal(ask(2, &change), STATUS_FEATURE_LEVEL);
  assert_non_null(strstr(change.problem, "broker 2 can levels 1 to 1: run a newer Cairn on it"));
  register_that_can(2, 1, 2);
  assert_int_equal(ask(2, &change), STATUS_OK);
}

static void nobody_goes_beyond_what_anybody_can(void **state) {
  (void)state;
  struct change change;
  register_that_can(1, 1, 2);
  assert_int_equal(ask(3, &change), STATUS_FEATURE_LEVEL);
  assert_non_null(strstr(change.problem, "broker 1 can levels 1 to 2"));
}

static void a_lower_level_is_refused(void **state) {
  (void)state;
  struct change change;
  register_that_can(1, 1, 2);
  assert_int_equal(ask(2, &change), STATUS_OK);
  assert_int_equal(ask(1, &change), STATUS_INVALID);
  assert_non_null(strstr(change.problem, "never lowered"));
}

/* Those that founded the cluster belong to it before they have told anything. */
static void it_waits_for_brokers_that_have_not_told_what_they_can(void **state) {
  (void)state;
  register_that_can(1, 1, 2);
  struct command command;
  struct change change = {.kind = COMMAND_SET_FEATURE_LEVEL};
  assert_int_equal(decide_with(&change, 3, &command), STATUS_LOADING);
  assert_string_equal(change.problem,
                      "broker 3 belongs to the cluster and has not told what it can so far: start it, with an empty directory "
                      "where its own is lost, or ask again in a moment");
}

static enum status ask_to_register(uint32_t least, uint32_t most, struct change *out_change) {
  struct command command;
  *out_change = (struct change){.kind = COMMAND_REGISTER_BROKER, .broker = {.id = 9, .incarnation = {9}}, .cluster_id = {1}};
  map_broker_set_features(&out_change->broker, (struct feature_range){least, most});
  return decide_with(out_change, 0, &command);
}

static void a_broker_that_cannot_the_level_is_refused(void **state) {
  (void)state;
  struct change change;
  register_that_can(1, 1, 2);
  assert_int_equal(ask_to_register(1, 1, &change), STATUS_OK);
  assert_int_equal(ask_to_register(2, 3, &change), STATUS_FEATURE_LEVEL);
  assert_non_null(strstr(change.problem, "raise the cluster's level with the version before"));

  assert_int_equal(set_level(2), STATUS_OK);

  assert_int_equal(ask_to_register(1, 1, &change), STATUS_FEATURE_LEVEL);
  assert_non_null(strstr(change.problem, "broker 9 can levels 1 to 1"));
  assert_int_equal(ask_to_register(1, 2, &change), STATUS_OK);
  assert_int_equal(ask_to_register(2, 3, &change), STATUS_OK);
}

/* A restart with another version is a change of the map. */
static void a_broker_that_can_something_else_is_written_anew(void **state) {
  (void)state;
  struct command command;
  register_that_can(9, 1, 1);
  struct change change = {.kind = COMMAND_REGISTER_BROKER,
                          .broker = {.id = 9, .incarnation = {9}, .advertised = "a:1", .peer_address = "a:2"},
                          .cluster_id = {1}};
  assert_int_equal(decide_with(&change, 0, &command), STATUS_OK);
  assert_true(change.unchanged);
  map_broker_set_features(&change.broker, (struct feature_range){1, 2});
  assert_int_equal(decide_with(&change, 0, &command), STATUS_OK);
  assert_false(change.unchanged);
}

static void a_cluster_is_fresh_until_its_first_topic(void **state) {
  (void)state;
  assert_true(feature_is_fresh(map));
  assert_int_equal(rig_create("a", 1), STATUS_OK);
  assert_int_equal(rig_delete(1), STATUS_OK);
  assert_false(feature_is_fresh(map));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_broker_can_what_its_version_can_or_less),
      TEST(who_tells_nothing_can_level_1_alone),
      TEST(who_can_level_1_alone_tells_nothing),
      TEST(a_cluster_can_what_the_least_of_its_brokers_can),
      TEST(who_is_gone_holds_nobody_back),
      TEST(the_words_say_what_to_do),
      TEST(a_level_is_never_lowered),
      TEST(what_is_committed_is_applied_whoever_is_said_to_be_able),
      TEST(a_map_of_level_1_is_written_as_it_was_before),
      TEST(a_map_from_before_there_were_levels_is_of_level_1),
      TEST(a_map_of_level_2_has_a_head_and_is_read_back),
      TEST(who_knows_no_head_cannot_read_it),
      TEST(a_map_from_a_newer_cairn_is_foreign),
      TEST(the_level_of_a_map_is_told_whatever_it_is),
      TEST(a_range_the_wrong_way_round_is_corrupt),
      TEST(the_level_rises_when_all_can),
      TEST(who_holds_it_back_is_named),
      TEST(nobody_goes_beyond_what_anybody_can),
      TEST(a_lower_level_is_refused),
      TEST(it_waits_for_brokers_that_have_not_told_what_they_can),
      TEST(a_broker_that_cannot_the_level_is_refused),
      TEST(a_broker_that_can_something_else_is_written_anew),
      TEST(a_cluster_is_fresh_until_its_first_topic),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
