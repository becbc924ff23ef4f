/* How far moves are, as it is told again and again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/progress_board.h"

#define SECOND_NS 1000000000u
#define MIB (1u << 20)

static struct progress_board *board;

static int set_up(void **state) {
  (void)state;
  board = progress_board_new();
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  progress_board_free(board);
  return 0;
}

static void tell(uint64_t now_ns, uint64_t group, uint64_t move, uint64_t done) {
  progress_board_put(
      board, now_ns,
      &(struct move_progress){.group = group, .move = move, .learners = 1, .bytes_done = done, .bytes_to_go = 100 * MIB - done});
}

static bool get(uint64_t now_ns, uint64_t group, uint64_t move, struct move_progress *out_progress) {
  return progress_board_get(board, now_ns, &(struct map_move){.group = group, .number = move}, out_progress);
}

static void what_was_told_is_there_for_a_while(void **state) {
  (void)state;
  struct move_progress progress;
  assert_false(get(SECOND_NS, 7, 3, &progress));
  tell(SECOND_NS, 7, 3, 10 * MIB);
  assert_true(get(SECOND_NS, 7, 3, &progress));
  assert_int_equal(progress.bytes_done, 10 * MIB);
  assert_int_equal(progress.bytes_to_go, 90 * MIB);
  assert_int_equal(progress.bytes_per_second, 0);
  assert_false(get(SECOND_NS, 7, 4, &progress)); /* another move */
  assert_false(get(SECOND_NS, 8, 3, &progress));
  assert_true(get(SECOND_NS + PROGRESS_FRESH_NS - 1, 7, 3, &progress));
  assert_false(get(SECOND_NS + PROGRESS_FRESH_NS, 7, 3, &progress));
}

static void the_pace_follows_from_telling_it_again(void **state) {
  (void)state;
  struct move_progress progress;
  for (uint64_t second = 1; second <= 4; second++) tell(second * SECOND_NS, 7, 3, second * 8 * MIB);
  assert_true(get(4 * (uint64_t)SECOND_NS, 7, 3, &progress));
  assert_int_equal(progress.bytes_per_second, 8 * MIB);
  tell(5 * (uint64_t)SECOND_NS, 7, 3, 32 * MIB); /* it stands still */
  assert_true(get(5 * (uint64_t)SECOND_NS, 7, 3, &progress));
  assert_int_equal(progress.bytes_per_second, 4 * MIB);
  tell(6 * (uint64_t)SECOND_NS, 7, 9, 0); /* another move begins anew */
  assert_true(get(6 * (uint64_t)SECOND_NS, 7, 9, &progress));
  assert_int_equal(progress.bytes_per_second, 0);
}

static void what_is_oldest_makes_room(void **state) {
  (void)state;
  struct move_progress progress;
  for (uint64_t group = 1; group <= MAP_MOVES_MAX; group++) tell(SECOND_NS + group, group, 1, 0);
  tell(2 * (uint64_t)SECOND_NS, 5000, 1, MIB);
  assert_true(get(2 * (uint64_t)SECOND_NS, 5000, 1, &progress));
  assert_false(get(2 * (uint64_t)SECOND_NS, 1, 1, &progress));
  assert_true(get(2 * (uint64_t)SECOND_NS, 2, 1, &progress));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(what_was_told_is_there_for_a_while, set_up, tear_down),
      cmocka_unit_test_setup_teardown(the_pace_follows_from_telling_it_again, set_up, tear_down),
      cmocka_unit_test_setup_teardown(what_is_oldest_makes_room, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
