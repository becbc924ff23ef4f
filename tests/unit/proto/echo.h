/* A small service over an rpc door, and a client that waits: what the tests of the transport talk to. */
#ifndef CAIRN_TESTS_UNIT_PROTO_ECHO_H
#define CAIRN_TESTS_UNIT_PROTO_ECHO_H

#include <pthread.h>

#include "base/loop.h"
#include "base/rpc.h"
#include "proto/failure.h"
#include "proto/health.h"
#include "proto/reflection.h"

/* ---- The service ----
 *
 * /test.Echo/Unary   the same bytes back
 * /test.Echo/Later   the same, from another thread (or from `loop`, where there is one), after a while
 * /test.Echo/Many    {u32 count, u32 size, u32 window}: so many messages of that size, at most `window` of them queued
 * /test.Echo/Chat    the same bytes back, for each
 * /test.Echo/Patient the same, and for a message that is not let in the reason and the size
 * /test.Echo/Burst   {u32 count, u32 size}: all at once, and the end right behind them
 * /test.Echo/Hang    no answer, ever
 * /test.Echo/Busy    {u32 ms}: keeps the transport's thread busy for so long, then the same bytes back
 * /test.Echo/Refuse  OFFSET_MISMATCH with everything a failure can carry
 */
struct echo {
  struct health *health;         /* may be NULL */
  struct reflection *reflection; /* may be NULL */
  struct loop *loop;             /* may be NULL; else outlives the echo */
  pthread_mutex_t lock;          /* guards what follows */
  pthread_cond_t changed;
  unsigned opened;
  unsigned closed;
  unsigned cancelled;
  size_t queued_most;
  unsigned sent;
  unsigned threads; /* that answer later */
};

extern const struct rpc_handler echo_handlers[];
extern const size_t echo_handler_count;

void echo_init(struct echo *echo);
void echo_deinit(struct echo *echo); /* waits for the threads that answer later */
/* Waits until so many calls are closed, of which so many cancelled; false after 10 s. */
bool echo_wait_closed(struct echo *echo, unsigned closed, unsigned cancelled);
bool echo_wait_opened(struct echo *echo, unsigned opened);

/* ---- The client ---- */

#define EXCHANGE_MESSAGES_MAX 4096u

struct exchange {
  pthread_mutex_t lock; /* guards what follows */
  pthread_cond_t changed;
  struct rpc_request *request;
  struct blob *messages[EXCHANGE_MESSAGES_MAX];
  size_t count;
  unsigned sent;
  bool done;
  enum grpc_status code;
  struct failure failure;
};

#define SECOND_NS UINT64_C(1000000000)

/* How those who wait let others work, where these are no threads; false when nothing will happen any more. NULL: they sleep. */
extern bool (*echo_work)(void);

void exchange_start(struct exchange *exchange, struct rpc_channel *channel, const char *method, enum rpc_kind kind,
                    uint64_t timeout_ns, bool auto_receive);
void exchange_send(struct exchange *exchange, const void *data, size_t size);
bool exchange_wait_count(struct exchange *exchange, size_t count); /* false after 20 s or when it is done */
void exchange_wait_done(struct exchange *exchange);
void exchange_end(struct exchange *exchange); /* releases everything; it must be done */

/* A unary call, whole: start, send, wait. */
void exchange_unary(struct exchange *exchange, struct rpc_channel *channel, const char *method, const void *data, size_t size);

#endif
