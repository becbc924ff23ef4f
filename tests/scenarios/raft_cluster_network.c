/* The network of the pretended cluster, and what brokers tell each other over it apart from raft: that they live, and what they lead. */
#include <string.h>

#include "base/check.h"
#include "tests/scenarios/raft_cluster.h"

/* ---- Sending ---- */

static uint64_t delay(struct cluster *cluster) {
  uint64_t more = cluster->delay_more_ns;
  return cluster->delay_least_ns + (more == 0 ? 0 : chance_below(&cluster->chance, more));
}

static void put(struct cluster *cluster, const struct cluster_packet *packet) {
  if (cluster->links[packet->message.from.broker][packet->message.to.broker] == LINK_CUT) return;
  if (!packet->heartbeat && cluster->drop_kind[packet->message.kind]) return;
  if (chance_in(&cluster->chance, cluster->drop)) return;
  unsigned copies = chance_in(&cluster->chance, cluster->duplicate) ? 2 : 1;
  for (size_t i = 0; i < CLUSTER_PACKETS_MAX && copies > 0; i++) {
    if (cluster->packets[i].used) continue;
    cluster->packets[i] = *packet;
    cluster->packets[i].used = true;
    cluster->packets[i].arrives_ns = cluster->now_ns + delay(cluster);
    cluster->packets[i].number = ++cluster->packet_count;
    bool replay = copies == 2 && cluster->replay_ns > 0 && chance_in(&cluster->chance, 500); /* comes again, long after */
    if (replay) cluster->packets[i].arrives_ns += chance_below(&cluster->chance, cluster->replay_ns);
    if (i >= cluster->packets_high) cluster->packets_high = i + 1;
    copies--;
  }
}

void cluster_send(struct cluster *cluster, struct cluster_node *node, const struct raft_message *message) {
  struct cluster_packet packet = {.message = *message};
  if (message->kind == RAFT_APPEND) {
    CHECK(message->append.count <= CLUSTER_PACKET_ENTRIES_MAX);
    for (uint32_t i = 0; i < message->append.count; i++)
      packet.entries[i] = cluster_entry_at(&node->log, message->append.prev_index + 1 + i);
  }
  if (message->kind == RAFT_SNAPSHOT) packet.snapshot = cluster_snapshot_of(cluster, node, message->snapshot.index);
  put(cluster, &packet);
}

/* ---- Heartbeats ---- */

static void tell_peer(struct cluster *cluster, struct cluster_node *node, enum raft_event_kind kind, broker_id broker) {
  struct raft_event event = {.kind = kind, .peer = node->heard_id[broker]};
  cluster_step(cluster, node, &event, NULL, NULL);
}

static void find_the_silent(struct cluster *cluster, struct cluster_node *node) {
  for (broker_id broker = 1; broker <= CLUSTER_NODES_MAX; broker++) {
    if (!node->alive[broker] || cluster->now_ns - node->heard_ns[broker] < cluster->election_ns) continue;
    node->alive[broker] = false;
    tell_peer(cluster, node, RAFT_PEER_DOWN, broker);
  }
}

/* The host's own care for what it ships: nothing heard of it for a second is a failure. */
static void find_the_lost(struct cluster *cluster, struct cluster_node *node) {
  for (size_t i = 0; i < node->raft.config.count; i++) {
    const struct progress *progress = raft_progress(&node->raft, i);
    unsigned *beats = &node->catching_up[node->raft.config.members[i].id.broker];
    *beats = progress != NULL && progress->state == PROGRESS_CATCH_UP ? *beats + 1 : 0;
    if (*beats < 10) continue;
    *beats = 0;
    struct raft_event event = {.kind = RAFT_CATCH_UP_FAILED, .peer = node->raft.config.members[i].id};
    cluster_step(cluster, node, &event, NULL, NULL);
    return; /* what is to be looked at has changed; the rest at the next beat */
  }
}

/* The term in which it leads a group that the other one belongs to; 0: it does not. */
static entry_term leads(const struct cluster_node *node, const struct cluster_node *other) {
  bool member = raft_config_find(&node->raft.config, &other->id) != RAFT_NO_POSITION;
  return member && node->raft.role == RAFT_LEADER ? raft_term(&node->raft) : 0;
}

void cluster_heartbeats(struct cluster *cluster, struct cluster_node *node) {
  find_the_silent(cluster, node);
  if (node->up) find_the_lost(cluster, node);
  for (broker_id broker = 1; broker <= CLUSTER_NODES_MAX && node->up; broker++) {
    if (!cluster->nodes[broker].exists || broker == node->id.broker) continue;
    struct cluster_packet packet = {.heartbeat = true,
                                    .boot = node->boot,
                                    .reluctant = node->reluctant,
                                    .leads = leads(node, &cluster->nodes[broker]),
                                    .message = {.from = node->id, .to = {.broker = broker}}};
    put(cluster, &packet);
  }
}

/* What the heartbeat's digest says of the one group that there is. */
static void compare_digest(struct cluster *cluster, struct cluster_node *node, const struct cluster_packet *packet) {
  const struct raft *raft = &node->raft;
  const struct replica_id *from = &packet->message.from;
  bool follows = raft->role != RAFT_LEADER && replica_id_equal(&raft->leader, from);
  bool told = follows && raft->vouched && packet->leads == raft_term(raft);
  if (packet->leads != 0 && !told) {
    struct raft_event event = {.kind = RAFT_LEADER_HEARD, .peer = *from, .term = packet->leads};
    cluster_step(cluster, node, &event, NULL, NULL);
  } else if (packet->leads == 0 && follows && raft->vouched) {
    struct raft_event event = {.kind = RAFT_LEADER_GONE, .peer = *from, .term = raft_term(raft)};
    cluster_step(cluster, node, &event, NULL, NULL);
  }
}

static void hear(struct cluster *cluster, struct cluster_node *node, const struct cluster_packet *packet) {
  broker_id broker = packet->message.from.broker;
  bool other = node->heard_ns[broker] != 0 && node->heard_boot[broker] != packet->boot;
  if (other &&
      node->alive[broker]) { /* restarted before it was missed: all that it led has ended, all that was under way is lost */
    struct raft_event event = {.kind = RAFT_LEADER_GONE, .peer = node->heard_id[broker], .term = raft_term(&node->raft)};
    cluster_step(cluster, node, &event, NULL, NULL);
    tell_peer(cluster, node, RAFT_PEER_DOWN, broker);
    node->alive[broker] = false;
  }
  bool up = !node->alive[broker];
  bool wishes = node->heard_reluctant[broker] != packet->reluctant;
  node->heard_ns[broker] = cluster->now_ns;
  node->heard_boot[broker] = packet->boot;
  node->heard_id[broker] = packet->message.from;
  node->alive[broker] = true;
  node->heard_reluctant[broker] = packet->reluctant;
  if (wishes) tell_peer(cluster, node, packet->reluctant ? RAFT_RELUCTANT : RAFT_WILLING, broker);
  if (up) tell_peer(cluster, node, RAFT_PEER_UP, broker);
  compare_digest(cluster, node, packet);
}

/* ---- Arriving ---- */

static void receive(struct cluster *cluster, struct cluster_node *node, struct cluster_packet *packet) {
  struct raft_entry entries[CLUSTER_PACKET_ENTRIES_MAX];
  struct raft_message *message = &packet->message;
  const struct cluster_log *log = &node->log;
  if (message->kind == RAFT_APPEND) {
    entry_index prev = message->append.prev_index;
    bool known = prev >= log->base && prev <= log->last;
    message->append.own_prev_chain = known ? cluster_entry_at(log, prev).chain : 0;
    for (uint32_t i = 0; i < message->append.count; i++) {
      entry_index index = prev + 1 + i;
      const struct cluster_entry *entry = &packet->entries[i];
      bool mine = index >= log->base && index <= log->last;
      entries[i] = (struct raft_entry){.term = entry->term,
                                       .chain = entry->chain,
                                       .own_chain = mine ? cluster_entry_at(log, index).chain : 0,
                                       .config = entry->config == 0 ? NULL : &cluster->configs[entry->config - 1]};
    }
    message->append.entries = entries;
  }
  if (message->kind == RAFT_SNAPSHOT) message->snapshot.config = &cluster->configs[packet->snapshot.config - 1];
  struct raft_event event = {.kind = RAFT_MESSAGE, .message = message};
  cluster_step(cluster, node, &event, packet, NULL);
}

static void arrive(struct cluster *cluster, size_t place) {
  struct cluster_packet packet = cluster->packets[place];
  cluster->packets[place].used = false;
  while (cluster->packets_high > 0 && !cluster->packets[cluster->packets_high - 1].used) cluster->packets_high--;
  struct cluster_node *node = &cluster->nodes[packet.message.to.broker];
  if (!node->up) return;
  if (packet.heartbeat) hear(cluster, node, &packet);
  else receive(cluster, node, &packet);
}

static bool moves(const struct cluster *cluster, const struct cluster_packet *packet) {
  const struct raft_message *message = &packet->message;
  return packet->used && cluster->links[message->from.broker][message->to.broker] != LINK_HELD &&
         !cluster->nodes[message->to.broker].paused;
}

/* The first to arrive; of two at one time the one that was sent first. */
static size_t first_due(const struct cluster *cluster) {
  size_t first = CLUSTER_PACKETS_MAX;
  for (size_t i = 0; i < cluster->packets_high; i++) {
    const struct cluster_packet *packet = &cluster->packets[i];
    if (!moves(cluster, packet)) continue;
    const struct cluster_packet *best = &cluster->packets[first == CLUSTER_PACKETS_MAX ? i : first];
    bool earlier =
        packet->arrives_ns < best->arrives_ns || (packet->arrives_ns == best->arrives_ns && packet->number < best->number);
    if (first == CLUSTER_PACKETS_MAX || earlier) first = i;
  }
  return first;
}

uint64_t cluster_next_network_ns(const struct cluster *cluster) {
  size_t first = first_due(cluster);
  return first == CLUSTER_PACKETS_MAX ? UINT64_MAX : cluster->packets[first].arrives_ns;
}

bool cluster_deliver_one(struct cluster *cluster) {
  size_t first = first_due(cluster);
  if (first == CLUSTER_PACKETS_MAX) return false;
  arrive(cluster, first);
  return true;
}

/* ---- Links ---- */

void cluster_release(struct cluster *cluster, broker_id from, broker_id to, bool newest_first) {
  cluster->links[from][to] = LINK_OPEN;
  for (size_t i = 0; i < cluster->packets_high; i++) {
    struct cluster_packet *packet = &cluster->packets[i];
    if (!packet->used || packet->message.from.broker != from || packet->message.to.broker != to) continue;
    uint64_t order = newest_first ? cluster->packet_count - packet->number : packet->number;
    packet->arrives_ns = cluster->now_ns + 1 + order;
  }
}

void cluster_heal(struct cluster *cluster) {
  for (broker_id from = 1; from <= CLUSTER_NODES_MAX; from++) {
    for (broker_id to = 1; to <= CLUSTER_NODES_MAX; to++) {
      if (cluster->links[from][to] == LINK_HELD) cluster_release(cluster, from, to, false);
      cluster->links[from][to] = LINK_OPEN;
    }
  }
  memset(cluster->drop_kind, 0, sizeof cluster->drop_kind);
  cluster->drop = 0;
  cluster->duplicate = 0;
}
