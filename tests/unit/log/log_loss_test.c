/* What rot takes out of the journal while the logs are in use, and what of that outlives a start. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/trace.h"
#include "tests/unit/log/log_hand.h"

#define GROUP 1u
#define ENTRIES 20u
#define VALUE_BYTES 9000u

static void drop_line(void *context, const char *line) { (void)context, (void)line; }

static int set_up(void **state) {
  trace_set_sink(drop_line, NULL);
  struct fixture *fixture = fixture_new();
  assert_int_equal(fixture_open(fixture), STATUS_OK);
  fixture_create(fixture, GROUP, 1u << 20);
  *state = fixture;
  return 0;
}

static int tear_down(void **state) {
  fixture_free(*state);
  trace_set_sink(NULL, NULL);
  return 0;
}

/* A byte in the middle of each payload of this fill, wherever in the journal it stands. */
static void rot_record(struct fixture *fixture, uint8_t fill) {
  static uint8_t bytes[5u << 20];
  uint8_t wanted[64];
  char files[64][64];
  unsigned flips = 0;
  memset(wanted, fill, sizeof wanted);
  size_t count = fixture_list(fixture, "journal", files, 64);
  for (size_t i = 0; i < count; i++) {
    char path[128];
    char real[256];
    snprintf(path, sizeof path, "journal/%s", files[i]);
    fixture_path(fixture, path, real, sizeof real);
    FILE *file = fopen(real, "rb");
    if (file == NULL) continue; /* it has got its name meanwhile: it is new */
    size_t got = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    const uint8_t *at = memmem(bytes, got, wanted, sizeof wanted);
    if (at == NULL) continue;
    fixture_flip(fixture, path, at - bytes + 100);
    flips++;
  }
  assert_true(flips > 0);
}

static uint8_t fill_of(entry_index index) { return (uint8_t)(200 + index); }

static void append_one(struct fixture *fixture, entry_index index) {
  struct hand hand;
  hand_init(&hand, fixture, GROUP);
  hand_append(&hand, &(struct hand_entry){.size = VALUE_BYTES, .fill = fill_of(index)});
  hand_submit(&hand);
  hand_commit(fixture, GROUP, index);
  hand_deinit(&hand);
}

/* From here on only the journal has it, and no memory. */
static void forget(struct fixture *fixture) {
  fixture_reopen(fixture, false);
  fixture_commit_all(fixture, GROUP);
}

static void append(struct fixture *fixture) {
  for (entry_index i = 1; i <= ENTRIES; i++) append_one(fixture, i);
  usleep(100000); /* a closing group says that all before it was durable */
  forget(fixture);
}

/* ---- The owner ---- */

struct owner {
  struct fixture *fixture;
  unsigned losses;
  unsigned snapshots;
};

static void lost(void *context) { ((struct owner *)context)->losses++; }

static enum status snapshot(void *context, struct buffer *out) {
  ((struct owner *)context)->snapshots++;
  return buffer_append(out, "state", 5);
}

static void own(void *context) {
  struct owner *owner = context;
  log_set_owner(owner->fixture->logs[GROUP], &(struct log_owner){.snapshot = snapshot, .lost = lost, .context = owner});
}

static void owe_state(void *context) { log_owe_state(context); }

static enum status read_one(struct fixture *fixture, record_offset offset, record_offset *out_next) {
  struct log_read read = {0};
  fixture_read(fixture, GROUP, offset, 100, &read);
  enum status status = read.status;
  *out_next = read.next_offset;
  log_read_reset(&read);
  return status;
}

/* ---- The tests ---- */

static void a_read_that_meets_rot_in_the_journal_tells_the_owner(void **state) {
  struct fixture *fixture = *state;
  struct owner owner = {.fixture = fixture};
  record_offset next = 0;
  append(fixture);
  fixture_run(fixture, GROUP, own, &owner);
  rot_record(fixture, fill_of(5));
  assert_int_equal(read_one(fixture, 3, &next), STATUS_OK);
  assert_int_equal(owner.losses, 0);

  assert_int_equal(read_one(fixture, 4, &next), STATUS_DAMAGED);

  assert_int_equal(next, 5);
  assert_int_equal(owner.losses, 1);
  assert_true(fixture_view(fixture, GROUP).damaged);
  assert_int_equal(read_one(fixture, 5, &next), STATUS_OK);
  assert_int_equal(read_one(fixture, 4, &next), STATUS_DAMAGED);
  assert_int_equal(owner.losses, 1); /* once */
}

static void a_fetch_and_a_search_tell_it_too(void **state) {
  struct fixture *fixture = *state;
  struct owner owner = {.fixture = fixture};
  append(fixture);
  fixture_run(fixture, GROUP, own, &owner);
  rot_record(fixture, fill_of(7));
  rot_record(fixture, fill_of(1));

  struct log_fetch fetch = {.first = 7, .last = 9, .count_max = 10, .bytes_max = 1u << 20};
  hand_fetch(fixture, GROUP, &fetch);
  assert_int_equal(fetch.status, STATUS_DAMAGED);
  log_fetch_reset(&fetch);
  assert_int_equal(owner.losses, 1);
  struct log_find find = {.limit = ENTRIES};
  fixture_find(fixture, GROUP, 1, &find);

  assert_int_equal(find.status, STATUS_DAMAGED);
  assert_int_equal(owner.losses, 2);
}

static void a_checkpoint_that_meets_it_goes_on_around_it(void **state) {
  struct fixture *fixture = *state;
  struct owner owner = {.fixture = fixture};
  record_offset next = 0;
  append(fixture);
  fixture_run(fixture, GROUP, own, &owner);
  rot_record(fixture, fill_of(ENTRIES)); /* nothing behind it would show a hole */

  fixture_checkpoint(fixture);
  assert_int_equal(owner.losses, 1);
  assert_true(fixture_view(fixture, GROUP).damaged);
  fixture_checkpoint(fixture);
  assert_int_equal(fixture_view(fixture, GROUP).flushed_index, ENTRIES - 1);

  fixture_reopen(fixture, false);
  assert_true(fixture_view(fixture, GROUP).damaged);
  assert_int_equal(read_one(fixture, ENTRIES - 2, &next), STATUS_OK);
}

static void the_last_checkpoint_of_a_stop_tells_nobody(void **state) {
  struct fixture *fixture = *state;
  struct owner owner = {.fixture = fixture};
  append(fixture);
  fixture_run(fixture, GROUP, own, &owner);
  rot_record(fixture, fill_of(ENTRIES));

  fixture_reopen(fixture, true);

  assert_int_equal(owner.losses, 0);
  assert_true(fixture_view(fixture, GROUP).damaged);
}

/* The round that meets it stores nothing of this log, and needs its file for nothing else: a start would find a log that is shorter, and whole. */
static void what_was_lost_keeps_its_file_until_the_store_knows(void **state) {
  struct fixture *fixture = *state;
  fixture_close(fixture, true);
  fixture->options.journal.file_bytes = 256u << 10;
  fixture->options.journal.group_bytes_max = 64u << 10;
  assert_int_equal(fixture_open(fixture), STATUS_OK);
  fixture_create(fixture, 3, 1u << 20);
  append(fixture);
  fixture_checkpoint(fixture);
  append_one(fixture, ENTRIES + 1);
  forget(fixture);
  uint64_t file = journal_usage(log_set_journal(fixture->set)).current_file;
  fixture_append(fixture, 3, 100, 9000, true);
  assert_true(journal_usage(log_set_journal(fixture->set)).current_file >= file + 3);
  rot_record(fixture, fill_of(ENTRIES + 1));

  fixture_checkpoint(fixture);
  fixture_close(fixture, false);
  assert_int_equal(fixture_open(fixture), STATUS_OK);

  assert_true(fixture_view(fixture, GROUP).damaged);
}

static void a_state_that_is_owed_is_stored_without_entries(void **state) {
  struct fixture *fixture = *state;
  struct owner owner = {.fixture = fixture};
  entry_index applied = 0;
  append(fixture);
  fixture_run(fixture, GROUP, own, &owner);
  fixture_checkpoint(fixture);
  fixture_checkpoint(fixture);
  unsigned before = owner.snapshots;
  fixture_checkpoint(fixture);
  assert_int_equal(owner.snapshots, before); /* nothing new, nothing stored */

  fixture_run(fixture, GROUP, owe_state, fixture->logs[GROUP]);
  fixture_checkpoint(fixture);

  assert_int_equal(owner.snapshots, before + 1);
  fixture_reopen(fixture, false);
  struct bytes stored = log_recovered_state(fixture->logs[GROUP], &applied);
  assert_int_equal(stored.size, 5);
  assert_int_equal(applied, ENTRIES);
}

/* ---- Doubt ---- */

static void doubt_outlives_starts_until_everything_is_settled(void **state) {
  struct fixture *fixture = *state;
  append(fixture);
  assert_false(fixture->report.doubt);
  usleep(100000); /* the same of the start */
  fixture_close(fixture, false);
  rot_record(fixture, fill_of(3));
  assert_int_equal(fixture_open(fixture), STATUS_OK);
  assert_true(fixture->report.journal.rotten_groups > 0);
  assert_true(fixture->report.doubt);

  unsigned clean = 0; /* starts that meet no rot: what was found of the journal goes, and with it the rot */
  for (int start = 0; start < 10 && clean < 2; start++) {
    fixture_checkpoint(fixture);
    fixture_reopen(fixture, start % 2 == 1);
    clean += fixture->report.journal.rotten_groups == 0;
    assert_true(fixture->report.doubt);
  }
  assert_int_equal(clean, 2);

  log_set_settle(fixture->set);
  fixture_checkpoint(fixture);
  fixture_reopen(fixture, false);
  assert_false(fixture->report.doubt);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_read_that_meets_rot_in_the_journal_tells_the_owner), TEST(a_fetch_and_a_search_tell_it_too),
      TEST(a_checkpoint_that_meets_it_goes_on_around_it),         TEST(the_last_checkpoint_of_a_stop_tells_nobody),
      TEST(what_was_lost_keeps_its_file_until_the_store_knows),   TEST(a_state_that_is_owed_is_stored_without_entries),
      TEST(doubt_outlives_starts_until_everything_is_settled),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
