#include "log/entry.h"

#include "base/check.h"
#include "base/codec.h"

#define MAGIC "CRNE"
#define VERSION 1u
#define CRC_FROM 8u /* head_crc covers the bytes from here to the end */
#define CHAIN_AT 96u

_Static_assert(CHAIN_AT + 8 == ENTRY_HEAD_SIZE, "the chain link ends the head");

void entry_encode_head(const struct entry_head *head, uint8_t out[ENTRY_HEAD_SIZE]) {
  memcpy(out, MAGIC, 4);
  out[8] = VERSION;
  out[9] = (uint8_t)head->kind;
  out[10] = (uint8_t)head->codec;
  out[11] = 0;
  put_u32(out + 12, head->payload_size);
  put_u64(out + 16, head->index);
  put_u64(out + 24, head->term);
  put_u64(out + 32, (uint64_t)head->base_offset);
  put_u32(out + 40, head->record_count);
  put_u32(out + 44, head->uncompressed_size);
  put_u64(out + 48, head->producer_id);
  put_u32(out + 56, head->producer_epoch);
  put_u32(out + 60, head->payload_crc);
  put_u64(out + 64, head->first_sequence);
  put_u64(out + 72, (uint64_t)head->base_time_ms);
  put_u64(out + 80, (uint64_t)head->max_time_ms);
  put_u64(out + 88, (uint64_t)head->leader_time_ms);
  put_u64(out + CHAIN_AT, head->chain);
  put_u32(out + 4, crc32c(0, bytes_of(out + CRC_FROM, ENTRY_HEAD_SIZE - CRC_FROM)));
}

/* A head that passes its checksum was written by some Cairn: what this build has no word for comes from a newer one. */
static bool head_is_known(const uint8_t in[ENTRY_HEAD_SIZE]) {
  return in[8] == VERSION && in[9] >= ENTRY_RECORDS && in[9] <= ENTRY_PRODUCER && in[10] <= ENTRY_CODEC_LZ4 && in[11] == 0;
}

static bool head_makes_sense(const struct entry_head *head) {
  return head->payload_size <= ENTRY_PAYLOAD_MAX && (head->record_count > 0) == (head->kind == ENTRY_RECORDS) &&
         head->index > 0 && head->base_offset >= 0 && head->base_offset <= INT64_MAX - (int64_t)head->record_count;
}

enum status entry_decode_head(const uint8_t in[ENTRY_HEAD_SIZE], struct entry_head *out_head) {
  if (memcmp(in, MAGIC, 4) != 0) return STATUS_CORRUPT;
  if (get_u32(in + 4) != crc32c(0, bytes_of(in + CRC_FROM, ENTRY_HEAD_SIZE - CRC_FROM))) return STATUS_CORRUPT;
  if (!head_is_known(in)) return STATUS_FOREIGN;
  struct entry_head head = {
      .kind = (enum entry_kind)in[9],
      .codec = (enum entry_codec)in[10],
      .payload_size = get_u32(in + 12),
      .index = get_u64(in + 16),
      .term = get_u64(in + 24),
      .base_offset = (record_offset)get_u64(in + 32),
      .record_count = get_u32(in + 40),
      .uncompressed_size = get_u32(in + 44),
      .producer_id = get_u64(in + 48),
      .producer_epoch = get_u32(in + 56),
      .payload_crc = get_u32(in + 60),
      .first_sequence = get_u64(in + 64),
      .base_time_ms = (int64_t)get_u64(in + 72),
      .max_time_ms = (int64_t)get_u64(in + 80),
      .leader_time_ms = (int64_t)get_u64(in + 88),
      .chain = get_u64(in + CHAIN_AT),
  };
  if (!head_makes_sense(&head)) return STATUS_CORRUPT;
  *out_head = head;
  return STATUS_OK;
}

void entry_seal(struct entry_head *head, struct bytes payload, uint64_t previous_chain) {
  PRE(payload.size <= ENTRY_PAYLOAD_MAX);
  head->payload_size = (uint32_t)payload.size;
  head->payload_crc = crc32c(0, payload);
  head->chain = entry_chain(head, payload, previous_chain);
}

uint64_t entry_chain(const struct entry_head *head, struct bytes payload, uint64_t previous_chain) {
  uint8_t encoded[ENTRY_HEAD_SIZE];
  entry_encode_head(head, encoded);
  uint64_t of_head = xxh3(previous_chain, bytes_of(encoded + CRC_FROM, CHAIN_AT - CRC_FROM));
  return xxh3(of_head, payload);
}

enum status entry_check_payload(const struct entry_head *head, struct bytes payload) {
  if (payload.size != head->payload_size) return STATUS_CORRUPT;
  return crc32c(0, payload) == head->payload_crc ? STATUS_OK : STATUS_CORRUPT;
}

void entry_release(struct entry *entry) {
  blob_part_release(entry->payload);
  *entry = (struct entry){0};
}
