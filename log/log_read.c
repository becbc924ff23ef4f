/* A lane's side of reading: from memory at once, or a description of where to look for a reader. */
#include <string.h>

#include "base/check.h"
#include "base/memory.h"
#include "base/mutant.h"
#include "base/probe.h"
#include "log/log_internal.h"
#include "log/reader.h"

#define TRIES_MAX 16u
#define FIND_ENTRIES_MAX 64u
#define JOURNAL_ENTRIES_MAX 64u /* read back one by one */

static record_offset committed_end(const struct log *log) {
  if (MUTANT(read_beyond_commit)) return log->next_offset;
  const struct tail_slot *slot = tail_at(&log->tail, log->commit_index);
  return slot != NULL ? entry_end_offset(&slot->entry.head) : log->flushed_offset;
}

static void answer(struct log_read *read, enum status status, record_offset next_offset) {
  read->status = status;
  read->next_offset = next_offset;
}

/* ---- From memory ---- */

static void add_entry(struct log_read *read, const struct entry *entry) {
  if ((read->count & (read->count - 1)) == 0) {
    read->entries = memory_grow_array(read->entries, read->count == 0 ? 1 : read->count * 2, sizeof *read->entries);
  }
  read->entries[read->count++] = (struct entry){.head = entry->head, .payload = blob_part_hold(entry->payload)};
}

static void read_memory(const struct log *log, struct log_read *read, const struct tail_slot *slot) {
  size_t bytes = 0;
  record_offset next = read->offset;
  for (; slot != NULL; slot = tail_at(&log->tail, slot->entry.head.index + 1)) {
    const struct entry_head *head = &slot->entry.head;
    if (head->index > log->commit_index && !MUTANT(read_beyond_commit)) break;
    if (head->base_offset >= read->limit && head->record_count > 0) break;
    if (head->record_count == 0) continue;
    size_t size = (size_t)entry_size(head);
    if (read->count == LOG_READ_ENTRIES_MAX || (read->count > 0 && bytes + size > read->bytes_max)) break;
    add_entry(read, &slot->entry);
    bytes += size;
    next = entry_end_offset(head);
  }
  answer(read, STATUS_OK, next);
}

/* ---- Elsewhere ---- */

static void want_journal(const struct log *log, struct reader_work *work, const struct tail_slot *slot) {
  work->job = READER_JOURNAL;
  work->entries = memory_new_array(JOURNAL_ENTRIES_MAX, sizeof *work->entries);
  work->entry_count = 0;
  size_t bytes = 0;
  for (; slot != NULL && slot->entry.head.index <= log->commit_index; slot = tail_at(&log->tail, slot->entry.head.index + 1)) {
    const struct entry_head *head = &slot->entry.head;
    if (slot->lost || tail_cached(&log->tail, head->index) || head->base_offset >= work->limit) break;
    if (head->record_count == 0) continue;
    if (work->entry_count == JOURNAL_ENTRIES_MAX || (work->entry_count > 0 && bytes + entry_size(head) > work->bytes_max)) break;
    work->entries[work->entry_count++] = (struct flush_entry){.entry.head = *head, .place = slot->place};
    bytes += (size_t)entry_size(head);
  }
}

/* The segment that holds the offset, or NULL; then *out_next is where the next one begins. */
static const struct segment_info *find_segment(const struct log *log, record_offset offset, record_offset *out_next) {
  size_t low = 0;
  size_t high = log->segment_count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (log->segments[middle].end_offset > offset) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  const struct tail_slot *slot = tail_find(&log->tail, offset);
  *out_next = low < log->segment_count ? log->segments[low].first_offset
              : slot != NULL           ? slot->entry.head.base_offset
                                       : log->next_offset;
  if (low == log->segment_count || log->segments[low].first_offset > offset) return NULL;
  return &log->segments[low];
}

static bool known_damage(const struct log *log, struct log_read *read) {
  for (size_t i = 0; i < log->damage_count; i++) {
    if (read->offset < log->damage[i].first || read->offset >= log->damage[i].end) continue;
    answer(read, STATUS_DAMAGED, log->damage[i].end);
    return true;
  }
  return false;
}

/* True: answered. False: `work` says where to look. */
static bool resolve(struct log *log, struct log_read *read, struct reader_work *work) {
  if (log->deleting || log->closed) {
    answer(read, STATUS_NOT_FOUND, read->offset);
    return true;
  }
  record_offset end = committed_end(log);
  if (read->offset < log->start_offset) {
    answer(read, STATUS_BELOW_START, log->start_offset);
  } else if (read->offset >= read->limit) {
    answer(read, STATUS_OK, read->offset);
  } else if (read->offset >= end) {
    answer(read, STATUS_BEYOND_END, end);
  } else if (!known_damage(log, read)) {
    const struct tail_slot *slot = tail_find(&log->tail, read->offset);
    bool in_tail = slot != NULL && slot->entry.head.base_offset <= read->offset;
    if (in_tail && slot->lost) {
      answer(read, STATUS_DAMAGED, entry_end_offset(&slot->entry.head));
      return true;
    }
    if (in_tail && tail_cached(&log->tail, slot->entry.head.index)) {
      read_memory(log, read, slot);
      return true;
    }
    if (work == NULL) return false;
    if (in_tail) {
      REACHED(read_from_the_journal);
      want_journal(log, work, slot);
      return false;
    }
    record_offset next = 0;
    const struct segment_info *segment = find_segment(log, read->offset, &next);
    if (segment != NULL) {
      REACHED(read_from_a_segment);
      work->job = READER_SEGMENT;
      work->segments = memory_new_array(1, sizeof *work->segments);
      work->segments[0] = *segment;
      work->segment_count = 1;
      return false;
    }
    log_note_damage(log, (struct log_range){.first = read->offset, .end = next});
    answer(read, STATUS_DAMAGED, next);
  }
  return true;
}

static void finish_read(struct task *task);

static void submit(struct log *log, struct reader_work *work) {
  log->reads++;
  work->finish.run = finish_read;
  reader_submit(log->set, work);
}

static struct reader_work *work_new(const struct log *log, struct loop *loop) {
  struct reader_work *work = NEW(struct reader_work);
  work->lane = loop;
  work->group = log->group;
  work->instance = log->instance;
  return work;
}

static struct reader_work *read_work(struct log *log, struct log_read *read) {
  struct reader_work *work = work_new(log, read->loop);
  work->log = log;
  work->read = read;
  work->offset = read->offset;
  work->limit = read->limit;
  work->bytes_max = read->bytes_max;
  work->cursor = read->cursor;
  return work;
}

/* Takes what the reader found; false: it went meanwhile. */
static bool take_answer(struct log *log, struct log_read *read, struct reader_work *work) {
  if (work->status == STATUS_NOT_FOUND) return false;
  if (work->status == STATUS_OK && work->found_count == 0) return false;
  bool rot = work->status == STATUS_DAMAGED;
  if (rot && work->job == READER_JOURNAL && !log_lose(log, work->lost)) return false;
  answer(read, work->status, work->next_offset);
  if (rot && work->job == READER_SEGMENT) log_suspect_more(log, work->segments[0].first_index, work->damage);
  else if (rot) log_note_damage(log, work->damage);
  if (work->status != STATUS_OK) return true;
  read->cold = true;
  read->cursor = work->job == READER_SEGMENT ? work->cursor : (struct log_cursor){0};
  read->entries = work->found;
  read->count = work->found_count;
  work->found = NULL;
  work->found_count = 0;
  return true;
}

/* A segment whose file is not there any more, though it should be. */
static void give_up(struct log *log, struct log_read *read, struct reader_work *work) {
  if (work->job != READER_SEGMENT || work->status != STATUS_NOT_FOUND) {
    answer(read, STATUS_IO, read->offset);
    return;
  }
  struct log_range range = {.first = work->segments[0].first_offset, .end = work->segments[0].end_offset};
  log_suspect_more(log, work->segments[0].first_index, range);
  answer(read, STATUS_DAMAGED, range.end);
}

static void finish_read(struct task *task) {
  struct reader_work *work = container_of(task, struct reader_work, finish);
  struct log *log = work->log;
  struct log_read *read = work->read;
  unsigned tries = work->tries + 1;
  log->reads--;
  if (log->deleting || log->closed) {
    answer(read, STATUS_NOT_FOUND, read->offset);
  } else if (!take_answer(log, read, work)) {
    struct reader_work *again = read_work(log, read);
    again->tries = tries;
    again->cursor = (struct log_cursor){0};
    bool answered = resolve(log, read, again);
    if (!answered && tries < TRIES_MAX) {
      reader_work_free(work);
      submit(log, again);
      return;
    }
    if (!answered) give_up(log, read, work);
    reader_work_free(again);
  }
  reader_work_free(work);
  loop_post(read->loop, &read->done);
  log_lane_read_ended(log);
}

bool log_read(struct log *log, struct log_read *read) {
  read->entries = NULL;
  read->count = 0;
  read->cold = false;
  if (resolve(log, read, NULL)) return true;
  struct reader_work *work = read_work(log, read);
  if (resolve(log, read, work)) {
    reader_work_free(work);
    return true;
  }
  submit(log, work);
  return false;
}

void log_read_reset(struct log_read *read) {
  for (size_t i = 0; i < read->count; i++) entry_release(&read->entries[i]);
  memory_free(read->entries);
  read->entries = NULL;
  read->count = 0;
}

/* ---- By time ---- */

static void finish_find(struct task *task);

static void want_time(const struct log *log, struct log_find *find, struct reader_work *work) {
  work->job = READER_TIME;
  work->segments = memory_new_array(log->segment_count + 1, sizeof *work->segments);
  work->entries = memory_new_array(FIND_ENTRIES_MAX, sizeof *work->entries);
  for (size_t i = 0; i < log->segment_count; i++) {
    const struct segment_info *segment = &log->segments[i];
    if (segment->max_time_ms < find->time_ms || segment->end_offset <= log->start_offset) continue;
    if (segment->first_offset < find->limit) work->segments[work->segment_count++] = *segment;
  }
  for (entry_index index = log->flushed_index + 1; index <= log->commit_index; index++) {
    const struct tail_slot *slot = tail_at(&log->tail, index);
    if (slot == NULL || slot->lost || slot->entry.head.record_count == 0) continue;
    if (slot->entry.head.max_time_ms < find->time_ms || entry_end_offset(&slot->entry.head) <= log->start_offset) continue;
    if (slot->entry.head.base_offset >= find->limit || work->entry_count == FIND_ENTRIES_MAX) break;
    struct flush_entry *entry = &work->entries[work->entry_count++];
    *entry = (struct flush_entry){.entry.head = slot->entry.head, .place = slot->place};
    if (!tail_cached(&log->tail, index)) continue;
    entry->cached = true;
    entry->entry.payload = blob_part_hold(slot->entry.payload);
  }
}

static void submit_find(struct log *log, struct log_find *find, unsigned tries) {
  struct reader_work *work = work_new(log, find->loop);
  work->log = log;
  work->find = find;
  work->tries = tries;
  work->offset = log->start_offset;
  work->time_ms = find->time_ms;
  record_offset end = committed_end(log);
  work->limit = find->limit < end ? find->limit : end;
  want_time(log, find, work);
  log->reads++;
  work->finish.run = finish_find;
  reader_submit(log->set, work);
}

static void finish_find(struct task *task) {
  struct reader_work *work = container_of(task, struct reader_work, finish);
  struct log *log = work->log;
  struct log_find *find = work->find;
  log->reads--;
  bool gone = log->deleting || log->closed;
  bool moved = work->status == STATUS_NOT_FOUND;
  if (!gone && work->status == STATUS_DAMAGED && work->lost != NULL) moved = !log_lose(log, work->lost);
  if (!gone && moved && work->tries < TRIES_MAX) {
    submit_find(log, find, work->tries + 1);
    reader_work_free(work);
    return;
  }
  find->status = gone ? STATUS_NOT_FOUND : work->status == STATUS_NOT_FOUND ? STATUS_DAMAGED : work->status;
  find->offset = work->next_offset;
  find->found_time_ms = work->found_time_ms;
  if (!gone && work->damaged_segment != 0) log_suspect(log, work->damaged_segment);
  reader_work_free(work);
  loop_post(find->loop, &find->done);
  log_lane_read_ended(log);
}

void log_find_time(struct log *log, struct log_find *find) { submit_find(log, find, 0); }
