#include "server/balancer.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/memory.h"
#include "base/probe.h"
#include "base/trace.h"
#include "controller/imbalance.h"
#include "server/planner.h"

#define NS_PER_MS 1000000u
#define LOOK_NS ((uint64_t)1000 * NS_PER_MS) /* between looks */
#define CARRY_NS ((uint64_t)200 * NS_PER_MS) /* while a plan is carried out */
#define LATE_NS ((uint64_t)10 * LOOK_NS) /* nobody looked for so long: this process stood still, and knows nothing of the time */
static const struct reassignment_bounds bounds = {.per_broker = 1, .in_all = BALANCER_MOVES_MAX};

struct balancer {
  struct balancer_wiring wiring;
  struct loop *loop; /* NULL: not started */
  struct timer timer;
  struct change change;
  bool changing;
  struct planner_job planning;
  bool plans;
  uint64_t planned; /* the version of the map that the newest plan is of */
  uint64_t looked_ns;
  uint64_t calm_ns; /* since when; 0: it is not */
  bool carries;     /* a plan, from the first move on until there is nothing left to move */
  uint64_t even;    /* the version of the map of which a plan moved nothing last: it would not now either; 0: of none */
  struct imbalance_memory memory;
  struct reassignment plan;
  bool stopping;
  void (*stopped)(void *context);
  void *stopped_context;
};

struct balancer *balancer_new(void) {
  return NEW(struct balancer);
}

void balancer_free(struct balancer *balancer) {
  if (balancer == NULL) return;
  CHECK(!balancer->changing && !balancer->plans);
  reassignment_deinit(&balancer->plan);
  memory_free(balancer);
}

static bool is_up(void *context, uint32_t broker) {
  const struct balancer *balancer = context;
  return broker == balancer->wiring.self || lane_broker_up(balancer->wiring.lane, broker);
}

/* It goes where the plan has it go. */
static bool is_own(void *context, const struct map_move *move) {
  const struct balancer *balancer = context;
  const struct cluster_map *map = controller_map(balancer->wiring.controller);
  for (size_t i = 0; i < balancer->plan.count; i++)
    if (balancer->plan.moves[i].group == move->group)
      return reassignment_stage_of(map, &balancer->plan.moves[i]) == REASSIGNMENT_GOES;
  return false;
}

static void look_in(struct balancer *balancer, uint64_t ns) {
  loop_timer_set(balancer->loop, &balancer->timer, loop_now_ns(balancer->loop) + ns);
}

/* `why`: NULL, it came to its end. */
static void end_plan(struct balancer *balancer, const char *why) {
  if (balancer->carries && why != NULL) trace_info("balance_stops", "why=\"%s\" do=\"what has begun goes on\"", why);
  if (balancer->carries && why == NULL) trace_info("balance_is_over", "plan=\"nothing is left to move\"");
  if (balancer->carries && why != NULL) REACHED(balance_stops);
  balancer->carries = false;
  reassignment_deinit(&balancer->plan);
}

/* ---- One move ---- */

static void changed(struct change *change) {
  struct balancer *balancer = container_of(change, struct balancer, change);
  balancer->changing = false;
  if (balancer->stopping) {
    balancer->stopped(balancer->stopped_context);
    return;
  }
  if (change->status != STATUS_OK) {
    trace_info("balance_move_refused", "reason=%s text=\"%s\"", status_name(change->status), change->problem);
    end_plan(balancer, "a move was refused");
    balancer->calm_ns = 0;
  }
  look_in(balancer, change->status == STATUS_OK ? 0 : LOOK_NS);
}

static void ask_to_move(struct balancer *balancer, const struct map_topic *topic, const struct reassignment_move *move) {
  balancer->change = (struct change){.kind = COMMAND_MOVE_PARTITION,
                                     .partition = move->partition,
                                     .to_count = move->to_count,
                                     .planned_topic_id = move->topic_id,
                                     .planned_from_count = move->from_count,
                                     .exactly = true,
                                     .done = changed};
  snprintf(balancer->change.name, sizeof balancer->change.name, "%s", topic->name);
  memcpy(balancer->change.to, move->to, sizeof move->to);
  memcpy(balancer->change.planned_from, move->from, sizeof move->from);
  balancer->changing = true;
  REACHED(balancer_moves);
  controller_change(balancer->wiring.controller, &balancer->change);
}

/* ---- A plan ---- */

static struct reassignment_goal goal_of(struct balancer *balancer) {
  return (struct reassignment_goal){.map = controller_map(balancer->wiring.controller), .is_up = is_up, .context = balancer};
}

/* False: there is nothing to do. */
static bool take_plan(struct balancer *balancer, struct planner_job *job) {
  if (job->status != STATUS_OK)
    trace_warn("balance_not_planned", "reason=%s text=\"%s\"", status_name(job->status), job->plan.problem);
  if (job->status == STATUS_OK && job->plan.count == 0) balancer->even = balancer->planned;
  if (job->status != STATUS_OK || job->plan.count == 0) {
    end_plan(balancer, job->status == STATUS_OK ? NULL : job->plan.problem);
    reassignment_deinit(&job->plan);
    balancer->calm_ns = loop_now_ns(balancer->loop); /* as even as it can be: not asked again at once */
    return false;
  }
  trace_info("balance_begins", "moves=%zu copies=%u leads=%u", job->plan.count, job->plan.copies, job->plan.leads);
  balancer->plan = job->plan;
  balancer->carries = true;
  return true;
}

static void look(struct balancer *balancer);

static void planned(struct planner_job *job) {
  struct balancer *balancer = container_of(job, struct balancer, planning);
  balancer->plans = false;
  if (balancer->stopping) {
    reassignment_deinit(&job->plan);
    balancer->stopped(balancer->stopped_context);
    return;
  }
  if (take_plan(balancer, job)) look(balancer);
  else look_in(balancer, LOOK_NS);
}

static void ask_for_plan(struct balancer *balancer) {
  balancer->plans = true;
  balancer->planned = cluster_map_version(controller_map(balancer->wiring.controller));
  balancer->planning = (struct planner_job){.done = planned};
  planner_begin(balancer->wiring.planner, &balancer->planning, balancer->loop, controller_map(balancer->wiring.controller), is_up,
                balancer);
}

/* True: a move was asked for. `out_over`: all of them have arrived, or are not the plan's any more. */
static bool carry_on(struct balancer *balancer, bool *out_over) {
  const struct reassignment_goal goal = goal_of(balancer);
  *out_over = true;
  for (size_t i = 0; i < balancer->plan.count; i++) {
    const struct reassignment_move *move = &balancer->plan.moves[i];
    enum reassignment_stage stage = reassignment_stage_of(goal.map, move);
    *out_over = *out_over && stage != REASSIGNMENT_READY && stage != REASSIGNMENT_GOES;
    if (stage != REASSIGNMENT_READY || !reassignment_may_begin(&goal, move, &bounds)) continue;
    ask_to_move(balancer, cluster_map_topic_by_id(goal.map, move->topic_id), move);
    return true;
  }
  return false;
}

/* ---- When ---- */

/* For how long, or 0 and why not. */
static const char *look_for_calm(struct balancer *balancer) {
  uint64_t now_ns = loop_now_ns(balancer->loop);
  const char *unrest = NULL;
  if (!balancer->wiring.wanted) unrest = "it is not wanted any more";
  else if (!controller_leads(balancer->wiring.controller)) unrest = "another broker leads the map";
  else unrest = imbalance_unrest(controller_map(balancer->wiring.controller), &balancer->memory, is_up, is_own, balancer);
  if (unrest != NULL || now_ns - balancer->looked_ns > LATE_NS) balancer->calm_ns = 0;
  balancer->looked_ns = now_ns;
  if (unrest == NULL && balancer->calm_ns == 0) balancer->calm_ns = now_ns;
  return unrest;
}

static bool is_time(struct balancer *balancer) {
  if (balancer->carries) return true; /* what is left once its plan is carried out */
  const struct cluster_map *map = controller_map(balancer->wiring.controller);
  bool calm_enough = loop_now_ns(balancer->loop) - balancer->calm_ns >= balancer->wiring.calm_ns;
  return calm_enough && cluster_map_version(map) != balancer->even && imbalance_is_worth_it(map, &balancer->memory);
}

static void look(struct balancer *balancer) {
  const char *unrest = look_for_calm(balancer);
  bool over = false;
  if (unrest != NULL) {
    end_plan(balancer, unrest);
    if (balancer->wiring.wanted && controller_leads(balancer->wiring.controller))
      look_in(balancer, LOOK_NS); /* else it is woken */
    return;
  }
  if (balancer->plan.count == 0 && is_time(balancer)) {
    ask_for_plan(balancer);
    return;
  }
  if (balancer->plan.count > 0 && carry_on(balancer, &over)) return;
  if (over) reassignment_deinit(&balancer->plan); /* and made anew: it may not be even yet */
  look_in(balancer, balancer->carries ? CARRY_NS : LOOK_NS);
}

static bool is_at_rest(const struct balancer *balancer) { return !balancer->changing && !balancer->plans && !balancer->stopping; }

static void timer_fires(struct timer *timer) {
  struct balancer *balancer = container_of(timer, struct balancer, timer);
  if (is_at_rest(balancer)) look(balancer);
}

void balancer_wake(struct balancer *balancer) {
  if (balancer->loop != NULL && is_at_rest(balancer)) look_in(balancer, 0);
}

void balancer_set(struct balancer *balancer, bool wanted) {
  if (wanted != balancer->wiring.wanted) trace_info("auto_balance", "wanted=%s", wanted ? "on" : "off");
  balancer->wiring.wanted = wanted;
  balancer_wake(balancer);
}

void balancer_start(struct balancer *balancer, const struct balancer_wiring *wiring) {
  balancer->wiring = *wiring;
  balancer->loop = lane_loop(wiring->lane);
  balancer->timer.fire = timer_fires;
  balancer_wake(balancer);
}

void balancer_stop(struct balancer *balancer, void (*done)(void *context), void *context) {
  balancer->stopping = true;
  balancer->stopped = done;
  balancer->stopped_context = context;
  if (balancer->loop != NULL && balancer->timer.slot != 0) loop_timer_cancel(balancer->loop, &balancer->timer);
  if (!balancer->changing && !balancer->plans) done(context);
}
