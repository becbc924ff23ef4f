#include "tests/sim/workload.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/memory.h"

#define PAUSE_PART_NS 1000000000u

/* ---- Threads ---- */

/* In bursts, as people and programs work: a little time between two calls, and now and then a long one. */
void worker_think(struct worker *worker) {
  const struct plan *plan = worker->run->plan;
  bool pauses = sim_random_below(&worker->chance, plan->burst) == 0;
  uint64_t left_ns = sim_random_below(&worker->chance, 2 * (pauses ? plan->pause_ns : plan->think_ns));
  do { /* not beyond the end by much */
    uint64_t part_ns = left_ns < PAUSE_PART_NS ? left_ns : PAUSE_PART_NS;
    sim_app_sleep(worker->app, part_ns);
    left_ns -= part_ns;
  } while (left_ns > 0 && !worker->run->stopping);
}

struct run_topic *worker_pick(struct worker *worker, uint32_t *out_partition) {
  struct run *run = worker->run;
  unsigned live = 0;
  struct run_topic *chosen = NULL;
  for (unsigned i = 0; i < run->topic_count; i++) {
    struct run_topic *topic = &run->topics[i];
    if (topic->stage != TOPIC_LIVE) continue;
    if (sim_random_below(&worker->chance, ++live) == 0) chosen = topic;
  }
  if (chosen == NULL) {
    sim_app_sleep(worker->app, 2000000);
    return NULL;
  }
  *out_partition = (uint32_t)sim_random_below(&worker->chance, chosen->partition_count);
  return chosen;
}

void worker_error(struct worker *worker, const struct run_topic *topic, const char *call, const struct cairn_error *error) {
  struct checker *checker = worker->run->checker;
  check_error(checker, call, error);
  if (topic == NULL || topic->stage != TOPIC_LIVE) return;
  bool gone = strcmp(error->reason, "UNKNOWN_TOPIC") == 0 || strcmp(error->reason, "UNKNOWN_PARTITION") == 0;
  if (gone)
    checker_violation(checker, "A8 map-kept", "%s: topic %s is not known any more: %s", call, topic->name, error->message);
  if (error->code == CAIRN_DATA_LOSS && !worker->run->reads_fail && !worker->run->rotten)
    checker_violation(checker, "L6 rot-is-named", "%s: damage is told where none was done: %s", call, error->message);
}

void worker_term(struct worker *worker, struct run_topic *topic, uint32_t partition, uint64_t term) {
  if (topic->stage != TOPIC_LIVE || term == 0) return;
  uint64_t *highest = &topic->terms[partition];
  if (term > *highest) {
    if (*highest > 0) worker->run->leader_changes++;
    *highest = term;
  }
}

static void start_thread(struct run *run, struct sim_app *app, unsigned number, const char *kind, void (*body)(void *worker)) {
  static const char *const names[] = {"appender", "producer", "reader", "tailer", "admin", "watcher", "bystander"};
  struct worker *worker = NEW(struct worker);
  worker->run = run;
  worker->app = app;
  worker->client = sim_app_client(app);
  worker->writer = ++run->worker_count;
  snprintf(worker->name, sizeof worker->name, "app%u.%s%llu", number, kind, (unsigned long long)worker->writer);
  sim_random_init(&worker->chance, run->plan->seed, worker->name);
  run->workers[run->worker_count - 1] = worker;
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    if (strcmp(names[i], kind) == 0) sim_app_thread(app, names[i], body, worker);
  }
}

void workload_add_app(struct run *run, unsigned number) {
  const struct plan *plan = run->plan;
  char host[SIM_HOST_NAME_SIZE];
  snprintf(host, sizeof host, "10.0.1.%u", number + 1);
  char servers[RUN_SERVERS_SIZE];
  run_servers(run, number, servers);
  const struct cairn_client_options options = {
      .servers = servers,
      .call_timeout_ms = plan->impatient ? 300 : 3000,
      .reach_timeout_ms = 1000,
      .retry_backoff_ms = 20,
  };
  struct sim_app *app = sim_app_new(run->sim, run->net, host, &options, &plan->rpc);
  run->apps[run->app_count++] = app;
  start_thread(run, app, number, "admin", plan->kind == PLAN_POINTS ? workload_story : workload_admin);
  for (unsigned i = 0; i < plan->appenders; i++) start_thread(run, app, number, "appender", workload_appender);
  for (unsigned i = 0; i < plan->producers; i++) start_thread(run, app, number, "producer", workload_producer);
  for (unsigned i = 0; i < plan->readers; i++) start_thread(run, app, number, "reader", workload_reader);
  for (unsigned i = 0; i < plan->tailers; i++) start_thread(run, app, number, "tailer", workload_tailer);
  if (plan->bystands && number == 0) start_thread(run, app, number, "bystander", workload_bystander);
  for (unsigned i = 0; i < plan->watchers; i++) start_thread(run, app, number, "watcher", workload_watcher);
}
