#include "base/probe.h"
#include "cairn/v1/admin.pb-c.h"
#include "server/admin_call.h"
#include "server/admin_service.h"

static void refuse(struct admin_call *this) {
  const struct change *change = &this->change;
  if (admin_call_refuse_elsewhere(this, change)) return;
  if (change->status == STATUS_FEATURE_LEVEL) REACHED(level_is_held_back);
  admin_call_refuse(this, change->problem[0] == '\0'
                              ? refusal_of_status(change->status)
                              : refusal_new(change->status, "feature level %u: %s: %s", change->feature_level,
                                            status_text(change->status), change->problem));
}

static void raised(struct change *change) {
  struct admin_call *this = container_of(change, struct admin_call, change);
  if (change->status != STATUS_OK) {
    refuse(this);
    return;
  }
  Cairn__V1__RaiseFeatureLevelResponse response;
  cairn__v1__raise_feature_level_response__init(&response);
  response.level_before = change->feature_level_before;
  response.level = change->feature_level;
  services_answer(this->call, pack_part(&response.base));
  admin_call_finish(this);
}

static void raise_run(struct task *task) {
  struct admin_call *this = container_of(task, struct admin_call, task);
  const Cairn__V1__RaiseFeatureLevelRequest *request = (const void *)this->request;
  struct change *change = &this->change;
  change->kind = COMMAND_SET_FEATURE_LEVEL;
  change->validate_only = request->validate_only != 0;
  change->feature_level = request->level;
  change->done = raised;
  controller_change(this->services->controller, change);
}

void admin_service_raise_feature_level(void *services, struct rpc_call *call, struct blob *message) {
  admin_call_start_change(services, call, message, &cairn__v1__raise_feature_level_request__descriptor, raise_run);
}
