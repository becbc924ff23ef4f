#include <inttypes.h>

#include "base/check.h"
#include "base/codec.h"
#include "base/memory.h"
#include "base/mutant.h"
#include "base/probe.h"
#include "server/append_check.h"
#include "server/partition_internal.h"

/* An append:
 *
 *   handed in ─> checked ─> tried ─> accepted ─> done (appended, or its outcome is unknown)
 *                  │          │ └──> stalled ──> tried again
 *                  │          └────> depending, until what it rests on is committed ──> done (refused, or there already)
 *                  └───────────────> done (refused)
 *
 * The conditions, in this order and in one go with the proposal: its producer (is it a repetition? does it follow?), the writers' fence (to
 * come), the expected offset. They are decided against the end of the log, and a repetition is one whatever it expects.
 *
 * A plain payload is checked on the lane: it is a walk over bytes that are about to be checksummed there anyway, and the transport's
 * thread, which would be the other place, is the one that runs out of time first on two cores. A compressed one goes to the inflater.
 */

void partition_append_refuse(struct partition_append *append, struct failure *failure) {
  blob_release(append->message);
  append->message = NULL;
  append->failure = failure;
  append->done(append);
}

/* ---- Proposing ---- */

/* Another leader's entry stands where this one was to be. Of a producer's sequences that says nothing: they may have been sent to that leader
 * too. NULL: they were, and are in the log. */
static struct failure *replaced(struct partition_append *append) {
  struct partition *partition = append->partition;
  struct entry_head *head = &append->proposal.entry.head;
  struct failure *failure = partition_proposal_failure(partition, STATUS_REPLACED);
  if (head->producer_id == 0 || partition->closed) return failure;
  /* By name, if it has one: another leader may have opened it as another producer. */
  struct bytes name = append->named != NULL ? append->request.producer : (struct bytes){0};
  const struct producer_claim claim = {.name = name,
                                       .id = name.size > 0 ? 0 : head->producer_id,
                                       .epoch = head->producer_epoch,
                                       .first_sequence = head->first_sequence,
                                       .count = head->record_count,
                                       .has_crc = true,
                                       .crc = head->payload_crc};
  struct producer_decision decision = producer_state_decide(partition->producers, &claim);
  if (decision.verdict != PRODUCER_DUPLICATE || decision.uncommitted) {
    /* What was executed is not UNAVAILABLE's to say. */
    if (decision.executed == EXECUTED_NO) return failure;
    memory_free(failure);
    return partition_proposal_failure(partition, STATUS_UNKNOWN_OUTCOME);
  }
  memory_free(failure);
  REACHED(replaced_by_its_own_repetition);
  append->duplicate = true;
  head->base_offset = decision.base_offset;
  return NULL;
}

static void proposal_done(struct proposal *proposal, enum status status) {
  struct partition_append *append = container_of(proposal, struct partition_append, proposal);
  if (MUTANT(waiter_dropped) && proposal->entry.head.index % 61 == 60) return;
  if (status == STATUS_REPLACED) {
    append->failure = replaced(append);
  } else if (status != STATUS_OK) {
    append->failure = partition_proposal_failure(append->partition, status);
    if (MUTANT(unknown_called_no)) append->failure->executed = EXECUTED_NO;
  }
  blob_release(append->named);
  append->named = NULL;
  append->done(append);
}

static void fill_entry(struct partition_append *append, producer_id producer) {
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
      .producer_id = producer,
  };
  if (producer != 0) {
    struct entry_head *head = &append->proposal.entry.head;
    head->producer_epoch = request->batch.producer_epoch;
    head->first_sequence = request->batch.first_sequence;
    /* The state wants it before the log seals the head. */
    head->payload_crc = request->batch.has_crc32c ? request->batch.crc32c : crc32c(0, request->payload);
  }
  append->proposal.entry.payload = (struct blob_part){.blob = append->message, .bytes = request->payload};
}

/* Hands it to replication. The message's hold goes with the payload. */
static enum status propose(struct partition_append *append, producer_id producer) {
  struct partition *partition = append->partition;
  struct log_set *logs = lane_logs(partition->host->lane);
  size_t size = append->request.payload.size;
  if (replica_fenced(partition->replica)) return STATUS_FENCED;
  enum status status = log_set_admit(logs, size);
  if (status != STATUS_OK) return status;
  fill_entry(append, producer);
  status = partition_propose(partition, &append->proposal);
  if (status != STATUS_OK) {
    log_set_admit_undo(logs, size);
    return status;
  }
  /* Alone it is the only leader that there will be. */
  if (append->request.producer.size > 0 && !partition_alone(partition)) append->named = blob_hold(append->message);
  append->message = NULL;
  if (append->accepted != NULL) append->accepted(append);
  return STATUS_OK;
}

/* ---- Answers that rest on other entries ---- */

static void answer_repetition(struct partition_append *append) {
  blob_release(append->message);
  append->message = NULL;
  append->done(append);
}

static void answer_dependent(struct partition_append *append) {
  if (append->refusal == NULL) answer_repetition(append);
  else partition_append_refuse(append, append->refusal);
}

/* Too many wait already. Of a repetition the original may be on its way. */
static void refuse_to_wait(struct partition_append *append) {
  struct failure *instead = partition_refusal(append->partition, STATUS_BUSY);
  if (append->refusal == NULL) instead->executed = EXECUTED_MAYBE;
  memory_free(append->refusal);
  append->refusal = NULL;
  partition_append_refuse(append, instead);
}

/* Until what it rests on is applied, or partition_cut() says that it is gone. */
static void wait_or_answer(struct partition_append *append) {
  struct partition *partition = append->partition;
  struct failure *refusal = append->refusal;
  if (partition->applied_index >= append->depends_on || MUTANT(answered_too_early)) {
    answer_dependent(append);
  } else if (partition_may_wait(partition)) {
    REACHED(mismatch_waits_for_its_reason);
    list_push_back(&partition->depending, &append->node);
    /* As with a proposal, what comes behind need not wait for it. */
    if (refusal == NULL && append->accepted != NULL) append->accepted(append);
  } else {
    refuse_to_wait(append);
  }
}

static void confirmed(struct replica_read *read, enum status status) {
  struct partition_append *append = container_of(read, struct partition_append, confirm);
  append->partition->waiting--;
  if (status == STATUS_OK) {
    wait_or_answer(append);
    return;
  }
  struct failure *refusal = append->refusal;
  append->refusal = NULL;
  memory_free(refusal);
  partition_append_refuse(append, append->partition->closed ? partition_closed_failure(append->partition)
                                                            : partition_refusal(append->partition, status));
}

/* Nobody may hear of entries that another leader could still make undone: the answer waits for what is in the log now. A refusal says where
 * the log ends, or who may append: only the leader knows, so among several replicas it has to be confirmed. What is found in what is
 * committed needs nobody's word. */
static void depend(struct partition_append *append, struct failure *refusal) {
  struct partition *partition = append->partition;
  append->refusal = refusal;
  append->depends_on = partition_head_index(partition);
  if (refusal == NULL || partition_alone(partition)) {
    wait_or_answer(append);
  } else if (partition_may_wait(partition)) {
    append->confirm.done = confirmed;
    replica_read(partition->replica, &append->confirm);
  } else {
    refuse_to_wait(append);
  }
}

static void mismatch(struct partition_append *append, record_offset next_offset) {
  struct failure *failure = refusal_new(STATUS_OFFSET_MISMATCH,
                                        "the next record would get offset %" PRId64 ", not the expected %" PRId64
                                        ": somebody else appended, or this was appended before; read from there and decide anew",
                                        next_offset, append->request.expected_offset);
  failure->has_next_offset = true;
  failure->next_offset = next_offset;
  depend(append, failure);
}

static struct failure *refusal_of_verdict(const struct partition_append *append, const struct producer_decision *decision) {
  uint64_t sequence = append->request.batch.first_sequence;
  uint32_t epoch = append->request.batch.producer_epoch;
  switch (decision->verdict) {
    case PRODUCER_GAP:
      return refusal_new(STATUS_SEQUENCE_GAP,
                         "the producer's next sequence here is %" PRIu64 ", not %" PRIu64
                         ": what lies between never arrived; send it first, in order",
                         decision->next_sequence, sequence);
    case PRODUCER_TOO_OLD:
      return refusal_new(STATUS_DUPLICATE_BEYOND_WINDOW,
                         "sequence %" PRIu64
                         " is in the log, but so long ago that its offset is not remembered; go on with %" PRIu64,
                         sequence, decision->next_sequence);
    case PRODUCER_REUSED:
      return refusal_new(STATUS_SEQUENCE_REUSED,
                         "sequence %" PRIu64
                         " is in the log with other records (count or checksum differ), and the next one is %" PRIu64
                         "; a batch is sent again as it was, never cut anew",
                         sequence, decision->next_sequence);
    case PRODUCER_FENCED:
      return refusal_new(STATUS_PRODUCER_FENCED,
                         "epoch %" PRIu32 " of the producer is over, somebody opened epoch %" PRIu32
                         "; stop, or open it again if this is the one that should go on",
                         epoch, decision->epoch);
    case PRODUCER_MISMATCH:
      return refusal_new(STATUS_INVALID,
                         "producer and producer_id are two different producers of this partition; give one of them");
    default: break;
  }
  if (decision->id != 0)
    return refusal_new(STATUS_UNKNOWN_PRODUCER,
                       "epoch %" PRIu32 " of the producer was never opened here, the newest is %" PRIu32
                       "; open it (OpenProducer)",
                       epoch, decision->epoch);
  return refusal_new(STATUS_UNKNOWN_PRODUCER,
                     "this partition does not remember the producer, which claims epoch %" PRIu32 " and sequence %" PRIu64
                     "; open it (OpenProducer) and go on from the sequence that it is told",
                     epoch, sequence);
}

static struct producer_decision ask_producers(const struct partition_append *append) {
  const struct wire_batch *batch = &append->request.batch;
  const struct producer_claim claim = {.name = append->request.producer,
                                       .id = batch->producer_id,
                                       .epoch = batch->producer_epoch,
                                       .first_sequence = batch->first_sequence,
                                       .count = append->summary.record_count,
                                       .has_crc = batch->has_crc32c,
                                       .crc = batch->crc32c};
  return producer_state_decide(append->partition->producers, &claim);
}

/* True: it has to be appended, all else permitting. */
static bool producer_allows(struct partition_append *append, const struct producer_decision *decision) {
  if (decision->verdict == PRODUCER_ACCEPTS || decision->verdict == PRODUCER_NEW) return true;
  if (decision->verdict == PRODUCER_DUPLICATE) {
    append->duplicate = true;
    if (decision->uncommitted) REACHED(repetition_of_what_is_under_way);
    else REACHED(repetition_answered);
    append->proposal.entry.head =
        (struct entry_head){.base_offset = decision->base_offset, .record_count = append->summary.record_count};
    if (decision->uncommitted) depend(append, NULL);
    else answer_repetition(append);
    return false;
  }
  if (decision->verdict == PRODUCER_FENCED) REACHED(producer_fenced);
  struct failure *failure = refusal_of_verdict(append, decision);
  failure->executed = decision->executed;
  failure->has_producer = decision->id != 0;
  failure->next_sequence = decision->next_sequence;
  failure->producer_epoch = decision->epoch;
  depend(append, failure);
  return false;
}

/* ---- Trying ---- */

static void opened(struct proposal *proposal, enum status status) {
  (void)status;
  memory_free(proposal);
}

/* A name's first batch opens it; the entry for that goes ahead of the batch. */
static enum status open_new(struct partition_append *append, producer_id *out_producer) {
  struct partition *partition = append->partition;
  struct proposal *proposal = NEW(struct proposal);
  proposal->done = opened;
  enum status status = partition_propose_producer(partition, proposal, PRODUCER_OPEN, append->request.producer, 0);
  if (status != STATUS_OK) memory_free(proposal);
  else *out_producer = producer_id_of(partition->place.group, proposal->entry.head.index);
  return status;
}

/* False: it cannot be done just now; `stalled_for` says why. */
static bool stop_for(struct partition_append *append, enum status status) {
  append->stalled_for = status;
  if (status == STATUS_JOURNAL_FULL) log_hurry(append->partition->log);
  if (status == STATUS_BUSY || status == STATUS_JOURNAL_FULL || status == STATUS_LOADING) return false;
  partition_append_refuse(append, partition_refusal(append->partition, status));
  return true;
}

bool partition_append_try(struct partition_append *append, bool may_take_room) {
  struct partition *partition = append->partition;
  if (append->abandoned != NULL && atomic_load_explicit(append->abandoned, memory_order_relaxed)) {
    struct failure *failure = refusal_new(STATUS_CANCELLED, "cancelled before it was begun");
    failure->executed = EXECUTED_NO;
    partition_append_refuse(append, failure);
    return true;
  }
  enum status status = partition_may_decide(partition);
  if (status != STATUS_OK) return stop_for(append, status);
  struct producer_decision decision = {.verdict = PRODUCER_ACCEPTS};
  if (append_has_producer(append)) {
    decision = ask_producers(append);
    if (!producer_allows(append, &decision)) return true;
  }
  record_offset next_offset = log_view(partition->log).next_offset;
  bool expects = append->request.has_expected_offset && !MUTANT(expected_offset_ignored);
  if (expects && append->request.expected_offset != next_offset) {
    mismatch(append, next_offset);
    return true;
  }
  if (!may_take_room) status = STATUS_JOURNAL_FULL;
  if (status == STATUS_OK && decision.verdict == PRODUCER_NEW) status = open_new(append, &decision.id);
  if (status == STATUS_OK) status = propose(append, decision.id);
  return status == STATUS_OK || stop_for(append, status);
}

/* ---- The ways in, and out ---- */

static void decide(struct partition_append *append) {
  struct partition *partition = append->partition;
  bool others_wait_for_room = !list_empty(&partition->host->room);
  if (partition->closed) partition_append_refuse(append, partition_closed_failure(partition));
  else if (!list_empty(&partition->stalled) || !partition_append_try(append, !others_wait_for_room))
    partition_append_stall(append);
}

static void inflate(struct offload_job *job) {
  struct partition_append *append = container_of(job, struct partition_append, job);
  append->failure = append_check(append);
}

static void inflated(struct offload_job *job) {
  struct partition_append *append = container_of(job, struct partition_append, job);
  struct failure *failure = append->failure;
  append->failure = NULL;
  if (failure != NULL) partition_append_refuse(append, failure);
  else decide(append);
}

void partition_append(struct partition_append *append) {
  struct partition *partition = append->partition;
  struct partition_host *host = partition->host;
  append->failure = NULL;
  append->named = NULL;
  append->duplicate = false;
  append->room_node = (struct list_node){0};
  append->limits = (struct batch_limits){.record_bytes_max = (uint32_t)partition->settings.record_bytes_max,
                                         .uncompressed_bytes_max = host->uncompressed_bytes_max};
  if (append->request.batch.codec != WIRE_CODEC_NONE) {
    append->job = (struct offload_job){.loop = host->loop, .work = inflate, .done = inflated};
    offload_run(host->inflater, &append->job);
    return;
  }
  struct failure *failure = append_check(append);
  if (failure != NULL) partition_append_refuse(append, failure);
  else decide(append);
}

void partition_append_wake(struct partition *partition) {
  for (struct list_node *node; (node = list_first(&partition->depending)) != NULL;) {
    struct partition_append *append = list_entry(node, struct partition_append, node);
    if (append->depends_on > partition->applied_index) break;
    list_remove(node);
    partition->waiting--;
    answer_dependent(append);
  }
  partition_append_retry(partition);
}

static void fail_dependent(struct partition *partition, struct partition_append *append, enum status reason) {
  list_remove(&append->node);
  partition->waiting--;
  bool repetition = append->refusal == NULL;
  bool lost = reason == STATUS_FENCED || reason == STATUS_NOT_LEADER;
  struct failure *failure = partition_refusal(partition, repetition && lost ? STATUS_UNKNOWN_OUTCOME : reason);
  if (repetition) failure->executed = EXECUTED_MAYBE;
  memory_free(append->refusal);
  append->refusal = NULL;
  partition_append_refuse(append, failure);
}

/* A refusal may rest on what will never be committed; of a repetition the original's outcome is unknown. What a partition waits for never goes
 * back, so these are the last ones of the list. */
void partition_append_cut(struct partition *partition, entry_index from, enum status reason) {
  list_for_each(&partition->depending, node, following) {
    struct partition_append *append = list_entry(node, struct partition_append, node);
    if (append->depends_on >= from) fail_dependent(partition, append, reason);
  }
}

void partition_append_fail_all(struct partition *partition, enum status reason) {
  partition_append_cut(partition, 0, reason);
  partition_append_fail_stalled(partition, reason);
}
