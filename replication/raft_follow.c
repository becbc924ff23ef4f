/* The follower's side of replication (section 3.5): what matches, what conflicts, what is cut, what may be acknowledged when. */
#include "replication/raft_internal.h"

struct raft_message raft_append_answer_to(const struct raft *raft, const struct raft_message *request,
                                          enum raft_verdict verdict) {
  struct raft_message answer = raft_message_to(raft, RAFT_APPEND_ANSWER, &request->from);
  answer.sequence = request->sequence;
  answer.append_answer = (struct raft_append_answer){.verdict = verdict,
                                                     .commit = raft->hard_state.commit,
                                                     .last_index = raft->trail.last_index,
                                                     .generation = raft->trail.generation};
  return answer;
}

/* ---- Comparing ---- */

enum comparison {
  SAME,     /* every entry that both have is the same: the message goes on at `at` */
  CONFLICT, /* at `at` the terms differ */
  MISSING,  /* this log ends before prev */
  FORKED,   /* at `at` one of the two logs must be wrong */
  MALFORMED
};

struct compared {
  enum comparison result;
  entry_index at;
};

/* Entry `index` of the message, prev being its zeroth. */
static struct raft_entry entry_at(const struct raft_append *append, entry_index index) {
  if (index > append->prev_index) return append->entries[index - append->prev_index - 1];
  return (struct raft_entry){.term = append->prev_term, .chain = append->prev_chain, .own_chain = append->own_prev_chain};
}

static bool well_formed(const struct raft_message *message) {
  const struct raft_append *append = &message->append;
  if (append->count > RAFT_ENTRIES_MAX || (append->prev_index == 0 && append->prev_term != 0)) return false;
  entry_term term = append->prev_term;
  for (uint32_t i = 0; i < append->count; i++) {
    const struct raft_entry *entry = &append->entries[i];
    if (entry->term < term || (entry->config != NULL && !raft_config_valid(entry->config))) return false;
    term = entry->term;
  }
  return term <= message->term;
}

static struct compared compare(const struct raft *raft, const struct raft_message *message) {
  const struct raft_append *append = &message->append;
  if (!well_formed(message)) return (struct compared){.result = MALFORMED};
  entry_index last = append->prev_index + append->count;
  entry_index index = append->prev_index;
  if (index > raft->trail.last_index) return (struct compared){.result = MISSING, .at = index};
  if (index < raft->trail.base_index) index = raft->trail.base_index; /* committed: not looked at again */
  for (; index <= last && index <= raft->trail.last_index; index++) {
    struct raft_entry theirs = entry_at(append, index);
    if (!trail_has(&raft->trail, index, theirs.term)) {
      return (struct compared){.result = index <= raft->hard_state.commit ? FORKED : CONFLICT, .at = index};
    }
    bool known = theirs.chain != 0 && theirs.own_chain != 0;
    if (known && theirs.chain != theirs.own_chain) return (struct compared){.result = FORKED, .at = index}; /* R10 */
  }
  return (struct compared){.result = SAME, .at = index};
}

/* ---- Changing the log ---- */

static void cut(struct raft *raft, entry_index from) {
  CHECK(from > raft->hard_state.commit); /* R5 */
  trail_cut(&raft->trail, from);
  if (raft->durable.index >= from) raft->durable.index = from - 1;
  raft_revert_config(raft, from);
  raft->effects->cut = true;
  raft->effects->cut_from = from;
  raft_disk_owes(raft);
}

/* Appends what of the message lies at and behind `from`. Returns the last index that is now in the log. */
static entry_index take(struct raft *raft, const struct raft_append *append, entry_index from) {
  entry_index last = append->prev_index + append->count;
  entry_index index = from;
  for (; index <= last; index++) {
    struct raft_entry entry = entry_at(append, index);
    if (entry.term != trail_last_term(&raft->trail) && !trail_room(&raft->trail)) break;
    trail_append(&raft->trail, index, index, entry.term);
    if (entry.config != NULL) raft_take_config(raft, entry.config, index);
  }
  if (index == from) return index - 1;
  raft->effects->appends[raft->effects->append_count++] = (struct raft_appended){
      .kind = RAFT_APPEND_MESSAGE, .first = from, .count = (uint32_t)(index - from), .term = raft->hard_state.term};
  raft_disk_owes(raft);
  return index - 1;
}

/* ---- Answering ---- */

static void answer_now(struct raft *raft, const struct raft_message *answer) {
  struct raft_mark needs = raft_needs_term(raft);
  raft_send_durable(raft, answer, &needs);
}

/* Where the leader should look: the last entry that is not newer than what it asked about, and nothing below what is committed. */
static void reject(struct raft *raft, const struct raft_message *message) {
  const struct raft_append *append = &message->append;
  struct raft_message answer = raft_append_answer_to(raft, message, RAFT_REJECTED);
  entry_index hint = trail_find(&raft->trail, append->prev_index - 1, append->prev_term);
  if (hint < raft->hard_state.commit) hint = raft->hard_state.commit;
  answer.append_answer.rejected = append->prev_index;
  answer.append_answer.hint_index = hint;
  (void)trail_term(&raft->trail, hint, &answer.append_answer.hint_term); /* at or above base: known */
  answer_now(raft, &answer);
}

static void acknowledge(struct raft *raft, const struct raft_message *message, entry_index match) {
  struct raft_message answer = raft_append_answer_to(raft, message, raft_matched_verdict(raft));
  answer.append_answer.match = match;
  struct raft_mark needs = {.term = raft->hard_state.term, .index = match, .generation = raft->trail.generation};
  if (RAFT_MUTANT(ACK_NOT_DURABLE)) needs = raft_needs_term(raft);
  raft_send_durable(raft, &answer, &needs);
}

/* The commit index of a leader covers what this message has shown to be the same, and nothing else that may still lie here. */
static void believe_commit(struct raft *raft, entry_index commit, entry_index match) {
  if (RAFT_MUTANT(COMMIT_UNCAPPED)) match = raft->trail.last_index;
  if (commit > match) commit = match;
  if (commit > raft->hard_state.commit) raft_advance_commit(raft, commit);
}

static void refuse_forked(struct raft *raft, const struct raft_message *message, entry_index at) {
  raft_diverged(raft, at);
  struct raft_message answer = raft_append_answer_to(raft, message, RAFT_DIVERGED);
  answer.append_answer.match = at;
  answer_now(raft, &answer);
}

static void matched(struct raft *raft, const struct raft_message *message, entry_index from) {
  const struct raft_append *append = &message->append;
  entry_index match = append->prev_index + append->count;
  if (from <= match) match = take(raft, append, from);
  if (RAFT_MUTANT(CUT_ALWAYS) && match < raft->trail.last_index && match >= raft->hard_state.commit) cut(raft, match + 1);
  believe_commit(raft, append->commit, match);
  /* What is committed here is in the leader's log, whatever this message spoke of. */
  if (match < raft->hard_state.commit) match = raft->hard_state.commit;
  acknowledge(raft, message, match);
}

/* From this term's leader. */
void raft_on_append(struct raft *raft, const struct raft_message *message) {
  if (raft->install != NULL) return; /* the snapshot's answer will say where to go on */
  raft_bind_vote(raft);
  if (raft->damage.damaged) { /* R11 */
    struct raft_message answer = raft_append_answer_to(raft, message, RAFT_DAMAGED);
    answer_now(raft, &answer);
    return;
  }
  struct compared compared = compare(raft, message);
  switch (compared.result) {
    case MALFORMED: raft->effects->status = STATUS_CORRUPT; break;
    case MISSING: reject(raft, message); break;
    case FORKED: refuse_forked(raft, message, compared.at); break;
    case CONFLICT:
      if (compared.at == message->append.prev_index) {
        reject(raft, message);
        break;
      }
      if (RAFT_MUTANT(CONFLICT_KEPT)) {
        acknowledge(raft, message, message->append.prev_index + message->append.count);
        break;
      }
      cut(raft, compared.at);
      matched(raft, message, compared.at);
      break;
    case SAME: matched(raft, message, compared.at); break;
  }
}
