#include "controller/controller_internal.h"

#include <inttypes.h>

#include "base/check.h"
#include "base/memory.h"
#include "base/probe.h"
#include "base/trace.h"
#include "base/witness.h"
#include "controller/map_head.h"
#include "controller/map_jump.h"
#include "controller/members.h"

/* ---- Who belongs to group 0: what the map says, one step after the other ---- */

static void tell_settled(const struct raft_config *config) {
  unsigned voters = 0;
  if (config->phase != RAFT_STABLE || config->count == 1) return;
  for (size_t i = 0; i < config->count; i++) voters += config->members[i].now == RAFT_VOTER;
  trace_info("controller_members_settled", "voters=%u learners=%u", voters, config->count - voters);
}

bool controller_is_up(const struct controller *controller, broker_id broker) {
  return broker == replica_leader(controller->replica).broker || lane_broker_up(controller->lane, broker);
}

static bool member_is_up(void *controller, broker_id broker) { return controller_is_up(controller, broker); }

/* Whoever leads does it, whenever the map, the members, or who is up have changed: what one leader has begun the next one goes on with. */
static void drive_members(struct controller *controller) {
  struct raft_config target;
  if (!controller->open || controller->outgrown != 0 || !replica_ready(controller->replica)) return;
  const struct raft_config *today = replica_config(controller->replica);
  const struct members_facts facts = {
      .map = controller->map, .founders = controller->founders, .is_up = member_is_up, .context = controller};
  if (!members_next(today, &facts, &target)) return;
  unsigned before = today->count;
  enum status status = replica_change_members(controller->replica, &target);
  if (status == STATUS_BUSY)
    return; /* a step is under way, whose end is applied here too; or the lead is being handed over: stays() */
  trace_line(status == STATUS_OK ? TRACE_INFO : TRACE_WARN, "controller_members", "from=%u to=%u status=%s", before,
             (unsigned)target.count, status_name(status));
}

/* ---- Applying: the same on every broker ---- */

static void tell_placed(struct controller *controller, const struct map_topic *topic, uint32_t partition) {
  if (controller->found_through != 0) return;
  const struct map_move *move = cluster_map_move(controller->map, topic->partitions[partition].group);
  controller->watch.partition_placed(controller->watch.context, topic, partition, move);
}

static void tell(struct controller *controller, const struct command *command) {
  if (!controller->open || controller->applied_status != STATUS_OK) return;
  if (command->kind == COMMAND_CREATE_TOPIC) controller->watch.topic_created(controller->watch.context, controller->topic);
  else if (command->kind == COMMAND_ALTER_TOPIC) controller->watch.topic_altered(controller->watch.context, controller->topic);
  else if (command->kind == COMMAND_GROW_TOPIC)
    controller->watch.topic_grown(controller->watch.context, controller->topic, command->topic.partitions[0].number);
  else if (command->kind == COMMAND_MOVE_PARTITION || command->kind == COMMAND_PARTITION_MOVED)
    tell_placed(controller, controller->topic, command->move.partition);
  else if (command->kind == COMMAND_REGISTER_BROKER && controller->brokers.registered != NULL)
    controller->brokers.registered(controller->brokers.context, &command->broker);
  else if (command->kind == COMMAND_SET_STANDING && controller->brokers.registered != NULL)
    controller->brokers.registered(controller->brokers.context, cluster_map_broker(controller->map, command->broker.id));
}

static void tell_leader(struct controller *controller) {
  if (controller->brokers.leader_changed == NULL) return;
  controller->brokers.leader_changed(controller->brokers.context, controller_leads(controller), controller_leader(controller));
}

/* A deletion is told before the map forgets the topic, as the watch wants to see it. */
static void tell_deleted(struct controller *controller, uint64_t topic_id) {
  const struct map_topic *topic = cluster_map_topic_by_id(controller->map, topic_id);
  if (topic != NULL && controller->open) controller->watch.topic_deleted(controller->watch.context, topic);
}

static void tell_delta(const struct controller *controller, const struct map_delta *delta) {
  WITNESS(map, controller->map);
  if (controller->watch.map_changed == NULL) return;
  controller->watch.map_changed(controller->watch.map_context, controller->map, delta);
}

static void tell_whole_map(const struct controller *controller) {
  WITNESS(map, controller->map);
  if (controller->watch.map_came != NULL) controller->watch.map_came(controller->watch.map_context, controller->map);
}

static void apply_command(struct controller *controller, const struct command *command) {
  struct map_delta delta;
  if (command->kind == COMMAND_DELETE_TOPIC) tell_deleted(controller, command->topic_id);
  controller->applied_status = map_delta_apply(controller->map, command, &delta);
  tell_delta(controller, &delta);
  bool moves = command->kind == COMMAND_MOVE_PARTITION || command->kind == COMMAND_PARTITION_MOVED;
  controller->topic_id = moves ? command->move.topic_id : command->topic_id;
  controller->topic = NULL;
  if (command->kind == COMMAND_CREATE_TOPIC)
    controller->topic = cluster_map_topic(controller->map, bytes_of_string(command->topic.name));
  else if (command->kind == COMMAND_ALTER_TOPIC || command->kind == COMMAND_GROW_TOPIC || moves)
    controller->topic = cluster_map_topic_by_id(controller->map, controller->topic_id);
  tell(controller, command);
}

static void see_if_caught_up(struct controller *controller) {
  if (!controller->open || controller->found_through == 0) return;
  entry_index applied = replica_applied(controller->replica);
  bool cut = applied == log_view(replica_log(controller->replica)).last_index;
  if (applied < controller->found_through && !cut) return;
  controller->found_through = 0;
  controller->watch.caught_up(controller->watch.context, controller->map);
}

/* ---- A level that this broker cannot ---- */

static void outgrow(struct controller *controller, uint32_t level) {
  if (controller->outgrown != 0) return;
  controller->outgrown = level;
  REACHED(broker_is_outgrown);
  if (controller->open && controller->watch.outgrown != NULL)
    controller->watch.outgrown(controller->watch.outgrown_context, level);
}

/* True: it is to be applied. False: the others do it, and so it is. */
static bool can_apply(struct controller *controller, const struct command *command) {
  bool raises = command->kind == COMMAND_SET_FEATURE_LEVEL && command->feature_level > controller->features.most;
  if (raises) {
    controller->applied_status = STATUS_OK;
    outgrow(controller, command->feature_level);
  }
  WITNESS(command, controller->features.most, command->feature_level);
  return !raises;
}

static void apply_entry(struct controller *controller, const struct entry *entry) {
  if (entry->head.kind == ENTRY_NOOP && controller->open) { /* a leader is ready from here on */
    tell_leader(controller);
    controller_pump(controller);
  }
  if (entry->head.kind == ENTRY_NOOP || entry->head.kind == ENTRY_CONFIG) {
    if (controller->open && replica_ready(controller->replica)) tell_settled(replica_config(controller->replica));
    drive_members(controller);
  }
  if (entry->head.kind != ENTRY_COMMAND) return;
  struct command command = {0};
  enum status status = command_decode(entry->payload.bytes, &command);
  /* The entry's checksum held, so a newer Cairn wrote this. To skip it would be to disagree with the cluster. */
  CHECK_MSG(status == STATUS_OK,
            "group 0 holds a command at index %" PRIu64 " that this version cannot read (%s): run the newer version",
            entry->head.index, status_name(status));
  if (!can_apply(controller, &command)) return;
  apply_command(controller, &command);
  if (command.kind == COMMAND_SET_FEATURE_LEVEL && controller->open)
    trace_info("feature_level", "level=%u", cluster_map_feature_level(controller->map));
  if (command.kind == COMMAND_REGISTER_BROKER || command.kind == COMMAND_SET_STANDING) drive_members(controller);
  command_deinit(&command);
}

static void apply(void *owner, const struct entry *entry) {
  struct controller *controller = owner;
  PRE(controller->next == NULL);
  if (controller->outgrown != 0) return;
  apply_entry(controller, entry);
  see_if_caught_up(controller);
  if (controller->open) log_keep_newest(replica_log(controller->replica), controller->kept_entries, CONTROLLER_LOG_BYTES_KEPT);
}

static enum status snapshot(void *owner, struct buffer *out) {
  struct controller *controller = owner;
  PRE(controller->next == NULL);
  if (controller->outgrown != 0) return STATUS_LOADING; /* it is not of the last entry */
  return cluster_map_encode(controller->map, out);
}

/* ---- A map that comes as a whole ---- */

/* One of a level that this broker cannot is not read any further than to its level: this version may have no words for it. At the opening it is in
 * force at once. Later it waits until no crash can bring back the one before: who hears of it acts on it. */
static enum status restore(void *owner, struct bytes state) {
  struct controller *controller = owner;
  struct bytes behind = state;
  uint32_t level = FEATURE_LEVEL_FIRST;
  enum status status = map_head_take(&behind, &level);
  if (status != STATUS_OK) return status;
  if (!feature_range_has(controller->features, level)) {
    outgrow(controller, level);
    return STATUS_OK;
  }
  struct cluster_map *map = controller->open ? cluster_map_new(entropy_next(controller->world->entropy)) : controller->map;
  status = state.size == 0 ? STATUS_OK : cluster_map_decode(map, state);
  if (status == STATUS_OK && !controller->open) tell_whole_map(controller);
  if (!controller->open) return status;
  if (status == STATUS_OK) {
    cluster_map_free(controller->next);
    controller->next = map;
  } else {
    cluster_map_free(map);
  }
  return status;
}

static void installed(void *owner) {
  struct controller *controller = owner;
  struct cluster_map *before = controller->map;
  if (controller->outgrown != 0) {
    cluster_map_free(controller->next);
    controller->next = NULL;
    return;
  }
  PRE(controller->next != NULL);
  const struct map_jump jump = {.before = before,
                                .after = controller->next,
                                .watch = &controller->watch,
                                .brokers = &controller->brokers,
                                .places = controller->found_through == 0};
  REACHED(map_comes_whole);
  map_jump_tell_gone(&jump);
  controller->map = controller->next;
  controller->next = NULL;
  controller->topic = NULL;
  map_jump_tell_new(&jump);
  tell_whole_map(controller);
  cluster_map_free(before);
  see_if_caught_up(controller);
}

/* Whoever waits is told to ask elsewhere. The change under way hears of its proposal's fate. */
static void role_changed(void *owner, bool leads, entry_term term, const struct replica_id *leader) {
  struct controller *controller = owner;
  (void)term;
  (void)leader;
  controller->led_since_ns = loop_now_ns(lane_loop(controller->lane));
  if (leads) return; /* told when it is ready */
  tell_leader(controller);
  controller_pump(controller);
}

static void stays(void *owner) { drive_members(owner); }

static const struct state_machine_ops controller_machine = {.apply = apply,
                                                            .snapshot = snapshot,
                                                            .restore = restore,
                                                            .role_changed = role_changed,
                                                            .stays = stays,
                                                            .installed = installed,
                                                            .makes_logs = true};

/* ---- Life ---- */

enum status controller_open(struct world *world, struct lane *lane, struct log *log, const struct replica_options *replica,
                            struct feature_range features, const struct controller_watch *watch,
                            struct controller **out_controller) {
  struct controller *controller = NEW(struct controller);
  controller->world = world;
  controller->lane = lane;
  controller->watch = *watch;
  controller->features = features;
  controller->kept_entries = UINT64_MAX;
  controller->founders = replica->founding == NULL ? 1 : replica->founding->count;
  controller->map = cluster_map_new(entropy_next(world->entropy));
  list_init(&controller->waiting);
  struct state_machine machine = {.ops = &controller_machine, .owner = controller};
  enum status status = replica_open(lane, log, replica, &machine, &controller->replica);
  if (status != STATUS_OK) {
    controller_free(controller);
    return status;
  }
  controller->open = true;
  entry_index found = log_view(log).last_index;
  controller->found_through = replica_applied(controller->replica) < found ? found : 0;
  *out_controller = controller;
  return STATUS_OK;
}

void controller_free(struct controller *controller) {
  if (controller == NULL) return;
  replica_free(controller->replica);
  cluster_map_free(controller->map);
  cluster_map_free(controller->next);
  memory_free(controller);
}

/* ---- Who is told ---- */

void controller_watch_brokers(struct controller *controller, const struct broker_watch *watch) { controller->brokers = *watch; }

static void tell_nobody(void *context, const struct map_topic *topic) {
  (void)context;
  (void)topic;
}

static void tell_nobody_of_growth(void *context, const struct map_topic *topic, uint32_t first) {
  (void)context;
  (void)topic;
  (void)first;
}

static void tell_nobody_of_place(void *context, const struct map_topic *topic, uint32_t partition, const struct map_move *move) {
  (void)context;
  (void)topic;
  (void)partition;
  (void)move;
}

static void tell_nobody_of_map(void *context, const struct cluster_map *map) {
  (void)context;
  (void)map;
}

void controller_hush(struct controller *controller) {
  controller->watch = (struct controller_watch){.topic_created = tell_nobody,
                                                .topic_altered = tell_nobody,
                                                .topic_grown = tell_nobody_of_growth,
                                                .topic_deleted = tell_nobody,
                                                .partition_placed = tell_nobody_of_place,
                                                .caught_up = tell_nobody_of_map};
  controller->brokers = (struct broker_watch){0};
}

uint32_t controller_outgrown(const struct controller *controller) { return controller->outgrown; }

bool controller_leads(const struct controller *controller) { return replica_ready(controller->replica); }

bool controller_has_lost(const struct controller *controller) {
  return replica_alone(controller->replica) && log_view(replica_log(controller->replica)).damaged;
}

bool controller_counts_on(const struct controller *controller, broker_id broker) {
  const struct raft_config *config = replica_config(controller->replica);
  if (!replica_config_committed(controller->replica)) return true;
  for (size_t i = 0; i < config->count; i++) {
    const struct raft_member *member = &config->members[i];
    if (member->id.broker == broker && (member->now == RAFT_VOTER || member->then == RAFT_VOTER)) return true;
  }
  return false;
}

void controller_look_who_is_up(struct controller *controller) { drive_members(controller); }

void controller_read(struct controller *controller, struct replica_read *read) {
  if (controller->outgrown != 0) read->done(read, STATUS_DRAINING);
  else replica_read(controller->replica, read);
}

void controller_keep_newest(struct controller *controller, uint64_t entries) { controller->kept_entries = entries; }

void controller_start(struct controller *controller) { replica_start(controller->replica); }

struct replica_id controller_leader_id(const struct controller *controller) {
  return replica_leader(controller->replica);
}

broker_id controller_leader(const struct controller *controller) { return replica_leader(controller->replica).broker; }

const struct cluster_map *controller_map(const struct controller *controller) { return controller->map; }
