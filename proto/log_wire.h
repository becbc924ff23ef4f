/* The hot messages of cairn.v1.Log, read and written in place on base/wire.h. Payloads are never copied and never unpacked:
 * coming in they are borrowed from the message, going out they are parts of the blobs they already are.
 *
 * proto/cairn/v1/{log,record,error}.proto are the authority for field numbers; tests compare both ways with protobuf-c.
 *
 * 1. Unknown fields in an envelope are skipped, as proto3 does; in a RecordBatch they are refused, because they would be lost.
 * 2. Of a scalar that is given twice the last one counts, as proto3 does; a batch or a payload given twice is refused.
 * 3. A number that does not fit its field's type is STATUS_MALFORMED, never cut.
 * 4. Every encoder writes the payload as the last bytes of its batch, so that what comes before is one small head.
 */
#ifndef CAIRN_PROTO_LOG_WIRE_H
#define CAIRN_PROTO_LOG_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/bytes.h"
#include "base/status.h"
#include "base/wire.h"
#include "proto/failure.h"

enum wire_codec { WIRE_CODEC_NONE = 0, WIRE_CODEC_ZSTD = 1, WIRE_CODEC_LZ4 = 2 };

/* The header of a RecordBatch. With a codec the payload is `compressed_records`, without one it is `records`. */
struct wire_batch {
  enum wire_codec codec;
  uint32_t uncompressed_bytes;
  uint32_t record_count;
  int64_t base_timestamp_ms;
  int64_t max_timestamp_ms;
  bool has_crc32c;
  uint32_t crc32c;
  uint64_t producer_id;
  uint32_t producer_epoch;
  uint64_t first_sequence;
};

/* ---- Append ---- */

struct wire_append_request {
  struct bytes topic; /* UTF-8 without NUL; otherwise not checked */
  uint32_t partition;
  uint64_t request_id;
  bool has_expected_offset;
  int64_t expected_offset;
  struct bytes producer; /* as `topic`; empty: none */
  struct wire_batch batch;
  struct bytes payload; /* contents of `records` or `compressed_records` */
  bool has_more;        /* set when decoded: log_wire_next_append_request() finds them */
  bool together;
};

/* `topic`, `producer` and `payload` are borrowed from `message`. On failure `*out_why` is a sentence for the answer (it lives for ever).
 *
 * STATUS_MALFORMED: not the wire format, a known field of another type, a batch given twice, a number out of range.
 * STATUS_BAD_NAME: the topic or the producer has NUL or is not UTF-8.
 * STATUS_BAD_BATCH: no batch; no payload, an empty one, two; an unknown field in the batch; codec and payload that do not go
 *   together; compressed records without uncompressed_bytes.
 * STATUS_UNSUPPORTED: a codec that we do not know. */
enum status log_wire_decode_append_request(struct bytes message, struct wire_append_request *out_request,
                                           const char **out_why) MUST_CHECK;

/* The next request that stands in `more` of the message that `more` was made of: its bytes, which are decoded as a request of their own. STATUS_END,
 * STATUS_MALFORMED. */
enum status log_wire_next_append_request(struct wire_cursor *more, struct bytes *out_request) MUST_CHECK;

/* The request_id of a request that may be damaged, for its answer in a stream; 0 when it cannot be found. */
uint64_t log_wire_find_request_id(struct bytes message);

/* The client's side: a head and the payload. Takes over the hold on `payload`; request->payload is not looked at. */
#define LOG_WIRE_APPEND_PARTS 2u
void log_wire_encode_append_request(const struct wire_append_request *request, struct blob_part payload,
                                    struct blob_part out_parts[LOG_WIRE_APPEND_PARTS]);
/* The same as one that follows another in its message: to be sent behind that one's parts. */
void log_wire_encode_further_request(const struct wire_append_request *request, struct blob_part payload,
                                     struct blob_part out_parts[LOG_WIRE_APPEND_PARTS]);

enum { WIRE_DURABILITY_QUORUM_SYNC = 1 };

struct wire_append_response {
  uint64_t request_id;
  int64_t base_offset;
  int64_t last_offset;
  uint64_t term;
  int64_t leader_time_ms;
  uint32_t durability;
  uint32_t synced_replicas;
  uint64_t chain;
  bool duplicate;
  bool takes_more;
};

/* One part, not charged to any account; the caller gets the hold. */
struct blob_part log_wire_encode_append_response(const struct wire_append_response *response);
/* In a stream: an answer that is a failure. */
struct blob_part log_wire_encode_append_failure(uint64_t request_id, const struct failure *failure);

/* Answers that go in one message, one after the other. `into` is empty before the first. STATUS_TOO_LARGE: it is as it was. */
enum status log_wire_gather_append_answer(struct buffer *into, struct bytes answer) MUST_CHECK;
/* The next answer that stands in `more` of the message that `more` was made of, as log_wire_next_append_request(). */
enum status log_wire_next_append_response(struct wire_cursor *more, struct bytes *out_response) MUST_CHECK;

/* `*out_failed` tells whether the answer carries an error; then `*out_failure` is filled too. STATUS_MALFORMED. */
enum status log_wire_decode_append_response(struct bytes message, struct wire_append_response *out_response, bool *out_failed,
                                            struct failure *out_failure) MUST_CHECK;

/* ---- Read and Tail ---- */

/* ReadRequest; for a TailRequest min_bytes and max_wait_ms are not there: 0 when decoded, not written when 0. */
struct wire_read_request {
  struct bytes topic;
  uint32_t partition;
  int64_t offset;
  uint32_t max_bytes;
  uint32_t min_bytes;
  uint32_t max_wait_ms;
};

/* STATUS_MALFORMED, STATUS_BAD_NAME. `topic` is borrowed from `message`. */
enum status log_wire_decode_read_request(struct bytes message, struct wire_read_request *out_request) MUST_CHECK;
struct blob_part log_wire_encode_read_request(const struct wire_read_request *request);

/* A batch and its place. */
struct wire_stored_batch {
  int64_t base_offset;
  int64_t last_offset;
  uint64_t term;
  int64_t leader_time_ms;
  struct wire_batch batch;
  /* Encoding: a hold. Decoding: borrowed from the message, with `blob` NULL; keep it with blob_part_of(message, ...). */
  struct blob_part payload;
};

/* ReadResponse, or TailResponse, which has caught_up as well. */
struct wire_read_response {
  int64_t high_watermark;
  int64_t log_start_offset;
  int64_t next_offset;
  bool caught_up; /* TailResponse only; not written when false */
};

/* How many parts an answer with `count` batches has at most. */
#define LOG_WIRE_READ_PARTS(count) (2u * (count) + 1u)

/* Heads and payloads in turn; returns how many parts. Takes over the holds on the payloads. The heads of one answer share one
 * blob, not charged to any account. */
size_t log_wire_encode_read_response(const struct wire_read_response *response, const struct wire_stored_batch *batches,
                                     size_t count, struct blob_part *out_parts);

/* Bytes that a batch adds to an answer beside its payload, at most. */
#define LOG_WIRE_STORED_BATCH_HEAD_MAX 160u

/* The numbers, and a cursor over the batches for log_wire_next_stored_batch(). STATUS_MALFORMED. */
enum status log_wire_decode_read_response(struct bytes message, struct wire_read_response *out_response,
                                          struct wire_cursor *out_batches) MUST_CHECK;
/* STATUS_END behind the last one, STATUS_MALFORMED. Unknown fields are skipped here: a newer broker may send them. */
enum status log_wire_next_stored_batch(struct wire_cursor *batches, struct wire_stored_batch *out_batch) MUST_CHECK;

#endif
