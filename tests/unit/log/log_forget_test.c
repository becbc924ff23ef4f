/* How long a start remembers logs that are gone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/list.h"
#include "base/memory.h"
#include "log/dump.h"
#include "log/tables.h"
#include "tests/unit/log/log_fixture.h"

static void count_row(void *context, unsigned table, struct bytes key, struct bytes value) {
  size_t *rows = context;
  (void)key;
  (void)value;
  *rows += table == TABLE_GROUP || table == TABLE_STATE;
}

/* Stops, and counts the rows of logs in the store by the dump that a stop writes. */
static size_t close_and_count(struct fixture *fixture) {
  uint64_t generations[DUMP_LIST_MAX];
  size_t rows = 0;
  fixture_close(fixture, true);
  assert_true(dump_list(fixture->world->disk, generations, DUMP_LIST_MAX) > 0);
  assert_int_equal(dump_read(fixture->world->disk, generations[0], count_row, &rows), STATUS_OK);
  return rows;
}

/* Starts write the journal anew. */
static size_t count_when_forgotten(struct fixture *fixture) {
  size_t rows = 0;
  for (int start = 0; start < 3; start++) {
    assert_int_equal(fixture_open(fixture), STATUS_OK);
    assert_int_equal(fixture->log_count, 2);
    rows = close_and_count(fixture);
  }
  return rows;
}

static void open_with_logs(struct fixture *fixture) {
  assert_int_equal(fixture_open(fixture), STATUS_OK);
  for (group_id group = 1; group <= 5; group++) {
    fixture_create(fixture, group, 1u << 20);
    fixture_append(fixture, group, 20, 1000, true);
  }
  fixture_checkpoint(fixture);
}

/* While the journal has something of them they have to be known for gone. */
static void logs_that_are_gone_are_forgotten_when_nothing_tells_of_them(void **state) {
  struct fixture *fixture = *state;
  open_with_logs(fixture);
  for (group_id group = 2; group <= 4; group++) fixture_delete(fixture, group);
  fixture_checkpoint(fixture);
  assert_int_equal(close_and_count(fixture), 5);

  assert_int_equal(fixture_open(fixture), STATUS_OK); /* the journal tells how they began and ended */
  assert_int_equal(fixture->log_count, 2);
  assert_int_equal(close_and_count(fixture), 5);
  assert_int_equal(count_when_forgotten(fixture), 2);

  assert_int_equal(fixture_open(fixture), STATUS_OK);
  assert_int_equal(fixture->log_count, 2);
  fixture_create_beside(fixture, 3, 7, 1u << 20); /* it comes back, as another series */
  fixture_append(fixture, 3, 10, 1000, true);
  fixture_reopen(fixture, false);
  assert_int_equal(fixture_view(fixture, 3).last_index, 10);
}

/* A start that closes them itself leaves no more behind. */
static void logs_that_a_start_has_closed_are_forgotten_too(void **state) {
  struct fixture *fixture = *state;
  open_with_logs(fixture);
  for (group_id group = 2; group <= 4; group++) fixture_delete(fixture, group);
  fixture_reopen(fixture, false);
  assert_int_equal(fixture->log_count, 2);
  fixture_close(fixture, true);

  assert_int_equal(count_when_forgotten(fixture), 2);
}

/* Its files would be nobody's. */
static void a_log_of_which_files_are_left_is_remembered(void **state) {
  struct fixture *fixture = *state;
  char directory[512];
  char command[1200];
  open_with_logs(fixture);
  fixture_delete(fixture, 2);
  fixture_checkpoint(fixture);
  fixture_close(fixture, true);
  fixture_path(fixture, "p/2-1", directory, sizeof directory);
  snprintf(command, sizeof command, "mkdir -p '%s' && touch '%s/something-else'", directory, directory);
  for (int start = 0; start < 3; start++) {
    assert_int_equal(system(command), 0);
    assert_int_equal(fixture_open(fixture), STATUS_OK);
    assert_int_equal(fixture->log_count, 4);
    assert_int_equal(close_and_count(fixture), 5);
  }
}

/* ---- A store that has room for small transactions alone ---- */

#define TIGHT_CHANGES_MAX 5u

struct tight {
  struct store store;
  struct store *inner;
};

static struct store *inner_of(struct store *store) { return container_of(store, struct tight, store)->inner; }
static enum status tight_commit(struct store *store, const struct store_change *changes, size_t count) {
  return count > TIGHT_CHANGES_MAX ? STATUS_NO_SPACE : store_commit(inner_of(store), changes, count);
}
static enum status tight_get(struct store *store, unsigned table, struct bytes key, struct buffer *out_value) {
  return store_get(inner_of(store), table, key, out_value);
}
static enum status tight_floor(struct store *store, unsigned table, struct bytes key, struct buffer *out_key,
                               struct buffer *out_value) {
  return store_floor(inner_of(store), table, key, out_key, out_value);
}
static enum status tight_walk(struct store *store, unsigned table, struct bytes from,
                              bool (*visit)(void *context, struct bytes key, struct bytes value), void *context) {
  return store_walk(inner_of(store), table, from, visit, context);
}
static void tight_close(struct store *store) {
  store_close(inner_of(store));
  memory_free(container_of(store, struct tight, store));
}
static const struct store_ops tight_ops = {
    .commit = tight_commit, .get = tight_get, .floor = tight_floor, .walk = tight_walk, .close = tight_close};

static const struct world_ops *roomy_ops;

static enum status open_tight(struct world *world, const char *path, uint64_t size_max, unsigned flags,
                              struct store **out_store) {
  struct store *inner = NULL;
  enum status status = roomy_ops->store_open(world, path, size_max, flags, &inner);
  if (status != STATUS_OK) return status;
  struct tight *tight = NEW(struct tight);
  *tight = (struct tight){.store.ops = &tight_ops, .inner = inner};
  *out_store = &tight->store;
  return STATUS_OK;
}

static void a_start_needs_no_room_in_the_store_to_forget(void **state) {
  struct fixture *fixture = *state;
  open_with_logs(fixture);
  for (group_id group = 2; group <= 4; group++) fixture_delete(fixture, group);
  fixture_checkpoint(fixture);
  fixture_reopen(fixture, false); /* the rows of their segments go */
  fixture_close(fixture, false);
  roomy_ops = fixture->world->ops;
  struct world_ops ops = *roomy_ops;
  ops.store_open = open_tight;
  fixture->world->ops = &ops;
  for (int start = 0; start < 4; start++) {
    assert_int_equal(fixture_open(fixture), STATUS_OK);
    assert_int_equal(fixture->log_count, 2);
    fixture_close(fixture, false);
  }
  fixture->world->ops = roomy_ops;

  assert_int_equal(fixture_open(fixture), STATUS_OK);
  assert_int_equal(close_and_count(fixture), 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(logs_that_are_gone_are_forgotten_when_nothing_tells_of_them),
      TEST(logs_that_a_start_has_closed_are_forgotten_too),
      TEST(a_log_of_which_files_are_left_is_remembered),
      TEST(a_start_needs_no_room_in_the_store_to_forget),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
