/* Who tells the story of points.h: makes a topic, lets it rest, asks for one move, and waits until that is over or known not to be. */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "tests/sim/claims.h"
#include "tests/sim/operations.h"
#include "tests/sim/points.h"
#include "tests/sim/workload.h"

#define REST_NS 2000000000u /* until somebody leads, and is known to */
#define LOOK_NS 20000000u

/* The partition, as it was seen last. */
struct seen {
  uint32_t replicas[PLAN_NODES_MAX];
  size_t count;
  bool moves;
};

static void see(void *context, const struct cairn_partition *partition) {
  struct seen *seen = context;
  if (partition->replica_count > PLAN_NODES_MAX) return;
  seen->count = partition->replica_count;
  memcpy(seen->replicas, partition->replicas, partition->replica_count * sizeof *partition->replicas);
  seen->moves = partition->moving_to_count > 0;
}

/* False: nobody could tell. */
static bool look(struct worker *worker, const struct run_topic *topic, struct seen *out_seen) {
  struct cairn_error error = {0};
  run_call_begin(worker->run);
  int code = cairn_topic_describe(worker->client, topic->name, NULL, see, out_seen, &error);
  run_call_end(worker->run);
  if (code != CAIRN_OK) worker_error(worker, topic, "describe", &error);
  return code == CAIRN_OK && out_seen->count > 0;
}

static void look_until_seen(struct worker *worker, const struct run_topic *topic, struct seen *out_seen) {
  while (!look(worker, topic, out_seen) && !worker->run->stopping) sim_app_sleep(worker->app, LOOK_NS);
}

/* The third broker takes the place of the one that is not first, and is to lead. Returns the answer. */
static int reassign(struct worker *worker, const struct run_topic *topic, const struct seen *from, const uint32_t to[2]) {
  struct run *run = worker->run;
  uint64_t own = claims_number(run->claims);
  const struct cairn_planned_move move = {
      .topic = topic->name, .topic_id = topic->id, .from = from->replicas, .from_count = from->count, .to = to, .to_count = 2};
  struct cairn_error error = {0};
  struct operation operation = operation_begin(run, OPERATION_reassign);
  struct claim *claim = claim_begin(run->claims, "move %llu", (unsigned long long)own);
  claim_place(run->claims, claim, topic->name, 0, to, 2);
  int code = cairn_partition_move_planned(worker->client, &move, CLAIMS_PACE + own, false, &error);
  claim_end(run->claims, claim, &error);
  operation_end(run, &operation, &error);
  run_trace(run, worker->name, "move to %u,%u -> %s", to[0], to[1], code == CAIRN_OK ? "OK" : error.reason);
  if (code != CAIRN_OK) worker_error(worker, topic, "move", &error);
  return code;
}

static bool are(const struct seen *seen, const uint32_t replicas[2]) {
  return seen->count == 2 && memcmp(seen->replicas, replicas, 2 * sizeof *replicas) == 0;
}

/* It rests, and is where it was to be; or where it was, unless that it goes was promised. */
static void wait_until_over(struct worker *worker, const struct run_topic *topic, const struct seen *from, const uint32_t to[2],
                            bool promised) {
  struct seen seen = {0};
  do {
    sim_app_sleep(worker->app, LOOK_NS);
    look_until_seen(worker, topic, &seen);
  } while (!worker->run->stopping && (seen.moves || (promised && !are(&seen, to))));
  if (worker->run->stopping || are(&seen, to) || are(&seen, from->replicas)) return;
  checker_violation(worker->run->checker, "M5 whole",
                    "a reassignment is over, and the partition is neither where it was nor where it was to be");
}

void workload_story(void *context) {
  struct worker *worker = context;
  struct run *run = worker->run;
  struct seen from = {0};
  workload_create_topic(worker);
  struct run_topic *topic = &run->topics[0];
  sim_app_sleep(worker->app, REST_NS);
  look_until_seen(worker, topic, &from);
  CHECK(from.count == 2 && run->plan->nodes == 3 && run->controller > 0);
  uint32_t third = 6 - from.replicas[0] - from.replicas[1];
  const uint32_t to[2] = {third, from.replicas[0]};
  points_begin(run->points, (const unsigned[]){[POINT_controller] = run->controller - 1,
                                               [POINT_leader] = from.replicas[0] - 1,
                                               [POINT_newcomer] = third - 1,
                                               [POINT_leaver] = from.replicas[1] - 1});
  bool promised = reassign(worker, topic, &from, to) == CAIRN_OK;
  wait_until_over(worker, topic, &from, to, promised);
  points_end(run->points);
}
