#include "tests/unit/log/cmocka_log.h"

#include <string.h>

#include "base/codec.h"
#include "log/entry.h"

static const char payload_text[] = "hello";

static struct entry_head sample_head(void) {
  struct entry_head head = {
      .kind = ENTRY_RECORDS,
      .codec = ENTRY_CODEC_ZSTD,
      .record_count = 3,
      .uncompressed_size = 0x1234,
      .index = 7,
      .term = 2,
      .base_offset = 40,
      .producer_id = 0x0102030405060708,
      .producer_epoch = 9,
      .first_sequence = 1000,
      .base_time_ms = 1700000000000,
      .max_time_ms = 1700000000999,
      .leader_time_ms = 1700000001000,
  };
  entry_seal(&head, bytes_of_string(payload_text), 0x1122334455667788);
  return head;
}

/* The bytes of docs/FORMATS.md. A change here is a change of the format on every disk there is. */
static void entry_head_has_its_golden_bytes(void **state) {
  (void)state;
  static const uint8_t golden[ENTRY_HEAD_SIZE] = {
      0x43, 0x52, 0x4e, 0x45, 0x78, 0xd4, 0x9c, 0x7e, 0x01, 0x01, 0x01, 0x00, 0x05, 0x00, 0x00, 0x00, 0x07, 0x00,
      0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x28, 0x00, 0x00, 0x00,
      0x00, 0x00, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00, 0x34, 0x12, 0x00, 0x00, 0x08, 0x07, 0x06, 0x05, 0x04, 0x03,
      0x02, 0x01, 0x09, 0x00, 0x00, 0x00, 0x4c, 0xbb, 0x71, 0x9a, 0xe8, 0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
      0x00, 0x68, 0xe5, 0xcf, 0x8b, 0x01, 0x00, 0x00, 0xe7, 0x6b, 0xe5, 0xcf, 0x8b, 0x01, 0x00, 0x00, 0xe8, 0x6b,
      0xe5, 0xcf, 0x8b, 0x01, 0x00, 0x00, 0x26, 0xc4, 0xdf, 0x0c, 0xba, 0x88, 0x0e, 0xc5,
  };
  struct entry_head head = sample_head();
  uint8_t encoded[ENTRY_HEAD_SIZE];

  entry_encode_head(&head, encoded);

  assert_memory_equal(encoded, golden, sizeof golden);
}

static void entry_head_survives_the_round_trip(void **state) {
  (void)state;
  struct entry_head head = sample_head();
  struct entry_head decoded;
  memset(&decoded, 0xff, sizeof decoded);
  uint8_t encoded[ENTRY_HEAD_SIZE];
  uint8_t again[ENTRY_HEAD_SIZE];

  entry_encode_head(&head, encoded);
  assert_ok(entry_decode_head(encoded, &decoded));
  entry_encode_head(&decoded, again);

  assert_memory_equal(encoded, again, sizeof encoded);
  assert_int_equal(decoded.kind, ENTRY_RECORDS);
  assert_int_equal(decoded.payload_size, 5);
  assert_int_equal(decoded.base_offset, 40);
  assert_int_equal(entry_end_offset(&decoded), 43);
  assert_int_equal(entry_size(&decoded), ENTRY_HEAD_SIZE + 5);
}

static void entry_head_with_any_bit_flipped_is_refused(void **state) {
  (void)state;
  struct entry_head head = sample_head();
  struct entry_head decoded;
  uint8_t encoded[ENTRY_HEAD_SIZE];
  entry_encode_head(&head, encoded);
  for (size_t bit = 0; bit < sizeof encoded * 8; bit++) {
    encoded[bit / 8] ^= (uint8_t)(1u << bit % 8);
    assert_status(entry_decode_head(encoded, &decoded), STATUS_CORRUPT);
    encoded[bit / 8] ^= (uint8_t)(1u << bit % 8);
  }
  assert_ok(entry_decode_head(encoded, &decoded));
}

/* Changes bytes as a newer or wiser writer would: the checksum fits. */
static enum status decode_with(size_t at, uint8_t value, size_t size) {
  struct entry_head head = sample_head();
  struct entry_head decoded;
  uint8_t encoded[ENTRY_HEAD_SIZE];
  entry_encode_head(&head, encoded);
  memset(encoded + at, value, size);
  put_u32(encoded + 4, crc32c(0, bytes_of(encoded + 8, ENTRY_HEAD_SIZE - 8)));
  return entry_decode_head(encoded, &decoded);
}

static void entry_head_of_a_newer_build_is_foreign(void **state) {
  (void)state;
  assert_status(decode_with(8, 2, 1), STATUS_FOREIGN);
  assert_status(decode_with(9, 7, 1), STATUS_FOREIGN);
  assert_status(decode_with(10, 3, 1), STATUS_FOREIGN);
  assert_status(decode_with(11, 1, 1), STATUS_FOREIGN);
}

static void entry_head_that_makes_no_sense_is_refused(void **state) {
  (void)state;
  assert_status(decode_with(12, 0xff, 4), STATUS_CORRUPT); /* payload size */
  assert_status(decode_with(16, 0, 8), STATUS_CORRUPT);    /* index 0 */
  assert_status(decode_with(32, 0xff, 8), STATUS_CORRUPT); /* base offset -1 */
  assert_status(decode_with(40, 0, 4), STATUS_CORRUPT);    /* records without records */
  assert_status(decode_with(9, ENTRY_NOOP, 1), STATUS_CORRUPT);
}

static void entry_chain_depends_on_all_that_came_before(void **state) {
  (void)state;
  struct entry_head head = sample_head();
  uint64_t chain = entry_chain(&head, bytes_of_string(payload_text), 0x1122334455667788);
  assert_true(chain == head.chain);

  assert_true(entry_chain(&head, bytes_of_string(payload_text), 0x1122334455667789) != chain);
  assert_true(entry_chain(&head, bytes_of_string("hellp"), 0x1122334455667788) != chain);
  head.term++;
  assert_true(entry_chain(&head, bytes_of_string(payload_text), 0x1122334455667788) != chain);
}

static void entry_payload_must_fit_its_head(void **state) {
  (void)state;
  struct entry_head head = sample_head();
  assert_ok(entry_check_payload(&head, bytes_of_string(payload_text)));
  assert_status(entry_check_payload(&head, bytes_of_string("hell")), STATUS_CORRUPT);
  assert_status(entry_check_payload(&head, bytes_of_string("hellp")), STATUS_CORRUPT);

  struct entry_head empty = {.kind = ENTRY_NOOP, .index = 1, .term = 1};
  entry_seal(&empty, bytes_of(NULL, 0), 0);
  assert_ok(entry_check_payload(&empty, bytes_of(NULL, 0)));
}

static void entry_release_gives_the_payload_back(void **state) {
  (void)state;
  struct account account;
  account_init(&account, 1 << 20);
  struct blob *blob = NULL;
  assert_ok(blob_new(&account, 5, &blob));
  struct entry entry = {.head = sample_head(), .payload = blob_part_of(blob, 0, 5)};
  blob_release(blob);

  entry_release(&entry);

  assert_int_equal(account_used(&account), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(entry_head_has_its_golden_bytes),
      cmocka_unit_test(entry_head_survives_the_round_trip),
      cmocka_unit_test(entry_head_with_any_bit_flipped_is_refused),
      cmocka_unit_test(entry_head_of_a_newer_build_is_foreign),
      cmocka_unit_test(entry_head_that_makes_no_sense_is_refused),
      cmocka_unit_test(entry_chain_depends_on_all_that_came_before),
      cmocka_unit_test(entry_payload_must_fit_its_head),
      cmocka_unit_test(entry_release_gives_the_payload_back),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
