/* A segment file of any bytes: walked, skipped through, resynchronised. The first byte chooses how; nothing may crash, loop, or be
 * returned that its checksums do not cover. */
#include <string.h>

#include "base/check.h"
#include "base/list.h"
#include "log/segment.h"

struct memory_file {
  struct disk_file file;
  const uint8_t *data;
  size_t size;
};

static enum status memory_read(struct disk_file *file, uint64_t offset, void *into, size_t size, size_t *out_size) {
  const struct memory_file *memory = container_of(file, struct memory_file, file);
  size_t left = offset >= memory->size ? 0 : memory->size - (size_t)offset;
  *out_size = size < left ? size : left;
  if (*out_size > 0) memcpy(into, memory->data + offset, *out_size);
  return STATUS_OK;
}

static const struct disk_ops memory_ops = {.read = memory_read};

static void walk(struct segment_cursor *cursor, const struct segment_anchor *anchor) {
  for (;;) {
    uint64_t before = cursor->position;
    struct entry entry;
    enum status status = segment_cursor_next(cursor, &entry);
    if (status == STATUS_OK) {
      CHECK(cursor->position > before);
      CHECK(cursor->heads_only || entry_check_payload(&entry.head, entry.payload.bytes) == STATUS_OK);
      blob_part_release(entry.payload);
      continue;
    }
    if (status != STATUS_CORRUPT || cursor->position >= anchor->position) return;
    uint64_t bad = cursor->position;
    if (cursor->skippable) {
      segment_cursor_skip(cursor);
    } else if (segment_resync(cursor, anchor) != STATUS_OK) {
      return;
    }
    CHECK(cursor->position > bad);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 1 + SEGMENT_HEADER_SIZE) return 0;
  struct segment_header header;
  enum status status = segment_header_decode(data + 1, &header);
  (void)status; /* entries are read behind a damaged header too */
  struct disk disk = {.ops = &memory_ops};
  struct memory_file memory = {.file.disk = &disk, .data = data + 1, .size = size - 1};
  struct segment_info info = {.first_index = 1, .last_index = 4, .length = size - 1, .chained = (data[0] & 1) != 0};
  struct segment_cursor cursor;
  segment_cursor_init(&cursor, &memory.file, &info, NULL, (data[0] & 2) != 0 ? 512 : SEGMENT_CHUNK_BYTES);
  cursor.heads_only = (data[0] & 4) != 0;
  struct segment_anchor anchor = {.position = info.length, .index = 5};
  walk(&cursor, &anchor);
  segment_cursor_deinit(&cursor);
  return 0;
}
