#include <inttypes.h>

#include "base/check.h"
#include "base/codec.h"
#include "base/memory.h"
#include "server/partition_internal.h"

/* An append:
 *
 *   handed in ─> checked ─> tried ─> accepted ─> done (appended, or its outcome is unknown)
 *                  │          │ └──> stalled ──> tried again
 *                  │          └────> depending, until what refutes it is committed
 *                  └───────────────> done (refused)
 *
 * A plain payload is checked on the lane: it is a walk over bytes that are about to be checksummed there anyway, and the transport's
 * thread, which would be the other place, is the one that runs out of time first on two cores. A compressed one goes to the inflater.
 */

static void refuse(struct partition_append *append, struct failure *failure) {
  blob_release(append->message);
  append->message = NULL;
  append->failure = failure;
  append->done(append);
}

/* ---- Checking: touches nothing but the request ---- */

static struct failure *check_size(const struct partition_append *append) {
  const struct wire_batch *batch = &append->request.batch;
  if (batch->producer_id != 0 || batch->producer_epoch != 0 || batch->first_sequence != 0)
    return refusal_new(STATUS_UNSUPPORTED, "this version keeps no producer state, so it would not recognise a repeated sequence; "
                                           "leave producer_id, producer_epoch and first_sequence 0");
  uint64_t size = batch->codec == WIRE_CODEC_NONE ? append->request.payload.size : batch->uncompressed_bytes;
  if (size > append->limits.uncompressed_bytes_max)
    return refusal_new(STATUS_TOO_LARGE, "the batch has %" PRIu64 " bytes of records and may have %u; send smaller batches", size,
                       append->limits.uncompressed_bytes_max);
  return NULL;
}

static struct failure *check_checksum(const struct partition_append *append) {
  if (!append->request.batch.has_crc32c) return NULL;
  uint32_t crc = crc32c(0, append->request.payload);
  if (crc == append->request.batch.crc32c) return NULL;
  return refusal_new(
      STATUS_BAD_CHECKSUM,
      "the records arrived with CRC32C %08x and the batch says %08x: they were damaged on the way, or the sum was not "
      "taken over the contents of the records field; send them again",
      crc, append->request.batch.crc32c);
}

static struct failure *check_records(struct partition_append *append) {
  const struct wire_append_request *request = &append->request;
  enum status status = STATUS_OK;
  if (request->batch.codec == WIRE_CODEC_NONE) status = batch_check(request->payload, &append->limits, &append->summary);
  else
    status = batch_check_compressed((enum entry_codec)request->batch.codec, request->payload, request->batch.uncompressed_bytes,
                                    &append->limits, &append->summary);
  if (status == STATUS_OK) return NULL;
  if (status == STATUS_TOO_LARGE)
    return refusal_new(status,
                       "a record of the batch has more than %u bytes of key, value and headers; send less, or raise the topic's "
                       "record_bytes_max",
                       append->limits.record_bytes_max);
  if (request->batch.codec != WIRE_CODEC_NONE && status == STATUS_BAD_BATCH)
    return refusal_new(status,
                       "compressed_records do not inflate to %u bytes of well-formed Records; compress one encoded "
                       "cairn.v1.Records into one frame and give its size in uncompressed_bytes",
                       request->batch.uncompressed_bytes);
  if (status == STATUS_BAD_BATCH)
    return refusal_new(status,
                       "the records are not well-formed cairn.v1.Records with at least one record: a field is unknown or given "
                       "twice, a header has no proper name, or bytes are missing");
  return refusal_of_status(status);
}

static struct failure *check_claims(const struct partition_append *append) {
  const struct wire_batch *batch = &append->request.batch;
  const struct batch_summary *found = &append->summary;
  if (batch->record_count != 0 && batch->record_count != found->record_count)
    return refusal_new(STATUS_BAD_BATCH, "record_count says %u, the batch has %u records; correct it, or leave it 0",
                       batch->record_count, found->record_count);
  if (batch->codec == WIRE_CODEC_NONE && batch->uncompressed_bytes != 0 &&
      batch->uncompressed_bytes != append->request.payload.size)
    return refusal_new(STATUS_BAD_BATCH, "uncompressed_bytes says %u, the records have %zu bytes; correct it, or leave it 0",
                       batch->uncompressed_bytes, append->request.payload.size);
  int64_t max_time_ms = found->max_time_ms;
  if (found->some_without_time && batch->base_timestamp_ms > max_time_ms) max_time_ms = batch->base_timestamp_ms;
  if (batch->max_timestamp_ms != 0 && batch->max_timestamp_ms != max_time_ms)
    return refusal_new(STATUS_BAD_BATCH,
                       "max_timestamp_ms says %" PRId64 ", the greatest timestamp in the batch is %" PRId64
                       "; correct it, or leave it 0",
                       batch->max_timestamp_ms, max_time_ms);
  if (batch->base_timestamp_ms < 0)
    return refusal_new(STATUS_BAD_BATCH,
                       "base_timestamp_ms is negative; give milliseconds since 1970, or 0 for the broker's time");
  return NULL;
}

/* NULL: it may be appended. The checksum comes before the records: damage should be called damage. */
static struct failure *check(struct partition_append *append) {
  struct failure *failure = check_size(append);
  if (failure == NULL) failure = check_checksum(append);
  if (failure == NULL) failure = check_records(append);
  if (failure == NULL) failure = check_claims(append);
  return failure;
}

/* ---- Proposing ---- */

static void proposal_done(struct proposal *proposal, enum status status) {
  struct partition_append *append = container_of(proposal, struct partition_append, proposal);
  if (status != STATUS_OK) {
    append->failure = refusal_of_status(status);
    append->failure->executed = EXECUTED_MAYBE; /* it was in the journal's hands */
  }
  append->done(append);
}

static void fill_entry(struct partition_append *append) {
  struct partition *partition = append->partition;
  const struct wire_append_request *request = &append->request;
  int64_t now_ms = replica_leader_time_ms(partition->replica, loop_wall_ms(partition->host->loop));
  int64_t base_time_ms = request->batch.base_timestamp_ms != 0 ? request->batch.base_timestamp_ms : now_ms;
  int64_t max_time_ms = append->summary.max_time_ms;
  if (append->summary.some_without_time && base_time_ms > max_time_ms) max_time_ms = base_time_ms;

  bool plain = request->batch.codec == WIRE_CODEC_NONE;
  append->proposal.done = proposal_done;
  append->proposal.entry.head = (struct entry_head){
      .kind = ENTRY_RECORDS,
      .codec = (enum entry_codec)request->batch.codec,
      .record_count = append->summary.record_count,
      .uncompressed_size = plain ? (uint32_t)request->payload.size : request->batch.uncompressed_bytes,
      .base_time_ms = base_time_ms,
      .max_time_ms = max_time_ms,
  };
  append->proposal.entry.payload = (struct blob_part){.blob = append->message, .bytes = request->payload};
}

/* Hands it to replication. The message's hold goes with the payload. */
static enum status propose(struct partition_append *append) {
  struct partition *partition = append->partition;
  struct log_set *logs = lane_logs(partition->host->lane);
  size_t size = append->request.payload.size;
  if (replica_fenced(partition->replica)) return STATUS_FENCED;
  enum status status = log_set_admit(logs, size);
  if (status != STATUS_OK) return status;
  fill_entry(append);
  status = replica_propose(partition->replica, &append->proposal);
  if (status != STATUS_OK) {
    log_set_admit_undo(logs, size);
    return status;
  }
  append->message = NULL;
  if (append->accepted != NULL) append->accepted(append);
  return STATUS_OK;
}

static void answer_mismatch(struct partition_append *append) {
  struct failure *failure = refusal_new(STATUS_OFFSET_MISMATCH,
                                        "the next record would get offset %" PRId64 ", not the expected %" PRId64
                                        ": somebody else appended, or this was appended before; read from there and decide anew",
                                        append->depends_on, append->request.expected_offset);
  failure->has_next_offset = true;
  failure->next_offset = append->depends_on;
  refuse(append, failure);
}

/* The offset that refutes it may stand on appends that are still on their way: the answer waits for them. On a fenced partition they
 * never arrive. */
static void depend(struct partition_append *append, record_offset next_offset) {
  struct partition *partition = append->partition;
  append->depends_on = next_offset;
  if (replica_high_watermark(partition->replica) >= next_offset) {
    answer_mismatch(append);
  } else if (replica_fenced(partition->replica)) {
    refuse(append, refusal_of_status(STATUS_FENCED));
  } else if (partition_may_wait(partition)) {
    list_push_back(&partition->depending, &append->node);
  } else {
    refuse(append, refusal_of_status(STATUS_BUSY));
  }
}

/* False: there is no room just now; `stalled_for` says why. */
static bool try_append(struct partition_append *append) {
  if (append->abandoned != NULL && atomic_load_explicit(append->abandoned, memory_order_relaxed)) {
    struct failure *failure = refusal_new(STATUS_CANCELLED, "cancelled before it was begun");
    failure->executed = EXECUTED_NO;
    refuse(append, failure);
    return true;
  }
  record_offset next_offset = log_view(append->partition->log).next_offset;
  if (append->request.has_expected_offset && append->request.expected_offset != next_offset) {
    depend(append, next_offset);
    return true;
  }
  enum status status = propose(append);
  if (status == STATUS_OK) return true;
  append->stalled_for = status;
  if (status == STATUS_BUSY || status == STATUS_JOURNAL_FULL) return false;
  refuse(append, refusal_of_status(status));
  return true;
}

/* ---- Stalling ---- */

/* Moments without room are normal under load, when a checkpoint is about to give some back; a refusal would only make the client send it
 * all again. */
static void stall(struct partition_append *append) {
  struct partition *partition = append->partition;
  struct partition_host *host = partition->host;
  uint64_t patience_ns = append->patience_ns / 2; /* an answer in time tells more than a deadline */
  if (patience_ns > host->append_stall_ns) patience_ns = host->append_stall_ns;
  if (patience_ns == 0 || !partition_may_wait(partition)) {
    refuse(append, refusal_of_status(append->stalled_for));
    return;
  }
  uint64_t now_ns = loop_now_ns(host->loop);
  append->stalled_until_ns = now_ns + patience_ns;
  list_push_back(&partition->stalled, &append->node);
  if (list_node_linked(&partition->stalled_node)) return;
  if (list_empty(&host->stalled)) loop_timer_set(host->loop, &host->stall_timer, now_ns + STALL_RETRY_NS);
  list_push_back(&host->stalled, &partition->stalled_node);
}

static void decide(struct partition_append *append) {
  struct partition *partition = append->partition;
  if (partition->closed) {
    refuse(append, partition_closed_failure());
  } else if (!list_empty(&partition->stalled)) {
    append->stalled_for = STATUS_BUSY;
    stall(append);
  } else if (!try_append(append)) {
    stall(append);
  }
}

static void retry_stalled(struct partition *partition, uint64_t now_ns) {
  for (struct list_node *node; (node = list_pop_front(&partition->stalled)) != NULL;) {
    struct partition_append *append = list_entry(node, struct partition_append, node);
    partition->waiting--;
    if (try_append(append)) continue;
    if (append->stalled_until_ns <= now_ns) {
      refuse(append, refusal_of_status(append->stalled_for));
      continue;
    }
    partition->waiting++;
    list_push_front(&partition->stalled, &append->node);
    return;
  }
  if (list_node_linked(&partition->stalled_node)) list_remove(&partition->stalled_node);
}

void partition_append_retry(struct partition *partition, uint64_t now_ns) { retry_stalled(partition, now_ns); }

/* ---- The ways in, and out ---- */

static void inflate(struct inflater_job *job) {
  struct partition_append *append = container_of(job, struct partition_append, job);
  append->failure = check(append);
}

static void inflated(struct inflater_job *job) {
  struct partition_append *append = container_of(job, struct partition_append, job);
  struct failure *failure = append->failure;
  append->failure = NULL;
  if (failure != NULL) refuse(append, failure);
  else decide(append);
}

void partition_append(struct partition_append *append) {
  struct partition *partition = append->partition;
  struct partition_host *host = partition->host;
  append->failure = NULL;
  append->limits = (struct batch_limits){.record_bytes_max = (uint32_t)partition->settings.record_bytes_max,
                                         .uncompressed_bytes_max = host->uncompressed_bytes_max};
  if (append->request.batch.codec != WIRE_CODEC_NONE) {
    append->job = (struct inflater_job){.loop = host->loop, .work = inflate, .done = inflated};
    inflater_run(host->inflater, &append->job);
    return;
  }
  struct failure *failure = check(append);
  if (failure != NULL) refuse(append, failure);
  else decide(append);
}

void partition_append_wake(struct partition *partition) {
  record_offset high_watermark = replica_high_watermark(partition->replica);
  for (struct list_node *node; (node = list_first(&partition->depending)) != NULL;) {
    struct partition_append *append = list_entry(node, struct partition_append, node);
    if (append->depends_on > high_watermark) break;
    list_remove(node);
    partition->waiting--;
    answer_mismatch(append);
  }
  if (!list_empty(&partition->stalled)) retry_stalled(partition, loop_now_ns(partition->host->loop));
}

static void fail_list(struct partition *partition, struct list *list, enum status reason) {
  for (struct list_node *node; (node = list_pop_front(list)) != NULL;) {
    partition->waiting--;
    refuse(list_entry(node, struct partition_append, node), refusal_of_status(reason));
  }
}

void partition_append_fail_all(struct partition *partition, enum status reason) {
  fail_list(partition, &partition->depending, reason);
  fail_list(partition, &partition->stalled, reason);
  if (list_node_linked(&partition->stalled_node)) list_remove(&partition->stalled_node);
}
