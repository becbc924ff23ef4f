#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "clients/c/retry.h"

#define MS 1000000u

static struct retry_decision decide(enum status reason, bool idempotent, unsigned attempts, uint64_t left_ms) {
  struct failure failure;
  failure_set(&failure, reason, NULL);
  failure.retry_after_ms = 0;
  const struct retry_case question = {.failure = &failure,
                                      .idempotent = idempotent,
                                      .attempts = attempts,
                                      .backoff_ms = 50,
                                      .now_ns = 1000 * MS,
                                      .deadline_ns = (1000 + left_ms) * (uint64_t)MS,
                                      .reach_deadline_ns = 1100 * (uint64_t)MS,
                                      .chance = 12345};
  return retry_decide(&question);
}

static void retry_sends_again_only_what_had_no_effect(void **state) {
  (void)state;
  assert_true(decide(STATUS_BUSY, false, 1, 10000).again);
  assert_true(decide(STATUS_LOADING, false, 1, 10000).again);
  assert_true(decide(STATUS_DISK_FULL, false, 1, 10000).again);
  assert_true(decide(STATUS_NOT_LEADER, false, 1, 10000).again);
  assert_false(decide(STATUS_TRANSPORT, false, 1, 10000).again); /* maybe */
  assert_false(decide(STATUS_UNKNOWN_OUTCOME, false, 1, 10000).again);
  assert_false(decide(STATUS_DEADLINE, false, 1, 10000).again);
  assert_false(decide(STATUS_BUG, false, 1, 10000).again);
  assert_false(decide(STATUS_TOO_LARGE, false, 1, 10000).again);
  assert_false(decide(STATUS_UNKNOWN_TOPIC, false, 1, 10000).again);
}

static void retry_lets_questions_be_asked_again(void **state) {
  (void)state;
  assert_true(decide(STATUS_TRANSPORT, true, 1, 10000).again);
  assert_false(decide(STATUS_UNKNOWN_TOPIC, true, 1, 10000).again);
  assert_false(decide(STATUS_DAMAGED, true, 1, 10000).again);
}

static void retry_clears_up_what_is_unknown_where_it_is_recognised(void **state) {
  (void)state;
  static const enum status unknown[] = {STATUS_UNKNOWN_OUTCOME, STATUS_DEADLINE, STATUS_TRANSPORT, STATUS_UNKNOWN_PRODUCER};
  for (size_t i = 0; i < 4; i++) {
    struct failure failure;
    failure_set(&failure, unknown[i], NULL);
    struct retry_case question = {.failure = &failure,
                                  .attempts = 1,
                                  .backoff_ms = 50,
                                  .deadline_ns = 10000 * (uint64_t)MS,
                                  .reach_deadline_ns = UINT64_MAX};
    assert_false(retry_decide(&question).again);
    question.recognised = true;
    assert_int_equal(retry_decide(&question).again, i < 3); /* the last is the broker's own word */
  }
}

static void retry_ends_at_the_deadlines(void **state) {
  (void)state;
  assert_false(decide(STATUS_BUSY, false, 10, 100).again);
  assert_true(decide(STATUS_BUSY, false, 10, 5000).again);
  assert_false(decide(STATUS_TRANSPORT, true, 5, 5000).again); /* nobody answers: sooner */
}

static void retry_waits_longer_each_time_up_to_a_bound(void **state) {
  (void)state;
  uint64_t before = 0;
  for (unsigned attempts = 1; attempts < 40; attempts++) {
    struct retry_decision decision = decide(STATUS_BUSY, false, attempts, 100000);
    assert_true(decision.after_ns <= (uint64_t)RETRY_BACKOFF_MS_MAX * MS);
    assert_true(decision.after_ns >= 25 * MS);
    if (attempts > 10) assert_true(decision.after_ns >= before);
    before = decision.after_ns;
  }
}

static void retry_does_not_insist_on_a_bad_checksum(void **state) {
  (void)state;
  assert_true(decide(STATUS_BAD_CHECKSUM, false, 1, 100000).again);
  assert_false(decide(STATUS_BAD_CHECKSUM, false, 3, 100000).again);
}

static void retry_follows_a_leader_at_once_and_heeds_advice(void **state) {
  (void)state;
  struct failure failure;
  failure_set(&failure, STATUS_NOT_LEADER, NULL);
  snprintf(failure.leader, sizeof failure.leader, "b:2");
  struct retry_case question = {
      .failure = &failure, .attempts = 1, .backoff_ms = 50, .deadline_ns = UINT64_MAX, .reach_deadline_ns = UINT64_MAX};
  struct retry_decision decision = retry_decide(&question);
  assert_true(decision.again && decision.elsewhere);
  assert_int_equal(decision.after_ns, 0);
  question.attempts = 2;
  assert_true(retry_decide(&question).after_ns > 0);

  failure_set(&failure, STATUS_BUSY, NULL);
  failure.retry_after_ms = 700;
  decision = retry_decide(&question);
  assert_true(decision.again && !decision.elsewhere);
  assert_int_equal(decision.after_ns, 700ull * MS);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(retry_sends_again_only_what_had_no_effect),
      cmocka_unit_test(retry_lets_questions_be_asked_again),
      cmocka_unit_test(retry_clears_up_what_is_unknown_where_it_is_recognised),
      cmocka_unit_test(retry_ends_at_the_deadlines),
      cmocka_unit_test(retry_waits_longer_each_time_up_to_a_bound),
      cmocka_unit_test(retry_does_not_insist_on_a_bad_checksum),
      cmocka_unit_test(retry_follows_a_leader_at_once_and_heeds_advice),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
