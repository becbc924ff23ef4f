#include <arpa/inet.h>
#include <grpc/grpc_security.h>
#include <grpc/support/alloc.h>
#include <grpc/support/time.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/list.h"
#include "base/memory.h"
#include "proto/rpc_grpc_internal.h"

#define MESSAGE_BYTES_MAX (4u * 1024 * 1024) /* what every gRPC client takes unless told otherwise */

/* A connection to one broker, with nobody else's calls on it. It outlives its closing while C core holds batches of its requests: what was
 * handed to a socket that nobody reads is given back only when TCP gives up, and nobody waits for that. */
struct channel {
  struct rpc_channel base;
  struct transport *transport;
  grpc_channel *handle;
  pthread_mutex_t lock; /* guards what follows */
  pthread_cond_t changed;
  struct list requests; /* with a batch in flight */
  size_t open;          /* of these, not told their end */
  bool closing, closed;
};

/* A call as the client sees it. A unary one is a single batch, started when its message is sent. A stream has its status in a batch
 * of its own, since a batch ends only when all of it has, and asks for the header at once: C core delivers neither message nor status before it.
 */
struct request {
  struct rpc_request base;
  atomic_uint holders;
  struct channel *channel;
  struct list_node node; /* under the channel's lock */
  enum rpc_kind kind;
  bool auto_receive;
  const struct rpc_client_handler *handler;
  void *context;
  struct tag received, sent, ended, noted; /* noted: nothing follows from it */

  pthread_mutex_t lock; /* guards what follows */
  grpc_call *handle;    /* NULL once given back */
  unsigned pending;     /* batches in flight */
  bool started, receiving, sending, wants_half_close, half_close_sent, has_status, done;
  grpc_byte_buffer *incoming;
  grpc_byte_buffer *outgoing;
  struct outbox outbox;
  grpc_metadata_array header, trailing;
  grpc_status_code code;
  grpc_slice text;
};

static struct request *request_of(struct rpc_request *request) { return (struct request *)(void *)request; }

/* ---- Channels ---- */

static char *const_text(const char *text) { return (char *)(uintptr_t)text; } /* C core's args are not const; it only reads */

static grpc_arg int_arg(const char *name, int value) {
  return (grpc_arg){.type = GRPC_ARG_INTEGER, .key = const_text(name), .value.integer = value};
}

/* Numbers need no resolver; names go through one, which must not sit on its answer for 30 s after a broker came back. No target is
 * written as C core writes the peer of a connection ("ipv4:127.0.0.1:7411"); see was_unsent(). */
static void target_of(const char *address, char *target, size_t size) {
  char host[64] = "";
  const char *colon = strrchr(address, ':');
  size_t host_size = colon == NULL ? 0 : (size_t)(colon - address);
  if (host_size > 0 && host_size < sizeof host) memcpy(host, address, host_size);
  struct in_addr four;
  const char *scheme = address[0] == '[' ? "ipv6:///" : inet_pton(AF_INET, host, &four) == 1 ? "ipv4:///" : "dns:///";
  snprintf(target, size, "%s%s", scheme, address);
}

struct rpc_channel *rpc_grpc_channel_open(struct rpc *rpc, const char *address) {
  struct transport *transport = transport_of(rpc);
  struct channel *channel = NEW(struct channel);
  channel->base.ops = rpc->ops;
  channel->transport = transport;
  list_init(&channel->requests);
  pthread_mutex_init(&channel->lock, NULL);
  pthread_cond_init(&channel->changed, NULL);

  grpc_arg args[] = {
      int_arg(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1), /* or equal channels share one connection */
      int_arg(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, MESSAGE_BYTES_MAX),
      int_arg(GRPC_ARG_MAX_SEND_MESSAGE_LENGTH, -1),
      int_arg(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100),
      int_arg(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 2000), /* how long one attempt may take */
      int_arg(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2000),
      int_arg(GRPC_ARG_DNS_MIN_TIME_BETWEEN_RESOLUTIONS_MS, 1000),
      int_arg(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1),
      int_arg(GRPC_ARG_ENABLE_RETRIES, 0), /* who sends twice must know it: `executed` speaks of one attempt */
      int_arg(GRPC_ARG_ENABLE_HTTP_PROXY, 0),
      int_arg(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0),
      int_arg(GRPC_ARG_HTTP2_BDP_PROBE, 1),
      int_arg(GRPC_ARG_KEEPALIVE_TIME_MS, 20000),
      int_arg(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10000),
      int_arg(GRPC_ARG_ENABLE_CHANNELZ, 0),
      int_arg(GRPC_ARG_MAX_CHANNEL_TRACE_EVENT_MEMORY_PER_NODE, 0),
  };
  grpc_channel_args channel_args = {.num_args = sizeof args / sizeof args[0], .args = args};
  char target[320];
  target_of(address, target, sizeof target);
  grpc_channel_credentials *credentials = grpc_insecure_credentials_create();
  channel->handle = grpc_channel_create(target, credentials, &channel_args);
  grpc_channel_credentials_release(credentials);
  atomic_fetch_add(&transport->channels, 1);
  return &channel->base;
}

static void free_channel(struct channel *channel) {
  pthread_cond_destroy(&channel->changed);
  pthread_mutex_destroy(&channel->lock);
  memory_free(channel);
}

void rpc_grpc_channel_close(struct rpc_channel *base) {
  if (base == NULL) return;
  struct channel *channel = (struct channel *)(void *)base;
  struct transport *transport = channel->transport;
  pthread_mutex_lock(&channel->lock);
  PRE(channel->open == 0 || !rpc_grpc_on_thread(transport)); /* it would wait for itself */
  channel->closing = true;
  list_for_each(&channel->requests, node, following) { rpc_grpc_request_cancel(&list_entry(node, struct request, node)->base); }
  while (channel->open > 0) pthread_cond_wait(&channel->changed, &channel->lock);
  grpc_channel_destroy(channel->handle); /* calls that it still knows keep what they need of it */
  channel->closed = true;
  bool last = list_empty(&channel->requests);
  pthread_mutex_unlock(&channel->lock);
  if (last) free_channel(channel);
  atomic_fetch_sub(&transport->channels, 1);
}

/* ---- Life of a request ---- */

void rpc_grpc_request_release(struct rpc_request *base) {
  if (base == NULL) return;
  struct request *request = request_of(base);
  unsigned before = atomic_fetch_sub_explicit(&request->holders, 1, memory_order_acq_rel);
  CHECK(before > 0);
  if (before > 1) return;
  CHECK(request->handle == NULL && request->pending == 0);
  rpc_grpc_outbox_deinit(&request->outbox);
  if (request->outgoing != NULL) grpc_byte_buffer_destroy(request->outgoing);
  grpc_metadata_array_destroy(&request->header);
  grpc_metadata_array_destroy(&request->trailing);
  grpc_slice_unref(request->text);
  pthread_mutex_destroy(&request->lock);
  memory_free(request);
}

/* ---- Batches; all under the lock ---- */

static void start(struct request *request, const grpc_op *ops, size_t count, struct tag *tag) {
  request->pending++;
  tag_leaves(tag);
  grpc_call_error error = grpc_call_start_batch(request->handle, ops, count, tag, NULL);
  CHECK_MSG(error == GRPC_CALL_OK, "%s", grpc_call_error_to_string(error));
}

static grpc_op op_header(void) { return (grpc_op){.op = GRPC_OP_SEND_INITIAL_METADATA}; }
static grpc_op op_send(const struct request *request) {
  return (grpc_op){.op = GRPC_OP_SEND_MESSAGE,
                   .flags = rpc_grpc_send_flags(&request->outbox),
                   .data.send_message.send_message = request->outgoing};
}
static grpc_op op_half_close(struct request *request) {
  request->half_close_sent = true;
  return (grpc_op){.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT};
}
static grpc_op op_receive_header(struct request *request) {
  return (grpc_op){.op = GRPC_OP_RECV_INITIAL_METADATA, .data.recv_initial_metadata.recv_initial_metadata = &request->header};
}
static grpc_op op_receive(struct request *request) {
  return (grpc_op){.op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &request->incoming};
}
static grpc_op op_status(struct request *request) {
  return (grpc_op){.op = GRPC_OP_RECV_STATUS_ON_CLIENT,
                   .data.recv_status_on_client = {
                       .trailing_metadata = &request->trailing, .status = &request->code, .status_details = &request->text}};
}

/* A unary call, whole. Without a message it is one that was cancelled before it was sent. */
static void start_unary(struct request *request) {
  grpc_op ops[6];
  size_t count = 0;
  ops[count++] = op_header();
  if (request->outgoing != NULL) ops[count++] = op_send(request);
  ops[count++] = op_half_close(request);
  ops[count++] = op_receive_header(request);
  ops[count++] = op_receive(request);
  ops[count++] = op_status(request);
  request->started = true;
  start(request, ops, count, &request->ended);
}

static void start_stream(struct request *request) {
  grpc_op ops[2] = {op_header(), op_status(request)};
  grpc_op header = op_receive_header(request);
  request->started = true;
  start(request, ops, 2, &request->ended);
  start(request, &header, 1, &request->noted);
}

static void start_receive(struct request *request) {
  grpc_op op = op_receive(request);
  request->receiving = true;
  start(request, &op, 1, &request->received);
}

/* Sends what is next in line, if anything. */
static void start_next(struct request *request) {
  if (request->sending || request->half_close_sent) return;
  if (request->outgoing == NULL) request->outgoing = rpc_grpc_outbox_pop(&request->outbox);
  grpc_op ops[2];
  size_t count = 0;
  struct tag *tag = &request->noted;
  if (request->outgoing != NULL) {
    ops[count++] = op_send(request);
    request->sending = true;
    tag = &request->sent;
  }
  if (request->wants_half_close && request->outbox.count == 0) ops[count++] = op_half_close(request);
  if (count > 0) start(request, ops, count, tag);
}

static void discard_sends(struct request *request) {
  for (grpc_byte_buffer *buffer = rpc_grpc_outbox_pop(&request->outbox); buffer != NULL;
       buffer = rpc_grpc_outbox_pop(&request->outbox)) {
    grpc_byte_buffer_destroy(buffer);
  }
}

/* ---- Completions, on the polling thread ---- */

/* One batch is over; `request->lock` is not held. After `done` and the last batch the request leaves its channel, and the last one of a closed
 * channel takes it along. */
static void settle(struct request *request) {
  pthread_mutex_lock(&request->lock);
  request->pending--;
  grpc_call *handle = request->done && request->pending == 0 ? request->handle : NULL;
  if (handle != NULL) request->handle = NULL;
  pthread_mutex_unlock(&request->lock);
  if (handle == NULL) return;
  grpc_call_unref(handle);
  struct channel *channel = request->channel;
  pthread_mutex_lock(&channel->lock);
  list_remove(&request->node);
  bool last = channel->closed && list_empty(&channel->requests);
  pthread_mutex_unlock(&channel->lock);
  if (last) free_channel(channel);
  rpc_grpc_request_release(&request->base);
}

static bool is_ours(struct bytes key) {
  return (key.size > 6 && memcmp(key.data, "cairn-", 6) == 0) || bytes_equal(key, bytes_of_string("retry-after-ms"));
}

/* Copies a slice behind `*at` with a NUL; NULL when there is no room. */
static const char *copy_text(grpc_slice slice, char **at, const char *end) {
  size_t size = GRPC_SLICE_LENGTH(slice);
  if (size >= (size_t)(end - *at)) return NULL;
  char *text = *at;
  memcpy(text, GRPC_SLICE_START_PTR(slice), size);
  text[size] = '\0';
  *at += size + 1;
  return text;
}

/* A call that failed: was it ever given to a connection? C core then names that as its peer, else the channel's target. */
static bool was_unsent(const struct request *request) {
  if (request->code != GRPC_STATUS_UNAVAILABLE || request->trailing.count > 0) return false;
  char *peer = grpc_call_get_peer(request->handle);
  bool unsent = strstr(peer, ":///") != NULL;
  gpr_free(peer);
  return unsent;
}

static void tell_done(struct request *request) {
  char text[RPC_TEXT_MAX], pairs[4096];
  size_t size = GRPC_SLICE_LENGTH(request->text) < sizeof text ? GRPC_SLICE_LENGTH(request->text) : sizeof text - 1;
  if (size > 0) memcpy(text, GRPC_SLICE_START_PTR(request->text), size);
  text[size] = '\0';
  struct rpc_result result = {.code = (enum grpc_status)request->code, .text = text, .unsent = was_unsent(request)};
  char *at = pairs;
  for (size_t i = 0; i < request->trailing.count && result.metadata_count < RPC_METADATA_MAX; i++) {
    const grpc_metadata *pair = &request->trailing.metadata[i];
    if (!is_ours(bytes_of(GRPC_SLICE_START_PTR(pair->key), GRPC_SLICE_LENGTH(pair->key)))) continue;
    const char *key = copy_text(pair->key, &at, pairs + sizeof pairs);
    const char *value = key == NULL ? NULL : copy_text(pair->value, &at, pairs + sizeof pairs);
    if (value == NULL) break;
    result.metadata[result.metadata_count++] = (struct rpc_metadata){.key = key, .value = value};
  }
  request->handler->done(request->context, &request->base, &result);
}

/* Tells the end when nothing else can come. */
static void end_if_over(struct request *request) {
  pthread_mutex_lock(&request->lock);
  bool over = request->has_status && !request->receiving && !request->done;
  if (over) {
    request->done = true;
    discard_sends(request);
  }
  pthread_mutex_unlock(&request->lock);
  if (!over) return;
  tell_done(request);
  struct channel *channel = request->channel;
  pthread_mutex_lock(&channel->lock);
  channel->open--;
  pthread_cond_broadcast(&channel->changed);
  pthread_mutex_unlock(&channel->lock);
}

static void fail(struct request *request, const char *text) {
  pthread_mutex_lock(&request->lock);
  grpc_slice_unref(request->text);
  request->code = GRPC_STATUS_INTERNAL;
  request->text = grpc_slice_from_static_string(text);
  request->trailing.count = 0;
  pthread_mutex_unlock(&request->lock);
}

/* A unary call's answer came with its status. */
static void deliver_answer(struct request *request, grpc_byte_buffer *buffer) {
  struct blob *message = NULL;
  if (request->code != GRPC_STATUS_OK) {
    /* whatever came before it is no answer */
  } else if (buffer == NULL) {
    fail(request, "the answer carries no message");
  } else if (rpc_grpc_blob_of(buffer, NULL, MESSAGE_BYTES_MAX, &message) != STATUS_OK) {
    fail(request, "the answer is compressed or too large");
  } else {
    request->handler->message(request->context, &request->base, message);
  }
  if (buffer != NULL) grpc_byte_buffer_destroy(buffer);
}

static void on_ended(struct tag *tag, bool ok) {
  struct request *request = container_of(tag, struct request, ended);
  (void)ok; /* the status tells */
  pthread_mutex_lock(&request->lock);
  request->has_status = true;
  bool unary = request->kind == RPC_UNARY;
  grpc_byte_buffer *buffer = unary ? request->incoming : NULL;
  if (unary) request->incoming = NULL;
  pthread_mutex_unlock(&request->lock);
  if (unary) deliver_answer(request, buffer);
  end_if_over(request);
  settle(request);
}

static void on_received(struct tag *tag, bool ok) {
  struct request *request = container_of(tag, struct request, received);
  (void)ok;
  pthread_mutex_lock(&request->lock);
  request->receiving = false;
  grpc_byte_buffer *buffer = request->incoming;
  request->incoming = NULL;
  pthread_mutex_unlock(&request->lock);
  struct blob *message = NULL;
  if (buffer != NULL && rpc_grpc_blob_of(buffer, NULL, MESSAGE_BYTES_MAX, &message) != STATUS_OK) {
    rpc_grpc_request_cancel(&request->base);
  }
  if (buffer != NULL) grpc_byte_buffer_destroy(buffer);
  if (message != NULL) {
    request->handler->message(request->context, &request->base, message);
    pthread_mutex_lock(&request->lock);
    if (request->auto_receive && !request->receiving) start_receive(request);
    pthread_mutex_unlock(&request->lock);
  }
  end_if_over(request);
  settle(request);
}

static void on_sent(struct tag *tag, bool ok) {
  struct request *request = container_of(tag, struct request, sent);
  pthread_mutex_lock(&request->lock);
  request->sending = false;
  grpc_byte_buffer_destroy(request->outgoing);
  request->outgoing = NULL;
  if (!ok) discard_sends(request); /* the status follows */
  if (!request->done && ok) start_next(request);
  bool tell = ok && !request->done && request->handler->sent != NULL;
  pthread_mutex_unlock(&request->lock);
  if (tell) request->handler->sent(request->context, &request->base);
  settle(request);
}

static void on_noted(struct tag *tag, bool ok) {
  (void)ok;
  settle(container_of(tag, struct request, noted));
}

/* ---- What clients do, from any thread ---- */

static gpr_timespec deadline_after(uint64_t timeout_ns) {
  if (timeout_ns > INT64_MAX) return gpr_inf_future(GPR_CLOCK_MONOTONIC);
  return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_nanos((int64_t)timeout_ns, GPR_TIMESPAN));
}

struct rpc_request *rpc_grpc_request_start(struct rpc_channel *base, const char *method, enum rpc_kind kind, uint64_t timeout_ns,
                                           bool auto_receive, const struct rpc_client_handler *handler, void *context) {
  struct channel *channel = (struct channel *)(void *)base;
  struct request *request = NEW(struct request);
  request->base.ops = base->ops;
  atomic_init(&request->holders, 2); /* the caller, and the transport until it is over */
  request->channel = channel;
  request->kind = kind;
  request->auto_receive = auto_receive;
  request->handler = handler;
  request->context = context;
  request->received.run = on_received;
  request->sent.run = on_sent;
  request->ended.run = on_ended;
  request->noted.run = on_noted;
  request->text = grpc_empty_slice();
  grpc_metadata_array_init(&request->header);
  grpc_metadata_array_init(&request->trailing);
  pthread_mutex_init(&request->lock, NULL);

  pthread_mutex_lock(&channel->lock);
  PRE(!channel->closing);
  list_push_back(&channel->requests, &request->node);
  channel->open++;
  pthread_mutex_unlock(&channel->lock);

  grpc_slice path = grpc_slice_from_copied_string(method);
  pthread_mutex_lock(&request->lock);
  request->handle = grpc_channel_create_call(channel->handle, NULL, GRPC_PROPAGATE_DEFAULTS, channel->transport->poller->queue,
                                             path, NULL, deadline_after(timeout_ns), NULL);
  if (kind != RPC_UNARY) {
    start_stream(request);
    if (auto_receive) start_receive(request);
  }
  pthread_mutex_unlock(&request->lock);
  grpc_slice_unref(path);
  return &request->base;
}

void rpc_grpc_request_send(struct rpc_request *base, const struct blob_part *parts, size_t count) {
  struct request *request = request_of(base);
  grpc_byte_buffer *buffer = rpc_grpc_buffer_of(parts, count);
  pthread_mutex_lock(&request->lock);
  if (!request->has_status && !request->done && !request->wants_half_close && request->handle != NULL) {
    if (request->kind == RPC_UNARY && !request->started) {
      request->outgoing = buffer;
      start_unary(request);
      buffer = NULL;
    } else if (request->kind != RPC_UNARY) {
      rpc_grpc_outbox_push(&request->outbox, buffer);
      if (request->kind == RPC_SERVER_STREAM) request->wants_half_close = true;
      start_next(request);
      buffer = NULL;
    }
  }
  pthread_mutex_unlock(&request->lock);
  if (buffer != NULL) grpc_byte_buffer_destroy(buffer);
}

void rpc_grpc_request_receive(struct rpc_request *base) {
  struct request *request = request_of(base);
  PRE(request->kind != RPC_UNARY && !request->auto_receive);
  pthread_mutex_lock(&request->lock);
  if (!request->done) {
    PRE(!request->receiving);
    start_receive(request);
  }
  pthread_mutex_unlock(&request->lock);
}

void rpc_grpc_request_half_close(struct rpc_request *base) {
  struct request *request = request_of(base);
  pthread_mutex_lock(&request->lock);
  if (request->kind != RPC_UNARY && !request->has_status && !request->wants_half_close) {
    request->wants_half_close = true;
    start_next(request);
  }
  pthread_mutex_unlock(&request->lock);
}

void rpc_grpc_request_cancel(struct rpc_request *base) {
  struct request *request = request_of(base);
  pthread_mutex_lock(&request->lock);
  if (request->handle != NULL && !request->done) {
    if (!request->started) start_unary(request);
    grpc_call_cancel(request->handle, NULL);
  }
  pthread_mutex_unlock(&request->lock);
}

size_t rpc_grpc_request_queued(const struct rpc_request *base) {
  struct request *request = (struct request *)(uintptr_t)base; /* only its lock changes */
  pthread_mutex_lock(&request->lock);
  size_t queued = request->outbox.count + (request->sending ? 1 : 0);
  pthread_mutex_unlock(&request->lock);
  return queued;
}
