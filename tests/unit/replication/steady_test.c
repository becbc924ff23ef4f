#include "replication/steady.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define PATIENCE 1000u

static struct steady steady;
static uint64_t now;

static int set_up(void **state) {
  (void)state;
  steady = (struct steady){0};
  now = 50;
  return 0;
}

static void edge(enum peer_edge what) { steady_edge(&steady, what, PATIENCE, now); }

static enum steadiness after(uint64_t past) {
  uint64_t due = 0;
  now += past;
  return steady_of(&steady, PATIENCE, now, &due);
}

static uint64_t due(void) {
  uint64_t due_ns = 0;
  (void)steady_of(&steady, PATIENCE, now, &due_ns);
  return due_ns;
}

static void nobody_is_steady_before_he_was_heard_of(void **state) {
  (void)state;
  assert_int_equal(after(100 * PATIENCE), UNSTEADY);
  assert_int_equal(due(), STEADY_NEVER);
}

static void who_is_up_for_long_enough_is_steady(void **state) {
  (void)state;
  edge(PEER_UP);
  assert_int_equal(after(PATIENCE - 1), UNSTEADY);
  assert_int_equal(due(), now + 1);
  assert_int_equal(after(1), STEADY);
  assert_int_equal(due(), STEADY_NEVER);
}

static void who_falls_is_not_and_begins_anew(void **state) {
  (void)state;
  edge(PEER_UP);
  assert_int_equal(after(10 * PATIENCE), STEADY);
  edge(PEER_DOWN);
  assert_int_equal(after(0), UNSTEADY);
  assert_int_equal(after(10 * PATIENCE), UNSTEADY);
  edge(PEER_UP);
  assert_int_equal(after(PATIENCE - 1), UNSTEADY);
  assert_int_equal(after(1), STEADY);
}

static void a_lost_connection_counts_too(void **state) {
  (void)state;
  edge(PEER_UP);
  assert_int_equal(after(2 * PATIENCE), STEADY);
  edge(PEER_RESET);
  assert_int_equal(after(PATIENCE - 1), UNSTEADY);
  edge(PEER_ROOM);
  assert_int_equal(after(1), STEADY);
}

static void who_is_reluctant_for_long_is_out_whether_up_or_down(void **state) {
  (void)state;
  edge(PEER_UP);
  assert_int_equal(after(PATIENCE), STEADY);
  edge(PEER_RELUCTANT);
  assert_int_equal(after(PATIENCE - 1), UNSTEADY);
  assert_int_equal(after(1), STEADILY_OUT);
  edge(PEER_DOWN);
  assert_int_equal(after(0), STEADILY_OUT);
  edge(PEER_WILLING);
  assert_int_equal(after(10 * PATIENCE), UNSTEADY);
}

static void a_moment_of_reluctance_is_waited_for(void **state) {
  (void)state;
  edge(PEER_UP);
  (void)after(PATIENCE);
  edge(PEER_RELUCTANT);
  assert_int_equal(after(PATIENCE / 2), UNSTEADY);
  edge(PEER_WILLING);
  assert_int_equal(after(PATIENCE - 1), UNSTEADY);
  assert_int_equal(after(1), STEADY);
}

static void who_is_reluctant_as_he_stops_is_down_like_any_other(void **state) {
  (void)state;
  edge(PEER_UP);
  (void)after(PATIENCE);
  edge(PEER_RELUCTANT);
  (void)after(PATIENCE - 1);
  edge(PEER_DOWN);
  assert_int_equal(after(10 * PATIENCE), UNSTEADY);
  assert_int_equal(due(), STEADY_NEVER);
  edge(PEER_WILLING);
  edge(PEER_UP);
  assert_int_equal(after(PATIENCE), STEADY);
}

static void who_comes_back_reluctant_is_out_again(void **state) {
  (void)state;
  edge(PEER_UP);
  edge(PEER_RELUCTANT);
  edge(PEER_DOWN);
  (void)after(10 * PATIENCE);
  edge(PEER_UP);
  assert_int_equal(after(PATIENCE), STEADILY_OUT);
}

/* How long it has to be up now. */
static uint64_t needed(void) {
  uint64_t begun = now;
  edge(PEER_UP);
  assert_int_equal(after(0), UNSTEADY);
  now = due();
  assert_int_equal(after(0), STEADY);
  return now - begun;
}

static void who_falls_again_and_again_has_to_be_steady_for_longer(void **state) {
  (void)state;
  uint64_t expected[] = {1, 1, 2, 4, 8, 16, 32, 32, 32};
  for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
    assert_int_equal(needed(), expected[i] * PATIENCE);
    edge(PEER_DOWN);
    (void)after(10);
  }
}

static void falls_are_forgiven_after_long(void **state) {
  (void)state;
  for (int falls = 0; falls < 4; falls++) {
    (void)needed();
    edge(PEER_DOWN);
  }
  assert_int_equal(needed(), 8 * PATIENCE);
  (void)after(STEADY_FORGIVEN * PATIENCE);
  edge(PEER_DOWN);
  assert_int_equal(needed(), PATIENCE);
}

static void who_flaps_is_never_steady(void **state) {
  (void)state;
  for (int i = 0; i < 100; i++) {
    edge(PEER_UP);
    assert_int_equal(after(PATIENCE - 1), UNSTEADY);
    edge(PEER_DOWN);
    assert_int_equal(after(5), UNSTEADY);
  }
}

static void brokers_are_told_apart_and_the_dead_give_way(void **state) {
  (void)state;
  static struct steady_brokers brokers;
  uint64_t due_ns = 0;
  brokers = (struct steady_brokers){.patience_ns = PATIENCE};
  for (broker_id broker = 1; broker <= PEER_BROKERS_MAX; broker++) steady_brokers_edge(&brokers, broker, PEER_UP, 0);
  steady_brokers_edge(&brokers, 7, PEER_DOWN, 10);
  steady_brokers_edge(&brokers, 500, PEER_UP, 20);

  assert_int_equal(brokers.count, PEER_BROKERS_MAX);
  assert_int_equal(steady_brokers_of(&brokers, 1, PATIENCE, &due_ns), STEADY);
  assert_int_equal(steady_brokers_of(&brokers, 500, PATIENCE, &due_ns), UNSTEADY);
  assert_int_equal(due_ns, 20 + PATIENCE);
  assert_int_equal(steady_brokers_of(&brokers, 7, PATIENCE, &due_ns), UNSTEADY);
  assert_int_equal(due_ns, STEADY_NEVER);
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(nobody_is_steady_before_he_was_heard_of),
      TEST(who_is_up_for_long_enough_is_steady),
      TEST(who_falls_is_not_and_begins_anew),
      TEST(a_lost_connection_counts_too),
      TEST(who_is_reluctant_for_long_is_out_whether_up_or_down),
      TEST(who_is_reluctant_as_he_stops_is_down_like_any_other),
      TEST(who_comes_back_reluctant_is_out_again),
      TEST(a_moment_of_reluctance_is_waited_for),
      TEST(who_falls_again_and_again_has_to_be_steady_for_longer),
      TEST(falls_are_forgiven_after_long),
      TEST(who_flaps_is_never_steady),
      TEST(brokers_are_told_apart_and_the_dead_give_way),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
