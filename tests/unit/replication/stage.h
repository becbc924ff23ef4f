/* A lane on a real set of logs, on a pretended disk in pretended time: what the tests of replicas and of the controller stand on. A test
 * drives time itself; what belongs on the lane is done there by stage_on_lane(), which waits.
 *
 * A process is opened and closed, or killed; the disk stays until stage_deinit(). Logs have one instance, 1. Several stages may share one
 * pretended world.
 */
#ifndef CAIRN_TESTS_UNIT_REPLICATION_STAGE_H
#define CAIRN_TESTS_UNIT_REPLICATION_STAGE_H

#include <stdbool.h>

#include "replication/lane.h"
#include "replication/replica.h"
#include "tests/sim/sim_world.h"

#define STAGE_LOGS_MAX 8u

struct stage {
  struct sim *sim;
  bool shared;                                                         /* the world is somebody else's */
  broker_id broker;                                                    /* 1 */
  struct peers *peers;                                                 /* of the process; the test's. NULL: alone */
  const struct raft_timing *timing;                                    /* NULL: the usual one */
  void (*watch)(void *context, broker_id broker, enum peer_edge edge); /* for lane_watch(); NULL: nobody */
  void *watch_context;
  bool forgets; /* nothing stays in memory that is in a segment */
  struct sim_disk *device;
  struct sim_world *node; /* NULL: no process */
  struct account account;
  struct log_set *logs;
  struct lane *lane;
  struct log *log[STAGE_LOGS_MAX]; /* by group: recovered, or made by stage_make_log() */
};

void stage_init(struct stage *stage); /* PRE: zeroed */
void stage_init_in(struct stage *stage, struct sim *sim, broker_id broker);
void stage_deinit(struct stage *stage); /* PRE: no process */

/* A new process: opens the set and makes the lane. */
void stage_open(struct stage *stage);
/* Ends it in two halves; between them the test frees its replicas. */
void stage_stop(struct stage *stage, bool checkpoint);
void stage_close(struct stage *stage);
/* The same for a process that is killed just now; what was not synced is lost. */
void stage_kill(struct stage *stage);

/* On the lane. A new log, its OPEN frame in this turn's write. */
struct log *stage_make_log(struct stage *stage, group_id group);

/* Runs code that may block, as main() would, and waits. */
void stage_blocking(struct stage *stage, void (*run)(void *context), void *context);
void stage_on_lane(struct stage *stage, void (*run)(void *context), void *context);
void stage_wait(struct stage *stage, bool (*reached)(void *context), void *context);
void stage_checkpoint(struct stage *stage);

/* The journal takes its time from now on: what is proposed stays in flight. Or it fails from now on. Or all is well again. */
void stage_slow_journal(struct stage *stage);
void stage_fail_journal(struct stage *stage);
void stage_heal(struct stage *stage);

#endif
