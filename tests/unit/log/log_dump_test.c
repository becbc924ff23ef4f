/* What waits for a dump: the entries that the cluster's map stands for, so that the store is never the only one that knows the map, and the files of
 * the journal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "log/dump.h"
#include "tests/unit/log/log_fixture.h"

#define MAP 0u     /* group 0: its state is the map */
#define RECORDS 1u /* whose appends make the ring go round */

static enum status give_state(void *context, struct buffer *out) {
  (void)context;
  return buffer_append_string(out, "map");
}
static void own(void *context) { log_set_owner(context, &(struct log_owner){.snapshot = give_state}); }

static void keep_none(void *context) { log_keep_newest(context, 0, UINT64_MAX); }

/* The start that the disk knows after that. */
static entry_index kept_from(struct fixture *fixture) {
  fixture_run(fixture, MAP, keep_none, fixture->logs[MAP]);
  fixture_checkpoint(fixture);
  return fixture_view(fixture, MAP).start_index;
}

static entry_index recovered_applied(const struct fixture *fixture) {
  entry_index applied = 0;
  (void)log_recovered_state(fixture->logs[MAP], &applied);
  return applied;
}

static void make_ring_small(struct fixture *fixture) {
  fixture->options.journal.file_bytes = 256u << 10;
  fixture->options.journal.ring_bytes = 6 * (256u << 10);
}

/* Whether it could. */
static bool append_records(struct fixture *fixture) {
  for (unsigned i = 0; log_set_admit(fixture->set, 20000) != STATUS_OK; i++) {
    if (i == 300) return false;
    fixture_checkpoint(fixture);
    usleep(1000);
  }
  log_set_admit_undo(fixture->set, 20000);
  fixture_append(fixture, RECORDS, 1, 20000, true);
  return true;
}

static uint64_t oldest_file(const struct fixture *fixture) { return journal_usage(log_set_journal(fixture->set)).oldest_file; }

/* A map of 3 commands is in store and dump. */
static void open_with_a_map(struct fixture *fixture) {
  make_ring_small(fixture);
  assert_int_equal(fixture_open(fixture), STATUS_OK);
  fixture_create(fixture, MAP, 1u << 20);
  fixture_create(fixture, RECORDS, 1u << 20);
  fixture_run(fixture, MAP, own, fixture->logs[MAP]);
  fixture_append(fixture, MAP, 3, 100, true);
  fixture_checkpoint(fixture);
}

/* Of the map what the newest dump has, and every command behind that. */
static void assert_nothing_lost_with_the_store(struct fixture *fixture) {
  char path[512];
  fixture_path(fixture, "store.mdb", path, sizeof path);
  assert_int_equal(truncate(path, 0), 0);
  assert_int_equal(fixture_open(fixture), STATUS_OK);
  assert_true(fixture->report.store_rebuilt);
  assert_false(fixture_view(fixture, MAP).damaged);
  assert_int_equal(fixture_view(fixture, MAP).last_index, 10);
  assert_in_range(recovered_applied(fixture), 3, 10);
  fixture_commit_all(fixture, MAP);
  assert_int_equal(fixture_read_all(fixture, MAP, 3, 65536, 100), 7);
}

static void the_maps_log_waits_for_a_dump_that_failed(void **state) {
  struct fixture *fixture = *state;
  open_with_a_map(fixture);
  atomic_store(&fixture->fault.dumps_fail, true);
  fixture_append(fixture, MAP, 7, 100, true);
  fixture_checkpoint(fixture);
  assert_int_equal(fixture_view(fixture, MAP).stored_index, 10);

  assert_true(kept_from(fixture) <= 4);
  fixture_reopen(fixture, false); /* a start takes the journal's files away that the store has no use for */
  assert_int_equal(recovered_applied(fixture), 10);
  fixture_close(fixture, false);
  atomic_store(&fixture->fault.dumps_fail, false);

  assert_nothing_lost_with_the_store(fixture);
}

/* There the journal does not wait, or there would never be space for one. */
static void the_maps_log_waits_for_a_dump_on_a_full_disk(void **state) {
  struct fixture *fixture = *state;
  open_with_a_map(fixture);
  atomic_store(&fixture->fault.no_room_for_dumps, true);
  fixture_append(fixture, MAP, 7, 100, true);
  fixture_checkpoint(fixture);
  assert_true(kept_from(fixture) <= 4);
  for (int i = 0; i < 100; i++) assert_true(append_records(fixture));
  assert_true(oldest_file(fixture) > 3);
  assert_true(kept_from(fixture) <= 4);
  fixture_close(fixture, false);
  atomic_store(&fixture->fault.no_room_for_dumps, false);

  assert_nothing_lost_with_the_store(fixture);
}

static void the_maps_log_goes_when_a_dump_has_the_map(void **state) {
  struct fixture *fixture = *state;
  open_with_a_map(fixture);
  atomic_store(&fixture->fault.dumps_fail, true);
  fixture_append(fixture, MAP, 7, 100, true);
  fixture_checkpoint(fixture);
  assert_true(kept_from(fixture) <= 4);

  atomic_store(&fixture->fault.dumps_fail, false);
  fixture_checkpoint(fixture);

  assert_int_equal(kept_from(fixture), 11);
}

static uint64_t newest_dump(struct fixture *fixture) {
  uint64_t generations[DUMP_LIST_MAX];
  return dump_list(fixture->world->disk, generations, DUMP_LIST_MAX) > 0 ? generations[0] : 0;
}

/* It takes the journal's files that would have told the same. */
static void a_start_writes_the_dump_that_failed_before_it(void **state) {
  struct fixture *fixture = *state;
  open_with_a_map(fixture);
  uint64_t before = newest_dump(fixture);
  atomic_store(&fixture->fault.dumps_fail, true);
  fixture_create(fixture, 2, 1u << 20);
  fixture_checkpoint(fixture);
  fixture_close(fixture, false);
  assert_int_equal(newest_dump(fixture), before);
  atomic_store(&fixture->fault.dumps_fail, false);

  assert_int_equal(fixture_open(fixture), STATUS_OK);

  assert_int_equal(newest_dump(fixture), before + 1);
  fixture_reopen(fixture, false);
  assert_int_equal(newest_dump(fixture), before + 1); /* once */
}

/* Nothing else changes: the store is alone with it until the disk has room, and no longer. */
static void a_dump_that_found_no_room_is_written_when_there_is_some(void **state) {
  struct fixture *fixture = *state;
  open_with_a_map(fixture);
  fixture_reopen(fixture, true);
  fixture_checkpoint(fixture);
  uint64_t before = newest_dump(fixture);
  atomic_store(&fixture->fault.no_room_for_dumps, true);
  fixture_create(fixture, 2, 1u << 20);
  fixture_checkpoint(fixture);
  fixture_checkpoint(fixture);
  assert_int_equal(newest_dump(fixture), before);

  atomic_store(&fixture->fault.no_room_for_dumps, false);
  fixture_checkpoint(fixture);

  assert_int_equal(newest_dump(fixture), before + 1);
  fixture_checkpoint(fixture);
  assert_int_equal(newest_dump(fixture), before + 1); /* once */
}

/* The checkpoint before was taken before its dump was written, so its row names the one before that: that this one is there says nothing. */
static void a_start_that_ends_before_its_dump_leaves_it_to_the_next(void **state) {
  struct fixture *fixture = *state;
  open_with_a_map(fixture);
  uint64_t before = newest_dump(fixture);
  fixture_create(fixture, 2, 1u << 20);
  fixture_close(fixture, false);
  assert_int_equal(newest_dump(fixture), before);
  atomic_store(&fixture->fault.dumps_fail, true);
  atomic_store(&fixture->fault.journal_fails, true);
  assert_int_equal(fixture_open(fixture), STATUS_IO);
  atomic_store(&fixture->fault.dumps_fail, false);
  atomic_store(&fixture->fault.journal_fails, false);

  assert_int_equal(fixture_open(fixture), STATUS_OK);

  assert_int_equal(newest_dump(fixture), before + 1);
}

/* Everything is flushed and stored, so that the rounds have nothing to do, and nothing comes: there is no room for it. */
static void a_full_journal_comes_free_by_itself_when_a_dump_can_be_written(void **state) {
  struct fixture *fixture = *state;
  open_with_a_map(fixture);
  atomic_store(&fixture->fault.dumps_fail, true);
  fixture_create(fixture, 2, 1u << 20); /* the store alone would know of it */
  while (append_records(fixture)) continue;

  atomic_store(&fixture->fault.dumps_fail, false);

  unsigned tries = 0;
  while (log_set_admit(fixture->set, 20000) != STATUS_OK) {
    assert_true(++tries < 1000);
    usleep(10000);
  }
  log_set_admit_undo(fixture->set, 20000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(the_maps_log_waits_for_a_dump_that_failed),
      TEST(the_maps_log_waits_for_a_dump_on_a_full_disk),
      TEST(the_maps_log_goes_when_a_dump_has_the_map),
      TEST(a_start_writes_the_dump_that_failed_before_it),
      TEST(a_dump_that_found_no_room_is_written_when_there_is_some),
      TEST(a_start_that_ends_before_its_dump_leaves_it_to_the_next),
      TEST(a_full_journal_comes_free_by_itself_when_a_dump_can_be_written),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
