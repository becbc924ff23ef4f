#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/memory.h"
#include "base/probe.h"
#include "clients/c/client_internal.h"
#include "proto/pack.h"

/* A topic of 10,000 partitions must fit. */
#define ANSWER_ARENA_BYTES_MAX (16u * PACK_ARENA_BYTES_MAX)

/* ---- One attempt: the transport's thread notes what came, the loop decides ---- */

static void call_message(void *context, struct rpc_request *request, struct blob *message) {
  (void)request;
  struct call *call = context;
  blob_release(call->answer);
  call->answer = message;
}

static void call_finished(void *context, struct rpc_request *request, const struct rpc_result *result) {
  (void)request;
  struct call *call = context;
  failure_from_result(&call->failure, result);
  loop_post(call->client->loop, &call->task);
}

static const struct rpc_client_handler call_handler = {.message = call_message, .done = call_finished};

static void call_attempt(struct call *call) {
  call->attempts++;
  uint64_t left_ns = client_left_ns(call->client, call->deadline_ns);
  struct connection *connection = client_connection(call->client, call->address);
  call->attempt = rpc_request_start(connection->channel, call->method, RPC_UNARY, left_ns, true, &call_handler, call);
  struct blob_part parts[CALL_PARTS_MAX];
  for (size_t i = 0; i < call->request_parts; i++) parts[i] = blob_part_hold(call->request[i]);
  rpc_request_send(call->attempt, parts, call->request_parts);
}

static void call_end(struct call *call, struct blob *answer) {
  if (call->in_doubt && call->failure.executed == EXECUTED_NO) call->failure.executed = EXECUTED_MAYBE;
  loop_timer_cancel(call->client->loop, &call->timer);
  for (size_t i = 0; i < call->request_parts; i++) blob_part_release(call->request[i]);
  call->done(call, answer);
}

/* A broker that answers knows more of what is wrong than one that is not reached, unless all were asked since. */
static void call_note_told(struct call *call) {
  if (call->failure.reason == STATUS_TRANSPORT) return;
  call->told_at = call->attempts;
  call->told = call->failure;
  if (call->failure.leader[0] != '\0') call->told.reason = STATUS_OK;
}

static void call_prefer_told(struct call *call) {
  bool unreached = call->failure.reason == STATUS_TRANSPORT && call->failure.executed == EXECUTED_NO;
  bool fresh = call->attempts - call->told_at <= call->client->server_count;
  if (unreached && fresh && call->told.reason != STATUS_OK) call->failure = call->told;
}

/* What was to be sent again is not; what was sent before call_end() knows. */
static void call_set_cancelled(struct call *call) {
  failure_set(&call->failure, STATUS_CANCELLED, NULL);
  call->failure.executed = EXECUTED_NO;
}

static void call_retry(struct timer *timer) { call_attempt(container_of(timer, struct call, timer)); }

static void call_fail(struct call *call) {
  struct cairn_client *client = call->client;
  if (call->failure.executed == EXECUTED_MAYBE) call->in_doubt = true;
  call_note_told(call);
  const struct retry_case question = {
      .failure = &call->failure,
      .idempotent = call->idempotent,
      .attempts = call->attempts,
      .backoff_ms = client->retry_backoff_ms,
      .now_ns = loop_now_ns(client->loop),
      .deadline_ns = call->deadline_ns,
      .reach_deadline_ns = call->reach_deadline_ns,
      .chance = entropy_next(client->world->entropy),
  };
  struct retry_decision decision = retry_decide(&question);
  /* The bound of being out of reach begins anew whenever a broker has answered. */
  if (call->failure.reason != STATUS_TRANSPORT && !call->patient)
    call->reach_deadline_ns = client_deadline_ns(client, client->reach_timeout_ms);
  if (!decision.again || call->cancelled) {
    if (decision.again) call_set_cancelled(call);
    else call_prefer_told(call);
    call_end(call, NULL);
    return;
  }
  REACHED(call_tried_again);
  if (decision.elsewhere) client_redirect(client, &call->failure, call->address);
  loop_timer_set(client->loop, &call->timer, question.now_ns + decision.after_ns);
}

static void call_event(struct task *task) {
  struct call *call = container_of(task, struct call, task);
  rpc_request_release(call->attempt);
  call->attempt = NULL;
  struct blob *answer = call->answer;
  call->answer = NULL;
  if (call->failure.reason == STATUS_OK && answer != NULL) {
    call_end(call, answer);
    return;
  }
  blob_release(answer);
  if (call->failure.reason == STATUS_OK) failure_set(&call->failure, STATUS_MALFORMED, "the broker answered without a message");
  call_fail(call);
}

void call_start(struct call *call) {
  call->task.run = call_event;
  call->timer.fire = call_retry;
  call->reach_deadline_ns = call->patient ? UINT64_MAX : client_deadline_ns(call->client, call->client->reach_timeout_ms);
  call_attempt(call);
}

void call_cancel(struct call *call) {
  if (call->cancelled) return;
  call->cancelled = true;
  if (call->attempt != NULL) {
    rpc_request_cancel(call->attempt);
    return;
  }
  loop_timer_cancel(call->client->loop, &call->timer);
  call_set_cancelled(call);
  call_end(call, NULL);
}

/* ---- Waiting for one ---- */

#define LOOK_NS (100 * (uint64_t)NS_PER_MS)       /* how often a waiting thread asks whether it is to give up */
#define LAST_WAIT_NS (1000 * (uint64_t)NS_PER_MS) /* for the answer, from then on */

struct waiter {
  struct call call;
  struct task start_task, cancel_task;
  struct bell done; /* rung once, and once more by the cancel task */
  bool over;        /* the loop's */
  struct blob *answer;
};

static void waiter_done(struct call *call, struct blob *answer) {
  struct waiter *waiter = container_of(call, struct waiter, call);
  waiter->answer = answer;
  waiter->over = true;
  bell_ring(call->client->world, &waiter->done); /* from here on the waiter may be gone, unless it is to be cancelled */
}

static void waiter_start(struct task *task) { call_start(&container_of(task, struct waiter, start_task)->call); }

static void waiter_cancel(struct task *task) {
  struct waiter *waiter = container_of(task, struct waiter, cancel_task);
  struct world *world = waiter->call.client->world;
  if (!waiter->over) call_cancel(&waiter->call);
  bell_ring(world, &waiter->done);
}

/* Both tasks are over when it returns, so the waiter may go. */
static void waiter_wait(struct waiter *waiter) {
  struct cairn_client *client = waiter->call.client;
  uint64_t slice_ns = client->given_up == NULL ? UINT64_MAX : LOOK_NS, last_ns = UINT64_MAX;
  unsigned rings = 0, awaited = 1;
  while ((rings = bell_listen(&waiter->done)) < awaited) {
    bell_wait(client->world, &waiter->done, rings, slice_ns);
    if (awaited > 1 || client->given_up == NULL || !client->given_up(client->given_up_context)) continue;
    uint64_t now_ns = world_now_ns(client->world);
    if (last_ns == UINT64_MAX) last_ns = now_ns + LAST_WAIT_NS;
    if (now_ns < last_ns) continue;
    awaited = 2;
    loop_post(client->loop, &waiter->cancel_task);
  }
}

int call_and_wait(struct cairn_client *client, const char *method, const struct blob_part *parts, size_t count, bool idempotent,
                  uint32_t more_timeout_ms, struct blob **out_answer, struct cairn_error *error) {
  PRE(count <= CALL_PARTS_MAX);
  struct waiter *waiter = NEW(struct waiter);
  waiter->call.client = client;
  waiter->call.method = method;
  memcpy(waiter->call.request, parts, count * sizeof *parts);
  waiter->call.request_parts = count;
  waiter->call.idempotent = idempotent;
  waiter->call.deadline_ns = client_deadline_ns(client, client->call_timeout_ms);
  if (waiter->call.deadline_ns != UINT64_MAX) waiter->call.deadline_ns += (uint64_t)more_timeout_ms * NS_PER_MS;
  waiter->call.done = waiter_done;
  waiter->start_task.run = waiter_start;
  waiter->cancel_task.run = waiter_cancel;
  loop_post(client->loop, &waiter->start_task);
  waiter_wait(waiter);
  int code = CAIRN_OK;
  if (waiter->answer == NULL) code = error_from_failure(error, &waiter->call.failure);
  else error_clear(error);
  *out_answer = waiter->answer;
  memory_free(waiter);
  return code;
}

/* ---- Messages of protobuf-c ---- */

static int unpack(struct blob *answer, const ProtobufCMessageDescriptor *descriptor, void *out_message, struct arena **out_arena,
                  struct cairn_error *error) {
  struct arena *arena = arena_new(ANSWER_ARENA_BYTES_MAX);
  enum status status = pack_unpack(arena, descriptor, bytes_of(answer->data, answer->size), out_message);
  if (status != STATUS_OK) {
    arena_free(arena);
    return error_set(error, STATUS_MALFORMED, "the broker's answer is not a %s: %s; do client and broker fit together?",
                     descriptor->name, status_text(status));
  }
  *out_arena = arena;
  return CAIRN_OK;
}

int call_for(struct cairn_client *client, const struct exchange *exchange, void *out_message, struct arena **out_arena,
             struct cairn_error *error) {
  struct blob_part part = pack_part(exchange->request);
  struct blob *answer = NULL;
  int code = call_and_wait(client, exchange->method, &part, 1, exchange->idempotent, 0, &answer, error);
  if (code != CAIRN_OK) return code;
  code = unpack(answer, exchange->answer, out_message, out_arena, error);
  blob_release(answer);
  return code;
}
