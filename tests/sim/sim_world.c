#include "tests/sim/sim_world.h"

#include <stdio.h>

#include "base/check.h"
#include "base/memory.h"
#include "tests/sim/sim_loop.h"
#include "tests/sim/sim_random.h"
#include "tests/sim/sim_store.h"

#define LOOK_AGAIN_NS 10000u /* at first; then after twice as long, and so on */
#define LOOK_AGAIN_NS_MAX 1280000u
#define WAIT_NS_MAX ((uint64_t)1 << 62) /* longer is for ever */

struct sim_entropy {
  struct entropy entropy;
  struct sim_random random;
};

struct sim_world {
  struct world world;
  struct sim_process process;
  struct sim_loops loops;
  struct sim_entropy entropy;
  struct sim_fiber *boot;
  struct list word_waiters;
  char name[24];
};

static struct sim_world *sim_world_of(struct world *world) { return container_of(world, struct sim_world, world); }

static uint64_t sim_entropy_next(struct entropy *entropy) {
  return sim_random_next(&container_of(entropy, struct sim_entropy, entropy)->random);
}
static const struct entropy_ops sim_entropy_ops = {.next = sim_entropy_next};

static struct loop *world_loop(struct world *world, const char *name, unsigned flags) {
  return sim_loop_new(&sim_world_of(world)->loops, name, flags);
}

static enum status world_store(struct world *world, const char *path, uint64_t size_max, unsigned flags,
                               struct store **out_store) {
  return sim_store_open(&sim_world_of(world)->process, world->disk, path, size_max, flags, out_store);
}

static uint64_t now_ns(struct world *world) {
  struct sim_world *sim_world = sim_world_of(world);
  return sim_clock_local_ns(&sim_world->loops.clock, sim_now_ns(sim_world->process.sim));
}

static int64_t wall_ms(struct world *world) {
  struct sim_world *sim_world = sim_world_of(world);
  return sim_world->loops.clock.wall_offset_ms + (int64_t)(sim_now_ns(sim_world->process.sim) / 1000000u);
}

struct awaited {
  const atomic_bool *flag;
};

static bool has_come(void *context) {
  const struct awaited *awaited = context;
  return atomic_load_explicit(awaited->flag, memory_order_acquire);
}

/* A fiber looks again and again, also when its process is dead: those it waits for unwind meanwhile. */
static void world_await(struct world *world, const atomic_bool *flag) {
  struct sim *sim = sim_world_of(world)->process.sim;
  struct awaited awaited = {.flag = flag};
  if (sim_fiber_current(sim) == NULL) {
    CHECK_MSG(sim_run_until(sim, has_come, &awaited, UINT64_MAX), "%s waits for ever", sim_world_of(world)->name);
  }
  for (uint64_t after_ns = LOOK_AGAIN_NS; !has_come(&awaited);) {
    sim_fiber_wake(sim_fiber_current(sim), sim_now_ns(sim) + after_ns);
    sim_fiber_park(sim);
    if (after_ns < LOOK_AGAIN_NS_MAX) after_ns *= 2;
  }
}

/* ---- Words ---- */

struct word_waiter {
  struct list_node node;
  const atomic_uint *word;
  struct sim_fiber *fiber;
};

struct awaited_word {
  const atomic_uint *word;
  unsigned seen;
};

static bool has_changed(void *context) {
  const struct awaited_word *awaited = context;
  return atomic_load(awaited->word) != awaited->seen;
}

/* A dead process still unwinds: its time goes on. */
static void world_await_word(struct world *world, const atomic_uint *word, unsigned seen, uint64_t timeout_ns) {
  struct sim_world *sim_world = sim_world_of(world);
  struct sim *sim = sim_world->process.sim;
  struct awaited_word awaited = {.word = word, .seen = seen};
  const struct sim_clock *clock = &sim_world->loops.clock;
  uint64_t local_ns = sim_clock_local_ns(clock, sim_now_ns(sim));
  uint64_t until_ns = timeout_ns < WAIT_NS_MAX ? sim_clock_sim_ns(clock, local_ns + timeout_ns) : UINT64_MAX;
  if (has_changed(&awaited)) return;
  struct word_waiter waiter = {.word = word, .fiber = sim_fiber_current(sim)};
  if (waiter.fiber == NULL) {
    if (!sim_run_until(sim, has_changed, &awaited, until_ns)) sim_run_for(sim, until_ns - sim_now_ns(sim));
    return;
  }
  list_push_back(&sim_world->word_waiters, &waiter.node);
  if (until_ns != UINT64_MAX) sim_fiber_wake(waiter.fiber, until_ns);
  sim_fiber_park(sim);
  if (list_node_linked(&waiter.node)) list_remove(&waiter.node);
}

static void world_rouse_word(struct world *world, const atomic_uint *word) {
  struct sim_world *sim_world = sim_world_of(world);
  uint64_t now_ns = sim_now_ns(sim_world->process.sim);
  list_for_each(&sim_world->word_waiters, node, following) {
    struct word_waiter *waiter = list_entry(node, struct word_waiter, node);
    if (waiter->word != word) continue;
    list_remove(node);
    sim_fiber_wake(waiter->fiber, now_ns);
  }
}

static const struct world_ops sim_world_ops = {.loop_new = world_loop,
                                               .store_open = world_store,
                                               .wait = world_await,
                                               .wait_word = world_await_word,
                                               .wake_word = world_rouse_word,
                                               .now_ns = now_ns,
                                               .wall_ms = wall_ms};

struct sim_world *sim_world_new(struct sim *sim, struct sim_disk *device, const char *name) {
  struct sim_world *sim_world = NEW(struct sim_world);
  snprintf(sim_world->name, sizeof sim_world->name, "%s", name);
  sim_process_init(&sim_world->process, sim, sim_world->name);
  sim_loops_init(&sim_world->loops, &sim_world->process);
  /* Two processes of one name draw differently: the second began later. */
  sim_world->entropy.entropy.ops = &sim_entropy_ops;
  sim_random_init(&sim_world->entropy.random, sim_seed(sim) + sim_now_ns(sim), sim_world->name);
  list_init(&sim_world->word_waiters);
  sim_world->world.ops = &sim_world_ops;
  sim_world->world.disk = sim_disk_mount(device, &sim_world->process);
  sim_world->world.entropy = &sim_world->entropy.entropy;
  return sim_world;
}

void sim_world_free(struct sim_world *sim_world) {
  if (sim_world == NULL) return;
  PRE(list_empty(&sim_world->word_waiters));
  sim_fiber_free(sim_world->boot);
  PRE(list_empty(&sim_world->loops.loops));
  PRE(list_empty(&sim_world->process.fibers));
  sim_disk_unmount(sim_world->world.disk);
  memory_free(sim_world);
}

struct world *sim_world_doors(struct sim_world *sim_world) {
  return &sim_world->world;
}
struct sim_process *sim_world_process(struct sim_world *sim_world) {
  return &sim_world->process;
}

void sim_world_boot(struct sim_world *sim_world, void (*run)(void *context), void *context) {
  sim_fiber_free(sim_world->boot);
  sim_world->boot = sim_fiber_start(&sim_world->process, "boot", run, context);
}

bool sim_world_booted(void *context) {
  const struct sim_world *sim_world = context;
  return sim_world->boot == NULL || sim_fiber_over(sim_world->boot);
}

void sim_world_kill(struct sim_world *sim_world) { sim_process_kill(&sim_world->process); }

void sim_world_set_rate(struct sim_world *sim_world, int32_t parts_per_million) {
  PRE(parts_per_million > -1000000);
  struct sim_clock *clock = &sim_world->loops.clock;
  uint64_t sim_ns = sim_now_ns(sim_world->process.sim);
  clock->base_local_ns = sim_clock_local_ns(clock, sim_ns);
  clock->base_sim_ns = sim_ns;
  clock->rate_ppm = parts_per_million;
  sim_loops_clock_changed(&sim_world->loops);
}

void sim_world_jump_wall(struct sim_world *sim_world, int64_t by_ms) { sim_world->loops.clock.wall_offset_ms += by_ms; }
