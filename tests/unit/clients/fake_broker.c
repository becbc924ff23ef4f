#include "tests/unit/clients/fake_broker.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/list.h"
#include "base/memory.h"
#include "cairn/v1/admin.pb-c.h"
#include "cairn/v1/log.pb-c.h"
#include "proto/log_wire.h"
#include "proto/pack.h"
#include "proto/rpc_grpc.h"

#define TOPICS_MAX 8u
#define TAIL_BATCHES_MAX 16u
#define GATHER_MAX 8u
#define HELD_MAX 8u

struct kept {
  struct list_node node;
  struct wire_stored_batch stored;
};

struct fake_partition {
  struct list batches;
  int64_t end;
  uint32_t epoch; /* of its one producer */
  uint64_t next_sequence;
};

struct fake_topic {
  char name[64];
  uint32_t partition_count;
  struct fake_partition *partitions;
};

/* A Tail or an AppendStream. */
struct stream {
  struct list_node node;
  struct rpc_call *call;
  struct fake_partition *partition; /* of a Tail */
  int64_t offset;
  uint32_t max_bytes;
  bool caught_up;
  bool broken; /* an AppendStream after a refusal */
  struct failure failure;
  struct blob *gathered[GATHER_MAX];
  unsigned gathered_count;
  struct buffer answers; /* of one message, where they go together */
};

/* Calls that are finished later. */
struct held {
  bool on;
  struct rpc_call *calls[HELD_MAX];
  struct blob *messages[HELD_MAX]; /* of OpenProducer */
  unsigned count;
};

struct fake_broker {
  struct rpc *rpc;
  char address[32];
  pthread_mutex_t lock;
  struct fake_topic topics[TOPICS_MAX];
  unsigned topic_count;
  struct list tails;
  unsigned appends;
  unsigned refuse_at, lose_at, lose_tail_at;
  unsigned tail_answers;
  unsigned alterations;
  struct failure refusal;
  bool keep, rot;
  unsigned gather;
  bool flocks;
  bool refuses_flock;
  unsigned further; /* requests that came behind others in a message */
  struct held ends, opens;
};

static struct fake_partition *find(struct fake_broker *broker, struct bytes name, uint32_t number, enum status *out_status) {
  *out_status = STATUS_UNKNOWN_TOPIC;
  for (unsigned i = 0; i < broker->topic_count; i++) {
    struct fake_topic *topic = &broker->topics[i];
    if (!bytes_equal(bytes_of_string(topic->name), name)) continue;
    *out_status = number < topic->partition_count ? STATUS_OK : STATUS_UNKNOWN_PARTITION;
    return number < topic->partition_count ? &topic->partitions[number] : NULL;
  }
  return NULL;
}

static void answer_packed(struct rpc_call *call, const ProtobufCMessage *message) {
  struct blob_part part = pack_part(message);
  rpc_call_send(call, &part, 1);
  rpc_call_finish(call, GRPC_CODE_OK, NULL, NULL, 0);
}

/* Under the lock; false when calls of this kind are not held. */
static bool hold(struct held *held, struct rpc_call *call, struct blob *message) {
  if (!held->on) return false;
  CHECK(held->count < HELD_MAX);
  held->calls[held->count] = call;
  held->messages[held->count++] = message;
  return true;
}

/* ---- Questions ---- */

static void describe_topic(void *service, struct rpc_call *call, struct blob *message) {
  struct fake_broker *broker = service;
  struct arena *arena = arena_new(PACK_ARENA_BYTES_MAX);
  Cairn__V1__DescribeTopicRequest *request = NULL;
  enum status status = pack_unpack(arena, &cairn__v1__describe_topic_request__descriptor, bytes_of(message->data, message->size),
                                   (void *)&request);
  CHECK(status == STATUS_OK);
  pthread_mutex_lock(&broker->lock);
  const struct fake_topic *found = NULL;
  for (unsigned i = 0; i < broker->topic_count; i++) {
    if (strcmp(broker->topics[i].name, request->name) == 0) found = &broker->topics[i];
  }
  pthread_mutex_unlock(&broker->lock);
  if (found == NULL) {
    failure_refuse_call(call, STATUS_UNKNOWN_TOPIC, "there is no topic \"%s\"", request->name);
  } else {
    Cairn__V1__Topic topic;
    cairn__v1__topic__init(&topic);
    topic.name = request->name;
    topic.partitions = found->partition_count;
    Cairn__V1__DescribeTopicResponse response;
    cairn__v1__describe_topic_response__init(&response);
    response.topic = &topic;
    answer_packed(call, &response.base);
  }
  arena_free(arena);
  blob_release(message);
}

static void create_topic(void *service, struct rpc_call *call, struct blob *message) {
  struct fake_broker *broker = service;
  struct arena *arena = arena_new(PACK_ARENA_BYTES_MAX);
  Cairn__V1__CreateTopicRequest *request = NULL;
  enum status status =
      pack_unpack(arena, &cairn__v1__create_topic_request__descriptor, bytes_of(message->data, message->size), (void *)&request);
  CHECK(status == STATUS_OK);
  fake_broker_add_topic(broker, request->name, request->partitions == 0 ? 1 : request->partitions);
  Cairn__V1__Topic topic;
  cairn__v1__topic__init(&topic);
  topic.name = request->name;
  topic.config = request->config; /* as it came, also what would not be in force */
  Cairn__V1__CreateTopicResponse response;
  cairn__v1__create_topic_response__init(&response);
  response.topic = &topic;
  answer_packed(call, &response.base);
  arena_free(arena);
  blob_release(message);
}

/* Nobody but who loses one asks for any. */
static void alter_topic(void *service, struct rpc_call *call, struct blob *message) {
  struct fake_broker *broker = service;
  pthread_mutex_lock(&broker->lock);
  bool lost = broker->alterations++ == 0;
  pthread_mutex_unlock(&broker->lock);
  if (lost) rpc_call_finish(call, GRPC_CODE_UNAVAILABLE, "lost", NULL, 0);
  else failure_refuse_call(call, STATUS_LOADING, NULL);
  blob_release(message);
}

static void describe_partition(void *service, struct rpc_call *call, struct blob *message) {
  struct fake_broker *broker = service;
  struct wire_read_request request; /* topic and partition have the same numbers */
  enum status status = log_wire_decode_read_request(bytes_of(message->data, message->size), &request);
  CHECK(status == STATUS_OK);
  pthread_mutex_lock(&broker->lock);
  const struct fake_partition *partition = find(broker, request.topic, request.partition, &status);
  Cairn__V1__DescribePartitionResponse response;
  cairn__v1__describe_partition_response__init(&response);
  if (partition != NULL) response.next_offset = response.high_watermark = partition->end;
  pthread_mutex_unlock(&broker->lock);
  if (partition == NULL) failure_refuse_call(call, status, NULL);
  else answer_packed(call, &response.base);
  blob_release(message);
}

static void answer_open(struct fake_broker *broker, struct rpc_call *call, struct blob *message) {
  struct arena *arena = arena_new(PACK_ARENA_BYTES_MAX);
  Cairn__V1__OpenProducerRequest *asked = NULL;
  enum status status =
      pack_unpack(arena, &cairn__v1__open_producer_request__descriptor, bytes_of(message->data, message->size), (void *)&asked);
  CHECK(status == STATUS_OK);
  pthread_mutex_lock(&broker->lock);
  struct fake_partition *partition = find(broker, bytes_of_string(asked->topic), asked->partition, &status);
  Cairn__V1__OpenProducerResponse response;
  cairn__v1__open_producer_response__init(&response);
  if (partition != NULL) {
    response.created = partition->epoch == 0;
    response.epoch = ++partition->epoch;
    response.next_sequence = partition->next_sequence;
  }
  pthread_mutex_unlock(&broker->lock);
  if (partition == NULL) failure_refuse_call(call, status, NULL);
  else answer_packed(call, &response.base);
  arena_free(arena);
  blob_release(message);
}

static void open_producer(void *service, struct rpc_call *call, struct blob *message) {
  struct fake_broker *broker = service;
  pthread_mutex_lock(&broker->lock);
  bool held = hold(&broker->opens, call, message);
  pthread_mutex_unlock(&broker->lock);
  if (!held) answer_open(broker, call, message);
}

/* ---- Reading ---- */

static bool tail_send(struct fake_broker *broker, struct stream *tail) {
  struct wire_stored_batch batches[TAIL_BATCHES_MAX];
  struct blob_part parts[LOG_WIRE_READ_PARTS(TAIL_BATCHES_MAX)];
  size_t count = 0;
  size_t bytes = 0;
  list_for_each(&tail->partition->batches, node, following) {
    const struct kept *kept = list_entry(node, struct kept, node);
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

static void tail_go_on(struct fake_broker *broker, struct stream *tail) {
  if (rpc_call_queued(tail->call) > 1) return;
  if (!tail_send(broker, tail)) return;
  if (++broker->tail_answers == broker->lose_tail_at) rpc_call_finish(tail->call, GRPC_CODE_UNAVAILABLE, "lost", NULL, 0);
}

static void tail_message(void *service, struct rpc_call *call, struct blob *message) {
  struct fake_broker *broker = service;
  struct wire_read_request request;
  enum status status = log_wire_decode_read_request(bytes_of(message->data, message->size), &request);
  CHECK(status == STATUS_OK);
  pthread_mutex_lock(&broker->lock);
  struct fake_partition *partition = find(broker, request.topic, request.partition, &status);
  if (partition != NULL && request.offset > partition->end) status = STATUS_BEYOND_END;
  if (status == STATUS_OK) {
    struct stream *tail = NEW(struct stream);
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

static void tail_sent(void *service, struct rpc_call *call) {
  struct fake_broker *broker = service;
  struct stream *tail = rpc_call_context(call);
  pthread_mutex_lock(&broker->lock);
  if (tail != NULL) tail_go_on(broker, tail);
  pthread_mutex_unlock(&broker->lock);
}

static void tail_closed(void *service, struct rpc_call *call, bool cancelled) {
  (void)cancelled;
  struct fake_broker *broker = service;
  struct stream *tail = rpc_call_context(call);
  if (tail == NULL) return;
  pthread_mutex_lock(&broker->lock);
  list_remove(&tail->node);
  pthread_mutex_unlock(&broker->lock);
  memory_free(tail);
}

/* ---- Appending ---- */

static int64_t keep_batch(struct fake_partition *partition, const struct wire_append_request *request, struct blob *message) {
  struct kept *kept = NEW(struct kept);
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
    const struct wire_stored_batch *stored = &list_entry(node, struct kept, node)->stored;
    if (stored->batch.first_sequence != batch->first_sequence || stored->batch.record_count != batch->record_count) continue;
    *out_base = stored->base_offset;
    return STATUS_EXISTS;
  }
  return STATUS_SEQUENCE_REUSED;
}

static void answer(struct stream *stream, struct blob_part part) {
  enum status status = log_wire_gather_append_answer(&stream->answers, part.bytes);
  CHECK(status == STATUS_OK);
  blob_part_release(part);
}

static void send_answers(struct stream *stream) {
  if (stream->answers.size == 0) return;
  struct blob *message = NULL;
  enum status status = blob_new(NULL, stream->answers.size, &message);
  CHECK(status == STATUS_OK);
  memcpy(message->data, stream->answers.data, message->size);
  buffer_reset(&stream->answers);
  rpc_call_send(stream->call, &(struct blob_part){.blob = message, .bytes = bytes_of(message->data, message->size)}, 1);
}

static void append_refuse(struct stream *stream, uint64_t request_id, const struct failure *failure) {
  answer(stream, log_wire_encode_append_failure(request_id, failure));
  if (!stream->broken) {
    stream->failure = *failure;
    if (failure->executed == EXECUTED_NO) failure_set(&stream->failure, STATUS_SESSION_BROKEN, NULL);
  }
  stream->broken = true;
}

static void append_one(struct fake_broker *broker, struct stream *stream, struct blob *message, struct bytes bytes) {
  struct wire_append_request request;
  const char *why = NULL;
  enum status status = log_wire_decode_append_request(bytes, &request, &why);
  CHECK_MSG(status == STATUS_OK, "%s", why);
  if (stream->broken) {
    append_refuse(stream, request.request_id, &stream->failure);
    return;
  }
  struct fake_partition *partition = find(broker, request.topic, request.partition, &status);
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
    list_for_each(&broker->tails, node, following) {
      struct stream *tail = list_entry(node, struct stream, node);
      if (tail->partition == partition) tail_go_on(broker, tail);
    }
  }
}

static void append_message_whole(struct fake_broker *broker, struct stream *stream, struct blob *message) {
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

static void append_opened(void *service, struct rpc_call *call) {
  (void)service;
  struct stream *stream = NEW(struct stream);
  buffer_init(&stream->answers, SIZE_MAX);
  stream->call = call;
  rpc_call_set_context(call, stream);
  rpc_call_receive(call);
}

static void append_message(void *service, struct rpc_call *call, struct blob *message) {
  struct fake_broker *broker = service;
  struct stream *stream = rpc_call_context(call);
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

static void append_half_closed(void *service, struct rpc_call *call) {
  struct fake_broker *broker = service;
  pthread_mutex_lock(&broker->lock);
  bool held = hold(&broker->ends, call, NULL);
  pthread_mutex_unlock(&broker->lock);
  if (!held) rpc_call_finish(call, GRPC_CODE_OK, NULL, NULL, 0);
}

static void append_closed(void *service, struct rpc_call *call, bool cancelled) {
  (void)service;
  (void)cancelled;
  struct stream *stream = rpc_call_context(call);
  for (unsigned i = 0; i < stream->gathered_count; i++) blob_release(stream->gathered[i]);
  buffer_deinit(&stream->answers);
  memory_free(stream);
}

static void append_unary(void *service, struct rpc_call *call, struct blob *message) {
  struct fake_broker *broker = service;
  struct wire_append_request request;
  const char *why = NULL;
  enum status status = log_wire_decode_append_request(bytes_of(message->data, message->size), &request, &why);
  CHECK_MSG(status == STATUS_OK, "%s", why);
  pthread_mutex_lock(&broker->lock);
  struct fake_partition *partition = find(broker, request.topic, request.partition, &status);
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

/* ---- Life ---- */

static const struct rpc_handler handlers[] = {
    {.method = "/cairn.v1.Admin/CreateTopic", .kind = RPC_UNARY, .message = create_topic},
    {.method = "/cairn.v1.Admin/AlterTopic", .kind = RPC_UNARY, .message = alter_topic},
    {.method = "/cairn.v1.Admin/DescribeTopic", .kind = RPC_UNARY, .message = describe_topic},
    {.method = "/cairn.v1.Log/DescribePartition", .kind = RPC_UNARY, .message = describe_partition},
    {.method = "/cairn.v1.Log/OpenProducer", .kind = RPC_UNARY, .message = open_producer},
    {.method = "/cairn.v1.Log/Append", .kind = RPC_UNARY, .message = append_unary},
    {.method = "/cairn.v1.Log/AppendStream",
     .kind = RPC_BIDI_STREAM,
     .opened = append_opened,
     .message = append_message,
     .half_closed = append_half_closed,
     .closed = append_closed},
    {.method = "/cairn.v1.Log/Tail",
     .kind = RPC_SERVER_STREAM,
     .message = tail_message,
     .sent = tail_sent,
     .closed = tail_closed},
};

struct fake_broker *fake_broker_start(void) {
  struct fake_broker *broker = NEW(struct fake_broker);
  pthread_mutex_init(&broker->lock, NULL);
  list_init(&broker->tails);
  enum status status = rpc_grpc_open(&broker->rpc);
  CHECK(status == STATUS_OK);
  const struct rpc_serve_options options = {.listen = "127.0.0.1:0",
                                            .handlers = handlers,
                                            .handler_count = sizeof handlers / sizeof handlers[0],
                                            .service = broker,
                                            .message_bytes_max = 4u * 1024 * 1024,
                                            .memory_bytes_max = 256u * 1024 * 1024,
                                            .streams_max = 1000,
                                            .calls_max = 1000};
  uint16_t port = 0;
  status = rpc_serve(broker->rpc, &options, &port);
  CHECK(status == STATUS_OK);
  snprintf(broker->address, sizeof broker->address, "127.0.0.1:%u", port);
  return broker;
}

void fake_broker_stop(struct fake_broker *broker) {
  rpc_serve_stop(broker->rpc, 0);
  rpc_grpc_close(broker->rpc);
  for (unsigned i = 0; i < broker->topic_count; i++) {
    for (uint32_t j = 0; j < broker->topics[i].partition_count; j++) {
      list_for_each(&broker->topics[i].partitions[j].batches, node, following) {
        struct kept *kept = list_entry(node, struct kept, node);
        blob_part_release(kept->stored.payload);
        memory_free(kept);
      }
    }
    memory_free(broker->topics[i].partitions);
  }
  pthread_mutex_destroy(&broker->lock);
  memory_free(broker);
}

const char *fake_broker_address(const struct fake_broker *broker) { return broker->address; }

void fake_broker_add_topic(struct fake_broker *broker, const char *name, uint32_t partitions) {
  pthread_mutex_lock(&broker->lock);
  CHECK(broker->topic_count < TOPICS_MAX);
  struct fake_topic *topic = &broker->topics[broker->topic_count++];
  snprintf(topic->name, sizeof topic->name, "%s", name);
  topic->partition_count = partitions;
  topic->partitions = memory_new_array(partitions, sizeof *topic->partitions);
  for (uint32_t i = 0; i < partitions; i++) list_init(&topic->partitions[i].batches);
  pthread_mutex_unlock(&broker->lock);
}

int64_t fake_broker_end(struct fake_broker *broker, const char *name, uint32_t partition) {
  pthread_mutex_lock(&broker->lock);
  enum status status;
  const struct fake_partition *found = find(broker, bytes_of_string(name), partition, &status);
  int64_t end = found == NULL ? -1 : found->end;
  pthread_mutex_unlock(&broker->lock);
  return end;
}

unsigned fake_broker_appends(struct fake_broker *broker) {
  pthread_mutex_lock(&broker->lock);
  unsigned appends = broker->appends;
  pthread_mutex_unlock(&broker->lock);
  return appends;
}

void fake_broker_refuse(struct fake_broker *broker, unsigned nth, const struct failure *failure, bool keep) {
  pthread_mutex_lock(&broker->lock);
  broker->refuse_at = broker->appends + nth;
  broker->refusal = *failure;
  broker->keep = keep;
  pthread_mutex_unlock(&broker->lock);
}

void fake_broker_lose(struct fake_broker *broker, unsigned nth, bool keep) {
  pthread_mutex_lock(&broker->lock);
  broker->lose_at = broker->appends + nth;
  broker->keep = keep;
  pthread_mutex_unlock(&broker->lock);
}

void fake_broker_gather(struct fake_broker *broker, unsigned count) {
  PRE(count <= GATHER_MAX);
  pthread_mutex_lock(&broker->lock);
  broker->gather = count;
  pthread_mutex_unlock(&broker->lock);
}

void fake_broker_flock(struct fake_broker *broker) {
  pthread_mutex_lock(&broker->lock);
  broker->flocks = true;
  pthread_mutex_unlock(&broker->lock);
}

void fake_broker_refuse_flock(struct fake_broker *broker, const struct failure *failure) {
  pthread_mutex_lock(&broker->lock);
  broker->refuses_flock = true;
  broker->refusal = *failure;
  pthread_mutex_unlock(&broker->lock);
}

unsigned fake_broker_further(struct fake_broker *broker) {
  pthread_mutex_lock(&broker->lock);
  unsigned further = broker->further;
  pthread_mutex_unlock(&broker->lock);
  return further;
}

void fake_broker_hold(struct fake_broker *broker) {
  pthread_mutex_lock(&broker->lock);
  broker->ends.on = broker->opens.on = true;
  pthread_mutex_unlock(&broker->lock);
}

static struct held let_go(struct fake_broker *broker, struct held *held) {
  pthread_mutex_lock(&broker->lock);
  struct held taken = *held;
  *held = (struct held){0};
  pthread_mutex_unlock(&broker->lock);
  return taken;
}

void fake_broker_let_end(struct fake_broker *broker) {
  struct held ends = let_go(broker, &broker->ends);
  for (unsigned i = 0; i < ends.count; i++) rpc_call_finish(ends.calls[i], GRPC_CODE_OK, NULL, NULL, 0);
}

void fake_broker_let_open(struct fake_broker *broker) {
  struct held opens = let_go(broker, &broker->opens);
  for (unsigned i = 0; i < opens.count; i++) answer_open(broker, opens.calls[i], opens.messages[i]);
}

void fake_broker_rot(struct fake_broker *broker) {
  pthread_mutex_lock(&broker->lock);
  broker->rot = true;
  pthread_mutex_unlock(&broker->lock);
}

void fake_broker_lose_alteration(struct fake_broker *broker) {
  pthread_mutex_lock(&broker->lock);
  broker->alterations = 0;
  pthread_mutex_unlock(&broker->lock);
}

void fake_broker_lose_tail(struct fake_broker *broker, unsigned nth) {
  pthread_mutex_lock(&broker->lock);
  broker->lose_tail_at = broker->tail_answers + nth;
  pthread_mutex_unlock(&broker->lock);
}
