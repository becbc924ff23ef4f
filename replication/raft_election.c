/* Elections: pre-vote and stickiness (sections 9.6 and 6.2), votes (3.4, 3.8), and the one timer of whoever does not lead. */
#include "replication/raft_internal.h"

/* ---- The timer ---- */

/* The pure core's own chance: a splitmix64 stream from the seed that it was started with. */
static uint64_t next_jitter(struct raft *raft) {
  uint64_t mixed = raft->jitter += 0x9e3779b97f4a7c15u;
  mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
  mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
  return mixed ^ (mixed >> 31);
}

/* Section 4.2.2: one that a configuration not yet committed removes may be the only one that has its entry, so it is still needed. */
static bool needed(const struct raft *raft) {
  bool removed_for_sure = raft->config_index <= raft->hard_state.commit;
  return raft_config_votes(&raft->config, &raft->self) ||
         (!removed_for_sure && raft_config_votes(&raft->previous_config, &raft->self));
}

/* Not one that may not campaign, nor one that leads whenever it is asked to (docs/decisions/0005). */
static bool waits_to_campaign(const struct raft *raft) {
  return !raft->stopped && !raft->damage.damaged && raft->install == NULL && !raft_alone(raft) && needed(raft);
}

/* Whoever does not wait to campaign has the timer only to forget a leader that it hears nothing of any more: it may be out of the group, and
 * nobody would tell it. */
void raft_arm_election(struct raft *raft, uint64_t least_ns) {
  bool waits = waits_to_campaign(raft), forgets = !raft->stopped && raft->leader.broker != 0 && !raft->vouched;
  uint64_t jitter = waits ? next_jitter(raft) % raft->timing.election_ns : 0;
  if (raft->reluctant) least_ns += raft->timing.election_ns; /* after all who are willing */
  raft->election_deadline_ns = waits || forgets ? raft->now_ns + least_ns + jitter : RAFT_NEVER;
}

void raft_hear_leader(struct raft *raft) {
  raft->contact_ns = raft->now_ns;
  if (!raft->vouched) raft_arm_election(raft, raft->timing.election_ns);
}

/* Nobody was heard for a timeout already, or the leader said so itself: only the jitter is left to wait. */
void raft_lose_leader(struct raft *raft) {
  raft->leader = (struct replica_id){0};
  raft->vouched = false;
  raft_arm_election(raft, 0);
}

/* Section 3.6.1: does a log that ends at (last_term, last_index) hold what one that ends at (term, index) may hold? */
static bool covers(entry_term last_term, entry_index last_index, entry_term term, entry_index index) {
  if (RAFT_MUTANT(VOTE_INDEX_ONLY)) return last_index >= index;
  if (last_term != term) return last_term > term;
  return last_index >= index;
}

/* R11: what this replica has lost it may have promised. Terms alone do not tell, so both bounds are compared like a log's end. */
static bool covers_losses(const struct raft *raft, entry_term last_term, entry_index last_index) {
  const struct raft_damage *damage = &raft->damage;
  if (RAFT_MUTANT(DAMAGED_VOTES)) return true;
  return damage->through != UINT64_MAX && covers(last_term, last_index, damage->term, damage->through);
}

bool raft_can_campaign(const struct raft *raft) {
  if (!covers_losses(raft, trail_last_term(&raft->trail), raft->trail.last_index)) return false;
  return !raft->stopped && !raft->damage.damaged && raft->install == NULL && trail_room(&raft->trail) &&
         !raft_disk_stalled(raft) && needed(raft);
}

void raft_election_timer(struct raft *raft) {
  if (raft->now_ns < raft->election_deadline_ns) return;
  if (!waits_to_campaign(raft)) raft_lose_leader(raft);
  else if (raft_can_campaign(raft)) raft_pre_campaign(raft);
  else raft_arm_election(raft, raft->timing.election_ns);
}

/* ---- Asking ---- */

static struct raft_vote_request request_of(const struct raft *raft, bool transfer) {
  return (struct raft_vote_request){
      .last_index = raft->trail.last_index, .last_term = trail_last_term(&raft->trail), .transfer = transfer};
}

static void count(struct raft *raft) {
  struct quorum quorum = raft_quorum(raft);
  enum quorum_vote vote = quorum_vote(&quorum, raft->granted, raft->refused);
  if (vote == QUORUM_LOST) raft->role = RAFT_FOLLOWER; /* until the timer, which runs */
  if (vote != QUORUM_WON) return;
  if (raft->role == RAFT_PRE_CANDIDATE) raft_campaign(raft, false);
  else raft_become_leader(raft);
}

void raft_pre_campaign(struct raft *raft) {
  raft->role = RAFT_PRE_CANDIDATE;
  raft->leader = (struct replica_id){0};
  raft->vouched = false;
  raft->ballot++;
  raft->granted = member_set_of(raft_self_position(raft));
  raft->refused = 0;
  raft_arm_election(raft, raft->timing.election_ns);
  for (size_t i = 0; i < raft->config.count; i++) {
    const struct replica_id *id = &raft->config.members[i].id;
    if (!raft_config_votes(&raft->config, id) || replica_id_equal(id, &raft->self)) continue;
    struct raft_message message = raft_message_to(raft, RAFT_PRE_VOTE, id);
    message.term = raft->hard_state.term + 1;
    message.sequence = raft->ballot;
    message.vote = request_of(raft, false);
    raft_send(raft, &message);
  }
  count(raft);
}

void raft_campaign(struct raft *raft, bool transfer) {
  raft->role = RAFT_CANDIDATE;
  raft->leader = (struct replica_id){0};
  raft->vouched = false;
  raft->hard_state.term++;
  raft->hard_state.vote = raft->self.broker;
  raft->voted_for = raft->self;
  raft_save_hard_state(raft);
  raft->ballot++;
  raft->granted = 0; /* the own vote counts when it is durable: R3 */
  raft->refused = 0;
  raft_arm_election(raft, raft->timing.election_ns);
  struct raft_mark needs = {.term = raft->hard_state.term, .vote = raft->self.broker};
  if (RAFT_MUTANT(SELF_VOTE_EARLY)) needs = (struct raft_mark){0};
  for (size_t i = 0; i < raft->config.count; i++) {
    const struct replica_id *id = &raft->config.members[i].id;
    if (!raft_config_votes(&raft->config, id) || replica_id_equal(id, &raft->self)) continue;
    struct raft_message message = raft_message_to(raft, RAFT_VOTE, id);
    message.sequence = raft->ballot;
    message.vote = request_of(raft, transfer);
    raft_send_durable(raft, &message, &needs);
  }
  if (RAFT_MUTANT(SELF_VOTE_EARLY)) {
    raft->granted = member_set_of(raft_self_position(raft));
    count(raft);
  }
}

void raft_count_own_vote(struct raft *raft) {
  bool durable = raft->durable.term == raft->hard_state.term && raft->durable.vote == raft->self.broker;
  if (raft->role != RAFT_CANDIDATE || !durable) return;
  size_t position = raft_self_position(raft);
  if ((raft->granted & member_set_of(position)) != 0) return;
  raft->granted |= member_set_of(position);
  count(raft);
}

void raft_on_vote_answer(struct raft *raft, const struct raft_message *message, size_t position) {
  bool pre_vote = message->kind == RAFT_PRE_VOTE_ANSWER;
  if (raft->role != (pre_vote ? RAFT_PRE_CANDIDATE : RAFT_CANDIDATE)) return;
  entry_term campaign = raft->hard_state.term + (pre_vote ? 1 : 0);
  if (message->sequence != raft->ballot || message->vote_answer.asked_term != campaign) return;
  if (message->vote_answer.granted) raft->granted |= member_set_of(position);
  else raft->refused |= member_set_of(position);
  count(raft);
}

/* ---- Being asked ---- */

/* Section 4.2.3: whoever hears a leader helps nobody to depose it. */
static bool follows_a_live_leader(const struct raft *raft) {
  if (RAFT_MUTANT(NO_STICKINESS)) return false;
  if (raft->role == RAFT_LEADER) return true;
  if (raft->leader.broker == 0) return false;
  return raft->vouched || raft->now_ns - raft->contact_ns < raft->timing.election_ns;
}

static bool up_to_date(const struct raft *raft, const struct raft_vote_request *candidate) {
  bool log = covers(candidate->last_term, candidate->last_index, trail_last_term(&raft->trail), raft->trail.last_index);
  return log && covers_losses(raft, candidate->last_term, candidate->last_index);
}

/* A vote binds to broker and incarnation. After a restart the incarnation is not known any more: then it is not given twice. */
static bool vote_free_for(const struct raft *raft, const struct replica_id *candidate) {
  if (RAFT_MUTANT(VOTE_FORGOTTEN)) return raft->hard_state.vote != raft->self.broker;
  return raft->hard_state.vote == 0 || replica_id_equal(&raft->voted_for, candidate);
}

static void answer_vote(struct raft *raft, const struct raft_message *request, bool granted) {
  bool pre_vote = request->kind == RAFT_PRE_VOTE;
  struct raft_message answer = raft_message_to(raft, pre_vote ? RAFT_PRE_VOTE_ANSWER : RAFT_VOTE_ANSWER, &request->from);
  answer.sequence = request->sequence;
  answer.vote_answer = (struct raft_vote_answer){.asked_term = request->term, .granted = granted};
  struct raft_mark needs = raft_needs_term(raft);
  if (granted && !pre_vote) needs.vote = raft->hard_state.vote;
  if (RAFT_MUTANT(VOTE_NOT_DURABLE)) needs = (struct raft_mark){0};
  raft_send_durable(raft, &answer, &needs);
}

/* Changes nothing here: no term, no vote, no timer. */
static void on_pre_vote(struct raft *raft, const struct raft_message *message) {
  bool current = up_to_date(raft, &message->vote);
  bool possible =
      message->term > raft->hard_state.term || (message->term == raft->hard_state.term && vote_free_for(raft, &message->from));
  if (follows_a_live_leader(raft)) REACHED(pre_vote_refused_for_a_live_leader);
  if (!current) REACHED(pre_vote_refused_for_an_old_log);
  answer_vote(raft, message, possible && !follows_a_live_leader(raft) && current);
}

void raft_on_vote_request(struct raft *raft, const struct raft_message *message) {
  if (message->kind == RAFT_PRE_VOTE) {
    on_pre_vote(raft, message);
    return;
  }
  bool sticky = !message->vote.transfer && follows_a_live_leader(raft);
  if (message->term < raft->hard_state.term || sticky) {
    answer_vote(raft, message, false);
    return;
  }
  if (message->term > raft->hard_state.term) raft_become_follower(raft, message->term, NULL);
  bool granted = vote_free_for(raft, &message->from) && up_to_date(raft, &message->vote);
  if (granted && raft->hard_state.vote != message->from.broker) {
    raft->hard_state.vote = message->from.broker;
    raft->voted_for = message->from;
    raft_save_hard_state(raft);
  }
  if (granted) raft_arm_election(raft, raft->timing.election_ns);
  else REACHED(vote_refused);
  answer_vote(raft, message, granted);
}
