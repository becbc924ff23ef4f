/* One end of a connection: frames in and out, whom they are for, and whether the other end is still there. */
#include "base/check.h"
#include "base/memory.h"
#include "tests/sim/sim_rpc_internal.h"

#define KEEPALIVE_LOOK_NS 5000000000u
#define CLIENT_PING_NS ((uint64_t)20 * 1000000000u)
#define SERVER_PING_NS ((uint64_t)30 * 1000000000u)
#define PONG_NS ((uint64_t)10 * 1000000000u)
#define FRAME_OVERHEAD 32u

/* ---- Packets ---- */

static void packet_drop(struct sim_frame *frame) { sim_packet_free(container_of(frame, struct sim_packet, frame)); }

struct sim_packet *sim_packet_new(enum sim_frame_kind kind, uint64_t stream, size_t size) {
  struct sim_packet *packet = memory_new(sizeof *packet + size);
  packet->kind = kind;
  packet->stream = stream;
  packet->size = size;
  packet->frame.size = size + FRAME_OVERHEAD;
  packet->frame.drop = packet_drop;
  return packet;
}

void sim_packet_free(struct sim_packet *packet) {
  if (packet == NULL) return;
  memory_free(packet->result);
  memory_free(packet);
}

/* ---- Out ---- */

void sim_connection_send(struct sim_connection *link, struct sim_packet *packet) {
  if (link == NULL || link->over || link->rpc->process->dead) sim_packet_free(packet);
  else sim_end_send(&link->end, &packet->frame);
}

void sim_connection_signal(struct sim_connection *link, enum sim_frame_kind kind, uint64_t stream) {
  sim_connection_send(link, sim_packet_new(kind, stream, 0));
}

/* ---- In ---- */

static struct sim_stream *find_stream(const struct sim_connection *link, uint64_t number) {
  list_for_each(&link->streams, node, following) {
    struct sim_stream *stream = list_entry(node, struct sim_stream, node);
    if (stream->number == number) return stream;
  }
  return NULL;
}

static void to_stream(struct sim_connection *link, struct sim_packet *packet) {
  struct sim_stream *stream = find_stream(link, packet->stream);
  if (stream == NULL) {
    sim_packet_free(packet); /* it is over on this side */
  } else if (packet->kind == FRAME_CREDIT) {
    sim_stream_credit(stream, packet->credit);
    sim_packet_free(packet);
  } else if (stream->asks) {
    sim_request_packet(stream, packet);
  } else {
    sim_call_packet(stream, packet);
  }
}

static void on_frame(struct sim_end *end, struct sim_frame *frame) {
  struct sim_connection *link = container_of(end, struct sim_connection, end);
  struct sim_packet *packet = container_of(frame, struct sim_packet, frame);
  link->heard_ns = sim_now_ns(link->rpc->sim);
  sim_note(link->rpc->sim, 32 + (uint64_t)packet->kind, packet->stream, packet->size);
  switch (packet->kind) {
    case FRAME_CALL: sim_call_begin_remote(link, packet); break;
    case FRAME_PING: sim_connection_signal(link, FRAME_PONG, 0); break;
    case FRAME_PONG: break;
    case FRAME_GOAWAY:
      if (link->channel != NULL) sim_channel_going_away(link->channel);
      break;
    default: to_stream(link, packet); return;
  }
  sim_packet_free(packet);
}

static void on_up(struct sim_end *end) {
  struct sim_connection *link = container_of(end, struct sim_connection, end);
  link->up = true;
  link->heard_ns = sim_now_ns(link->rpc->sim);
  if (link->channel != NULL) sim_channel_up(link->channel);
}

/* ---- The end ---- */

/* No callback is made in here: those whom it concerns are told by the transport's thread. */
static void end_link(struct sim_connection *link) {
  link->over = true;
  sim_event_cancel(link->rpc->sim, &link->keepalive);
  list_remove(&link->node);
  for (struct list_node *node; (node = list_first(&link->streams)) != NULL;) {
    struct sim_stream *stream = list_entry(node, struct sim_stream, node);
    list_remove(&stream->node);
    stream->link = NULL;
    if (stream->asks) sim_request_lost(stream);
    else sim_call_lost(stream);
  }
  if (link->channel != NULL) sim_channel_lost(link->channel);
  memory_free(link);
}

static void on_lost(struct sim_end *end) { end_link(container_of(end, struct sim_connection, end)); }

static const struct sim_end_ops end_ops = {.up = on_up, .frame = on_frame, .lost = on_lost};

void sim_connection_close(struct sim_connection *link) {
  sim_end_close(&link->end);
  end_link(link);
}

/* ---- Is anybody there? ---- */

static void look(struct sim_event *event) {
  struct sim_connection *link = container_of(event, struct sim_connection, keepalive);
  if (sim_process_holds(link->rpc->process, event)) return;
  uint64_t now_ns = sim_now_ns(link->rpc->sim);
  uint64_t ping_ns = link->asks ? CLIENT_PING_NS : SERVER_PING_NS;
  uint64_t silent_ns = now_ns - link->heard_ns;
  bool wanted = !link->asks || !list_empty(&link->streams); /* a client without calls does not ask */
  if (wanted && link->up && silent_ns >= ping_ns + PONG_NS) {
    sim_connection_close(link);
    return;
  }
  if (wanted && link->up && silent_ns >= ping_ns) sim_connection_signal(link, FRAME_PING, 0);
  sim_event_set(link->rpc->sim, &link->keepalive, now_ns + KEEPALIVE_LOOK_NS);
}

struct sim_connection *sim_connection_new(struct sim_rpc *rpc, struct sim_channel *channel) {
  struct sim_connection *link = NEW(struct sim_connection);
  link->end.ops = &end_ops;
  link->end.process = rpc->process;
  link->rpc = rpc;
  link->channel = channel;
  link->asks = channel != NULL;
  link->up = channel == NULL;
  link->heard_ns = sim_now_ns(rpc->sim);
  link->keepalive.fire = look;
  list_init(&link->streams);
  list_push_back(&rpc->links, &link->node);
  sim_event_set(rpc->sim, &link->keepalive, link->heard_ns + KEEPALIVE_LOOK_NS);
  return link;
}
