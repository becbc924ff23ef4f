/* Majorities, drawn against a definition that is too slow to be wrong. */
#include "replication/quorum.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/replication/chance.h"

static bool majority_by_counting(member_set voters, member_set yes) {
  int for_it = 0;
  int all = 0;
  for (size_t i = 0; i < QUORUM_MEMBERS_MAX; i++) {
    all += (voters >> i) & 1;
    for_it += ((voters & yes) >> i) & 1;
  }
  return all > 0 && 2 * for_it > all;
}

/* Tries every index there is. */
static entry_index index_by_trying(const struct quorum *quorum, const entry_index *reached) {
  for (entry_index index = 20; index > 0; index--) {
    member_set have = 0;
    for (size_t i = 0; i < QUORUM_MEMBERS_MAX; i++) {
      if (reached[i] >= index) have |= member_set_of(i);
    }
    bool now = majority_by_counting(quorum->now, have);
    bool then = quorum->then == 0 || majority_by_counting(quorum->then, have);
    if (now && then) return index;
  }
  return 0;
}

static void quorum_of_any_set_is_more_than_half_of_it(void **state) {
  (void)state;
  for (member_set voters = 0; voters < 256; voters++) {
    for (member_set yes = 0; yes < 256; yes++) {
      assert_int_equal(quorum_majority(voters, yes), majority_by_counting(voters, yes));
    }
  }
}

static void quorum_of_two_sets_needs_both(void **state) {
  (void)state;
  struct quorum joint = {.now = 0x07, .then = 0x38};

  assert_false(quorum_reached(&joint, 0x03));
  assert_false(quorum_reached(&joint, 0x18));
  assert_true(quorum_reached(&joint, 0x1b));
}

static void quorum_index_is_the_greatest_that_enough_have_reached(void **state) {
  (void)state;
  struct chance chance = {chance_seed()};
  for (int round = 0; round < 20000; round++) {
    entry_index reached[QUORUM_MEMBERS_MAX];
    for (size_t i = 0; i < QUORUM_MEMBERS_MAX; i++) reached[i] = chance_below(&chance, 21);
    struct quorum quorum = {.now = (member_set)chance_next(&chance) & 0xffff};
    if (round % 2 == 0) quorum.then = (member_set)chance_next(&chance) & 0xffff;
    assert_int_equal(quorum_index(&quorum, reached), index_by_trying(&quorum, reached));
  }
}

static void quorum_vote_is_lost_when_the_rest_cannot_win_it(void **state) {
  (void)state;
  struct quorum five = {.now = 0x1f};
  struct quorum joint = {.now = 0x07, .then = 0x38};

  assert_int_equal(quorum_vote(&five, 0x03, 0x0c), QUORUM_OPEN);
  assert_int_equal(quorum_vote(&five, 0x03, 0x1c), QUORUM_LOST);
  assert_int_equal(quorum_vote(&five, 0x07, 0x18), QUORUM_WON);
  assert_int_equal(quorum_vote(&joint, 0x07, 0x08), QUORUM_OPEN);
  assert_int_equal(quorum_vote(&joint, 0x07, 0x18), QUORUM_LOST);
}

static void quorum_of_nobody_decides_nothing(void **state) {
  (void)state;
  struct quorum nobody = {0};
  entry_index reached[QUORUM_MEMBERS_MAX] = {9, 9, 9};

  assert_false(quorum_reached(&nobody, 0xffff));
  assert_int_equal(quorum_index(&nobody, reached), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(quorum_of_any_set_is_more_than_half_of_it),
      cmocka_unit_test(quorum_of_two_sets_needs_both),
      cmocka_unit_test(quorum_index_is_the_greatest_that_enough_have_reached),
      cmocka_unit_test(quorum_vote_is_lost_when_the_rest_cannot_win_it),
      cmocka_unit_test(quorum_of_nobody_decides_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
