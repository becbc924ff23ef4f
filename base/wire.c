#include "base/wire.h"

#include <string.h>

#include "base/codec.h"

#define FIELD_NUMBER_MAX ((1u << 29) - 1)

static enum status read_varint(struct wire_cursor *cursor, uint64_t *out_value) {
  uint64_t value = 0;
  const uint8_t *at = cursor->at;
  for (unsigned shift = 0; shift < 70; shift += 7) {
    if (at == cursor->end) return STATUS_MALFORMED;
    uint8_t byte = *at++;
    /* The tenth byte has room for one bit. */
    if (shift == 63 && byte > 1) return STATUS_MALFORMED;
    value |= (uint64_t)(byte & 0x7f) << shift;
    if ((byte & 0x80) == 0) {
      cursor->at = at;
      *out_value = value;
      return STATUS_OK;
    }
  }
  return STATUS_MALFORMED;
}

static size_t left(const struct wire_cursor *cursor) { return (size_t)(cursor->end - cursor->at); }

static enum status read_contents(struct wire_cursor *cursor, struct wire_field *field) {
  enum status status = STATUS_OK;
  switch (field->type) {
    case WIRE_VARINT: return read_varint(cursor, &field->value);
    case WIRE_FIXED64:
      if (left(cursor) < 8) return STATUS_MALFORMED;
      field->value = get_u64(cursor->at);
      cursor->at += 8;
      return STATUS_OK;
    case WIRE_FIXED32:
      if (left(cursor) < 4) return STATUS_MALFORMED;
      field->value = get_u32(cursor->at);
      cursor->at += 4;
      return STATUS_OK;
    case WIRE_BYTES: {
      uint64_t size = 0;
      status = read_varint(cursor, &size);
      if (status != STATUS_OK) return status;
      if (size > left(cursor)) return STATUS_MALFORMED;
      field->bytes = bytes_of(cursor->at, (size_t)size);
      cursor->at += size;
      return STATUS_OK;
    }
  }
  return STATUS_MALFORMED; /* groups, and the two numbers without a meaning */
}

enum status wire_next(struct wire_cursor *cursor, struct wire_field *out_field) {
  if (cursor->at == cursor->end) return STATUS_END;
  struct wire_cursor ahead = *cursor;
  uint64_t tag = 0;
  enum status status = read_varint(&ahead, &tag);
  if (status != STATUS_OK) return status;
  if (tag >> 3 == 0 || tag >> 3 > FIELD_NUMBER_MAX) return STATUS_MALFORMED;

  struct wire_field field = {.number = (uint32_t)(tag >> 3), .type = (enum wire_type)(tag & 7)};
  status = read_contents(&ahead, &field);
  if (status != STATUS_OK) return status;
  *cursor = ahead;
  *out_field = field;
  return STATUS_OK;
}

int64_t wire_zigzag_decode(uint64_t value) { return (int64_t)(value >> 1 ^ (0 - (value & 1))); }

size_t wire_varint_size(uint64_t value) {
  size_t size = 1;
  for (; value >= 0x80; value >>= 7) size++;
  return size;
}

uint8_t *wire_put_varint(uint8_t *at, uint64_t value) {
  for (; value >= 0x80; value >>= 7) *at++ = (uint8_t)(value | 0x80);
  *at++ = (uint8_t)value;
  return at;
}

uint8_t *wire_put_tag(uint8_t *at, uint32_t number, enum wire_type type) {
  return wire_put_varint(at, (uint64_t)number << 3 | (uint64_t)type);
}

uint8_t *wire_put_uint(uint8_t *at, uint32_t number, uint64_t value) {
  return value == 0 ? at : wire_put_varint(wire_put_tag(at, number, WIRE_VARINT), value);
}

uint8_t *wire_put_fixed32(uint8_t *at, uint32_t number, uint32_t value) {
  at = wire_put_tag(at, number, WIRE_FIXED32);
  put_u32(at, value);
  return at + sizeof value;
}

uint8_t *wire_put_fixed64(uint8_t *at, uint32_t number, uint64_t value) {
  at = wire_put_tag(at, number, WIRE_FIXED64);
  put_u64(at, value);
  return at + sizeof value;
}

uint8_t *wire_put_bytes_head(uint8_t *at, uint32_t number, size_t size) {
  return wire_put_varint(wire_put_tag(at, number, WIRE_BYTES), size);
}

uint8_t *wire_put_bytes(uint8_t *at, uint32_t number, struct bytes bytes) {
  at = wire_put_bytes_head(at, number, bytes.size);
  if (bytes.size > 0) memcpy(at, bytes.data, bytes.size);
  return at + bytes.size;
}

/* The length of the well-formed sequence at the start of `text` (RFC 3629, section 4), 0 if there is none. */
static size_t utf8_sequence(struct bytes text) {
  uint8_t first = text.data[0];
  size_t size = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  if (size > text.size) return 0;
  for (size_t i = 1; i < size; i++) {
    if ((text.data[i] & 0xc0) != 0x80) return 0;
  }
  if (first == 0xe0 && text.data[1] < 0xa0) return 0; /* overlong */
  if (first == 0xed && text.data[1] > 0x9f) return 0; /* surrogates */
  if (first == 0xf0 && text.data[1] < 0x90) return 0; /* overlong */
  if (first == 0xf4 && text.data[1] > 0x8f) return 0; /* beyond U+10FFFF */
  return size;
}

bool utf8_valid_text(struct bytes bytes) {
  while (bytes.size > 0) {
    size_t size = utf8_sequence(bytes);
    if (size == 0 || bytes.data[0] == 0) return false;
    bytes = bytes_after(bytes, size);
  }
  return true;
}

bool plain_text(struct bytes bytes) {
  for (size_t i = 0; i < bytes.size; i++) {
    uint8_t c = bytes.data[i];
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    bool digit = c >= '0' && c <= '9';
    if (!letter && !digit && c != '.' && c != '_' && c != '-') return false;
  }
  return true;
}
