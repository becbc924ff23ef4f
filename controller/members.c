#include "controller/members.h"

#include "base/check.h"

#define VOTERS_WANTED_MIN 3u

_Static_assert(MAP_BROKERS_PRESENT_MAX == RAFT_MEMBERS_MAX, "every broker of the cluster follows the map");

static struct replica_id id_of(const struct map_broker *broker) { return replica_id_of(broker->id, broker->incarnation); }

/* The map has its broker with another directory, or has given it up. */
static bool is_gone(const struct cluster_map *map, const struct replica_id *id) {
  const struct map_broker *broker = cluster_map_broker(map, id->broker);
  if (broker == NULL) return false;
  struct replica_id now = id_of(broker);
  return broker->standing == STANDING_GONE || !replica_id_equal(&now, id);
}

static uint32_t voters_of(const struct raft_config *config) {
  uint32_t voters = 0;
  for (size_t i = 0; i < config->count; i++) voters += config->members[i].then == RAFT_VOTER;
  return voters;
}

static bool is_up(const struct members_facts *facts, const struct raft_member *member) {
  return facts->is_up(facts->context, member->id.broker);
}

/* What a change that prepares was for may be otherwise by now: who was to become a voter is what it was. */
static enum raft_rank rank_today(const struct raft_config *today, const struct raft_member *member) {
  return today->phase == RAFT_PREPARING ? (enum raft_rank)member->now : (enum raft_rank)member->then;
}

/* Without those. Returns how many there were. */
static uint32_t keep(const struct raft_config *today, const struct cluster_map *map, struct raft_config *out_target) {
  uint32_t gone = 0;
  *out_target = (struct raft_config){.phase = RAFT_STABLE};
  for (size_t i = 0; i < today->count; i++) {
    const struct raft_member *member = &today->members[i];
    enum raft_rank rank = rank_today(today, member);
    if (is_gone(map, &member->id)) gone++;
    else if (rank != RAFT_NOBODY) raft_config_add(out_target, &member->id, rank, rank);
  }
  return gone;
}

/* A broker that takes no peers cannot be told anything. */
static void add_learners(const struct cluster_map *map, struct raft_config *target) {
  const struct map_broker *broker = cluster_map_broker_after(map, 0);
  for (; broker != NULL && target->count < RAFT_MEMBERS_MAX; broker = cluster_map_broker_after(map, broker->id)) {
    struct replica_id id = id_of(broker);
    if (broker->standing == STANDING_GONE) continue;
    if (broker->peer_address[0] == '\0' || raft_config_find(target, &id) != RAFT_NO_POSITION) continue;
    raft_config_add(target, &id, RAFT_LEARNER, RAFT_LEARNER);
  }
}

static bool stays(const struct members_facts *facts, const struct raft_member *member) {
  const struct map_broker *broker = cluster_map_broker(facts->map, member->id.broker);
  return broker == NULL || broker->standing < STANDING_LEAVING; /* one that the map does not have yet founded the cluster */
}

static bool may_vote(const struct members_facts *facts, const struct raft_member *member) {
  return member->then == RAFT_LEARNER && stays(facts, member) && is_up(facts, member);
}

static struct raft_member *lowest_heir(const struct members_facts *facts, struct raft_config *target) {
  struct raft_member *lowest = NULL;
  for (size_t i = 0; i < target->count; i++) {
    struct raft_member *member = &target->members[i];
    if (!may_vote(facts, member)) continue;
    if (lowest == NULL || member->id.broker < lowest->id.broker) lowest = member;
  }
  return lowest;
}

static void promote(const struct members_facts *facts, struct raft_config *target) {
  uint32_t voters = voters_of(target), most = voters;
  for (size_t i = 0; i < target->count; i++) most += may_vote(facts, &target->members[i]);
  uint32_t wanted = facts->founders > VOTERS_WANTED_MIN ? facts->founders : VOTERS_WANTED_MIN;
  if (wanted > RAFT_VOTERS_MAX) wanted = RAFT_VOTERS_MAX;
  if (wanted > most) wanted = most;
  if (wanted % 2 == 0 && wanted > voters) wanted--;
  for (struct raft_member *member; voters < wanted && (member = lowest_heir(facts, target)) != NULL; voters++)
    member->now = member->then = RAFT_VOTER;
}

static bool most_are_up(const struct members_facts *facts, const struct raft_config *target) {
  uint32_t up = 0;
  for (size_t i = 0; i < target->count; i++) up += target->members[i].then == RAFT_VOTER && is_up(facts, &target->members[i]);
  return 2 * up > voters_of(target);
}

/* In one step with who takes it, so that the change waits until that one has everything. The last vote is kept. */
static void retire(const struct members_facts *facts, struct raft_config *target) {
  for (size_t i = 0; i < target->count; i++) {
    if (target->members[i].then != RAFT_VOTER || stays(facts, &target->members[i])) continue;
    struct raft_config without = *target;
    struct raft_member *heir = lowest_heir(facts, &without);
    if (heir != NULL) heir->now = heir->then = RAFT_VOTER;
    without.members[i].now = without.members[i].then = RAFT_LEARNER;
    if (most_are_up(facts, &without)) *target = without;
  }
}

static bool differs(const struct raft_config *today, const struct raft_config *target) {
  if (today->count != target->count) return true;
  for (size_t i = 0; i < target->count; i++) {
    size_t position = raft_config_find(today, &target->members[i].id);
    if (position == RAFT_NO_POSITION || today->members[position].then != target->members[i].then) return true;
  }
  return false;
}

bool members_next(const struct raft_config *today, const struct members_facts *facts, struct raft_config *out_target) {
  struct raft_config target;
  uint32_t gone = keep(today, facts->map, &target);
  if (voters_of(&target) == 0) return false; /* nobody would be left to decide anything */
  if (gone == 0) {
    add_learners(facts->map, &target);
    promote(facts, &target);
    retire(facts, &target);
  }
  if (!differs(today, &target)) return false;
  *out_target = target;
  return true;
}
