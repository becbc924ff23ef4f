#include "base/check.h"
#include "base/memory.h"
#include "server/log_service.h"
#include "server/services.h"

#define READ_BYTES_DEFAULT (1u << 20)
#define TAIL_BYTES_DEFAULT (256u << 10)
#define ANSWER_BYTES_MAX (3u << 20) /* with heads it stays below what stock clients accept */
#define READ_WAIT_MS_MAX 60000u
#define NS_PER_MS 1000000u

static uint32_t bounded(uint32_t asked, uint32_t by_default) {
  if (asked == 0) return by_default;
  return asked < ANSWER_BYTES_MAX ? asked : ANSWER_BYTES_MAX;
}

/* ---- Entries to batches ---- */

static struct wire_stored_batch batch_of(const struct entry *entry) {
  const struct entry_head *head = &entry->head;
  return (struct wire_stored_batch){
      .base_offset = head->base_offset,
      .last_offset = entry_end_offset(head) - 1,
      .term = head->term,
      .leader_time_ms = head->leader_time_ms,
      .batch = {.codec = (enum wire_codec)head->codec,
                .uncompressed_bytes = head->uncompressed_size,
                .record_count = head->record_count,
                .base_timestamp_ms = head->base_time_ms,
                .max_timestamp_ms = head->max_time_ms,
                .has_crc32c = true,
                .crc32c = head->payload_crc,
                .producer_id = head->producer_id,
                .producer_epoch = head->producer_epoch,
                .first_sequence = head->first_sequence},
      .payload = blob_part_hold(entry->payload),
  };
}

#define FEW_BATCHES 4u /* for which the stack is enough */

/* Payloads leave as the very bytes they are kept in. */
static void send_entries(struct rpc_call *call, const struct wire_read_response *response, const struct entry *entries,
                         size_t count) {
  struct wire_stored_batch few[FEW_BATCHES] = {0};
  struct blob_part few_parts[LOG_WIRE_READ_PARTS(FEW_BATCHES)];
  bool many = count > FEW_BATCHES;
  struct wire_stored_batch *batches = many ? memory_new_array(count, sizeof *batches) : few;
  struct blob_part *parts = many ? memory_new_array(LOG_WIRE_READ_PARTS(count), sizeof *parts) : few_parts;
  for (size_t i = 0; i < count; i++) batches[i] = batch_of(&entries[i]);
  size_t part_count = log_wire_encode_read_response(response, batches, count, parts);
  rpc_call_send(call, parts, part_count);
  if (!many) return;
  memory_free(batches);
  memory_free(parts);
}

/* Decodes, checks and routes. NULL and the partition held, or why not. */
static struct failure *prepare(struct services *services, struct bytes message, struct wire_read_request *request,
                               struct partition **out_partition) {
  struct failure *failure = services_not_serving(services);
  if (failure != NULL) return failure;
  enum status status = log_wire_decode_read_request(message, request);
  if (status == STATUS_BAD_NAME) return refusal_new(status, "the topic's name has NUL or is not UTF-8");
  if (status != STATUS_OK)
    return refusal_new(status, "the message is not a cairn.v1 request to read; compare the client's .proto files");
  if (request->offset < 0)
    return refusal_new(STATUS_INVALID,
                       "offset %lld is negative; offsets begin at 0, and DescribePartition tells where the log is",
                       (long long)request->offset);
  if (request->max_wait_ms > READ_WAIT_MS_MAX)
    return refusal_new(STATUS_INVALID, "max_wait_ms is %u and may be %u at most; ask again after that", request->max_wait_ms,
                       READ_WAIT_MS_MAX);
  *out_partition = services_find(services, request->topic, request->partition, &failure);
  return failure;
}

/* ---- Read ---- */

struct read_call {
  struct partition_read read;
  struct task task;
  struct task hurry_task;
  struct rpc_call *call;
  struct services *services;
  uint32_t wait_ms;
  atomic_uint holders; /* the lane, and, if it may wait, the call as long as it is open */
};

static void release_read(struct read_call *this) {
  if (atomic_fetch_sub_explicit(&this->holders, 1, memory_order_acq_rel) > 1) return;
  partition_release(this->read.partition);
  services_end(this->services);
  memory_free(this);
}

static void read_done(struct partition_read *read) {
  struct read_call *this = container_of(read, struct read_call, read);
  if (read->failure != NULL) {
    services_fail(this->call, read->failure);
  } else {
    struct wire_read_response response = {
        .high_watermark = read->high_watermark, .log_start_offset = read->start_offset, .next_offset = read->next_offset};
    send_entries(this->call, &response, read->log.entries, read->log.count);
    rpc_call_finish(this->call, GRPC_CODE_OK, NULL, NULL, 0);
  }
  log_read_reset(&read->log);
  rpc_call_release(this->call);
  release_read(this);
}

static void read_run(struct task *task) {
  struct read_call *this = container_of(task, struct read_call, task);
  struct partition_read *read = &this->read;
  if (read->bytes_min > 0) {
    uint64_t wait_ns = (uint64_t)this->wait_ms * NS_PER_MS;
    uint64_t left_ns = rpc_call_time_left_ns(this->call);
    left_ns -= left_ns / 16; /* an empty answer in time is better than a deadline */
    read->wait_until_ns = loop_now_ns(partition_host_of(read->partition)->loop) + (wait_ns < left_ns ? wait_ns : left_ns);
  }
  partition_read(read);
}

void log_service_read(void *service, struct rpc_call *call, struct blob *message) {
  struct services *services = service;
  struct wire_read_request request = {0};
  struct partition *partition = NULL;
  struct failure *failure = prepare(services, bytes_of(message->data, message->size), &request, &partition);
  blob_release(message);
  if (failure != NULL) {
    services_fail_route(services, call, failure);
    return;
  }
  struct read_call *this = NEW(struct read_call);
  bool may_wait = request.min_bytes > 0 && request.max_wait_ms > 0;
  this->read.partition = partition;
  this->read.offset = request.offset;
  this->read.bytes_max = bounded(request.max_bytes, READ_BYTES_DEFAULT);
  if (may_wait) this->read.bytes_min = request.min_bytes < this->read.bytes_max ? request.min_bytes : this->read.bytes_max;
  this->read.done = read_done;
  this->wait_ms = request.max_wait_ms;
  this->task.run = read_run;
  this->call = rpc_call_hold(call);
  this->services = services;
  atomic_init(&this->holders, may_wait ? 2 : 1);
  if (may_wait) rpc_call_set_context(call, this);
  services_begin(services);
  loop_post(partition_host_of(partition)->loop, &this->task);
}

/* The last hold may be the call's: after the answer the request still counts until its call is over. */
static void hurry(struct task *task) {
  struct read_call *this = container_of(task, struct read_call, hurry_task);
  partition_read_hurry(&this->read);
  release_read(this);
}

void log_service_read_closed(void *service, struct rpc_call *call, bool cancelled) {
  (void)service;
  struct read_call *this = rpc_call_context(call);
  if (this == NULL) return;
  if (!cancelled) {
    release_read(this);
    return;
  }
  this->hurry_task.run = hurry;
  loop_post(partition_host_of(this->read.partition)->loop, &this->hurry_task);
}

/* ---- Tail ---- */

struct tail_call {
  struct partition_tail tail;
  struct task start_task;
  struct task taken_task;
  struct task stop_task;
  struct rpc_call *call;
  struct services *services;
  atomic_uint taken; /* chunks that the transport took and the lane does not know of */
  bool ended;        /* on the lane, both: the partition is done with it; its call is over */
  bool closed;
};

static void free_tail_if_over(struct tail_call *this) {
  if (!this->ended || !this->closed) return;
  rpc_call_release(this->call);
  partition_release(this->tail.partition);
  services_end(this->services);
  memory_free(this);
}

static void tail_chunk(struct partition_tail *tail) {
  struct tail_call *this = container_of(tail, struct tail_call, tail);
  struct wire_read_response response = {.high_watermark = tail->high_watermark,
                                        .log_start_offset = tail->start_offset,
                                        .next_offset = tail->offset,
                                        .caught_up = tail->caught_up};
  send_entries(this->call, &response, tail->log.entries, tail->log.count);
}

static void tail_ended(struct partition_tail *tail) {
  struct tail_call *this = container_of(tail, struct tail_call, tail);
  if (tail->failure != NULL) services_fail(this->call, tail->failure);
  this->ended = true;
  free_tail_if_over(this);
}

static void tail_start(struct task *task) { partition_tail_start(&container_of(task, struct tail_call, start_task)->tail); }

static void tail_taken(struct task *task) {
  struct tail_call *this = container_of(task, struct tail_call, taken_task);
  partition_tail_taken(&this->tail, atomic_exchange_explicit(&this->taken, 0, memory_order_acq_rel));
}

static void tail_stop(struct task *task) {
  struct tail_call *this = container_of(task, struct tail_call, stop_task);
  this->closed = true;
  if (this->ended) free_tail_if_over(this);
  else partition_tail_stop(&this->tail);
}

void log_service_tail(void *service, struct rpc_call *call, struct blob *message) {
  struct services *services = service;
  struct wire_read_request request = {0};
  struct partition *partition = NULL;
  struct failure *failure = prepare(services, bytes_of(message->data, message->size), &request, &partition);
  blob_release(message);
  if (failure != NULL) {
    services_fail_route(services, call, failure);
    return;
  }
  struct tail_call *this = NEW(struct tail_call);
  this->tail.partition = partition;
  this->tail.offset = request.offset;
  this->tail.bytes_max = bounded(request.max_bytes, TAIL_BYTES_DEFAULT);
  this->tail.chunk = tail_chunk;
  this->tail.ended = tail_ended;
  this->start_task.run = tail_start;
  this->taken_task.run = tail_taken;
  this->stop_task.run = tail_stop;
  this->call = rpc_call_hold(call);
  this->services = services;
  rpc_call_set_context(call, this);
  services_begin(services);
  loop_post(partition_host_of(partition)->loop, &this->start_task);
}

void log_service_tail_sent(void *service, struct rpc_call *call) {
  (void)service;
  struct tail_call *this = rpc_call_context(call);
  if (this == NULL) return;
  if (atomic_fetch_add_explicit(&this->taken, 1, memory_order_acq_rel) > 0) return; /* the task is on its way */
  loop_post(partition_host_of(this->tail.partition)->loop, &this->taken_task);
}

void log_service_tail_closed(void *service, struct rpc_call *call, bool cancelled) {
  (void)service;
  (void)cancelled;
  struct tail_call *this = rpc_call_context(call);
  if (this == NULL) return;
  loop_post(partition_host_of(this->tail.partition)->loop, &this->stop_task);
}
