/* A call as the server sees it, and serving. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/memory.h"
#include "proto/failure.h"
#include "tests/sim/sim_rpc_internal.h"

struct sim_call {
  struct rpc_call base;
  unsigned holders;
  struct sim_rpc *rpc;
  struct sim_serving *serving;
  const struct rpc_handler *handler; /* NULL: an unknown method */
  struct sim_stream stream;
  struct caller *caller;
  struct list_node silent_node; /* of serving->silent */
  struct sim_event silent_too_long;
  uint64_t deadline_ns;
  struct sim_event deadline;
  struct sim_errand closed_errand;
  struct sim_result *result; /* a status that waits behind messages */
  bool opened, half_told, finishing, status_sent, cancelled, over, closed;
};

static struct sim_call *call_of(struct rpc_call *call) { return container_of(call, struct sim_call, base); }
static struct sim_call *call_of_stream(struct sim_stream *stream) { return container_of(stream, struct sim_call, stream); }
static void *service_of(const struct sim_call *call) {
  return rpc_handler_service(call->handler, call->serving->options.service);
}
static bool is_unary(const struct sim_call *call) { return call->handler == NULL || call->handler->kind == RPC_UNARY; }
static bool is_bidi(const struct sim_call *call) { return call->handler != NULL && call->handler->kind == RPC_BIDI_STREAM; }

/* ---- Life ---- */

struct rpc_call *sim_call_hold(struct rpc_call *base) {
  CHECK(call_of(base)->holders > 0);
  call_of(base)->holders++;
  return base;
}

void sim_call_release(struct rpc_call *base) {
  struct sim_call *call = call_of(base);
  CHECK(call->holders > 0);
  if (--call->holders > 0) return;
  CHECK(call->closed);
  memory_free(call->result);
  memory_free(call);
}

uint64_t sim_call_time_left_ns(const struct rpc_call *base) {
  const struct sim_call *call = container_of((struct rpc_call *)(uintptr_t)base, struct sim_call, base);
  if (call->deadline_ns == UINT64_MAX) return UINT64_MAX;
  uint64_t now_ns = sim_now_ns(call->rpc->sim);
  return call->deadline_ns > now_ns ? call->deadline_ns - now_ns : 0;
}

static void end_silence(struct sim_call *call) {
  if (list_node_linked(&call->silent_node)) list_remove(&call->silent_node);
  sim_event_cancel(call->rpc->sim, &call->silent_too_long);
}

/* The client's side is over, or ours; told once, by the transport's thread. */
static void end_call(struct sim_call *call, bool cancelled) {
  if (call->over) return;
  end_silence(call);
  call->over = true;
  call->cancelled = cancelled;
  sim_event_cancel(call->rpc->sim, &call->deadline);
  if (call->stream.link != NULL && !call->status_sent)
    sim_connection_signal(call->stream.link, FRAME_CANCEL, call->stream.number);
  sim_stream_deinit(&call->stream);
  sim_rpc_errand(call->rpc, &call->closed_errand);
}

static void tell_closed(struct sim_errand *errand) {
  struct sim_call *call = container_of(errand, struct sim_call, closed_errand);
  struct sim_serving *serving = call->serving;
  call->closed = true;
  bool tell = call->opened && call->handler != NULL && call->handler->closed != NULL;
  if (tell) call->handler->closed(service_of(call), &call->base, call->cancelled);
  serving->open_calls--;
  callers_leave(serving->callers, call->caller);
  sim_call_release(&call->base);
}

static void deadline_passed(struct sim_event *event) {
  struct sim_call *call = container_of(event, struct sim_call, deadline);
  if (!sim_process_holds(call->rpc->process, event)) end_call(call, true);
}

/* ---- Out ---- */

static void send_status(struct sim_call *call) {
  struct sim_packet *packet = sim_packet_new(FRAME_STATUS, call->stream.number, 0);
  packet->result = call->result;
  call->result = NULL;
  call->status_sent = true;
  sim_connection_send(call->stream.link, packet);
  end_call(call, false);
}

static void send_more(struct sim_call *call) {
  if (call->over) return;
  sim_stream_pump(&call->stream);
  if (call->finishing && sim_stream_flushed(&call->stream)) send_status(call);
}

static void message_taken(struct sim_errand *errand) {
  struct sim_call *call = call_of_stream(container_of(errand, struct sim_stream, sent_errand));
  if (call->over || !sim_stream_taken(&call->stream)) return;
  bool tell = !is_unary(call) && call->handler->sent != NULL;
  sim_call_hold(&call->base);
  send_more(call);
  if (tell && !call->closed) call->handler->sent(service_of(call), &call->base);
  sim_call_release(&call->base);
}

void sim_call_send(struct rpc_call *base, const struct blob_part *parts, size_t count) {
  struct sim_call *call = call_of(base);
  if (call->over || call->finishing) {
    sim_message_free(call->rpc, sim_message_new(parts, count));
    return;
  }
  PRE(!is_unary(call) || call->stream.outbox_count == 0);
  sim_stream_put(&call->stream, parts, count);
  if (!is_unary(call)) send_more(call);
}

size_t sim_call_queued(const struct rpc_call *base) {
  const struct sim_call *call = container_of((struct rpc_call *)(uintptr_t)base, struct sim_call, base);
  return sim_stream_queued(&call->stream);
}

static bool printable(const char *text) {
  for (; *text != '\0'; text++) {
    if (*text < 0x20 || *text > 0x7e) return false;
  }
  return true;
}

static void copy_metadata(struct sim_result *result, const struct rpc_metadata *metadata, size_t count) {
  PRE(count <= RPC_METADATA_MAX);
  for (size_t i = 0; i < count; i++) {
    if (!printable(metadata[i].value)) continue; /* HTTP/2 forbids it */
    size_t at = result->metadata_count++;
    snprintf(result->keys[at], sizeof result->keys[at], "%s", metadata[i].key);
    snprintf(result->values[at], sizeof result->values[at], "%s", metadata[i].value);
  }
}

void sim_call_finish(struct rpc_call *base, enum grpc_status code, const char *text, const struct rpc_metadata *metadata,
                     size_t metadata_count) {
  struct sim_call *call = call_of(base);
  if (call->over || call->finishing) return;
  call->finishing = true;
  call->result = NEW(struct sim_result);
  call->result->code = code;
  if (text != NULL) snprintf(call->result->text, sizeof call->result->text, "%s", text);
  copy_metadata(call->result, metadata, metadata_count);
  if (is_unary(call) && code != GRPC_CODE_OK) sim_stream_discard(&call->stream);
  send_more(call);
}

/* ---- In ---- */

static void refuse_message(struct sim_call *call, enum status reason) {
  if (reason == STATUS_TOO_LARGE) {
    failure_refuse_call(&call->base, reason, "the message is larger than %zu bytes; send less at once",
                        call->serving->options.message_bytes_max);
  } else {
    failure_refuse_call(&call->base, reason, "the broker's memory budget is spent; try again later");
  }
}

static struct blob *copy_of(const struct sim_packet *packet, struct account *account) {
  struct blob *blob = NULL;
  if (blob_new(account, packet->size, &blob) != STATUS_OK) return NULL;
  memcpy(blob->data, packet->data, packet->size);
  return blob;
}

static void deliver_message(struct sim_call *call, const struct sim_packet *packet) {
  end_silence(call);
  const struct rpc_serve_options *options = &call->serving->options;
  bool too_large = packet->size > options->message_bytes_max;
  struct blob *blob = too_large ? NULL : copy_of(packet, options->account);
  enum status reason = too_large ? STATUS_TOO_LARGE : STATUS_NO_MEMORY;
  if (blob != NULL) call->handler->message(service_of(call), &call->base, blob);
  else if (is_bidi(call) && call->handler->refused != NULL)
    call->handler->refused(service_of(call), &call->base, reason, copy_of(packet, NULL));
  else refuse_message(call, reason);
}

static void deliver_end(struct sim_call *call) {
  if (!call->stream.ended || !call->stream.wanted || call->half_told || !list_empty(&call->stream.inbox)) return;
  call->half_told = true;
  call->stream.wanted = false;
  end_silence(call);
  if (!is_bidi(call)) {
    failure_refuse_call(&call->base, STATUS_MALFORMED, "the request carries no message, or only a part of one");
  } else if (call->handler->half_closed != NULL) {
    call->handler->half_closed(service_of(call), &call->base);
  }
}

static void deliver(struct sim_call *call) {
  sim_call_hold(&call->base);
  while (!call->over && !call->finishing && call->handler != NULL) {
    struct sim_packet *packet = sim_stream_take(&call->stream);
    if (packet == NULL) break;
    deliver_message(call, packet);
    sim_packet_free(packet);
  }
  if (!call->over && !call->finishing && call->handler != NULL) deliver_end(call);
  sim_call_release(&call->base);
}

static void something_wanted(struct sim_errand *errand) {
  deliver(call_of_stream(container_of(errand, struct sim_stream, arrived_errand)));
}

void sim_call_receive(struct rpc_call *base) {
  struct sim_call *call = call_of(base);
  PRE(is_bidi(call));
  if (call->over || call->half_told || call->finishing) return;
  PRE(!call->stream.wanted);
  call->stream.wanted = true;
  sim_rpc_errand(call->rpc, &call->stream.arrived_errand);
}

static void send_bare(struct sim_connection *link, uint64_t stream, enum grpc_status code, const char *text) {
  struct sim_packet *packet = sim_packet_new(FRAME_STATUS, stream, 0);
  packet->result = NEW(struct sim_result);
  packet->result->code = code;
  snprintf(packet->result->text, sizeof packet->result->text, "%s", text);
  sim_connection_send(link, packet);
}

void sim_call_packet(struct sim_stream *stream, struct sim_packet *packet) {
  struct sim_call *call = call_of_stream(stream);
  switch (packet->kind) {
    case FRAME_MESSAGE:
      if (packet->size > 2 * call->serving->options.message_bytes_max) { /* cut off unread */
        send_bare(stream->link, stream->number, GRPC_CODE_RESOURCE_EXHAUSTED, "Received message larger than max");
        call->status_sent = true;
        sim_packet_free(packet);
        end_call(call, true);
        return;
      }
      list_push_back(&stream->inbox, &packet->node);
      deliver(call);
      return;
    case FRAME_HALF_CLOSE:
      stream->ended = true;
      deliver(call);
      break;
    case FRAME_CANCEL: end_call(call, true); break;
    default: break;
  }
  sim_packet_free(packet);
}

void sim_call_lost(struct sim_stream *stream) { end_call(call_of_stream(stream), true); }

/* ---- A call begins ---- */

static void wait_is_over(struct sim_event *event) {
  struct sim_call *call = container_of(event, struct sim_call, silent_too_long);
  if (sim_process_holds(call->rpc->process, event)) return;
  struct failure failure;
  failure_set(&failure, STATUS_DEADLINE, "the call was opened %llu ms ago and its message has not come; nothing was done",
              (unsigned long long)(call->serving->options.message_wait_ns / 1000000u));
  failure.executed = EXECUTED_NO;
  end_silence(call);
  failure_finish_call(&call->base, &failure);
}

static void begin_silence(struct sim_call *call) {
  list_push_back(&call->serving->silent, &call->silent_node);
  uint64_t wait_ns = call->serving->options.message_wait_ns;
  call->silent_too_long.fire = wait_is_over;
  if (!is_bidi(call) && wait_ns > 0) sim_event_set(call->rpc->sim, &call->silent_too_long, sim_now_ns(call->rpc->sim) + wait_ns);
}

static void refuse_silent(struct sim_serving *serving) {
  for (struct list_node *node; (node = list_first(&serving->silent)) != NULL;) {
    struct sim_call *call = list_entry(node, struct sim_call, silent_node);
    end_silence(call);
    failure_refuse_call(&call->base, STATUS_DRAINING, NULL);
  }
}

static const struct rpc_handler *find_handler(const struct sim_serving *serving, const char *method) {
  for (size_t i = 0; i < serving->options.handler_count; i++) {
    if (strcmp(serving->options.handlers[i].method, method) == 0) return &serving->options.handlers[i];
  }
  return NULL;
}

static void open_call(struct sim_call *call) {
  struct sim_serving *serving = call->serving;
  unsigned open = ++serving->open_calls;
  if (call->handler == NULL) {
    failure_refuse_call(&call->base, STATUS_UNSUPPORTED, "no such method; this broker may be older than the client");
    return;
  }
  if (open > serving->options.calls_max) {
    failure_refuse_call(&call->base, STATUS_BUSY, "%u calls are open already; try again later", serving->options.calls_max);
    return;
  }
  unsigned peer_calls_max = serving->options.peer_calls_max;
  if (peer_calls_max > 0 && caller_calls(call->caller) > peer_calls_max) {
    failure_refuse_call(&call->base, STATUS_BUSY, "%u calls of your address are open already; try again later", peer_calls_max);
    return;
  }
  call->opened = true;
  begin_silence(call);
  if (!is_bidi(call)) call->stream.wanted = true;
  if (call->handler->opened != NULL) call->handler->opened(service_of(call), &call->base);
}

void sim_call_begin_remote(struct sim_connection *link, const struct sim_packet *packet) {
  struct sim_rpc *rpc = link->rpc;
  struct sim_serving *serving = rpc->serving;
  if (serving == NULL || serving->stopping) {
    send_bare(link, packet->stream, GRPC_CODE_UNAVAILABLE, "Server shutdown");
    return;
  }
  struct sim_call *call = NEW(struct sim_call);
  call->base.ops = &sim_rpc_ops;
  snprintf(call->base.peer, sizeof call->base.peer, "ipv4:%s:50000", sim_end_peer(&link->end));
  call->caller = callers_enter(serving->callers, call->base.peer);
  call->holders = 1;
  call->rpc = rpc;
  call->serving = serving;
  call->handler = find_handler(serving, packet->method);
  call->closed_errand.run = tell_closed;
  call->deadline.fire = deadline_passed;
  sim_stream_init(&call->stream, rpc, packet->stream, false);
  call->stream.sent_errand.run = message_taken;
  call->stream.arrived_errand.run = something_wanted;
  sim_stream_attach(&call->stream, link);
  call->deadline_ns = UINT64_MAX;
  if (packet->timeout_ns < (uint64_t)1 << 62) {
    call->deadline_ns = sim_now_ns(rpc->sim) + packet->timeout_ns;
    sim_event_set(rpc->sim, &call->deadline, call->deadline_ns);
  }
  sim_call_hold(&call->base);
  open_call(call);
  sim_call_release(&call->base);
}

/* ---- Serving ---- */

static struct sim_end *accept_link(struct sim_listener *listener) {
  struct sim_serving *serving = container_of(listener, struct sim_serving, listener);
  return &sim_connection_new(serving->rpc, NULL)->end;
}

static bool own_address(const struct sim_rpc *rpc, const char *text, uint16_t *out_port) {
  const char *colon = strrchr(text, ':');
  char *end = NULL;
  if (colon == NULL || colon[1] < '0' || colon[1] > '9') return false;
  unsigned long port = strtoul(colon + 1, &end, 10);
  size_t size = (size_t)(colon - text);
  const char *names[] = {sim_host_name(rpc->host), "127.0.0.1", "localhost", "0.0.0.0"};
  bool ours = false;
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    ours = ours || (strlen(names[i]) == size && memcmp(names[i], text, size) == 0);
  }
  *out_port = (uint16_t)port;
  return ours && *end == '\0' && port <= UINT16_MAX;
}

enum status sim_rpc_serve(struct rpc *base, const struct rpc_serve_options *options, uint16_t *out_port) {
  struct sim_rpc *rpc = sim_rpc_of(base);
  PRE(rpc->serving == NULL);
  PRE(options->calls_max > 0 && options->streams_max > 0 && options->message_bytes_max > 0);
  uint16_t port = 0;
  if (rpc->process->dead) return STATUS_IO;
  if (!own_address(rpc, options->listen, &port)) return STATUS_INVALID;
  struct sim_serving *serving = NEW(struct sim_serving);
  serving->rpc = rpc;
  serving->options = *options;
  serving->listener.process = rpc->process;
  serving->listener.accept = accept_link;
  if (!sim_net_listen(rpc->host, port, &serving->listener)) {
    memory_free(serving);
    return STATUS_EXISTS;
  }
  serving->callers = callers_new(options->hash_seed);
  list_init(&serving->silent);
  rpc->serving = serving;
  *out_port = serving->listener.port;
  return STATUS_OK;
}

void sim_serving_died(struct sim_rpc *rpc) {
  if (rpc->serving == NULL) return;
  rpc->serving->stopping = true;
  sim_net_unlisten(&rpc->serving->listener);
}

static bool no_calls(void *context) { return ((struct sim_serving *)context)->open_calls == 0; }

void sim_rpc_serve_stop(struct rpc *base, uint64_t grace_ns) {
  struct sim_rpc *rpc = sim_rpc_of(base);
  struct sim_serving *serving = rpc->serving;
  if (serving == NULL) return;
  sim_serving_died(rpc);
  list_for_each(&rpc->links, node, following) {
    struct sim_connection *link = list_entry(node, struct sim_connection, node);
    if (!link->asks) sim_connection_signal(link, FRAME_GOAWAY, 0);
  }
  uint64_t now_ns = sim_now_ns(rpc->sim);
  bool patient = grace_ns >= UINT64_MAX - now_ns;
  sim_rpc_wait(rpc, no_calls, serving, patient ? UINT64_MAX : now_ns + grace_ns / 2);
  refuse_silent(serving);
  sim_rpc_wait(rpc, no_calls, serving, patient ? UINT64_MAX : now_ns + grace_ns);
  list_for_each(&rpc->links, node, following) {
    struct sim_connection *link = list_entry(node, struct sim_connection, node);
    if (!link->asks) sim_connection_close(link);
  }
  sim_rpc_wait(rpc, no_calls, serving, UINT64_MAX);
  rpc->serving = NULL;
  callers_free(serving->callers);
  memory_free(serving);
}
