#include "clients/c/batcher.h"

#include <string.h>

#include "base/check.h"
#include "base/codec.h"
#include "base/memory.h"
#include "base/wire.h"
#include "clients/c/compress.h"

/* Field numbers of cairn.v1.Records, Record and RecordHeader (proto/cairn/v1/record.proto). */
enum { RECORDS_RECORD = 1 };
enum { RECORD_KEY = 1, RECORD_VALUE = 2, RECORD_TIMESTAMP_MS = 3, RECORD_HEADER = 4 };
enum { HEADER_NAME = 1, HEADER_VALUE = 2 };

/* ---- One record ---- */

/* All field numbers here are below 16: a tag is one byte. */
static size_t field_size(size_t size) { return 1 + wire_varint_size(size) + size; }

static size_t header_size(const struct cairn_header *header) {
  return (header->name.size == 0 ? 0 : field_size(header->name.size)) +
         (header->value.size == 0 ? 0 : field_size(header->value.size));
}

static size_t record_inner_size(const struct cairn_message *message) {
  size_t size = 0;
  if (message->key.data != NULL) size += field_size(message->key.size);
  if (message->value.data != NULL) size += field_size(message->value.size);
  if (message->timestamp_ms != 0) size += 1 + wire_varint_size((uint64_t)message->timestamp_ms);
  for (size_t i = 0; i < message->header_count; i++) size += field_size(header_size(&message->headers[i]));
  return size;
}

size_t batcher_record_size(const struct cairn_message *message) { return field_size(record_inner_size(message)); }

static uint8_t *put_header(uint8_t *at, const struct cairn_header *header) {
  at = wire_put_bytes_head(at, RECORD_HEADER, header_size(header));
  if (header->name.size > 0) at = wire_put_bytes(at, HEADER_NAME, bytes_of(header->name.data, header->name.size));
  if (header->value.size > 0) at = wire_put_bytes(at, HEADER_VALUE, bytes_of(header->value.data, header->value.size));
  return at;
}

static uint8_t *put_record(uint8_t *at, const struct cairn_message *message) {
  at = wire_put_bytes_head(at, RECORDS_RECORD, record_inner_size(message));
  if (message->key.data != NULL) at = wire_put_bytes(at, RECORD_KEY, bytes_of(message->key.data, message->key.size));
  if (message->value.data != NULL) at = wire_put_bytes(at, RECORD_VALUE, bytes_of(message->value.data, message->value.size));
  at = wire_put_uint(at, RECORD_TIMESTAMP_MS, (uint64_t)message->timestamp_ms);
  for (size_t i = 0; i < message->header_count; i++) at = put_header(at, &message->headers[i]);
  return at;
}

/* ---- The batch ---- */

enum status batch_new(struct account *account, size_t size_hint, struct batch **out_batch) {
  struct blob *blob = NULL;
  enum status status = blob_new(account, size_hint < BATCH_BYTES_FIRST ? BATCH_BYTES_FIRST : size_hint, &blob);
  if (status != STATUS_OK) return status;
  struct batch *batch = NEW(struct batch);
  batch->blob = blob;
  batch->base_offset = -1;
  *out_batch = batch;
  return STATUS_OK;
}

void batch_free(struct batch *batch) {
  if (batch == NULL) return;
  blob_release(batch->blob);
  memory_free(batch->opaques);
  memory_free(batch);
}

static enum status batch_make_room(struct batch *batch, struct account *account, size_t needed, size_t bound) {
  if (needed <= batch->blob->size) return STATUS_OK;
  size_t size = batch->blob->size * 4 < bound ? batch->blob->size * 4 : bound;
  if (size < needed) size = needed;
  struct blob *larger = NULL;
  enum status status = blob_new(account, size, &larger);
  if (status != STATUS_OK) return status;
  memcpy(larger->data, batch->blob->data, batch->size);
  blob_release(batch->blob);
  batch->blob = larger;
  return STATUS_OK;
}

static void batch_put_opaque(struct batch *batch, void *opaque) {
  if (opaque == NULL && batch->opaques == NULL) return;
  if (batch->opaque_capacity <= batch->record_count) {
    size_t capacity = batch->record_count < 8 ? 16 : (size_t)batch->record_count * 2;
    batch->opaques = memory_grow_array(batch->opaques, capacity, sizeof *batch->opaques);
    /* The records before the first one that has an opaque have none. */
    if (batch->opaque_capacity == 0) memset(batch->opaques, 0, batch->record_count * sizeof *batch->opaques);
    batch->opaque_capacity = capacity;
  }
  batch->opaques[batch->record_count] = opaque;
}

enum status batch_add(struct batch *batch, struct account *account, const struct cairn_message *message, size_t record_size,
                      size_t batch_bytes) {
  size_t size = batch->size + record_size;
  size_t bound = batch->record_count == 0 ? BATCH_BYTES_MAX : batch_bytes;
  if (size > bound) return STATUS_TOO_LARGE;
  enum status status = batch_make_room(batch, account, size, batch_bytes);
  if (status != STATUS_OK) return status;
  uint8_t *end = put_record(batch->blob->data + batch->size, message);
  CHECK(end == batch->blob->data + size);
  batch_put_opaque(batch, message->opaque);
  batch->size = size;
  batch->record_count++;
  return STATUS_OK;
}

void batch_seal(const struct batch *batch, enum wire_codec codec, struct wire_batch *out_header, struct blob_part *out_payload) {
  *out_header = (struct wire_batch){.record_count = batch->record_count, .uncompressed_bytes = (uint32_t)batch->size};
  struct bytes plain = bytes_of(batch->blob->data, batch->size);
  struct blob *compressed = codec == WIRE_CODEC_NONE ? NULL : compress(codec, plain);
  if (compressed != NULL) {
    out_header->codec = codec;
    *out_payload = (struct blob_part){.blob = compressed, .bytes = bytes_of(compressed->data, compressed->size)};
  } else {
    *out_payload = blob_part_of(batch->blob, 0, batch->size);
  }
  out_header->has_crc32c = true;
  out_header->crc32c = crc32c(0, out_payload->bytes);
}
