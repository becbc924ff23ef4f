/* The trail against a log that remembers every entry. */
#include "replication/trail.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/replication/chance.h"

#define LENGTH 400u

struct model {
  entry_index base;
  entry_index last;
  log_generation generation;
  entry_term term[LENGTH];
  log_generation born[LENGTH];
};

static entry_index durable_in(const struct model *model, entry_index index, log_generation generation) {
  entry_index durable = model->base;
  for (entry_index i = model->base + 1; i <= model->last && i <= index && model->born[i] <= generation; i++) durable = i;
  return index < model->base ? index : durable;
}

static entry_index find_in(const struct model *model, entry_index index, entry_term term) {
  if (index > model->last) index = model->last;
  while (index > model->base && model->term[index] > term) index--;
  return index;
}

static void compare(const struct trail *trail, const struct model *model, struct chance *chance) {
  trail_check_invariants(trail);
  assert_int_equal(trail->last_index, model->last);
  assert_int_equal(trail->base_index, model->base);
  assert_int_equal(trail->generation, model->generation);
  for (entry_index i = 0; i <= model->last + 1; i++) {
    entry_term term = 0;
    bool known = trail_term(trail, i, &term);
    assert_int_equal(known, i >= model->base && i <= model->last);
    if (known) assert_int_equal(term, model->term[i]);
  }
  entry_index index = chance_below(chance, model->last + 5);
  log_generation generation = chance_below(chance, model->generation + 1);
  if (index >= model->base) assert_int_equal(trail_durable(trail, index, generation), durable_in(model, index, generation));
  entry_term term = chance_below(chance, model->term[model->last] + 2);
  assert_int_equal(trail_find(trail, index, term), find_in(model, index, term));
}

static void append(struct trail *trail, struct model *model, struct chance *chance) {
  entry_index first = model->last + 1;
  entry_index last = first + chance_below(chance, 4);
  if (last >= LENGTH) return;
  entry_term term = model->term[model->last] + chance_below(chance, 3) / 2;
  trail_append(trail, first, last, term);
  for (entry_index i = first; i <= last; i++) {
    model->term[i] = term;
    model->born[i] = model->generation;
  }
  model->last = last;
}

static void cut(struct trail *trail, struct model *model, struct chance *chance) {
  if (model->last == model->base) return;
  entry_index from = model->base + 1 + chance_below(chance, model->last - model->base);
  trail_cut(trail, from);
  model->last = from - 1;
  model->generation++;
}

static void trail_remembers_what_a_whole_log_would(void **state) {
  (void)state;
  struct chance chance = {chance_seed()};
  for (int round = 0; round < 200; round++) {
    struct model model = {0};
    struct trail trail;
    trail_init(&trail, 0, 0);
    for (int step = 0; step < 60; step++) {
      uint64_t what = chance_below(&chance, 10);
      if (what < 6) append(&trail, &model, &chance);
      else if (what < 8) cut(&trail, &model, &chance);
      else if (what < 9) {
        model.base += chance_below(&chance, model.last - model.base + 1);
        trail_forget(&trail, model.base);
      } else {
        compare(&trail, &model, &chance);
      }
    }
    compare(&trail, &model, &chance);
    trail_deinit(&trail);
  }
}

/* etcd calls it the ABA race of asynchronous writes. */
static void trail_tells_entries_apart_that_were_at_one_place_at_different_times(void **state) {
  (void)state;
  struct trail trail;
  trail_init(&trail, 0, 0);
  trail_append(&trail, 1, 4, 1);
  log_generation first = trail.generation;

  trail_cut(&trail, 3);
  trail_append(&trail, 3, 3, 2);
  trail_cut(&trail, 3);
  trail_append(&trail, 3, 4, 2);

  assert_int_equal(trail_durable(&trail, 4, first), 2);
  assert_int_equal(trail_durable(&trail, 4, trail.generation), 4);
  trail_deinit(&trail);
}

static void trail_of_one_term_is_one_run(void **state) {
  (void)state;
  struct trail trail;
  trail_init(&trail, 0, 0);

  for (entry_index i = 1; i <= 10000; i++) trail_append(&trail, i, i, 7);

  assert_int_equal(trail.count, 1);
  trail_deinit(&trail);
}

static void trail_forgets_the_oldest_runs_of_what_is_committed(void **state) {
  (void)state;
  struct trail trail;
  trail_init(&trail, 0, 0);
  for (entry_index i = 1; i <= 200; i++) trail_append(&trail, i, i, i);

  trail_limit(&trail, 100);
  assert_int_equal(trail.base_index, 100);
  assert_int_equal(trail.base_term, 100);
  trail_limit(&trail, 200);

  assert_int_equal(trail.count, TRAIL_RUNS_KEPT);
  assert_true(trail_has(&trail, 200, 200));
  trail_check_invariants(&trail);
  trail_deinit(&trail);
}

static void trail_reset_ends_at_the_snapshot(void **state) {
  (void)state;
  struct trail trail;
  trail_init(&trail, 0, 0);
  trail_append(&trail, 1, 5, 2);

  trail_reset(&trail, 90, 6);

  assert_true(trail_has(&trail, 90, 6));
  assert_false(trail_has(&trail, 5, 2));
  trail_append(&trail, 91, 91, 6);
  assert_int_equal(trail_durable(&trail, 91, 0), 90);
  trail_deinit(&trail);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(trail_remembers_what_a_whole_log_would),
      cmocka_unit_test(trail_tells_entries_apart_that_were_at_one_place_at_different_times),
      cmocka_unit_test(trail_of_one_term_is_one_run),
      cmocka_unit_test(trail_forgets_the_oldest_runs_of_what_is_committed),
      cmocka_unit_test(trail_reset_ends_at_the_snapshot),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
