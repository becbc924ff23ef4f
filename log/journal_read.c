/* Reading an entry back from the journal while others write and recycle it.
 *
 * Nothing here is shared with the journal's loop: the place names a file, the file's head gives the salt, and the salt seeds every
 * checksum on the way. A file that is recycled under the reader's hands fails them, and its head then tells why.
 */
#include <string.h>

#include "base/check.h"
#include "base/codec.h"
#include "base/memory.h"
#include "log/journal_private.h"

struct reading {
  struct disk *disk;
  struct disk_file *file;
  struct journal_file_head head;
  uint8_t *memory; /* for one directory or body, grown as needed */
  size_t memory_size;

  /* The body so far. */
  uint8_t entry_head[ENTRY_HEAD_SIZE];
  struct blob *payload;
  uint64_t total;
  uint64_t have;
};

static void need_memory(struct reading *reading, size_t size) {
  if (size <= reading->memory_size) return;
  memory_free(reading->memory);
  reading->memory_size = journal_round_up(size);
  reading->memory = memory_new_aligned(JOURNAL_BLOCK, reading->memory_size);
}

/* Bytes [from, end) of the file are at the returned address, which is good until the next read. NULL: `status` says why. */
static const uint8_t *read_range(struct reading *reading, uint64_t from, uint64_t end, enum status *out_status) {
  uint64_t first = from & ~(uint64_t)(JOURNAL_BLOCK - 1);
  size_t size = (size_t)(journal_round_up(end) - first);
  size_t got = 0;
  need_memory(reading, size);
  *out_status = disk_read(reading->file, first, reading->memory, size, &got);
  if (*out_status == STATUS_OK && got < size) *out_status = STATUS_CORRUPT;
  return *out_status == STATUS_OK ? reading->memory + (from - first) : NULL;
}

static enum status read_file_head(struct reading *reading, uint64_t sequence) {
  enum status status = STATUS_OK;
  const uint8_t *block = read_range(reading, 0, JOURNAL_BLOCK, &status);
  if (block == NULL) return status;
  status = journal_file_head_decode(block, &reading->head);
  if (status != STATUS_OK) {
    /* Damaged; the copy at the end is as good. */
    struct disk_stat stat;
    status = disk_stat_file(reading->file, &stat);
    if (status != STATUS_OK) return status;
    if (stat.size < 2 * JOURNAL_BLOCK) return STATUS_CORRUPT;
    block = read_range(reading, journal_groups_end(stat.size), stat.size, &status);
    if (block == NULL) return status;
    status = journal_file_head_decode(block, &reading->head);
    if (status != STATUS_OK) return STATUS_CORRUPT;
  }
  return reading->head.sequence == sequence ? STATUS_OK : STATUS_NOT_FOUND;
}

static enum status open_file(struct reading *reading, uint64_t sequence) {
  char path[DISK_PATH_MAX];
  journal_file_path(path, sequence);
  disk_close(reading->file);
  reading->file = NULL;
  enum status status = disk_open(reading->disk, path, DISK_READ_ONLY | DISK_DIRECT, &reading->file);
  return status == STATUS_OK ? read_file_head(reading, sequence) : status;
}

/* A group's head and directory. `out_rows`: good until the next read. */
static enum status read_directory(struct reading *reading, uint64_t offset, struct journal_group_head *out_head,
                                  const uint8_t **out_rows) {
  enum status status = STATUS_OK;
  const uint8_t *group = read_range(reading, offset, offset + JOURNAL_BLOCK, &status);
  if (group == NULL) return status;
  size_t end = journal_group_directory_end(group);
  if (end == 0) return STATUS_CORRUPT;
  if (end > JOURNAL_BLOCK) {
    group = read_range(reading, offset, offset + end, &status);
    if (group == NULL) return status;
  }
  size_t size = end > JOURNAL_BLOCK ? end : JOURNAL_BLOCK;
  status = journal_group_head_decode(bytes_of(group, size), &reading->head, (uint32_t)(offset / JOURNAL_BLOCK), out_head);
  *out_rows = group + JOURNAL_GROUP_HEAD_SIZE;
  return status;
}

static struct journal_row row_at(const uint8_t *rows, uint32_t slot) {
  return journal_row_decode(rows + (size_t)slot * JOURNAL_ROW_SIZE);
}

static bool belongs(const struct journal_row *row, const struct journal_row *wanted) {
  return row->kind == FRAME_ENTRY && row->group == wanted->group && row->first_index == wanted->first_index;
}

/* Finds the part that begins at `start`, from slot `slot` on. Its bytes begin at `out_offset` in the file. */
static bool find_part(const uint8_t *rows, const struct journal_group_head *head, uint32_t slot, const struct journal_row *wanted,
                      uint64_t start, struct journal_row *out_row, uint64_t *out_offset) {
  uint64_t at = (uint64_t)head->block * JOURNAL_BLOCK + JOURNAL_GROUP_HEAD_SIZE + (uint64_t)head->rows * JOURNAL_ROW_SIZE;
  for (uint32_t i = 0; i < head->rows; i++) {
    struct journal_row row = row_at(rows, i);
    if (i >= slot && belongs(&row, wanted) && row.start == start) {
      *out_row = row;
      *out_offset = at;
      return true;
    }
    at += row.size;
  }
  return false;
}

/* Adds a checked part to the body. */
static enum status take_part(struct reading *reading, const uint8_t *part, size_t size, struct account *account) {
  if (reading->have < ENTRY_HEAD_SIZE) {
    size_t of_head = (size_t)(ENTRY_HEAD_SIZE - reading->have);
    if (of_head > size) of_head = size;
    memcpy(reading->entry_head + reading->have, part, of_head);
    reading->have += of_head;
    part += of_head;
    size -= of_head;
  }
  if (size == 0) return STATUS_OK;
  if (reading->payload == NULL) {
    enum status status = blob_new(account, (size_t)(reading->total - ENTRY_HEAD_SIZE), &reading->payload);
    if (status != STATUS_OK) return status;
  }
  memcpy(reading->payload->data + (reading->have - ENTRY_HEAD_SIZE), part, size);
  reading->have += size;
  return STATUS_OK;
}

/* The part of the body that is in the group at `offset`. STATUS_END: none is. */
static enum status read_part(struct reading *reading, uint64_t offset, uint32_t slot, const struct journal_row *wanted,
                             struct account *account, struct journal_group_head *out_head) {
  const uint8_t *rows = NULL;
  struct journal_row row;
  uint64_t at = 0;
  enum status status = read_directory(reading, offset, out_head, &rows);
  if (status != STATUS_OK) return status;
  if (!find_part(rows, out_head, slot, wanted, reading->have, &row, &at)) return STATUS_END;
  if (row.total < ENTRY_HEAD_SIZE || row.total > ENTRY_HEAD_SIZE + ENTRY_PAYLOAD_MAX) return STATUS_CORRUPT;
  if (reading->have > 0 && row.total != reading->total) return STATUS_CORRUPT;
  reading->total = row.total;
  const uint8_t *part = read_range(reading, at, at + row.size, &status);
  if (part == NULL) return status;
  if (crc32c(journal_crc_seed(&reading->head), bytes_of(part, row.size)) != row.crc) return STATUS_CORRUPT;
  return take_part(reading, part, row.size, account);
}

/* A body of many groups goes on in the next one, perhaps behind the table of the next file. */
static enum status read_body(struct reading *reading, struct journal_place place, const struct journal_row *wanted,
                             struct account *account) {
  struct journal_group_head head;
  enum status status = read_part(reading, place.offset, place.slot, wanted, account, &head);
  if (status == STATUS_END) return STATUS_CORRUPT;
  while (status == STATUS_OK && reading->have < reading->total) {
    uint64_t next = (uint64_t)head.block * JOURNAL_BLOCK + journal_round_up(head.size);
    uint64_t sequence = head.sequence;
    status = next < journal_groups_end(reading->head.size) ? read_part(reading, next, 0, wanted, account, &head) : STATUS_CORRUPT;
    bool went_on = (status == STATUS_OK || status == STATUS_END) && head.sequence == sequence + 1;
    if (status == STATUS_END && went_on) status = STATUS_OK; /* a table */
    if (went_on || (status != STATUS_OK && status != STATUS_CORRUPT)) continue;
    place.file++;
    status = open_file(reading, place.file);
    if (status != STATUS_OK) break;
    status = read_part(reading, JOURNAL_BLOCK, 0, wanted, account, &head);
    if (status == STATUS_END) status = STATUS_OK;
    if (status == STATUS_OK && head.sequence != sequence + 1) status = STATUS_CORRUPT;
  }
  return status;
}

static enum status finish(struct reading *reading, entry_index index, struct entry *out_entry) {
  struct entry entry = {0};
  enum status status = entry_decode_head(reading->entry_head, &entry.head);
  if (status != STATUS_OK) return status;
  if (entry.head.index != index) return STATUS_CORRUPT;
  if (reading->payload != NULL) {
    entry.payload =
        (struct blob_part){.blob = reading->payload, .bytes = bytes_of(reading->payload->data, reading->payload->size)};
  }
  status = entry_check_payload(&entry.head, entry.payload.bytes);
  if (status != STATUS_OK) return status;
  reading->payload = NULL; /* the entry holds it */
  *out_entry = entry;
  return STATUS_OK;
}

enum status journal_read_entry(struct journal *journal, struct journal_place place, group_id group, entry_index index,
                               struct account *account, struct entry *out_entry) {
  struct reading reading = {.disk = journal->world->disk};
  struct journal_row wanted = {.group = group, .first_index = index};
  enum status status = open_file(&reading, place.file);
  if (status == STATUS_OK) {
    status = read_body(&reading, place, &wanted, account);
    if (status == STATUS_OK) status = finish(&reading, index, out_entry);
    /* Was it bad, or was the file recycled meanwhile? */
    if (status == STATUS_CORRUPT && open_file(&reading, place.file) != STATUS_OK) status = STATUS_NOT_FOUND;
  }
  blob_release(reading.payload);
  disk_close(reading.file);
  memory_free(reading.memory);
  return status;
}
