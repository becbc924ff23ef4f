/* The leader's side of replication (sections 3.5, 3.6, 10.2): who is sent what, what is committed, when a leader is quiet and when it
 * has to give up. */
#include <string.h>

#include "base/memory.h"
#include "replication/raft_internal.h"

/* ---- Appending to the own log ---- */

void raft_be_patient(const struct raft *raft, struct raft_patience *patience) {
  *patience = (struct raft_patience){.since_ns = raft->now_ns};
}

void raft_append_own(struct raft *raft, enum raft_append_kind kind, uint32_t count) {
  struct raft_effects *effects = raft->effects;
  CHECK(effects->append_count < RAFT_APPENDS_MAX);
  if (raft->hard_state.commit == raft->trail.last_index) raft_be_patient(raft, &raft->leadership->commits);
  entry_index first = raft->trail.last_index + 1;
  trail_append(&raft->trail, first, first + count - 1, raft->hard_state.term);
  effects->appends[effects->append_count++] =
      (struct raft_appended){.kind = kind, .first = first, .count = count, .term = raft->hard_state.term};
  raft_disk_owes(raft);
}

void raft_become_leader(struct raft *raft) {
  size_t count = raft->config.count;
  struct raft_leadership *leadership = memory_new(sizeof *leadership + count * sizeof leadership->followers[0]);
  leadership->count = count;
  leadership->tick_ns = RAFT_NEVER;
  leadership->gather_ns = RAFT_NEVER;
  leadership->term_start = raft->trail.last_index + 1;
  for (size_t i = 0; i < count; i++) progress_init(&leadership->followers[i], leadership->term_start, 0, raft->now_ns);
  raft->role = RAFT_LEADER;
  raft->leader = raft->self;
  raft->vouched = false;
  raft->election_deadline_ns = RAFT_NEVER;
  raft->leadership = leadership;
  raft_append_own(raft, RAFT_APPEND_NOOP, 1);
  raft_note_rest(raft);
  raft_note_round_rest(raft);
}

/* ---- Committing ---- */

void raft_advance_commit(struct raft *raft, entry_index commit) {
  CHECK(commit > raft->hard_state.commit && commit <= raft->trail.last_index); /* R1 */
  raft->hard_state.commit = commit;
  raft->effects->commit_advanced = true;
  trail_limit(&raft->trail, commit);
  if (raft->role != RAFT_LEADER) return;
  raft_be_patient(raft, &raft->leadership->commits);
}

/* R2: an entry of an earlier term is committed only by one of this term behind it (section 3.6.2). R6: the own disk counts like others. */
void raft_try_commit(struct raft *raft) {
  const struct raft_leadership *leadership = raft->leadership;
  entry_index reached[QUORUM_MEMBERS_MAX] = {0};
  for (size_t i = 0; i < leadership->count; i++) {
    const struct progress *progress = &leadership->followers[i];
    bool counts = !progress->suspect && !progress->reverted && (!progress->unproven || RAFT_MUTANT(UNPROVEN_COUNTS));
    reached[i] = counts ? progress->match : 0;
  }
  size_t self = raft_self_position(raft);
  bool early = RAFT_MUTANT(COUNT_NOT_DURABLE);
  if (self != RAFT_NO_POSITION) reached[self] = early ? raft->trail.last_index : raft->durable.index;

  struct quorum quorum = raft_quorum(raft);
  entry_index index = quorum_index(&quorum, reached);
  bool own_term = index >= leadership->term_start || RAFT_MUTANT(COMMIT_OLD_TERM);
  if (own_term && index > raft->hard_state.commit) raft_advance_commit(raft, index);
}

/* ---- Sending ---- */

bool raft_reachable(const struct raft *raft, size_t position) {
  const struct progress *progress = &raft->leadership->followers[position];
  if (progress->alive) return true;
  return progress->heard_ns != 0 && raft->now_ns - progress->heard_ns < raft->timing.election_ns;
}

/* Nothing is under way to it any more. */
void raft_lose_follower(struct progress *progress) {
  progress_probe(progress, 0);
  progress->alive = false;
  progress->heard_ns = 0;
}

/* It has everything, knows that everything is committed, and has said so. */
static bool settled(const struct raft *raft, size_t position) {
  const struct progress *progress = &raft->leadership->followers[position];
  if (progress->suspect || progress->reverted || progress->state == PROGRESS_CATCH_UP) return true; /* the host's business */
  if (progress->unproven) return false;
  return progress->state == PROGRESS_PIPELINE && progress->match == raft->trail.last_index &&
         progress->commit == raft->hard_state.commit && progress->window_count == 0;
}

static void ask_for_append(struct raft *raft, size_t position, bool entries) {
  struct progress *progress = &raft->leadership->followers[position];
  entry_index prev = progress->next - 1;
  entry_term prev_term = 0;
  if (!trail_term(&raft->trail, prev, &prev_term)) {
    raft_offer_snapshot(raft, position);
    return;
  }
  entry_index behind = raft->trail.last_index - prev;
  uint32_t count = behind < RAFT_ENTRIES_MAX ? (uint32_t)behind : RAFT_ENTRIES_MAX;
  struct raft_message message = raft_message_to(raft, RAFT_APPEND, &raft->config.members[position].id);
  message.sequence = ++raft->leadership->sequence;
  progress_ask(progress, message.sequence, raft->now_ns);
  message.append = (struct raft_append){.prev_index = prev,
                                        .prev_term = prev_term,
                                        .commit = raft->hard_state.commit,
                                        .count = entries ? count : 0,
                                        .bytes_max = PROGRESS_MESSAGE_BYTES_MAX};
  progress->commit_sent = raft->hard_state.commit;
  raft_send(raft, &message);
}

/* They wait for the answer to what is under way, and for one another. */
static bool entries_wait(struct raft *raft, const struct progress *progress) {
  uint64_t until_ns = progress->asked_ns + raft->timing.gather_ns;
  if (raft->now_ns >= until_ns || !progress_gathers(progress, raft->trail.last_index)) return false;
  struct raft_leadership *leadership = raft->leadership;
  REACHED(entries_gather);
  if (until_ns < leadership->gather_ns) leadership->gather_ns = until_ns;
  return true;
}

static void replicate_to(struct raft *raft, size_t position) {
  struct progress *progress = &raft->leadership->followers[position];
  if (!raft_reachable(raft, position)) {
    if (progress->heard_ns != 0) raft_lose_follower(progress);
    return;
  }
  if (progress->state == PROGRESS_CATCH_UP || progress->gathering) return;
  bool behind = progress->next <= raft->trail.last_index && !entries_wait(raft, progress);
  bool owes_commit = !behind && progress->window_count == 0 && progress->commit_sent < raft->hard_state.commit;
  if (progress_open(progress) && (progress->state == PROGRESS_PROBE || behind || owes_commit)) {
    ask_for_append(raft, position, true);
  } else if (progress->nudge && !progress->suspect && !progress->reverted) {
    ask_for_append(raft, position, false);
  }
}

void raft_on_sent(struct raft *raft, const struct raft_sent *sent) {
  if (raft->role != RAFT_LEADER || sent->term != raft->hard_state.term) return;
  size_t position = raft_config_find(&raft->config, &sent->to);
  if (position == RAFT_NO_POSITION) return;
  struct progress *progress = &raft->leadership->followers[position];
  if (!progress->gathering || sent->sequence != progress->sequence) return; /* given up meanwhile */
  PRE(sent->last <= raft->trail.last_index);
  progress_sent(progress, sent->last, sent->bytes);
}

/* ---- Answers ---- */

static void rejected(struct raft *raft, size_t position, const struct raft_message *message) {
  struct progress *progress = &raft->leadership->followers[position];
  const struct raft_append_answer *answer = &message->append_answer;
  if (message->sequence <= progress->match_sequence) return; /* says nothing about now */
  if (answer->last_index < progress->match) {                /* it was asked after it had acknowledged more than it has */
    progress_probe(progress, 0);
    progress->reverted = true;
    raft->effects->reverted = true;
    raft->effects->reverted_peer = message->from;
    return;
  }
  if (progress->state == PROGRESS_CATCH_UP) return;
  if (progress->state == PROGRESS_PROBE && answer->rejected != progress->next - 1) return;
  progress_probe(progress, trail_find(&raft->trail, answer->hint_index, answer->hint_term) + 1);
}

/* What it had is no longer known: it begins again from nothing, with a snapshot, and counts when that is in place. */
static void damaged(struct raft *raft, size_t position) {
  struct progress *progress = &raft->leadership->followers[position];
  if (progress->suspect) return; /* under way */
  progress_forget(progress, raft->trail.last_index + 1);
  progress->suspect = true;
  raft_offer_snapshot(raft, position);
}

void raft_on_append_answer(struct raft *raft, const struct raft_message *message, size_t position) {
  struct progress *progress = &raft->leadership->followers[position];
  const struct raft_append_answer *answer = &message->append_answer;
  progress->heard_ns = raft->now_ns;
  if (message->sequence <= progress->forgotten_sequence && progress->forgotten_sequence != 0) return;
  switch (answer->verdict) {
    case RAFT_MATCHED:
    case RAFT_UNPROVEN:
      if (answer->match > raft->trail.last_index) {
        raft->effects->status = STATUS_CORRUPT;
        return;
      }
      if (progress->suspect && message->sequence != progress->sequence) return; /* from before it was damaged */
      progress->suspect = false;
      if (answer->commit > progress->commit) progress->commit = answer->commit;
      progress_acknowledged(progress, answer->match);
      raft_note_proof(raft, position, message);
      raft_try_commit(raft);
      break;
    case RAFT_REJECTED: rejected(raft, position, message); break;
    case RAFT_OUTDATED: break; /* an earlier leadership of this very replica was meant */
    case RAFT_DAMAGED: damaged(raft, position); break;
    case RAFT_DIVERGED: raft_diverged(raft, answer->match); break;
  }
}

/* ---- Time ---- */

/* Section 6.2: a leader that hears of no majority cannot know that it still leads. */
void raft_check_quorum(struct raft *raft) {
  member_set live = 0;
  for (size_t i = 0; i < raft->leadership->count; i++) {
    bool self = replica_id_equal(&raft->config.members[i].id, &raft->self);
    if (self || raft_reachable(raft, i)) live |= member_set_of(i);
  }
  struct quorum quorum = raft_quorum(raft);
  if (quorum_reached(&quorum, live)) return;
  REACHED(leader_without_a_quorum);
  raft_resign(raft);
}

static bool vouched_quorum(const struct raft *raft) {
  member_set live = 0;
  for (size_t i = 0; i < raft->leadership->count; i++) {
    bool self = replica_id_equal(&raft->config.members[i].id, &raft->self);
    if (self || raft->leadership->followers[i].alive) live |= member_set_of(i);
  }
  struct quorum quorum = raft_quorum(raft);
  return quorum_reached(&quorum, live);
}

/* Nobody else could lead: giving up would help nobody. */
static bool irreplaceable(const struct raft *raft) {
  struct quorum quorum = raft_quorum(raft);
  size_t self = raft_self_position(raft);
  return self != RAFT_NO_POSITION && quorum_reached(&quorum, member_set_of(self));
}

/* Two election timeouts until the connections are suspected; what is sent on new ones has to come back within most of another. */
static uint64_t patience_of(const struct raft *raft, const struct raft_patience *patience) {
  return patience->reopened ? raft->timing.election_ns / 4 * 3 : 2 * raft->timing.election_ns;
}

static bool out_of_patience(const struct raft *raft, const struct raft_patience *patience) {
  return raft->now_ns - patience->since_ns >= patience_of(raft, patience);
}

static void reopen(struct raft *raft, struct raft_patience *patience) {
  REACHED(stalled_leader_reconnects);
  *patience = (struct raft_patience){.since_ns = raft->now_ns, .reopened = true};
  raft->effects->reconnect = true;
  for (size_t i = 0; i < raft->leadership->count; i++) progress_probe(&raft->leadership->followers[i], 0);
}

/* An alive broker is not an alive group. First the connections are suspected, then this leader itself. True: it has resigned. */
static bool give_up_when_stalled(struct raft *raft) {
  struct raft_leadership *leadership = raft->leadership;
  if (irreplaceable(raft)) return false;
  bool commits = raft->hard_state.commit < raft->trail.last_index && out_of_patience(raft, &leadership->commits);
  bool reads = raft_reads_wait(raft) && out_of_patience(raft, &leadership->reads);
  bool in_vain = (commits && leadership->commits.reopened) || (reads && leadership->reads.reopened);
  if (raft_disk_stalled(raft) || in_vain) {
    REACHED(stalled_leader_resigns);
    raft_resign(raft);
    return true;
  }
  if (commits) reopen(raft, &leadership->commits);
  if (reads) reopen(raft, &leadership->reads);
  return false;
}

static void ask_again(struct raft *raft, size_t position) {
  struct progress *progress = &raft->leadership->followers[position];
  if (!raft_reachable(raft, position) || settled(raft, position)) return;
  if (progress->state == PROGRESS_PROBE) progress->waiting = false;
  if (progress->state == PROGRESS_PIPELINE && !progress->moved) progress->nudge = true;
  progress->moved = false;
}

void raft_leader_timer(struct raft *raft) {
  struct raft_leadership *leadership = raft->leadership;
  if (raft->now_ns < leadership->tick_ns) return;
  leadership->tick_ns = RAFT_NEVER;
  raft_check_quorum(raft);
  if (raft->role != RAFT_LEADER || give_up_when_stalled(raft)) return;
  raft_note_end(raft);
  raft_note_round(raft);
  raft_transfer_timer(raft);
  raft_retry_reads(raft);
  for (size_t i = 0; i < leadership->count; i++) {
    if (!replica_id_equal(&raft->config.members[i].id, &raft->self)) ask_again(raft, i);
  }
}

bool raft_quiet(const struct raft *raft) {
  if (raft->role != RAFT_LEADER || raft_alone(raft)) return true;
  if (raft->hard_state.commit != raft->trail.last_index || raft->disk_since_ns != RAFT_NEVER) return false;
  if (raft_reads_wait(raft) || raft_transferring(raft) || raft->config.phase == RAFT_JOINT) return false;
  if (raft->reluctant && raft_may_leave(raft)) return false;
  for (size_t i = 0; i < raft->leadership->count; i++) {
    if (replica_id_equal(&raft->config.members[i].id, &raft->self)) continue;
    if (raft_reachable(raft, i) && !settled(raft, i)) return false;
  }
  return vouched_quorum(raft);
}

/* ---- The end of each step ---- */

void raft_lead(struct raft *raft) {
  raft_advance_members(raft);
  if (raft->role != RAFT_LEADER) return;
  struct raft_leadership *leadership = raft->leadership;
  leadership->gather_ns = RAFT_NEVER;
  if (raft->durable.term == raft->hard_state.term) { /* the term may be known outside */
    raft_advance_reads(raft);
    raft_leave(raft);
    raft_advance_transfer(raft);
    raft_prove(raft);
    for (size_t i = 0; i < leadership->count; i++) {
      if (!replica_id_equal(&raft->config.members[i].id, &raft->self)) replicate_to(raft, i);
    }
  }
  if (raft_quiet(raft)) {
    leadership->tick_ns = RAFT_NEVER;
    raft_note_rest(raft);
    raft_note_round_rest(raft);
  } else if (leadership->tick_ns == RAFT_NEVER) {
    leadership->tick_ns = raft->now_ns + raft->timing.heartbeat_ns;
  }
}
