#include "tests/sim/aim.h"

#include "base/memory.h"
#include "base/probe.h"
#include "controller/command.h"
#include "tests/sim/faults.h"

#define MS ((uint64_t)1000000)
#define PATIENCE_NS (3000 * MS) /* then any command will do */

enum moment { ASKED, PROPOSED, APPLIED, LATER, MOMENTS };
static const char *const moment_names[] = {"asked", "proposed", "applied", "later"};
/* How long after it the fault comes, at most: a call is with the leader in a tenth of a millisecond, and a command is committed in a quarter. */
static const uint64_t delays_ns[] = {[ASKED] = 600000, [PROPOSED] = 200000, [APPLIED] = 200000, [LATER] = 400 * MS};

struct aim {
  struct run *run;
  struct faults *faults;
  struct sim_random chance;
  struct sim_event next; /* it is taken */
  struct sim_event shot; /* it hits */
  bool taken;
  enum aim_kind kind;
  enum moment moment;
  int wanted; /* command; 0: any */
  uint64_t taken_ns;
  unsigned victim;
  int proposed;                     /* the command that was begun last */
  uint64_t proposed_at;             /* what had been applied of group 0 then */
  uint64_t applied[PLAN_NODES_MAX]; /* of group 0, by each broker */
  uint64_t newest;                  /* by any */
  uint64_t counts[AIM_COUNT];
};

/* ---- The hit ---- */

static const enum fault faults_of[] = {
#define AIM_FAULT(name, fault, what) [AIM_##name] = FAULT_##fault,
    AIMS(AIM_FAULT)
#undef AIM_FAULT
};

static bool somebody_lags(const struct aim *aim) {
  for (unsigned i = 0; i < aim->run->plan->nodes; i++) {
    if (aim->applied[i] < aim->newest && sim_node_stage(aim->run->nodes[i]) == SIM_NODE_UP) return true;
  }
  return false;
}

static void reach(const struct aim *aim) {
  if (aim->moment == ASKED) REACHED(controller_hit_before_it_decides);
  if (aim->moment == PROPOSED && aim->newest == aim->proposed_at) REACHED(controller_hit_before_commit);
  if (aim->moment == APPLIED && somebody_lags(aim)) REACHED(controller_hit_before_all_apply);
  if (aim->moment == LATER) REACHED(controller_hit_between_commands);
}

/* Not far ahead: its disk is at work on the command. */
static bool hit(struct aim *aim) {
  enum fault fault = faults_of[aim->kind];
  if (fault != FAULT_crash_point) return faults_hit(aim->faults, fault, aim->victim);
  faults_crash_at(aim->faults, aim->victim,
                  &(struct crash_at){.ahead = 1 + sim_random_below(&aim->chance, 6),
                                     .point = (enum sim_crash_point)sim_random_below(&aim->chance, 3),
                                     .cuts_power = sim_random_chance(&aim->chance, 50)});
  return true;
}

static void take_next(struct aim *aim) {
  uint64_t every_ns = aim->run->plan->aim_every_ns;
  aim->taken = false;
  sim_event_set(aim->run->sim, &aim->next, sim_now_ns(aim->run->sim) + 1 + sim_random_below(&aim->chance, 2 * every_ns));
}

static void shot_fires(struct sim_event *event) {
  struct aim *aim = container_of(event, struct aim, shot);
  if (aim->moment == LATER) aim->victim = aim->run->controller - 1; /* whoever it is by now */
  struct sim_node *node = aim->run->nodes[aim->victim];
  bool there = sim_node_stage(node) == SIM_NODE_UP && !sim_node_paused(node);
  if (there && hit(aim)) {
    aim->counts[aim->kind]++;
    operations_blow(aim->run->operations);
    reach(aim);
    run_trace(aim->run, "nemesis", "%s, node %u, %s, command %d", aim_name(aim->kind), aim->victim, moment_names[aim->moment],
              aim->proposed);
  }
  take_next(aim);
}

static void shoot(struct aim *aim, unsigned victim) {
  aim->victim = victim;
  aim->taken = false;
  sim_event_set(aim->run->sim, &aim->shot, sim_now_ns(aim->run->sim) + sim_random_below(&aim->chance, delays_ns[aim->moment]));
}

/* ---- The moment ---- */

static bool is_wanted(const struct aim *aim, enum moment moment, int command) {
  if (aim == NULL || !aim->taken || aim->moment != moment || aim->run->controller == 0) return false;
  bool waits_long = sim_now_ns(aim->run->sim) - aim->taken_ns > PATIENCE_NS;
  return aim->wanted == 0 || waits_long || aim->wanted == command;
}

/* 0: it is not the map that is asked. */
static int command_of(enum operation_kind kind) {
  switch (kind) {
    case OPERATION_create: return COMMAND_CREATE_TOPIC;
    case OPERATION_alter: return COMMAND_ALTER_TOPIC;
    case OPERATION_delete: return COMMAND_DELETE_TOPIC;
    case OPERATION_grow: return COMMAND_GROW_TOPIC;
    case OPERATION_move:
    case OPERATION_reassign:
    case OPERATION_take_back: return COMMAND_MOVE_PARTITION;
    case OPERATION_drain:
    case OPERATION_decommission:
    case OPERATION_stay: return COMMAND_SET_STANDING;
    default: return 0;
  }
}

void aim_asked(struct aim *aim, enum operation_kind kind) {
  if (is_wanted(aim, ASKED, command_of(kind))) shoot(aim, aim->run->controller - 1);
}

void aim_proposed(struct aim *aim, unsigned broker, int command) {
  if (aim == NULL) return;
  aim->proposed = command;
  aim->proposed_at = aim->newest;
  if (is_wanted(aim, PROPOSED, command)) shoot(aim, broker);
}

/* One command is under way at a time: what was begun last is what is applied. */
void aim_applied(struct aim *aim, unsigned broker, uint64_t index) {
  if (aim == NULL || broker >= PLAN_NODES_MAX) return;
  aim->applied[broker] = index;
  if (index <= aim->newest) return;
  aim->newest = index;
  if (is_wanted(aim, APPLIED, aim->proposed) || is_wanted(aim, LATER, aim->proposed)) shoot(aim, aim->run->controller - 1);
}

/* ---- What it waits for ---- */

static enum aim_kind draw_kind(struct aim *aim) {
  unsigned enabled = 0;
  enum aim_kind kind = AIM_controller_kill;
  for (int i = 0; i < AIM_COUNT; i++) {
    if (aim->run->plan->aims[i] && sim_random_below(&aim->chance, ++enabled) == 0) kind = (enum aim_kind)i;
  }
  return kind;
}

static void next_fires(struct sim_event *event) {
  static const int commands[] = {0,
                                 0,
                                 COMMAND_CREATE_TOPIC,
                                 COMMAND_ALTER_TOPIC,
                                 COMMAND_DELETE_TOPIC,
                                 COMMAND_GROW_TOPIC,
                                 COMMAND_MOVE_PARTITION,
                                 COMMAND_PARTITION_MOVED,
                                 COMMAND_PARTITION_MOVED,
                                 COMMAND_SET_STANDING,
                                 COMMAND_SET_STANDING};
  struct aim *aim = container_of(event, struct aim, next);
  aim->kind = draw_kind(aim);
  aim->moment = (enum moment)sim_random_below(&aim->chance, MOMENTS);
  aim->wanted = commands[sim_random_below(&aim->chance, sizeof commands / sizeof commands[0])];
  aim->taken_ns = sim_now_ns(aim->run->sim);
  aim->taken = true;
}

/* ---- Life ---- */

struct aim *aim_new(struct run *run, struct faults *faults) {
  if (run->plan->aim_every_ns == 0) return NULL;
  struct aim *aim = NEW(struct aim);
  aim->run = run;
  aim->faults = faults;
  sim_random_init(&aim->chance, run->plan->seed, "aim");
  aim->next.fire = next_fires;
  aim->shot.fire = shot_fires;
  take_next(aim);
  return aim;
}

void aim_end(struct aim *aim) {
  if (aim == NULL) return;
  aim->taken = false;
  sim_event_cancel(aim->run->sim, &aim->next);
  sim_event_cancel(aim->run->sim, &aim->shot);
}

void aim_free(struct aim *aim) {
  aim_end(aim);
  memory_free(aim);
}

uint64_t aim_total(const struct aim *aim) {
  uint64_t total = 0;
  for (int i = 0; aim != NULL && i < AIM_COUNT; i++) total += aim->counts[i];
  return total;
}
