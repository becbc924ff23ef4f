/* Before a broker promises anything it asks the others what they remember of it. Whoever has seen its journal further than it recovered knows that
 * its directory was put back from an older copy, or has lost its newest bytes: then this broker has forgotten promises, and must not start on it.
 *
 * Who cannot be reached says nothing, and who was started anew since remembers nothing: a rollback that none of them has seen cannot be found out.
 */
#ifndef CAIRN_SERVER_RECALL_H
#define CAIRN_SERVER_RECALL_H

#include "base/world.h"
#include "log/identity.h"
#include "server/join.h"

struct recall_question {
  const struct log_identity *self;
  const struct join *others; /* itself may be among them */
  uint64_t journal;          /* the newest group that was recovered */
  uint64_t patience_ns;
  const char *directory; /* for the message */
};

/* Asks all at once; blocks, outside every loop. STATUS_FOREIGN: somebody has seen newer; `out_problem` says what to do. */
enum status recall_ask(struct world *world, const struct recall_question *question, struct buffer *out_problem) MUST_CHECK;

#endif
