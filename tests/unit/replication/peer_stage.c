#include "tests/unit/replication/peer_stage.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/memory.h"
#include "base/os/world_os.h"
#include "proto/rpc_grpc.h"
#include "tests/sim/sim_rpc.h"

#define TOLD_MAX ((size_t)64 << 20)
#define PORT 7500u

/* ---- What a lane is told ---- */

static const char *const kinds[] = {"prevote",  "prevoted", "vote",   "voted",   "append", "appended",
                                    "snapshot", "probe",    "probed", "timeout", "resign"};

#define WRITE(lane, ...)                                             \
  do {                                                               \
    enum status written = buffer_printf(&(lane)->told, __VA_ARGS__); \
    CHECK(written == STATUS_OK);                                     \
  } while (0)

static void on_message(void *context, group_id group, const struct peer_message *message) {
  struct stage_lane *lane = context;
  const struct raft_message *raft = &message->raft;
  WRITE(lane, " %u:%" PRIu64 "/%s#%" PRIu64, raft->from.broker, group, kinds[raft->kind], raft->sequence);
  if (message->count > 0)
    WRITE(lane, "[%" PRIu64 "..%" PRIu64 "]", message->entries[0].head.index, message->entries[message->count - 1].head.index);
  for (size_t i = 0; i < message->count; i++) {
    CHECK(entry_check_payload(&message->entries[i].head, message->entries[i].payload.bytes) == STATUS_OK);
    lane->payload_bytes += message->entries[i].payload.bytes.size;
  }
  CHECK(group % lane->broker->lane_count == (uint64_t)(lane - lane->broker->lanes));
  CHECK(raft->to.broker == lane->broker->id);
  lane->messages++;
  if (lane->heard != NULL) lane->heard(lane, group, message);
}

static void on_edge(void *context, broker_id broker, enum peer_edge edge) {
  static const char *const names[] = {"up", "down", "reset", "room", "reluctant", "willing"};
  struct stage_lane *lane = context;
  WRITE(lane, " %s%u", names[edge], broker);
  if (lane->edged != NULL) lane->edged(lane, broker, edge);
}

static void on_leads(void *context, broker_id broker, group_id group, entry_term term, bool leads) {
  struct stage_lane *lane = context;
  CHECK(!leads || peer_lane_up(lane->lane, broker));
  WRITE(lane, " %c%u:%" PRIu64 "@%" PRIu64, leads ? '+' : '-', broker, group, term);
}

static void on_reluctant(void *context, bool reluctant) {
  struct stage_lane *lane = context;
  WRITE(lane, " %s", reluctant ? "reluctant" : "willing");
}

static const struct peer_lane_ops ops = {on_message, on_edge, on_leads, on_reluctant};

static enum peers_wish wish_of(void *context) {
  const struct stage_broker *broker = context;
  return (enum peers_wish)atomic_load(&broker->wish);
}

static void superseded(void *context, const char *text) {
  struct stage_broker *broker = context;
  CHECK(text[0] != '\0');
  atomic_fetch_add(&broker->superseded, 1);
}

static void keep(void *context, const struct peer_memory *rows, size_t count, struct loop *loop, struct task *done) {
  struct stage_broker *broker = context;
  memcpy(broker->kept, rows, count * sizeof *rows);
  broker->kept_count = count;
  broker->keep_loop = loop;
  broker->keep_done = done;
  if (!broker->keeps_late) stage_keep(broker);
}

void stage_keep(struct stage_broker *broker) {
  struct task *done = broker->keep_done;
  broker->keeps_late = false;
  broker->keep_done = NULL;
  if (done != NULL) loop_post(broker->keep_loop, done);
}

static void turn_ended(void *context) {
  struct stage_lane *lane = context;
  if (lane->lane == NULL) return;
  peer_lane_alive(lane->lane, lane->oldest_unsynced_ns);
  peer_lane_flush(lane->lane);
}

/* ---- Life ---- */

void stage_run_ms(struct peer_stage *stage, unsigned ms) {
  if (stage->real) usleep(ms * 1000);
  else sim_run_for(stage->sim, (uint64_t)ms * STAGE_MS);
}

static void open_world(struct stage_broker *broker) {
  struct peer_stage *stage = broker->stage;
  if (stage->real) {
    CHECK(world_os_open("/", false, &broker->world) == STATUS_OK);
    CHECK(rpc_grpc_open(&broker->world->peers) == STATUS_OK);
    return;
  }
  broker->process = sim_world_new(stage->sim, broker->disk, sim_host_name(broker->host));
  broker->world = sim_world_doors(broker->process);
  broker->world->peers = sim_rpc_new(sim_world_process(broker->process), stage->net, broker->host, NULL);
}

static void close_world(struct stage_broker *broker) {
  if (broker->stage->real) {
    rpc_grpc_close(broker->world->peers);
    world_os_close(broker->world);
  } else {
    sim_world_kill(broker->process); /* a process that has ended has no connections either */
    sim_rpc_free(broker->world->peers);
    sim_world_free(broker->process);
  }
  broker->world = NULL;
}

void stage_open_lane(struct stage_broker *broker) {
  unsigned number = broker->lanes_open++;
  struct stage_lane *lane = &broker->lanes[number];
  char name[32];
  snprintf(name, sizeof name, "lane-%u-%u", broker->id, number);
  buffer_init(&lane->told, TOLD_MAX);
  lane->messages = 0;
  lane->payload_bytes = 0;
  lane->oldest_unsynced_ns = 0;
  lane->lane = NULL;
  lane->loop = world_loop_new(broker->world, name, 0);
  loop_set_turn_hook(lane->loop, turn_ended, lane);
  lane->lane = peers_lane(broker->peers, number, lane->loop, &ops, lane);
}

void stage_start(struct stage_broker *broker) {
  open_world(broker);
  struct peers_options options = {.world = broker->world,
                                  .self = {.broker = broker->id, .incarnation = {broker->incarnation, 1}},
                                  .listen = broker->address,
                                  .account = &broker->account,
                                  .lane_count = broker->lane_count,
                                  .timing = {.election_ns = STAGE_ELECTION_NS, .heartbeat_ns = STAGE_HEARTBEAT_NS},
                                  .boot = broker->id * 1000 + ++broker->boots,
                                  .wish = wish_of,
                                  .wish_context = broker,
                                  .lineage = broker->lineage,
                                  .superseded = superseded,
                                  .superseded_context = broker,
                                  .known = broker->kept,
                                  .known_count = broker->kept_count,
                                  .keep = broker->stage->real ? NULL : keep, /* on a loop of its own there */
                                  .keep_context = broker,
                                  .more = broker->more,
                                  .more_count = broker->more_count};
  memset(options.cluster, broker->cluster, sizeof options.cluster);
  if (broker->lineage != NULL) options.boot = broker->lineage->links[0].boot;
  CHECK(peers_open(&options, &broker->peers) == STATUS_OK);
  snprintf(broker->address, sizeof broker->address, "%s", peers_address(broker->peers));
  broker->lanes_open = 0;
  for (unsigned i = broker->lanes_late; i < broker->lane_count; i++) stage_open_lane(broker);
}

static void take_apart(void *context) {
  struct stage_broker *broker = context;
  peers_stop(broker->peers);
  for (unsigned i = 0; i < broker->lanes_open; i++) {
    loop_stop(broker->lanes[i].loop);
    buffer_deinit(&broker->lanes[i].told);
    broker->lanes[i].lane = NULL;
  }
  peers_close(broker->peers);
  broker->peers = NULL;
}

void stage_stop(struct stage_broker *broker) {
  if (broker->peers == NULL) return;
  if (broker->stage->real) {
    take_apart(broker);
  } else {
    sim_world_boot(broker->process, take_apart, broker);
    CHECK(sim_run_until(broker->stage->sim, sim_world_booted, broker->process,
                        sim_now_ns(broker->stage->sim) + (uint64_t)600000 * STAGE_MS));
  }
  close_world(broker);
}

void stage_kill(struct stage_broker *broker) {
  sim_world_kill(broker->process);
  stage_stop(broker);
}

struct peer_address stage_address(const struct stage_broker *broker) {
  struct peer_address address = {.id = {.broker = broker->id, .incarnation = {broker->incarnation, 1}}};
  memcpy(address.address, broker->address, sizeof address.address);
  return address;
}

void stage_meet(struct peer_stage *stage) {
  struct peer_address all[STAGE_BROKERS_MAX];
  for (size_t i = 0; i < stage->count; i++) all[i] = stage_address(&stage->brokers[i]);
  for (size_t i = 0; i < stage->count; i++) {
    if (stage->brokers[i].peers != NULL) peers_set(stage->brokers[i].peers, all, stage->count);
  }
}

struct peer_stage *peer_stage_new(bool real, size_t brokers, unsigned lanes, uint64_t seed) {
  struct peer_stage *stage = NEW(struct peer_stage);
  stage->real = real;
  stage->count = brokers;
  if (!real) stage->sim = sim_new(seed);
  if (!real) stage->net = sim_net_new(stage->sim);
  for (size_t i = 0; i < brokers; i++) {
    struct stage_broker *broker = &stage->brokers[i];
    broker->stage = stage;
    broker->id = (broker_id)(i + 1);
    broker->incarnation = 100 + i;
    broker->cluster = 7;
    broker->lane_count = lanes;
    for (size_t lane = 0; lane < STAGE_LANES_MAX; lane++) broker->lanes[lane].broker = broker;
    account_init(&broker->account, (size_t)64 << 20);
    snprintf(broker->address, sizeof broker->address, "127.0.0.1:0");
    if (real) continue;
    char name[32];
    snprintf(name, sizeof name, "10.0.0.%u", broker->id);
    snprintf(broker->address, sizeof broker->address, "%s:%u", name, PORT);
    broker->host = sim_host_new(stage->net, name);
    broker->disk = sim_disk_new(stage->sim, name, 1 << 20);
  }
  return stage;
}

void peer_stage_free(struct peer_stage *stage) {
  for (size_t i = 0; i < stage->count; i++) {
    struct stage_broker *broker = &stage->brokers[i];
    stage_stop(broker);
    CHECK(account_used(&broker->account) == 0);
    sim_disk_free(broker->disk);
  }
  sim_net_free(stage->net);
  sim_free(stage->sim);
  memory_free(stage);
}

/* ---- On a lane ---- */

struct errand {
  struct task task;
  struct stage_lane *lane;
  void (*run)(struct stage_lane *lane, void *context);
  void *context;
  atomic_bool done;
};

static void run_errand(struct task *task) {
  struct errand *errand = container_of(task, struct errand, task);
  errand->run(errand->lane, errand->context);
  atomic_store_explicit(&errand->done, true, memory_order_release);
}

static bool is_done(void *context) { return atomic_load(&((struct errand *)context)->done); }

void stage_on(struct stage_lane *lane, void (*run)(struct stage_lane *lane, void *context), void *context) {
  struct peer_stage *stage = lane->broker->stage;
  struct errand errand = {.task = {.run = run_errand}, .lane = lane, .run = run, .context = context};
  loop_post(lane->loop, &errand.task);
  if (stage->real) world_wait(lane->broker->world, &errand.done);
  else CHECK(sim_run_until(stage->sim, is_done, &errand, UINT64_MAX));
}

struct search {
  const char *word;
  size_t found;
};

static void search(struct stage_lane *lane, void *context) {
  struct search *search = context;
  size_t size = strlen(search->word);
  const char *at = (const char *)lane->told.data, *end = at + lane->told.size;
  for (search->found = 0; at != NULL && at < end;) {
    const char *word = at + 1; /* each begins with a space */
    at = memchr(word, ' ', (size_t)(end - word));
    size_t length = (size_t)((at == NULL ? end : at) - word);
    if (length == size && memcmp(word, search->word, size) == 0) search->found++;
  }
}

size_t stage_count(struct stage_lane *lane, const char *word) {
  struct search wanted = {.word = word};
  stage_on(lane, search, &wanted);
  return wanted.found;
}

bool stage_told(struct stage_lane *lane, const char *word, unsigned ms) {
  for (unsigned waited = 0; stage_count(lane, word) == 0; waited += 5) {
    if (waited >= ms) return false;
    stage_run_ms(lane->broker->stage, 5);
  }
  return true;
}

static void forget(struct stage_lane *lane, void *context) {
  (void)context;
  buffer_reset(&lane->told);
}

void stage_forget(struct stage_lane *lane) { stage_on(lane, forget, NULL); }

/* ---- What tests send ---- */

struct sending {
  struct stage_broker *to;
  group_id group;
  struct raft_message message;
  size_t count;
  size_t payload_bytes;
};

static void send_message(struct stage_lane *lane, void *context) {
  struct sending *sending = context;
  struct entry *entries = memory_new_array(sending->count + 1, sizeof *entries);
  struct raft_message *message = &sending->message;
  message->from = (struct replica_id){.broker = lane->broker->id, .incarnation = {lane->broker->incarnation, 1}};
  message->to = stage_address(sending->to).id;
  for (size_t i = 0; i < sending->count; i++) {
    struct blob *blob = NULL;
    CHECK(blob_new(NULL, sending->payload_bytes, &blob) == STATUS_OK);
    memset(blob->data, (int)i + 1, blob->size);
    entries[i].head = (struct entry_head){.kind = ENTRY_COMMAND, .index = message->append.prev_index + 1 + i, .term = 3};
    entries[i].payload = (struct blob_part){.blob = blob, .bytes = bytes_of(blob->data, blob->size)};
    entry_seal(&entries[i].head, entries[i].payload.bytes, 0);
  }
  peer_lane_send(lane->lane, sending->group, message, entries, sending->count);
  for (size_t i = 0; i < sending->count; i++) entry_release(&entries[i]);
  memory_free(entries);
}

void stage_send(struct stage_lane *lane, struct stage_broker *to, group_id group, enum raft_message_kind kind,
                uint64_t sequence) {
  struct sending sending = {.to = to, .group = group, .message = {.kind = kind, .term = 3, .sequence = sequence}};
  stage_on(lane, send_message, &sending);
}

void stage_append(struct stage_lane *lane, struct stage_broker *to, group_id group, entry_index prev, size_t count,
                  size_t payload_bytes, uint64_t sequence) {
  struct sending sending = {.to = to,
                            .group = group,
                            .message = {.kind = RAFT_APPEND, .term = 3, .sequence = sequence, .append = {.prev_index = prev}},
                            .count = count,
                            .payload_bytes = payload_bytes};
  stage_on(lane, send_message, &sending);
}

struct word {
  broker_id broker;
  group_id group;
  entry_term term;
  bool room;
};

static void tell_led(struct stage_lane *lane, void *context) {
  const struct word *word = context;
  peer_lane_led(lane->lane, word->broker, word->group, word->term);
}

static void tell_followed(struct stage_lane *lane, void *context) {
  const struct word *word = context;
  peer_lane_followed(lane->lane, word->broker, word->group, word->term);
}

static void ask_room(struct stage_lane *lane, void *context) {
  struct word *word = context;
  word->room = peer_lane_room(lane->lane, word->broker);
}

void stage_led(struct stage_lane *lane, broker_id member, group_id group, entry_term term) {
  struct word word = {.broker = member, .group = group, .term = term};
  stage_on(lane, tell_led, &word);
}

void stage_followed(struct stage_lane *lane, broker_id leader, group_id group, entry_term term) {
  struct word word = {.broker = leader, .group = group, .term = term};
  stage_on(lane, tell_followed, &word);
}

bool stage_room(struct stage_lane *lane, broker_id broker) {
  struct word word = {.broker = broker};
  stage_on(lane, ask_room, &word);
  return word.room;
}

/* ---- Links ---- */

void stage_cut(struct stage_broker *from, struct stage_broker *to, bool cut) {
  struct sim_link link = sim_net_link(from->stage->net, from->host, to->host);
  link.cut = cut;
  sim_net_set_link(from->stage->net, from->host, to->host, link);
}

void stage_speed(struct stage_broker *from, struct stage_broker *to, uint64_t bytes_per_second) {
  struct sim_link link = sim_net_link(from->stage->net, from->host, to->host);
  link.bytes_per_second = bytes_per_second;
  sim_net_set_link(from->stage->net, from->host, to->host, link);
}
