#include "tests/sim/plan.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "tests/sim/points.h"
#include "tests/sim/sim_random.h"

#define KIB ((uint64_t)1024)
#define MIB (KIB * 1024)
#define MS ((uint64_t)1000000)

const char *fault_name(enum fault fault) {
  static const char *const names[] = {
#define FAULT_NAME(name, what) [FAULT_##name] = #name,
      FAULTS(FAULT_NAME)
#undef FAULT_NAME
  };
  return names[fault];
}

const char *aim_name(enum aim_kind kind) {
  static const char *const names[] = {
#define AIM_NAME(name, fault, what) [AIM_##name] = #name,
      AIMS(AIM_NAME)
#undef AIM_NAME
  };
  return names[kind];
}

const char *plan_kind_option(enum plan_kind kind) {
  static const char *const options[] = {
      [PLAN_ANY] = "", [PLAN_ROT] = " --rot", [PLAN_CONTROLLER] = " --controller", [PLAN_POINTS] = " --points"};
  return options[kind];
}

static uint64_t pick(struct sim_random *random, const uint64_t *values, size_t count) {
  return values[sim_random_below(random, count)];
}
#define PICK(random, ...) \
  pick((random), (const uint64_t[]){__VA_ARGS__}, sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))

static void draw_options(struct plan *plan, struct sim_random *random) {
  struct options *options = &plan->options;
  options_init(options);
  options->insecure = true;
  options->lanes = PICK(random, 1, 1, 2, 3);
  options->readers = PICK(random, 1, 2);
  options->append_gather_ms = PICK(random, 0, 0, 2); /* without, more is under way side by side */
  options->journal_file_bytes = PICK(random, 256 * KIB, 512 * KIB, MIB);
  options->journal_bytes = options->journal_file_bytes * PICK(random, 6, 8);
  options->journal_group_bytes = PICK(random, 64 * KIB, 128 * KIB, 256 * KIB);
  options->journal_idle_close_ms = PICK(random, 1, 20, 200);
  options->checkpoint_interval_ms = PICK(random, 20, 200, 1000, 60000);
  options->store_bytes_max = 64 * MIB;
  options->disk_reserve_bytes = PICK(random, 0, MIB);
  options->memory_bytes = PICK(random, 16 * MIB, 64 * MIB);
  options->tail_cache_bytes = PICK(random, 0, 16 * KIB, MIB);
  options->waiters_max = PICK(random, 2, 8, 4096);
  options->append_stall_ms = PICK(random, 0, 50, 5000);
  options->drain_ms = PICK(random, 100, 1000);
  options->retention_check_interval_ms = PICK(random, 100, 1000, 30000);
  options->calls_max = PICK(random, 64, 200, 20000);
  options->peer_share_percent = PICK(random, 50, 100);
  options->message_wait_ms = PICK(random, 300, 2000, 10000);
}

static void draw_workload(struct plan *plan, struct sim_random *random) {
  plan->topics_max = (unsigned)PICK(random, 1, 2, 4);
  plan->partitions_max = (unsigned)PICK(random, 1, 2, 4);
  plan->appenders = (unsigned)PICK(random, 1, 2, 3);
  plan->producers = (unsigned)PICK(random, 0, 1, 2);
  plan->readers = (unsigned)PICK(random, 0, 1, 2);
  plan->tailers = (unsigned)PICK(random, 0, 1, 1, 2);
  plan->admins = (unsigned)PICK(random, 0, 1);
  plan->record_bytes_max = (uint32_t)PICK(random, 64, 64, 256, 1 * KIB, 1 * KIB, 8 * KIB, 48 * KIB);
  plan->batch_records_max = (uint32_t)PICK(random, 1, 2, 8);
  plan->conditional = sim_random_chance(random, 40);
  plan->asks = sim_random_chance(random, 25);
  plan->trims = sim_random_chance(random, 40);
  plan->deletes = sim_random_chance(random, 30);
  plan->retains = sim_random_chance(random, 25);
  plan->compressed = sim_random_chance(random, 25);
  plan->impatient = sim_random_chance(random, 30);
  plan->named = sim_random_chance(random, 60);
  plan->named_alike = sim_random_chance(random, 30);
  plan->think_ns = PICK(random, 5 * MS, 20 * MS, 60 * MS);
  plan->burst = PICK(random, 4, 16, 64);
  plan->pause_ns = plan->burst * plan->apps * (plan->appenders + plan->producers) * PICK(random, 15 * MS, 30 * MS, 60 * MS);
  plan->wait_ms = PICK(random, 100, 1000, 3000);
}

/* Soon, so that what comes back has its leaderships taken from it again while it has hardly begun. */
static void draw_leaders(struct plan *plan, struct sim_random *random) {
  struct options *options = &plan->options;
  options->preferred_leaders = sim_random_chance(random, 70) ? PREFERRED_LEADERS_ON : PREFERRED_LEADERS_OFF;
  options->preferred_leaders_after_ms = PICK(random, 100, 500, 3000, 30000);
  options->preferred_leaders_hold_ms = PICK(random, 0, 1000, 10000, 3600000);
  plan->transfers = plan->nodes > 1 && sim_random_chance(random, 35);
}

/* Of several brokers one rots while things break, and the others have what it loses: so each partition is on all of them, and stays there. Anything on
 * any of them may cost what nobody has: that is for one broker alone, at the end. */
static void draw_rot_of_clusters(struct plan *plan) {
  struct sim_random random;
  sim_random_init(&random, plan->seed, "rots");
  plan->rots = !plan->moves && !plan->copies && sim_random_chance(&random, 40);
  if (plan->rots) plan->replicas_min = plan->replicas_max;
}

static void draw_racks(struct plan *plan) {
  struct sim_random random;
  sim_random_init(&random, plan->seed, "racks");
  bool any = plan->nodes > 1 && sim_random_chance(&random, 50);
  plan->racks = any ? (unsigned)PICK(&random, 2, 2, 3) : 0;
  plan->carries = any && sim_random_chance(&random, 40);
}

const char *plan_draw_rack(const struct plan *plan, struct sim_random *random) {
  static const char *const names[] = {"a", "b", "c"};
  if (plan->racks == 0 || sim_random_chance(random, 10)) return "";
  return names[sim_random_below(random, plan->racks)];
}

/* Level 2 is all there is beyond 1: where somebody is held back somebody asks for it, or all do by themselves. Not where brokers leave: one that is gone
 * holds nobody back, and may be told of the new level for a moment still. */
static void draw_levels(struct plan *plan, struct sim_random *random) {
  if (plan->nodes == 1 || plan->leaves || !sim_random_chance(random, 35)) return;
  plan->held = 1 + (unsigned)sim_random_below(random, (1u << plan->nodes) - 1);
  plan->options.auto_upgrade = sim_random_chance(random, 40);
}

static void draw_moves(struct plan *plan, struct sim_random *random) {
  plan->disk_bytes *= 4;                                       /* for what is about to leave, beside what comes */
  plan->options.replace_after_ms = PICK(random, 0, 400, 2000); /* less than some faults last */
  plan->options.catch_up_bytes_per_second = plan->record_bytes_max <= KIB ? 4 * MIB : 32 * MIB; /* slow where there is little */
}

/* Everything that admins can want, and little else, so that a seed is cheap: a few records in every partition say what a move has lost. */
static void draw_work_of_admins(struct plan *plan, struct sim_random *random) {
  plan->apps = (unsigned)PICK(random, 1, 2, 2);
  plan->topics_max = (unsigned)PICK(random, 2, 3, 4);
  plan->partitions_max = (unsigned)PICK(random, 1, 2);
  plan->appenders = 1;
  plan->producers = (unsigned)PICK(random, 0, 0, 1);
  plan->readers = (unsigned)PICK(random, 0, 0, 1);
  plan->tailers = (unsigned)PICK(random, 0, 0, 1);
  plan->watchers = (unsigned)PICK(random, 0, 0, 1);
  plan->bystands = plan->compressed = plan->retains = plan->asks = false;
  plan->record_bytes_max = (uint32_t)PICK(random, 64, 256, KIB);
  plan->batch_records_max = (uint32_t)PICK(random, 1, 2);
  plan->think_ns = PICK(random, 20 * MS, 60 * MS);
  plan->burst = PICK(random, 4, 16);
  plan->pause_ns = plan->burst * plan->apps * (plan->appenders + plan->producers) * PICK(random, 60 * MS, 120 * MS);
  plan->deletes = plan->grows = plan->moves = plan->transfers = true;
  plan->trims = false;
  plan->leaves = plan->nodes > 2 && sim_random_chance(random, 75);
  plan->replicas_max = plan->leaves ? plan->nodes - 1 : plan->nodes;
  if (plan->leaves) plan->held = 0;
}

static void draw_controller(struct plan *plan) {
  struct sim_random random;
  sim_random_init(&random, plan->seed, "controller");
  if (!plan->moves) draw_moves(plan, &random);
  draw_work_of_admins(plan, &random);
  plan->safety_ns = PICK(&random, 8000, 12000, 20000) * MS;
  plan->fault_every_ns = PICK(&random, 1500, 5000) * MS;
  for (int i = 0; i < FAULT_COUNT; i++) plan->faults[i] = plan->faults[i] && sim_random_chance(&random, 25);
  for (int i = 0; i < AIM_COUNT; i++) plan->aims[i] = sim_random_chance(&random, 50);
  plan->aims[sim_random_below(&random, AIM_COUNT)] = true;
  plan->aim_every_ns = PICK(&random, 300, 800, 2000) * MS;
  plan->copies = plan->rot_at_end = false;
  plan->stop_at_end = !plan->cut_at_end; /* the last start tells what is left of what is no more */
  plan->options.checkpoint_interval_ms = PICK(&random, 20, 200, 1000);
  plan->options.auto_balance = sim_random_chance(&random, 30);
}

/* Nobody but who tells the story and who appends, and nothing that breaks by chance. */
static void draw_points(struct plan *plan) {
  struct sim_random random;
  sim_random_init(&random, plan->seed, "points");
  if (!plan->moves) draw_moves(plan, &random);
  draw_work_of_admins(plan, &random);
  memset(plan->faults, 0, sizeof plan->faults);
  plan->apps = plan->topics_max = plan->partitions_max = 1;
  plan->producers = plan->readers = plan->tailers = plan->watchers = 0;
  plan->replicas_min = plan->replicas_max = 2;
  plan->leaves = plan->copies = plan->rot_at_end = plan->impatient = false;
  plan->options.auto_balance = false;
  plan->safety_ns = 0; /* until it is told */
  plan->think_ns = 60 * MS;
  plan->burst = 1000;
  plan->options.replace_after_ms = 0;
  plan->options.checkpoint_interval_ms = PICK(&random, 20, 200, 1000);
  plan->cut_at_end = true;
  plan->stop_at_end = false;
}

void plan_draw(struct plan *plan, uint64_t seed, unsigned nodes, enum plan_kind kind) {
  struct sim_random random;
  memset(plan, 0, sizeof *plan);
  plan->point = seed;
  if (kind == PLAN_POINTS) seed /= POINTS_STORY;
  plan->seed = seed;
  plan->kind = kind;
  sim_random_init(&random, seed, "plan");
  plan->nodes = nodes > 0 ? nodes : 1;
  plan->replicas_min = 1;
  plan->replicas_max = plan->nodes;
  plan->apps = (unsigned)PICK(&random, 1, 2, 3);
  plan->safety_ns = PICK(&random, 15000, 30000, 60000, 90000) * MS;
  plan->fault_every_ns = PICK(&random, 500, 1500, 5000) * MS;
  for (int i = 0; i < FAULT_COUNT; i++) {
    if (plan->nodes == 1 && (i == FAULT_isolate || i == FAULT_power_cut_all || i == FAULT_crash_at_vote)) continue;
    plan->faults[i] = sim_random_chance(&random, 40);
  }
  plan->cut_at_end = sim_random_chance(&random, 60);
  plan->stop_at_end = !plan->cut_at_end && sim_random_chance(&random, 50);
  plan->rot_at_end = sim_random_chance(&random, 25);
  plan->rpc.window_bytes = (size_t)PICK(&random, 4 * KIB, 64 * KIB, MIB);
  plan->rpc.release_ns_max = PICK(&random, 10000, 1 * MS, 50 * MS);
  plan->disk_bytes = 128 * MIB;
  sim_random_init(&random, seed, "options");
  draw_options(plan, &random);
  sim_random_init(&random, seed, "workload");
  draw_workload(plan, &random);
  sim_random_init(&random, seed, "moves");
  plan->moves = plan->nodes > 1 && sim_random_chance(&random, 30);
  if (plan->moves) draw_moves(plan, &random);
  sim_random_init(&random, seed, "leaders");
  draw_leaders(plan, &random);
  sim_random_init(&random, seed, "watches");
  plan->watchers = (unsigned)PICK(&random, 0, 1, 1, 2);
  plan->bystands = sim_random_chance(&random, 30);
  plan->options.map_history_changes = PICK(&random, 16, 16, 64, 16384);
  plan->options.map_watches_max = PICK(&random, 2, 8, 1024);
  sim_random_init(&random, seed, "balances");
  plan->options.auto_balance = plan->moves && sim_random_chance(&random, 40);
  plan->options.balance_after_ms = 1000;
  sim_random_init(&random, seed, "grows");
  plan->grows = sim_random_chance(&random, 30);
  sim_random_init(&random, seed, "leaves");
  plan->leaves = plan->moves && plan->nodes > 2 && sim_random_chance(&random, 60);
  /* One can leave only where the others are enough for every partition. */
  if (plan->leaves) plan->replicas_max = 1 + (unsigned)sim_random_below(&random, plan->nodes - 1);
  sim_random_init(&random, seed, "levels");
  draw_levels(plan, &random);
  sim_random_init(&random, seed, "copies");
  plan->copies = plan->nodes > 1 && !plan->leaves && sim_random_chance(&random, 30);
  if (plan->nodes > 1) plan->rot_at_end = false;
  draw_racks(plan);
  if (plan->nodes > 1 && kind == PLAN_ROT) draw_rot_of_clusters(plan);
  if (kind == PLAN_CONTROLLER) draw_controller(plan);
  if (kind == PLAN_POINTS) draw_points(plan);
}

void plan_print(const struct plan *plan, char *into, size_t size) {
  int at = snprintf(into, size, "nodes=%u apps=%u safety=%.0fs faults=", plan->nodes, plan->apps, (double)plan->safety_ns / 1e9);
  for (int i = 0; i < FAULT_COUNT; i++) {
    if (!plan->faults[i] || at < 0 || (size_t)at >= size) continue;
    at += snprintf(into + at, size - (size_t)at, "%s,", fault_name((enum fault)i));
  }
  for (int i = 0; i < AIM_COUNT; i++) {
    if (!plan->aims[i] || at < 0 || (size_t)at >= size) continue;
    at += snprintf(into + at, size - (size_t)at, "%s,", aim_name((enum aim_kind)i));
  }
  if (plan->rots && at > 0 && (size_t)at < size) at += snprintf(into + at, size - (size_t)at, "rot,");
  if (at < 0 || (size_t)at >= size) return;
  at += snprintf(into + at, size - (size_t)at, "%s%s", plan->copies ? "copies," : "", plan->held != 0 ? "upgrades," : "");
  if ((size_t)at >= size) return;
  if (plan->racks > 0) at += snprintf(into + at, size - (size_t)at, " racks=%u%s", plan->racks, plan->carries ? "+" : "");
  if ((size_t)at >= size) return;
  snprintf(into + at, size - (size_t)at, " lanes=%llu checkpoint=%llums file=%lluKiB", (unsigned long long)plan->options.lanes,
           (unsigned long long)plan->options.checkpoint_interval_ms, (unsigned long long)plan->options.journal_file_bytes / 1024);
}
