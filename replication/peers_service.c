/* The server: hellos, packets in, to the lanes. On the transport's thread, but for what a lane does when it has looked at a packet.
 *
 * A stream has at most PEER_INBOX_MAX packets that lanes have not looked at; the next is asked for by whoever makes room, so a lane that
 * stands still stops its senders, and nobody else.
 */
#include <string.h>

#include "base/check.h"
#include "base/memory.h"
#include "base/trace.h"
#include "proto/failure.h"
#include "replication/peers_internal.h"

void peer_inbound_release(struct peer_inbound *inbound) {
  if (atomic_fetch_sub_explicit(&inbound->holders, 1, memory_order_acq_rel) > 1) return;
  peer_packet_free(inbound->packet);
  rpc_call_release(inbound->call);
  memory_free(inbound);
}

static struct peer_inbound *inbound_hold(struct peer_inbound *inbound) {
  atomic_fetch_add_explicit(&inbound->holders, 1, memory_order_relaxed);
  return inbound;
}

static enum peer_standing standing_of(const struct peer_inbound *inbound) {
  return (enum peer_standing)atomic_load_explicit(&inbound->standing, memory_order_acquire);
}

/* ---- Hello ---- */

static bool is_ours(const struct peers *peers, const struct peer_hello *hello, struct rpc_call *call) {
  const struct peers_options *options = &peers->options;
  if (memcmp(hello->cluster, options->cluster, sizeof hello->cluster) != 0) {
    trace_warn("peer_refused",
               "reason=other_cluster broker=%u peer=%s hint=\"two clusters share an address; correct --join there\"",
               hello->from.broker, rpc_call_peer(call));
    failure_refuse_call(call, STATUS_FOREIGN, "this broker belongs to another cluster; correct the addresses in --join");
    return false;
  }
  if (!replica_id_equal(&hello->to, &options->self)) {
    trace_warn("peer_refused",
               "reason=other_incarnation broker=%u wanted=%u self=%u peer=%s hint=\"its map is old, or this data "
               "directory was replaced: then this broker must join anew\"",
               hello->from.broker, hello->to.broker, options->self.broker, rpc_call_peer(call));
    failure_refuse_call(call, STATUS_FOREIGN, "broker %u runs here, on another data directory than the one that is meant",
                        options->self.broker);
    return false;
  }
  if (hello->from.broker == options->self.broker) {
    trace_warn("peer_refused", "reason=same_broker broker=%u peer=%s hint=\"two brokers have the same --broker-id; stop one\"",
               hello->from.broker, rpc_call_peer(call));
    failure_refuse_call(call, STATUS_FOREIGN, "broker %u runs here already; give each broker its own --broker-id",
                        options->self.broker);
    return false;
  }
  return true;
}

/* False: the call is over. */
static bool greet(struct peer_inbound *inbound, const struct blob *message) {
  if (inbound->greeted) return true;
  bool given = false;
  enum status status = peer_wire_decode_hello(bytes_of(message->data, message->size), &given, &inbound->hello);
  if (status != STATUS_OK || !given) {
    failure_refuse_call(inbound->call, STATUS_MALFORMED, "a stream between brokers begins with a hello");
    return false;
  }
  inbound->hello.lineage = bytes_of(NULL, 0); /* it is in the message */
  inbound->greeted = is_ours(inbound->peers, &inbound->hello, inbound->call);
  return inbound->greeted;
}

static void opened(void *service, struct rpc_call *call, bool is_beats) {
  struct peer_inbound *inbound = NEW(struct peer_inbound);
  inbound->peers = service;
  inbound->call = rpc_call_hold(call);
  inbound->is_beats = is_beats;
  inbound->knock_task.run = peers_knock;
  inbound->leave_task.run = peers_leave;
  atomic_init(&inbound->holders, 1);
  atomic_init(&inbound->waiting, 0);
  atomic_init(&inbound->standing, PEER_STANDS_WAITING);
  rpc_call_set_context(call, inbound);
  rpc_call_receive(call);
}

static void exchange_opened(void *service, struct rpc_call *call) { opened(service, call, false); }
static void beats_opened(void *service, struct rpc_call *call) { opened(service, call, true); }

static void half_closed(void *service, struct rpc_call *call) {
  (void)service;
  rpc_call_finish(call, GRPC_CODE_OK, NULL, NULL, 0);
}

static void closed(void *service, struct rpc_call *call, bool cancelled) {
  struct peer_inbound *inbound = rpc_call_context(call);
  (void)service;
  (void)cancelled;
  loop_post(inbound->peers->loop, &inbound->leave_task);
}

/* ---- Packets ---- */

struct delivery {
  struct task task;
  struct peer_lane *lane;
  struct parcel *parcel;
};

/* A packet and its way to each lane that it concerns. */
struct parcel {
  struct peer_packet *packet;
  struct peer_inbound *inbound;
  atomic_uint holders;
  struct delivery deliveries[];
};

static void looked_at(struct parcel *parcel) {
  if (atomic_fetch_sub_explicit(&parcel->holders, 1, memory_order_acq_rel) > 1) return;
  struct peer_inbound *inbound = parcel->inbound;
  peer_packet_free(parcel->packet);
  memory_free(parcel);
  /* Whoever leaves the bound asks for the next: nobody else has, since it was reached. */
  unsigned before = atomic_fetch_sub_explicit(&inbound->waiting, 1, memory_order_acq_rel);
  if (before == PEER_INBOX_MAX) rpc_call_receive(inbound->call);
  peer_inbound_release(inbound);
}

static unsigned lane_of(const struct peers *peers, group_id group) { return (unsigned)(group % peers->options.lane_count); }

static void run_delivery(struct task *task) {
  struct delivery *delivery = container_of(task, struct delivery, task);
  struct peer_lane *lane = delivery->lane;
  const struct peer_packet *packet = delivery->parcel->packet;
  for (size_t i = 0; i < packet->count && !lane->over; i++) {
    const struct peer_received *received = &packet->messages[i];
    if (lane_of(lane->peers, received->group) != lane->number) continue;
    lane->ops->message(lane->context, received->group, &received->message);
  }
  looked_at(delivery->parcel);
}

static uint64_t lanes_of(struct peers *peers, const struct peer_packet *packet, unsigned *out_count) {
  uint64_t lanes = 0;
  *out_count = 0;
  for (size_t i = 0; i < packet->count; i++) {
    unsigned number = lane_of(peers, packet->messages[i].group);
    uint64_t bit = (uint64_t)1 << number;
    if ((lanes & bit) != 0 || peer_lane_loop(&peers->lanes[number]) == NULL) continue;
    lanes |= bit;
    ++*out_count;
  }
  return lanes;
}

/* Takes over the packet. True: the next may be asked for at once. */
static bool deliver(struct peer_inbound *inbound, struct peer_packet *packet) {
  struct peers *peers = inbound->peers;
  unsigned count = 0;
  uint64_t lanes = lanes_of(peers, packet, &count);
  if (count == 0) {
    peer_packet_free(packet);
    return true;
  }
  struct parcel *parcel = memory_new(sizeof *parcel + count * sizeof parcel->deliveries[0]);
  parcel->packet = packet;
  parcel->inbound = inbound_hold(inbound);
  atomic_init(&parcel->holders, count);
  bool more = atomic_fetch_add_explicit(&inbound->waiting, 1, memory_order_acq_rel) + 1 < PEER_INBOX_MAX;
  unsigned at = 0;
  for (unsigned number = 0; number < peers->options.lane_count && at < count; number++) {
    if ((lanes & (uint64_t)1 << number) == 0) continue;
    struct delivery *delivery = &parcel->deliveries[at++]; /* the last one posted may free the parcel */
    *delivery = (struct delivery){.task = {.run = run_delivery}, .lane = &peers->lanes[number], .parcel = parcel};
    loop_post(peer_lane_loop(delivery->lane), &delivery->task);
  }
  return more;
}

void peer_inbound_go_on(struct peer_inbound *inbound) {
  struct peer_packet *packet = inbound->packet;
  inbound->packet = NULL;
  if (packet == NULL || deliver(inbound, packet)) rpc_call_receive(inbound->call);
}

/* The first one waits with its stream until that is admitted, and no other is asked for. */
static void exchange_message(void *service, struct rpc_call *call, struct blob *message) {
  struct peer_inbound *inbound = rpc_call_context(call);
  struct peer_packet *packet = NULL;
  (void)service;
  enum status status = STATUS_OK;
  bool first = !inbound->greeted;
  bool more = greet(inbound, message);
  if (more) status = peer_wire_decode_packet(message, &inbound->hello.from, &inbound->hello.to, &packet);
  blob_release(message);
  if (!more) return;
  if (status != STATUS_OK) {
    trace_warn("peer_packet_refused", "broker=%u reason=%s peer=%s", inbound->hello.from.broker, status_name(status),
               rpc_call_peer(call));
    failure_refuse_call(call, STATUS_MALFORMED, "a packet of messages cannot be read: %s", status_name(status));
    return;
  }
  if (first) {
    inbound->packet = packet;
    loop_post(inbound->peers->loop, &inbound->knock_task);
  } else if (standing_of(inbound) != PEER_STANDS_ADMITTED) {
    peer_packet_free(packet);
  } else if (deliver(inbound, packet)) {
    rpc_call_receive(call);
  }
}

/* ---- Beats ---- */

struct heard {
  struct task task;
  struct peer_inbound *inbound;
  struct blob *message;
};

static void run_heard(struct task *task) {
  struct heard *heard = container_of(task, struct heard, task);
  struct peer_inbound *inbound = heard->inbound;
  peers_beat_heard(inbound, heard->message);
  if (standing_of(inbound) != PEER_STANDS_OVER) rpc_call_receive(inbound->call);
  peer_inbound_release(inbound);
  memory_free(heard);
}

static void beat_message(void *service, struct rpc_call *call, struct blob *message) {
  struct peers *peers = service;
  struct peer_inbound *inbound = rpc_call_context(call);
  if (!greet(inbound, message)) {
    blob_release(message);
    return;
  }
  struct heard *heard = NEW(struct heard);
  heard->task.run = run_heard;
  heard->inbound = inbound_hold(inbound);
  heard->message = message;
  loop_post(peers->loop, &heard->task);
}

const struct rpc_handler peers_handlers[PEERS_HANDLERS] = {
    {.method = PEER_EXCHANGE_METHOD,
     .kind = RPC_BIDI_STREAM,
     .opened = exchange_opened,
     .message = exchange_message,
     .half_closed = half_closed,
     .closed = closed},
    {.method = PEER_BEAT_METHOD,
     .kind = RPC_BIDI_STREAM,
     .opened = beats_opened,
     .message = beat_message,
     .half_closed = half_closed,
     .closed = closed},
    {.method = PEER_RECALL_METHOD, .kind = RPC_UNARY, .message = peers_recall},
};
