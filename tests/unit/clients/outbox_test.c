/* How much goes in one message. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/memory.h"
#include "clients/c/outbox.h"

#define TOPIC_BYTES 249u /* the longest names that there are */
#define PRODUCER_BYTES 128u

static const struct wire_append_request largest_head = {.topic = {(const uint8_t[TOPIC_BYTES]){'t'}, TOPIC_BYTES},
                                                        .partition = UINT32_MAX,
                                                        .request_id = UINT64_MAX,
                                                        .has_expected_offset = true,
                                                        .expected_offset = INT64_MAX,
                                                        .producer = {(const uint8_t[PRODUCER_BYTES]){'p'}, PRODUCER_BYTES},
                                                        .together = true,
                                                        .batch = {.codec = WIRE_CODEC_ZSTD,
                                                                  .uncompressed_bytes = UINT32_MAX,
                                                                  .record_count = UINT32_MAX,
                                                                  .base_timestamp_ms = INT64_MAX,
                                                                  .max_timestamp_ms = INT64_MAX,
                                                                  .has_crc32c = true,
                                                                  .crc32c = UINT32_MAX,
                                                                  .producer_id = UINT64_MAX,
                                                                  .producer_epoch = UINT32_MAX,
                                                                  .first_sequence = UINT64_MAX}};

static void add(struct outbox *outbox, size_t payload_bytes) {
  struct blob *blob = NULL;
  assert_int_equal(blob_new(NULL, payload_bytes, &blob), STATUS_OK);
  outbox_add(outbox, &largest_head, (struct blob_part){.blob = blob, .bytes = bytes_of(blob->data, payload_bytes)});
}

static size_t message_bytes(const struct outbox *outbox) {
  size_t bytes = 0;
  for (size_t i = 0; i < outbox->requests * LOG_WIRE_APPEND_PARTS; i++) bytes += outbox->parts[i].bytes.size;
  return bytes;
}

/* A broker refuses what is larger than its request-bytes-max, and that may be as little as 64 KiB. */
static void several_are_never_more_than_a_message_may_have(void **state) {
  (void)state;
  struct outbox *outbox = NEW(struct outbox);
  for (size_t payload_bytes = 1; payload_bytes < OUTBOX_BYTES_MAX / 4; payload_bytes += 97) {
    while (!outbox_is_full(outbox, payload_bytes)) add(outbox, payload_bytes);
    assert_true(outbox->requests > 1);
    assert_true(outbox->requests <= OUTBOX_REQUESTS_MAX);
    assert_int_equal(outbox->bytes, message_bytes(outbox));
    assert_true(message_bytes(outbox) <= OUTBOX_BYTES_MAX);
    outbox_drop(outbox);
    assert_int_equal(outbox->bytes, 0);
  }
  memory_free(outbox);
}

static void a_single_one_may_be_larger(void **state) {
  (void)state;
  struct outbox *outbox = NEW(struct outbox);
  assert_false(outbox_is_full(outbox, 2 * OUTBOX_BYTES_MAX));
  add(outbox, 2 * OUTBOX_BYTES_MAX);
  assert_true(outbox_is_full(outbox, 1));
  outbox_drop(outbox);
  memory_free(outbox);
}

static void what_a_request_has_beside_its_payload_is_bounded(void **state) {
  (void)state;
  struct outbox *outbox = NEW(struct outbox);
  add(outbox, 1000);
  add(outbox, 1000);
  for (size_t i = 0; i < outbox->requests; i++)
    assert_true(outbox->parts[i * LOG_WIRE_APPEND_PARTS].bytes.size <= OUTBOX_HEAD_BYTES_MAX);
  outbox_drop(outbox);
  memory_free(outbox);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(several_are_never_more_than_a_message_may_have),
      cmocka_unit_test(a_single_one_may_be_larger),
      cmocka_unit_test(what_a_request_has_beside_its_payload_is_bounded),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
