/* What the thread that changes the map does about brokers: some are drained, some leave, some stay after all; and it looks what has become
 * of them. Who is gone is told to the nemesis, which gives it an empty disk.
 */
#include <stdio.h>
#include <string.h>

#include "tests/sim/claims.h"
#include "tests/sim/faults.h"
#include "tests/sim/operations.h"
#include "tests/sim/workload.h"

static const char *const standing_names[] = {"unknown", "in", "drained", "leaving", "gone"};

struct sight {
  struct run *run;
  unsigned leaving;
};

static void see(void *context, const struct cairn_member *member) {
  struct sight *sight = context;
  struct run *run = sight->run;
  unsigned which = member->broker_id - 1;
  if (member->broker_id == 0 || which >= run->plan->nodes) {
    checker_violation(run->checker, "A8 map-kept", "there is a broker %u of %u", member->broker_id, run->plan->nodes);
    return;
  }
  sight->leaving += member->standing == CAIRN_BROKER_LEAVING;
  if (member->standing != CAIRN_BROKER_GONE) return;
  if (member->replicas > 0)
    checker_violation(run->checker, "A8 map-kept", "broker %u is gone, and has %u replicas", which + 1, member->replicas);
  if (run->faults != NULL) faults_gone(run->faults, which, member->incarnation);
}

bool workload_look_at_brokers(struct worker *worker) {
  struct run *run = worker->run;
  struct sight sight = {.run = run};
  struct cairn_error error = {0};
  run_call_begin(run);
  int code = cairn_cluster_describe(worker->client, NULL, see, &sight, &error);
  run_call_end(run);
  run_trace(run, worker->name, "brokers -> %s, %u leave", code == CAIRN_OK ? "OK" : error.reason, sight.leaving);
  if (code != CAIRN_OK) worker_error(worker, NULL, "brokers", &error);
  return code == CAIRN_OK && sight.leaving == 0;
}

static enum operation_kind operation_of(enum cairn_broker_standing wish) {
  if (wish == CAIRN_BROKER_DRAINED) return OPERATION_drain;
  return wish == CAIRN_BROKER_LEAVING ? OPERATION_decommission : OPERATION_stay;
}

void workload_set_standing(struct worker *worker) {
  static const enum cairn_broker_standing wishes[] = {CAIRN_BROKER_IN, CAIRN_BROKER_DRAINED, CAIRN_BROKER_LEAVING,
                                                      CAIRN_BROKER_LEAVING};
  struct run *run = worker->run;
  uint32_t broker = 1 + (uint32_t)sim_random_below(&worker->chance, run->plan->nodes);
  enum cairn_broker_standing wish = wishes[sim_random_below(&worker->chance, sizeof wishes / sizeof wishes[0])];
  struct cairn_error error = {0};
  struct operation operation = operation_begin(run, operation_of(wish));
  struct claim *claim = claim_begin(run->claims, "broker %u %s", broker, standing_names[wish]);
  run->wishes++;
  int code = cairn_broker_set_standing(worker->client, broker, wish, false, NULL, NULL, &error);
  run->wishes--;
  claim_end(run->claims, claim, &error);
  operation_end(run, &operation, &error);
  run_trace(run, worker->name, "broker %u is to be %s -> %s", broker, standing_names[wish],
            code == CAIRN_OK ? "OK" : error.reason);
  if (code != CAIRN_OK) worker_error(worker, NULL, "standing", &error);
}

static void see_standing(void *context, const struct cairn_member *member) {
  *(bool *)context = member->standing == CAIRN_BROKER_LEAVING;
}

/* That one could be "in" changes nothing, and tells how it stands. */
bool workload_some_leave(struct worker *worker) {
  struct run *run = worker->run;
  for (uint32_t broker = 1; broker <= run->plan->nodes; broker++) {
    struct cairn_error error = {0};
    bool leaves = true;
    run_call_begin(run);
    int code = cairn_broker_set_standing(worker->client, broker, CAIRN_BROKER_IN, true, see_standing, &leaves, &error);
    run_call_end(run);
    if (code != CAIRN_OK) worker_error(worker, NULL, "standing", &error);
    bool gone = code == CAIRN_NOT_FOUND && strcmp(error.reason, "BROKER_GONE") == 0;
    if (gone ? !run->gone[broker - 1] : code != CAIRN_OK || leaves) return true;
  }
  return false;
}

void workload_raise_level(struct worker *worker) {
  struct run *run = worker->run;
  uint32_t before = 0, level = 0;
  struct cairn_error error = {0};
  bool tries = sim_random_chance(&worker->chance, 20);
  run_call_begin(run);
  int code = cairn_feature_level_raise(worker->client, 2, tries, &before, &level, &error);
  run_call_end(run);
  run_trace(run, worker->name, "the feature level is to be 2 -> %s", code == CAIRN_OK ? "OK" : error.reason);
  if (code != CAIRN_OK) {
    worker_error(worker, NULL, "raise", &error);
    return;
  }
  if (level != 2 || before > 2)
    checker_violation(run->checker, "M4 readable", "the feature level was to be 2, and went from %u to %u", before, level);
}
