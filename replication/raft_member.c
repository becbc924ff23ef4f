/* Membership: joint consensus and learners (section 4.3, 4.2.1).
 *
 * A configuration is in force from the moment it is in the log, and no longer when its entry is cut. Its predecessor is committed for
 * sure: a leader proposes the next only when the one before is committed (R8), so whoever holds entry n of the configurations
 * knows that n - 1 is committed, and everything before it. Two are therefore all that must be kept.
 */
#include "base/memory.h"
#include "replication/raft_internal.h"

/* ---- What is in force ---- */

static void carry_progress(struct raft *raft, const struct raft_config *before) {
  struct raft_leadership *old = raft->leadership;
  size_t count = raft->config.count;
  struct raft_leadership *leadership = memory_new(sizeof *leadership + count * sizeof leadership->followers[0]);
  *leadership = *old;
  leadership->count = count;
  for (size_t i = 0; i < count; i++) {
    size_t position = raft_config_find(before, &raft->config.members[i].id);
    if (position != RAFT_NO_POSITION) leadership->followers[i] = old->followers[position];
    else progress_init(&leadership->followers[i], raft->trail.last_index + 1, leadership->sequence, raft->now_ns);
  }
  raft->leadership = leadership;
  memory_free(old);
}

/* A voter without a leader waits for one; whoever votes no more does not. */
static void changed(struct raft *raft) {
  raft->effects->config_changed = true;
  if (raft->role != RAFT_LEADER && !raft->vouched) raft_arm_election(raft, raft->timing.election_ns);
}

void raft_take_config(struct raft *raft, const struct raft_config *config, entry_index index) {
  raft->previous_config = raft->config;
  raft->previous_config_index = raft->config_index;
  raft->config = *config;
  raft->config_index = index;
  if (raft->role == RAFT_LEADER) carry_progress(raft, &raft->previous_config);
  if (raft->previous_config_index > raft->hard_state.commit) raft_advance_commit(raft, raft->previous_config_index);
  changed(raft);
}

void raft_revert_config(struct raft *raft, entry_index cut_from) {
  if (cut_from > raft->config_index || RAFT_MUTANT(CONFIG_NOT_REVERTED)) return;
  raft->config = raft->previous_config;
  raft->config_index = raft->previous_config_index;
  changed(raft);
}

static void propose(struct raft *raft, const struct raft_config *config) {
  CHECK(raft_config_valid(config));
  raft_append_own(raft, RAFT_APPEND_CONFIG, 1);
  raft_take_config(raft, config, raft->trail.last_index);
}

/* ---- The steps of a change ---- */

/* Rounds, as in section 4.2.1, but all learners have the same: each lasts a quarter of an election timeout, or a heartbeat where that is longer. */
void raft_note_round(struct raft *raft) {
  struct raft_leadership *leadership = raft->leadership;
  if (raft->now_ns - leadership->round_ns < raft->timing.election_ns / 4) return;
  leadership->rounds[1] = leadership->rounds[0];
  leadership->rounds[0] = raft->trail.last_index;
  leadership->round_ns = raft->now_ns;
}

void raft_note_round_rest(struct raft *raft) {
  struct raft_leadership *leadership = raft->leadership;
  leadership->rounds[0] = leadership->rounds[1] = raft->trail.last_index;
  leadership->round_ns = raft->now_ns;
}

/* Whoever is to vote has to have the log, on its disk, but for what is just under way (R11, KAFKA-17332): it lacks nothing that was there half an
 * election timeout ago, or less. So a group that appends all the while takes it in, and yet it has the rest in about that time, however large
 * entries are: a majority that needs it keeps nobody waiting for longer. */
static bool caught_up(const struct raft *raft, const struct raft_member *member) {
  if (member->now == RAFT_VOTER || member->then != RAFT_VOTER) return true;
  size_t position = raft_config_find(&raft->config, &member->id);
  if (position == RAFT_NO_POSITION) return false;
  const struct progress *progress = &raft->leadership->followers[position];
  return progress->state == PROGRESS_PIPELINE && !progress->unproven && raft_reachable(raft, position) &&
         progress->match >= raft->leadership->rounds[1] && progress->match >= raft->leadership->term_start;
}

static bool all_caught_up(const struct raft *raft, const struct raft_config *config) {
  for (size_t i = 0; i < config->count; i++) {
    if (!caught_up(raft, &config->members[i])) return false;
  }
  return true;
}

static bool voters_change(const struct raft_config *config) {
  for (size_t i = 0; i < config->count; i++) {
    if ((config->members[i].now == RAFT_VOTER) != (config->members[i].then == RAFT_VOTER)) return true;
  }
  return false;
}

/* What `then` says is so now. */
static struct raft_config concluded(const struct raft_config *config) {
  struct raft_config next = {.phase = RAFT_STABLE};
  for (size_t i = 0; i < config->count; i++) {
    const struct raft_member *member = &config->members[i];
    if (member->then != RAFT_NOBODY) raft_config_add(&next, &member->id, member->then, member->then);
  }
  return next;
}

static void begin_joint(struct raft *raft, struct raft_config config) {
  config.phase = RAFT_JOINT;
  if (RAFT_MUTANT(SINGLE_STEP)) config = concluded(&config);
  propose(raft, &config);
}

/* Every step of a change that can be taken is taken when its predecessor is committed. */
void raft_advance_members(struct raft *raft) {
  bool committed = raft->config_index <= raft->hard_state.commit;
  if (!committed || raft->hard_state.commit < raft->leadership->term_start) return;
  if (raft->config.phase == RAFT_JOINT) {
    struct raft_config next = concluded(&raft->config);
    propose(raft, &next);
  } else if (raft->config.phase == RAFT_PREPARING && all_caught_up(raft, &raft->config)) {
    begin_joint(raft, raft->config);
  } else if (!raft_config_votes(&raft->config, &raft->self)) {
    raft_resign(raft); /* section 4.2.2: it led until its own removal was committed */
  }
}

/* ---- Asking for a change ---- */

static enum raft_rank wanted(const struct raft_config *target, const struct replica_id *id) {
  size_t position = raft_config_find(target, id);
  return position == RAFT_NO_POSITION ? RAFT_NOBODY : (enum raft_rank)target->members[position].then;
}

/* Today's members with what the target makes of them, then its new ones. False: more than fits, or a broker twice. */
static bool plan(const struct raft_config *today, const struct raft_config *target, struct raft_config *out_next) {
  struct raft_config next = {.phase = RAFT_PREPARING};
  for (size_t i = 0; i < today->count; i++) {
    const struct raft_member *member = &today->members[i];
    enum raft_rank then = wanted(target, &member->id);
    if (member->now == RAFT_VOTER || then != RAFT_NOBODY) raft_config_add(&next, &member->id, (enum raft_rank)member->now, then);
  }
  for (size_t i = 0; i < target->count; i++) {
    const struct raft_member *member = &target->members[i];
    if (raft_config_find(today, &member->id) != RAFT_NO_POSITION || member->then == RAFT_NOBODY) continue;
    if (next.count == RAFT_MEMBERS_MAX) return false;
    raft_config_add(&next, &member->id, RAFT_LEARNER, (enum raft_rank)member->then);
  }
  *out_next = next;
  return raft_config_valid(&next);
}

bool raft_busy(const struct raft *raft) {
  bool under_way = raft->config_index > raft->hard_state.commit || raft->config.phase == RAFT_JOINT;
  if (RAFT_MUTANT(TWO_CHANGES)) under_way = false;
  bool unproven = raft->hard_state.commit < raft->leadership->term_start; /* what the term before proposed may not be known yet */
  return under_way || unproven || raft_transferring(raft);
}

static enum status may_change(const struct raft *raft) {
  if (raft->stopped || raft->damage.damaged) return STATUS_FENCED;
  if (raft->role != RAFT_LEADER) return STATUS_NOT_LEADER;
  return raft_busy(raft) ? STATUS_BUSY : STATUS_OK;
}

void raft_change_members(struct raft *raft, const struct raft_config *target) {
  enum status status = may_change(raft);
  struct raft_config next;
  if (status == STATUS_OK && !plan(&raft->config, target, &next)) status = STATUS_INVALID;
  raft->effects->status = status;
  if (status != STATUS_OK) return;

  if (!voters_change(&next)) {
    struct raft_config stable = concluded(&next);
    if (!raft_config_equal(&stable, &raft->config)) propose(raft, &stable);
  } else if (all_caught_up(raft, &next)) {
    begin_joint(raft, next);
  } else if (!raft_config_equal(&next, &raft->config)) {
    propose(raft, &next);
  }
}
