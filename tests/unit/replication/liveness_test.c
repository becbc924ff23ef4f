#include "replication/liveness.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define MS 1000000u
#define PATIENCE (1000u * MS)

static struct peer_pulse healthy(void) { return (struct peer_pulse){.lane_count = 2, .wall_ms = 5000}; }

static struct liveness up_since(uint64_t now_ns, uint64_t boot) {
  struct liveness liveness;
  struct peer_pulse pulse = healthy();
  liveness_init(&liveness, PATIENCE);
  assert_int_equal(liveness_beat(&liveness, boot, &pulse, now_ns, 5000), LIVENESS_UP);
  return liveness;
}

static void first_beat_brings_it_up_and_silence_takes_it_down(void **state) {
  (void)state;
  struct liveness liveness;
  struct peer_pulse pulse = healthy();
  liveness_init(&liveness, PATIENCE);
  assert_false(liveness.up);
  assert_int_equal(liveness_silent_ns(&liveness, 77), UINT64_MAX);
  assert_int_equal(liveness_time(&liveness, 5 * PATIENCE), LIVENESS_SAME);

  assert_int_equal(liveness_beat(&liveness, 1, &pulse, 100 * MS, 5000), LIVENESS_UP);
  assert_int_equal(liveness_time(&liveness, 100 * MS + PATIENCE - 1), LIVENESS_SAME);
  assert_int_equal(liveness_beat(&liveness, 1, &pulse, 1000 * MS, 5000), LIVENESS_SAME);
  assert_int_equal(liveness_time(&liveness, 1000 * MS + PATIENCE - 1), LIVENESS_SAME);
  assert_int_equal(liveness_time(&liveness, 1000 * MS + PATIENCE), LIVENESS_DOWN);

  assert_false(liveness.up);
  assert_int_equal(liveness_time(&liveness, 9000 * (uint64_t)MS), LIVENESS_SAME);
  assert_int_equal(liveness_beat(&liveness, 1, &pulse, 9500 * (uint64_t)MS, 5000), LIVENESS_UP);
}

static void another_boot_is_another_life(void **state) {
  (void)state;
  struct liveness liveness = up_since(0, 1);
  struct peer_pulse pulse = healthy();

  assert_int_equal(liveness_beat(&liveness, 2, &pulse, 10 * MS, 5000), LIVENESS_REBORN);

  assert_true(liveness.up);
  assert_int_equal(liveness_beat(&liveness, 2, &pulse, 20 * MS, 5000), LIVENESS_SAME);
  assert_int_equal(liveness_time(&liveness, 20 * MS + PATIENCE), LIVENESS_DOWN);
  assert_int_equal(liveness_beat(&liveness, 3, &pulse, 5 * PATIENCE, 5000), LIVENESS_UP); /* it was down already */
}

static void lane_that_stands_still_is_death_though_beats_come(void **state) {
  (void)state;
  struct liveness liveness = up_since(0, 1);
  struct peer_pulse pulse = healthy();
  pulse.lanes[1].turn_us = PATIENCE / 1000 - 1;
  assert_int_equal(liveness_beat(&liveness, 1, &pulse, 10 * MS, 5000), LIVENESS_SAME);

  pulse.lanes[1].turn_us = PATIENCE / 1000;
  assert_int_equal(liveness_beat(&liveness, 1, &pulse, 20 * MS, 5000), LIVENESS_DOWN);

  assert_int_equal(liveness_beat(&liveness, 1, &pulse, 30 * MS, 5000), LIVENESS_SAME);
  pulse.lanes[1].turn_us = 0;
  assert_int_equal(liveness_beat(&liveness, 1, &pulse, 40 * MS, 5000), LIVENESS_UP);
}

static void write_that_waits_too_long_for_its_disk_is_death(void **state) {
  (void)state;
  struct liveness liveness = up_since(0, 1);
  struct peer_pulse pulse = healthy();

  pulse.lanes[0].unsynced_us = UINT64_MAX;
  assert_int_equal(liveness_beat(&liveness, 1, &pulse, 10 * MS, 5000), LIVENESS_DOWN);

  pulse.lanes[0].unsynced_us = 500;
  assert_int_equal(liveness_beat(&liveness, 2, &pulse, 20 * MS, 5000), LIVENESS_UP);
}

static void who_stood_still_gives_the_others_time_to_be_heard(void **state) {
  (void)state;
  struct liveness liveness = up_since(100 * MS, 1);
  liveness_forgive(&liveness, 200 * MS, 300 * MS); /* it had more than that left */
  assert_int_equal(liveness_time(&liveness, 100 * MS + PATIENCE - 1), LIVENESS_SAME);

  liveness_forgive(&liveness, 5000u * (uint64_t)MS, 300 * MS);

  assert_int_equal(liveness_time(&liveness, 5300u * (uint64_t)MS - 1), LIVENESS_SAME);
  assert_int_equal(liveness_time(&liveness, 5300u * (uint64_t)MS), LIVENESS_DOWN);
  liveness_forgive(&liveness, 6000u * (uint64_t)MS, 300 * MS);
  assert_false(liveness.up);
}

static void clocks_are_compared_by_their_lower_median(void **state) {
  (void)state;
  struct liveness liveness = up_since(0, 1);
  struct peer_pulse pulse = healthy();
  pulse.wall_ms = INT64_MIN; /* whatever it says */
  assert_int_equal(liveness_beat(&liveness, 1, &pulse, 10, INT64_MAX), LIVENESS_SAME);
  pulse.wall_ms = 4000;
  assert_int_equal(liveness_beat(&liveness, 1, &pulse, 10, 5000), LIVENESS_SAME);
  assert_int_equal(liveness.ahead_ms, -1000);

  int64_t one[] = {7}, two[] = {9, -4}, five[] = {0, 600000, -3, 2, 1};
  assert_int_equal(liveness_median(one, 1), 7);
  assert_int_equal(liveness_median(two, 2), -4);
  assert_int_equal(liveness_median(five, 5), 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(first_beat_brings_it_up_and_silence_takes_it_down),
      cmocka_unit_test(another_boot_is_another_life),
      cmocka_unit_test(lane_that_stands_still_is_death_though_beats_come),
      cmocka_unit_test(write_that_waits_too_long_for_its_disk_is_death),
      cmocka_unit_test(who_stood_still_gives_the_others_time_to_be_heard),
      cmocka_unit_test(clocks_are_compared_by_their_lower_median),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
