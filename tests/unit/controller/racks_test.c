/* Who stands in which rack, and how many replicas of a partition a rack must have. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "controller/racks.h"
#include "tests/unit/controller/map_rig.h"

static void who_told_the_same_stands_together(void **state) {
  (void)state;
  static const char *const told[] = {"b", "a", "", "b", "", "aa", "a"};
  for (uint32_t i = 0; i < 7; i++) rig_register_in_rack(10 + i, told[i]);
  struct racks racks;
  racks_init(&racks, map);
  static const uint32_t expected[] = {0, 1, 2, 0, 4, 5, 1};
  assert_int_equal(racks.count, 7);
  assert_memory_equal(racks.racks, expected, sizeof expected);
  for (uint32_t i = 0; i < 7; i++) assert_int_equal(racks_of(&racks, 10 + i), expected[i]);
  assert_int_equal(racks_of(&racks, 9), RACK_NOWHERE);
  assert_int_equal(racks_of(&racks, 17), RACK_NOWHERE);
  racks_deinit(&racks);
}

static void a_cluster_without_brokers_has_no_racks(void **state) {
  (void)state;
  struct racks racks;
  racks_init(&racks, map);
  assert_int_equal(racks.count, 0);
  assert_int_equal(racks_of(&racks, 1), RACK_NOWHERE);
  racks_deinit(&racks);
}

static void a_rack_has_as_few_as_can_be(void **state) {
  (void)state;
  static const struct {
    uint32_t room[4], replicas, share;
  } cases[] = {
      {{1, 1, 1, 1}, 3, 1}, {{3, 3, 3, 0}, 3, 1}, {{2, 2, 0, 0}, 3, 2}, {{5, 1, 0, 0}, 2, 1}, {{5, 1, 0, 0}, 3, 2},
      {{5, 1, 1, 0}, 5, 3}, {{7, 0, 0, 0}, 7, 7}, {{2, 2, 2, 0}, 5, 2}, {{1, 0, 0, 0}, 1, 1}, {{1, 1, 0, 0}, 5, 5}, /* no room */
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    assert_int_equal(racks_share(cases[i].room, 4, cases[i].replicas), cases[i].share);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)
int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(who_told_the_same_stands_together),
      TEST(a_cluster_without_brokers_has_no_racks),
      TEST(a_rack_has_as_few_as_can_be),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
