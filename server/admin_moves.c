/* cairn.v1.Admin: where partitions had better be, that they go there, and how far they are. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/probe.h"
#include "cairn/v1/admin.pb-c.h"
#include "controller/hindrance.h"
#include "server/admin_call.h"
#include "server/admin_evacuations.h"
#include "server/admin_service.h"
#include "server/planner.h"

#define PLANNED_MAX 5000u /* in one answer, which has to fit into a message */
#define PLANS_MAX 4u      /* that are being made or wait for that: each has the whole map, copied */

/* ---- Moving ---- */

static void moved(struct change *change) {
  struct admin_call *this = container_of(change, struct admin_call, change);
  if (change->status == STATUS_PLAN_STALE) REACHED(stale_plan_is_refused);
  if (admin_call_refuse_change(this)) return;
  Cairn__V1__MovePartitionResponse response;
  cairn__v1__move_partition_response__init(&response);
  services_answer(this->call, pack_part(&response.base));
  admin_call_finish(this);
}

static void move_run(struct task *task) {
  struct admin_call *this = container_of(task, struct admin_call, task);
  const Cairn__V1__MovePartitionRequest *request = (const void *)this->request;
  struct change *change = &this->change;
  if (!admin_call_take_name(this, request->topic)) return;
  if (request->n_replicas == 0 || request->n_replicas > MAP_REPLICAS_MAX || request->n_expected_replicas > MAP_REPLICAS_MAX) {
    admin_call_refuse(this, refusal_new(STATUS_INVALID,
                                        "partition %u of topic \"%s\" is to have %zu replicas, and is expected to have %zu: name "
                                        "1 to %u brokers, and as many or none",
                                        request->partition, request->topic, request->n_replicas, request->n_expected_replicas,
                                        MAP_REPLICAS_MAX));
    return;
  }
  change->kind = COMMAND_MOVE_PARTITION;
  change->validate_only = request->validate_only != 0;
  change->partition = request->partition;
  for (size_t i = 0; i < request->n_replicas; i++) change->to[change->to_count++] = request->replicas[i];
  change->planned_topic_id = request->expected_topic_id;
  for (size_t i = 0; i < request->n_expected_replicas; i++)
    change->planned_from[change->planned_from_count++] = request->expected_replicas[i];
  change->bytes_per_second = request->bytes_per_second;
  change->done = moved;
  controller_change(this->services->controller, change);
}

static void taken_back(struct change *change) {
  struct admin_call *this = container_of(change, struct admin_call, change);
  if (admin_call_refuse_change(this)) return;
  if (!change->validate_only) REACHED(move_is_taken_back);
  Cairn__V1__CancelMoveResponse response;
  cairn__v1__cancel_move_response__init(&response);
  services_answer(this->call, pack_part(&response.base));
  admin_call_finish(this);
}

static void cancel_run(struct task *task) {
  struct admin_call *this = container_of(task, struct admin_call, task);
  const Cairn__V1__CancelMoveRequest *request = (const void *)this->request;
  struct change *change = &this->change;
  if (!admin_call_take_name(this, request->topic)) return;
  change->kind = COMMAND_MOVE_PARTITION;
  change->partition = request->partition;
  change->take_back = true;
  change->validate_only = request->validate_only != 0;
  change->move = request->number;
  change->done = taken_back;
  controller_change(this->services->controller, change);
}

/* ---- Moves under way ---- */

struct move_message {
  Cairn__V1__Move move;
  uint32_t from[MAP_REPLICAS_MAX];
  uint32_t to[MAP_REPLICAS_MAX];
  char stuck[HINDRANCE_SIZE];
};

static void fill_move(struct services *services, const struct map_move *move, struct move_message *message) {
  const struct cluster_map *map = controller_map(services->controller);
  const struct map_topic *topic = cluster_map_topic_by_id(map, move->topic_id);
  const struct map_partition *partition = &topic->partitions[move->partition];
  struct move_progress progress;
  cairn__v1__move__init(&message->move);
  message->move.topic = topic->name;
  message->move.topic_id = move->topic_id;
  message->move.partition = move->partition;
  message->move.number = move->number;
  message->move.bytes_per_second_max = move->bytes_per_second;
  for (uint32_t i = 0; i < partition->replica_count; i++) message->from[i] = partition->replicas[i].broker;
  for (uint32_t i = 0; i < move->target_count; i++) message->to[i] = move->target[i].broker;
  message->move.n_from = partition->replica_count;
  message->move.from = message->from;
  message->move.n_to = move->target_count;
  message->move.to = message->to;
  if (hindrance_of_move(map, move, admin_call_broker_is_up, services, message->stuck)) message->move.stuck = message->stuck;
  if (!progress_board_get(services->board, loop_now_ns(services->hosts[0].loop), move, &progress)) return;
  message->move.told = true;
  message->move.learners = progress.learners;
  message->move.bytes_done = progress.bytes_done;
  message->move.bytes_to_go = progress.bytes_to_go;
  message->move.bytes_per_second = progress.bytes_per_second;
}

static void list_run(struct look *look) {
  struct admin_call *this = container_of(look, struct admin_call, look);
  const struct cluster_map *map = controller_map(this->services->controller);
  Cairn__V1__ListMovesResponse response;
  cairn__v1__list_moves_response__init(&response);
  struct move_message *messages = memory_new_array(cluster_map_move_count(map) + 1, sizeof *messages);
  response.moves = memory_new_array(cluster_map_move_count(map) + 1, sizeof *response.moves);
  const struct map_move *move = cluster_map_move_after(map, 0);
  for (; move != NULL; move = cluster_map_move_after(map, move->group)) {
    fill_move(this->services, move, &messages[response.n_moves]);
    response.moves[response.n_moves] = &messages[response.n_moves].move;
    response.n_moves++;
  }
  admin_evacuations_fill(this->services, &response);
  services_tell(this->services, this->call, &response.base);
  admin_evacuations_free(&response);
  memory_free(response.moves);
  memory_free(messages);
  admin_call_finish(this);
}

/* ---- Plans ---- */

static int compare_names(const void *a, const void *b) {
  const char *const *names[] = {a, b};
  return strcmp(*names[0], *names[1]);
}

/* There may be tens of thousands of both. PRE: the names are in order. */
static bool is_asked(void *context, const struct map_topic *topic) {
  const struct admin_call *this = context;
  const Cairn__V1__PlanReassignmentRequest *request = (const void *)this->request;
  return bsearch(&topic->name, request->topics, request->n_topics, sizeof *request->topics, compare_names) != NULL;
}

struct planned_message {
  Cairn__V1__PlannedMove move;
  struct reassignment_move planned;
};

/* Of what has no replica here the size is not known here. */
static void fill_planned(const struct services *services, const struct map_topic *topic, const struct reassignment_move *move,
                         struct planned_message *message) {
  struct route_found found;
  cairn__v1__planned_move__init(&message->move);
  message->planned = *move;
  message->move.topic = topic->name;
  message->move.topic_id = move->topic_id;
  message->move.partition = move->partition;
  message->move.n_from = move->from_count;
  message->move.from = message->planned.from;
  message->move.n_to = move->to_count;
  message->move.to = message->planned.to;
  message->move.copies = move->copies;
  message->move.bytes_known = move->copies == 0;
  if (move->copies == 0 || routing_find(services->routing, bytes_of_string(topic->name), move->partition, &found) != STATUS_OK)
    return;
  message->move.bytes_known = true;
  message->move.bytes = partition_glimpse(found.partition).bytes * move->copies;
  partition_release(found.partition);
}

/* What was deleted since the plan was made is left out. */
static void tell_plan(struct admin_call *this, const struct reassignment *plan) {
  const struct cluster_map *map = controller_map(this->services->controller);
  Cairn__V1__PlanReassignmentResponse response;
  cairn__v1__plan_reassignment_response__init(&response);
  size_t count = plan->count < PLANNED_MAX ? plan->count : PLANNED_MAX;
  struct planned_message *messages = memory_new_array(count + 1, sizeof *messages);
  response.moves = memory_new_array(count + 1, sizeof *response.moves);
  response.more_moves = (uint32_t)(plan->count - count);
  response.partitions = plan->partitions;
  response.partitions_moving = plan->left_moving;
  response.partitions_without_quorum = plan->left_without_quorum;
  response.copies = plan->copies;
  response.leads = plan->leads;
  for (size_t i = 0; i < count; i++) {
    const struct map_topic *topic = cluster_map_topic_by_id(map, plan->moves[i].topic_id);
    if (topic == NULL) continue;
    fill_planned(this->services, topic, &plan->moves[i], &messages[i]);
    response.moves[response.n_moves++] = &messages[i].move;
    response.bytes += messages[i].move.bytes;
    response.partitions_of_unknown_size += messages[i].move.bytes_known == 0;
  }
  services_tell(this->services, this->call, &response.base);
  memory_free(response.moves);
  memory_free(messages);
  admin_call_finish(this);
}

/* The first of the names that no topic has; NULL: each has one. */
static const char *unknown_topic(const struct admin_call *this) {
  const Cairn__V1__PlanReassignmentRequest *request = (const void *)this->request;
  const struct cluster_map *map = controller_map(this->services->controller);
  for (size_t i = 0; i < request->n_topics; i++)
    if (cluster_map_topic(map, bytes_of_string(request->topics[i])) == NULL) return request->topics[i];
  return NULL;
}

struct plan_call {
  struct planner_job planning;
  struct admin_call *call;
};

static void planned(struct planner_job *planning) {
  struct plan_call *plan = container_of(planning, struct plan_call, planning);
  plan->call->services->plans--;
  if (planning->status == STATUS_OK) tell_plan(plan->call, &planning->plan);
  else admin_call_refuse(plan->call, refusal_new(planning->status, "no plan was made: %s", planning->plan.problem));
  reassignment_deinit(&planning->plan);
  memory_free(plan);
}

static void plan_run(struct look *look) {
  struct admin_call *this = container_of(look, struct admin_call, look);
  const Cairn__V1__PlanReassignmentRequest *request = (const void *)this->request;
  const char *unknown = unknown_topic(this);
  if (unknown != NULL) {
    admin_call_refuse(this,
                      refusal_new(STATUS_UNKNOWN_TOPIC, "there is no topic \"%.*s\"; cairn topic list shows those there are",
                                  (int)TOPIC_NAME_MAX, unknown));
    return;
  }
  if (this->services->plans >= PLANS_MAX) {
    admin_call_refuse(this,
                      refusal_new(STATUS_BUSY,
                                  "no plan was made: %u are being made on this broker, or wait for that, and no more may: ask "
                                  "again when they are done",
                                  this->services->plans));
    return;
  }
  this->services->plans++;
  if (request->n_topics > 0) qsort(request->topics, request->n_topics, sizeof *request->topics, compare_names);
  struct plan_call *plan = NEW(struct plan_call);
  plan->call = this;
  plan->planning = (struct planner_job){.brokers = request->brokers,
                                        .broker_count = request->n_brokers,
                                        .is_asked = request->n_topics > 0 ? is_asked : NULL,
                                        .context = this,
                                        .done = planned};
  planner_begin(this->services->planner, &plan->planning, this->services->hosts[0].loop,
                controller_map(this->services->controller), admin_call_broker_is_up, this->services);
}

/* ---- The handlers ---- */

void admin_service_move_partition(void *services, struct rpc_call *call, struct blob *message) {
  admin_call_start_change(services, call, message, &cairn__v1__move_partition_request__descriptor, move_run);
}
void admin_service_cancel_move(void *services, struct rpc_call *call, struct blob *message) {
  admin_call_start_change(services, call, message, &cairn__v1__cancel_move_request__descriptor, cancel_run);
}
void admin_service_list_moves(void *services, struct rpc_call *call, struct blob *message) {
  admin_call_start_look(services, call, message, &cairn__v1__list_moves_request__descriptor, list_run, true);
}
void admin_service_plan_reassignment(void *services, struct rpc_call *call, struct blob *message) {
  admin_call_start_look(services, call, message, &cairn__v1__plan_reassignment_request__descriptor, plan_run, true);
}
