/* A leader ships its log and state to a follower that is too far behind, part by part, as the follower asks for them.
 *
 * The state is what this replica has applied when the first part is asked for; it is kept until entries are asked for. Entries are read from the
 * log each time, so whoever was cut off asks again from where it stands. What was trimmed meanwhile is refused: then the follower begins anew.
 *
 * A state on its way, little endian, in parts of SHIP_PART_BYTES:
 *
 *   offset size
 *        0    8  magic "CRNSHIPS"
 *        8    8  version, 1
 *       16    8  size of everything
 *       24    8  index that the state covers
 *       32    8  term of that entry
 *       40    8  offset behind its last record
 *       48    8  index of the entry before the first one kept; 0: none
 *       56    8  its term
 *       64    8  its chain link
 *       72    8  leader time of the newest entry, ms
 *       80    8  greatest time of any record, ms
 *       88       the state, as a checkpoint has it (replica_state.c)
 */
#include <string.h>

#include "base/check.h"
#include "base/codec.h"
#include "base/memory.h"
#include "base/probe.h"
#include "base/trace.h"
#include "replication/replica_internal.h"

#include <inttypes.h>

#define MAGIC "CRNSHIPS"
#define MAGIC_SIZE 8u
#define VERSION 1u
#define HEAD_SIZE 88u
#define SHIP_TIMEOUTS 2u /* election timeouts after which a follower that asks for nothing is offered it anew */

/* On the heap: a read may be under way when nobody wants it any more. */
struct shipment {
  struct lane *lane;
  struct replica *replica; /* NULL: nobody wants it */
  struct replica_id to;
  uint64_t id;
  struct blob *state; /* NULL: the follower has it */
  struct log_fetch fetch;
  struct raft_message ask; /* that is being read for, or waits */
  bool busy;               /* a reader has it */
  bool waits;              /* for the pause behind what was sent before: replica_ship_late() */
};

uint64_t replica_ship_due_ns(const struct replica *replica) {
  return loop_now_ns(lane_loop(replica->lane)) + SHIP_TIMEOUTS * lane_timing(replica->lane)->election_ns;
}

/* ---- The state ---- */

static void put_head(const struct ship_head *head, uint8_t *at) {
  memcpy(at, MAGIC, MAGIC_SIZE);
  put_u64(at + 8, VERSION);
  put_u64(at + 16, head->bytes);
  put_u64(at + 24, head->covers);
  put_u64(at + 32, head->covers_term);
  put_u64(at + 40, (uint64_t)head->next_offset);
  put_u64(at + 48, head->base.index);
  put_u64(at + 56, head->base.term);
  put_u64(at + 64, head->base.chain);
  put_u64(at + 72, (uint64_t)head->base.leader_time_ms);
  put_u64(at + 80, (uint64_t)head->base.max_time_ms);
}

bool replica_ship_head(struct bytes shipped, struct ship_head *out_head, bool *out_wrong) {
  *out_wrong = false;
  if (shipped.size < HEAD_SIZE) return false;
  const uint8_t *at = shipped.data;
  struct ship_head head = {.bytes = get_u64(at + 16),
                           .covers = get_u64(at + 24),
                           .covers_term = get_u64(at + 32),
                           .next_offset = (record_offset)get_u64(at + 40),
                           .base = {.index = get_u64(at + 48),
                                    .term = get_u64(at + 56),
                                    .chain = get_u64(at + 64),
                                    .leader_time_ms = (int64_t)get_u64(at + 72),
                                    .max_time_ms = (int64_t)get_u64(at + 80)}};
  *out_wrong = memcmp(at, MAGIC, MAGIC_SIZE) != 0 || get_u64(at + 8) != VERSION || head.bytes < HEAD_SIZE ||
               head.bytes > SHIP_STATE_BYTES_MAX || head.bytes < shipped.size || head.covers == 0 ||
               head.base.index > head.covers || head.base.term > head.covers_term || head.next_offset < 0;
  if (*out_wrong) return false;
  *out_head = head;
  return true;
}

struct bytes replica_ship_state(struct bytes shipped) {
  return bytes_after(shipped, HEAD_SIZE);
}

/* What this replica has lost is its own. */
static enum status append_state(struct replica *replica, struct buffer *out) {
  struct replica_state state;
  if (!replica_state_of(replica, &state)) return STATUS_LOADING;
  state.damage = (struct raft_damage){0};
  enum status status = replica_state_encode(&state, out);
  return status == STATUS_OK ? replica->machine.ops->snapshot(replica->machine.owner, out) : status;
}

static enum status describe(const struct replica *replica, struct ship_head *out_head) {
  struct log_view view = log_view(replica->log);
  if (replica->applied < replica->restored) return STATUS_DAMAGED; /* the state is of entries that this log has not */
  struct ship_head head = {.covers = replica->applied, .next_offset = replica->high_watermark};
  head.base = (struct log_base){
      .index = view.start_index - 1, .leader_time_ms = view.last_leader_time_ms, .max_time_ms = view.max_time_ms};
  if (head.covers == 0 || head.base.index > head.covers) return STATUS_NOT_FOUND;
  enum status status = log_term_at(replica->log, head.covers, &head.covers_term);
  if (status != STATUS_OK || head.base.index == 0) {
    *out_head = head;
    return status;
  }
  status = log_term_at(replica->log, head.base.index, &head.base.term);
  if (!log_chain_at(replica->log, head.base.index, &head.base.chain)) status = STATUS_DAMAGED;
  *out_head = head;
  return status;
}

static enum status capture(struct replica *replica, struct blob **out_state) {
  struct ship_head head;
  enum status status = describe(replica, &head);
  if (status != STATUS_OK) return status;
  struct buffer bytes;
  buffer_init(&bytes, SHIP_STATE_BYTES_MAX);
  uint8_t room[HEAD_SIZE] = {0};
  status = buffer_append(&bytes, room, sizeof room);
  if (status == STATUS_OK) status = append_state(replica, &bytes);
  if (status == STATUS_OK) status = blob_new(NULL, bytes.size, out_state);
  if (status == STATUS_OK) {
    head.bytes = bytes.size;
    memcpy((*out_state)->data, bytes.data, bytes.size);
    put_head(&head, (*out_state)->data);
  }
  buffer_deinit(&bytes);
  return status;
}

/* ---- One follower's ---- */

void replica_stop_shipping(struct follower *follower) {
  struct shipment *shipment = follower->shipment;
  follower->shipment = NULL;
  if (shipment == NULL) return;
  blob_release(shipment->state);
  shipment->state = NULL;
  shipment->replica = NULL;
  if (!shipment->busy) memory_free(shipment); /* else whoever brings it back does */
}

static struct shipment *shipment_of(struct replica *replica, struct follower *follower, uint64_t id) {
  if (follower->shipment != NULL && follower->shipment->id == id) return follower->shipment;
  replica_stop_shipping(follower);
  struct shipment *shipment = NEW(struct shipment);
  shipment->lane = replica->lane;
  shipment->replica = replica;
  shipment->to = follower->id;
  shipment->id = id;
  follower->shipment = shipment;
  return shipment;
}

static struct raft_message answer_to(const struct replica *replica, const struct raft_message *ask, enum raft_message_kind kind) {
  return (struct raft_message){.kind = kind,
                               .from = replica->raft.self,
                               .to = ask->from,
                               .term = raft_term(&replica->raft),
                               .sequence = ask->sequence,
                               .append = {.prev_index = ask->append.prev_index}};
}

static void refuse(struct replica *replica, const struct raft_message *ask, enum status status) {
  trace_info("snapshot_not_shipped", "group=%" PRIu64 " broker=%u reason=%s", replica->group, ask->from.broker,
             status_name(status));
  struct raft_message answer = answer_to(replica, ask, RAFT_SHIPS_NOT);
  replica_to_wires(replica, &answer, NULL, 0);
}

static void ship_state(struct replica *replica, struct shipment *shipment, const struct raft_message *ask) {
  uint64_t part = ask->append.prev_index;
  enum status status = STATUS_OK;
  if (part == 0 && shipment->state == NULL) status = capture(replica, &shipment->state);
  bool there = status == STATUS_OK && shipment->state != NULL && part <= shipment->state->size / SHIP_PART_BYTES &&
               part * SHIP_PART_BYTES < shipment->state->size;
  if (!there) {
    refuse(replica, ask, status == STATUS_OK ? STATUS_NOT_FOUND : status);
    return;
  }
  size_t from = (size_t)part * SHIP_PART_BYTES;
  size_t size = shipment->state->size - from;
  if (size > SHIP_PART_BYTES) size = SHIP_PART_BYTES;
  struct entry entry = {.head = {.kind = ENTRY_COMMAND, .index = part + 1, .term = raft_term(&replica->raft)},
                        .payload = {.blob = shipment->state, .bytes = bytes_of(shipment->state->data + from, size)}};
  entry_seal(&entry.head, entry.payload.bytes, part);
  struct raft_message answer = answer_to(replica, ask, RAFT_SHIPPED_STATE);
  replica_to_wires(replica, &answer, &entry, 1);
}

/* ---- Entries ---- */

/* Whoever takes it goes by its broker's own account: here only the group's own counts. */
static void note_given(struct replica *replica, const struct shipment *shipment) {
  struct follower *follower = replica_follower(replica, &shipment->to);
  uint64_t bytes = 0;
  if (follower == NULL) return;
  for (size_t i = 0; i < shipment->fetch.count; i++) bytes += entry_size(&shipment->fetch.entries[i].head);
  follower->given_bytes += bytes;
  if (raft_config_votes(&replica->raft.config, &follower->id)) return;
  uint64_t now_ns = loop_now_ns(lane_loop(replica->lane)), free_ns = pace_took(&replica->links->pace, now_ns, bytes);
  follower->ship_ns = free_ns > now_ns ? free_ns : 0;
}

static void gathered(struct replica *replica, struct shipment *shipment) {
  struct log_fetch *fetch = &shipment->fetch;
  bool leads = replica->raft.role == RAFT_LEADER && raft_term(&replica->raft) == shipment->ask.term;
  if (leads && fetch->status == STATUS_OK) {
    struct raft_message answer = answer_to(replica, &shipment->ask, RAFT_SHIPPED_ENTRIES);
    replica_to_wires(replica, &answer, fetch->entries, fetch->count);
    note_given(replica, shipment);
  } else if (leads && fetch->status != STATUS_IO && fetch->status != STATUS_NO_MEMORY) { /* those may pass: it asks again */
    refuse(replica, &shipment->ask, fetch->status);
  }
  bool unread = leads && (fetch->status == STATUS_IO || fetch->status == STATUS_DAMAGED);
  struct follower *follower = replica_follower(replica, &shipment->to);
  log_fetch_reset(fetch);
  if (unread && follower != NULL) replica_cannot_read(replica, follower);
}

static void fetched(struct task *task) {
  struct shipment *shipment = container_of(container_of(task, struct log_fetch, done), struct shipment, fetch);
  shipment->busy = false;
  lane_fetch_ended(shipment->lane);
  if (shipment->replica != NULL) {
    gathered(shipment->replica, shipment);
    return;
  }
  log_fetch_reset(&shipment->fetch);
  memory_free(shipment);
}

static void ship_entries(struct replica *replica, struct shipment *shipment, const struct raft_message *ask) {
  blob_release(shipment->state); /* it has all of it */
  shipment->state = NULL;
  entry_index first = ask->append.prev_index + 1, last = ask->append.commit;
  if (last > raft_commit(&replica->raft)) last = raft_commit(&replica->raft);
  if (first > last || shipment->busy) return;
  shipment->ask = *ask;
  shipment->waits = replica_follower(replica, &shipment->to)->ship_ns != 0;
  if (shipment->waits) return;
  struct log_fetch *fetch = &shipment->fetch;
  fetch->first = first;
  fetch->last = last;
  fetch->count_max = LOG_READ_ENTRIES_MAX;
  fetch->bytes_max = SHIP_PART_BYTES;
  fetch->loop = lane_loop(replica->lane);
  fetch->done.run = fetched;
  if (log_fetch(replica->log, fetch)) {
    gathered(replica, shipment);
    return;
  }
  REACHED(shipped_from_disk);
  shipment->busy = true;
  lane_fetch_begins(replica->lane);
}

void replica_ship_late(struct replica *replica, struct follower *follower) {
  struct shipment *shipment = follower->shipment;
  follower->ship_ns = 0;
  if (shipment == NULL || !shipment->waits || shipment->ask.term != raft_term(&replica->raft)) return;
  shipment->waits = false;
  if (replica_fenced(replica) || !peer_lane_room(lane_wires(replica->lane), follower->id.broker)) return; /* it asks again */
  REACHED(shipment_is_paced);
  const struct raft_message ask = shipment->ask;
  ship_entries(replica, shipment, &ask);
}

void replica_ship(struct replica *replica, const struct raft_message *ask) {
  const struct raft *raft = &replica->raft;
  struct peer_lane *wires = lane_wires(replica->lane);
  if (replica->links == NULL || raft->role != RAFT_LEADER || ask->term != raft_term(raft)) return;
  struct follower *follower = replica_follower(replica, &ask->from);
  if (follower == NULL || replica_fenced(replica) || wires == NULL) return;
  follower->shipped_ns = replica_ship_due_ns(replica);
  replica_arm(replica);
  struct shipment *shipment = shipment_of(replica, follower, ask->sequence);
  shipment->waits = false;                                 /* what it asked for before it has by now, or asks for once more */
  if (!peer_lane_room(wires, follower->id.broker)) return; /* it asks again */
  if (ask->kind == RAFT_FETCH_STATE) ship_state(replica, shipment, ask);
  else ship_entries(replica, shipment, ask);
}
