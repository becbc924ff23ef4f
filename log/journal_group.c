#include "log/journal_group.h"

#include <string.h>

#include "base/check.h"
#include "base/codec.h"
#include "base/memory.h"

/* Copy and checksum go hand in hand, in steps that stay in the cache. */
#define STEP 32768u

void journal_group_init(struct journal_group *group, uint32_t bytes_max) {
  PRE(bytes_max % JOURNAL_BLOCK == 0 && bytes_max > 0 && bytes_max <= JOURNAL_GROUP_BYTES_MAX);
  *group = (struct journal_group){.bytes_max = bytes_max};
  group->memory = memory_new_large(bytes_max);
  group->parts = memory_new_array(JOURNAL_GROUP_ROWS_MAX, sizeof *group->parts);
}

void journal_group_deinit(struct journal_group *group) {
  memory_free(group->memory);
  memory_free(group->parts);
  *group = (struct journal_group){0};
}

void journal_group_begin(struct journal_group *group, uint64_t limit) {
  group->limit = limit < group->bytes_max ? (uint32_t)limit : group->bytes_max;
  group->size = JOURNAL_GROUP_HEAD_SIZE;
  group->rows = 0;
  group->frames = 0;
}

bool journal_group_add(struct journal_group *group, const struct journal_frame *frame, uint64_t start, uint64_t *out_taken) {
  uint64_t total = journal_frame_body_size(frame);
  PRE(total <= JOURNAL_BODY_MAX && start <= total);
  if (group->rows == JOURNAL_GROUP_ROWS_MAX || group->limit < group->size + JOURNAL_ROW_SIZE) return false;
  uint64_t room = group->limit - group->size - JOURNAL_ROW_SIZE;
  uint64_t taken = total - start;
  if (taken > room) {
    bool fits_a_group = total <= group->bytes_max - JOURNAL_GROUP_HEAD_SIZE - JOURNAL_ROW_SIZE;
    if (fits_a_group || room < JOURNAL_BLOCK / 2) return false;
    taken = room;
  }
  group->parts[group->rows++] = (struct journal_part){.frame = frame, .start = (uint32_t)start, .size = (uint32_t)taken};
  group->size += JOURNAL_ROW_SIZE + (uint32_t)taken;
  if (frame->kind != FRAME_TABLE) group->frames++;
  *out_taken = taken;
  return true;
}

static uint32_t copy_bytes(uint8_t *into, struct bytes from, uint32_t crc) {
  while (from.size > 0) {
    size_t step = from.size < STEP ? from.size : STEP;
    memcpy(into, from.data, step);
    crc = crc32c(crc, bytes_of(into, step));
    into += step;
    from = bytes_after(from, step);
  }
  return crc;
}

/* A frame's body is its head and, behind it, its payload; a part may begin and end in either. */
static uint32_t copy_part(uint8_t *into, const struct journal_part *part, uint32_t crc) {
  const struct journal_frame *frame = part->frame;
  uint32_t from_head = 0;
  if (part->start < frame->head_size) {
    from_head = frame->head_size - part->start;
    if (from_head > part->size) from_head = part->size;
    crc = copy_bytes(into, bytes_of(frame->head + part->start, from_head), crc);
  }
  uint32_t from_payload = part->size - from_head;
  if (from_payload == 0) return crc;
  struct bytes payload = bytes_after(frame->payload.bytes, part->start + from_head - frame->head_size);
  return copy_bytes(into + from_head, bytes_of(payload.data, from_payload), crc);
}

struct bytes journal_group_seal(struct journal_group *group, const struct journal_file_head *file,
                                struct journal_group_head *head) {
  uint8_t *row_at = group->memory + JOURNAL_GROUP_HEAD_SIZE;
  uint8_t *body_at = row_at + (size_t)group->rows * JOURNAL_ROW_SIZE;
  uint32_t seed = journal_crc_seed(file);
  for (uint32_t slot = 0; slot < group->rows; slot++) {
    const struct journal_part *part = &group->parts[slot];
    struct journal_row row = {
        .group = part->frame->group,
        .instance = part->frame->instance,
        .first_index = part->frame->first_index,
        .size = part->size,
        .total = (uint32_t)journal_frame_body_size(part->frame),
        .start = part->start,
        .crc = copy_part(body_at, part, seed),
        .kind = part->frame->kind,
    };
    journal_row_encode(&row, row_at);
    row_at += JOURNAL_ROW_SIZE;
    body_at += part->size;
  }
  size_t padded = journal_round_up(group->size);
  CHECK(body_at == group->memory + group->size && padded <= group->bytes_max);
  memset(body_at, 0, padded - group->size);
  head->size = group->size;
  head->rows = group->rows;
  head->file = file->sequence;
  journal_group_head_seal(head, file->salt, group->memory);
  return bytes_of(group->memory, padded);
}
