#include "tests/sim/sim_loop.h"

#include <string.h>

#include "base/check.h"
#include "base/memory.h"

#define TURN_TASKS_MAX 1024u
#define WAKE_NS_MAX 20000u    /* between a post and the run, mostly */
#define STALL_NS_MAX 3000000u /* once in a while: the scheduler had something else to do */
#define TURN_NS 500u          /* an iteration costs time, or two loops could pass a task to and fro for ever in one instant */
#define WALL_START_MS 1700000000000

struct sim_loop {
  struct loop loop;
  struct sim_loops *loops;
  struct list_node node;
  struct task *first;
  struct task **last;
  size_t queued;
  struct timer **timers; /* sorted by deadline, then order */
  size_t timer_count;
  size_t timer_capacity;
  uint64_t timer_order;
  uint64_t timer_order_frozen; /* timers set during this iteration do not fire in it */
  struct sim_event event;      /* the next iteration, while none runs */
  struct sim_fiber *fiber;     /* LOOP_MAY_BLOCK */
  struct sim_fiber *stopper;
  bool running;
  bool stopping;
  bool over;
  unsigned flags;
  char name[16];
};

/* ---- Clocks ---- */

uint64_t sim_clock_local_ns(const struct sim_clock *clock, uint64_t sim_ns) {
  unsigned __int128 passed = sim_ns - clock->base_sim_ns;
  return clock->base_local_ns + (uint64_t)(passed * (uint64_t)(1000000 + clock->rate_ppm) / 1000000u);
}

uint64_t sim_clock_sim_ns(const struct sim_clock *clock, uint64_t local_ns) {
  if (local_ns <= clock->base_local_ns) return clock->base_sim_ns;
  uint64_t rate = (uint64_t)(1000000 + clock->rate_ppm);
  unsigned __int128 passed = (unsigned __int128)(local_ns - clock->base_local_ns) * 1000000u;
  unsigned __int128 later = clock->base_sim_ns + (passed + rate - 1) / rate;
  return later > UINT64_MAX ? UINT64_MAX : (uint64_t)later;
}

void sim_loops_init(struct sim_loops *loops, struct sim_process *process) {
  uint64_t now_ns = sim_now_ns(process->sim);
  loops->process = process;
  loops->clock =
      (struct sim_clock){.base_sim_ns = now_ns, .base_local_ns = now_ns + 1000000000u, .wall_offset_ms = WALL_START_MS};
  sim_random_init(&loops->delays, sim_seed(process->sim) ^ now_ns, process->name);
  list_init(&loops->loops);
}

/* ---- When the next iteration is ---- */

static struct sim_loop *sim_loop_of(struct loop *loop) { return container_of(loop, struct sim_loop, loop); }
static struct sim *sim_of(const struct sim_loop *loop) { return loop->loops->process->sim; }

static uint64_t wake_delay_ns(struct sim_loop *loop) {
  struct sim_random *delays = &loop->loops->delays;
  uint64_t bound = sim_random_below(delays, 1000) == 0 ? STALL_NS_MAX : WAKE_NS_MAX;
  return TURN_NS + sim_random_below(delays, bound);
}

static void schedule_at(struct sim_loop *loop, uint64_t at_ns) {
  if (list_node_linked(&loop->event.held)) return;
  if (loop->event.slot != 0 && loop->event.at_ns <= at_ns) return;
  sim_event_set(sim_of(loop), &loop->event, at_ns);
}

static void schedule(struct sim_loop *loop) {
  if (loop->running || loop->over) return;
  if (loop->first != NULL || loop->stopping) schedule_at(loop, sim_now_ns(sim_of(loop)) + wake_delay_ns(loop));
  if (loop->timer_count == 0) return;
  uint64_t due_ns = sim_clock_sim_ns(&loop->loops->clock, loop->timers[0]->deadline_ns);
  uint64_t soonest_ns = sim_now_ns(sim_of(loop)) + TURN_NS;
  schedule_at(loop, due_ns < soonest_ns ? soonest_ns : due_ns);
}

static void sim_loop_post(struct loop *base, struct task *task) {
  struct sim_loop *loop = sim_loop_of(base);
  CHECK_MSG(!loop->over, "%s: posted to after it was stopped", loop->name);
  task->next = NULL;
  *loop->last = task;
  loop->last = &task->next;
  loop->queued++;
  schedule(loop);
}

void sim_loops_clock_changed(struct sim_loops *loops) {
  list_for_each(&loops->loops, node, following) {
    struct sim_loop *loop = list_entry(node, struct sim_loop, node);
    sim_event_cancel(sim_of(loop), &loop->event);
    schedule(loop);
  }
}

/* ---- Timers ---- */

static void sim_loop_timer_cancel(struct loop *base, struct timer *timer) {
  struct sim_loop *loop = sim_loop_of(base);
  if (timer->slot == 0) return;
  size_t at = 0;
  while (at < loop->timer_count && loop->timers[at] != timer) at++;
  CHECK_MSG(at < loop->timer_count, "%s: a timer of another loop", loop->name);
  loop->timer_count--;
  memmove(&loop->timers[at], &loop->timers[at + 1], (loop->timer_count - at) * sizeof *loop->timers);
  timer->slot = 0;
}

static void sim_loop_timer_set(struct loop *base, struct timer *timer, uint64_t deadline_ns) {
  struct sim_loop *loop = sim_loop_of(base);
  sim_loop_timer_cancel(base, timer);
  if (loop->timer_count == loop->timer_capacity) {
    loop->timer_capacity = loop->timer_capacity == 0 ? 8 : loop->timer_capacity * 2;
    loop->timers = memory_grow_array(loop->timers, loop->timer_capacity, sizeof *loop->timers);
  }
  size_t at = loop->timer_count;
  while (at > 0 && loop->timers[at - 1]->deadline_ns > deadline_ns) at--;
  memmove(&loop->timers[at + 1], &loop->timers[at], (loop->timer_count - at) * sizeof *loop->timers);
  loop->timers[at] = timer;
  loop->timer_count++;
  timer->deadline_ns = deadline_ns;
  timer->order = ++loop->timer_order;
  timer->slot = 1;
  schedule(loop);
}

/* ---- Iterations ---- */

static uint64_t sim_loop_now_ns(struct loop *base) {
  struct sim_loop *loop = sim_loop_of(base);
  return sim_clock_local_ns(&loop->loops->clock, sim_now_ns(sim_of(loop)));
}

static int64_t sim_loop_wall_ms(struct loop *base) {
  struct sim_loop *loop = sim_loop_of(base);
  return loop->loops->clock.wall_offset_ms + (int64_t)(sim_now_ns(sim_of(loop)) / 1000000u);
}

static bool run_tasks(struct sim_loop *loop) {
  size_t count = loop->queued < TURN_TASKS_MAX ? loop->queued : TURN_TASKS_MAX;
  for (size_t i = 0; i < count; i++) {
    struct task *task = loop->first;
    loop->first = task->next;
    if (loop->first == NULL) loop->last = &loop->first;
    loop->queued--;
    task->run(task);
  }
  return count > 0;
}

static bool run_timers(struct sim_loop *loop) {
  uint64_t now_ns = sim_loop_now_ns(&loop->loop);
  bool any = false;
  for (;;) {
    size_t at = 0;
    while (at < loop->timer_count && loop->timers[at]->order > loop->timer_order_frozen) at++;
    if (at == loop->timer_count || loop->timers[at]->deadline_ns > now_ns) return any;
    struct timer *timer = loop->timers[at];
    sim_loop_timer_cancel(&loop->loop, timer);
    timer->fire(timer);
    any = true;
  }
}

/* Frees it when it was the last one. */
static void iterate(struct sim_loop *loop) {
  loop->running = true;
  loop->timer_order_frozen = loop->timer_order;
  bool stopping = loop->stopping;
  bool any_task = run_tasks(loop);
  bool any_timer = !stopping && run_timers(loop);
  if ((any_task || any_timer) && loop->loop.turn_hook != NULL) loop->loop.turn_hook(loop->loop.turn_hook_context);
  loop->running = false;
  if (!stopping || loop->first != NULL) {
    schedule(loop);
    return;
  }
  loop->over = true;
  if (loop->stopper != NULL) sim_fiber_wake(loop->stopper, sim_now_ns(sim_of(loop)));
}

static void fire_lane(struct sim_event *event) {
  struct sim_loop *loop = container_of(event, struct sim_loop, event);
  if (sim_process_holds(loop->loops->process, event)) return;
  iterate(loop);
}

static void fire_blocking(struct sim_event *event) {
  struct sim_loop *loop = container_of(event, struct sim_loop, event);
  loop->running = true; /* nothing else schedules it until its fiber has done the iteration */
  sim_fiber_wake(loop->fiber, sim_now_ns(sim_of(loop)));
}

static void loop_fiber(void *context) {
  struct sim_loop *loop = context;
  while (!loop->over) {
    while (!loop->running) sim_fiber_park(sim_of(loop));
    iterate(loop);
  }
}

/* ---- Life ---- */

static bool loop_is_over(void *context) {
  const struct sim_loop *loop = context;
  return loop->over && (loop->fiber == NULL || sim_fiber_over(loop->fiber));
}

static void sim_loop_stop(struct loop *base) {
  struct sim_loop *loop = sim_loop_of(base);
  struct sim *sim = sim_of(loop);
  PRE(!loop->stopping);
  loop->stopping = true;
  schedule(loop);
  loop->stopper = sim_fiber_current(sim);
  if (loop->stopper == NULL) {
    CHECK_MSG(sim_run_until(sim, loop_is_over, loop, UINT64_MAX), "%s never stops", loop->name);
  }
  while (!loop_is_over(loop)) {
    sim_fiber_wake(loop->stopper, sim_now_ns(sim) + 1000000u);
    sim_fiber_park(sim);
  }
  sim_event_cancel(sim, &loop->event);
  sim_fiber_free(loop->fiber);
  list_remove(&loop->node);
  for (size_t i = 0; i < loop->timer_count; i++) loop->timers[i]->slot = 0;
  memory_free(loop->timers);
  memory_free(loop);
}

static const struct loop_ops sim_loop_ops = {
    .post = sim_loop_post,
    .now_ns = sim_loop_now_ns,
    .wall_ms = sim_loop_wall_ms,
    .timer_set = sim_loop_timer_set,
    .timer_cancel = sim_loop_timer_cancel,
    .stop = sim_loop_stop,
};

struct loop *sim_loop_new(struct sim_loops *loops, const char *name, unsigned flags) {
  PRE(strlen(name) < sizeof((struct sim_loop *)0)->name);
  struct sim_loop *loop = NEW(struct sim_loop);
  loop->loop.ops = &sim_loop_ops;
  loop->loops = loops;
  loop->flags = flags;
  loop->last = &loop->first;
  memcpy(loop->name, name, strlen(name));
  list_push_back(&loops->loops, &loop->node);
  loop->event.fire = fire_lane;
  if (flags & LOOP_MAY_BLOCK) {
    loop->event.fire = fire_blocking;
    loop->fiber = sim_fiber_start(loops->process, loop->name, loop_fiber, loop);
  }
  return &loop->loop;
}
