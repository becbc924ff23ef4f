#include <inttypes.h>

#include "base/check.h"
#include "base/mutant.h"
#include "base/probe.h"
#include "server/partition_internal.h"

/* A read looks at most twice: once when it comes, and, if that was too little and it may wait, once more when enough was committed or
 * its time is up. Between the two it holds nothing. What cannot be read is looked at again and again while other replicas are asked for it. */

#define MEND_PATIENCE_NS 3000000000u
#define MEND_LOOK_NS 10000000u

struct failure *partition_check_offset(const struct partition *partition, record_offset offset, bool certain) {
  if (partition->closed) return partition_closed_failure(partition);
  struct log_view view = log_view(partition->log);
  record_offset high_watermark = replica_high_watermark(partition->replica);
  struct failure *failure = NULL;
  if (offset < view.start_offset) {
    failure =
        refusal_new(STATUS_BELOW_START,
                    "offset %" PRId64 " is gone: the log begins at %" PRId64 " since older records were trimmed; read from there",
                    offset, view.start_offset);
    failure->next_offset = view.start_offset;
  } else if (certain && offset > view.next_offset) {
    failure = refusal_new(STATUS_BEYOND_END,
                          "offset %" PRId64 " does not exist yet: the next record gets %" PRId64 "; read or wait from there",
                          offset, high_watermark);
    failure->next_offset = high_watermark;
  }
  if (failure != NULL) failure->has_next_offset = true;
  return failure;
}

/* Others have it: whoever asks them, or here again when it has come, gets it. */
struct failure *partition_mending_failure(const struct partition *partition) {
  const char *what = "bytes of these records have rotted on this broker, and are being had from the others";
  if (!replica_fenced(partition->replica)) return refusal_new(STATUS_LOADING, "%s: try again in a moment", what);
  broker_id leader = replica_leader(partition->replica).broker;
  struct failure *failure = refusal_new(STATUS_FENCED, "%s: read them from another broker, or here again in a moment", what);
  const struct partition_host *host = partition->host;
  bool other = leader != 0 && leader != host->self.broker && host->address_of != NULL;
  if (other && !host->address_of(host->address_context, leader, failure->leader)) failure->leader[0] = '\0';
  return failure;
}

/* Damaged, or cut off: reads end at the high watermark, which a log reaches unless it has lost its end. */
static bool comes_again(const struct partition *partition, enum status status) {
  if (status == STATUS_BEYOND_END) return true;
  return status == STATUS_DAMAGED && replica_mending(partition->replica);
}

struct failure *partition_read_failure(const struct partition *partition, const struct log_read *read) {
  struct failure *failure = NULL;
  if (!partition->closed && comes_again(partition, read->status)) return partition_mending_failure(partition);
  switch (read->status) {
    case STATUS_BELOW_START:
      failure = refusal_new(STATUS_BELOW_START, "offset %" PRId64 " was trimmed; the log begins at %" PRId64, read->offset,
                            read->next_offset);
      break;
    case STATUS_DAMAGED:
      failure =
          refusal_new(STATUS_DAMAGED,
                      "the records from offset %" PRId64 " to %" PRId64
                      " cannot be read: their bytes on disk are damaged; restore them from elsewhere, or read on from %" PRId64,
                      read->offset, read->next_offset - 1, read->next_offset);
      break;
    case STATUS_NOT_FOUND: return partition_closed_failure(partition);
    default: return refusal_of_status(read->status);
  }
  failure->has_next_offset = true;
  failure->next_offset = read->next_offset;
  return failure;
}

bool partition_await_mending(struct partition *partition, enum status status, uint64_t *until_ns, struct timer *timer) {
  struct loop *loop = partition->host->loop;
  uint64_t now_ns = loop_now_ns(loop);
  if (partition->closed || partition->host->draining) return false;
  bool mends = comes_again(partition, status);
  if (!mends && status != STATUS_NOT_FOUND) return false;
  if (*until_ns == 0) *until_ns = now_ns + MEND_PATIENCE_NS;
  if (now_ns >= *until_ns) return false;
  if (mends) REACHED(read_waits_for_mending);
  else REACHED(read_log_gave_way);
  loop_timer_set(loop, timer, now_ns + MEND_LOOK_NS);
  return true;
}

static void finish(struct partition_read *read) {
  struct partition *partition = read->partition;
  if (read->failure == NULL && partition->closed) read->failure = partition_closed_failure(partition);
  if (read->failure == NULL) {
    read->high_watermark = replica_high_watermark(partition->replica);
    read->start_offset = log_view(partition->log).start_offset;
  }
  read->done(read);
}

static size_t entry_bytes(const struct log_read *log) {
  size_t bytes = 0;
  for (size_t i = 0; i < log->count; i++) bytes += log->entries[i].payload.bytes.size;
  return bytes;
}

static void look(struct partition_read *read);

static void timed_out(struct timer *timer) { partition_read_hurry(container_of(timer, struct partition_read, timer)); }

/* False: it may not wait, or there are too many who do. */
static bool wait_for_more(struct partition_read *read, size_t missing) {
  struct partition *partition = read->partition;
  struct loop *loop = partition->host->loop;
  if (read->last_look || read->wait_until_ns <= loop_now_ns(loop)) return false;
  if (!partition_may_wait(partition)) {
    read->failure = refusal_new(STATUS_BUSY, "%u requests wait on this partition already; try again in a moment, or do not wait",
                                partition->host->waiters_max);
    return false;
  }
  REACHED(read_waits);
  read->wake_at_bytes = partition->committed_bytes + missing;
  list_push_back(&partition->readers, &read->node);
  read->timer.fire = timed_out;
  loop_timer_set(loop, &read->timer, read->wait_until_ns);
  return true;
}

static void look_at_mended(struct timer *timer);

static bool wait_for_mending(struct partition_read *read) {
  struct partition *partition = read->partition;
  read->timer.fire = look_at_mended;
  if (!partition_await_mending(partition, read->log.status, &read->mend_until_ns, &read->timer)) return false;
  log_read_reset(&read->log);
  read->log.cursor = (struct log_cursor){0};
  read->wake_at_bytes = UINT64_MAX;
  read->mending = true;
  partition->waiting++;
  list_push_back(&partition->readers, &read->node);
  return true;
}

static void looked(struct partition_read *read) {
  if (wait_for_mending(read)) return;
  if (read->log.status != STATUS_OK) {
    read->failure = partition_read_failure(read->partition, &read->log);
    finish(read);
    return;
  }
  size_t bytes = entry_bytes(&read->log);
  bool at_end = read->log.next_offset >= read->log.limit;
  read->next_offset = read->log.next_offset;
  if (at_end && bytes < read->bytes_min && !read->last_look && !read->partition->closed) {
    struct log_cursor cursor = read->log.cursor;
    if (wait_for_more(read, read->bytes_min - bytes)) {
      log_read_reset(&read->log);
      read->log.cursor = cursor;
      return;
    }
  }
  finish(read);
}

static void look_done(struct task *task) {
  looked(container_of(container_of(task, struct log_read, done), struct partition_read, log));
}

static void look(struct partition_read *read) {
  struct partition *partition = read->partition;
  record_offset high_watermark = partition->closed ? 0 : replica_high_watermark(partition->replica);
  if (MUTANT(read_beyond_commit) && !partition->closed) high_watermark = log_view(partition->log).next_offset;
  read->next_offset = read->offset;
  if (partition->closed || read->offset >= high_watermark) {
    if (partition->closed || read->bytes_min == 0 || !wait_for_more(read, read->bytes_min)) finish(read);
    return;
  }
  read->log.offset = read->offset;
  read->log.limit = high_watermark;
  read->log.bytes_max = read->bytes_max;
  read->log.loop = partition->host->loop;
  read->log.done.run = look_done;
  if (log_read(partition->log, &read->log)) looked(read);
}

static void begin(struct partition_read *read, bool certain) {
  read->failure = partition_check_offset(read->partition, read->offset, certain);
  if (read->failure != NULL) finish(read);
  else look(read);
}

static void confirmed(struct replica_read *confirm, enum status status) {
  struct partition_read *read = container_of(confirm, struct partition_read, confirm);
  read->partition->waiting--;
  begin(read, status == STATUS_OK);
}

/* What is committed here may be read here, whoever leads. That an offset lies beyond the end of the log is the leader's to say, once it is
 * confirmed; another replica waits, and then answers with what it has. */
void partition_read(struct partition_read *read) {
  struct partition *partition = read->partition;
  read->mend_until_ns = 0;
  read->mending = false;
  bool alone = partition->closed || partition_alone(partition);
  bool beyond = !partition->closed && read->offset > log_view(partition->log).next_offset;
  if (alone || !beyond || !replica_ready(partition->replica) || !partition_may_wait(partition)) {
    begin(read, alone);
    return;
  }
  read->confirm.done = confirmed;
  replica_read(partition->replica, &read->confirm);
}

static void look_again(struct partition_read *read) {
  struct partition *partition = read->partition;
  list_remove(&read->node);
  partition->waiting--;
  loop_timer_cancel(partition->host->loop, &read->timer);
  if (read->mending) read->mend_until_ns = 1; /* it is in a hurry */
  read->mending = false;
  read->last_look = true;
  look(read);
}

static void look_at_mended(struct timer *timer) {
  struct partition_read *read = container_of(timer, struct partition_read, timer);
  list_remove(&read->node);
  read->partition->waiting--;
  read->mending = false;
  look(read);
}

void partition_read_hurry(struct partition_read *read) {
  if (list_node_linked(&read->node)) look_again(read);
  else read->last_look = true;
}

void partition_read_wake(struct partition *partition) {
  list_for_each(&partition->readers, node, following) {
    struct partition_read *read = list_entry(node, struct partition_read, node);
    if (partition->committed_bytes >= read->wake_at_bytes) look_again(read);
  }
}

void partition_read_hurry_all(struct partition *partition) {
  list_for_each(&partition->readers, node, following) look_again(list_entry(node, struct partition_read, node));
}
