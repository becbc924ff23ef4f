/* A question to another broker, on the port that is for brokers: one call with one answer, one at a time. The connection stays as long as the
 * same broker is asked and answers. On the asker's loop.
 */
#ifndef CAIRN_SERVER_PEER_QUESTION_H
#define CAIRN_SERVER_PEER_QUESTION_H

#include <stdbool.h>

#include "base/world.h"
#include "proto/failure.h"
#include "replication/peers.h"

struct peer_question {
  struct world *world;
  struct loop *loop;
  const char *method;
  void (*done)(struct peer_question *question);

  /* Valid during `done`: why there is no answer, and if there is none missing, its bytes. */
  struct failure failure;
  struct blob *answer;

  char address[PEER_ADDRESS_SIZE]; /* of the channel */
  struct rpc_channel *channel;     /* NULL: none is open */
  struct rpc_request *request;     /* NULL: nothing is under way */
  struct task answered;
};

/* `method` is kept. `done` runs once for each question, never at once. */
void peer_question_init(struct peer_question *question, struct world *world, struct loop *loop, const char *method,
                        void (*done)(struct peer_question *question));
/* Closes the connection. PRE: nothing is under way. Also of one that was never initialised, all zero. */
void peer_question_deinit(struct peer_question *question);

/* Takes over the message. PRE: nothing is under way. */
void peer_question_ask(struct peer_question *question, const char *address, struct blob_part message);
bool peer_question_asks(const struct peer_question *question);
/* `done` comes all the same, and soon. Fine when nothing is under way. */
void peer_question_cancel(struct peer_question *question);
/* Nothing more is asked for a while. PRE: nothing is under way. */
void peer_question_hang_up(struct peer_question *question);

#endif
