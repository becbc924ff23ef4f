/* What goes to other brokers: at once, when the disk has it, or when the log has been read.
 *
 * The protocol asks for entries follower by follower, one message at a time, and is told what was sent. That is done when the lane's turn
 * ends: so one message has everything that the turn proposed. Entries come from memory, or from a reader, one read at a time to
 * each follower; while a broker takes no more nothing is read for it.
 */
#include "base/check.h"
#include "base/memory.h"
#include "base/probe.h"
#include "base/trace.h"
#include "replication/replica_internal.h"

#include <inttypes.h>

#define UNREAD_TIMEOUTS 2u /* election timeouts for which a disk that does not give what a follower needs is waited for */
#define HELD_KEPT 16u      /* messages for which an empty list keeps memory */
#define HELD_MAX \
  256u /* beyond it the newest takes the place of the one before: the disk stands still, and messages may be lost */

static uint64_t now_of(const struct replica *replica) { return loop_now_ns(lane_loop(replica->lane)); }

void replica_to_wires(struct replica *replica, const struct raft_message *message, const struct entry *entries, size_t count) {
  struct peer_lane *wires = lane_wires(replica->lane);
  if (wires != NULL) peer_lane_send(wires, replica->group, message, entries, count);
}

/* ---- Messages that wait for the disk ---- */

void replica_hold(struct replica *replica, const struct raft_held_message *held) {
  struct replica_links *links = replica->links;
  if (links->held_count == HELD_MAX) links->held_count--;
  if (links->held_count == links->held_capacity) {
    links->held_capacity = links->held_capacity == 0 ? 4 : links->held_capacity * 2;
    links->held = memory_grow_array(links->held, links->held_capacity, sizeof *links->held);
  }
  links->held[links->held_count++] = *held;
}

void replica_release_held(struct replica *replica) {
  struct replica_links *links = replica->links;
  size_t kept = 0;
  for (size_t i = 0; i < links->held_count; i++) {
    const struct raft_held_message *held = &links->held[i];
    enum raft_hold hold = raft_held(&replica->raft, held);
    if (hold == RAFT_SEND) replica_to_wires(replica, &held->message, NULL, 0);
    if (hold == RAFT_HOLD) links->held[kept++] = *held;
  }
  links->held_count = kept;
  if (kept > 0 || links->held_capacity <= HELD_KEPT) return;
  memory_free(links->held);
  links->held = NULL;
  links->held_capacity = 0;
}

/* ---- Followers ---- */

struct follower *replica_follower(struct replica *replica, const struct replica_id *id) {
  struct replica_links *links = replica->links;
  for (size_t i = 0; i < links->follower_count; i++) {
    if (replica_id_equal(&links->followers[i].id, id)) return &links->followers[i];
  }
  return NULL;
}

static void stop_gathering(struct follower *follower) {
  struct gathering *gathering = follower->gathering;
  follower->gathering = NULL;
  if (gathering == NULL) return;
  gathering->replica = NULL;
  if (!gathering->busy) memory_free(gathering); /* else whoever brings it back does */
}

static void forget_followers(struct replica_links *links) {
  for (size_t i = 0; i < links->follower_count; i++) {
    stop_gathering(&links->followers[i]);
    replica_stop_shipping(&links->followers[i]);
  }
  memory_free(links->followers);
  links->followers = NULL;
  links->follower_count = 0;
}

void replica_set_followers(struct replica *replica) {
  struct replica_links *links = replica->links;
  const struct raft *raft = &replica->raft;
  if (raft->role != RAFT_LEADER) {
    forget_followers(links);
    return;
  }
  struct follower *followers = memory_new_array(raft->config.count, sizeof *followers);
  size_t count = 0;
  for (size_t i = 0; i < raft->config.count; i++) {
    const struct replica_id *id = &raft->config.members[i].id;
    if (replica_id_equal(id, &raft->self)) continue;
    struct follower *known = replica_follower(replica, id);
    if (known != NULL) {
      if (raft_config_votes(&raft->config, id)) replica_end_pause(replica, known);
      followers[count++] = *known;
      known->gathering = NULL; /* they have moved */
      known->shipment = NULL;
    } else {
      followers[count++] =
          (struct follower){.id = *id, .paced_bytes = links->appended_bytes, .retry_ns = RAFT_NEVER, .shipped_ns = RAFT_NEVER};
    }
  }
  forget_followers(links);
  links->followers = followers;
  links->follower_count = count;
}

void replica_greet(struct replica *replica) {
  struct peer_lane *wires = lane_wires(replica->lane);
  if (wires == NULL) return;
  struct raft_config config = replica->raft.config;
  for (size_t i = 0; i < config.count && replica->raft.role == RAFT_LEADER; i++) {
    const struct replica_id *id = &config.members[i].id;
    if (replica_id_equal(id, &replica->raft.self)) continue;
    struct raft_event reluctant = {.kind = RAFT_RELUCTANT, .peer = *id};
    if (peer_lane_reluctant(wires, id->broker)) (void)replica_step(replica, &reluctant, NULL);
    struct raft_event up = {.kind = RAFT_PEER_UP, .peer = *id};
    if (peer_lane_up(wires, id->broker)) (void)replica_step(replica, &up, NULL);
  }
}

/* ---- What the wires are told of roles ---- */

static bool among(const broker_id *brokers, size_t count, broker_id broker) {
  for (size_t i = 0; i < count; i++) {
    if (brokers[i] == broker) return true;
  }
  return false;
}

static void tell_led(struct replica *replica, struct peer_lane *wires) {
  struct replica_links *links = replica->links;
  entry_term term = replica->raft.role == RAFT_LEADER ? raft_term(&replica->raft) : 0;
  broker_id wanted[RAFT_MEMBERS_MAX];
  size_t count = 0;
  for (size_t i = 0; i < links->follower_count && term != 0; i++) wanted[count++] = links->followers[i].id.broker;
  bool same_term = links->led_term == term;
  for (size_t i = 0; i < links->led_count; i++) {
    if (!same_term || !among(wanted, count, links->led[i])) peer_lane_led(wires, links->led[i], replica->group, 0);
  }
  for (size_t i = 0; i < count; i++) {
    if (!same_term || !among(links->led, links->led_count, wanted[i])) peer_lane_led(wires, wanted[i], replica->group, term);
  }
  for (size_t i = 0; i < count; i++) links->led[i] = wanted[i];
  links->led_count = count;
  links->led_term = term;
}

static void tell_followed(struct replica *replica, struct peer_lane *wires) {
  struct replica_links *links = replica->links;
  broker_id leader = replica->raft.role == RAFT_LEADER ? 0 : replica->raft.leader.broker;
  entry_term term = leader == 0 ? 0 : raft_term(&replica->raft);
  if (leader == links->followed && term == links->followed_term) return;
  if (links->followed != 0) peer_lane_followed(wires, links->followed, replica->group, 0);
  if (leader != 0) peer_lane_followed(wires, leader, replica->group, term);
  links->followed = leader;
  links->followed_term = term;
}

void replica_tell_wires(struct replica *replica) {
  struct peer_lane *wires = lane_wires(replica->lane);
  if (wires == NULL) return;
  tell_led(replica, wires);
  tell_followed(replica, wires);
}

void replica_forget_wires(struct replica *replica) {
  struct replica_links *links = replica->links;
  struct peer_lane *wires = lane_wires(replica->lane);
  if (links == NULL || wires == NULL) return;
  for (size_t i = 0; i < links->led_count; i++) peer_lane_led(wires, links->led[i], replica->group, 0);
  if (links->followed != 0) peer_lane_followed(wires, links->followed, replica->group, 0);
  links->led_count = 0;
  links->led_term = 0;
  links->followed = 0;
  links->followed_term = 0;
}

void replica_reconnect(struct replica *replica) {
  struct peer_lane *wires = lane_wires(replica->lane);
  if (wires == NULL) return;
  for (size_t i = 0; i < replica->links->follower_count; i++) peer_lane_reconnect(wires, replica->links->followers[i].id.broker);
}

/* ---- Sending ---- */

void replica_send(struct replica *replica, const struct raft_message *message) {
  struct follower *follower = NULL;
  if (message->kind == RAFT_APPEND || message->kind == RAFT_SNAPSHOT) follower = replica_follower(replica, &message->to);
  if (message->kind == RAFT_APPEND) {
    CHECK(follower != NULL); /* appends are a leader's, to members */
    follower->asked = true;
    follower->ask = *message;
    follower->retry_ns = RAFT_NEVER;
    follower->shipped_ns = RAFT_NEVER;
    lane_will_send(replica->lane, &replica->links->sender);
    return;
  }
  if (message->kind == RAFT_SNAPSHOT && follower != NULL) {
    follower->asked = false;
    follower->retry_ns = RAFT_NEVER;
    follower->shipped_ns = replica_ship_due_ns(replica);
  }
  replica_to_wires(replica, message, NULL, 0);
}

static void tell_sent(struct replica *replica, const struct raft_message *message, size_t count, uint32_t bytes) {
  struct raft_event event = {.kind = RAFT_SENT,
                             .sent = {.to = message->to,
                                      .term = message->term,
                                      .sequence = message->sequence,
                                      .last = message->append.prev_index + count,
                                      .bytes = bytes}};
  (void)replica_step(replica, &event, NULL);
}

/* Its step may change or end everything that is known of followers. */
static void send_append(struct replica *replica, struct follower *follower, const struct entry *entries, size_t count) {
  struct raft_message message = follower->ask;
  uint64_t bytes = 0;
  follower->asked = false;
  if (!log_chain_at(replica->log, message.append.prev_index, &message.append.prev_chain)) message.append.prev_chain = 0;
  message.append.count = (uint32_t)count;
  if (count > 0) follower->unread_ns = 0;
  for (size_t i = 0; i < count; i++) bytes += entry_size(&entries[i].head);
  follower->given_bytes += bytes;
  replica_to_wires(replica, &message, entries, count);
  tell_sent(replica, &message, count, (uint32_t)bytes);
}

/* Has anybody else everything that is committed? */
static bool has_heir(const struct replica *replica) {
  const struct raft *raft = &replica->raft;
  for (size_t i = 0; i < raft->config.count; i++) {
    const struct raft_member *member = &raft->config.members[i];
    const struct progress *progress = raft_progress(raft, i);
    if (progress == NULL || member->then != RAFT_VOTER || replica_id_equal(&member->id, &raft->self)) continue;
    bool whole = progress->alive && !progress->suspect && !progress->reverted && !progress->unproven;
    if (whole && progress->match >= raft_commit(raft)) return true;
  }
  return false;
}

void replica_cannot_read(struct replica *replica, struct follower *follower) {
  uint64_t now_ns = now_of(replica);
  if (follower->unread_ns == 0) follower->unread_ns = now_ns;
  if (now_ns - follower->unread_ns < UNREAD_TIMEOUTS * lane_timing(replica->lane)->election_ns || !has_heir(replica)) return;
  follower->unread_ns = now_ns;
  REACHED(unreadable_leader_hands_over);
  trace_warn("replica_hands_over", "group=%" PRIu64 " broker=%u reason=cannot_read_for_it", replica->group, follower->id.broker);
  (void)replica_hand_over(replica);
}

/* What is not kept any more is shipped with the state; what cannot be read just now is tried again. */
static void could_not_read(struct replica *replica, struct follower *follower, enum status status) {
  struct replica_id to = follower->id;
  if (status == STATUS_NOT_FOUND) { /* deleted */
    follower->asked = false;
    return;
  }
  if (status == STATUS_BELOW_START) {
    follower->asked = false;
    struct raft_event compacted = {.kind = RAFT_COMPACTED, .index = log_view(replica->log).start_index - 1};
    (void)replica_step(replica, &compacted, NULL);
    struct raft_event reset = {.kind = RAFT_PEER_RESET, .peer = to};
    (void)replica_step(replica, &reset, NULL);
    return;
  }
  trace_warn("replica_cannot_read_for_follower", "group=%" PRIu64 " broker=%u index=%" PRIu64 " reason=%s", replica->group,
             to.broker, follower->ask.append.prev_index + 1, status_name(status));
  follower->retry_ns = now_of(replica) + lane_timing(replica->lane)->heartbeat_ns;
  replica_arm(replica);
  replica_cannot_read(replica, follower);
}

static size_t fewer(size_t a, size_t b) { return a < b ? a : b; }

static void gathered(struct replica *replica, struct follower *follower) {
  struct gathering *gathering = follower->gathering;
  struct log_fetch fetch = gathering->fetch; /* the step below may free it */
  gathering->fetch.entries = NULL;
  gathering->fetch.count = 0;
  bool wanted = follower->asked && follower->ask.append.prev_index + 1 == fetch.first &&
                follower->ask.term == raft_term(&replica->raft) && replica->raft.role == RAFT_LEADER;
  replica_pace(replica, follower, &fetch);
  if (!wanted) lane_will_send(replica->lane, &replica->links->sender); /* something else is asked for by now, or nothing */
  else if (fetch.status == STATUS_OK)
    send_append(replica, follower, fetch.entries, fewer(fetch.count, follower->ask.append.count));
  else could_not_read(replica, follower, fetch.status);
  log_fetch_reset(&fetch);
}

static void fetched(struct task *task) {
  struct gathering *gathering = container_of(container_of(task, struct log_fetch, done), struct gathering, fetch);
  struct replica *replica = gathering->replica;
  gathering->busy = false;
  lane_fetch_ended(gathering->lane);
  if (replica == NULL) {
    log_fetch_reset(&gathering->fetch);
    memory_free(gathering);
    return;
  }
  struct follower *follower = replica_follower(replica, &gathering->to);
  CHECK(follower != NULL && follower->gathering == gathering);
  gathered(replica, follower);
}

static void gather_for(struct replica *replica, struct follower *follower) {
  const struct raft_append *append = &follower->ask.append;
  if (append->count == 0) {
    send_append(replica, follower, NULL, 0);
    return;
  }
  struct peer_lane *wires = lane_wires(replica->lane);
  follower->waits_for_room = wires == NULL || !peer_lane_room(wires, follower->id.broker);
  if (follower->waits_for_room) {
    REACHED(follower_waits_for_room);
    lane_waits_for_room(replica->lane, &replica->links->crowded);
    return;
  }
  if (follower->gathering == NULL) {
    follower->gathering = NEW(struct gathering);
    follower->gathering->lane = replica->lane;
    follower->gathering->replica = replica;
    follower->gathering->to = follower->id;
  }
  struct log_fetch *fetch = &follower->gathering->fetch;
  fetch->first = append->prev_index + 1;
  fetch->last = append->prev_index + append->count;
  fetch->count_max = append->count < LOG_READ_ENTRIES_MAX ? append->count : LOG_READ_ENTRIES_MAX;
  fetch->bytes_max = append->bytes_max;
  fetch->loop = lane_loop(replica->lane);
  fetch->done.run = fetched;
  if (log_fetch(replica->log, fetch)) {
    gathered(replica, follower);
    return;
  }
  REACHED(follower_read_from_disk);
  follower->gathering->busy = true;
  lane_fetch_begins(replica->lane);
}

static bool may_gather(const struct follower *follower) {
  bool busy = follower->gathering != NULL && follower->gathering->busy;
  bool paced = follower->paced_ns != 0 && follower->ask.append.count > 0;
  return follower->asked && !busy && !paced && !follower->waits_for_room && follower->retry_ns == RAFT_NEVER;
}

/* Each send may lead to the next ask, until a window is full: bounded by PROGRESS_MESSAGES_MAX. */
void replica_gather(struct replica *replica) {
  struct replica_links *links = replica->links;
  for (size_t i = 0; i < links->follower_count && !replica->deleting; i++) {
    while (i < links->follower_count && may_gather(&links->followers[i])) gather_for(replica, &links->followers[i]);
  }
}

bool replica_room(struct replica *replica, broker_id broker) {
  bool others = false;
  if (replica->links == NULL || replica->deleting) return false;
  for (size_t i = 0; i < replica->links->follower_count; i++) {
    struct follower *follower = &replica->links->followers[i];
    if (!follower->waits_for_room) continue;
    if (follower->id.broker != broker) {
      others = true;
      continue;
    }
    follower->waits_for_room = false;
    lane_will_send(replica->lane, &replica->links->sender);
  }
  return others;
}

void replica_unask(struct replica *replica, broker_id broker) {
  for (size_t i = 0; i < replica->links->follower_count; i++) {
    struct follower *follower = &replica->links->followers[i];
    if (follower->id.broker != broker) continue;
    follower->asked = false;
    follower->waits_for_room = false;
    follower->retry_ns = RAFT_NEVER;
    follower->shipped_ns = RAFT_NEVER;
    follower->ship_ns = 0;
  }
}

/* ---- Time ---- */

uint64_t replica_send_due_ns(const struct replica *replica) {
  uint64_t due_ns = RAFT_NEVER;
  for (size_t i = 0; i < replica->links->follower_count; i++) {
    const struct follower *follower = &replica->links->followers[i];
    if (follower->retry_ns < due_ns) due_ns = follower->retry_ns;
    if (follower->paced_ns != 0 && follower->paced_ns < due_ns) due_ns = follower->paced_ns;
    if (follower->ship_ns != 0 && follower->ship_ns < due_ns) due_ns = follower->ship_ns;
    if (follower->shipped_ns < due_ns) due_ns = follower->shipped_ns;
  }
  return due_ns;
}

static bool next_given_up(struct replica *replica, uint64_t now_ns, struct replica_id *out_id) {
  for (size_t i = 0; i < replica->links->follower_count; i++) {
    struct follower *follower = &replica->links->followers[i];
    if (follower->shipped_ns > now_ns) continue;
    follower->shipped_ns = RAFT_NEVER;
    *out_id = follower->id;
    return true;
  }
  return false;
}

void replica_send_timer(struct replica *replica, uint64_t now_ns) {
  for (size_t i = 0; i < replica->links->follower_count; i++) {
    struct follower *follower = &replica->links->followers[i];
    bool again = follower->retry_ns <= now_ns, paid = follower->paced_ns != 0 && follower->paced_ns <= now_ns;
    if (again) follower->retry_ns = RAFT_NEVER;
    if (paid) follower->paced_ns = 0;
    if (follower->ship_ns != 0 && follower->ship_ns <= now_ns) replica_ship_late(replica, follower);
    if (again || paid) lane_will_send(replica->lane, &replica->links->sender);
  }
  struct replica_id id;
  while (next_given_up(replica, now_ns, &id)) {
    struct raft_event event = {.kind = RAFT_CATCH_UP_FAILED, .peer = id};
    (void)replica_step(replica, &event, NULL);
  }
}

/* ---- Life ---- */

void replica_links_free(struct replica *replica) {
  struct replica_links *links = replica->links;
  if (links == NULL) return;
  if (list_node_linked(&links->sender.node)) list_remove(&links->sender.node);
  if (list_node_linked(&links->crowded.node)) list_remove(&links->crowded.node);
  forget_followers(links);
  memory_free(links->held);
  memory_free(links);
  replica->links = NULL;
}
