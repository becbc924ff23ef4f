/* Torn or rotten: what an opening says about bytes that are not what was written. */
#include "tests/unit/log/journal_rig.h"

#include <string.h>

#include "log/journal_format.h"

#define ENTRIES 12u

/* Twelve entries of two groups of partitions, each in a journal group of its own, and a closing group. */
static void write_some(struct rig *rig, struct journal_place *places, size_t size) {
  rig_start(rig);
  for (entry_index i = 1; i <= ENTRIES; i++) places[i] = rig_append(rig, 1, i, size);
  rig_settle(rig);
  rig_close(rig);
}

static void expect_whole(const struct rig *rig) {
  assert_int_equal(rig->damage_count, 0);
  assert_int_equal(rig->report.rotten_groups, 0);
  rig_expect_entries(rig, 1, 1, ENTRIES, 1000);
}

static void expect_one_dropped(const struct rig *rig, struct journal_place place, entry_index index) {
  assert_int_equal(rig->dropped_count, 1);
  assert_int_equal(rig->dropped[0].place.file, place.file);
  assert_int_equal(rig->dropped[0].place.offset, place.offset);
  assert_int_equal(rig->dropped[0].known, index != 0);
  assert_int_equal(rig->dropped[0].first_index, index);
}

/* Everything but entry `lost`, which is said to be damaged. */
static void expect_one_lost(const struct rig *rig, entry_index lost, bool known) {
  assert_int_equal(rig->report.rotten_groups, 1);
  assert_int_equal(rig->damage_count, 1);
  assert_int_equal(rig->damage[0].known, known);
  if (known) {
    assert_int_equal(rig->damage[0].group, 1);
    assert_int_equal(rig->damage[0].index, lost);
  }
  assert_int_equal(rig_count(rig, FRAME_ENTRY, 1), ENTRIES - 1);
  for (size_t i = 0; i < rig->found_count; i++) assert_int_not_equal(rig->found[i].index, lost);
}

/* ---- In the middle: rotten ---- */

static void damage_in_a_body_is_its_frames_loss(void **state) {
  struct rig *rig = *state;
  struct journal_place places[ENTRIES + 1];
  write_some(rig, places, 1000);
  rig_flip(rig, places[5].file, places[5].offset + 500, 0x10);
  rig_open(rig);
  expect_one_lost(rig, 5, true);
}

static void damage_in_a_directory_is_anybodys_loss(void **state) {
  struct rig *rig = *state;
  struct journal_place places[ENTRIES + 1];
  write_some(rig, places, 1000);
  rig_flip(rig, places[5].file, places[5].offset + JOURNAL_GROUP_HEAD_SIZE + 4, 0x10);
  rig_open(rig);
  expect_one_lost(rig, 5, false);
}

static void damage_anywhere_in_a_head_is_anybodys_loss(void **state) {
  struct rig *rig = *state;
  struct journal_place places[ENTRIES + 1];
  write_some(rig, places, 1000);
  for (uint64_t at = 0; at < JOURNAL_GROUP_HEAD_SIZE; at++) {
    rig_flip(rig, places[5].file, places[5].offset + at, 0x04);
    rig_open(rig);
    expect_one_lost(rig, 5, false);
    rig_close(rig);
    rig_flip(rig, places[5].file, places[5].offset + at, 0x04);
  }
}

static void damage_of_a_group_in_a_shared_group_is_attributed(void **state) {
  struct rig *rig = *state;
  rig_start(rig);
  struct rig_turn turn;
  rig_turn_init(rig, &turn);
  for (group_id group = 1; group <= 5; group++) rig_add_entry(&turn, group, 1, 3000);
  rig_submit(rig, &turn);
  assert_ok(rig_wait(&turn));
  struct journal_place place = turn.write.frames[0].place;
  rig_turn_deinit(&turn);
  rig_append(rig, 1, 2, 10);
  rig_close(rig);

  uint64_t directory = JOURNAL_GROUP_HEAD_SIZE + 5 * JOURNAL_ROW_SIZE;
  rig_flip(rig, place.file, place.offset + directory + 2 * (ENTRY_HEAD_SIZE + 3000) + 7, 1);
  rig_open(rig);
  assert_int_equal(rig->damage_count, 1);
  assert_true(rig->damage[0].known && rig->damage[0].group == 3 && rig->damage[0].index == 1);
  for (group_id group = 1; group <= 5; group++) {
    assert_int_equal(rig_count(rig, FRAME_ENTRY, group), group == 1 ? 2 : group == 3 ? 0 : 1);
  }
}

static void damage_in_the_middle_of_a_large_body_loses_it_once(void **state) {
  struct rig *rig = *state;
  rig_start(rig);
  rig_append(rig, 1, 1, 10);
  struct journal_place place = rig_append(rig, 2, 1, 150000);
  rig_append(rig, 3, 1, 10);
  rig_close(rig);
  rig_flip(rig, place.file, place.offset + 70000, 1);
  rig_open(rig);
  assert_int_equal(rig->damage_count, 1);
  assert_true(rig->damage[0].known && rig->damage[0].group == 2);
  assert_int_equal(rig_count(rig, FRAME_ENTRY, 2), 0);
  assert_int_equal(rig_count(rig, FRAME_ENTRY, 1) + rig_count(rig, FRAME_ENTRY, 3), 2);
}

static void damage_of_an_empty_group_harms_nobody(void **state) {
  struct rig *rig = *state;
  rig_start(rig);
  struct journal_place place = rig_append(rig, 1, 1, 10);
  rig_settle(rig); /* the closing group */
  rig_append(rig, 1, 2, 10);
  rig_settle(rig);
  rig_close(rig);
  rig_flip(rig, place.file, place.offset + 4096 + 30, 1);
  rig_open(rig);
  assert_int_equal(rig->report.rotten_groups, 1);
  assert_int_equal(rig->damage_count, 0);
  rig_expect_entries(rig, 1, 1, 2, 10);
}

static void damage_of_a_table_harms_nobody_while_there_is_another(void **state) {
  struct rig *rig = *state;
  rig_start(rig);
  rig_hard_state(rig, 5, 8);
  entry_index next = rig_fill_file(rig, 1, 1, 9000);
  uint64_t file = journal_usage(rig->journal).current_file;
  rig_settle(rig);
  rig_close(rig);
  rig_flip(rig, file, 4096 + JOURNAL_GROUP_HEAD_SIZE + JOURNAL_ROW_SIZE + 9, 1);
  rig_open(rig);
  assert_int_equal(rig->damage_count, 0);
  assert_int_equal(rig_found_state(rig, 5).term, 8);
  rig_expect_entries(rig, 1, 1, next - 1, 9000);
}

/* The one before the current file keeps its table, also when everything was released. */
static void a_released_file_stays_while_it_has_one_of_two_tables(void **state) {
  struct rig *rig = *state;
  rig_start(rig);
  rig_hard_state(rig, 5, 8);
  entry_index next = 1;
  for (int i = 0; i < 5; i++) {
    next = rig_fill_file(rig, 1, next, 9000);
    journal_release(rig->journal, journal_usage(rig->journal).current_file);
    rig_settle(rig);
  }
  uint64_t file = journal_usage(rig->journal).current_file;
  assert_true(file > 5);
  rig_close(rig);
  rig_flip(rig, file, 4096 + JOURNAL_GROUP_HEAD_SIZE + JOURNAL_ROW_SIZE + 9, 1);
  rig_open(rig);
  assert_int_equal(rig->damage_count, 0);
  assert_int_equal(rig_found_state(rig, 5).term, 8);
}

static void damage_of_either_file_head_harms_nobody(void **state) {
  struct rig *rig = *state;
  struct journal_place places[ENTRIES + 1];
  write_some(rig, places, 1000);
  static const uint64_t at[] = {0, 7, 8, 16, 24, 40, 4000};
  for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
    rig_flip(rig, places[1].file, at[i], 2);
    rig_open(rig);
    expect_whole(rig);
    rig_close(rig);
    rig_flip(rig, places[1].file, at[i], 2);
    rig_flip(rig, places[1].file, RIG_SMALL_FILE - 4096 + at[i], 2);
    rig_open(rig);
    expect_whole(rig);
    rig_close(rig);
    rig_flip(rig, places[1].file, RIG_SMALL_FILE - 4096 + at[i], 2);
  }
}

static void damage_of_both_file_heads_is_anybodys_loss(void **state) {
  struct rig *rig = *state;
  struct journal_place places[ENTRIES + 1];
  write_some(rig, places, 1000);
  rig_flip(rig, places[1].file, 24, 2);
  rig_flip(rig, places[1].file, RIG_SMALL_FILE - 4096 + 24, 2);
  rig_open(rig);
  assert_true(rig->damage_count > 0);
  assert_false(rig->damage[0].known);
  assert_int_equal(rig_count(rig, FRAME_ENTRY, 1), 0);
}

static void damage_of_a_whole_file_between_others_is_noticed(void **state) {
  struct rig *rig = *state;
  rig_start(rig);
  entry_index next = 1;
  uint64_t second = 0;
  for (int i = 0; i < 3; i++) {
    next = rig_fill_file(rig, 1, next, 9000);
    if (i == 0) second = journal_usage(rig->journal).current_file;
  }
  rig_settle(rig);
  rig_close(rig);
  static uint8_t zeros[RIG_SMALL_FILE];
  rig_overwrite(rig, second, 0, zeros, sizeof zeros);
  rig_open(rig);
  assert_int_equal(rig->damage_count, 1);
  assert_false(rig->damage[0].known);
  assert_int_equal(rig->found[0].index, 1);
  assert_int_equal(rig->found[rig->found_count - 1].index, next - 1);
}

/* ---- Stretches ---- */

static struct journal_loss entry_of(uint64_t group_offset, group_id group, entry_index index, record_offset first,
                                    record_offset end) {
  return (struct journal_loss){.known = true,
                               .group = group,
                               .instance = 1,
                               .kind = FRAME_ENTRY,
                               .first_index = index,
                               .last_index = index,
                               .first_offset = first,
                               .end_offset = end,
                               .place = {.file = 1, .offset = group_offset}};
}

static void neighbours_of_a_log_in_one_group_are_one_stretch(void **state) {
  (void)state;
  struct journal_loss losses[] = {
      entry_of(4096, 1, 5, 50, 52), entry_of(4096, 2, 9, 0, 0),   entry_of(4096, 1, 6, 52, 53), entry_of(4096, 2, 10, 0, 0),
      entry_of(4096, 1, 8, 60, 61), entry_of(8192, 1, 9, 61, 62), entry_of(8192, 1, 10, 0, 0),
  };

  size_t count = journal_losses_merge(losses, sizeof losses / sizeof *losses);

  assert_int_equal(count, 5);
  assert_int_equal(losses[0].last_index, 6);
  assert_int_equal(losses[0].first_offset, 50);
  assert_int_equal(losses[0].end_offset, 53);
  assert_int_equal(losses[1].group, 2);
  assert_int_equal(losses[1].last_index, 10);
  assert_int_equal(losses[2].first_index, 8);  /* one is missing before it */
  assert_int_equal(losses[3].first_index, 9);  /* of another group of the journal */
  assert_int_equal(losses[4].first_index, 10); /* nobody knows its offsets */
}

/* ---- At the end: torn ---- */

/* The last group, cut at every sector; behind the cut zeros, or our own bytes in the wrong place. */
static void tail_torn_at_any_sector_is_dropped(void **state) {
  struct rig *rig = *state;
  rig_start(rig);
  for (entry_index i = 1; i <= 5; i++) rig_append(rig, 1, i, 1000);
  struct rig_turn turn;
  rig_turn_init(rig, &turn);
  for (entry_index i = 1; i <= 4; i++) rig_add_entry(&turn, 2, i, 5000);
  rig_submit(rig, &turn);
  assert_ok(rig_wait(&turn));
  struct journal_place place = turn.write.frames[0].place;
  rig_turn_deinit(&turn);
  rig_close(rig);

  const uint64_t used = JOURNAL_GROUP_HEAD_SIZE + 4 * (JOURNAL_ROW_SIZE + ENTRY_HEAD_SIZE + 5000);
  const uint64_t end = journal_round_up(used) + 4096; /* and the closing group */
  static uint8_t filling[2][32 << 10];
  rig_read(rig, place.file, place.offset, filling[1] + 512, 24 << 10);
  struct rig_image *image = rig_image_take(rig);
  for (uint64_t cut = 0; cut <= journal_round_up(used); cut += 512) {
    for (int kind = 0; kind < 2; kind++) {
      rig_overwrite(rig, place.file, place.offset + cut, filling[kind] + cut, end - cut);
      rig_open(rig);
      assert_int_equal(rig->damage_count, 0);
      assert_int_equal(rig->report.rotten_groups, 0);
      rig_expect_entries(rig, 1, 1, 5, 1000);
      rig_expect_entries(rig, 2, 1, cut < used ? 0 : 4, 5000);
      rig_close(rig);
      rig_image_restore(rig, image);
    }
  }
  rig_image_free(image);
}

static void tail_with_a_flipped_bit_is_dropped(void **state) {
  struct rig *rig = *state;
  struct journal_place places[ENTRIES + 1];
  write_some(rig, places, 1000);
  static const uint8_t zeros[8192];
  struct journal_place last = places[ENTRIES];
  static const uint64_t at[] = {0, 20, 100, 500, 1100};
  for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
    rig_overwrite(rig, last.file, last.offset + 4096, zeros, sizeof zeros); /* no closing group to say that it was synced */
    rig_flip(rig, last.file, last.offset + at[i], 1);
    rig_open(rig);
    assert_int_equal(rig->damage_count, 0);
    rig_expect_entries(rig, 1, 1, ENTRIES - 1, 1000);
    if (at[i] > 0) expect_one_dropped(rig, last, at[i] < JOURNAL_GROUP_HEAD_SIZE + JOURNAL_ROW_SIZE ? 0 : ENTRIES);
    else assert_int_equal(rig->dropped_count, 0); /* without its magic it is nothing */
    rig_close(rig);
    rig_flip(rig, last.file, last.offset + at[i], 1);
  }
}

static void tail_that_a_closing_group_vouches_for_is_rotten(void **state) {
  struct rig *rig = *state;
  struct journal_place places[ENTRIES + 1];
  write_some(rig, places, 1000);
  rig_flip(rig, places[ENTRIES].file, places[ENTRIES].offset + 500, 1);
  rig_open(rig);
  expect_one_lost(rig, ENTRIES, true);
}

static void tail_that_a_checkpoint_vouches_for_is_rotten(void **state) {
  struct rig *rig = *state;
  struct journal_place places[ENTRIES + 1];
  write_some(rig, places, 1000);
  rig_open(rig);
  uint64_t last_group = rig->report.last_group;
  rig_close(rig);
  static const uint8_t zeros[12288];
  rig_overwrite(rig, places[ENTRIES].file, places[ENTRIES].offset, zeros, sizeof zeros);
  rig_open(rig);
  assert_int_equal(rig->damage_count, 0);
  uint64_t found_group = rig->report.last_group;
  rig_close(rig);
  assert_true(found_group < last_group);
  assert_ok(rig_try_open(rig, found_group));
  assert_int_equal(rig->damage_count, 0);
  rig_close(rig);
  assert_ok(rig_try_open(rig, found_group + 1));
  assert_int_equal(rig->damage_count, 1);
  assert_false(rig->damage[0].known);
}

static void garbage_behind_the_end_is_ignored(void **state) {
  struct rig *rig = *state;
  struct journal_place places[ENTRIES + 1];
  write_some(rig, places, 1000);
  static uint8_t garbage[65536];
  uint64_t random = 88172645463325252u;
  for (size_t i = 0; i < sizeof garbage; i++) {
    random ^= random << 13;
    random ^= random >> 7;
    random ^= random << 17;
    garbage[i] = (uint8_t)random;
  }
  rig_overwrite(rig, places[ENTRIES].file, places[ENTRIES].offset + 12288, garbage, sizeof garbage);
  rig_open(rig);
  expect_whole(rig);
}

static void groups_of_an_earlier_lap_are_ignored(void **state) {
  struct rig *rig = *state;
  rig_start(rig);
  entry_index next = 1;
  for (int lap = 0; lap < 20; lap++) {
    next = rig_fill_file(rig, 1, next, 2000);
    journal_release(rig->journal, journal_usage(rig->journal).current_file);
  }
  rig_append(rig, 1, next++, 2000); /* behind it: a file full of groups of the lap before */
  rig_close(rig);
  rig_open(rig);
  assert_int_equal(rig->damage_count, 0);
  assert_int_equal(rig->report.torn_groups, 0);
  rig_expect_entries(rig, 1, rig->found[0].index, next - 1, 2000);
}

/* A group behind a tear, whole again after the journal has gone on elsewhere. */
static void given_up_groups_do_not_come_back(void **state) {
  struct rig *rig = *state;
  struct journal_place places[ENTRIES + 1];
  write_some(rig, places, 1000);
  struct rig_image *image = rig_image_take(rig);
  uint8_t block[4096];
  rig_read(rig, places[7].file, places[7].offset, block, sizeof block);
  static const uint8_t zeros[RIG_SMALL_FILE];
  /* All behind it, whatever closing groups stand between. */
  rig_overwrite(rig, places[7].file, places[7].offset, zeros, RIG_SMALL_FILE - JOURNAL_BLOCK - places[7].offset);
  rig_start(rig);
  rig_expect_entries(rig, 1, 1, 6, 1000);
  rig_append(rig, 2, 1, 1000);
  rig_settle(rig);
  rig_close(rig);

  rig_overwrite(rig, places[7].file, places[7].offset, block, sizeof block);
  rig_open(rig);
  rig_expect_entries(rig, 1, 1, 6, 1000);
  rig_expect_entries(rig, 2, 1, 1, 1000);
  assert_int_equal(rig->damage_count, 0);
  rig_image_free(image);
}

/* ---- An unfinished start ---- */

static void start_that_did_not_finish_counts_for_nothing(void **state) {
  struct rig *rig = *state;
  struct journal_place places[ENTRIES + 1];
  write_some(rig, places, 1000);
  rig_open(rig);
  struct rig_turn carried;
  rig_turn_init(rig, &carried);
  for (entry_index i = 1; i <= 30; i++) rig_add_entry(&carried, 9, i, 20000);
  assert_ok(journal_carry(rig->journal, &carried.write));
  assert_ok(journal_start(rig->journal));
  struct journal_place first = carried.write.frames[0].place;
  struct journal_place last = carried.write.frames[29].place;
  rig_turn_deinit(&carried);
  rig_close(rig);
  assert_true(last.file > first.file);

  static const uint8_t zeros[RIG_SMALL_FILE];
  rig_overwrite(rig, last.file, last.offset, zeros, RIG_SMALL_FILE - 4096 - last.offset);
  rig_start(rig);
  expect_whole(rig);
  assert_int_equal(rig_count(rig, FRAME_ENTRY, 9), 0);
  assert_true(rig->report.torn_groups > 0);
  rig_append(rig, 1, ENTRIES + 1, 1000);
  rig_close(rig);
  rig_open(rig);
  assert_int_equal(rig_count(rig, FRAME_ENTRY, 9), 0);
  rig_expect_entries(rig, 1, 1, ENTRIES + 1, 1000);
  assert_int_equal(rig->damage_count, 0);
}

static void damage_is_still_known_after_the_next_start(void **state) {
  struct rig *rig = *state;
  struct journal_place places[ENTRIES + 1];
  write_some(rig, places, 1000);
  rig_flip(rig, places[5].file, places[5].offset + 500, 0x10);
  rig_start(rig);
  expect_one_lost(rig, 5, true);
  rig_close(rig);
  rig_open(rig);
  expect_one_lost(rig, 5, true);
}

static void reading_back_notices_damage(void **state) {
  struct rig *rig = *state;
  rig_start(rig);
  struct journal_place place = rig_append(rig, 1, 1, 50000);
  struct entry entry;
  static const uint64_t at[] = {30, 100, 300, 20000, 40000};
  for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
    rig_flip(rig, place.file, place.offset + at[i], 1);
    assert_status(journal_read_entry(rig->journal, place, 1, 1, NULL, &entry), STATUS_CORRUPT);
    rig_flip(rig, place.file, place.offset + at[i], 1);
  }
  assert_ok(journal_read_entry(rig->journal, place, 1, 1, NULL, &entry));
  entry_release(&entry);
}

#define test(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      test(damage_in_a_body_is_its_frames_loss),
      test(damage_in_a_directory_is_anybodys_loss),
      test(damage_anywhere_in_a_head_is_anybodys_loss),
      test(damage_of_a_group_in_a_shared_group_is_attributed),
      test(damage_in_the_middle_of_a_large_body_loses_it_once),
      test(damage_of_an_empty_group_harms_nobody),
      test(damage_of_a_table_harms_nobody_while_there_is_another),
      test(a_released_file_stays_while_it_has_one_of_two_tables),
      test(damage_of_either_file_head_harms_nobody),
      test(damage_of_both_file_heads_is_anybodys_loss),
      test(damage_of_a_whole_file_between_others_is_noticed),
      test(neighbours_of_a_log_in_one_group_are_one_stretch),
      test(tail_torn_at_any_sector_is_dropped),
      test(tail_with_a_flipped_bit_is_dropped),
      test(tail_that_a_closing_group_vouches_for_is_rotten),
      test(tail_that_a_checkpoint_vouches_for_is_rotten),
      test(garbage_behind_the_end_is_ignored),
      test(groups_of_an_earlier_lap_are_ignored),
      test(given_up_groups_do_not_come_back),
      test(start_that_did_not_finish_counts_for_nothing),
      test(damage_is_still_known_after_the_next_start),
      test(reading_back_notices_damage),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
