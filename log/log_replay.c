/* Telling an owner again what it has to apply: before lanes run, on the opening thread. */
#include "base/check.h"
#include "log/index.h"
#include "log/log_internal.h"

#define REPLAY_CHUNK 65536u

struct replay {
  const struct log *log;
  entry_index next;
  entry_index through;
  enum status (*visit)(void *context, const struct entry *entry);
  void *context;
};

static enum status replay_segment(struct replay *replay, const struct segment_info *segment) {
  const struct log *log = replay->log;
  char path[DISK_PATH_MAX];
  segment_path(path, log->group, log->instance, segment->first_index);
  struct disk_file *file = NULL;
  enum status status = disk_open(log->set->world->disk, path, DISK_READ_ONLY, &file);
  if (status == STATUS_NOT_FOUND) return STATUS_DAMAGED;
  if (status != STATUS_OK) return status;
  status = segment_check_owner(file, log->group, log->instance, segment->first_index, log->set->identity.incarnation);
  if (status != STATUS_OK) {
    disk_close(file);
    status = segment_owner_trouble(status);
    return status == STATUS_NOT_FOUND ? STATUS_DAMAGED : status;
  }
  struct segment_cursor cursor;
  segment_cursor_init(&cursor, file, segment, NULL, REPLAY_CHUNK);
  cursor.heads_only = true;
  struct index_row row;
  if (index_find_index(log->set->store, log->group, log->instance, segment, replay->next, &row) == STATUS_OK) {
    cursor.position = row.position;
    cursor.next_index = row.index;
    cursor.chain = row.previous_chain;
    cursor.chained = true;
  }
  while (status == STATUS_OK && replay->next <= replay->through) {
    struct entry entry;
    status = segment_cursor_next(&cursor, &entry);
    if (status != STATUS_OK) break;
    if (entry.head.index >= replay->next) {
      status = replay->visit(replay->context, &entry);
      replay->next = entry.head.index + 1;
    }
    blob_part_release(entry.payload);
  }
  segment_cursor_deinit(&cursor);
  disk_close(file);
  if (status == STATUS_END) return STATUS_OK;
  return status == STATUS_CORRUPT ? STATUS_DAMAGED : status;
}

static enum status replay_slot(struct replay *replay, const struct tail_slot *slot) {
  const struct log *log = replay->log;
  struct entry entry = {.head = slot->entry.head};
  bool needed = entry.head.kind != ENTRY_RECORDS && entry.head.payload_size > 0;
  if (!needed) return replay->visit(replay->context, &entry);
  if (tail_cached(&log->tail, entry.head.index)) return replay->visit(replay->context, &slot->entry);
  enum status status = journal_read_entry(log->set->journal, slot->place, log->group, entry.head.index, NULL, &entry);
  if (status == STATUS_CORRUPT || status == STATUS_NOT_FOUND) return STATUS_DAMAGED;
  if (status != STATUS_OK) return status;
  status = replay->visit(replay->context, &entry);
  entry_release(&entry);
  return status;
}

enum status log_replay(struct log *log, entry_index applied, entry_index through,
                       enum status (*visit)(void *context, const struct entry *entry), void *context) {
  PRE(through <= log->last_index);
  struct replay replay = {.log = log, .next = applied + 1, .through = through, .visit = visit, .context = context};
  if (replay.next < log->start_index) replay.next = log->start_index;
  for (size_t i = 0; i < log->segment_count && replay.next <= through; i++) {
    if (log->segments[i].last_index < replay.next) continue;
    enum status status = replay_segment(&replay, &log->segments[i]);
    if (status == STATUS_DAMAGED) { /* told by log_damaged_ranges() once it is read; the owner goes on behind it */
      replay.next = log->segments[i].last_index + 1;
      log->damaged = true;
      continue;
    }
    if (status != STATUS_OK) return status;
  }
  for (; replay.next <= through; replay.next++) {
    const struct tail_slot *slot = tail_at(&log->tail, replay.next);
    if (slot == NULL || slot->lost) continue;
    enum status status = replay_slot(&replay, slot);
    if (status == STATUS_DAMAGED) { /* read a moment ago, and rotten since */
      log->damaged = true;
      continue;
    }
    if (status != STATUS_OK) return status;
  }
  return STATUS_OK;
}
