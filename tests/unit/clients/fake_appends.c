#include <string.h>

#include "base/check.h"
#include "base/memory.h"
#include "tests/unit/clients/fake_broker_internal.h"

/* Append and AppendStream: what is kept, what is refused, and what is lost on the way, as the script has it. */

struct append_stream {
  struct rpc_call *call;
  bool broken; /* after a refusal */
  struct failure failure;
  struct blob *gathered[FAKE_GATHER_MAX];
  unsigned gathered_count;
  struct buffer answers; /* of one message, where they go together */
};

static int64_t keep_batch(struct fake_partition *partition, const struct wire_append_request *request, struct blob *message) {
  struct fake_kept *kept = NEW(struct fake_kept);
  kept->stored = (struct wire_stored_batch){
      .base_offset = partition->end,
      .last_offset = partition->end + request->batch.record_count - 1,
      .leader_time_ms = 1000,
      .batch = request->batch,
      .payload = blob_part_of(message, (size_t)(request->payload.data - message->data), request->payload.size),
  };
  list_push_back(&partition->batches, &kept->node);
  int64_t base = partition->end;
  partition->end += request->batch.record_count;
  if (request->producer.size > 0) partition->next_sequence = request->batch.first_sequence + request->batch.record_count;
  return base;
}

/* What the producer's sequence says: OK, it is the next; EXISTS, it is there, at `out_base`; else why it is refused. */
static enum status judge_sequence(const struct fake_partition *partition, const struct wire_append_request *request,
                                  int64_t *out_base) {
  const struct wire_batch *batch = &request->batch;
  if (request->producer.size == 0) return STATUS_OK;
  if (batch->producer_epoch < partition->epoch) return STATUS_PRODUCER_FENCED;
  if (batch->first_sequence > partition->next_sequence) return STATUS_SEQUENCE_GAP;
  if (batch->first_sequence == partition->next_sequence) return STATUS_OK;
  list_for_each(&partition->batches, node, following) {
    const struct wire_stored_batch *stored = &list_entry(node, struct fake_kept, node)->stored;
    if (stored->batch.first_sequence != batch->first_sequence || stored->batch.record_count != batch->record_count) continue;
    *out_base = stored->base_offset;
    return STATUS_EXISTS;
  }
  return STATUS_SEQUENCE_REUSED;
}

static void answer(struct append_stream *stream, struct blob_part part) {
  enum status status = log_wire_gather_append_answer(&stream->answers, part.bytes);
  CHECK(status == STATUS_OK);
  blob_part_release(part);
}

static void send_answers(struct append_stream *stream) {
  if (stream->answers.size == 0) return;
  struct blob *message = NULL;
  enum status status = blob_new(NULL, stream->answers.size, &message);
  CHECK(status == STATUS_OK);
  memcpy(message->data, stream->answers.data, message->size);
  buffer_reset(&stream->answers);
  rpc_call_send(stream->call, &(struct blob_part){.blob = message, .bytes = bytes_of(message->data, message->size)}, 1);
}

static void append_refuse(struct append_stream *stream, uint64_t request_id, const struct failure *failure) {
  answer(stream, log_wire_encode_append_failure(request_id, failure));
  if (!stream->broken) {
    stream->failure = *failure;
    if (failure->executed == EXECUTED_NO) failure_set(&stream->failure, STATUS_SESSION_BROKEN, NULL);
  }
  stream->broken = true;
}

static void append_one(struct fake_broker *broker, struct append_stream *stream, struct blob *message, struct bytes bytes) {
  struct wire_append_request request;
  const char *why = NULL;
  enum status status = log_wire_decode_append_request(bytes, &request, &why);
  CHECK_MSG(status == STATUS_OK, "%s", why);
  if (stream->broken) {
    append_refuse(stream, request.request_id, &stream->failure);
    return;
  }
  struct fake_partition *partition = fake_find(broker, request.topic, request.partition, &status);
  unsigned ordinal = ++broker->appends;
  bool refused = ordinal == broker->refuse_at;
  bool lost = ordinal == broker->lose_at;
  int64_t base = -1;
  enum status sequence = partition == NULL ? STATUS_OK : judge_sequence(partition, &request, &base);
  bool keep = partition != NULL && sequence == STATUS_OK && ((!refused && !lost) || broker->keep);
  if (keep) base = keep_batch(partition, &request, message);
  if (lost) {
    stream->broken = true;
    send_answers(stream);
    rpc_call_finish(stream->call, GRPC_CODE_UNAVAILABLE, "lost", NULL, 0);
  } else if (refused || partition == NULL) {
    struct failure failure = broker->refusal;
    if (partition == NULL) failure_set(&failure, status, NULL);
    append_refuse(stream, request.request_id, &failure);
  } else if (sequence != STATUS_OK && sequence != STATUS_EXISTS) {
    struct failure failure;
    failure_set(&failure, sequence, NULL);
    append_refuse(stream, request.request_id, &failure);
  } else {
    const struct wire_append_response response = {.request_id = request.request_id,
                                                  .base_offset = base,
                                                  .last_offset = base + request.batch.record_count - 1,
                                                  .leader_time_ms = 1000,
                                                  .duplicate = sequence == STATUS_EXISTS,
                                                  .takes_more = broker->flocks};
    answer(stream, log_wire_encode_append_response(&response));
    fake_tails_go_on(broker, partition);
  }
}

static void append_message_whole(struct fake_broker *broker, struct append_stream *stream, struct blob *message) {
  struct bytes whole = bytes_of(message->data, message->size);
  struct wire_cursor more = wire_cursor_of(whole);
  struct bytes further;
  if (broker->refuses_flock && log_wire_next_append_request(&more, &further) == STATUS_OK) {
    broker->refuses_flock = false;
    append_refuse(stream, log_wire_find_request_id(whole), &broker->refusal);
    send_answers(stream);
    return;
  }
  more = wire_cursor_of(whole);
  append_one(broker, stream, message, whole);
  while (log_wire_next_append_request(&more, &further) == STATUS_OK) {
    CHECK(broker->flocks);
    broker->further++;
    append_one(broker, stream, message, further);
  }
  send_answers(stream);
}

void fake_append_opened(void *service, struct rpc_call *call) {
  (void)service;
  struct append_stream *stream = NEW(struct append_stream);
  buffer_init(&stream->answers, SIZE_MAX);
  stream->call = call;
  rpc_call_set_context(call, stream);
  rpc_call_receive(call);
}

void fake_append_message(void *service, struct rpc_call *call, struct blob *message) {
  struct fake_broker *broker = service;
  struct append_stream *stream = rpc_call_context(call);
  pthread_mutex_lock(&broker->lock);
  stream->gathered[stream->gathered_count++] = message;
  if (stream->gathered_count >= broker->gather) {
    broker->gather = 0;
    for (unsigned i = 0; i < stream->gathered_count; i++) {
      append_message_whole(broker, stream, stream->gathered[i]);
      blob_release(stream->gathered[i]);
    }
    stream->gathered_count = 0;
  }
  pthread_mutex_unlock(&broker->lock);
  rpc_call_receive(call);
}

void fake_append_half_closed(void *service, struct rpc_call *call) {
  struct fake_broker *broker = service;
  pthread_mutex_lock(&broker->lock);
  bool held = fake_hold(&broker->ends, call, NULL);
  pthread_mutex_unlock(&broker->lock);
  if (!held) rpc_call_finish(call, GRPC_CODE_OK, NULL, NULL, 0);
}

void fake_append_closed(void *service, struct rpc_call *call, bool cancelled) {
  (void)service;
  (void)cancelled;
  struct append_stream *stream = rpc_call_context(call);
  for (unsigned i = 0; i < stream->gathered_count; i++) blob_release(stream->gathered[i]);
  buffer_deinit(&stream->answers);
  memory_free(stream);
}

void fake_append_unary(void *service, struct rpc_call *call, struct blob *message) {
  struct fake_broker *broker = service;
  struct wire_append_request request;
  const char *why = NULL;
  enum status status = log_wire_decode_append_request(bytes_of(message->data, message->size), &request, &why);
  CHECK_MSG(status == STATUS_OK, "%s", why);
  pthread_mutex_lock(&broker->lock);
  struct fake_partition *partition = fake_find(broker, request.topic, request.partition, &status);
  bool refused = ++broker->appends == broker->refuse_at;
  int64_t base = partition == NULL || refused ? -1 : keep_batch(partition, &request, message);
  pthread_mutex_unlock(&broker->lock);
  if (refused) {
    failure_finish_call(call, &broker->refusal);
  } else if (partition == NULL) {
    failure_refuse_call(call, status, NULL);
  } else {
    const struct wire_append_response response = {.base_offset = base, .last_offset = base + request.batch.record_count - 1};
    struct blob_part part = log_wire_encode_append_response(&response);
    rpc_call_send(call, &part, 1);
    rpc_call_finish(call, GRPC_CODE_OK, NULL, NULL, 0);
  }
  blob_release(message);
}
