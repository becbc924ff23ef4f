#include "replication/replica.h"

#include "base/check.h"
#include "base/memory.h"
#include "base/probe.h"
#include "base/trace.h"
#include "replication/replica_internal.h"

#include <inttypes.h>

/* ---- Opening ---- */

/* What the log tells about itself on its way past. */
struct opening {
  struct replica *replica;
  struct replica_id self;
  struct raft_config config;
  entry_index config_index;
  struct raft_config previous; /* before it, when `earlier` */
  entry_index previous_index;
  bool earlier;
  entry_index commit; /* known so far */
  bool uncommitted;   /* from here on only others can tell what is committed */
  struct raft_damage damage;
};

static enum status take_config(struct opening *opening, const struct entry *entry) {
  struct raft_config config;
  enum status status = raft_config_decode(entry->payload.bytes, &config);
  if (status != STATUS_OK) return status;
  opening->previous = opening->config;
  opening->previous_index = opening->config_index;
  opening->config = config;
  opening->config_index = entry->head.index;
  opening->earlier = true;
  return STATUS_OK;
}

static bool is_alone(const struct opening *opening) {
  return opening->config_index == 0 && raft_config_alone(&opening->config, &opening->self);
}

/* Applies what is committed, remembers the rest. A sole member's log is committed as far as it goes, up to the entry that makes it one among
 * others. */
static enum status visit(void *context, const struct entry *entry) {
  struct opening *opening = context;
  struct replica *replica = opening->replica;
  entry_index index = entry->head.index;
  if (entry->head.kind == ENTRY_CONFIG) {
    enum status status = take_config(opening, entry);
    if (status != STATUS_OK) return status;
  }
  bool alone = is_alone(opening);
  if (index > opening->commit && !alone) opening->uncommitted = true;
  if (opening->uncommitted) {
    replica_remember(replica, entry);
    return STATUS_OK;
  }
  /* Rot may have taken entries out of the journal. The suffix is kept and served; the log is fenced. */
  bool follows = index == replica->applied + 1;
  CHECK(follows || (index > replica->applied && log_view(replica->log).damaged));
  replica->machine.ops->apply(replica->machine.owner, entry);
  replica->applied = index;
  return STATUS_OK;
}

static entry_index greater(entry_index a, entry_index b) { return a > b ? a : b; }

static enum status restore(struct opening *opening) {
  struct replica *replica = opening->replica;
  struct log *log = replica->log;
  struct log_view view = log_view(log);
  entry_index applied = 0;
  struct bytes state = log_recovered_state(log, &applied);
  struct replica_state kept = {.config = opening->config};
  enum status status = replica_state_decode(state, &kept, &state);
  if (status != STATUS_OK) return status;
  opening->config = kept.config;
  opening->config_index = kept.config_index;
  opening->damage = kept.damage;
  status = replica->machine.ops->restore(replica->machine.owner, state);
  if (status != STATUS_OK) return status;

  replica->applied = replica->restored = applied;
  entry_index commit = greater(greater(view.hard_state.commit, view.commit_index), greater(view.flushed_index, applied));
  opening->commit = commit < view.last_index ? commit : view.last_index;
  log_set_commit(log, opening->commit);
  status = log_replay(log, applied, view.last_index, visit, opening);
  if (status != STATUS_OK) return status;
  bool alone = is_alone(opening);
  if (!opening->uncommitted) replica->applied = alone ? view.last_index : opening->commit;
  if (replica->applied > opening->commit) opening->commit = replica->applied;
  log_set_commit(log, opening->commit);
  log_set_applied(log, replica->applied);
  return STATUS_OK;
}

/* The log says that it has lost something, or the checkpoint does. What was lost is bounded only where nobody else could have seen it. */
static struct raft_damage damage_of(const struct opening *opening, const struct log_view *view) {
  struct raft_damage damage = opening->damage;
  if (!view->damaged) return damage;
  damage.damaged = true;
  damage.through = is_alone(opening) ? view->last_index : UINT64_MAX;
  return damage;
}

/* A sole member's terms are of no use to anybody; one among others may be asked for any entry that it has. */
static struct log_term_run *terms_of(const struct opening *opening, struct raft_start *start) {
  const struct log *log = opening->replica->log;
  struct log_view view = log_view(log);
  start->base_index = view.last_index;
  start->base_term = view.last_term;
  if (is_alone(opening) || view.last_index == 0) return NULL;
  start->base_index = view.start_index - 1;
  if (start->base_index > opening->commit) start->base_index = opening->commit;
  start->base_term = 0;
  if (start->base_index > 0 && log_term_at(log, start->base_index, &start->base_term) != STATUS_OK)
    CHECK_MSG(false, "group %" PRIu64 " does not know the term before its first entry", view.group);
  size_t count = log_terms(log, start->base_index, NULL, 0);
  struct log_term_run *runs = memory_new_array(count + 1, sizeof *runs);
  start->term_count = log_terms(log, start->base_index, runs, count);
  return runs;
}

static void start_raft(struct opening *opening) {
  struct replica *replica = opening->replica;
  struct log_view view = log_view(replica->log);
  struct raft_start start = {.self = opening->self,
                             .hard_state = view.hard_state,
                             .last_index = view.last_index,
                             .config = &opening->config,
                             .config_index = opening->config_index,
                             .previous_config = opening->earlier ? &opening->previous : NULL,
                             .previous_config_index = opening->previous_index,
                             .damage = damage_of(opening, &view),
                             .timing = *lane_timing(replica->lane),
                             .now_ns = lane_clock_ns(replica->lane)};
  if (!is_alone(opening)) start.seed = lane_random(replica->lane);
  if (start.hard_state.commit < opening->commit) start.hard_state.commit = opening->commit;
  struct log_term_run *runs = terms_of(opening, &start);
  struct trail_run *terms = memory_new_array(start.term_count + 1, sizeof *terms);
  for (size_t i = 0; i < start.term_count; i++) terms[i] = (struct trail_run){.first = runs[i].first, .term = runs[i].term};
  start.terms = terms;
  raft_init(&replica->raft, &start);
  memory_free(terms);
  memory_free(runs);
  replica->durable = raft_mark(&replica->raft);
}

static enum status snapshot(void *context, struct buffer *out) {
  struct replica *replica = context;
  struct replica_state state;
  if (!replica_state_of(replica, &state)) return STATUS_LOADING;
  enum status status = replica_state_encode(&state, out);
  if (status != STATUS_OK) return status;
  return replica->machine.ops->snapshot(replica->machine.owner, out);
}

static void suspected(void *context) { replica_mend_begin(context); }

void replica_own_log(struct replica *replica) {
  log_set_owner(replica->log,
                &(struct log_owner){.snapshot = snapshot, .suspected = suspected, .lost = replica_note_loss, .context = replica});
}

static record_offset watermark_of(const struct replica *replica) {
  struct list_node *first = list_first(&replica->uncommitted);
  if (first == NULL) return log_view(replica->log).next_offset;
  return list_entry(first, struct proposal, node)->entry.head.base_offset;
}

enum status replica_open(struct lane *lane, struct log *log, const struct replica_options *options,
                         const struct state_machine *machine, struct replica **out_replica) {
  struct replica *replica = NEW(struct replica);
  replica->lane = lane;
  replica->log = log;
  replica->machine = *machine;
  replica->group = log_view(log).group;
  replica->timer_ns = RAFT_NEVER;
  replica->lost_ns = RAFT_NEVER;
  list_init(&replica->uncommitted);
  list_init(&replica->reads);
  struct opening opening = {.replica = replica, .self = options->self};
  if (options->founding != NULL) opening.config = *options->founding;
  else raft_config_add(&opening.config, &options->self, RAFT_VOTER, RAFT_VOTER);
  enum status status = restore(&opening);
  if (status != STATUS_OK) {
    log_forget_owner(log);
    replica_drop_all(replica);
    memory_free(replica);
    return status;
  }
  start_raft(&opening);
  replica_need_links(replica);
  replica_apply_recovered(replica);
  replica->high_watermark = watermark_of(replica);
  replica_own_log(replica);
  lane_add(lane, replica);
  *out_replica = replica;
  return STATUS_OK;
}

void replica_start(struct replica *replica) {
  replica->started = true;
  replica_install_sweep(replica);
  replica_mend_begin(replica);
  if (lane_reluctant(replica->lane)) replica_own_wish(replica, true);
  replica_arm(replica);
}

void replica_need_links(struct replica *replica) {
  if (replica->links != NULL || replica_alone(replica)) return;
  replica->links = NEW(struct replica_links);
  replica->links->sender.replica = replica;
  replica->links->crowded.replica = replica;
  replica->links->doubt_ns = RAFT_NEVER;
  list_init(&replica->links->cut);
}

void replica_free(struct replica *replica) {
  if (replica == NULL) return;
  replica_drop_all(replica);
  replica_mend_end(replica);
  replica_give_end(replica);
  replica_install_free(replica);
  replica_links_free(replica);
  lane_remove(replica->lane, replica);
  raft_deinit(&replica->raft);
  memory_free(replica);
}

/* ---- Proposing, asking ---- */

enum status replica_propose(struct replica *replica, struct proposal *proposal) {
  if (replica->deleting) return STATUS_UNKNOWN_PARTITION;
  if (replica_fenced(replica)) return STATUS_FENCED;
  if (replica->uncommitted_bytes >= REPLICA_UNCOMMITTED_BYTES_MAX) return STATUS_BUSY;
  struct raft_event event = {.kind = RAFT_PROPOSE, .count = 1};
  enum status status = replica_step(replica, &event, &(struct replica_load){.proposal = proposal});
  bool hands_over = status == STATUS_NOT_LEADER && replica->raft.role == RAFT_LEADER;
  return hands_over ? STATUS_LOADING : status;
}

void replica_read(struct replica *replica, struct replica_read *read) {
  read->confirmed = read->failed = false;
  enum status status = STATUS_UNKNOWN_PARTITION;
  if (!replica->deleting) {
    struct raft_event event = {.kind = RAFT_READ};
    status = replica_step(replica, &event, &(struct replica_load){.read = read});
  }
  if (status != STATUS_OK) read->done(read, status);
}

static enum status ask(struct replica *replica, struct raft_event *event) {
  if (replica->deleting) return STATUS_UNKNOWN_PARTITION;
  return replica_step(replica, event, NULL);
}

enum status replica_change_members(struct replica *replica, const struct raft_config *target) {
  return ask(replica, &(struct raft_event){.kind = RAFT_CHANGE_MEMBERS, .config = target});
}

enum status replica_transfer(struct replica *replica, const struct replica_id *to) {
  return ask(replica, &(struct raft_event){.kind = RAFT_TRANSFER, .peer = *to});
}

enum raft_offer replica_offer(struct replica *replica, const struct replica_offer *offer) {
  struct raft_event event = {.kind = RAFT_OFFER, .peer = offer->to, .wished = offer->wished, .tries = offer->tries};
  struct replica_load load = {.offer = RAFT_OFFER_NOT_LEADER};
  if (!replica->deleting) (void)replica_step(replica, &event, &load);
  return load.offer;
}

bool replica_wished(const struct replica *replica) { return raft_wished(&replica->raft); }

bool replica_hand_over(struct replica *replica) {
  if (raft_transferring(&replica->raft)) return true;
  return replica_transfer(replica, &(struct replica_id){0}) == STATUS_OK && replica->raft.role == RAFT_LEADER;
}

void replica_campaign(struct replica *replica) { (void)ask(replica, &(struct raft_event){.kind = RAFT_CAMPAIGN}); }

/* ---- Durable, or never ---- */

static void finish_delete(struct replica *replica) {
  void (*deleted)(void *context) = replica->deleted;
  void *context = replica->deleted_context;
  replica_free(replica);
  deleted(context);
}

/* Frames come back in the order in which they were issued, so what they name is the log as it was then: each CUT is a generation. */
void replica_note_durable(struct raft_mark *durable, const struct journal_frame *frame) {
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
  bool several = replica->install != NULL || replica->closing != NULL;
  if (several && frame->instance != log_view(replica->log).instance) {
    replica_install_frame(replica, frame);
    return;
  }
  replica_note_durable(&replica->durable, frame);
  log_frame_durable(replica->log, frame);
  if (frame->kind == FRAME_CLOSE) replica->log = NULL; /* its set frees it */
}

void replica_publish(struct replica *replica) {
  if (replica->log == NULL) {
    finish_delete(replica);
    return;
  }
  if (replica->deleting) return;
  replica_install_publish(replica);
  struct raft_event event = {.kind = RAFT_PERSISTED, .persisted = replica->durable};
  (void)replica_step(replica, &event, NULL);
}

void replica_disk_failed(struct replica *replica) {
  if (replica->deleting) {
    finish_delete(replica);
    return;
  }
  if (replica->raft.role == RAFT_LEADER) REACHED(leader_whose_disk_fails);
  else REACHED(follower_whose_disk_fails);
  struct raft_event event = {.kind = RAFT_DISK_FAILED};
  (void)replica_step(replica, &event, NULL);
  replica_answer_all(replica, STATUS_UNKNOWN_OUTCOME, STATUS_FENCED);
}

bool replica_lane_stops(struct replica *replica) {
  bool none = list_empty(&replica->uncommitted) && list_empty(&replica->reads) &&
              (replica->links == NULL || list_empty(&replica->links->cut));
  if (!none) replica_answer_all(replica, STATUS_UNKNOWN_OUTCOME, STATUS_DRAINING);
  return !none;
}

void replica_delete(struct replica *replica, void (*done)(void *context), void *context) {
  PRE(!replica->deleting);
  if (replica->timer_ns != RAFT_NEVER) loop_timer_cancel(lane_loop(replica->lane), &replica->timer);
  replica->timer_ns = RAFT_NEVER;
  replica->deleting = true;
  replica->deleted = done;
  replica->deleted_context = context;
  replica_forget_wires(replica);
  replica_mend_end(replica);
  replica_give_end(replica);
  replica_answer_all(replica, STATUS_UNKNOWN_PARTITION, STATUS_UNKNOWN_PARTITION);
  log_set_owner(replica->log, &(struct log_owner){0});
  if (lane_failed(replica->lane)) { /* no CLOSE frame will ever be durable: the next start finds the log and closes it */
    finish_delete(replica);
    return;
  }
  replica_install_deleted(replica);
  log_delete(replica->log, lane_write(replica->lane));
}

/* ---- Looking ---- */

struct log *replica_log(struct replica *replica) {
  return replica->log;
}
bool replica_fenced(const struct replica *replica) {
  return replica->raft.stopped || replica->raft.damage.damaged || lane_failed(replica->lane) || log_view(replica->log).damaged;
}
bool replica_is_leader(const struct replica *replica) {
  return !replica_fenced(replica) && (replica->raft.role == RAFT_LEADER || replica_alone(replica));
}
bool replica_ready(const struct replica *replica) {
  return replica_is_leader(replica) && replica->applied >= replica->decides_from;
}
struct replica_id replica_leader(const struct replica *replica) {
  return replica_alone(replica) ? replica->raft.self : replica->raft.leader;
}
entry_term replica_term(const struct replica *replica) { return raft_term(&replica->raft); }
const struct raft_config *replica_config(const struct replica *replica) { return &replica->raft.config; }

bool replica_alone(const struct replica *replica) { return raft_alone(&replica->raft); }

bool replica_config_committed(const struct replica *replica) { return replica->raft.config_index <= raft_commit(&replica->raft); }
entry_index replica_applied(const struct replica *replica) { return replica->applied; }
record_offset replica_high_watermark(const struct replica *replica) { return replica->high_watermark; }

int64_t replica_leader_time_ms(const struct replica *replica, int64_t wall_ms) {
  int64_t last = log_view(replica->log).last_leader_time_ms;
  return wall_ms > last ? wall_ms : last;
}
