#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/os/world_os.h"
#include "log/segment.h"

#define ENTRIES 40u
#define VALUE 500u

struct fixture {
  char directory[256];
  struct disk *disk;
  struct segment_writer writer;
  struct entry entries[ENTRIES];
  uint64_t positions[ENTRIES];
};

static struct entry entry_of(size_t i, size_t size, uint64_t chain) {
  struct blob *blob = NULL;
  assert_int_equal(blob_new(NULL, size, &blob), STATUS_OK);
  memset(blob->data, (int)i, size);
  struct entry entry = {.payload = {.blob = blob, .bytes = bytes_of(blob->data, size)}};
  entry.head = (struct entry_head){
      .kind = ENTRY_RECORDS, .record_count = 2, .index = 5 + i, .term = 1, .base_offset = 10 + (record_offset)(2 * i)};
  entry_seal(&entry.head, entry.payload.bytes, chain);
  return entry;
}

static int set_up(void **state) {
  struct fixture *fixture = NEW(struct fixture);
  const char *base = getenv("TEST_TMPDIR");
  snprintf(fixture->directory, sizeof fixture->directory, "%.200s/segment.XXXXXX", base != NULL ? base : "/tmp");
  assert_non_null(mkdtemp(fixture->directory));
  assert_int_equal(disk_os_open(fixture->directory, true, &fixture->disk), STATUS_OK);
  assert_int_equal(disk_make_dir(fixture->disk, "p"), STATUS_OK);
  uint64_t chain = 77;
  for (size_t i = 0; i < ENTRIES; i++) {
    struct entry *entry = &fixture->entries[i];
    *entry = entry_of(i, VALUE, chain);
    chain = entry->head.chain;
  }
  *state = fixture;
  return 0;
}

static int tear_down(void **state) {
  struct fixture *fixture = *state;
  segment_writer_close(&fixture->writer);
  for (size_t i = 0; i < ENTRIES; i++) entry_release(&fixture->entries[i]);
  disk_os_close(fixture->disk);
  char command[600];
  snprintf(command, sizeof command, "rm -rf '%s'", fixture->directory);
  assert_int_equal(system(command), 0);
  memory_free(fixture);
  return 0;
}

static void create(struct fixture *fixture) {
  struct segment_header header = {
      .group = 1, .instance = 2, .first_index = 5, .base_offset = 10, .previous_chain = 77, .chained = true};
  bool made_dir = false;
  assert_int_equal(segment_create(fixture->disk, &header, &fixture->writer, &made_dir), STATUS_OK);
  assert_true(made_dir);
}

static void open_cursor(struct fixture *fixture, struct segment_cursor *cursor, struct disk_file **file) {
  char path[DISK_PATH_MAX];
  segment_path(path, 1, 2, 5);
  assert_int_equal(disk_open(fixture->disk, path, 0, file), STATUS_OK);
  segment_cursor_init(cursor, *file, &fixture->writer.info, NULL, 8192);
}

/* How many entries follow one another up to the end or the first bad one. */
static size_t walk(struct fixture *fixture, struct segment_cursor *cursor, enum status *out_status) {
  size_t count = 0;
  for (;;) {
    struct entry entry;
    *out_status = segment_cursor_next(cursor, &entry);
    if (*out_status != STATUS_OK) return count;
    size_t at = (size_t)(entry.head.index - 5);
    fixture->positions[at] = cursor->position - entry_size(&entry.head);
    assert_true(bytes_equal(entry.payload.bytes, fixture->entries[at].payload.bytes));
    entry_release(&entry);
    count++;
  }
}

static void write_all(struct fixture *fixture) {
  create(fixture);
  assert_int_equal(segment_append(&fixture->writer, fixture->entries, ENTRIES), STATUS_OK);
  assert_int_equal(segment_finish(&fixture->writer), STATUS_OK);
}

static void damage(struct fixture *fixture, uint64_t position) {
  char path[DISK_PATH_MAX];
  segment_path(path, 1, 2, 5);
  struct disk_file *file = NULL;
  uint8_t byte = 0;
  size_t got = 0;
  assert_int_equal(disk_open(fixture->disk, path, 0, &file), STATUS_OK);
  assert_int_equal(disk_read(file, position, &byte, 1, &got), STATUS_OK);
  byte ^= 4;
  assert_int_equal(disk_write(file, position, bytes_of(&byte, 1)), STATUS_OK);
  disk_close(file);
}

static void padding_of_any_length_is_passed(void **state) {
  static const size_t paddings[] = {0, 1, 2, 3, 4, 5, DISK_BLOCK_SIZE - 1, 3, 0, 1};
  const size_t count = sizeof paddings / sizeof paddings[0];
  struct fixture *fixture = *state;
  uint64_t chain = 77;
  for (size_t i = 0; i < count; i++) {
    entry_release(&fixture->entries[i]);
    fixture->entries[i] = entry_of(i, 2 * DISK_BLOCK_SIZE - ENTRY_HEAD_SIZE - paddings[i], chain);
    chain = fixture->entries[i].head.chain;
  }
  create(fixture);
  for (size_t i = 0; i < count; i++) {
    assert_int_equal(segment_append(&fixture->writer, &fixture->entries[i], 1), STATUS_OK);
    assert_int_equal(segment_finish(&fixture->writer), STATUS_OK);
    struct segment_info info = fixture->writer.info;
    segment_writer_close(&fixture->writer);
    assert_int_equal(segment_open_append(fixture->disk, 1, 2, &info, &fixture->writer), STATUS_OK);
  }

  struct segment_cursor cursor;
  struct disk_file *file = NULL;
  enum status status = STATUS_OK;
  open_cursor(fixture, &cursor, &file);
  assert_int_equal(walk(fixture, &cursor, &status), count);
  assert_int_equal(status, STATUS_END);
  segment_cursor_deinit(&cursor);
  disk_close(file);
}

static void pieces_of_changing_size_make_one_file(void **state) {
  static const size_t pieces[] = {SEGMENT_CHUNK_BYTES, DISK_BLOCK_SIZE, 4 * DISK_BLOCK_SIZE};
  struct fixture *fixture = *state;
  create(fixture);
  for (size_t i = 0; i < ENTRIES; i++) {
    fixture->writer.piece_bytes = pieces[i % 3];
    assert_int_equal(segment_append(&fixture->writer, &fixture->entries[i], 1), STATUS_OK);
  }
  assert_true(fixture->writer.written > SEGMENT_HEADER_SIZE);
  assert_int_equal(segment_finish(&fixture->writer), STATUS_OK);

  struct segment_cursor cursor;
  struct disk_file *file = NULL;
  enum status status = STATUS_OK;
  open_cursor(fixture, &cursor, &file);
  assert_int_equal(walk(fixture, &cursor, &status), ENTRIES);
  assert_int_equal(status, STATUS_END);
  segment_cursor_deinit(&cursor);
  disk_close(file);
}

static void entries_come_back_across_flushes(void **state) {
  struct fixture *fixture = *state;
  create(fixture);
  assert_int_equal(segment_append(&fixture->writer, fixture->entries, 7), STATUS_OK);
  assert_int_equal(segment_finish(&fixture->writer), STATUS_OK);
  struct segment_info info = fixture->writer.info;
  assert_int_equal(info.length % DISK_BLOCK_SIZE, 0);
  segment_writer_close(&fixture->writer);
  assert_int_equal(segment_open_append(fixture->disk, 1, 2, &info, &fixture->writer), STATUS_OK);
  assert_int_equal(segment_append(&fixture->writer, fixture->entries + 7, ENTRIES - 7), STATUS_OK);
  assert_int_equal(segment_finish(&fixture->writer), STATUS_OK);

  struct segment_cursor cursor;
  struct disk_file *file = NULL;
  open_cursor(fixture, &cursor, &file);
  enum status status = STATUS_OK;
  assert_int_equal(walk(fixture, &cursor, &status), ENTRIES);
  assert_int_equal(status, STATUS_END);
  assert_int_equal(fixture->writer.info.last_index, 5 + ENTRIES - 1);
  assert_int_equal(fixture->writer.info.end_offset, 10 + 2 * ENTRIES);
  segment_cursor_deinit(&cursor);
  disk_close(file);
}

static void bytes_beyond_the_recorded_length_do_not_exist(void **state) {
  struct fixture *fixture = *state;
  create(fixture);
  assert_int_equal(segment_append(&fixture->writer, fixture->entries, 7), STATUS_OK);
  assert_int_equal(segment_finish(&fixture->writer), STATUS_OK);
  struct segment_info recorded = fixture->writer.info;
  assert_int_equal(segment_append(&fixture->writer, fixture->entries + 7, 9), STATUS_OK);
  assert_int_equal(segment_finish(&fixture->writer), STATUS_OK);
  fixture->writer.info = recorded;

  struct segment_cursor cursor;
  struct disk_file *file = NULL;
  open_cursor(fixture, &cursor, &file);
  enum status status = STATUS_OK;
  assert_int_equal(walk(fixture, &cursor, &status), 7);
  segment_cursor_deinit(&cursor);
  disk_close(file);
}

static void a_bad_payload_can_be_skipped(void **state) {
  struct fixture *fixture = *state;
  write_all(fixture);
  damage(fixture, SEGMENT_HEADER_SIZE + 3 * (ENTRY_HEAD_SIZE + VALUE) + ENTRY_HEAD_SIZE + 9);

  struct segment_cursor cursor;
  struct disk_file *file = NULL;
  open_cursor(fixture, &cursor, &file);
  enum status status = STATUS_OK;
  assert_int_equal(walk(fixture, &cursor, &status), 3);
  assert_int_equal(status, STATUS_CORRUPT);
  assert_true(cursor.skippable);
  segment_cursor_skip(&cursor);
  assert_int_equal(walk(fixture, &cursor, &status), ENTRIES - 4);
  segment_cursor_deinit(&cursor);
  disk_close(file);
}

static void a_bad_head_is_passed_to_what_leads_to_the_anchor(void **state) {
  struct fixture *fixture = *state;
  write_all(fixture);
  damage(fixture, SEGMENT_HEADER_SIZE + 3 * (ENTRY_HEAD_SIZE + VALUE) + 30);

  struct segment_cursor cursor;
  struct disk_file *file = NULL;
  open_cursor(fixture, &cursor, &file);
  enum status status = STATUS_OK;
  assert_int_equal(walk(fixture, &cursor, &status), 3);
  assert_false(cursor.skippable);
  const struct segment_info *info = &fixture->writer.info;
  struct segment_anchor anchor = {.position = info->length, .index = info->last_index + 1, .chain = info->last_chain};
  assert_int_equal(segment_resync(&cursor, &anchor), STATUS_OK);
  assert_int_equal(cursor.next_index, 5 + 4);
  assert_int_equal(walk(fixture, &cursor, &status), ENTRIES - 4);
  segment_cursor_deinit(&cursor);
  disk_close(file);
}

static void a_header_tells_whose_it_is_and_a_flipped_bit_is_noticed(void **state) {
  (void)state;
  struct segment_header header = {
      .group = 9, .instance = 8, .first_index = 7, .base_offset = 6, .previous_chain = 5, .previous_term = 4, .chained = true};
  struct segment_header back;
  uint8_t bytes[SEGMENT_HEADER_SIZE];
  segment_header_encode(&header, bytes);

  assert_int_equal(segment_header_decode(bytes, &back), STATUS_OK);
  assert_int_equal(back.group, 9);
  assert_int_equal(back.previous_term, 4);
  for (size_t i = 0; i < SEGMENT_HEADER_SIZE; i += 13) {
    bytes[i] ^= 16;
    assert_int_not_equal(segment_header_decode(bytes, &back), STATUS_OK);
    bytes[i] ^= 16;
  }
}

static void names_are_parsed_strictly(void **state) {
  (void)state;
  group_id group = 0;
  instance_id instance = 0;
  entry_index first = 0;
  assert_true(segment_dir_parse("12-3", &group, &instance));
  assert_int_equal(group, 12);
  assert_int_equal(instance, 3);
  assert_false(segment_dir_parse("12-", &group, &instance));
  assert_false(segment_dir_parse("12-3x", &group, &instance));
  assert_true(segment_name_parse("00000000000000000042.segment", &first));
  assert_int_equal(first, 42);
  assert_false(segment_name_parse("42.segment", &first));
  assert_false(segment_name_parse("99999999999999999999.segment", &first));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(padding_of_any_length_is_passed, set_up, tear_down),
      cmocka_unit_test_setup_teardown(pieces_of_changing_size_make_one_file, set_up, tear_down),
      cmocka_unit_test_setup_teardown(entries_come_back_across_flushes, set_up, tear_down),
      cmocka_unit_test_setup_teardown(bytes_beyond_the_recorded_length_do_not_exist, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_bad_payload_can_be_skipped, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_bad_head_is_passed_to_what_leads_to_the_anchor, set_up, tear_down),
      cmocka_unit_test(a_header_tells_whose_it_is_and_a_flipped_bit_is_noticed),
      cmocka_unit_test(names_are_parsed_strictly),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
