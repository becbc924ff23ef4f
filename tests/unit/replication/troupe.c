#include "tests/unit/replication/troupe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/codec.h"
#include "base/memory.h"
#include "base/trace.h"
#include "replication/replica_internal.h"

#define MS_NS 1000000u
#define PATIENCE_NS ((uint64_t)60 * 1000000000u)

static uint64_t mix(uint64_t a, uint64_t b) {
  uint64_t mixed = (a ^ (b + 0x9e3779b97f4a7c15u + (a << 6) + (a >> 2))) * 0xbf58476d1ce4e5b9u;
  return mixed ^ (mixed >> 29);
}

/* ---- The state machine ---- */

static void apply(void *owner, const struct entry *entry) {
  struct player *player = owner;
  struct troupe *troupe = player->troupe;
  const struct entry_head *head = &entry->head;
  assert_int_equal(head->index, player->last + 1);
  assert_int_equal(player->installed, player->installs);
  assert_true(head->index < TROUPE_ENTRIES_MAX);
  if (head->index > troupe->committed_last) {
    troupe->committed_last = head->index;
    troupe->committed[head->index] = head->chain;
  }
  assert_int_equal(troupe->committed[head->index], head->chain);
  assert_true(IMPLIES(player->leads, head->term <= player->led_term));
  player->last = head->index;
  player->sum = mix(player->sum, head->chain);
  player->applied++;
}

static enum status snapshot(void *owner, struct buffer *out) {
  struct player *player = owner;
  uint8_t state[16];
  assert_int_equal(player->installed, player->installs);
  put_u64(state, player->last);
  put_u64(state + 8, player->sum);
  enum status status = buffer_append(out, state, sizeof state);
  size_t padding = player->troupe->state_padding;
  if (status != STATUS_OK || padding == 0) return status;
  uint8_t *behind = buffer_extend(out, padding);
  for (size_t i = 0; behind != NULL && i < padding; i++) behind[i] = (uint8_t)(i / 1000);
  return behind == NULL ? STATUS_NO_MEMORY : STATUS_OK;
}

static enum status restore(void *owner, struct bytes state) {
  struct player *player = owner;
  if (state.size == 0) return STATUS_OK;
  if (state.size < 16) return STATUS_CORRUPT;
  for (size_t i = 16; i < state.size; i++) assert_int_equal(state.data[i], (uint8_t)((i - 16) / 1000));
  assert_true(get_u64(state.data) >= player->last);
  player->last = get_u64(state.data);
  player->sum = get_u64(state.data + 8);
  player->restored = true;
  return STATUS_OK;
}

static void role_changed(void *owner, bool leads, entry_term term, const struct replica_id *leader) {
  struct player *player = owner;
  assert_true(IMPLIES(leads, !player->leads && term > player->led_term && replica_id_equal(leader, &player->id)));
  player->leaderships += leads;
  player->leads = leads;
  player->led_term = leads ? term : player->led_term;
  player->leader = *leader;
}

static void replaced(void *owner, struct log *log) {
  struct player *player = owner;
  assert_false(player->leads);
  assert_int_equal(player->installed, player->installs);
  player->stage.log[TROUPE_GROUP] = log;
  player->installs++;
}

static void installed(void *owner) {
  struct player *player = owner;
  player->installed++;
  assert_int_equal(player->installed, player->installs);
  assert_true(player->restored);
  assert_null(player->replica->closing);
  assert_ptr_equal(replica_log(player->replica), player->stage.log[TROUPE_GROUP]);
  assert_int_equal(replica_applied(player->replica), player->last);
  assert_int_equal(raft_commit(&player->replica->raft), player->last);
}

static const struct state_machine_ops player_ops = {.apply = apply,
                                                    .snapshot = snapshot,
                                                    .restore = restore,
                                                    .role_changed = role_changed,
                                                    .replaced = replaced,
                                                    .installed = installed};

/* ---- Starting and stopping ---- */

static void open_replica(void *context) {
  struct player *player = context;
  struct replica_options options = {.self = player->id, .founding = &player->troupe->founding};
  struct state_machine machine = {.ops = &player->troupe->ops, .owner = player};
  assert_int_equal(replica_open(player->stage.lane, player->stage.log[TROUPE_GROUP], &options, &machine, &player->replica),
                   STATUS_OK);
}

static void start_replica(void *context) { replica_start(((struct player *)context)->replica); }

static void make_replica(void *context) {
  struct player *player = context;
  stage_make_log(&player->stage, TROUPE_GROUP);
  open_replica(player);
  start_replica(player);
}

void troupe_start(struct troupe *troupe, broker_id broker) {
  struct player *player = &troupe->players[broker];
  player->last = player->sum = player->applied = 0;
  player->restored = player->leads = false;
  player->led_term = 0;
  player->leaderships = player->installs = player->installed = 0;
  player->leader = (struct replica_id){0};
  stage_heal(&player->stage); /* a start on a disk that is a thousand times slower takes hours */
  player->stage.peers = wires_join(&troupe->wires, &player->id);
  player->stage.timing = &troupe->timing;
  stage_open(&player->stage);
  if (player->stage.log[TROUPE_GROUP] == NULL) {
    stage_on_lane(&player->stage, make_replica, player);
    return;
  }
  stage_blocking(&player->stage, open_replica, player);
  stage_on_lane(&player->stage, start_replica, player);
}

static void end_process(struct player *player) {
  replica_free(player->replica);
  player->replica = NULL;
  stage_close(&player->stage);
  wires_leave(player->stage.peers);
  player->stage.peers = NULL;
}

void troupe_stop(struct troupe *troupe, broker_id broker, bool checkpoint) {
  struct player *player = &troupe->players[broker];
  stage_heal(&player->stage);
  wires_silence(player->stage.peers);
  stage_stop(&player->stage, checkpoint);
  end_process(player);
}

void troupe_crash(struct troupe *troupe, broker_id broker, enum sim_power_cut mode) {
  struct player *player = &troupe->players[broker];
  wires_silence(player->stage.peers);
  stage_kill(&player->stage);
  end_process(player);
  sim_disk_power_cut(player->stage.device, mode, chance_next(&troupe->chance));
}

void troupe_isolate(struct troupe *troupe, broker_id broker) {
  for (broker_id other = 1; other <= troupe->count; other++) {
    if (other != broker) troupe->wires.cut[broker][other] = troupe->wires.cut[other][broker] = true;
  }
}

static void drop_line(void *context, const char *line) {
  (void)context;
  (void)line;
}

struct troupe *troupe_new(uint64_t seed, unsigned count) {
  PRE(count <= TROUPE_MAX);
  struct troupe *troupe = NEW(struct troupe);
  *troupe = (struct troupe){.sim = sim_new(seed), .chance = {seed}, .ops = player_ops, .count = count};
  if (getenv("TROUPE_TRACE") == NULL) trace_set_sink(drop_line, NULL);
  troupe->timing = (struct raft_timing){.election_ns = 1000 * MS_NS, .heartbeat_ns = 100 * MS_NS};
  list_init(&troupe->asks);
  list_init(&troupe->reads);
  wires_init(&troupe->wires, troupe->sim, chance_next(&troupe->chance), &troupe->timing);
  for (broker_id broker = 1; broker <= count; broker++) {
    struct player *player = &troupe->players[broker];
    player->troupe = troupe;
    player->id = (struct replica_id){.broker = broker, .incarnation = {broker, 1}};
    raft_config_add(&troupe->founding, &player->id, RAFT_VOTER, RAFT_VOTER);
    stage_init_in(&player->stage, troupe->sim, broker);
  }
  for (broker_id broker = 1; broker <= count; broker++) troupe_start(troupe, broker);
  return troupe;
}

/* REPLACED was a promise about everything that came after. */
static void check_and_free_asks(struct troupe *troupe) {
  for (struct list_node *node; (node = list_pop_front(&troupe->asks)) != NULL;) {
    struct troupe_ask *ask = list_entry(node, struct troupe_ask, node);
    const struct entry_head *head = &ask->proposal.entry.head;
    assert_true(ask->answers <= ask->taken);
    bool there = ask->taken && head->index <= troupe->committed_last && troupe->committed[head->index] == head->chain;
    if (ask->answers == 1 && ask->answer == STATUS_OK) assert_true(there);
    if (ask->answers == 1 && ask->answer == STATUS_REPLACED) assert_false(there);
    memory_free(ask);
  }
  for (struct list_node *node; (node = list_pop_front(&troupe->reads)) != NULL;)
    memory_free(list_entry(node, struct troupe_read, node));
}

void troupe_free(struct troupe *troupe) {
  for (broker_id broker = 1; broker <= troupe->count; broker++) {
    if (troupe->players[broker].replica != NULL) troupe_stop(troupe, broker, false);
  }
  check_and_free_asks(troupe);
  wires_deinit(&troupe->wires);
  for (broker_id broker = 1; broker <= troupe->count; broker++) stage_deinit(&troupe->players[broker].stage);
  sim_free(troupe->sim);
  trace_set_sink(NULL, NULL);
  memory_free(troupe);
}

/* ---- Asking ---- */

void troupe_run(struct troupe *troupe, unsigned ms) { sim_run_for(troupe->sim, (uint64_t)ms * MS_NS); }

static void answered(struct proposal *proposal, enum status status) {
  struct troupe_ask *ask = container_of(proposal, struct troupe_ask, proposal);
  struct troupe *troupe = ask->player->troupe;
  ask->answers++;
  ask->answer = status;
  troupe->acks += status == STATUS_OK;
  troupe->replaced += status == STATUS_REPLACED;
  troupe->unknown += status == STATUS_UNKNOWN_OUTCOME;
  if (status != STATUS_OK) return;
  assert_true(ask->player->last >= proposal->entry.head.index);
  assert_int_equal(troupe->committed[proposal->entry.head.index], proposal->entry.head.chain);
  if (proposal->entry.head.index > troupe->acknowledged) troupe->acknowledged = proposal->entry.head.index;
}

static void propose(void *context) {
  struct troupe_ask *ask = context;
  struct log_set *logs = ask->player->stage.logs;
  struct blob *blob = NULL;
  assert_int_equal(blob_new(NULL, ask->size, &blob), STATUS_OK);
  memset(blob->data, 'x', ask->size);
  ask->proposal = (struct proposal){.done = answered};
  ask->proposal.entry.head = (struct entry_head){
      .kind = ENTRY_RECORDS, .record_count = 1, .uncompressed_size = (uint32_t)ask->size, .base_time_ms = 1, .max_time_ms = 1};
  ask->proposal.entry.payload = (struct blob_part){.blob = blob, .bytes = bytes_of(blob->data, ask->size)};
  ask->refused = log_set_admit(logs, ask->size);
  if (ask->refused == STATUS_OK) {
    ask->refused = replica_propose(ask->player->replica, &ask->proposal);
    if (ask->refused != STATUS_OK) log_set_admit_undo(logs, ask->size);
  }
  ask->taken = ask->refused == STATUS_OK;
  if (!ask->taken) blob_release(blob);
}

struct troupe_ask *troupe_propose(struct troupe *troupe, broker_id broker, size_t size) {
  struct troupe_ask *ask = NEW(struct troupe_ask);
  ask->player = &troupe->players[broker];
  ask->size = size;
  list_push_back(&troupe->asks, &ask->node);
  stage_on_lane(&ask->player->stage, propose, ask);
  return ask;
}

static void read_done(struct replica_read *read, enum status status) {
  struct troupe_read *asked = container_of(read, struct troupe_read, read);
  asked->answers++;
  asked->answer = status;
  if (status != STATUS_OK) return;
  assert_true(asked->player->last >= asked->required);
  asked->player->troupe->reads_ok++;
}

static void begin_read(void *context) {
  struct troupe_read *asked = context;
  asked->required = asked->player->troupe->acknowledged;
  replica_read(asked->player->replica, &asked->read);
}

struct troupe_read *troupe_ask_read(struct troupe *troupe, broker_id broker) {
  struct troupe_read *asked = NEW(struct troupe_read);
  asked->player = &troupe->players[broker];
  asked->read.done = read_done;
  list_push_back(&troupe->reads, &asked->node);
  stage_on_lane(&asked->player->stage, begin_read, asked);
  return asked;
}

struct order {
  struct player *player;
  const struct raft_config *target;
  struct replica_id to;
  enum status status;
};

static void change(void *context) {
  struct order *order = context;
  order->status = replica_change_members(order->player->replica, order->target);
}

static void transfer(void *context) {
  struct order *order = context;
  order->status = replica_transfer(order->player->replica, &order->to);
}

enum status troupe_change(struct troupe *troupe, broker_id broker, const struct raft_config *target) {
  struct order order = {.player = &troupe->players[broker], .target = target};
  stage_on_lane(&order.player->stage, change, &order);
  return order.status;
}

enum status troupe_transfer(struct troupe *troupe, broker_id broker, broker_id to) {
  struct order order = {.player = &troupe->players[broker], .to = troupe->players[to].id};
  stage_on_lane(&order.player->stage, transfer, &order);
  return order.status;
}

/* ---- Waiting ---- */

broker_id troupe_leader(const struct troupe *troupe) {
  broker_id leader = 0;
  entry_term term = 0;
  for (broker_id broker = 1; broker <= troupe->count; broker++) {
    const struct replica *replica = troupe->players[broker].replica;
    if (replica == NULL || !replica_ready(replica) || replica_term(replica) <= term) continue;
    term = replica_term(replica);
    leader = broker;
  }
  return leader;
}

/* What a failure looks like from outside. */
static void show(const struct troupe *troupe) {
  for (broker_id broker = 1; broker <= troupe->count; broker++) {
    const struct player *player = &troupe->players[broker];
    if (player->replica == NULL) continue;
    const struct replica *replica = player->replica;
    struct log_view view = log_view(player->stage.log[TROUPE_GROUP]);
    printf("%u: role %d term %llu leader %u last %llu durable %llu commit %llu applied %llu held %zu fenced %d\n", broker,
           (int)replica->raft.role, (unsigned long long)raft_term(&replica->raft), replica->raft.leader.broker,
           (unsigned long long)view.last_index, (unsigned long long)view.durable_index,
           (unsigned long long)raft_commit(&replica->raft), (unsigned long long)player->last, replica->links->held_count,
           replica_fenced(replica));
    for (size_t i = 0; i < replica->links->follower_count; i++) {
      const struct follower *follower = &replica->links->followers[i];
      const struct progress *progress = raft_progress(&replica->raft, raft_config_find(replica_config(replica), &follower->id));
      printf("   to %u: state %d match %llu next %llu gathering %d waiting %d alive %d window %u; asked %d full %d busy %d "
             "retries %d\n",
             follower->id.broker, (int)progress->state, (unsigned long long)progress->match, (unsigned long long)progress->next,
             progress->gathering, progress->waiting, progress->alive, progress->window_count, follower->asked,
             follower->waits_for_room, follower->gathering != NULL && follower->gathering->busy,
             follower->retry_ns != RAFT_NEVER);
    }
  }
}

static void wait_until(struct troupe *troupe, bool (*reached)(void *context), void *context, const char *what) {
  if (sim_run_until(troupe->sim, reached, context, sim_now_ns(troupe->sim) + PATIENCE_NS)) return;
  show(troupe);
  fail_msg("it does not happen: %s", what);
}

struct waiting {
  struct troupe *troupe;
  broker_id not ;
};

static bool leads(void *context) {
  const struct waiting *waiting = context;
  broker_id leader = troupe_leader(waiting->troupe);
  return leader != 0 && leader != waiting->not ;
}

broker_id troupe_wait_leader(struct troupe *troupe, broker_id not ) {
  struct waiting waiting = {.troupe = troupe, .not = not };
  wait_until(troupe, leads, &waiting, "a leader");
  return troupe_leader(troupe);
}

static bool is_answered(void *context) { return ((struct troupe_ask *)context)->answers > 0; }

void troupe_wait_answer(struct troupe *troupe, const struct troupe_ask *ask) {
  assert_int_equal(ask->refused, STATUS_OK);
  wait_until(troupe, is_answered, (void *)(uintptr_t)ask, "an answer");
}

void troupe_append(struct troupe *troupe, unsigned count, size_t size) {
  for (unsigned i = 0; i < count; i++) {
    struct troupe_ask *ask = troupe_propose(troupe, troupe_wait_leader(troupe, 0), size);
    troupe_wait_answer(troupe, ask);
    assert_int_equal(ask->answer, STATUS_OK);
  }
}

static bool settled(void *context) {
  const struct troupe *troupe = context;
  broker_id leader = troupe_leader(troupe);
  if (leader == 0) return false;
  const struct player *first = &troupe->players[leader];
  if (log_view(first->stage.log[TROUPE_GROUP]).last_index != first->last) return false;
  for (broker_id broker = 1; broker <= troupe->count; broker++) {
    const struct player *player = &troupe->players[broker];
    if (player->replica == NULL || raft_config_find(replica_config(first->replica), &player->id) == RAFT_NO_POSITION) continue;
    struct log_view view = log_view(player->stage.log[TROUPE_GROUP]);
    if (player->last != first->last || player->sum != first->sum || view.last_index != first->last) return false;
    if (view.durable_index != view.last_index || player->installed != player->installs) return false;
  }
  return true;
}

void troupe_settle(struct troupe *troupe) { wait_until(troupe, settled, troupe, "all replicas have the same"); }
