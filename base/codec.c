#include "base/codec.h"

#include <isa-l/crc.h>
#include <limits.h>
#if defined(__x86_64__)
#include <xxh_x86dispatch.h> /* the widest vectors this processor has; xxhash.h alone knows those of the oldest */
#else
#include <xxhash.h>
#endif

/* ISA-L takes its length as an int. */
#define CRC_CHUNK_MAX ((size_t)INT_MAX & ~(size_t)4095)

uint32_t crc32c(uint32_t crc, struct bytes bytes) {
  /* ISA-L neither inverts its start nor its result; the RFC does both. */
  uint32_t state = ~crc;
  while (bytes.size > 0) {
    size_t size = bytes.size < CRC_CHUNK_MAX ? bytes.size : CRC_CHUNK_MAX;
    /* It reads only; its prototype forgot to say so. */
    state = crc32_iscsi((unsigned char *)(uintptr_t)bytes.data, (int)size, state);
    bytes = bytes_after(bytes, size);
  }
  return ~state;
}

uint64_t xxh3(uint64_t seed, struct bytes bytes) { return XXH3_64bits_withSeed(bytes.data, bytes.size, seed); }
