/* Before a broker changes or promises anything it asks the others what they remember of it. Whoever has seen its directory in a newer state, or
 * with a process that this one does not go on from, knows that it was put back from an older copy, has lost its newest bytes, or is itself a
 * copy: then this broker has forgotten promises, or somebody else makes them in its name, and it must not start on it.
 *
 * Who cannot be reached says nothing: a rollback that nobody reachable has seen cannot be found out here. Those who are reached later do not
 * listen to it, and it stops (replication/peers_admit.c).
 */
#ifndef CAIRN_SERVER_RECALL_H
#define CAIRN_SERVER_RECALL_H

#include "base/world.h"
#include "log/identity.h"
#include "log/lineage.h"
#include "server/join.h"

/* How much was heard, by each of those who are asked, of the process before this one: kept from one question to the next. */
struct recall_heard {
  uint64_t beats[JOIN_MAX]; /* by place in `others`; 0: none were, or it said nothing */
};

struct recall_question {
  const struct log_identity *self;
  const struct join *others;     /* itself may be among them */
  const struct lineage *lineage; /* with this process as its newest link */
  struct recall_heard *heard;
  uint64_t patience_ns;
  const char *directory; /* for the message */
};

/* Asks all at once; blocks, outside every loop. STATUS_DIRECTORY_SUPERSEDED: somebody has seen newer; STATUS_LOCKED: the process before, or one
 * on a copy of the directory, was heard of a moment ago, ask again: `*out_more`, it was heard of since `heard` was told. `out_problem` says what
 * to do. */
enum status recall_ask(struct world *world, const struct recall_question *question, bool *out_more,
                       struct buffer *out_problem) MUST_CHECK;

#endif
