/* The order of one AppendStream: requests are decided one after the other, and answered in the order in which they came, though
 * their partitions may live on different lanes.
 *
 * A session lives on the lane of the first partition that it appends to, its home. A request whose partition lives there is handed over
 * in a call; another travels to its lane and back, and the next one waits at home until it was accepted. So nothing behind a
 * request can be appended before that request was accepted, and in one partition nothing behind a refused one ever is.
 *
 * 1. At most one request is undecided in a partition's hands; every other one is decided, or waits here.
 * 2. Answers leave in the order of the requests.
 * 3. Behind a refusal nothing is begun: SESSION_BROKEN, executed no. What another partition had accepted by then, because the refusal
 *    came after its own acceptance (REPLACED), has its own outcome. Behind an outcome that is unknown, of what had been accepted,
 *    everything is answered UNKNOWN_OUTCOME, executed maybe. (A refusal may say yes or maybe of an earlier attempt: it is one all the same.)
 *
 * Everything runs at home unless it says otherwise.
 */
#ifndef CAIRN_SERVER_APPEND_SESSION_H
#define CAIRN_SERVER_APPEND_SESSION_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/list.h"
#include "base/loop.h"
#include "server/partition.h"

struct append_session;
struct session_request;

struct append_session_ops {
  /* To the partition, on its lane: partition_append(), or what a test has in its place. */
  void (*submit)(struct partition_append *append);
  struct loop *(*loop_of)(const struct partition *partition);
  /* The next answer in order: request->append.failure, or its entry's head. Takes over the request. */
  void (*answer)(struct append_session *session, struct session_request *request);
  /* Nothing more will come, and everything is answered. */
  void (*finished)(struct append_session *session);
};

enum session_state { SESSION_WHOLE, SESSION_BROKEN, SESSION_IN_DOUBT };

struct append_session {
  const struct append_session_ops *ops;
  struct loop *home;
  struct list unanswered; /* all requests, in order */
  struct list waiting;    /* those that no partition has seen yet, in order */
  struct session_request *deciding;
  enum session_state state;
  bool told_doubt;
  bool pumping;
  bool ended;
  atomic_bool abandoned; /* the client is gone: what has not begun must not. Set on any thread */
};

/* Filled by the caller: `append` (partition, request, message), or, for one that is refused already, `append.failure` alone. */
struct session_request {
  struct partition_append append;
  uint64_t request_id;
  void *context; /* the caller's */

  /* The session's. */
  struct append_session *session;
  struct list_node unanswered_node;
  struct list_node waiting_node;
  struct task submit_task;
  struct task accepted_task;
  struct task done_task;
  bool accepted;
  bool done;
};

void append_session_init(struct append_session *session, const struct append_session_ops *ops, struct loop *home);
void append_session_submit(struct append_session *session, struct session_request *request);
/* No more requests follow; `finished` runs when the last one is answered, perhaps at once. */
void append_session_end(struct append_session *session);
bool append_session_idle(const struct append_session *session);

#endif
