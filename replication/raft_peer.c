/* What the host tells of other brokers: who leads, who is alive, whose connection was lost. */
#include "replication/raft_internal.h"

/* R4: in one term there is one leader. Whoever says otherwise is not believed. Beats name a broker: which of its placements leads, the
 * configuration of this replica may not know yet. */
bool raft_second_leader(const struct raft *raft, const struct replica_id *from, entry_term term) {
  if (term != raft->hard_state.term) return false;
  if (raft->role == RAFT_LEADER) return true;
  return raft->leader.broker != 0 && !replica_same_directory(&raft->leader, from);
}

/* An old leader learns from the answer that there is a newer term. */
void raft_refuse_leader(struct raft *raft, const struct raft_message *request) {
  struct raft_message answer = raft_append_answer_to(raft, request, RAFT_OUTDATED);
  struct raft_mark needs = raft_needs_term(raft);
  raft_send_durable(raft, &answer, &needs);
}

void raft_leader_heard(struct raft *raft, const struct replica_id *peer, entry_term term) {
  if (term < raft->hard_state.term) {
    struct raft_message request = {.kind = RAFT_APPEND, .from = *peer, .term = term};
    raft_refuse_leader(raft, &request);
    return;
  }
  if (raft_second_leader(raft, peer, term)) {
    raft->effects->status = STATUS_CORRUPT;
    return;
  }
  raft_become_follower(raft, term, peer);
  raft->vouched = true;
  raft->contact_ns = raft->now_ns;
  raft->election_deadline_ns = RAFT_NEVER;
}

void raft_peer_changed(struct raft *raft, enum raft_event_kind kind, const struct replica_id *peer) {
  bool follows = raft->role != RAFT_LEADER && raft->leader.broker != 0 && replica_id_equal(peer, &raft->leader);
  if (kind == RAFT_PEER_DOWN && follows) raft_lose_leader(raft);
  if (raft->role != RAFT_LEADER) return;
  size_t position = raft_config_find(&raft->config, peer);
  if (position == RAFT_NO_POSITION) return;
  struct progress *progress = &raft->leadership->followers[position];
  switch (kind) {
    case RAFT_PEER_UP:
      if (progress->heard_ns == 0) progress_probe(progress, 0);
      progress->alive = true;
      progress->heard_ns = raft->now_ns;
      break;
    case RAFT_PEER_DOWN:
      raft_lose_follower(progress);
      raft_withdraw_transfer(raft, peer);
      raft_check_quorum(raft);
      break;
    case RAFT_PEER_RESET: progress_probe(progress, 0); break;
    default: /* RAFT_CATCH_UP_FAILED: again at the next tick */
      if (progress->state != PROGRESS_CATCH_UP) break;
      progress_probe(progress, 0);
      progress->waiting = true;
      break;
  }
}

/* Whoever waits for a leader already leaves the others so much time from now on. */
static void become_reluctant(struct raft *raft) {
  if (raft->reluctant) return;
  raft->reluctant = true;
  if (raft->role != RAFT_LEADER && raft->election_deadline_ns != RAFT_NEVER)
    raft->election_deadline_ns += raft->timing.election_ns;
}

void raft_wish_changed(struct raft *raft, const struct replica_id *peer, bool reluctant) {
  if (replica_id_equal(peer, &raft->self)) {
    if (reluctant) become_reluctant(raft);
    else raft->reluctant = false;
    return;
  }
  if (raft->role != RAFT_LEADER) return;
  size_t position = raft_config_find(&raft->config, peer);
  if (position == RAFT_NO_POSITION) return;
  raft->leadership->followers[position].reluctant = reluctant;
  if (reluctant) raft_withdraw_transfer(raft, peer);
}
