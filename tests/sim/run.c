#include "tests/sim/run.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/memory.h"
#include "base/trace.h"
#include "security/random.h"
#include "tests/sim/aim.h"
#include "tests/sim/claims.h"
#include "tests/sim/copies.h"
#include "tests/sim/faults.h"
#include "tests/sim/map_places.h"
#include "tests/sim/map_truth.h"
#include "tests/sim/points.h"
#include "tests/sim/told.h"
#include "tests/sim/workload.h"

#define PEER_PORT 7412u
#define SECOND_NS ((uint64_t)1000000000)
#define BOOT_NS (20 * SECOND_NS)
#define HEAL_NS (30 * SECOND_NS)   /* I17: after so long everything works again */
#define TURN_NS (30 * SECOND_NS)   /* and after so long more an append to every partition was answered OK */
#define FINISH_NS (60 * SECOND_NS) /* a client's last call, retries included */
#define READ_NS (120 * SECOND_NS)
#define STORY_NS (60 * SECOND_NS)
#define QUIET_NS (2 * SECOND_NS)      /* since the map has changed: until then what it said may not be done */
#define OLD_LEADER_NS (3 * SECOND_NS) /* in which a leader that hears of no majority gives up */

/* ---- Time that counts ---- */

void run_call_begin(struct run *run) {
  run->calls++;
  if (run->outstanding++ == 0) run->outstanding_since_ns = sim_now_ns(run->sim);
}

void run_call_end(struct run *run) {
  CHECK(run->outstanding > 0);
  if (--run->outstanding == 0) run->counted_ns += sim_now_ns(run->sim) - run->outstanding_since_ns;
  sim_note(run->sim, 80, run->calls, run->outstanding);
}

void run_trace(struct run *run, const char *who, const char *format, ...) {
  if (run->trace == TRACE_NOTHING) return;
  va_list arguments;
  printf("%11.6f %-16s ", (double)sim_now_ns(run->sim) / 1e9, who);
  va_start(arguments, format);
  vprintf(format, arguments);
  va_end(arguments);
  putchar('\n');
}

void run_servers(const struct run *run, unsigned first, char out_servers[RUN_SERVERS_SIZE]) {
  int at = 0;
  for (unsigned i = 0; i < run->plan->nodes; i++) {
    const struct sim_node *node = run->nodes[(first + i) % run->plan->nodes];
    at += snprintf(out_servers + at, RUN_SERVERS_SIZE - (size_t)at, "%s%s", i > 0 ? "," : "", sim_node_address(node));
    CHECK(at > 0 && (unsigned)at < RUN_SERVERS_SIZE);
  }
}

static void trace_broker(void *context, const char *line) {
  struct run *run = context;
  told_line(run, line);
  run_trace(run, "log", "%s", line);
}

/* ---- Phases ---- */

struct until {
  struct run *run;
  bool (*reached)(struct run *run);
};

static bool failed_or_reached(void *context) {
  const struct until *until = context;
  return checker_failed(until->run->checker, NULL) != NULL || until->reached(until->run);
}

/* False when it failed, or took too long, which is a failure of this name. */
static bool go_on_until(struct run *run, bool (*reached)(struct run *run), uint64_t for_ns, const char *check, const char *what) {
  struct until until = {.run = run, .reached = reached};
  sim_run_until(run->sim, failed_or_reached, &until, sim_now_ns(run->sim) + for_ns);
  if (checker_failed(run->checker, NULL) == NULL && !reached(run))
    checker_violation(run->checker, check, "%s took longer than %" PRIu64 " s", what, for_ns / SECOND_NS);
  return checker_failed(run->checker, NULL) == NULL;
}

static bool all_are(struct run *run, enum sim_node_stage stage) {
  for (unsigned i = 0; i < run->plan->nodes; i++) {
    if (sim_node_stage(run->nodes[i]) != stage) return false;
  }
  return true;
}

static bool all_up(struct run *run) { return all_are(run, SIM_NODE_UP); }

/* Each broker that left is there again, with an empty directory. */
static bool all_back(struct run *run) {
  for (unsigned i = 0; i < run->plan->nodes; i++) {
    if (run->gone[i]) return false;
  }
  return all_up(run);
}

static bool all_quiet(struct run *run) {
  if (!copies_quiet(run->copies)) return false;
  for (unsigned i = 0; i < run->plan->nodes; i++) {
    if (!sim_node_quiet(run->nodes[i])) return false;
  }
  return true;
}

static bool threads_over(struct run *run) {
  for (unsigned i = 0; i < run->app_count; i++) {
    if (!sim_app_threads_over(run->apps[i])) return false;
  }
  return true;
}

static bool never(struct run *run) {
  (void)run;
  return false;
}

static void let_things_break(struct run *run) {
  struct until until = {.run = run, .reached = never};
  run->faults = faults_new(run);
  run->aim = aim_new(run, run->faults);
  run->points = points_new(run);
  if (run->plan->copies) run->copies = copies_new(run, run->faults);
  sim_run_until(run->sim, failed_or_reached, &until, sim_now_ns(run->sim) + run->plan->safety_ns);
}

static bool story_told(struct run *run) { return points_over(run->points); }

/* ---- What looks at the end, on an application of its own for each broker: so that each tells what it has itself ---- */

struct inspector {
  struct worker worker;
  bool done;
  char why[300];
};

static struct inspector inspectors[PLAN_NODES_MAX];

static void probe(void *context) {
  struct inspector *inspector = context;
  while (!workload_probe(&inspector->worker)) sim_app_sleep(inspector->worker.app, 10000000);
  inspector->done = true;
}

/* Until nobody is to leave any more, as whoever leads the map has it: an old leader has noticed that it is none by the first look. */
static void see_them_leave(void *context) {
  struct inspector *inspector = context;
  struct worker *worker = &inspector->worker;
  const struct run *run = worker->run;
  const bool *gone = &run->gone[inspector - inspectors];
  sim_app_sleep(worker->app, OLD_LEADER_NS);
  while (!*gone && (run->wishes > 0 || workload_some_leave(worker))) {
    sim_app_sleep(worker->app, 50000000);
    (void)workload_look_at_brokers(worker); /* who is gone is told to the nemesis */
  }
  inspector->done = true;
}

static void read_all(void *context) {
  struct inspector *inspector = context;
  if (!workload_read_all(&inspector->worker, inspector->why, sizeof inspector->why))
    checker_violation(inspector->worker.run->checker, "L1 acked-durable", "after everything healed: %s", inspector->why);
  if (!inspector->worker.run->rotten && !workload_watch_all(&inspector->worker))
    checker_violation(inspector->worker.run->checker, "M2 watched-map", "a broker does not tell all of its map to a watcher");
  inspector->done = true;
}

static bool inspectors_done(struct run *run) {
  for (unsigned i = 0; i < run->plan->nodes; i++) {
    if (!inspectors[i].done) return false;
  }
  return true;
}

static void add_inspectors(struct run *run) {
  for (unsigned i = 0; i < run->plan->nodes; i++) {
    char host[SIM_HOST_NAME_SIZE];
    snprintf(host, sizeof host, "10.0.2.%u", i + 1);
    const struct cairn_client_options options = {.servers = sim_node_address(run->nodes[i]), .call_timeout_ms = 20000};
    struct sim_app *app = sim_app_new(run->sim, run->net, host, &options, &run->plan->rpc);
    run->apps[run->app_count++] = app;
    inspectors[i] = (struct inspector){.worker = {.run = run, .app = app, .client = sim_app_client(app), .name = "inspector"}};
    sim_random_init(&inspectors[i].worker.chance, run->plan->seed, "inspector");
  }
}

static bool inspect(struct run *run, void (*body)(void *inspector), uint64_t for_ns, const char *check, const char *what) {
  for (unsigned i = 0; i < run->plan->nodes; i++) {
    inspectors[i].done = false;
    sim_app_thread(inspectors[i].worker.app, "inspector", body, &inspectors[i]);
  }
  return go_on_until(run, inspectors_done, for_ns, check, what);
}

/* ---- The story ---- */

/* What is given up the journal forgets at once, and its directory goes with the next checkpoint. */
static bool nothing_left(struct run *run) {
  if (sim_now_ns(run->sim) - run->map_changed_ns < QUIET_NS) return false;
  for (unsigned i = 0; i < run->plan->nodes; i++) {
    if (!map_places_are_all(run->places, i + 1, sim_node_disk(run->nodes[i]))) return false;
  }
  return true;
}

/* Only where checkpoints come soon. */
static bool sweep(struct run *run) {
  if (run->plan->kind != PLAN_CONTROLLER && run->plan->kind != PLAN_POINTS) return true;
  if (!go_on_until(run, nothing_left, HEAL_NS, "M7 nothing-left", "the removal of replicas that are no more")) return false;
  run->swept_version = map_truth_newest(run->truth);
  return true;
}

static bool restart_all(struct run *run) {
  for (unsigned i = 0; i < run->plan->nodes; i++) {
    if (run->plan->cut_at_end) sim_node_cut_power(run->nodes[i], SIM_POWER_DROP, 77);
    else sim_node_stop(run->nodes[i]);
  }
  run_trace(run, "nemesis", run->plan->cut_at_end ? "the power of all goes" : "all are stopped");
  return go_on_until(run, all_up, HEAL_NS, "I17 convergence", "the start of all brokers");
}

/* Who left is stopped, and the nemesis starts it anew. */
static bool let_leave(struct run *run) {
  if (!run->plan->leaves) return true;
  if (!inspect(run, see_them_leave, TURN_NS, "I17 convergence", "the leaving of brokers")) return false;
  for (unsigned i = 0; i < run->plan->nodes; i++) {
    if (run->gone[i] && sim_node_stage(run->nodes[i]) == SIM_NODE_UP) sim_node_stop(run->nodes[i]);
  }
  return go_on_until(run, all_back, HEAL_NS, "I17 convergence", "the coming back of brokers that left");
}

static bool all_down(struct run *run) { return all_are(run, SIM_NODE_DOWN); }

/* A broker that refuses to start has told what it found. */
static bool all_up_or_refused(struct run *run) {
  for (unsigned i = 0; i < run->plan->nodes; i++) {
    bool refused = sim_node_stage(run->nodes[i]) == SIM_NODE_DOWN && sim_node_status(run->nodes[i]) != STATUS_OK;
    if (sim_node_stage(run->nodes[i]) != SIM_NODE_UP && !refused) return false;
  }
  return true;
}

/* False: it is over, one way or the other. */
static bool rot_all(struct run *run) {
  faults_stop_tending(run->faults);
  for (unsigned i = 0; i < run->plan->nodes; i++) sim_node_stop(run->nodes[i]);
  if (!go_on_until(run, all_down, FINISH_NS, "I17 convergence", "the stop of all brokers")) return false;
  run->rotten = true;
  for (unsigned i = 0; i < run->plan->nodes; i++) faults_rot(run->faults, i);
  for (unsigned i = 0; i < run->plan->nodes; i++) sim_node_start(run->nodes[i]);
  if (!go_on_until(run, all_up_or_refused, HEAL_NS, "I17 convergence", "the start over rot")) return false;
  for (unsigned i = 0; i < run->plan->nodes; i++) {
    enum status status = sim_node_status(run->nodes[i]);
    if (status == STATUS_OK) continue;
    run_trace(run, "nemesis", "node %u refuses: %s: %s", i, status_name(status), sim_node_problem(run->nodes[i]));
    bool named = status == STATUS_DAMAGED || status == STATUS_FOREIGN || status == STATUS_CORRUPT;
    if (!named)
      checker_violation(run->checker, "L6 rot-is-named", "broker %u does not start: %s: %s", i, status_name(status),
                        sim_node_problem(run->nodes[i]));
    return false;
  }
  return true;
}

static void tell(struct run *run) {
  const struct plan *plan = run->plan;
  for (unsigned i = 0; i < plan->nodes; i++) sim_node_start(run->nodes[i]);
  if (!go_on_until(run, all_up, BOOT_NS, "S1 starts", "the first start")) return;
  for (unsigned i = 0; i < plan->apps; i++) workload_add_app(run, i);
  let_things_break(run);
  if (!go_on_until(run, story_told, STORY_NS, "I17 convergence", "the reassignment")) return;
  copies_end(run->copies);
  aim_end(run->aim);
  faults_heal(run->faults);
  run->healed = true;
  add_inspectors(run);
  if (!go_on_until(run, all_up, HEAL_NS, "I17 convergence", "the start of all brokers")) return;
  if (!let_leave(run)) return;
  if (!inspect(run, probe, TURN_NS, "I17 convergence", "an append to every partition")) return;
  run->stopping = true;
  run->reads_fail = false;
  if (!go_on_until(run, threads_over, FINISH_NS, "I17 convergence", "the end of all applications")) return;
  if (!inspect(run, read_all, READ_NS, "I17 convergence", "reading everything")) return;
  if (!sweep(run)) return;
  if ((plan->cut_at_end || plan->stop_at_end) && !restart_all(run)) return;
  bool again = plan->cut_at_end || plan->stop_at_end;
  if (again && !inspect(run, read_all, READ_NS, "I17 convergence", "reading everything again")) return;
  if (!plan->rot_at_end || !rot_all(run)) return;
  inspect(run, read_all, READ_NS, "I17 convergence", "reading what rot has left");
}

static void trace_disk(void *context, const char *line) { run_trace(context, "disk", "%s", line); }

static void name_peers(const struct plan *plan, unsigned self, struct options *options) {
  size_t at = 0;
  snprintf(options->peer_listen, sizeof options->peer_listen, "10.0.0.%u:%u", self + 1, PEER_PORT);
  for (unsigned i = 0; i < plan->nodes; i++) {
    int size =
        snprintf(options->join + at, sizeof options->join - at, "%s%u=10.0.0.%u:%u", i > 0 ? "," : "", i + 1, i + 1, PEER_PORT);
    CHECK(size > 0 && (size_t)size < sizeof options->join - at);
    at += (size_t)size;
  }
}

static struct run *run_new(const struct plan *plan, enum run_trace trace) {
  struct run *run = NEW(struct run);
  run->plan = plan;
  run->trace = trace;
  run->sim = sim_new(plan->seed);
  run->net = sim_net_new(run->sim);
  run->checker = checker_new(plan->seed);
  run->truth = map_truth_new(run->checker);
  run->places = map_places_new(run->checker);
  run->claims = claims_new(run->checker);
  run->operations = operations_new(run);
  sim_random_init(&run->chance, plan->seed, "run");
  struct sim_random racks;
  sim_random_init(&racks, plan->seed, "which rack");
  for (unsigned i = 0; i < plan->nodes; i++) {
    char host[SIM_HOST_NAME_SIZE];
    snprintf(host, sizeof host, "10.0.0.%u", i + 1);
    struct sim_node_options options = {.host = host, .disk_bytes = plan->disk_bytes, .options = plan->options, .rpc = plan->rpc};
    options.options.broker_id = i + 1;
    options.options.feature_level_most = (plan->held >> i) & 1;
    if (plan->nodes > 1) name_peers(plan, i, &options.options);
    snprintf(options.options.rack, sizeof options.options.rack, "%s", plan_draw_rack(plan, &racks));
    run->nodes[i] = sim_node_new(run->sim, run->net, &options);
    if (trace == TRACE_DISKS) sim_disk_set_trace(sim_node_disk(run->nodes[i]), trace_disk, run);
  }
  return run;
}

/* Brokers end as they should. */
static void stop_all(struct run *run) {
  points_free(run->points);
  run->points = NULL;
  aim_free(run->aim);
  run->aim = NULL;
  faults_free(run->faults);
  run->faults = NULL;
  for (unsigned i = 0; i < run->plan->nodes; i++) {
    if (sim_node_stage(run->nodes[i]) == SIM_NODE_UP) sim_node_stop(run->nodes[i]);
  }
  go_on_until(run, all_quiet, FINISH_NS, "I17 convergence", "the end of all brokers");
}

static void run_free(struct run *run) {
  for (unsigned i = 0; i < run->app_count; i++) sim_app_free(run->apps[i]);
  for (unsigned i = 0; i < run->worker_count; i++) memory_free(run->workers[i]);
  copies_free(run->copies);
  for (unsigned i = 0; i < run->plan->nodes; i++) sim_node_free(run->nodes[i]);
  sim_net_free(run->net);
  map_truth_free(run->truth);
  map_places_free(run->places);
  claims_free(run->claims);
  operations_free(run->operations);
  checker_free(run->checker);
  sim_free(run->sim);
  memory_free(run);
}

static void fill_result(struct run *run, struct run_result *result) {
  const char *what = NULL;
  const char *check = checker_failed(run->checker, &what);
  result->failed = check != NULL;
  if (check != NULL) {
    snprintf(result->check, sizeof result->check, "%s", check);
    snprintf(result->what, sizeof result->what, "%s", what);
  }
  result->at_s = (double)sim_now_ns(run->sim) / 1e9;
  result->virtual_ns = sim_now_ns(run->sim);
  result->counted_ns = run->counted_ns;
  result->acked = run->acked;
  result->records = checker_acked(run->checker);
  result->refused = checker_refused(run->checker);
  result->unknown = checker_unknown(run->checker);
  result->calls = run->calls;
  result->leader_changes = run->leader_changes;
  result->hash = sim_hash(run->sim) ^ checker_hash(run->checker);
  result->restarts = 0;
  for (unsigned i = 0; i < run->plan->nodes; i++) result->restarts += sim_node_starts(run->nodes[i]) - 1;
  memcpy(result->operations, operations_counts(run->operations), sizeof result->operations);
  if (run->faults == NULL) return;
  result->point_operations = points_operations(run->points);
  result->point_messages = points_messages(run->points);
  result->controller_faults = aim_total(run->aim);
  result->faults = faults_total(run->faults) + result->controller_faults + points_hit(run->points);
  for (int i = 0; i < FAULT_COUNT; i++) result->fault_kinds |= (uint64_t)(faults_count(run->faults, (enum fault)i) > 0) << i;
}

void run_seed(const struct plan *plan, enum run_trace trace, struct run_result *out_result) {
  *out_result = (struct run_result){.seed = plan->point};
  CHECK(random_start() == STATUS_OK); /* the first time it draws something for itself */
  random_use_seed(plan->seed);
  struct run *run = run_new(plan, trace);
  trace_set_sink(trace_broker, run);
  told_listen(run);
  tell(run);
  fill_result(run, out_result);
  if (!out_result->failed) {
    stop_all(run);
    fill_result(run, out_result);
  }
  told_listen(NULL);
  if (out_result->failed) return;
  run_free(run);
  trace_set_sink(NULL, NULL);
}
