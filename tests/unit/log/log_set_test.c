#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/codec.h"
#include "base/trace.h"
#include "log/identity.h"
#include "log/segment.h"
#include "tests/unit/log/log_hand.h"

static int set_up(void **state) {
  trace_set_level(TRACE_ERROR);
  *state = fixture_new();
  return 0;
}
static int tear_down(void **state) {
  fixture_free(*state);
  return 0;
}

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

static void streaming_flushes_by_itself_and_recycles(void **state) {
  struct fixture *fixture = *state;
  assert_int_equal(fixture_open(fixture), STATUS_OK);
  fixture_create(fixture, 1, 16u << 20);
  fixture_create(fixture, 2, 16u << 20);
  fixture_append(fixture, 2, 10, 100, true);

  for (int i = 0; i < 40; i++) fixture_append(fixture, 1, 64, 60000, true);

  assert_true(fixture_view(fixture, 1).flushed_index > 1000);
  assert_true(journal_usage(log_set_journal(fixture->set)).oldest_file > 1);
  assert_int_equal(fixture_read_all(fixture, 1, 0, 1u << 20, 60000), 2560);
  assert_int_equal(fixture_read_all(fixture, 2, 0, 1u << 20, 100), 10);
  fixture_reopen(fixture, false);
  fixture_commit_all(fixture, 1);
  fixture_commit_all(fixture, 2);
  assert_int_equal(fixture_read_all(fixture, 1, 0, 1u << 20, 60000), 2560);
  assert_int_equal(fixture_read_all(fixture, 2, 0, 1u << 20, 100), 10);
}

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

static void a_damaged_store_is_rebuilt(void **state) {
  struct fixture *fixture = *state;
  assert_int_equal(fixture_open(fixture), STATUS_OK);
  fixture_create(fixture, 1, 256u << 10);
  fixture_append(fixture, 1, 2000, 1000, true);
  fixture_checkpoint(fixture);
  fixture_append(fixture, 1, 10, 1000, true);
  fixture_close(fixture, true);
  char path[512];
  fixture_path(fixture, "store.mdb", path, sizeof path);
  assert_int_equal(truncate(path, 0), 0);

  assert_int_equal(fixture_open(fixture), STATUS_OK);

  assert_true(fixture->report.store_rebuilt);
  assert_int_equal(fixture_view(fixture, 1).last_index, 2010);
  assert_false(fixture_view(fixture, 1).damaged);
  fixture_commit_all(fixture, 1);
  assert_int_equal(fixture_read_all(fixture, 1, 0, 65536, 1000), 2010);
  fixture_append(fixture, 1, 100, 1000, true);
  fixture_checkpoint(fixture);
  fixture_reopen(fixture, true);
  assert_false(fixture->report.store_rebuilt);
  assert_int_equal(fixture_read_all(fixture, 1, 0, 65536, 1000), 2110);
}

/* Writes entries [first, end) of the log's first segment into a segment of their own, as a checkpoint that failed might have. */
static void leave_segment_behind(struct fixture *fixture, entry_index first, entry_index end) {
  struct disk *disk = fixture->world->disk;
  char path[DISK_PATH_MAX];
  struct disk_file *file = NULL;
  struct segment_info info = {.first_index = 1, .length = SEGMENT_HEADER_SIZE + end * 2000, .chained = true};
  struct segment_cursor cursor;
  segment_path(path, 1, 1, 1);
  assert_int_equal(disk_open(disk, path, DISK_READ_ONLY, &file), STATUS_OK);
  segment_cursor_init(&cursor, file, &info, NULL, SEGMENT_CHUNK_BYTES);
  struct segment_writer writer = {0};
  struct entry entry;
  for (entry_index index = 1; index < end; index++) {
    uint64_t chain = cursor.chain;
    assert_int_equal(segment_cursor_next(&cursor, &entry), STATUS_OK);
    assert_int_equal(entry.head.index, index);
    if (index == first) {
      struct segment_header header = {.group = 1,
                                      .instance = 1,
                                      .first_index = first,
                                      .base_offset = entry.head.base_offset,
                                      .previous_chain = chain,
                                      .chained = true};
      memcpy(header.owner, fixture->identity.incarnation, sizeof header.owner);
      bool made_dir = false;
      assert_int_equal(segment_create(disk, &header, &writer, &made_dir), STATUS_OK);
    }
    if (index >= first) assert_int_equal(segment_append(&writer, &entry, 1), STATUS_OK);
    blob_part_release(entry.payload);
  }
  assert_int_equal(segment_finish(&writer), STATUS_OK);
  segment_writer_close(&writer);
  segment_cursor_deinit(&cursor);
  disk_close(file);
}

static void a_segment_left_behind_is_not_taken_for_the_end(void **state) {
  struct fixture *fixture = *state;
  assert_int_equal(fixture_open(fixture), STATUS_OK);
  fixture_create(fixture, 1, 16u << 20);
  fixture_append(fixture, 1, 500, 1000, true);
  fixture_checkpoint(fixture);
  fixture_close(fixture, true);
  leave_segment_behind(fixture, 300, 350);
  char path[512];
  fixture_path(fixture, "store.mdb", path, sizeof path);
  assert_int_equal(truncate(path, 0), 0);
  for (int i = 0; i < 20; i++) { /* nor does the journal have them any more */
    char name[64];
    snprintf(name, sizeof name, "journal/%020d", i);
    fixture_path(fixture, name, path, sizeof path);
    unlink(path);
  }

  assert_int_equal(fixture_open(fixture), STATUS_OK);

  assert_true(fixture->report.store_rebuilt);
  assert_int_equal(fixture_view(fixture, 1).last_index, 500);
  fixture_commit_all(fixture, 1);
  assert_int_equal(fixture_read_all(fixture, 1, 0, 65536, 1000), 500);
}

static void copy_file(const struct fixture *from, const char *from_name, const struct fixture *to, const char *to_name) {
  char source[512];
  char target[512];
  char command[1100];
  fixture_path(from, from_name, source, sizeof source);
  fixture_path(to, to_name, target, sizeof target);
  snprintf(command, sizeof command, "cp '%s' '%s'", source, target);
  assert_int_equal(system(command), 0);
}

/* Another broker, with a log of the same numbers whose entries follow each other just as well. */
static struct fixture *stranger_new(void) {
  struct fixture *stranger = fixture_new();
  stranger->format.incarnation[0] = 99;
  assert_int_equal(fixture_open(stranger), STATUS_OK);
  fixture_create(stranger, 1, 16u << 20);
  fixture_append_at(stranger, 1, 500, 1000, 77);
  fixture_checkpoint(stranger);
  fixture_set_start(stranger, 1, 100);
  fixture_close(stranger, true);
  assert_int_equal(fixture_open(stranger), STATUS_OK);
  return stranger;
}

static void another_brokers_segment_is_not_read(void **state) {
  struct fixture *fixture = *state;
  static const char name[] = "p/1-1/00000000000000000001.segment";
  struct fixture *stranger = stranger_new();
  assert_int_equal(fixture_open(fixture), STATUS_OK);
  fixture_create(fixture, 1, 16u << 20);
  fixture_create(fixture, 3, 16u << 20);
  fixture_append(fixture, 1, 500, 1000, true);
  fixture_append(fixture, 3, 500, 1000, true);
  fixture_close(fixture, true);
  copy_file(stranger, name, fixture, name);

  assert_int_equal(fixture_open(fixture), STATUS_OK);

  struct log_read read = {0};
  for (record_offset offset = 0; offset < 500; offset += 100) {
    fixture_read(fixture, 1, offset, 65536, &read);
    assert_int_equal(read.status, STATUS_DAMAGED);
    assert_int_equal(read.next_offset, 500);
    read.limit = 0;
  }
  assert_int_equal(fixture_read_all(fixture, 3, 0, 65536, 1000), 500);
  fixture_append(fixture, 1, 10, 1000, true);
  assert_int_equal(fixture_read_all(fixture, 1, 500, 65536, 1000), 10);

  fixture_close(fixture, true); /* nor when there is no other word for it than the file's */
  char path[512];
  fixture_path(fixture, "store.mdb", path, sizeof path);
  assert_int_equal(truncate(path, 0), 0);
  assert_int_equal(fixture_open(fixture), STATUS_OK);
  assert_true(fixture_view(fixture, 1).damaged);
  assert_false(fixture_view(fixture, 3).damaged);
  assert_int_equal(fixture_read_all(fixture, 3, 0, 65536, 1000), 500);
  fixture_free(stranger);
}

static void another_brokers_dump_is_not_taken(void **state) {
  struct fixture *fixture = *state;
  struct fixture *stranger = stranger_new();
  char dumps[4][64];
  char name[80];
  assert_true(fixture_list(stranger, "dump", dumps, 4) > 0);
  snprintf(name, sizeof name, "dump/%s", dumps[0]);
  assert_int_equal(fixture_open(fixture), STATUS_OK);
  fixture_create(fixture, 1, 16u << 20);
  fixture_append(fixture, 1, 500, 1000, true);
  fixture_close(fixture, true);
  copy_file(stranger, name, fixture, "dump/00000000000000009999");
  char path[512];
  fixture_path(fixture, "store.mdb", path, sizeof path);
  assert_int_equal(truncate(path, 0), 0);

  assert_int_equal(fixture_open(fixture), STATUS_OK);

  assert_int_equal(fixture_view(fixture, 1).start_offset, 0);
  assert_int_equal(fixture_read_all(fixture, 1, 0, 65536, 1000), 500);
  fixture_free(stranger);
}

/* The journal has been recycled for what a newer one holds; the number in its newest CHECKPOINT frame says so. */
static void an_older_copy_of_the_store_is_not_believed(void **state) {
  struct fixture *fixture = *state;
  assert_int_equal(fixture_open(fixture), STATUS_OK);
  fixture_create(fixture, 1, 1u << 20);
  fixture_append(fixture, 1, 100, 1000, true);
  fixture_checkpoint(fixture);
  copy_file(fixture, "store.mdb", fixture, "older");
  for (int i = 0; i < 10; i++) {
    fixture_append(fixture, 1, 64, 60000, true);
    fixture_checkpoint(fixture);
  }
  assert_true(journal_usage(log_set_journal(fixture->set)).oldest_file > 5);
  fixture_close(fixture, false);
  copy_file(fixture, "older", fixture, "store.mdb");

  assert_int_equal(fixture_open(fixture), STATUS_OK);

  assert_true(fixture->report.store_rebuilt);
  assert_false(fixture_view(fixture, 1).damaged);
  assert_int_equal(fixture_view(fixture, 1).last_index, 740);
  fixture_commit_all(fixture, 1);
  assert_int_equal(fixture_read_all(fixture, 1, 100, 1u << 20, 60000), 640);
}

/* A start takes what began and ended out of the journal: a store that is damaged before the first checkpoint must not have been the
 * only one to know. */
static void what_a_start_recorded_outlives_its_store(void **state) {
  struct fixture *fixture = *state;
  assert_int_equal(fixture_open(fixture), STATUS_OK);
  fixture_create(fixture, 1, 256u << 10);
  fixture_create(fixture, 3, 256u << 10);
  fixture_append(fixture, 1, 300, 1000, true);
  fixture_delete(fixture, 3);
  fixture_reopen(fixture, false);
  for (int i = 0; i < 500 && fixture_has(fixture, "journal/00000000000000000001"); i++) { /* the file that tells of them */
    fixture_append(fixture, 1, 4, 60000, false);
  }
  assert_false(fixture_has(fixture, "journal/00000000000000000001"));
  size_t last = (size_t)fixture_view(fixture, 1).last_index;
  fixture_close(fixture, false);
  char path[512];
  fixture_path(fixture, "store.mdb", path, sizeof path);
  assert_int_equal(truncate(path, 0), 0);

  assert_int_equal(fixture_open(fixture), STATUS_OK);

  assert_true(fixture->report.store_rebuilt);
  assert_int_equal(fixture->log_count, 1);
  assert_int_equal(fixture_view(fixture, 1).last_index, last);
  fixture_commit_all(fixture, 1);
  fixture_checkpoint(fixture);
  char names[16][64];
  assert_true(fixture_list(fixture, "p/1-1", names, 16) >= 3); /* the size of its segments is still known */
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

/* ---- A small ring ---- */

static void make_ring_small(struct fixture *fixture) {
  fixture->options.journal.file_bytes = 256u << 10;
  fixture->options.journal.ring_bytes = 6 * (256u << 10);
}

static size_t count_journal_files(const struct fixture *fixture) {
  static char names[64][64];
  return fixture_list(fixture, "journal", names, 64);
}

static void append_when_there_is_room(struct fixture *fixture, group_id group, size_t size) {
  unsigned tries = 0;
  while (log_set_admit(fixture->set, size) != STATUS_OK) {
    assert_true(++tries < 1000);
    usleep(10000);
  }
  log_set_admit_undo(fixture->set, size);
  fixture_append(fixture, group, 1, size, true);
}

/* Many small tails: together they are more than the ring has room for, each for itself is not worth a segment. */
static void small_tails_do_not_chase_each_other_round_the_ring(void **state) {
  struct fixture *fixture = *state;
  make_ring_small(fixture);
  assert_int_equal(fixture_open(fixture), STATUS_OK);
  fixture_create_many(fixture, 1, 16);

  for (int round = 0; round < 60; round++) {
    for (group_id group = 1; group <= 16; group++) append_when_there_is_room(fixture, group, 3000);
  }
}

/* A start finds nothing to flush for the logs of one lane, and nobody speaks to them: they need no file of the journal. */
static void a_lane_on_which_nothing_happens_does_not_hold_the_journal(void **state) {
  struct fixture *fixture = *state;
  make_ring_small(fixture);
  assert_int_equal(fixture_open(fixture), STATUS_OK);
  for (group_id group = 1; group <= 2; group++) {
    fixture_create(fixture, group, 1u << 20);
    fixture_append(fixture, group, 5, 1000, true);
  }
  fixture_reopen(fixture, true);

  for (int i = 0; i < 200; i++) append_when_there_is_room(fixture, 1, 20000);
}

static uint64_t oldest_file(const struct fixture *fixture) { return journal_usage(log_set_journal(fixture->set)).oldest_file; }
static uint64_t current_file(const struct fixture *fixture) { return journal_usage(log_set_journal(fixture->set)).current_file; }

/* While it is on its way nobody can tell in which file an entry is going to be. Once that is known, an older one is not kept for it. */
static void an_entry_that_has_come_to_rest_holds_the_file_that_it_is_in(void **state) {
  struct fixture *fixture = *state;
  make_ring_small(fixture);
  assert_int_equal(fixture_open(fixture), STATUS_OK);
  for (group_id group = 1; group <= 2; group++) fixture_create(fixture, group, 1u << 20);
  fixture_append(fixture, 1, 3, 1000, true);
  struct hand hand;
  hand_init(&hand, fixture, 1);
  hand_append(&hand, &(struct hand_entry){.size = 1000});
  uint64_t first = current_file(fixture);
  while (current_file(fixture) < first + 2) append_when_there_is_room(fixture, 2, 20000);
  fixture_checkpoint(fixture);
  assert_int_equal(oldest_file(fixture), first);

  hand_submit(&hand);
  hand_deinit(&hand);

  for (unsigned i = 0; oldest_file(fixture) == first; i++) {
    assert_true(i < 20); /* nothing can be flushed: these rounds have nothing but that to find out */
    fixture_checkpoint(fixture);
  }
}

/* What nobody knows to be committed cannot be flushed, and what is less than a segment is worth is not: each start carries it, and after many
 * starts there is still one copy of it. */
static void start_after_start_leaves_one_copy(void **state) {
  struct fixture *fixture = *state;
  make_ring_small(fixture);
  for (group_id group = 1; group <= 2; group++) {
    bool committed = group == 1;
    assert_int_equal(fixture_open(fixture), STATUS_OK);
    fixture_create(fixture, group, 1u << 20);
    if (committed) fixture_append(fixture, group, 3, 20000, true);
    else fixture_append(fixture, group, 25, 20000, false);
    size_t last = fixture_view(fixture, group).last_index;
    for (int start = 0; start < 20; start++) {
      fixture_reopen(fixture, false);
      assert_int_equal(fixture_view(fixture, group).last_index, last);
      assert_in_range(count_journal_files(fixture), 1, 6);
    }
    assert_int_equal(log_set_admit(fixture->set, 100000), STATUS_OK);
    log_set_admit_undo(fixture->set, 100000);
    fixture_commit_all(fixture, group);
    assert_int_equal(fixture_read_all(fixture, group, 0, 1u << 20, 20000), last);
    fixture_close(fixture, true);
  }
}

struct ballot {
  struct fixture *fixture;
  struct journal_write write;
  entry_term term;
  atomic_bool answered;
};

static void ballot_answered(struct task *task) {
  struct ballot *ballot = container_of(container_of(task, struct journal_write, done), struct ballot, write);
  atomic_store(&ballot->answered, true);
}

static void cast_ballot(void *context) {
  struct ballot *ballot = context;
  struct fixture *fixture = ballot->fixture;
  journal_write_init(&ballot->write, fixture->lanes[1], ballot_answered);
  log_set_hard_state(fixture->logs[1], &ballot->write, &(struct hard_state){.term = ballot->term, .vote = 1});
  journal_submit(log_set_journal(fixture->set), &ballot->write);
}

/* One election after the other, and each changes a row: what is not committed pins the oldest file all the while, and goes to the head. */
static void elections_without_end_do_not_fill_the_ring(void **state) {
  struct fixture *fixture = *state;
  make_ring_small(fixture);
  assert_int_equal(fixture_open(fixture), STATUS_OK);
  fixture_create(fixture, 1, 1u << 20);
  fixture_append(fixture, 1, 20, 5000, false);
  for (entry_term term = 2; term < 1500; term++) {
    struct ballot ballot = {.fixture = fixture, .term = term};
    fixture_run(fixture, 1, cast_ballot, &ballot);
    for (unsigned i = 0; !atomic_load(&ballot.answered); i++) {
      assert_true(i < 100000);
      usleep(100);
    }
    assert_int_equal(ballot.write.status, STATUS_OK);
    journal_write_deinit(&ballot.write);
  }
  assert_in_range(count_journal_files(fixture), 1, 6);
  fixture_reopen(fixture, false);
  assert_int_equal(fixture_view(fixture, 1).last_index, 20);
  assert_int_equal(fixture_view(fixture, 1).hard_state.term, 1499);
  fixture_commit_all(fixture, 1);
  assert_int_equal(fixture_read_all(fixture, 1, 0, 1u << 20, 5000), 20);
}

/* The lane hears of a round's end although nothing happens on it: appends that wait for room, so that there are none, wait for just that.
 * When it hears of the beginning depends on where its tick stands, so the beginning is tried all along it. */
static void quiet_lane_hears_soon_that_a_round_is_over(void **state) {
  struct fixture *fixture = *state;
  fixture->options.checkpoint_interval_ms = 60000;
  assert_int_equal(fixture_open(fixture), STATUS_OK);
  fixture_create(fixture, 1, 1u << 20);
  uint64_t shortest_ns = UINT64_MAX;

  for (unsigned wait_ms = 0; wait_ms < 22; wait_ms++) {
    fixture_append(fixture, 1, 1, 1000, true);
    usleep(wait_ms * 1000);
    uint64_t begin_ns = world_now_ns(fixture->world);
    fixture_checkpoint(fixture);
    uint64_t took_ns = world_now_ns(fixture->world) - begin_ns;
    if (took_ns < shortest_ns) shortest_ns = took_ns;
  }

  print_message("the shortest round took %llu us\n", (unsigned long long)shortest_ns / 1000u);
  assert_true(shortest_ns < 18000000u);
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

/* The stop comes upon a round, ends it and begins the last one, while the frame of the first is still on its way. */
static void a_stop_in_the_middle_of_a_round_ends(void **state) {
  struct fixture *fixture = *state;
  assert_int_equal(fixture_open(fixture), STATUS_OK);
  fixture_create(fixture, 1, 1u << 20);
  for (int i = 0; i < 5; i++) {
    fixture_append(fixture, 1, 10, 20000, true);
    atomic_store(&fixture->fault.journal_write_ms, 100);
    log_set_checkpoint(fixture->set, NULL, NULL);
    usleep(2000); /* it has asked the lanes; their next look comes later */
    alarm(30);    /* it would never have ended */

    fixture_close(fixture, true);

    alarm(0);
    atomic_store(&fixture->fault.journal_write_ms, 0);
    assert_int_equal(fixture_open(fixture), STATUS_OK);
    assert_int_equal(fixture_read_all(fixture, 1, 0, 1 << 20, 20000), 10 * (i + 1));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(a_fresh_directory_is_formatted_once, set_up, tear_down),
      cmocka_unit_test_setup_teardown(an_identity_that_was_never_opened_is_taken, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_directory_that_waits_to_found_becomes_nobody_else, set_up, tear_down),
      cmocka_unit_test_setup_teardown(an_identity_of_the_first_version_is_kept, set_up, tear_down),
      cmocka_unit_test_setup_teardown(entries_are_read_hot_and_cold, set_up, tear_down),
      cmocka_unit_test_setup_teardown(what_is_durable_survives_without_a_checkpoint, set_up, tear_down),
      cmocka_unit_test_setup_teardown(small_tails_do_not_chase_each_other_round_the_ring, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_lane_on_which_nothing_happens_does_not_hold_the_journal, set_up, tear_down),
      cmocka_unit_test_setup_teardown(an_entry_that_has_come_to_rest_holds_the_file_that_it_is_in, set_up, tear_down),
      cmocka_unit_test_setup_teardown(start_after_start_leaves_one_copy, set_up, tear_down),
      cmocka_unit_test_setup_teardown(elections_without_end_do_not_fill_the_ring, set_up, tear_down),
      cmocka_unit_test_setup_teardown(quiet_lane_hears_soon_that_a_round_is_over, set_up, tear_down),
      cmocka_unit_test_setup_teardown(chunks_that_are_kept_leave_memory_for_reads, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_stop_in_the_middle_of_a_round_ends, set_up, tear_down),
      cmocka_unit_test_setup_teardown(streaming_flushes_by_itself_and_recycles, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_trim_drops_whole_segments, set_up, tear_down),
      cmocka_unit_test_setup_teardown(what_is_trimmed_in_memory_never_reaches_a_segment, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_deleted_log_takes_its_files_along, set_up, tear_down),
      cmocka_unit_test_setup_teardown(what_a_deleted_log_left_behind_goes_at_the_next_start, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_flipped_byte_in_a_segment_costs_only_its_entry, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_damaged_store_is_rebuilt, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_segment_left_behind_is_not_taken_for_the_end, set_up, tear_down),
      cmocka_unit_test_setup_teardown(another_brokers_segment_is_not_read, set_up, tear_down),
      cmocka_unit_test_setup_teardown(another_brokers_dump_is_not_taken, set_up, tear_down),
      cmocka_unit_test_setup_teardown(an_older_copy_of_the_store_is_not_believed, set_up, tear_down),
      cmocka_unit_test_setup_teardown(what_a_start_recorded_outlives_its_store, set_up, tear_down),
      cmocka_unit_test_setup_teardown(without_any_identity_it_refuses, set_up, tear_down),
      cmocka_unit_test_setup_teardown(records_are_found_by_time, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
