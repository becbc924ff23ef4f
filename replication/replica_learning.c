/* What goes to replicas that do not count yet: how fast, and how far they are. */
#include "base/probe.h"
#include "replication/replica_internal.h"

/* What went at another pace is not paid for at this one: of a pace that was far too low the pause behind one message lasts for days. */
void replica_set_pace(struct replica *replica, uint64_t bytes_per_second) {
  struct replica_links *links = replica->links;
  if (links == NULL || links->pace.bytes_per_second == bytes_per_second) return;
  uint64_t now_ns = loop_now_ns(lane_loop(replica->lane));
  pace_init(&links->pace, bytes_per_second);
  for (size_t i = 0; i < links->follower_count; i++) {
    struct follower *follower = &links->followers[i];
    if (follower->paced_ns > now_ns) follower->paced_ns = now_ns;
    if (follower->ship_ns > now_ns) follower->ship_ns = now_ns;
  }
  replica_arm(replica);
}

void replica_end_pause(struct replica *replica, struct follower *follower) {
  if (follower->paced_ns == 0) return;
  follower->paced_ns = 0;
  lane_will_send(replica->lane, &replica->links->sender);
}

/* When more may go: by the broker's account and by the group's own. */
static uint64_t gave(struct replica *replica, uint64_t now_ns, uint64_t bytes) {
  uint64_t broker_ns = lane_took(replica->lane, bytes), own_ns = pace_took(&replica->links->pace, now_ns, bytes);
  return own_ns > broker_ns ? own_ns : broker_ns;
}

/* Whoever does not count yet gets old entries only as fast as it may, wherever they are read, and as many more as came meanwhile: else it would never
 * have them all where a group grows faster than that. These wait for nobody's pause, so whoever has all that is old keeps up. One that counts is
 * missed: it gets them as fast as it can. */
void replica_pace(struct replica *replica, struct follower *follower, const struct log_fetch *fetch) {
  uint64_t bytes = 0, grown = replica->links->appended_bytes - follower->paced_bytes;
  if (raft_config_votes(&replica->raft.config, &follower->id)) return;
  for (size_t i = 0; i < fetch->count; i++) bytes += entry_size(&fetch->entries[i].head);
  follower->paced_bytes += bytes < grown ? bytes : grown;
  if (bytes <= grown) return;
  uint64_t now_ns = loop_now_ns(lane_loop(replica->lane)), free_ns = gave(replica, now_ns, bytes - grown);
  if (free_ns <= now_ns) return;
  REACHED(learner_is_paced);
  follower->paced_ns = free_ns;
  replica_arm(replica);
}

/* What a snapshot has brought it does not acknowledge before all of it is there: then what it was given says more. */
static uint64_t done_of(const struct log_view *view, entry_index match, uint64_t given_bytes) {
  uint64_t entries = view->last_index + 1 - view->start_index;
  uint64_t has = match < view->start_index ? 0 : match + 1 - view->start_index;
  if (entries == 0 || has >= entries) return view->bytes;
  uint64_t by_match = (uint64_t)((double)view->bytes / (double)entries * (double)has);
  uint64_t given = given_bytes < view->bytes ? given_bytes : view->bytes;
  return by_match > given ? by_match : given;
}

struct replica_learning replica_learning(const struct replica *replica) {
  struct replica_learning learning = {0};
  const struct raft *raft = &replica->raft;
  struct log_view view = log_view(replica->log);
  if (replica->links == NULL || raft->role != RAFT_LEADER) return learning;
  for (size_t i = 0; i < raft->config.count; i++) {
    const struct raft_member *member = &raft->config.members[i];
    const struct progress *progress = raft_progress(raft, i);
    if (member->then != RAFT_VOTER || member->now == RAFT_VOTER || progress == NULL) continue;
    uint64_t given_bytes = 0;
    for (size_t k = 0; k < replica->links->follower_count; k++)
      if (replica_id_equal(&replica->links->followers[k].id, &member->id)) given_bytes = replica->links->followers[k].given_bytes;
    uint64_t done = done_of(&view, progress->match, given_bytes);
    learning.learners++;
    learning.bytes_done += done;
    learning.bytes_to_go += view.bytes - done;
  }
  return learning;
}
