#include "tests/unit/replication/wires.h"

#include <string.h>

#include "base/check.h"
#include "base/memory.h"

#define ROLL_MAX 64u

struct led {
  group_id group;
  entry_term term;
  broker_id member;
};

struct followed {
  group_id group;
  entry_term term;
  broker_id leader;
  bool told;
};

/* What is on its way: a message of replicas, or a heartbeat. */
struct packet {
  struct sim_event event;
  struct list_node node; /* of whoever sends */
  struct wires *wires;
  broker_id from, to;
  uint64_t from_boot;
  bool beat;
  bool reluctant;
  struct led roll[ROLL_MAX];
  size_t roll_count;
  group_id group;
  struct raft_message message;
  struct raft_config config; /* of a RAFT_SNAPSHOT */
  struct entry *entries;
  size_t count;
};

struct peer_lane {
  struct peers *peers;
  struct loop *loop;
  const struct peer_lane_ops *ops;
  void *context;
  bool up[WIRES_BROKERS_MAX + 1]; /* by the last edge that was told */
  bool reluctant[WIRES_BROKERS_MAX + 1];
};

struct peers {
  struct wires *wires;
  struct replica_id id;
  uint64_t boot;
  bool silent;
  struct sim_event beat;
  struct peer_lane lane;
  struct list outbox;
  struct led led[ROLL_MAX];
  size_t led_count;
  struct followed followed[ROLL_MAX];
  size_t followed_count;
  uint64_t heard_ns[WIRES_BROKERS_MAX + 1];
  uint64_t heard_boot[WIRES_BROKERS_MAX + 1];
  bool alive[WIRES_BROKERS_MAX + 1];
  bool heard_reluctant[WIRES_BROKERS_MAX + 1];
};

/* ---- To a lane ---- */

enum call_kind { CALL_MESSAGE, CALL_EDGE, CALL_LEADS, CALL_RELUCTANT };
struct call {
  struct task task;
  struct peer_lane *lane;
  enum call_kind kind;
  struct packet *packet;
  broker_id broker;
  enum peer_edge edge;
  group_id group;
  entry_term term;
  bool leads;
  bool reluctant;
};

static void packet_free(struct packet *packet) {
  for (size_t i = 0; i < packet->count; i++) entry_release(&packet->entries[i]);
  memory_free(packet->entries);
  memory_free(packet);
}

static void run_call(struct task *task) {
  struct call *call = container_of(task, struct call, task);
  struct peer_lane *lane = call->lane;
  bool silent = lane->peers->silent;
  if (call->kind == CALL_MESSAGE) {
    struct peer_message message = {.raft = call->packet->message, .entries = call->packet->entries, .count = call->packet->count};
    if (message.raft.kind == RAFT_SNAPSHOT) message.raft.snapshot.config = &call->packet->config;
    if (!silent) lane->ops->message(lane->context, call->packet->group, &message);
    packet_free(call->packet);
  } else if (call->kind == CALL_EDGE) {
    if (call->edge == PEER_UP || call->edge == PEER_DOWN) lane->up[call->broker] = call->edge == PEER_UP;
    if (call->edge == PEER_RELUCTANT || call->edge == PEER_WILLING) lane->reluctant[call->broker] = call->edge == PEER_RELUCTANT;
    if (!silent) lane->ops->edge(lane->context, call->broker, call->edge);
  } else if (call->kind == CALL_RELUCTANT) {
    if (!silent) lane->ops->reluctant(lane->context, call->reluctant);
  } else if (!silent) {
    lane->ops->leads(lane->context, call->broker, call->group, call->term, call->leads);
  }
  memory_free(call);
}

static void post(struct peers *peers, struct call what) {
  if (peers->lane.loop == NULL || peers->silent) {
    if (what.packet != NULL) packet_free(what.packet);
    return;
  }
  struct call *call = NEW(struct call);
  *call = what;
  call->lane = &peers->lane;
  call->task.run = run_call;
  loop_post(peers->lane.loop, &call->task);
}

static void post_edge(struct peers *peers, broker_id broker, enum peer_edge edge) {
  post(peers, (struct call){.kind = CALL_EDGE, .broker = broker, .edge = edge});
}

static void post_leads(struct peers *peers, struct followed *followed, bool leads) {
  followed->told = leads;
  post(peers,
       (struct call){
           .kind = CALL_LEADS, .broker = followed->leader, .group = followed->group, .term = followed->term, .leads = leads});
}

/* ---- Heartbeats ---- */

static void go_down(struct peers *peers, broker_id broker, bool rebooted) {
  peers->alive[broker] = false;
  for (size_t i = 0; i < peers->followed_count; i++) {
    struct followed *followed = &peers->followed[i];
    if (followed->leader != broker || !followed->told) continue;
    if (rebooted) post_leads(peers, followed, false);
    followed->told = false;
  }
  post_edge(peers, broker, PEER_DOWN);
}

static void compare(struct peers *peers, const struct packet *beat) {
  for (size_t i = 0; i < peers->followed_count; i++) {
    struct followed *followed = &peers->followed[i];
    if (followed->leader != beat->from) continue;
    bool leads = false;
    for (size_t k = 0; k < beat->roll_count; k++) {
      const struct led *led = &beat->roll[k];
      leads = leads || (led->member == peers->id.broker && led->group == followed->group && led->term == followed->term);
    }
    if (leads != followed->told) post_leads(peers, followed, leads);
  }
}

static void hear(struct peers *peers, const struct packet *beat) {
  broker_id from = beat->from;
  if (peers->alive[from] && peers->heard_boot[from] != beat->from_boot) go_down(peers, from, true);
  peers->heard_ns[from] = sim_now_ns(peers->wires->sim);
  peers->heard_boot[from] = beat->from_boot;
  if (peers->heard_reluctant[from] != beat->reluctant) {
    peers->heard_reluctant[from] = beat->reluctant;
    post_edge(peers, from, beat->reluctant ? PEER_RELUCTANT : PEER_WILLING);
  }
  if (!peers->alive[from]) {
    peers->alive[from] = true;
    post_edge(peers, from, PEER_UP);
  }
  compare(peers, beat);
}

static void put(struct peers *peers, struct packet *packet);

static void beat(struct sim_event *event) {
  struct peers *peers = container_of(event, struct peers, beat);
  struct wires *wires = peers->wires;
  uint64_t now_ns = sim_now_ns(wires->sim);
  sim_event_set(wires->sim, event, now_ns + wires->timing.heartbeat_ns);
  if (peers->silent) return;
  for (broker_id broker = 1; broker <= WIRES_BROKERS_MAX; broker++) {
    if (broker == peers->id.broker) continue;
    if (peers->alive[broker] && now_ns - peers->heard_ns[broker] >= wires->timing.election_ns) go_down(peers, broker, false);
    struct packet *packet = NEW(struct packet);
    packet->beat = true;
    packet->to = broker;
    packet->reluctant = wires->reluctant[peers->id.broker];
    memcpy(packet->roll, peers->led, sizeof packet->roll);
    packet->roll_count = peers->led_count;
    put(peers, packet);
  }
}

/* ---- Under way ---- */

static void arrive(struct sim_event *event) {
  struct packet *packet = container_of(event, struct packet, event);
  struct wires *wires = packet->wires;
  struct peers *to = wires->brokers[packet->to];
  bool reaches = to != NULL && !to->silent && !wires->cut[packet->from][packet->to];
  if (reaches && !packet->beat) {
    post(to, (struct call){.kind = CALL_MESSAGE, .packet = packet});
    return;
  }
  if (reaches) hear(to, packet);
  packet_free(packet);
}

static void put(struct peers *peers, struct packet *packet) {
  struct wires *wires = peers->wires;
  broker_id from = peers->id.broker;
  if (wires->cut[from][packet->to] || peers->silent || chance_in(&wires->chance, wires->drop)) {
    packet_free(packet);
    return;
  }
  packet->wires = wires;
  packet->from = from;
  packet->from_boot = peers->boot;
  uint64_t at_ns = sim_now_ns(wires->sim) + wires->delay_least_ns;
  if (wires->delay_more_ns > 0) at_ns += chance_below(&wires->chance, wires->delay_more_ns);
  uint64_t *last_ns = &wires->last_ns[from][packet->to];
  if (!packet->beat) at_ns = *last_ns = at_ns > *last_ns ? at_ns : *last_ns + 1;
  packet->event.fire = arrive;
  sim_event_set(wires->sim, &packet->event, at_ns);
}

/* ---- The network ---- */

void wires_init(struct wires *wires, struct sim *sim, uint64_t seed, const struct raft_timing *timing) {
  *wires = (struct wires){.sim = sim, .chance = {seed}, .timing = *timing, .delay_least_ns = 200000};
}

void wires_deinit(struct wires *wires) {
  for (broker_id broker = 1; broker <= WIRES_BROKERS_MAX; broker++) PRE(wires->brokers[broker] == NULL);
  sim_run_for(wires->sim, (uint64_t)60 * 1000000000u); /* whatever is under way arrives at nobody */
}

struct peers *wires_join(struct wires *wires, const struct replica_id *id) {
  struct peers *peers = NEW(struct peers);
  PRE(wires->brokers[id->broker] == NULL);
  peers->wires = wires;
  peers->id = *id;
  peers->boot = ++wires->boots;
  list_init(&peers->outbox);
  wires->brokers[id->broker] = peers;
  peers->beat.fire = beat;
  sim_event_set(wires->sim, &peers->beat, sim_now_ns(wires->sim) + chance_below(&wires->chance, wires->timing.heartbeat_ns));
  return peers;
}

void wires_silence(struct peers *peers) { peers->silent = true; }

void wires_leave(struct peers *peers) {
  peers->silent = true;
  peers->wires->brokers[peers->id.broker] = NULL;
  sim_event_cancel(peers->wires->sim, &peers->beat);
  for (struct list_node *node; (node = list_pop_front(&peers->outbox)) != NULL;)
    packet_free(list_entry(node, struct packet, node));
  memory_free(peers);
}

void wires_reset(struct wires *wires, broker_id from, broker_id to) {
  if (wires->brokers[from] != NULL) post_edge(wires->brokers[from], to, PEER_RESET);
}

void wires_wish(struct wires *wires, broker_id broker, bool reluctant) {
  wires->reluctant[broker] = reluctant;
  if (wires->brokers[broker] != NULL) post(wires->brokers[broker], (struct call){.kind = CALL_RELUCTANT, .reluctant = reluctant});
}

void wires_make_room(struct wires *wires, broker_id from, broker_id to) {
  wires->full[from][to] = false;
  if (wires->brokers[from] != NULL) post_edge(wires->brokers[from], to, PEER_ROOM);
}

void wires_heal(struct wires *wires) {
  memset(wires->cut, 0, sizeof wires->cut);
  wires->drop = 0;
  wires->delay_more_ns = 0;
  for (broker_id from = 1; from <= WIRES_BROKERS_MAX; from++) {
    for (broker_id to = 1; to <= WIRES_BROKERS_MAX; to++) {
      if (wires->full[from][to]) wires_make_room(wires, from, to);
    }
  }
}

/* ---- peers.h, a lane's side ---- */

struct peer_lane *peers_lane(struct peers *peers, unsigned number, struct loop *loop, const struct peer_lane_ops *ops,
                             void *context) {
  PRE(number == 0);
  peers->lane = (struct peer_lane){.peers = peers, .loop = loop, .ops = ops, .context = context};
  for (broker_id broker = 1; broker <= WIRES_BROKERS_MAX; broker++) {
    if (peers->heard_reluctant[broker]) post_edge(peers, broker, PEER_RELUCTANT);
    if (peers->alive[broker]) post_edge(peers, broker, PEER_UP);
  }
  return &peers->lane;
}

static bool corrupted(struct wires *wires, struct entry *entry) { return wires->corrupt != NULL && wires->corrupt(entry); }

/* What arrives is memory of the receiver's, as on any wire. */
static struct blob_part copied(struct bytes bytes) {
  struct blob *blob = NULL;
  if (bytes.size == 0) return (struct blob_part){0};
  CHECK(blob_new(NULL, bytes.size, &blob) == STATUS_OK);
  memcpy(blob->data, bytes.data, bytes.size);
  return (struct blob_part){.blob = blob, .bytes = bytes_of(blob->data, bytes.size)};
}

void peer_lane_send(struct peer_lane *lane, group_id group, const struct raft_message *message, const struct entry *entries,
                    size_t count) {
  PRE(count == 0 || raft_carries_entries(message->kind));
  PRE(count <= RAFT_ENTRIES_MAX);
  struct packet *packet = NEW(struct packet);
  packet->to = message->to.broker;
  packet->group = group;
  packet->message = *message;
  if (message->kind == RAFT_SNAPSHOT) packet->config = *message->snapshot.config;
  if (raft_carries_entries(message->kind)) {
    packet->message.append.count = (uint32_t)count;
    packet->message.append.own_prev_chain = 0;
    packet->entries = memory_new_array(count + 1, sizeof *packet->entries);
    packet->count = count;
  }
  for (size_t i = 0; i < count; i++) {
    PRE(entries[i].head.index == message->append.prev_index + 1 + i);
    packet->entries[i] = entries[i];
    packet->entries[i].payload = copied(entries[i].payload.bytes);
    (void)corrupted(lane->peers->wires, &packet->entries[i]);
  }
  lane->peers->wires->messages++;
  lane->peers->wires->entries += count;
  list_push_back(&lane->peers->outbox, &packet->node);
}

bool peer_lane_room(const struct peer_lane *lane, broker_id broker) {
  return !lane->peers->wires->full[lane->peers->id.broker][broker];
}

void peer_lane_flush(struct peer_lane *lane) {
  for (struct list_node *node; (node = list_pop_front(&lane->peers->outbox)) != NULL;)
    put(lane->peers, list_entry(node, struct packet, node));
}

void peer_lane_led(struct peer_lane *lane, broker_id member, group_id group, entry_term term) {
  struct peers *peers = lane->peers;
  for (size_t i = 0; i < peers->led_count; i++) {
    if (peers->led[i].member != member || peers->led[i].group != group) continue;
    peers->led[i] = peers->led[--peers->led_count];
    break;
  }
  if (term == 0) return;
  PRE(peers->led_count < ROLL_MAX);
  peers->led[peers->led_count++] = (struct led){.group = group, .term = term, .member = member};
}

void peer_lane_followed(struct peer_lane *lane, broker_id leader, group_id group, entry_term term) {
  struct peers *peers = lane->peers;
  for (size_t i = 0; i < peers->followed_count; i++) {
    if (peers->followed[i].group != group) continue;
    CHECK(term == 0 && peers->followed[i].leader == leader); /* a new leader wants a 0 for the one before */
    peers->followed[i] = peers->followed[--peers->followed_count];
    break;
  }
  if (term == 0) return;
  PRE(peers->followed_count < ROLL_MAX);
  peers->followed[peers->followed_count++] = (struct followed){.group = group, .term = term, .leader = leader};
}

bool peer_lane_reluctant(const struct peer_lane *lane, broker_id broker) { return lane->reluctant[broker]; }
bool peer_lane_up(const struct peer_lane *lane, broker_id broker) { return lane->up[broker]; }

void peer_lane_alive(struct peer_lane *lane, uint64_t oldest_unsynced_ns) {
  CHECK(oldest_unsynced_ns <= loop_now_ns(lane->loop));
}

void peer_lane_reconnect(struct peer_lane *lane, broker_id broker) { post_edge(lane->peers, broker, PEER_RESET); }
