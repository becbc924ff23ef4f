#include "base/check.h"
#include "cairn/v1/log.pb-c.h"
#include "clients/c/consumer_internal.h"
#include "proto/pack.h"

static bool relative(struct cairn_position position) {
  return position.kind == CAIRN_AT_START || position.kind == CAIRN_AT_END || position.kind == CAIRN_BEFORE_END;
}

/* ---- Questions, one at a time; each answer leads to the next ---- */

static void ask(struct cairn_consumer *consumer, const char *method, const ProtobufCMessage *request,
                void (*done)(struct call *call, struct blob *answer)) {
  struct cairn_client *client = consumer->client;
  consumer->ask = (struct call){
      .client = client,
      .method = method,
      .request = {pack_part(request)},
      .request_parts = 1,
      .idempotent = true,
      .deadline_ns = client_deadline_ns(client, client->call_timeout_ms),
      .done = done,
  };
  consumer->asking = true;
  call_start(&consumer->ask);
}

/* Unpacks into `arena`; on failure the consumer has failed and NULL is returned. */
static void *answered(struct cairn_consumer *consumer, struct blob *answer, const ProtobufCMessageDescriptor *descriptor,
                      struct arena *arena) {
  consumer->asking = false;
  if (consumer->closing) {
    blob_release(answer);
    consumer_ring_if_closed(consumer);
    return NULL;
  }
  if (answer == NULL) {
    consumer_fail(consumer, &consumer->ask.failure);
    return NULL;
  }
  void *message = NULL;
  enum status status = pack_unpack(arena, descriptor, bytes_of(answer->data, answer->size), &message);
  blob_release(answer);
  if (status == STATUS_OK) return message;
  struct failure failure;
  failure_set(&failure, status, "the broker's answer is not a %s", descriptor->name);
  consumer_fail(consumer, &failure);
  return NULL;
}

static void describe_done(struct call *call, struct blob *answer) {
  struct cairn_consumer *consumer = container_of(call, struct cairn_consumer, ask);
  struct arena *arena = arena_new(PACK_ARENA_BYTES_MAX);
  const Cairn__V1__DescribePartitionResponse *response =
      answered(consumer, answer, &cairn__v1__describe_partition_response__descriptor, arena);
  if (response != NULL) {
    consumer->start.described = true;
    consumer->start.log_start_offset = response->log_start_offset;
    consumer->start.end_offset = response->high_watermark;
    consumer_start(consumer);
  }
  arena_free(arena);
}

static void find_done(struct call *call, struct blob *answer) {
  struct cairn_consumer *consumer = container_of(call, struct cairn_consumer, ask);
  struct arena *arena = arena_new(PACK_ARENA_BYTES_MAX);
  const Cairn__V1__FindOffsetResponse *response = answered(consumer, answer, &cairn__v1__find_offset_response__descriptor, arena);
  if (response != NULL) {
    struct consumer_start *start = &consumer->start;
    bool for_from = consumer->options.from.kind == CAIRN_AT_TIME && !start->from_found;
    if (for_from) start->from_found = true;
    else start->to_found = true;
    *(for_from ? &start->from_offset : &start->to_offset) = response->offset;
    consumer_start(consumer);
  }
  arena_free(arena);
}

static void ask_describe(struct cairn_consumer *consumer) {
  Cairn__V1__DescribePartitionRequest request;
  cairn__v1__describe_partition_request__init(&request);
  request.topic = consumer->topic;
  request.partition = consumer->partition;
  ask(consumer, "/cairn.v1.Log/DescribePartition", &request.base, describe_done);
}

static void ask_find(struct cairn_consumer *consumer, int64_t timestamp_ms) {
  Cairn__V1__FindOffsetRequest request;
  cairn__v1__find_offset_request__init(&request);
  request.topic = consumer->topic;
  request.partition = consumer->partition;
  request.timestamp_ms = timestamp_ms;
  ask(consumer, "/cairn.v1.Log/FindOffset", &request.base, find_done);
}

/* ---- From what was learned to offsets ---- */

static int64_t offset_of(const struct consumer_start *start, struct cairn_position position, int64_t by_time) {
  switch (position.kind) {
    case CAIRN_AT_DEFAULT: break;
    case CAIRN_AT_START: return start->log_start_offset;
    case CAIRN_AT_END: return start->end_offset;
    case CAIRN_AT_OFFSET: return position.value;
    case CAIRN_AT_TIME: return by_time;
    case CAIRN_BEFORE_END: {
      int64_t kept = start->end_offset - start->log_start_offset;
      return position.value < kept ? start->end_offset - position.value : start->log_start_offset;
    }
  }
  return OFFSET_NONE;
}

/* An offset that the log does not have, told before the broker is asked for it: a stop at the end would hide it. */
static bool from_in_range(struct cairn_consumer *consumer) {
  const struct consumer_start *start = &consumer->start;
  struct cairn_position from = consumer->options.from;
  if (from.kind != CAIRN_AT_OFFSET || !start->described) return true;
  bool below = from.value < start->log_start_offset;
  if (!below && from.value <= start->end_offset) return true;
  enum status status = below ? STATUS_BELOW_START : STATUS_BEYOND_END;
  struct failure failure;
  if (start->log_start_offset == start->end_offset)
    failure_set(&failure, status, "offset %lld is asked for; partition %u of \"%s\" is empty and begins at %lld",
                (long long)from.value, consumer->partition, consumer->topic, (long long)start->end_offset);
  else
    failure_set(&failure, status, "offset %lld is asked for; partition %u of \"%s\" has the offsets %lld to %lld",
                (long long)from.value, consumer->partition, consumer->topic, (long long)start->log_start_offset,
                (long long)start->end_offset - 1);
  failure.has_next_offset = true;
  failure.next_offset = below ? start->log_start_offset : start->end_offset;
  consumer_fail(consumer, &failure);
  return false;
}

void consumer_start(struct cairn_consumer *consumer) {
  struct consumer_start *start = &consumer->start;
  struct cairn_position from = consumer->options.from;
  struct cairn_position to = consumer->options.to;
  if ((relative(from) || relative(to)) && !start->described) {
    ask_describe(consumer);
    return;
  }
  if (from.kind == CAIRN_AT_TIME && !start->from_found) {
    ask_find(consumer, from.value);
    return;
  }
  if (to.kind == CAIRN_AT_TIME && !start->to_found) {
    ask_find(consumer, to.value);
    return;
  }
  if (!from_in_range(consumer)) return;
  pthread_mutex_lock(&consumer->lock);
  consumer->resolved = true;
  consumer->first_offset = offset_of(start, from, start->from_offset);
  consumer->stop_offset = offset_of(start, to, start->to_offset);
  if (start->described) consumer->high_watermark = start->end_offset;
  consumer->fetch_offset = consumer->first_offset;
  pthread_mutex_unlock(&consumer->lock);
  consumer_open(consumer);
  bell_ring(consumer->client->world, &consumer->bell);
  if (consumer->options.notify != NULL) consumer->options.notify(consumer->options.context);
}
