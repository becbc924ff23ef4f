/* An AppendRequest from a stranger: any bytes. What decodes must say the same again when it is encoded and decoded once more, and the
 * same as protobuf-c makes of it, where that can read it too. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "cairn/v1/log.pb-c.h"
#include "proto/log_wire.h"
#include "proto/pack.h"

static void check_batch(const struct wire_batch *a, const struct wire_batch *b) {
  CHECK(a->codec == b->codec && a->uncompressed_bytes == b->uncompressed_bytes && a->record_count == b->record_count);
  CHECK(a->base_timestamp_ms == b->base_timestamp_ms && a->max_timestamp_ms == b->max_timestamp_ms);
  CHECK(a->has_crc32c == b->has_crc32c && a->crc32c == b->crc32c);
  CHECK(a->producer_id == b->producer_id && a->producer_epoch == b->producer_epoch && a->first_sequence == b->first_sequence);
}

static void check_again(const struct wire_append_request *request) {
  struct blob_part parts[LOG_WIRE_APPEND_PARTS];
  log_wire_encode_append_request(request, (struct blob_part){.bytes = request->payload}, parts);
  struct blob *message = NULL;
  enum status status = blob_new(NULL, parts[0].bytes.size + parts[1].bytes.size, &message);
  CHECK(status == STATUS_OK);
  memcpy(message->data, parts[0].bytes.data, parts[0].bytes.size);
  memcpy(message->data + parts[0].bytes.size, parts[1].bytes.data, parts[1].bytes.size);
  for (size_t i = 0; i < LOG_WIRE_APPEND_PARTS; i++) blob_part_release(parts[i]);

  struct wire_append_request again;
  const char *why = NULL;
  status = log_wire_decode_append_request(bytes_of(message->data, message->size), &again, &why);
  CHECK_MSG(status == STATUS_OK, "%s", why);
  CHECK(bytes_equal(again.topic, request->topic) && again.partition == request->partition);
  CHECK(again.request_id == request->request_id);
  CHECK(again.has_expected_offset == request->has_expected_offset && again.expected_offset == request->expected_offset);
  CHECK(bytes_equal(again.producer, request->producer));
  CHECK(bytes_equal(again.payload, request->payload));
  check_batch(&again.batch, &request->batch);
  blob_release(message);
}

static void check_against_stock(struct bytes message, const struct wire_append_request *request) {
  struct arena *arena = arena_new(PACK_ARENA_BYTES_MAX);
  Cairn__V1__AppendRequest *stock = NULL;
  if (pack_unpack(arena, &cairn__v1__append_request__descriptor, message, &stock) == STATUS_OK) {
    const Cairn__V1__RecordBatch *batch = stock->batch;
    CHECK(bytes_equal(request->topic, bytes_of_string(stock->topic)) && request->partition == stock->partition);
    CHECK(request->request_id == stock->request_id);
    CHECK(bytes_equal(request->producer, bytes_of_string(stock->producer)));
    CHECK(request->has_expected_offset == (stock->expect_case == CAIRN__V1__APPEND_REQUEST__EXPECT_EXPECTED_OFFSET));
    CHECK(IMPLIES(request->has_expected_offset, request->expected_offset == stock->expected_offset));
    struct wire_batch as_ours = {.codec = (enum wire_codec)batch->codec,
                                 .uncompressed_bytes = batch->uncompressed_bytes,
                                 .record_count = batch->record_count,
                                 .base_timestamp_ms = batch->base_timestamp_ms,
                                 .max_timestamp_ms = batch->max_timestamp_ms,
                                 .has_crc32c = batch->checksum_case == CAIRN__V1__RECORD_BATCH__CHECKSUM_CRC32C,
                                 .producer_id = batch->producer_id,
                                 .producer_epoch = batch->producer_epoch,
                                 .first_sequence = batch->first_sequence};
    if (as_ours.has_crc32c) as_ours.crc32c = batch->crc32c;
    check_batch(&as_ours, &request->batch);
    CHECK((batch->records != NULL) == (request->batch.codec == WIRE_CODEC_NONE));
  }
  arena_free(arena);
}

/* What stands in `more` lies within the message, and ends. */
static void check_more(struct bytes message) {
  struct wire_cursor more = wire_cursor_of(message);
  struct bytes further;
  while (log_wire_next_append_request(&more, &further) == STATUS_OK)
    CHECK(further.size == 0 || (further.data > message.data && further.data + further.size <= message.data + message.size));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct bytes message = bytes_of(data, size);
  struct wire_append_request request;
  const char *why = NULL;
  check_more(message);
  uint64_t request_id = log_wire_find_request_id(message);
  enum status status = log_wire_decode_append_request(message, &request, &why);
  CHECK(IMPLIES(status != STATUS_OK, why != NULL));
  if (status != STATUS_OK) return 0;
  CHECK(request.request_id == request_id);
  CHECK(request.payload.size > 0 && request.payload.data > data && request.payload.data + request.payload.size <= data + size);
  check_again(&request);
  check_against_stock(message, &request);
  return 0;
}
