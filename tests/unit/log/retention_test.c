#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "log/checkpoint.h"
#include "log/retention.h"

static const struct segment_info segments[] = {
    {.first_offset = 0, .end_offset = 100, .length = 1000, .max_time_ms = 10, .sealed = true},
    {.first_offset = 100, .end_offset = 200, .length = 1000, .max_time_ms = 20, .sealed = true},
    {.first_offset = 200, .end_offset = 300, .length = 1000, .leader_time_ms = 30, .sealed = true},
    {.first_offset = 300, .end_offset = 400, .length = 1000, .max_time_ms = 40},
};

static record_offset start(int64_t bytes, int64_t ms, uint64_t unflushed, record_offset today, int64_t now_ms) {
  struct log_settings settings = {.retention_bytes = bytes, .retention_ms = ms};
  return retention_start(&settings, segments, 4, unflushed, today, now_ms);
}

static void without_bounds_nothing_goes(void **state) {
  (void)state;
  assert_int_equal(start(-1, -1, 0, 0, 1000000), 0);
}

static void bytes_keep_at_least_what_was_asked(void **state) {
  (void)state;
  assert_int_equal(start(2500, -1, 0, 0, 0), 100);
  assert_int_equal(start(2000, -1, 0, 0, 0), 200);
  assert_int_equal(start(1, -1, 0, 0, 0), 300);
  assert_int_equal(start(2000, -1, 1000, 0, 0), 300);
}

static void age_goes_by_the_newest_record_of_a_segment(void **state) {
  (void)state;
  assert_int_equal(start(-1, 10, 0, 0, 20), 0);
  assert_int_equal(start(-1, 10, 0, 0, 21), 100);
  assert_int_equal(start(-1, 10, 0, 0, 41), 300);
  assert_int_equal(start(-1, 10, 0, 0, 1000), 300); /* never the newest */
}

/* Nanoseconds for milliseconds, in one record: its segment would stay for ever, and all those behind it. */
static void a_time_far_ahead_counts_from_when_it_was_taken(void **state) {
  (void)state;
  const struct segment_info ahead[] = {
      {.end_offset = 100, .length = 1000, .max_time_ms = INT64_MAX, .leader_time_ms = 10, .sealed = true},
      {.first_offset = 100, .end_offset = 200, .length = 1000, .max_time_ms = 5, .leader_time_ms = 20, .sealed = true},
      {.first_offset = 200, .end_offset = 300, .length = 1000, .max_time_ms = 40, .leader_time_ms = 40},
  };
  struct log_settings settings = {.retention_bytes = -1, .retention_ms = 10};
  assert_int_equal(retention_start(&settings, ahead, 3, 0, 0, 20), 0);
  assert_int_equal(retention_start(&settings, ahead, 3, 0, 0, 21), 200);
}

static void the_start_never_goes_back(void **state) {
  (void)state;
  assert_int_equal(start(2500, -1, 0, 250, 0), 250);
}

static void small_tails_are_carried_and_big_ones_flushed(void **state) {
  (void)state;
  struct checkpoint_request request = {.release_below = 5, .carry_below = 5, .carry_max = 1000, .stay_max = 5000};
  struct checkpoint_facts facts = {.pinned_file = 7};
  assert_int_equal(checkpoint_plan(&facts, &request), PLAN_NOTHING);
  facts.flushable_bytes = 100;
  assert_int_equal(checkpoint_plan(&facts, &request), PLAN_NOTHING);
  facts.pinned_file = 3;
  assert_int_equal(checkpoint_plan(&facts, &request), PLAN_CARRY);
  facts.carried_bytes = request.carry_max;
  assert_int_equal(checkpoint_plan(&facts, &request), PLAN_FLUSH);
  facts.row_dirty = true;
  assert_int_equal(checkpoint_plan(&facts, &request), PLAN_FLUSH); /* the row goes along */
  facts.row_dirty = false;
  facts.carried_bytes = 0;
  facts.staying_bytes = request.stay_max;
  assert_int_equal(checkpoint_plan(&facts, &request), PLAN_CARRY);
  facts.staying_bytes = request.stay_max + 1; /* there are too many of them */
  assert_int_equal(checkpoint_plan(&facts, &request), PLAN_FLUSH);
  facts.flushable_bytes = 0; /* nobody knows yet that it is committed */
  assert_int_equal(checkpoint_plan(&facts, &request), PLAN_CARRY);
  facts.flushable_bytes = 100;
  facts.staying_bytes = 0;
  facts.carried_bytes = request.carry_max;
  facts.flushable_bytes = 0;
  assert_int_equal(checkpoint_plan(&facts, &request), PLAN_NOTHING);
  facts.row_dirty = true;
  assert_int_equal(checkpoint_plan(&facts, &request), PLAN_ROW);
  facts.carried_bytes = 0;
  assert_int_equal(checkpoint_plan(&facts, &request), PLAN_ROW_AND_CARRY); /* a row that changes in every round does not pin it */
  request.carry_below = 3;                                                 /* not yet: an older file is in the way */
  assert_int_equal(checkpoint_plan(&facts, &request), PLAN_ROW);
  facts.flushable_bytes = CHECKPOINT_SMALL_BYTES;
  assert_int_equal(checkpoint_plan(&facts, &request), PLAN_FLUSH);
  request.everything = true;
  facts.flushable_bytes = 1;
  assert_int_equal(checkpoint_plan(&facts, &request), PLAN_FLUSH);
}

/* A state that covers what is not durable yet goes with just that. Where that cannot be, nothing may wait for it: it is carried. */
static void a_state_that_is_ahead_is_stored_with_what_it_covers(void **state) {
  (void)state;
  struct checkpoint_request request = {.release_below = 5, .carry_below = 5, .carry_max = 1000, .stay_max = 5000};
  struct checkpoint_facts facts = {.pinned_file = 7, .flushable_bytes = 100, .row_dirty = true, .ahead = true};
  assert_int_equal(checkpoint_plan(&facts, &request), PLAN_FLUSH);
  facts.flush_waits = true;
  assert_int_equal(checkpoint_plan(&facts, &request), PLAN_NOTHING);
  facts.pinned_file = 3;
  assert_int_equal(checkpoint_plan(&facts, &request), PLAN_CARRY);
  facts.flushable_bytes = CHECKPOINT_SMALL_BYTES;
  facts.staying_bytes = request.stay_max + 1;
  assert_int_equal(checkpoint_plan(&facts, &request), PLAN_CARRY);
  facts.flush_waits = false;
  assert_int_equal(checkpoint_plan(&facts, &request), PLAN_FLUSH);
}

/* ---- When ---- */

static const struct checkpoint_load idle = {.tail_bytes = 1000, .ring_bytes = 10000, .interval_ns = 60000000000u};

static void a_round_is_due_when_memory_or_the_ring_fills_up(void **state) {
  (void)state;
  struct checkpoint_load load = idle;
  assert_false(checkpoint_is_due(&load));
  load.unflushed_bytes = 499;
  load.used_bytes = 2499;
  load.idle_ns = load.interval_ns - 1;
  assert_false(checkpoint_is_due(&load));
  load.unflushed_bytes = 500;
  assert_true(checkpoint_is_due(&load));
  load = (struct checkpoint_load){.tail_bytes = 1000, .ring_bytes = 10000, .interval_ns = 1000, .used_bytes = 2500};
  assert_true(checkpoint_is_due(&load));
  load = idle;
  load.idle_ns = load.interval_ns;
  assert_true(checkpoint_is_due(&load));
  load = idle;
  load.pressed = true;
  assert_true(checkpoint_is_due(&load));
  load = idle;
  load.short_of_space = true;
  assert_false(checkpoint_is_due(&load));
  load.idle_ns = 1000000000;
  assert_true(checkpoint_is_due(&load));
}

/* Many are deleted in a row: they go together, and none waits for the interval. */
static void a_round_is_due_soon_after_a_log_was_deleted(void **state) {
  (void)state;
  struct checkpoint_load load = idle;
  load.deleted = true;
  load.idle_ns = CHECKPOINT_DELETED_NS - 1;
  assert_false(checkpoint_is_due(&load));
  load.idle_ns = CHECKPOINT_DELETED_NS;
  assert_true(checkpoint_is_due(&load));
  load.failed = true;
  assert_false(checkpoint_is_due(&load));
}

/* Whatever asks for it: what is there could not be moved a moment ago. What came since can. */
static void after_a_round_in_vain_only_what_came_since_counts(void **state) {
  (void)state;
  struct checkpoint_load load = idle;
  load.in_vain = true;
  load.in_vain_bytes = load.unflushed_bytes = 700;
  load.pressed = true;
  load.used_bytes = load.ring_bytes;
  load.idle_ns = load.interval_ns;
  assert_false(checkpoint_is_due(&load));
  load.unflushed_bytes = 1200;
  assert_false(checkpoint_is_due(&load));
  load.unflushed_bytes = 1201;
  assert_true(checkpoint_is_due(&load));
  load.failed = true; /* then nothing helps but time */
  assert_false(checkpoint_is_due(&load));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(without_bounds_nothing_goes),
      cmocka_unit_test(bytes_keep_at_least_what_was_asked),
      cmocka_unit_test(age_goes_by_the_newest_record_of_a_segment),
      cmocka_unit_test(a_time_far_ahead_counts_from_when_it_was_taken),
      cmocka_unit_test(the_start_never_goes_back),
      cmocka_unit_test(a_round_is_due_when_memory_or_the_ring_fills_up),
      cmocka_unit_test(a_round_is_due_soon_after_a_log_was_deleted),
      cmocka_unit_test(after_a_round_in_vain_only_what_came_since_counts),
      cmocka_unit_test(small_tails_are_carried_and_big_ones_flushed),
      cmocka_unit_test(a_state_that_is_ahead_is_stored_with_what_it_covers),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
