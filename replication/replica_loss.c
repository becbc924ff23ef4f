/* A replica that finds, while it is in use, that its journal has lost entries of its log: it gives up its rights, and somebody else, who has them, leads
 * and ships them (R11). What it promised it remembers. And the rights of a replica, whatever changed them, go into the store. */
#include "base/probe.h"
#include "base/trace.h"
#include "replication/replica_internal.h"

#include <inttypes.h>

/* In the middle of a read, or of what the log does on the lane: the timer tells the protocol, at once. Whoever is the only member keeps its rights: nobody
 * could make it whole, and its log takes no appends. */
void replica_note_loss(void *context) {
  struct replica *replica = context;
  replica->lost_ns = replica_has_others(replica) ? 0 : RAFT_NEVER;
  replica_arm(replica);
}

bool replica_has_others(const struct replica *replica) {
  const struct raft_config *config = &replica->raft.config;
  for (size_t i = 0; i < config->count; i++) {
    const struct replica_id *id = &config->members[i].id;
    if (!replica_id_equal(id, &replica->raft.self) && raft_config_votes(config, id)) return true;
  }
  return false;
}

void replica_see_losses(struct replica *replica) {
  if (!replica->deleting && log_view(replica->log).damaged && !replica->raft.damage.damaged) replica_note_loss(replica);
}

/* Of two nobody is elected without the vote of the other, who gives it to nobody who has less than it had. So a leader of two first gives the other
 * what is missing there, for an election timeout at most: nothing is committed without that one anyway. */
static bool hands_over_first(struct replica *replica, uint64_t now_ns) {
  if (replica->raft.config.count != 2 || replica->raft.role != RAFT_LEADER) return false;
  const struct raft_timing *timing = lane_timing(replica->lane);
  if (replica->lost_give_up_ns == 0) replica->lost_give_up_ns = now_ns + timing->election_ns;
  if (replica->lost_give_up_ns <= now_ns || !replica_hand_over(replica)) return false;
  replica->lost_ns = now_ns + timing->heartbeat_ns / 4;
  return true;
}

/* From here on the protocol knows: it answers no more for what this replica had. A leader lets somebody else lead. */
void replica_loss_timer(struct replica *replica, uint64_t now_ns) {
  if (hands_over_first(replica, now_ns)) return;
  replica->lost_ns = RAFT_NEVER;
  replica->lost_give_up_ns = 0;
  if (replica->raft.role == RAFT_LEADER) REACHED(leader_loses_entries);
  else REACHED(follower_loses_entries);
  trace_error("replica_lost_entries",
              "group=%" PRIu64 " term=%" PRIu64 " leads=%d do=\"nothing: it is had from the others; look at the disk\"",
              replica->group, raft_term(&replica->raft), replica->raft.role == RAFT_LEADER);
  struct raft_event event = {.kind = RAFT_HOLED};
  (void)replica_step(replica, &event, NULL);
}

/* What a replica may do must not depend on when it is started again: lost rights stay lost, and a proof need not be had twice. */
void replica_keep_rights(struct replica *replica, const struct raft_damage *before) {
  const struct raft_damage *now = &replica->raft.damage;
  bool same = now->damaged == before->damaged && now->through == before->through && now->term == before->term;
  if (same || replica->deleting || replica_alone(replica)) return;
  log_owe_state(replica->log);
  log_set_checkpoint(lane_logs(replica->lane), NULL, NULL);
}
