#include <inttypes.h>

#include "base/check.h"
#include "base/memory.h"
#include "server/partition_internal.h"

/* Producers come and go through the log, so that replicas agree on them: opened, forgotten. What they sent is in partition_append.c. */

#define PRODUCER_BATCHES_MAX 1024u     /* that are remembered of each producer */
#define PRODUCER_BYTES_MAX (64u << 20) /* of a partition, as producer_entry.h counts them */

enum status partition_propose_producer(struct partition *partition, struct proposal *proposal, enum producer_entry_kind kind,
                                       struct bytes name, uint32_t epoch) {
  const struct producer_entry entry = {.kind = kind,
                                       .name = name,
                                       .epoch = epoch,
                                       .bounds = {.producers_max = partition->host->producers_max,
                                                  .batches_max = PRODUCER_BATCHES_MAX,
                                                  .bytes_max = PRODUCER_BYTES_MAX}};
  struct log_set *logs = lane_logs(partition->host->lane);
  size_t size = producer_entry_size(&entry);
  if (replica_fenced(partition->replica)) return STATUS_FENCED;
  enum status status = log_set_admit(logs, size);
  if (status != STATUS_OK) return status;
  struct blob *payload = NULL;
  status = blob_new(NULL, size, &payload);
  CHECK(status == STATUS_OK); /* it is charged to nobody */
  producer_entry_encode(&entry, payload->data);
  proposal->entry.head = (struct entry_head){.kind = ENTRY_PRODUCER};
  proposal->entry.payload = (struct blob_part){.blob = payload, .bytes = bytes_of(payload->data, size)};
  status = partition_propose(partition, proposal);
  if (status == STATUS_OK) return STATUS_OK;
  log_set_admit_undo(logs, size);
  blob_release(payload);
  return status;
}

static void answer(struct partition_producer *request, struct failure *failure) {
  request->failure = failure;
  request->done(request);
}

/* It was applied a moment ago, and nothing after it: what is remembered now is as of its entry. */
static void changed(struct proposal *proposal, enum status status) {
  struct partition_producer *request = container_of(proposal, struct partition_producer, proposal);
  struct failure *failure = NULL;
  if (status != STATUS_OK) {
    failure = partition_proposal_failure(request->partition, status);
  } else if (request->kind == PRODUCER_OPEN) {
    bool found = producer_state_find(request->partition->producers, request->name, &request->info);
    CHECK(found);
  }
  answer(request, failure);
}

static struct failure *change(struct partition_producer *request) {
  struct partition *partition = request->partition;
  if (partition->closed) return partition_closed_failure(partition);
  if (!producer_name_valid(request->name))
    return refusal_new(STATUS_BAD_NAME, "a producer's name has 1 to %u bytes of UTF-8 without NUL, this one has %zu",
                       PRODUCER_NAME_MAX, request->name.size);
  enum status status = partition_may_decide(partition);
  if (status != STATUS_OK) return partition_refusal(partition, status);
  uint32_t epoch = 0;
  if (request->kind == PRODUCER_OPEN && !producer_state_next_epoch(partition->producers, request->name, &epoch))
    return refusal_new(STATUS_INVALID, "the producer was opened 4294967295 times, and has no epoch left; take another name");
  request->known = producer_state_knows(partition->producers, request->name);
  request->proposal.done = changed;
  status = partition_propose_producer(partition, &request->proposal, request->kind, request->name, epoch);
  return status == STATUS_OK ? NULL : partition_refusal(partition, status);
}

void partition_change_producer(struct partition_producer *request) {
  struct failure *failure = change(request);
  if (failure != NULL) answer(request, failure);
}

enum status partition_list_producers(struct partition *partition, struct bytes after, struct producer_info *out_infos, size_t max,
                                     size_t *out_count, struct producer_totals *out_totals) {
  if (partition->closed) return partition_closed_status(partition);
  *out_count = producer_state_list(partition->producers, after, out_infos, max);
  *out_totals = producer_state_totals(partition->producers);
  return STATUS_OK;
}

uint64_t partition_producers_hash(const struct partition *partition) { return producer_state_hash(partition->producers); }
