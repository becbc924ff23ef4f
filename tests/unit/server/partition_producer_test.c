/* Appends that name a producer, on a real log: what is a repetition, when it is answered, and that all of it is there after a restart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/codec.h"
#include "base/memory.h"
#include "tests/unit/server/lab.h"

static struct lab lab;
static struct lab_append first, second, third, fourth;

static int setup(void **state) {
  (void)state;
  lab_open(&lab);
  return 0;
}
static int teardown(void **state) {
  (void)state;
  lab_append_deinit(&first);
  first = (struct lab_append){0};
  lab_close(&lab, false);
  lab_remove(&lab);
  return 0;
}

/* ---- Appending ---- */

static void prepare(struct lab_append *append, const char *producer, uint32_t epoch, uint64_t sequence, unsigned count) {
  char prefix[32];
  snprintf(prefix, sizeof prefix, "%s-%u-", producer, (unsigned)sequence);
  lab_append_init(&lab, append, prefix, count);
  append->append.request.producer = bytes_of_string(producer);
  append->append.request.batch.producer_epoch = epoch;
  append->append.request.batch.first_sequence = sequence;
  append->append.request.batch.has_crc32c = true;
  append->append.request.batch.crc32c = crc32c(0, append->append.request.payload);
}

static void hand_in_first(struct lab *of) {
  (void)of;
  partition_append(&first.append);
}
static void hand_in_three(struct lab *of) {
  (void)of;
  partition_append(&first.append);
  partition_append(&second.append);
  partition_append(&third.append);
}

static const struct failure *append(const char *producer, uint32_t epoch, uint64_t sequence, unsigned count) {
  lab_append_deinit(&first);
  prepare(&first, producer, epoch, sequence, count);
  lab_on_lane(&lab, hand_in_first);
  lab_wait(&lab, &first.finished);
  return first.append.failure;
}

static void expect_at(const char *producer, uint32_t epoch, uint64_t sequence, unsigned count, record_offset offset,
                      bool duplicate) {
  const struct failure *failure = append(producer, epoch, sequence, count);
  assert_null(failure);
  assert_int_equal(first.append.proposal.entry.head.base_offset, offset);
  assert_int_equal(first.append.proposal.entry.head.record_count, count);
  assert_int_equal(first.append.duplicate, duplicate);
}

static void expect_refusal(const char *producer, uint32_t epoch, uint64_t sequence, enum status reason, enum executed executed) {
  const struct failure *failure = append(producer, epoch, sequence, 1);
  assert_non_null(failure);
  assert_string_equal(status_name(failure->reason), status_name(reason));
  assert_int_equal(failure->executed, executed);
}

/* ---- Opening ---- */

static struct partition_producer change;
static atomic_bool changed;
static uint32_t opened_epoch;
static uint64_t opened_sequence;
static record_offset opened_offset;

static void change_done(struct partition_producer *request) {
  opened_epoch = request->info.epoch;
  opened_sequence = request->info.next_sequence;
  opened_offset = request->info.last_offset;
  atomic_store(&changed, true);
}
static void run_change(struct lab *of) {
  (void)of;
  partition_change_producer(&change);
}
static void change_producer(const char *name, enum producer_entry_kind kind) {
  change =
      (struct partition_producer){.partition = lab.partition, .kind = kind, .name = bytes_of_string(name), .done = change_done};
  atomic_store(&changed, false);
  lab_on_lane(&lab, run_change);
  lab_wait(&lab, &changed);
}
static void open_producer(const char *name) {
  change_producer(name, PRODUCER_OPEN);
  assert_null(change.failure);
}

/* ---- ---- */

static void a_repetition_gets_its_original_offset(void **state) {
  (void)state;
  expect_at("w", 0, 0, 3, 0, false);
  expect_at("other", 0, 0, 2, 3, false);
  expect_at("w", 0, 3, 1, 5, false);

  expect_at("w", 0, 0, 3, 0, true);
  expect_at("w", 0, 3, 1, 5, true);
  expect_at("w", 0, 4, 1, 6, false); /* and nothing was appended by them */
}

static void a_repetition_is_one_whatever_it_expects(void **state) {
  (void)state;
  prepare(&first, "w", 0, 0, 2);
  first.append.request.has_expected_offset = true;
  first.append.request.expected_offset = 0;
  lab_on_lane(&lab, hand_in_first);
  lab_wait(&lab, &first.finished);
  assert_null(first.append.failure);

  prepare(&first, "w", 0, 0, 2);
  first.append.request.has_expected_offset = true;
  first.append.request.expected_offset = 0; /* no longer true */
  lab_on_lane(&lab, hand_in_first);
  lab_wait(&lab, &first.finished);

  assert_null(first.append.failure);
  assert_true(first.append.duplicate);
  assert_int_equal(first.append.proposal.entry.head.base_offset, 0);
}

static void a_mismatch_takes_no_sequence(void **state) {
  (void)state;
  prepare(&first, "w", 0, 0, 2);
  first.append.request.has_expected_offset = true;
  first.append.request.expected_offset = 9;
  lab_on_lane(&lab, hand_in_first);
  lab_wait(&lab, &first.finished);
  assert_int_equal(first.append.failure->reason, STATUS_OFFSET_MISMATCH);
  assert_int_equal(first.append.failure->next_offset, 0);

  expect_at("w", 0, 0, 2, 0, false);
}

static unsigned accepted_count;
static void note_accepted(struct partition_append *of) {
  (void)of;
  accepted_count++;
}

static void what_rests_on_a_proposal_is_answered_after_it(void **state) {
  (void)state;
  accepted_count = 0;
  prepare(&first, "w", 0, 0, 3);
  prepare(&second, "w", 0, 0, 3); /* the same again, before anybody can know what becomes of it */
  prepare(&third, "w", 0, 7, 1);  /* and one with a gap before it */
  second.append.accepted = note_accepted;
  third.append.accepted = note_accepted;

  lab_on_lane(&lab, hand_in_three);
  lab_wait(&lab, &third.finished);

  assert_true(first.order == 1 && second.order == 2 && third.order == 3);
  assert_true(second.append.duplicate && second.append.failure == NULL);
  assert_int_equal(accepted_count, 1); /* a repetition lets those behind it go on, a refusal does not */
  assert_int_equal(third.append.failure->reason, STATUS_SEQUENCE_GAP);
  assert_true(third.append.failure->has_producer);
  assert_int_equal(third.append.failure->next_sequence, 3);
  lab_append_deinit(&third);
}

static void hand_in_and_close(struct lab *of) {
  hand_in_three(of);
  partition_close(of->partition, false);
}

static void a_repetition_of_what_goes_under_is_in_doubt(void **state) {
  (void)state;
  prepare(&first, "w", 0, 0, 3);
  prepare(&second, "w", 0, 0, 3);
  prepare(&third, "w", 0, 7, 1);

  lab_on_lane(&lab, hand_in_and_close);
  lab_wait(&lab, &first.finished);

  assert_int_equal(first.append.failure->executed, EXECUTED_MAYBE);
  assert_int_equal(second.append.failure->executed, EXECUTED_MAYBE);
  assert_int_equal(third.append.failure->executed, EXECUTED_NO);
  lab_append_deinit(&second);
  lab_append_deinit(&third);
}

static void hand_in_and_cut(struct lab *of) {
  hand_in_three(of);
  partition_cut(of->partition, first.append.proposal.entry.head.index);
}

/* The lab's log keeps the entry, as another leader's might: so it is applied like one that was never proposed here. */
static void what_rests_on_what_is_cut_is_given_up(void **state) {
  (void)state;
  prepare(&first, "w", 0, 0, 3);
  prepare(&second, "w", 0, 0, 3);
  prepare(&third, "w", 0, 7, 1);

  lab_on_lane(&lab, hand_in_and_cut);
  lab_wait(&lab, &first.finished);

  assert_int_equal(second.append.failure->reason, STATUS_UNKNOWN_OUTCOME); /* the original may be committed all the same */
  assert_int_equal(second.append.failure->executed, EXECUTED_MAYBE);
  assert_int_equal(third.append.failure->reason, STATUS_NOT_LEADER);
  assert_int_equal(third.append.failure->executed, EXECUTED_NO);
  assert_true(second.order == 1 && third.order == 2);
  assert_null(first.append.failure);
  lab_append_deinit(&second);
  lab_append_deinit(&third);
  expect_at("w", 0, 0, 3, 0, true);
  expect_at("w", 0, 3, 1, 3, false);
}

static void hand_in_two_pairs_and_cut(struct lab *of) {
  partition_append(&first.append);
  partition_append(&second.append);
  partition_append(&third.append);
  partition_append(&fourth.append);
  partition_cut(of->partition, third.append.proposal.entry.head.index);
}

static void what_rests_on_what_stays_goes_on_waiting(void **state) {
  (void)state;
  prepare(&first, "w", 0, 0, 3);
  prepare(&second, "w", 0, 0, 3);
  prepare(&third, "w", 0, 3, 1);
  prepare(&fourth, "w", 0, 3, 1);

  lab_on_lane(&lab, hand_in_two_pairs_and_cut);
  lab_wait(&lab, &third.finished);
  lab_wait(&lab, &second.finished);

  assert_int_equal(fourth.append.failure->reason, STATUS_UNKNOWN_OUTCOME);
  assert_int_equal(fourth.order, 1);
  assert_true(second.append.failure == NULL && second.append.duplicate);
  assert_int_equal(second.append.proposal.entry.head.base_offset, 0);
  lab_append_deinit(&fourth);
  expect_at("w", 0, 4, 1, 4, false);
}

static void sequences_are_not_taken_twice(void **state) {
  (void)state;
  expect_at("w", 0, 0, 3, 0, false);
  expect_refusal("w", 0, 0, STATUS_SEQUENCE_REUSED, EXECUTED_NO); /* another count */
  expect_refusal("w", 0, 4, STATUS_SEQUENCE_GAP, EXECUTED_NO);
  expect_refusal("nobody", 0, 4, STATUS_UNKNOWN_PRODUCER, EXECUTED_NO);
}

static void what_a_producer_may_not_say(void **state) {
  (void)state;
  lab_append_init(&lab, &first, "a", 1);
  first.append.request.batch.first_sequence = 5; /* whose? */
  lab_on_lane(&lab, hand_in_first);
  lab_wait(&lab, &first.finished);
  assert_int_equal(first.append.failure->reason, STATUS_INVALID);
  expect_refusal("w", 0, UINT64_MAX - 1, STATUS_INVALID, EXECUTED_NO);
  char long_name[PRODUCER_NAME_MAX + 2];
  memset(long_name, 'x', sizeof long_name - 1);
  long_name[sizeof long_name - 1] = '\0';
  lab_append_deinit(&first);
  lab_append_init(&lab, &first, "a", 1);
  first.append.request.producer = bytes_of_string(long_name);
  lab_on_lane(&lab, hand_in_first);
  lab_wait(&lab, &first.finished);
  assert_int_equal(first.append.failure->reason, STATUS_BAD_NAME);
  change_producer(long_name, PRODUCER_OPEN);
  assert_int_equal(change.failure->reason, STATUS_BAD_NAME);
  memory_free(change.failure);
}

static void an_open_fences_who_was_there(void **state) {
  (void)state;
  open_producer("w");
  assert_int_equal(opened_epoch, 1);
  assert_int_equal(opened_sequence, 0);
  assert_int_equal(opened_offset, -1);
  assert_false(change.known);
  expect_at("w", 1, 0, 3, 0, false);

  open_producer("w");
  assert_true(change.known);
  assert_int_equal(opened_epoch, 2);
  assert_int_equal(opened_sequence, 3);
  assert_int_equal(opened_offset, 2);

  expect_refusal("w", 1, 3, STATUS_PRODUCER_FENCED, EXECUTED_NO);
  assert_int_equal(first.append.failure->producer_epoch, 2);
  expect_at("w", 1, 0, 3, 0, true); /* what it wrote it may still learn */
  expect_at("w", 2, 3, 1, 3, false);
}

/* ---- What is kept ---- */

static void restart(bool checkpoint) {
  lab_close(&lab, checkpoint);
  lab_open(&lab);
}

static void fill(void) {
  for (uint64_t i = 0; i < 50; i++) {
    expect_at("w", 0, i * 2, 2, (record_offset)i * 3, false);
    expect_at("v", 0, i, 1, (record_offset)i * 3 + 2, false);
  }
}

static void expect_kept(void) {
  for (uint64_t i = 0; i < 50; i++) {
    expect_at("w", 0, i * 2, 2, (record_offset)i * 3, true);
    expect_at("v", 0, i, 1, (record_offset)i * 3 + 2, true);
  }
}

static uint64_t hash;
static void take_hash(struct lab *of) { hash = partition_producers_hash(of->partition); }

static void everything_is_there_after_a_restart(void **state) {
  (void)state;
  fill();
  lab_on_lane(&lab, take_hash);
  uint64_t before = hash;
  for (int i = 0; i < 3; i++) {
    restart(i == 1); /* from the journal, then through a checkpoint, then from the checkpoint */
    lab_on_lane(&lab, take_hash);
    assert_true(hash == before);
    expect_kept();
  }
  expect_at("w", 0, 100, 2, 150, false);
}

static struct partition_trim trim;
static atomic_bool trimmed;
static void trim_done(struct partition_trim *of) {
  (void)of;
  atomic_store(&trimmed, true);
}
static void run_trim(struct lab *of) {
  trim = (struct partition_trim){.partition = of->partition, .before = 150, .done = trim_done};
  partition_trim(&trim);
}

static void what_is_trimmed_is_still_recognised(void **state) {
  (void)state;
  fill();
  lab_on_lane(&lab, run_trim);
  lab_wait(&lab, &trimmed);
  assert_null(trim.failure);
  assert_int_equal(trim.start_offset, 150);

  expect_kept();
  restart(true);
  expect_kept();
  restart(false);
  expect_kept();
}

static void who_was_given_up_has_to_be_opened(void **state) {
  (void)state;
  expect_at("a", 0, 0, 1, 0, false); /* the lab keeps three */
  expect_at("b", 0, 0, 1, 1, false);
  expect_at("c", 0, 0, 1, 2, false);
  expect_at("a", 0, 1, 1, 3, false);
  expect_at("d", 0, 0, 1, 4, false); /* for b, which appended least recently */

  expect_refusal("b", 0, 0, STATUS_UNKNOWN_PRODUCER, EXECUTED_MAYBE); /* the repetition of what is at offset 1 */
  expect_at("a", 0, 1, 1, 3, true);
  restart(true);
  expect_refusal("b", 0, 0, STATUS_UNKNOWN_PRODUCER, EXECUTED_MAYBE);
  open_producer("b");
  assert_false(change.known);
  expect_at("b", 1, 0, 1, 5, false);
}

static void who_is_forgotten_is_gone(void **state) {
  (void)state;
  expect_at("a", 0, 0, 1, 0, false);
  change_producer("a", PRODUCER_FORGET);
  assert_true(change.failure == NULL && change.known);
  change_producer("a", PRODUCER_FORGET);
  assert_true(change.failure == NULL && !change.known);

  expect_refusal("a", 0, 1, STATUS_UNKNOWN_PRODUCER, EXECUTED_MAYBE);
  restart(false);
  expect_refusal("a", 0, 1, STATUS_UNKNOWN_PRODUCER, EXECUTED_MAYBE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_repetition_gets_its_original_offset),
      TEST(a_repetition_is_one_whatever_it_expects),
      TEST(a_mismatch_takes_no_sequence),
      TEST(what_rests_on_a_proposal_is_answered_after_it),
      TEST(a_repetition_of_what_goes_under_is_in_doubt),
      TEST(what_rests_on_what_is_cut_is_given_up),
      TEST(what_rests_on_what_stays_goes_on_waiting),
      TEST(sequences_are_not_taken_twice),
      TEST(what_a_producer_may_not_say),
      TEST(an_open_fences_who_was_there),
      TEST(everything_is_there_after_a_restart),
      TEST(what_is_trimmed_is_still_recognised),
      TEST(who_was_given_up_has_to_be_opened),
      TEST(who_is_forgotten_is_gone),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
