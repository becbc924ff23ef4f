/* Obeying the protocol, and telling the owner what came of it.
 *
 *   replica_step ─> raft_step ─> persist ─> send ─> note commit, role, reads, timer ─> greet
 *        │                                                                              (perhaps a step of its own)
 *        └─> settle: install, role, apply, answers    only when everything above is done; calls out, so all of it may begin again from in there
 */
#include "base/check.h"
#include "base/memory.h"
#include "base/probe.h"
#include "base/trace.h"
#include "base/witness.h"
#include "replication/replica_internal.h"

#include <inttypes.h>

#define DOUBT_TIMEOUTS 2u /* election timeouts for which the fate of a proposal is waited for */

/* ---- Entries that are not applied yet ---- */

/* The proposal of somebody else: nobody waits for it here. */
static void nobody_waits(struct proposal *proposal, enum status status) {
  (void)status;
  memory_free(proposal);
}

static bool is_own(const struct proposal *proposal) { return proposal->done != nobody_waits; }

static struct proposal *stand_in(const struct entry_head *head) {
  struct proposal *proposal = NEW(struct proposal);
  proposal->entry.head = *head;
  proposal->done = nobody_waits;
  return proposal;
}

static void push(struct replica *replica, struct proposal *proposal) {
  replica->uncommitted_bytes += entry_size(&proposal->entry.head);
  list_push_back(&replica->uncommitted, &proposal->node);
}

void replica_remember(struct replica *replica, const struct entry *entry) {
  struct proposal *proposal = stand_in(&entry->head);
  if (entry->head.kind != ENTRY_RECORDS) proposal->entry.payload = blob_part_hold(entry->payload);
  push(replica, proposal);
}

static void release_payload(struct proposal *proposal) {
  blob_part_release(proposal->entry.payload);
  proposal->entry.payload = (struct blob_part){0};
}

static void finish(struct proposal *proposal, enum status status) {
  release_payload(proposal);
  proposal->done(proposal, status);
}

static void finish_all(struct list *proposals, enum status status) {
  for (struct list_node *node; (node = list_pop_front(proposals)) != NULL;)
    finish(list_entry(node, struct proposal, node), status);
}

static void drop_all(struct list *proposals) {
  for (struct list_node *node; (node = list_pop_front(proposals)) != NULL;) {
    struct proposal *proposal = list_entry(node, struct proposal, node);
    release_payload(proposal);
    if (!is_own(proposal)) memory_free(proposal);
  }
}

void replica_drop_all(struct replica *replica) {
  drop_all(&replica->uncommitted);
  if (replica->links != NULL) drop_all(&replica->links->cut);
}

/* ---- Into the journal ---- */

static void append(struct replica *replica, struct proposal *proposal, entry_index index, entry_term term) {
  struct log_view view = log_view(replica->log);
  struct entry_head *head = &proposal->entry.head;
  head->index = index;
  head->term = term;
  head->base_offset = view.next_offset;
  head->leader_time_ms = replica_leader_time_ms(replica, loop_wall_ms(lane_loop(replica->lane)));
  head->payload_size = (uint32_t)proposal->entry.payload.bytes.size;
  head->chain = log_append(replica->log, lane_write(replica->lane), &proposal->entry);
  if (replica->links != NULL) replica->links->appended_bytes += entry_size(head);
  push(replica, proposal);
}

static struct proposal *config_entry(const struct raft_config *config) {
  uint8_t bytes[RAFT_CONFIG_BYTES_MAX];
  size_t size = raft_config_encode(config, bytes);
  struct blob *blob = NULL;
  enum status status = blob_new(NULL, size, &blob);
  CHECK(status == STATUS_OK); /* it is charged to nobody */
  for (size_t i = 0; i < size; i++) blob->data[i] = bytes[i];
  struct proposal *proposal = stand_in(&(struct entry_head){.kind = ENTRY_CONFIG});
  proposal->entry.payload = (struct blob_part){.blob = blob, .bytes = bytes_of(blob->data, size)};
  return proposal;
}

static void append_received(struct replica *replica, const struct raft_appended *appended, struct replica_load *load) {
  PRE(load != NULL && load->entries != NULL);
  const struct entry *entries = load->entries + (appended->first - load->entries[0].head.index);
  load->appended_from = appended->first;
  load->appended = appended->count;
  for (uint32_t i = 0; i < appended->count; i++) {
    CHECK(entries[i].head.index == appended->first + i);
    log_append_sealed(replica->log, lane_write(replica->lane), &entries[i]);
    replica_remember(replica, &entries[i]);
  }
}

static void append_one(struct replica *replica, const struct raft_effects *effects, const struct raft_appended *appended,
                       struct replica_load *load) {
  switch (appended->kind) {
    case RAFT_APPEND_NOOP:
      append(replica, stand_in(&(struct entry_head){.kind = ENTRY_NOOP}), appended->first, appended->term);
      if (replica->decides_term == appended->term) break; /* not the term's first: it proves something to a follower */
      /* What earlier leaders left is committed with it. Whoever is alone had committed everything before. */
      replica->decides_from = replica_alone(replica) ? appended->first - 1 : appended->first;
      replica->decides_term = appended->term;
      break;
    case RAFT_APPEND_CONFIG: append(replica, config_entry(effects->config), appended->first, appended->term); break;
    case RAFT_APPEND_PROPOSAL: append(replica, load->proposal, appended->first, appended->term); break;
    case RAFT_APPEND_MESSAGE: append_received(replica, appended, load); break;
  }
}

/* Own proposals among what goes wait for what takes their place. */
static void cut(struct replica *replica, entry_index from) {
  struct list_node *node;
  while ((node = list_last(&replica->uncommitted)) != NULL) {
    struct proposal *proposal = list_entry(node, struct proposal, node);
    if (proposal->entry.head.index < from) break;
    list_remove(node);
    replica->uncommitted_bytes -= entry_size(&proposal->entry.head);
    release_payload(proposal);
    if (is_own(proposal)) list_push_front(&replica->links->cut, node);
    else memory_free(proposal);
  }
  if (log_view(replica->log).last_index > from) REACHED(several_entries_cut);
  log_cut(replica->log, lane_write(replica->lane), from);
}

static void persist(struct replica *replica, const struct raft_effects *effects, struct replica_load *load) {
  if (effects->save_hard_state && effects->hard_state.vote != 0) {
    WITNESS(votes, replica->raft.self.broker, replica->group, effects->hard_state.term);
  }
  if (effects->save_hard_state) log_set_hard_state(replica->log, lane_write(replica->lane), &effects->hard_state);
  if (effects->cut) cut(replica, effects->cut_from);
  for (size_t i = 0; i < effects->append_count; i++) append_one(replica, effects, &effects->appends[i], load);
}

/* ---- The owner ---- */

/* State, not edges: what is told is what is so now, with the end of a leadership before the beginning of the next. */
static bool tell_role(struct replica *replica) {
  const struct raft *raft = &replica->raft;
  struct replica_role now = {.leads = raft->role == RAFT_LEADER, .term = raft_term(raft), .leader = raft->leader};
  struct replica_role *told = &replica->told;
  bool ended = told->leads && (!now.leads || now.term != told->term);
  bool other = !replica_id_equal(&told->leader, &now.leader) && (now.leader.broker != 0 || told->leader.broker != 0);
  bool began = now.leads && !told->leads;
  if (!ended && !began && !other) return false;
  if (ended && now.leads) now = (struct replica_role){.term = now.term};
  *told = now;
  if (replica->links != NULL)
    trace_info("replica_role", "group=%" PRIu64 " term=%" PRIu64 " leads=%d leader=%u", replica->group, now.term, now.leads,
               now.leader.broker);
  if (replica->machine.ops->role_changed != NULL)
    replica->machine.ops->role_changed(replica->machine.owner, now.leads, now.term, &now.leader);
  return true;
}

/* Before anything of what comes behind it. */
static bool tell_installed(struct replica *replica) {
  if (!replica->installed) return false;
  replica->installed = false;
  if (replica->machine.ops->installed != NULL) replica->machine.ops->installed(replica->machine.owner);
  return true;
}

static bool tell_stays(struct replica *replica) {
  if (!replica->stays) return false;
  replica->stays = false;
  if (replica->raft.role == RAFT_LEADER && replica->machine.ops->stays != NULL)
    replica->machine.ops->stays(replica->machine.owner);
  return true;
}

static void apply_entry(struct replica *replica, const struct entry *entry) {
  const struct entry_head *head = &entry->head;
  WITNESS(applied, replica->raft.self.broker, replica->group, raft_term(&replica->raft), head->index, head->term, head->chain);
  if (head->kind == ENTRY_CONFIG)
    WITNESS(configured, replica->raft.self.broker, replica->group, head->index, entry->payload.bytes.data,
            entry->payload.bytes.size);
  replica->high_watermark = entry_end_offset(head);
  replica->applied = head->index;
  log_set_applied(replica->log, head->index);
  if (head->index > replica->restored) replica->machine.ops->apply(replica->machine.owner, entry);
}

/* The very entry may have come back by another leader; else it is gone for good. */
static void tell_fate_of_cut(struct replica *replica, const struct entry_head *committed) {
  if (replica->links == NULL) return;
  struct list decided;
  list_init(&decided);
  list_for_each(&replica->links->cut, node, following) {
    struct proposal *proposal = list_entry(node, struct proposal, node);
    if (proposal->entry.head.index != committed->index) continue;
    list_remove(node);
    list_push_back(&decided, node);
  }
  for (struct list_node *node; (node = list_pop_front(&decided)) != NULL;) {
    struct proposal *proposal = list_entry(node, struct proposal, node);
    bool same = proposal->entry.head.term == committed->term;
    if (same) REACHED(cut_proposal_comes_back);
    else REACHED(proposal_replaced);
    finish(proposal, same ? STATUS_OK : STATUS_REPLACED); /* the head is the answer: equal index and term, equal entry */
  }
}

static void apply_next(struct replica *replica) {
  struct proposal *proposal = list_entry(list_pop_front(&replica->uncommitted), struct proposal, node);
  struct entry_head head = proposal->entry.head;
  CHECK(head.index == replica->applied + 1 || (head.index > replica->applied && log_view(replica->log).damaged));
  replica->uncommitted_bytes -= entry_size(&head);
  apply_entry(replica, &proposal->entry);
  finish(proposal, STATUS_OK); /* the head is the answer */
  tell_fate_of_cut(replica, &head);
}

static entry_index may_apply_through(const struct replica *replica) {
  entry_index commit = raft_commit(&replica->raft);
  entry_index durable = replica->raft.durable.index;
  return replica->machine.ops->makes_logs && durable < commit && !lane_failed(replica->lane) ? durable : commit;
}

static bool apply_some(struct replica *replica) {
  bool any = false;
  while (!list_empty(&replica->uncommitted) && !replica->deleting) {
    const struct proposal *first = list_entry(list_first(&replica->uncommitted), struct proposal, node);
    if (first->entry.head.index > may_apply_through(replica)) break;
    apply_next(replica);
    any = true;
  }
  return any;
}

void replica_apply_recovered(struct replica *replica) {
  log_set_commit(replica->log, raft_commit(&replica->raft));
  (void)apply_some(replica);
}

static bool answer_reads(struct replica *replica) {
  bool any = false;
  list_for_each(&replica->reads, node, following) {
    struct replica_read *read = list_entry(node, struct replica_read, node);
    bool ready = read->confirmed && read->index <= replica->applied;
    if (!ready && !read->failed) continue;
    list_remove(node);
    read->done(read, ready ? STATUS_OK : STATUS_NOT_LEADER);
    return true; /* whatever it did: look from the beginning */
  }
  return any;
}

/* Until there is nothing more to tell. Whoever is called may step the replica again: what comes of that is told by this loop. */
static void settle(struct replica *replica) {
  if (replica->settling) return;
  replica->settling = true;
  while (!replica->deleting &&
         (tell_installed(replica) || tell_role(replica) || tell_stays(replica) || apply_some(replica) || answer_reads(replica)))
    continue;
  replica->settling = false;
}

/* ---- Reads ---- */

static void note_reads(struct replica *replica, const struct raft_effects *effects, struct replica_load *load) {
  if (load != NULL && load->read != NULL && effects->status == STATUS_OK) {
    load->read->ticket = effects->read_ticket;
    list_push_back(&replica->reads, &load->read->node);
  }
  if (effects->reads_done == 0 && !effects->reads_failed) return;
  list_for_each(&replica->reads, node, following) {
    struct replica_read *read = list_entry(node, struct replica_read, node);
    if (read->confirmed) continue;
    if (read->ticket <= effects->reads_done) {
      read->confirmed = true;
      read->index = effects->read_index;
    } else if (effects->reads_failed) {
      read->failed = true;
    }
  }
}

/* ---- Proposals whose fate is not known ---- */

static bool in_doubt(const struct replica *replica, const struct proposal *proposal) {
  bool leads = replica->raft.role == RAFT_LEADER;
  return is_own(proposal) && !(leads && proposal->entry.head.term == raft_term(&replica->raft));
}

static bool any_in_doubt(const struct replica *replica) {
  if (!list_empty(&replica->links->cut)) return true;
  list_for_each(&replica->uncommitted, node, following) {
    if (in_doubt(replica, list_entry(node, struct proposal, node))) return true;
  }
  return false;
}

static void begin_doubt(struct replica *replica) {
  struct replica_links *links = replica->links;
  if (links == NULL || links->doubt_ns != RAFT_NEVER || !any_in_doubt(replica)) return;
  links->doubt_ns = loop_now_ns(lane_loop(replica->lane)) + DOUBT_TIMEOUTS * lane_timing(replica->lane)->election_ns;
}

/* The entries stay in the log, and are applied if they are committed after all. */
static void give_up_doubtful(struct replica *replica) {
  struct list doubtful;
  list_init(&doubtful);
  list_for_each(&replica->uncommitted, node, following) {
    struct proposal *proposal = list_entry(node, struct proposal, node);
    if (!in_doubt(replica, proposal)) continue;
    struct proposal *instead = stand_in(&proposal->entry.head);
    instead->entry.payload = proposal->entry.payload;
    proposal->entry.payload = (struct blob_part){0};
    list_insert_before(node, &instead->node);
    list_remove(node);
    list_push_back(&doubtful, node);
  }
  list_for_each(&replica->links->cut, node, following) {
    list_remove(node);
    list_push_back(&doubtful, node);
  }
  if (!list_empty(&doubtful)) REACHED(proposal_given_up);
  finish_all(&doubtful, STATUS_UNKNOWN_OUTCOME);
}

void replica_answer_all(struct replica *replica, enum status proposals, enum status reads) {
  struct list all;
  list_init(&all);
  for (struct list_node *node; (node = list_pop_front(&replica->uncommitted)) != NULL;) list_push_back(&all, node);
  replica->uncommitted_bytes = 0;
  if (replica->links != NULL) {
    for (struct list_node *node; (node = list_pop_front(&replica->links->cut)) != NULL;) list_push_back(&all, node);
  }
  finish_all(&all, proposals);
  for (struct list_node *node; (node = list_pop_front(&replica->reads)) != NULL;) {
    struct replica_read *read = list_entry(node, struct replica_read, node);
    read->done(read, reads);
  }
}

/* ---- The timer ---- */

static void timer_fired(struct timer *timer) {
  struct replica *replica = container_of(timer, struct replica, timer);
  replica->timer_ns = RAFT_NEVER;
  if (replica->deleting) return;
  uint64_t now_ns = loop_now_ns(lane_loop(replica->lane));
  struct replica_links *links = replica->links;
  if (links != NULL) replica_send_timer(replica, now_ns);
  if (replica->install != NULL) replica_install_timer(replica, now_ns);
  if (replica->mend != NULL) replica_mend_timer(replica, now_ns);
  if (links != NULL && links->doubt_ns <= now_ns) {
    links->doubt_ns = RAFT_NEVER;
    give_up_doubtful(replica);
  }
  if (replica->lost_ns <= now_ns) replica_loss_timer(replica, now_ns);
  if (raft_deadline(&replica->raft) <= now_ns) {
    struct raft_event event = {.kind = RAFT_TIMER};
    (void)replica_step(replica, &event, NULL);
  }
  replica_arm(replica);
}

void replica_arm(struct replica *replica) {
  if (!replica->started || replica->deleting) return;
  uint64_t due_ns = raft_deadline(&replica->raft);
  if (replica->lost_ns < due_ns) due_ns = replica->lost_ns;
  if (replica->links != NULL) {
    uint64_t send_due_ns = replica_send_due_ns(replica);
    if (send_due_ns < due_ns) due_ns = send_due_ns;
    if (replica->links->doubt_ns < due_ns) due_ns = replica->links->doubt_ns;
  }
  if (replica->install != NULL && replica_install_due_ns(replica) < due_ns) due_ns = replica_install_due_ns(replica);
  if (replica->mend != NULL && replica_mend_due_ns(replica) < due_ns) due_ns = replica_mend_due_ns(replica);
  if (due_ns == replica->timer_ns) return;
  replica->timer_ns = due_ns;
  replica->timer.fire = timer_fired;
  if (due_ns == RAFT_NEVER) loop_timer_cancel(lane_loop(replica->lane), &replica->timer);
  else loop_timer_set(lane_loop(replica->lane), &replica->timer, due_ns);
}

/* ---- One step ---- */

static void report(struct replica *replica, const struct raft_effects *effects) {
  if (effects->diverged)
    trace_error("replica_diverged", "group=%" PRIu64 " index=%" PRIu64 " term=%" PRIu64, replica->group, effects->diverged_index,
                effects->term);
  if (effects->reverted)
    trace_error("replica_reverted", "group=%" PRIu64 " broker=%u term=%" PRIu64, replica->group, effects->reverted_peer.broker,
                effects->term);
  if (!effects->proven) return;
  REACHED(replica_proven);
  trace_info("replica_proven", "group=%" PRIu64 " term=%" PRIu64, replica->group, effects->term);
}

static void send_all(struct replica *replica, const struct raft_effects *effects) {
  for (size_t i = 0; i < effects->now_count; i++) replica_send(replica, &effects->send_now[i]);
  for (size_t i = 0; i < effects->held_count; i++) replica_hold(replica, &effects->send_after_sync[i]);
}

static void obey(struct replica *replica, const struct raft_effects *effects, struct replica_load *load, bool led,
                 entry_term term) {
  bool leads = effects->role == RAFT_LEADER;
  bool began = leads && (!led || effects->term != term);
  if (began) { /* the no-op is its last entry */
    WITNESS(leads, replica->raft.self.broker, replica->group, effects->term, replica->raft.trail.last_index - 1);
  }
  replica_need_links(replica);
  persist(replica, effects, load);
  if (effects->commit_advanced) log_set_commit(replica->log, effects->commit);
  if (replica->links != NULL) {
    if (led != leads || began || effects->config_changed) replica_set_followers(replica);
    send_all(replica, effects);
    replica_release_held(replica);
    if (effects->role_changed || effects->config_changed) replica_tell_wires(replica);
    if (effects->reconnect) replica_reconnect(replica);
    if (effects->role_changed || effects->cut) begin_doubt(replica);
  }
  if (effects->stays) replica->stays = true;
  note_reads(replica, effects, load);
  report(replica, effects);
  if (effects->install) replica_install_begin(replica);
  if (replica->install != NULL) replica_install_check(replica);
  if (replica->links != NULL && (began || (leads && effects->config_changed))) replica_greet(replica);
}

enum status replica_step(struct replica *replica, struct raft_event *event, struct replica_load *load) {
  bool led = replica->raft.role == RAFT_LEADER;
  entry_term term = raft_term(&replica->raft);
  struct raft_damage damage = replica->raft.damage;
  struct raft_effects effects;
  event->now_ns = loop_now_ns(lane_loop(replica->lane));
  raft_step(&replica->raft, event, &effects);
  if (load != NULL) load->offer = effects.offer;
  obey(replica, &effects, load, led, term);
  replica_keep_rights(replica, &damage);
  replica_arm(replica);
  settle(replica);
  return effects.status;
}
