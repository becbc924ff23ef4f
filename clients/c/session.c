#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/memory.h"
#include "base/probe.h"
#include "clients/c/outbox.h"
#include "clients/c/producer_internal.h"
#include "proto/log_wire.h"

enum session_stage {
  SESSION_IDLE,    /* no stream; the next batch opens one */
  SESSION_OPEN,    /* sends and listens */
  SESSION_BREAKING /* something was refused: only listens, until the stream ends */
};

struct session {
  struct list_node node;
  struct cairn_producer *producer;
  char address[CAIRN_ADDRESS_SIZE];
  unsigned slot;
  enum session_stage stage;
  struct rpc_request *request;
  struct list in_flight; /* batches, in the order in which they were sent */
  size_t in_flight_count;
  size_t in_flight_bytes;
  bool takes_more;      /* the broker takes several requests in one message */
  struct outbox outbox; /* what goes in the next one */
  bool flushes;         /* at the end of this turn */
  struct task flush_task;
  uint64_t messages;          /* given to the transport */
  atomic_uint_fast64_t taken; /* those that it surely gave away */
  uint64_t refused;           /* the message of which some request was refused, and surely not done; 0: none */
  bool timed_out;
  bool distrusted;
  struct list queues;  /* that have it as their home */
  struct list waiting; /* those of them that wait for room */
  struct timer timer;
  struct failure end;
  struct task end_task;
};

struct answer {
  struct task task;
  struct session *session;
  struct blob *message;
};

/* ---- The transport's thread: note it, post it ---- */

static void session_answered(struct task *task);

static void on_message(void *context, struct rpc_request *request, struct blob *message) {
  (void)request;
  struct session *session = context;
  struct answer *answer = NEW(struct answer);
  answer->task.run = session_answered;
  answer->session = session;
  answer->message = message;
  loop_post(session->producer->client->loop, &answer->task);
}

static void on_sent(void *context, struct rpc_request *request) {
  (void)request;
  struct session *session = context;
  atomic_fetch_add_explicit(&session->taken, 1, memory_order_relaxed);
}

static void on_done(void *context, struct rpc_request *request, const struct rpc_result *result) {
  (void)request;
  struct session *session = context;
  failure_from_result(&session->end, result);
  loop_post(session->producer->client->loop, &session->end_task);
}

static const struct rpc_client_handler session_handler = {.message = on_message, .sent = on_sent, .done = on_done};

/* ---- Sending ---- */

static void watch_answers(struct session *session) {
  struct loop *loop = session->producer->client->loop;
  struct list_node *node = list_first(&session->in_flight);
  if (node == NULL) {
    loop_timer_cancel(loop, &session->timer);
    return;
  }
  uint64_t timeout_ns = (uint64_t)session->producer->options.request_timeout_ms * NS_PER_MS;
  loop_timer_set(loop, &session->timer, list_entry(node, struct batch, node)->sent_ns + timeout_ns);
}

static void session_open(struct session *session) {
  struct cairn_producer *producer = session->producer;
  struct connection *connection = client_connection(producer->client, session->address);
  session->stage = SESSION_OPEN;
  session->takes_more = false;
  session->messages = 0;
  session->refused = 0;
  atomic_store_explicit(&session->taken, 0, memory_order_relaxed);
  session->timed_out = false;
  session->distrusted = false;
  producer->running++;
  session->request = rpc_request_start(connection->channel, "/cairn.v1.Log/AppendStream", RPC_BIDI_STREAM, UINT64_MAX, true,
                                       &session_handler, session);
}

bool session_has_room(const struct session *session) {
  return session->stage != SESSION_BREAKING && session->in_flight_count < SESSION_REQUESTS_MAX &&
         session->in_flight_bytes < SESSION_BYTES_MAX;
}

bool session_is_ending(const struct session *session) { return session->stage == SESSION_BREAKING; }

static void fill_producer(struct batch *batch, struct wire_append_request *request) {
  struct queue *queue = batch->queue;
  if (queue->producer->name == NULL) return;
  if (!batch->sequenced) {
    batch->sequenced = true;
    batch->first_sequence = queue->next_sequence;
    queue->next_sequence += batch->record_count;
  }
  request->producer = bytes_of_string(queue->producer->name);
  request->batch.producer_epoch = queue->epoch;
  request->batch.first_sequence = batch->first_sequence;
}

static void flush(struct session *session) {
  if (session->outbox.requests == 0) return;
  if (session->outbox.requests > 1) REACHED(requests_go_together);
  session->messages++;
  outbox_send(&session->outbox, session->request);
}

static void run_flush(struct task *task) {
  struct session *session = container_of(task, struct session, flush_task);
  session->flushes = false;
  if (session->stage == SESSION_OPEN) flush(session);
  producer_stopped_one(session->producer);
}

/* What is sent in this turn goes together, where the broker takes it so. */
static void flush_in_time(struct session *session) {
  if (!session->takes_more) {
    flush(session);
  } else if (!session->flushes) {
    session->flushes = true;
    session->producer->running++;
    loop_post(session->producer->client->loop, &session->flush_task);
  }
}

/* Nothing is sent any more. */
static void begin_to_break(struct session *session) {
  session->stage = SESSION_BREAKING;
  outbox_drop(&session->outbox);
}

void session_send(struct session *session, struct batch *batch) {
  PRE(session_has_room(session));
  if (session->stage == SESSION_IDLE) session_open(session);
  struct cairn_producer *producer = session->producer;
  batch->request_id = ++producer->last_request_id;
  if (outbox_is_full(&session->outbox, batch->size)) flush(session);
  batch->place = session->messages + 1;
  batch->sent_ns = loop_now_ns(producer->client->loop);
  struct wire_append_request request = {
      .topic = bytes_of_string(batch->queue->topic->name),
      .partition = batch->queue->partition,
      .request_id = batch->request_id,
      .together = true,
  };
  struct blob_part payload;
  batch_seal(batch, (enum wire_codec)producer->options.codec, &request.batch, &payload);
  fill_producer(batch, &request);
  outbox_add(&session->outbox, &request, payload);
  list_push_back(&session->in_flight, &batch->node);
  session->in_flight_count++;
  session->in_flight_bytes += batch->size;
  if (session->in_flight_count == 1) watch_answers(session);
  flush_in_time(session);
}

static void session_timed_out(struct timer *timer) {
  struct session *session = container_of(timer, struct session, timer);
  session->timed_out = true;
  begin_to_break(session);
  rpc_request_cancel(session->request);
}

void session_wait(struct session *session, struct queue *queue) {
  if (!list_node_linked(&queue->waiting_node)) list_push_back(&session->waiting, &queue->waiting_node);
}

static void serve_waiting(struct session *session) {
  while (session_has_room(session) && !session->producer->closing) {
    struct list_node *node = list_pop_front(&session->waiting);
    if (node == NULL) return;
    queue_pump(list_entry(node, struct queue, waiting_node));
  }
}

/* ---- Answers ---- */

static struct batch *take_first(struct session *session) {
  struct list_node *node = list_pop_front(&session->in_flight);
  if (node == NULL) return NULL;
  struct batch *batch = list_entry(node, struct batch, node);
  session->in_flight_count--;
  session->in_flight_bytes -= batch->size;
  return batch;
}

/* The broker does not keep to the protocol: no answer of this stream can be believed any more. */
static void distrust(struct session *session) {
  session->distrusted = true;
  begin_to_break(session);
  rpc_request_cancel(session->request);
}

static void settle(struct session *session, const struct wire_append_response *response, const struct failure *failure) {
  struct batch *batch = take_first(session);
  watch_answers(session);
  if (failure == NULL) {
    batch->base_offset = response->base_offset;
    batch->leader_time_ms = response->leader_time_ms;
    queue_acknowledged(batch->queue, batch);
    serve_waiting(session);
    return;
  }
  if (session->stage == SESSION_OPEN) rpc_request_half_close(session->request);
  begin_to_break(session);
  if (failure->executed == EXECUTED_NO) session->refused = batch->place;
  queue_refused(batch->queue, batch, failure);
}

static void refuse_with_its_message(struct batch *batch) {
  struct failure failure;
  failure_set(&failure, STATUS_SESSION_BROKEN, "the broker refused the message that this was in");
  queue_refused(batch->queue, batch, &failure);
}

/* The first one in flight that was not in the message that was refused. */
static const struct batch *first_behind_refused(const struct session *session) {
  list_for_each(&session->in_flight, node, following) {
    const struct batch *batch = list_entry(node, struct batch, node);
    if (batch->place != session->refused) return batch;
  }
  return NULL;
}

/* A message that was refused as one has one answer: the next one is that of the message behind it. */
static void pass_over_refused(struct session *session, uint64_t request_id) {
  if (session->refused == 0) return;
  const struct batch *behind = first_behind_refused(session);
  if (behind == NULL || behind->request_id != request_id) return;
  for (struct list_node *node; (node = list_first(&session->in_flight)) != &behind->node;)
    refuse_with_its_message(take_first(session));
}

static bool take_answer(struct session *session, struct bytes answer) {
  struct wire_append_response response;
  struct failure failure;
  bool failed = false;
  enum status status = log_wire_decode_append_response(answer, &response, &failed, &failure);
  if (status == STATUS_OK) pass_over_refused(session, response.request_id);
  struct list_node *first = list_first(&session->in_flight);
  bool fits = status == STATUS_OK && first != NULL && !session->distrusted &&
              list_entry(first, struct batch, node)->request_id == response.request_id;
  if (!fits) return false;
  if (response.takes_more) session->takes_more = true;
  settle(session, &response, failed ? &failure : NULL);
  return true;
}

static void session_answered(struct task *task) {
  struct answer *answer = container_of(task, struct answer, task);
  struct session *session = answer->session;
  struct bytes whole = bytes_of(answer->message->data, answer->message->size);
  struct wire_cursor more = wire_cursor_of(whole);
  struct bytes further;
  enum status status = STATUS_OK;
  bool fits = take_answer(session, whole);
  while (fits && (status = log_wire_next_append_response(&more, &further)) == STATUS_OK) fits = take_answer(session, further);
  if (status == STATUS_MALFORMED) fits = false;
  blob_release(answer->message);
  memory_free(answer);
  if (!fits) distrust(session);
}

/* ---- The end of a stream ---- */

/* What the end means for a batch that got no answer. */
static void failure_of_end(const struct session *session, const struct batch *batch, struct failure *out_failure) {
  *out_failure = session->end;
  if (session->timed_out) {
    failure_set(out_failure, STATUS_UNKNOWN_OUTCOME, "no answer within %u ms (request_timeout_ms)",
                session->producer->options.request_timeout_ms);
  } else if (session->end.reason == STATUS_OK && batch->place == session->refused) {
    failure_set(out_failure, STATUS_SESSION_BROKEN, "the broker refused the message that this was in");
  } else if (session->end.reason == STATUS_OK) {
    failure_set(out_failure, STATUS_UNKNOWN_OUTCOME, "the broker ended the stream without an answer");
  } else if (session->end.reason == STATUS_TRANSPORT && session->end.executed != EXECUTED_NO) {
    failure_set(out_failure, STATUS_TRANSPORT,
                "the connection to %s broke before this was answered (%s), so it may have been appended", session->address,
                session->end.text);
  }
  /* Messages are given away one at a time: behind the first that may be on its way, none is. What was in the outbox never was one. */
  bool sent =
      batch->place <= session->messages && batch->place <= atomic_load_explicit(&session->taken, memory_order_relaxed) + 1;
  if (!sent) {
    failure_set(out_failure, STATUS_SESSION_BROKEN, "the connection to %s ended before this was sent", session->address);
  }
}

static void refuse_unanswered(struct session *session) {
  for (struct batch *batch = take_first(session); batch != NULL; batch = take_first(session)) {
    struct failure failure;
    failure_of_end(session, batch, &failure);
    queue_refused(batch->queue, batch, &failure);
  }
}

static void session_ended(struct task *task) {
  struct session *session = container_of(task, struct session, end_task);
  struct cairn_producer *producer = session->producer;
  loop_timer_cancel(producer->client->loop, &session->timer);
  rpc_request_release(session->request);
  session->request = NULL;
  outbox_drop(&session->outbox);
  if (session->end.reason == STATUS_TRANSPORT) client_avoid(producer->client, session->address);
  refuse_unanswered(session);
  session->stage = SESSION_IDLE;
  list_for_each(&session->waiting, node, following) list_remove(node);
  for (struct list_node *node = list_pop_front(&session->queues); node != NULL; node = list_pop_front(&session->queues)) {
    queue_lost(list_entry(node, struct queue, session_node));
  }
  producer_stopped_one(producer);
}

/* ---- Life ---- */

struct session *session_of(struct cairn_producer *producer, const char *address, uint32_t partition) {
  unsigned slot = partition % SESSIONS_PER_BROKER;
  list_for_each(&producer->sessions, node, following) {
    struct session *session = list_entry(node, struct session, node);
    if (session->slot == slot && strcmp(session->address, address) == 0) return session;
  }
  struct session *session = NEW(struct session);
  session->producer = producer;
  snprintf(session->address, sizeof session->address, "%s", address);
  session->slot = slot;
  list_init(&session->in_flight);
  list_init(&session->queues);
  list_init(&session->waiting);
  session->timer.fire = session_timed_out;
  session->end_task.run = session_ended;
  session->flush_task.run = run_flush;
  list_push_back(&producer->sessions, &session->node);
  return session;
}

void session_attach(struct session *session, struct queue *queue) { list_push_back(&session->queues, &queue->session_node); }

void sessions_close(struct cairn_producer *producer) {
  list_for_each(&producer->sessions, node, following) {
    struct session *session = list_entry(node, struct session, node);
    if (session->request != NULL) rpc_request_cancel(session->request);
  }
}

void sessions_free(struct cairn_producer *producer) {
  list_for_each(&producer->sessions, node, following) {
    struct session *session = list_entry(node, struct session, node);
    CHECK(session->request == NULL && list_empty(&session->in_flight) && !session->flushes);
    memory_free(session);
  }
}
