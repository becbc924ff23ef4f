/* Two replicas, and a third that a test may make, on one lane with a real log: each a ledger that writes down what it is told, and what was
 * asked of it with what became of that.
 */
#ifndef CAIRN_TESTS_UNIT_REPLICATION_REPLICA_RIG_H
#define CAIRN_TESTS_UNIT_REPLICATION_REPLICA_RIG_H

#include "replication/replica.h"
#include "tests/unit/replication/stage.h"

#define GROUPS 3u /* 1 and 2 are there from the start */
#define ASKS_MAX 64u
#define APPLIED_MAX 256u

/* A state machine that remembers what it was told. Its state is the number of entries and the index of the last one. */
struct ledger {
  struct rig *rig;
  struct replica *replica;
  entry_index applied[APPLIED_MAX]; /* indexes, in the order of the calls, of this process */
  enum entry_kind kinds[APPLIED_MAX];
  size_t applied_count;
  uint64_t entries; /* state: survives in snapshots */
  entry_index last; /* state */
  bool restored;    /* from a state that was not empty */
  unsigned roles;
  bool leader;
  entry_term role_term;
};

/* A proposal and what became of it. */
struct ask {
  struct rig *rig;
  group_id group;
  struct proposal proposal;
  size_t size;
  enum status refused; /* by replica_propose() */
  unsigned answers;
  enum status answer;
  unsigned order;      /* among all answers, from 1 */
  bool applied_before; /* when it was answered, the ledger had it */
};

struct rig {
  struct stage stage;
  struct ledger ledgers[GROUPS]; /* by group, from 1 */
  struct ask asks[ASKS_MAX];
  size_t ask_count;
  unsigned answers;
  unsigned deleted; /* how often a replica_delete() was done */
  group_id group;   /* argument of the errand at hand */
};

int rig_set_up(void **state);
int rig_tear_down(void **state);

/* A process: opens what is there, makes 1 and 2 where they are not. */
void rig_begin(struct rig *rig);
void rig_end(struct rig *rig, bool checkpoint);
/* The process dies here; what was not synced is gone. */
void rig_crash(struct rig *rig);
/* Between stage_stop() and stage_close(). */
void rig_free_replicas(struct rig *rig);

struct ledger *rig_ledger(struct rig *rig, group_id group);
struct log_view rig_view(struct rig *rig, group_id group);

/* In a turn of its own; not waited for. */
struct ask *rig_ask(struct rig *rig, group_id group, size_t size);
void rig_wait_for_answers(struct rig *rig);
void rig_assert_each_answered_once(const struct rig *rig, enum status status);

/* On the lane. */
void rig_make_replica(void *rig); /* of rig->group */
struct ask *rig_ask_new(struct rig *rig, group_id group, size_t size);
void rig_propose(void *ask);
void rig_ask_many_in_one_turn(void *rig); /* ten of each */

#endif
