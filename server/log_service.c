#include "server/log_service.h"

#include "base/arena.h"
#include "base/check.h"
#include "base/memory.h"
#include "cairn/v1/log.pb-c.h"
#include "proto/pack.h"
#include "server/services.h"

/* The rarer requests: unpacked by protobuf-c, one struct for all three. */
struct log_call {
  struct task task;
  struct rpc_call *call;
  struct services *services;
  struct partition *partition;
  union {
    struct partition_find find;
    struct partition_trim trim;
  };
};

static void finish(struct log_call *this) {
  rpc_call_release(this->call);
  partition_release(this->partition);
  services_end(this->services);
  memory_free(this);
}

static struct failure *unpack(struct arena *arena, const ProtobufCMessageDescriptor *descriptor, struct blob *message,
                              void *out) {
  enum status status = pack_unpack(arena, descriptor, bytes_of(message->data, message->size), out);
  if (status == STATUS_OK) return NULL;
  if (status == STATUS_BAD_NAME) return refusal_new(status, "a text in the request has NUL or is not UTF-8");
  return refusal_new(status, "the message is not a %s; compare the client's .proto files", descriptor->name);
}

/* Routes to the partition and goes on with `run` on its lane; `fill` copies what that needs. Takes over the hold on `message`. */
struct route {
  const ProtobufCMessageDescriptor *descriptor;
  /* Topic and number, out of the message. */
  struct bytes (*topic)(const ProtobufCMessage *message, uint32_t *out_number);
  void (*fill)(struct log_call *this, const ProtobufCMessage *message); /* may be NULL */
  void (*run)(struct task *task);
};

static void route(struct services *services, struct rpc_call *call, struct blob *message, const struct route *by) {
  if (services_refuse(services, call)) {
    blob_release(message);
    return;
  }
  struct arena *arena = arena_new(PACK_ARENA_BYTES_MAX);
  const ProtobufCMessage *request = NULL;
  struct partition *partition = NULL;
  struct failure *failure = unpack(arena, by->descriptor, message, &request);
  if (failure == NULL) {
    uint32_t number = 0;
    struct bytes topic = by->topic(request, &number);
    partition = services_find(services, topic, number, &failure);
  }
  if (failure != NULL) {
    services_fail(call, failure);
  } else {
    struct log_call *this = NEW(struct log_call);
    this->task.run = by->run;
    this->call = rpc_call_hold(call);
    this->services = services;
    this->partition = partition;
    if (by->fill != NULL) by->fill(this, request);
    services_begin(services);
    loop_post(partition_host_of(partition)->loop, &this->task);
  }
  arena_free(arena);
  blob_release(message);
}

/* ---- DescribePartition ---- */

static struct bytes describe_topic(const ProtobufCMessage *message, uint32_t *out_number) {
  const Cairn__V1__DescribePartitionRequest *request = (const Cairn__V1__DescribePartitionRequest *)(const void *)message;
  *out_number = request->partition;
  return bytes_of_string(request->topic);
}

static void answer_description(struct log_call *this, const struct partition_description *description) {
  Cairn__V1__DescribePartitionResponse response;
  cairn__v1__describe_partition_response__init(&response);
  Cairn__V1__OffsetRange ranges[PARTITION_DAMAGED_RANGES_MAX];
  Cairn__V1__OffsetRange *range_pointers[PARTITION_DAMAGED_RANGES_MAX];
  for (size_t i = 0; i < description->damaged_count; i++) {
    cairn__v1__offset_range__init(&ranges[i]);
    ranges[i].first_offset = description->damaged[i].first;
    ranges[i].end_offset = description->damaged[i].end;
    range_pointers[i] = &ranges[i];
  }
  response.log_start_offset = description->start_offset;
  response.next_offset = description->next_offset;
  response.high_watermark = description->high_watermark;
  if (description->leader) response.leader = this->services->advertised;
  if (description->leader) response.leader_id = this->services->identity.broker_id;
  response.term = description->term;
  response.group_id = description->group;
  response.log_bytes = description->bytes;
  response.max_timestamp_ms = description->max_time_ms;
  response.n_damaged = description->damaged_count;
  response.damaged = range_pointers;
  response.fenced = description->fenced;
  services_answer(this->call, pack_part(&response.base));
}

static void describe_run(struct task *task) {
  struct log_call *this = container_of(task, struct log_call, task);
  struct partition_description description;
  enum status status = partition_describe(this->partition, &description);
  if (status == STATUS_OK) answer_description(this, &description);
  else services_fail(this->call, refusal_of_status(status));
  finish(this);
}

void log_service_describe(void *service, struct rpc_call *call, struct blob *message) {
  static const struct route by = {
      .descriptor = &cairn__v1__describe_partition_request__descriptor, .topic = describe_topic, .run = describe_run};
  route(service, call, message, &by);
}

/* ---- FindOffset ---- */

static struct bytes find_topic(const ProtobufCMessage *message, uint32_t *out_number) {
  const Cairn__V1__FindOffsetRequest *request = (const Cairn__V1__FindOffsetRequest *)(const void *)message;
  *out_number = request->partition;
  return bytes_of_string(request->topic);
}

static void find_done(struct partition_find *find) {
  struct log_call *this = container_of(find, struct log_call, find);
  if (find->failure != NULL) {
    services_fail(this->call, find->failure);
  } else {
    Cairn__V1__FindOffsetResponse response;
    cairn__v1__find_offset_response__init(&response);
    response.offset = find->offset;
    response.found = find->found;
    response.timestamp_ms = find->found ? find->found_time_ms : 0;
    services_answer(this->call, pack_part(&response.base));
  }
  finish(this);
}

static void find_fill(struct log_call *this, const ProtobufCMessage *message) {
  const Cairn__V1__FindOffsetRequest *request = (const Cairn__V1__FindOffsetRequest *)(const void *)message;
  this->find.partition = this->partition;
  this->find.time_ms = request->timestamp_ms;
  this->find.done = find_done;
}

static void find_run(struct task *task) { partition_find(&container_of(task, struct log_call, task)->find); }

void log_service_find_offset(void *service, struct rpc_call *call, struct blob *message) {
  static const struct route by = {
      .descriptor = &cairn__v1__find_offset_request__descriptor, .topic = find_topic, .fill = find_fill, .run = find_run};
  route(service, call, message, &by);
}

/* ---- Trim ---- */

static struct bytes trim_topic(const ProtobufCMessage *message, uint32_t *out_number) {
  const Cairn__V1__TrimRequest *request = (const Cairn__V1__TrimRequest *)(const void *)message;
  *out_number = request->partition;
  return bytes_of_string(request->topic);
}

static void trim_done(struct partition_trim *trim) {
  struct log_call *this = container_of(trim, struct log_call, trim);
  if (trim->failure != NULL) {
    services_fail(this->call, trim->failure);
  } else {
    Cairn__V1__TrimResponse response;
    cairn__v1__trim_response__init(&response);
    response.log_start_offset = trim->start_offset;
    services_answer(this->call, pack_part(&response.base));
  }
  finish(this);
}

static void trim_fill(struct log_call *this, const ProtobufCMessage *message) {
  const Cairn__V1__TrimRequest *request = (const Cairn__V1__TrimRequest *)(const void *)message;
  this->trim.partition = this->partition;
  this->trim.before = request->before_offset;
  this->trim.done = trim_done;
}

static void trim_run(struct task *task) { partition_trim(&container_of(task, struct log_call, task)->trim); }

void log_service_trim(void *service, struct rpc_call *call, struct blob *message) {
  static const struct route by = {
      .descriptor = &cairn__v1__trim_request__descriptor, .topic = trim_topic, .fill = trim_fill, .run = trim_run};
  route(service, call, message, &by);
}
