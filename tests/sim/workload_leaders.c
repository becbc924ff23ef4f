/* What the thread that changes the map does about leaders: some partition is to be led by some broker, whether that can be or not. */
#include "tests/sim/operations.h"
#include "tests/sim/workload.h"

void workload_transfer(struct worker *worker, struct run_topic *topic, uint32_t number) {
  struct run *run = worker->run;
  uint32_t to = 1 + (uint32_t)sim_random_below(&worker->chance, run->plan->nodes);
  bool tries = sim_random_chance(&worker->chance, 10);
  struct cairn_leadership leadership = {0};
  struct cairn_error error = {0};
  struct operation operation = operation_begin(run, OPERATION_transfer);
  int code = cairn_partition_transfer(worker->client, topic->name, number, to, tries, &leadership, &error);
  operation_end(run, &operation, &error);
  run_trace(run, worker->name, "%s/%u is to be led by %u -> %s", topic->name, number, to, code == CAIRN_OK ? "OK" : error.reason);
  if (code != CAIRN_OK) {
    worker_error(worker, topic, "transfer", &error);
    return;
  }
  worker_term(worker, topic, number, leadership.term);
  if (leadership.leader_after != (tries ? leadership.leader_before : to))
    checker_violation(run->checker, "A12 transferred", "%s/%u was to be led by %u, and %u is said to lead it", topic->name,
                      number, to, leadership.leader_after);
}
