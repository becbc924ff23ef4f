/* What is asked of the controller: each change is decided against the map, one at a time, proposed, and answered when it is applied. */
#include <stdio.h>

#include "base/mutant.h"
#include "base/witness.h"
#include "controller/controller_internal.h"
#include "controller/decide.h"

/* Founders that have not told where they are get so long, once somebody leads, before topics are placed without them. */
#define PATIENCE_NS 5000000000u

/* ---- Deciding ---- */

static broker_id untold_of(const struct controller *controller) {
  const struct raft_config *config = replica_config(controller->replica);
  for (size_t i = 0; i < config->count; i++)
    if (cluster_map_broker(controller->map, config->members[i].id.broker) == NULL) return config->members[i].id.broker;
  return 0;
}

static uint32_t count_untold(const struct controller *controller, broker_id but) {
  const struct raft_config *config = replica_config(controller->replica);
  uint32_t untold = 0;
  for (size_t i = 0; i < config->count; i++) {
    broker_id broker = config->members[i].id.broker;
    untold += broker != but && cluster_map_broker(controller->map, broker) == NULL;
  }
  return untold;
}

/* Who belongs to group 0 is a broker of the cluster, also if the map does not have it yet. Not all that the map has belong to group 0. */
static uint32_t brokers_of(const struct controller *controller) {
  return (uint32_t)cluster_map_broker_count(controller->map) + count_untold(controller, 0);
}

static struct decision_facts facts_of(const struct controller *controller, const struct change *change) {
  return (struct decision_facts){
      .broker_is_up = change->kind == COMMAND_REGISTER_BROKER && controller_is_up(controller, change->broker.id),
      .map = controller->map,
      .brokers = brokers_of(controller),
      .untold = untold_of(controller),
      .untold_count = count_untold(controller, change->broker.id),
      .brokers_are_late = loop_now_ns(lane_loop(controller->lane)) - controller->led_since_ns > PATIENCE_NS,
      .logs_max = journal_replicas_max(log_set_journal(lane_logs(controller->lane))),
      .time_ms = replica_leader_time_ms(controller->replica, loop_wall_ms(lane_loop(controller->lane))),
  };
}

/* ---- One change at a time ---- */

static void answer(struct change *change, enum status status) {
  change->status = status;
  change->done(change);
}

static void proposal_done(struct proposal *proposal, enum status status) {
  struct controller *controller = container_of(proposal, struct controller, proposal);
  struct change *change = controller->current;
  controller->current = NULL;
  if (MUTANT(lost_command_called_no) && status == STATUS_UNKNOWN_OUTCOME) status = STATUS_REPLACED;
  if (MUTANT(lost_command_called_done) && status == STATUS_REPLACED && change->kind != COMMAND_CREATE_TOPIC) {
    controller->applied_status = status = STATUS_OK;
    controller->topic = cluster_map_topic(controller->map, bytes_of_string(change->name));
  }
  if (status == STATUS_OK) {
    status = controller->applied_status;
    change->topic = controller->topic;
    change->topic_id = controller->topic_id;
  } else if (status == STATUS_REPLACED) {
    (void)decide_refuse(change, status, "another broker leads the controller now; nothing was changed: ask it");
  } else {
    (void)decide_refuse(
        change, status,
        "the disk of the controller's broker failed, or it lost the lead, before the change was known to be kept: see what "
        "there is, then ask again");
  }
  answer(change, status);
  controller_pump(controller);
}

/* What more is kept is not begun on a full disk. The rest is written there too: how else would it get room again? */
static bool takes_room(const struct command *command) {
  return command->kind == COMMAND_CREATE_TOPIC || command->kind == COMMAND_GROW_TOPIC;
}

static enum status propose(struct controller *controller, const struct command *command) {
  struct blob *blob = NULL;
  enum status status = command_encode(command, &blob);
  if (status != STATUS_OK) return status;
  size_t size = blob->size;
  if (takes_room(command) && !log_set_has_space(lane_logs(controller->lane), size)) {
    blob_release(blob);
    return STATUS_DISK_FULL;
  }
  controller->proposal = (struct proposal){.done = proposal_done};
  controller->proposal.entry.head.kind = ENTRY_COMMAND;
  controller->proposal.entry.payload = (struct blob_part){.blob = blob, .bytes = bytes_of(blob->data, size)};
  status = replica_propose(controller->replica, &controller->proposal);
  if (status != STATUS_OK) blob_release(blob);
  else WITNESS(proposes, controller_leader(controller), (int)command->kind);
  return status;
}

/* Whom a broker takes for the leader may be the one whose number it has: the others tell it. */
static enum status refuse_elsewhere(const struct controller *controller, struct change *change) {
  if (change->kind == COMMAND_REGISTER_BROKER) {
    enum status status = decide_whose_number(controller->map, change, controller_is_up(controller, change->broker.id));
    if (status != STATUS_OK) return status;
  }
  broker_id leader = replica_leader(controller->replica).broker;
  if (leader == 0) return decide_refuse(change, STATUS_NOT_LEADER, "nobody is known to lead the controller just now: ask again");
  snprintf(change->problem, sizeof change->problem, "nothing was changed: broker %u leads the controller, ask it", leader);
  return STATUS_NOT_LEADER;
}

static bool is_alone(const struct controller *controller) { return replica_alone(controller->replica); }

/* An answer that follows from the map is as good as the map: among several brokers a majority has to confirm that nobody else has gone on with
 * it. What follows from the request alone is told at once. What is invalid may be so by itself, or by what a topic or the cluster has. */
static bool follows_from_map(enum status status) {
  return status == STATUS_INVALID || status == STATUS_UNKNOWN_TOPIC || status == STATUS_DIRECTORY_REPLACED ||
         status == STATUS_UNSUPPORTED || status == STATUS_BROKER_ID_TAKEN || status == STATUS_TOPIC_EXISTS ||
         status == STATUS_TOO_LARGE || status == STATUS_LOADING || status == STATUS_UNKNOWN_PARTITION ||
         status == STATUS_NOT_FOUND || status == STATUS_TOO_FEW_BROKERS || status == STATUS_BUSY ||
         status == STATUS_FEATURE_LEVEL || status == STATUS_BROKER_GONE || status == STATUS_PLAN_STALE;
}

static void answer_confirmed(struct replica_read *read, enum status status) {
  struct controller *controller = container_of(read, struct controller, confirm);
  struct change *change = controller->current;
  controller->current = NULL;
  if (status == STATUS_NOT_LEADER || status == STATUS_FENCED) change->status = refuse_elsewhere(controller, change);
  else if (status != STATUS_OK) change->status = decide_refuse(change, status, "nothing was changed: try again");
  answer(change, change->status);
  controller_pump(controller);
}

/* False: it has been answered. */
static bool answer_when_confirmed(struct controller *controller, struct change *change, enum status status) {
  change->status = status;
  controller->confirm.done = answer_confirmed;
  controller->current = change;
  replica_read(controller->replica, &controller->confirm);
  return controller->current == change;
}

/* Whoever leads by a map that ended before its log did decides nothing. */
static enum status decide_here(const struct controller *controller, struct change *change, struct command *command) {
  if (controller->outgrown != 0)
    return decide_refuse(change, STATUS_DRAINING, "this broker cannot the cluster's feature level and stops: ask another one");
  struct decision_facts facts = facts_of(controller, change);
  return decide(&facts, change, command);
}

/* Validates and proposes; true when the change is on its way, else it has been answered. */
static bool start(struct controller *controller, struct change *change) {
  struct command command = {0};
  bool elsewhere = !replica_is_leader(controller->replica) && !(replica_fenced(controller->replica) && is_alone(controller));
  enum status status = elsewhere ? refuse_elsewhere(controller, change) : decide_here(controller, change, &command);
  struct map_topic altered;
  if (status == STATUS_OK && change->validate_only) {
    if (change->kind == COMMAND_CREATE_TOPIC) change->topic = &command.topic;
    if (change->kind == COMMAND_ALTER_TOPIC || change->kind == COMMAND_GROW_TOPIC) {
      altered = *cluster_map_topic_by_id(controller->map, command.topic_id);
      if (change->kind == COMMAND_ALTER_TOPIC) altered.settings = command.settings;
      else altered.partition_count = change->partition_count;
      change->topic = &altered;
    }
    if (change->kind == COMMAND_DELETE_TOPIC) change->topic_id = command.topic_id;
    if (change->kind == COMMAND_MOVE_PARTITION) change->topic = cluster_map_topic_by_id(controller->map, command.move.topic_id);
    answer(change, STATUS_OK);
    command_deinit(&command);
    return false;
  }
  bool unchanged = status == STATUS_OK && change->unchanged;
  if (unchanged) change->topic = cluster_map_topic_by_id(controller->map, command.topic_id); /* of GROW_TOPIC */
  if (unchanged && is_alone(controller)) {
    command_deinit(&command);
    answer(change, STATUS_OK);
    return false;
  }
  if ((unchanged || follows_from_map(status)) && !is_alone(controller)) {
    command_deinit(&command);
    return answer_when_confirmed(controller, change, status);
  }
  controller->current = change;
  if (status == STATUS_OK) {
    status = propose(controller, &command);
    if (status == STATUS_NOT_LEADER) status = refuse_elsewhere(controller, change);
    else if (status != STATUS_OK) (void)decide_refuse(change, status, "nothing was changed: try again");
  }
  command_deinit(&command);
  if (status == STATUS_OK) return true;
  controller->current = NULL;
  answer(change, status);
  return false;
}

/* A leader that is not ready yet does not know the map that it would decide against: then they wait for its first entry. */
void controller_pump(struct controller *controller) {
  bool not_yet = replica_is_leader(controller->replica) && !replica_ready(controller->replica);
  while (controller->current == NULL && !not_yet && !list_empty(&controller->waiting)) {
    struct change *change = list_entry(list_pop_front(&controller->waiting), struct change, node);
    controller->waiting_count--;
    if (start(controller, change)) return;
  }
}

void controller_change(struct controller *controller, struct change *change) {
  if (controller->waiting_count >= CONTROLLER_QUEUE_MAX) {
    (void)decide_refuse(change, STATUS_BUSY, "1000 changes are waiting already: try again");
    answer(change, STATUS_BUSY);
    return;
  }
  list_push_back(&controller->waiting, &change->node);
  controller->waiting_count++;
  controller_pump(controller);
}
