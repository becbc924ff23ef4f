#include "clients/c/records.h"

#include "base/codec.h"
#include "base/memory.h"
#include "base/wire.h"
#include "clients/c/client_internal.h"
#include "clients/c/compress.h"

/* Field numbers of cairn.v1.Records, Record and RecordHeader (proto/cairn/v1/record.proto). */
enum { RECORDS_RECORD = 1 };
enum { RECORD_KEY = 1, RECORD_VALUE = 2, RECORD_TIMESTAMP_MS = 3, RECORD_HEADER = 4 };
enum { HEADER_NAME = 1, HEADER_VALUE = 2 };

static int rot(struct cairn_error *error, int64_t offset, const char *what) {
  return error_set(error, STATUS_CORRUPT,
                   "the batch at offset %lld cannot be read: %s. It was damaged on the way or on the broker: read it again, "
                   "then run `cairn verify` on the broker's data directory",
                   (long long)offset, what);
}

/* ---- One record ---- */

static struct cairn_bytes borrowed(struct bytes bytes) { return (struct cairn_bytes){.data = bytes.data, .size = bytes.size}; }

static bool decode_header(struct bytes bytes, struct cairn_header *out_header) {
  *out_header = (struct cairn_header){0};
  struct wire_cursor cursor = wire_cursor_of(bytes);
  struct wire_field field;
  enum status status;
  while ((status = wire_next(&cursor, &field)) == STATUS_OK) {
    if (field.type != WIRE_BYTES) continue;
    if (field.number == HEADER_NAME) out_header->name = borrowed(field.bytes);
    if (field.number == HEADER_VALUE) out_header->value = borrowed(field.bytes);
  }
  return status == STATUS_END;
}

static bool push_header(struct records_reader *reader, size_t count, struct bytes bytes) {
  if (count == reader->header_capacity) {
    reader->header_capacity = count == 0 ? 8 : count * 2;
    reader->headers = memory_grow_array(reader->headers, reader->header_capacity, sizeof *reader->headers);
  }
  return decode_header(bytes, &reader->headers[count]);
}

static bool decode_record(struct records_reader *reader, struct bytes bytes, struct cairn_record *record) {
  struct wire_cursor cursor = wire_cursor_of(bytes);
  struct wire_field field;
  enum status status;
  while ((status = wire_next(&cursor, &field)) == STATUS_OK) {
    if (field.number == RECORD_TIMESTAMP_MS && field.type == WIRE_VARINT) record->timestamp_ms = (int64_t)field.value;
    if (field.type != WIRE_BYTES) continue;
    if (field.number == RECORD_KEY) record->key = borrowed(field.bytes);
    if (field.number == RECORD_VALUE) record->value = borrowed(field.bytes);
    if (field.number != RECORD_HEADER) continue;
    if (!push_header(reader, record->header_count++, field.bytes)) return false;
  }
  record->headers = record->header_count == 0 ? NULL : reader->headers;
  return status == STATUS_END;
}

/* ---- Batches ---- */

static int open_batch(struct records_reader *reader, struct cairn_error *error) {
  const struct wire_stored_batch *stored = &reader->batch;
  if (stored->base_offset < 0 || stored->last_offset < stored->base_offset) {
    return rot(error, stored->base_offset, "its offsets contradict each other");
  }
  struct bytes payload = stored->payload.bytes;
  if (stored->batch.has_crc32c && crc32c(0, payload) != stored->batch.crc32c) {
    return rot(error, stored->base_offset, "it does not match its checksum");
  }
  if (stored->batch.codec != WIRE_CODEC_NONE) {
    enum status status = inflate(stored->batch.codec, payload, stored->batch.uncompressed_bytes, &reader->inflated);
    if (status != STATUS_OK) return rot(error, stored->base_offset, status_text(status));
    payload = bytes_of(reader->inflated->data, reader->inflated->size);
  }
  reader->records = wire_cursor_of(payload);
  reader->offset = stored->base_offset;
  reader->in_batch = true;
  return CAIRN_OK;
}

static void close_batch(struct records_reader *reader) {
  blob_release(reader->inflated);
  reader->inflated = NULL;
  reader->in_batch = false;
}

static int next_batch(struct records_reader *reader, struct cairn_error *error) {
  for (;;) {
    enum status status = log_wire_next_stored_batch(&reader->batches, &reader->batch);
    if (status == STATUS_END) return CAIRN_END;
    if (status != STATUS_OK) return rot(error, reader->from, "the answer is malformed");
    if (reader->batch.last_offset < reader->from) continue; /* wholly before what is wanted */
    if (reader->batch.base_offset > reader->from) return rot(error, reader->from, "there is a gap before it");
    return open_batch(reader, error);
  }
}

int records_reader_open(struct records_reader *reader, struct blob *message, int64_t from, struct cairn_error *error) {
  close_batch(reader);
  blob_release(reader->message);
  reader->message = message;
  reader->from = from;
  reader->batches = (struct wire_cursor){0};
  if (message == NULL) return CAIRN_OK;
  enum status status = log_wire_decode_read_response(bytes_of(message->data, message->size), &reader->head, &reader->batches);
  if (status != STATUS_OK) return rot(error, from, "the answer is malformed");
  return CAIRN_OK;
}

int records_reader_next(struct records_reader *reader, struct cairn_record *out_record, struct cairn_error *error) {
  for (;;) {
    if (!reader->in_batch) {
      int code = next_batch(reader, error);
      if (code != CAIRN_OK) return code;
    }
    struct wire_field field;
    enum status status = wire_next(&reader->records, &field);
    if (status == STATUS_END) {
      if (reader->offset != reader->batch.last_offset + 1) return rot(error, reader->batch.base_offset, "records are missing");
      close_batch(reader);
      continue;
    }
    if (status != STATUS_OK) return rot(error, reader->batch.base_offset, "its records are malformed");
    if (field.number != RECORDS_RECORD || field.type != WIRE_BYTES) continue;
    int64_t offset = reader->offset++;
    if (offset < reader->from) continue;
    if (offset > reader->batch.last_offset) return rot(error, reader->batch.base_offset, "it has too many records");
    *out_record = (struct cairn_record){.offset = offset};
    if (!decode_record(reader, field.bytes, out_record)) return rot(error, offset, "a record is malformed");
    if (out_record->timestamp_ms == 0) out_record->timestamp_ms = reader->batch.batch.base_timestamp_ms;
    if (out_record->timestamp_ms == 0) out_record->timestamp_ms = reader->batch.leader_time_ms;
    reader->from = offset + 1;
    return CAIRN_OK;
  }
}

void records_reader_deinit(struct records_reader *reader) {
  close_batch(reader);
  blob_release(reader->message);
  memory_free(reader->headers);
  *reader = (struct records_reader){0};
}
