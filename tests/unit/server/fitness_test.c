#include "server/fitness.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define MS ((uint64_t)1000000)

static const struct raft_timing timing = {.election_ns = 1000 * MS, .heartbeat_ns = 100 * MS};
static struct fitness fitness;
static uint64_t now_ns;

static int set_up(void **state) {
  (void)state;
  fitness = (struct fitness){0};
  now_ns = 77 * MS;
  return 0;
}

/* Beats for so long; the wish of the last one. */
static enum peers_wish after(unsigned ms, bool lacks, bool roomy) {
  struct fitness_look look = {.lacks = lacks, .roomy = roomy};
  enum peers_wish wish = PEERS_WILLING;
  for (unsigned past = 0; past <= ms; past += 100, now_ns += 100 * MS) wish = fitness_of(&fitness, &look, &timing, now_ns);
  return wish;
}

static void room_keeps_it_willing(void **state) {
  (void)state;
  assert_int_equal(after(5000, false, true), PEERS_WILLING);
  assert_int_equal(after(5000, false, false), PEERS_WILLING);
}

static void what_lacks_space_for_some_beats_leaves_and_says_so_at_once(void **state) {
  (void)state;
  assert_int_equal(after(0, true, false), PEERS_KEEPS);
  assert_int_equal(after(100, true, false), PEERS_KEEPS);
  assert_int_equal(after(0, true, false), PEERS_LEAVES);
  assert_int_equal(after(60000, true, false), PEERS_LEAVES);
}

static void a_moment_without_space_moves_nothing(void **state) {
  (void)state;
  for (unsigned i = 0; i < 20; i++) {
    assert_int_equal(after(100, true, false), PEERS_KEEPS);
    assert_int_equal(after(0, false, true), PEERS_KEEPS);
  }
  assert_int_equal(after(1000, false, true), PEERS_WILLING);
}

static void a_little_space_is_not_room(void **state) {
  (void)state;
  (void)after(1000, true, false);
  assert_int_equal(after(10000, false, false), PEERS_LEAVES);
  (void)set_up(state);
  (void)after(0, true, false);
  assert_int_equal(after(10000, false, false), PEERS_KEEPS);
}

static void who_has_room_again_keeps_at_once_and_takes_after_an_election_timeout(void **state) {
  (void)state;
  (void)after(1000, true, false);
  assert_int_equal(after(900, false, true), PEERS_KEEPS);
  assert_int_equal(after(300, false, true), PEERS_WILLING);
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)
int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(room_keeps_it_willing),
      TEST(what_lacks_space_for_some_beats_leaves_and_says_so_at_once),
      TEST(a_moment_without_space_moves_nothing),
      TEST(a_little_space_is_not_room),
      TEST(who_has_room_again_keeps_at_once_and_takes_after_an_election_timeout),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
