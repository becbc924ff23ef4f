#include "clients/c/partitioner.h"

#include "base/check.h"
#include "base/codec.h"
#include "clients/c/cairn.h"

uint32_t murmur2(struct bytes bytes) {
  const uint32_t m = 0x5bd1e995;
  const uint8_t *at = bytes.data;
  size_t left = bytes.size;
  uint32_t hash = 0x9747b28c ^ (uint32_t)left;
  for (; left >= 4; at += 4, left -= 4) {
    uint32_t k = get_u32(at) * m;
    k ^= k >> 24;
    hash = hash * m ^ k * m;
  }
  if (left >= 3) hash ^= (uint32_t)at[2] << 16;
  if (left >= 2) hash ^= (uint32_t)at[1] << 8;
  if (left >= 1) hash = (hash ^ at[0]) * m;
  hash = (hash ^ hash >> 13) * m;
  return hash ^ hash >> 15;
}

uint32_t partitioner_of_key(struct bytes key, uint32_t partitions) {
  PRE(partitions > 0);
  return (murmur2(key) & 0x7fffffff) % partitions;
}

uint32_t cairn_partition_of_key(struct cairn_bytes key, uint32_t partitions) {
  return partitions == 0 ? 0 : partitioner_of_key(bytes_of(key.data, key.size), partitions);
}

void sticky_start(struct sticky *sticky, uint32_t partitions, uint64_t chance) {
  sticky->partition = (uint32_t)(chance % partitions);
}

void sticky_advance(struct sticky *sticky, uint32_t partitions) {
  sticky->partition = sticky->partition + 1 < partitions ? sticky->partition + 1 : 0;
}
