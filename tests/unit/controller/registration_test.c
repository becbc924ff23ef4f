/* What the map is to have of a broker: when its rack may stand there, and when nothing has to be written. */
#include "controller/registration.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "controller/decide.h"
#include "controller/feature_level.h"
#include "tests/unit/controller/map_rig.h"

static void raise_level(uint32_t level) {
  struct command command = {.kind = COMMAND_SET_FEATURE_LEVEL, .feature_level = level};
  assert_int_equal(rig_apply_through_bytes(&command), STATUS_OK);
}

/* What the map has of it, and this rack. */
static struct map_broker told_of(uint32_t id, const char *rack) {
  struct map_broker told = *cluster_map_broker(map, id);
  snprintf(told.rack, sizeof told.rack, "%s", rack);
  return told;
}

/* ---- Racks ---- */

static void expect_rack(const char *told_rack, const char *expected) {
  struct map_broker told = told_of(1, told_rack);
  assert_int_equal(registration_holds_rack(map, &told), strcmp(told_rack, expected) != 0);
  assert_string_equal(registration_of(map, &told).rack, expected);
  assert_int_equal(registration_is_known(map, &told), strcmp(cluster_map_broker(map, 1)->rack, expected) == 0);
}

static void a_cluster_that_never_had_a_topic_has_racks(void **state) {
  (void)state;
  rig_register_broker(1, "peer:1");
  expect_rack("a", "a");
  expect_rack("", "");
}

static void the_first_rack_waits_for_its_level(void **state) {
  (void)state;
  rig_register_broker(1, "peer:1");
  rig_register_broker(2, "peer:1");
  assert_int_equal(rig_create("t", 1), STATUS_OK);
  expect_rack("a", "");
  expect_rack("", "");
  raise_level(FEATURE_LEVEL_RACKS);
  expect_rack("a", "a");
}

/* What there was to lose may be lost already, and where a broker stands has to be true. */
static void where_there_are_racks_they_may_change(void **state) {
  (void)state;
  rig_register_in_rack(1, "a");
  rig_register_broker(2, "peer:1");
  assert_int_equal(rig_create("t", 1), STATUS_OK);
  expect_rack("b", "b");
  expect_rack("", "");
  struct map_broker told = told_of(2, "b");
  assert_string_equal(registration_of(map, &told).rack, "b");
}

static void whoever_decides_writes_no_rack_that_is_held(void **state) {
  (void)state;
  rig_register_broker(1, "peer:1");
  assert_int_equal(rig_create("t", 1), STATUS_OK);
  const struct decision_facts facts = {.map = map, .broker_is_up = true};
  struct change change = {.kind = COMMAND_REGISTER_BROKER, .cluster_id = {1}, .broker = told_of(1, "a")};
  map_broker_set_features(&change.broker, (struct feature_range){1, FEATURE_LEVEL_RACKS});
  struct command command = {0};
  assert_int_equal(decide(&facts, &change, &command), STATUS_OK);
  assert_string_equal(command.broker.rack, "");
  assert_int_equal(rig_apply_through_bytes(&command), STATUS_OK);
  assert_int_equal(decide(&facts, &change, &command), STATUS_OK);
  assert_true(change.unchanged);

  raise_level(FEATURE_LEVEL_RACKS);

  assert_int_equal(decide(&facts, &change, &command), STATUS_OK);
  assert_false(change.unchanged);
  assert_string_equal(command.broker.rack, "a");
}

/* ---- Nothing to write ---- */

static void all_that_a_broker_tells_counts(void **state) {
  (void)state;
  rig_register_in_rack(1, "a");
  const struct map_broker same = told_of(1, "a");
  assert_true(registration_is_known(map, &same));
  struct map_broker others[7];
  for (size_t i = 0; i < 7; i++) others[i] = same;
  others[0].id = 2;
  others[1].incarnation[7]++;
  others[2].advertised[0]++;
  others[3].peer_address[0] = '\0';
  others[4].rack[0] = '\0';
  others[5].feature_least = 1;
  others[6].feature_most = 2;
  for (size_t i = 0; i < 7; i++) assert_false(registration_is_known(map, &others[i]));
}

static void one_that_is_gone_is_not_known(void **state) {
  (void)state;
  rig_register_broker(1, "peer:1");
  const struct map_broker told = told_of(1, "");
  for (int standing = STANDING_IN; standing <= STANDING_GONE; standing++) {
    struct command command = {.kind = COMMAND_SET_STANDING, .broker = {.id = 1, .standing = (enum map_standing)standing}};
    if (standing != STANDING_IN) assert_int_equal(rig_apply_through_bytes(&command), STATUS_OK);
    assert_int_equal(registration_is_known(map, &told), standing != STANDING_GONE);
  }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)
int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_cluster_that_never_had_a_topic_has_racks),
      TEST(the_first_rack_waits_for_its_level),
      TEST(where_there_are_racks_they_may_change),
      TEST(whoever_decides_writes_no_rack_that_is_held),
      TEST(all_that_a_broker_tells_counts),
      TEST(one_that_is_gone_is_not_known),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
