/* Beginning: what recovery knows becomes a follower. */
#include "base/memory.h"
#include "replication/raft_internal.h"

static void start_terms(struct raft *raft, const struct raft_start *start) {
  trail_init(&raft->trail, start->base_index, start->base_term);
  for (size_t i = 0; i < start->term_count; i++) {
    entry_index last = i + 1 < start->term_count ? start->terms[i + 1].first - 1 : start->last_index;
    trail_append(&raft->trail, start->terms[i].first, last, start->terms[i].term);
  }
  PRE(raft->trail.last_index == start->last_index);
}

static void start_config(struct raft *raft, const struct raft_start *start) {
  PRE(raft_config_valid(start->config));
  raft->config = *start->config;
  raft->config_index = start->config_index;
  bool earlier = start->previous_config != NULL;
  raft->previous_config = earlier ? *start->previous_config : *start->config;
  raft->previous_config_index = earlier ? start->previous_config_index : start->config_index;
  /* Nobody proposes a configuration before the one before is committed: raft_member.c. */
  if (earlier && raft->hard_state.commit < start->previous_config_index) raft->hard_state.commit = start->previous_config_index;
}

/* What was durable once and is not there now has been lost, and more may have been with it. */
static void start_damage(struct raft *raft, const struct raft_start *start) {
  raft->damage = start->damage;
  if (raft->hard_state.commit > start->last_index) {
    raft->damage.damaged = true;
    if (raft->damage.through < raft->hard_state.commit) raft->damage.through = raft->hard_state.commit;
    raft->hard_state.commit = start->last_index;
  }
  if (raft->damage.damaged && raft->damage.term == 0) raft->damage.term = raft->hard_state.term;
}

void raft_init(struct raft *raft, const struct raft_start *start) {
  PRE(start->self.broker != 0);
  *raft = (struct raft){
      .self = start->self,
      .timing = start->timing,
      .role = RAFT_FOLLOWER,
      .hard_state = start->hard_state,
      .jitter = start->seed,
      .disk_since_ns = RAFT_NEVER,
      .now_ns = start->now_ns,
  };
  start_terms(raft, start);
  start_config(raft, start);
  /* The recovered term is the greater of the vote's and the entries': a vote of an older term is void. */
  if (raft->hard_state.term < trail_last_term(&raft->trail)) {
    raft->hard_state.term = trail_last_term(&raft->trail);
    raft->hard_state.vote = 0;
  }
  start_damage(raft, start);
  raft->durable = raft_mark(raft);
  /* A sole member: what is durable here is on a quorum, and no other leader can ever have existed. */
  if (raft_alone(raft)) raft->hard_state.commit = start->last_index;
  PRE(start->base_index <= raft->hard_state.commit);
  raft_arm_election(raft, raft->timing.election_ns);
  raft_check_invariants(raft);
}

void raft_deinit(struct raft *raft) {
  trail_deinit(&raft->trail);
  memory_free(raft->install);
  memory_free(raft->leadership);
  raft->install = NULL;
  raft->leadership = NULL;
}
