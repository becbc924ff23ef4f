/* A lane's side of fetching entries by index: from memory at once, or a description of where to look for a reader. */
#include <string.h>

#include "base/check.h"
#include "base/memory.h"
#include "log/log_internal.h"
#include "log/reader.h"

#define TRIES_MAX 16u
#define JOURNAL_ENTRIES_MAX 64u /* read back one by one */

static void finish_fetch(struct task *task);

/* ---- From memory ---- */

static void fetch_memory(const struct log *log, struct log_fetch *fetch) {
  entry_index last = fetch->last < log->last_index ? fetch->last : log->last_index;
  size_t count = (size_t)(last - fetch->first + 1);
  size_t bytes = 0;
  if (count > fetch->count_max) count = fetch->count_max > 0 ? fetch->count_max : 1;
  fetch->entries = memory_new_array(count, sizeof *fetch->entries);
  while (fetch->count < count) {
    const struct entry *entry = &tail_at(&log->tail, fetch->first + fetch->count)->entry;
    bytes += (size_t)entry_size(&entry->head);
    if (fetch->count > 0 && bytes > fetch->bytes_max) break;
    fetch->entries[fetch->count++] = (struct entry){.head = entry->head, .payload = blob_part_hold(entry->payload)};
  }
}

/* ---- Elsewhere ---- */

static struct reader_work *want_journal(const struct log *log, const struct log_fetch *fetch) {
  struct reader_work *work = NEW(struct reader_work);
  work->job = READER_JOURNAL;
  work->entries = memory_new_array(JOURNAL_ENTRIES_MAX, sizeof *work->entries);
  size_t bytes = 0;
  for (entry_index index = fetch->first; index <= fetch->last && work->entry_count < JOURNAL_ENTRIES_MAX; index++) {
    const struct tail_slot *slot = tail_at(&log->tail, index);
    if (slot == NULL || slot->lost || tail_cached(&log->tail, index)) break;
    bytes += (size_t)entry_size(&slot->entry.head);
    if (work->entry_count > 0 && (work->entry_count >= fetch->count_max || bytes > fetch->bytes_max)) break;
    work->entries[work->entry_count++] = (struct flush_entry){.entry.head = slot->entry.head, .place = slot->place};
  }
  return work;
}

static const struct segment_info *find_segment(const struct log *log, entry_index index) {
  size_t low = 0;
  size_t high = log->segment_count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (log->segments[middle].last_index >= index) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return low < log->segment_count && log->segments[low].first_index <= index ? &log->segments[low] : NULL;
}

static struct reader_work *want_segment(const struct segment_info *segment) {
  struct reader_work *work = NEW(struct reader_work);
  work->job = READER_FETCH;
  work->segments = memory_new_array(1, sizeof *work->segments);
  work->segments[0] = *segment;
  work->segment_count = 1;
  return work;
}

/* NULL: answered. Else where to look. */
static struct reader_work *resolve(struct log *log, struct log_fetch *fetch) {
  const struct tail_slot *slot = tail_at(&log->tail, fetch->first);
  if (log->deleting || log->closed) {
    fetch->status = STATUS_NOT_FOUND;
  } else if (fetch->first < log_first_kept(log)) {
    fetch->status = STATUS_BELOW_START;
  } else if (fetch->first > log->last_index) {
    fetch->status = STATUS_BEYOND_END;
  } else if (slot != NULL && slot->lost) {
    fetch->status = STATUS_DAMAGED;
  } else if (slot != NULL && tail_cached(&log->tail, fetch->first)) {
    fetch->status = STATUS_OK;
    fetch_memory(log, fetch);
  } else if (slot != NULL) {
    return want_journal(log, fetch);
  } else {
    const struct segment_info *segment = find_segment(log, fetch->first);
    if (segment != NULL) return want_segment(segment);
    fetch->status = STATUS_DAMAGED;
  }
  return NULL;
}

static void submit(struct log *log, struct log_fetch *fetch, struct reader_work *work) {
  work->lane = fetch->loop;
  work->log = log;
  work->fetch = fetch;
  work->group = log->group;
  work->instance = log->instance;
  work->first = fetch->first;
  work->last = fetch->last;
  work->count_max = fetch->count_max;
  work->bytes_max = fetch->bytes_max;
  work->cursor = fetch->cursor;
  work->cuts = log->cuts;
  work->finish.run = finish_fetch;
  log->reads++;
  reader_submit(log->set, work);
}

/* Takes what the reader found. False: it went meanwhile, or was cut. */
static bool take_answer(struct log *log, struct log_fetch *fetch, struct reader_work *work) {
  if (work->status == STATUS_NOT_FOUND || work->cuts != log->cuts) return false;
  bool rot = work->status == STATUS_DAMAGED;
  if (rot && work->job == READER_JOURNAL && !log_lose(log, work->lost)) return false;
  fetch->status = work->status;
  if (rot && work->job == READER_FETCH) log_suspect(log, work->segments[0].first_index);
  if (work->status != STATUS_OK) return true;
  fetch->cold = true;
  fetch->cursor = work->job == READER_FETCH ? work->cursor : (struct log_cursor){0};
  fetch->entries = work->found;
  fetch->count = work->found_count;
  work->found = NULL;
  work->found_count = 0;
  return true;
}

static void finish_fetch(struct task *task) {
  struct reader_work *work = container_of(task, struct reader_work, finish);
  struct log *log = work->log;
  struct log_fetch *fetch = work->fetch;
  struct reader_work *again = NULL;
  log->reads--;
  if (log->deleting || log->closed || !take_answer(log, fetch, work)) {
    fetch->cursor = (struct log_cursor){0};
    again = resolve(log, fetch);
  }
  if (again != NULL && work->tries + 1 < TRIES_MAX) {
    again->tries = work->tries + 1;
    reader_work_free(work);
    submit(log, fetch, again);
    return;
  }
  if (again != NULL) { /* its file is not there, though it should be */
    fetch->status = STATUS_DAMAGED;
    if (again->job == READER_FETCH) log_suspect(log, again->segments[0].first_index);
  }
  reader_work_free(again);
  reader_work_free(work);
  loop_post(fetch->loop, &fetch->done);
  log_lane_read_ended(log);
}

bool log_fetch(struct log *log, struct log_fetch *fetch) {
  PRE(fetch->first <= fetch->last);
  PRE(fetch->count_max <= LOG_READ_ENTRIES_MAX);
  fetch->entries = NULL;
  fetch->count = 0;
  fetch->cold = false;
  struct reader_work *work = resolve(log, fetch);
  if (work == NULL) return true;
  submit(log, fetch, work);
  return false;
}

void log_fetch_reset(struct log_fetch *fetch) {
  for (size_t i = 0; i < fetch->count; i++) entry_release(&fetch->entries[i]);
  memory_free(fetch->entries);
  fetch->entries = NULL;
  fetch->count = 0;
}
