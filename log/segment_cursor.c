/* Reading a segment: entries in order, and how to go on behind damage. */
#include <string.h>

#include "base/check.h"
#include "base/codec.h"
#include "log/segment.h"

void segment_cursor_init(struct segment_cursor *cursor, struct disk_file *file, const struct segment_info *info,
                         struct account *account, size_t chunk_bytes) {
  *cursor = (struct segment_cursor){
      .file = file,
      .account = account,
      .chunk_bytes = chunk_bytes,
      .position = SEGMENT_HEADER_SIZE,
      .limit = info->length,
      .next_index = info->first_index,
      .last_index = info->last_index >= info->first_index ? info->last_index : 0,
      .chain = info->previous_chain,
      .chained = info->chained,
  };
}

void segment_cursor_deinit(struct segment_cursor *cursor) {
  blob_release(cursor->chunk);
  cursor->chunk = NULL;
}

static size_t in_chunk(const struct segment_cursor *cursor) {
  if (cursor->chunk == NULL || cursor->position < cursor->chunk_position) return 0;
  uint64_t end = cursor->chunk_position + cursor->chunk_size;
  return cursor->position >= end ? 0 : (size_t)(end - cursor->position);
}

/* Has at least `want` bytes from the position on in memory, or all that there are. */
static enum status load(struct segment_cursor *cursor, size_t want) {
  uint64_t left = cursor->limit - cursor->position;
  if (want > left) want = (size_t)left;
  if (in_chunk(cursor) >= want) return STATUS_OK;
  uint64_t begin = cursor->position / DISK_BLOCK_SIZE * DISK_BLOCK_SIZE;
  size_t size = (size_t)(cursor->position - begin) + want;
  if (size < cursor->chunk_bytes) size = cursor->chunk_bytes;
  if (size > cursor->limit - begin) size = (size_t)(cursor->limit - begin);
  size_t blocks = (size + DISK_BLOCK_SIZE - 1) / DISK_BLOCK_SIZE * DISK_BLOCK_SIZE;
  struct blob *blob = NULL;
  enum status status = blob_new(cursor->account, blocks + DISK_BLOCK_SIZE, &blob);
  if (status != STATUS_OK) return status;
  size_t offset = (size_t)(-(uintptr_t)blob->data % DISK_BLOCK_SIZE);
  size_t got = 0;
  status = disk_read(cursor->file, begin, blob->data + offset, blocks, &got);
  if (status != STATUS_OK) {
    blob_release(blob);
    return status;
  }
  if (got < size) memset(blob->data + offset + got, 0, size - got); /* a file shorter than recorded reads as damage */
  blob_release(cursor->chunk);
  cursor->chunk = blob;
  cursor->chunk_offset = offset;
  cursor->chunk_position = begin;
  cursor->chunk_size = size;
  return STATUS_OK;
}

void segment_cursor_prefetch(struct segment_cursor *cursor) {
  if (cursor->position >= cursor->limit) return;
  enum status status = load(cursor, cursor->chunk_bytes);
  (void)status; /* the read that wants them tries again */
}

static const uint8_t *at_position(const struct segment_cursor *cursor) {
  return cursor->chunk->data + cursor->chunk_offset + (cursor->position - cursor->chunk_position);
}

/* Zeros up to the next block, and not from a block's beginning. */
static bool at_padding(const struct segment_cursor *cursor, size_t *out_size) {
  size_t left = DISK_BLOCK_SIZE - (size_t)(cursor->position % DISK_BLOCK_SIZE);
  if (left == DISK_BLOCK_SIZE || left > in_chunk(cursor)) return false;
  const uint8_t *at = at_position(cursor);
  for (size_t i = 0; i < left; i++) {
    if (at[i] != 0) return false;
  }
  *out_size = left;
  return true;
}

static enum status skip_padding(struct segment_cursor *cursor) {
  while (cursor->position < cursor->limit) {
    enum status status = load(cursor, ENTRY_HEAD_SIZE);
    if (status != STATUS_OK) return status;
    if (*at_position(cursor) != 0) return STATUS_OK; /* only the first byte: padding can be as short as one */
    status = load(cursor, DISK_BLOCK_SIZE);
    if (status != STATUS_OK) return status;
    size_t padding = 0;
    if (!at_padding(cursor, &padding)) return STATUS_OK;
    cursor->position += padding;
  }
  return STATUS_END;
}

static enum status check_entry(struct segment_cursor *cursor, const struct entry_head *head, bool with_payload) {
  if (with_payload) {
    struct bytes payload = bytes_of(at_position(cursor) + ENTRY_HEAD_SIZE, head->payload_size);
    enum status status = entry_check_payload(head, payload);
    if (status != STATUS_OK) {
      cursor->skippable = true;
      return status;
    }
    if (cursor->chained && entry_chain(head, payload, cursor->chain) != head->chain) return STATUS_CORRUPT;
  }
  return STATUS_OK;
}

enum status segment_cursor_next(struct segment_cursor *cursor, struct entry *out_entry) {
  cursor->skippable = false;
  enum status status = skip_padding(cursor);
  /* Zeros up to the limit are padding only behind the last entry. */
  if (status == STATUS_END && cursor->next_index != 0 && cursor->next_index <= cursor->last_index) return STATUS_CORRUPT;
  if (status != STATUS_OK) return status;
  if (in_chunk(cursor) < ENTRY_HEAD_SIZE) return STATUS_CORRUPT;
  struct entry_head head;
  status = entry_decode_head(at_position(cursor), &head);
  if (status != STATUS_OK) return STATUS_CORRUPT;
  if (cursor->next_index != 0 && head.index != cursor->next_index) return STATUS_CORRUPT;
  if (entry_size(&head) > cursor->limit - cursor->position) return STATUS_CORRUPT;
  bool with_payload = !cursor->heads_only || head.kind != ENTRY_RECORDS;
  if (with_payload) {
    status = load(cursor, (size_t)entry_size(&head));
    if (status != STATUS_OK) return status;
  }
  cursor->bad_size = entry_size(&head);
  cursor->bad_end = entry_end_offset(&head);
  status = check_entry(cursor, &head, with_payload);
  if (status != STATUS_OK) return status;
  *out_entry = (struct entry){.head = head};
  if (with_payload && head.payload_size > 0) {
    size_t at = cursor->chunk_offset + (size_t)(cursor->position - cursor->chunk_position) + ENTRY_HEAD_SIZE;
    out_entry->payload = blob_part_of(cursor->chunk, at, head.payload_size);
  }
  cursor->position += entry_size(&head);
  cursor->next_index = head.index + 1;
  cursor->chain = head.chain;
  cursor->chained = true;
  return STATUS_OK;
}

bool segment_cursor_ready(const struct segment_cursor *cursor) {
  size_t have = in_chunk(cursor);
  if (have < ENTRY_HEAD_SIZE) return false;
  const uint8_t *at = at_position(cursor);
  return have >= ENTRY_HEAD_SIZE + (uint64_t)get_u32(at + 12);
}

void segment_cursor_skip(struct segment_cursor *cursor) {
  PRE(cursor->skippable);
  cursor->chain = get_u64(at_position(cursor) + 96);
  cursor->chained = true;
  cursor->position += cursor->bad_size;
  cursor->next_index++;
  cursor->skippable = false;
}

/* Do the entries from here lead to the anchor? */
static enum status leads_to(const struct segment_cursor *from, uint64_t position, const struct segment_anchor *anchor,
                            bool *out_leads) {
  struct segment_cursor walk = *from;
  walk.chunk = from->chunk == NULL ? NULL : blob_hold(from->chunk);
  walk.position = position;
  walk.next_index = 0;
  walk.last_index = 0;
  walk.chained = false;
  walk.heads_only = false;
  *out_leads = false;
  enum status status = STATUS_OK;
  while (status == STATUS_OK && walk.position < anchor->position) {
    struct entry entry;
    status = segment_cursor_next(&walk, &entry);
    if (status == STATUS_OK) blob_part_release(entry.payload);
  }
  if (status == STATUS_END) status = STATUS_OK;
  if (status == STATUS_OK) {
    *out_leads = walk.position == anchor->position && walk.next_index == anchor->index && walk.chain == anchor->chain;
  }
  segment_cursor_deinit(&walk);
  return status == STATUS_CORRUPT ? STATUS_OK : status;
}

static void move_to(struct segment_cursor *cursor, uint64_t position, entry_index index) {
  cursor->position = position;
  cursor->next_index = index;
  cursor->chained = false;
}

enum status segment_resync(struct segment_cursor *cursor, const struct segment_anchor *anchor) {
  entry_index bad_index = cursor->next_index;
  uint64_t limit = cursor->limit;
  cursor->limit = anchor->position;
  uint64_t begin = cursor->position;
  enum status status = STATUS_OK;
  for (uint64_t at = begin + 1; at + ENTRY_HEAD_SIZE <= anchor->position && status == STATUS_OK; at++) {
    cursor->position = at;
    status = load(cursor, ENTRY_HEAD_SIZE);
    if (status != STATUS_OK) break;
    struct entry_head head;
    if (*at_position(cursor) != 'C' || entry_decode_head(at_position(cursor), &head) != STATUS_OK) continue;
    if (head.index <= bad_index || head.index >= anchor->index) continue;
    bool leads = false;
    status = leads_to(cursor, at, anchor, &leads);
    if (status == STATUS_OK && leads) {
      cursor->limit = limit;
      move_to(cursor, at, head.index);
      return STATUS_OK;
    }
  }
  cursor->limit = limit;
  if (status != STATUS_OK) {
    cursor->position = begin;
    return status;
  }
  move_to(cursor, anchor->position, anchor->index);
  cursor->chain = anchor->chain;
  cursor->chained = true;
  return STATUS_OK;
}
