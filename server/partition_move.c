#include <inttypes.h>

#include "base/probe.h"
#include "base/trace.h"
#include "controller/moves.h"
#include "server/partition_internal.h"

static bool may_act(const struct partition *partition) {
  return !partition->closed && !partition->host->draining && replica_ready(partition->replica);
}

static enum move_step next_step(const struct partition_move *move, struct raft_config *out_target) {
  const struct replica *replica = move->partition->replica;
  return move_next(replica_config(replica), replica_config_committed(replica), &move->place, &move->move, out_target);
}

void partition_move_look(struct partition_move *move) {
  struct raft_config target;
  bool may = may_act(move->partition);
  move->leads = may && next_step(move, &target) != MOVE_REST;
  if (move->leads) move->term = replica_term(move->partition->replica);
  if (may) replica_set_pace(move->partition->replica, move->move.bytes_per_second);
  if (may) move->learning = replica_learning(move->partition->replica);
  move->done(move);
}

static void change(struct partition_move *move, const struct raft_config *target) {
  struct partition *partition = move->partition;
  enum status status = replica_change_members(partition->replica, target);
  trace_info("partition_moves", "group=%" PRIu64 " move=%" PRIu64 " members=%u status=%s", partition->place.group,
             move->move.number, (unsigned)target->count, status_name(status));
}

static void confirmed(struct replica_read *confirm, enum status status) {
  struct partition_move *move = container_of(confirm, struct partition_move, confirm);
  move->over = status == STATUS_OK;
  move->done(move);
}

/* Whom the map has first is to lead, if it can at once: it is asked when everybody is where it is to be, and later only as all are (partition_lead.c).
 * True: it has been, just now. */
static bool offer_lead(struct partition_move *move) {
  struct partition *partition = move->partition;
  struct replica_id first = map_replica_id(&move->move.target[0]);
  if (partition->offered == move->move.number || replica_id_equal(&first, &partition->self)) return false;
  partition->offered = move->move.number;
  bool begun = replica_offer(partition->replica, &(struct replica_offer){.to = first}) == RAFT_OFFER_BEGUN;
  if (begun) REACHED(lead_is_offered_at_the_end_of_a_move);
  return begun;
}

void partition_move_act(struct partition_move *move) {
  struct partition *partition = move->partition;
  struct raft_config target;
  move->over = false;
  enum move_step step = MOVE_REST;
  if (may_act(partition) && replica_term(partition->replica) == move->term) step = next_step(move, &target);
  if (step == MOVE_CHANGE) change(move, &target);
  if (step != MOVE_OVER || offer_lead(move)) {
    move->done(move);
    return;
  }
  move->confirm = (struct replica_read){.done = confirmed};
  replica_read(partition->replica, &move->confirm);
}
