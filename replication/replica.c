#include "replication/replica.h"

#include "base/check.h"
#include "base/memory.h"
#include "base/trace.h"
#include "replication/replica_internal.h"

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

enum status replica_open(struct lane *lane, struct log *log, broker_id self, const struct state_machine *machine,
                         struct replica **out_replica) {
  struct log_view view = log_view(log);
  struct replica *replica = NEW(struct replica);
  replica->lane = lane;
  replica->log = log;
  replica->machine = *machine;
  replica->group = view.group;
  list_init(&replica->uncommitted);
  raft_init(&replica->raft, &(struct raft_start){.self = self,
                                                 .hard_state = view.hard_state,
                                                 .last_term = view.last_term,
                                                 .last_index = view.last_index});
  enum status status = restore(replica);
  if (status != STATUS_OK) {
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
  memory_free(replica);
}

/* ---- Proposing ---- */

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
  replica->machine.ops->role_changed(replica->machine.owner, effects->role == RAFT_LEADER, effects->term);
}

enum status replica_propose(struct replica *replica, struct proposal *proposal) {
  if (replica->deleting) return STATUS_UNKNOWN_PARTITION;
  if (replica_fenced(replica)) return STATUS_FENCED;
  if (replica->uncommitted_bytes >= REPLICA_UNCOMMITTED_BYTES_MAX) return STATUS_BUSY;

  struct raft_effects effects = raft_step(&replica->raft, &(struct raft_event){.kind = RAFT_PROPOSE});
  if (effects.status != STATUS_OK) return effects.status;
  if (effects.save_hard_state) log_set_hard_state(replica->log, lane_write(replica->lane), &effects.hard_state);
  if (effects.append_noop) append_noop(replica, effects.noop_index, effects.term);
  if (effects.append_proposal) append(replica, proposal, effects.proposal_index, effects.term);
  if (effects.role_changed) tell_role(replica, &effects);
  return STATUS_OK;
}

/* ---- Durable, committed, applied, answered ---- */

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

static void finish_delete(struct replica *replica) {
  void (*deleted)(void *context) = replica->deleted;
  void *context = replica->deleted_context;
  replica_free(replica);
  deleted(context);
}

void replica_frame_durable(struct replica *replica, const struct journal_frame *frame) {
  log_frame_durable(replica->log, frame);
  if (frame->kind == FRAME_CLOSE) replica->log = NULL; /* its set frees it */
}

void replica_publish(struct replica *replica) {
  if (replica->log == NULL) {
    finish_delete(replica);
    return;
  }
  struct log_view view = log_view(replica->log);
  struct raft_event event = {.kind = RAFT_PERSISTED, .index = view.durable_index, .term = view.last_term};
  struct raft_effects effects = raft_step(&replica->raft, &event);
  if (!effects.commit_advanced) return;

  log_set_commit(replica->log, effects.commit);
  while (replica->applied < effects.commit && !replica->deleting) apply_next(replica);
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
  struct raft_effects effects = raft_step(&replica->raft, &(struct raft_event){.kind = RAFT_DISK_FAILED});
  if (effects.role_changed) tell_role(replica, &effects);
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

struct log *replica_log(struct replica *replica) { return replica->log; }
bool replica_fenced(const struct replica *replica) {
  return replica->raft.stopped || lane_failed(replica->lane) || log_view(replica->log).damaged;
}
bool replica_is_leader(const struct replica *replica) { return !replica_fenced(replica); }
entry_term replica_term(const struct replica *replica) { return replica->raft.hard_state.term; }
record_offset replica_high_watermark(const struct replica *replica) { return replica->high_watermark; }

int64_t replica_leader_time_ms(const struct replica *replica, int64_t wall_ms) {
  int64_t last = log_view(replica->log).last_leader_time_ms;
  return wall_ms > last ? wall_ms : last;
}
