/* What a journal does when nothing goes wrong. */
#include "tests/unit/log/journal_rig.h"

#include <string.h>

#include "base/memory.h"
#include "log/journal_format.h"

/* ---- Round trips ---- */

static void journal_begins_empty(void **state) {
  struct rig *rig = *state;
  rig_start(rig);
  assert_true(rig->report.empty);
  assert_int_equal(rig->found_count, 0);
  rig_close(rig);

  rig_open(rig);
  assert_false(rig->report.empty);
  assert_int_equal(rig->found_count, 0);
  assert_int_equal(rig->damage_count, 0);
}

static void journal_tells_what_was_written(void **state) {
  struct rig *rig = *state;
  rig_start(rig);
  for (entry_index i = 1; i <= 20; i++) rig_append(rig, 1 + i % 2, (i + 1) / 2, 1000);
  rig_close(rig);

  rig_open(rig);
  rig_expect_entries(rig, 1, 1, 10, 1000);
  rig_expect_entries(rig, 2, 1, 10, 1000);
  assert_int_equal(rig->report.frames, 20);
  assert_int_equal(rig->report.torn_groups, 0);
  assert_int_equal(rig->report.rotten_groups, 0);
  assert_int_equal(rig->damage_count, 0);
}

static void journal_keeps_frames_over_many_starts(void **state) {
  struct rig *rig = *state;
  for (entry_index i = 1; i <= 10; i++) {
    rig_start(rig);
    rig_expect_entries(rig, 1, 1, i - 1, 100);
    rig_append(rig, 1, i, 100);
    rig_close(rig);
  }
}

static void journal_keeps_every_kind(void **state) {
  struct rig *rig = *state;
  rig_start(rig);
  static const enum frame_kind kinds[] = {FRAME_OPEN, FRAME_CUT, FRAME_CHECKPOINT, FRAME_CLOSE};
  struct rig_turn turn;
  rig_turn_init(rig, &turn);
  for (size_t i = 0; i < 4; i++) {
    struct journal_frame *frame = journal_write_add(&turn.write, 9, 4, kinds[i]);
    frame->first_index = i;
    frame->head_size = (uint32_t)i * 3; /* an empty body among them */
  }
  rig_submit(rig, &turn);
  assert_ok(rig_wait(&turn));
  rig_turn_deinit(&turn);
  rig_close(rig);

  rig_open(rig);
  assert_int_equal(rig->found_count, 4);
  for (size_t i = 0; i < 4; i++) {
    assert_int_equal(rig->found[i].kind, kinds[i]);
    assert_int_equal(rig->found[i].index, i);
    assert_int_equal(rig->found[i].instance, 4);
    assert_int_equal(rig->found[i].size, i * 3);
  }
}

/* ---- Grouping ---- */

#define TURNS 64

static void journal_groups_what_gathered(void **state) {
  struct rig *rig = *state;
  rig_start(rig);
  static struct rig_turn turns[TURNS];
  uint64_t before = journal_usage(rig->journal).durable_group;
  for (entry_index i = 0; i < TURNS; i++) {
    rig_turn_init(rig, &turns[i]);
    rig_add_entry(&turns[i], 1, i + 1, 200);
  }
  for (size_t i = 0; i < TURNS; i++) rig_submit(rig, &turns[i]);
  for (size_t i = 0; i < TURNS; i++) assert_ok(rig_wait(&turns[i]));

  assert_true(journal_usage(rig->journal).durable_group - before < TURNS / 2);
  for (size_t i = 1; i < TURNS; i++) assert_true(turns[i].answered > turns[i - 1].answered);
  for (size_t i = 0; i < TURNS; i++) rig_turn_deinit(&turns[i]);
  rig_close(rig);
  rig_open(rig);
  rig_expect_entries(rig, 1, 1, TURNS, 200);
}

static void journal_answers_empty_writes_in_order(void **state) {
  struct rig *rig = *state;
  rig_start(rig);
  static struct rig_turn turns[3];
  for (size_t i = 0; i < 3; i++) rig_turn_init(rig, &turns[i]);
  rig_add_entry(&turns[0], 1, 1, 100000);
  rig_add_entry(&turns[2], 1, 2, 10);
  for (size_t i = 0; i < 3; i++) rig_submit(rig, &turns[i]);
  for (size_t i = 0; i < 3; i++) assert_ok(rig_wait(&turns[i]));
  assert_true(turns[0].answered < turns[1].answered && turns[1].answered < turns[2].answered);

  uint64_t before = journal_usage(rig->journal).durable_group;
  rig_submit(rig, &turns[1]);
  assert_ok(rig_wait(&turns[1]));
  assert_true(journal_usage(rig->journal).durable_group <= before + 1); /* at most a closing group, by chance */
  for (size_t i = 0; i < 3; i++) rig_turn_deinit(&turns[i]);
}

static void journal_spreads_a_large_body_over_groups_and_files(void **state) {
  struct rig *rig = *state;
  rig_start(rig);
  static const size_t sizes[] = {31000, 32768, 33000, 65536, 200000, 300000, 700000};
  for (size_t i = 0; i < 7; i++) rig_append(rig, i + 1, 1, sizes[i]);
  assert_true(journal_usage(rig->journal).current_file > 3);
  rig_close(rig);

  rig_open(rig);
  for (size_t i = 0; i < 7; i++) rig_expect_entries(rig, i + 1, 1, 1, sizes[i]);
  assert_int_equal(rig->damage_count, 0);
}

static void journal_writes_a_closing_group_when_idle(void **state) {
  struct rig *rig = *state;
  rig_start(rig);
  rig_settle(rig);
  uint64_t before = journal_usage(rig->journal).durable_group;
  rig_append(rig, 1, 1, 10);
  rig_settle(rig);
  assert_int_equal(journal_usage(rig->journal).durable_group, before + 2);
  rig_settle(rig);
  assert_int_equal(journal_usage(rig->journal).durable_group, before + 2);
}

/* ---- Files ---- */

static void journal_recycles_released_files(void **state) {
  struct rig *rig = *state;
  rig_start(rig);
  entry_index next = 1;
  entry_index first_kept = 1;
  for (int lap = 0; lap < 40; lap++) {
    entry_index before = next;
    next = rig_fill_file(rig, 1, next, 9000);
    if (lap % 2 == 1) {
      journal_release(rig->journal, journal_usage(rig->journal).current_file);
      first_kept = next - 1; /* the last one went into the new file */
    }
    assert_true(next > before);
  }
  struct journal_usage usage = journal_usage(rig->journal);
  assert_true(usage.current_file > 40);
  assert_true(usage.used_bytes <= rig->options.ring_bytes);
  rig_append(rig, 1, next++, 9000);
  rig_settle(rig);
  rig_close(rig);

  rig_open(rig);
  assert_true(rig->report.files <= 8 + 1);
  assert_int_equal(rig->damage_count, 0);
  assert_int_equal(rig->report.rotten_groups, 0);
  /* Two files with tables are always kept, whatever was released. */
  entry_index first_found = rig->found[0].index;
  assert_true(first_found <= first_kept && first_found + 60 > first_kept);
  rig_expect_entries(rig, 1, first_found, next - 1, 9000);
}

static void journal_carries_its_table_over_recycling(void **state) {
  struct rig *rig = *state;
  rig_start(rig);
  for (group_id group = 1; group <= 300; group++) rig_hard_state(rig, group, group + 5);
  struct rig_turn turn;
  rig_turn_init(rig, &turn);
  journal_write_add(&turn.write, 7, 1, FRAME_CLOSE);
  journal_write_add(&turn.write, 500, 1, FRAME_OPEN);
  rig_submit(rig, &turn);
  assert_ok(rig_wait(&turn));
  rig_turn_deinit(&turn);
  entry_index next = 1;
  for (int lap = 0; lap < 24; lap++) {
    next = rig_fill_file(rig, 400, next, 20000);
    journal_release(rig->journal, journal_usage(rig->journal).current_file);
    if (lap == 10) rig_hard_state(rig, 3, 99);
  }
  rig_close(rig);

  rig_open(rig);
  assert_int_equal(rig_found_state(rig, 1).term, 6);
  assert_int_equal(rig_found_state(rig, 1).vote, 3);
  assert_int_equal(rig_found_state(rig, 1).commit, 60);
  assert_int_equal(rig_found_state(rig, 300).term, 305);
  assert_int_equal(rig_found_state(rig, 3).term, 99);
  assert_int_equal(rig_found_state(rig, 7).term, 0);
  assert_true(rig_count(rig, FRAME_HARD_STATE, 500) > 0);
}

static void journal_table_may_be_larger_than_a_group(void **state) {
  struct rig *rig = *state;
  rig_start(rig);
  struct rig_turn turn;
  rig_turn_init(rig, &turn);
  for (group_id group = 1; group <= 3000; group++) {
    struct hard_state hard_state = {.term = group};
    journal_write_add_hard_state(&turn.write, group, 1, &hard_state);
  }
  rig_submit(rig, &turn);
  assert_ok(rig_wait(&turn));
  rig_turn_deinit(&turn);
  rig_append(rig, 1, 1, 400000); /* the table of a new file stands in the middle of it */
  rig_close(rig);

  rig_start(rig);
  rig_expect_entries(rig, 1, 1, 1, 400000);
  journal_release(rig->journal, journal_usage(rig->journal).current_file);
  for (group_id group = 1; group <= 3000; group++) assert_int_equal(rig_found_state(rig, group).term, group);
}

static void journal_refuses_another_owners_files(void **state) {
  struct rig *rig = *state;
  rig->options.owner[3] = 7;
  rig_start(rig);
  rig_close(rig);
  rig->options.owner[3] = 8;
  assert_status(rig_try_open(rig, 0), STATUS_FOREIGN);
  rig->options.owner[3] = 7;
  rig_open(rig);
}

/* A payload that is a journal group, byte for byte, at a block boundary of the same file. */
static void journal_is_not_fooled_by_a_payload_that_looks_like_a_group(void **state) {
  struct rig *rig = *state;
  rig_start(rig);
  struct journal_place place = rig_append(rig, 1, 1, 100);
  static uint8_t stolen[4096 * 3];
  memset(stolen, 0, sizeof stolen);
  rig_settle(rig);
  rig_read(rig, place.file, place.offset, stolen + 4096 - JOURNAL_GROUP_HEAD_SIZE - JOURNAL_ROW_SIZE, 4096);
  struct rig_turn turn;
  rig_turn_init(rig, &turn);
  struct journal_frame *frame = journal_write_add(&turn.write, 2, 1, FRAME_CHECKPOINT);
  frame->payload = (struct blob_part){.bytes = bytes_of(stolen, sizeof stolen)};
  rig_submit(rig, &turn);
  assert_ok(rig_wait(&turn));
  struct journal_place hostile = turn.write.frames[0].place;
  rig_turn_deinit(&turn);
  rig_append(rig, 3, 1, 100);
  rig_close(rig);

  /* Its own head damaged, the scan looks for the next group inside of it. */
  rig_flip(rig, hostile.file, hostile.offset + 20, 1);
  rig_open(rig);
  assert_int_equal(rig_count(rig, FRAME_ENTRY, 1), 1);
  assert_int_equal(rig_count(rig, FRAME_ENTRY, 3), 1);
  assert_int_equal(rig->report.rotten_groups, 1);
}

/* ---- Starting with frames ---- */

static void journal_start_carries_frames(void **state) {
  struct rig *rig = *state;
  rig_start(rig);
  rig_append(rig, 1, 1, 5000);
  rig_close(rig);

  rig_open(rig);
  struct rig_turn carried;
  rig_turn_init(rig, &carried);
  for (entry_index i = 1; i <= 40; i++) rig_add_entry(&carried, 1, i, 20000);
  assert_ok(journal_carry(rig->journal, &carried.write));
  assert_ok(journal_start(rig->journal));
  uint64_t first = carried.write.frames[0].place.file;
  assert_true(carried.write.frames[39].place.file > first);
  journal_release(rig->journal, first);
  rig_append(rig, 1, 41, 20000);
  rig_turn_deinit(&carried);
  rig_settle(rig);
  rig_close(rig);

  rig_open(rig);
  rig_expect_entries(rig, 1, 1, 41, 20000);
}

/* ---- Reading back ---- */

static void journal_reads_entries_back(void **state) {
  struct rig *rig = *state;
  rig_start(rig);
  static const size_t sizes[] = {0, 1, 4000, 32700, 100000, 500000};
  struct journal_place places[6];
  for (size_t i = 0; i < 6; i++) places[i] = rig_append(rig, 1, i + 1, sizes[i]);
  struct account account;
  account_init(&account, 1 << 20);
  for (size_t i = 0; i < 6; i++) {
    struct entry entry;
    assert_ok(journal_read_entry(rig->journal, places[i], 1, i + 1, &account, &entry));
    assert_int_equal(entry.head.index, i + 1);
    assert_int_equal(entry.payload.bytes.size, sizes[i]);
    entry_release(&entry);
  }
  assert_int_equal(account_used(&account), 0);

  struct entry entry;
  assert_status(journal_read_entry(rig->journal, places[2], 1, 9, NULL, &entry), STATUS_CORRUPT);
  assert_status(journal_read_entry(rig->journal, (struct journal_place){.file = 77, .offset = 4096}, 1, 1, NULL, &entry),
                STATUS_NOT_FOUND);
  account_init(&account, 1000);
  assert_status(journal_read_entry(rig->journal, places[2], 1, 3, &account, &entry), STATUS_NO_MEMORY);
}

static void journal_says_when_a_place_was_recycled(void **state) {
  struct rig *rig = *state;
  rig_start(rig);
  struct journal_place place = rig_append(rig, 1, 1, 100);
  entry_index next = 2;
  for (int lap = 0; lap < 12; lap++) {
    next = rig_fill_file(rig, 1, next, 9000);
    journal_release(rig->journal, journal_usage(rig->journal).current_file);
  }
  struct entry entry;
  assert_status(journal_read_entry(rig->journal, place, 1, 1, NULL, &entry), STATUS_NOT_FOUND);
}

/* ---- Room ---- */

static void journal_admits_no_more_than_its_ring(void **state) {
  struct rig *rig = *state;
  rig_start(rig);
  uint64_t cost = journal_cost(ENTRY_HEAD_SIZE + 9000);
  entry_index next = 1;
  while (journal_admit(rig->journal, cost) == STATUS_OK) rig_append(rig, 1, next++, 9000);
  assert_status(journal_admit(rig->journal, cost), STATUS_JOURNAL_FULL);
  struct journal_usage usage = journal_usage(rig->journal);
  assert_true(usage.used_bytes > usage.ring_bytes / 2);
  assert_true(usage.used_bytes <= usage.ring_bytes - 2 * RIG_SMALL_FILE);

  /* What must always be possible is. */
  rig_hard_state(rig, 1, 3);
  journal_release(rig->journal, usage.current_file);
  while (journal_admit(rig->journal, cost) != STATUS_OK) {}
  journal_admit_undo(rig->journal, cost);
  rig_append(rig, 1, next, 9000);
}

static void journal_gives_admitted_room_back(void **state) {
  struct rig *rig = *state;
  rig_start(rig);
  for (int i = 0; i < 1000; i++) {
    assert_ok(journal_admit(rig->journal, 4 * RIG_SMALL_FILE - 65536));
    assert_status(journal_admit(rig->journal, RIG_SMALL_FILE), STATUS_JOURNAL_FULL);
    journal_admit_undo(rig->journal, 4 * RIG_SMALL_FILE - 65536);
  }
}

#define test(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      test(journal_begins_empty),
      test(journal_tells_what_was_written),
      test(journal_keeps_frames_over_many_starts),
      test(journal_keeps_every_kind),
      test(journal_groups_what_gathered),
      test(journal_answers_empty_writes_in_order),
      test(journal_spreads_a_large_body_over_groups_and_files),
      test(journal_writes_a_closing_group_when_idle),
      test(journal_recycles_released_files),
      test(journal_carries_its_table_over_recycling),
      test(journal_table_may_be_larger_than_a_group),
      test(journal_refuses_another_owners_files),
      test(journal_is_not_fooled_by_a_payload_that_looks_like_a_group),
      test(journal_start_carries_frames),
      test(journal_reads_entries_back),
      test(journal_says_when_a_place_was_recycled),
      test(journal_admits_no_more_than_its_ring),
      test(journal_gives_admitted_room_back),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
