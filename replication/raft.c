#include "replication/raft.h"

#include "base/memory.h"
#include "replication/raft_internal.h"

/* ---- What is durable ---- */

struct raft_mark raft_mark(const struct raft *raft) {
  return (struct raft_mark){.term = raft->hard_state.term,
                            .vote = raft->hard_state.vote,
                            .index = raft->trail.last_index,
                            .generation = raft->trail.generation};
}

struct raft_mark raft_needs_term(const struct raft *raft) {
  return (struct raft_mark){.term = raft->hard_state.term};
}

static bool is_durable(const struct raft *raft, const struct raft_mark *needs) {
  const struct raft_mark *durable = &raft->durable;
  if (durable->term < needs->term) return false;
  if (durable->term == needs->term && needs->vote != 0 && durable->vote != needs->vote) return false;
  return durable->index >= needs->index;
}

enum raft_hold raft_held(const struct raft *raft, const struct raft_held_message *held) {
  const struct raft_mark *needs = &held->needs;
  if (raft->stopped || held->message.term != raft->hard_state.term) return RAFT_DROP;
  if (needs->index > raft->trail.last_index) return RAFT_DROP;
  if (trail_durable(&raft->trail, needs->index, needs->generation) < needs->index) return RAFT_DROP; /* cut since */
  bool counts = held->message.kind == RAFT_APPEND_ANSWER && needs->index > 0;
  if (counts && raft->damage.damaged) return RAFT_DROP; /* lost since: R11 */
  return is_durable(raft, needs) ? RAFT_SEND : RAFT_HOLD;
}

void raft_disk_owes(struct raft *raft) {
  if (raft->disk_since_ns == RAFT_NEVER) raft->disk_since_ns = raft->now_ns;
}

bool raft_disk_stalled(const struct raft *raft) {
  return raft->disk_since_ns != RAFT_NEVER && raft->now_ns - raft->disk_since_ns >= raft->timing.election_ns;
}

void raft_save_hard_state(struct raft *raft) {
  raft->effects->save_hard_state = true;
  raft_disk_owes(raft);
}

/* R6: the mark speaks of the log as it was when the write was issued. */
static void on_persisted(struct raft *raft, const struct raft_mark *mark) {
  struct raft_mark *durable = &raft->durable;
  PRE(mark->term <= raft->hard_state.term && mark->generation <= raft->trail.generation);
  if (mark->term > durable->term || (mark->term == durable->term && mark->vote != 0)) {
    durable->term = mark->term;
    durable->vote = mark->vote;
  }
  entry_index index = trail_durable(&raft->trail, mark->index, mark->generation);
  if (RAFT_MUTANT(STALE_PERSIST)) index = mark->index < raft->trail.last_index ? mark->index : raft->trail.last_index;
  if (index > durable->index) durable->index = index;

  struct raft_mark all = raft_mark(raft);
  raft->disk_since_ns = is_durable(raft, &all) ? RAFT_NEVER : raft->now_ns;
  raft_count_own_vote(raft);
  if (raft->role == RAFT_LEADER) raft_try_commit(raft);
}

/* ---- Sending ---- */

struct raft_message raft_message_to(const struct raft *raft, enum raft_message_kind kind, const struct replica_id *to) {
  return (struct raft_message){.kind = kind, .from = raft->self, .to = *to, .term = raft->hard_state.term};
}

void raft_send(struct raft *raft, const struct raft_message *message) {
  struct raft_effects *effects = raft->effects;
  CHECK(effects->now_count < RAFT_SENDS_MAX);
  effects->send_now[effects->now_count++] = *message;
}

void raft_send_durable(struct raft *raft, const struct raft_message *message, const struct raft_mark *needs) {
  if (is_durable(raft, needs)) {
    raft_send(raft, message);
    return;
  }
  struct raft_effects *effects = raft->effects;
  CHECK(effects->held_count < RAFT_HELD_MAX);
  effects->send_after_sync[effects->held_count++] = (struct raft_held_message){.message = *message, .needs = *needs};
}

/* ---- Terms and roles ---- */

static void end_leadership(struct raft *raft) {
  if (raft_reads_wait(raft)) raft->effects->reads_failed = true;
  memory_free(raft->leadership);
  raft->leadership = NULL;
}

void raft_become_follower(struct raft *raft, entry_term term, const struct replica_id *leader) {
  PRE(term >= raft->hard_state.term);
  bool new_term = term > raft->hard_state.term;
  if (new_term) {
    raft->hard_state.term = term;
    raft->hard_state.vote = 0;
    raft->voted_for = (struct replica_id){0};
    raft_save_hard_state(raft);
  }
  bool was_follower = raft->role == RAFT_FOLLOWER;
  if (raft->role == RAFT_LEADER) end_leadership(raft);
  raft->role = RAFT_FOLLOWER;
  if (leader != NULL && was_follower && !new_term && replica_id_equal(leader, &raft->leader)) return;
  raft->leader = leader != NULL ? *leader : (struct replica_id){0};
  raft->vouched = false;
  /* A higher term alone gives nobody more time (section 9.6): whoever waits already goes on waiting. */
  if (leader != NULL || !was_follower || raft->election_deadline_ns == RAFT_NEVER) {
    raft_arm_election(raft, raft->timing.election_ns);
  }
}

/* R10: nobody knows whose bytes are right. This replica has what may be wrong, so it must not be believed, nor believe a lesser one. */
void raft_diverged(struct raft *raft, entry_index index) {
  raft->effects->diverged = true;
  raft->effects->diverged_index = index;
  raft_suspect_log(raft, raft->hard_state.term);
  if (raft->role == RAFT_LEADER) raft_resign(raft);
  raft_arm_election(raft, raft->timing.election_ns);
}

/* CONFIG_ON_COMMIT is the mistake of going on with the old voters until the entry that replaces them is committed. */
static struct quorum quorum_of_committed(const struct raft *raft) {
  struct quorum quorum = {0};
  const struct raft_config *config = &raft->config;
  for (size_t i = 0; i < config->count; i++) {
    size_t position = raft_config_find(&raft->previous_config, &config->members[i].id);
    if (position == RAFT_NO_POSITION) continue;
    if (raft->previous_config.members[position].now == RAFT_VOTER) quorum.now |= member_set_of(i);
  }
  return quorum;
}

struct quorum raft_quorum(const struct raft *raft) {
  if (RAFT_MUTANT(CONFIG_ON_COMMIT) && raft->config_index > raft->hard_state.commit) return quorum_of_committed(raft);
  return raft_config_quorum(&raft->config);
}

size_t raft_self_position(const struct raft *raft) { return raft_config_find(&raft->config, &raft->self); }

/* ---- Messages ---- */

static void from_leader(struct raft *raft, const struct raft_message *message) {
  if (message->term < raft->hard_state.term) {
    raft_refuse_leader(raft, message);
    return;
  }
  if (raft_second_leader(raft, &message->from, message->term)) {
    raft->effects->status = STATUS_CORRUPT;
    return;
  }
  raft_become_follower(raft, message->term, &message->from);
  raft_hear_leader(raft);
  if (message->kind == RAFT_APPEND) raft_on_append(raft, message);
  if (message->kind == RAFT_SNAPSHOT) raft_on_snapshot(raft, message);
  if (message->kind == RAFT_READ_PROBE) raft_on_read_probe(raft, message);
}

static size_t position_of(const struct raft *raft, const struct replica_id *id) {
  size_t position = raft_config_find(&raft->config, id);
  if (!RAFT_MUTANT(STRANGERS_COUNT) || position != RAFT_NO_POSITION) return position;
  for (size_t i = 0; i < raft->config.count; i++) {
    if (raft->config.members[i].id.broker == id->broker) return i;
  }
  return RAFT_NO_POSITION;
}

/* R7: from members only. */
static void from_asked(struct raft *raft, const struct raft_message *message) {
  size_t position = position_of(raft, &message->from);
  if (position == RAFT_NO_POSITION) return;
  if (message->term > raft->hard_state.term) {
    raft_become_follower(raft, message->term, NULL);
    return;
  }
  bool vote = message->kind == RAFT_PRE_VOTE_ANSWER || message->kind == RAFT_VOTE_ANSWER;
  if (vote) {
    raft_on_vote_answer(raft, message, position);
    return;
  }
  bool stale = message->term != raft->hard_state.term && !RAFT_MUTANT(STALE_ACK);
  if (stale || raft->role != RAFT_LEADER) return;
  if (message->kind == RAFT_APPEND_ANSWER) raft_on_append_answer(raft, message, position);
  if (message->kind == RAFT_READ_ANSWER) raft_on_read_answer(raft, message, position);
}

static bool addressed_here(const struct raft *raft, const struct raft_message *message) {
  if (message->from.broker == raft->self.broker) return false;
  if (RAFT_MUTANT(STRANGERS_COUNT)) return message->to.broker == raft->self.broker;
  return replica_id_equal(&message->to, &raft->self);
}

static void on_message(struct raft *raft, const struct raft_message *message) {
  if (!addressed_here(raft, message)) return;
  switch (message->kind) {
    case RAFT_PRE_VOTE:
    case RAFT_VOTE: raft_on_vote_request(raft, message); break;
    case RAFT_APPEND:
    case RAFT_SNAPSHOT:
    case RAFT_READ_PROBE: from_leader(raft, message); break;
    case RAFT_PRE_VOTE_ANSWER:
    case RAFT_VOTE_ANSWER:
    case RAFT_APPEND_ANSWER:
    case RAFT_READ_ANSWER: from_asked(raft, message); break;
    case RAFT_TIMEOUT_NOW: raft_on_timeout_now(raft, message); break;
    case RAFT_RESIGN:
      if (message->term == raft->hard_state.term && replica_id_equal(&message->from, &raft->leader)) raft_lose_leader(raft);
      break;
    case RAFT_FETCH_STATE:
    case RAFT_FETCH_ENTRIES:
    case RAFT_SHIPPED_STATE:
    case RAFT_SHIPPED_ENTRIES:
    case RAFT_SHIPS_NOT:
    case RAFT_WANT:
    case RAFT_GIVEN:
    case RAFT_GIVES_NOT: break; /* between hosts */
    case RAFT_PROVEN: raft_on_proven(raft, message); break;
  }
}

/* ---- Events ---- */

/* Section 3.4, for a sole member: the vote, the no-op and what is proposed ride in one write, so they are durable together or not at
 * all, and nobody hears of the term before. */
static void lead_alone(struct raft *raft) {
  raft->hard_state.term++;
  raft->hard_state.vote = raft->self.broker;
  raft->voted_for = raft->self;
  raft_save_hard_state(raft);
  raft_become_leader(raft);
}

/* One that has not been asked for anything since it started. */
static void lead_if_alone(struct raft *raft) {
  bool able = !raft->stopped && !raft->damage.damaged && trail_room(&raft->trail);
  if (raft->role != RAFT_LEADER && raft_alone(raft) && able) lead_alone(raft);
}

static void propose(struct raft *raft, const struct raft_event *event) {
  PRE(event->count > 0);
  if (raft->stopped || raft->damage.damaged) {
    raft->effects->status = STATUS_FENCED;
    return;
  }
  bool decided_here = event->term == 0 || event->term == raft->hard_state.term;
  if (decided_here) lead_if_alone(raft);
  if (raft->role != RAFT_LEADER || !decided_here || raft_transferring(raft)) {
    raft->effects->status = STATUS_NOT_LEADER;
    return;
  }
  raft_append_own(raft, RAFT_APPEND_PROPOSAL, event->count);
}

static void disk_failed(struct raft *raft) {
  if (raft->role == RAFT_LEADER) raft_resign(raft);
  raft->stopped = true;
  raft->role = RAFT_FOLLOWER;
  raft->election_deadline_ns = RAFT_NEVER;
}

static void timer(struct raft *raft) {
  if (raft->role == RAFT_LEADER) raft_leader_timer(raft);
  else raft_election_timer(raft);
}

static void compacted(struct raft *raft, entry_index index) {
  PRE(index <= raft->hard_state.commit);
  if (index > raft->trail.base_index) trail_forget(&raft->trail, index);
}

static void dispatch(struct raft *raft, const struct raft_event *event) {
  switch (event->kind) {
    case RAFT_TIMER: timer(raft); break;
    case RAFT_MESSAGE: on_message(raft, event->message); break;
    case RAFT_PERSISTED: on_persisted(raft, &event->persisted); break;
    case RAFT_DISK_FAILED: disk_failed(raft); break;
    case RAFT_PROPOSE: propose(raft, event); break;
    case RAFT_SENT: raft_on_sent(raft, &event->sent); break;
    case RAFT_READ: raft_read(raft); break;
    case RAFT_CHANGE_MEMBERS:
      lead_if_alone(raft); /* and changes when its term has begun: BUSY until then */
      raft_change_members(raft, event->config);
      break;
    case RAFT_TRANSFER: raft_transfer(raft, &event->peer); break;
    case RAFT_OFFER: raft_offer(raft, event); break;
    case RAFT_CAMPAIGN:
      if (raft->role != RAFT_LEADER && !raft_alone(raft) && !raft->reluctant && raft_can_campaign(raft)) raft_pre_campaign(raft);
      break;
    case RAFT_LEADER_HEARD: raft_leader_heard(raft, &event->peer, event->term); break;
    case RAFT_LEADER_GONE:
      if (event->term == raft->hard_state.term && replica_id_equal(&event->peer, &raft->leader)) raft_lose_leader(raft);
      break;
    case RAFT_PEER_UP:
    case RAFT_PEER_DOWN:
    case RAFT_PEER_RESET:
    case RAFT_CATCH_UP_FAILED: raft_peer_changed(raft, event->kind, &event->peer); break;
    case RAFT_RELUCTANT:
    case RAFT_WILLING: raft_wish_changed(raft, &event->peer, event->kind == RAFT_RELUCTANT); break;
    case RAFT_INSTALLED: raft_installed(raft, event); break;
    case RAFT_INSTALL_FAILED: raft_install_failed(raft); break;
    case RAFT_COMPACTED: compacted(raft, event->index); break;
    case RAFT_REPAIRED: raft_repaired(raft); break;
    case RAFT_HOLED: raft_holed(raft); break;
  }
}

/* What a replica that has stopped still answers: that it has. */
static enum status stopped_status(enum raft_event_kind kind) {
  bool asks = kind == RAFT_PROPOSE || kind == RAFT_READ || kind == RAFT_CHANGE_MEMBERS || kind == RAFT_TRANSFER;
  return asks ? STATUS_FENCED : STATUS_OK;
}

static void check_cheaply(const struct raft *raft) {
  const struct hard_state *state = &raft->hard_state;
  CHECK(raft->durable.index <= raft->trail.last_index);
  CHECK(raft->durable.term <= state->term);
  CHECK(state->commit <= raft->trail.last_index);
  CHECK(IMPLIES(raft->role == RAFT_LEADER, state->vote == raft->self.broker));
  CHECK((raft->role == RAFT_LEADER) == (raft->leadership != NULL));
  CHECK(IMPLIES(raft->stopped || raft->damage.damaged, raft->role == RAFT_FOLLOWER));
}

static void begin(struct raft *raft, struct raft_effects *effects, uint64_t now_ns) {
  raft->effects = effects;
  raft->now_ns = now_ns;
  effects->status = STATUS_OK;
  effects->offer = RAFT_OFFER_NOT_LEADER;
  effects->save_hard_state = false;
  effects->cut = false;
  effects->append_count = 0;
  effects->now_count = 0;
  effects->held_count = 0;
  effects->commit_advanced = false;
  effects->config_changed = false;
  effects->stays = false;
  effects->read_ticket = 0;
  effects->reads_done = 0;
  effects->reads_failed = false;
  effects->install = false;
  effects->diverged = false;
  effects->reverted = false;
  effects->proven = false;
  effects->reconnect = false;
}

void raft_step(struct raft *raft, const struct raft_event *event, struct raft_effects *effects) {
  enum raft_role role = raft->role;
  entry_term term = raft->hard_state.term;
  struct replica_id leader = raft->leader;
  bool transferring = raft_transferring(raft);
  begin(raft, effects, event->now_ns);

  if (raft->stopped) effects->status = stopped_status(event->kind);
  else dispatch(raft, event);
  if (raft->role == RAFT_LEADER) raft_lead(raft);

  bool led = role == RAFT_LEADER;
  bool leads = raft->role == RAFT_LEADER;
  effects->stays = transferring && leads && term == raft->hard_state.term && !raft_transferring(raft);
  effects->role_changed = led != leads || term != raft->hard_state.term || !replica_id_equal(&leader, &raft->leader);
  effects->hard_state = raft->hard_state;
  if (effects->hard_state.commit > raft->durable.index) effects->hard_state.commit = raft->durable.index;
  effects->config = &raft->config;
  effects->commit = raft->hard_state.commit;
  effects->role = raft->role;
  effects->term = raft->hard_state.term;
  effects->leader = raft->leader;
  effects->deadline_ns = raft_deadline(raft);
  raft->effects = NULL;
  check_cheaply(raft);
}

uint64_t raft_deadline(const struct raft *raft) {
  if (raft->role != RAFT_LEADER) return raft->election_deadline_ns;
  const struct raft_leadership *leadership = raft->leadership;
  return leadership->gather_ns < leadership->tick_ns ? leadership->gather_ns : leadership->tick_ns;
}

const struct progress *raft_progress(const struct raft *raft, size_t position) {
  if (raft->leadership == NULL || position >= raft->leadership->count) return NULL;
  return &raft->leadership->followers[position];
}

void raft_check_invariants(const struct raft *raft) {
  check_cheaply(raft);
  trail_check_invariants(&raft->trail);
  CHECK(raft_config_valid(&raft->config));
  CHECK(raft_config_valid(&raft->previous_config));
  CHECK(raft->previous_config_index <= raft->config_index);
  CHECK(raft->previous_config_index <= raft->hard_state.commit || raft->config_index <= raft->hard_state.commit);
  CHECK(raft->config_index <= raft->trail.last_index || RAFT_MUTANT(CONFIG_NOT_REVERTED));
  CHECK(trail_last_term(&raft->trail) <= raft->hard_state.term);
  if (raft->role != RAFT_LEADER) return;
  const struct raft_leadership *leadership = raft->leadership;
  CHECK(leadership->count == raft->config.count);
  CHECK(leadership->term_start > 0 && leadership->term_start <= raft->trail.last_index);
  for (size_t i = 0; i < leadership->count; i++) {
    progress_check_invariants(&leadership->followers[i]);
    CHECK(leadership->followers[i].next <= raft->trail.last_index + 1);
    CHECK(IMPLIES(raft_quiet(raft), leadership->followers[i].window_bytes == 0) || RAFT_MUTANT(WINDOW_LEAK)); /* R12 */
  }
}
