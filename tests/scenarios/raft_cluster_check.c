/* What must hold of the whole cluster, looked at where it could first be broken. The names are those of docs/INVARIANTS.md. */
#include "base/check.h"
#include "tests/scenarios/raft_cluster.h"

/* Log matching: an index and a term name one entry, and with its chain link everything before it. */
void cluster_check_append(struct cluster *cluster, const struct cluster_log *log, entry_index index) {
  struct cluster_entry entry = cluster_entry_at(log, index);
  for (size_t i = 0; i < CLUSTER_FORKS_MAX; i++) {
    struct cluster_fork *fork = &cluster->forks[index][i];
    if (fork->term == 0) *fork = (struct cluster_fork){.term = entry.term, .chain = entry.chain};
    if (fork->term != entry.term) continue;
    if (fork->chain != entry.chain) cluster_fail(cluster, "log matching: two entries %lu of term %lu", index, entry.term);
    return;
  }
}

/* Counted here by hand, so that a mistake of the protocol's own arithmetic shows. */
static bool durable_on_majority(const struct cluster *cluster, const struct raft_config *config, entry_index index, bool then) {
  unsigned voters = 0;
  unsigned have = 0;
  for (size_t i = 0; i < config->count; i++) {
    const struct raft_member *member = &config->members[i];
    if ((then ? member->then : member->now) != RAFT_VOTER) continue;
    voters++;
    const struct cluster_node *node = &cluster->nodes[member->id.broker];
    if (replica_id_equal(&node->lost_id, &member->id) && index <= node->lost_through) { /* it had it when it said so */
      have++;
      continue;
    }
    bool same = replica_id_equal(&node->id, &member->id);
    bool long_enough = index <= node->disk.last;
    if (!same || !long_enough) continue;
    have += index <= node->disk.base || cluster_entry_at(&node->disk, index).chain == cluster->committed[index];
  }
  return 2 * have > voters;
}

/* R6: an entry is on the disks of a majority of the voters in force when anybody first calls it committed. */
static void check_justified(struct cluster *cluster, const struct cluster_node *node, entry_index index) {
  const struct raft_config *config = &node->config;
  bool now = durable_on_majority(cluster, config, index, false);
  bool then = config->phase != RAFT_JOINT || durable_on_majority(cluster, config, index, true);
  if (!now || !then) cluster_fail(cluster, "R6 durable-counts: entry %lu is committed and not on a majority's disks", index);
}

void cluster_check_commit(struct cluster *cluster, const struct cluster_node *node, entry_index index) {
  struct cluster_entry entry = cluster_entry_at(&node->log, index);
  if (index <= cluster->committed_last) {
    if (cluster->committed[index] != entry.chain) {
      cluster_fail(cluster, "state machine safety: node %u applies another entry %lu", node->id.broker, index);
    } else if (cluster->states[index] != node->state) {
      cluster_fail(cluster, "state machine safety: node %u has another state at %lu", node->id.broker, index);
    }
    return;
  }
  CHECK(index == cluster->committed_last + 1);
  cluster->committed[index] = entry.chain;
  cluster->committed_in[index] = raft_term(&node->raft);
  cluster->states[index] = node->state;
  cluster->committed_last = index;
  check_justified(cluster, node, index);
}

/* R4 and leader completeness. */
void cluster_check_leader(struct cluster *cluster, const struct cluster_node *node) {
  entry_term term = raft_term(&node->raft);
  CHECK(term < CLUSTER_TERMS_MAX);
  cluster->leader_changes++;
  broker_id earlier = cluster->leaders[term];
  if (raft_config_alone(&node->raft.config, &node->id)) return; /* nobody hears of it: it may lead a term again after a crash */
  if (earlier != 0) cluster_fail(cluster, "R4 one-leader: %u and %u in term %lu", earlier, node->id.broker, term);
  cluster->leaders[term] = node->id.broker;
  for (entry_index i = node->log.base + 1; i <= cluster->committed_last; i++) {
    bool has_it = i <= node->log.last && node->log.entries[i].chain == cluster->committed[i];
    if (has_it || cluster->committed_in[i] >= term) continue; /* one may learn late that it won an old term */
    cluster_fail(cluster, "leader completeness: %u leads term %lu without entry %lu", node->id.broker, term, i);
    return;
  }
}

/* R9: a read sees everything that anybody had committed when it came. */
void cluster_check_reads(struct cluster *cluster, struct cluster_node *node, const struct raft_effects *effects) {
  if (effects->read_ticket != 0) {
    CHECK(node->read_count > 0);
    node->reads[node->read_count - 1].ticket = effects->read_ticket;
  }
  size_t kept = 0;
  for (size_t i = 0; i < node->read_count; i++) {
    const struct cluster_read *read = &node->reads[i];
    if (effects->reads_failed && read->ticket != UINT64_MAX) continue;
    if (effects->reads_done < read->ticket) {
      node->reads[kept++] = *read;
      continue;
    }
    cluster->reads_done++;
    if (effects->read_index < read->required) {
      cluster_fail(cluster, "R9 reads-asked: node %u reads at %lu, committed was %lu", node->id.broker, effects->read_index,
                   read->required);
    }
  }
  node->read_count = kept;
}
