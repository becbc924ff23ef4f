#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "log/tail.h"

#define PAYLOAD 1000u

struct fixture {
  struct tail_budget budget;
  struct tail_pool pool;
  struct tail a;
  struct tail b;
};
static struct fixture fixture;

static int set_up(void **state) {
  tail_budget_init(&fixture.budget, 10 * (PAYLOAD + sizeof(struct tail_slot)));
  tail_pool_init(&fixture.pool, &fixture.budget);
  tail_init(&fixture.a, 0);
  tail_init(&fixture.b, 0);
  tail_adopt(&fixture.a, &fixture.pool);
  tail_adopt(&fixture.b, &fixture.pool);
  *state = &fixture;
  return 0;
}
static int tear_down(void **state) {
  (void)state;
  tail_deinit(&fixture.a);
  tail_deinit(&fixture.b);
  assert_int_equal(fixture.pool.used, 0);
  assert_int_equal(fixture.budget.used, 0);
  tail_pool_deinit(&fixture.pool);
  return 0;
}

static void push(struct tail *tail, entry_index index, bool durable) {
  struct blob *blob = NULL;
  assert_int_equal(blob_new(NULL, PAYLOAD, &blob), STATUS_OK);
  struct entry entry = {
      .head = {.index = index, .record_count = 1, .base_offset = (record_offset)index - 1, .payload_size = PAYLOAD},
      .payload = {.blob = blob, .bytes = bytes_of(blob->data, PAYLOAD)}};
  struct tail_slot *slot = tail_push(tail, &entry, true);
  slot->durable = durable;
  slot->place.file = 1;
  blob_release(blob);
  tail_pool_evict(&fixture.pool);
}

static void what_arrived_first_leaves_first(void **state) {
  (void)state;
  for (entry_index i = 1; i <= 8; i++) push(&fixture.a, i, true);
  for (entry_index i = 1; i <= 6; i++) push(&fixture.b, i, true);

  assert_true(fixture.pool.used <= fixture.budget.limit);
  assert_false(tail_cached(&fixture.a, 4));
  assert_true(tail_cached(&fixture.a, 5));
  assert_true(tail_cached(&fixture.b, 1));
  assert_non_null(tail_at(&fixture.a, 1)); /* not flushed: its head and place stay */
}

static void flushed_and_evicted_slots_go(void **state) {
  (void)state;
  for (entry_index i = 1; i <= 20; i++) push(&fixture.a, i, true);

  tail_set_flushed(&fixture.a, 15);

  assert_null(tail_at(&fixture.a, 10));
  assert_non_null(tail_at(&fixture.a, 11));
  assert_int_equal(tail_find(&fixture.a, 12)->entry.head.index, 13);
}

static void what_is_not_durable_stays(void **state) {
  (void)state;
  for (entry_index i = 1; i <= 20; i++) push(&fixture.a, i, false);
  assert_true(tail_cached(&fixture.a, 1));

  for (entry_index i = 1; i <= 20; i++) tail_at(&fixture.a, i)->durable = true;
  tail_pool_evict(&fixture.pool);

  assert_false(tail_cached(&fixture.a, 1));
  assert_true(tail_cached(&fixture.a, 20));
}

static void a_cut_suffix_is_forgotten_and_its_place_reused(void **state) {
  (void)state;
  for (entry_index i = 1; i <= 6; i++) push(&fixture.a, i, true);

  tail_cut(&fixture.a, 3);
  assert_null(tail_at(&fixture.a, 3));
  for (entry_index i = 3; i <= 25; i++) push(&fixture.a, i, true);

  assert_true(fixture.pool.used <= fixture.budget.limit);
  assert_true(tail_cached(&fixture.a, 25));
}

static void a_pool_gives_back_what_is_beyond_its_share(void **state) {
  (void)state;
  for (entry_index i = 1; i <= 10; i++) push(&fixture.a, i, true);
  struct tail_pool other;
  tail_pool_init(&other, &fixture.budget);
  struct tail tail;
  tail_init(&tail, 0);
  tail_adopt(&tail, &other);
  for (entry_index i = 1; i <= 5; i++) push(&tail, i, true);

  tail_pool_evict(&fixture.pool);
  tail_pool_evict(&other);

  assert_true(tail_cached(&tail, 1));
  assert_true(fixture.budget.used <= fixture.budget.limit);
  tail_deinit(&tail);
  tail_pool_deinit(&other);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(what_arrived_first_leaves_first, set_up, tear_down),
      cmocka_unit_test_setup_teardown(flushed_and_evicted_slots_go, set_up, tear_down),
      cmocka_unit_test_setup_teardown(what_is_not_durable_stays, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_cut_suffix_is_forgotten_and_its_place_reused, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_pool_gives_back_what_is_beyond_its_share, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
