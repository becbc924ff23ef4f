#include "server/steward.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/memory.h"
#include "base/probe.h"
#include "base/trace.h"
#include "controller/evacuation.h"

#define NS_PER_MS 1000000u
#define TOLD_MAX 16u
#define LOOK_NS ((uint64_t)200 * NS_PER_MS)       /* between looks, as long as a broker is to be emptied */
#define WATCH_NS_MAX ((uint64_t)1000 * NS_PER_MS) /* else, to see who is up, and who is missed */

/* A broker that is not up. */
struct absence {
  uint32_t broker;
  uint64_t since_ns;
};

/* What keeps a broker from getting empty, as it was last traced. */
struct standstill {
  uint32_t broker;
  const char *cure; /* NULL: nothing does */
};

struct steward {
  struct steward_wiring wiring;
  struct loop *loop; /* NULL: not started */
  struct timer timer;
  struct change change;
  bool changing;
  uint32_t emptied;       /* the broker that the change is about */
  struct absence *absent; /* by number */
  size_t absent_count;
  uint64_t looked_ns;         /* when it was last noted who is missed */
  uint32_t refused;           /* its step was: others have the next look */
  enum status refused_status; /* of the last step; OK: it was not */
  struct standstill told[TOLD_MAX];
  size_t told_count;
  bool stopping;
  void (*stopped)(void *context);
  void *stopped_context;
};

struct steward *steward_new(void) {
  return NEW(struct steward);
}

void steward_free(struct steward *steward) {
  if (steward == NULL) return;
  CHECK(!steward->changing);
  memory_free(steward->absent);
  memory_free(steward);
}

static bool is_up(void *context, uint32_t broker) {
  const struct steward *steward = context;
  return broker == steward->wiring.self || lane_broker_up(steward->wiring.lane, broker);
}

/* ---- Who is missed ---- */

static uint64_t watch_ns(const struct steward *steward) {
  uint64_t quarter_ns = steward->wiring.replace_after_ns / 4;
  if (quarter_ns == 0) return WATCH_NS_MAX;
  if (quarter_ns < LOOK_NS) return LOOK_NS;
  return quarter_ns < WATCH_NS_MAX ? quarter_ns : WATCH_NS_MAX;
}

/* What nobody looked at does not count: this process may have stood still. */
static uint64_t absent_since(const struct steward *steward, uint32_t broker, uint64_t now_ns) {
  uint64_t gap_ns = now_ns - steward->looked_ns, usual_ns = 2 * watch_ns(steward);
  for (size_t i = 0; i < steward->absent_count; i++) {
    if (steward->absent[i].broker != broker) continue;
    uint64_t since_ns = steward->absent[i].since_ns + (gap_ns > usual_ns ? gap_ns - usual_ns : 0);
    return since_ns < now_ns ? since_ns : now_ns;
  }
  return now_ns;
}

static void note_absent(struct steward *steward, const struct cluster_map *map) {
  uint64_t now_ns = loop_now_ns(steward->loop);
  struct absence *absent = memory_new_array(cluster_map_broker_count(map) + 1, sizeof *absent);
  size_t count = 0;
  const struct map_broker *broker = cluster_map_broker_after(map, 0);
  for (; broker != NULL; broker = cluster_map_broker_after(map, broker->id)) {
    if (broker->standing == STANDING_GONE || is_up(steward, broker->id)) continue;
    absent[count++] = (struct absence){.broker = broker->id, .since_ns = absent_since(steward, broker->id, now_ns)};
  }
  memory_free(steward->absent);
  steward->absent = absent;
  steward->absent_count = count;
  steward->looked_ns = now_ns;
}

/* The next one above `after` that has been missed for long and has something left; 0: none. One that is drained is expected back. */
static uint32_t long_missed(const struct steward *steward, const struct cluster_map *map, uint32_t after) {
  uint64_t now_ns = loop_now_ns(steward->loop);
  for (size_t i = 0; i < steward->absent_count; i++) {
    uint32_t broker = steward->absent[i].broker;
    if (broker <= after || now_ns - steward->absent[i].since_ns < steward->wiring.replace_after_ns) continue;
    bool stays = cluster_map_broker(map, broker)->standing == STANDING_IN;
    if (stays && cluster_map_replicas_of(map, broker) > 0) return broker;
  }
  return 0;
}

/* ---- One step ---- */

static void look_in(struct steward *steward, uint64_t ns) {
  loop_timer_set(steward->loop, &steward->timer, loop_now_ns(steward->loop) + ns);
}

static void changed(struct change *change) {
  struct steward *steward = container_of(change, struct steward, change);
  steward->changing = false;
  if (steward->stopping) {
    steward->stopped(steward->stopped_context);
    return;
  }
  bool gone = change->status == STATUS_OK && change->kind == COMMAND_SET_STANDING;
  if (gone) trace_info("broker_gone", "broker=%u do=\"it has nothing any more: stop it\"", steward->emptied);
  if (gone) REACHED(broker_goes);
  if (change->status != STATUS_OK) steward->refused = steward->emptied;
  if (change->status != STATUS_OK && change->status != steward->refused_status)
    trace_warn("evacuation_waits", "reason=%s text=\"%s\"", status_name(change->status), change->problem);
  steward->refused_status = change->status;
  look_in(steward, change->status == STATUS_OK ? 0 : LOOK_NS);
}

static void ask(struct steward *steward, const struct change *change) {
  steward->change = *change;
  steward->change.done = changed;
  steward->changing = true;
  controller_change(steward->wiring.controller, &steward->change);
}

static void ask_to_move(struct steward *steward, uint32_t broker, const struct evacuation_step *step) {
  struct change change = {.kind = COMMAND_MOVE_PARTITION,
                          .partition = step->partition,
                          .to_count = step->to_count,
                          .exactly = true,
                          .move = step->replaces};
  snprintf(change.name, sizeof change.name, "%s", step->topic->name);
  memcpy(change.to, step->to, sizeof change.to);
  steward->emptied = broker;
  ask(steward, &change);
}

static void write_down_gone(struct steward *steward, uint32_t broker) {
  steward->emptied = broker;
  ask(steward, &(struct change){.kind = COMMAND_SET_STANDING, .broker = {.id = broker, .standing = STANDING_GONE}});
}

/* Once, until it is something else. `step`: NULL, it is about the map. */
static void tell(struct steward *steward, uint32_t broker, const char *cure, const struct evacuation_step *step) {
  size_t i = 0;
  while (i < steward->told_count && steward->told[i].broker != broker) i++;
  if (i == TOLD_MAX || (i < steward->told_count && steward->told[i].cure == cure)) return;
  steward->told[i] = (struct standstill){.broker = broker, .cure = cure};
  if (i == steward->told_count) steward->told_count++;
  if (cure == NULL) return;
  if (step == NULL) trace_warn("evacuation_stuck", "broker=%u group=0 do=\"%s\"", broker, cure);
  else
    trace_warn("evacuation_stuck", "broker=%u topic=%s partition=%u do=\"%s\"", broker, step->topic->name, step->partition, cure);
}

/* True: it goes on when that is answered. */
static bool take_step(struct steward *steward, const struct cluster_map *map, uint32_t broker, bool leaves) {
  const struct evacuation evacuation = {
      .map = map, .broker = broker, .full = cluster_map_move_count(map) >= STEWARD_MOVES_MAX, .is_up = is_up, .context = steward};
  struct evacuation_step step = {0};
  enum evacuation_state state = evacuation_next(&evacuation, &step);
  bool votes = state == EVACUATION_OVER && leaves && controller_counts_on(steward->wiring.controller, broker);
  if (votes) tell(steward, broker, evacuation_vote_cure, NULL);
  else tell(steward, broker, evacuation_cure(state, leaves), &step);
  if (state == EVACUATION_STEP) {
    if (leaves) REACHED(broker_is_emptied);
    else REACHED(missed_broker_is_emptied);
    ask_to_move(steward, broker, &step);
  } else if (state == EVACUATION_OVER && leaves && !votes) {
    write_down_gone(steward, broker);
  } else {
    return false;
  }
  return true;
}

/* Each in turn, but whoever's step was refused: it is passed over in this look. False: nothing was asked for. */
static bool take_any_step(struct steward *steward, const struct cluster_map *map, bool *out_any) {
  uint32_t refused = steward->refused, broker = 0;
  steward->refused = 0;
  *out_any = false;
  while ((broker = evacuation_broker(map, broker)) != 0) {
    *out_any = true;
    if (broker != refused && take_step(steward, map, broker, true)) return true;
  }
  while (steward->wiring.replace_after_ns > 0 && (broker = long_missed(steward, map, broker)) != 0) {
    *out_any = true;
    if (broker != refused && take_step(steward, map, broker, false)) return true;
  }
  return false;
}

static void look(struct steward *steward) {
  const struct cluster_map *map = controller_map(steward->wiring.controller);
  bool replaces = steward->wiring.replace_after_ns > 0, any = false;
  if (!controller_leads(steward->wiring.controller)) { /* until it is woken */
    steward->absent_count = 0;
    steward->told_count = 0;
    return;
  }
  if (replaces) note_absent(steward, map);
  controller_look_who_is_up(steward->wiring.controller);
  if (take_any_step(steward, map, &any)) return;
  look_in(steward, any ? LOOK_NS : watch_ns(steward));
}

static void timer_fires(struct timer *timer) {
  struct steward *steward = container_of(timer, struct steward, timer);
  if (!steward->changing && !steward->stopping) look(steward);
}

void steward_wake(struct steward *steward) {
  if (steward->loop != NULL && !steward->changing && !steward->stopping) look_in(steward, 0);
}

void steward_start(struct steward *steward, const struct steward_wiring *wiring) {
  steward->wiring = *wiring;
  steward->loop = lane_loop(wiring->lane);
  steward->timer.fire = timer_fires;
  steward_wake(steward);
}

void steward_stop(struct steward *steward, void (*done)(void *context), void *context) {
  steward->stopping = true;
  steward->stopped = done;
  steward->stopped_context = context;
  if (steward->loop != NULL && steward->timer.slot != 0) loop_timer_cancel(steward->loop, &steward->timer);
  if (!steward->changing) done(context);
}
