/* A segment that rot has met: where it is, and the very bytes that were there put back in their place.
 *
 * Whoever offers entries for a hole need not be believed: the chain link before it is known, and the one behind it, so only what stood there fits.
 * Between them a segment may have padding, and where it was is lost with the rest: any that ends where the hole ends reads just as well.
 */
#include <string.h>

#include "base/check.h"
#include "base/memory.h"
#include "base/probe.h"
#include "log/log_internal.h"
#include "log/reader.h"

static uint64_t block_up(uint64_t position) { return (position + DISK_BLOCK_SIZE - 1) / DISK_BLOCK_SIZE * DISK_BLOCK_SIZE; }

static struct disk_file *open_file(struct log_set *set, const struct reader_work *work, unsigned flags, enum status *out_status) {
  char path[DISK_PATH_MAX];
  struct disk_file *file = NULL;
  segment_path(path, work->group, work->instance, work->segments[0].first_index);
  *out_status = disk_open(set->world->disk, path, flags, &file);
  if (*out_status != STATUS_OK) return NULL;
  *out_status = segment_check_owner(file, work->group, work->instance, work->segments[0].first_index, set->identity.incarnation);
  if (*out_status == STATUS_OK) return file;
  disk_close(file);
  *out_status = segment_owner_trouble(*out_status);
  return NULL;
}

/* ---- Finding ---- */

/* At the first entry that is not as it should be, or behind the last one: STATUS_CORRUPT, STATUS_END. `*position` is where the entry before ends: zeros
 * behind it may be padding, or what rot has left. */
static enum status walk(struct segment_cursor *cursor, record_offset *offset, uint64_t *position) {
  for (;;) {
    *position = cursor->position;
    struct entry entry;
    enum status status = segment_cursor_next(cursor, &entry);
    if (status == STATUS_OK && entry.head.base_offset != *offset) { /* an entry of elsewhere */
      blob_part_release(entry.payload);
      return STATUS_DAMAGED;
    }
    if (status != STATUS_OK) return status;
    *offset = entry_end_offset(&entry.head);
    blob_part_release(entry.payload);
  }
}

static bool header_is_whole(struct disk_file *file) {
  uint8_t *block = memory_new_aligned(DISK_BLOCK_SIZE, SEGMENT_HEADER_SIZE);
  struct segment_header header;
  size_t got = 0;
  enum status status = disk_read(file, 0, block, SEGMENT_HEADER_SIZE, &got);
  bool whole = status == STATUS_OK && got == SEGMENT_HEADER_SIZE && segment_header_decode(block, &header) == STATUS_OK;
  memory_free(block);
  return whole || status != STATUS_OK; /* one that the disk would not read is not looked at */
}

static void describe(struct log_mend *mend, const struct segment_cursor *before, const struct segment_cursor *behind) {
  mend->end = behind->position;
  mend->chain = before->chain;
  mend->chained = before->chained;
  mend->first = before->next_index;
  mend->last = behind->next_index - 1;
  mend->last_chain = behind->chain;
  mend->last_chained = behind->chained;
  mend->bytes = mend->end - mend->position;
}

/* The first hole that is not passed over: STATUS_OK, and it is described. STATUS_END: there is no other. */
static enum status walk_to_hole(struct log_set *set, const struct reader_work *work, struct segment_cursor *cursor) {
  struct log_mend *mend = work->mend;
  mend->passed = false;
  mend->end_offset = work->segments[0].first_offset;
  for (;;) {
    mend->first_offset = mend->end_offset;
    enum status status = walk(cursor, &mend->first_offset, &mend->position);
    if (status != STATUS_CORRUPT) return status;
    struct segment_cursor before = *cursor;
    status =
        reader_pass_damage(set, work->group, work->instance, &work->segments[0], cursor, mend->first_offset, &mend->end_offset);
    if (status != STATUS_OK) return status;
    describe(mend, &before, cursor);
    if (mend->last > mend->passes) return STATUS_OK;
    mend->passed = true;
  }
}

void reader_mend_find(struct log_set *set, struct reader_work *work) {
  struct log_mend *mend = work->mend;
  const struct segment_info *segment = &work->segments[0];
  struct disk_file *file = open_file(set, work, DISK_READ_ONLY | DISK_DIRECT, &work->status);
  if (file == NULL) return;
  struct segment_cursor cursor;
  segment_cursor_init(&cursor, file, segment, set->options.account, SEGMENT_CHUNK_BYTES);
  enum status status = walk_to_hole(set, work, &cursor);
  mend->header = !header_is_whole(file);
  if (status == STATUS_END && mend->header) {
    mend->position = mend->end = SEGMENT_HEADER_SIZE;
    mend->bytes = 0;
    mend->end_offset = mend->first_offset;
    mend->first = segment->first_index;
    mend->last = mend->first - 1;
    mend->chain = segment->previous_chain;
    mend->chained = segment->chained;
    status = STATUS_OK;
  }
  work->status = status;
  segment_cursor_deinit(&cursor);
  disk_close(file);
}

/* ---- Checking what is offered ---- */

static bool linked(const struct log_mend *mend, uint64_t *out_chain) {
  uint64_t chain = mend->chain;
  bool known = mend->chained;
  if (mend->count != mend->last + 1 - mend->first) return false;
  for (size_t i = 0; i < mend->count; i++) {
    const struct entry *entry = &mend->entries[i];
    if (entry->head.index != mend->first + i || entry_check_payload(&entry->head, entry->payload.bytes) != STATUS_OK)
      return false;
    if (known && entry_chain(&entry->head, entry->payload.bytes, chain) != entry->head.chain) return false;
    chain = entry->head.chain;
    known = true;
  }
  *out_chain = chain;
  return known;
}

/* Does it end as what was there did, or does what stands behind the hole follow? */
static enum status leads_on(struct log_set *set, struct reader_work *work, struct disk_file *file, uint64_t chain) {
  const struct log_mend *mend = work->mend;
  const struct segment_info *segment = &work->segments[0];
  if (mend->last_chained) return chain == mend->last_chain ? STATUS_OK : STATUS_CORRUPT;
  struct segment_cursor cursor;
  segment_cursor_init(&cursor, file, segment, set->options.account, DISK_BLOCK_SIZE);
  cursor.position = mend->end;
  cursor.next_index = mend->last + 1;
  cursor.chain = chain;
  cursor.chained = true;
  struct entry entry;
  enum status status = segment_cursor_next(&cursor, &entry);
  if (status == STATUS_OK) blob_part_release(entry.payload);
  segment_cursor_deinit(&cursor);
  return status == STATUS_END ? STATUS_CORRUPT : status;
}

/* ---- Laying it out ---- */

/* Where each entry begins, so that they and zeros between them fill the hole exactly. Zeros reach from an entry's end to the next block, so what is
 * behind the last of them is from the beginning of a block to the end of the hole: the later that may be, the more can be padded before. There as
 * much is padded as there is too much, from the first entry on, until less than a block is left for the last. False: whatever is padded, they do not fit. */
bool reader_mend_lay_out(const struct log_mend *mend, uint64_t *begins) {
  uint64_t left = mend->bytes, behind = 0; /* to be padded; what the entries behind the last padding take */
  size_t last = mend->count;               /* the last padding is before that one */
  for (size_t i = 0; i < mend->count; i++) {
    if (entry_size(&mend->entries[i].head) > left) return false;
    left -= entry_size(&mend->entries[i].head);
  }
  while (left > 0 && (mend->end - behind) % DISK_BLOCK_SIZE != 0) {
    if (last == 0) return false;
    behind += entry_size(&mend->entries[--last].head);
  }
  uint64_t at = mend->position;
  for (size_t i = 0; i <= mend->count; i++) {
    uint64_t gap = block_up(at) - at;
    bool pads = left > 0 && (i == last || (i < last && left >= DISK_BLOCK_SIZE));
    if (pads && gap > left) return false;
    if (pads) at += gap, left -= gap;
    if (i == mend->count) break;
    begins[i] = at;
    at += entry_size(&mend->entries[i].head);
  }
  return at == mend->end;
}

static void put(uint8_t *bytes, const struct log_mend *mend, const uint64_t *begins) {
  for (size_t i = 0; i < mend->count; i++) {
    const struct entry *entry = &mend->entries[i];
    uint8_t *at = bytes + (begins[i] - mend->position);
    entry_encode_head(&entry->head, at);
    if (entry->payload.bytes.size > 0) memcpy(at + ENTRY_HEAD_SIZE, entry->payload.bytes.data, entry->payload.bytes.size);
  }
}

/* ---- Writing ---- */

static enum status write_header(struct log_set *set, const struct reader_work *work, struct disk_file *file) {
  const struct segment_info *segment = &work->segments[0];
  uint8_t block[SEGMENT_HEADER_SIZE];
  struct segment_header header = {.group = work->group,
                                  .instance = work->instance,
                                  .first_index = segment->first_index,
                                  .base_offset = segment->first_offset,
                                  .previous_chain = segment->previous_chain,
                                  .chained = segment->chained};
  memcpy(header.owner, set->identity.incarnation, SEGMENT_OWNER_SIZE);
  segment_header_encode(&header, block);
  return disk_write(file, 0, bytes_of(block, sizeof block));
}

static enum status write_all(struct log_set *set, const struct reader_work *work, const uint8_t *bytes) {
  const struct log_mend *mend = work->mend;
  enum status status = STATUS_OK;
  struct disk_file *file = open_file(set, work, 0, &status);
  if (file == NULL) return status;
  if (mend->bytes > 0) status = disk_write(file, mend->position, bytes_of(bytes, mend->bytes));
  if (status == STATUS_OK && mend->header) status = write_header(set, work, file);
  if (status == STATUS_OK) status = disk_sync(file);
  disk_close(file);
  for (size_t i = 0; i < set->reader_count; i++) reader_forget_files(set->readers[i]); /* they may have the old bytes in memory */
  return status;
}

static enum status check(struct log_set *set, struct reader_work *work) {
  uint64_t chain = work->mend->chain;
  if (!linked(work->mend, &chain)) return STATUS_CORRUPT;
  enum status status = STATUS_OK;
  struct disk_file *file = open_file(set, work, DISK_READ_ONLY | DISK_DIRECT, &status);
  if (file == NULL) return status;
  status = leads_on(set, work, file, chain);
  disk_close(file);
  return status;
}

void reader_mend_fill(struct log_set *set, struct reader_work *work) {
  const struct log_mend *mend = work->mend;
  work->status = mend->bytes == 0 ? STATUS_OK : check(set, work);
  if (work->status != STATUS_OK) return;
  uint64_t *begins = memory_new_array(mend->count + 1, sizeof *begins);
  uint8_t *bytes = memory_new(mend->bytes + 1); /* zeroed: what no entry takes is padding */
  if (mend->bytes > 0 && !reader_mend_lay_out(mend, begins)) {
    work->status = STATUS_CORRUPT;
  } else {
    REACHED(segment_mended);
    put(bytes, mend, begins);
    work->status = write_all(set, work, bytes);
  }
  memory_free(bytes);
  memory_free(begins);
}
