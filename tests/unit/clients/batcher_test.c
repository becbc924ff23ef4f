/* Batches as bytes: what the batcher writes, protobuf-c and the records reader read back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/codec.h"
#include "base/memory.h"
#include "cairn/v1/record.pb-c.h"
#include "clients/c/batcher.h"
#include "clients/c/compress.h"

static struct batch *batch_of(const struct cairn_message *messages, size_t count) {
  struct batch *batch = NULL;
  assert_int_equal(batch_new(NULL, 0, &batch), STATUS_OK);
  for (size_t i = 0; i < count; i++) {
    assert_int_equal(batch_add(batch, NULL, &messages[i], batcher_record_size(&messages[i]), 1 << 20), STATUS_OK);
  }
  return batch;
}

static void batch_is_what_protobuf_reads(void **state) {
  (void)state;
  const struct cairn_header headers[] = {{{"a", 1}, {"1", 1}}, {{"b", 1}, {"", 0}}};
  const struct cairn_message messages[] = {
      {.key = {"key", 3}, .value = {"value", 5}, .timestamp_ms = -5, .headers = headers, .header_count = 2},
      {.key = {"", 0}},
      {.value = {"", 0}, .timestamp_ms = 1714557600000},
  };
  struct batch *batch = batch_of(messages, 3);

  Cairn__V1__Records *records = cairn__v1__records__unpack(NULL, batch->size, batch->blob->data);

  assert_non_null(records);
  assert_int_equal(records->n_records, 3);
  const Cairn__V1__Record *first = records->records[0];
  assert_int_equal(first->key.len, 3);
  assert_memory_equal(first->value.data, "value", 5);
  assert_int_equal(first->timestamp_ms, -5);
  assert_int_equal(first->n_headers, 2);
  assert_string_equal(first->headers[1]->name, "b");
  assert_int_equal(first->headers[1]->value.len, 0);
  assert_int_equal(records->records[1]->key_presence_case, CAIRN__V1__RECORD__KEY_PRESENCE_KEY);
  assert_int_equal(records->records[1]->value_presence_case, CAIRN__V1__RECORD__VALUE_PRESENCE__NOT_SET);
  assert_int_equal(records->records[2]->value_presence_case, CAIRN__V1__RECORD__VALUE_PRESENCE_VALUE);
  assert_int_equal(records->records[2]->timestamp_ms, 1714557600000);
  cairn__v1__records__free_unpacked(records, NULL);
  batch_free(batch);
}

static void batch_is_full_at_its_bound_but_takes_one_large_record(void **state) {
  (void)state;
  uint8_t *value = memory_new(100000);
  const struct cairn_message small = {.value = {value, 100}};
  const struct cairn_message large = {.value = {value, 100000}};
  struct batch *batch = NULL;
  assert_int_equal(batch_new(NULL, 0, &batch), STATUS_OK);
  assert_int_equal(batch_add(batch, NULL, &large, batcher_record_size(&large), 1000), STATUS_OK);
  assert_int_equal(batch_add(batch, NULL, &small, batcher_record_size(&small), 1000), STATUS_TOO_LARGE);
  assert_int_equal(batch->record_count, 1);
  batch_free(batch);

  assert_int_equal(batch_new(NULL, 0, &batch), STATUS_OK);
  unsigned count = 0;
  while (batch_add(batch, NULL, &small, batcher_record_size(&small), 50000) == STATUS_OK) count++;
  assert_int_equal(count, 50000 / batcher_record_size(&small));
  assert_true(batch->size <= 50000);
  batch_free(batch);
  memory_free(value);
}

static void batch_stays_as_it_is_when_memory_is_short(void **state) {
  (void)state;
  struct account account;
  account_init(&account, 10000);
  uint8_t *value = memory_new(4000);
  const struct cairn_message message = {.value = {value, 3000}};
  struct batch *batch = NULL;
  assert_int_equal(batch_new(&account, 0, &batch), STATUS_OK);
  assert_int_equal(batch_add(batch, &account, &message, batcher_record_size(&message), 1 << 20), STATUS_OK);
  assert_int_equal(batch_add(batch, &account, &message, batcher_record_size(&message), 1 << 20), STATUS_NO_MEMORY);
  assert_int_equal(batch->record_count, 1);
  assert_int_equal(batch->size, batcher_record_size(&message));
  batch_free(batch);
  assert_int_equal(account_used(&account), 0);
  memory_free(value);
}

static void batch_remembers_opaques_that_begin_late(void **state) {
  (void)state;
  int thing = 0;
  const struct cairn_message messages[] = {{.value = {"a", 1}}, {.value = {"b", 1}, .opaque = &thing}, {.value = {"c", 1}}};
  struct batch *batch = batch_of(messages, 3);
  assert_null(batch->opaques[0]);
  assert_ptr_equal(batch->opaques[1], &thing);
  assert_null(batch->opaques[2]);
  batch_free(batch);

  batch = batch_of(messages, 1);
  assert_null(batch->opaques);
  batch_free(batch);
}

static void batch_sealed_compressed_inflates_to_itself(void **state) {
  (void)state;
  uint8_t *value = memory_new(20000);
  memset(value, 'x', 20000);
  const struct cairn_message message = {.value = {value, 20000}};
  struct batch *batch = batch_of(&message, 1);
  enum wire_codec codecs[] = {WIRE_CODEC_ZSTD, WIRE_CODEC_LZ4};
  for (unsigned i = 0; i < 2; i++) {
    struct wire_batch header;
    struct blob_part payload;
    batch_seal(batch, codecs[i], &header, &payload);
    assert_int_equal(header.codec, codecs[i]);
    assert_int_equal(header.uncompressed_bytes, batch->size);
    assert_true(payload.bytes.size < 1000);
    assert_int_equal(header.crc32c, crc32c(0, payload.bytes));
    struct blob *plain = NULL;
    assert_int_equal(inflate(codecs[i], payload.bytes, header.uncompressed_bytes, &plain), STATUS_OK);
    assert_memory_equal(plain->data, batch->blob->data, batch->size);
    blob_release(plain);
    assert_int_equal(inflate(codecs[i], payload.bytes, header.uncompressed_bytes - 1, &plain), STATUS_CORRUPT);
    assert_int_equal(inflate(codecs[i], payload.bytes, header.uncompressed_bytes + 1, &plain), STATUS_CORRUPT);
    assert_int_equal(inflate(codecs[i], payload.bytes, INFLATED_BYTES_MAX + 1, &plain), STATUS_TOO_LARGE);
    assert_int_equal(inflate(codecs[i], bytes_of("nonsense", 8), 100, &plain), STATUS_CORRUPT);
    blob_part_release(payload);
  }
  batch_free(batch);
  memory_free(value);
}

static void batch_that_does_not_shrink_is_sent_plain(void **state) {
  (void)state;
  const struct cairn_message message = {.value = {"xyz", 3}};
  struct batch *batch = batch_of(&message, 1);
  struct wire_batch header;
  struct blob_part payload;
  batch_seal(batch, WIRE_CODEC_ZSTD, &header, &payload);
  assert_int_equal(header.codec, WIRE_CODEC_NONE);
  blob_part_release(payload);
  batch_free(batch);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(batch_is_what_protobuf_reads),
      cmocka_unit_test(batch_is_full_at_its_bound_but_takes_one_large_record),
      cmocka_unit_test(batch_stays_as_it_is_when_memory_is_short),
      cmocka_unit_test(batch_remembers_opaques_that_begin_late),
      cmocka_unit_test(batch_sealed_compressed_inflates_to_itself),
      cmocka_unit_test(batch_that_does_not_shrink_is_sent_plain),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
