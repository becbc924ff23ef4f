#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "log/checkpoint_pace.h"
#include "log/segment.h"

#define MIB ((uint64_t)1 << 20)
#define MS UINT64_C(1000000)

static struct checkpoint_progress progress(uint64_t written, uint64_t grown) {
  return (struct checkpoint_progress){
      .took_ns = 4 * MS, .written_bytes = written, .round_bytes = 32 * MIB, .grown_bytes = grown, .room_bytes = 32 * MIB};
}

static uint64_t rest(uint64_t written, uint64_t grown) {
  struct checkpoint_progress now = progress(written, grown);
  return checkpoint_rest_ns(&now);
}

static void with_nothing_coming_it_rests_in_proportion(void **state) {
  (void)state;
  assert_int_equal(rest(1 * MIB, 0), 36 * MS);
  assert_int_equal(rest(32 * MIB, 0), 36 * MS);
}

static void it_takes_half_of_the_room_at_most(void **state) {
  (void)state;
  assert_int_equal(rest(8 * MIB, 4 * MIB), 36 * MS);
  assert_int_equal(rest(8 * MIB, 4 * MIB + 1), 0);
  assert_int_equal(rest(0, 1), 0);
  assert_int_equal(rest(32 * MIB, 16 * MIB), 36 * MS);
  assert_int_equal(rest(32 * MIB, 17 * MIB), 0);
}

static void a_slow_disk_is_not_rested_on_for_long(void **state) {
  (void)state;
  struct checkpoint_progress slow = progress(1 * MIB, 0);
  slow.took_ns = 10000 * MS;
  assert_int_equal(checkpoint_rest_ns(&slow), CHECKPOINT_REST_NS_MAX);
}

static void no_round_rests_without_end(void **state) {
  (void)state;
  struct checkpoint_progress small = progress(1 * MIB, 0);
  small.rested_ns = CHECKPOINT_RESTS_NS_MAX - 1;
  assert_int_equal(checkpoint_rest_ns(&small), 36 * MS);
  small.rested_ns = CHECKPOINT_RESTS_NS_MAX;
  assert_int_equal(checkpoint_rest_ns(&small), 0);
}

static void whoever_waits_does_not_wait_for_a_rest(void **state) {
  (void)state;
  struct checkpoint_progress hurried = progress(8 * MIB, 0);
  hurried.hurried = true;
  assert_int_equal(checkpoint_rest_ns(&hurried), 0);
}

static void without_anything_to_go_by_it_goes_on(void **state) {
  (void)state;
  struct checkpoint_progress no_room = progress(1 * MIB, 0);
  no_room.room_bytes = 0;
  assert_int_equal(checkpoint_rest_ns(&no_room), 0);
  struct checkpoint_progress empty = progress(0, 0);
  empty.round_bytes = 0;
  assert_int_equal(checkpoint_rest_ns(&empty), 0);
}

static void little_is_written_at_once_while_it_rests(void **state) {
  (void)state;
  struct checkpoint_pace pace = {.rests = true};
  assert_int_equal(checkpoint_pace_bytes(&pace), CHECKPOINT_PIECE_BYTES);
  pace.rests = false;
  assert_int_equal(checkpoint_pace_bytes(&pace), SEGMENT_CHUNK_BYTES);
  assert_int_equal(checkpoint_pace_bytes(NULL), SEGMENT_CHUNK_BYTES);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(with_nothing_coming_it_rests_in_proportion), cmocka_unit_test(it_takes_half_of_the_room_at_most),
      cmocka_unit_test(a_slow_disk_is_not_rested_on_for_long),      cmocka_unit_test(whoever_waits_does_not_wait_for_a_rest),
      cmocka_unit_test(little_is_written_at_once_while_it_rests),   cmocka_unit_test(no_round_rests_without_end),
      cmocka_unit_test(without_anything_to_go_by_it_goes_on),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
