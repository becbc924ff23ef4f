/* One follower as its leader sees it: what may be under way, and that the window is given back on every path. */
#include "replication/progress.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/replication/chance.h"

static struct progress pipeline_behind(entry_index match) {
  struct progress progress;
  progress_init(&progress, match + 1, 0, 1);
  progress_ask(&progress, progress.sequence + 1, 0);
  progress_sent(&progress, match, 0);
  progress_acknowledged(&progress, match);
  return progress;
}

static void send(struct progress *progress, entry_index last, uint32_t bytes) {
  progress_ask(progress, progress->sequence + 1, 0);
  progress_sent(progress, last, bytes);
  progress_check_invariants(progress);
}

static void progress_probes_with_one_message_at_a_time(void **state) {
  (void)state;
  struct progress progress;
  progress_init(&progress, 11, 0, 1);
  assert_true(progress_open(&progress));

  send(&progress, 14, 400);

  assert_false(progress_open(&progress));
  assert_int_equal(progress.next, 11); /* nothing is taken for granted */
  progress_acknowledged(&progress, 14);
  assert_int_equal(progress.state, PROGRESS_PIPELINE);
  assert_int_equal(progress.next, 15);
}

static void progress_window_is_bounded_in_messages(void **state) {
  (void)state;
  struct progress progress = pipeline_behind(0);

  for (entry_index i = 1; i <= PROGRESS_MESSAGES_MAX; i++) {
    assert_true(progress_open(&progress));
    send(&progress, i, 1);
  }

  assert_false(progress_open(&progress));
  progress_acknowledged(&progress, 1);
  assert_true(progress_open(&progress));
}

static void progress_window_is_bounded_in_bytes(void **state) {
  (void)state;
  struct progress progress = pipeline_behind(0);

  send(&progress, 1, PROGRESS_BYTES_MAX - 1);
  assert_true(progress_open(&progress));
  send(&progress, 2, 4u << 20);

  assert_false(progress_open(&progress));
  progress_acknowledged(&progress, 2);
  assert_int_equal(progress.window_bytes, 0);
}

static void progress_lets_few_entries_wait_for_the_answer(void **state) {
  (void)state;
  struct progress progress = pipeline_behind(0);
  assert_false(progress_gathers(&progress, 1)); /* for what? */

  progress_ask(&progress, progress.sequence + 1, 700);
  progress_sent(&progress, 1, 100);

  assert_int_equal(progress.asked_ns, 700);
  assert_true(progress_gathers(&progress, 2));
  assert_true(progress_gathers(&progress, PROGRESS_GATHER_ENTRIES));
  assert_false(progress_gathers(&progress, 1 + PROGRESS_GATHER_ENTRIES));
  progress_acknowledged(&progress, 1);
  assert_false(progress_gathers(&progress, 2));
}

static void progress_lets_nothing_wait_behind_much(void **state) {
  (void)state;
  struct progress progress = pipeline_behind(0);

  send(&progress, 1, PROGRESS_GATHER_BYTES - 1);
  assert_true(progress_gathers(&progress, 2));
  send(&progress, 2, 1);

  assert_false(progress_gathers(&progress, 3));
}

static void progress_waits_for_the_host_to_say_what_it_sent(void **state) {
  (void)state;
  struct progress progress = pipeline_behind(4);

  progress_ask(&progress, progress.sequence + 1, 0);

  assert_false(progress_open(&progress));
  progress_sent(&progress, 4, 0); /* nothing after all */
  assert_true(progress_open(&progress));
  assert_int_equal(progress.next, 5);
}

static void progress_catch_up_ends_with_the_acknowledgement_of_its_point(void **state) {
  (void)state;
  struct progress progress = pipeline_behind(4);
  progress_catch_up(&progress, 90);
  assert_false(progress_open(&progress));

  progress_acknowledged(&progress, 4); /* late */
  assert_int_equal(progress.state, PROGRESS_CATCH_UP);
  progress_acknowledged(&progress, 90);

  assert_int_equal(progress.state, PROGRESS_PIPELINE);
  assert_int_equal(progress.next, 91);
}

/* P13: whatever happens, when everything sent is acknowledged nothing is left in the window; and a probe begins with an empty one. */
static void progress_window_returns_to_nothing(void **state) {
  (void)state;
  struct chance chance = {chance_seed()};
  for (int round = 0; round < 2000; round++) {
    struct progress progress;
    entry_index last = 5;
    progress_init(&progress, last + 1, 0, 1);
    for (int step = 0; step < 80; step++) {
      switch (chance_below(&chance, 8)) {
        case 0: progress_probe(&progress, chance_below(&chance, last + 1)); break;
        case 1: progress_acknowledged(&progress, progress.match + chance_below(&chance, progress.next - progress.match)); break;
        case 2:
          if (progress.next <= last + 1) progress_catch_up(&progress, last);
          break;
        case 3: last += chance_below(&chance, 5); break;
        default:
          if (progress_open(&progress)) send(&progress, last, (uint32_t)chance_below(&chance, 3u << 20));
          break;
      }
      progress_check_invariants(&progress);
      if (progress.state != PROGRESS_PIPELINE) assert_int_equal(progress.window_bytes, 0);
      assert_true(progress.window_bytes < PROGRESS_BYTES_MAX + (3u << 20));
    }
    progress_acknowledged(&progress, last);
    assert_int_equal(progress.window_count, 0);
    assert_int_equal(progress.window_bytes, 0);
    assert_int_equal(progress.next, last + 1);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(progress_probes_with_one_message_at_a_time),
      cmocka_unit_test(progress_window_is_bounded_in_messages),
      cmocka_unit_test(progress_window_is_bounded_in_bytes),
      cmocka_unit_test(progress_lets_few_entries_wait_for_the_answer),
      cmocka_unit_test(progress_lets_nothing_wait_behind_much),
      cmocka_unit_test(progress_waits_for_the_host_to_say_what_it_sent),
      cmocka_unit_test(progress_catch_up_ends_with_the_acknowledgement_of_its_point),
      cmocka_unit_test(progress_window_returns_to_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
