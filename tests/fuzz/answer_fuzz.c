/* What a client gets from something that claims to be a broker: any bytes. The first one chooses AppendResponse, ReadResponse (or
 * TailResponse), or Error. What decodes must come back when it is encoded. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "proto/log_wire.h"

#define BATCHES_MAX 64u

static void check_failures_equal(const struct failure *a, const struct failure *b) {
  CHECK(a->reason == b->reason && a->executed == b->executed);
  CHECK(strcmp(a->text, b->text) == 0 && strcmp(a->leader, b->leader) == 0);
  CHECK(a->has_next_offset == b->has_next_offset && a->next_offset == b->next_offset);
  CHECK(a->retry_after_ms == b->retry_after_ms);
}

static void error(struct bytes message) {
  struct failure failure, again;
  if (failure_decode(message, &failure) != STATUS_OK) return;
  CHECK(failure.reason != STATUS_OK && failure.reason < STATUS_COUNT);
  uint8_t encoded[FAILURE_ENCODED_MAX];
  size_t size = failure_encode(&failure, encoded);
  enum status status = failure_decode(bytes_of(encoded, size), &again);
  CHECK(status == STATUS_OK);
  check_failures_equal(&failure, &again);
}

static void append_response(struct bytes message) {
  struct wire_append_response response, again;
  struct failure failure, failure_again;
  bool failed = false, failed_again = false;
  if (log_wire_decode_append_response(message, &response, &failed, &failure) != STATUS_OK) return;
  struct blob_part part =
      failed ? log_wire_encode_append_failure(response.request_id, &failure) : log_wire_encode_append_response(&response);
  enum status status = log_wire_decode_append_response(part.bytes, &again, &failed_again, &failure_again);
  CHECK(status == STATUS_OK && failed == failed_again && response.request_id == again.request_id);
  if (failed) {
    check_failures_equal(&failure, &failure_again);
  } else {
    CHECK(response.base_offset == again.base_offset && response.last_offset == again.last_offset);
    CHECK(response.term == again.term && response.leader_time_ms == again.leader_time_ms);
    CHECK(response.durability == again.durability && response.synced_replicas == again.synced_replicas);
    CHECK(response.chain == again.chain && response.duplicate == again.duplicate);
  }
  blob_part_release(part);
}

static struct blob *join(const struct blob_part *parts, size_t count) {
  size_t size = 0;
  for (size_t i = 0; i < count; i++) size += parts[i].bytes.size;
  struct blob *whole = NULL;
  enum status status = blob_new(NULL, size, &whole);
  CHECK(status == STATUS_OK);
  uint8_t *at = whole->data;
  for (size_t i = 0; i < count; i++) {
    if (parts[i].bytes.size > 0) memcpy(at, parts[i].bytes.data, parts[i].bytes.size);
    at += parts[i].bytes.size;
    blob_part_release(parts[i]);
  }
  return whole;
}

static void check_batches_equal(const struct wire_stored_batch *a, const struct wire_stored_batch *b) {
  CHECK(a->base_offset == b->base_offset && a->last_offset == b->last_offset && a->term == b->term);
  CHECK(a->leader_time_ms == b->leader_time_ms);
  CHECK(a->batch.codec == b->batch.codec && a->batch.uncompressed_bytes == b->batch.uncompressed_bytes);
  CHECK(a->batch.record_count == b->batch.record_count && a->batch.base_timestamp_ms == b->batch.base_timestamp_ms);
  CHECK(a->batch.max_timestamp_ms == b->batch.max_timestamp_ms);
  CHECK(a->batch.has_crc32c == b->batch.has_crc32c && a->batch.crc32c == b->batch.crc32c);
  CHECK(a->batch.producer_id == b->batch.producer_id && a->batch.producer_epoch == b->batch.producer_epoch);
  CHECK(a->batch.first_sequence == b->batch.first_sequence);
  CHECK(bytes_equal(a->payload.bytes, b->payload.bytes));
}

static void check_read_again(const struct wire_read_response *response, const struct wire_stored_batch *batches, size_t count) {
  struct blob_part parts[LOG_WIRE_READ_PARTS(BATCHES_MAX)];
  struct blob *whole = join(parts, log_wire_encode_read_response(response, batches, count, parts));
  struct wire_read_response again;
  struct wire_cursor cursor;
  enum status status = log_wire_decode_read_response(bytes_of(whole->data, whole->size), &again, &cursor);
  CHECK(status == STATUS_OK);
  CHECK(response->high_watermark == again.high_watermark && response->log_start_offset == again.log_start_offset);
  CHECK(response->next_offset == again.next_offset && response->caught_up == again.caught_up);
  struct wire_stored_batch batch;
  for (size_t i = 0; i < count; i++) {
    status = log_wire_next_stored_batch(&cursor, &batch);
    CHECK(status == STATUS_OK);
    check_batches_equal(&batches[i], &batch);
  }
  CHECK(log_wire_next_stored_batch(&cursor, &batch) == STATUS_END);
  blob_release(whole);
}

static void read_response(struct bytes message) {
  struct wire_read_response response;
  struct wire_cursor cursor;
  if (log_wire_decode_read_response(message, &response, &cursor) != STATUS_OK) return;
  struct wire_stored_batch batches[BATCHES_MAX];
  size_t count = 0;
  while (count < BATCHES_MAX && log_wire_next_stored_batch(&cursor, &batches[count]) == STATUS_OK) {
    struct bytes payload = batches[count++].payload.bytes;
    CHECK(payload.data >= message.data && payload.data + payload.size <= message.data + message.size);
  }
  check_read_again(&response, batches, count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 1) return 0;
  struct bytes message = bytes_of(data + 1, size - 1);
  switch (data[0] % 3) {
    case 0: append_response(message); break;
    case 1: read_response(message); break;
    default: error(message); break;
  }
  return 0;
}
