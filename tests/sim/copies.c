#include "tests/sim/copies.h"

#include <stdio.h>

#include "base/check.h"
#include "base/memory.h"

#define MS ((uint64_t)1000000)
#define LOOK_NS (20 * MS)
#define HEARD_NS (3000 * MS)     /* up for so long, others have heard of it and kept that */
#define CALM_NS_MAX (15000 * MS) /* until then something else has to be over; else another time */
#define REFUSED_NS_MAX (20000 * MS)
#define TRIES 3u
#define CLONE_HOST "10.0.0.%u"
#define CLONE_FIRST 11u

enum stage { IDLE, COPIED, CALMING, KNOWN, TRIED };
enum way {
  PUT_BACK,      /* the copy, in place of the directory */
  PUT_BACK_MUTE, /* the same, and it reaches nobody while it starts */
  CLONED,        /* the copy, beside the directory */
  CLONED_NOW     /* a copy of what there is now, beside it */
};

struct copies {
  struct run *run;
  struct faults *faults;
  struct sim_random chance;
  struct sim_event look;
  enum stage stage;
  enum way way;
  unsigned which;
  uint64_t since_ns; /* of the stage, or of a try */
  uint64_t wait_ns;  /* IDLE, COPIED: for so long */
  unsigned tries;
  bool mute;                               /* just now */
  struct sim_disk *old;                    /* the copy */
  struct sim_disk *newest;                 /* what was there instead */
  struct sim_node *clones[PLAN_NODES_MAX]; /* machines for them; NULL: none was made yet */
  bool over;
};

static uint64_t now_ns(const struct copies *copies) { return sim_now_ns(copies->run->sim); }
static struct sim_node *victim(const struct copies *copies) { return copies->run->nodes[copies->which]; }
static bool puts_back(const struct copies *copies) { return copies->way == PUT_BACK || copies->way == PUT_BACK_MUTE; }

static void go(struct copies *copies, enum stage stage, uint64_t wait_ms) {
  copies->stage = stage;
  copies->since_ns = now_ns(copies);
  copies->wait_ns = wait_ms == 0 ? 0 : 1 + sim_random_below(&copies->chance, wait_ms * MS);
}

/* ---- The one that is tried ---- */

static void set_cut(struct copies *copies, const struct sim_host *other, bool cut) {
  struct sim_net *net = copies->run->net;
  const struct sim_host *ends[2] = {sim_node_host(victim(copies)), other};
  for (unsigned way = 0; way < 2; way++) {
    struct sim_link link = sim_net_link(net, ends[way], ends[1 - way]);
    link.cut = cut;
    sim_net_set_link(net, ends[way], ends[1 - way], link);
  }
}

static void cut_brokers(struct copies *copies, bool cut) {
  for (unsigned i = 0; i < copies->run->plan->nodes; i++)
    if (i != copies->which) set_cut(copies, sim_node_host(copies->run->nodes[i]), cut);
}

/* What only this broker has, nobody can tell it to be older: applications are not to be shown it. */
static void cut_apps(struct copies *copies, bool cut) {
  for (unsigned i = 0; i < copies->run->app_count; i++) set_cut(copies, sim_app_host(copies->run->apps[i]), cut);
}

/* Another machine with the same broker on it. */
static struct sim_node *clone_of(struct copies *copies) {
  struct run *run = copies->run;
  struct sim_node **clone = &copies->clones[copies->which];
  if (*clone != NULL) return *clone;
  char host[SIM_HOST_NAME_SIZE];
  snprintf(host, sizeof host, CLONE_HOST, CLONE_FIRST + copies->which);
  struct sim_node_options options = {.host = host, .disk_bytes = run->plan->disk_bytes, .rpc = run->plan->rpc};
  options.options = *sim_node_settings(victim(copies));
  snprintf(options.options.peer_listen, sizeof options.options.peer_listen, CLONE_HOST ":7412", CLONE_FIRST + copies->which);
  *clone = sim_node_new(run->sim, run->net, &options);
  return *clone;
}

static struct sim_node *tried(struct copies *copies) { return puts_back(copies) ? victim(copies) : clone_of(copies); }

static void try_it(struct copies *copies) {
  copies->since_ns = now_ns(copies);
  copies->tries++;
  copies->mute = copies->way == PUT_BACK_MUTE;
  if (copies->mute) cut_brokers(copies, true);
  run_trace(copies->run, "nemesis", "the copy of node %u starts, %s", copies->which,
            puts_back(copies) ? "in its place" : "beside it");
  sim_node_start(tried(copies));
}

static void begin_try(struct copies *copies) {
  go(copies, TRIED, 0);
  copies->tries = 0;
  if (copies->way == PUT_BACK_MUTE) cut_apps(copies, true);
  if (puts_back(copies)) {
    sim_node_kill(victim(copies));
    sim_disk_copy(copies->newest, sim_node_disk(victim(copies)));
    sim_node_put(victim(copies), copies->old);
  } else {
    sim_node_put(clone_of(copies), copies->way == CLONED ? copies->old : sim_node_disk(victim(copies)));
  }
  try_it(copies);
}

static void end_try(struct copies *copies) {
  sim_node_kill(tried(copies));
  if (copies->mute) cut_brokers(copies, false);
  if (copies->way == PUT_BACK_MUTE) cut_apps(copies, false);
  if (puts_back(copies)) sim_node_put(victim(copies), copies->newest);
  faults_spare(copies->faults, copies->which, false);
  faults_calm(copies->faults, false);
  go(copies, IDLE, 8000);
}

static void look_at_try(struct copies *copies) {
  struct run *run = copies->run;
  struct sim_node *node = tried(copies);
  uint64_t for_ns = now_ns(copies) - copies->since_ns;
  enum sim_node_stage stage = sim_node_stage(node);
  if (copies->mute && stage == SIM_NODE_UP) {
    cut_brokers(copies, false);
    copies->mute = false;
    copies->since_ns = now_ns(copies);
    return;
  }
  if (stage != SIM_NODE_DOWN && for_ns > REFUSED_NS_MAX) {
    checker_violation(run->checker, "S2 superseded", "broker %u runs on an older or another copy of its directory",
                      copies->which + 1);
    return;
  }
  if (stage != SIM_NODE_DOWN) return;
  enum status status = sim_node_status(node);
  bool refused = status == STATUS_DIRECTORY_SUPERSEDED || status == STATUS_LOCKED;
  if (!refused)
    checker_violation(run->checker, "S2 superseded", "broker %u on a copy of its directory ends otherwise: %s: %s",
                      copies->which + 1, status_name(status), sim_node_problem(node));
  if (copies->tries < TRIES) try_it(copies);
  else end_try(copies);
}

/* ---- What comes before ---- */

static void make_copy(struct copies *copies) {
  copies->which = (unsigned)sim_random_below(&copies->chance, copies->run->plan->nodes);
  copies->way = (enum way)sim_random_below(&copies->chance, CLONED_NOW + 1);
  /* These have partitions of one replica led, whoever asks. */
  if (copies->way == PUT_BACK_MUTE && (copies->run->plan->moves || copies->run->plan->retains)) copies->way = PUT_BACK;
  if (sim_node_stage(victim(copies)) != SIM_NODE_UP) return;
  sim_disk_copy(copies->old, sim_node_disk(victim(copies)));
  run_trace(copies->run, "nemesis", "the directory of node %u is copied", copies->which);
  go(copies, COPIED, 8000);
}

static void calm_down(struct copies *copies) {
  faults_calm(copies->faults, true);
  go(copies, CALMING, 0);
}

/* It starts anew, so that there is a process which the copy does not know of. */
static void wait_for_calm(struct copies *copies) {
  if (faults_is_calm(copies->faults)) {
    faults_spare(copies->faults, copies->which, true);
    sim_node_kill(victim(copies));
    sim_node_start(victim(copies));
    go(copies, KNOWN, 0);
  } else if (now_ns(copies) - copies->since_ns > CALM_NS_MAX) {
    faults_calm(copies->faults, false);
    go(copies, IDLE, 8000);
  }
}

static void wait_until_heard(struct copies *copies) {
  if (sim_node_stage(victim(copies)) == SIM_NODE_DOWN) {
    checker_violation(copies->run->checker, "S1 starts", "broker %u does not start: %s: %s", copies->which + 1,
                      status_name(sim_node_status(victim(copies))), sim_node_problem(victim(copies)));
    return;
  }
  if (sim_node_stage(victim(copies)) != SIM_NODE_UP) copies->since_ns = now_ns(copies);
  else if (now_ns(copies) - copies->since_ns >= HEARD_NS) begin_try(copies);
}

static void look_fires(struct sim_event *event) {
  struct copies *copies = container_of(event, struct copies, look);
  bool waited = now_ns(copies) - copies->since_ns >= copies->wait_ns;
  switch (copies->stage) {
    case IDLE:
      if (waited) make_copy(copies);
      break;
    case COPIED:
      if (waited) calm_down(copies);
      break;
    case CALMING: wait_for_calm(copies); break;
    case KNOWN: wait_until_heard(copies); break;
    case TRIED: look_at_try(copies); break;
  }
  sim_event_set(copies->run->sim, &copies->look, now_ns(copies) + LOOK_NS);
}

/* ---- Life ---- */

struct copies *copies_new(struct run *run, struct faults *faults) {
  struct copies *copies = NEW(struct copies);
  copies->run = run;
  copies->faults = faults;
  sim_random_init(&copies->chance, run->plan->seed, "copies");
  copies->old = sim_disk_new(run->sim, "old", 4 * run->plan->disk_bytes);
  copies->newest = sim_disk_new(run->sim, "newest", 4 * run->plan->disk_bytes);
  copies->look.fire = look_fires;
  go(copies, IDLE, 8000);
  sim_event_set(run->sim, &copies->look, now_ns(copies) + LOOK_NS);
  return copies;
}

void copies_end(struct copies *copies) {
  if (copies == NULL || copies->over) return;
  copies->over = true;
  sim_event_cancel(copies->run->sim, &copies->look);
  if (copies->stage == TRIED) end_try(copies);
  if (copies->stage == KNOWN) faults_spare(copies->faults, copies->which, false);
  faults_calm(copies->faults, false);
}

bool copies_quiet(const struct copies *copies) {
  for (unsigned i = 0; copies != NULL && i < PLAN_NODES_MAX; i++) {
    if (copies->clones[i] != NULL && !sim_node_quiet(copies->clones[i])) return false;
  }
  return true;
}

void copies_free(struct copies *copies) {
  if (copies == NULL) return;
  PRE(copies->over && copies_quiet(copies));
  for (unsigned i = 0; i < PLAN_NODES_MAX; i++) sim_node_free(copies->clones[i]);
  sim_disk_free(copies->old);
  sim_disk_free(copies->newest);
  memory_free(copies);
}
