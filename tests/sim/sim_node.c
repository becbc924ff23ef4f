#include "tests/sim/sim_node.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/memory.h"
#include "log/log_set.h"
#include "server/node.h"

#define REAP_NS 5000000u

/* One process, from its start until it is taken apart. */
struct life {
  struct list_node node;
  struct sim_node *owner;
  struct sim_world *world;
  struct node *broker;
  struct disk_lock *lock;
  struct sim_fiber *fiber;
  bool up;
  bool stop;
  bool must_end; /* others know more of its directory than it does, or it cannot the cluster's feature level */
  bool over;
};

struct sim_node {
  struct sim *sim;
  struct sim_net *net;
  struct sim_host *host;
  struct sim_disk *disk;
  struct sim_node_options options;
  char address[64];
  struct life *life; /* NULL: DOWN */
  struct list lives; /* all that are not freed */
  struct sim_event reap;
  struct buffer problem;
  enum status status;
  unsigned starts;
  int64_t jump_ms;
  int32_t rate_ppm;
};

/* ---- A process ---- */

static bool is_dead(const struct life *life) { return sim_world_process(life->world)->dead; }

static enum status open_directory(struct life *life) {
  struct disk *disk = sim_world_doors(life->world)->disk;
  enum status status = log_set_survey(disk);
  return status == STATUS_OK ? disk_lock(disk, "lock", &life->lock) : status;
}

static void note_start(struct life *life, enum status status) {
  struct sim_node *node = life->owner;
  if (is_dead(life)) return;
  node->status = status;
  life->up = status == STATUS_OK;
  sim_note(node->sim, 64, node->starts, (uint64_t)status);
}

static void reap_soon(struct sim_node *node) {
  if (node->reap.slot == 0) sim_event_set(node->sim, &node->reap, sim_now_ns(node->sim) + REAP_NS);
}

static void must_end(void *context) {
  struct life *life = context;
  struct sim *sim = life->owner->sim;
  life->must_end = true;
  if (sim_fiber_current(sim) != life->fiber) sim_fiber_wake(life->fiber, sim_now_ns(sim));
}

static void live(void *context) {
  struct life *life = context;
  struct sim_node *node = life->owner;
  struct world *world = sim_world_doors(life->world);
  struct buffer problem;
  buffer_init(&problem, SIM_PROBLEM_SIZE);
  life->fiber = sim_fiber_current(node->sim);
  enum status status = open_directory(life);
  if (status == STATUS_OK) status = node_start(world, &node->options.options, NULL, &life->broker, &problem);
  if (!is_dead(life)) {
    buffer_reset(&node->problem);
    enum status copied = buffer_append(&node->problem, problem.data, problem.size);
    CHECK(copied == STATUS_OK);
  }
  note_start(life, status);
  if (status == STATUS_OK) node_watch(life->broker, &(struct node_watch){.must_end = must_end, .context = life});
  while (status == STATUS_OK && !life->stop && !life->must_end && !is_dead(life)) sim_fiber_park(node->sim);
  if (life->must_end) note_start(life, node_must_end(life->broker, &problem));
  node_stop(life->broker, life->stop && !life->must_end && !is_dead(life));
  disk_unlock(world->disk, life->lock);
  buffer_deinit(&problem);
  life->over = true;
  reap_soon(node);
}

/* Takes apart what has come to its end; what is still leaving its last function, a little later. */
static void reap_fires(struct sim_event *event) {
  struct sim_node *node = container_of(event, struct sim_node, reap);
  bool again = false;
  list_for_each(&node->lives, place, following) {
    struct life *life = list_entry(place, struct life, node);
    if (!life->over) continue;
    if (!sim_world_booted(life->world)) {
      again = true;
      continue;
    }
    if (node->life == life) node->life = NULL;
    sim_world_kill(life->world); /* a process that has ended has no connections either */
    struct world *world = sim_world_doors(life->world);
    sim_rpc_free(world->rpc);
    sim_rpc_free(world->peers);
    sim_world_free(life->world);
    list_remove(&life->node);
    memory_free(life);
  }
  if (again) reap_soon(node);
}

/* ---- The machine ---- */

struct sim_node *sim_node_new(struct sim *sim, struct sim_net *net, const struct sim_node_options *options) {
  struct sim_node *node = NEW(struct sim_node);
  node->sim = sim;
  node->net = net;
  node->options = *options;
  node->options.host = NULL; /* the host has it */
  node->host = sim_host_new(net, options->host);
  node->disk = sim_disk_new(sim, options->host, options->disk_bytes);
  snprintf(node->address, sizeof node->address, "%s:%u", options->host, SIM_NODE_PORT);
  snprintf(node->options.options.listen, sizeof node->options.options.listen, "%s", node->address);
  buffer_init(&node->problem, SIM_PROBLEM_SIZE);
  node->reap.fire = reap_fires;
  list_init(&node->lives);
  return node;
}

void sim_node_free(struct sim_node *node) {
  if (node == NULL) return;
  PRE(sim_node_quiet(node));
  sim_event_cancel(node->sim, &node->reap);
  sim_disk_free(node->disk);
  buffer_deinit(&node->problem);
  memory_free(node);
}

void sim_node_start(struct sim_node *node) {
  PRE(sim_node_stage(node) == SIM_NODE_DOWN);
  char name[24];
  snprintf(name, sizeof name, "%s#%u", sim_host_name(node->host), ++node->starts);
  sim_host_power(node->host, true);
  node->status = STATUS_OK;
  struct life *life = NEW(struct life);
  life->owner = node;
  life->world = sim_world_new(node->sim, node->disk, name);
  struct world *world = sim_world_doors(life->world);
  world->rpc = sim_rpc_new(sim_world_process(life->world), node->net, node->host, &node->options.rpc);
  world->peers = sim_rpc_new(sim_world_process(life->world), node->net, node->host, &node->options.rpc);
  sim_world_jump_wall(life->world, node->jump_ms);
  sim_world_set_rate(life->world, node->rate_ppm);
  list_push_back(&node->lives, &life->node);
  node->life = life;
  sim_world_boot(life->world, live, life);
}

void sim_node_stop(struct sim_node *node) {
  PRE(sim_node_stage(node) == SIM_NODE_UP);
  node->life->stop = true;
  sim_fiber_wake(node->life->fiber, sim_now_ns(node->sim));
}

void sim_node_kill(struct sim_node *node) {
  if (node->life == NULL) return;
  sim_world_kill(node->life->world);
  node->life = NULL;
}

void sim_node_cut_power(struct sim_node *node, enum sim_power_cut mode, uint64_t salt) {
  sim_host_power(node->host, false);
  sim_node_kill(node);
  list_for_each(&node->lives, place, following) sim_world_kill(list_entry(place, struct life, node)->world);
  sim_disk_power_cut(node->disk, mode, salt);
}

void sim_node_erase(struct sim_node *node) {
  PRE(sim_node_stage(node) == SIM_NODE_DOWN);
  list_for_each(&node->lives, place, following) sim_world_kill(list_entry(place, struct life, node)->world);
  sim_disk_erase(node->disk);
}

void sim_node_put(struct sim_node *node, const struct sim_disk *disk) {
  PRE(sim_node_stage(node) == SIM_NODE_DOWN);
  list_for_each(&node->lives, place, following) sim_world_kill(list_entry(place, struct life, node)->world);
  sim_disk_copy(node->disk, disk);
}

void sim_node_pause(struct sim_node *node) {
  if (node->life != NULL) sim_process_pause(sim_world_process(node->life->world));
}

void sim_node_resume(struct sim_node *node) {
  if (node->life != NULL) sim_process_resume(sim_world_process(node->life->world));
}

void sim_node_set_rack(struct sim_node *node, const char *rack) {
  snprintf(node->options.options.rack, sizeof node->options.options.rack, "%s", rack);
}

void sim_node_set_clock(struct sim_node *node, int64_t jump_ms, int32_t rate_ppm) {
  node->jump_ms += jump_ms;
  node->rate_ppm = rate_ppm;
  if (node->life == NULL || is_dead(node->life)) return;
  sim_world_jump_wall(node->life->world, jump_ms);
  sim_world_set_rate(node->life->world, rate_ppm);
}

void sim_node_set_feature_level_most(struct sim_node *node, uint32_t level) {
  PRE(sim_node_stage(node) == SIM_NODE_DOWN);
  node->options.options.feature_level_most = level;
}

/* ---- What it is ---- */

bool sim_node_died(const struct sim_node *node) { return node->life != NULL && is_dead(node->life); }

enum sim_node_stage sim_node_stage(const struct sim_node *node) {
  const struct life *life = node->life;
  if (life == NULL || life->over || is_dead(life)) return SIM_NODE_DOWN;
  if (life->stop || life->must_end) return SIM_NODE_STOPPING;
  return life->up ? SIM_NODE_UP : SIM_NODE_STARTING;
}

const char *sim_node_problem(const struct sim_node *node) {
  static char text[SIM_PROBLEM_SIZE + 1];
  snprintf(text, sizeof text, "%.*s", (int)node->problem.size,
           node->problem.data == NULL ? "" : (const char *)node->problem.data);
  return text;
}

enum status sim_node_status(const struct sim_node *node) { return node->status; }
bool sim_node_paused(const struct sim_node *node) { return node->life != NULL && sim_world_process(node->life->world)->paused; }
const struct options *sim_node_settings(const struct sim_node *node) { return &node->options.options; }
struct sim_disk *sim_node_disk(const struct sim_node *node) {
  return node->disk;
}
struct sim_host *sim_node_host(const struct sim_node *node) {
  return node->host;
}
const char *sim_node_address(const struct sim_node *node) { return node->address; }
unsigned sim_node_starts(const struct sim_node *node) { return node->starts; }
bool sim_node_quiet(const struct sim_node *node) { return list_empty(&node->lives); }
