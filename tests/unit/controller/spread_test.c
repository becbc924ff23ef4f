/* Where replicas had better be: cases that one can read, and a large one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "controller/spread.h"
#include "tests/unit/controller/spread_rig.h"

static void put_brokers(const char *uses) {
  for (const char *use = uses; *use != '\0'; use++)
    cluster.brokers[cluster.broker_count++] = (struct spread_broker){.id = (uint32_t)(use - uses) + 1,
                                                                     .use = *use == 't'   ? SPREAD_TAKES
                                                                            : *use == 's' ? SPREAD_STAYS
                                                                                          : SPREAD_LEAVES};
}

/* Replicas by their digits. */
static void put_partition(uint64_t topic, const char *replicas) {
  struct spread_partition *partition = &cluster.before[cluster.count++];
  partition->topic = topic;
  for (; *replicas != '\0'; replicas++) partition->replicas[partition->count++] = (uint32_t)(*replicas - '0');
}

static void expect(const char *expected) {
  char found[PARTITIONS_MAX * (MAP_REPLICAS_MAX + 1)] = {0};
  size_t at = 0;
  assert_int_equal(rig_run(), STATUS_OK);
  for (size_t i = 0; i < cluster.count; i++) {
    if (i > 0) found[at++] = ' ';
    for (uint32_t k = 0; k < cluster.after[i].count; k++) found[at++] = (char)('0' + cluster.after[i].replicas[k]);
  }
  assert_string_equal(found, expected);
}

static void what_is_even_stays(void **state) {
  (void)state;
  put_brokers("ttt");
  put_partition(1, "123");
  put_partition(1, "231");
  put_partition(1, "312");
  put_partition(2, "2");
  expect("123 231 312 2");
}

static void a_new_broker_gets_its_share(void **state) {
  (void)state;
  put_brokers("tttt");
  for (int i = 0; i < 4; i++) put_partition(1, (const char *const[]){"123", "231", "312", "123"}[i]);
  expect("234 314 412 123");
}

static void who_leaves_gives_all_to_others(void **state) {
  (void)state;
  put_brokers("lttt");
  put_partition(1, "123");
  put_partition(1, "231");
  put_partition(1, "312");
  expect("423 234 324");
}

static void who_is_down_keeps_what_it_has(void **state) {
  (void)state;
  put_brokers("sttt");
  put_partition(1, "12");
  put_partition(1, "12");
  put_partition(1, "12");
  expect("13 14 12");
}

static void who_is_down_does_not_come_first(void **state) {
  (void)state;
  put_brokers("lstt");
  put_partition(1, "12");
  expect("32");
}

static void too_few_brokers_change_nothing(void **state) {
  (void)state;
  put_brokers("ltt");
  put_partition(1, "12");
  put_partition(1, "123");
  assert_int_equal(rig_run(), STATUS_TOO_FEW_BROKERS);
  assert_memory_equal(cluster.after, cluster.before, sizeof cluster.before);
}

static void racks_are_kept_apart(void **state) {
  (void)state;
  put_brokers("tttt");
  for (uint32_t i = 0; i < 4; i++) cluster.brokers[i].rack = 1 + i / 2;
  put_partition(1, "12");
  put_partition(1, "34");
  expect("14 32");
}

/* What a broker that is down has in a rack counts there: whoever stands beside it gives up its own. */
static void who_is_down_keeps_its_place_in_its_rack(void **state) {
  (void)state;
  put_brokers("tstt");
  cluster.brokers[0].rack = cluster.brokers[1].rack = 1;
  put_partition(1, "12");
  expect("32");
}

/* With one of three racks down two are enough for new partitions of three, and yet none that has a replica in each is crowded into them. */
static void a_rack_that_is_down_is_no_reason_to_crowd_others(void **state) {
  (void)state;
  put_brokers("ttttss");
  for (uint32_t i = 0; i < 6; i++) cluster.brokers[i].rack = 1 + i / 2;
  for (int i = 0; i < 4; i++) put_partition(1, "135");
  expect("452 254 315 135");
}

static void many_partitions_do_not_take_long(void **state) {
  (void)state;
  enum { PARTITIONS = 6000, BROKERS = 12 };
  static struct spread_partition partitions[PARTITIONS];
  struct spread_broker brokers[BROKERS] = {0};
  uint32_t all[BROKERS] = {0}, low = UINT32_MAX, high = 0, moves = 0;
  for (uint32_t b = 0; b < BROKERS; b++) brokers[b].id = b + 1;
  for (uint32_t i = 0; i < PARTITIONS; i++)
    partitions[i] =
        (struct spread_partition){.topic = 1 + i / 60, .count = 3, .replicas = {1 + i % 9, 1 + (i + 1) % 9, 1 + (i + 4) % 9}};
  assert_int_equal(spread(brokers, BROKERS, partitions, PARTITIONS), STATUS_OK);
  for (uint32_t i = 0; i < PARTITIONS; i++) {
    for (uint32_t k = 0; k < 3; k++) {
      all[partitions[i].replicas[k] - 1]++;
      moves += partitions[i].replicas[k] > 9;
    }
  }
  for (uint32_t b = 0; b < BROKERS; b++) {
    if (all[b] < low) low = all[b];
    if (all[b] > high) high = all[b];
  }
  assert_int_equal(low, 1500);
  assert_int_equal(high, 1500);
  assert_int_equal(moves, 4500);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(what_is_even_stays, rig_set_up),
      cmocka_unit_test_setup(a_new_broker_gets_its_share, rig_set_up),
      cmocka_unit_test_setup(who_leaves_gives_all_to_others, rig_set_up),
      cmocka_unit_test_setup(who_is_down_keeps_what_it_has, rig_set_up),
      cmocka_unit_test_setup(who_is_down_does_not_come_first, rig_set_up),
      cmocka_unit_test_setup(too_few_brokers_change_nothing, rig_set_up),
      cmocka_unit_test_setup(racks_are_kept_apart, rig_set_up),
      cmocka_unit_test_setup(who_is_down_keeps_its_place_in_its_rack, rig_set_up),
      cmocka_unit_test_setup(a_rack_that_is_down_is_no_reason_to_crowd_others, rig_set_up),
      cmocka_unit_test(many_partitions_do_not_take_long),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
