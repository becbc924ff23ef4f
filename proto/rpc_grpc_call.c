#include <grpc/support/alloc.h>
#include <grpc/support/time.h>
#include <string.h>

#include "base/check.h"
#include "base/list.h"
#include "base/memory.h"
#include "proto/failure.h"
#include "proto/rpc_grpc_internal.h"

#define SENDS_APART_NS 100000u

/* A call as the server sees it.
 *
 *   armed ──> received by C core ──> message(s) ──> finish ──> closed
 *
 * Four completions serve it: `requested` (it began), `received` (a message), `sent` (a message was taken), and `ended`, which belongs
 * to RECV_CLOSE_ON_SERVER: the client's side is over. Where a handler finishes before RECV_CLOSE was started (most unary calls that
 * are answered at once), RECV_CLOSE travels in the last batch, which saves a completion.
 */
struct server_call {
  struct rpc_call base;
  atomic_uint holders;
  struct serving *serving;
  struct server *server;
  const struct rpc_handler *handler; /* NULL: an unknown method */
  struct caller *caller;
  struct silent silent;
  gpr_timespec deadline;
  struct tag requested, received, sent, ended, finished;

  grpc_call_details details;    /* polling thread, while armed */
  grpc_metadata_array metadata; /* elements belong to C core */

  struct errand errand;

  pthread_mutex_t lock; /* guards what follows */
  grpc_call *handle;    /* NULL once given back */
  unsigned pending;     /* batches in flight */
  bool header_sent, receiving, sending, awaits_close, finishing, status_sent, handed, opened, half_closed, closed;
  int cancelled;
  grpc_byte_buffer *incoming;
  grpc_byte_buffer *outgoing; /* in flight, or a unary call's answer that waits for its status */
  struct outbox outbox;
  enum grpc_status code;
  grpc_slice text;
  grpc_metadata trailing[RPC_METADATA_MAX];
  size_t trailing_count;
};

static struct server_call *call_of(struct rpc_call *call) { return (struct server_call *)(void *)call; }
static const struct server_call *call_of_const(const struct rpc_call *call) {
  return (const struct server_call *)(const void *)call;
}
static void *service_of(const struct server_call *call) { return rpc_handler_service(call->handler, call->serving->service); }
static bool is_unary(const struct server_call *call) { return call->handler == NULL || call->handler->kind == RPC_UNARY; }
static bool is_bidi(const struct server_call *call) { return call->handler != NULL && call->handler->kind == RPC_BIDI_STREAM; }

/* ---- Life ---- */

struct rpc_call *rpc_grpc_call_hold(struct rpc_call *base) {
  unsigned before = atomic_fetch_add_explicit(&call_of(base)->holders, 1, memory_order_relaxed);
  CHECK(before > 0);
  return base;
}

static void free_call(struct server_call *call) {
  CHECK(call->handle == NULL && call->pending == 0);
  grpc_slice_unref(call->text);
  for (size_t i = 0; i < call->trailing_count; i++) {
    grpc_slice_unref(call->trailing[i].key);
    grpc_slice_unref(call->trailing[i].value);
  }
  rpc_grpc_outbox_deinit(&call->outbox);
  if (call->outgoing != NULL) grpc_byte_buffer_destroy(call->outgoing);
  pthread_mutex_destroy(&call->lock);
  memory_free(call);
}

void rpc_grpc_call_release(struct rpc_call *base) {
  struct server_call *call = call_of(base);
  unsigned before = atomic_fetch_sub_explicit(&call->holders, 1, memory_order_acq_rel);
  CHECK(before > 0);
  if (before == 1) free_call(call);
}

uint64_t rpc_grpc_call_time_left_ns(const struct rpc_call *base) {
  gpr_timespec deadline = call_of_const(base)->deadline;
  if (gpr_time_cmp(deadline, gpr_inf_future(deadline.clock_type)) == 0) return UINT64_MAX;
  gpr_timespec left = gpr_time_sub(deadline, gpr_now(deadline.clock_type));
  if (left.tv_sec < 0) return 0;
  return (uint64_t)left.tv_sec * 1000000000u + (uint64_t)left.tv_nsec;
}

/* ---- Batches; all under the lock ---- */

static void start(struct server_call *call, const grpc_op *ops, size_t count, struct tag *tag) {
  call->pending++;
  tag_leaves(tag);
  grpc_call_error error = grpc_call_start_batch(call->handle, ops, count, tag, NULL);
  CHECK_MSG(error == GRPC_CALL_OK, "%s", grpc_call_error_to_string(error));
}

static grpc_op op_header(struct server_call *call) {
  call->header_sent = true;
  return (grpc_op){.op = GRPC_OP_SEND_INITIAL_METADATA};
}
static grpc_op op_message(const struct server_call *call) {
  return (grpc_op){
      .op = GRPC_OP_SEND_MESSAGE, .flags = rpc_grpc_send_flags(&call->outbox), .data.send_message.send_message = call->outgoing};
}
static grpc_op op_close(struct server_call *call) {
  call->awaits_close = true;
  return (grpc_op){.op = GRPC_OP_RECV_CLOSE_ON_SERVER, .data.recv_close_on_server.cancelled = &call->cancelled};
}

static void start_close(struct server_call *call) {
  grpc_op op = op_close(call);
  start(call, &op, 1, &call->ended);
}

static void start_receive(struct server_call *call) {
  grpc_op op = {.op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &call->incoming};
  call->receiving = true;
  start(call, &op, 1, &call->received);
}

static void start_send(struct server_call *call) {
  grpc_op ops[2];
  size_t count = 0;
  if (!call->header_sent) ops[count++] = op_header(call);
  ops[count++] = op_message(call);
  call->sending = true;
  start(call, ops, count, &call->sent);
}

/* Header, the last message and the status in one batch, as far as they are due. */
static void start_status(struct server_call *call) {
  grpc_op ops[4];
  size_t count = 0;
  if (!call->header_sent) ops[count++] = op_header(call);
  if (call->outgoing != NULL) ops[count++] = op_message(call);
  ops[count++] = (grpc_op){.op = GRPC_OP_SEND_STATUS_FROM_SERVER,
                           .data.send_status_from_server = {.trailing_metadata_count = call->trailing_count,
                                                            .trailing_metadata = call->trailing,
                                                            .status = (grpc_status_code)call->code,
                                                            .status_details = &call->text}};
  bool closes = !call->awaits_close;
  if (closes) ops[count++] = op_close(call);
  call->status_sent = true;
  start(call, ops, count, closes ? &call->ended : &call->finished);
}

/* Sends what is next in line, if anything. */
static void start_next(struct server_call *call) {
  if (call->outgoing == NULL) call->outgoing = rpc_grpc_outbox_pop(&call->outbox);
  if (call->finishing && call->outbox.count == 0) {
    start_status(call);
  } else if (call->outgoing != NULL) {
    start_send(call);
  }
}

static void discard_sends(struct server_call *call) {
  for (grpc_byte_buffer *buffer = rpc_grpc_outbox_pop(&call->outbox); buffer != NULL;
       buffer = rpc_grpc_outbox_pop(&call->outbox)) {
    grpc_byte_buffer_destroy(buffer);
  }
}

static void discard_outgoing(struct server_call *call) {
  if (call->outgoing != NULL) grpc_byte_buffer_destroy(call->outgoing);
  call->outgoing = NULL;
}

/* ---- What services do, from any thread ---- */

/* Does this thread send one thing after the other? A single answer is fastest when it goes to the socket from here; of many, all but
 * the first are given to the polling thread, for one wake together. */
static bool sends_many(struct serving *serving) {
  uint64_t now_ns = rpc_grpc_now_ns();
  uint64_t before_ns = atomic_exchange_explicit(&serving->sent_ns, now_ns, memory_order_relaxed);
  return now_ns < before_ns + SENDS_APART_NS;
}

/* Under the lock: something is to be sent, and nothing is on its way. */
static void send_soon(struct server_call *call) {
  struct transport *transport = call->serving->transport;
  if (rpc_grpc_on_thread(transport) || (!call->handed && !sends_many(call->serving))) {
    start_next(call);
  } else if (!call->handed) {
    call->handed = true;
    rpc_grpc_call_hold(&call->base);
    poller_give_errand(transport->poller, &call->errand);
  }
}

static void on_handed(struct errand *errand) {
  struct server_call *call = container_of(errand, struct server_call, errand);
  pthread_mutex_lock(&call->lock);
  call->handed = false;
  if (!call->closed && !call->sending && !call->status_sent) start_next(call);
  pthread_mutex_unlock(&call->lock);
  rpc_grpc_call_release(&call->base);
}

void rpc_grpc_call_receive(struct rpc_call *base) {
  struct server_call *call = call_of(base);
  PRE(is_bidi(call));
  pthread_mutex_lock(&call->lock);
  if (!call->closed && !call->half_closed && !call->finishing) {
    PRE(!call->receiving);
    start_receive(call);
  }
  pthread_mutex_unlock(&call->lock);
}

void rpc_grpc_call_send(struct rpc_call *base, const struct blob_part *parts, size_t count) {
  struct server_call *call = call_of(base);
  grpc_byte_buffer *buffer = rpc_grpc_buffer_of(parts, count);
  pthread_mutex_lock(&call->lock);
  if (!call->closed && !call->finishing) {
    if (is_unary(call)) {
      PRE(call->outgoing == NULL);
      call->outgoing = buffer;
    } else {
      rpc_grpc_outbox_push(&call->outbox, buffer);
      if (!call->sending) send_soon(call);
    }
    buffer = NULL;
  }
  pthread_mutex_unlock(&call->lock);
  if (buffer != NULL) grpc_byte_buffer_destroy(buffer);
}

size_t rpc_grpc_call_queued(const struct rpc_call *base) {
  struct server_call *call = (struct server_call *)(uintptr_t)base; /* only its lock changes */
  pthread_mutex_lock(&call->lock);
  size_t queued = call->outbox.count + (call->sending ? 1 : 0);
  pthread_mutex_unlock(&call->lock);
  return queued;
}

static void copy_trailing(struct server_call *call, const struct rpc_metadata *metadata, size_t count) {
  PRE(count <= RPC_METADATA_MAX);
  for (size_t i = 0; i < count; i++) {
    grpc_metadata *pair = &call->trailing[call->trailing_count];
    pair->key = grpc_slice_from_copied_string(metadata[i].key);
    pair->value = grpc_slice_from_copied_string(metadata[i].value);
    /* C core would refuse the whole batch for one illegal value; without the pair the answer still arrives. */
    if (grpc_header_key_is_legal(pair->key) && grpc_header_nonbin_value_is_legal(pair->value)) {
      call->trailing_count++;
    } else {
      grpc_slice_unref(pair->key);
      grpc_slice_unref(pair->value);
    }
  }
}

void rpc_grpc_call_finish(struct rpc_call *base, enum grpc_status code, const char *text, const struct rpc_metadata *metadata,
                          size_t metadata_count) {
  struct server_call *call = call_of(base);
  pthread_mutex_lock(&call->lock);
  if (!call->closed && !call->finishing) {
    call->finishing = true;
    call->code = code;
    if (text != NULL) call->text = grpc_slice_from_copied_buffer(text, strnlen(text, RPC_TEXT_MAX));
    copy_trailing(call, metadata, metadata_count);
    if (is_unary(call) && code != GRPC_CODE_OK) discard_outgoing(call);
    if (!call->sending) send_soon(call);
  }
  pthread_mutex_unlock(&call->lock);
}

/* ---- Completions, on the polling thread ---- */

/* One batch is over. Gives C core its call back when it was the last thing that could happen; only then may the listener go. */
static void settle(struct server_call *call) {
  pthread_mutex_lock(&call->lock);
  call->pending--;
  grpc_call *handle = call->closed && call->pending == 0 ? call->handle : NULL;
  if (handle != NULL) call->handle = NULL;
  pthread_mutex_unlock(&call->lock);
  if (handle == NULL) return;
  struct serving *serving = call->serving;
  grpc_call_unref(handle);
  rpc_grpc_call_release(&call->base);
  atomic_fetch_sub_explicit(&serving->held_calls, 1, memory_order_release); /* the last look at `serving` */
}

static void on_ended(struct tag *tag, bool ok) {
  struct server_call *call = container_of(tag, struct server_call, ended);
  (void)ok; /* `cancelled` tells more */
  (void)silence_end(&call->serving->silence, &call->silent);
  pthread_mutex_lock(&call->lock);
  call->closed = true;
  discard_sends(call);
  bool tell = call->opened && call->handler != NULL && call->handler->closed != NULL;
  bool cancelled = call->cancelled != 0 || !call->status_sent;
  pthread_mutex_unlock(&call->lock);
  if (tell) call->handler->closed(service_of(call), &call->base, cancelled);
  callers_leave(call->serving->callers, call->caller);
  call->serving->open_calls--;
  settle(call);
}

static void on_finished(struct tag *tag, bool ok) {
  (void)ok;
  settle(container_of(tag, struct server_call, finished));
}

static void on_sent(struct tag *tag, bool ok) {
  struct server_call *call = container_of(tag, struct server_call, sent);
  pthread_mutex_lock(&call->lock);
  call->sending = false;
  discard_outgoing(call);
  if (!ok) discard_sends(call); /* the connection is gone; `closed` follows */
  if (!call->closed) start_next(call);
  bool tell = ok && !call->closed && call->handler->sent != NULL;
  pthread_mutex_unlock(&call->lock);
  if (tell) call->handler->sent(service_of(call), &call->base);
  settle(call);
}

static void refuse_message(struct server_call *call, enum status status) {
  switch (status) {
    case STATUS_UNSUPPORTED:
      failure_refuse_call(&call->base, status, "the message is compressed by gRPC; send it plain and compress the batch instead");
      break;
    case STATUS_TOO_LARGE:
      failure_refuse_call(&call->base, status, "the message is larger than %zu bytes; send less at once",
                          call->serving->message_bytes_max);
      break;
    case STATUS_NO_MEMORY:
      failure_refuse_call(&call->base, status, "the broker's memory budget is spent; try again later");
      break;
    default: failure_refuse_call(&call->base, status, NULL); break;
  }
}

/* A stream's end, or a unary call without a message: truncated, or cancelled before it came. */
static void deliver_nothing(struct server_call *call, bool ok) {
  if (!is_bidi(call)) {
    failure_refuse_call(&call->base, STATUS_MALFORMED, "the request carries no message, or only a part of one");
    return;
  }
  pthread_mutex_lock(&call->lock);
  call->half_closed = true;
  pthread_mutex_unlock(&call->lock);
  if (ok && call->handler->half_closed != NULL) call->handler->half_closed(service_of(call), &call->base);
}

/* C core has read it already; one at a time it may be looked at, whatever the account says. */
static void tell_refused(struct server_call *call, enum status reason, const grpc_byte_buffer *buffer) {
  struct blob *message = NULL;
  if (reason != STATUS_UNSUPPORTED && rpc_grpc_blob_of(buffer, NULL, SIZE_MAX, &message) != STATUS_OK) message = NULL;
  call->handler->refused(service_of(call), &call->base, reason, message);
}

static void deliver(struct server_call *call, const grpc_byte_buffer *buffer) {
  struct blob *message = NULL;
  enum status status = rpc_grpc_blob_of(buffer, call->serving->account, call->serving->message_bytes_max, &message);
  if (status == STATUS_OK) call->handler->message(service_of(call), &call->base, message);
  else if (is_bidi(call) && call->handler->refused != NULL) tell_refused(call, status, buffer);
  else refuse_message(call, status);
}

static void on_received(struct tag *tag, bool ok) {
  struct server_call *call = container_of(tag, struct server_call, received);
  bool heard = silence_end(&call->serving->silence, &call->silent);
  pthread_mutex_lock(&call->lock);
  call->receiving = false;
  grpc_byte_buffer *buffer = call->incoming;
  call->incoming = NULL;
  bool over = !heard || call->closed || call->finishing;
  pthread_mutex_unlock(&call->lock);

  if (!over && buffer == NULL) deliver_nothing(call, ok);
  if (!over && buffer != NULL) deliver(call, buffer);
  if (buffer != NULL) grpc_byte_buffer_destroy(buffer);

  /* Not answered at once: from now on we want to hear when the client gives up. */
  pthread_mutex_lock(&call->lock);
  if (!call->awaits_close) start_close(call);
  pthread_mutex_unlock(&call->lock);
  settle(call);
}

static void open_call(struct server_call *call) {
  struct serving *serving = call->serving;
  unsigned open = ++serving->open_calls;
  atomic_fetch_add_explicit(&serving->held_calls, 1, memory_order_relaxed);
  call->caller = callers_enter(serving->callers, call->base.peer);
  if (call->handler == NULL) {
    failure_refuse_call(&call->base, STATUS_UNSUPPORTED, "no such method; this broker may be older than the client");
    return;
  }
  if (open > serving->calls_max) {
    failure_refuse_call(&call->base, STATUS_BUSY, "%u calls are open already; try again later", serving->calls_max);
    return;
  }
  if (caller_calls(call->caller) > serving->peer_calls_max) {
    failure_refuse_call(
        &call->base, STATUS_BUSY,
        "%u calls of your address are open already, as many as one address may have; end some, or try again later",
        serving->peer_calls_max);
    return;
  }
  if (!silence_begin(&serving->silence, &call->silent, &call->base, !is_bidi(call), rpc_grpc_now_ns())) {
    failure_refuse_call(&call->base, STATUS_DRAINING, NULL);
    return;
  }
  pthread_mutex_lock(&call->lock);
  call->opened = true;
  if (is_bidi(call)) start_close(call);
  pthread_mutex_unlock(&call->lock);
  if (call->handler->opened != NULL) call->handler->opened(service_of(call), &call->base);
  if (is_bidi(call)) return;
  pthread_mutex_lock(&call->lock);
  if (!call->finishing) start_receive(call);
  pthread_mutex_unlock(&call->lock);
}

static void copy_peer(struct server_call *call) {
  char *peer = grpc_call_get_peer(call->handle);
  size_t size = strnlen(peer, sizeof call->base.peer - 1);
  memcpy(call->base.peer, peer, size);
  call->base.peer[size] = '\0';
  gpr_free(peer);
}

static void on_requested(struct tag *tag, bool ok) {
  struct server_call *call = container_of(tag, struct server_call, requested);
  struct server *server = call->server;
  if (!ok) { /* the server shuts down */
    grpc_call_details_destroy(&call->details);
    grpc_metadata_array_destroy(&call->metadata);
    rpc_grpc_call_release(&call->base);
    rpc_grpc_server_disarmed(server);
    return;
  }
  atomic_fetch_sub_explicit(&server->armed, 1, memory_order_relaxed);
  rpc_grpc_call_arm(server);

  call->handler = rpc_grpc_find_handler(
      server->listener, bytes_of(GRPC_SLICE_START_PTR(call->details.method), GRPC_SLICE_LENGTH(call->details.method)));
  call->deadline = call->details.deadline;
  copy_peer(call);
  grpc_call_details_destroy(&call->details);
  grpc_metadata_array_destroy(&call->metadata);
  open_call(call);
}

void rpc_grpc_call_arm(struct server *server) {
  struct server_call *call = NEW(struct server_call);
  struct serving *serving = rpc_grpc_serving(server->listener);
  call->base.ops = serving->transport->base.ops;
  atomic_init(&call->holders, 1);
  call->serving = serving;
  call->server = server;
  call->requested.run = on_requested;
  call->received.run = on_received;
  call->sent.run = on_sent;
  call->ended.run = on_ended;
  call->finished.run = on_finished;
  call->errand.run = on_handed;
  call->text = grpc_empty_slice();
  pthread_mutex_init(&call->lock, NULL);
  grpc_call_details_init(&call->details);
  grpc_metadata_array_init(&call->metadata);

  atomic_fetch_add_explicit(&server->armed, 1, memory_order_relaxed);
  grpc_completion_queue *queue = serving->transport->poller->queue;
  tag_leaves(&call->requested);
  grpc_call_error error =
      grpc_server_request_call(server->handle, &call->handle, &call->details, &call->metadata, queue, queue, &call->requested);
  CHECK_MSG(error == GRPC_CALL_OK, "%s", grpc_call_error_to_string(error));
}
