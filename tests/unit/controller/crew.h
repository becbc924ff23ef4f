/* Controllers of one group 0: each on a lane and a log of its own, on pretended disks in one pretended time, with a small network between
 * them (tests/unit/replication/wires.h). Three brokers, all up when it is set up.
 */
#ifndef CAIRN_TESTS_UNIT_CONTROLLER_CREW_H
#define CAIRN_TESTS_UNIT_CONTROLLER_CREW_H

#include <stdbool.h>

#include "controller/controller.h"
#include "tests/unit/replication/stage.h"
#include "tests/unit/replication/wires.h"

#define CREW_BROKERS 3u
#define MS_NS 1000000u

struct crew;
struct member {
  struct crew *crew;
  struct stage stage;
  struct controller *controller; /* NULL: down */
  char told[1024];               /* by the watches, of this process */
  unsigned caught_up;            /* how often it was told */
  unsigned placed;               /* the same of places */
  struct feature_range features; /* that it can; kept over restarts */
  uint32_t outgrown;             /* the level that it was told it cannot */
  broker_id leader;              /* whom it was told to lead, last */
  bool leads;                    /* and that it does */
};

struct crew {
  struct sim *sim;
  struct wires wires;
  struct raft_timing timing;
  struct raft_config founding;
  struct member members[CREW_BROKERS + 1];
};

/* For cmocka: the state is the crew. */
int crew_set_up(void **state);
int crew_tear_down(void **state);

void crew_start(struct crew *crew, broker_id broker);
void crew_stop(struct member *member);
/* Its process is killed and its machine loses power: what was not synced is gone. */
void crew_crash(struct member *member);
void crew_run_ms(struct crew *crew, unsigned ms);
/* Nothing passes between this broker and the others, until wires_heal(). */
void crew_isolate(struct crew *crew, broker_id broker);
/* One that leads and is ready; waits for it. */
broker_id crew_leader(struct crew *crew);

/* A change asked of one of them. Kept until it is answered. */
struct request {
  struct change change;
  struct member *member;
  bool answered;
};
void crew_ask(struct crew *crew, broker_id broker, const struct change *wanted, struct request *out_request);
/* Waits for the answer. */
enum status crew_answer(struct crew *crew, struct request *request);
/* Of the leader, and it is done. */
void crew_change(struct crew *crew, const struct change *wanted);
void crew_register(struct crew *crew, broker_id broker, const char *advertised);
void crew_register_in_rack(struct crew *crew, broker_id broker, const char *rack);
struct change change_of_topic(enum command_kind kind, const char *name);

#endif
