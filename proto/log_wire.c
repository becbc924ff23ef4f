#include "proto/log_wire.h"

#include <string.h>

#include "base/check.h"

/* Field numbers of proto/cairn/v1/log.proto and record.proto. */
enum {
  APPEND_TOPIC = 1,
  APPEND_PARTITION = 2,
  APPEND_BATCH = 3,
  APPEND_REQUEST_ID = 4,
  APPEND_EXPECTED_OFFSET = 5,
  APPEND_PRODUCER = 6,
  APPEND_MORE = 7,
  APPEND_TOGETHER = 8
};
enum {
  APPENDED_REQUEST_ID = 1,
  APPENDED_BASE_OFFSET = 2,
  APPENDED_LAST_OFFSET = 3,
  APPENDED_TERM = 4,
  APPENDED_LEADER_TIME = 5,
  APPENDED_DURABILITY = 6,
  APPENDED_SYNCED_REPLICAS = 7,
  APPENDED_CHAIN = 8,
  APPENDED_DUPLICATE = 9,
  APPENDED_MORE = 13,
  APPENDED_TAKES_MORE = 14,
  APPENDED_ERROR = 15
};
enum {
  BATCH_CODEC = 1,
  BATCH_UNCOMPRESSED_BYTES = 2,
  BATCH_RECORD_COUNT = 3,
  BATCH_BASE_TIMESTAMP = 4,
  BATCH_MAX_TIMESTAMP = 5,
  BATCH_CRC32C = 6,
  BATCH_PRODUCER_ID = 7,
  BATCH_PRODUCER_EPOCH = 8,
  BATCH_FIRST_SEQUENCE = 9,
  BATCH_RECORDS = 14,
  BATCH_COMPRESSED_RECORDS = 15
};
enum { READ_TOPIC = 1, READ_PARTITION = 2, READ_OFFSET = 3, READ_MAX_BYTES = 4, READ_MIN_BYTES = 5, READ_MAX_WAIT = 6 };
enum { ANSWER_BATCHES = 1, ANSWER_HIGH_WATERMARK = 2, ANSWER_LOG_START = 3, ANSWER_NEXT_OFFSET = 4, ANSWER_CAUGHT_UP = 5 };
enum { STORED_BASE_OFFSET = 1, STORED_LAST_OFFSET = 2, STORED_TERM = 3, STORED_LEADER_TIME = 4, STORED_BATCH = 15 };

/* ---- Numbers ---- */

static enum status take_u32(const struct wire_field *field, uint32_t *out_value) {
  if (field->type != WIRE_VARINT || field->value > UINT32_MAX) return STATUS_MALFORMED;
  *out_value = (uint32_t)field->value;
  return STATUS_OK;
}

static enum status take_u64(const struct wire_field *field, uint64_t *out_value) {
  if (field->type != WIRE_VARINT) return STATUS_MALFORMED;
  *out_value = field->value;
  return STATUS_OK;
}

static enum status take_i64(const struct wire_field *field, int64_t *out_value) {
  if (field->type != WIRE_VARINT) return STATUS_MALFORMED;
  *out_value = (int64_t)field->value;
  return STATUS_OK;
}

static enum status take_bool(const struct wire_field *field, bool *out_value) {
  if (field->type != WIRE_VARINT) return STATUS_MALFORMED;
  *out_value = field->value != 0;
  return STATUS_OK;
}

static enum status take_name(const struct wire_field *field, struct bytes *out_name) {
  if (field->type != WIRE_BYTES) return STATUS_MALFORMED;
  if (!utf8_valid_text(field->bytes)) return STATUS_BAD_NAME;
  *out_name = field->bytes;
  return STATUS_OK;
}

static uint8_t *put_i64(uint8_t *at, uint32_t number, int64_t value) { return wire_put_uint(at, number, (uint64_t)value); }

static size_t uint_size(uint64_t value) { return value == 0 ? 0 : 1 + wire_varint_size(value); } /* numbers below 16 */
static size_t i64_size(int64_t value) { return uint_size((uint64_t)value); }
static size_t head_size(size_t contents) { return 1 + wire_varint_size(contents); }

/* A blob of just that size, not charged: there is nothing to be over. */
static struct blob *head_blob(size_t size) {
  struct blob *blob = NULL;
  enum status status = blob_new(NULL, size, &blob);
  CHECK(status == STATUS_OK);
  return blob;
}

static struct blob_part whole(struct blob *blob) {
  return (struct blob_part){.blob = blob, .bytes = bytes_of(blob->data, blob->size)};
}

/* ---- A RecordBatch ---- */

/* What one walk over a RecordBatch finds. */
struct batch_walk {
  struct wire_batch batch;
  uint64_t codec;
  struct bytes records;
  struct bytes compressed_records;
  unsigned records_given;
  unsigned compressed_given;
  bool unknown;
};

static enum status take_batch_field(struct batch_walk *walk, const struct wire_field *field) {
  struct wire_batch *batch = &walk->batch;
  switch (field->number) {
    case BATCH_CODEC: return take_u64(field, &walk->codec);
    case BATCH_UNCOMPRESSED_BYTES: return take_u32(field, &batch->uncompressed_bytes);
    case BATCH_RECORD_COUNT: return take_u32(field, &batch->record_count);
    case BATCH_BASE_TIMESTAMP: return take_i64(field, &batch->base_timestamp_ms);
    case BATCH_MAX_TIMESTAMP: return take_i64(field, &batch->max_timestamp_ms);
    case BATCH_CRC32C:
      if (field->type != WIRE_FIXED32) return STATUS_MALFORMED;
      batch->has_crc32c = true;
      batch->crc32c = (uint32_t)field->value;
      return STATUS_OK;
    case BATCH_PRODUCER_ID: return take_u64(field, &batch->producer_id);
    case BATCH_PRODUCER_EPOCH: return take_u32(field, &batch->producer_epoch);
    case BATCH_FIRST_SEQUENCE: return take_u64(field, &batch->first_sequence);
    case BATCH_RECORDS:
      if (field->type != WIRE_BYTES) return STATUS_MALFORMED;
      walk->records = field->bytes;
      walk->records_given++;
      return STATUS_OK;
    case BATCH_COMPRESSED_RECORDS:
      if (field->type != WIRE_BYTES) return STATUS_MALFORMED;
      walk->compressed_records = field->bytes;
      walk->compressed_given++;
      return STATUS_OK;
    default: walk->unknown = true; return STATUS_OK;
  }
}

static enum status walk_batch(struct bytes message, struct batch_walk *out_walk) {
  struct batch_walk walk = {0};
  struct wire_cursor cursor = wire_cursor_of(message);
  struct wire_field field;
  enum status status = STATUS_OK;
  while ((status = wire_next(&cursor, &field)) == STATUS_OK) {
    status = take_batch_field(&walk, &field);
    if (status != STATUS_OK) return status;
  }
  if (status != STATUS_END) return status;
  *out_walk = walk;
  return STATUS_OK;
}

/* Why this batch cannot be appended, or NULL. Pure. */
static const char *batch_fault(const struct batch_walk *walk) {
  if (walk->unknown) return "the batch has a field that this broker does not know and could not keep";
  if (walk->records_given + walk->compressed_given == 0) return "the batch has neither records nor compressed_records";
  if (walk->records_given + walk->compressed_given > 1)
    return "the batch has more than one payload; give records or compressed_records, once";
  if (walk->records_given == 1) {
    if (walk->codec != WIRE_CODEC_NONE) return "the batch names a codec, but its records are not compressed";
    if (walk->records.size == 0) return "the batch has no records";
    if (walk->batch.uncompressed_bytes != 0 && walk->batch.uncompressed_bytes != walk->records.size) {
      return "uncompressed_bytes is not the size of records; leave it out";
    }
    return NULL;
  }
  if (walk->codec == WIRE_CODEC_NONE) return "the batch has compressed_records, but names no codec";
  if (walk->compressed_records.size == 0) return "the batch has no records";
  if (walk->batch.uncompressed_bytes == 0) return "compressed_records need uncompressed_bytes";
  return NULL;
}

static enum status decode_batch(struct bytes message, struct wire_batch *out_batch, struct bytes *out_payload,
                                const char **out_why) {
  struct batch_walk walk;
  enum status status = walk_batch(message, &walk);
  if (status != STATUS_OK) {
    *out_why = "the batch cannot be decoded";
    return status;
  }
  const char *fault = batch_fault(&walk);
  if (fault != NULL) {
    *out_why = fault;
    return STATUS_BAD_BATCH;
  }
  if (walk.codec > WIRE_CODEC_LZ4) {
    *out_why = "this broker does not know the batch's codec; use zstd, lz4 or none";
    return STATUS_UNSUPPORTED;
  }
  *out_batch = walk.batch;
  out_batch->codec = (enum wire_codec)walk.codec;
  *out_payload = walk.records_given == 1 ? walk.records : walk.compressed_records;
  return STATUS_OK;
}

static uint32_t payload_field(const struct wire_batch *batch) {
  return batch->codec == WIRE_CODEC_NONE ? BATCH_RECORDS : BATCH_COMPRESSED_RECORDS;
}

/* Everything of a batch before its payload's contents. */
static uint8_t *put_batch_head(uint8_t *at, const struct wire_batch *batch, size_t payload_size) {
  at = wire_put_uint(at, BATCH_CODEC, batch->codec);
  at = wire_put_uint(at, BATCH_UNCOMPRESSED_BYTES, batch->uncompressed_bytes);
  at = wire_put_uint(at, BATCH_RECORD_COUNT, batch->record_count);
  at = put_i64(at, BATCH_BASE_TIMESTAMP, batch->base_timestamp_ms);
  at = put_i64(at, BATCH_MAX_TIMESTAMP, batch->max_timestamp_ms);
  if (batch->has_crc32c) at = wire_put_fixed32(at, BATCH_CRC32C, batch->crc32c);
  at = wire_put_uint(at, BATCH_PRODUCER_ID, batch->producer_id);
  at = wire_put_uint(at, BATCH_PRODUCER_EPOCH, batch->producer_epoch);
  at = wire_put_uint(at, BATCH_FIRST_SEQUENCE, batch->first_sequence);
  return wire_put_bytes_head(at, payload_field(batch), payload_size);
}

static size_t batch_head_size(const struct wire_batch *batch, size_t payload_size) {
  return uint_size(batch->codec) + uint_size(batch->uncompressed_bytes) + uint_size(batch->record_count) +
         i64_size(batch->base_timestamp_ms) + i64_size(batch->max_timestamp_ms) + (batch->has_crc32c ? 5 : 0) +
         uint_size(batch->producer_id) + uint_size(batch->producer_epoch) + uint_size(batch->first_sequence) +
         head_size(payload_size);
}

/* ---- AppendRequest ---- */

/* The envelope; the batch is still bytes. */
struct append_walk {
  struct wire_append_request request;
  struct bytes batch;
  unsigned batches_given;
};

static enum status take_append_field(struct append_walk *walk, const struct wire_field *field, const char **out_why) {
  struct wire_append_request *request = &walk->request;
  *out_why = "the request cannot be decoded";
  switch (field->number) {
    case APPEND_TOPIC: *out_why = "the topic's name has a NUL or is not UTF-8"; return take_name(field, &request->topic);
    case APPEND_PRODUCER: *out_why = "the producer's name has a NUL or is not UTF-8"; return take_name(field, &request->producer);
    case APPEND_PARTITION: return take_u32(field, &request->partition);
    case APPEND_REQUEST_ID: return take_u64(field, &request->request_id);
    case APPEND_EXPECTED_OFFSET: request->has_expected_offset = true; return take_i64(field, &request->expected_offset);
    case APPEND_TOGETHER: return take_bool(field, &request->together);
    case APPEND_MORE: request->has_more = true; return field->type == WIRE_BYTES ? STATUS_OK : STATUS_MALFORMED;
    case APPEND_BATCH:
      if (field->type != WIRE_BYTES) return STATUS_MALFORMED;
      *out_why = "the request has its batch twice";
      walk->batch = field->bytes;
      return walk->batches_given++ == 0 ? STATUS_OK : STATUS_MALFORMED;
    default: return STATUS_OK;
  }
}

enum status log_wire_decode_append_request(struct bytes message, struct wire_append_request *out_request, const char **out_why) {
  struct append_walk walk = {0};
  struct wire_cursor cursor = wire_cursor_of(message);
  struct wire_field field;
  enum status status = STATUS_OK;
  while ((status = wire_next(&cursor, &field)) == STATUS_OK) {
    status = take_append_field(&walk, &field, out_why);
    if (status != STATUS_OK) return status;
  }
  if (status != STATUS_END) {
    *out_why = "the request cannot be decoded";
    return status;
  }
  if (walk.batches_given == 0) {
    *out_why = "the request has no batch";
    return STATUS_BAD_BATCH;
  }
  status = decode_batch(walk.batch, &walk.request.batch, &walk.request.payload, out_why);
  if (status != STATUS_OK) return status;
  *out_request = walk.request;
  return STATUS_OK;
}

/* The next field of this number, which has to be a message. */
static enum status next_message(struct wire_cursor *cursor, uint32_t number, struct bytes *out_message) {
  struct wire_field field;
  enum status status = STATUS_OK;
  while ((status = wire_next(cursor, &field)) == STATUS_OK) {
    if (field.number != number) continue;
    *out_message = field.bytes;
    return field.type == WIRE_BYTES ? STATUS_OK : STATUS_MALFORMED;
  }
  return status;
}

enum status log_wire_next_append_request(struct wire_cursor *more, struct bytes *out_request) {
  return next_message(more, APPEND_MORE, out_request);
}

uint64_t log_wire_find_request_id(struct bytes message) {
  uint64_t request_id = 0;
  struct wire_cursor cursor = wire_cursor_of(message);
  struct wire_field field;
  while (wire_next(&cursor, &field) == STATUS_OK) {
    if (field.number == APPEND_REQUEST_ID && field.type == WIRE_VARINT) request_id = field.value;
  }
  return request_id;
}

static void encode_append_request(const struct wire_append_request *request, struct blob_part payload, bool further,
                                  struct blob_part out_parts[LOG_WIRE_APPEND_PARTS]) {
  size_t batch_size = batch_head_size(&request->batch, payload.bytes.size) + payload.bytes.size;
  size_t expected_size = request->has_expected_offset ? 1 + wire_varint_size((uint64_t)request->expected_offset) : 0;
  size_t topic_size = head_size(request->topic.size) + request->topic.size;
  size_t producer_size = request->producer.size == 0 ? 0 : head_size(request->producer.size) + request->producer.size;
  size_t size = topic_size + uint_size(request->partition) + uint_size(request->request_id) + uint_size(request->together) +
                expected_size + producer_size + head_size(batch_size) + batch_size;
  struct blob *head = head_blob((further ? head_size(size) : 0) + size - payload.bytes.size);
  uint8_t *at = head->data;
  if (further) at = wire_put_bytes_head(at, APPEND_MORE, size);
  at = wire_put_bytes(at, APPEND_TOPIC, request->topic);
  at = wire_put_uint(at, APPEND_PARTITION, request->partition);
  at = wire_put_uint(at, APPEND_REQUEST_ID, request->request_id);
  at = wire_put_uint(at, APPEND_TOGETHER, request->together);
  if (request->has_expected_offset) { /* its presence speaks, so 0 is written too */
    at = wire_put_varint(wire_put_tag(at, APPEND_EXPECTED_OFFSET, WIRE_VARINT), (uint64_t)request->expected_offset);
  }
  if (request->producer.size > 0) at = wire_put_bytes(at, APPEND_PRODUCER, request->producer);
  at = wire_put_bytes_head(at, APPEND_BATCH, batch_size);
  at = put_batch_head(at, &request->batch, payload.bytes.size);
  POST(at == head->data + head->size);
  out_parts[0] = whole(head);
  out_parts[1] = payload;
}

void log_wire_encode_append_request(const struct wire_append_request *request, struct blob_part payload,
                                    struct blob_part out_parts[LOG_WIRE_APPEND_PARTS]) {
  encode_append_request(request, payload, false, out_parts);
}

void log_wire_encode_further_request(const struct wire_append_request *request, struct blob_part payload,
                                     struct blob_part out_parts[LOG_WIRE_APPEND_PARTS]) {
  encode_append_request(request, payload, true, out_parts);
}

/* ---- AppendResponse ---- */

struct blob_part log_wire_encode_append_response(const struct wire_append_response *response) {
  size_t size = uint_size(response->request_id) + i64_size(response->base_offset) + i64_size(response->last_offset) +
                uint_size(response->term) + i64_size(response->leader_time_ms) + uint_size(response->durability) +
                uint_size(response->synced_replicas) + 9 + uint_size(response->duplicate) + uint_size(response->takes_more);
  struct blob *blob = head_blob(size);
  uint8_t *at = wire_put_uint(blob->data, APPENDED_REQUEST_ID, response->request_id);
  at = put_i64(at, APPENDED_BASE_OFFSET, response->base_offset);
  at = put_i64(at, APPENDED_LAST_OFFSET, response->last_offset);
  at = wire_put_uint(at, APPENDED_TERM, response->term);
  at = put_i64(at, APPENDED_LEADER_TIME, response->leader_time_ms);
  at = wire_put_uint(at, APPENDED_DURABILITY, response->durability);
  at = wire_put_uint(at, APPENDED_SYNCED_REPLICAS, response->synced_replicas);
  at = wire_put_fixed64(at, APPENDED_CHAIN, response->chain);
  at = wire_put_uint(at, APPENDED_DUPLICATE, response->duplicate);
  at = wire_put_uint(at, APPENDED_TAKES_MORE, response->takes_more);
  POST(at == blob->data + blob->size);
  return whole(blob);
}

struct blob_part log_wire_encode_append_failure(uint64_t request_id, const struct failure *failure) {
  uint8_t error[FAILURE_ENCODED_MAX];
  size_t error_size = failure_encode(failure, error);
  struct blob *blob = head_blob(uint_size(request_id) + head_size(error_size) + error_size);
  uint8_t *at = wire_put_uint(blob->data, APPENDED_REQUEST_ID, request_id);
  at = wire_put_bytes(at, APPENDED_ERROR, bytes_of(error, error_size));
  POST(at == blob->data + blob->size);
  return whole(blob);
}

enum status log_wire_gather_append_answer(struct buffer *into, struct bytes answer) {
  bool further = into->size > 0;
  uint8_t *at = buffer_extend(into, (further ? head_size(answer.size) : 0) + answer.size);
  if (at == NULL) return STATUS_TOO_LARGE;
  if (further) at = wire_put_bytes_head(at, APPENDED_MORE, answer.size);
  memcpy(at, answer.data, answer.size);
  return STATUS_OK;
}

enum status log_wire_next_append_response(struct wire_cursor *more, struct bytes *out_response) {
  return next_message(more, APPENDED_MORE, out_response);
}

enum status log_wire_decode_append_response(struct bytes message, struct wire_append_response *out_response, bool *out_failed,
                                            struct failure *out_failure) {
  struct wire_append_response response = {0};
  struct bytes error = {0};
  bool failed = false;
  struct wire_cursor cursor = wire_cursor_of(message);
  struct wire_field field;
  enum status status = STATUS_OK;
  while ((status = wire_next(&cursor, &field)) == STATUS_OK) {
    switch (field.number) {
      case APPENDED_REQUEST_ID: status = take_u64(&field, &response.request_id); break;
      case APPENDED_BASE_OFFSET: status = take_i64(&field, &response.base_offset); break;
      case APPENDED_LAST_OFFSET: status = take_i64(&field, &response.last_offset); break;
      case APPENDED_TERM: status = take_u64(&field, &response.term); break;
      case APPENDED_LEADER_TIME: status = take_i64(&field, &response.leader_time_ms); break;
      case APPENDED_DURABILITY: status = take_u32(&field, &response.durability); break;
      case APPENDED_SYNCED_REPLICAS: status = take_u32(&field, &response.synced_replicas); break;
      case APPENDED_CHAIN:
        response.chain = field.value;
        status = field.type == WIRE_FIXED64 ? STATUS_OK : STATUS_MALFORMED;
        break;
      case APPENDED_DUPLICATE: status = take_bool(&field, &response.duplicate); break;
      case APPENDED_TAKES_MORE: status = take_bool(&field, &response.takes_more); break;
      case APPENDED_ERROR:
        error = field.bytes;
        failed = true;
        status = field.type == WIRE_BYTES ? STATUS_OK : STATUS_MALFORMED;
        break;
      default: break;
    }
    if (status != STATUS_OK) return status;
  }
  if (status != STATUS_END) return status;
  if (failed) {
    status = failure_decode(error, out_failure);
    if (status != STATUS_OK) return status;
  }
  *out_response = response;
  *out_failed = failed;
  return STATUS_OK;
}

/* ---- ReadRequest and TailRequest ---- */

enum status log_wire_decode_read_request(struct bytes message, struct wire_read_request *out_request) {
  struct wire_read_request request = {0};
  struct wire_cursor cursor = wire_cursor_of(message);
  struct wire_field field;
  enum status status = STATUS_OK;
  while ((status = wire_next(&cursor, &field)) == STATUS_OK) {
    switch (field.number) {
      case READ_TOPIC: status = take_name(&field, &request.topic); break;
      case READ_PARTITION: status = take_u32(&field, &request.partition); break;
      case READ_OFFSET: status = take_i64(&field, &request.offset); break;
      case READ_MAX_BYTES: status = take_u32(&field, &request.max_bytes); break;
      case READ_MIN_BYTES: status = take_u32(&field, &request.min_bytes); break;
      case READ_MAX_WAIT: status = take_u32(&field, &request.max_wait_ms); break;
      default: break;
    }
    if (status != STATUS_OK) return status;
  }
  if (status != STATUS_END) return status;
  *out_request = request;
  return STATUS_OK;
}

struct blob_part log_wire_encode_read_request(const struct wire_read_request *request) {
  size_t size = head_size(request->topic.size) + request->topic.size + uint_size(request->partition) + i64_size(request->offset) +
                uint_size(request->max_bytes) + uint_size(request->min_bytes) + uint_size(request->max_wait_ms);
  struct blob *blob = head_blob(size);
  uint8_t *at = wire_put_bytes(blob->data, READ_TOPIC, request->topic);
  at = wire_put_uint(at, READ_PARTITION, request->partition);
  at = put_i64(at, READ_OFFSET, request->offset);
  at = wire_put_uint(at, READ_MAX_BYTES, request->max_bytes);
  at = wire_put_uint(at, READ_MIN_BYTES, request->min_bytes);
  at = wire_put_uint(at, READ_MAX_WAIT, request->max_wait_ms);
  POST(at == blob->data + blob->size);
  return whole(blob);
}

/* ---- ReadResponse and TailResponse ---- */

static size_t place_size(const struct wire_stored_batch *stored) {
  return i64_size(stored->base_offset) + i64_size(stored->last_offset) + uint_size(stored->term) +
         i64_size(stored->leader_time_ms);
}

/* The batch as a message, payload and all. */
static size_t batch_size(const struct wire_stored_batch *stored) {
  return batch_head_size(&stored->batch, stored->payload.bytes.size) + stored->payload.bytes.size;
}

static size_t stored_size(const struct wire_stored_batch *stored) {
  size_t batch = batch_size(stored);
  return place_size(stored) + head_size(batch) + batch;
}

static size_t stored_head_size(const struct wire_stored_batch *stored) {
  size_t stored_bytes = stored_size(stored);
  return head_size(stored_bytes) + stored_bytes - stored->payload.bytes.size;
}

static uint8_t *put_stored_head(uint8_t *at, const struct wire_stored_batch *stored) {
  at = wire_put_bytes_head(at, ANSWER_BATCHES, stored_size(stored));
  at = put_i64(at, STORED_BASE_OFFSET, stored->base_offset);
  at = put_i64(at, STORED_LAST_OFFSET, stored->last_offset);
  at = wire_put_uint(at, STORED_TERM, stored->term);
  at = put_i64(at, STORED_LEADER_TIME, stored->leader_time_ms);
  at = wire_put_bytes_head(at, STORED_BATCH, batch_size(stored));
  return put_batch_head(at, &stored->batch, stored->payload.bytes.size);
}

size_t log_wire_encode_read_response(const struct wire_read_response *response, const struct wire_stored_batch *batches,
                                     size_t count, struct blob_part *out_parts) {
  size_t size = i64_size(response->high_watermark) + i64_size(response->log_start_offset) + i64_size(response->next_offset) +
                uint_size(response->caught_up);
  for (size_t i = 0; i < count; i++) size += stored_head_size(&batches[i]);
  struct blob *heads = head_blob(size);

  uint8_t *begin = heads->data;
  uint8_t *at = put_i64(begin, ANSWER_HIGH_WATERMARK, response->high_watermark);
  at = put_i64(at, ANSWER_LOG_START, response->log_start_offset);
  at = put_i64(at, ANSWER_NEXT_OFFSET, response->next_offset);
  at = wire_put_uint(at, ANSWER_CAUGHT_UP, response->caught_up);
  if (count == 0) {
    out_parts[0] = whole(heads);
    return 1;
  }
  for (size_t i = 0; i < count; i++) {
    at = put_stored_head(at, &batches[i]);
    out_parts[2 * i] = blob_part_of(heads, (size_t)(begin - heads->data), (size_t)(at - begin));
    out_parts[2 * i + 1] = batches[i].payload;
    begin = at;
  }
  POST(at == heads->data + heads->size);
  blob_release(heads); /* the parts hold it */
  return 2 * count;
}

enum status log_wire_decode_read_response(struct bytes message, struct wire_read_response *out_response,
                                          struct wire_cursor *out_batches) {
  struct wire_read_response response = {0};
  struct wire_cursor cursor = wire_cursor_of(message);
  struct wire_field field;
  enum status status = STATUS_OK;
  while ((status = wire_next(&cursor, &field)) == STATUS_OK) {
    uint64_t caught_up = 0;
    switch (field.number) {
      case ANSWER_HIGH_WATERMARK: status = take_i64(&field, &response.high_watermark); break;
      case ANSWER_LOG_START: status = take_i64(&field, &response.log_start_offset); break;
      case ANSWER_NEXT_OFFSET: status = take_i64(&field, &response.next_offset); break;
      case ANSWER_CAUGHT_UP:
        status = take_u64(&field, &caught_up);
        response.caught_up = caught_up != 0;
        break;
      default: break;
    }
    if (status != STATUS_OK) return status;
  }
  if (status != STATUS_END) return status;
  *out_response = response;
  *out_batches = wire_cursor_of(message);
  return STATUS_OK;
}

/* A batch in an answer: as strict as it must be to be read, no stricter. */
static enum status take_answered_batch(struct bytes message, struct wire_stored_batch *stored) {
  struct batch_walk walk;
  enum status status = walk_batch(message, &walk);
  if (status != STATUS_OK) return status;
  if (walk.records_given + walk.compressed_given != 1 || walk.codec > WIRE_CODEC_LZ4) return STATUS_MALFORMED;
  if ((walk.codec == WIRE_CODEC_NONE) != (walk.records_given == 1)) return STATUS_MALFORMED;
  stored->batch = walk.batch;
  stored->batch.codec = (enum wire_codec)walk.codec;
  stored->payload = (struct blob_part){.bytes = walk.records_given == 1 ? walk.records : walk.compressed_records};
  return STATUS_OK;
}

static enum status decode_stored(struct bytes message, struct wire_stored_batch *out_batch) {
  struct wire_stored_batch stored = {0};
  unsigned batches_given = 0;
  struct wire_cursor cursor = wire_cursor_of(message);
  struct wire_field field;
  enum status status = STATUS_OK;
  while ((status = wire_next(&cursor, &field)) == STATUS_OK) {
    switch (field.number) {
      case STORED_BASE_OFFSET: status = take_i64(&field, &stored.base_offset); break;
      case STORED_LAST_OFFSET: status = take_i64(&field, &stored.last_offset); break;
      case STORED_TERM: status = take_u64(&field, &stored.term); break;
      case STORED_LEADER_TIME: status = take_i64(&field, &stored.leader_time_ms); break;
      case STORED_BATCH:
        batches_given++;
        status = field.type == WIRE_BYTES ? take_answered_batch(field.bytes, &stored) : STATUS_MALFORMED;
        break;
      default: break;
    }
    if (status != STATUS_OK) return status;
  }
  if (status != STATUS_END) return status;
  if (batches_given != 1) return STATUS_MALFORMED;
  *out_batch = stored;
  return STATUS_OK;
}

enum status log_wire_next_stored_batch(struct wire_cursor *batches, struct wire_stored_batch *out_batch) {
  struct wire_field field;
  enum status status = STATUS_OK;
  while ((status = wire_next(batches, &field)) == STATUS_OK) {
    if (field.number != ANSWER_BATCHES) continue;
    return field.type == WIRE_BYTES ? decode_stored(field.bytes, out_batch) : STATUS_MALFORMED;
  }
  return status;
}
