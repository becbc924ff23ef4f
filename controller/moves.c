#include "controller/moves.h"

#include "base/mutant.h"

static void add_voters(const struct map_replica *replicas, uint32_t count, struct raft_config *out_config) {
  *out_config = (struct raft_config){.phase = RAFT_STABLE};
  for (uint32_t i = 0; i < count; i++) {
    struct replica_id id = map_replica_id(&replicas[i]);
    raft_config_add(out_config, &id, RAFT_VOTER, RAFT_VOTER);
  }
}

/* It belongs to a broker that is to have another directory's replica. */
static bool is_earlier_self(const struct raft_config *wanted, const struct replica_id *id) {
  for (size_t i = 0; i < wanted->count; i++) {
    const struct replica_id *other = &wanted->members[i].id;
    if (other->broker == id->broker && !replica_id_equal(other, id)) return true;
  }
  return false;
}

/* Everybody who votes today or is about to, but earlier selves; how many these are is returned. So nobody is given up before those that are to
 * come are in. */
static uint32_t keep(const struct raft_config *today, const struct raft_config *wanted, struct raft_config *out_target) {
  uint32_t earlier = 0;
  *out_target = (struct raft_config){.phase = RAFT_STABLE};
  for (size_t i = 0; i < today->count; i++) {
    const struct raft_member *member = &today->members[i];
    if (is_earlier_self(wanted, &member->id)) earlier++;
    else if (member->now == RAFT_VOTER || member->then == RAFT_VOTER)
      raft_config_add(out_target, &member->id, RAFT_VOTER, RAFT_VOTER);
  }
  return earlier;
}

/* As `keep`, but of those who vote only whoever is to stay. */
static void keep_who_stays(const struct raft_config *today, const struct raft_config *wanted, struct raft_config *out_target) {
  *out_target = (struct raft_config){.phase = RAFT_STABLE};
  for (size_t i = 0; i < today->count; i++) {
    const struct raft_member *member = &today->members[i];
    if (member->now == RAFT_VOTER && raft_config_find(wanted, &member->id) != RAFT_NO_POSITION)
      raft_config_add(out_target, &member->id, RAFT_VOTER, RAFT_VOTER);
  }
}

/* Does today's change, once it is through, end in just these voters? */
static bool leads_to(const struct raft_config *today, const struct raft_config *target) {
  size_t stay = 0;
  for (size_t i = 0; i < today->count; i++) {
    const struct raft_member *member = &today->members[i];
    if (member->then == RAFT_NOBODY) continue;
    if (member->then != RAFT_VOTER || raft_config_find(target, &member->id) == RAFT_NO_POSITION) return false;
    stay++;
  }
  return stay == target->count;
}

enum move_step move_next(const struct raft_config *today, bool committed, const struct map_partition *place,
                         const struct map_move *move, struct raft_config *out_target) {
  struct raft_config wanted, without;
  if (move != NULL) add_voters(move->target, move->target_count, &wanted);
  else add_voters(place->replicas, place->replica_count, &wanted);
  if (wanted.count == 0 || !committed || today->phase == RAFT_JOINT) return MOVE_REST;
  if (leads_to(today, &wanted)) return move != NULL && today->phase == RAFT_STABLE ? MOVE_OVER : MOVE_REST;
  bool earlier = keep(today, &wanted, &without) > 0;
  if (MUTANT(voters_go_first)) {
    keep_who_stays(today, &wanted, &without);
    earlier = without.count > 0 && !leads_to(today, &without);
  }
  const struct raft_config *target = earlier ? &without : &wanted;
  if (target->count == 0 || leads_to(today, target)) return MOVE_REST;
  *out_target = *target;
  return MOVE_CHANGE;
}
