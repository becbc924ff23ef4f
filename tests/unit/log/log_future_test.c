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
#include "log/lineage.h"
#include "log/recovery.h"
#include "log/segment.h"
#include "log/small_file.h"
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

/* ---- A flipped bit in a version is rot, which replicas mend, and no newer Cairn, which stops the start ---- */

static enum status as_entry(struct bytes bytes) {
  struct entry_head head;
  return entry_decode_head(bytes.data, &head);
}

static enum status as_segment(struct bytes bytes) {
  struct segment_header header;
  return segment_header_decode(bytes.data, &header);
}

static enum status as_journal_file(struct bytes bytes) {
  struct journal_file_head head;
  return journal_file_head_decode(bytes.data, &head);
}

static enum status as_identity(struct bytes bytes) {
  struct log_identity identity;
  return identity_decode(bytes, &identity);
}

static enum status as_lineage(struct bytes bytes) {
  struct lineage lineage;
  return lineage_decode(bytes, &lineage);
}

static void assert_rot(uint8_t *bytes, size_t size, size_t at, enum status (*decode)(struct bytes bytes)) {
  assert_int_equal(decode(bytes_of(bytes, size)), STATUS_OK);
  for (unsigned bit = 0; bit < 8; bit++) {
    bytes[at] ^= (uint8_t)(1u << bit);
    assert_int_equal(decode(bytes_of(bytes, size)), STATUS_CORRUPT);
    bytes[at] ^= (uint8_t)(1u << bit);
  }
}

static void a_version_that_rot_has_changed_is_rot(void **state) {
  (void)state;
  static uint8_t bytes[SEGMENT_HEADER_SIZE + JOURNAL_BLOCK + SMALL_FILE_BYTES_MAX];
  entry_encode_head(&(struct entry_head){.kind = ENTRY_NOOP, .index = 1, .term = 1}, bytes);
  assert_rot(bytes, ENTRY_HEAD_SIZE, 8, as_entry);
  segment_header_encode(&(struct segment_header){.group = 1, .instance = 1, .first_index = 1}, bytes);
  assert_rot(bytes, SEGMENT_HEADER_SIZE, 8, as_segment);
  journal_file_head_encode(&(struct journal_file_head){.sequence = 1, .salt = 2, .size = 3}, bytes);
  assert_rot(bytes, JOURNAL_BLOCK, 7, as_journal_file);
  struct log_identity identity = {.broker_id = 1};
  identity_found_alone(&identity);
  assert_rot(bytes, identity_encode(&identity, bytes), 8, as_identity);
  struct lineage lineage = {.count = 0};
  lineage_continue(&lineage, 7, 0);
  memset(bytes, 0, sizeof bytes);
  (void)lineage_encode(&lineage, bytes);
  assert_rot(bytes, SMALL_FILE_BYTES_MAX, 8, as_lineage);
}

/* In every entry that the file has. */
static unsigned rot_versions(const struct fixture *fixture, const char *name) {
  static uint8_t bytes[1 << 20];
  unsigned count = 0;
  for (long from = 0;; from += (long)sizeof bytes) {
    size_t size = slurp(fixture, name, from, bytes, sizeof bytes);
    for (size_t at = 0; at + ENTRY_HEAD_SIZE <= size; at++) {
      if (memcmp(bytes + at, "CRNE", 4) != 0) continue;
      fixture_flip(fixture, name, from + (long)at + 8);
      count++;
    }
    if (size < sizeof bytes) return count;
  }
}

static void a_journal_in_which_rot_has_changed_versions_is_opened(void **state) {
  struct fixture *fixture = *state;
  char names[16][64], name[80];
  unsigned rotten = 0;
  begin(fixture);
  fixture_close(fixture, false);
  size_t count = fixture_list(fixture, "journal", names, 16);
  for (size_t i = 0; i < count; i++) {
    snprintf(name, sizeof name, "journal/%.60s", names[i]);
    rotten += rot_versions(fixture, name);
  }
  assert_true(rotten >= 2 * RECORDS);

  assert_int_equal(fixture_open(fixture), STATUS_OK);
  assert_true(log_view(fixture->logs[1]).damaged || fixture->report.journal.torn_groups > 0);
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
      TEST(a_version_that_rot_has_changed_is_rot),
      TEST(a_journal_in_which_rot_has_changed_versions_is_opened),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
