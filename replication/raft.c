#include "replication/raft.h"

#include "base/check.h"

void raft_init(struct raft *raft, const struct raft_start *start) {
  PRE(start->self != 0);
  *raft = (struct raft){
      .self = start->self,
      .role = RAFT_FOLLOWER,
      .hard_state = start->hard_state,
      .last_index = start->last_index,
      .persisted_index = start->last_index,
  };
  /* The recovered term is the greater of the vote's and the entries': a vote of an older term is void. */
  if (raft->hard_state.term < start->last_term) {
    raft->hard_state.term = start->last_term;
    raft->hard_state.vote = 0;
  }
  /* Sole voter: what is durable here is on a quorum, and no other leader can ever have existed. */
  raft->hard_state.commit = start->last_index;
  raft_check_invariants(raft);
}

/* Section 3.4, for a sole voter: the vote, the no-op and what is proposed ride in one write, so they are durable together or not at
 * all, and nobody hears of the term before. */
static void become_leader(struct raft *raft, struct raft_effects *effects) {
  raft->hard_state.term++;
  raft->hard_state.vote = raft->self;
  raft->role = RAFT_LEADER;
  raft->term_start = ++raft->last_index;

  effects->save_hard_state = true;
  effects->append_noop = true;
  effects->noop_index = raft->term_start;
  effects->role_changed = true;
}

static void propose(struct raft *raft, struct raft_effects *effects) {
  if (raft->stopped) {
    effects->status = STATUS_FENCED;
    return;
  }
  if (raft->role != RAFT_LEADER) become_leader(raft, effects);
  effects->append_proposal = true;
  effects->proposal_index = ++raft->last_index;
}

/* Section 3.6.2: an entry of an earlier term is committed only by one of this term behind it. */
static void persisted(struct raft *raft, const struct raft_event *event, struct raft_effects *effects) {
  PRE(event->index <= raft->last_index);
  if (event->index > raft->persisted_index) raft->persisted_index = event->index;

  bool own_term = raft->role == RAFT_LEADER && raft->persisted_index >= raft->term_start;
  if (own_term && raft->persisted_index > raft->hard_state.commit) {
    raft->hard_state.commit = raft->persisted_index;
    effects->commit_advanced = true;
  }
}

static void disk_failed(struct raft *raft, struct raft_effects *effects) {
  raft->stopped = true;
  if (raft->role != RAFT_LEADER) return;
  raft->role = RAFT_FOLLOWER;
  raft->term_start = 0;
  effects->role_changed = true;
}

struct raft_effects raft_step(struct raft *raft, const struct raft_event *event) {
  struct raft_effects effects = {.status = STATUS_OK};
  switch (event->kind) {
    case RAFT_PROPOSE:
      propose(raft, &effects);
      break;
    case RAFT_PERSISTED:
      if (!raft->stopped) persisted(raft, event, &effects);
      break;
    case RAFT_DISK_FAILED:
      disk_failed(raft, &effects);
      break;
  }
  effects.hard_state = raft->hard_state;
  effects.term = raft->hard_state.term;
  effects.commit = raft->hard_state.commit;
  effects.role = raft->role;
  raft_check_invariants(raft);
  return effects;
}

void raft_check_invariants(const struct raft *raft) {
  CHECK(raft->persisted_index <= raft->last_index);
  CHECK(raft->hard_state.commit <= raft->persisted_index);
  CHECK(IMPLIES(raft->role == RAFT_LEADER, raft->hard_state.vote == raft->self));
  CHECK(IMPLIES(raft->role == RAFT_LEADER, raft->term_start > 0 && raft->term_start <= raft->last_index));
  CHECK(IMPLIES(raft->stopped, raft->role == RAFT_FOLLOWER));
}
