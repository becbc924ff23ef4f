#include "server/log_service.h"

#include <string.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/memory.h"
#include "cairn/v1/log.pb-c.h"
#include "proto/pack.h"
#include "server/services.h"

#define PAGE_PRODUCERS_DEFAULT 100u
#define PAGE_PRODUCERS_MAX 1000u

/* A copy of a name; one that is too long keeps so much that it can be seen to be. */
struct name_copy {
  size_t size;
  char data[PRODUCER_NAME_MAX + 1];
};

/* The rarer requests: unpacked by protobuf-c, one struct for all. */
struct log_call {
  struct task task;
  struct look look; /* of ListProducers */
  struct rpc_call *call;
  struct services *services;
  struct partition *partition;
  union {
    struct partition_describe describe;
    struct partition_find find;
    struct partition_trim trim;
    struct {
      struct partition_producer change;
      struct name_copy name;
    } producer;
    struct {
      struct name_copy after;
      size_t size;
    } page;
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
    services_fail_route(services, call, failure);
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
  services_tell(this->services, this->call, &response.base);
}

static void describe_done(struct partition_describe *request) {
  struct log_call *this = container_of(request, struct log_call, describe);
  if (request->failure == NULL) answer_description(this, &request->description);
  else services_fail(this->call, request->failure);
  finish(this);
}

static void describe_run(struct task *task) {
  struct log_call *this = container_of(task, struct log_call, task);
  this->describe = (struct partition_describe){.partition = this->partition, .done = describe_done};
  partition_describe(&this->describe);
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
    services_tell(this->services, this->call, &response.base);
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

/* ---- Producers ---- */

static void copy_name(struct name_copy *copy, const char *name) {
  copy->size = strnlen(name, sizeof copy->data);
  memcpy(copy->data, name, copy->size);
}

static struct bytes open_topic(const ProtobufCMessage *message, uint32_t *out_number) {
  const Cairn__V1__OpenProducerRequest *request = (const Cairn__V1__OpenProducerRequest *)(const void *)message;
  *out_number = request->partition;
  return bytes_of_string(request->topic);
}

static void open_done(struct partition_producer *change) {
  struct log_call *this = container_of(change, struct log_call, producer.change);
  if (change->failure != NULL) {
    services_fail(this->call, change->failure);
  } else {
    Cairn__V1__OpenProducerResponse response;
    cairn__v1__open_producer_response__init(&response);
    response.producer_id = change->info.id;
    response.epoch = change->info.epoch;
    response.next_sequence = change->info.next_sequence;
    response.last_offset = change->info.last_offset;
    response.created = !change->known;
    services_answer(this->call, pack_part(&response.base));
  }
  finish(this);
}

static void fill_change(struct log_call *this, const char *name, enum producer_entry_kind kind,
                        void (*done)(struct partition_producer *change)) {
  copy_name(&this->producer.name, name);
  this->producer.change = (struct partition_producer){.partition = this->partition,
                                                      .kind = kind,
                                                      .name = bytes_of(this->producer.name.data, this->producer.name.size),
                                                      .done = done};
}

static void open_fill(struct log_call *this, const ProtobufCMessage *message) {
  const Cairn__V1__OpenProducerRequest *request = (const Cairn__V1__OpenProducerRequest *)(const void *)message;
  fill_change(this, request->producer, PRODUCER_OPEN, open_done);
}

static void change_run(struct task *task) {
  partition_change_producer(&container_of(task, struct log_call, task)->producer.change);
}

void log_service_open_producer(void *service, struct rpc_call *call, struct blob *message) {
  static const struct route by = {
      .descriptor = &cairn__v1__open_producer_request__descriptor, .topic = open_topic, .fill = open_fill, .run = change_run};
  route(service, call, message, &by);
}

static struct bytes forget_topic(const ProtobufCMessage *message, uint32_t *out_number) {
  const Cairn__V1__ForgetProducerRequest *request = (const Cairn__V1__ForgetProducerRequest *)(const void *)message;
  *out_number = request->partition;
  return bytes_of_string(request->topic);
}

static void forget_done(struct partition_producer *change) {
  struct log_call *this = container_of(change, struct log_call, producer.change);
  if (change->failure != NULL) {
    services_fail(this->call, change->failure);
  } else {
    Cairn__V1__ForgetProducerResponse response;
    cairn__v1__forget_producer_response__init(&response);
    response.forgotten = change->known;
    services_answer(this->call, pack_part(&response.base));
  }
  finish(this);
}

static void forget_fill(struct log_call *this, const ProtobufCMessage *message) {
  const Cairn__V1__ForgetProducerRequest *request = (const Cairn__V1__ForgetProducerRequest *)(const void *)message;
  fill_change(this, request->producer, PRODUCER_FORGET, forget_done);
}

void log_service_forget_producer(void *service, struct rpc_call *call, struct blob *message) {
  static const struct route by = {.descriptor = &cairn__v1__forget_producer_request__descriptor,
                                  .topic = forget_topic,
                                  .fill = forget_fill,
                                  .run = change_run};
  route(service, call, message, &by);
}

static struct bytes list_topic(const ProtobufCMessage *message, uint32_t *out_number) {
  const Cairn__V1__ListProducersRequest *request = (const Cairn__V1__ListProducersRequest *)(const void *)message;
  *out_number = request->partition;
  return bytes_of_string(request->topic);
}

static void list_fill(struct log_call *this, const ProtobufCMessage *message) {
  const Cairn__V1__ListProducersRequest *request = (const Cairn__V1__ListProducersRequest *)(const void *)message;
  copy_name(&this->page.after, request->page_token);
  this->page.size = request->page_size == 0 ? PAGE_PRODUCERS_DEFAULT : request->page_size;
  if (this->page.size > PAGE_PRODUCERS_MAX) this->page.size = PAGE_PRODUCERS_MAX;
}

/* A producer as a message, with its name, which protobuf-c wants to end with NUL. */
struct producer_message {
  Cairn__V1__Producer message;
  char name[PRODUCER_NAME_MAX + 1];
};

static void fill_producer(struct producer_message *into, const struct producer_info *info) {
  Cairn__V1__Producer *message = &into->message;
  cairn__v1__producer__init(message);
  memcpy(into->name, info->name.data, info->name.size);
  message->name = into->name;
  message->producer_id = info->id;
  message->epoch = info->epoch;
  message->next_sequence = info->next_sequence;
  message->window_sequence = info->window_sequence;
  message->batches = info->batches;
  message->last_offset = info->last_offset;
}

static void answer_producers(struct log_call *this, const struct producer_info *infos, size_t count,
                             const struct producer_totals *totals) {
  size_t shown = count > this->page.size ? this->page.size : count;
  struct producer_message *messages = memory_new_array(shown + 1, sizeof *messages);
  Cairn__V1__Producer **pointers = memory_new_array(shown + 1, sizeof *pointers);
  for (size_t i = 0; i < shown; i++) {
    fill_producer(&messages[i], &infos[i]);
    pointers[i] = &messages[i].message;
  }
  Cairn__V1__ListProducersResponse response;
  cairn__v1__list_producers_response__init(&response);
  response.n_producers = shown;
  response.producers = pointers;
  response.remembered = totals->producers;
  response.given_up = totals->given_up;
  if (count > shown) response.next_page_token = messages[shown - 1].name;
  services_tell(this->services, this->call, &response.base);
  memory_free(messages);
  memory_free(pointers);
}

static void list_look(struct look *look) {
  struct log_call *this = container_of(look, struct log_call, look);
  struct producer_info *infos = memory_new_array(this->page.size + 1, sizeof *infos); /* one more tells that there are more */
  size_t count = 0;
  struct producer_totals totals;
  enum status status = partition_list_producers(this->partition, bytes_of(this->page.after.data, this->page.after.size), infos,
                                                this->page.size + 1, &count, &totals);
  if (status == STATUS_OK) answer_producers(this, infos, count, &totals);
  else services_fail(this->call, refusal_of_status(status));
  memory_free(infos);
  finish(this);
}

static void list_run(struct task *task) {
  struct log_call *this = container_of(task, struct log_call, task);
  this->look.run = list_look;
  size_t lane = (size_t)(partition_host_of(this->partition) - this->services->hosts);
  looks_add(&this->services->looks[lane], &this->look);
}

void log_service_list_producers(void *service, struct rpc_call *call, struct blob *message) {
  static const struct route by = {
      .descriptor = &cairn__v1__list_producers_request__descriptor, .topic = list_topic, .fill = list_fill, .run = list_run};
  route(service, call, message, &by);
}
