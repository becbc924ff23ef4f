/* What may be appended, what an answer says, and when it comes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <zstd.h>

#include "base/codec.h"
#include "tests/unit/server/lab.h"

static struct lab lab;
static struct lab_append first, second, third;

static int setup(void **state) {
  (void)state;
  lab_open(&lab);
  return 0;
}
static int teardown(void **state) {
  (void)state;
  lab_close(&lab, false);
  lab_remove(&lab);
  return 0;
}

static const struct entry_head *head_of(const struct lab_append *append) { return &append->append.proposal.entry.head; }

static void hand_in_first(struct lab *of) {
  (void)of;
  partition_append(&first.append);
}
static void hand_in_two(struct lab *of) {
  (void)of;
  partition_append(&first.append);
  partition_append(&second.append);
}

static void hand_in_second(struct lab *of) {
  (void)of;
  partition_append(&second.append);
}

static void expect_refusal(enum status reason) {
  lab_on_lane(&lab, hand_in_first);
  lab_wait(&lab, &first.finished);
  assert_non_null(first.append.failure);
  assert_string_equal(status_name(first.append.failure->reason), status_name(reason));
  assert_int_equal(first.append.failure->executed, EXECUTED_NO);
  lab_append_deinit(&first);
  lab_append_now(&lab, &second, "after", 1);
  assert_null(second.append.failure);
  assert_int_equal(head_of(&second)->base_offset, 0); /* nothing of the first was appended */
}

static void offsets_are_dense(void **state) {
  (void)state;
  lab_append_now(&lab, &first, "a", 3);
  lab_append_now(&lab, &second, "b", 2);

  assert_null(first.append.failure);
  assert_int_equal(head_of(&first)->base_offset, 0);
  assert_int_equal(head_of(&first)->record_count, 3);
  assert_int_equal(head_of(&second)->base_offset, 3);
  assert_true(head_of(&second)->leader_time_ms >= head_of(&first)->leader_time_ms);
}

static void a_good_checksum_is_taken_and_a_bad_one_refused(void **state) {
  (void)state;
  lab_append_init(&lab, &first, "a", 1);
  first.append.request.batch.has_crc32c = true;
  first.append.request.batch.crc32c = crc32c(0, first.append.request.payload) ^ 1;
  expect_refusal(STATUS_BAD_CHECKSUM);

  lab_append_init(&lab, &first, "a", 1);
  first.append.request.batch.has_crc32c = true;
  first.append.request.batch.crc32c = crc32c(0, first.append.request.payload);
  lab_on_lane(&lab, hand_in_first);
  lab_wait(&lab, &first.finished);
  assert_null(first.append.failure);
}

static void a_wrong_count_is_refused(void **state) {
  (void)state;
  lab_append_init(&lab, &first, "a", 3);
  first.append.request.batch.record_count = 4;
  expect_refusal(STATUS_BAD_BATCH);
}

static void a_wrong_greatest_time_is_refused(void **state) {
  (void)state;
  lab_append_init(&lab, &first, "a", 1);
  first.append.request.batch.base_timestamp_ms = 1000;
  first.append.request.batch.max_timestamp_ms = 1001;
  expect_refusal(STATUS_BAD_BATCH);
}

static void an_empty_batch_is_refused(void **state) {
  (void)state;
  lab_append_init(&lab, &first, "a", 0);
  expect_refusal(STATUS_BAD_BATCH);
}

static struct blob *compressed(const struct blob *plain) {
  struct blob *blob = NULL;
  assert_int_equal(blob_new(NULL, ZSTD_compressBound(plain->size), &blob), STATUS_OK);
  size_t size = ZSTD_compress(blob->data, blob->size, plain->data, plain->size, 1);
  assert_false(ZSTD_isError(size));
  blob->size = size;
  return blob;
}

static void a_compressed_batch_is_inflated_to_be_counted(void **state) {
  (void)state;
  struct blob *plain = lab_records("value", 100);
  lab_append_init_payload(&lab, &first, compressed(plain));
  first.append.request.batch.codec = WIRE_CODEC_ZSTD;
  first.append.request.batch.uncompressed_bytes = (uint32_t)plain->size;
  blob_release(plain);

  lab_on_lane(&lab, hand_in_first);
  lab_wait(&lab, &first.finished);

  assert_null(first.append.failure);
  assert_int_equal(head_of(&first)->record_count, 100);
  assert_int_equal(head_of(&first)->codec, ENTRY_CODEC_ZSTD);
}

static void a_batch_that_lies_about_its_size_is_refused(void **state) {
  (void)state;
  struct blob *plain = lab_records("value", 100);
  lab_append_init_payload(&lab, &first, compressed(plain));
  first.append.request.batch.codec = WIRE_CODEC_ZSTD;
  first.append.request.batch.uncompressed_bytes = (uint32_t)plain->size - 1;
  blob_release(plain);
  expect_refusal(STATUS_BAD_BATCH);
}

static void a_batch_that_would_inflate_too_far_is_refused_unread(void **state) {
  (void)state;
  struct blob *plain = lab_records("value", 10);
  lab_append_init_payload(&lab, &first, compressed(plain));
  first.append.request.batch.codec = WIRE_CODEC_ZSTD;
  first.append.request.batch.uncompressed_bytes = UINT32_MAX;
  blob_release(plain);
  expect_refusal(STATUS_TOO_LARGE);
}

static void an_expected_offset_that_holds_appends(void **state) {
  (void)state;
  lab_append_now(&lab, &first, "a", 2);
  lab_append_init(&lab, &first, "b", 1);
  first.append.request.has_expected_offset = true;
  first.append.request.expected_offset = 2;

  lab_on_lane(&lab, hand_in_first);
  lab_wait(&lab, &first.finished);

  assert_null(first.append.failure);
  assert_int_equal(head_of(&first)->base_offset, 2);
}

static void a_mismatch_is_answered_after_what_it_rests_on(void **state) {
  (void)state;
  lab_append_init(&lab, &first, "a", 2);
  lab_append_init(&lab, &second, "b", 1);
  second.append.request.has_expected_offset = true;
  second.append.request.expected_offset = 0; /* true until a moment ago */

  lab_on_lane(&lab, hand_in_two);
  lab_wait(&lab, &second.finished);

  assert_int_equal(first.order, 1);
  assert_int_equal(second.order, 2);
  assert_int_equal(second.append.failure->reason, STATUS_OFFSET_MISMATCH);
  assert_true(second.append.failure->has_next_offset);
  assert_int_equal(second.append.failure->next_offset, 2);
  lab_append_deinit(&second);
}

/* What it would have to wait for never becomes durable. */
static void a_mismatch_on_a_fenced_partition_does_not_wait(void **state) {
  (void)state;
  lab_fail_writes_of("lost");
  lab_append_now(&lab, &first, "lost", 1);
  lab_fail_writes_of(NULL);
  assert_int_equal(first.append.failure->executed, EXECUTED_MAYBE);

  lab_append_init(&lab, &second, "refused", 1);
  second.append.request.has_expected_offset = true;
  second.append.request.expected_offset = 0;
  lab_on_lane(&lab, hand_in_second);

  assert_true(atomic_load(&second.finished));
  assert_string_equal(status_name(second.append.failure->reason), "FENCED");
  assert_int_equal(second.append.failure->executed, EXECUTED_NO);
  lab_append_deinit(&first);
  lab_append_deinit(&second);
}

static void what_nobody_waits_for_is_not_begun(void **state) {
  (void)state;
  static atomic_bool gone = true;
  lab_append_init(&lab, &first, "a", 1);
  first.append.abandoned = &gone;
  expect_refusal(STATUS_CANCELLED);
}

static void close_partition(struct lab *of) { partition_close(of->partition, false); }
static void hand_in_and_close(struct lab *of) {
  partition_append(&first.append);
  partition_append(&second.append);
  partition_close(of->partition, false);
}

static void a_partition_that_goes_answers_everyone(void **state) {
  (void)state;
  lab_append_init(&lab, &first, "a", 2);
  lab_append_init(&lab, &second, "b", 1);
  second.append.request.has_expected_offset = true; /* and waits for the first */

  lab_on_lane(&lab, hand_in_and_close);
  lab_wait(&lab, &first.finished);
  lab_wait(&lab, &second.finished);
  assert_int_equal(first.append.failure->executed, EXECUTED_MAYBE); /* it was proposed */
  assert_int_equal(second.append.failure->executed, EXECUTED_NO);
  lab_append_deinit(&first);
  lab_append_deinit(&second);

  lab_append_now(&lab, &third, "c", 1);
  assert_int_equal(third.append.failure->reason, STATUS_UNKNOWN_PARTITION);
  lab_append_deinit(&third);
}

static void what_was_answered_is_there_after_a_restart(void **state) {
  (void)state;
  lab_append_now(&lab, &first, "a", 3);
  lab_close(&lab, false);
  lab_open(&lab);

  lab_append_now(&lab, &second, "b", 1);

  assert_int_equal(head_of(&second)->base_offset, 3);
  lab_on_lane(&lab, close_partition);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(offsets_are_dense),
      TEST(a_good_checksum_is_taken_and_a_bad_one_refused),
      TEST(a_wrong_count_is_refused),
      TEST(a_wrong_greatest_time_is_refused),
      TEST(an_empty_batch_is_refused),
      TEST(a_compressed_batch_is_inflated_to_be_counted),
      TEST(a_batch_that_lies_about_its_size_is_refused),
      TEST(a_batch_that_would_inflate_too_far_is_refused_unread),
      TEST(an_expected_offset_that_holds_appends),
      TEST(a_mismatch_is_answered_after_what_it_rests_on),
      TEST(a_mismatch_on_a_fenced_partition_does_not_wait),
      TEST(what_nobody_waits_for_is_not_begun),
      TEST(a_partition_that_goes_answers_everyone),
      TEST(what_was_answered_is_there_after_a_restart),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
