#include "tests/scenarios/raft_cluster.h"

#include <stdarg.h>
#include <string.h>

#include "base/check.h"
#include "base/memory.h"

enum raft_mutant raft_mutant = RAFT_MUTANT_NONE;

#define NEVER UINT64_MAX

uint64_t cluster_mix(uint64_t a, uint64_t b) {
  uint64_t mixed = (a ^ (b + 0x9e3779b97f4a7c15u + (a << 6) + (a >> 2))) * 0xbf58476d1ce4e5b9u;
  return mixed ^ (mixed >> 29);
}

void cluster_fail(struct cluster *cluster, const char *format, ...) {
  if (cluster->violation[0] != '\0') return;
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(cluster->violation, sizeof cluster->violation, format, arguments);
  va_end(arguments);
  cluster_say(cluster, "VIOLATION: %s", cluster->violation);
}

/* ---- Logs ---- */

struct cluster_entry cluster_entry_at(const struct cluster_log *log, entry_index index) {
  if (index == log->base) return (struct cluster_entry){.term = log->base_term, .chain = log->base_chain};
  PRE(index > log->base && index <= log->last);
  return log->entries[index];
}

static uint64_t chain_of(uint64_t previous, const struct cluster_entry *entry) {
  uint64_t chain = cluster_mix(cluster_mix(cluster_mix(previous, entry->term), entry->value), entry->config);
  return chain == 0 ? 1 : chain;
}

static void log_put(struct cluster_log *log, entry_index index, struct cluster_entry entry) {
  CHECK(index == log->last + 1 && index < CLUSTER_LOG_MAX);
  log->entries[index] = entry;
  log->last = index;
}

void cluster_install(struct cluster_log *log, const struct cluster_snapshot *snapshot) {
  log->base = log->last = snapshot->index;
  log->base_term = snapshot->term;
  log->base_chain = snapshot->chain;
  log->base_state = snapshot->state;
  log->base_config = snapshot->config;
  log->base_config_index = snapshot->config_index;
}

/* The newest configuration at or before `index`. */
static uint16_t config_at(const struct cluster_log *log, entry_index index, entry_index *out_at) {
  for (entry_index i = index; i > log->base; i--) {
    if (log->entries[i].config == 0) continue;
    *out_at = i;
    return log->entries[i].config;
  }
  *out_at = log->base_config_index;
  return log->base_config;
}

struct cluster_snapshot cluster_snapshot_of(struct cluster *cluster, struct cluster_node *node, entry_index index) {
  struct cluster_entry entry = cluster_entry_at(&node->log, index);
  struct cluster_snapshot snapshot = {.index = index, .term = entry.term, .chain = entry.chain, .state = cluster->states[index]};
  snapshot.config = config_at(&node->log, index, &snapshot.config_index);
  return snapshot;
}

/* ---- The disk ---- */

static void write_to_disk(struct cluster *cluster, struct cluster_node *node, const struct cluster_write *write) {
  if (write->install) {
    cluster_install(&node->disk, &write->snapshot);
    node->damage.damaged = false;
  }
  if (write->hard) {
    entry_index commit = node->disk_state.commit;
    node->disk_state = write->hard_state;
    if (node->disk_state.commit < commit) node->disk_state.commit = commit;
  }
  if (write->install && node->disk_state.commit < write->snapshot.index) node->disk_state.commit = write->snapshot.index;
  if (write->cut && write->cut_from <= node->disk.base) {
    cluster_fail(cluster, "cut below the start: node %u cuts from %lu", node->id.broker, write->cut_from);
    return;
  }
  if (write->cut && node->disk.last >= write->cut_from) node->disk.last = write->cut_from - 1;
  for (uint32_t i = 0; i < write->count; i++) {
    log_put(&node->disk, write->first + i, write->entries[i]);
    cluster_check_append(cluster, &node->disk, write->first + i); /* of one that is alone nobody has heard before */
  }
}

static struct cluster_write *write_new(struct cluster *cluster, struct cluster_node *node) {
  CHECK(node->write_count < CLUSTER_WRITES_MAX);
  uint64_t done = cluster->now_ns + cluster->disk_least_ns;
  uint64_t more = node->slow ? 2000 * (uint64_t)MS : cluster->disk_more_ns;
  if (more > 0) done += chance_below(&cluster->chance, more);
  if (node->write_count > 0) {
    uint64_t before = node->writes[(node->write_first + node->write_count - 1) % CLUSTER_WRITES_MAX].done_ns;
    if (done < before) done = before;
  }
  struct cluster_write *write = &node->writes[(node->write_first + node->write_count++) % CLUSTER_WRITES_MAX];
  *write = (struct cluster_write){.done_ns = done};
  return write;
}

static void send_held(struct cluster *cluster, struct cluster_node *node) {
  size_t kept = 0;
  for (size_t i = 0; i < node->held_count; i++) {
    struct raft_held_message *held = &node->held[i];
    enum raft_hold hold = raft_held(&node->raft, held);
    if (hold == RAFT_SEND) cluster_send(cluster, node, &held->message);
    if (hold == RAFT_HOLD) node->held[kept++] = *held;
  }
  node->held_count = kept;
}

static void write_done(struct cluster *cluster, struct cluster_node *node) {
  struct cluster_write write = node->writes[node->write_first];
  node->write_first = (node->write_first + 1) % CLUSTER_WRITES_MAX;
  node->write_count--;
  write_to_disk(cluster, node, &write);
  if (write.install) {
    cluster_install(&node->log, &write.snapshot);
    node->applied = write.snapshot.index;
    node->state = write.snapshot.state;
    struct raft_event event = {.kind = RAFT_INSTALLED};
    cluster_step(cluster, node, &event, NULL, NULL);
  }
  struct raft_event event = {.kind = RAFT_PERSISTED, .persisted = write.mark};
  cluster_step(cluster, node, &event, NULL, NULL);
}

/* ---- Obeying ---- */

static struct cluster_entry entry_of(struct cluster *cluster, const struct raft_effects *effects,
                                     const struct raft_appended *appended, entry_index index,
                                     const struct cluster_packet *packet) {
  if (appended->kind == RAFT_APPEND_MESSAGE) return packet->entries[index - packet->message.append.prev_index - 1];
  struct cluster_entry entry = {.term = appended->term};
  if (appended->kind == RAFT_APPEND_PROPOSAL) entry.value = ++cluster->next_value;
  if (appended->kind == RAFT_APPEND_CONFIG) {
    CHECK(cluster->config_count < CLUSTER_CONFIGS_MAX);
    cluster->configs[cluster->config_count++] = *effects->config;
    entry.config = cluster->config_count;
  }
  return entry;
}

static void append(struct cluster *cluster, struct cluster_node *node, const struct raft_effects *effects,
                   const struct raft_appended *appended, const struct cluster_packet *packet, struct cluster_write *write) {
  for (uint32_t i = 0; i < appended->count; i++) {
    entry_index index = appended->first + i;
    struct cluster_entry entry = entry_of(cluster, effects, appended, index, packet);
    entry.chain = chain_of(cluster_entry_at(&node->log, index - 1).chain, &entry);
    log_put(&node->log, index, entry);
    CHECK(write->count < sizeof write->entries / sizeof write->entries[0]);
    if (write->count == 0) write->first = index;
    write->entries[write->count++] = entry;
    if (node->raft.config.count > 1) cluster_check_append(cluster, &node->log, index);
  }
}

static void persist(struct cluster *cluster, struct cluster_node *node, const struct raft_effects *effects,
                    const struct cluster_packet *packet) {
  if (!effects->save_hard_state && !effects->cut && effects->append_count == 0) return;
  struct cluster_write *write = write_new(cluster, node);
  write->hard = effects->save_hard_state;
  write->hard_state = effects->hard_state;
  write->cut = effects->cut;
  write->cut_from = effects->cut_from;
  if (effects->cut) {
    if (effects->cut_from <= cluster->committed_last && effects->cut_from <= node->applied)
      cluster_fail(cluster, "R5 cut-above-commit: node %u cuts from %lu", node->id.broker, effects->cut_from);
    node->log.last = effects->cut_from - 1;
  }
  for (size_t i = 0; i < effects->append_count; i++) append(cluster, node, effects, &effects->appends[i], packet, write);
  write->mark = raft_mark(&node->raft);
}

static void apply(struct cluster *cluster, struct cluster_node *node, entry_index commit) {
  while (node->applied < commit) {
    struct cluster_entry entry = cluster_entry_at(&node->log, node->applied + 1);
    node->applied++;
    node->state = cluster_mix(node->state, entry.value + ((uint64_t)entry.config << 32));
    cluster_check_commit(cluster, node, node->applied);
  }
}

static void install(struct cluster *cluster, struct cluster_node *node, const struct cluster_packet *packet) {
  struct cluster_write *write = write_new(cluster, node);
  write->install = true;
  write->snapshot = packet->snapshot;
  /* What it makes durable raft learns by RAFT_INSTALLED; the mark only carries the hard state on. */
  write->mark = (struct raft_mark){.term = raft_term(&node->raft), .vote = node->raft.hard_state.vote};
}

static void tell_leader_who_lives(struct cluster *cluster, struct cluster_node *node) {
  for (broker_id broker = 1; broker <= CLUSTER_NODES_MAX; broker++) {
    struct raft_event reluctant = {.kind = RAFT_RELUCTANT, .peer = node->heard_id[broker]};
    if (node->heard_reluctant[broker] && node->up) cluster_step(cluster, node, &reluctant, NULL, NULL);
    struct raft_event event = {.kind = RAFT_PEER_UP, .peer = node->heard_id[broker]};
    if (node->alive[broker] && node->up) cluster_step(cluster, node, &event, NULL, NULL);
  }
}

/* An append of what this node has, as much as it likes; raft is told when the effects are obeyed. */
static struct raft_sent sent_of(struct cluster *cluster, struct cluster_node *node, const struct raft_message *message) {
  uint32_t count = message->append.count;
  uint32_t most = 1 + (uint32_t)chance_below(&cluster->chance, cluster->entries_max);
  if (count > most) count = most;
  struct raft_message whole = *message;
  whole.append.count = count;
  whole.append.prev_chain = cluster_entry_at(&node->log, message->append.prev_index).chain;
  cluster_send(cluster, node, &whole);
  return (struct raft_sent){.to = message->to,
                            .term = message->term,
                            .sequence = message->sequence,
                            .last = message->append.prev_index + count,
                            .bytes = 100 * count};
}

static void obey(struct cluster *cluster, struct cluster_node *node, const struct raft_effects *effects,
                 const struct cluster_packet *packet) {
  struct raft_sent sent[RAFT_SENDS_MAX];
  size_t sent_count = 0;
  persist(cluster, node, effects, packet);
  apply(cluster, node, effects->commit);
  for (size_t i = 0; i < effects->now_count; i++) {
    const struct raft_message *message = &effects->send_now[i];
    if (message->kind == RAFT_APPEND) sent[sent_count++] = sent_of(cluster, node, message);
    else cluster_send(cluster, node, message);
  }
  for (size_t i = 0; i < effects->held_count; i++) {
    CHECK(node->held_count < CLUSTER_HELD_MAX);
    node->held[node->held_count++] = effects->send_after_sync[i];
  }
  if (effects->install) install(cluster, node, packet);
  if (effects->proven) node->damage = (struct raft_damage){0};
  node->deadline_ns = effects->deadline_ns;
  cluster_check_reads(cluster, node, effects);
  bool honest = !cluster->disks_lie;
  if (honest && effects->reverted) cluster_fail(cluster, "P9: an honest log is said to have gone back");
  if (honest && effects->diverged) cluster_fail(cluster, "R10 chain: honest logs are said to differ");
  bool leads = effects->role == RAFT_LEADER;
  bool began = leads && !node->led;
  node->led = leads;
  if (began) cluster_check_leader(cluster, node);
  for (size_t i = 0; i < sent_count; i++) {
    struct raft_event event = {.kind = RAFT_SENT, .sent = sent[i]};
    cluster_step(cluster, node, &event, NULL, NULL);
  }
  if (began || (leads && effects->config_changed)) tell_leader_who_lives(cluster, node);
}

void cluster_step(struct cluster *cluster, struct cluster_node *node, struct raft_event *event,
                  const struct cluster_packet *packet, enum status *out_status) {
  if (!node->up || cluster->violation[0] != '\0') return;
  if (node->write_count + 4 >= CLUSTER_WRITES_MAX || node->held_count + 20 >= CLUSTER_HELD_MAX ||
      node->log.last + 20 >= CLUSTER_LOG_MAX) {
    cluster_crash(cluster, node->id.broker, 0); /* more than fits: the process dies */
    return;
  }
  struct raft_effects effects;
  event->now_ns = cluster->now_ns;
  node->config = node->raft.config;
  cluster_tell_event(cluster, node, event);
  raft_step(&node->raft, event, &effects);
  raft_check_invariants(&node->raft);
  cluster->steps++;
  cluster->hash = cluster_mix(cluster->hash, (uint64_t)event->kind + node->id.broker * 100u);
  cluster->hash = cluster_mix(cluster->hash, cluster_mix(cluster->now_ns, effects.commit));
  cluster->hash = cluster_mix(cluster->hash, cluster_mix(effects.term, raft_last_index(&node->raft)));
  if (out_status != NULL) *out_status = effects.status;
  cluster_tell_effects(cluster, node, event, &effects);
  obey(cluster, node, &effects, packet);
  if (node->up) send_held(cluster, node);
}

/* ---- Starting and stopping ---- */

static void start_node(struct cluster *cluster, struct cluster_node *node) {
  struct trail_run terms[CLUSTER_LOG_MAX];
  size_t count = 0;
  node->log = node->disk;
  for (entry_index i = node->log.base + 1; i <= node->log.last; i++) {
    entry_term term = node->log.entries[i].term;
    if (count == 0 || terms[count - 1].term != term) terms[count++] = (struct trail_run){.first = i, .term = term};
  }
  entry_index config_index = 0;
  entry_index previous_index = 0;
  uint16_t config = config_at(&node->log, node->log.last, &config_index);
  bool earlier = config_index > node->log.base;
  uint16_t previous = earlier ? config_at(&node->log, config_index - 1, &previous_index) : 0;
  struct raft_start start = {
      .self = node->id,
      .hard_state = node->disk_state,
      .base_index = node->log.base,
      .base_term = node->log.base_term,
      .terms = terms,
      .term_count = count,
      .last_index = node->log.last,
      .config = &cluster->configs[config - 1],
      .config_index = config_index,
      .previous_config = earlier ? &cluster->configs[previous - 1] : NULL,
      .previous_config_index = previous_index,
      .damage = node->damage,
      .timing = {.election_ns = cluster->election_ns, .heartbeat_ns = cluster->heartbeat_ns, .gather_ns = cluster->gather_ns},
      .now_ns = cluster->now_ns,
      .seed = chance_next(&cluster->chance)};
  raft_init(&node->raft, &start);
  node->config = node->raft.config;
  node->up = true;
  node->boot = chance_next(&cluster->chance);
  node->applied = node->log.base;
  node->state = node->log.base_state;
  node->write_first = node->write_count = node->held_count = node->read_count = 0;
  node->led = false;
  node->stuck = node->paused = false;
  node->deadline_ns = raft_deadline(&node->raft);
  node->heartbeat_ns = cluster->now_ns + chance_below(&cluster->chance, cluster->heartbeat_ns);
  memset(node->alive, 0, sizeof node->alive);
  memset(node->heard_ns, 0, sizeof node->heard_ns);
  memset(node->heard_reluctant, 0, sizeof node->heard_reluctant);
  apply(cluster, node, raft_commit(&node->raft));
  struct raft_event reluctant = {.kind = RAFT_RELUCTANT, .peer = node->id};
  if (node->reluctant) cluster_step(cluster, node, &reluctant, NULL, NULL);
}

void cluster_crash(struct cluster *cluster, broker_id broker, size_t writes_kept) {
  struct cluster_node *node = &cluster->nodes[broker];
  PRE(node->up);
  cluster_say(cluster, "%u crashes", broker);
  for (size_t i = 0; i < node->write_count && i < writes_kept; i++) {
    struct cluster_write *write = &node->writes[(node->write_first + i) % CLUSTER_WRITES_MAX];
    if (!write->install) write_to_disk(cluster, node, write);
    else break;
  }
  raft_deinit(&node->raft);
  node->up = false;
  node->deadline_ns = NEVER;
}

void cluster_restart(struct cluster *cluster, broker_id broker) {
  PRE(!cluster->nodes[broker].up && cluster->nodes[broker].exists);
  cluster_say(cluster, "%u starts", broker);
  start_node(cluster, &cluster->nodes[broker]);
}

static void make_node(struct cluster *cluster, broker_id broker) {
  struct cluster_node *node = &cluster->nodes[broker];
  node->exists = true;
  node->id = (struct replica_id){.broker = broker, .incarnation = {node->id.incarnation[0] + 1, broker}};
  node->disk = (struct cluster_log){.base_config = 1};
  node->disk_state = (struct hard_state){0};
  node->damage = (struct raft_damage){0};
}

void cluster_wipe(struct cluster *cluster, broker_id broker) {
  PRE(!cluster->nodes[broker].up);
  struct cluster_node *node = &cluster->nodes[broker];
  node->lost_id = node->id;
  node->lost_through = node->disk.last;
  cluster_say(cluster, "%u is wiped", broker);
  make_node(cluster, broker);
}

void cluster_damage(struct cluster *cluster, broker_id broker, entry_index from) {
  struct cluster_node *node = &cluster->nodes[broker];
  PRE(!node->up);
  if (from <= node->disk.base || from > node->disk.last) return;
  cluster_say(cluster, "%u has lost its entries from %lu on to rot", broker, from);
  node->damage = (struct raft_damage){.damaged = true, .through = node->disk.last, .term = node->disk_state.term};
  node->lost_id = node->id;
  node->lost_through = node->disk.last;
  node->disk.last = from - 1;
}

/* Its rights are stored with the loss. */
void cluster_hole(struct cluster *cluster, broker_id broker) {
  struct cluster_node *node = &cluster->nodes[broker];
  PRE(node->up);
  node->lost_id = node->id;
  node->lost_through = node->disk.last;
  cluster_step(cluster, node, &(struct raft_event){.kind = RAFT_HOLED}, NULL, NULL);
  node->damage = node->raft.damage;
}

void cluster_forget(struct cluster *cluster, broker_id broker, entry_index from) {
  struct cluster_node *node = &cluster->nodes[broker];
  if (from <= node->disk.base || from > node->disk.last) return;
  cluster_damage(cluster, broker, from);
  cluster_say(cluster, "%u has forgotten what it promised", broker);
  node->damage.through = UINT64_MAX;
  node->disk_state.term = cluster_entry_at(&node->disk, node->disk.last).term;
  node->disk_state.vote = 0;
}

void cluster_gather(struct cluster *cluster, uint64_t gather_ns) {
  cluster->gather_ns = gather_ns;
  for (broker_id broker = 1; broker <= CLUSTER_NODES_MAX; broker++) cluster->nodes[broker].raft.timing.gather_ns = gather_ns;
}

struct cluster *cluster_new(uint64_t seed, unsigned nodes, unsigned voters, unsigned election_ms) {
  struct cluster *cluster = NEW(struct cluster);
  PRE(nodes <= CLUSTER_NODES_MAX && voters <= nodes);
  cluster->chance.state = seed;
  cluster->packets = memory_new_array(CLUSTER_PACKETS_MAX, sizeof *cluster->packets);
  cluster->election_ns = election_ms * (uint64_t)MS;
  cluster->heartbeat_ns = cluster->election_ns / 10;
  cluster->delay_least_ns = MS;
  cluster->disk_least_ns = MS;
  cluster->entries_max = CLUSTER_PACKET_ENTRIES_MAX;
  cluster->config_count = 1;
  cluster->configs[0].phase = RAFT_STABLE;
  for (broker_id broker = 1; broker <= nodes; broker++) {
    struct cluster_node *node = &cluster->nodes[broker];
    node->writes = memory_new_array(CLUSTER_WRITES_MAX, sizeof *node->writes);
    node->held = memory_new_array(CLUSTER_HELD_MAX, sizeof *node->held);
    make_node(cluster, broker);
    if (broker <= voters) raft_config_add(&cluster->configs[0], &node->id, RAFT_VOTER, RAFT_VOTER);
  }
  for (broker_id broker = 1; broker <= nodes; broker++) start_node(cluster, &cluster->nodes[broker]);
  return cluster;
}

void cluster_free(struct cluster *cluster) {
  for (broker_id broker = 1; broker <= CLUSTER_NODES_MAX; broker++) {
    struct cluster_node *node = &cluster->nodes[broker];
    if (node->up) raft_deinit(&node->raft);
    memory_free(node->writes);
    memory_free(node->held);
  }
  memory_free(cluster->packets);
  memory_free(cluster);
}

/* ---- Time ---- */

static uint64_t write_due(const struct cluster_node *node) {
  bool waits = node->up && node->write_count > 0 && !node->stuck;
  return waits ? node->writes[node->write_first].done_ns : NEVER;
}

static void happen(struct cluster *cluster, struct cluster_node *node, uint64_t now) {
  if (write_due(node) <= now) {
    write_done(cluster, node);
  } else if (node->deadline_ns <= now) {
    struct raft_event event = {.kind = RAFT_TIMER};
    cluster_step(cluster, node, &event, NULL, NULL);
  } else {
    node->heartbeat_ns = now + cluster->heartbeat_ns;
    cluster_heartbeats(cluster, node);
  }
}

bool cluster_next(struct cluster *cluster, uint64_t until_ns) {
  uint64_t due = cluster_next_network_ns(cluster);
  struct cluster_node *next = NULL;
  for (broker_id broker = 1; broker <= CLUSTER_NODES_MAX; broker++) {
    struct cluster_node *node = &cluster->nodes[broker];
    if (!node->up || node->paused) continue;
    uint64_t mine = write_due(node);
    if (node->deadline_ns < mine) mine = node->deadline_ns;
    if (node->heartbeat_ns < mine) mine = node->heartbeat_ns;
    if (mine >= due) continue;
    due = mine;
    next = node;
  }
  if (due > until_ns || cluster->violation[0] != '\0') {
    cluster->now_ns = until_ns;
    return false;
  }
  if (due > cluster->now_ns) cluster->now_ns = due;
  if (next == NULL) return cluster_deliver_one(cluster);
  happen(cluster, next, cluster->now_ns);
  return true;
}

void cluster_run(struct cluster *cluster, uint64_t span_ns) {
  uint64_t until = cluster->now_ns + span_ns;
  while (cluster_next(cluster, until)) continue;
}
