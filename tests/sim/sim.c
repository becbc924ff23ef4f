#include "tests/sim/sim.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/codec.h"
#include "base/memory.h"
#include "tests/sim/sim_fiber.h"
#include "tests/sim/sim_random.h"

/* What orders events stands beside them, so that the heap is kept without a look at any of them. */
struct place {
  uint64_t at_ns;
  uint64_t tie;
  struct sim_event *event;
};

struct sim {
  uint64_t seed;
  uint64_t now_ns;
  uint64_t order;
  uint64_t hash;
  struct place *heap;
  size_t count;
  size_t capacity;
  struct sim_random ties;
  struct sim_fiber *current;
  bool in_event;
  size_t fibers;
};

struct sim_fiber {
  struct sim_process *process;
  struct list_node node; /* of the process */
  struct sim_event wake;
  struct sim_stack *stack;
  const char *name;
};

struct sim *sim_new(uint64_t seed) {
  struct sim *sim = NEW(struct sim);
  sim->seed = seed;
  sim->hash = seed;
  sim_random_init(&sim->ties, seed, "ties");
  return sim;
}

void sim_free(struct sim *sim) {
  if (sim == NULL) return;
  PRE(sim->fibers == 0 && sim->current == NULL);
  memory_free(sim->heap);
  memory_free(sim);
}

uint64_t sim_seed(const struct sim *sim) { return sim->seed; }
uint64_t sim_now_ns(const struct sim *sim) { return sim->now_ns; }
uint64_t sim_hash(const struct sim *sim) { return sim->hash; }

void sim_note(struct sim *sim, uint64_t what, uint64_t first, uint64_t second) {
  uint64_t facts[4] = {sim->now_ns, what, first, second};
  sim->hash = xxh3(sim->hash, bytes_of(facts, sizeof facts));
}

/* ---- The heap ---- */

static bool place_before(const struct place *a, const struct place *b) {
  if (a->at_ns != b->at_ns) return a->at_ns < b->at_ns;
  return a->tie != b->tie ? a->tie < b->tie : a->event->order < b->event->order;
}

static void heap_place(struct sim *sim, size_t at, const struct place *place) {
  sim->heap[at] = *place;
  place->event->slot = at + 1;
}

static void heap_up(struct sim *sim, size_t at, struct place place) {
  for (; at > 0 && place_before(&place, &sim->heap[(at - 1) / 2]); at = (at - 1) / 2) {
    heap_place(sim, at, &sim->heap[(at - 1) / 2]);
  }
  heap_place(sim, at, &place);
}

static void heap_down(struct sim *sim, size_t at, struct place place) {
  for (;;) {
    size_t child = at * 2 + 1;
    if (child >= sim->count) break;
    if (child + 1 < sim->count && place_before(&sim->heap[child + 1], &sim->heap[child])) child++;
    if (place_before(&place, &sim->heap[child])) break;
    heap_place(sim, at, &sim->heap[child]);
    at = child;
  }
  heap_place(sim, at, &place);
}

void sim_event_cancel(struct sim *sim, struct sim_event *event) {
  if (list_node_linked(&event->held)) list_remove(&event->held);
  if (event->slot == 0) return;
  size_t at = event->slot - 1;
  struct place last = sim->heap[--sim->count];
  event->slot = 0;
  if (last.event == event) return;
  if (at > 0 && place_before(&last, &sim->heap[(at - 1) / 2])) heap_up(sim, at, last);
  else heap_down(sim, at, last);
}

void sim_event_set(struct sim *sim, struct sim_event *event, uint64_t at_ns) {
  sim_event_cancel(sim, event);
  if (sim->count == sim->capacity) {
    sim->capacity = sim->capacity == 0 ? 64 : sim->capacity * 2;
    sim->heap = memory_grow_array(sim->heap, sim->capacity, sizeof *sim->heap);
  }
  event->at_ns = at_ns < sim->now_ns ? sim->now_ns : at_ns;
  event->order = ++sim->order;
  sim->count++;
  heap_up(sim, sim->count - 1, (struct place){.at_ns = event->at_ns, .tie = sim_random_next(&sim->ties), .event = event});
}

/* ---- Steps ---- */

bool sim_step(struct sim *sim) {
  PRE(!sim->in_event && sim->current == NULL);
  if (sim->count == 0) return false;
  struct sim_event *event = sim->heap[0].event;
  sim_event_cancel(sim, event);
  sim->now_ns = event->at_ns;
  sim_note(sim, 1, event->order, 0);
  sim->in_event = true;
  event->fire(event);
  sim->in_event = false;
  return true;
}

bool sim_run_until(struct sim *sim, bool (*reached)(void *context), void *context, uint64_t limit_ns) {
  while (!reached(context)) {
    if (sim->count == 0 || sim->heap[0].at_ns > limit_ns) return false;
    sim_step(sim);
  }
  return true;
}

static bool never(void *context) {
  (void)context;
  return false;
}

void sim_run_for(struct sim *sim, uint64_t ns) {
  uint64_t limit_ns = sim->now_ns + ns;
  sim_run_until(sim, never, NULL, limit_ns);
  sim->now_ns = limit_ns;
}

/* ---- Fibers ---- */

struct sim_fiber *sim_fiber_current(const struct sim *sim) {
  return sim->current;
}

static void fiber_fire(struct sim_event *event) {
  struct sim_fiber *fiber = container_of(event, struct sim_fiber, wake);
  struct sim *sim = fiber->process->sim;
  if (sim_process_holds(fiber->process, event)) return;
  sim->current = fiber;
  sim_stack_enter(fiber->stack);
  sim->current = NULL;
}

struct sim_fiber *sim_fiber_start(struct sim_process *process, const char *name, void (*run)(void *context), void *context) {
  struct sim_fiber *fiber = NEW(struct sim_fiber);
  fiber->process = process;
  fiber->name = name;
  fiber->wake.fire = fiber_fire;
  fiber->stack = sim_stack_new(run, context);
  list_push_back(&process->fibers, &fiber->node);
  process->sim->fibers++;
  sim_event_set(process->sim, &fiber->wake, process->sim->now_ns);
  return fiber;
}

bool sim_fiber_over(const struct sim_fiber *fiber) { return sim_stack_over(fiber->stack); }

void sim_fiber_free(struct sim_fiber *fiber) {
  if (fiber == NULL) return;
  PRE(sim_fiber_over(fiber));
  sim_event_cancel(fiber->process->sim, &fiber->wake);
  list_remove(&fiber->node);
  fiber->process->sim->fibers--;
  sim_stack_free(fiber->stack);
  memory_free(fiber);
}

void sim_fiber_park(struct sim *sim) {
  struct sim_fiber *fiber = sim->current;
  PRE(fiber != NULL);
  sim_stack_leave(fiber->stack);
}

void sim_fiber_wake(struct sim_fiber *fiber, uint64_t at_ns) {
  if (sim_fiber_over(fiber) || list_node_linked(&fiber->wake.held)) return;
  if (fiber->wake.slot != 0 && fiber->wake.at_ns <= at_ns) return;
  sim_event_set(fiber->process->sim, &fiber->wake, at_ns);
}

bool sim_block(struct sim_process *process, uint64_t ns) {
  struct sim *sim = process->sim;
  if (process->dead) return false;
  if (sim->current == NULL) {
    CHECK_MSG(!sim->in_event, "%s: a loop without LOOP_MAY_BLOCK called a door that blocks", process->name);
    return true;
  }
  uint64_t until_ns = sim->now_ns + ns;
  while (!process->dead && sim->now_ns < until_ns) {
    sim_fiber_wake(sim->current, until_ns);
    sim_fiber_park(sim);
  }
  return !process->dead;
}

/* ---- Processes ---- */

void sim_process_init(struct sim_process *process, struct sim *sim, const char *name) {
  *process = (struct sim_process){.sim = sim, .name = name};
  list_init(&process->fibers);
  list_init(&process->held);
  list_init(&process->deaths);
}

void sim_process_watch(struct sim_process *process, struct sim_death *death) { list_push_back(&process->deaths, &death->node); }

void sim_process_kill(struct sim_process *process) {
  if (process->dead) return;
  process->dead = true;
  sim_note(process->sim, 2, 0, 0);
  sim_process_resume(process);
  list_for_each(&process->fibers, node, following) {
    struct sim_fiber *fiber = list_entry(node, struct sim_fiber, node);
    if (fiber != process->sim->current) sim_fiber_wake(fiber, process->sim->now_ns);
  }
  for (struct list_node *node; (node = list_pop_front(&process->deaths)) != NULL;) {
    struct sim_death *death = list_entry(node, struct sim_death, node);
    death->told(death);
  }
}

void sim_process_pause(struct sim_process *process) {
  if (!process->dead) process->paused = true;
}

void sim_process_resume(struct sim_process *process) {
  process->paused = false;
  for (struct list_node *node; (node = list_pop_front(&process->held)) != NULL;) {
    sim_event_set(process->sim, list_entry(node, struct sim_event, held), process->sim->now_ns);
  }
}

bool sim_process_holds(struct sim_process *process, struct sim_event *event) {
  if (!process->paused) return false;
  list_push_back(&process->held, &event->held);
  return true;
}
