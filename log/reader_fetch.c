/* Entries of every kind out of one segment, by index: what a follower that is far behind is sent. */
#include "base/memory.h"
#include "log/index.h"
#include "log/log_internal.h"
#include "log/reader.h"

#define FETCH_CHUNK_MIN 65536u

struct fetch {
  struct reader_work *work;
  const struct segment_info *segment;
  struct segment_cursor cursor;
  record_offset offset; /* of the entry at the cursor */
  size_t bytes;
  bool hinted; /* it began where somebody said, and nothing is verified yet */
};

static void begin_at_start(struct fetch *fetch) {
  fetch->cursor.position = SEGMENT_HEADER_SIZE;
  fetch->cursor.next_index = fetch->segment->first_index;
  fetch->cursor.chain = fetch->segment->previous_chain;
  fetch->cursor.chained = fetch->segment->chained;
  fetch->offset = fetch->segment->first_offset;
  fetch->hinted = false;
}

static void begin(struct fetch *fetch, struct store *store) {
  const struct reader_work *work = fetch->work;
  const struct log_cursor *hint = &work->cursor;
  struct index_row row;
  begin_at_start(fetch);
  if (hint->segment == fetch->segment->first_index && hint->index == work->first && hint->position < fetch->segment->length) {
    row = (struct index_row){
        .position = hint->position, .index = hint->index, .offset = hint->offset, .previous_chain = hint->chain};
  } else if (index_find_index(store, work->group, work->instance, fetch->segment, work->first, &row) != STATUS_OK) {
    return;
  }
  fetch->cursor.position = row.position;
  fetch->cursor.next_index = row.index;
  fetch->cursor.chain = row.previous_chain;
  fetch->cursor.chained = true;
  fetch->offset = row.offset;
  fetch->hinted = true;
}

/* Takes the entry; false when the read is full without it. */
static bool take(struct fetch *fetch, const struct entry *entry) {
  struct reader_work *work = fetch->work;
  size_t size = (size_t)entry_size(&entry->head);
  if (work->found_count > 0 && (work->found_count >= work->count_max || fetch->bytes + size > work->bytes_max)) return false;
  if ((work->found_count & (work->found_count - 1)) == 0) {
    size_t room = work->found_count == 0 ? 1 : work->found_count * 2;
    work->found = memory_grow_array(work->found, room, sizeof *work->found);
  }
  work->found[work->found_count++] = *entry;
  fetch->bytes += size;
  return true;
}

static void leave_cursor(const struct fetch *fetch) {
  fetch->work->cursor = (struct log_cursor){
      .segment = fetch->segment->first_index,
      .position = fetch->cursor.position,
      .offset = fetch->offset,
      .index = fetch->cursor.next_index,
      .chain = fetch->cursor.chain,
  };
}

static enum status next(struct fetch *fetch, struct entry *out_entry) {
  enum status status = segment_cursor_next(&fetch->cursor, out_entry);
  bool elsewhere = status == STATUS_OK && out_entry->head.base_offset != fetch->offset;
  if (elsewhere) blob_part_release(out_entry->payload);
  if (!elsewhere) return status;
  return fetch->hinted ? STATUS_CORRUPT : STATUS_DAMAGED;
}

/* What is damaged before the first that is asked for is no matter. STATUS_DAMAGED: it is that one. */
static enum status pass_damage(struct fetch *fetch, struct log_set *set) {
  const struct reader_work *work = fetch->work;
  enum status status =
      reader_pass_damage(set, work->group, work->instance, fetch->segment, &fetch->cursor, fetch->offset, &fetch->offset);
  return status == STATUS_OK && fetch->cursor.next_index > work->first ? STATUS_DAMAGED : status;
}

/* STATUS_END: full, or nothing more of this segment is in memory. */
static enum status fetch_on(struct fetch *fetch, struct log_set *set) {
  struct reader_work *work = fetch->work;
  for (;;) {
    if (work->found_count > 0 && !segment_cursor_ready(&fetch->cursor)) return STATUS_END;
    struct segment_cursor before = fetch->cursor;
    struct entry entry;
    enum status status = next(fetch, &entry);
    if (status == STATUS_CORRUPT && fetch->hinted) {
      begin_at_start(fetch);
      continue;
    }
    if (status == STATUS_CORRUPT && work->found_count > 0) return STATUS_END;
    if (status == STATUS_CORRUPT) {
      status = pass_damage(fetch, set);
      if (status != STATUS_OK) return status;
      continue;
    }
    if (status != STATUS_OK) return status;
    fetch->hinted = false;
    if (entry.head.index < work->first) {
      blob_part_release(entry.payload);
    } else if (entry.head.index > work->last || !take(fetch, &entry)) {
      blob_part_release(entry.payload);
      fetch->cursor.position = before.position;
      fetch->cursor.next_index = before.next_index;
      fetch->cursor.chain = before.chain;
      return STATUS_END;
    }
    fetch->offset = entry_end_offset(&entry.head);
  }
}

void reader_fetch(struct reader *reader, struct reader_work *work) {
  struct log_set *set = reader_set(reader);
  struct fetch fetch = {.work = work, .segment = &work->segments[0]};
  struct disk_file *file = NULL;
  work->status = reader_open(reader, work->group, work->instance, fetch.segment->first_index, &file);
  if (work->status != STATUS_OK) return;
  /* What is asked for at once is read at once, and hardly more: the next fetch begins behind it. */
  size_t chunk = work->bytes_max < FETCH_CHUNK_MIN       ? FETCH_CHUNK_MIN
                 : work->bytes_max < SEGMENT_CHUNK_BYTES ? work->bytes_max
                                                         : SEGMENT_CHUNK_BYTES;
  segment_cursor_init(&fetch.cursor, file, fetch.segment, set->options.account, chunk);
  begin(&fetch, reader_store(set));
  enum status status = fetch_on(&fetch, set);
  if (status == STATUS_END) leave_cursor(&fetch);
  work->status = status != STATUS_END ? status : work->found_count > 0 ? STATUS_OK : STATUS_DAMAGED;
  segment_cursor_deinit(&fetch.cursor);
}
