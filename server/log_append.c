#include "server/log_append.h"

#include "base/memory.h"
#include "server/log_service.h"

struct blob_part log_append_answer(const struct partition_append *append, uint64_t request_id, bool takes_more) {
  const struct entry_head *head = &append->proposal.entry.head;
  struct wire_append_response response = {
      .request_id = request_id,
      .base_offset = head->base_offset,
      .last_offset = entry_end_offset(head) - 1,
      .term = head->term,
      .leader_time_ms = head->leader_time_ms,
      .durability = WIRE_DURABILITY_QUORUM_SYNC,
      .synced_replicas = 1,
      .chain = head->chain,
      .duplicate = append->duplicate,
      .takes_more = takes_more,
  };
  return log_wire_encode_append_response(&response);
}

struct failure *log_append_prepare(struct services *services, struct bytes request, struct partition_append *append) {
  const char *why = NULL;
  enum status status = log_wire_decode_append_request(request, &append->request, &why);
  if (status != STATUS_OK) return refusal_new(status, "%s", why);
  struct failure *failure = NULL;
  append->partition = services_find(services, append->request.topic, append->request.partition, &failure);
  return failure;
}

/* ---- Append: one request, one answer ---- */

struct append_call {
  struct partition_append append;
  struct task task;
  struct rpc_call *call;
  struct services *services;
};

static void append_done(struct partition_append *append) {
  struct append_call *this = container_of(append, struct append_call, append);
  if (append->failure == NULL) services_answer(this->call, log_append_answer(append, append->request.request_id, false));
  else services_fail(this->call, append->failure);
  rpc_call_release(this->call);
  partition_release(append->partition);
  services_end(this->services);
  memory_free(this);
}

static void append_run(struct task *task) { partition_append(&container_of(task, struct append_call, task)->append); }

void log_service_append(void *service, struct rpc_call *call, struct blob *message) {
  struct services *services = service;
  struct append_call *this = NEW(struct append_call);
  struct failure *failure = services_not_serving(services);
  if (failure == NULL) failure = log_append_prepare(services, bytes_of(message->data, message->size), &this->append);
  if (failure == NULL && this->append.request.has_more)
    failure = refusal_new(STATUS_MALFORMED, "`more` is for AppendStream; send each request in a call of its own");
  if (failure != NULL) {
    services_fail_route(services, call, failure);
    blob_release(message);
    if (this->append.partition != NULL) partition_release(this->append.partition);
    memory_free(this);
    return;
  }
  this->append.message = message;
  this->append.done = append_done;
  this->append.patience_ns = rpc_call_time_left_ns(call);
  this->task.run = append_run;
  this->call = rpc_call_hold(call);
  this->services = services;
  services_begin(services);
  loop_post(partition_host_of(this->append.partition)->loop, &this->task);
}
