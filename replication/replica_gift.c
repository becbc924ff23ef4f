/* What rot has taken of a peer's segments is read here and given to it. */
#include "base/memory.h"
#include "replication/replica_internal.h"

/* On the heap: a reader may have it when nobody wants it any more. */
struct replica_gift {
  struct log_fetch fetch;
  struct lane *lane;
  struct replica *replica; /* NULL: nobody wants it */
  struct raft_message ask;
};

/* To say no is to say that it is not here: who does not know, or has trimmed it, says nothing. */
static void give(struct replica *replica, const struct replica_gift *gift) {
  const struct log_fetch *fetch = &gift->fetch;
  bool has = fetch->status == STATUS_OK;
  bool lacks = fetch->status == STATUS_DAMAGED || fetch->status == STATUS_BEYOND_END;
  if (!has && !lacks) return;
  struct raft_message answer = {.kind = has ? RAFT_GIVEN : RAFT_GIVES_NOT,
                                .from = replica->raft.self,
                                .to = gift->ask.from,
                                .term = raft_term(&replica->raft),
                                .sequence = gift->ask.sequence,
                                .append = {.prev_index = gift->ask.append.prev_index}};
  replica_to_wires(replica, &answer, fetch->entries, has ? fetch->count : 0);
}

static void end_gift(struct replica_gift *gift) {
  struct replica *replica = gift->replica;
  if (replica != NULL) {
    give(replica, gift);
    replica->gift = NULL;
  }
  log_fetch_reset(&gift->fetch);
  memory_free(gift);
}

static void gift_read(struct task *task) {
  struct replica_gift *gift = container_of(container_of(task, struct log_fetch, done), struct replica_gift, fetch);
  lane_fetch_ended(gift->lane);
  end_gift(gift);
}

/* What is here, known to be committed or not: after a start this replica may not know yet, and whoever asks believes only the links. Whoever asks
 * again is answered when the read before is done. */
void replica_give(struct replica *replica, const struct raft_message *message) {
  struct peer_lane *wires = lane_wires(replica->lane);
  bool member = raft_config_find(&replica->raft.config, &message->from) != RAFT_NO_POSITION;
  if (!member || wires == NULL || replica->gift != NULL || !peer_lane_room(wires, message->from.broker)) return;
  struct replica_gift *gift = NEW(struct replica_gift);
  entry_index last = message->append.commit, end = log_view(replica->log).last_index;
  if (last > end) last = end;
  gift->lane = replica->lane;
  gift->replica = replica;
  gift->ask = *message;
  replica->gift = gift;
  gift->fetch = (struct log_fetch){.first = message->append.prev_index + 1,
                                   .last = last,
                                   .count_max = LOG_READ_ENTRIES_MAX,
                                   .bytes_max = SHIP_PART_BYTES,
                                   .loop = lane_loop(replica->lane),
                                   .done = {.run = gift_read},
                                   .status = STATUS_BEYOND_END};
  if (gift->fetch.first > last || log_fetch(replica->log, &gift->fetch)) {
    end_gift(gift);
    return;
  }
  lane_fetch_begins(replica->lane);
}

void replica_give_end(struct replica *replica) {
  struct replica_gift *gift = replica->gift;
  replica->gift = NULL;
  if (gift != NULL) gift->replica = NULL; /* whoever brings it back frees it */
}
