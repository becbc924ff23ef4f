#include "proto/failure.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/wire.h"

static void failure_gets_its_defaults_from_the_table(void **state) {
  (void)state;
  struct failure failure;

  failure_set(&failure, STATUS_BUSY, "%d waiters", 12);
  assert_int_equal(failure.executed, EXECUTED_NO);
  assert_string_equal(failure.text, "12 waiters");
  assert_true(failure.retry_after_ms > 0);

  failure_set(&failure, STATUS_UNKNOWN_OUTCOME, NULL);
  assert_int_equal(failure.executed, EXECUTED_MAYBE);
  assert_string_equal(failure.text, status_text(STATUS_UNKNOWN_OUTCOME));
  assert_int_equal(failure.retry_after_ms, 0);

  failure_set(&failure, STATUS_TOO_LARGE, "x");
  assert_int_equal(failure.retry_after_ms, 0);
}

static void text_stays_utf8_when_it_is_cut(void **state) {
  (void)state;
  struct failure failure;
  char accents[2 * FAILURE_TEXT_SIZE + 1] = "";
  for (size_t i = 0; i + 2 < sizeof accents; i += 2) memcpy(accents + i, "\xc3\xa9", 2);

  failure_set(&failure, STATUS_INVALID, "%s", accents);
  assert_true(utf8_valid_text(bytes_of_string(failure.text)));
  assert_int_equal(strlen(failure.text), FAILURE_TEXT_SIZE - 2);

  failure_set(&failure, STATUS_INVALID, "bad \xff byte");
  assert_string_equal(failure.text, "bad ? byte");
}

static void every_reason_survives_the_wire(void **state) {
  (void)state;
  for (enum status reason = STATUS_MALFORMED; reason < STATUS_COUNT; reason++) {
    struct failure failure, back;
    failure_set(&failure, reason, "number %d", (int)reason);
    failure.next_offset = -1;
    failure.has_next_offset = true;
    failure.has_producer = true;
    failure.next_sequence = UINT64_MAX - (uint64_t)reason;
    failure.producer_epoch = (uint32_t)reason;
    uint8_t bytes[FAILURE_ENCODED_MAX];
    size_t size = failure_encode(&failure, bytes);

    assert_int_equal(failure_decode(bytes_of(bytes, size), &back), STATUS_OK);
    assert_int_equal(back.reason, reason);
    assert_int_equal(back.executed, failure.executed);
    assert_string_equal(back.text, failure.text);
    assert_int_equal(back.next_offset, -1);
    assert_true(back.has_producer && back.next_sequence == failure.next_sequence);
    assert_int_equal(back.producer_epoch, failure.producer_epoch);
    assert_int_equal(back.retry_after_ms, failure.retry_after_ms);
  }
}

static void longest_failure_fits(void **state) {
  (void)state;
  struct failure failure = {.reason = STATUS_UNKNOWN_PARTITION,
                            .executed = EXECUTED_YES,
                            .has_next_offset = true,
                            .next_offset = -1,
                            .has_producer = true,
                            .next_sequence = UINT64_MAX,
                            .producer_epoch = UINT32_MAX,
                            .retry_after_ms = UINT32_MAX};
  memset(failure.text, 'x', sizeof failure.text - 1);
  memset(failure.leader, 'y', sizeof failure.leader - 1);
  uint8_t bytes[FAILURE_ENCODED_MAX];

  assert_true(failure_encode(&failure, bytes) <= sizeof bytes);
}

static void answer_without_keys_counts_as_maybe(void **state) {
  (void)state;
  struct failure failure;

  failure_from_result(&failure, &(struct rpc_result){.code = GRPC_CODE_UNAVAILABLE, .text = "connection reset"});
  assert_int_equal(failure.reason, STATUS_TRANSPORT);
  assert_int_equal(failure.executed, EXECUTED_MAYBE);
  assert_string_equal(failure.text, "connection reset");

  failure_from_result(&failure, &(struct rpc_result){.code = GRPC_CODE_UNAVAILABLE, .text = "refused", .unsent = true});
  assert_int_equal(failure.reason, STATUS_TRANSPORT);
  assert_int_equal(failure.executed, EXECUTED_NO);

  failure_from_result(&failure, &(struct rpc_result){.code = GRPC_CODE_OK, .text = ""});
  assert_int_equal(failure.reason, STATUS_OK);
  assert_int_equal(failure.executed, EXECUTED_YES);
}

static void keys_are_read_and_nonsense_in_them_ignored(void **state) {
  (void)state;
  struct failure failure;
  struct rpc_result result = {.code = GRPC_CODE_ABORTED,
                              .text = "",
                              .metadata = {{"cairn-executed", "no"},
                                           {"cairn-reason", "OFFSET_MISMATCH"},
                                           {"cairn-next-offset", "42"},
                                           {"cairn-next-sequence", "18446744073709551614"},
                                           {"cairn-producer-epoch", "7"},
                                           {"retry-after-ms", "99999999999"}},
                              .metadata_count = 6};
  failure_from_result(&failure, &result);
  assert_int_equal(failure.reason, STATUS_OFFSET_MISMATCH);
  assert_int_equal(failure.executed, EXECUTED_NO);
  assert_true(failure.has_next_offset);
  assert_int_equal(failure.next_offset, 42);
  assert_true(failure.has_producer && failure.next_sequence == UINT64_MAX - 1);
  assert_int_equal(failure.producer_epoch, 7);
  assert_int_equal(failure.retry_after_ms, UINT32_MAX);
  assert_string_equal(failure.text, status_text(STATUS_OFFSET_MISMATCH));

  result = (struct rpc_result){.code = GRPC_CODE_INTERNAL,
                               .text = "",
                               .metadata = {{"cairn-executed", "perhaps"},
                                            {"cairn-reason", "OF_A_NEWER_BROKER"},
                                            {"cairn-next-offset", "4x"},
                                            {"cairn-next-sequence", "-1"},
                                            {"cairn-producer-epoch", "4294967296"},
                                            {"retry-after-ms", "-1"}},
                               .metadata_count = 6};
  failure_from_result(&failure, &result);
  assert_int_equal(failure.reason, STATUS_TRANSPORT);
  assert_int_equal(failure.executed, EXECUTED_MAYBE);
  assert_false(failure.has_next_offset);
  assert_false(failure.has_producer);
  assert_int_equal(failure.producer_epoch, 0);
  assert_int_equal(failure.retry_after_ms, 0);
}

static void malformed_error_is_refused(void **state) {
  (void)state;
  struct failure failure;
  assert_int_equal(failure_decode(bytes_of("\x0a\x01x", 3), &failure), STATUS_MALFORMED);
  assert_int_equal(failure_decode(bytes_of("\x12\x05x", 3), &failure), STATUS_MALFORMED);
  assert_int_equal(failure_decode(bytes_of(NULL, 0), &failure), STATUS_OK);
  assert_int_equal(failure.executed, EXECUTED_MAYBE);
  assert_int_equal(failure.reason, STATUS_TRANSPORT);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(failure_gets_its_defaults_from_the_table),
      cmocka_unit_test(text_stays_utf8_when_it_is_cut),
      cmocka_unit_test(every_reason_survives_the_wire),
      cmocka_unit_test(longest_failure_fits),
      cmocka_unit_test(answer_without_keys_counts_as_maybe),
      cmocka_unit_test(keys_are_read_and_nonsense_in_them_ignored),
      cmocka_unit_test(malformed_error_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
