#include "tests/unit/base/cmocka_base.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>

#include "base/list.h"
#include "base/memory.h"
#include "base/os/world_os.h"

static char directory[256];
static struct world *world;

static int setup(void **state) {
  (void)state;
  scratch_new(directory);
  return world_os_open(directory, false, &world) == STATUS_OK ? 0 : -1;
}

static int teardown(void **state) {
  (void)state;
  world_os_close(world);
  scratch_free(directory);
  return 0;
}

static void count_up(struct task *task) { task->run = NULL; }

static void a_world_has_its_doors_and_no_rpc_yet(void **state) {
  (void)state;
  struct task task = {.run = count_up};
  struct disk_stat stat;

  struct loop *loop = world_loop_new(world, "lane", 0);
  uint64_t now_ns = loop_now_ns(loop);
  loop_post(loop, &task);
  loop_stop(loop);

  assert_null(task.run);
  assert_null(world->rpc);
  assert_ok(disk_stat_path(world->disk, "", &stat));
  assert_true(world_now_ns(world) >= now_ns);
  assert_true(world_wall_ms(world) > 1600000000000);
}

struct flag {
  struct task task;
  atomic_bool is_set;
  unsigned written_before;
};

static void set_flag(struct task *task) {
  struct flag *flag = list_entry(task, struct flag, task);
  usleep(3000);
  flag->written_before = 7;
  atomic_store_explicit(&flag->is_set, true, memory_order_release);
}

static void wait_ends_when_a_loop_has_set_the_flag(void **state) {
  (void)state;
  struct flag flag = {.task.run = set_flag};
  struct loop *loop = world_loop_new(world, "lane", 0);

  loop_post(loop, &flag.task);
  world_wait(world, &flag.is_set);

  assert_int_equal(flag.written_before, 7);
  loop_stop(loop);
}

/* ---- Loops near the rpc door ---- */

static struct loop *lent;
static unsigned asked;

static struct loop *lend(struct rpc *rpc, const char *name) {
  assert_ptr_equal(rpc, world->rpc);
  assert_string_equal(name, "lane");
  asked++;
  return lent;
}

static void a_loop_near_the_rpc_door_is_asked_of_it(void **state) {
  (void)state;
  struct rpc rpc = {0};
  world->rpc = &rpc;
  world_os_lend_thread(world, lend);

  struct loop *far = world_loop_new(world, "journal", LOOP_MAY_BLOCK);
  assert_int_equal(asked, 0);
  lent = far;
  assert_ptr_equal(world_loop_new(world, "lane", LOOP_NEAR_RPC), far);
  lent = NULL;
  struct loop *own = world_loop_new(world, "lane", LOOP_NEAR_RPC);

  assert_int_equal(asked, 2);
  assert_non_null(own);
  loop_stop(own);
  loop_stop(far);
  world->rpc = NULL;
}

static void tables_lie_in_the_data_directory_wherever_the_process_goes(void **state) {
  (void)state;
  struct store *store = NULL;
  struct disk_stat stat;
  char before[512];
  assert_non_null(getcwd(before, sizeof before));
  assert_int_equal(chdir("/"), 0);

  assert_status(world_store_open(world, "store.mdb", 1 << 20, 0, &store), STATUS_NOT_FOUND);
  assert_ok(world_store_open(world, "store.mdb", 1 << 20, STORE_CREATE, &store));

  store_close(store);
  store_close(NULL);
  assert_ok(disk_stat_path(world->disk, "store.mdb", &stat));
  assert_int_equal(chdir(before), 0);
}

static void absent_and_forbidden_directories_are_told(void **state) {
  (void)state;
  struct world *other = NULL;
  char path[300];
  snprintf(path, sizeof path, "%s/none", directory);

  assert_status(world_os_open(path, false, &other), STATUS_NOT_FOUND);
  assert_ok(world_os_open(path, true, &other));

  world_os_close(other);
  world_os_close(NULL);
}

enum { NUMBERS = 4000 };

static void *draw(void *argument) {
  uint64_t *numbers = argument;
  for (unsigned i = 0; i < NUMBERS; i++) numbers[i] = entropy_next(world->entropy);
  return NULL;
}

static int compare_numbers(const void *a, const void *b) {
  uint64_t left = *(const uint64_t *)a;
  uint64_t right = *(const uint64_t *)b;
  return (left > right) - (left < right);
}

static void chance_does_not_repeat_itself_on_any_thread(void **state) {
  (void)state;
  uint64_t *numbers = memory_new_array(3 * NUMBERS, sizeof *numbers);
  pthread_t threads[3];
  uint64_t ones = 0;

  for (unsigned i = 0; i < 3; i++) pthread_create(&threads[i], NULL, draw, numbers + i * NUMBERS);
  for (unsigned i = 0; i < 3; i++) pthread_join(threads[i], NULL);

  qsort(numbers, 3 * NUMBERS, sizeof *numbers, compare_numbers);
  for (unsigned i = 1; i < 3 * NUMBERS; i++) assert_true(numbers[i - 1] != numbers[i]);
  for (unsigned i = 0; i < 3 * NUMBERS; i++) ones += (uint64_t)__builtin_popcountll(numbers[i]);
  assert_in_range(ones, 3 * NUMBERS * 31, 3 * NUMBERS * 33);
  memory_free(numbers);
}

static void two_sources_of_chance_differ(void **state) {
  (void)state;
  struct entropy *other = entropy_os_new();

  assert_true(entropy_next(world->entropy) != entropy_next(other));

  entropy_os_free(other);
  entropy_os_free(NULL);
}

static void the_limit_on_files_is_raised_to_the_hard_one(void **state) {
  (void)state;
  struct rlimit limit;

  unsigned long now = world_os_raise_file_limit();

  assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
  assert_int_equal(now, limit.rlim_cur);
  assert_int_equal(limit.rlim_cur, limit.rlim_max);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(a_world_has_its_doors_and_no_rpc_yet, setup, teardown),
      cmocka_unit_test_setup_teardown(wait_ends_when_a_loop_has_set_the_flag, setup, teardown),
      cmocka_unit_test_setup_teardown(a_loop_near_the_rpc_door_is_asked_of_it, setup, teardown),
      cmocka_unit_test_setup_teardown(tables_lie_in_the_data_directory_wherever_the_process_goes, setup, teardown),
      cmocka_unit_test_setup_teardown(absent_and_forbidden_directories_are_told, setup, teardown),
      cmocka_unit_test_setup_teardown(chance_does_not_repeat_itself_on_any_thread, setup, teardown),
      cmocka_unit_test_setup_teardown(two_sources_of_chance_differ, setup, teardown),
      cmocka_unit_test_setup_teardown(the_limit_on_files_is_raised_to_the_hard_one, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
