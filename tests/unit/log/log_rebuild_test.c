/* A store that is gone, damaged, or another one's: what a start makes of segments, dumps and journal instead, and what it does not believe. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "log/segment.h"
#include "tests/unit/log/log_fixture.h"

static void copy_file(const struct fixture *from, const char *from_name, const struct fixture *to, const char *to_name) {
  char source[512];
  char target[512];
  char command[1100];
  fixture_path(from, from_name, source, sizeof source);
  fixture_path(to, to_name, target, sizeof target);
  snprintf(command, sizeof command, "cp '%s' '%s'", source, target);
  assert_int_equal(system(command), 0);
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

/* The frame that closed the earlier one is lost: that a later series began says the same. */
static void a_log_of_an_earlier_series_was_closed(void **state) {
  struct fixture *fixture = *state;
  for (int checkpoint = 0; checkpoint < 2; checkpoint++) {
    group_id group = (group_id)checkpoint + 1;
    instance_id later = ((instance_id)1 << INSTANCE_SERIES_BITS) * 7;
    char earlier_dir[DISK_PATH_MAX], later_dir[DISK_PATH_MAX];
    segment_dir_path(earlier_dir, group, 1);
    segment_dir_path(later_dir, group, later);
    if (checkpoint == 0) assert_int_equal(fixture_open(fixture), STATUS_OK);
    fixture_create(fixture, group, 1u << 20);
    fixture_append(fixture, group, 100, 10000, true);
    if (checkpoint == 1) fixture_checkpoint(fixture);
    fixture_create_beside(fixture, group, later, 1u << 20);
    fixture_append(fixture, group, 5, 1000, true);

    fixture_reopen(fixture, checkpoint == 1);

    assert_int_equal(fixture_view(fixture, group).instance, later);
    assert_int_equal(fixture_view(fixture, group).last_index, 5);
    assert_false(fixture_view(fixture, group).damaged);
    assert_false(fixture_has(fixture, earlier_dir));
    assert_int_equal(fixture->log_count, group); /* one of each group */
    fixture_checkpoint(fixture);
    fixture_reopen(fixture, true);
    assert_int_equal(fixture_view(fixture, group).last_index, 5);
  }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_damaged_store_is_rebuilt),
      TEST(an_older_copy_of_the_store_is_not_believed),
      TEST(what_a_start_recorded_outlives_its_store),
      TEST(a_segment_left_behind_is_not_taken_for_the_end),
      TEST(a_log_of_an_earlier_series_was_closed),
      TEST(another_brokers_segment_is_not_read),
      TEST(another_brokers_dump_is_not_taken),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
