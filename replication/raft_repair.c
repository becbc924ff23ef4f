/* Replicas that have forgotten what they promised, and how they come to count again (R11; docs/decisions/0013).
 *
 * Rot may take votes and acknowledgements, and not say which. A log can be fetched anew; a promise cannot. Somebody may be elected by a vote that its
 * giver does not remember, and an old leader may commit with an acknowledgement that the vote had forbidden. So such a replica takes the log
 * like any other, votes for nobody, confirms no reads, and says with each answer that it is not to be counted (RAFT_UNPROVEN).
 *
 * Its leader then proposes an entry of its own term, the proof. Once the others have committed it without this replica:
 *
 *   - whoever was promised a vote of a later term cannot be elected by it any more. It would need votes of others who have acknowledged the
 *     proof; they gave theirs later, to a candidate that has it, and one that campaigned before it was proposed has not. Or they gave theirs
 *     before: then they would not have acknowledged the proof.
 *   - nobody else can lead this term with its help: hearing of the leader it has voted for it (raft_bind_vote()).
 *   - whatever it had acknowledged is in this leader's log before the proof, or was committed by none.
 *
 * When it has the proof on its own disk it is as good as one that never forgot. RAFT_PROVEN says so. Nothing in this is lost by a crash: who restarts
 * before that is durable begins anew.
 */
#include "replication/raft_internal.h"

/* ---- A follower's side ---- */

/* What was promised beyond the hole still binds. */
void raft_repaired(struct raft *raft) {
  raft->damage.damaged = false;
  if (raft->role == RAFT_FOLLOWER && !raft->vouched) raft_arm_election(raft, raft->timing.election_ns);
}

/* What was known to be worse stays so: of who has forgotten its promises no later loss makes somebody who remembers them. */
void raft_suspect_log(struct raft *raft, entry_term term) {
  struct raft_damage *damage = &raft->damage;
  damage->damaged = true;
  if (damage->through < raft->trail.last_index) damage->through = raft->trail.last_index;
  if (damage->term < term) damage->term = term;
}

/* Whatever was there is still known of: its last entry bounds what is lost, and who has that may be helped to lead. A leader whose group is
 * quiet would not ask: it is told. */
void raft_holed(struct raft *raft) {
  if (raft->role == RAFT_LEADER) raft_resign(raft);
  raft->role = RAFT_FOLLOWER;
  raft_suspect_log(raft, trail_last_term(&raft->trail));
  if (!raft->vouched) raft_arm_election(raft, raft->timing.election_ns);
  if (raft->leader.broker == 0 || raft->install != NULL) return;
  struct raft_message asked = {.kind = RAFT_APPEND, .from = raft->leader, .sequence = UINT64_MAX};
  struct raft_message answer = raft_append_answer_to(raft, &asked, RAFT_DAMAGED);
  struct raft_mark needs = raft_needs_term(raft);
  raft_send_durable(raft, &answer, &needs);
}

enum raft_verdict raft_matched_verdict(const struct raft *raft) { return raft_unproven(raft) ? RAFT_UNPROVEN : RAFT_MATCHED; }

void raft_bind_vote(struct raft *raft) {
  if (!raft_unproven(raft) || raft->hard_state.vote != 0) return;
  raft->hard_state.vote = raft->leader.broker;
  raft->voted_for = raft->leader;
  raft_save_hard_state(raft);
}

void raft_on_proven(struct raft *raft, const struct raft_message *message) {
  bool from_leader = message->term == raft->hard_state.term && replica_id_equal(&message->from, &raft->leader);
  bool bound = raft->durable.term == raft->hard_state.term && raft->durable.vote != 0;
  bool has_it = raft->durable.index >= message->sequence && raft->install == NULL && !raft->damage.damaged;
  if (!from_leader || !bound || !has_it || !raft_unproven(raft)) return;
  raft->damage = (struct raft_damage){0};
  raft->effects->proven = true;
  if (!raft->vouched) raft_arm_election(raft, raft->timing.election_ns);
}

/* ---- A leader's ---- */

/* Only the answer to what was sent after it was told shows that it knows: others may be from before it forgot. */
void raft_note_proof(struct raft *raft, size_t position, const struct raft_message *answer) {
  struct progress *progress = &raft->leadership->followers[position];
  if (answer->append_answer.verdict == RAFT_UNPROVEN) {
    progress->unproven = true;
    progress->proof_sequence = 0; /* it was not told, or has forgotten again: once more */
  } else if (progress->proof_sequence != 0 && answer->sequence > progress->proof_sequence) {
    progress->unproven = false;
    progress->proof = progress->proof_sequence = 0;
  }
}

static void propose_proof(struct raft *raft, struct progress *progress) {
  if (raft_transferring(raft)) return;
  struct raft_effects *effects = raft->effects;
  bool shared = effects->append_count > 0 && effects->appends[effects->append_count - 1].kind == RAFT_APPEND_NOOP;
  if (!shared && effects->append_count == RAFT_APPENDS_MAX) return; /* with the next step */
  if (!shared) raft_append_own(raft, RAFT_APPEND_NOOP, 1);
  progress->proof = raft->trail.last_index;
}

static void tell(struct raft *raft, size_t position) {
  struct progress *progress = &raft->leadership->followers[position];
  struct raft_message message = raft_message_to(raft, RAFT_PROVEN, &raft->config.members[position].id);
  message.sequence = progress->proof;
  raft_send(raft, &message);
  progress->proof_sequence = raft->leadership->sequence;
}

void raft_prove(struct raft *raft) {
  for (size_t i = 0; i < raft->leadership->count; i++) {
    struct progress *progress = &raft->leadership->followers[i];
    if (!progress->unproven || progress->suspect || progress->reverted) continue;
    if (progress->proof == 0) propose_proof(raft, progress);
    bool shown = progress->proof != 0 && raft->hard_state.commit >= progress->proof && progress->match >= progress->proof;
    if (shown && progress->proof_sequence == 0) tell(raft, i);
  }
}
