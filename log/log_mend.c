/* A lane's side of mending a segment: which one, and what becomes of what was known of it. */
#include "base/check.h"
#include "base/memory.h"
#include "base/trace.h"
#include "log/log_internal.h"
#include "log/reader.h"

#include <inttypes.h>

static struct segment_info *segment_at(const struct log *log, entry_index first_index) {
  for (size_t i = 0; i < log->segment_count; i++) {
    if (log->segments[i].first_index == first_index) return &log->segments[i];
  }
  return NULL;
}

/* ---- Which ---- */

static bool is_suspect(const struct log *log, entry_index segment) {
  for (size_t i = 0; i < log->suspect_count; i++) {
    if (log->suspects[i] == segment) return true;
  }
  return false;
}

static void tell_owner(struct log *log) {
  if (log->owner.suspected != NULL) log->owner.suspected(log->owner.context);
}

void log_suspect(struct log *log, entry_index segment) {
  if (is_suspect(log, segment)) return;
  if (log->suspect_count == LOG_SUSPECTS_MAX) return; /* whoever reads it again tells again */
  log->suspects[log->suspect_count++] = segment;
  trace_error("segment_damaged", "group=%" PRIu64 " instance=%" PRIu64 " segment=%" PRIu64, log->group, log->instance, segment);
  tell_owner(log);
}

/* What is known to be damaged is not read again, so nothing is known of a segment that there is no room to suspect. */
void log_suspect_more(struct log *log, entry_index segment, struct log_range damage) {
  bool suspected = is_suspect(log, segment), news = log->damage_count < LOG_DAMAGED_RANGES_MAX;
  if (suspected || log->suspect_count < LOG_SUSPECTS_MAX) log_note_damage(log, damage);
  if (!suspected) log_suspect(log, segment);
  else if (news) tell_owner(log);
}

bool log_next_suspect(const struct log *log, entry_index from, entry_index *out_segment) {
  bool any = false;
  for (size_t i = 0; i < log->suspect_count; i++) {
    entry_index segment = log->suspects[i];
    if (segment < from || (any && segment > *out_segment)) continue;
    *out_segment = segment;
    any = true;
  }
  return any;
}

static void forget_suspect(struct log *log, entry_index segment) {
  size_t kept = 0;
  for (size_t i = 0; i < log->suspect_count; i++) {
    if (log->suspects[i] != segment) log->suspects[kept++] = log->suspects[i];
  }
  log->suspect_count = kept;
}

/* These are whole again; the rest of a range goes on being damaged. */
static void forget_damage(struct log *log, struct log_range whole) {
  for (size_t i = log->damage_count; i > 0; i--) {
    struct log_range range = log->damage[i - 1];
    if (range.end <= whole.first || range.first >= whole.end) continue;
    log->damage[i - 1] = log->damage[--log->damage_count];
    if (range.first < whole.first) log_note_damage(log, (struct log_range){range.first, whole.first});
    if (range.end > whole.end) log_note_damage(log, (struct log_range){whole.end, range.end});
  }
}

static void forget_mended(struct log *log, const struct log_mend *mend, enum reader_job job, const struct segment_info *segment) {
  bool is_whole = job == READER_MEND && mend->status == STATUS_END && !mend->passed;
  if (is_whole) forget_suspect(log, mend->segment);
  if (is_whole) forget_damage(log, (struct log_range){segment->first_offset, segment->end_offset});
  if (job == READER_FILL && mend->status == STATUS_OK)
    forget_damage(log, (struct log_range){mend->first_offset, mend->end_offset});
}

/* ---- There and back ---- */

static void finish(struct task *task) {
  struct reader_work *work = container_of(task, struct reader_work, finish);
  struct log *log = work->log;
  struct log_mend *mend = work->mend;
  const struct segment_info *segment = segment_at(log, mend->segment);
  bool gone = log->deleting || log->closed || segment == NULL;
  log->reads--;
  mend->status = work->status;
  if (work->status == STATUS_NOT_FOUND && !gone) mend->status = STATUS_DAMAGED; /* its file is not there, though it should be */
  if (gone) mend->status = STATUS_NOT_FOUND;
  if (gone) forget_suspect(log, mend->segment);
  else forget_mended(log, mend, work->job, segment);
  reader_work_free(work);
  loop_post(mend->loop, &mend->done);
  log_lane_read_ended(log);
}

static bool submit(struct log *log, struct log_mend *mend, enum reader_job job) {
  const struct segment_info *segment = segment_at(log, mend->segment);
  if (segment == NULL || log->deleting || log->closed) {
    forget_suspect(log, mend->segment);
    mend->status = STATUS_NOT_FOUND;
    return true;
  }
  struct reader_work *work = NEW(struct reader_work);
  work->job = job;
  work->lane = mend->loop;
  work->log = log;
  work->mend = mend;
  work->group = log->group;
  work->instance = log->instance;
  work->segments = memory_new_array(1, sizeof *work->segments);
  work->segments[0] = *segment;
  work->segment_count = 1;
  work->finish.run = finish;
  log->reads++;
  reader_submit(log->set, work);
  return false;
}

bool log_mend_find(struct log *log, struct log_mend *mend) { return submit(log, mend, READER_MEND); }
bool log_mend_fill(struct log *log, struct log_mend *mend) { return submit(log, mend, READER_FILL); }
