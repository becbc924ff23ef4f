/* Calls that were opened and have said nothing yet.
 *
 * A unary or a server-stream call owes one message, and holds a place of calls-max until it has come: opened by the thousand and left so,
 * they would keep everybody else out. So it has a time, after which the call is ended. A bidirectional stream may be silent for ever; but
 * whoever stops serving ends it as well, and can still say that nothing was done, which nobody can of a call that C core cuts off.
 *
 * Kept where it is found without knowing the call's service. Functions run on any thread unless they say otherwise.
 */
#ifndef CAIRN_PROTO_RPC_GRPC_SILENCE_H
#define CAIRN_PROTO_RPC_GRPC_SILENCE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/rpc.h"

struct silence {
  uint64_t patience_ns; /* never changes; 0: for ever */
  pthread_mutex_t lock; /* guards what follows, and every struct silent */
  struct list calls;    /* that owe a message, the longest silent first */
  struct list streams;
  bool over;
};

/* A call's part of it, zero before. */
struct silent {
  struct list_node node;
  struct rpc_call *call;
  uint64_t until_ns;
  bool given_up;
};

void silence_init(struct silence *silence, uint64_t patience_ns);
void silence_deinit(struct silence *silence); /* PRE: no call is silent */

/* The transport's thread: the call begins; `owes`: one message, and no stream. False: nothing will be heard any more, it is to be refused. */
bool silence_begin(struct silence *silence, struct silent *silent, struct rpc_call *call, bool owes, uint64_t now_ns);
/* The transport's thread: the call spoke, or is over; fine more than once. False: it has been given up, and what it said counts for nothing. */
bool silence_end(struct silence *silence, struct silent *silent);

/* Ends the calls whose time has passed: DEADLINE, executed no. */
void silence_give_up_overdue(struct silence *silence, uint64_t now_ns);
/* Ends all of them, from now on: DRAINING. */
void silence_give_up_all(struct silence *silence);

#endif
