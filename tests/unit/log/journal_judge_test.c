/* Torn or rotten, decided over drawn histories: a file is a run of groups, `.` one that cannot be seen, `x` one with a bad body. */
#include "tests/unit/log/cmocka_log.h"

#include <stdbool.h>
#include <string.h>

#include "log/journal_judge.h"

#define SEEN_MAX 64

struct drawing {
  struct journal_seen seen[SEEN_MAX];
  size_t count;
  uint64_t hash; /* of the group before */
};

/* One file whose first group is `first`: "ggxg.g". Each group vouches for the one before. */
static void draw(struct drawing *drawing, size_t file, uint64_t first, const char *groups) {
  for (size_t i = 0; groups[i] != 0; i++) {
    uint64_t hash = drawing->hash * 31 + first + i + file;
    if (groups[i] != '.') {
      assert_true(drawing->count < SEEN_MAX);
      drawing->seen[drawing->count++] = (struct journal_seen){.file = file,
                                                              .whole = groups[i] != 'x',
                                                              .frames = 1,
                                                              .head = {.sequence = first + i,
                                                                       .predecessor = drawing->hash,
                                                                       .hash = hash,
                                                                       .synced_through = first + i - 1,
                                                                       .file_first = first,
                                                                       .frames_before = first + i - 1}};
    }
    drawing->hash = hash;
  }
}

/* One letter per group seen: G good, R rotten, T torn, V void. */
static const char *verdicts(const struct drawing *drawing) {
  static char letters[SEEN_MAX + 1];
  for (size_t i = 0; i < drawing->count; i++) letters[i] = "VTRG"[drawing->seen[i].verdict];
  letters[drawing->count] = 0;
  return letters;
}

static void judge_accepts_an_unbroken_run(void **state) {
  (void)state;
  struct drawing drawing = {0};
  draw(&drawing, 0, 1, "ggg");
  draw(&drawing, 1, 4, "gg");
  struct journal_judgement judgement = journal_judge(drawing.seen, drawing.count, 0);
  assert_string_equal(verdicts(&drawing), "GGGGG");
  assert_int_equal(judgement.next_sequence, 6);
  assert_true(judgement.last_hash == drawing.hash);
  assert_int_equal(judgement.torn_groups + judgement.rotten_groups, 0);
}

static void judge_of_nothing_begins_at_one(void **state) {
  (void)state;
  assert_int_equal(journal_judge(NULL, 0, 0).next_sequence, 1);
  assert_int_equal(journal_judge(NULL, 0, 5).lost_at_end, 5);
}

static void judge_drops_a_bad_tail(void **state) {
  (void)state;
  struct drawing drawing = {0};
  draw(&drawing, 0, 1, "gggx");
  struct journal_judgement judgement = journal_judge(drawing.seen, drawing.count, 0);
  assert_string_equal(verdicts(&drawing), "GGGT");
  assert_int_equal(judgement.next_sequence, 4);
  assert_int_equal(judgement.torn_groups, 1);
}

static void judge_keeps_what_stands_behind_rot(void **state) {
  (void)state;
  struct drawing drawing = {0};
  draw(&drawing, 0, 1, "gxg..gg");
  struct journal_judgement judgement = journal_judge(drawing.seen, drawing.count, 0);
  assert_string_equal(verdicts(&drawing), "GRGGG");
  assert_int_equal(drawing.seen[3].lost_before, 2);
  assert_true(drawing.seen[3].lost_frames);
  assert_int_equal(judgement.rotten_groups, 3);
}

static void judge_believes_a_checkpoint(void **state) {
  (void)state;
  struct drawing drawing = {0};
  draw(&drawing, 0, 1, "gggx");
  struct journal_judgement judgement = journal_judge(drawing.seen, drawing.count, 4);
  assert_string_equal(verdicts(&drawing), "GGGR");
  judgement = journal_judge(drawing.seen, drawing.count, 6);
  assert_int_equal(judgement.lost_at_end, 2);
  assert_int_equal(judgement.next_sequence, 7);
}

/* Two groups in flight: the second reached the disk, the first did not. Nobody knew it synced. */
static void judge_drops_a_later_group_that_survived_alone(void **state) {
  (void)state;
  struct drawing drawing = {0};
  draw(&drawing, 0, 1, "gg.g");
  drawing.seen[2].head.synced_through = 2;
  struct journal_judgement judgement = journal_judge(drawing.seen, drawing.count, 0);
  assert_string_equal(verdicts(&drawing), "GGT");
  assert_int_equal(judgement.next_sequence, 3);
  assert_int_equal(judgement.rotten_groups, 0);
}

static void judge_voids_what_a_later_file_replaced(void **state) {
  (void)state;
  struct drawing drawing = {0};
  draw(&drawing, 0, 1, "gg");
  uint64_t hash = drawing.hash;
  draw(&drawing, 0, 3, "gg");
  for (size_t i = 0; i < 4; i++) drawing.seen[i].head.file_first = 1;
  drawing.hash = hash;
  draw(&drawing, 1, 3, "g");
  struct journal_judgement judgement = journal_judge(drawing.seen, drawing.count, 0);
  assert_string_equal(verdicts(&drawing), "GGVVG");
  assert_int_equal(judgement.next_sequence, 4); /* the void group 4 vouches for nothing */
  assert_int_equal(judgement.lost_at_end, 0);
}

static void judge_takes_a_start_whole_or_not_at_all(void **state) {
  (void)state;
  struct drawing drawing = {0};
  draw(&drawing, 0, 1, "gg");
  draw(&drawing, 1, 3, "ggg");
  for (size_t i = 2; i < 5; i++) drawing.seen[i].head.flags = GROUP_CARRIED;
  drawing.seen[2].head.flags |= GROUP_CARRY_BEGINS;
  struct journal_judgement judgement = journal_judge(drawing.seen, drawing.count, 0);
  assert_string_equal(verdicts(&drawing), "GGTTT");
  assert_int_equal(judgement.next_sequence, 3);

  drawing.seen[4].head.flags |= GROUP_CARRY_ENDS;
  judgement = journal_judge(drawing.seen, drawing.count, 0);
  assert_string_equal(verdicts(&drawing), "GGGGG");
  assert_int_equal(judgement.next_sequence, 6);
}

static void judge_keeps_a_loss_before_a_start_that_did_not_finish(void **state) {
  (void)state;
  struct drawing drawing = {0};
  draw(&drawing, 0, 1, "gg.");
  draw(&drawing, 1, 4, "g");
  drawing.seen[2].head.flags = GROUP_CARRIED | GROUP_CARRY_BEGINS;
  struct journal_judgement judgement = journal_judge(drawing.seen, drawing.count, 0);
  assert_string_equal(verdicts(&drawing), "GGT");
  assert_int_equal(judgement.lost_at_end, 1);
  assert_int_equal(judgement.next_sequence, 4);
}

/* Of the start 3 .. 6 only the end is there. */
static void draw_the_end_of_a_start(struct drawing *drawing) {
  *drawing = (struct drawing){0};
  draw(drawing, 0, 1, "gg");
  draw(drawing, 1, 3, "..");
  draw(drawing, 2, 5, "gg");
  for (size_t i = 2; i < 4; i++) drawing->seen[i].head.flags = GROUP_CARRIED;
}

static void judge_takes_back_a_start_whose_beginning_is_gone(void **state) {
  (void)state;
  struct drawing drawing;
  draw_the_end_of_a_start(&drawing);
  struct journal_judgement judgement = journal_judge(drawing.seen, drawing.count, 2);
  assert_string_equal(verdicts(&drawing), "GGTT");
  assert_int_equal(judgement.next_sequence, 3);
  assert_int_equal(judgement.lost_at_end, 0);
  assert_int_equal(judgement.rotten_groups, 0);
  assert_int_equal(judgement.torn_groups, 2);

  /* The checkpoint knows of one more before it. */
  draw_the_end_of_a_start(&drawing);
  judgement = journal_judge(drawing.seen, drawing.count, 3);
  assert_string_equal(verdicts(&drawing), "GGTT");
  assert_int_equal(judgement.next_sequence, 4);
  assert_int_equal(judgement.lost_at_end, 1);
  assert_int_equal(judgement.rotten_groups, 1);
}

static void judge_fears_the_worst_when_no_checkpoint_knows_where_a_start_began(void **state) {
  (void)state;
  for (uint64_t durable_through = 0; durable_through < 2; durable_through++) {
    struct drawing drawing;
    draw_the_end_of_a_start(&drawing);
    struct journal_judgement judgement = journal_judge(drawing.seen, drawing.count, durable_through);
    assert_string_equal(verdicts(&drawing), "GGTT");
    assert_int_equal(judgement.next_sequence, 5);
    assert_int_equal(judgement.lost_at_end, 2);
    assert_int_equal(judgement.rotten_groups, 2);
  }
}

static void judge_sees_that_a_lost_group_was_empty(void **state) {
  (void)state;
  struct drawing drawing = {0};
  draw(&drawing, 0, 1, "gg.g");
  drawing.seen[2].head.frames_before = 2;
  struct journal_judgement judgement = journal_judge(drawing.seen, drawing.count, 0);
  assert_int_equal(judgement.rotten_groups, 1);
  assert_int_equal(drawing.seen[2].lost_before, 1);
  assert_false(drawing.seen[2].lost_frames);
}

static void judge_refuses_a_group_that_does_not_follow(void **state) {
  (void)state;
  struct drawing drawing = {0};
  draw(&drawing, 0, 1, "ggg");
  drawing.seen[2].head.predecessor ^= 1;
  journal_judge(drawing.seen, drawing.count, 0);
  assert_string_equal(verdicts(&drawing), "GGT");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(judge_accepts_an_unbroken_run),
      cmocka_unit_test(judge_of_nothing_begins_at_one),
      cmocka_unit_test(judge_drops_a_bad_tail),
      cmocka_unit_test(judge_keeps_what_stands_behind_rot),
      cmocka_unit_test(judge_believes_a_checkpoint),
      cmocka_unit_test(judge_drops_a_later_group_that_survived_alone),
      cmocka_unit_test(judge_voids_what_a_later_file_replaced),
      cmocka_unit_test(judge_takes_a_start_whole_or_not_at_all),
      cmocka_unit_test(judge_keeps_a_loss_before_a_start_that_did_not_finish),
      cmocka_unit_test(judge_takes_back_a_start_whose_beginning_is_gone),
      cmocka_unit_test(judge_fears_the_worst_when_no_checkpoint_knows_where_a_start_began),
      cmocka_unit_test(judge_sees_that_a_lost_group_was_empty),
      cmocka_unit_test(judge_refuses_a_group_that_does_not_follow),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
