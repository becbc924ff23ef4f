#include "tests/unit/proto/wire_rig.h"

struct bytes rig_text(const char *string) {
  return bytes_of_string(string);
}

struct bytes rig_contents(const struct blob *blob) {
  return bytes_of(blob->data, blob->size);
}

struct blob_part rig_payload(const void *data, size_t size) {
  struct blob *blob = NULL;
  assert_int_equal(blob_new(NULL, size, &blob), STATUS_OK);
  if (size > 0) memcpy(blob->data, data, size);
  return (struct blob_part){.blob = blob, .bytes = rig_contents(blob)};
}

const struct wire_batch rig_full_batch = {.codec = WIRE_CODEC_ZSTD,
                                          .uncompressed_bytes = 4000000000u,
                                          .record_count = 70000,
                                          .base_timestamp_ms = 1700000000000,
                                          .max_timestamp_ms = -5,
                                          .has_crc32c = true,
                                          .crc32c = 0,
                                          .producer_id = UINT64_MAX,
                                          .producer_epoch = 3,
                                          .first_sequence = UINT64_MAX - 1};

void rig_assert_batch(const struct wire_batch *a, const struct wire_batch *b) {
  assert_int_equal(a->codec, b->codec);
  assert_int_equal(a->uncompressed_bytes, b->uncompressed_bytes);
  assert_int_equal(a->record_count, b->record_count);
  assert_int_equal(a->base_timestamp_ms, b->base_timestamp_ms);
  assert_int_equal(a->max_timestamp_ms, b->max_timestamp_ms);
  assert_int_equal(a->has_crc32c, b->has_crc32c);
  assert_int_equal(a->crc32c, b->crc32c);
  assert_int_equal(a->producer_id, b->producer_id);
  assert_int_equal(a->producer_epoch, b->producer_epoch);
  assert_int_equal(a->first_sequence, b->first_sequence);
}

void rig_assert_message(const Cairn__V1__RecordBatch *message, const struct wire_batch *batch, const char *payload) {
  assert_int_equal(message->codec, batch->codec);
  assert_int_equal(message->uncompressed_bytes, batch->uncompressed_bytes);
  assert_int_equal(message->record_count, batch->record_count);
  assert_int_equal(message->base_timestamp_ms, batch->base_timestamp_ms);
  assert_int_equal(message->max_timestamp_ms, batch->max_timestamp_ms);
  assert_int_equal(message->checksum_case == CAIRN__V1__RECORD_BATCH__CHECKSUM_CRC32C, batch->has_crc32c);
  if (batch->has_crc32c) assert_int_equal(message->crc32c, batch->crc32c);
  assert_int_equal(message->producer_id, batch->producer_id);
  assert_int_equal(message->producer_epoch, batch->producer_epoch);
  assert_int_equal(message->first_sequence, batch->first_sequence);
  assert_int_equal(message->compressed_records.len, strlen(payload));
  assert_memory_equal(message->compressed_records.data, payload, strlen(payload));
}
