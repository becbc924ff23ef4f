#include "server/services.h"

#include <stdio.h>

#include "base/check.h"
#include "base/memory.h"

void services_begin(struct services *services) { atomic_fetch_add_explicit(&services->in_work, 1, memory_order_relaxed); }

void services_end(struct services *services) {
  unsigned before = atomic_fetch_sub_explicit(&services->in_work, 1, memory_order_acq_rel);
  CHECK(before > 0);
  if (before == 1) atomic_store_explicit(&services->idle, true, memory_order_release);
}

struct failure *services_not_serving(struct services *services) {
  switch ((enum services_stage)atomic_load_explicit(&services->stage, memory_order_acquire)) {
    case SERVICES_SERVING:
      if (!brokers_refused(services->brokers)) return NULL;
      return refusal_new(STATUS_NOT_LEADER,
                         "this broker is no part of the cluster any more: it has left, or came back with another data "
                         "directory; ask another one");
    case SERVICES_LOADING: return refusal_new(STATUS_LOADING, "the broker is starting; try again in a moment");
    case SERVICES_DRAINING: break;
  }
  return refusal_of_status(STATUS_DRAINING);
}

bool services_refuse(struct services *services, struct rpc_call *call) {
  struct failure *failure = services_not_serving(services);
  if (failure == NULL) return false;
  services_fail(call, failure);
  return true;
}

struct failure *services_cannot_tell(struct bytes topic) {
  return refusal_new(
      STATUS_DAMAGED,
      "whether there is a topic \"%.*s\" cannot be told: this broker is alone, and entries of its map of topics were lost to "
      "rot; run cairn verify on its data directory, and bring that back from a copy",
      (int)(topic.size <= TOPIC_NAME_MAX ? topic.size : TOPIC_NAME_MAX), (const char *)topic.data);
}

static struct failure *route_failure(enum status status, struct bytes topic, uint32_t number, uint32_t partition_count) {
  int size = topic.size <= TOPIC_NAME_MAX ? (int)topic.size : (int)TOPIC_NAME_MAX;
  const char *name = (const char *)topic.data;
  if (status == STATUS_UNKNOWN_TOPIC && !topic_name_valid(topic))
    return refusal_new(status,
                       "there is no topic of that name, and there cannot be: a name has 1 to %u characters of a-z A-Z 0-9 . _ -",
                       TOPIC_NAME_MAX);
  if (status == STATUS_UNKNOWN_TOPIC)
    return refusal_new(status, "there is no topic \"%.*s\"; create it: cairn topic create %.*s", size, name, size, name);
  if (status == STATUS_UNKNOWN_PARTITION)
    return refusal_new(status, "topic \"%.*s\" has partitions 0 to %u, not %u", size, name, partition_count - 1, number);
  if (status == STATUS_DAMAGED && partition_count == 0) return services_cannot_tell(topic);
  if (status == STATUS_DAMAGED)
    return refusal_new(
        status,
        "partition %u of topic \"%.*s\" cannot be opened: its bytes on disk are damaged; see the broker's log, and "
        "run cairn verify on its data directory",
        number, size, name);
  if (status == STATUS_UNREADABLE)
    return refusal_new(
        status,
        "partition %u of topic \"%.*s\" is not open: the disk would not read it when the broker started; look at its "
        "disk and restart it, nothing of the partition is given up",
        number, size, name);
  return refusal_new(status, "partition %u of topic \"%.*s\" is still being opened; try again in a moment", number, size, name);
}

/* Says who leads it instead, where that is known. */
static void point_to(struct services *services, uint32_t ask, const char *what, struct failure *failure) {
  if (ask != services->identity.broker_id) routing_address(services->routing, ask, failure->leader);
  if (failure->leader[0] == '\0') return;
  snprintf(failure->text, sizeof failure->text, "this broker does not lead %s: broker %u at %s does, ask that one", what, ask,
           failure->leader);
}

struct failure *services_not_leader(struct services *services, uint32_t ask) {
  struct failure *failure = refusal_of_status(STATUS_NOT_LEADER);
  point_to(services, ask, "the partition", failure);
  return failure;
}

struct failure *services_not_leader_of_map(struct services *services) {
  struct failure *failure =
      refusal_new(STATUS_NOT_LEADER, "nobody is known to lead the map of the cluster just now: most of the brokers that vote on "
                                     "it must be up. cairn cluster status and cairn broker list show who is down");
  point_to(services, controller_leader(services->controller), "the map of the cluster", failure);
  return failure;
}

struct partition *services_find(struct services *services, struct bytes topic, uint32_t number, struct failure **out_failure) {
  struct route_found found;
  enum status status = routing_find(services->routing, topic, number, &found);
  if (status == STATUS_NOT_LEADER) *out_failure = services_not_leader(services, found.ask);
  else if (status != STATUS_OK) *out_failure = route_failure(status, topic, number, found.partition_count);
  return found.partition;
}

/* ---- What only the leader of group 0 can say ---- */

struct doubt {
  struct task task;
  struct replica_read read;
  struct services *services;
  struct rpc_call *call;
  struct failure *failure;
};

static void doubt_settled(struct replica_read *read, enum status status) {
  struct doubt *doubt = container_of(read, struct doubt, read);
  struct services *services = doubt->services;
  if (status != STATUS_OK) {
    memory_free(doubt->failure);
    doubt->failure = status == STATUS_NOT_LEADER ? services_not_leader_of_map(services) : refusal_of_status(status);
  }
  services_fail(doubt->call, doubt->failure);
  rpc_call_release(doubt->call);
  services_end(services);
  memory_free(doubt);
}

static void doubt_run(struct task *task) {
  struct doubt *doubt = container_of(task, struct doubt, task);
  doubt->read.done = doubt_settled;
  controller_read(doubt->services->controller, &doubt->read);
}

static bool may_be_behind(const struct services *services, const struct failure *failure) {
  bool unknown = failure->reason == STATUS_UNKNOWN_TOPIC || failure->reason == STATUS_UNKNOWN_PARTITION;
  return unknown && !services->alone;
}

void services_fail_route(struct services *services, struct rpc_call *call, struct failure *failure) {
  if (!may_be_behind(services, failure)) {
    services_fail(call, failure);
    return;
  }
  struct doubt *doubt = NEW(struct doubt);
  doubt->task.run = doubt_run;
  doubt->services = services;
  doubt->call = rpc_call_hold(call);
  doubt->failure = failure;
  services_begin(services);
  loop_post(services->hosts[0].loop, &doubt->task);
}

struct failure *services_route_failure_in_stream(struct services *services, struct failure *failure) {
  if (!may_be_behind(services, failure)) return failure;
  memory_free(failure);
  return refusal_new(STATUS_LOADING,
                     "the topic, or that partition of it, is not known here (yet); DescribePartition tells whether there is one");
}

void services_fail(struct rpc_call *call, struct failure *failure) {
  failure_finish_call(call, failure);
  memory_free(failure);
}

void services_tell(struct services *services, struct rpc_call *call, const ProtobufCMessage *message) {
  struct blob *blob = NULL;
  enum status status = pack_blob(message, services->answers, &blob);
  if (status == STATUS_OK) {
    services_answer(call, (struct blob_part){.blob = blob, .bytes = bytes_of(blob->data, blob->size)});
    return;
  }
  services_fail(
      call,
      refusal_new(status, "the broker's memory budget for answers is spent: some clients do not take theirs; try again later"));
}

void services_answer(struct rpc_call *call, struct blob_part part) {
  rpc_call_send(call, &part, 1);
  rpc_call_finish(call, GRPC_CODE_OK, NULL, NULL, 0);
}
