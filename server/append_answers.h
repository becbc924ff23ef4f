/* The answers of one AppendStream on their way out. Where the client takes several in one message, those of one turn of the lane go together: a message
 * costs more than an answer, and what a group of the journal makes durable is answered in one turn.
 *
 * On the stream's home, except append_answers_sent(), which is the transport's.
 */
#ifndef CAIRN_SERVER_APPEND_ANSWERS_H
#define CAIRN_SERVER_APPEND_ANSWERS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/loop.h"
#include "base/rpc.h"

#define APPEND_ANSWERS_MAX 2048u         /* that the transport has not taken; a power of two */
#define APPEND_ANSWERS_BYTES (32u << 10) /* a message is full */

struct append_answers {
  struct rpc_call *call;
  struct loop *home;
  void (*flushed)(struct append_answers *answers); /* by itself, at the end of a turn */
  bool together;                                   /* the client takes them so */
  bool waiting;                                    /* for the end of the turn: it must not be freed */
  struct task task;
  struct buffer gathered;
  uint32_t count; /* of those gathered */
  /* How many answers each message has that the transport has not taken, a ring. A message is written here before it is sent. */
  uint32_t sent;  /* messages, by the home */
  uint32_t taken; /* by the transport */
  uint16_t in_message[APPEND_ANSWERS_MAX];
};

void append_answers_init(struct append_answers *answers, struct rpc_call *call, struct loop *home,
                         void (*flushed)(struct append_answers *answers));
void append_answers_deinit(struct append_answers *answers); /* PRE: not waiting. What was not sent is dropped */
/* Takes over the hold. PRE: fewer than APPEND_ANSWERS_MAX are not taken. */
void append_answers_add(struct append_answers *answers, struct blob_part answer);
/* Before the call ends. */
void append_answers_flush(struct append_answers *answers);
/* The transport took one more message: how many answers were in it. */
uint32_t append_answers_sent(struct append_answers *answers);

#endif
