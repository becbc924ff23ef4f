#include "server/upgrader.h"

#include "base/check.h"
#include "base/memory.h"
#include "base/probe.h"
#include "base/trace.h"

/* Between looks, as long as a level could be had. In a new cluster somebody may be about to make the first topic. */
#define LOOK_NS ((uint64_t)500000000)
#define LOOK_NEW_NS ((uint64_t)20000000)

struct upgrader {
  struct upgrader_wiring wiring;
  struct loop *loop; /* NULL: not started */
  struct timer timer;
  struct change change;
  bool changing;
  uint32_t told;              /* the level that it was last said could be had */
  enum status refused_status; /* of the last change; OK: it was not */
  bool stopping;
  void (*stopped)(void *context);
  void *stopped_context;
};

struct upgrader *upgrader_new(void) {
  return NEW(struct upgrader);
}

void upgrader_free(struct upgrader *upgrader) {
  if (upgrader == NULL) return;
  CHECK(!upgrader->changing);
  memory_free(upgrader);
}

static void look_in(struct upgrader *upgrader, uint64_t ns) {
  loop_timer_set(upgrader->loop, &upgrader->timer, loop_now_ns(upgrader->loop) + ns);
}

static void look_again(struct upgrader *upgrader) {
  look_in(upgrader, feature_is_fresh(controller_map(upgrader->wiring.controller)) ? LOOK_NEW_NS : LOOK_NS);
}

static bool all_are_up(const struct upgrader *upgrader, const struct cluster_map *map) {
  const struct map_broker *broker = cluster_map_broker_after(map, 0);
  for (; broker != NULL; broker = cluster_map_broker_after(map, broker->id)) {
    bool is_up = broker->id == upgrader->wiring.self || lane_broker_up(upgrader->wiring.lane, broker->id);
    if (broker->standing != STANDING_GONE && !is_up) return false;
  }
  return true;
}

static void changed(struct change *change) {
  struct upgrader *upgrader = container_of(change, struct upgrader, change);
  upgrader->changing = false;
  if (upgrader->stopping) {
    upgrader->stopped(upgrader->stopped_context);
    return;
  }
  if (change->status != STATUS_OK && change->status != upgrader->refused_status)
    trace_info("upgrade_waits", "level=%u reason=%s text=\"%s\"", change->feature_level, status_name(change->status),
               change->problem);
  upgrader->refused_status = change->status;
  look_again(upgrader);
}

static void raise(struct upgrader *upgrader, uint32_t level) {
  upgrader->change = (struct change){.kind = COMMAND_SET_FEATURE_LEVEL, .feature_level = level, .done = changed};
  upgrader->changing = true;
  REACHED(level_rises_by_itself);
  controller_change(upgrader->wiring.controller, &upgrader->change);
}

static void tell_possible(struct upgrader *upgrader, const struct feature_reach *reach) {
  if (upgrader->told == reach->all) return;
  upgrader->told = reach->all;
  trace_info("upgrade_possible", "level=%u all_can=%u do=\"cairn cluster upgrade, when nobody wants the earlier version back\"",
             reach->level, reach->all);
}

/* Woken by a change of brokers or of who leads; where it waits for somebody to be up, it looks again by itself. */
static void look(struct upgrader *upgrader) {
  const struct cluster_map *map = controller_map(upgrader->wiring.controller);
  if (!controller_leads(upgrader->wiring.controller)) {
    upgrader->told = 0;
    return;
  }
  struct feature_reach reach = feature_reach_of(map);
  if (reach.all == reach.level) return;
  bool by_itself = upgrader->wiring.wanted || feature_is_fresh(map);
  if (!by_itself) tell_possible(upgrader, &reach);
  else if (all_are_up(upgrader, map)) raise(upgrader, reach.all);
  else look_again(upgrader);
}

static void timer_fires(struct timer *timer) {
  struct upgrader *upgrader = container_of(timer, struct upgrader, timer);
  if (!upgrader->changing && !upgrader->stopping) look(upgrader);
}

void upgrader_wake(struct upgrader *upgrader) {
  if (upgrader->loop != NULL && !upgrader->changing && !upgrader->stopping) look_in(upgrader, 0);
}

void upgrader_set(struct upgrader *upgrader, bool wanted) {
  upgrader->wiring.wanted = wanted;
  upgrader_wake(upgrader);
}

void upgrader_start(struct upgrader *upgrader, const struct upgrader_wiring *wiring) {
  upgrader->wiring = *wiring;
  upgrader->loop = lane_loop(wiring->lane);
  upgrader->timer.fire = timer_fires;
  upgrader_wake(upgrader);
}

void upgrader_stop(struct upgrader *upgrader, void (*done)(void *context), void *context) {
  upgrader->stopping = true;
  upgrader->stopped = done;
  upgrader->stopped_context = context;
  if (upgrader->loop != NULL && upgrader->timer.slot != 0) loop_timer_cancel(upgrader->loop, &upgrader->timer);
  if (!upgrader->changing) done(context);
}
