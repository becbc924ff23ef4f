#include "base/check.h"
#include "base/memory.h"
#include "tests/unit/clients/fake_broker_internal.h"

/* Its streams of Tail. */

#define TAIL_BATCHES_MAX 16u

struct tail {
  struct list_node node;
  struct rpc_call *call;
  struct fake_partition *partition;
  int64_t offset;
  uint32_t max_bytes;
  bool caught_up;
};

static bool tail_send(struct fake_broker *broker, struct tail *tail) {
  struct wire_stored_batch batches[TAIL_BATCHES_MAX];
  struct blob_part parts[LOG_WIRE_READ_PARTS(TAIL_BATCHES_MAX)];
  size_t count = 0;
  size_t bytes = 0;
  list_for_each(&tail->partition->batches, node, following) {
    const struct fake_kept *kept = list_entry(node, struct fake_kept, node);
    if (kept->stored.last_offset < tail->offset) continue;
    bytes += kept->stored.payload.bytes.size;
    if (count == TAIL_BATCHES_MAX || (count > 0 && bytes > tail->max_bytes)) break;
    batches[count] = kept->stored;
    batches[count].payload = blob_part_hold(kept->stored.payload);
    if (broker->rot) batches[count].batch.crc32c ^= 1;
    tail->offset = batches[count++].last_offset + 1;
  }
  if (count == 0 && tail->caught_up) return false;
  const struct wire_read_response response = {.high_watermark = tail->partition->end,
                                              .next_offset = tail->offset,
                                              .caught_up = !tail->caught_up && tail->offset == tail->partition->end};
  tail->caught_up |= response.caught_up;
  size_t part_count = log_wire_encode_read_response(&response, batches, count, parts);
  rpc_call_send(tail->call, parts, part_count);
  return true;
}

static void tail_go_on(struct fake_broker *broker, struct tail *tail) {
  if (rpc_call_queued(tail->call) > 1) return;
  if (!tail_send(broker, tail)) return;
  if (++broker->tail_answers == broker->lose_tail_at) rpc_call_finish(tail->call, GRPC_CODE_UNAVAILABLE, "lost", NULL, 0);
}

void fake_tails_go_on(struct fake_broker *broker, const struct fake_partition *partition) {
  list_for_each(&broker->tails, node, following) {
    struct tail *tail = list_entry(node, struct tail, node);
    if (tail->partition == partition) tail_go_on(broker, tail);
  }
}

void fake_tail_message(void *service, struct rpc_call *call, struct blob *message) {
  struct fake_broker *broker = service;
  struct wire_read_request request;
  enum status status = log_wire_decode_read_request(bytes_of(message->data, message->size), &request);
  CHECK(status == STATUS_OK);
  pthread_mutex_lock(&broker->lock);
  struct fake_partition *partition = fake_find(broker, request.topic, request.partition, &status);
  if (partition != NULL && request.offset > partition->end) status = STATUS_BEYOND_END;
  if (status == STATUS_OK) {
    struct tail *tail = NEW(struct tail);
    tail->call = call;
    tail->partition = partition;
    tail->offset = request.offset;
    tail->max_bytes = request.max_bytes;
    rpc_call_set_context(call, tail);
    list_push_back(&broker->tails, &tail->node);
    tail_go_on(broker, tail);
  } else {
    struct failure failure;
    failure_set(&failure, status, NULL);
    if (partition != NULL) {
      failure.has_next_offset = true;
      failure.next_offset = partition->end;
    }
    failure_finish_call(call, &failure);
  }
  pthread_mutex_unlock(&broker->lock);
  blob_release(message);
}

void fake_tail_sent(void *service, struct rpc_call *call) {
  struct fake_broker *broker = service;
  struct tail *tail = rpc_call_context(call);
  pthread_mutex_lock(&broker->lock);
  if (tail != NULL) tail_go_on(broker, tail);
  pthread_mutex_unlock(&broker->lock);
}

void fake_tail_closed(void *service, struct rpc_call *call, bool cancelled) {
  (void)cancelled;
  struct fake_broker *broker = service;
  struct tail *tail = rpc_call_context(call);
  if (tail == NULL) return;
  pthread_mutex_lock(&broker->lock);
  list_remove(&tail->node);
  pthread_mutex_unlock(&broker->lock);
  memory_free(tail);
}
