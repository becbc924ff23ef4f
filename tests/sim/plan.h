/* What one seed does: everything that is drawn before anything happens. Swarm testing (Groce et al., 2012): each seed leaves out
 * much of what could happen, so that the rest happens often and together; and bounds are small, so that their edges are near.
 */
#ifndef CAIRN_TESTS_SIM_PLAN_H
#define CAIRN_TESTS_SIM_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/options.h"
#include "tests/sim/sim_random.h"
#include "tests/sim/sim_rpc.h"

#define PLAN_NODES_MAX 5u
#define PLAN_APPS_MAX 4u

/* What breaks. The names are those of the words in traces and of the counts in reports. */
#define FAULTS(X)                                                             \
  X(kill, "kill -9 of a broker")                                              \
  X(power_cut, "the power of a broker's machine goes")                        \
  X(power_cut_all, "the power of all machines goes")                          \
  X(crash_point, "a broker dies in the middle of an operation of its disk")   \
  X(crash_at_vote, "a broker's power goes while it writes whom it votes for") \
  X(stop, "SIGTERM and a start")                                              \
  X(pause, "SIGSTOP of a broker, and SIGCONT")                                \
  X(app_pause, "the same of an application")                                  \
  X(clock_jump, "a broker's wall clock jumps")                                \
  X(clock_rate, "a broker's clocks run fast or slow")                         \
  X(slow_disk, "a broker's disk is slow")                                     \
  X(cut_while_slow, "the power goes while the disk is slow")                  \
  X(disk_error, "one write, sync or read of a broker's disk fails")           \
  X(disk_full, "a broker's disk is full for a while")                         \
  X(reset, "connections are reset")                                           \
  X(cut, "nothing passes between two machines")                               \
  X(cut_one_way, "nothing passes from one machine to another")                \
  X(isolate, "a broker is cut off from all others, both ways or one way")     \
  X(slow_link, "a link is slow, jittery and loses packets")

enum fault {
#define FAULT_ENUM(name, what) FAULT_##name,
  FAULTS(FAULT_ENUM)
#undef FAULT_ENUM
      FAULT_COUNT
};
const char *fault_name(enum fault fault);

/* What breaks whoever leads the map, in the middle of a command (aim.h): a fault of those above, at a moment that matters. */
#define AIMS(X)                                                                         \
  X(controller_kill, kill, "kill -9")                                                   \
  X(controller_power_cut, power_cut, "the power of its machine goes")                   \
  X(controller_crash, crash_point, "it dies in the middle of an operation of its disk") \
  X(controller_stop, stop, "SIGTERM and a start")                                       \
  X(controller_pause, pause, "SIGSTOP, and SIGCONT")                                    \
  X(controller_isolate, isolate, "it is cut off from all others, both ways or one way")

enum aim_kind {
#define AIM_ENUM(name, fault, what) AIM_##name,
  AIMS(AIM_ENUM)
#undef AIM_ENUM
      AIM_COUNT
};
const char *aim_name(enum aim_kind kind);

/* What seeds are about. */
enum plan_kind {
  PLAN_ANY,
  PLAN_ROT,        /* the same; but of clusters one broker's disk may rot, too */
  PLAN_CONTROLLER, /* admins who want something changed all the time, while whoever leads the map is hit in the middle of it */
  PLAN_POINTS      /* one reassignment, and one death at some moment of it (points.h) */
};

struct plan {
  uint64_t seed;  /* of PLAN_POINTS that of its story */
  uint64_t point; /* PLAN_POINTS: the seed that was asked for */
  enum plan_kind kind;
  unsigned nodes;        /* brokers, of one cluster */
  unsigned replicas_min; /* of a topic */
  unsigned replicas_max; /* the same */
  unsigned racks;        /* that the brokers stand in; 0: none tells of one */
  unsigned apps;
  uint64_t safety_ns;      /* how long things break */
  uint64_t fault_every_ns; /* on average */
  bool faults[FAULT_COUNT];
  bool aims[AIM_COUNT];
  uint64_t aim_every_ns; /* on average, from one to the next that may be taken; 0: none */
  bool copies;           /* directories are put back from older copies, and cloned */
  bool cut_at_end;       /* the power of all goes once more, after everything was checked */
  bool stop_at_end;      /* a clean stop and start instead */
  bool
      rot_at_end; /* bits of a disk flip while its broker is down; then everything that can be read must be right, the rest be told */
  bool rots;      /* the disk of one broker rots now and then, where others have the same (rot.h) */
  struct options options;
  struct sim_rpc_options rpc;
  uint64_t disk_bytes;

  /* The workload. */
  unsigned topics_max;
  unsigned partitions_max;
  unsigned appenders, producers, readers, tailers, admins, watchers; /* threads of each app */
  uint32_t record_bytes_max;
  uint32_t batch_records_max;
  bool bystands;    /* a topic that nobody looks at, for what the library hears of the map by itself */
  bool conditional; /* appends with expected offsets */
  bool asks;        /* readers ask for nothing but where the log ends, and do not rest */
  bool named;       /* producers have names: with these every record is in the log once, whatever breaks */
  bool named_alike; /* several have the same one, and take over from each other */
  bool trims;
  bool deletes;
  bool grows;     /* topics get more partitions */
  bool moves;     /* partitions go to other brokers */
  bool transfers; /* somebody asks for other leaders */
  bool leaves;    /* brokers are drained, and leave, and come back as new ones */
  bool carries;   /* one that starts again may stand in another rack */
  unsigned held;  /* brokers, by bit, that begin with feature level 1 alone, and are upgraded when they start again */
  bool retains;   /* topics whose old records go by themselves */
  bool compressed;
  bool impatient;    /* short deadlines, calls given up in the middle */
  uint64_t think_ns; /* between two calls of a thread, on average */
  uint64_t burst;    /* of so many calls, on average; */
  uint64_t pause_ns; /* and then so long nothing, on average: virtual time is cheap, calls are not */
  uint64_t wait_ms;  /* readers wait for records, at most */
};

/* PLAN_CONTROLLER: of at least three brokers. PLAN_POINTS: of three. */
void plan_draw(struct plan *plan, uint64_t seed, unsigned nodes, enum plan_kind kind);
/* The option of the command line that asks for it, "" for PLAN_ANY. */
const char *plan_kind_option(enum plan_kind kind);
/* Which of its racks a broker stands in that starts; "" for some. */
const char *plan_draw_rack(const struct plan *plan, struct sim_random *random);
/* In one line, without the defaults. */
void plan_print(const struct plan *plan, char *into, size_t size);

#endif
