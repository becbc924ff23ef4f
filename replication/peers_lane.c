/* A lane's side: what it is told, what it tells. On the lane, but for what the peers loop asks of it. */
#include <string.h>

#include "base/check.h"
#include "base/memory.h"
#include "replication/peers_internal.h"

#define WORDS_MIN 16u

/* ---- Outboxes ---- */

static struct peer_outbox *find_outbox(const struct peer_lane *lane, broker_id broker) {
  for (struct list_node *node = list_first(&lane->outboxes); node != NULL; node = list_next(&lane->outboxes, node)) {
    struct peer_outbox *outbox = list_entry(node, struct peer_outbox, node);
    if (outbox->to.broker == broker && !outbox->closing) return outbox;
  }
  return NULL;
}

/* Messages to it were lost when its link was closed. It is told when there is a way to send them again, and not where there were none: a
 * broker that is gone is looked for every few seconds. */
static void note_lost(struct peer_lane *lane, broker_id broker) {
  for (size_t i = 0; i < lane->lost_count; i++) {
    if (lane->lost[i] == broker) return;
  }
  if (lane->lost_count < PEER_BROKERS_MAX) lane->lost[lane->lost_count++] = broker;
}

static bool forget_lost(struct peer_lane *lane, broker_id broker) {
  for (size_t i = 0; i < lane->lost_count; i++) {
    if (lane->lost[i] != broker) continue;
    lane->lost[i] = lane->lost[--lane->lost_count];
    return true;
  }
  return false;
}

static void take_open(struct peer_lane *lane, const struct lane_order *order) {
  struct peer_outbox *outbox = NEW(struct peer_outbox);
  outbox->lane = lane;
  outbox->link = order->link;
  outbox->to = order->to;
  for (size_t road = 0; road < PEER_ROADS; road++)
    peer_stream_init(&outbox->streams[road], outbox, (enum peer_road)road, order->channels[road]);
  list_push_back(&lane->outboxes, &outbox->node);
  if (forget_lost(lane, outbox->to.broker)) lane->ops->edge(lane->context, outbox->to.broker, PEER_RESET);
  lane->ops->edge(lane->context, outbox->to.broker, PEER_ROOM);
}

static void take_close(struct peer_lane *lane, const struct peer_link *link) {
  struct list_node *node = list_first(&lane->outboxes);
  while (list_entry(node, struct peer_outbox, node)->link != link) node = list_next(&lane->outboxes, node);
  struct peer_outbox *outbox = list_entry(node, struct peer_outbox, node);
  outbox->closing = true;
  for (size_t road = 0; road < PEER_ROADS; road++) {
    if (!peer_stream_idle(&outbox->streams[road])) note_lost(lane, outbox->to.broker);
    peer_stream_close(&outbox->streams[road]);
  }
  peer_outbox_closed(outbox);
}

void peer_outbox_closed(struct peer_outbox *outbox) {
  for (size_t road = 0; road < PEER_ROADS; road++) {
    if (outbox->streams[road].run != NULL) return;
  }
  struct peers *peers = outbox->lane->peers;
  struct peers_errand errand = {.kind = PEERS_LET_GO, .link = outbox->link};
  for (size_t road = 0; road < PEER_ROADS; road++) peer_stream_deinit(&outbox->streams[road]);
  list_remove(&outbox->node);
  memory_free(outbox);
  peers_errand(peers, &errand);
}

/* ---- What it is told ---- */

static bool has(const broker_id *brokers, size_t count, broker_id broker) {
  for (size_t i = 0; i < count; i++) {
    if (brokers[i] == broker) return true;
  }
  return false;
}

static void put(broker_id *brokers, size_t *count, broker_id broker) {
  if (has(brokers, *count, broker)) return;
  CHECK(*count < PEER_BROKERS_MAX);
  brokers[(*count)++] = broker;
}

static void take_out(broker_id *brokers, size_t *count, broker_id broker) {
  size_t at = 0;
  while (at < *count && brokers[at] != broker) at++;
  if (at < *count) brokers[at] = brokers[--*count];
}

static void take_edge(struct peer_lane *lane, broker_id broker, enum peer_edge edge) {
  if (edge == PEER_UP) put(lane->up, &lane->up_count, broker);
  if (edge == PEER_DOWN) take_out(lane->up, &lane->up_count, broker);
  if (edge == PEER_RELUCTANT) put(lane->reluctant, &lane->reluctant_count, broker);
  if (edge == PEER_WILLING) take_out(lane->reluctant, &lane->reluctant_count, broker);
  lane->ops->edge(lane->context, broker, edge);
}

static void take_farewell(struct peer_lane *lane) {
  struct peers_errand errand = {.kind = PEERS_FAREWELL, .lane = lane};
  lane->over = true;
  lane->up_count = 0;
  peers_errand(lane->peers, &errand);
}

static void run_order(struct task *task) {
  struct lane_order *order = container_of(task, struct lane_order, task);
  struct peer_lane *lane = order->lane;
  switch (order->kind) {
    case LANE_OPEN: take_open(lane, order); break;
    case LANE_CLOSE: take_close(lane, order->link); break;
    case LANE_EDGE: take_edge(lane, order->broker, order->edge); break;
    case LANE_LEADS: lane->ops->leads(lane->context, order->broker, order->group, order->term, order->leads); break;
    case LANE_RELUCTANT: lane->ops->reluctant(lane->context, order->reluctant); break;
    case LANE_FAREWELL: take_farewell(lane); break;
  }
  memory_free(order);
}

void peer_lane_order(struct peer_lane *lane, const struct lane_order *order) {
  struct lane_order *copy = NEW(struct lane_order);
  *copy = *order;
  copy->task.run = run_order;
  copy->lane = lane;
  loop_post(peer_lane_loop(lane), &copy->task);
}

unsigned peers_order(struct peers *peers, const struct lane_order *order) {
  unsigned told = 0;
  for (unsigned i = 0; i < peers->options.lane_count; i++) {
    if (!peers->lanes[i].joined) continue;
    peer_lane_order(&peers->lanes[i], order);
    told++;
  }
  return told;
}

/* ---- Health ---- */

static void run_ping(struct task *task) {
  struct peer_lane *lane = container_of(task, struct peer_lane, ping);
  atomic_store_explicit(&lane->turn_ns, loop_now_ns(peer_lane_loop(lane)), memory_order_relaxed);
  atomic_store_explicit(&lane->pinged, false, memory_order_release);
}

void peer_lane_ping(struct peer_lane *lane, uint64_t now_ns) {
  if (!lane->joined || atomic_exchange_explicit(&lane->pinged, true, memory_order_acq_rel)) return;
  uint64_t none = 0;
  atomic_compare_exchange_strong(&lane->turn_ns, &none, now_ns); /* its first: it counts from now */
  loop_post(peer_lane_loop(lane), &lane->ping);
}

static uint64_t age_us(uint64_t since_ns, uint64_t now_ns) {
  return since_ns == 0 || since_ns >= now_ns ? 0 : (now_ns - since_ns) / 1000;
}

struct peer_lane_health peer_lane_health(const struct peer_lane *lane, uint64_t now_ns) {
  uint64_t turn_ns = atomic_load_explicit(&lane->turn_ns, memory_order_relaxed);
  uint64_t unsynced_ns = atomic_load_explicit(&lane->unsynced_ns, memory_order_relaxed);
  return (struct peer_lane_health){.turn_us = age_us(turn_ns, now_ns), .unsynced_us = age_us(unsynced_ns, now_ns)};
}

void peer_lane_alive(struct peer_lane *lane, uint64_t oldest_unsynced_ns) {
  atomic_store_explicit(&lane->unsynced_ns, oldest_unsynced_ns, memory_order_relaxed);
}

/* ---- What it tells ---- */

static void take_words(struct task *task) {
  struct peer_told *told = container_of(task, struct peer_told, task);
  struct peers *peers = told->peers;
  for (size_t i = 0; i < told->count && !peers->stopping; i++) {
    const struct peer_word *word = &told->words[i];
    struct peer_broker *broker = peers_broker(peers, word->broker);
    if (!word->led) vouch_follow(&broker->vouch, word->group, word->term);
    else if (word->term == 0 || roll_digest(&broker->led).count < PEER_PULSE_LIST_MAX)
      roll_set(&broker->led, word->group, word->term);
  }
  memory_free(told->words);
  memory_free(told);
}

static void tell(struct peer_lane *lane, const struct peer_word *word) {
  if (lane->over || word->broker == 0 || word->broker == lane->peers->options.self.broker) return;
  if (lane->told == NULL) {
    lane->told = NEW(struct peer_told);
    lane->told->task.run = take_words;
    lane->told->peers = lane->peers;
  }
  struct peer_told *told = lane->told;
  if (told->count == told->capacity) {
    told->capacity = told->capacity == 0 ? WORDS_MIN : 2 * told->capacity;
    told->words = memory_grow_array(told->words, told->capacity, sizeof *told->words);
  }
  told->words[told->count++] = *word;
}

void peer_lane_led(struct peer_lane *lane, broker_id member, group_id group, entry_term term) {
  struct peer_word word = {.led = true, .broker = member, .group = group, .term = term};
  tell(lane, &word);
}

void peer_lane_followed(struct peer_lane *lane, broker_id leader, group_id group, entry_term term) {
  struct peer_word word = {.broker = leader, .group = group, .term = term};
  tell(lane, &word);
}

static bool is_swift(enum raft_message_kind kind) {
  bool ships = kind == RAFT_SHIPPED_STATE || kind == RAFT_SHIPPED_ENTRIES || kind == RAFT_SHIPS_NOT || kind == RAFT_GIVEN ||
               kind == RAFT_GIVES_NOT;
  return kind != RAFT_APPEND && kind != RAFT_SNAPSHOT && kind != RAFT_RESIGN && !ships;
}

void peer_lane_send(struct peer_lane *lane, group_id group, const struct raft_message *message, const struct entry *entries,
                    size_t count) {
  struct peer_outbox *outbox = find_outbox(lane, message->to.broker);
  if (outbox == NULL || !replica_same_directory(&outbox->to, &message->to)) return;
  enum peer_road road = is_swift(message->kind) ? PEER_SWIFT : PEER_BULK;
  peer_stream_put(&outbox->streams[road], group, message, entries, count);
}

bool peer_lane_room(const struct peer_lane *lane, broker_id broker) {
  const struct peer_outbox *outbox = find_outbox(lane, broker);
  return outbox != NULL && peer_stream_room(&outbox->streams[PEER_BULK]);
}

void peer_lane_flush(struct peer_lane *lane) {
  if (lane->told != NULL && !lane->over) {
    loop_post(lane->peers->loop, &lane->told->task);
    lane->told = NULL;
  }
  list_for_each(&lane->outboxes, node, following) {
    struct peer_outbox *outbox = list_entry(node, struct peer_outbox, node);
    for (size_t road = 0; road < PEER_ROADS; road++) peer_stream_pump(&outbox->streams[road]);
  }
}

bool peer_lane_up(const struct peer_lane *lane, broker_id broker) { return has(lane->up, lane->up_count, broker); }

bool peer_lane_reluctant(const struct peer_lane *lane, broker_id broker) {
  return has(lane->reluctant, lane->reluctant_count, broker);
}

void peer_lane_reconnect(struct peer_lane *lane, broker_id broker) {
  struct peers_errand errand = {.kind = PEERS_RECONNECT, .broker = broker};
  if (!lane->over) peers_errand(lane->peers, &errand);
}

/* ---- Life ---- */

void peer_lane_init(struct peer_lane *lane, struct peers *peers, unsigned number) {
  lane->peers = peers;
  lane->number = number;
  lane->ping.run = run_ping;
  list_init(&lane->outboxes);
  atomic_init(&lane->loop, NULL);
  atomic_init(&lane->pinged, false);
  atomic_init(&lane->turn_ns, 0);
  atomic_init(&lane->unsynced_ns, 0);
}

struct peer_lane *peers_lane(struct peers *peers, unsigned number, struct loop *loop, const struct peer_lane_ops *ops,
                             void *context) {
  PRE(number < peers->options.lane_count);
  struct peer_lane *lane = &peers->lanes[number];
  PRE(peer_lane_loop(lane) == NULL);
  lane->ops = ops;
  lane->context = context;
  /* Release: whoever sees the loop sees the rest. */
  atomic_store_explicit(&lane->loop, loop, memory_order_release);
  struct peers_errand errand = {.kind = PEERS_JOIN, .lane = lane};
  peers_errand(peers, &errand);
  return lane;
}

void peer_lane_deinit(struct peer_lane *lane) {
  CHECK(list_empty(&lane->outboxes));
  if (lane->told != NULL) memory_free(lane->told->words);
  memory_free(lane->told);
}
