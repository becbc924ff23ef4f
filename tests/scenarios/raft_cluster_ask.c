/* What clients and operators do to the pretended cluster, and what can be asked of it as a whole. */
#include "base/check.h"
#include "tests/scenarios/raft_cluster.h"

/* ---- Asking ---- */

static enum status ask(struct cluster *cluster, broker_id broker, struct raft_event *event) {
  enum status status = STATUS_LOADING;
  cluster_step(cluster, &cluster->nodes[broker], event, NULL, &status);
  return status;
}

enum status cluster_propose(struct cluster *cluster, broker_id broker, uint32_t count) {
  if (cluster->nodes[broker].log.last + 100 >= CLUSTER_LOG_MAX) return STATUS_BUSY;
  return ask(cluster, broker, &(struct raft_event){.kind = RAFT_PROPOSE, .count = count});
}

enum status cluster_read(struct cluster *cluster, broker_id broker) {
  struct cluster_node *node = &cluster->nodes[broker];
  if (node->read_count == CLUSTER_READS_MAX) return STATUS_BUSY;
  node->reads[node->read_count++] = (struct cluster_read){.ticket = UINT64_MAX, .required = cluster->committed_last};
  enum status status = ask(cluster, broker, &(struct raft_event){.kind = RAFT_READ});
  if (status == STATUS_OK) return status;
  if (node->read_count > 0) node->read_count--;
  return status;
}

enum status cluster_transfer(struct cluster *cluster, broker_id broker, broker_id to) {
  struct raft_event event = {.kind = RAFT_TRANSFER};
  if (to != 0) event.peer = cluster->nodes[to].id;
  return ask(cluster, broker, &event);
}

enum status cluster_offer(struct cluster *cluster, broker_id broker, broker_id to, bool wished) {
  return ask(cluster, broker, &(struct raft_event){.kind = RAFT_OFFER, .peer = cluster->nodes[to].id, .wished = wished});
}

enum status cluster_change(struct cluster *cluster, broker_id broker, unsigned voters, unsigned learners) {
  struct raft_config target = {.phase = RAFT_STABLE};
  for (broker_id member = 1; member <= CLUSTER_NODES_MAX; member++) {
    enum raft_rank rank = (voters >> member) & 1 ? RAFT_VOTER : (learners >> member) & 1 ? RAFT_LEARNER : RAFT_NOBODY;
    if (rank != RAFT_NOBODY) raft_config_add(&target, &cluster->nodes[member].id, rank, rank);
  }
  return ask(cluster, broker, &(struct raft_event){.kind = RAFT_CHANGE_MEMBERS, .config = &target});
}

void cluster_campaign(struct cluster *cluster, broker_id broker) {
  (void)ask(cluster, broker, &(struct raft_event){.kind = RAFT_CAMPAIGN});
}

void cluster_wish(struct cluster *cluster, broker_id broker, bool reluctant) {
  struct cluster_node *node = &cluster->nodes[broker];
  struct raft_event event = {.kind = reluctant ? RAFT_RELUCTANT : RAFT_WILLING, .peer = node->id};
  node->reluctant = reluctant;
  (void)ask(cluster, broker, &event);
}

void cluster_disk_fails(struct cluster *cluster, broker_id broker) {
  cluster->nodes[broker].stuck = true;
  (void)ask(cluster, broker, &(struct raft_event){.kind = RAFT_DISK_FAILED});
}

void cluster_compact(struct cluster *cluster, broker_id broker, entry_index index) {
  struct cluster_node *node = &cluster->nodes[broker];
  if (!node->up || index > node->applied || index <= node->log.base || index > node->disk.last || index <= node->disk.base)
    return;
  if (cluster_entry_at(&node->disk, index).chain != cluster_entry_at(&node->log, index).chain) return;
  struct cluster_snapshot snapshot = cluster_snapshot_of(cluster, node, index);
  entry_index last = node->log.last;
  entry_index disk_last = node->disk.last;
  cluster_install(&node->log, &snapshot);
  cluster_install(&node->disk, &snapshot);
  node->log.last = last;
  node->disk.last = disk_last;
  if (node->disk_state.commit < index) node->disk_state.commit = index;
  (void)ask(cluster, broker, &(struct raft_event){.kind = RAFT_COMPACTED, .index = index});
}

void cluster_resume(struct cluster *cluster, broker_id broker, bool with_a_read) {
  cluster->nodes[broker].paused = false;
  cluster_say(cluster, "%u goes on", broker);
  if (with_a_read) (void)cluster_read(cluster, broker);
}

/* ---- Looking ---- */

broker_id cluster_leader(const struct cluster *cluster) {
  broker_id leader = 0;
  entry_term term = 0;
  for (broker_id broker = 1; broker <= CLUSTER_NODES_MAX; broker++) {
    const struct cluster_node *node = &cluster->nodes[broker];
    if (!node->up || node->raft.role != RAFT_LEADER || raft_term(&node->raft) < term) continue;
    term = raft_term(&node->raft);
    leader = broker;
  }
  return leader;
}

static const char *member_unsettled(const struct cluster *cluster, const struct cluster_node *leader, size_t position) {
  const struct replica_id *id = &leader->raft.config.members[position].id;
  const struct cluster_node *node = &cluster->nodes[id->broker];
  if (!node->up || node->raft.stopped || !replica_id_equal(id, &node->id)) return NULL;
  if (node->applied != leader->applied) return "a member has not applied everything";
  if (node->state != leader->state) return "a member's state differs";
  if (node->deadline_ns != RAFT_NEVER) return "a member waits for something";
  const struct progress *progress = raft_progress(&leader->raft, position);
  if (node != leader && progress->window_bytes != 0) return "R12 windows: something is still in a window";
  return NULL;
}

const char *cluster_unsettled(const struct cluster *cluster) {
  broker_id broker = cluster_leader(cluster);
  if (broker == 0) return "no leader";
  const struct cluster_node *leader = &cluster->nodes[broker];
  if (leader->raft.config.phase != RAFT_STABLE) return "a change of members is under way";
  if (!raft_quiet(&leader->raft)) return "the leader is not quiet";
  if (raft_commit(&leader->raft) != raft_last_index(&leader->raft)) return "not everything is committed";
  for (size_t i = 0; i < leader->raft.config.count; i++) {
    const char *what = member_unsettled(cluster, leader, i);
    if (what != NULL) return what;
  }
  return NULL;
}
