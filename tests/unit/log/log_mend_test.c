/* Segments that rot has met are found out, and mended with entries from elsewhere, if these are the ones that were there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/trace.h"
#include "log/reader.h"
#include "tests/unit/log/log_hand.h"
#include "tests/unit/replication/chance.h"

#define GROUP 1u
#define ENTRIES 600u
#define SMALL 200u /* entries */
#define ROUNDS 60u
#define HOLES_MAX 200u

/* What somebody else has of the same log. */
struct whole {
  struct fixture *fixture;
  struct entry entries[ENTRIES + 1]; /* by index */
  unsigned suspicions;
};

static void drop_line(void *context, const char *line) {
  (void)context;
  (void)line;
}

static void suspected(void *context) {
  struct whole *whole = context;
  whole->suspicions++;
}

/* Small pieces, so that padding stands in many places; the first ones so small that a hole has many of these. */
static void fill(struct fixture *fixture) {
  struct hand hand;
  hand_init(&hand, fixture, GROUP);
  for (unsigned i = 1; i <= ENTRIES; i++) {
    bool other = i % 7 == 0;
    hand_append(&hand, &(struct hand_entry){.kind = other ? ENTRY_CONFIG : ENTRY_RECORDS,
                                            .size = other ? 30 : 40 + i * 37 % (i <= SMALL ? 200 : 5000),
                                            .fill = (uint8_t)i,
                                            .records = other ? 0 : 1 + i % 3,
                                            .term = 1 + i / 100});
    if (i % (i <= SMALL ? 11 : 23) != 0 && i != ENTRIES) continue;
    hand_submit(&hand);
    hand_commit(fixture, GROUP, i);
    fixture_checkpoint(fixture);
  }
  hand_deinit(&hand);
}

static void own(void *context) {
  struct whole *whole = context;
  log_set_owner(whole->fixture->logs[GROUP], &(struct log_owner){.suspected = suspected, .context = whole});
}

static int set_up(void **state) {
  trace_set_sink(drop_line, NULL);
  struct whole *whole = NEW(struct whole);
  struct fixture *fixture = whole->fixture = fixture_new();
  fixture->options.tail_bytes = 1u << 16;
  assert_int_equal(fixture_open(fixture), STATUS_OK);
  fixture_create(fixture, GROUP, 256u << 10);
  fill(fixture);
  fixture_reopen(fixture, true); /* nothing is in memory any more */
  fixture_run(fixture, GROUP, own, whole);
  for (entry_index at = 1; at <= ENTRIES;) {
    struct log_fetch fetch = {.first = at, .last = ENTRIES, .count_max = 100, .bytes_max = 1u << 20};
    hand_fetch(fixture, GROUP, &fetch);
    assert_int_equal(fetch.status, STATUS_OK);
    for (size_t i = 0; i < fetch.count; i++, at++)
      whole->entries[at] = (struct entry){.head = fetch.entries[i].head, .payload = blob_part_hold(fetch.entries[i].payload)};
    log_fetch_reset(&fetch);
  }
  *state = whole;
  return 0;
}

static int tear_down(void **state) {
  struct whole *whole = *state;
  for (size_t i = 1; i <= ENTRIES; i++) entry_release(&whole->entries[i]);
  fixture_free(whole->fixture);
  memory_free(whole);
  trace_set_sink(NULL, NULL);
  return 0;
}

/* ---- Mending ---- */

struct errand {
  struct log *log;
  struct log_mend *mend;
  bool fill;
  bool any;
  atomic_bool done;
};
static struct errand *errand_of;

static void errand_done(struct task *task) {
  (void)task;
  atomic_store(&errand_of->done, true);
}

static void run_errand(void *context) {
  struct errand *errand = context;
  bool answered = errand->fill ? log_mend_fill(errand->log, errand->mend) : log_mend_find(errand->log, errand->mend);
  if (answered) atomic_store(&errand->done, true);
}

static enum status on_lane(struct whole *whole, struct log_mend *mend, bool fill) {
  struct errand errand = {.log = whole->fixture->logs[GROUP], .mend = mend, .fill = fill};
  errand_of = &errand;
  mend->loop = whole->fixture->lanes[GROUP % 2];
  mend->done.run = errand_done;
  fixture_run(whole->fixture, GROUP, run_errand, &errand);
  while (!atomic_load(&errand.done)) usleep(50);
  return mend->status;
}

static void ask_for_suspect(void *context) {
  struct errand *errand = context;
  errand->any = log_next_suspect(errand->log, 0, &errand->mend->segment);
}

static bool next_suspect(struct whole *whole, struct log_mend *mend) {
  struct errand errand = {.log = whole->fixture->logs[GROUP], .mend = mend};
  fixture_run(whole->fixture, GROUP, ask_for_suspect, &errand);
  return errand.any;
}

static void offer(struct whole *whole, struct log_mend *mend) {
  assert_true(mend->first >= 1 && mend->last <= ENTRIES && mend->first <= mend->last + 1);
  mend->entries = &whole->entries[mend->first];
  mend->count = mend->last + 1 - mend->first;
}

static unsigned mend_all(struct whole *whole) {
  struct log_mend mend = {0};
  unsigned holes = 0;
  while (next_suspect(whole, &mend)) {
    enum status status = on_lane(whole, &mend, false);
    if (status == STATUS_END) continue;
    assert_int_equal(status, STATUS_OK);
    assert_true(++holes < HOLES_MAX);
    offer(whole, &mend);
    assert_int_equal(on_lane(whole, &mend, true), STATUS_OK);
  }
  return holes;
}

/* Reads everything; what cannot be read is suspected. True: everything could. */
static bool read_through(struct whole *whole) {
  bool good = true;
  for (entry_index at = 1; at <= ENTRIES;) {
    struct log_fetch fetch = {.first = at, .last = ENTRIES, .count_max = 100, .bytes_max = 1u << 20};
    hand_fetch(whole->fixture, GROUP, &fetch);
    if (fetch.status != STATUS_OK) {
      assert_int_equal(fetch.status, STATUS_DAMAGED);
      good = false;
      at++;
      continue;
    }
    for (size_t i = 0; i < fetch.count; i++, at++) assert_true(fetch.entries[i].head.chain == whole->entries[at].head.chain);
    log_fetch_reset(&fetch);
  }
  return good;
}

static void assert_whole(struct whole *whole) {
  assert_true(read_through(whole));
  fixture_reopen(whole->fixture, true);
  fixture_run(whole->fixture, GROUP, own, whole);
  assert_true(read_through(whole));
}

/* ---- Rot ---- */

static size_t segments(struct whole *whole, char names[][64], size_t max) {
  return fixture_list(whole->fixture, "p/1-1", names, max);
}

static void path_of(struct whole *whole, const char *name, char out[512]) {
  char relative[128];
  snprintf(relative, sizeof relative, "p/1-1/%s", name);
  fixture_path(whole->fixture, relative, out, 512);
}

enum rot { ROT_FLIP, ROT_ZEROS, ROT_NOISE, ROT_KINDS };

static void rot(const char *path, enum rot kind, long position, size_t size, struct chance *chance) {
  FILE *file = fopen(path, "r+b");
  assert_non_null(file);
  for (size_t i = 0; i < size; i++) {
    assert_int_equal(fseek(file, position + (long)i, SEEK_SET), 0);
    int byte = fgetc(file);
    if (byte == EOF) break;
    int other = kind == ROT_FLIP ? byte ^ 0x10 : kind == ROT_ZEROS ? 0 : (int)chance_below(chance, 256);
    assert_int_equal(fseek(file, position + (long)i, SEEK_SET), 0);
    fputc(other, file);
  }
  assert_int_equal(fclose(file), 0);
}

static void whatever_rot_took_of_segments_is_put_back(void **state) {
  struct whole *whole = *state;
  struct chance chance = {chance_seed()};
  char names[64][64];
  size_t count = segments(whole, names, 64);
  assert_true(count > 3);
  unsigned holes = 0;
  for (unsigned round = 0; round < ROUNDS; round++) {
    char path[512];
    struct stat info;
    path_of(whole, names[chance_below(&chance, count)], path);
    assert_int_equal(stat(path, &info), 0);
    static const size_t sizes[] = {1, 1, 20, 200, 512, 4096, 9000};
    size_t size = sizes[chance_below(&chance, sizeof sizes / sizeof sizes[0])];
    long position = (long)chance_below(&chance, (uint64_t)info.st_size);
    if (size >= 512) position = position / 512 * 512;
    rot(path, (enum rot)chance_below(&chance, ROT_KINDS), position, size, &chance);

    bool good = read_through(whole);
    unsigned mended = mend_all(whole);
    assert_true(good || mended > 0);
    holes += mended;
    assert_true(read_through(whole));
  }
  print_message("%u rounds, %u holes\n", ROUNDS, holes);
  assert_true(holes > ROUNDS / 2);
  assert_whole(whole);
}

static void what_is_damaged_is_told_once_and_forgotten_when_it_is_whole(void **state) {
  struct whole *whole = *state;
  char names[64][64], path[512];
  struct chance chance = {1};
  assert_true(segments(whole, names, 64) > 1);
  path_of(whole, names[1], path);
  rot(path, ROT_NOISE, 20000, 100, &chance);

  assert_false(read_through(whole));
  assert_false(read_through(whole));
  assert_int_equal(whole->suspicions, 1);
  struct log_read read;
  fixture_read(whole->fixture, GROUP, 0, 100, &read);
  log_read_reset(&read);
  assert_true(mend_all(whole) >= 1);

  struct log_range range;
  assert_int_equal(log_damaged_ranges(whole->fixture->logs[GROUP], &range, 1), 0);
  struct log_mend mend;
  assert_false(next_suspect(whole, &mend));
}

/* Bytes and all, but for another index; or with good checksums, and never in this log. */
static void what_was_not_there_is_not_put_in(void **state) {
  struct whole *whole = *state;
  char names[64][64], path[512];
  struct chance chance = {1};
  assert_true(segments(whole, names, 64) > 1);
  path_of(whole, names[1], path);
  rot(path, ROT_NOISE, 20000, 100, &chance);
  assert_false(read_through(whole));
  struct log_mend mend = {0};
  assert_true(next_suspect(whole, &mend));
  assert_int_equal(on_lane(whole, &mend, false), STATUS_OK);
  assert_true(mend.last >= mend.first);
  offer(whole, &mend);

  struct entry *forged = memory_new_array(mend.count, sizeof *forged);
  memcpy(forged, mend.entries, mend.count * sizeof *forged);
  forged[0].head.leader_time_ms++;
  entry_seal(&forged[0].head, forged[0].payload.bytes, mend.chain);
  mend.entries = forged;
  assert_int_equal(on_lane(whole, &mend, true), STATUS_CORRUPT);
  offer(whole, &mend);
  mend.entries++; /* those behind */
  assert_int_equal(on_lane(whole, &mend, true), STATUS_CORRUPT);
  offer(whole, &mend);
  mend.count--;
  assert_int_equal(on_lane(whole, &mend, true), STATUS_CORRUPT);
  memory_free(forged);

  assert_false(read_through(whole));
  assert_true(mend_all(whole) >= 1);
  assert_whole(whole);
}

static void a_header_is_written_anew(void **state) {
  struct whole *whole = *state;
  char names[64][64], path[512];
  struct chance chance = {1};
  uint8_t before[4096], after[4096];
  assert_true(segments(whole, names, 64) > 1);
  path_of(whole, names[1], path);
  FILE *file = fopen(path, "rb");
  assert_int_equal(fread(before, 1, sizeof before, file), sizeof before);
  fclose(file);
  rot(path, ROT_NOISE, 0, 200, &chance);
  rot(path, ROT_NOISE, 20000, 10, &chance);

  assert_false(read_through(whole));
  assert_true(mend_all(whole) >= 1);

  file = fopen(path, "rb");
  assert_int_equal(fread(after, 1, sizeof after, file), sizeof after);
  fclose(file);
  assert_memory_equal(before, after, sizeof before);
}

static void a_file_that_is_gone_is_not_mended_but_told(void **state) {
  struct whole *whole = *state;
  char names[64][64], path[512];
  assert_true(segments(whole, names, 64) > 1);
  path_of(whole, names[1], path);
  fixture_reopen(whole->fixture, true); /* no reader has it open */
  fixture_run(whole->fixture, GROUP, own, whole);
  assert_int_equal(unlink(path), 0);

  assert_false(read_through(whole));

  struct log_mend mend = {0};
  assert_true(next_suspect(whole, &mend));
  assert_int_equal(on_lane(whole, &mend, false), STATUS_DAMAGED);
}

/* Two holes in one segment; the first is found. */
static void find_the_first_of_two(struct whole *whole, struct log_mend *mend) {
  char names[64][64], path[512];
  struct chance chance = {1};
  assert_true(segments(whole, names, 64) > 1);
  path_of(whole, names[1], path);
  rot(path, ROT_NOISE, 20000, 100, &chance);
  rot(path, ROT_NOISE, 60000, 100, &chance);
  assert_false(read_through(whole));
  assert_true(next_suspect(whole, mend));
  assert_int_equal(on_lane(whole, mend, false), STATUS_OK);
  assert_true(mend->last >= mend->first);
}

static enum status read_at(struct whole *whole, entry_index at) {
  record_offset offset = whole->entries[at].head.base_offset;
  struct log_read read;
  fixture_read(whole->fixture, GROUP, offset, 1, &read);
  enum status status = read.status;
  log_read_reset(&read);
  return status;
}

static entry_index with_records(const struct whole *whole, entry_index at) {
  while (whole->entries[at].head.record_count == 0) at++;
  return at;
}

static void behind_a_hole_that_nobody_can_fill_others_are_filled(void **state) {
  struct whole *whole = *state;
  struct log_mend mend = {0};
  find_the_first_of_two(whole, &mend);
  entry_index lost = with_records(whole, mend.first);
  assert_true(lost <= mend.last);

  mend.passes = mend.last;
  assert_int_equal(on_lane(whole, &mend, false), STATUS_OK);
  entry_index other = with_records(whole, mend.first);
  assert_true(other > lost && other <= mend.last);
  assert_int_equal(read_at(whole, lost), STATUS_DAMAGED);
  assert_int_equal(read_at(whole, other), STATUS_DAMAGED);
  offer(whole, &mend);
  assert_int_equal(on_lane(whole, &mend, true), STATUS_OK);

  assert_int_equal(read_at(whole, other), STATUS_OK); /* what was known of its damage is not what is so */
  assert_int_equal(read_at(whole, lost), STATUS_DAMAGED);
  assert_int_equal(on_lane(whole, &mend, false), STATUS_END);
  assert_true(mend.passed);
  assert_true(next_suspect(whole, &mend));
  assert_int_equal(mend_all(whole), 1);
  assert_whole(whole);
}

/* Where it was padded is lost with the rest, and there are more ways to do it than can be tried. */
static void a_hole_of_many_entries_with_padding_between_them_is_filled(void **state) {
  struct whole *whole = *state;
  char path[512];
  struct chance chance = {1};
  path_of(whole, "00000000000000000001.segment", path);
  rot(path, ROT_NOISE, 10000, 45000, &chance);
  assert_false(read_through(whole));
  struct log_mend mend = {0};
  entry_index most = 0;
  assert_true(next_suspect(whole, &mend));
  while (on_lane(whole, &mend, false) == STATUS_OK) { /* the first one may have its head still, and is a hole by itself */
    if (mend.last + 1 - mend.first > most) most = mend.last + 1 - mend.first;
    offer(whole, &mend);
    assert_int_equal(on_lane(whole, &mend, true), STATUS_OK);
  }
  assert_int_equal(mend.status, STATUS_END);
  print_message("a hole of %llu entries\n", (unsigned long long)most);
  assert_true(most >= 80);
  assert_whole(whole);
}

/* Entries of which the hole had a padding behind the third, and none later: where it was is lost with the rest, and there are more ways to pad
 * all the others than can be tried. */
static void a_hole_that_was_padded_far_from_its_end_is_laid_out(void **state) {
  (void)state;
  enum { COUNT = 120, PADDED = 3 };
  struct entry entries[COUNT] = {0};
  uint64_t begins[COUNT], at = 5000;
  struct log_mend mend = {.entries = entries, .count = COUNT, .position = at};
  for (unsigned i = 0; i < COUNT; i++) {
    entries[i].head.payload_size = 100 + i * 37 % 200;
    if (i == PADDED) at = (at + DISK_BLOCK_SIZE - 1) / DISK_BLOCK_SIZE * DISK_BLOCK_SIZE;
    at += entry_size(&entries[i].head);
  }
  mend.end = at;
  mend.bytes = mend.end - mend.position;
  assert_true(reader_mend_lay_out(&mend, begins));

  at = mend.position;
  for (unsigned i = 0; i < COUNT; i++) {
    assert_true(begins[i] == at || (begins[i] > at && begins[i] % DISK_BLOCK_SIZE == 0 && begins[i] - at < DISK_BLOCK_SIZE));
    at = begins[i] + entry_size(&entries[i].head);
  }
  assert_true(at == mend.end);
  mend.end++; /* no padding ends there */
  mend.bytes++;
  assert_false(reader_mend_lay_out(&mend, begins));
}

static void what_is_damaged_before_the_first_that_is_asked_for_is_no_matter(void **state) {
  struct whole *whole = *state;
  struct log_mend mend = {0};
  find_the_first_of_two(whole, &mend);
  struct log_fetch fetch = {.first = mend.last + 1, .last = ENTRIES, .count_max = 1, .bytes_max = 1u << 20};
  hand_fetch(whole->fixture, GROUP, &fetch);
  assert_int_equal(fetch.status, STATUS_OK);
  assert_true(fetch.entries[0].head.chain == whole->entries[mend.last + 1].head.chain);
  log_fetch_reset(&fetch);
  fetch.first = mend.last;
  hand_fetch(whole->fixture, GROUP, &fetch);
  assert_int_equal(fetch.status, STATUS_DAMAGED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(int argc, char **argv) {
  if (argc == 2) cmocka_set_test_filter(argv[1]);
  const struct CMUnitTest tests[] = {
      TEST(whatever_rot_took_of_segments_is_put_back),
      TEST(what_is_damaged_is_told_once_and_forgotten_when_it_is_whole),
      TEST(what_was_not_there_is_not_put_in),
      TEST(a_header_is_written_anew),
      TEST(a_file_that_is_gone_is_not_mended_but_told),
      TEST(behind_a_hole_that_nobody_can_fill_others_are_filled),
      TEST(a_hole_of_many_entries_with_padding_between_them_is_filled),
      cmocka_unit_test(a_hole_that_was_padded_far_from_its_end_is_laid_out),
      TEST(what_is_damaged_before_the_first_that_is_asked_for_is_no_matter),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
