/* The protobuf wire format, read and written in place: for the few messages that are too hot, or too strictly kept byte
 * for byte, to be unpacked into objects (batches and their envelopes). Everything else goes through proto/pack.h.
 *
 * A cursor never reads past its end; every varint is checked for length and overflow. Groups (wire types 3, 4) are refused.
 */
#ifndef CAIRN_BASE_WIRE_H
#define CAIRN_BASE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

struct wire_field {
  uint32_t number;
  enum wire_type type;
  uint64_t value;     /* VARINT, FIXED64, FIXED32 */
  struct bytes bytes; /* BYTES: borrowed from what is being read */
};

struct wire_cursor {
  const uint8_t *at;
  const uint8_t *end;
};

static inline struct wire_cursor wire_cursor_of(struct bytes bytes) {
  if (bytes.size == 0) return (struct wire_cursor){.at = bytes.data, .end = bytes.data}; /* to a NULL not even 0 may be added */
  return (struct wire_cursor){.at = bytes.data, .end = bytes.data + bytes.size};
}

/* STATUS_END at the end, STATUS_MALFORMED on bytes that are not the wire format. */
enum status wire_next(struct wire_cursor *cursor, struct wire_field *out_field) MUST_CHECK;

int64_t wire_zigzag_decode(uint64_t value);

/* Writers: append to memory that the caller has sized; return the end of what they wrote. */
#define WIRE_VARINT_SIZE_MAX 10
size_t wire_varint_size(uint64_t value);
uint8_t *wire_put_varint(uint8_t *at, uint64_t value);
uint8_t *wire_put_tag(uint8_t *at, uint32_t number, enum wire_type type);
uint8_t *wire_put_uint(uint8_t *at, uint32_t number, uint64_t value);      /* leaves out 0, as proto3 does */
uint8_t *wire_put_fixed32(uint8_t *at, uint32_t number, uint32_t value);   /* always */
uint8_t *wire_put_fixed64(uint8_t *at, uint32_t number, uint64_t value);   /* always */
uint8_t *wire_put_bytes(uint8_t *at, uint32_t number, struct bytes bytes); /* tag, length and contents, always */
uint8_t *wire_put_bytes_head(uint8_t *at, uint32_t number, size_t size);   /* tag and length; the contents follow elsewhere */

/* Is it UTF-8 (RFC 3629) without NUL? */
bool utf8_valid_text(struct bytes bytes);
/* Nothing but a-z A-Z 0-9 . _ -: what names are made of. An empty one is. */
bool plain_text(struct bytes bytes);

#endif
