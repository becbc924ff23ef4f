#include "replication/peer_memory.h"

#include <string.h>

#include "base/check.h"
#include "base/codec.h"
#include "base/mutant.h"
#include "log/small_file.h"

#define MEMORIES_MAGIC 0x4d4e5243u /* "CRNM" */
#define MEMORIES_VERSION 1u
#define MEMORIES_HEAD_SIZE 16u
#define MEMORY_SIZE 48u

static enum peer_verdict judge_without_lineage(const struct peer_memory *memory, uint64_t boot, uint64_t journal) {
  if (boot == memory->refused_boot || memory->generation > 0) return PEER_OLDER;
  return journal == 0 || journal >= memory->journal ? PEER_CONTINUES : PEER_OLDER;
}

enum peer_verdict peer_memory_judge(const struct peer_memory *memory, uint64_t boot, const struct lineage *lineage,
                                    uint64_t journal) {
  PRE(boot != 0);
  if (memory->boot == 0 || (MUTANT(older_copy_let_in) && boot != memory->boot)) return PEER_CONTINUES;
  if (boot == memory->boot) return PEER_KNOWN;
  if (boot == memory->earlier_boot) return PEER_EARLIER;
  if (lineage->count == 0) return judge_without_lineage(memory, boot, journal);
  if (memory->generation > lineage->generation) return PEER_OLDER;
  if (memory->generation == lineage->generation) return PEER_ANOTHER;
  /* What it went on from when the process known here was over; of one that is older than its links can tell, at the latest then. */
  uint64_t from = lineage->links[lineage->count - 1].from_group;
  if (memory->generation >= lineage_oldest(lineage)) {
    if (lineage_at(lineage, memory->generation)->boot != memory->boot) return PEER_ANOTHER;
    from = lineage_at(lineage, memory->generation + 1)->from_group;
  }
  return from >= memory->journal ? PEER_CONTINUES : PEER_OLDER;
}

void peer_memory_take(struct peer_memory *memory, uint64_t boot, const struct lineage *lineage, uint64_t journal) {
  memory->earlier_boot = memory->boot;
  memory->boot = boot;
  memory->generation = lineage->generation;
  if (journal > memory->journal) memory->journal = journal;
}

bool peer_memory_hear(struct peer_memory *memory, uint64_t journal) {
  if (journal == 0) return true;
  if (journal < memory->journal) return false;
  memory->journal = journal;
  return true;
}

/* ---- Rows ---- */

size_t peer_memories_encode(const struct peer_memory *memories, size_t count, uint8_t out[PEER_MEMORIES_BYTES_MAX]) {
  PRE(count <= PEER_MEMORIES_MAX);
  size_t size = MEMORIES_HEAD_SIZE + count * MEMORY_SIZE;
  memset(out, 0, size);
  put_u32(out, MEMORIES_MAGIC);
  out[8] = MEMORIES_VERSION;
  put_u16(out + 10, (uint16_t)count);
  for (size_t i = 0; i < count; i++) {
    uint8_t *at = out + MEMORIES_HEAD_SIZE + i * MEMORY_SIZE;
    put_u32(at, memories[i].id.broker);
    put_u64(at + 8, memories[i].id.incarnation[0]);
    put_u64(at + 16, memories[i].id.incarnation[1]);
    put_u64(at + 24, memories[i].boot);
    put_u64(at + 32, memories[i].generation);
    put_u64(at + 40, memories[i].journal);
  }
  put_u32(out + 4, crc32c(0, bytes_of(out + 8, size - 8)));
  return size;
}

static struct peer_memory decode_row(const uint8_t *at) {
  return (struct peer_memory){.id = {.broker = get_u32(at), .incarnation = {get_u64(at + 8), get_u64(at + 16)}},
                              .boot = get_u64(at + 24),
                              .generation = get_u64(at + 32),
                              .journal = get_u64(at + 40)};
}

enum status peer_memories_decode(struct bytes bytes, struct peer_memory out[PEER_MEMORIES_MAX], size_t *out_count) {
  if (bytes.size < MEMORIES_HEAD_SIZE || get_u32(bytes.data) != MEMORIES_MAGIC) return STATUS_CORRUPT;
  if (small_file_is_later(bytes, MEMORIES_VERSION)) return STATUS_FOREIGN;
  size_t count = get_u16(bytes.data + 10);
  size_t size = MEMORIES_HEAD_SIZE + count * MEMORY_SIZE;
  if (count > PEER_MEMORIES_MAX || bytes.size < size) return STATUS_CORRUPT;
  if (get_u32(bytes.data + 4) != crc32c(0, bytes_of(bytes.data + 8, size - 8))) return STATUS_CORRUPT;
  if (bytes.data[8] != MEMORIES_VERSION) return STATUS_FOREIGN;
  for (size_t i = 0; i < count; i++)
    if (get_u64(bytes.data + MEMORIES_HEAD_SIZE + i * MEMORY_SIZE + 24) == 0) return STATUS_CORRUPT;
  for (size_t i = 0; i < count; i++) out[i] = decode_row(bytes.data + MEMORIES_HEAD_SIZE + i * MEMORY_SIZE);
  *out_count = count;
  return STATUS_OK;
}
