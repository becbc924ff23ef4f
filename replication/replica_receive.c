/* What comes from other brokers: checked, and completed with what only this replica's log knows, before the protocol sees it. */
#include "base/check.h"
#include "base/memory.h"
#include "base/probe.h"
#include "base/trace.h"
#include "replication/replica_internal.h"

#include <inttypes.h>

/* ---- The entries of an append ---- */

/* An append on its way to the protocol. */
struct arrival {
  struct replica *replica;
  const struct peer_message *from;
  struct raft_message message; /* as the protocol will see it */
  struct raft_config *configs; /* of its CONFIG entries; NULL: it has none */
  size_t config_count;
  struct replica_load load;
};

static uint64_t own_chain(const struct replica *replica, entry_index index) {
  uint64_t chain = 0;
  bool known = index <= log_view(replica->log).last_index && log_chain_at(replica->log, index, &chain);
  return known ? chain : 0;
}

/* This log has an entry of the same term in front of the message's first: if nobody changed bytes, the same. */
static bool shares_prev(const struct arrival *arrival) {
  const struct raft_append *append = &arrival->message.append;
  entry_term term = 0;
  return append->own_prev_chain != 0 && log_term_at(arrival->replica->log, append->prev_index, &term) == STATUS_OK &&
         term == append->prev_term;
}

/* A sender that would have had to read a disk for it does not say which link its first entry follows. Here it is known when it counts; a
 * first entry that does not follow it shows that the sender's log is another one, and the protocol is to hear of that (R10). */
static void complete_link(struct arrival *arrival) {
  struct raft_append *append = &arrival->message.append;
  if (append->prev_chain != 0 || append->count == 0 || !shares_prev(arrival)) return;
  const struct entry *first = &arrival->from->entries[0];
  bool follows = entry_chain(&first->head, first->payload.bytes, append->own_prev_chain) == first->head.chain;
  append->prev_chain = follows ? append->own_prev_chain : ~append->own_prev_chain;
}

/* Payloads and links. What is wrong in itself is rot on the way, or worse: the message counts as lost. */
static bool check_entries(const struct arrival *arrival) {
  uint64_t chain = arrival->message.append.prev_chain;
  bool known = chain != 0 || arrival->message.append.prev_index == 0;
  for (size_t i = 0; i < arrival->from->count; i++) {
    const struct entry *entry = &arrival->from->entries[i];
    if (entry->head.index != arrival->message.append.prev_index + 1 + i) return false;
    if (entry_check_payload(&entry->head, entry->payload.bytes) != STATUS_OK) return false;
    if (known && entry_chain(&entry->head, entry->payload.bytes, chain) != entry->head.chain) return false;
    chain = entry->head.chain;
    known = true;
  }
  return true;
}

static enum status decode_configs(struct arrival *arrival) {
  const struct peer_message *from = arrival->from;
  for (size_t i = 0; i < from->count; i++) arrival->config_count += from->entries[i].head.kind == ENTRY_CONFIG;
  if (arrival->config_count == 0) return STATUS_OK;
  arrival->configs = memory_new_array(arrival->config_count, sizeof *arrival->configs);
  size_t at = 0;
  for (size_t i = 0; i < from->count; i++) {
    if (from->entries[i].head.kind != ENTRY_CONFIG) continue;
    enum status status = raft_config_decode(from->entries[i].payload.bytes, &arrival->configs[at++]);
    if (status != STATUS_OK) return status;
  }
  return STATUS_OK;
}

static void fill(struct arrival *arrival) {
  struct raft_append *append = &arrival->message.append;
  struct raft_entry *entries = lane_entries(arrival->replica->lane);
  size_t config = 0;
  for (uint32_t i = 0; i < append->count; i++) {
    const struct entry_head *head = &arrival->from->entries[i].head;
    entries[i] =
        (struct raft_entry){.term = head->term, .chain = head->chain, .own_chain = own_chain(arrival->replica, head->index)};
    if (head->kind == ENTRY_CONFIG) entries[i].config = &arrival->configs[config++];
  }
  append->entries = entries;
}

/* ---- Room ---- */

static bool wants_room(const struct entry *entry) { return entry_needs_room(entry->head.kind); }

/* Takes room for as many entries as there is; the rest of the message counts as not sent, and is asked for again. */
static void admit(struct arrival *arrival) {
  struct log_set *logs = lane_logs(arrival->replica->lane);
  struct raft_append *append = &arrival->message.append;
  for (uint32_t i = 0; i < append->count; i++) {
    const struct entry *entry = &arrival->from->entries[i];
    if (!wants_room(entry) || log_set_admit(logs, entry->head.payload_size) == STATUS_OK) continue;
    REACHED(follower_without_room);
    append->count = i;
    return;
  }
}

/* Of what was not appended: it was there already, or does not fit. */
static void give_room_back(const struct arrival *arrival, uint32_t admitted) {
  struct log_set *logs = lane_logs(arrival->replica->lane);
  const struct replica_load *load = &arrival->load;
  for (uint32_t i = 0; i < admitted; i++) {
    const struct entry *entry = &arrival->from->entries[i];
    bool appended = load->appended > 0 && entry->head.index >= load->appended_from &&
                    entry->head.index < load->appended_from + load->appended;
    if (!appended && wants_room(entry)) log_set_admit_undo(logs, entry->head.payload_size);
  }
}

/* ---- Messages ---- */

static enum status to_protocol(struct arrival *arrival) {
  struct raft_event event = {.kind = RAFT_MESSAGE, .message = &arrival->message};
  return replica_step(arrival->replica, &event, &arrival->load);
}

static enum status receive_append(struct arrival *arrival) {
  struct raft_append *append = &arrival->message.append;
  if (arrival->from->count > RAFT_ENTRIES_MAX) return STATUS_CORRUPT;
  append->count = (uint32_t)arrival->from->count;
  append->own_prev_chain = own_chain(arrival->replica, append->prev_index);
  if (!check_entries(arrival)) return STATUS_CORRUPT;
  complete_link(arrival);
  enum status status = decode_configs(arrival);
  if (status != STATUS_OK) return status;
  admit(arrival);
  fill(arrival);
  uint32_t admitted = append->count;
  arrival->load.entries = arrival->from->entries;
  status = to_protocol(arrival);
  give_room_back(arrival, admitted);
  return status;
}

void replica_receive(struct replica *replica, const struct peer_message *message) {
  if (!replica->started || replica->deleting) return;
  if (!replica_id_equal(&message->raft.to, &replica->raft.self)) return; /* an earlier replica, or a later one, is meant */
  switch (message->raft.kind) {
    case RAFT_FETCH_STATE:
    case RAFT_FETCH_ENTRIES: replica_ship(replica, &message->raft); return;
    case RAFT_SHIPPED_STATE:
    case RAFT_SHIPPED_ENTRIES:
    case RAFT_SHIPS_NOT: replica_install_receive(replica, message); return;
    case RAFT_WANT: replica_give(replica, &message->raft); return;
    case RAFT_GIVEN:
    case RAFT_GIVES_NOT: replica_mend_receive(replica, message); return;
    default: break;
  }
  struct arrival arrival = {.replica = replica, .from = message, .message = message->raft};
  replica_need_links(replica);
  enum status status = message->raft.kind == RAFT_APPEND ? receive_append(&arrival) : to_protocol(&arrival);
  memory_free(arrival.configs);
  if (status == STATUS_OK) return;
  trace_warn("replica_message_refused", "group=%" PRIu64 " broker=%u kind=%d term=%" PRIu64 " reason=%s", replica->group,
             message->raft.from.broker, (int)message->raft.kind, message->raft.term, status_name(status));
}

/* ---- Who is alive ---- */

/* The replica of that broker: whom this one follows, or a member. */
static bool replica_on(const struct replica *replica, broker_id broker, struct replica_id *out_id) {
  const struct raft *raft = &replica->raft;
  *out_id = raft->leader;
  if (broker == raft->self.broker) return false;
  if (broker == raft->leader.broker) return true;
  for (size_t i = 0; i < raft->config.count; i++) {
    *out_id = raft->config.members[i].id;
    if (out_id->broker == broker) return true;
  }
  return false;
}

void replica_peer_edge(struct replica *replica, broker_id broker, enum peer_edge edge) {
  struct replica_id id;
  if (!replica->started || replica->deleting || replica->links == NULL || !replica_on(replica, broker, &id)) return;
  static const enum raft_event_kind kinds[] = {[PEER_UP] = RAFT_PEER_UP,
                                               [PEER_DOWN] = RAFT_PEER_DOWN,
                                               [PEER_RESET] = RAFT_PEER_RESET,
                                               [PEER_RELUCTANT] = RAFT_RELUCTANT,
                                               [PEER_WILLING] = RAFT_WILLING};
  struct raft_event event = {.kind = kinds[edge], .peer = id};
  if (edge == PEER_UP) (void)replica_room(replica, broker);
  if (edge == PEER_DOWN || edge == PEER_RESET) replica_unask(replica, broker);
  (void)replica_step(replica, &event, NULL);
}

void replica_own_wish(struct replica *replica, bool reluctant) {
  if (!replica->started || replica->deleting) return;
  struct raft_event event = {.kind = reluctant ? RAFT_RELUCTANT : RAFT_WILLING, .peer = replica->raft.self};
  (void)replica_step(replica, &event, NULL);
}

void replica_peer_leads(struct replica *replica, broker_id broker, entry_term term, bool leads) {
  struct replica_id id;
  if (!replica->started || replica->deleting || replica->links == NULL || !replica_on(replica, broker, &id)) return;
  struct raft_event event = {.kind = leads ? RAFT_LEADER_HEARD : RAFT_LEADER_GONE, .peer = id, .term = term};
  (void)replica_step(replica, &event, NULL);
}
