/* A follower that is too far behind takes log and state from its leader, beside its own, and then in its place.
 *
 *   WAITING    as many as may are under way on this lane                                 one of them comes to its end
 *   STATE      the leader's state comes in, part by part                              one part is asked for when the one before is here
 *   ENTRIES    the spare is filled behind the leader's base, up to what the state covers    the next when the ones before are durable
 *   STORING    the state goes into the store, with the spare                          by a checkpoint
 *   REPLACING  the spare is this replica's log, its owner has the state               the CLOSE frame of the old log decides
 *
 * Until the last step the old log is what it was: a crash, another leader or another term ends the install, and it is offered anew. From the
 * moment when the spare takes its place the owner has the new state, and acts on nothing that it says; a crash still brings the old one back.
 * When the CLOSE frame is durable the protocol hears of it, and then the owner; in between neither takes anything from anybody. Each question
 * is asked again when no answer comes: so a lost connection needs nothing else.
 */
#include "base/check.h"
#include "base/memory.h"
#include "base/probe.h"
#include "base/trace.h"
#include "replication/replica_internal.h"

#include <inttypes.h>

enum install_stage { INSTALL_WAITING, INSTALL_STATE, INSTALL_ENTRIES, INSTALL_STORING, INSTALL_REPLACING };

struct replica_install {
  struct replica *replica;
  struct list_node line; /* of the lane, while it waits */
  uint64_t id;
  entry_term term;
  struct replica_id leader;
  enum install_stage stage;
  struct buffer shipped; /* head and state, as far as they are here */
  uint64_t parts;
  struct ship_head head;
  struct replica_state state; /* what will be this replica's own */
  struct bytes owner;         /* the owner's, inside `shipped` */
  struct log *spare;          /* NULL: not made yet; or in force already */
  bool owned;                 /* the spare has an owner, who gives the state */
  bool closed;                /* the old log's CLOSE frame is durable */
  bool short_of_room;
  uint64_t pace_ns; /* more is not asked for before: live traffic goes first */
  uint64_t ask_ns;  /* when to ask again */
  uint64_t look_ns; /* when to look whether the state is stored; RAFT_NEVER: not now */
};

static uint64_t now_of(const struct replica *replica) { return loop_now_ns(lane_loop(replica->lane)); }

/* ---- The end ---- */

static void forget(struct replica *replica) {
  struct replica_install *install = replica->install;
  replica->install = NULL;
  if (install->stage == INSTALL_WAITING) list_remove(&install->line);
  else lane_install_ends(replica->lane);
  buffer_deinit(&install->shipped);
  memory_free(install);
}

void replica_install_free(struct replica *replica) {
  if (replica->install != NULL) forget(replica);
}

/* Its CLOSE frame is told to it as long as this replica knows it. */
static void drop_spare(struct replica *replica, struct log *spare) {
  CHECK(replica->closing == NULL);
  log_set_owner(spare, &(struct log_owner){0});
  if (lane_failed(replica->lane)) return; /* the next start drops it */
  log_delete(spare, lane_write(replica->lane));
  replica->closing = spare;
}

void replica_install_give_up(struct replica *replica) {
  struct replica_install *install = replica->install;
  if (install == NULL) return;
  if (install->spare != NULL) drop_spare(replica, install->spare);
  install->spare = NULL;
}

void replica_install_deleted(struct replica *replica) {
  replica_install_give_up(replica);
  if (replica->install != NULL && replica->install->stage == INSTALL_WAITING) forget(replica); /* its turn must not come */
}

static void fail(struct replica *replica, const char *reason) {
  if (replica->install->stage != INSTALL_WAITING)
    trace_warn("replica_install_failed", "group=%" PRIu64 " leader=%u term=%" PRIu64 " reason=%s", replica->group,
               replica->install->leader.broker, replica->install->term, reason);
  replica_install_give_up(replica);
  forget(replica);
  struct raft_event event = {.kind = RAFT_INSTALL_FAILED};
  (void)replica_step(replica, &event, NULL);
}

void replica_install_sweep(struct replica *replica) {
  struct log *spare = log_spare(replica->log);
  if (spare == NULL) return;
  trace_info("replica_install_swept", "group=%" PRIu64 " instance=%" PRIu64, replica->group, log_view(spare).instance);
  log_adopt(spare, lane_loop(replica->lane));
  drop_spare(replica, spare);
}

/* ---- Asking ---- */

static void ask(struct replica *replica, enum raft_message_kind kind, entry_index behind, entry_index through) {
  struct replica_install *install = replica->install;
  struct raft_message message = {.kind = kind,
                                 .from = replica->raft.self,
                                 .to = install->leader,
                                 .term = install->term,
                                 .sequence = install->id,
                                 .append = {.prev_index = behind, .commit = through}};
  install->ask_ns = now_of(replica) + lane_timing(replica->lane)->election_ns / 2;
  install->short_of_room = false;
  replica_to_wires(replica, &message, NULL, 0);
}

/* Also to be heard of while there is nothing to ask for. */
static void ask_for_next(struct replica *replica) {
  struct replica_install *install = replica->install;
  entry_index last = install->spare == NULL ? install->head.base.index : log_view(install->spare).last_index;
  if (install->stage == INSTALL_STATE) ask(replica, RAFT_FETCH_STATE, install->parts, 0);
  else ask(replica, RAFT_FETCH_ENTRIES, last, install->head.covers);
}

void replica_install_begin(struct replica *replica) {
  const struct raft *raft = &replica->raft;
  if (replica->install != NULL || replica->closing != NULL || lane_failed(replica->lane)) {
    struct raft_event event = {.kind = RAFT_INSTALL_FAILED};
    (void)replica_step(replica, &event, NULL);
    return;
  }
  struct replica_install *install = NEW(struct replica_install);
  install->replica = replica;
  install->id = lane_random(replica->lane) | 1;
  install->term = raft_term(raft);
  install->leader = raft->leader;
  install->ask_ns = install->look_ns = RAFT_NEVER;
  buffer_init(&install->shipped, SHIP_STATE_BYTES_MAX);
  replica->install = install;
  lane_install_waits(replica->lane, &install->line);
}

void replica_install_go(struct list_node *line) {
  struct replica_install *install = list_entry(line, struct replica_install, line);
  struct replica *replica = install->replica;
  CHECK(!replica->deleting);
  REACHED(replica_installs);
  trace_warn("replica_too_far_behind", "group=%" PRIu64 " last=%" PRIu64 " leader=%u damaged=%d", replica->group,
             raft_last_index(&replica->raft), install->leader.broker, replica->raft.damage.damaged);
  install->stage = INSTALL_STATE;
  ask_for_next(replica);
  replica_arm(replica);
}

void replica_install_check(struct replica *replica) {
  const struct replica_install *install = replica->install;
  if (install->stage == INSTALL_REPLACING) return;
  bool same = raft_term(&replica->raft) == install->term && replica_id_equal(&replica->raft.leader, &install->leader);
  if (!same || replica->raft.stopped) fail(replica, "leader_changed");
}

/* ---- Storing ---- */

/* What the store is to have with the spare. */
static enum status give_state(void *context, struct buffer *out) {
  struct replica *replica = context;
  const struct replica_install *install = replica->install;
  enum status status = replica_state_encode(&install->state, out);
  return status == STATUS_OK ? buffer_append(out, install->owner.data, install->owner.size) : status;
}

/* The owner first: a state that it cannot read must not come into force. */
static void take_place(struct replica *replica) {
  struct replica_install *install = replica->install;
  struct log *spare = install->spare;
  replica->settling = true; /* nothing is told while the owner is between two states */
  if (replica->machine.ops->replaced != NULL) replica->machine.ops->replaced(replica->machine.owner, spare);
  enum status status = replica->machine.ops->restore(replica->machine.owner, install->owner);
  CHECK_MSG(status == STATUS_OK,
            "the leader of group %" PRIu64 " has a state that this version cannot read (%s): run the newer version",
            replica->group, status_name(status));
  replica->settling = false;
  install->stage = INSTALL_REPLACING;
  install->look_ns = install->ask_ns = RAFT_NEVER;
  install->spare = NULL;
  log_replace(spare, lane_write(replica->lane));
  CHECK(replica->closing == NULL);
  replica_mend_end(replica);
  replica_give_end(replica);
  log_set_owner(replica->log, &(struct log_owner){0});
  replica->closing = replica->log;
  replica->log = spare;
  replica->applied = install->head.covers;
  replica->restored = 0; /* it has another state now */
  replica->high_watermark = install->head.next_offset;
  replica_answer_all(replica, STATUS_UNKNOWN_OUTCOME, STATUS_NOT_LEADER); /* what they asked for is in the state, or is not */
}

static void store(struct replica *replica) {
  struct replica_install *install = replica->install;
  struct log_view view = log_view(install->spare);
  if (view.damaged) {
    fail(replica, "journal_rotted");
    return;
  }
  if (view.durable_index != install->head.covers) return;
  if (!install->owned) {
    log_set_owner(install->spare, &(struct log_owner){.snapshot = give_state, .context = replica});
    install->owned = true;
  }
  if (view.stored_index == install->head.covers) {
    take_place(replica);
    return;
  }
  log_set_checkpoint(lane_logs(replica->lane), NULL, NULL);
  install->look_ns = now_of(replica) + lane_timing(replica->lane)->heartbeat_ns / 2;
}

/* ---- The spare ---- */

static void make_spare(struct replica *replica, record_offset first_offset, bool empty) {
  struct replica_install *install = replica->install;
  struct log_base base = install->head.base;
  base.next_offset = first_offset;
  if (!empty) base.leader_time_ms = base.max_time_ms = 0; /* the entries tell */
  install->spare = log_create_at(replica->log, lane_write(replica->lane), &base);
}

static bool entries_are_whole(const struct replica *replica) {
  const struct replica_install *install = replica->install;
  struct log_view view = log_view(install->spare);
  return view.last_term == install->head.covers_term && view.next_offset == install->head.next_offset;
}

/* The spare has all that is appended to it, durably. */
static void go_on(struct replica *replica) {
  struct replica_install *install = replica->install;
  bool complete = install->spare != NULL && log_view(install->spare).last_index == install->head.covers;
  if (install->stage == INSTALL_ENTRIES && complete) {
    if (!entries_are_whole(replica)) {
      fail(replica, "log_and_state_differ");
      return;
    }
    install->stage = INSTALL_STORING;
  }
  if (install->stage == INSTALL_STORING) store(replica);
  else if (install->short_of_room) return;
  else if (install->pace_ns > now_of(replica)) install->ask_ns = install->pace_ns;
  else ask_for_next(replica);
}

/* Of one that does not count yet. Not for so long that the leader would take it for gone. */
static void pace(struct replica *replica, const struct entry *entries, size_t count) {
  uint64_t bytes = 0;
  if (raft_config_votes(&replica->raft.config, &replica->raft.self)) return;
  for (size_t i = 0; i < count; i++) bytes += entry_size(&entries[i].head);
  uint64_t free_ns = lane_took(replica->lane, bytes);
  uint64_t latest_ns = now_of(replica) + lane_timing(replica->lane)->election_ns / 2;
  replica->install->pace_ns = free_ns < latest_ns ? free_ns : latest_ns;
}

static bool follows(const struct log_view *view, const struct entry *entry, entry_index covers) {
  const struct entry_head *head = &entry->head;
  return head->index == view->last_index + 1 && head->index <= covers && head->term >= view->last_term &&
         head->base_offset == view->next_offset && entry_check_payload(head, entry->payload.bytes) == STATUS_OK &&
         entry_chain(head, entry->payload.bytes, view->last_chain) == head->chain;
}

/* As many as there is room for; the rest is asked for again. */
static void append(struct replica *replica, const struct entry *entries, size_t count) {
  struct replica_install *install = replica->install;
  struct log_set *logs = lane_logs(replica->lane);
  for (size_t i = 0; i < count; i++) {
    struct log_view view = log_view(install->spare);
    if (!follows(&view, &entries[i], install->head.covers)) return; /* rot on the way, or worse: asked for again */
    if (entry_needs_room(entries[i].head.kind) && log_set_admit(logs, entries[i].head.payload_size) != STATUS_OK) {
      REACHED(install_without_room);
      install->short_of_room = true;
      install->ask_ns = now_of(replica) + lane_timing(replica->lane)->heartbeat_ns;
      log_hurry(install->spare);
      return;
    }
    log_append_sealed(install->spare, lane_write(replica->lane), &entries[i]);
    log_set_commit(install->spare, entries[i].head.index);
    log_set_applied(install->spare, entries[i].head.index);
  }
}

static void receive_entries(struct replica *replica, const struct peer_message *message) {
  struct replica_install *install = replica->install;
  entry_index last = install->spare == NULL ? install->head.base.index : log_view(install->spare).last_index;
  if (install->stage != INSTALL_ENTRIES || message->count == 0 || message->raft.append.prev_index != last) return;
  if (install->spare == NULL) {
    const struct entry *first = &message->entries[0];
    bool follows_base = first->head.base_offset >= 0 && entry_check_payload(&first->head, first->payload.bytes) == STATUS_OK &&
                        entry_chain(&first->head, first->payload.bytes, install->head.base.chain) == first->head.chain;
    if (!follows_base) return;
    make_spare(replica, first->head.base_offset, false);
  }
  install->ask_ns = now_of(replica) + lane_timing(replica->lane)->election_ns / 2;
  pace(replica, message->entries, message->count);
  append(replica, message->entries, message->count);
}

/* ---- The state ---- */

/* What this replica may have promised and lost still binds it (R11). */
static bool take_state(struct replica *replica) {
  struct replica_install *install = replica->install;
  const struct raft_install *offer = replica->raft.install;
  install->state = (struct replica_state){.config = offer->config, .config_index = offer->config_index};
  enum status status =
      replica_state_decode(replica_ship_state(buffer_bytes(&install->shipped)), &install->state, &install->owner);
  install->state.damage = replica->raft.damage;
  install->state.damage.damaged = false;
  return status == STATUS_OK && install->head.covers >= offer->index && install->head.covers_term >= offer->index_term &&
         install->state.config_index >= offer->config_index && raft_config_valid(&install->state.config);
}

static void receive_state(struct replica *replica, const struct peer_message *message) {
  struct replica_install *install = replica->install;
  if (install->stage != INSTALL_STATE || message->count != 1 || message->raft.append.prev_index != install->parts) return;
  const struct entry *part = &message->entries[0];
  bool whole = entry_check_payload(&part->head, part->payload.bytes) == STATUS_OK &&
               entry_chain(&part->head, part->payload.bytes, install->parts) == part->head.chain;
  if (!whole) return; /* asked for again */
  struct ship_head head;
  bool wrong = buffer_append(&install->shipped, part->payload.bytes.data, part->payload.bytes.size) != STATUS_OK;
  install->parts++;
  bool known = !wrong && replica_ship_head(buffer_bytes(&install->shipped), &head, &wrong);
  if (!known || wrong) {
    fail(replica, "state_unreadable");
    return;
  }
  if (install->shipped.size < head.bytes) {
    ask_for_next(replica);
    return;
  }
  install->head = head;
  if (!take_state(replica)) {
    fail(replica, "state_unreadable");
    return;
  }
  install->stage = INSTALL_ENTRIES;
  if (head.base.index == head.covers) make_spare(replica, head.next_offset, true); /* all was trimmed */
  else ask_for_next(replica);
}

void replica_install_receive(struct replica *replica, const struct peer_message *message) {
  const struct replica_install *install = replica->install;
  if (install == NULL || lane_failed(replica->lane)) return;
  const struct raft_message *raft = &message->raft;
  if (raft->sequence != install->id || raft->term != install->term || !replica_id_equal(&raft->from, &install->leader)) return;
  if (install->stage == INSTALL_REPLACING) return;
  if (raft->kind == RAFT_SHIPPED_STATE) receive_state(replica, message);
  else if (raft->kind == RAFT_SHIPPED_ENTRIES) receive_entries(replica, message);
  else if (install->stage != INSTALL_STORING) fail(replica, "not_shipped");
  replica_arm(replica);
}

/* ---- Durable ---- */

void replica_install_frame(struct replica *replica, const struct journal_frame *frame) {
  struct replica_install *install = replica->install;
  if (install != NULL && install->spare != NULL && log_view(install->spare).instance == frame->instance) {
    log_frame_durable(install->spare, frame);
    return;
  }
  if (replica->closing == NULL || log_view(replica->closing).instance != frame->instance) return;
  bool replaced = install != NULL && install->stage == INSTALL_REPLACING;
  if (replaced && frame->kind != FRAME_CLOSE) replica_note_durable(&replica->durable, frame);
  log_frame_durable(replica->closing, frame);
  if (frame->kind != FRAME_CLOSE) return;
  replica->closing = NULL; /* its set frees it */
  if (replaced) install->closed = true;
}

/* The protocol takes it from here, and tells the owner. */
static void finish(struct replica *replica) {
  struct replica_install *install = replica->install;
  struct raft_config config = install->state.config;
  struct raft_event event = {.kind = RAFT_INSTALLED,
                             .index = install->head.covers,
                             .term = install->head.covers_term,
                             .config = &config,
                             .config_index = install->state.config_index};
  trace_info("replica_installed", "group=%" PRIu64 " leader=%u first=%" PRIu64 " last=%" PRIu64, replica->group,
             install->leader.broker, install->head.base.index + 1, install->head.covers);
  replica->durable.index = install->head.covers;
  replica->durable.generation++; /* as the trail of the protocol, which begins anew */
  forget(replica);
  replica_own_log(replica);
  replica->installed = true;
  (void)replica_step(replica, &event, NULL);
  replica_see_losses(replica);
}

void replica_install_publish(struct replica *replica) {
  struct replica_install *install = replica->install;
  if (install == NULL) return;
  if (install->closed) {
    finish(replica);
    return;
  }
  if (install->stage == INSTALL_REPLACING || install->spare == NULL) return;
  struct log_view view = log_view(install->spare);
  if (view.durable_index == view.last_index) go_on(replica);
  replica_arm(replica);
}

/* ---- Time ---- */

uint64_t replica_install_due_ns(const struct replica *replica) {
  const struct replica_install *install = replica->install;
  return install->ask_ns < install->look_ns ? install->ask_ns : install->look_ns;
}

void replica_install_timer(struct replica *replica, uint64_t now_ns) {
  struct replica_install *install = replica->install;
  if (install->stage == INSTALL_REPLACING || lane_failed(replica->lane)) {
    install->ask_ns = install->look_ns = RAFT_NEVER;
    return;
  }
  if (install->ask_ns <= now_ns) ask_for_next(replica);
  if (install->look_ns > now_ns) return;
  install->look_ns = RAFT_NEVER;
  store(replica);
}
