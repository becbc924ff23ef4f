/* Linearizable reads (section 6.4): ReadIndex, by probes of their own so that no read waits behind an append or a disk.
 *
 * A ticket is the number of the attempt that will confirm it. An attempt counts only answers that name it; it begins after every read that
 * joined it has come, and one that is repeated gets a new number (R9). One is under way at a time; what comes meanwhile shares the next.
 */
#include "replication/raft_internal.h"

bool raft_reads_wait(const struct raft *raft) {
  const struct raft_leadership *leadership = raft->leadership;
  return leadership != NULL && leadership->reads_wanted > leadership->reads_done;
}

void raft_read(struct raft *raft) {
  struct raft_effects *effects = raft->effects;
  if (raft->damage.damaged) {
    effects->status = STATUS_FENCED;
  } else if (raft_alone(raft) && raft->hard_state.commit == raft->trail.last_index) {
    /* Nothing is committed anywhere that is not in this log, and all of it is. */
    effects->read_ticket = ++raft->read_id;
    effects->reads_done = raft->read_id;
    effects->read_index = raft->hard_state.commit;
  } else if (raft->role != RAFT_LEADER) {
    effects->status = STATUS_NOT_LEADER;
  } else {
    struct raft_leadership *leadership = raft->leadership;
    if (!raft_reads_wait(raft)) raft_be_patient(raft, &leadership->reads);
    bool joins = RAFT_MUTANT(READ_ID_REUSED) && leadership->read_attempt != 0;
    effects->read_ticket = joins ? leadership->read_attempt : raft->read_id + 1;
    if (effects->read_ticket > leadership->reads_wanted) leadership->reads_wanted = effects->read_ticket;
  }
}

static void confirm(struct raft *raft) {
  struct raft_leadership *leadership = raft->leadership;
  member_set yes = 0;
  for (size_t i = 0; i < leadership->count; i++) {
    bool self = replica_id_equal(&raft->config.members[i].id, &raft->self);
    if (self || leadership->followers[i].read_id == leadership->read_attempt) yes |= member_set_of(i);
  }
  struct quorum quorum = raft_quorum(raft);
  if (!quorum_reached(&quorum, yes) && !RAFT_MUTANT(READ_UNCONFIRMED)) return;
  leadership->reads_done = leadership->read_attempt;
  leadership->read_attempt = 0;
  raft_be_patient(raft, &leadership->reads);
  raft->effects->reads_done = leadership->reads_done;
  raft->effects->read_index = leadership->read_index;
}

static void begin_attempt(struct raft *raft) {
  struct raft_leadership *leadership = raft->leadership;
  leadership->read_attempt = ++raft->read_id;
  leadership->read_aged = false;
  leadership->read_index = raft->hard_state.commit;
  CHECK(leadership->read_attempt >= leadership->reads_wanted);
  for (size_t i = 0; i < leadership->count; i++) {
    const struct replica_id *id = &raft->config.members[i].id;
    if (replica_id_equal(id, &raft->self) || !raft_config_votes(&raft->config, id) || !raft_reachable(raft, i)) continue;
    struct raft_message message = raft_message_to(raft, RAFT_READ_PROBE, id);
    message.sequence = leadership->read_attempt;
    raft_send(raft, &message);
  }
  confirm(raft);
}

/* Section 6.4, step 1: before an entry of its own term is committed a leader does not know what is. */
void raft_advance_reads(struct raft *raft) {
  struct raft_leadership *leadership = raft->leadership;
  bool ready = raft->hard_state.commit >= leadership->term_start || RAFT_MUTANT(READ_BEFORE_NOOP);
  if (ready && leadership->read_attempt == 0 && raft_reads_wait(raft)) begin_attempt(raft);
}

void raft_retry_reads(struct raft *raft) {
  struct raft_leadership *leadership = raft->leadership;
  if (leadership->read_attempt == 0) return;
  if (leadership->read_aged) {
    REACHED(read_asked_again);
    leadership->read_attempt = 0; /* raft_advance_reads() begins the next */
  }
  leadership->read_aged = true;
}

/* From this term's leader; answered as soon as the term is durable, whatever the log waits for. */
void raft_on_read_probe(struct raft *raft, const struct raft_message *message) {
  if (raft_unproven(raft) && !RAFT_MUTANT(UNPROVEN_COUNTS)) return; /* it may have helped another to lead since */
  struct raft_message answer = raft_message_to(raft, RAFT_READ_ANSWER, &message->from);
  answer.sequence = message->sequence;
  struct raft_mark needs = raft_needs_term(raft);
  raft_send_durable(raft, &answer, &needs);
}

void raft_on_read_answer(struct raft *raft, const struct raft_message *message, size_t position) {
  struct raft_leadership *leadership = raft->leadership;
  struct progress *progress = &leadership->followers[position];
  progress->heard_ns = raft->now_ns;
  if (message->sequence > progress->read_id) progress->read_id = message->sequence;
  if (leadership->read_attempt != 0 && message->sequence == leadership->read_attempt) confirm(raft);
}
