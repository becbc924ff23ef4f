/* Replicas that are too far behind: what they need is not in the trail any more (section 5). The core only agrees on a point of the log;
 * the host ships log and state, at its own pace, and may resume.
 */
#include "base/check.h"
#include "base/memory.h"
#include "replication/raft_internal.h"

/* The point is the commit index: the host has applied it when it has obeyed this step. */
void raft_offer_snapshot(struct raft *raft, size_t position) {
  struct progress *progress = &raft->leadership->followers[position];
  bool newest = raft->config_index <= raft->hard_state.commit;
  struct raft_message message = raft_message_to(raft, RAFT_SNAPSHOT, &raft->config.members[position].id);
  entry_term term = 0;
  CHECK(trail_term(&raft->trail, raft->hard_state.commit, &term));
  message.sequence = progress->sequence = ++raft->leadership->sequence;
  message.snapshot = (struct raft_snapshot){.index = raft->hard_state.commit,
                                            .index_term = term,
                                            .config_index = newest ? raft->config_index : raft->previous_config_index,
                                            .config = newest ? &raft->config : &raft->previous_config};
  progress_catch_up(progress, raft->hard_state.commit);
  raft_send(raft, &message);
}

static struct raft_message matched(const struct raft *raft, const struct raft_message *request, entry_index match) {
  struct raft_message answer = raft_append_answer_to(raft, request, raft_matched_verdict(raft));
  answer.append_answer.match = match;
  return answer;
}

static void begin_install(struct raft *raft, const struct raft_message *message) {
  const struct raft_snapshot *snapshot = &message->snapshot;
  raft->install = NEW(struct raft_install);
  *raft->install = (struct raft_install){.index = snapshot->index,
                                         .index_term = RAFT_MUTANT(SNAPSHOT_TERM_LOST) ? 0 : snapshot->index_term,
                                         .config_index = snapshot->config_index,
                                         .config = *snapshot->config,
                                         .answer = matched(raft, message, snapshot->index)};
  raft->effects->install = true;
  raft_arm_election(raft, raft->timing.election_ns); /* not while it installs */
  if (RAFT_MUTANT(SNAPSHOT_EARLY_ACK)) raft_send(raft, &raft->install->answer);
}

/* From this term's leader. */
void raft_on_snapshot(struct raft *raft, const struct raft_message *message) {
  const struct raft_snapshot *snapshot = &message->snapshot;
  if (raft->install != NULL) { /* offered anew: the answer will be to that */
    if (message->term == raft->install->answer.term) raft->install->answer.sequence = message->sequence;
    return;
  }
  if (snapshot->config == NULL || !raft_config_valid(snapshot->config) || snapshot->index_term > message->term) {
    raft->effects->status = STATUS_CORRUPT;
    return;
  }
  bool damaged = raft->damage.damaged;
  if (damaged && snapshot->index < raft->hard_state.commit) return; /* the leader does not know enough yet */
  bool has_it =
      !damaged && (snapshot->index <= raft->hard_state.commit || trail_has(&raft->trail, snapshot->index, snapshot->index_term));
  if (!has_it) {
    begin_install(raft, message);
    return;
  }
  if (snapshot->index > raft->hard_state.commit) raft_advance_commit(raft, snapshot->index);
  struct raft_message answer = matched(raft, message, snapshot->index);
  struct raft_mark needs = {.term = raft->hard_state.term, .index = snapshot->index, .generation = raft->trail.generation};
  raft_send_durable(raft, &answer, &needs);
}

/* Log and state are in place and durable, so a damaged replica is whole again; what it may have promised beyond still binds it (R11). */
void raft_installed(struct raft *raft, const struct raft_event *event) {
  struct raft_install *install = raft->install;
  if (install == NULL) return;
  raft->install = NULL;
  if (event->config != NULL) { /* the leader had applied more when it was asked */
    PRE(event->index >= install->index && event->term >= install->index_term);
    install->index = install->answer.append_answer.match = event->index;
    install->index_term = event->term;
    install->config = *event->config;
    install->config_index = event->config_index;
  }
  trail_reset(&raft->trail, install->index, install->index_term);
  raft->durable.index = install->index;
  raft->damage.damaged = false;
  raft->config = raft->previous_config = install->config;
  raft->config_index = raft->previous_config_index = install->config_index;
  raft->effects->config_changed = true;
  if (install->index > raft->hard_state.commit) raft_advance_commit(raft, install->index);
  if (!raft->vouched) raft_arm_election(raft, raft->timing.election_ns);
  if (install->answer.term == raft->hard_state.term) {
    struct raft_mark needs = raft_needs_term(raft);
    install->answer.append_answer.verdict = raft_matched_verdict(raft);
    install->answer.append_answer.commit = raft->hard_state.commit;
    install->answer.append_answer.last_index = raft->trail.last_index;
    raft_send_durable(raft, &install->answer, &needs);
  }
  memory_free(install);
}

void raft_install_failed(struct raft *raft) {
  memory_free(raft->install);
  raft->install = NULL;
  if (!raft->vouched) raft_arm_election(raft, raft->timing.election_ns);
}
