/* Threads that watch the map, stop watching, and go on from where they were; and who looks at the end whether each broker tells all of it. */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "tests/sim/map_truth.h"
#include "tests/sim/workload.h"

#define CLUSTER_ID_SIZE_SEEN 33u
#define AWAY_NS_MAX 5000000000u
#define LOOK_MS 200u

struct watcher {
  struct worker *worker;
  struct map_sight *sight;
  uint64_t version; /* to go on from: the watch's own word for it, which may be beyond the last change; 0: none */
  char cluster_id[CLUSTER_ID_SIZE_SEEN];
};

/* What keeps the whole from being told is no reason; that what is told makes no sense would be one. */
static void watch_failed(const struct watcher *watcher, const struct cairn_error *error) {
  struct run *run = watcher->worker->run;
  run_trace(run, watcher->worker->name, "watch at=%llu -> %s", (unsigned long long)watcher->version, error->reason);
  worker_error(watcher->worker, NULL, "watch", error);
  bool senseless =
      strcmp(error->reason, "MALFORMED") == 0 || strcmp(error->reason, "FOREIGN") == 0 || strcmp(error->reason, "INVALID") == 0;
  if (senseless) checker_violation(run->checker, "M2 watched-map", "a watch ends with %s: %s", error->reason, error->message);
}

/* False: the watch is over. */
static bool watch_once(struct watcher *watcher, struct cairn_watch *watch, uint32_t timeout_ms) {
  struct run *run = watcher->worker->run;
  struct cairn_change change;
  struct cairn_error error = {0};
  run_call_begin(run);
  int code = cairn_watch_next(watch, timeout_ms, &change, &error);
  run_call_end(run);
  if (code == CAIRN_OK) map_sight_take(watcher->sight, &change);
  else if (code != CAIRN_WAIT) watch_failed(watcher, &error);
  uint64_t version = cairn_watch_version(watch);
  if (version != 0 && version < watcher->version && map_sight_version(watcher->sight) != 0)
    checker_violation(run->checker, "M2 watched-map", "a watch that had come to version %llu is at %llu",
                      (unsigned long long)watcher->version, (unsigned long long)version);
  watcher->version = version;
  if (version != 0) snprintf(watcher->cluster_id, sizeof watcher->cluster_id, "%s", cairn_watch_cluster_id(watch));
  return code == CAIRN_OK || code == CAIRN_WAIT;
}

/* From where it was; sometimes from nothing: whoever is asked then may have an older map than one that was told before. */
static struct cairn_watch *open_watch(struct watcher *watcher) {
  struct worker *worker = watcher->worker;
  if (sim_random_chance(&worker->chance, 20)) watcher->version = 0;
  if (watcher->version == 0) {
    map_sight_free(watcher->sight);
    watcher->sight = map_sight_new(worker->run->checker, worker->run->truth);
  }
  const struct cairn_watch_options options = {.from_version = watcher->version,
                                              .cluster_id = watcher->version == 0 ? NULL : watcher->cluster_id,
                                              .retry_timeout_ms = 5000};
  struct cairn_watch *watch = NULL;
  int code = cairn_watch_new(worker->client, &options, &watch, NULL);
  CHECK(code == CAIRN_OK);
  run_trace(worker->run, worker->name, "watch from=%llu", (unsigned long long)watcher->version);
  return watch;
}

void workload_watcher(void *context) {
  struct worker *worker = context;
  struct run *run = worker->run;
  struct watcher watcher = {.worker = worker};
  while (!run->stopping) {
    struct cairn_watch *watch = open_watch(&watcher);
    uint64_t steps = 5 + sim_random_below(&worker->chance, 100);
    for (uint64_t i = 0; i < steps && !run->stopping; i++) {
      if (!watch_once(&watcher, watch, (uint32_t)sim_random_below(&worker->chance, run->plan->wait_ms))) break;
    }
    cairn_watch_free(watch);
    uint64_t away_ns = sim_random_below(&worker->chance, AWAY_NS_MAX);
    for (uint64_t gone_ns = 0; gone_ns < away_ns && !run->stopping; gone_ns += AWAY_NS_MAX / 10)
      sim_app_sleep(worker->app, AWAY_NS_MAX / 10);
  }
  map_sight_free(watcher.sight);
}

/* ---- At the end ---- */

bool workload_watch_all(struct worker *worker) {
  struct run *run = worker->run;
  uint64_t newest = map_truth_newest(run->truth);
  struct watcher watcher = {.worker = worker, .sight = map_sight_new(run->checker, run->truth)};
  struct cairn_watch *watch = NULL;
  int code = cairn_watch_new(worker->client, NULL, &watch, NULL);
  CHECK(code == CAIRN_OK);
  while (watcher.version < newest && watch_once(&watcher, watch, LOOK_MS)) continue;
  cairn_watch_free(watch);
  map_sight_free(watcher.sight);
  return watcher.version >= newest;
}
