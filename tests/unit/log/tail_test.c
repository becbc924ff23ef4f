#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "log/tail.h"

#define PAYLOAD 1000u
#define COST (PAYLOAD + sizeof(struct blob) + sizeof(struct tail_slot))

struct fixture {
  struct tail_budget budget;
  struct tail_pool pool;
  struct tail a;
  struct tail b;
};
static struct fixture fixture;

static int set_up(void **state) {
  tail_budget_init(&fixture.budget, 10 * COST);
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

static void push_part(struct tail *tail, entry_index index, bool durable, struct blob *blob) {
  struct entry entry = {
      .head = {.index = index, .record_count = 1, .base_offset = (record_offset)index - 1, .payload_size = PAYLOAD},
      .payload = {.blob = blob, .bytes = bytes_of(blob->data, PAYLOAD)}};
  struct tail_slot *slot = tail_push(tail, &entry, true);
  slot->durable = durable;
  slot->place.file = 1;
  tail_pool_evict(&fixture.pool);
}

static struct blob *new_blob(size_t size) {
  struct blob *blob = NULL;
  assert_int_equal(blob_new(NULL, size, &blob), STATUS_OK);
  return blob;
}

static void push(struct tail *tail, entry_index index, bool durable) {
  struct blob *blob = new_blob(PAYLOAD);
  push_part(tail, index, durable, blob);
  blob_release(blob);
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

/* What is held is all that came with it, also what nobody kept. */
static void an_entry_costs_what_it_holds(void **state) {
  (void)state;
  for (entry_index i = 1; i <= 6; i++) {
    struct blob *blob = new_blob(4 * PAYLOAD);
    push_part(&fixture.a, i, true, blob);
    blob_release(blob);
  }
  assert_true(fixture.pool.used <= fixture.budget.limit);
  assert_false(tail_cached(&fixture.a, 4));
  assert_true(tail_cached(&fixture.a, 5));
}

static void what_arrives_together_is_paid_for_once(void **state) {
  (void)state;
  struct blob *blob = new_blob(4 * PAYLOAD);
  push_part(&fixture.a, 1, true, blob);
  push_part(&fixture.b, 1, true, blob);
  push_part(&fixture.a, 2, true, blob);
  assert_int_equal(fixture.pool.used, 4 * PAYLOAD + sizeof(struct blob) + 3 * sizeof(struct tail_slot));

  tail_cut(&fixture.a, 2); /* the last of it goes, and may be freed: whatever comes next pays for itself */
  blob_release(blob);
  push(&fixture.a, 2, true);
  assert_int_equal(fixture.pool.used, 4 * PAYLOAD + sizeof(struct blob) + 2 * sizeof(struct tail_slot) + COST);
}

/* What comes next may lie where that was, and is another. */
static void what_is_freed_is_not_taken_for_what_came_before(void **state) {
  (void)state;
  for (int i = 0; i < 20; i++) {
    push(&fixture.a, 1, true);
    assert_int_equal(fixture.pool.used, COST);
    tail_cut(&fixture.a, 1);
    assert_int_equal(fixture.pool.used, 0);
  }
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(what_arrived_first_leaves_first),
      TEST(an_entry_costs_what_it_holds),
      TEST(what_arrives_together_is_paid_for_once),
      TEST(what_is_freed_is_not_taken_for_what_came_before),
      TEST(flushed_and_evicted_slots_go),
      TEST(what_is_not_durable_stays),
      TEST(a_cut_suffix_is_forgotten_and_its_place_reused),
      TEST(a_pool_gives_back_what_is_beyond_its_share),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
