/* Records inside a payload: walked once on arrival, to count and check, and never turned into objects.
 *
 * A payload is the wire form of cairn.v1.Records (proto/cairn/v1/record.proto), or that compressed. log/ reads it as bytes with
 * base/wire.h and knows no generated code.
 */
#ifndef CAIRN_LOG_BATCH_H
#define CAIRN_LOG_BATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"
#include "log/entry.h"

#define BATCH_HEADERS_MAX 1024u /* headers of one record */

struct batch_limits {
  uint32_t record_bytes_max;       /* key + value + headers of one record */
  uint32_t uncompressed_bytes_max; /* of the whole payload */
};

struct batch_summary {
  uint32_t record_count;
  uint32_t record_bytes_max; /* of the largest record */
  int64_t min_time_ms;       /* of the records that have a timestamp; 0: none has */
  int64_t max_time_ms;
  bool some_without_time;
};

/* One record, borrowed from the payload. */
struct batch_record {
  bool has_key, has_value;
  struct bytes key, value;
  int64_t time_ms;      /* 0: the batch's base time holds */
  struct bytes encoded; /* the whole Record message */
};

struct batch_cursor {
  const uint8_t *at;
  const uint8_t *end;
};

/* Walks a plain payload. STATUS_BAD_BATCH: not Records, no record, a field given twice, unknown fields, bad header names.
 * STATUS_TOO_LARGE: a record above its limit, or the payload above its. */
enum status batch_check(struct bytes payload, const struct batch_limits *limits, struct batch_summary *out_summary) MUST_CHECK;

/* The same for a compressed payload: inflates into memory of `uncompressed_size` bytes at most, checks, throws it away.
 * STATUS_BAD_BATCH when it is not one frame that inflates to exactly that size. @offload: dear; at most limits->uncompressed_bytes_max of memory. */
enum status batch_check_compressed(enum entry_codec codec, struct bytes payload, uint32_t uncompressed_size,
                                   const struct batch_limits *limits, struct batch_summary *out_summary) MUST_CHECK;

/* Inflates for whoever must look inside (FindOffset, dump). */
enum status batch_inflate(enum entry_codec codec, struct bytes payload, uint32_t uncompressed_size,
                          struct buffer *out_plain) MUST_CHECK;

/* Visits the records of a plain payload in order. STATUS_END after the last. */
struct batch_cursor batch_cursor_of(struct bytes payload);
enum status batch_next(struct batch_cursor *cursor, struct batch_record *out_record) MUST_CHECK;

#endif
