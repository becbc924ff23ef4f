#include "tests/unit/log/cmocka_log.h"

#include <lz4frame.h>
#include <string.h>
#include <zstd.h>

#include "base/wire.h"
#include "log/batch.h"

static const struct batch_limits limits = {.record_bytes_max = 1 << 20, .uncompressed_bytes_max = 4 << 20};

/* ---- Building payloads ---- */

static void put_field(struct buffer *buffer, uint32_t number, const char *text) {
  uint8_t *at = buffer_extend(buffer, 16 + strlen(text));
  assert_non_null(at);
  uint8_t *end = wire_put_bytes(at, number, bytes_of_string(text));
  buffer->size -= (size_t)(at + 16 + strlen(text) - end);
}

static void put_number(struct buffer *buffer, uint32_t number, uint64_t value) {
  uint8_t *at = buffer_extend(buffer, 16);
  uint8_t *end = wire_put_varint(wire_put_tag(at, number, WIRE_VARINT), value);
  buffer->size -= (size_t)(at + 16 - end);
}

/* Closes `inner` into field `number` of `outer`. */
static void put_message(struct buffer *outer, uint32_t number, struct buffer *inner) {
  uint8_t head[16];
  uint8_t *end = wire_put_bytes_head(head, number, inner->size);
  assert_ok(buffer_append(outer, head, (size_t)(end - head)));
  assert_ok(buffer_append(outer, inner->data, inner->size));
  buffer_reset(inner);
}

struct build {
  struct buffer records, record, header;
};

static int set_up(void **state) {
  static struct build build;
  buffer_init(&build.records, 64 << 20);
  buffer_init(&build.record, 64 << 20);
  buffer_init(&build.header, 64 << 20);
  *state = &build;
  return 0;
}

static int tear_down(void **state) {
  struct build *build = *state;
  buffer_deinit(&build->records);
  buffer_deinit(&build->record);
  buffer_deinit(&build->header);
  return 0;
}

static enum status check_now(struct build *build, struct batch_summary *summary) {
  if (build->record.size > 0) put_message(&build->records, 1, &build->record);
  return batch_check(buffer_bytes(&build->records), &limits, summary);
}

#define assert_refused(build, expected)                  \
  do {                                                   \
    struct batch_summary ignored;                        \
    assert_status(check_now(build, &ignored), expected); \
  } while (0)

/* ---- What is good ---- */

static void batch_counts_its_records(void **state) {
  struct build *build = *state;
  put_field(&build->record, 1, "key");
  put_field(&build->record, 2, "value");
  put_number(&build->record, 3, 2000);
  put_field(&build->header, 1, "name");
  put_field(&build->header, 2, "content");
  put_message(&build->record, 4, &build->header);
  put_message(&build->records, 1, &build->record);
  put_field(&build->record, 2, "");
  put_message(&build->records, 1, &build->record);
  put_number(&build->record, 3, 1000);

  struct batch_summary summary;
  assert_ok(check_now(build, &summary));

  assert_int_equal(summary.record_count, 3);
  assert_int_equal(summary.record_bytes_max, 3 + 5 + 4 + 7);
  assert_int_equal(summary.min_time_ms, 1000);
  assert_int_equal(summary.max_time_ms, 2000);
  assert_true(summary.some_without_time);
}

static void batch_tells_absent_from_empty(void **state) {
  struct build *build = *state;
  put_field(&build->record, 1, "");
  put_message(&build->records, 1, &build->record);
  put_message(&build->records, 1, &build->record); /* nothing in it at all */
  put_field(&build->record, 2, "v");
  put_message(&build->records, 1, &build->record);

  struct batch_cursor cursor = batch_cursor_of(buffer_bytes(&build->records));
  struct batch_record record;
  assert_ok(batch_next(&cursor, &record));
  assert_true(record.has_key && !record.has_value && record.key.size == 0);
  assert_ok(batch_next(&cursor, &record));
  assert_true(!record.has_key && !record.has_value && record.encoded.size == 0);
  assert_ok(batch_next(&cursor, &record));
  assert_true(!record.has_key && record.has_value);
  assert_true(bytes_equal(record.value, bytes_of_string("v")));
  assert_status(batch_next(&cursor, &record), STATUS_END);
}

static void batch_takes_fields_in_any_order(void **state) {
  struct build *build = *state;
  put_number(&build->record, 3, 5);
  put_field(&build->record, 2, "v");
  put_field(&build->record, 1, "k");
  struct batch_summary summary;
  assert_ok(check_now(build, &summary));
  assert_false(summary.some_without_time);
}

/* ---- What is refused ---- */

static void batch_without_records_is_refused(void **state) { assert_refused(*state, STATUS_BAD_BATCH); }

static void batch_with_a_field_twice_is_refused(void **state) {
  struct build *build = *state;
  for (uint32_t number = 1; number <= 2; number++) {
    buffer_reset(&build->records);
    put_field(&build->record, number, "one");
    put_field(&build->record, number, "");
    assert_refused(build, STATUS_BAD_BATCH);
  }
  buffer_reset(&build->records);
  put_number(&build->record, 3, 0);
  put_number(&build->record, 3, 1);
  assert_refused(build, STATUS_BAD_BATCH);
}

static void batch_with_unknown_fields_is_refused(void **state) {
  struct build *build = *state;
  put_field(&build->record, 5, "?");
  assert_refused(build, STATUS_BAD_BATCH);

  buffer_reset(&build->records);
  put_field(&build->records, 2, "?");
  assert_refused(build, STATUS_BAD_BATCH);

  buffer_reset(&build->records);
  put_field(&build->header, 3, "?");
  put_message(&build->record, 4, &build->header);
  assert_refused(build, STATUS_BAD_BATCH);

  buffer_reset(&build->records);
  put_number(&build->record, 1, 3); /* a key that is a number */
  assert_refused(build, STATUS_BAD_BATCH);
}

static void batch_cut_anywhere_is_refused(void **state) {
  struct build *build = *state;
  put_field(&build->record, 1, "key");
  put_field(&build->record, 2, "value");
  put_message(&build->records, 1, &build->record);
  struct batch_summary summary;
  for (size_t size = 0; size < build->records.size; size++) {
    assert_status(batch_check(bytes_of(build->records.data, size), &limits, &summary), STATUS_BAD_BATCH);
  }
}

static void batch_with_bad_header_names_is_refused(void **state) {
  struct build *build = *state;
  static const char *const bad[] = {"\xff", "\xc0\xaf", "\xed\xa0\x80"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    buffer_reset(&build->records);
    put_field(&build->header, 1, bad[i]);
    put_message(&build->record, 4, &build->header);
    assert_refused(build, STATUS_BAD_BATCH);
  }
  buffer_reset(&build->records);
  static const uint8_t with_nul[] = {0x0a, 3, 'a', 0, 'b'};
  assert_ok(buffer_append(&build->header, with_nul, sizeof with_nul));
  put_message(&build->record, 4, &build->header);
  assert_refused(build, STATUS_BAD_BATCH);

  char name[1026];
  memset(name, 'n', sizeof name);
  name[1025] = 0;
  buffer_reset(&build->records);
  put_field(&build->header, 1, name);
  put_message(&build->record, 4, &build->header);
  assert_refused(build, STATUS_BAD_BATCH);
  name[1024] = 0;
  buffer_reset(&build->records);
  put_field(&build->header, 1, name);
  put_message(&build->record, 4, &build->header);
  assert_refused(build, STATUS_OK);
}

static void batch_above_a_limit_is_too_large(void **state) {
  struct build *build = *state;
  put_field(&build->record, 1, "12345");
  put_field(&build->record, 2, "67890");
  put_message(&build->records, 1, &build->record);
  struct batch_summary summary;
  struct batch_limits small = {.record_bytes_max = 9, .uncompressed_bytes_max = 1000};
  assert_status(batch_check(buffer_bytes(&build->records), &small, &summary), STATUS_TOO_LARGE);
  small.record_bytes_max = 10;
  assert_ok(batch_check(buffer_bytes(&build->records), &small, &summary));
  small.uncompressed_bytes_max = (uint32_t)build->records.size - 1;
  assert_status(batch_check(buffer_bytes(&build->records), &small, &summary), STATUS_TOO_LARGE);

  buffer_reset(&build->records);
  for (unsigned i = 0; i <= BATCH_HEADERS_MAX; i++) {
    put_field(&build->header, 1, "n");
    put_message(&build->record, 4, &build->header);
  }
  assert_refused(build, STATUS_TOO_LARGE);
}

/* ---- Compressed ---- */

static void fill_records(struct build *build) {
  for (int i = 0; i < 100; i++) {
    put_field(&build->record, 2, "the same value over and over again");
    put_message(&build->records, 1, &build->record);
  }
}

static size_t compress(enum entry_codec codec, struct bytes plain, uint8_t *into, size_t size) {
  size_t result = codec == ENTRY_CODEC_ZSTD ? ZSTD_compress(into, size, plain.data, plain.size, 1)
                                            : LZ4F_compressFrame(into, size, plain.data, plain.size, NULL);
  assert_false(codec == ENTRY_CODEC_ZSTD ? ZSTD_isError(result) : LZ4F_isError(result));
  return result;
}

static void batch_inflates_to_exactly_what_it_says(void **state) {
  struct build *build = *state;
  fill_records(build);
  struct bytes plain = buffer_bytes(&build->records);
  uint32_t size = (uint32_t)plain.size;
  static uint8_t packed[65536];
  static const enum entry_codec codecs[] = {ENTRY_CODEC_ZSTD, ENTRY_CODEC_LZ4};
  for (size_t i = 0; i < 2; i++) {
    size_t packed_size = compress(codecs[i], plain, packed, sizeof packed - 1);
    struct bytes payload = bytes_of(packed, packed_size);
    struct batch_summary summary;
    assert_ok(batch_check_compressed(codecs[i], payload, size, &limits, &summary));
    assert_int_equal(summary.record_count, 100);

    struct buffer out;
    buffer_init(&out, size);
    assert_ok(batch_inflate(codecs[i], payload, size, &out));
    assert_true(bytes_equal(buffer_bytes(&out), plain));
    buffer_reset(&out);
    assert_status(batch_inflate(codecs[i], payload, size + 1, &out), STATUS_TOO_LARGE);
    buffer_deinit(&out);

    assert_status(batch_check_compressed(codecs[i], payload, size - 1, &limits, &summary), STATUS_BAD_BATCH);
    assert_status(batch_check_compressed(codecs[i], payload, size + 1, &limits, &summary), STATUS_BAD_BATCH);
    assert_status(batch_check_compressed(codecs[i], bytes_of(packed, packed_size - 1), size, &limits, &summary),
                  STATUS_BAD_BATCH);
    packed[packed_size] = 0x5a; /* something behind the frame */
    assert_status(batch_check_compressed(codecs[i], bytes_of(packed, packed_size + 1), size, &limits, &summary),
                  STATUS_BAD_BATCH);
    struct batch_limits small = limits;
    small.uncompressed_bytes_max = size - 1;
    assert_status(batch_check_compressed(codecs[i], payload, size, &small, &summary), STATUS_TOO_LARGE);
  }
}

/* Some libraries read one frame and stop: their readers would see half of it. */
static void batch_in_more_than_one_frame_is_refused(void **state) {
  struct build *build = *state;
  fill_records(build);
  struct bytes plain = buffer_bytes(&build->records);
  struct bytes half = bytes_of(plain.data, plain.size / 2);
  static uint8_t packed[65536];
  static const uint8_t skippable[] = {0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 'a', 'b', 'c', 'd'};
  static const enum entry_codec codecs[] = {ENTRY_CODEC_ZSTD, ENTRY_CODEC_LZ4};
  for (size_t i = 0; i < 2; i++) {
    struct batch_summary summary;
    size_t size = compress(codecs[i], half, packed, sizeof packed);
    size += compress(codecs[i], bytes_after(plain, half.size), packed + size, sizeof packed - size);
    assert_status(batch_check_compressed(codecs[i], bytes_of(packed, size), (uint32_t)plain.size, &limits, &summary),
                  STATUS_BAD_BATCH);
    memcpy(packed, skippable, sizeof skippable);
    size = sizeof skippable + compress(codecs[i], plain, packed + sizeof skippable, sizeof packed - sizeof skippable);
    assert_status(batch_check_compressed(codecs[i], bytes_of(packed, size), (uint32_t)plain.size, &limits, &summary),
                  STATUS_BAD_BATCH);
  }
}

/* The frame says 8 MiB, the batch says 1,000 bytes: the batch is believed, and is wrong. */
static void batch_bomb_is_refused_within_its_bound(void **state) {
  struct build *build = *state;
  uint8_t *zeros = buffer_extend(&build->records, 8 << 20);
  memset(zeros, 0, 8 << 20);
  static uint8_t packed[9 << 20];
  static const enum entry_codec codecs[] = {ENTRY_CODEC_ZSTD, ENTRY_CODEC_LZ4};
  for (size_t i = 0; i < 2; i++) {
    struct batch_summary summary;
    size_t size = compress(codecs[i], buffer_bytes(&build->records), packed, sizeof packed);
    assert_status(batch_check_compressed(codecs[i], bytes_of(packed, size), 1000, &limits, &summary), STATUS_BAD_BATCH);
    assert_status(batch_check_compressed(codecs[i], bytes_of(packed, size), 8 << 20, &limits, &summary), STATUS_TOO_LARGE);
  }
}

#define test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      test(batch_counts_its_records),
      test(batch_tells_absent_from_empty),
      test(batch_takes_fields_in_any_order),
      test(batch_without_records_is_refused),
      test(batch_with_a_field_twice_is_refused),
      test(batch_with_unknown_fields_is_refused),
      test(batch_cut_anywhere_is_refused),
      test(batch_with_bad_header_names_is_refused),
      test(batch_above_a_limit_is_too_large),
      test(batch_inflates_to_exactly_what_it_says),
      test(batch_in_more_than_one_frame_is_refused),
      test(batch_bomb_is_refused_within_its_bound),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
