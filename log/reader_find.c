/* The first record at or after a time: segments by their greatest times, then index rows, then entries, then records. */
#include "base/memory.h"
#include "log/batch.h"
#include "log/index.h"
#include "log/log_internal.h"
#include "log/reader.h"

#define INFLATED_MAX (64u << 20)

/* STATUS_OK: found. STATUS_END: none in it. */
static enum status find_in_records(struct reader_work *work, const struct entry_head *head, struct bytes plain) {
  struct batch_cursor cursor = batch_cursor_of(plain);
  for (record_offset offset = head->base_offset;; offset++) {
    struct batch_record record;
    enum status status = batch_next(&cursor, &record);
    if (status != STATUS_OK) return status == STATUS_END ? STATUS_END : STATUS_CORRUPT;
    int64_t time_ms = record.time_ms != 0 ? record.time_ms : head->base_time_ms;
    if (time_ms < work->time_ms || offset < work->offset) continue;
    if (offset >= work->limit) return STATUS_END;
    work->next_offset = offset;
    work->found_time_ms = time_ms;
    return STATUS_OK;
  }
}

static enum status find_in_entry(struct reader_work *work, const struct entry *entry) {
  const struct entry_head *head = &entry->head;
  if (head->record_count == 0 || head->max_time_ms < work->time_ms) return STATUS_END;
  if (head->codec == ENTRY_CODEC_NONE) return find_in_records(work, head, entry->payload.bytes);
  struct buffer plain;
  buffer_init(&plain, INFLATED_MAX);
  enum status status = batch_inflate(head->codec, entry->payload.bytes, head->uncompressed_size, &plain);
  if (status == STATUS_OK) status = find_in_records(work, head, buffer_bytes(&plain));
  buffer_deinit(&plain);
  return status == STATUS_OK || status == STATUS_END ? status : STATUS_CORRUPT;
}

static void begin(struct log_set *set, struct reader_work *work, const struct segment_info *segment,
                  struct segment_cursor *cursor, record_offset *out_expected) {
  struct index_row row;
  *out_expected = segment->first_offset;
  enum status status = index_find_time(reader_store(set), work->group, work->instance, segment, work->time_ms, &row);
  if (status != STATUS_OK) return;
  cursor->position = row.position;
  cursor->next_index = row.index;
  cursor->chain = row.previous_chain;
  cursor->chained = true;
  *out_expected = row.offset;
}

static enum status find_in_segment(struct reader *reader, struct reader_work *work, const struct segment_info *segment) {
  struct log_set *set = reader_set(reader);
  struct disk_file *file = NULL;
  enum status status = reader_open(reader, work->group, work->instance, segment->first_index, &file);
  if (status != STATUS_OK) return status;
  struct segment_cursor cursor;
  segment_cursor_init(&cursor, file, segment, set->options.account, SEGMENT_CHUNK_BYTES / 4);
  record_offset expected = 0;
  begin(set, work, segment, &cursor, &expected);
  for (;;) {
    struct entry entry;
    status = segment_cursor_next(&cursor, &entry);
    if (status == STATUS_CORRUPT) { /* what was asked for may have been there */
      record_offset end = segment->end_offset;
      status = reader_pass_damage(set, work->group, work->instance, segment, &cursor, expected, &end);
      work->next_offset = status == STATUS_OK ? end : segment->end_offset;
      work->damaged_segment = segment->first_index;
      status = STATUS_DAMAGED;
    }
    if (status != STATUS_OK) break;
    expected = entry_end_offset(&entry.head);
    status = find_in_entry(work, &entry);
    blob_part_release(entry.payload);
    if (status != STATUS_END) break;
  }
  segment_cursor_deinit(&cursor);
  return status;
}

static enum status find_unflushed(struct log_set *set, struct reader_work *work, const struct flush_entry *wanted) {
  if (wanted->cached) return find_in_entry(work, &wanted->entry);
  struct entry entry;
  enum status status =
      journal_read_entry(set->journal, wanted->place, work->group, wanted->entry.head.index, set->options.account, &entry);
  if (status == STATUS_CORRUPT) {
    work->next_offset = entry_end_offset(&wanted->entry.head);
    work->lost = wanted;
    return STATUS_DAMAGED;
  }
  if (status != STATUS_OK) return status;
  status = find_in_entry(work, &entry);
  entry_release(&entry);
  return status;
}

void reader_find_time(struct reader *reader, struct reader_work *work) {
  enum status status = STATUS_END;
  for (size_t i = 0; i < work->segment_count && status == STATUS_END; i++) {
    status = find_in_segment(reader, work, &work->segments[i]);
  }
  for (size_t i = 0; i < work->entry_count && status == STATUS_END; i++) {
    status = find_unflushed(reader_set(reader), work, &work->entries[i]);
  }
  work->status = status == STATUS_CORRUPT ? STATUS_DAMAGED : status;
}
