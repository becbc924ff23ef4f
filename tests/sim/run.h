/* One seed, from its draw to its verdict.
 *
 *   boot       the brokers start, applications begin to work
 *   safety     things break; the checker watches every answer
 *   healing    everything that was broken is mended, brokers that are down are started
 *   leave      brokers that are to leave are gone within that bound, and come back with an empty disk
 *   converge   within a bound of virtual time an append to every partition succeeds (I17)
 *   settle     applications end; every partition is read from its start to its end; replicas that moved away and topics that were deleted leave nothing
 *   again      the power of all goes at once, or they are stopped and started, and everything is read once more
 *   rot        bits flip on the disks of stopped brokers; what they tell afterwards must be right, or told to be damaged
 *
 * Virtual time counts only while some client's call is waiting for its answer.
 */
#ifndef CAIRN_TESTS_SIM_RUN_H
#define CAIRN_TESTS_SIM_RUN_H

#include "base/list.h"
#include "tests/sim/checker.h"
#include "tests/sim/operations.h"
#include "tests/sim/plan.h"
#include "tests/sim/sim_app.h"
#include "tests/sim/sim_node.h"
#include "tests/sim/sim_random.h"

#define TOPICS_MAX 24u
#define RUN_PARTITIONS_MAX 4u

/* CREATING and DELETING: asked for, and not known to have happened. */
enum topic_stage { TOPIC_CREATING, TOPIC_LIVE, TOPIC_DELETING, TOPIC_GONE };

struct run_topic {
  char name[32];
  enum topic_stage stage;
  uint32_t replicas;
  uint64_t id; /* 0: not known */
  uint32_t partition_count;
  bool retains;
  bool grows; /* somebody is at it */
  struct check_partition *partitions[RUN_PARTITIONS_MAX];
  uint64_t terms[RUN_PARTITIONS_MAX];       /* the highest that was seen */
  uint64_t acked_terms[RUN_PARTITIONS_MAX]; /* and that an append was acknowledged in: that one is durable */
};

struct aim;
struct claims;
struct faults;
struct map_places;
struct map_truth;
struct points;
struct worker;

enum run_trace { TRACE_NOTHING, TRACE_STORY, TRACE_DISKS }; /* the last: and every operation of a broker's disk */

#define WORKERS_MAX 128u

struct run {
  const struct plan *plan;
  struct sim *sim;
  struct sim_net *net;
  struct checker *checker;
  struct map_truth *truth;
  struct map_places *places;
  struct claims *claims;
  struct operations *operations;
  struct sim_node *nodes[PLAN_NODES_MAX];
  struct sim_app *apps[PLAN_APPS_MAX + PLAN_NODES_MAX];
  unsigned app_count;
  struct worker *workers[WORKERS_MAX];
  unsigned worker_count;
  struct run_topic topics[TOPICS_MAX];
  unsigned topic_count;
  char cluster_id[33]; /* "": not known yet */
  struct faults *faults;
  struct aim *aim;       /* NULL: nothing is aimed at the controller */
  struct points *points; /* NULL: nobody dies at a point */
  struct copies *copies; /* NULL: nothing is copied */
  unsigned leader;       /* the broker that began to lead last, from 1 on; 0: none has */
  unsigned controller;   /* the same of group 0 */
  struct sim_random chance;
  unsigned wishes;           /* calls under way that want something of a broker */
  bool gone[PLAN_NODES_MAX]; /* with the directory that it has now, a broker has left the cluster */
  uint64_t map_changed_ns;   /* when a new version of it was seen */
  uint64_t swept_version;    /* of the map, when nobody had anything any more that it did not give him; 0: not yet */
  bool healed;               /* nothing breaks any more, and what was begun comes to its end */
  bool stopping;             /* threads of applications come to their end */
  enum run_trace trace;

  unsigned outstanding; /* calls of clients that wait */
  uint64_t outstanding_since_ns;
  uint64_t counted_ns;
  uint64_t leader_changes;
  uint64_t calls;
  uint64_t acked; /* appends: calls, and a producer's batches */
  uint64_t value_bytes;
  bool rotten;     /* bits have flipped: what is damaged may be told so, and must be */
  bool reads_fail; /* a disk may fail to read: what it cannot open a broker calls damaged, until its next start */
};

#define RUN_SERVERS_SIZE 256u

/* The brokers' addresses for a client, the `first` one (modulo their number) first. */
void run_servers(const struct run *run, unsigned first, char out_servers[RUN_SERVERS_SIZE]);

/* Around each call of a client. */
void run_call_begin(struct run *run);
void run_call_end(struct run *run);
void run_trace(struct run *run, const char *who, const char *format, ...) __attribute__((format(printf, 3, 4)));

struct run_result {
  uint64_t seed;
  bool failed;
  char check[48];
  char what[400];
  double at_s;
  uint64_t counted_ns;
  uint64_t virtual_ns;
  uint64_t acked, calls;              /* appends that were acknowledged; calls of all kinds */
  uint64_t records, refused, unknown; /* by what became of them */
  uint64_t faults, fault_kinds;
  uint64_t controller_faults; /* of these, those that were aimed at it */
  struct operation_count operations[OPERATION_COUNT];
  uint64_t point_operations, point_messages; /* of a victim of PLAN_POINTS (points.h) */
  uint64_t leader_changes;
  uint64_t restarts;
  uint64_t hash;
};

/* `trace`: tells the story on standard output. Returns at the first violation without taking things apart; the process is of no
 * use then. */
void run_seed(const struct plan *plan, enum run_trace trace, struct run_result *out_result);

#endif
