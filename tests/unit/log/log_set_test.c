/* A set of logs on a real disk: whose directory it is, what is read of it hot and cold, what a trim and a deletion take along. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/codec.h"
#include "log/identity.h"
#include "tests/unit/log/log_fixture.h"

/* ---- Whose directory it is ---- */

static void a_fresh_directory_is_formatted_once(void **state) {
  struct fixture *fixture = *state;

  assert_int_equal(fixture_open(fixture), STATUS_OK);
  assert_true(fixture->report.fresh);
  assert_int_equal(fixture->identity.broker_id, 3);
  fixture_reopen(fixture, true);

  assert_false(fixture->report.fresh);
  assert_false(fixture->report.store_rebuilt);
  assert_int_equal(fixture->identity.broker_id, 3);
}

static void an_identity_that_was_never_opened_is_taken(void **state) {
  struct fixture *fixture = *state;
  struct log_identity founded = {.cluster = {9}, .incarnation = {8}, .broker_id = 3, .founder_count = 2};
  founded.founders[0] = (struct log_founder){.broker_id = 3, .incarnation = {8}, .address = "a:1"};
  founded.founders[1] = (struct log_founder){.broker_id = 5, .incarnation = {6}, .address = "b:1"};
  bool formatted = true;
  assert_int_equal(log_set_formatted(fixture->world->disk, &formatted), STATUS_OK);
  assert_false(formatted);
  assert_int_equal(identity_write(fixture->world->disk, &founded), STATUS_OK);
  assert_int_equal(log_set_formatted(fixture->world->disk, &formatted), STATUS_OK);
  assert_true(formatted);

  assert_int_equal(fixture_open(fixture), STATUS_OK);
  assert_true(fixture->report.fresh);
  assert_memory_equal(&fixture->identity, &founded, sizeof founded);
  fixture_reopen(fixture, true);

  assert_false(fixture->report.store_rebuilt); /* the row of the store agrees */
  assert_memory_equal(&fixture->identity, &founded, sizeof founded);
}

struct leave {
  enum status status;
  unsigned asked;
  uint64_t last_group;
};

static enum status give_leave(void *context, const struct log_identity *identity, const struct log_set_report *report,
                              struct buffer *out_reason) {
  struct leave *leave = context;
  leave->asked++;
  leave->last_group = report->journal.last_group;
  assert_int_equal(identity->broker_id, 3);
  return leave->status == STATUS_OK                                               ? STATUS_OK
         : buffer_append_string(out_reason, "somebody knows better") == STATUS_OK ? leave->status
                                                                                  : STATUS_BUG;
}

/* Asked when the journal has been judged, so that what is judged is the same at the next start. */
static void a_refused_opening_changes_nothing(void **state) {
  struct fixture *fixture = *state;
  struct leave leave = {.status = STATUS_OK};
  fixture->options.may_go_on = give_leave;
  fixture->options.may_context = &leave;
  assert_int_equal(fixture_open(fixture), STATUS_OK);
  fixture_create(fixture, 1, 1 << 20);
  fixture_append(fixture, 1, 10, 100, true);
  fixture_close(fixture, false);
  leave.status = STATUS_DIRECTORY_SUPERSEDED;
  assert_int_equal(fixture_open(fixture), STATUS_DIRECTORY_SUPERSEDED);
  uint64_t last_group = leave.last_group, hash = fixture_hash(fixture);
  assert_true(last_group > 0);

  for (unsigned i = 0; i < 10; i++) {
    assert_int_equal(fixture_open(fixture), STATUS_DIRECTORY_SUPERSEDED);
    assert_int_equal(leave.last_group, last_group);
    assert_int_equal(fixture_hash(fixture), hash);
    assert_int_equal(buffer_append(&fixture->reason, "", 1), STATUS_OK);
    assert_non_null(strstr((const char *)fixture->reason.data, "somebody knows better"));
  }

  leave.status = STATUS_OK;
  assert_int_equal(fixture_open(fixture), STATUS_OK);
  assert_int_equal(leave.asked, 13);
  fixture_commit_all(fixture, 1);
  assert_int_equal(fixture_read_all(fixture, 1, 0, 1 << 20, 100), 10);
}

static void a_directory_that_waits_to_found_becomes_nobody_else(void **state) {
  struct fixture *fixture = *state;
  struct disk *disk = fixture->world->disk;
  struct log_identity draft = {.incarnation = {77}, .broker_id = 3};
  bool formatted = true;
  assert_int_equal(identity_write_draft(disk, &draft), STATUS_OK);
  assert_int_equal(log_set_formatted(disk, &formatted), STATUS_OK);
  assert_false(formatted);

  assert_int_equal(fixture_open(fixture), STATUS_FOREIGN);
  assert_true(fixture->reason.size > 20);
  assert_false(fixture_has(fixture, "identity"));
  memcpy(fixture->format.incarnation, draft.incarnation, LOG_ID_SIZE);

  assert_int_equal(fixture_open(fixture), STATUS_OK);
  assert_int_equal(fixture->identity.incarnation[0], 77);
  assert_false(fixture_has(fixture, "founding"));
}

/* As the version before wrote it: 64 bytes, no founders. */
static void an_identity_of_the_first_version_is_kept(void **state) {
  struct fixture *fixture = *state;
  assert_int_equal(fixture_open(fixture), STATUS_OK);
  struct log_identity before = fixture->identity;
  assert_int_equal(before.founder_count, 1);
  fixture_close(fixture, true);
  uint8_t bytes[IDENTITY_SIZE_MAX];
  (void)identity_encode(&before, bytes);
  bytes[8] = 1;
  bytes[9] = 0;
  put_u32(bytes + 4, crc32c(0, bytes_of(bytes + 8, IDENTITY_HEAD_SIZE - 8)));
  static const char *const names[] = {"identity", "identity.copy"};
  for (size_t i = 0; i < 2; i++) {
    struct disk_file *file = NULL;
    assert_int_equal(disk_open(fixture->world->disk, names[i], 0, &file), STATUS_OK);
    assert_int_equal(disk_truncate(file, IDENTITY_HEAD_SIZE), STATUS_OK);
    assert_int_equal(disk_write(file, 0, bytes_of(bytes, IDENTITY_HEAD_SIZE)), STATUS_OK);
    disk_close(file);
  }

  assert_int_equal(fixture_open(fixture), STATUS_OK);

  assert_false(fixture->report.store_rebuilt);
  assert_memory_equal(&fixture->identity, &before, sizeof before);
}

static void without_any_identity_it_refuses(void **state) {
  struct fixture *fixture = *state;
  assert_int_equal(fixture_open(fixture), STATUS_OK);
  fixture_create(fixture, 1, 256u << 10);
  fixture_close(fixture, true);
  char path[512];
  fixture_path(fixture, "identity", path, sizeof path);
  assert_int_equal(unlink(path), 0);
  assert_int_equal(fixture_open(fixture), STATUS_OK);
  fixture_close(fixture, true);
  assert_true(fixture_has(fixture, "identity"));
  assert_int_equal(unlink(path), 0);
  fixture_path(fixture, "identity.copy", path, sizeof path);
  assert_int_equal(unlink(path), 0);
  fixture_path(fixture, "store.mdb", path, sizeof path);
  assert_int_equal(truncate(path, 0), 0);

  assert_int_equal(fixture_open(fixture), STATUS_FOREIGN);
  assert_true(fixture->reason.size > 20);
}

/* ---- What is read ---- */

static void entries_are_read_hot_and_cold(void **state) {
  struct fixture *fixture = *state;
  assert_int_equal(fixture_open(fixture), STATUS_OK);
  fixture_create(fixture, 1, 1u << 20);
  fixture_append(fixture, 1, 3000, 1000, true);

  assert_int_equal(fixture_read_all(fixture, 1, 0, 65536, 1000), 3000);
  fixture_checkpoint(fixture);
  assert_int_equal(fixture_view(fixture, 1).flushed_index, 3000);
  assert_int_equal(fixture_read_all(fixture, 1, 0, 65536, 1000), 3000);
  fixture_reopen(fixture, true);
  assert_int_equal(fixture_view(fixture, 1).flushed_index, 3000);
  assert_int_equal(fixture_read_all(fixture, 1, 0, 65536, 1000), 3000);
  assert_int_equal(fixture_read_all(fixture, 1, 1234, 1, 1000), 3000 - 1234);
  char names[64][64];
  assert_true(fixture_list(fixture, "p/1-1", names, 64) >= 3);
}

static void what_is_durable_survives_without_a_checkpoint(void **state) {
  struct fixture *fixture = *state;
  assert_int_equal(fixture_open(fixture), STATUS_OK);
  fixture_create(fixture, 1, 1u << 20);
  fixture_create(fixture, 2, 1u << 20);
  fixture_append(fixture, 1, 100, 300, true);
  fixture_append(fixture, 2, 50, 300, false);
  fixture_cut(fixture, 2, 31);
  fixture_append(fixture, 2, 5, 300, false);

  fixture_reopen(fixture, false);

  assert_int_equal(atomic_load(&fixture->fault.cached_journal_opens), 0); /* what the cache shows need not be on the disk */
  assert_int_equal(fixture_view(fixture, 1).last_index, 100);
  assert_int_equal(fixture_view(fixture, 2).last_index, 35);
  assert_false(fixture_view(fixture, 2).damaged);
  fixture_commit_all(fixture, 1);
  fixture_commit_all(fixture, 2);
  assert_int_equal(fixture_read_all(fixture, 1, 0, 4096, 300), 100);
  assert_int_equal(fixture_read_all(fixture, 2, 0, 4096, 300), 35);
}

static void a_flipped_byte_in_a_segment_costs_only_its_entry(void **state) {
  struct fixture *fixture = *state;
  assert_int_equal(fixture_open(fixture), STATUS_OK);
  fixture_create(fixture, 1, 256u << 10);
  fixture_append(fixture, 1, 2000, 1000, true);
  fixture_checkpoint(fixture);
  fixture_close(fixture, true);
  fixture_flip(fixture, "p/1-1/00000000000000000001.segment", 100000); /* a payload, or ... */
  size_t size = 104 + 1000 + 6;
  long head = 4096 + (long)(150 * size) + 20; /* ... a head */
  fixture_flip(fixture, "p/1-1/00000000000000000001.segment", head);
  assert_int_equal(fixture_open(fixture), STATUS_OK);

  struct log_read read = {0};
  record_offset at = 0;
  size_t good = 0;
  size_t damaged = 0;
  while (at < 2000) {
    read.limit = 0;
    fixture_read(fixture, 1, at, 65536, &read);
    if (read.status == STATUS_DAMAGED) {
      damaged += (size_t)(read.next_offset - at);
    } else {
      assert_int_equal(read.status, STATUS_OK);
      good += read.count;
    }
    assert_true(read.next_offset > at);
    at = read.next_offset;
    log_read_reset(&read);
  }

  assert_int_equal(damaged, 2);
  assert_int_equal(good, 1998);
  assert_int_equal(fixture_view(fixture, 1).next_offset, 2000);
}

static void records_are_found_by_time(void **state) {
  struct fixture *fixture = *state;
  assert_int_equal(fixture_open(fixture), STATUS_OK);
  fixture_create(fixture, 1, 256u << 10);
  fixture_append(fixture, 1, 1500, 1000, true); /* times 1000 + offset */
  fixture_checkpoint(fixture);
  fixture_append(fixture, 1, 500, 1000, true);

  struct log_find find;
  for (int64_t offset = 0; offset < 2000; offset += 123) {
    fixture_find(fixture, 1, 1000 + offset, &find);
    assert_int_equal(find.status, STATUS_OK);
    assert_int_equal(find.offset, offset);
  }
  fixture_find(fixture, 1, 1000 + 2000, &find);
  assert_int_equal(find.status, STATUS_END);
  fixture_find(fixture, 1, 1, &find);
  assert_int_equal(find.offset, 0);
}

/* Each stream of reads leaves a chunk behind, for the next one to go on from; together they must not starve whoever comes. */
static void chunks_that_are_kept_leave_memory_for_reads(void **state) {
  struct fixture *fixture = *state;
  fixture->options.tail_bytes = 0;
  fixture->options.readers = 1;
  fixture->account.limit = 6u << 20;
  assert_int_equal(fixture_open(fixture), STATUS_OK);
  fixture_create_many(fixture, 1, 12);
  for (group_id group = 1; group <= 12; group++) fixture_append(fixture, group, 160, 10000, true);
  fixture_checkpoint(fixture);

  for (group_id group = 1; group <= 12; group++) assert_int_equal(fixture_read_all(fixture, group, 0, 65536, 10000), 160);

  assert_in_range(account_used(&fixture->account), 0, 5u << 20);
}

/* ---- What goes ---- */

static void a_trim_drops_whole_segments(void **state) {
  struct fixture *fixture = *state;
  assert_int_equal(fixture_open(fixture), STATUS_OK);
  fixture_create(fixture, 1, 256u << 10);
  fixture_append(fixture, 1, 2000, 1000, true);
  fixture_checkpoint(fixture);
  char names[64][64];
  size_t before = fixture_list(fixture, "p/1-1", names, 64);

  fixture_set_start(fixture, 1, 1000);
  fixture_checkpoint(fixture);

  assert_true(fixture_list(fixture, "p/1-1", names, 64) < before);
  struct log_read read = {0};
  fixture_read(fixture, 1, 999, 1000, &read);
  assert_int_equal(read.status, STATUS_BELOW_START);
  assert_int_equal(read.next_offset, 1000);
  assert_int_equal(fixture_read_all(fixture, 1, 1000, 65536, 1000), 1000);
  fixture_reopen(fixture, true);
  assert_int_equal(fixture_view(fixture, 1).start_offset, 1000);
  assert_int_equal(fixture_read_all(fixture, 1, 1000, 65536, 1000), 1000);
}

static void what_is_trimmed_in_memory_never_reaches_a_segment(void **state) {
  struct fixture *fixture = *state;
  assert_int_equal(fixture_open(fixture), STATUS_OK);
  fixture_create(fixture, 1, 1u << 20);
  fixture_append(fixture, 1, 500, 1000, true);

  fixture_set_start(fixture, 1, 500);
  fixture_checkpoint(fixture);

  char names[64][64];
  assert_int_equal(fixture_list(fixture, "p/1-1", names, 64), 0);
  fixture_append(fixture, 1, 100, 1000, true);
  fixture_checkpoint(fixture);
  fixture_reopen(fixture, true);
  assert_int_equal(fixture_read_all(fixture, 1, 500, 65536, 1000), 100);
}

static void a_deleted_log_takes_its_files_along(void **state) {
  struct fixture *fixture = *state;
  assert_int_equal(fixture_open(fixture), STATUS_OK);
  fixture_create(fixture, 1, 1u << 20);
  fixture_create(fixture, 3, 1u << 20);
  fixture_append(fixture, 1, 500, 1000, true);
  fixture_append(fixture, 3, 500, 1000, true);
  fixture_checkpoint(fixture);
  assert_true(fixture_has(fixture, "p/1-1"));

  fixture_delete(fixture, 1);
  fixture_checkpoint(fixture);

  assert_false(fixture_has(fixture, "p/1-1"));
  fixture_delete(fixture, 3);
  fixture_reopen(fixture, false);
  assert_false(fixture_has(fixture, "p/3-1"));
  assert_int_equal(fixture->log_count, 0);
}

/* Killed, or without power, before the removal of its files had come to its end. */
static void what_a_deleted_log_left_behind_goes_at_the_next_start(void **state) {
  struct fixture *fixture = *state;
  assert_int_equal(fixture_open(fixture), STATUS_OK);
  fixture_create(fixture, 1, 1u << 20);
  fixture_create(fixture, 3, 1u << 20);
  fixture_append(fixture, 1, 500, 1000, true);
  fixture_append(fixture, 3, 500, 1000, true);
  fixture_checkpoint(fixture);
  char left[512];
  char command[1200];
  fixture_path(fixture, "p/1-1", left, sizeof left);
  snprintf(command, sizeof command, "cp -r '%s' '%s.kept'", left, left);
  assert_int_equal(system(command), 0);
  fixture_delete(fixture, 1);
  fixture_checkpoint(fixture);
  assert_false(fixture_has(fixture, "p/1-1"));
  fixture_close(fixture, true);
  snprintf(command, sizeof command, "mv '%s.kept' '%s'", left, left);
  assert_int_equal(system(command), 0);

  assert_int_equal(fixture_open(fixture), STATUS_OK);

  assert_false(fixture_has(fixture, "p/1-1"));
  assert_true(fixture_has(fixture, "p/3-1"));
  assert_int_equal(fixture->log_count, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_fresh_directory_is_formatted_once),
      TEST(an_identity_that_was_never_opened_is_taken),
      TEST(a_refused_opening_changes_nothing),
      TEST(a_directory_that_waits_to_found_becomes_nobody_else),
      TEST(an_identity_of_the_first_version_is_kept),
      TEST(without_any_identity_it_refuses),
      TEST(entries_are_read_hot_and_cold),
      TEST(what_is_durable_survives_without_a_checkpoint),
      TEST(a_flipped_byte_in_a_segment_costs_only_its_entry),
      TEST(records_are_found_by_time),
      TEST(chunks_that_are_kept_leave_memory_for_reads),
      TEST(a_trim_drops_whole_segments),
      TEST(what_is_trimmed_in_memory_never_reaches_a_segment),
      TEST(a_deleted_log_takes_its_files_along),
      TEST(what_a_deleted_log_left_behind_goes_at_the_next_start),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
