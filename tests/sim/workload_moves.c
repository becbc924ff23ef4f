/* What the thread that changes the map does about places: one partition goes elsewhere, many by a plan, some stay after all. */
#include <stdio.h>
#include <string.h>

#include "tests/sim/claims.h"
#include "tests/sim/operations.h"
#include "tests/sim/workload.h"

#define PLANNED_MAX 64u

/* ---- One ---- */

/* To some of the brokers, in any order. */
static size_t draw_brokers(struct worker *worker, uint32_t out_brokers[PLAN_NODES_MAX]) {
  unsigned nodes = worker->run->plan->nodes;
  size_t wanted =
      1 + (size_t)sim_random_below(&worker->chance, worker->run->plan->leaves ? worker->run->plan->replicas_max : nodes);
  for (uint32_t i = 0; i < nodes; i++) out_brokers[i] = i + 1;
  for (uint32_t i = 0; i < nodes; i++) {
    uint32_t other = i + (uint32_t)sim_random_below(&worker->chance, nodes - i);
    uint32_t broker = out_brokers[i];
    out_brokers[i] = out_brokers[other];
    out_brokers[other] = broker;
  }
  return wanted;
}

/* Each has a pace of its own, so that the map can be searched for it. */
static void move_one(struct worker *worker, struct run_topic *topic, uint32_t number) {
  struct run *run = worker->run;
  uint32_t brokers[PLAN_NODES_MAX];
  const struct cairn_planned_move move = {
      .topic = topic->name, .partition = number, .to = brokers, .to_count = draw_brokers(worker, brokers)};
  uint64_t own = claims_number(run->claims);
  struct cairn_error error = {0};
  struct operation operation = operation_begin(run, OPERATION_move);
  struct claim *claim = claim_begin(run->claims, "move %llu", (unsigned long long)own);
  claim_place(run->claims, claim, topic->name, number, brokers, move.to_count);
  int code = cairn_partition_move_planned(worker->client, &move, CLAIMS_PACE + own, false, &error);
  claim_end(run->claims, claim, &error);
  operation_end(run, &operation, &error);
  run_trace(run, worker->name, "move %s/%u to %u of them, first %u -> %s", topic->name, number, (unsigned)move.to_count,
            brokers[0], code == CAIRN_OK ? "OK" : error.reason);
  if (code != CAIRN_OK) worker_error(worker, topic, "move", &error);
}

/* ---- By a plan ---- */

struct planned {
  struct run_topic *topic;
  uint64_t topic_id;
  uint32_t partition;
  uint32_t from[PLAN_NODES_MAX], to[PLAN_NODES_MAX];
  size_t from_count, to_count;
};

struct drawn_plan {
  struct worker *worker;
  struct planned moves[PLANNED_MAX];
  size_t count;
};

static struct run_topic *topic_named(struct run *run, const char *name) {
  for (unsigned i = 0; i < run->topic_count; i++)
    if (strcmp(run->topics[i].name, name) == 0) return &run->topics[i];
  return NULL;
}

/* Each broker once, of those that there are; and as many as before. */
static void check_planned(struct run *run, const struct cairn_planned_move *move) {
  bool sound = move->to_count == move->from_count && move->to_count <= PLAN_NODES_MAX;
  for (size_t i = 0; sound && i < move->to_count; i++) {
    sound = move->to[i] > 0 && move->to[i] <= run->plan->nodes;
    for (size_t k = 0; k < i; k++) sound = sound && move->to[i] != move->to[k];
  }
  if (!sound)
    checker_violation(run->checker, "A8 map-kept", "a plan has %s/%u go to %u brokers, or to one twice", move->topic,
                      move->partition, (unsigned)move->to_count);
}

static void note_planned(void *context, const struct cairn_planned_move *move) {
  struct drawn_plan *plan = context;
  struct run *run = plan->worker->run;
  struct run_topic *topic = topic_named(run, move->topic);
  check_planned(run, move);
  if (plan->count == PLANNED_MAX || topic == NULL || move->to_count > PLAN_NODES_MAX) return;
  struct planned *planned = &plan->moves[plan->count++];
  *planned = (struct planned){.topic = topic,
                              .topic_id = move->topic_id,
                              .partition = move->partition,
                              .from_count = move->from_count,
                              .to_count = move->to_count};
  memcpy(planned->from, move->from, move->from_count * sizeof *move->from);
  memcpy(planned->to, move->to, move->to_count * sizeof *move->to);
}

static void ask_for(struct worker *worker, const struct planned *planned) {
  struct run *run = worker->run;
  const struct cairn_planned_move move = {.topic = planned->topic->name,
                                          .topic_id = planned->topic_id,
                                          .partition = planned->partition,
                                          .from = planned->from,
                                          .from_count = planned->from_count,
                                          .to = planned->to,
                                          .to_count = planned->to_count};
  uint64_t slow = run->plan->options.catch_up_bytes_per_second / 2; /* not so slow that it is taken for standing still */
  uint64_t own = sim_random_chance(&worker->chance, 30) ? 0 : claims_number(run->claims);
  struct cairn_error error = {0};
  struct operation operation = operation_begin(run, OPERATION_reassign);
  struct claim *claim = NULL;
  if (own != 0) {
    claim = claim_begin(run->claims, "move %llu", (unsigned long long)own);
    claim_place(run->claims, claim, planned->topic->name, planned->partition, planned->to, planned->to_count);
  }
  int code = cairn_partition_move_planned(worker->client, &move, own == 0 ? slow : CLAIMS_PACE + own, false, &error);
  if (claim != NULL) claim_end(run->claims, claim, &error);
  operation_end(run, &operation, &error);
  run_trace(run, worker->name, "move %s/%u as planned, first %u -> %s", planned->topic->name, planned->partition, planned->to[0],
            code == CAIRN_OK ? "OK" : error.reason);
  if (code != CAIRN_OK) worker_error(worker, planned->topic, "move", &error);
}

/* Plans mostly find that all is even. */
static bool is_often(const struct worker *worker) { return worker->run->plan->kind == PLAN_CONTROLLER; }

/* Evenly over all, or to some. What becomes of the plan while it is carried out is left to chance. */
static void reassign(struct worker *worker) {
  struct run *run = worker->run;
  struct drawn_plan plan = {.worker = worker};
  uint32_t brokers[PLAN_NODES_MAX];
  struct cairn_reassignment_goal goal = {.brokers = brokers};
  if (sim_random_chance(&worker->chance, is_often(worker) ? 60 : 30)) goal.broker_count = draw_brokers(worker, brokers);
  struct cairn_error error = {0};
  run_call_begin(run);
  int code = cairn_reassignment_plan(worker->client, &goal, NULL, note_planned, &plan, &error);
  run_call_end(run);
  run_trace(run, worker->name, "plan for %u brokers -> %s, %u moves", (unsigned)goal.broker_count,
            code == CAIRN_OK ? "OK" : error.reason, (unsigned)plan.count);
  if (code != CAIRN_OK) worker_error(worker, NULL, "plan", &error);
  for (size_t i = 0; i < plan.count && !run->healed; i++) {
    if (sim_random_chance(&worker->chance, 80)) ask_for(worker, &plan.moves[i]);
    if (sim_random_chance(&worker->chance, 30)) sim_app_sleep(worker->app, sim_random_below(&worker->chance, 300000000));
  }
}

/* ---- Back ---- */

static void take_back(struct worker *worker, struct run_topic *topic, uint32_t number) {
  struct run *run = worker->run;
  struct cairn_error error = {0};
  struct operation operation = operation_begin(run, OPERATION_take_back);
  int code = cairn_partition_move_cancel(worker->client, topic->name, number, 0, false, &error);
  operation_end(run, &operation, &error);
  run_trace(run, worker->name, "take the move of %s/%u back -> %s", topic->name, number, code == CAIRN_OK ? "OK" : error.reason);
  if (code != CAIRN_OK) worker_error(worker, topic, "cancel", &error);
}

void workload_move(struct worker *worker, struct run_topic *topic, uint32_t number) {
  uint64_t what = sim_random_below(&worker->chance, 100), ones = is_often(worker) ? 40 : 60;
  if (what < ones) move_one(worker, topic, number);
  else if (what < ones + 15) take_back(worker, topic, number);
  else reassign(worker);
}
