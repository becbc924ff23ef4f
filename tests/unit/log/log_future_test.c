/* What a newer Cairn wrote: an opening refuses it, says so, and changes nothing; nothing of it is taken for rot. Each format that a data directory
 * has by its log, one test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/codec.h"
#include "base/store.h"
#include "log/checkpoint.h"
#include "log/dump.h"
#include "log/entry.h"
#include "log/identity.h"
#include "log/inspect.h"
#include "log/journal_format.h"
#include "log/recovery.h"
#include "log/segment.h"
#include "log/tables.h"
#include "tests/unit/log/log_fixture.h"

#define RECORDS 10u
#define LATER 9u /* a version that no format has */

/* A directory of a broker that has one log, with records in a segment and behind it. */
static void begin(struct fixture *fixture) {
  assert_int_equal(fixture_open(fixture), STATUS_OK);
  fixture_create(fixture, 1, 1 << 20);
  fixture_append(fixture, 1, RECORDS, 100, true);
  fixture_checkpoint(fixture);
  fixture_append(fixture, 1, RECORDS, 100, true);
}

static void assert_refused(struct fixture *fixture, const char *words) {
  uint64_t hash = 0;
  for (unsigned i = 0; i < 3; i++) {
    assert_int_equal(fixture_open(fixture), STATUS_FOREIGN);
    assert_int_equal(buffer_append(&fixture->reason, "", 1), STATUS_OK);
    assert_non_null(strstr((const char *)fixture->reason.data, words));
    assert_non_null(strstr((const char *)fixture->reason.data, "newer Cairn"));
    if (i > 0) assert_int_equal(fixture_hash(fixture), hash);
    hash = fixture_hash(fixture);
  }
}

/* ---- The journal ---- */

struct writing {
  struct journal_write write;
  atomic_bool done;
};

static void is_done(struct task *task) {
  struct journal_write *write = container_of(task, struct journal_write, done);
  atomic_store(&container_of(write, struct writing, write)->done, true);
}

/* As a newer Cairn would: all checksums hold. */
static void write_frame(struct fixture *fixture, enum frame_kind kind, const uint8_t *body, size_t size) {
  struct writing writing;
  atomic_init(&writing.done, false);
  journal_write_init(&writing.write, fixture->lanes[0], is_done);
  struct journal_frame *frame = journal_write_add(&writing.write, 1, 1, kind);
  if (size > 0) memcpy(frame->head, body, size);
  frame->head_size = (uint32_t)size;
  frame->first_index = kind == FRAME_ENTRY ? 2 * RECORDS + 1 : 0;
  frame->from_reserve = true;
  journal_submit(log_set_journal(fixture->set), &writing.write);
  while (!atomic_load(&writing.done)) usleep(1000);
  assert_int_equal(writing.write.status, STATUS_OK);
  journal_write_deinit(&writing.write);
}

struct findings {
  unsigned count;
  char what[128];
};

static void take_finding(void *context, const struct inspect_finding *finding) {
  struct findings *findings = context;
  findings->count++;
  snprintf(findings->what, sizeof findings->what, "%s: %s", finding->file, finding->what);
}

/* Nor is anything that follows from it told as lost. */
static void assert_verified_as_foreign(struct fixture *fixture, const char *what) {
  struct findings findings = {0};
  struct inspect_report report;
  assert_int_equal(inspect_directory(fixture->world, take_finding, &findings, &report), STATUS_FOREIGN);
  assert_int_equal(findings.count, 1);
  assert_string_equal(findings.what, what);
}

static void frame_is_refused(struct fixture *fixture, enum frame_kind kind, const uint8_t *body, size_t size, const char *words) {
  begin(fixture);
  write_frame(fixture, kind, body, size);
  fixture_close(fixture, false);
  assert_refused(fixture, words);
}

static void an_entry_of_a_later_version_is_refused(void **state) {
  struct entry_head head = {.kind = ENTRY_NOOP, .index = 2 * RECORDS + 1, .term = 1, .base_offset = 2 * RECORDS};
  uint8_t bytes[ENTRY_HEAD_SIZE];
  entry_encode_head(&head, bytes);
  bytes[8] = LATER;
  put_u32(bytes + 4, crc32c(0, bytes_of(bytes + 8, ENTRY_HEAD_SIZE - 8)));
  frame_is_refused(*state, FRAME_ENTRY, bytes, sizeof bytes, "its journal has an entry of group 1");
  assert_verified_as_foreign(*state, "journal: it has an entry of group 1 that a newer Cairn wrote");
}

static void the_beginning_of_a_log_of_a_later_version_is_refused(void **state) {
  uint8_t bytes[JOURNAL_FRAME_HEAD_MAX] = {LATER};
  frame_is_refused(*state, FRAME_OPEN, bytes, sizeof bytes, "its journal has the beginning of a log of group 1");
}

static void a_checkpoint_frame_of_a_later_version_is_refused(void **state) {
  uint8_t bytes[CHECKPOINT_FRAME_SIZE + 8] = {LATER};
  frame_is_refused(*state, FRAME_CHECKPOINT, bytes, sizeof bytes, "its journal has the word of a checkpoint of group 1");
}

static void a_frame_of_a_later_kind_is_refused(void **state) {
  frame_is_refused(*state, (enum frame_kind)(FRAME_TABLE + 1), NULL, 0, "its journal has a frame of group 1");
}

/* ---- Files, patched as a newer Cairn would have written them ---- */

static void patch(const struct fixture *fixture, const char *name, long at, const void *bytes, size_t size) {
  char path[512];
  fixture_path(fixture, name, path, sizeof path);
  FILE *file = fopen(path, "r+b");
  assert_non_null(file);
  assert_int_equal(fseek(file, at, SEEK_SET), 0);
  assert_int_equal(fwrite(bytes, 1, size, file), size);
  assert_int_equal(fclose(file), 0);
}

static size_t slurp(const struct fixture *fixture, const char *name, long at, uint8_t *into, size_t max) {
  char path[512];
  fixture_path(fixture, name, path, sizeof path);
  FILE *file = fopen(path, "rb");
  assert_non_null(file);
  assert_int_equal(fseek(file, at, SEEK_SET), 0);
  size_t size = fread(into, 1, max, file);
  fclose(file);
  return size;
}

/* The hash of a file's head begins with its magic, of which the version is a part. */
static void make_later(const struct fixture *fixture, const char *name, long at) {
  static uint8_t head[JOURNAL_BLOCK];
  assert_int_equal(slurp(fixture, name, at, head, sizeof head), sizeof head);
  head[7] = '9';
  put_u64(head + 8, xxh3(get_u64(head), bytes_of(head + 16, JOURNAL_BLOCK - 16)));
  patch(fixture, name, at, head, sizeof head);
}

static void a_journal_file_of_a_later_version_is_refused(void **state) {
  struct fixture *fixture = *state;
  char names[16][64], name[80];
  begin(fixture);
  fixture_close(fixture, false);
  size_t count = fixture_list(fixture, "journal", names, 16);
  assert_true(count > 0);
  snprintf(name, sizeof name, "journal/%.60s", names[0]);
  make_later(fixture, name, 0);
  assert_refused(fixture, "start that");
}

/* Version behind a magic and a CRC32C of all from it on, as most small files begin. */
static void make_small_file_later(const struct fixture *fixture, const char *name, size_t covered) {
  static uint8_t bytes[65536];
  size_t size = slurp(fixture, name, 0, bytes, sizeof bytes);
  bytes[8] = LATER;
  put_u32(bytes + 4, crc32c(0, bytes_of(bytes + 8, (covered == 0 ? size : covered) - 8)));
  patch(fixture, name, 0, bytes, size);
}

static void an_identity_of_a_later_version_is_refused(void **state) {
  struct fixture *fixture = *state;
  begin(fixture);
  fixture_close(fixture, true);
  make_small_file_later(fixture, "identity", 0);
  make_small_file_later(fixture, "identity.copy", 0);
  assert_refused(fixture, "start that version");
}

/* The store is rebuilt of the newest dump; an older one knows less. */
static void a_dump_of_a_later_version_is_refused_where_it_is_needed(void **state) {
  struct fixture *fixture = *state;
  char names[16][64], name[80], path[512];
  begin(fixture);
  fixture_close(fixture, true);
  size_t count = fixture_list(fixture, "dump", names, 16);
  assert_true(count > 0);
  snprintf(name, sizeof name, "dump/%.60s", names[count - 1]);
  make_small_file_later(fixture, name, 48);
  fixture_path(fixture, "store.mdb", path, sizeof path);
  assert_int_equal(truncate(path, 0), 0);
  assert_refused(fixture, "start that");
  assert_false(fixture_has(fixture, "store.mdb.damaged-0"));
  assert_true(fixture_has(fixture, "store.mdb"));
}

/* ---- The store's rows ---- */

struct first_row {
  uint8_t key[64], value[4096];
  size_t key_size, value_size;
};

static bool take_first(void *context, struct bytes key, struct bytes value) {
  struct first_row *row = context;
  assert_true(key.size <= sizeof row->key && value.size <= sizeof row->value);
  memcpy(row->key, key.data, key.size);
  memcpy(row->value, value.data, value.size);
  row->key_size = key.size;
  row->value_size = value.size;
  return false;
}

static void row_is_refused(struct fixture *fixture, enum table table) {
  struct store *store = NULL;
  struct first_row row = {.key_size = 0};
  begin(fixture);
  fixture_close(fixture, true);
  assert_int_equal(world_store_open(fixture->world, STORE_PATH, fixture->options.store_bytes_max, 0, &store), STATUS_OK);
  assert_int_equal(store_walk(store, table, bytes_of(NULL, 0), take_first, &row), STATUS_OK);
  assert_true(row.key_size > 0);
  row.value[table == TABLE_IDENTITY ? 8 : 0] = LATER;
  if (table == TABLE_IDENTITY) put_u32(row.value + 4, crc32c(0, bytes_of(row.value + 8, row.value_size - 8)));
  const struct store_change change = {
      .table = table, .key = bytes_of(row.key, row.key_size), .value = bytes_of(row.value, row.value_size)};
  assert_int_equal(store_commit(store, &change, 1), STATUS_OK);
  store_close(store);
  assert_refused(fixture, "start that");
}

static void an_identity_row_of_a_later_version_is_refused(void **state) { row_is_refused(*state, TABLE_IDENTITY); }
static void a_group_row_of_a_later_version_is_refused(void **state) { row_is_refused(*state, TABLE_GROUP); }
static void a_segment_row_of_a_later_version_is_refused(void **state) { row_is_refused(*state, TABLE_SEGMENT); }
static void a_checkpoint_row_of_a_later_version_is_refused(void **state) { row_is_refused(*state, TABLE_META); }

/* ---- Segments: looked at when they are read ---- */

static void a_segment_of_a_later_version_is_not_read_and_not_given_up(void **state) {
  struct fixture *fixture = *state;
  char names[16][64], name[80];
  static uint8_t header[SEGMENT_HEADER_SIZE], after[SEGMENT_HEADER_SIZE];
  begin(fixture);
  fixture_checkpoint(fixture);
  fixture_close(fixture, true);
  size_t count = fixture_list(fixture, "p/1-1", names, 16);
  assert_true(count > 0);
  snprintf(name, sizeof name, "p/1-1/%.60s", names[0]);
  make_small_file_later(fixture, name, SEGMENT_HEADER_SIZE);
  slurp(fixture, name, 0, header, sizeof header);
  assert_int_equal(fixture_open(fixture), STATUS_OK);
  fixture_commit_all(fixture, 1);

  struct log_read read = {.offset = 0};
  fixture_read(fixture, 1, 0, 65536, &read);

  assert_int_equal(read.status, STATUS_IO); /* no rot: nothing is put in its place */
  log_read_reset(&read);
  slurp(fixture, name, 0, after, sizeof after);
  assert_memory_equal(header, after, sizeof header);
  struct segment_header decoded;
  assert_int_equal(segment_header_decode(after, &decoded), STATUS_FOREIGN);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(an_entry_of_a_later_version_is_refused),
      TEST(the_beginning_of_a_log_of_a_later_version_is_refused),
      TEST(a_checkpoint_frame_of_a_later_version_is_refused),
      TEST(a_frame_of_a_later_kind_is_refused),
      TEST(a_journal_file_of_a_later_version_is_refused),
      TEST(an_identity_of_a_later_version_is_refused),
      TEST(a_dump_of_a_later_version_is_refused_where_it_is_needed),
      TEST(an_identity_row_of_a_later_version_is_refused),
      TEST(a_group_row_of_a_later_version_is_refused),
      TEST(a_segment_row_of_a_later_version_is_refused),
      TEST(a_checkpoint_row_of_a_later_version_is_refused),
      TEST(a_segment_of_a_later_version_is_not_read_and_not_given_up),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
