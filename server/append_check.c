#include "server/append_check.h"

#include <inttypes.h>

#include "base/codec.h"
#include "server/refusal.h"

static struct failure *check_size(const struct partition_append *append) {
  const struct wire_batch *batch = &append->request.batch;
  uint64_t size = batch->codec == WIRE_CODEC_NONE ? append->request.payload.size : batch->uncompressed_bytes;
  if (size > append->limits.uncompressed_bytes_max)
    return refusal_new(STATUS_TOO_LARGE, "the batch has %" PRIu64 " bytes of records and may have %u; send smaller batches", size,
                       append->limits.uncompressed_bytes_max);
  return NULL;
}

bool append_has_producer(const struct partition_append *append) {
  return append->request.producer.size > 0 || append->request.batch.producer_id != 0;
}

static struct failure *check_producer(const struct partition_append *append) {
  const struct wire_batch *batch = &append->request.batch;
  struct bytes name = append->request.producer;
  if (name.size > PRODUCER_NAME_MAX)
    return refusal_new(STATUS_BAD_NAME, "the producer's name has %zu bytes and may have %u", name.size, PRODUCER_NAME_MAX);
  if (!append_has_producer(append) && (batch->producer_epoch != 0 || batch->first_sequence != 0))
    return refusal_new(STATUS_INVALID,
                       "producer_epoch and first_sequence say nothing without a producer; name it in the request's "
                       "`producer`, or leave both 0");
  if (append_has_producer(append) && batch->first_sequence >= UINT64_MAX - append->summary.record_count)
    return refusal_new(STATUS_INVALID,
                       "first_sequence %" PRIu64 " leaves no sequences for the records behind it; begin with another name",
                       batch->first_sequence);
  return NULL;
}

static struct failure *check_checksum(const struct partition_append *append) {
  if (!append->request.batch.has_crc32c) return NULL;
  uint32_t crc = crc32c(0, append->request.payload);
  if (crc == append->request.batch.crc32c) return NULL;
  return refusal_new(
      STATUS_BAD_CHECKSUM,
      "the records arrived with CRC32C %08x and the batch says %08x: they were damaged on the way, or the sum was not "
      "taken over the contents of the records field; send them again",
      crc, append->request.batch.crc32c);
}

static struct failure *check_records(struct partition_append *append) {
  const struct wire_append_request *request = &append->request;
  enum status status = STATUS_OK;
  if (request->batch.codec == WIRE_CODEC_NONE) status = batch_check(request->payload, &append->limits, &append->summary);
  else
    status = batch_check_compressed((enum entry_codec)request->batch.codec, request->payload, request->batch.uncompressed_bytes,
                                    &append->limits, &append->summary);
  if (status == STATUS_OK) return NULL;
  if (status == STATUS_TOO_LARGE)
    return refusal_new(status,
                       "a record of the batch has more than %u bytes of key, value and headers; send less, or raise the topic's "
                       "record_bytes_max",
                       append->limits.record_bytes_max);
  if (request->batch.codec != WIRE_CODEC_NONE && status == STATUS_BAD_BATCH)
    return refusal_new(status,
                       "compressed_records do not inflate to %u bytes of well-formed Records; compress one encoded "
                       "cairn.v1.Records into one frame and give its size in uncompressed_bytes",
                       request->batch.uncompressed_bytes);
  if (status == STATUS_BAD_BATCH)
    return refusal_new(status,
                       "the records are not well-formed cairn.v1.Records with at least one record: a field is unknown or given "
                       "twice, a header has no proper name, or bytes are missing");
  return refusal_of_status(status);
}

static struct failure *check_claims(const struct partition_append *append) {
  const struct wire_batch *batch = &append->request.batch;
  const struct batch_summary *found = &append->summary;
  if (batch->record_count != 0 && batch->record_count != found->record_count)
    return refusal_new(STATUS_BAD_BATCH, "record_count says %u, the batch has %u records; correct it, or leave it 0",
                       batch->record_count, found->record_count);
  if (batch->codec == WIRE_CODEC_NONE && batch->uncompressed_bytes != 0 &&
      batch->uncompressed_bytes != append->request.payload.size)
    return refusal_new(STATUS_BAD_BATCH, "uncompressed_bytes says %u, the records have %zu bytes; correct it, or leave it 0",
                       batch->uncompressed_bytes, append->request.payload.size);
  int64_t max_time_ms = found->max_time_ms;
  if (found->some_without_time && batch->base_timestamp_ms > max_time_ms) max_time_ms = batch->base_timestamp_ms;
  if (batch->max_timestamp_ms != 0 && batch->max_timestamp_ms != max_time_ms)
    return refusal_new(STATUS_BAD_BATCH,
                       "max_timestamp_ms says %" PRId64 ", the greatest timestamp in the batch is %" PRId64
                       "; correct it, or leave it 0",
                       batch->max_timestamp_ms, max_time_ms);
  if (batch->base_timestamp_ms < 0)
    return refusal_new(STATUS_BAD_BATCH,
                       "base_timestamp_ms is negative; give milliseconds since 1970, or 0 for the broker's time");
  return NULL;
}

/* The checksum comes before the records: damage should be called damage. */
struct failure *append_check(struct partition_append *append) {
  struct failure *failure = check_size(append);
  if (failure == NULL) failure = check_checksum(append);
  if (failure == NULL) failure = check_records(append);
  if (failure == NULL) failure = check_claims(append);
  if (failure == NULL) failure = check_producer(append);
  return failure;
}
