#include "tests/unit/clients/fake_broker.h"

#include <stdio.h>

#include "base/check.h"
#include "base/memory.h"
#include "proto/rpc_grpc.h"
#include "tests/unit/clients/fake_broker_internal.h"

/* ---- Life ---- */

static const struct rpc_handler handlers[] = {
    {.method = "/cairn.v1.Admin/CreateTopic", .kind = RPC_UNARY, .message = fake_create_topic},
    {.method = "/cairn.v1.Admin/AlterTopic", .kind = RPC_UNARY, .message = fake_alter_topic},
    {.method = "/cairn.v1.Admin/DescribeTopic", .kind = RPC_UNARY, .message = fake_describe_topic},
    {.method = "/cairn.v1.Log/DescribePartition", .kind = RPC_UNARY, .message = fake_describe_partition},
    {.method = "/cairn.v1.Log/OpenProducer", .kind = RPC_UNARY, .message = fake_open_producer},
    {.method = "/cairn.v1.Log/Append", .kind = RPC_UNARY, .message = fake_append_unary},
    {.method = "/cairn.v1.Log/AppendStream",
     .kind = RPC_BIDI_STREAM,
     .opened = fake_append_opened,
     .message = fake_append_message,
     .half_closed = fake_append_half_closed,
     .closed = fake_append_closed},
    {.method = "/cairn.v1.Log/Tail",
     .kind = RPC_SERVER_STREAM,
     .message = fake_tail_message,
     .sent = fake_tail_sent,
     .closed = fake_tail_closed},
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
        struct fake_kept *kept = list_entry(node, struct fake_kept, node);
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

/* ---- The script ---- */

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
  PRE(count <= FAKE_GATHER_MAX);
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

bool fake_hold(struct fake_held *held, struct rpc_call *call, struct blob *message) {
  if (!held->on) return false;
  CHECK(held->count < FAKE_HELD_MAX);
  held->calls[held->count] = call;
  held->messages[held->count++] = message;
  return true;
}

void fake_broker_hold(struct fake_broker *broker) {
  pthread_mutex_lock(&broker->lock);
  broker->ends.on = broker->opens.on = true;
  pthread_mutex_unlock(&broker->lock);
}

static struct fake_held let_go(struct fake_broker *broker, struct fake_held *held) {
  pthread_mutex_lock(&broker->lock);
  struct fake_held taken = *held;
  *held = (struct fake_held){0};
  pthread_mutex_unlock(&broker->lock);
  return taken;
}

void fake_broker_let_end(struct fake_broker *broker) {
  struct fake_held ends = let_go(broker, &broker->ends);
  for (unsigned i = 0; i < ends.count; i++) rpc_call_finish(ends.calls[i], GRPC_CODE_OK, NULL, NULL, 0);
}

void fake_broker_let_open(struct fake_broker *broker) {
  struct fake_held opens = let_go(broker, &broker->opens);
  for (unsigned i = 0; i < opens.count; i++) fake_answer_open(broker, opens.calls[i], opens.messages[i]);
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
