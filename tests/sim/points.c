#include "tests/sim/points.h"

#include <inttypes.h>

#include "base/memory.h"
#include "tests/sim/faults.h"

#define LATE_NS ((uint64_t)50000) /* by then the message may be half done */

struct points {
  struct run *run;
  uint64_t seed;
  unsigned victim;
  bool begun;
  bool over;
  uint64_t operations_before;
  uint64_t operations;
  uint64_t messages;
  struct sim_event death;
};

static uint64_t k_of(uint64_t seed) { return seed % POINTS_KS; }
static unsigned way_of(uint64_t seed) { return (unsigned)(seed % POINTS_STORY / POINTS_KS % POINTS_WAYS); }
static enum point_role role_of(uint64_t seed) {
  return (enum point_role)(seed % POINTS_STORY / POINTS_KS / POINTS_WAYS % POINT_ROLE_COUNT);
}

const char *point_role_name(enum point_role role) {
  static const char *const names[] = {
#define POINT_ROLE_NAME(name, what) [POINT_##name] = #name,
      POINT_ROLES(POINT_ROLE_NAME)
#undef POINT_ROLE_NAME
  };
  return names[role];
}

static void dies(struct sim_event *event) {
  struct points *points = container_of(event, struct points, death);
  enum fault fault = way_of(points->seed) == POINTS_BY_MESSAGE ? FAULT_kill : FAULT_power_cut;
  run_trace(points->run, "nemesis", "node %u dies at message %" PRIu64, points->victim, k_of(points->seed));
  (void)faults_hit(points->run->faults, fault, points->victim);
}

static void hear(void *context) {
  struct points *points = context;
  points->messages++;
  if (way_of(points->seed) < POINTS_BY_MESSAGE || points->messages != k_of(points->seed)) return;
  uint64_t after_ns = way_of(points->seed) == POINTS_BY_MESSAGE ? 0 : LATE_NS;
  sim_event_set(points->run->sim, &points->death, sim_now_ns(points->run->sim) + after_ns);
}

struct points *points_new(struct run *run) {
  if (run->plan->kind != PLAN_POINTS) return NULL;
  struct points *points = NEW(struct points);
  points->run = run;
  points->seed = run->plan->point;
  points->death.fire = dies;
  return points;
}

void points_free(struct points *points) {
  if (points == NULL) return;
  points_end(points);
  memory_free(points);
}

void points_begin(struct points *points, const unsigned brokers[POINT_ROLE_COUNT]) {
  unsigned way = way_of(points->seed);
  points->victim = brokers[role_of(points->seed)];
  struct sim_node *node = points->run->nodes[points->victim];
  points->operations_before = sim_disk_operations(sim_node_disk(node));
  points->begun = true;
  run_trace(points->run, "nemesis", "node %u is the %s", points->victim, point_role_name(role_of(points->seed)));
  sim_host_listen_in(sim_node_host(node), hear, points);
  if (way >= POINTS_BY_MESSAGE || k_of(points->seed) == 0) return;
  faults_crash_at(
      points->run->faults, points->victim,
      &(struct crash_at){.ahead = k_of(points->seed), .point = (enum sim_crash_point)(way / 2), .cuts_power = way % 2 == 1});
}

void points_end(struct points *points) {
  if (points == NULL || points->over) return;
  points->over = true;
  if (!points->begun) return;
  struct sim_node *node = points->run->nodes[points->victim];
  points->operations = sim_disk_operations(sim_node_disk(node)) - points->operations_before;
  sim_host_listen_in(sim_node_host(node), NULL, NULL);
  sim_event_cancel(points->run->sim, &points->death);
}

bool points_over(const struct points *points) { return points == NULL || points->over; }
bool points_hit(const struct points *points) {
  if (points == NULL) return false;
  bool by_message = way_of(points->seed) >= POINTS_BY_MESSAGE;
  return (by_message ? points->messages : points->operations) >= k_of(points->seed);
}
uint64_t points_operations(const struct points *points) { return points == NULL ? 0 : points->operations; }
uint64_t points_messages(const struct points *points) { return points == NULL ? 0 : points->messages; }
