/* A call as the client sees it, and the channel that it goes over. */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/memory.h"
#include "tests/sim/sim_rpc_internal.h"

#define ATTEMPT_NS 2000000000u
#define BACKOFF_NS 100000000u
#define BACKOFF_NS_MAX 2000000000u
#define STREAMS_MAX 100u /* of one connection, as most servers say */

enum channel_stage {
  CHANNEL_IDLE,
  CHANNEL_CONNECTING, /* requests wait */
  CHANNEL_READY,
  CHANNEL_FAILING /* requests fail at once, until an attempt in the background succeeds */
};

struct sim_channel {
  struct rpc_channel base;
  struct list_node node;
  struct sim_rpc *rpc;
  char address[64];
  enum channel_stage stage;
  struct sim_connection *link;
  struct list requests; /* all that are not over */
  size_t bound;         /* of them, those on the link */
  unsigned failures;
  struct sim_event retry;
  struct sim_event attempt;
};

struct sim_request {
  struct rpc_request base;
  unsigned holders;
  struct sim_channel *channel;
  struct list_node node;
  enum rpc_kind kind;
  bool auto_receive;
  const char *method;
  const struct rpc_client_handler *handler;
  void *context;
  uint64_t deadline_ns;
  struct sim_event deadline;
  struct sim_stream stream;
  struct sim_errand done_errand;
  struct sim_result *result; /* NULL until its status is known */
  struct sim_packet *answer; /* of a unary call: counts only with its status */
  bool started;
  bool assigned; /* it went out on some link */
  bool bound;    /* it counts among its channel's */
  bool wants_half_close, half_closed, done;
};

static struct sim_channel *channel_of(struct rpc_channel *channel) { return container_of(channel, struct sim_channel, base); }
static struct sim_request *request_of(struct rpc_request *request) { return container_of(request, struct sim_request, base); }
static struct sim_request *request_of_stream(struct sim_stream *stream) {
  return container_of(stream, struct sim_request, stream);
}

/* ---- The end of a request ---- */

static void set_result(struct sim_request *request, enum grpc_status code, const char *text) {
  memory_free(request->result);
  request->result = NEW(struct sim_result);
  request->result->code = code;
  snprintf(request->result->text, sizeof request->result->text, "%s", text);
}

static void unbind(struct sim_request *request) {
  sim_stream_detach(&request->stream);
  if (request->bound) request->channel->bound--;
  request->bound = false;
}

/* What came and was not asked for yet is lost with it. */
static void fail(struct sim_request *request, enum grpc_status code, const char *text) {
  if (request->result != NULL && list_empty(&request->stream.inbox)) return; /* its end is on the way already */
  if (request->done) return;
  if (request->stream.link != NULL) sim_connection_signal(request->stream.link, FRAME_CANCEL, request->stream.number);
  unbind(request);
  sim_stream_deinit(&request->stream);
  set_result(request, code, text);
  sim_rpc_errand(request->channel->rpc, &request->done_errand);
}

static void bind_waiting(struct sim_channel *channel);
static void deliver_one(struct sim_request *request, const struct sim_packet *packet);

static void tell_result(struct sim_request *request) {
  const struct sim_result *kept = request->result;
  struct rpc_result result = {.code = kept->code,
                              .text = kept->text,
                              .unsent = kept->code == GRPC_CODE_UNAVAILABLE && !request->assigned,
                              .metadata_count = kept->metadata_count};
  for (size_t i = 0; i < kept->metadata_count; i++) {
    result.metadata[i] = (struct rpc_metadata){.key = kept->keys[i], .value = kept->values[i]};
  }
  if (request->kind == RPC_UNARY && kept->code == GRPC_CODE_OK) {
    if (request->answer != NULL) deliver_one(request, request->answer);
    else result = (struct rpc_result){.code = GRPC_CODE_INTERNAL, .text = "the answer carries no message"};
  }
  request->handler->done(request->context, &request->base, &result);
}

static void tell_done(struct sim_errand *errand) {
  struct sim_request *request = container_of(errand, struct sim_request, done_errand);
  struct sim_channel *channel = request->channel;
  request->done = true;
  sim_event_cancel(channel->rpc->sim, &request->deadline);
  unbind(request);
  sim_stream_deinit(&request->stream);
  tell_result(request);
  sim_packet_free(request->answer);
  request->answer = NULL;
  list_remove(&request->node);
  bind_waiting(channel);
  sim_request_release(&request->base);
}

void sim_request_release(struct rpc_request *base) {
  if (base == NULL) return;
  struct sim_request *request = request_of(base);
  CHECK(request->holders > 0);
  if (--request->holders > 0) return;
  CHECK(request->done);
  memory_free(request->result);
  memory_free(request);
}

void sim_request_lost(struct sim_stream *stream) {
  struct sim_request *request = request_of_stream(stream);
  if (request->bound) request->channel->bound--;
  request->bound = false;
  fail(request, GRPC_CODE_UNAVAILABLE, "Connection reset by peer");
}

static void deadline_passed(struct sim_event *event) {
  struct sim_request *request = container_of(event, struct sim_request, deadline);
  if (!sim_process_holds(request->channel->rpc->process, event)) fail(request, GRPC_CODE_DEADLINE_EXCEEDED, "Deadline Exceeded");
}

/* ---- In ---- */

static void deliver_one(struct sim_request *request, const struct sim_packet *packet) {
  struct blob *blob = NULL;
  CHECK(blob_new(NULL, packet->size, &blob) == STATUS_OK);
  memcpy(blob->data, packet->data, packet->size);
  request->handler->message(request->context, &request->base, blob);
}

static void deliver(struct sim_request *request) {
  bool unary = request->kind == RPC_UNARY;
  request->holders++;
  while (!request->done) {
    if (request->auto_receive || unary) request->stream.wanted = true;
    struct sim_packet *packet = sim_stream_take(&request->stream);
    if (packet == NULL) break;
    if (!unary) deliver_one(request, packet);
    sim_packet_free(unary ? request->answer : packet);
    if (unary) request->answer = packet;
  }
  bool over = request->result != NULL && list_empty(&request->stream.inbox);
  if (over && !request->done) sim_rpc_errand(request->channel->rpc, &request->done_errand);
  sim_request_release(&request->base);
}

static void something_wanted(struct sim_errand *errand) {
  deliver(request_of_stream(container_of(errand, struct sim_stream, arrived_errand)));
}

static void take_in(struct sim_request *request, struct sim_packet *packet) {
  if (packet->size > CLIENT_MESSAGE_BYTES_MAX) {
    sim_packet_free(packet);
    fail(request, GRPC_CODE_RESOURCE_EXHAUSTED, "Received message larger than max");
    return;
  }
  list_push_back(&request->stream.inbox, &packet->node);
  deliver(request);
}

void sim_request_packet(struct sim_stream *stream, struct sim_packet *packet) {
  struct sim_request *request = request_of_stream(stream);
  switch (packet->kind) {
    case FRAME_MESSAGE: take_in(request, packet); return;
    case FRAME_STATUS:
      if (request->result == NULL) {
        request->result = packet->result;
        packet->result = NULL;
        sim_stream_discard(stream); /* the other side listens no more */
        deliver(request);
      }
      break;
    case FRAME_CANCEL: fail(request, GRPC_CODE_CANCELLED, "RST_STREAM"); break;
    default: break;
  }
  sim_packet_free(packet);
}

/* ---- Out ---- */

static void send_more(struct sim_request *request) {
  if (request->result != NULL || request->stream.link == NULL) return;
  sim_stream_pump(&request->stream);
  if (!request->wants_half_close || request->half_closed || request->stream.outbox_count > 0) return;
  request->half_closed = true;
  sim_connection_signal(request->stream.link, FRAME_HALF_CLOSE, request->stream.number);
}

static void message_taken(struct sim_errand *errand) {
  struct sim_request *request = request_of_stream(container_of(errand, struct sim_stream, sent_errand));
  if (request->done || !sim_stream_taken(&request->stream)) return;
  request->holders++;
  send_more(request);
  bool tell = request->kind != RPC_UNARY && request->handler->sent != NULL;
  if (tell) request->handler->sent(request->context, &request->base);
  sim_request_release(&request->base);
}

/* ---- Channels ---- */

static void connect_now(struct sim_channel *channel) {
  struct sim_rpc *rpc = channel->rpc;
  channel->link = sim_connection_new(rpc, channel);
  sim_net_connect(rpc->net, rpc->host, channel->address, &channel->link->end);
  sim_event_set(rpc->sim, &channel->attempt, sim_now_ns(rpc->sim) + ATTEMPT_NS);
}

static void bind_request(struct sim_request *request) {
  struct sim_channel *channel = request->channel;
  uint64_t now_ns = sim_now_ns(channel->rpc->sim);
  request->assigned = true;
  request->bound = true;
  channel->bound++;
  sim_stream_attach(&request->stream, channel->link);
  struct sim_packet *packet = sim_packet_new(FRAME_CALL, request->stream.number, 0);
  packet->method = request->method;
  packet->timeout_ns = UINT64_MAX;
  if (request->deadline_ns != UINT64_MAX) packet->timeout_ns = request->deadline_ns > now_ns ? request->deadline_ns - now_ns : 0;
  sim_connection_send(channel->link, packet);
  send_more(request);
}

static bool is_waiting(const struct sim_request *request) {
  return request->started && !request->assigned && request->result == NULL && !request->done;
}

static void bind_waiting(struct sim_channel *channel) {
  bool any = false;
  list_for_each(&channel->requests, node, following) {
    struct sim_request *request = list_entry(node, struct sim_request, node);
    if (!is_waiting(request)) continue;
    any = true;
    if (channel->stage == CHANNEL_READY && channel->bound < STREAMS_MAX) bind_request(request);
    else if (channel->stage == CHANNEL_FAILING) fail(request, GRPC_CODE_UNAVAILABLE, "failed to connect to all addresses");
  }
  if (!any || channel->stage != CHANNEL_IDLE) return;
  channel->stage = CHANNEL_CONNECTING;
  connect_now(channel);
}

void sim_channel_up(struct sim_channel *channel) {
  sim_event_cancel(channel->rpc->sim, &channel->attempt);
  channel->stage = CHANNEL_READY;
  channel->failures = 0;
  bind_waiting(channel);
}

static void back_off(struct sim_channel *channel) {
  struct sim_rpc *rpc = channel->rpc;
  uint64_t delay_ns = BACKOFF_NS;
  for (unsigned i = 0; i < channel->failures && delay_ns < BACKOFF_NS_MAX; i++) delay_ns = delay_ns * 8 / 5;
  if (delay_ns > BACKOFF_NS_MAX) delay_ns = BACKOFF_NS_MAX;
  delay_ns = delay_ns * (80 + sim_random_below(&rpc->chance, 41)) / 100;
  channel->failures++;
  channel->stage = CHANNEL_FAILING;
  if (!rpc->process->dead) sim_event_set(rpc->sim, &channel->retry, sim_now_ns(rpc->sim) + delay_ns);
}

/* Its link is over: it was never made, or is lost. */
void sim_channel_lost(struct sim_channel *channel) {
  sim_event_cancel(channel->rpc->sim, &channel->attempt);
  channel->link = NULL;
  if (channel->stage == CHANNEL_READY) channel->stage = CHANNEL_IDLE;
  else back_off(channel);
  if (channel->rpc->process->dead) channel->stage = CHANNEL_FAILING;
  bind_waiting(channel);
}

/* New requests get a new connection; those on the old one go on to their end. */
void sim_channel_going_away(struct sim_channel *channel) {
  channel->link->channel = NULL;
  channel->link = NULL;
  channel->stage = CHANNEL_IDLE;
  channel->bound = 0;
  list_for_each(&channel->requests, node, following) list_entry(node, struct sim_request, node)->bound = false;
  bind_waiting(channel);
}

void sim_channels_died(struct sim_rpc *rpc) {
  list_for_each(&rpc->channels, node, following) {
    struct sim_channel *channel = list_entry(node, struct sim_channel, node);
    sim_event_cancel(rpc->sim, &channel->retry);
    channel->stage = CHANNEL_FAILING;
    bind_waiting(channel);
  }
}

static void retry_fires(struct sim_event *event) {
  struct sim_channel *channel = container_of(event, struct sim_channel, retry);
  if (sim_process_holds(channel->rpc->process, event)) return;
  if (channel->link == NULL && channel->stage == CHANNEL_FAILING) connect_now(channel);
}

static void attempt_fires(struct sim_event *event) {
  struct sim_channel *channel = container_of(event, struct sim_channel, attempt);
  if (sim_process_holds(channel->rpc->process, event)) return;
  sim_connection_close(channel->link);
}

struct rpc_channel *sim_channel_open(struct rpc *rpc, const char *address) {
  struct sim_channel *channel = NEW(struct sim_channel);
  channel->base.ops = rpc->ops;
  channel->rpc = sim_rpc_of(rpc);
  snprintf(channel->address, sizeof channel->address, "%s", address);
  channel->retry.fire = retry_fires;
  channel->attempt.fire = attempt_fires;
  list_init(&channel->requests);
  list_push_back(&channel->rpc->channels, &channel->node);
  if (channel->rpc->process->dead) channel->stage = CHANNEL_FAILING;
  return &channel->base;
}

static bool no_requests(void *context) { return list_empty(&((struct sim_channel *)context)->requests); }

void sim_channel_close(struct rpc_channel *base) {
  if (base == NULL) return;
  struct sim_channel *channel = channel_of(base);
  struct sim_rpc *rpc = channel->rpc;
  list_for_each(&channel->requests, node, following) sim_request_cancel(&list_entry(node, struct sim_request, node)->base);
  sim_rpc_wait(rpc, no_requests, channel, UINT64_MAX);
  if (channel->link != NULL) {
    channel->link->channel = NULL;
    sim_connection_close(channel->link);
  }
  sim_event_cancel(rpc->sim, &channel->retry);
  sim_event_cancel(rpc->sim, &channel->attempt);
  list_remove(&channel->node);
  memory_free(channel);
}

/* ---- What clients do ---- */

struct rpc_request *sim_request_start(struct rpc_channel *base, const char *method, enum rpc_kind kind, uint64_t timeout_ns,
                                      bool auto_receive, const struct rpc_client_handler *handler, void *context) {
  struct sim_channel *channel = channel_of(base);
  struct sim_rpc *rpc = channel->rpc;
  struct sim_request *request = NEW(struct sim_request);
  request->base.ops = base->ops;
  request->holders = 2; /* the caller, and the transport until it is over */
  request->channel = channel;
  request->kind = kind;
  request->auto_receive = auto_receive;
  request->method = method;
  request->handler = handler;
  request->context = context;
  request->done_errand.run = tell_done;
  request->deadline.fire = deadline_passed;
  request->deadline_ns = UINT64_MAX;
  sim_stream_init(&request->stream, rpc, ++rpc->last_stream, true);
  request->stream.sent_errand.run = message_taken;
  request->stream.arrived_errand.run = something_wanted;
  list_push_back(&channel->requests, &request->node);
  if (timeout_ns < (uint64_t)1 << 62) {
    request->deadline_ns = sim_now_ns(rpc->sim) + timeout_ns;
    sim_event_set(rpc->sim, &request->deadline, request->deadline_ns);
  }
  if (kind != RPC_UNARY) {
    request->started = true;
    bind_waiting(channel);
  }
  return &request->base;
}

void sim_request_send(struct rpc_request *base, const struct blob_part *parts, size_t count) {
  struct sim_request *request = request_of(base);
  bool second = request->kind == RPC_UNARY && request->started;
  if (request->result != NULL || request->done || request->wants_half_close || second) {
    sim_message_free(request->channel->rpc, sim_message_new(parts, count));
    return;
  }
  sim_stream_put(&request->stream, parts, count);
  if (request->kind != RPC_BIDI_STREAM) request->wants_half_close = true;
  if (request->started) {
    send_more(request);
    return;
  }
  request->started = true;
  bind_waiting(request->channel);
}

void sim_request_receive(struct rpc_request *base) {
  struct sim_request *request = request_of(base);
  PRE(request->kind != RPC_UNARY && !request->auto_receive);
  if (request->done) return;
  PRE(!request->stream.wanted);
  request->stream.wanted = true;
  sim_rpc_errand(request->channel->rpc, &request->stream.arrived_errand);
}

void sim_request_half_close(struct rpc_request *base) {
  struct sim_request *request = request_of(base);
  if (request->kind == RPC_UNARY || request->result != NULL || request->done || request->wants_half_close) return;
  request->wants_half_close = true;
  send_more(request);
}

void sim_request_cancel(struct rpc_request *base) { fail(request_of(base), GRPC_CODE_CANCELLED, "CANCELLED"); }

size_t sim_request_queued(const struct rpc_request *base) {
  return sim_stream_queued(&container_of((struct rpc_request *)(uintptr_t)base, struct sim_request, base)->stream);
}
