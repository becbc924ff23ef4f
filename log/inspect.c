#include "log/inspect.h"

#include <string.h>

#include "base/memory.h"

static enum status read_header(struct disk_file *file, struct segment_header *out_header) {
  uint8_t *block = memory_new(SEGMENT_HEADER_SIZE);
  size_t got = 0;
  enum status status = disk_read(file, 0, block, SEGMENT_HEADER_SIZE, &got);
  if (status == STATUS_OK && got < SEGMENT_HEADER_SIZE) status = STATUS_CORRUPT;
  if (status == STATUS_OK) status = segment_header_decode(block, out_header);
  memory_free(block);
  return status;
}

/* Forward to the next head that is whole; false at the end. Without an anchor a payload that looks like an entry may be taken for one. */
static bool seek_head(struct segment_cursor *cursor) {
  uint8_t *chunk = memory_new(SEGMENT_CHUNK_BYTES);
  bool found = false;
  uint64_t at = cursor->position + 1;
  while (!found && at + ENTRY_HEAD_SIZE <= cursor->limit) {
    size_t got = 0;
    if (disk_read(cursor->file, at, chunk, SEGMENT_CHUNK_BYTES, &got) != STATUS_OK || got < ENTRY_HEAD_SIZE) break;
    size_t i = 0;
    for (; i + ENTRY_HEAD_SIZE <= got && !found; i++) {
      struct entry_head head;
      found = chunk[i] == 'C' && entry_decode_head(chunk + i, &head) == STATUS_OK && head.index > cursor->next_index &&
              (cursor->last_index == 0 || head.index <= cursor->last_index);
      if (!found) continue;
      cursor->position = at + i;
      cursor->next_index = 0;
      cursor->chained = false;
    }
    at += i;
  }
  memory_free(chunk);
  return found;
}

/* The damaged stretch at the cursor; false when nothing follows it. `size`: of the file. */
static bool step_over(struct segment_cursor *cursor, uint64_t size, struct inspect_entry *out_found) {
  *out_found =
      (struct inspect_entry){.position = cursor->position, .damaged = true, .what = cursor->position < size ? "head" : "end"};
  out_found->entry.head.index = cursor->next_index;
  bool more = true;
  if (cursor->skippable) {
    out_found->what = "payload";
    segment_cursor_skip(cursor);
  } else {
    more = seek_head(cursor);
    if (!more) cursor->position = cursor->limit;
  }
  out_found->size = cursor->position - out_found->position;
  return more;
}

static enum status walk(struct segment_cursor *cursor, uint64_t size,
                        bool (*visit)(void *context, const struct inspect_entry *entry), void *context) {
  for (bool more = true; more;) {
    struct inspect_entry found = {0};
    enum status status = segment_cursor_next(cursor, &found.entry);
    if (status == STATUS_END) return STATUS_OK;
    if (status != STATUS_OK && status != STATUS_CORRUPT) return status;
    if (status == STATUS_CORRUPT) {
      more = step_over(cursor, size, &found);
    } else {
      found.size = entry_size(&found.entry.head);
      found.position = cursor->position - found.size;
    }
    bool go_on = visit(context, &found);
    blob_part_release(found.entry.payload);
    if (!go_on) break;
  }
  return STATUS_OK;
}

enum status inspect_segment(struct disk *disk, const char *path, const struct segment_info *recorded,
                            struct segment_header *out_header, bool (*visit)(void *context, const struct inspect_entry *entry),
                            void *context) {
  struct disk_file *file = NULL;
  enum status status = disk_open(disk, path, DISK_READ_ONLY, &file);
  if (status != STATUS_OK) return status;
  struct disk_stat stat = {0};
  struct segment_header header = {0};
  status = disk_stat_file(file, &stat);
  enum status head_status = status == STATUS_OK ? read_header(file, &header) : status;
  if (status == STATUS_OK && head_status != STATUS_OK && head_status != STATUS_CORRUPT) status = head_status;
  if (status == STATUS_OK) {
    struct segment_info info = {.first_index = header.first_index,
                                .length = stat.size,
                                .previous_chain = header.previous_chain,
                                .chained = head_status == STATUS_OK && header.chained};
    struct segment_cursor cursor;
    segment_cursor_init(&cursor, file, recorded != NULL ? recorded : &info, NULL, SEGMENT_CHUNK_BYTES);
    status = walk(&cursor, stat.size, visit, context);
    segment_cursor_deinit(&cursor);
  }
  disk_close(file);
  *out_header = header;
  return status == STATUS_OK ? head_status : status;
}
