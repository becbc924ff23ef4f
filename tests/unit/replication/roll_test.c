#include "replication/roll.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/unit/replication/chance.h"

static bool same(const struct roll *a, const struct roll *b) { return roll_digest_equal(roll_digest(a), roll_digest(b)); }

static void digest_does_not_depend_on_the_way_there(void **state) {
  (void)state;
  struct roll a, b;
  roll_init(&a, 1);
  roll_init(&b, 2);
  assert_true(same(&a, &b));

  for (group_id group = 0; group < 100; group++) roll_set(&a, group, group + 1);
  for (group_id group = 200; group-- > 0;) roll_set(&b, group, 7);
  for (group_id group = 100; group < 200; group++) roll_set(&b, group, 0);
  assert_false(same(&a, &b)); /* the same groups in other terms */
  for (group_id group = 0; group < 100; group++) roll_set(&b, group, group + 1);

  assert_true(same(&a, &b));
  assert_int_equal(roll_digest(&a).count, 100);
  roll_set(&a, 5, 0);
  assert_false(same(&a, &b));
  roll_set(&a, 5, 0); /* not there any more */
  assert_int_equal(roll_digest(&a).count, 99);
  roll_clear(&a);
  roll_clear(&b);
  assert_int_equal(roll_digest(&a).digest, 0);
  assert_true(same(&a, &b));
  roll_deinit(&a);
  roll_deinit(&b);
}

static void group_and_term_are_not_mistaken_for_each_other(void **state) {
  (void)state;
  struct roll a, b;
  roll_init(&a, 1);
  roll_init(&b, 1);
  roll_set(&a, 3, 4);
  roll_set(&a, 4, 3);
  roll_set(&b, 3, 3);
  roll_set(&b, 4, 4);
  assert_false(same(&a, &b));
  roll_deinit(&a);
  roll_deinit(&b);
}

/* Against an array; the digest of any two states is equal just when they are. */
static void random_walk_agrees_with_a_plain_table(void **state) {
  (void)state;
  enum { GROUPS = 24 };
  struct chance chance = {.state = chance_seed()};
  struct roll roll, copy;
  entry_term table[GROUPS] = {0};
  roll_init(&roll, 1);
  roll_init(&copy, 3);
  for (unsigned round = 0; round < 5000; round++) {
    group_id group = chance_below(&chance, GROUPS);
    entry_term term = chance_below(&chance, 4);
    bool changes = table[group] != term;
    struct roll_digest before = roll_digest(&roll);
    roll_set(&roll, group, term);
    table[group] = term;
    assert_int_equal(roll_digest_equal(before, roll_digest(&roll)), !changes);
    roll_copy(&copy, &roll);
    assert_true(same(&copy, &roll));

    struct map_cursor cursor = {0};
    size_t walked = 0, there = 0;
    while (roll_next(&roll, &cursor, &group, &term)) {
      assert_int_equal(table[group], term);
      walked++;
    }
    for (size_t i = 0; i < GROUPS; i++) {
      assert_int_equal(roll_term(&roll, i), table[i]);
      there += table[i] != 0;
    }
    assert_int_equal(walked, there);
    assert_int_equal(roll_digest(&roll).count, there);
  }
  roll_deinit(&roll);
  roll_deinit(&copy);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(digest_does_not_depend_on_the_way_there),
      cmocka_unit_test(group_and_term_are_not_mistaken_for_each_other),
      cmocka_unit_test(random_walk_agrees_with_a_plain_table),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
