#include "server/producer_entry.h"

#include "base/check.h"
#include "base/codec.h"
#include "base/wire.h"

#define VERSION 1u
/* A snapshot has to fit its row of the store. */
#define BATCHES_MAX 65536u
#define BYTES_MAX (64u << 20)

bool producer_name_valid(struct bytes name) { return name.size >= 1 && name.size <= PRODUCER_NAME_MAX && utf8_valid_text(name); }

bool producer_bounds_valid(const struct producer_bounds *bounds) {
  if (bounds->producers_max < 1 || bounds->batches_max < 1 || bounds->batches_max > BATCHES_MAX) return false;
  uint64_t of_one = PRODUCER_COST + PRODUCER_NAME_MAX + (uint64_t)bounds->batches_max * PRODUCER_BATCH_COST;
  return bounds->bytes_max >= of_one && bounds->bytes_max <= BYTES_MAX;
}

void producer_entry_encode(const struct producer_entry *entry, uint8_t *into) {
  PRE(producer_name_valid(entry->name) && producer_bounds_valid(&entry->bounds));
  into[0] = VERSION;
  into[1] = (uint8_t)entry->kind;
  put_u16(into + 2, (uint16_t)entry->name.size);
  put_u32(into + 4, entry->epoch);
  put_u32(into + 8, entry->bounds.producers_max);
  put_u32(into + 12, entry->bounds.batches_max);
  put_u64(into + 16, entry->bounds.bytes_max);
  memcpy(into + PRODUCER_ENTRY_HEAD, entry->name.data, entry->name.size);
}

enum status producer_entry_decode(struct bytes payload, struct producer_entry *out_entry) {
  if (payload.size < PRODUCER_ENTRY_HEAD) return STATUS_CORRUPT;
  const uint8_t *at = payload.data;
  if (at[0] != VERSION || at[1] < PRODUCER_OPEN || at[1] > PRODUCER_FORGET) return STATUS_FOREIGN;
  struct producer_entry entry = {
      .kind = (enum producer_entry_kind)at[1],
      .name = bytes_of(at + PRODUCER_ENTRY_HEAD, get_u16(at + 2)),
      .epoch = get_u32(at + 4),
      .bounds = {.producers_max = get_u32(at + 8), .batches_max = get_u32(at + 12), .bytes_max = get_u64(at + 16)},
  };
  if (entry.name.size != payload.size - PRODUCER_ENTRY_HEAD) return STATUS_CORRUPT;
  if (!producer_name_valid(entry.name) || !producer_bounds_valid(&entry.bounds)) return STATUS_CORRUPT;
  *out_entry = entry;
  return STATUS_OK;
}
