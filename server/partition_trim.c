#include <inttypes.h>

#include "base/check.h"
#include "base/codec.h"
#include "base/memory.h"
#include "base/mutant.h"
#include "base/probe.h"
#include "base/trace.h"
#include "server/partition_internal.h"

/* The start of a log moves through the log, so that replicas agree on it: asked for (trim) or by itself (retention). */

static enum status propose_start(struct partition *partition, record_offset start, struct proposal *proposal) {
  struct blob *payload = NULL;
  enum status status = blob_new(NULL, sizeof(uint64_t), &payload);
  if (status != STATUS_OK) return status;
  put_u64(payload->data, (uint64_t)start);
  proposal->entry.head = (struct entry_head){.kind = ENTRY_TRIM};
  proposal->entry.payload = (struct blob_part){.blob = payload, .bytes = bytes_of(payload->data, payload->size)};
  status = partition_propose(partition, proposal);
  if (status != STATUS_OK) blob_release(payload);
  return status;
}

/* ---- Trim ---- */

static void answer_trim(struct partition_trim *trim, struct failure *failure) {
  trim->failure = failure;
  if (failure == NULL && trim->partition->closed) trim->failure = partition_closed_failure(trim->partition);
  if (trim->failure == NULL) trim->start_offset = log_view(trim->partition->log).start_offset;
  trim->done(trim);
}

static void trim_done(struct proposal *proposal, enum status status) {
  struct partition_trim *trim = container_of(proposal, struct partition_trim, proposal);
  answer_trim(trim, status == STATUS_OK ? NULL : partition_proposal_failure(trim->partition, status));
}

void partition_trim(struct partition_trim *trim) {
  struct partition *partition = trim->partition;
  if (partition->closed) {
    answer_trim(trim, partition_closed_failure(partition));
    return;
  }
  enum status status = partition_may_decide(partition);
  if (status == STATUS_NOT_LEADER || status == STATUS_LOADING) {
    answer_trim(trim, partition_refusal(partition, status));
    return;
  }
  record_offset high_watermark = replica_high_watermark(partition->replica);
  if (trim->before > high_watermark) {
    struct failure *failure =
        refusal_new(STATUS_BEYOND_END, "the log ends at offset %" PRId64 ", before %" PRId64 "; trim up to its end at most",
                    high_watermark, trim->before);
    failure->has_next_offset = true;
    failure->next_offset = high_watermark;
    answer_trim(trim, failure);
    return;
  }
  if (trim->before <= log_view(partition->log).start_offset) {
    answer_trim(trim, NULL);
    return;
  }
  trim->proposal.done = trim_done;
  bool too_far = MUTANT(trim_too_far) && trim->before < high_watermark;
  status = propose_start(partition, trim->before + (too_far ? 1 : 0), &trim->proposal);
  if (status != STATUS_OK) answer_trim(trim, partition_refusal(partition, status));
}

/* ---- Retention ---- */

struct retention_trim {
  struct partition *partition;
  struct proposal proposal;
  record_offset start;
};

static void retention_done(struct proposal *proposal, enum status status) {
  struct retention_trim *trim = container_of(proposal, struct retention_trim, proposal);
  struct partition *partition = trim->partition;
  partition->trimming = false;
  trace_info("retention_trimmed", "topic_id=%" PRIu64 " partition=%u group=%" PRIu64 " start=%" PRId64 " status=%s",
             partition->place.topic_id, partition->place.number, partition->place.group, trim->start, status_name(status));
  partition_release(partition);
  memory_free(trim);
}

void partition_keep_retention(struct partition *partition, int64_t now_ms) {
  const struct topic_settings *settings = &partition->settings;
  if (settings->retention_bytes < 0 && settings->retention_ms < 0) return;
  if (partition->closed || partition->trimming || partition_may_decide(partition) != STATUS_OK) return;
  record_offset start = log_retention_start(partition->log, now_ms);
  record_offset high_watermark = replica_high_watermark(partition->replica);
  if (start > high_watermark) start = high_watermark;
  if (start <= log_view(partition->log).start_offset) return;

  struct retention_trim *trim = NEW(struct retention_trim);
  trim->partition = partition_hold(partition);
  trim->proposal.done = retention_done;
  trim->start = start;
  REACHED(retention_trims);
  partition->trimming = true;
  enum status status = propose_start(partition, start, &trim->proposal);
  if (status != STATUS_OK) retention_done(&trim->proposal, status);
}

/* ---- Find ---- */

static struct failure *find_failure(const struct log_find *find) {
  if (find->status != STATUS_DAMAGED || find->offset == 0) return refusal_of_status(find->status);
  struct failure *failure =
      refusal_new(STATUS_DAMAGED,
                  "the record may stand in a range before offset %" PRId64
                  " whose bytes on disk are damaged; restore them from elsewhere, or ask for a time of the records from there on",
                  find->offset);
  failure->has_next_offset = true;
  failure->next_offset = find->offset;
  return failure;
}

static void found(struct task *task);

static void look_again(struct timer *timer) {
  struct partition_find *find = container_of(timer, struct partition_find, timer);
  if (!find->partition->closed) {
    log_find_time(find->partition->log, &find->log);
    return;
  }
  find->log.status = STATUS_NOT_FOUND;
  found(&find->log.done);
}

/* Of a log that has holes the first record from some time on is not the first that can be read; nor is there none in one that has lost its end. */
static bool is_unsure(const struct partition_find *find) {
  const struct partition *partition = find->partition;
  bool answered = find->log.status == STATUS_OK || find->log.status == STATUS_END;
  if (!answered || partition->closed || !replica_mending(partition->replica)) return false;
  struct log_view view = log_view(partition->log);
  return view.damaged || (find->log.status == STATUS_END && view.next_offset < find->log.limit);
}

static void found(struct task *task) {
  struct partition_find *find = container_of(container_of(task, struct log_find, done), struct partition_find, log);
  find->timer.fire = look_again;
  if (is_unsure(find)) find->log.status = STATUS_DAMAGED;
  if (partition_await_mending(find->partition, find->log.status, &find->mend_until_ns, &find->timer)) return;
  find->found = find->log.status == STATUS_OK;
  if (find->found) {
    find->offset = find->log.offset;
    find->found_time_ms = find->log.found_time_ms;
  } else if (find->log.status == STATUS_NOT_FOUND || find->partition->closed) {
    find->failure = partition_closed_failure(find->partition);
  } else if (find->log.status == STATUS_END) {
    find->offset = find->log.limit;
  } else if (find->log.status == STATUS_DAMAGED && replica_mending(find->partition->replica)) {
    find->failure = partition_mending_failure(find->partition);
  } else {
    find->failure = find_failure(&find->log);
  }
  find->done(find);
}

void partition_find(struct partition_find *find) {
  struct partition *partition = find->partition;
  if (partition->closed) {
    find->failure = partition_closed_failure(partition);
    find->done(find);
    return;
  }
  find->log.time_ms = find->time_ms;
  find->mend_until_ns = 0;
  find->log.limit = replica_high_watermark(partition->replica);
  find->log.loop = partition->host->loop;
  find->log.done.run = found;
  log_find_time(partition->log, &find->log);
}
