#include "base/memory.h"
#include "cairn/v1/admin.pb-c.h"
#include "server/admin_call.h"
#include "server/admin_service.h"

/* Who leads a partition, as somebody wishes: by the broker that leads it now. */

static void answer(struct admin_call *this) {
  const struct partition_transfer *transfer = &this->transfer;
  char leader[ADDRESS_TEXT_SIZE];
  routing_address(this->services->routing, transfer->after, leader);
  Cairn__V1__TransferLeadershipResponse response;
  cairn__v1__transfer_leadership_response__init(&response);
  response.leader_before = transfer->before;
  response.leader_after = transfer->after;
  response.leader = leader;
  response.term = transfer->term;
  services_answer(this->call, pack_part(&response.base));
  admin_call_finish(this);
}

/* One that has no replica may be none at all. */
static bool is_unknown(const struct admin_call *this) {
  char address[ADDRESS_TEXT_SIZE];
  routing_address(this->services->routing, this->transfer.to, address);
  return this->transfer.stranger && address[0] == '\0';
}

static void transferred(struct partition_transfer *transfer) {
  struct admin_call *this = container_of(transfer, struct admin_call, transfer);
  if (transfer->failure == NULL) {
    answer(this);
  } else if (is_unknown(this)) {
    memory_free(transfer->failure);
    admin_call_refuse(
        this, refusal_new(STATUS_NOT_FOUND, "there is no broker %u; cairn broker list shows those there are", transfer->to));
  } else {
    admin_call_refuse(this, transfer->failure);
  }
}

static void transfer_run(struct task *task) {
  struct admin_call *this = container_of(task, struct admin_call, task);
  const Cairn__V1__TransferLeadershipRequest *request = (const void *)this->request;
  this->transfer = (struct partition_transfer){.partition = this->partition,
                                               .to = request->broker_id,
                                               .validate_only = request->validate_only != 0,
                                               .patience_ns = rpc_call_time_left_ns(this->call),
                                               .done = transferred};
  partition_transfer(&this->transfer);
}

static const char *transfer_where(const ProtobufCMessage *message, uint32_t *out_partition) {
  const Cairn__V1__TransferLeadershipRequest *request = (const void *)message;
  *out_partition = request->partition;
  return request->topic;
}

void admin_service_transfer_leadership(void *services, struct rpc_call *call, struct blob *message) {
  admin_call_start_at(services, call, message, &cairn__v1__transfer_leadership_request__descriptor, transfer_where, transfer_run);
}
