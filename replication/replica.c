#include "replication/replica.h"

#include "base/check.h"
#include "base/memory.h"
#include "base/trace.h"
#include "replication/replica_internal.h"

#define ELECTION_NS 1000000000u
#define HEARTBEAT_NS 100000000u

/* ---- Opening ---- */

static enum status replay_entry(void *context, const struct entry *entry) {
  struct replica *replica = context;
  /* Rot may have taken entries out of the journal. The suffix is kept and served; the log is fenced. */
  bool follows = entry->head.index == replica->applied + 1;
  CHECK(follows || (entry->head.index > replica->applied && log_view(replica->log).damaged));
  replica->machine.ops->apply(replica->machine.owner, entry);
  replica->applied = entry->head.index;
  return STATUS_OK;
}

static enum status snapshot(void *context, struct buffer *out) {
  struct replica *replica = context;
  return replica->machine.ops->snapshot(replica->machine.owner, out);
}

static enum status restore(struct replica *replica) {
  entry_index applied = 0;
  struct bytes state = log_recovered_state(replica->log, &applied);
  enum status status = replica->machine.ops->restore(replica->machine.owner, state);
  if (status != STATUS_OK) return status;
  replica->applied = applied;

  entry_index commit = replica->raft.hard_state.commit;
  log_set_commit(replica->log, commit);
  status = log_replay(replica->log, applied, commit, replay_entry, replica);
  if (status != STATUS_OK) return status;
  replica->applied = commit;
  log_set_applied(replica->log, commit);
  return STATUS_OK;
}

/* The founding configuration: this broker alone. There is nobody to be told apart from, so its incarnation does not matter yet; the
 * whole log is committed, so no terms below its end are needed. */
static void start_raft(struct replica *replica, broker_id self) {
  struct log_view view = log_view(replica->log);
  struct raft_config config = {.phase = RAFT_STABLE};
  struct raft_start start = {.self = {.broker = self},
                             .hard_state = view.hard_state,
                             .base_index = view.last_index,
                             .base_term = view.last_term,
                             .last_index = view.last_index,
                             .config = &config,
                             .damage = {.damaged = view.damaged, .through = view.last_index},
                             .timing = {.election_ns = ELECTION_NS, .heartbeat_ns = HEARTBEAT_NS}};
  raft_config_add(&config, &start.self, RAFT_VOTER, RAFT_VOTER);
  raft_init(&replica->raft, &start);
  replica->durable = raft_mark(&replica->raft);
}

enum status replica_open(struct lane *lane, struct log *log, const struct replica_options *options,
                         const struct state_machine *machine, struct replica **out_replica) {
  struct log_view view = log_view(log);
  struct replica *replica = NEW(struct replica);
  replica->lane = lane;
  replica->log = log;
  replica->machine = *machine;
  replica->group = view.group;
  list_init(&replica->uncommitted);
  start_raft(replica, options->self.broker);
  enum status status = restore(replica);
  if (status != STATUS_OK) {
    raft_deinit(&replica->raft);
    memory_free(replica);
    return status;
  }
  replica->high_watermark = view.next_offset;
  log_set_owner(log, &(struct log_owner){.snapshot = snapshot, .context = replica});
  lane_add(lane, replica);
  *out_replica = replica;
  return STATUS_OK;
}

static void unlink_proposals(struct replica *replica) {
  for (struct list_node *node; (node = list_pop_front(&replica->uncommitted)) != NULL;)
    entry_release(&list_entry(node, struct proposal, node)->entry);
}

void replica_free(struct replica *replica) {
  if (replica == NULL) return;
  unlink_proposals(replica);
  lane_remove(replica->lane, replica);
  raft_deinit(&replica->raft);
  memory_free(replica);
}

/* ---- Obeying ---- */

static void append(struct replica *replica, struct proposal *proposal, entry_index index, entry_term term) {
  struct log_view view = log_view(replica->log);
  struct entry_head *head = &proposal->entry.head;
  head->index = index;
  head->term = term;
  head->base_offset = view.next_offset;
  head->leader_time_ms = replica_leader_time_ms(replica, loop_wall_ms(lane_loop(replica->lane)));
  head->payload_size = (uint32_t)proposal->entry.payload.bytes.size;
  head->chain = log_append(replica->log, lane_write(replica->lane), &proposal->entry);
  replica->uncommitted_bytes += entry_size(head);
  list_push_back(&replica->uncommitted, &proposal->node);
}

static void noop_done(struct proposal *proposal, enum status status) {
  (void)status;
  memory_free(proposal);
}

static void append_noop(struct replica *replica, entry_index index, entry_term term) {
  struct proposal *noop = NEW(struct proposal);
  noop->entry.head.kind = ENTRY_NOOP;
  noop->done = noop_done;
  append(replica, noop, index, term);
}

static void tell_role(struct replica *replica, const struct raft_effects *effects) {
  if (replica->machine.ops->role_changed == NULL) return;
  replica->machine.ops->role_changed(replica->machine.owner, effects->role == RAFT_LEADER, effects->term, &effects->leader);
}

static void apply_next(struct replica *replica) {
  struct proposal *proposal = list_entry(list_pop_front(&replica->uncommitted), struct proposal, node);
  struct entry_head *head = &proposal->entry.head;
  CHECK(head->index == replica->applied + 1);
  replica->uncommitted_bytes -= entry_size(head);
  replica->high_watermark = entry_end_offset(head);
  replica->applied = head->index;
  log_set_applied(replica->log, head->index);
  replica->machine.ops->apply(replica->machine.owner, &proposal->entry);
  blob_part_release(proposal->entry.payload);
  proposal->entry.payload = (struct blob_part){0};
  proposal->done(proposal, STATUS_OK); /* the head is the answer */
}

static void apply_through(struct replica *replica, entry_index commit) {
  log_set_commit(replica->log, commit);
  while (replica->applied < commit && !replica->deleting) apply_next(replica);
}

static void append_one(struct replica *replica, const struct raft_appended *appended, struct proposal *proposal) {
  if (appended->kind == RAFT_APPEND_NOOP) append_noop(replica, appended->first, appended->term);
  else append(replica, proposal, appended->first, appended->term);
}

/* Does what the protocol asks for, in its order. `proposal`: what the event proposed, or NULL. */
static void obey(struct replica *replica, const struct raft_effects *effects, struct proposal *proposal) {
  /* A sole member tells nobody, cuts nothing and waits for nothing. */
  CHECK(effects->now_count == 0 && effects->held_count == 0 && !effects->cut && effects->deadline_ns == RAFT_NEVER);
  if (effects->save_hard_state) log_set_hard_state(replica->log, lane_write(replica->lane), &effects->hard_state);
  for (size_t i = 0; i < effects->append_count; i++) append_one(replica, &effects->appends[i], proposal);
  if (effects->role_changed) tell_role(replica, effects);
  if (effects->commit_advanced) apply_through(replica, effects->commit);
}

static void step(struct replica *replica, struct raft_event *event, struct raft_effects *out_effects) {
  event->now_ns = loop_now_ns(lane_loop(replica->lane));
  raft_step(&replica->raft, event, out_effects);
}

enum status replica_propose(struct replica *replica, struct proposal *proposal) {
  if (replica->deleting) return STATUS_UNKNOWN_PARTITION;
  if (replica_fenced(replica)) return STATUS_FENCED;
  if (replica->uncommitted_bytes >= REPLICA_UNCOMMITTED_BYTES_MAX) return STATUS_BUSY;

  struct raft_event event = {.kind = RAFT_PROPOSE, .count = 1};
  struct raft_effects effects;
  step(replica, &event, &effects);
  if (effects.status != STATUS_OK) return effects.status;
  obey(replica, &effects, proposal);
  return STATUS_OK;
}

/* ---- Durable, or never ---- */

static void finish_delete(struct replica *replica) {
  void (*deleted)(void *context) = replica->deleted;
  void *context = replica->deleted_context;
  replica_free(replica);
  deleted(context);
}

/* Frames come back in the order in which they were issued, so what they name is the log as it was then: each CUT is a generation. */
static void note_durable(struct raft_mark *durable, const struct journal_frame *frame) {
  struct hard_state state;
  if (frame->kind == FRAME_ENTRY) durable->index = frame->first_index;
  if (frame->kind == FRAME_CUT) {
    durable->generation++;
    if (durable->index >= frame->first_index) durable->index = frame->first_index - 1;
  }
  if (frame->kind == FRAME_HARD_STATE) {
    CHECK(journal_hard_state_decode(bytes_of(frame->head, frame->head_size), &state) == STATUS_OK);
    durable->term = state.term;
    durable->vote = state.vote;
  }
}

void replica_frame_durable(struct replica *replica, const struct journal_frame *frame) {
  note_durable(&replica->durable, frame);
  log_frame_durable(replica->log, frame);
  if (frame->kind == FRAME_CLOSE) replica->log = NULL; /* its set frees it */
}

void replica_publish(struct replica *replica) {
  if (replica->log == NULL) {
    finish_delete(replica);
    return;
  }
  struct raft_event event = {.kind = RAFT_PERSISTED, .persisted = replica->durable};
  struct raft_effects effects;
  step(replica, &event, &effects);
  obey(replica, &effects, NULL);
}

static void answer_all(struct replica *replica, enum status status) {
  for (struct list_node *node; (node = list_pop_front(&replica->uncommitted)) != NULL;) {
    struct proposal *proposal = list_entry(node, struct proposal, node);
    entry_release(&proposal->entry);
    proposal->done(proposal, status);
  }
  replica->uncommitted_bytes = 0;
}

void replica_disk_failed(struct replica *replica) {
  if (replica->deleting) {
    finish_delete(replica);
    return;
  }
  struct raft_event event = {.kind = RAFT_DISK_FAILED};
  struct raft_effects effects;
  step(replica, &event, &effects);
  obey(replica, &effects, NULL);
  answer_all(replica, STATUS_UNKNOWN_OUTCOME);
}

void replica_delete(struct replica *replica, void (*done)(void *context), void *context) {
  PRE(!replica->deleting);
  replica->deleting = true;
  replica->deleted = done;
  replica->deleted_context = context;
  answer_all(replica, STATUS_UNKNOWN_PARTITION);
  log_set_owner(replica->log, &(struct log_owner){0});
  if (lane_failed(replica->lane)) { /* no CLOSE frame will ever be durable: the next start finds the log and closes it */
    finish_delete(replica);
    return;
  }
  log_delete(replica->log, lane_write(replica->lane));
}

/* ---- Looking ---- */

struct log *replica_log(struct replica *replica) {
  return replica->log;
}
bool replica_fenced(const struct replica *replica) {
  return replica->raft.stopped || lane_failed(replica->lane) || log_view(replica->log).damaged;
}
bool replica_is_leader(const struct replica *replica) { return !replica_fenced(replica); }
entry_term replica_term(const struct replica *replica) { return raft_term(&replica->raft); }
record_offset replica_high_watermark(const struct replica *replica) { return replica->high_watermark; }

int64_t replica_leader_time_ms(const struct replica *replica, int64_t wall_ms) {
  int64_t last = log_view(replica->log).last_leader_time_ms;
  return wall_ms > last ? wall_ms : last;
}
