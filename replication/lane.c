#include "replication/lane.h"

#include <stdio.h>

#include "base/check.h"
#include "base/map.h"
#include "base/memory.h"
#include "base/probe.h"
#include "base/trace.h"
#include "replication/replica_internal.h"

#define ELECTION_NS 1000000000u
#define HEARTBEAT_NS 100000000u

struct lane_slot {
  struct journal_write write;
  uint64_t submitted_ns;
  struct list fences;
  struct lane *lane;
  struct list_node node;
};

struct lane {
  struct world *world;
  struct loop *loop;
  struct log_set *logs;
  unsigned number;
  struct raft_timing timing;
  struct peers *peers;        /* NULL: alone */
  struct peer_lane *wires;    /* NULL: alone, or not joined yet */
  struct raft_entry *entries; /* of the message at hand; NULL: alone */
  struct list senders;        /* replicas with something to gather */
  struct list crowded;        /* replicas of which a follower may wait for room on the way to it */
  unsigned fetching;
  unsigned installing;
  struct list installs;                                                /* that wait for one of these to end */
  void (*watch)(void *context, broker_id broker, enum peer_edge edge); /* NULL: nobody */
  void *watch_context;
  struct pace *pace;    /* of what replicas get that do not count yet; NULL: unbounded */
  struct map *replicas; /* by group */
  struct lane_slot slots[LANE_WRITES_MAX];
  struct list free_slots;
  struct list flying; /* slots whose write is not back, in order */
  struct lane_slot *filling;
  unsigned in_flight;
  bool failed;
  bool leaving; /* this broker stops: lane_hand_over() */
  bool unfit;   /* it has no room: the wires say so */
  bool stopping;
  struct task stop_task;
  atomic_bool drained;
};

static void take_slot(struct lane *lane) {
  struct list_node *node = list_pop_front(&lane->free_slots);
  lane->filling = node == NULL ? NULL : list_entry(node, struct lane_slot, node);
}

/* What replicas want to send of their logs, now that the turn has proposed all that it will. */
static void gather(struct lane *lane) {
  for (struct list_node *node; (node = list_pop_front(&lane->senders)) != NULL;) {
    struct replica *replica = list_entry(node, struct replica_sender, node)->replica;
    replica_gather(replica);
  }
}

/* Persist: hands over what this turn gathered. With every slot in flight the turns to come go on filling the last one. */
static void submit(struct lane *lane) {
  if (lane->filling->write.count == 0 || list_empty(&lane->free_slots)) return;
  struct lane_slot *slot = lane->filling;
  take_slot(lane);
  lane->in_flight++;
  list_push_back(&lane->flying, &slot->node);
  if (lane->wires != NULL) slot->submitted_ns = loop_now_ns(lane->loop);
  journal_submit(log_set_journal(lane->logs), &slot->write);
}

static uint64_t oldest_unsynced_ns(const struct lane *lane) {
  struct list_node *first = list_first(&lane->flying);
  return first == NULL ? 0 : list_entry(first, struct lane_slot, node)->submitted_ns;
}

static bool is_idle(const struct lane *lane) {
  return lane->in_flight == 0 && lane->filling->write.count == 0 && lane->fetching == 0;
}

/* What waits for other brokers when the lane stops will not hear of them any more. True: somebody was answered, and may have asked anew. */
static bool answer_the_rest(struct lane *lane) {
  bool any = false;
  struct map_cursor cursor = {0};
  for (struct replica *replica; (replica = map_next(lane->replicas, &cursor)) != NULL;) any = replica_lane_stops(replica) || any;
  return any;
}

/* Whoever has waited longest, as soon as there is a place. */
static void begin_installs(struct lane *lane) {
  while (lane->installing < LANE_INSTALLS_MAX && !lane->failed && !list_empty(&lane->installs)) {
    lane->installing++;
    replica_install_go(list_pop_front(&lane->installs));
  }
}

static void turn_ended(void *context) {
  struct lane *lane = context;
  begin_installs(lane);
  gather(lane);
  submit(lane);
  if (lane->wires != NULL) {
    peer_lane_alive(lane->wires, oldest_unsynced_ns(lane));
    peer_lane_flush(lane->wires);
  }
  if (!lane->stopping) return;
  while (is_idle(lane) && answer_the_rest(lane)) continue;
  if (is_idle(lane)) atomic_store_explicit(&lane->drained, true, memory_order_release);
  else submit(lane);
}

static void fail(struct lane *lane, enum status status) {
  if (lane->failed) return;
  lane->failed = true;
  trace_error("lane_fenced", "lane=%u reason=%s", lane->number, status_name(status));
  struct map_cursor cursor = {0};
  for (struct replica *replica; (replica = map_next(lane->replicas, &cursor)) != NULL;) replica_disk_failed(replica);
}

/* Publish: each replica learns which of its frames are durable, then decides once what that commits. */
static void publish(struct lane *lane, const struct journal_write *write) {
  struct list touched;
  list_init(&touched);
  for (size_t i = 0; i < write->count; i++) {
    const struct journal_frame *frame = &write->frames[i];
    struct replica *replica = map_get_number(lane->replicas, frame->group);
    if (replica == NULL) continue;
    if (!list_node_linked(&replica->touched)) list_push_back(&touched, &replica->touched);
    replica_frame_durable(replica, frame);
  }
  for (struct list_node *node; (node = list_pop_front(&touched)) != NULL;)
    replica_publish(list_entry(node, struct replica, touched));
}

static void write_done(struct task *task) {
  struct lane_slot *slot = container_of(task, struct lane_slot, write.done);
  struct lane *lane = slot->lane;
  lane->in_flight--;
  list_remove(&slot->node);
  if (slot->write.status == STATUS_OK) publish(lane, &slot->write);
  else fail(lane, slot->write.status);
  enum status status = slot->write.status;
  journal_write_reset(&slot->write);
  for (struct list_node *node; (node = list_pop_front(&slot->fences)) != NULL;) {
    struct lane_fence *fence = list_entry(node, struct lane_fence, node);
    fence->done(fence, status);
  }
  list_push_back(&lane->free_slots, &slot->node);
}

/* ---- The wires ---- */

static void message_came(void *context, group_id group, const struct peer_message *message) {
  struct lane *lane = context;
  struct replica *replica = map_get_number(lane->replicas, group);
  if (replica != NULL) replica_receive(replica, message);
}

bool lane_reluctant(const struct lane *lane) { return lane->leaving || lane->unfit; }

static void tell_own_wish(struct lane *lane, bool before) {
  bool reluctant = lane_reluctant(lane);
  struct map_cursor cursor = {0};
  if (reluctant == before) return;
  for (struct replica *replica; (replica = map_next(lane->replicas, &cursor)) != NULL;) replica_own_wish(replica, reluctant);
}

void lane_leave(struct lane *lane) {
  bool before = lane_reluctant(lane);
  lane->leaving = true;
  tell_own_wish(lane, before);
}

void lane_set_pace(struct lane *lane, struct pace *pace) { lane->pace = pace; }

void lane_watch(struct lane *lane, void (*edge)(void *context, broker_id broker, enum peer_edge edge), void *context) {
  PRE(lane->wires == NULL);
  lane->watch = edge;
  lane->watch_context = context;
}

uint64_t lane_took(struct lane *lane, uint64_t bytes) {
  uint64_t now_ns = lane_clock_ns(lane);
  return lane->pace == NULL ? now_ns : pace_took(lane->pace, now_ns, bytes);
}

size_t lane_hand_over(struct lane *lane) {
  size_t here = 0;
  struct map_cursor cursor = {0};
  for (struct replica *replica; (replica = map_next(lane->replicas, &cursor)) != NULL;) here += replica_hand_over(replica);
  return here;
}

size_t lane_leaderships(const struct lane *lane) {
  size_t here = 0;
  struct map_cursor cursor = {0};
  for (struct replica *replica; (replica = map_next(lane->replicas, &cursor)) != NULL;)
    here += !replica_alone(replica) && replica_is_leader(replica);
  return here;
}

/* Comes as often as the way there was full: once for some MiB, while much is to be sent. */
static void room_came(struct lane *lane, broker_id broker) {
  list_for_each(&lane->crowded, node,
                following) if (!replica_room(list_entry(node, struct replica_sender, node)->replica, broker)) list_remove(node);
}

static void edge_came(void *context, broker_id broker, enum peer_edge edge) {
  struct lane *lane = context;
  struct map_cursor cursor = {0};
  if (edge == PEER_ROOM) room_came(lane, broker);
  for (struct replica *replica; edge != PEER_ROOM && (replica = map_next(lane->replicas, &cursor)) != NULL;)
    replica_peer_edge(replica, broker, edge);
  if (lane->watch != NULL) lane->watch(lane->watch_context, broker, edge);
}

static void leads_came(void *context, broker_id broker, group_id group, entry_term term, bool leads) {
  struct lane *lane = context;
  struct replica *replica = map_get_number(lane->replicas, group);
  if (replica != NULL) replica_peer_leads(replica, broker, term, leads);
}

static bool any_transfer(const struct lane *lane) {
  struct map_cursor cursor = {0};
  for (struct replica *replica; (replica = map_next(lane->replicas, &cursor)) != NULL;) {
    if (raft_transferring(&replica->raft)) return true;
  }
  return false;
}

/* Its disk has no room. */
static void wish_came(void *context, bool reluctant) {
  struct lane *lane = context;
  bool before = lane_reluctant(lane);
  lane->unfit = reluctant;
  tell_own_wish(lane, before);
  if (reluctant && !before && any_transfer(lane)) REACHED(full_leader_hands_over);
}

static const struct peer_lane_ops wires_ops = {
    .message = message_came, .edge = edge_came, .leads = leads_came, .reluctant = wish_came};

/* ---- Life ---- */

struct lane *lane_new(struct world *world, struct log_set *logs, unsigned number, struct peers *peers,
                      const struct raft_timing *timing) {
  struct lane *lane = NEW(struct lane);
  char name[16];
  snprintf(name, sizeof name, "lane-%u", number);
  lane->world = world;
  lane->logs = logs;
  lane->number = number;
  lane->replicas = map_new(entropy_next(world->entropy));
  lane->loop = world_loop_new(world, name, LOOP_NEAR_RPC);
  static const struct raft_timing usual = {.election_ns = ELECTION_NS, .heartbeat_ns = HEARTBEAT_NS, .gather_ns = RAFT_GATHER_NS};
  lane->timing = timing != NULL ? *timing : usual;
  list_init(&lane->senders);
  list_init(&lane->crowded);
  list_init(&lane->installs);
  list_init(&lane->flying);
  list_init(&lane->free_slots);
  for (size_t i = 0; i < LANE_WRITES_MAX; i++) {
    struct lane_slot *slot = &lane->slots[i];
    slot->lane = lane;
    list_init(&slot->fences);
    journal_write_init(&slot->write, lane->loop, write_done);
    list_push_back(&lane->free_slots, &slot->node);
  }
  take_slot(lane);
  atomic_init(&lane->drained, false);
  loop_set_turn_hook(lane->loop, turn_ended, lane);
  lane->peers = peers;
  if (peers != NULL) lane->entries = memory_new_array(RAFT_ENTRIES_MAX, sizeof *lane->entries);
  return lane;
}

void lane_join(struct lane *lane) {
  PRE(lane->wires == NULL);
  if (lane->peers != NULL) lane->wires = peers_lane(lane->peers, lane->number, lane->loop, &wires_ops, lane);
}

static void begin_stop(struct task *task) {
  struct lane *lane = container_of(task, struct lane, stop_task);
  lane->stopping = true;
}

void lane_stop(struct lane *lane) {
  lane->stop_task.run = begin_stop;
  loop_post(lane->loop, &lane->stop_task);
  world_wait(lane->world, &lane->drained);
  loop_stop(lane->loop);
  lane->loop = NULL;
}

void lane_free(struct lane *lane) {
  if (lane == NULL) return;
  CHECK(lane->loop == NULL);
  CHECK(map_count(lane->replicas) == 0);
  for (size_t i = 0; i < LANE_WRITES_MAX; i++) journal_write_deinit(&lane->slots[i].write);
  map_free(lane->replicas);
  memory_free(lane->entries);
  memory_free(lane);
}

struct loop *lane_loop(struct lane *lane) {
  return lane->loop;
}
struct log_set *lane_logs(struct lane *lane) {
  return lane->logs;
}
struct journal_write *lane_write(struct lane *lane) {
  return &lane->filling->write;
}
void lane_when_durable(struct lane *lane, struct lane_fence *fence) {
  PRE(lane->filling->write.count > 0);
  list_push_back(&lane->filling->fences, &fence->node);
}
bool lane_has(const struct lane *lane, group_id group) { return map_get_number(lane->replicas, group) != NULL; }
bool lane_failed(const struct lane *lane) { return lane->failed; }
bool lane_broker_up(const struct lane *lane, broker_id broker) {
  return lane->wires != NULL && peer_lane_up(lane->wires, broker);
}

struct peer_lane *lane_wires(const struct lane *lane) {
  return lane->wires;
}
const struct raft_timing *lane_timing(const struct lane *lane) { return &lane->timing; }
uint64_t lane_random(struct lane *lane) { return entropy_next(lane->world->entropy); }
uint64_t lane_clock_ns(const struct lane *lane) { return world_now_ns(lane->world); }
void lane_fetch_begins(struct lane *lane) { lane->fetching++; }
void lane_fetch_ended(struct lane *lane) { lane->fetching--; }
void lane_install_waits(struct lane *lane, struct list_node *line) { list_push_back(&lane->installs, line); }
void lane_install_ends(struct lane *lane) { lane->installing--; }
struct raft_entry *lane_entries(struct lane *lane) {
  return lane->entries;
}

void lane_will_send(struct lane *lane, struct replica_sender *sender) {
  if (!list_node_linked(&sender->node)) list_push_back(&lane->senders, &sender->node);
}

void lane_waits_for_room(struct lane *lane, struct replica_sender *crowded) {
  if (!list_node_linked(&crowded->node)) list_push_back(&lane->crowded, &crowded->node);
}

void lane_add(struct lane *lane, struct replica *replica) {
  void *earlier = map_put_number(lane->replicas, replica->group, replica);
  CHECK(earlier == NULL);
}

void lane_remove(struct lane *lane, struct replica *replica) {
  void *removed = map_remove_number(lane->replicas, replica->group);
  CHECK(removed == replica);
}
