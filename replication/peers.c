#include "replication/peers.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/memory.h"
#include "base/trace.h"
#include "proto/failure.h"
#include "replication/peers_internal.h"

#define TRANSPORT_BYTES_MAX ((size_t)256 << 20)
#define STREAMS_MAX 1024u
#define CALLS_MAX 16384u
#define BACKOFF_DOUBLINGS 5u

/* ---- Small things ---- */

struct peer_broker *peers_find(struct peers *peers, broker_id id) {
  list_for_each(&peers->brokers, node, following) {
    struct peer_broker *broker = list_entry(node, struct peer_broker, node);
    if (broker->id == id) return broker;
  }
  return NULL;
}

/* What it says of what it leads goes to the lanes that the groups belong to. */
static void tell_leads(void *context, group_id group, entry_term term, bool leads) {
  const struct peer_broker *broker = context;
  struct peer_lane *lane = &broker->peers->lanes[group % broker->peers->options.lane_count];
  struct lane_order order = {.kind = LANE_LEADS, .broker = broker->id, .group = group, .term = term, .leads = leads};
  if (lane->joined) peer_lane_order(lane, &order);
}

struct peer_broker *peers_broker(struct peers *peers, broker_id id) {
  struct peer_broker *broker = peers_find(peers, id);
  if (broker != NULL) return broker;
  broker = NEW(struct peer_broker);
  broker->peers = peers;
  broker->id = id;
  liveness_init(&broker->liveness, peers->options.timing.election_ns);
  uint64_t seed = entropy_next(peers->world->entropy);
  roll_init(&broker->led, seed);
  vouch_init(&broker->vouch, seed, tell_leads, broker);
  list_push_back(&peers->brokers, &broker->node);
  return broker;
}

/* Half of it is chance: brokers that lost each other in one instant do not come back in one. */
uint64_t peers_backoff_ns(struct peers *peers, unsigned failures) {
  uint64_t most_ns = (uint64_t)PEER_BACKOFF_NS << (failures < BACKOFF_DOUBLINGS ? failures : BACKOFF_DOUBLINGS);
  if (most_ns > PEER_BACKOFF_NS_MAX) most_ns = PEER_BACKOFF_NS_MAX;
  return most_ns / 2 + entropy_next(peers->world->entropy) % (most_ns / 2);
}

struct peer_hello peers_hello(const struct peers *peers, const struct replica_id *to) {
  struct peer_hello hello = {.from = peers->options.self, .to = *to, .boot = peers->options.boot};
  memcpy(hello.cluster, peers->options.cluster, sizeof hello.cluster);
  return hello;
}

/* By whoever has seen more of this broker's directory than this process has. */
void peers_superseded(struct peers *peers, const struct rpc_result *result) {
  if (result->code != GRPC_CODE_FAILED_PRECONDITION || peers->options.superseded == NULL) return;
  struct failure failure;
  failure_from_result(&failure, result);
  if (failure.reason == STATUS_DIRECTORY_SUPERSEDED) peers->options.superseded(peers->options.superseded_context, failure.text);
}

const char *peers_address(const struct peers *peers) { return peers->address; }

int64_t peers_clock_offset_ms(const struct peers *peers) {
  return atomic_load_explicit(&peers->clock_offset_ms, memory_order_relaxed);
}

/* ---- Who there is ---- */

struct roster {
  struct task task;
  struct peers *peers;
  size_t count;
  struct peer_address brokers[PEER_BROKERS_MAX];
};

static bool same_address(const struct peer_address *a, const struct peer_address *b) {
  return replica_id_equal(&a->id, &b->id) && strcmp(a->address, b->address) == 0;
}

static void retire(struct peer_broker *broker) {
  if (broker->link == NULL) return;
  peers_broker_down(broker);
  peer_link_close(broker->link, false);
  broker->link = NULL;
}

static const struct peer_address *roster_find(const struct roster *roster, broker_id id) {
  for (size_t i = 0; i < roster->count; i++) {
    if (roster->brokers[i].id.broker == id) return &roster->brokers[i];
  }
  return NULL;
}

static void take_roster(struct task *task) {
  struct roster *roster = container_of(task, struct roster, task);
  struct peers *peers = roster->peers;
  if (peers->stopping) roster->count = 0;
  list_for_each(&peers->brokers, node, following) {
    struct peer_broker *broker = list_entry(node, struct peer_broker, node);
    const struct peer_address *address = roster_find(roster, broker->id);
    if (broker->link != NULL && (address == NULL || !same_address(address, &broker->link->address))) retire(broker);
  }
  for (size_t i = 0; i < roster->count; i++) {
    const struct peer_address *address = &roster->brokers[i];
    if (address->id.broker == peers->options.self.broker) continue;
    struct peer_broker *broker = peers_broker(peers, address->id.broker);
    if (broker->link != NULL) continue;
    broker->link = peer_link_new(broker, address);
    peer_link_open(broker->link);
  }
  peers_beats_begin(peers);
  memory_free(roster);
}

void peers_set(struct peers *peers, const struct peer_address *brokers, size_t count) {
  PRE(count <= PEER_BROKERS_MAX);
  struct roster *roster = NEW(struct roster);
  roster->task.run = take_roster;
  roster->peers = peers;
  roster->count = count;
  if (count > 0) memcpy(roster->brokers, brokers, count * sizeof *brokers);
  loop_post(peers->loop, &roster->task);
}

/* ---- What lanes want ---- */

static void join(struct peers *peers, struct peer_lane *lane) {
  lane->joined = true;
  struct lane_order self = {.kind = LANE_RELUCTANT, .reluctant = true};
  if (peers->leaves) peer_lane_order(lane, &self);
  list_for_each(&peers->brokers, node, following) {
    const struct peer_broker *broker = list_entry(node, struct peer_broker, node);
    struct peer_link *link = broker->link;
    struct lane_order reluctant = {.kind = LANE_EDGE, .broker = broker->id, .edge = PEER_RELUCTANT};
    if (broker->reluctant) peer_lane_order(lane, &reluctant);
    if (link == NULL || link->closing) continue;
    struct lane_order open = {.kind = LANE_OPEN, .link = link, .to = link->address.id};
    memcpy(open.channels, link->channels, sizeof open.channels);
    peer_lane_order(lane, &open);
    link->holders++;
    struct lane_order up = {.kind = LANE_EDGE, .broker = broker->id, .edge = PEER_UP};
    if (broker->liveness.up) peer_lane_order(lane, &up);
  }
}

static void reconnect(struct peers *peers, broker_id id) {
  const struct peer_broker *broker = peers_find(peers, id);
  if (broker == NULL || broker->link == NULL) return;
  if (loop_now_ns(peers->loop) - broker->link->opened_ns < 2 * peers->options.timing.election_ns) return;
  peer_link_close(broker->link, true);
}

static void run_errand(struct task *task) {
  struct peers_errand *errand = container_of(task, struct peers_errand, task);
  struct peers *peers = errand->peers;
  switch (errand->kind) {
    case PEERS_JOIN: join(peers, errand->lane); break;
    case PEERS_LET_GO: peer_link_let_go(errand->link); break;
    case PEERS_RECONNECT: reconnect(peers, errand->broker); break;
    case PEERS_BEAT: peers_beats_begin(peers); break;
    case PEERS_FAREWELL:
      peers->unsettled--;
      peers_settle(peers);
      break;
  }
  memory_free(errand);
}

void peers_errand(struct peers *peers, const struct peers_errand *errand) {
  struct peers_errand *copy = NEW(struct peers_errand);
  *copy = *errand;
  copy->task.run = run_errand;
  copy->peers = peers;
  loop_post(peers->loop, &copy->task);
}

void peers_beat_now(struct peers *peers) {
  struct peers_errand errand = {.kind = PEERS_BEAT};
  peers_errand(peers, &errand);
}

/* ---- Life ---- */

static void keep_address(struct peers *peers, const char *listen, uint16_t port) {
  const char *colon = strrchr(listen, ':');
  int host_size = (int)(colon - listen);
  int size = snprintf(peers->address, sizeof peers->address, "%.*s:%u", host_size, listen, port);
  if (size < 0 || (size_t)size >= sizeof peers->address) peers->address[0] = '\0'; /* too long to be told to anybody */
}

static enum status serve(struct peers *peers, const struct peers_options *options) {
  size_t count = 0;
  for (; count < PEERS_HANDLERS; count++) {
    peers->handlers[count] = peers_handlers[count];
    peers->handlers[count].own_service = peers;
  }
  for (size_t i = 0; i < options->more_count; i++) {
    struct rpc_handler *handler = &peers->handlers[count++];
    *handler = options->more[i];
    if (handler->own_service == NULL) handler->own_service = options->more_service;
  }
  struct rpc_serve_options serving = {.listen = options->listen,
                                      .handlers = peers->handlers,
                                      .handler_count = count,
                                      .service = peers,
                                      .message_bytes_max = PEER_PACKET_BYTES_MAX,
                                      .memory_bytes_max = TRANSPORT_BYTES_MAX,
                                      .streams_max = STREAMS_MAX,
                                      .calls_max = CALLS_MAX,
                                      .account = options->account};
  uint16_t port = 0;
  enum status status = rpc_serve(peers->world->peers, &serving, &port);
  if (status == STATUS_OK) keep_address(peers, options->listen, port);
  return status;
}

static void free_peers(struct peers *peers) {
  for (unsigned i = 0; i < peers->options.lane_count; i++) peer_lane_deinit(&peers->lanes[i]);
  for (struct list_node *node; (node = list_pop_front(&peers->brokers)) != NULL;) {
    struct peer_broker *broker = list_entry(node, struct peer_broker, node);
    roll_deinit(&broker->led);
    vouch_deinit(&broker->vouch);
    memory_free(broker);
  }
  peers_guests_deinit(peers);
  memory_free(peers->lanes);
  memory_free(peers);
}

enum status peers_open(const struct peers_options *options, struct peers **out_peers) {
  PRE(options->lane_count > 0 && options->lane_count <= PEER_LANES_MAX && options->boot != 0);
  PRE(options->more_count <= PEERS_MORE_MAX && options->world->peers != NULL);
  struct peers *peers = NEW(struct peers);
  peers->options = *options;
  peers->options.listen = NULL;
  peers->options.more = NULL;
  peers->world = options->world;
  list_init(&peers->brokers);
  list_init(&peers->links);
  peers_guests_init(peers, options->known, options->known_count);
  peers->options.known = NULL;
  if (options->lineage != NULL) peers->lineage_size = lineage_encode(options->lineage, peers->lineage);
  peers->options.lineage = NULL;
  peers->tick.fire = peers_beat_tick;
  atomic_init(&peers->quiet, false);
  atomic_init(&peers->clock_offset_ms, 0);
  peers->lanes = memory_new_array(options->lane_count, sizeof *peers->lanes);
  for (unsigned i = 0; i < options->lane_count; i++) peer_lane_init(&peers->lanes[i], peers, i);
  peers->loop = world_loop_new(peers->world, "peers", 0);
  enum status status = serve(peers, options);
  if (status != STATUS_OK) {
    loop_stop(peers->loop);
    free_peers(peers);
    return status;
  }
  *out_peers = peers;
  return STATUS_OK;
}

void peers_settle(struct peers *peers) {
  if (!peers->stopping || peers->unsettled > 0 || peers->keeping || !list_empty(&peers->links)) return;
  atomic_store_explicit(&peers->quiet, true, memory_order_release);
}

struct stop {
  struct task task;
  struct peers *peers;
};

/* Lanes let go of the links first, then say farewell: orders stay in order. */
static void begin_stop(struct task *task) {
  struct peers *peers = container_of(task, struct stop, task)->peers;
  peers->stopping = true;
  loop_timer_cancel(peers->loop, &peers->tick);
  list_for_each(&peers->brokers, node, following) {
    struct peer_broker *broker = list_entry(node, struct peer_broker, node);
    if (broker->link != NULL) peer_link_close(broker->link, false);
    broker->link = NULL;
  }
  list_for_each(&peers->links, node, following) list_entry(node, struct peer_link, node)->wanted = false;
  struct lane_order farewell = {.kind = LANE_FAREWELL};
  peers->unsettled = peers_order(peers, &farewell);
  if (peers->options.keep != NULL) peers_keep(peers);
  peers_settle(peers);
}

void peers_stop(struct peers *peers) {
  if (peers == NULL || peers->stopped) return;
  rpc_serve_stop(peers->world->peers, 0);
  struct stop stop = {.task = {.run = begin_stop}, .peers = peers};
  loop_post(peers->loop, &stop.task);
  world_wait(peers->world, &peers->quiet);
  loop_stop(peers->loop);
  peers->loop = NULL;
  peers->stopped = true;
}

void peers_close(struct peers *peers) {
  if (peers == NULL) return;
  peers_stop(peers);
  free_peers(peers);
}
