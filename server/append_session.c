#include "server/append_session.h"

#include "base/check.h"
#include "base/memory.h"
#include "base/mutant.h"
#include "base/probe.h"

void append_session_init(struct append_session *session, const struct append_session_ops *ops, struct loop *home) {
  session->ops = ops;
  session->home = home;
  list_init(&session->unanswered);
  list_init(&session->waiting);
  atomic_init(&session->abandoned, false);
}

bool append_session_idle(const struct append_session *session) { return list_empty(&session->unanswered); }

/* ---- Answering, in order ---- */

static void replace_failure(struct session_request *request, enum status reason, const char *text) {
  memory_free(request->append.failure);
  request->append.failure = refusal_new(reason, "%s", text);
}

/* It was on its way into the log, and nobody can tell whether it got there. */
static bool in_doubt(const struct session_request *request) {
  return request->accepted && request->append.failure != NULL && request->append.failure->executed != EXECUTED_NO;
}

static void flush(struct append_session *session) {
  for (struct list_node *node; (node = list_first(&session->unanswered)) != NULL;) {
    struct session_request *request = list_entry(node, struct session_request, unanswered_node);
    if (!request->done) return;
    list_remove(node);
    if (session->told_doubt)
      replace_failure(
          request, STATUS_UNKNOWN_OUTCOME,
          "the outcome of an earlier append of this stream is unknown; look into the partition before you send it again");
    else session->told_doubt = in_doubt(request);
    session->ops->answer(session, request);
  }
  if (session->ended) {
    session->ended = false;
    session->ops->finished(session);
  }
}

/* ---- Deciding, in order ---- */

static void note_failure(struct append_session *session, const struct session_request *request) {
  if (in_doubt(request)) session->state = SESSION_IN_DOUBT;
  else if (session->state == SESSION_WHOLE) session->state = SESSION_BROKEN;
}

static void pump(struct append_session *session);

static void accepted_at_home(struct session_request *request) {
  struct append_session *session = request->session;
  CHECK(session->deciding == request);
  session->deciding = NULL;
  request->accepted = true;
  pump(session);
}

static void done_at_home(struct session_request *request) {
  struct append_session *session = request->session;
  if (session->deciding == request) session->deciding = NULL;
  request->done = true;
  if (request->append.failure != NULL) note_failure(session, request);
  pump(session);
}

/* ---- From lane to lane ---- */

static void run_submit(struct task *task) {
  struct session_request *request = container_of(task, struct session_request, submit_task);
  request->session->ops->submit(&request->append);
}
static void run_accepted(struct task *task) { accepted_at_home(container_of(task, struct session_request, accepted_task)); }
static void run_done(struct task *task) { done_at_home(container_of(task, struct session_request, done_task)); }

static bool lives_at_home(const struct session_request *request) {
  const struct append_session *session = request->session;
  return session->ops->loop_of(request->append.partition) == session->home;
}

/* On the partition's lane, both. */
static void on_accepted(struct partition_append *append) {
  struct session_request *request = container_of(append, struct session_request, append);
  if (lives_at_home(request)) accepted_at_home(request);
  else loop_post(request->session->home, &request->accepted_task);
}
static void on_done(struct partition_append *append) {
  struct session_request *request = container_of(append, struct session_request, append);
  if (lives_at_home(request)) done_at_home(request);
  else loop_post(request->session->home, &request->done_task);
}

static void hand_over(struct append_session *session, struct session_request *request) {
  session->deciding = request;
  request->append.accepted = on_accepted;
  request->append.done = on_done;
  request->append.abandoned = &session->abandoned;
  request->submit_task.run = run_submit;
  request->accepted_task.run = run_accepted;
  request->done_task.run = run_done;
  if (lives_at_home(request)) session->ops->submit(&request->append);
  else loop_post(session->ops->loop_of(request->append.partition), &request->submit_task);
}

static void decide(struct append_session *session, struct session_request *request) {
  if (session->state != SESSION_WHOLE && !MUTANT(session_goes_on)) {
    REACHED(session_broken);
    replace_failure(
        request, STATUS_SESSION_BROKEN,
        "an earlier append of this stream was refused, so this one was not begun; open a new stream and send it again");
    request->done = true;
  } else if (request->append.failure != NULL) {
    note_failure(session, request);
    request->done = true;
  } else {
    hand_over(session, request);
  }
}

/* What a partition answers at once comes back through here while the loop runs; it then goes on with the next request. */
static void pump(struct append_session *session) {
  if (session->pumping) return;
  session->pumping = true;
  while (session->deciding == NULL) {
    struct list_node *node = list_pop_front(&session->waiting);
    if (node == NULL) break;
    decide(session, list_entry(node, struct session_request, waiting_node));
  }
  session->pumping = false;
  flush(session);
}

void append_session_submit(struct append_session *session, struct session_request *request) {
  request->session = session;
  list_push_back(&session->unanswered, &request->unanswered_node);
  list_push_back(&session->waiting, &request->waiting_node);
  pump(session);
}

void append_session_end(struct append_session *session) {
  session->ended = true;
  if (!session->pumping) flush(session);
}
