#include "log/batch.h"

#include <lz4frame.h>
#include <string.h>
#include <zstd.h>

#include "base/check.h"
#include "base/memory.h"
#include "base/wire.h"

#define HEADER_NAME_MAX 1024u

/* Field numbers of cairn.v1: Records, Record, RecordHeader. */
enum { RECORDS_RECORD = 1 };
enum { RECORD_KEY = 1, RECORD_VALUE = 2, RECORD_TIMESTAMP = 3, RECORD_HEADER = 4 };
enum { HEADER_NAME = 1, HEADER_VALUE = 2 };

struct record_size {
  uint64_t bytes; /* key + value + headers */
  uint32_t headers;
  bool has_time;
};

/* ---- One header, one record ---- */

static enum status walk_header(struct bytes encoded, uint64_t *out_bytes) {
  struct wire_cursor cursor = wire_cursor_of(encoded);
  struct wire_field field;
  struct bytes name = {0};
  struct bytes value = {0};
  unsigned seen = 0;
  enum status status = STATUS_OK;
  while ((status = wire_next(&cursor, &field)) == STATUS_OK) {
    if (field.type != WIRE_BYTES || field.number > HEADER_VALUE || (seen & 1u << field.number) != 0) return STATUS_BAD_BATCH;
    seen |= 1u << field.number;
    if (field.number == HEADER_NAME) name = field.bytes;
    else value = field.bytes;
  }
  if (status != STATUS_END) return STATUS_BAD_BATCH;
  if (name.size > HEADER_NAME_MAX || !utf8_valid_text(name)) return STATUS_BAD_BATCH;
  *out_bytes = name.size + value.size;
  return STATUS_OK;
}

static enum status take_field(const struct wire_field *field, struct batch_record *record, struct record_size *size) {
  uint64_t header_bytes = 0;
  enum status status = STATUS_OK;
  switch (field->number) {
    case RECORD_KEY:
      if (field->type != WIRE_BYTES || record->has_key) return STATUS_BAD_BATCH;
      record->has_key = true;
      record->key = field->bytes;
      size->bytes += field->bytes.size;
      return STATUS_OK;
    case RECORD_VALUE:
      if (field->type != WIRE_BYTES || record->has_value) return STATUS_BAD_BATCH;
      record->has_value = true;
      record->value = field->bytes;
      size->bytes += field->bytes.size;
      return STATUS_OK;
    case RECORD_TIMESTAMP:
      if (field->type != WIRE_VARINT || size->has_time) return STATUS_BAD_BATCH;
      size->has_time = true;
      record->time_ms = (int64_t)field->value;
      return STATUS_OK;
    case RECORD_HEADER:
      if (field->type != WIRE_BYTES) return STATUS_BAD_BATCH;
      if (++size->headers > BATCH_HEADERS_MAX) return STATUS_TOO_LARGE;
      status = walk_header(field->bytes, &header_bytes);
      if (status != STATUS_OK) return status;
      size->bytes += header_bytes;
      return STATUS_OK;
    default: return STATUS_BAD_BATCH;
  }
}

static enum status walk_record(struct bytes encoded, struct batch_record *out_record, struct record_size *out_size) {
  struct wire_cursor cursor = wire_cursor_of(encoded);
  struct wire_field field;
  struct batch_record record = {.encoded = encoded};
  struct record_size size = {0};
  enum status status = STATUS_OK;
  while ((status = wire_next(&cursor, &field)) == STATUS_OK) {
    status = take_field(&field, &record, &size);
    if (status != STATUS_OK) return status;
  }
  if (status != STATUS_END) return STATUS_BAD_BATCH;
  *out_record = record;
  *out_size = size;
  return STATUS_OK;
}

/* STATUS_END after the last. */
static enum status next_record(struct wire_cursor *cursor, struct batch_record *out_record, struct record_size *out_size) {
  struct wire_field field;
  enum status status = wire_next(cursor, &field);
  if (status == STATUS_END) return STATUS_END;
  if (status != STATUS_OK || field.number != RECORDS_RECORD || field.type != WIRE_BYTES) return STATUS_BAD_BATCH;
  return walk_record(field.bytes, out_record, out_size);
}

/* ---- The whole payload ---- */

static void count_record(struct batch_summary *summary, const struct batch_record *record, uint32_t size) {
  bool first_with_time = summary->min_time_ms == 0 && summary->max_time_ms == 0;
  summary->record_count++;
  if (size > summary->record_bytes_max) summary->record_bytes_max = size;
  if (record->time_ms == 0) {
    summary->some_without_time = true;
    return;
  }
  if (first_with_time || record->time_ms < summary->min_time_ms) summary->min_time_ms = record->time_ms;
  if (first_with_time || record->time_ms > summary->max_time_ms) summary->max_time_ms = record->time_ms;
}

enum status batch_check(struct bytes payload, const struct batch_limits *limits, struct batch_summary *out_summary) {
  if (payload.size > limits->uncompressed_bytes_max) return STATUS_TOO_LARGE;
  struct wire_cursor cursor = wire_cursor_of(payload);
  struct batch_summary summary = {0};
  struct batch_record record;
  struct record_size size;
  enum status status = STATUS_OK;
  while ((status = next_record(&cursor, &record, &size)) == STATUS_OK) {
    if (size.bytes > limits->record_bytes_max) return STATUS_TOO_LARGE;
    count_record(&summary, &record, (uint32_t)size.bytes);
  }
  if (status != STATUS_END) return status;
  if (summary.record_count == 0) return STATUS_BAD_BATCH;
  *out_summary = summary;
  return STATUS_OK;
}

struct batch_cursor batch_cursor_of(struct bytes payload) {
  struct wire_cursor cursor = wire_cursor_of(payload);
  return (struct batch_cursor){.at = cursor.at, .end = cursor.end};
}

enum status batch_next(struct batch_cursor *cursor, struct batch_record *out_record) {
  struct wire_cursor wire = {.at = cursor->at, .end = cursor->end};
  struct record_size size;
  enum status status = next_record(&wire, out_record, &size);
  cursor->at = wire.at;
  return status;
}

/* ---- Compressed payloads ---- */

/* The sizes inside the payload are a stranger's: only `into_size` bounds what is written. One-shot, so zstd allocates no window. */
static enum status inflate_zstd(struct bytes payload, uint8_t *into, size_t into_size) {
  size_t size = ZSTD_decompress(into, into_size, payload.data, payload.size);
  return ZSTD_isError(size) || size != into_size ? STATUS_BAD_BATCH : STATUS_OK;
}

static enum status inflate_lz4(struct bytes payload, uint8_t *into, size_t into_size) {
  LZ4F_dctx *context = NULL;
  if (LZ4F_isError(LZ4F_createDecompressionContext(&context, LZ4F_VERSION))) return STATUS_NO_MEMORY;
  size_t done = 0;
  size_t hint = 1; /* 0: the frame is complete */
  while (payload.size > 0 && hint != 0) {
    size_t out = into_size - done;
    size_t in = payload.size;
    hint = LZ4F_decompress(context, into + done, &out, payload.data, &in, NULL);
    if (LZ4F_isError(hint) || (in == 0 && out == 0)) break;
    done += out;
    payload = bytes_after(payload, in);
  }
  bool whole = hint == 0 && payload.size == 0 && done == into_size;
  LZ4F_freeDecompressionContext(context);
  return whole ? STATUS_OK : STATUS_BAD_BATCH;
}

static enum status inflate(enum entry_codec codec, struct bytes payload, uint8_t *into, size_t into_size) {
  switch (codec) {
    case ENTRY_CODEC_ZSTD: return inflate_zstd(payload, into, into_size);
    case ENTRY_CODEC_LZ4: return inflate_lz4(payload, into, into_size);
    case ENTRY_CODEC_NONE:
      if (payload.size != into_size) return STATUS_BAD_BATCH;
      if (into_size > 0) memcpy(into, payload.data, into_size);
      return STATUS_OK;
  }
  return STATUS_BAD_BATCH;
}

enum status batch_inflate(enum entry_codec codec, struct bytes payload, uint32_t uncompressed_size, struct buffer *out_plain) {
  size_t before = out_plain->size;
  uint8_t *into = buffer_extend(out_plain, uncompressed_size);
  if (into == NULL) return STATUS_TOO_LARGE;
  enum status status = inflate(codec, payload, into, uncompressed_size);
  if (status != STATUS_OK) out_plain->size = before;
  return status;
}

/* Libraries differ in what they do behind the first zstd frame: some read on, some stop without a word. What all readers are to
 * agree on is one frame (inflate_lz4() takes no more than one anyway). */
static bool is_one_frame(enum entry_codec codec, struct bytes payload) {
  return codec != ENTRY_CODEC_ZSTD || ZSTD_findFrameCompressedSize(payload.data, payload.size) == payload.size;
}

enum status batch_check_compressed(enum entry_codec codec, struct bytes payload, uint32_t uncompressed_size,
                                   const struct batch_limits *limits, struct batch_summary *out_summary) {
  if (uncompressed_size > limits->uncompressed_bytes_max) return STATUS_TOO_LARGE;
  if (!is_one_frame(codec, payload)) return STATUS_BAD_BATCH;
  uint8_t *plain = memory_grow_array(NULL, uncompressed_size, 1);
  enum status status = inflate(codec, payload, plain, uncompressed_size);
  if (status == STATUS_OK) status = batch_check(bytes_of(plain, uncompressed_size), limits, out_summary);
  memory_free(plain);
  return status;
}
