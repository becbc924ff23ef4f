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

void log_suspect(struct log *log, entry_index segment) {
  for (size_t i = 0; i < log->suspect_count; i++) {
    if (log->suspects[i] == segment) return;
  }
  if (log->suspect_count == LOG_SUSPECTS_MAX) return; /* whoever reads it again tells again */
  log->suspects[log->suspect_count++] = segment;
  trace_error("segment_damaged", "group=%" PRIu64 " instance=%" PRIu64 " segment=%" PRIu64, log->group, log->instance, segment);
  if (log->owner.suspected != NULL) log->owner.suspected(log->owner.context);
}

bool log_next_suspect(const struct log *log, entry_index *out_segment) {
  if (log->suspect_count == 0) return false;
  *out_segment = log->suspects[0];
  return true;
}

static void forget_suspect(struct log *log, entry_index segment) {
  size_t kept = 0;
  for (size_t i = 0; i < log->suspect_count; i++) {
    if (log->suspects[i] != segment) log->suspects[kept++] = log->suspects[i];
  }
  log->suspect_count = kept;
}

/* What stands in one segment is whole again; the rest of a range goes on being damaged. */
static void forget_damage(struct log *log, const struct segment_info *segment) {
  for (size_t i = log->damage_count; i > 0; i--) {
    struct log_range range = log->damage[i - 1];
    if (range.end <= segment->first_offset || range.first >= segment->end_offset) continue;
    log->damage[i - 1] = log->damage[--log->damage_count];
    if (range.first < segment->first_offset) log_note_damage(log, (struct log_range){range.first, segment->first_offset});
    if (range.end > segment->end_offset) log_note_damage(log, (struct log_range){segment->end_offset, range.end});
  }
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
  if (gone || (work->job == READER_MEND && work->status == STATUS_END)) forget_suspect(log, mend->segment);
  if (!gone && mend->status == STATUS_END) forget_damage(log, segment);
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
