/* Handing leadership over (section 3.10), offering it to one that can take it at once, and giving it up. */
#include "replication/raft_internal.h"

bool raft_transferring(const struct raft *raft) { return raft->leadership != NULL && raft->leadership->transfer_to.broker != 0; }

/* Could it lead, as far as is known here? BEGUN: yes. */
static enum raft_offer judge(const struct raft *raft, size_t position) {
  const struct raft_member *member = &raft->config.members[position];
  const struct progress *progress = &raft->leadership->followers[position];
  bool votes = raft_config_votes(&raft->config, &member->id) && member->then == RAFT_VOTER;
  if (!votes || replica_id_equal(&member->id, &raft->self)) return RAFT_OFFER_STRANGER;
  if (!raft_reachable(raft, position)) return RAFT_OFFER_UNREACHABLE; /* before its wish, which may be an old one */
  if (progress->reluctant) return RAFT_OFFER_RELUCTANT;
  bool sound = !progress->suspect && !progress->reverted && !progress->unproven;
  return sound ? RAFT_OFFER_BEGUN : RAFT_OFFER_UNSOUND;
}

static bool eligible(const struct raft *raft, size_t position) { return judge(raft, position) == RAFT_OFFER_BEGUN; }

/* The one that has most, or RAFT_NO_POSITION. */
static size_t best_placed(const struct raft *raft) {
  size_t best = RAFT_NO_POSITION;
  for (size_t i = 0; i < raft->leadership->count; i++) {
    if (!eligible(raft, i)) continue;
    if (best == RAFT_NO_POSITION || raft->leadership->followers[i].match > raft->leadership->followers[best].match) best = i;
  }
  return best;
}

/* From now on nothing is proposed, so the target can reach the end of the log. */
static void begin_transfer(struct raft *raft, size_t position, uint64_t patience_ns) {
  struct raft_leadership *leadership = raft->leadership;
  leadership->transfer_to = raft->config.members[position].id;
  leadership->transfer_deadline_ns = raft->now_ns + patience_ns;
  leadership->transfer_wished = false;
  leadership->timeout_now_sent = false;
}

void raft_transfer(struct raft *raft, const struct replica_id *to) {
  struct raft_effects *effects = raft->effects;
  if (raft->role != RAFT_LEADER) {
    effects->status = STATUS_NOT_LEADER;
    return;
  }
  size_t position = to->broker == 0 ? best_placed(raft) : raft_config_find(&raft->config, to);
  if (position == RAFT_NO_POSITION || !eligible(raft, position)) {
    effects->status = STATUS_INVALID;
    return;
  }
  begin_transfer(raft, position, raft->timing.election_ns);
}

/* ---- Offers ---- */

void raft_note_end(struct raft *raft) {
  raft->leadership->ended[1] = raft->leadership->ended[0];
  raft->leadership->ended[0] = raft->trail.last_index;
}

/* Who is away while a group goes quiet after each append comes back to a log that is far from where it ended at the last tick. */
void raft_note_rest(struct raft *raft) { raft->leadership->ended[0] = raft->leadership->ended[1] = raft->trail.last_index; }

/* It has what the log had a heartbeat ago, or two: in about so much time, and mostly in far less, it has what the log has now. */
static bool in_step(const struct raft *raft, size_t position) {
  const struct progress *progress = &raft->leadership->followers[position];
  return progress->state == PROGRESS_PIPELINE && progress->match >= raft->leadership->ended[1];
}

static enum raft_offer judge_offer(const struct raft *raft, size_t position) {
  if (position == RAFT_NO_POSITION) return RAFT_OFFER_STRANGER;
  enum raft_offer offer = judge(raft, position);
  if (offer != RAFT_OFFER_BEGUN) return offer;
  if (raft_busy(raft)) return RAFT_OFFER_BUSY;
  return in_step(raft, position) ? RAFT_OFFER_BEGUN : RAFT_OFFER_BEHIND;
}

/* Nobody has to lead elsewhere: where it does not take what is offered, half of the time that others are given is enough to find out. */
void raft_offer(struct raft *raft, const struct raft_event *event) {
  size_t position = raft_config_find(&raft->config, &event->peer);
  if (raft->role != RAFT_LEADER) return; /* NOT_LEADER, as it is at first */
  raft->effects->offer = judge_offer(raft, position);
  if (raft->effects->offer != RAFT_OFFER_BEGUN || event->tries) return;
  begin_transfer(raft, position, raft->timing.election_ns / 2);
  raft->leadership->transfer_wished = event->wished;
}

/* ---- A leader that had better not lead ---- */

/* Somebody who waits for entries would keep proposals waiting for nothing. */
static size_t successor(const struct raft *raft) {
  size_t best = best_placed(raft);
  bool whole = best != RAFT_NO_POSITION && raft->leadership->followers[best].match >= raft->hard_state.commit;
  return whole ? best : RAFT_NO_POSITION;
}

bool raft_may_leave(const struct raft *raft) { return successor(raft) != RAFT_NO_POSITION; }

void raft_leave(struct raft *raft) {
  if (!raft->reluctant || raft_transferring(raft) || raft->now_ns < raft->leadership->keep_until_ns) return;
  size_t position = successor(raft);
  if (position == RAFT_NO_POSITION) return;
  REACHED(reluctant_leader_hands_over);
  begin_transfer(raft, position, raft->timing.election_ns);
}

/* ---- Under way ---- */

static void stop_transfer(struct raft *raft) { raft->leadership->transfer_to = (struct replica_id){0}; }

void raft_advance_transfer(struct raft *raft) {
  struct raft_leadership *leadership = raft->leadership;
  if (!raft_transferring(raft) || leadership->timeout_now_sent) return;
  size_t position = raft_config_find(&raft->config, &leadership->transfer_to);
  if (position == RAFT_NO_POSITION) {
    stop_transfer(raft);
    return;
  }
  if (leadership->followers[position].match != raft->trail.last_index) return;
  struct raft_message message = raft_message_to(raft, RAFT_TIMEOUT_NOW, &leadership->transfer_to);
  message.summons.wished = leadership->transfer_wished;
  raft_send(raft, &message);
  leadership->timeout_now_sent = true;
}

void raft_transfer_timer(struct raft *raft) {
  if (!raft_transferring(raft)) return;
  raft->leadership->timeout_now_sent = false; /* it may have been lost */
  if (raft->now_ns < raft->leadership->transfer_deadline_ns) return;
  stop_transfer(raft);
  raft->leadership->keep_until_ns = raft->now_ns + raft->timing.election_ns;
}

void raft_withdraw_transfer(struct raft *raft, const struct replica_id *from) {
  if (raft_transferring(raft) && replica_id_equal(&raft->leadership->transfer_to, from)) stop_transfer(raft);
}

void raft_on_timeout_now(struct raft *raft, const struct raft_message *message) {
  bool from_leader = message->term == raft->hard_state.term && replica_id_equal(&message->from, &raft->leader);
  if (!from_leader || raft->role != RAFT_FOLLOWER || !raft_can_campaign(raft)) return;
  if (raft->reluctant) { /* the leader hears of that from the host, if it has not yet */
    REACHED(leadership_not_taken);
    return;
  }
  REACHED(leadership_handed_over);
  raft_campaign(raft, true);
  if (message->summons.wished) raft->wished_term = raft->hard_state.term;
}

/* Says so to everybody, and asks the best placed to campaign: nobody has to wait for a timeout. */
void raft_resign(struct raft *raft) {
  bool known_outside = raft->durable.term == raft->hard_state.term;
  size_t best = best_placed(raft);
  for (size_t i = 0; i < raft->leadership->count && known_outside; i++) {
    const struct replica_id *id = &raft->config.members[i].id;
    if (replica_id_equal(id, &raft->self)) continue;
    bool heir = i == best && raft->leadership->followers[i].match >= raft->hard_state.commit;
    struct raft_message message = raft_message_to(raft, heir ? RAFT_TIMEOUT_NOW : RAFT_RESIGN, id);
    raft_send(raft, &message);
  }
  raft_become_follower(raft, raft->hard_state.term, NULL);
}
