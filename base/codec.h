/* Little-endian numbers in and out of memory, and the checksums. Widths are in the names; callers check bounds. */
#ifndef CAIRN_BASE_CODEC_H
#define CAIRN_BASE_CODEC_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/bytes.h"

static inline void put_u16(uint8_t *at, uint16_t value) {
  value = htole16(value);
  memcpy(at, &value, sizeof value);
}
static inline void put_u32(uint8_t *at, uint32_t value) {
  value = htole32(value);
  memcpy(at, &value, sizeof value);
}
static inline void put_u64(uint8_t *at, uint64_t value) {
  value = htole64(value);
  memcpy(at, &value, sizeof value);
}
static inline uint16_t get_u16(const uint8_t *at) {
  uint16_t value;
  memcpy(&value, at, sizeof value);
  return le16toh(value);
}
static inline uint32_t get_u32(const uint8_t *at) {
  uint32_t value;
  memcpy(&value, at, sizeof value);
  return le32toh(value);
}
static inline uint64_t get_u64(const uint8_t *at) {
  uint64_t value;
  memcpy(&value, at, sizeof value);
  return le64toh(value);
}

/* Big-endian, for keys of ordered tables: byte order is then number order. */
static inline void put_key_u64(uint8_t *at, uint64_t value) {
  value = htobe64(value);
  memcpy(at, &value, sizeof value);
}
static inline uint64_t get_key_u64(const uint8_t *at) {
  uint64_t value;
  memcpy(&value, at, sizeof value);
  return be64toh(value);
}

/* CRC32C (RFC 3720, appendix B.4) of `bytes`, continuing from `crc`; start with 0. crc32c("123456789") is 0xe3069283.
 * A salt may stand in for the start: crc32c(salt, ...) differs for every salt. */
uint32_t crc32c(uint32_t crc, struct bytes bytes);

/* XXH3, 64 bits, seeded. Not a defence against forgers. */
uint64_t xxh3(uint64_t seed, struct bytes bytes);

#endif
