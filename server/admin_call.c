#include "server/admin_call.h"

#include <string.h>

#include "base/memory.h"
#include "cairn/v1/admin.pb-c.h"
#include "proto/pack.h"

void admin_call_finish(struct admin_call *this) {
  if (this->partition != NULL) partition_release(this->partition);
  rpc_call_release(this->call);
  services_end(this->services);
  arena_free(this->arena);
  memory_free(this);
}

void admin_call_refuse(struct admin_call *this, struct failure *failure) {
  services_fail(this->call, failure);
  admin_call_finish(this);
}

bool admin_call_refuse_elsewhere(struct admin_call *this, const struct change *change) {
  if (change->status != STATUS_NOT_LEADER && change->status != STATUS_REPLACED) return false;
  struct failure *failure = services_not_leader_of_map(this->services);
  failure->reason = change->status;
  admin_call_refuse(this, failure);
  return true;
}

bool admin_call_take_name(struct admin_call *this, const char *name) {
  size_t size = strlen(name);
  if (size > TOPIC_NAME_MAX) {
    admin_call_refuse(this,
                      refusal_new(STATUS_BAD_NAME, "the topic's name has %zu characters and may have %u", size, TOPIC_NAME_MAX));
    return false;
  }
  memcpy(this->change.name, name, size + 1);
  return true;
}

static struct failure *change_failure(const struct change *change) {
  if (change->status == STATUS_UNKNOWN_TOPIC)
    return refusal_new(change->status, "there is no topic \"%s\"; cairn topic list shows those there are", change->name);
  if (change->problem[0] == '\0') return refusal_of_status(change->status);
  return refusal_new(change->status, "topic \"%s\": %s: %s", change->name, status_text(change->status), change->problem);
}

bool admin_call_refuse_change(struct admin_call *this) {
  if (this->change.status == STATUS_OK) return false;
  if (!admin_call_refuse_elsewhere(this, &this->change)) admin_call_refuse(this, change_failure(&this->change));
  return true;
}

bool admin_call_broker_is_up(void *services, uint32_t broker) {
  const struct services *of = services;
  return broker == of->identity.broker_id || lane_broker_up(of->hosts[0].lane, broker);
}

/* Unpacks, for lane 0. NULL: the call was refused. Takes over the hold on `message`. */
static struct admin_call *accept_request(struct services *services, struct rpc_call *call, struct blob *message,
                                         const ProtobufCMessageDescriptor *descriptor) {
  if (services_refuse(services, call)) {
    blob_release(message);
    return NULL;
  }
  struct arena *arena = arena_new(PACK_ARENA_BYTES_MAX);
  const ProtobufCMessage *request = NULL;
  enum status status = pack_unpack(arena, descriptor, bytes_of(message->data, message->size), &request);
  blob_release(message);
  if (status != STATUS_OK) {
    arena_free(arena);
    failure_refuse_call(call, status,
                        status == STATUS_BAD_NAME    ? "a text in the request has NUL or is not UTF-8"
                        : status == STATUS_TOO_LARGE ? "this %s has more parts than one may have: ask for less at a time"
                                                     : "the message is not a %s; compare the client's .proto files",
                        descriptor->name);
    return NULL;
  }
  struct admin_call *this = NEW(struct admin_call);
  this->call = rpc_call_hold(call);
  this->services = services;
  this->arena = arena;
  this->request = request;
  services_begin(services);
  return this;
}

void admin_call_start_change(struct services *services, struct rpc_call *call, struct blob *message,
                             const ProtobufCMessageDescriptor *descriptor, void (*run)(struct task *task)) {
  struct admin_call *this = accept_request(services, call, message, descriptor);
  if (this == NULL) return;
  this->task.run = run;
  loop_post(services->hosts[0].loop, &this->task);
}

static void look_confirmed(struct replica_read *read, enum status status) {
  struct admin_call *this = container_of(read, struct admin_call, read);
  bool own_word = status == STATUS_FENCED && this->services->alone;
  if (status == STATUS_OK || own_word) looks_add(&this->services->looks[0], &this->look);
  else if (status == STATUS_NOT_LEADER) admin_call_refuse(this, services_not_leader_of_map(this->services));
  else admin_call_refuse(this, refusal_of_status(status));
}

/* What was done before it was asked for is told: the leader of group 0 knows. */
static void confirm_look(struct task *task) {
  struct admin_call *this = container_of(task, struct admin_call, task);
  this->read.done = look_confirmed;
  controller_read(this->services->controller, &this->read);
}

/* Of this broker alone. */
static void join_looks(struct task *task) {
  struct admin_call *this = container_of(task, struct admin_call, task);
  looks_add(&this->services->looks[0], &this->look);
}

void admin_call_start_look(struct services *services, struct rpc_call *call, struct blob *message,
                           const ProtobufCMessageDescriptor *descriptor, void (*run)(struct look *look), bool confirm) {
  struct admin_call *this = accept_request(services, call, message, descriptor);
  if (this == NULL) return;
  this->look.run = run;
  this->task.run = confirm ? confirm_look : join_looks;
  loop_post(services->hosts[0].loop, &this->task);
}

void admin_call_start_at(struct services *services, struct rpc_call *call, struct blob *message,
                         const ProtobufCMessageDescriptor *descriptor,
                         const char *(*where)(const ProtobufCMessage *request, uint32_t *out_partition),
                         void (*run)(struct task *task)) {
  struct admin_call *this = accept_request(services, call, message, descriptor);
  if (this == NULL) return;
  struct failure *failure = NULL;
  uint32_t number = 0;
  const char *topic = where(this->request, &number);
  this->partition = services_find(services, bytes_of_string(topic), number, &failure);
  if (this->partition == NULL) {
    services_fail_route(services, this->call, failure);
    admin_call_finish(this);
    return;
  }
  this->task.run = run;
  loop_post(partition_host_of(this->partition)->loop, &this->task);
}
