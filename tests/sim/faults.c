#include "tests/sim/faults.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/memory.h"
#include "tests/sim/rot.h"

#define MS ((uint64_t)1000000)
#define TEND_NS (2 * MS)

/* Something that is broken and will be mended. */
struct harm {
  struct list_node node;
  struct faults *faults;
  struct sim_event end;
  void (*mend)(struct harm *harm);
  unsigned which; /* node or app */
  const struct sim_host *from, *to;
  bool both_ways;
};

struct victim {
  uint64_t start_at_ns; /* 0: nothing is planned */
  bool hurt;            /* its disk has failed it: it wants a new start */
  uint64_t kill_at_ns;  /* for that */
  unsigned crash_mode;  /* what follows a crash point */
  bool dies_at_vote;
  bool spared; /* somebody else sees to it */
};

struct faults {
  struct run *run;
  struct sim_random chance;
  struct sim_event next;
  struct sim_event tend;
  struct sim_event rot;         /* the next time that the disk rots, of ... */
  struct sim_random rot_chance; /* draws that no other fault sees */
  struct sim_random carried;    /* the same, of racks */
  unsigned rots;                /* ... this broker */
  uint64_t rotted;              /* times */
  struct list harms;
  struct victim victims[PLAN_NODES_MAX];
  uint64_t counts[FAULT_COUNT];
  uint64_t salt;
  bool calm;
  bool healed;
};

static uint64_t now_ns(const struct faults *faults) { return sim_now_ns(faults->run->sim); }
static uint64_t below_ms(struct faults *faults, uint64_t ms) { return sim_random_below(&faults->chance, ms * MS) + 1; }

/* ---- Harms ---- */

static void harm_end(struct harm *harm) {
  sim_event_cancel(harm->faults->run->sim, &harm->end);
  list_remove(&harm->node);
  harm->mend(harm);
  memory_free(harm);
}

static void harm_fires(struct sim_event *event) { harm_end(container_of(event, struct harm, end)); }

static struct harm *harm_new(struct faults *faults, void (*mend)(struct harm *harm), uint64_t for_ns) {
  struct harm *harm = NEW(struct harm);
  harm->faults = faults;
  harm->mend = mend;
  harm->end.fire = harm_fires;
  list_push_back(&faults->harms, &harm->node);
  sim_event_set(faults->run->sim, &harm->end, now_ns(faults) + for_ns);
  return harm;
}

/* ---- Processes ---- */

static enum sim_power_cut draw_cut(struct faults *faults) {
  static const enum sim_power_cut modes[] = {SIM_POWER_DROP, SIM_POWER_TEAR, SIM_POWER_REORDER, SIM_POWER_PREFIX, SIM_POWER_KEEP};
  return modes[sim_random_below(&faults->chance, sizeof modes / sizeof modes[0])];
}

static void start_later(struct faults *faults, unsigned which) {
  uint64_t delay_ms = sim_random_chance(&faults->chance, 70) ? 50 : 1500;
  faults->victims[which].start_at_ns = now_ns(faults) + below_ms(faults, delay_ms);
}

static void cut_power(struct faults *faults, unsigned which) {
  enum sim_power_cut mode = draw_cut(faults);
  run_trace(faults->run, "nemesis", "power cut of node %u, %s", which, sim_power_cut_name(mode));
  sim_node_cut_power(faults->run->nodes[which], mode, ++faults->salt);
}

static bool do_kill(struct faults *faults, unsigned which) {
  sim_node_kill(faults->run->nodes[which]);
  start_later(faults, which);
  return true;
}

static bool do_power_cut(struct faults *faults, unsigned which) {
  cut_power(faults, which);
  start_later(faults, which);
  return true;
}

void faults_crash_at(struct faults *faults, unsigned which, const struct crash_at *at) {
  struct sim_disk *disk = sim_node_disk(faults->run->nodes[which]);
  sim_disk_crash_at(disk, sim_disk_operations(disk) + at->ahead, at->point);
  faults->victims[which].crash_mode = at->cuts_power;
}

static bool do_crash_point(struct faults *faults, unsigned which) {
  struct crash_at at = {.ahead = 1 + sim_random_below(&faults->chance, 120)};
  at.point = (enum sim_crash_point)sim_random_below(&faults->chance, 3);
  at.cuts_power = sim_random_below(&faults->chance, 2) == 1;
  faults_crash_at(faults, which, &at);
  return true;
}

static bool do_power_cut_all(struct faults *faults, unsigned which) {
  (void)which;
  for (unsigned i = 0; i < faults->run->plan->nodes; i++) do_power_cut(faults, i);
  return true;
}

static bool do_crash_at_vote(struct faults *faults, unsigned which) {
  if (faults->victims[which].dies_at_vote) return false;
  faults->victims[which].dies_at_vote = true;
  return true;
}
void faults_vote(struct faults *faults, unsigned which) {
  struct victim *victim = &faults->victims[which];
  if (!victim->dies_at_vote || faults->healed) return;
  victim->dies_at_vote = false;
  struct crash_at at = {.ahead = 1 + sim_random_below(&faults->chance, 2), .cuts_power = true};
  at.point = (enum sim_crash_point)sim_random_below(&faults->chance, 3);
  faults_crash_at(faults, which, &at);
}

static bool do_stop(struct faults *faults, unsigned which) {
  if (sim_node_stage(faults->run->nodes[which]) != SIM_NODE_UP || sim_node_paused(faults->run->nodes[which])) return false;
  sim_node_stop(faults->run->nodes[which]);
  return true;
}

static void mend_pause(struct harm *harm) { sim_node_resume(harm->faults->run->nodes[harm->which]); }
static bool do_pause(struct faults *faults, unsigned which) {
  if (sim_node_paused(faults->run->nodes[which])) return false;
  sim_node_pause(faults->run->nodes[which]);
  harm_new(faults, mend_pause, below_ms(faults, 2500))->which = which;
  return true;
}

static void mend_app_pause(struct harm *harm) { sim_process_resume(sim_app_process(harm->faults->run->apps[harm->which])); }
static bool do_app_pause(struct faults *faults, unsigned which) {
  which = (unsigned)sim_random_below(&faults->chance, faults->run->app_count);
  struct sim_process *process = sim_app_process(faults->run->apps[which]);
  if (process->paused) return false;
  sim_process_pause(process);
  harm_new(faults, mend_app_pause, below_ms(faults, 1500))->which = which;
  return true;
}

/* ---- Clocks ---- */

static bool do_clock_jump(struct faults *faults, unsigned which) {
  int64_t by_ms = (int64_t)sim_random_below(&faults->chance, 7200000) - 3600000;
  sim_node_set_clock(faults->run->nodes[which], by_ms, 0);
  return true;
}

static void mend_clock_rate(struct harm *harm) { sim_node_set_clock(harm->faults->run->nodes[harm->which], 0, 0); }
static bool do_clock_rate(struct faults *faults, unsigned which) {
  int32_t rate_ppm = (int32_t)sim_random_below(&faults->chance, 1500000) - 500000;
  sim_node_set_clock(faults->run->nodes[which], 0, rate_ppm);
  harm_new(faults, mend_clock_rate, below_ms(faults, 5000))->which = which;
  return true;
}

/* ---- Disks ---- */

static void mend_slow_disk(struct harm *harm) {
  sim_disk_set_latency(sim_node_disk(harm->faults->run->nodes[harm->which]), NULL);
}
static bool do_slow_disk(struct faults *faults, unsigned which) {
  uint64_t factor = sim_random_chance(&faults->chance, 50) ? 20 : 1000;
  const struct sim_disk_latency latency = {.write_ns = 8000 * factor,
                                           .write_kib_ns = 250 * factor / 10,
                                           .sync_ns = 80000 * factor,
                                           .read_ns = 40000 * factor,
                                           .name_ns = 10000 * factor};
  sim_disk_set_latency(sim_node_disk(faults->run->nodes[which]), &latency);
  harm_new(faults, mend_slow_disk, below_ms(faults, 2000))->which = which;
  return true;
}

/* What was answered before it was durable shows best when durability takes its time. */
static void cut_now(struct harm *harm) {
  mend_slow_disk(harm);
  if (harm->faults->healed) return;
  cut_power(harm->faults, harm->which);
  start_later(harm->faults, harm->which);
}
static bool do_cut_while_slow(struct faults *faults, unsigned which) {
  static const struct sim_disk_latency latency = {
      .write_ns = 2 * MS, .write_kib_ns = 1000, .sync_ns = 5 * MS, .read_ns = 100000, .name_ns = 1 * MS};
  sim_disk_set_latency(sim_node_disk(faults->run->nodes[which]), &latency);
  harm_new(faults, cut_now, below_ms(faults, 200))->which = which;
  return true;
}

static bool do_disk_error(struct faults *faults, unsigned which) {
  static const char *const sentences[] = {
      "fail %u write on journal/*", "fail %u sync on journal/*",  "fail %u write on p/*",   "fail %u sync on p/*",
      "fail %u sync on store.mdb",  "fail %u write on store.mdb", "fail %u sync_dir on *",  "fail %u rename on journal/*",
      "fail %u read on p/*",        "fail %u open on p/*",        "fail %u write on dump/*"};
  char sentence[64];
  const char *drawn = sentences[sim_random_below(&faults->chance, sizeof sentences / sizeof sentences[0])];
  int op = (int)strcspn(drawn, "%");
  snprintf(sentence, sizeof sentence, "%.*s%u%s", op, drawn, 1 + (unsigned)sim_random_below(&faults->chance, 5), drawn + op + 2);
  run_trace(faults->run, "nemesis", "disk of node %u: %s", which, sentence);
  sim_disk_fault(sim_node_disk(faults->run->nodes[which]), sentence);
  faults->run->reads_fail = true;
  faults->victims[which].hurt = true;
  faults->victims[which].kill_at_ns = now_ns(faults) + below_ms(faults, 2000);
  return true;
}

static void mend_disk_full(struct harm *harm) {
  const struct plan *plan = harm->faults->run->plan;
  sim_disk_set_capacity(sim_node_disk(harm->faults->run->nodes[harm->which]), plan->disk_bytes);
}
static bool do_disk_full(struct faults *faults, unsigned which) {
  struct sim_disk *disk = sim_node_disk(faults->run->nodes[which]);
  sim_disk_set_capacity(disk, sim_disk_used(disk) + sim_random_below(&faults->chance, 200000));
  harm_new(faults, mend_disk_full, below_ms(faults, 2000))->which = which;
  return true;
}

/* ---- Networks ---- */

static bool do_reset(struct faults *faults, unsigned which) {
  return sim_net_reset(faults->run->net, sim_node_host(faults->run->nodes[which]), 70) > 0;
}

/* Of several brokers mostly another one, else an application. */
static const struct sim_host *draw_other(struct faults *faults, unsigned which) {
  const struct run *run = faults->run;
  unsigned nodes = run->plan->nodes;
  if (nodes > 1 && sim_random_chance(&faults->chance, 70)) {
    unsigned other = (which + 1 + (unsigned)sim_random_below(&faults->chance, nodes - 1)) % nodes;
    return sim_node_host(run->nodes[other]);
  }
  return sim_app_host(run->apps[sim_random_below(&faults->chance, run->app_count)]);
}

static void draw_link(struct faults *faults, unsigned which, struct harm *harm) {
  const struct sim_host *node = sim_node_host(faults->run->nodes[which]);
  const struct sim_host *other = draw_other(faults, which);
  bool outward = sim_random_chance(&faults->chance, 50);
  harm->from = outward ? node : other;
  harm->to = outward ? other : node;
}

static void set_cut(struct harm *harm, bool cut) {
  struct sim_net *net = harm->faults->run->net;
  struct sim_link link = sim_net_link(net, harm->from, harm->to);
  link.cut = cut;
  sim_net_set_link(net, harm->from, harm->to, link);
  if (!harm->both_ways) return;
  link = sim_net_link(net, harm->to, harm->from);
  link.cut = cut;
  sim_net_set_link(net, harm->to, harm->from, link);
}

static void mend_cut(struct harm *harm) { set_cut(harm, false); }
static bool do_cut(struct faults *faults, unsigned which) {
  struct harm *harm = harm_new(faults, mend_cut, below_ms(faults, 3000));
  draw_link(faults, which, harm);
  harm->both_ways = true;
  set_cut(harm, true);
  return true;
}
static bool do_cut_one_way(struct faults *faults, unsigned which) {
  struct harm *harm = harm_new(faults, mend_cut, below_ms(faults, 3000));
  draw_link(faults, which, harm);
  set_cut(harm, true);
  return true;
}

/* From every other broker, though applications may still reach it. */
static bool do_isolate(struct faults *faults, unsigned which) {
  const struct run *run = faults->run;
  uint64_t for_ns = below_ms(faults, 6000);
  unsigned way = (unsigned)sim_random_below(&faults->chance, 4); /* mostly both ways; deaf; mute */
  for (unsigned i = 0; i < run->plan->nodes; i++) {
    if (i == which) continue;
    struct harm *harm = harm_new(faults, mend_cut, for_ns);
    harm->from = sim_node_host(run->nodes[way == 1 ? i : which]);
    harm->to = sim_node_host(run->nodes[way == 1 ? which : i]);
    harm->both_ways = way > 1;
    set_cut(harm, true);
  }
  return run->plan->nodes > 1;
}

static void set_quality(struct harm *harm, uint64_t latency_ns, uint64_t bytes_per_second, uint32_t loss_per_million) {
  struct sim_net *net = harm->faults->run->net;
  struct sim_link link = sim_net_link(net, harm->from, harm->to);
  link.latency_ns = latency_ns;
  link.jitter_ns = latency_ns;
  link.bytes_per_second = bytes_per_second;
  link.loss_per_million = loss_per_million;
  sim_net_set_link(net, harm->from, harm->to, link);
}
static void mend_slow_link(struct harm *harm) { set_quality(harm, 60000, 0, 0); }
static bool do_slow_link(struct faults *faults, unsigned which) {
  struct harm *harm = harm_new(faults, mend_slow_link, below_ms(faults, 3000));
  draw_link(faults, which, harm);
  uint64_t bytes_per_second = sim_random_chance(&faults->chance, 50) ? 125000 : 0; /* 1 Mbit */
  set_quality(harm, below_ms(faults, 100), bytes_per_second, (uint32_t)sim_random_below(&faults->chance, 50000));
  return true;
}

/* ---- When ---- */

static bool (*const bodies[FAULT_COUNT])(struct faults *faults, unsigned which) = {
#define FAULT_BODY(name, what) [FAULT_##name] = do_##name,
    FAULTS(FAULT_BODY)
#undef FAULT_BODY
};

bool faults_hit(struct faults *faults, enum fault fault, unsigned which) { return bodies[fault](faults, which); }

static bool draw_fault(struct faults *faults, enum fault *out_fault) {
  unsigned enabled = 0;
  for (int i = 0; i < FAULT_COUNT; i++) {
    if (faults->run->plan->faults[i] && sim_random_below(&faults->chance, ++enabled) == 0) *out_fault = (enum fault)i;
  }
  return enabled > 0;
}

static void plan_next(struct faults *faults) {
  uint64_t every_ns = faults->run->plan->fault_every_ns;
  sim_event_set(faults->run->sim, &faults->next, now_ns(faults) + 1 + sim_random_below(&faults->chance, 2 * every_ns));
}

/* Any broker; often one that leads. */
static unsigned draw_victim(struct faults *faults) {
  unsigned which = (unsigned)sim_random_below(&faults->chance, faults->run->plan->nodes);
  bool leader = sim_random_chance(&faults->chance, 40) && faults->run->leader != 0;
  return leader ? faults->run->leader - 1 : which;
}

static void next_fires(struct sim_event *event) {
  struct faults *faults = container_of(event, struct faults, next);
  enum fault fault = FAULT_kill;
  unsigned which = draw_victim(faults);
  if (!faults->calm && draw_fault(faults, &fault) && bodies[fault](faults, which)) {
    faults->counts[fault]++;
    run_trace(faults->run, "nemesis", "%s, node %u", fault_name(fault), which);
  }
  plan_next(faults);
}

/* ---- Rot ---- */

static void plan_rot(struct faults *faults) {
  uint64_t every_ns = 2 * faults->run->plan->fault_every_ns;
  sim_event_set(faults->run->sim, &faults->rot, now_ns(faults) + 1 + sim_random_below(&faults->rot_chance, 2 * every_ns));
}

/* Under a running broker, or while it is down: then its next start meets it. */
static void rot_fires(struct sim_event *event) {
  struct faults *faults = container_of(event, struct faults, rot);
  struct sim_node *node = faults->run->nodes[faults->rots];
  bool at_start = sim_random_chance(&faults->rot_chance, 40);
  if (at_start && sim_node_stage(node) == SIM_NODE_UP && !sim_node_paused(node)) (void)do_kill(faults, faults->rots);
  if (rot_what_others_have(faults->run, &faults->rot_chance, faults->rots)) faults->rotted++;
  plan_rot(faults);
}

static void begin_to_rot(struct faults *faults) {
  if (!faults->run->plan->rots) return;
  sim_random_init(&faults->rot_chance, faults->run->plan->seed, "rot");
  faults->rots = (unsigned)sim_random_below(&faults->rot_chance, faults->run->plan->nodes);
  faults->rot.fire = rot_fires;
  plan_rot(faults);
}

void faults_rot(struct faults *faults, unsigned which) { rot_anything(faults->run, &faults->chance, which); }

/* ---- Those who look after the brokers ---- */

/* A start may fail while its disk does, and at no other time. */
static void look_at_start(struct faults *faults, unsigned which) {
  struct run *run = faults->run;
  const struct sim_node *node = run->nodes[which];
  enum status status = sim_node_status(node);
  if (status == STATUS_OK) return;
  bool excused = faults->victims[which].hurt || run->plan->faults[FAULT_disk_full];
  bool trouble = status == STATUS_IO || status == STATUS_NO_SPACE || status == STATUS_DISK_FULL || status == STATUS_FENCED ||
                 status == STATUS_JOURNAL_FULL;
  if (!excused || !trouble)
    checker_violation(run->checker, "S1 starts", "broker %u does not start: %s: %s", which, status_name(status),
                      sim_node_problem(node));
}

#define IDENTITY_INCARNATION_AT 32u /* log/identity.h */

/* Who has left the cluster is stopped some time, and its disk put to another use. */
static void tend_who_left(struct faults *faults, unsigned which) {
  struct run *run = faults->run;
  struct sim_node *node = run->nodes[which];
  if (!run->gone[which]) return;
  if (sim_node_stage(node) == SIM_NODE_UP && sim_random_chance(&faults->chance, 1)) {
    sim_node_stop(node);
    start_later(faults, which);
  }
  if (sim_node_stage(node) != SIM_NODE_DOWN) return;
  run_trace(run, "nemesis", "node %u left the cluster, and gets an empty disk", which);
  sim_node_erase(node);
  run->gone[which] = false;
}

void faults_gone(struct faults *faults, unsigned which, const char *incarnation) {
  uint8_t bytes[16];
  char own[2 * sizeof bytes + 1];
  if (!sim_disk_peek(sim_node_disk(faults->run->nodes[which]), "identity", IDENTITY_INCARNATION_AT, bytes, sizeof bytes)) return;
  for (size_t i = 0; i < sizeof bytes; i++) snprintf(own + 2 * i, 3, "%02x", bytes[i]);
  if (strcmp(own, incarnation) == 0) faults->run->gone[which] = true;
}

/* Somebody may have put it into another rack meanwhile. */
static void carry(struct faults *faults, unsigned which) {
  const struct plan *plan = faults->run->plan;
  if (!plan->carries || !sim_random_chance(&faults->carried, 30)) return;
  const char *rack = plan_draw_rack(plan, &faults->carried);
  run_trace(faults->run, "nemesis", "node %u is in rack \"%s\" now", which, rack);
  sim_node_set_rack(faults->run->nodes[which], rack);
}

/* Never the other way: once the others have reached a level, who cannot it does not start. */
static void upgrade(struct faults *faults, unsigned which) {
  run_trace(faults->run, "nemesis", "node %u is upgraded", which);
  sim_node_set_feature_level_most(faults->run->nodes[which], 0);
}

static void tend_node(struct faults *faults, unsigned which) {
  struct sim_node *node = faults->run->nodes[which];
  struct victim *victim = &faults->victims[which];
  uint64_t now = now_ns(faults);
  if (victim->spared) return;
  if (victim->hurt && victim->kill_at_ns <= now) {
    run_trace(faults->run, "nemesis", "node %u is killed for its disk", which);
    sim_disk_heal(sim_node_disk(node));
    victim->hurt = false;
    do_kill(faults, which);
  }
  if (sim_node_died(node)) { /* at a crash point */
    run_trace(faults->run, "nemesis", "node %u died in the middle of a disk operation", which);
    sim_disk_crash_at(sim_node_disk(node), 0, SIM_CRASH_BEFORE);
    if (victim->crash_mode == 0) sim_node_kill(node);
    else cut_power(faults, which);
    start_later(faults, which);
  }
  tend_who_left(faults, which);
  if (sim_node_stage(node) != SIM_NODE_DOWN) return;
  if (victim->start_at_ns == 0) {
    look_at_start(faults, which);
    start_later(faults, which);
  }
  if (victim->start_at_ns > now && !faults->healed) return;
  victim->start_at_ns = 0;
  carry(faults, which);
  bool held = sim_node_settings(node)->feature_level_most != 0;
  if (held && sim_random_chance(&faults->chance, 50)) upgrade(faults, which);
  run_trace(faults->run, "nemesis", "node %u starts", which);
  sim_node_start(node);
}

static void tend_fires(struct sim_event *event) {
  struct faults *faults = container_of(event, struct faults, tend);
  for (unsigned i = 0; i < faults->run->plan->nodes; i++) tend_node(faults, i);
  sim_event_set(faults->run->sim, &faults->tend, now_ns(faults) + TEND_NS);
}

/* ---- Calm ---- */

/* What would only come about later does not. */
void faults_calm(struct faults *faults, bool calm) {
  faults->calm = calm;
  for (unsigned i = 0; calm && i < faults->run->plan->nodes; i++) {
    faults->victims[i].dies_at_vote = false;
    if (!sim_node_died(faults->run->nodes[i])) sim_disk_crash_at(sim_node_disk(faults->run->nodes[i]), 0, SIM_CRASH_BEFORE);
  }
}

bool faults_is_calm(struct faults *faults) {
  if (!list_empty(&faults->harms)) return false;
  for (unsigned i = 0; i < faults->run->plan->nodes; i++) {
    const struct sim_node *node = faults->run->nodes[i];
    if (faults->victims[i].hurt || sim_node_stage(node) != SIM_NODE_UP || sim_node_died(node)) return false;
  }
  return true;
}

void faults_spare(struct faults *faults, unsigned which, bool spared) {
  faults->victims[which].spared = spared;
  if (!spared) start_later(faults, which); /* if it is down then */
}

/* ---- Life ---- */

struct faults *faults_new(struct run *run) {
  struct faults *faults = NEW(struct faults);
  faults->run = run;
  sim_random_init(&faults->chance, run->plan->seed, "faults");
  sim_random_init(&faults->carried, run->plan->seed, "carried");
  list_init(&faults->harms);
  faults->next.fire = next_fires;
  faults->tend.fire = tend_fires;
  plan_next(faults);
  begin_to_rot(faults);
  sim_event_set(run->sim, &faults->tend, now_ns(faults) + TEND_NS);
  return faults;
}

void faults_heal(struct faults *faults) {
  faults->healed = true;
  sim_event_cancel(faults->run->sim, &faults->next);
  sim_event_cancel(faults->run->sim, &faults->rot);
  for (struct list_node *node; (node = list_first(&faults->harms)) != NULL;) harm_end(list_entry(node, struct harm, node));
  for (unsigned i = 0; i < faults->run->plan->nodes; i++) {
    sim_disk_crash_at(sim_node_disk(faults->run->nodes[i]), 0, SIM_CRASH_BEFORE);
    if (faults->victims[i].hurt) faults->victims[i].kill_at_ns = now_ns(faults);
  }
  run_trace(faults->run, "nemesis", "everything heals");
}

void faults_stop_tending(struct faults *faults) { sim_event_cancel(faults->run->sim, &faults->tend); }

void faults_free(struct faults *faults) {
  if (faults == NULL) return;
  PRE(list_empty(&faults->harms));
  sim_event_cancel(faults->run->sim, &faults->next);
  sim_event_cancel(faults->run->sim, &faults->rot);
  sim_event_cancel(faults->run->sim, &faults->tend);
  memory_free(faults);
}

uint64_t faults_count(const struct faults *faults, enum fault fault) { return faults->counts[fault]; }

uint64_t faults_total(const struct faults *faults) {
  uint64_t total = faults->rotted;
  for (int i = 0; i < FAULT_COUNT; i++) total += faults->counts[i];
  return total;
}
