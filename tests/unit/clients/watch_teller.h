/* A broker that answers WatchCluster, and nothing else, with what a script says; in this process, behind real gRPC. */
#ifndef CAIRN_TESTS_UNIT_CLIENTS_WATCH_TELLER_H
#define CAIRN_TESTS_UNIT_CLIENTS_WATCH_TELLER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/rpc.h"

#define STEPS_MAX 16u
#define CALLS_MAX 4u
#define STEP_TOPICS_MAX 64u
#define HERE "0123456789abcdef0123456789abcdef"
#define THERE "fedcba9876543210fedcba9876543210"

/* One message of a broker, or the end of a call. */
struct step {
  uint64_t follows, version;
  bool begins, partial;
  const char *cluster; /* NULL: HERE */
  uint32_t topics;     /* changes in it: topics "t1", "t2", ..., with ids 1, 2, ... */
  uint64_t id;         /* of the first, the others follow; 0: 1 */
  uint32_t partitions; /* that each has, of which none is told; 0: 3 */
  bool deleted;        /* they are deleted */
  enum status end;     /* not OK: the call ends with it */
};

struct watch_teller {
  struct rpc *rpc;
  char address[32];
  pthread_mutex_t lock;
  struct step script[CALLS_MAX][STEPS_MAX]; /* by call; a step of version 0 is the last, */
  unsigned flood;                           /* or this many messages of FLOOD_BYTES follow, each once the one before was taken */
  unsigned flooded;                         /* that were taken */
  uint64_t version;                         /* that the last of them has */
  unsigned calls;
  uint64_t from[CALLS_MAX]; /* what was asked */
  bool from_now[CALLS_MAX];
  size_t topics[CALLS_MAX];
  char cluster[CALLS_MAX][40];
  const char *other; /* whom the first message of a call names; NULL: nobody */
};

#define FLOOD_BYTES (256u << 10)

void watch_teller_start(struct watch_teller *teller);
void watch_teller_stop(struct watch_teller *teller);
/* What either side has written by now the other one sees. */
void watch_teller_agree(struct watch_teller *teller);

#endif
