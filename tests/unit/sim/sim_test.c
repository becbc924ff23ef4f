/* The scheduler: time, fibers, processes, streams, and that a seed repeats itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/memory.h"
#include "tests/sim/sim_random.h"
#include "tests/sim/sim_store.h"
#include "tests/sim/sim_world.h"

struct fixture {
  struct sim *sim;
  struct sim_disk *device;
  struct sim_world *node;
  char text[128];
};

static struct fixture *fixture_new(uint64_t seed) {
  struct fixture *fixture = NEW(struct fixture);
  fixture->sim = sim_new(seed);
  fixture->device = sim_disk_new(fixture->sim, "disk", 16 << 20);
  fixture->node = sim_world_new(fixture->sim, fixture->device, "node");
  return fixture;
}

static void fixture_free(struct fixture *fixture) {
  sim_world_free(fixture->node);
  sim_disk_free(fixture->device);
  sim_free(fixture->sim);
  memory_free(fixture);
}

static int set_up(void **state) {
  *state = fixture_new(5);
  return 0;
}

static int tear_down(void **state) {
  fixture_free(*state);
  return 0;
}

static void tell(struct fixture *fixture, const char *text) {
  size_t length = strlen(fixture->text);
  snprintf(fixture->text + length, sizeof fixture->text - length, "%s", text);
}

static void boot_to_end(struct fixture *fixture, void (*run)(void *context)) {
  sim_world_boot(fixture->node, run, fixture);
  assert_true(sim_run_until(fixture->sim, sim_world_booted, fixture->node, sim_now_ns(fixture->sim) + 10000000000u));
}

/* ---- A writer that blocks, and a lane that goes on meanwhile ---- */

struct pair {
  struct fixture *fixture;
  struct loop *lane;
  struct loop *writer;
  struct task write;
  struct task count;
  struct task told;
  unsigned counted;
  unsigned counted_during_write;
  enum status status;
};

static void run_count(struct task *task) {
  struct pair *pair = container_of(task, struct pair, count);
  if (++pair->counted < 1000) loop_post(pair->lane, &pair->count);
}

static void run_told(struct task *task) {
  struct pair *pair = container_of(task, struct pair, told);
  tell(pair->fixture, pair->status == STATUS_OK ? "written " : "failed ");
}

static void run_write(struct task *task) {
  struct pair *pair = container_of(task, struct pair, write);
  struct disk *disk = sim_world_doors(pair->fixture->node)->disk;
  struct disk_file *file = NULL;
  unsigned before = pair->counted;
  pair->status = disk_open(disk, "file", DISK_CREATE, &file);
  if (pair->status == STATUS_OK) pair->status = disk_write(file, 0, bytes_of_string("hello"));
  if (pair->status == STATUS_OK) pair->status = disk_sync(file);
  pair->counted_during_write = pair->counted - before;
  disk_close(file);
  loop_post(pair->lane, &pair->told);
}

static void pair_start(struct pair *pair, struct fixture *fixture) {
  *pair = (struct pair){.fixture = fixture};
  pair->lane = world_loop_new(sim_world_doors(fixture->node), "lane", 0);
  pair->writer = world_loop_new(sim_world_doors(fixture->node), "writer", LOOP_MAY_BLOCK);
  pair->write.run = run_write;
  pair->count.run = run_count;
  pair->told.run = run_told;
  loop_post(pair->lane, &pair->count);
  loop_post(pair->writer, &pair->write);
}

static void pair_stop(struct pair *pair) {
  loop_stop(pair->writer);
  loop_stop(pair->lane);
}

static void other_loops_run_while_one_blocks(void **state) {
  struct fixture *fixture = *state;
  struct pair pair;
  pair_start(&pair, fixture);
  sim_run_for(fixture->sim, 50000000);
  pair_stop(&pair);

  assert_string_equal(fixture->text, "written ");
  assert_true(pair.counted_during_write > 3);
  assert_int_equal(pair.counted, 1000);
}

static void a_killed_process_unwinds_and_leaves_nothing(void **state) {
  struct fixture *fixture = *state;
  struct pair pair;
  sim_disk_fault(fixture->device, "slow every any on * by 1000");
  pair_start(&pair, fixture);
  sim_run_for(fixture->sim, 1000000);

  sim_world_kill(fixture->node);
  sim_run_for(fixture->sim, 50000000);

  pair_stop(&pair);
  assert_string_equal(fixture->text, "failed ");
  uint64_t size = 0;
  assert_true(!sim_disk_size(fixture->device, "file", &size) || size == 0);
}

static void a_paused_process_stands_still(void **state) {
  struct fixture *fixture = *state;
  struct pair pair;
  pair_start(&pair, fixture);
  sim_process_pause(sim_world_process(fixture->node));

  sim_run_for(fixture->sim, 50000000);
  assert_int_equal(pair.counted, 0);
  sim_process_resume(sim_world_process(fixture->node));
  sim_run_for(fixture->sim, 50000000);

  assert_string_equal(fixture->text, "written ");
  pair_stop(&pair);
}

/* ---- Blocking code on the boot fiber ---- */

static void boot_pair(void *context) {
  struct pair pair;
  pair_start(&pair, context);
  pair_stop(&pair);
}

static void loops_are_stopped_from_a_fiber(void **state) {
  struct fixture *fixture = *state;
  boot_to_end(fixture, boot_pair);
  assert_string_equal(fixture->text, "written ");
}

static struct bytes filling(uint8_t *into, size_t size, uint8_t with) {
  memset(into, with, size);
  return bytes_of(into, size);
}

static void commit_twice(void *context) {
  struct fixture *fixture = context;
  struct store *store = NULL;
  uint8_t value[3000];
  if (world_store_open(sim_world_doors(fixture->node), "store.mdb", 1 << 20, STORE_CREATE, &store) != STATUS_OK) return;
  struct store_change change = {.table = 1, .key = bytes_of_string("key"), .value = filling(value, sizeof value, 'a')};
  if (store_commit(store, &change, 1) == STATUS_OK) tell(fixture, "a");
  filling(value, sizeof value, 'b');
  if (store_commit(store, &change, 1) == STATUS_OK) tell(fixture, "b");
  store_close(store);
}

static void read_store(void *context) {
  struct fixture *fixture = context;
  struct store *store = NULL;
  struct buffer value = {.max = 4096};
  enum status status = world_store_open(sim_world_doors(fixture->node), "store.mdb", 1 << 20, STORE_CREATE, &store);
  assert_int_equal(status, STATUS_OK);
  status = store_get(store, 1, bytes_of_string("key"), &value);
  fixture->text[0] = status == STATUS_NOT_FOUND ? '-' : (char)value.data[0];
  for (size_t i = 0; i < value.size; i++) assert_int_equal(value.data[i], value.data[0]);
  buffer_deinit(&value);
  store_close(store);
}

/* Old or new, never less than what was answered, wherever it crashes and however much of it is torn. */
static void commits_are_atomic_at_every_crash_point(void **state) {
  (void)state;
  unsigned runs = 0;
  for (uint64_t k = 1; k <= 14; k++) {
    for (int mode = 0; mode < SIM_POWER_COUNT; mode++) {
      struct fixture *fixture = fixture_new(k);
      sim_disk_crash_at(fixture->device, k, SIM_CRASH_DURING);
      boot_to_end(fixture, commit_twice);
      char answered = fixture->text[0] == '\0' ? '-' : fixture->text[strlen(fixture->text) - 1];
      sim_world_kill(fixture->node);
      sim_world_free(fixture->node);
      sim_disk_crash_at(fixture->device, 0, SIM_CRASH_BEFORE);
      sim_disk_power_cut(fixture->device, (enum sim_power_cut)mode, k);
      fixture->node = sim_world_new(fixture->sim, fixture->device, "again");

      boot_to_end(fixture, read_store);

      bool next = (answered == '-' && fixture->text[0] == 'a') || (answered == 'a' && fixture->text[0] == 'b');
      assert_true(fixture->text[0] == answered || next);
      fixture_free(fixture);
      runs++;
    }
  }
  assert_int_equal(runs, 14 * SIM_POWER_COUNT);
}

/* ---- Repeating ---- */

static uint64_t hash_of(uint64_t seed) {
  struct fixture *fixture = fixture_new(seed);
  boot_to_end(fixture, boot_pair);
  boot_to_end(fixture, commit_twice);
  uint64_t hash = sim_hash(fixture->sim);
  fixture_free(fixture);
  return hash;
}

static void a_seed_repeats_itself_and_another_does_not(void **state) {
  (void)state;
  assert_true(hash_of(1) == hash_of(1));
  assert_true(hash_of(1) != hash_of(2));
}

static void streams_do_not_shift_each_other(void **state) {
  (void)state;
  struct sim_random one;
  struct sim_random two;
  sim_random_init(&one, 9, "one");
  sim_random_init(&two, 9, "two");
  uint64_t expected = sim_random_next(&two);
  sim_random_init(&two, 9, "two");
  for (int i = 0; i < 10; i++) assert_true(sim_random_below(&one, 7) < 7);
  assert_true(sim_random_next(&two) == expected);
  assert_true(sim_random_between(&one, 3, 3) == 3);
}

/* ---- Clocks ---- */

static void a_fast_clock_fires_timers_early(void **state) {
  struct fixture *fixture = *state;
  struct world *doors = sim_world_doors(fixture->node);
  uint64_t before_ns = world_now_ns(doors);
  sim_world_set_rate(fixture->node, 1000000);
  sim_run_for(fixture->sim, 1000000);
  assert_int_equal(world_now_ns(doors) - before_ns, 2000000);
  int64_t wall_ms = world_wall_ms(doors);
  sim_world_jump_wall(fixture->node, -3600000);
  assert_int_equal(world_wall_ms(doors) - wall_ms, -3600000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(other_loops_run_while_one_blocks),
      TEST(a_killed_process_unwinds_and_leaves_nothing),
      TEST(a_paused_process_stands_still),
      TEST(loops_are_stopped_from_a_fiber),
      cmocka_unit_test(commits_are_atomic_at_every_crash_point),
      cmocka_unit_test(a_seed_repeats_itself_and_another_does_not),
      cmocka_unit_test(streams_do_not_shift_each_other),
      TEST(a_fast_clock_fires_timers_early),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
