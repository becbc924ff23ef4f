/* The simulated disk loses what it should and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "tests/sim/sim_disk.h"

struct fixture {
  struct sim *sim;
  struct sim_disk *device;
  struct sim_process process;
  struct disk *disk;
};

static int set_up(void **state) {
  struct fixture *fixture = NEW(struct fixture);
  fixture->sim = sim_new(7);
  fixture->device = sim_disk_new(fixture->sim, "disk", 1 << 20);
  sim_process_init(&fixture->process, fixture->sim, "node");
  fixture->disk = sim_disk_mount(fixture->device, &fixture->process);
  *state = fixture;
  return 0;
}

static int tear_down(void **state) {
  struct fixture *fixture = *state;
  sim_disk_unmount(fixture->disk);
  sim_disk_free(fixture->device);
  sim_free(fixture->sim);
  memory_free(fixture);
  return 0;
}

/* Kills the process, cuts the power, starts another process. */
static void restart(struct fixture *fixture, enum sim_power_cut mode, uint64_t salt) {
  sim_process_kill(&fixture->process);
  sim_disk_unmount(fixture->disk);
  if (mode != SIM_POWER_COUNT) sim_disk_power_cut(fixture->device, mode, salt);
  sim_process_init(&fixture->process, fixture->sim, "node");
  fixture->disk = sim_disk_mount(fixture->device, &fixture->process);
}
#define ONLY_KILLED SIM_POWER_COUNT

static struct disk_file *opened(struct fixture *fixture, const char *path, unsigned flags) {
  struct disk_file *file = NULL;
  assert_int_equal(disk_open(fixture->disk, path, flags, &file), STATUS_OK);
  return file;
}

static enum status write_text(struct disk_file *file, uint64_t offset, const char *text) {
  return disk_write(file, offset, bytes_of_string(text));
}

static void durable_file(struct fixture *fixture, const char *path, const char *text) {
  struct disk_file *file = opened(fixture, path, DISK_CREATE);
  assert_int_equal(write_text(file, 0, text), STATUS_OK);
  assert_int_equal(disk_sync(file), STATUS_OK);
  assert_int_equal(disk_sync_dir(fixture->disk, ""), STATUS_OK);
  disk_close(file);
}

static void assert_holds(struct fixture *fixture, const char *path, const char *text) {
  char into[64] = {0};
  uint64_t size = 0;
  assert_true(sim_disk_size(fixture->device, path, &size));
  assert_int_equal(size, strlen(text));
  assert_true(sim_disk_peek(fixture->device, path, 0, into, strlen(text)));
  assert_memory_equal(into, text, strlen(text));
}

static bool there(struct fixture *fixture, const char *path) {
  uint64_t size = 0;
  return sim_disk_size(fixture->device, path, &size);
}

static void synced_data_survive_every_mode(void **state) {
  struct fixture *fixture = *state;
  durable_file(fixture, "a", "precious");

  for (int mode = 0; mode < SIM_POWER_COUNT; mode++) restart(fixture, (enum sim_power_cut)mode, 1);

  assert_holds(fixture, "a", "precious");
}

static void unsynced_data_survive_a_kill_and_not_a_power_cut(void **state) {
  struct fixture *fixture = *state;
  durable_file(fixture, "a", "old");
  struct disk_file *file = opened(fixture, "a", 0);
  assert_int_equal(write_text(file, 0, "new and longer"), STATUS_OK);
  disk_close(file);

  restart(fixture, ONLY_KILLED, 0);
  assert_holds(fixture, "a", "new and longer");

  restart(fixture, SIM_POWER_DROP, 0);
  assert_holds(fixture, "a", "old");
}

static void write_through_is_durable_at_once_and_by_itself(void **state) {
  struct fixture *fixture = *state;
  durable_file(fixture, "a", "................");
  struct disk_file *lazy = opened(fixture, "a", 0);
  struct disk_file *through = opened(fixture, "a", DISK_WRITE_THROUGH);
  assert_int_equal(write_text(lazy, 0, "lost"), STATUS_OK);
  assert_int_equal(write_text(through, 8, "kept"), STATUS_OK);
  disk_close(lazy);
  disk_close(through);

  restart(fixture, SIM_POWER_DROP, 0);

  assert_holds(fixture, "a", "........kept....");
}

static void names_are_lost_without_a_directory_sync(void **state) {
  struct fixture *fixture = *state;
  durable_file(fixture, "moved", "m");
  durable_file(fixture, "removed", "r");
  struct disk_file *file = opened(fixture, "created", DISK_CREATE);
  assert_int_equal(write_text(file, 0, "c"), STATUS_OK);
  assert_int_equal(disk_sync(file), STATUS_OK);
  disk_close(file);
  assert_int_equal(disk_rename(fixture->disk, "moved", "elsewhere"), STATUS_OK);
  assert_int_equal(disk_remove(fixture->disk, "removed"), STATUS_OK);

  restart(fixture, SIM_POWER_DROP, 0);

  assert_false(there(fixture, "created"));
  assert_false(there(fixture, "elsewhere"));
  assert_holds(fixture, "moved", "m");
  assert_holds(fixture, "removed", "r");
}

static void names_are_lost_one_by_one_and_renames_are_atomic(void **state) {
  struct fixture *fixture = *state;
  bool lost_only_create = false;
  bool lost_only_rename = false;
  for (uint64_t salt = 1; salt <= 40; salt++) {
    durable_file(fixture, "one", "1");
    struct disk_file *file = opened(fixture, "two", DISK_CREATE);
    disk_close(file);
    assert_int_equal(disk_rename(fixture->disk, "one", "three"), STATUS_OK);

    restart(fixture, SIM_POWER_TEAR, salt);

    assert_int_equal(there(fixture, "one") + there(fixture, "three"), 1);
    lost_only_create |= !there(fixture, "two") && there(fixture, "three");
    lost_only_rename |= there(fixture, "two") && there(fixture, "one");
    if (there(fixture, "two")) assert_int_equal(disk_remove(fixture->disk, "two"), STATUS_OK);
    if (there(fixture, "three")) assert_int_equal(disk_remove(fixture->disk, "three"), STATUS_OK);
    assert_int_equal(disk_sync_dir(fixture->disk, ""), STATUS_OK);
  }
  assert_true(lost_only_create && lost_only_rename);
}

/* A rename without its create, both in one synced place: the file must not be lost by keeping less. */
static void a_name_never_skips_a_change(void **state) {
  struct fixture *fixture = *state;
  for (uint64_t salt = 1; salt <= 40; salt++) {
    durable_file(fixture, "a", "first");
    assert_int_equal(disk_rename(fixture->disk, "a", "b"), STATUS_OK);
    struct disk_file *file = opened(fixture, "a", DISK_CREATE | DISK_EXCLUSIVE);
    disk_close(file);

    restart(fixture, SIM_POWER_REORDER, salt);

    if (!there(fixture, "b")) assert_holds(fixture, "a", "first");
    if (there(fixture, "a")) assert_int_equal(disk_remove(fixture->disk, "a"), STATUS_OK);
    if (there(fixture, "b")) assert_int_equal(disk_remove(fixture->disk, "b"), STATUS_OK);
    assert_int_equal(disk_sync_dir(fixture->disk, ""), STATUS_OK);
  }
}

static void torn_writes_lose_any_sectors(void **state) {
  struct fixture *fixture = *state;
  uint8_t fresh[8 * 512];
  uint8_t left[8 * 512];
  bool later_without_earlier = false;
  memset(fresh, 'n', sizeof fresh);
  for (uint64_t salt = 1; salt <= 20; salt++) {
    struct disk_file *file = opened(fixture, "a", DISK_CREATE);
    memset(left, 'o', sizeof left);
    assert_int_equal(disk_write(file, 0, bytes_of(left, sizeof left)), STATUS_OK);
    assert_int_equal(disk_sync(file), STATUS_OK);
    assert_int_equal(disk_sync_dir(fixture->disk, ""), STATUS_OK);
    assert_int_equal(disk_write(file, 0, bytes_of(fresh, sizeof fresh)), STATUS_OK);
    disk_close(file);

    restart(fixture, SIM_POWER_TEAR, salt);

    assert_true(sim_disk_peek(fixture->device, "a", 0, left, sizeof left));
    for (size_t i = 0; i < sizeof left; i++) assert_int_equal(left[i], left[i / 512 * 512]);
    later_without_earlier |= left[0] == 'o' && left[7 * 512] == 'n';
  }
  assert_true(later_without_earlier);
}

/* What Linux does: the pages turn clean, the cache still shows them, the next sync has nothing to do and says OK. */
static void failed_sync_then_retry_says_ok_with_the_data_dropped(void **state) {
  struct fixture *fixture = *state;
  durable_file(fixture, "a", "old");
  sim_disk_fault(fixture->device, "fail 1st sync on a");
  struct disk_file *file = opened(fixture, "a", 0);
  struct disk_file *again = opened(fixture, "a", 0);
  char into[4] = {0};
  size_t size = 0;
  assert_int_equal(write_text(file, 0, "new"), STATUS_OK);
  assert_int_equal(disk_sync(file), STATUS_IO);
  assert_int_equal(disk_sync(file), STATUS_IO);
  assert_int_equal(disk_sync(again), STATUS_OK);
  assert_int_equal(disk_read(again, 0, into, 3, &size), STATUS_OK);
  disk_close(file);
  disk_close(again);

  assert_string_equal(into, "new");
  assert_int_equal(sim_disk_stats(fixture->device).cached_after_failure, 1);
  assert_holds(fixture, "a", "old"); /* what a direct read sees */
  restart(fixture, SIM_POWER_KEEP, 0);
  assert_holds(fixture, "a", "old");
}

static void a_directory_that_is_gone_takes_what_was_in_it_along(void **state) {
  struct fixture *fixture = *state;
  uint64_t before = sim_disk_used(fixture->device);
  assert_int_equal(disk_make_dir(fixture->disk, "d"), STATUS_OK);
  durable_file(fixture, "d/a", "old");
  assert_int_equal(disk_sync_dir(fixture->disk, "d"), STATUS_OK);
  assert_int_equal(disk_remove(fixture->disk, "d/a"), STATUS_OK);
  assert_int_equal(disk_remove(fixture->disk, "d"), STATUS_OK);
  assert_true(sim_disk_used(fixture->device) > before); /* a power cut may bring it back */
  assert_int_equal(disk_sync_dir(fixture->disk, ""), STATUS_OK);
  assert_int_equal(sim_disk_used(fixture->device), before);

  restart(fixture, SIM_POWER_DROP, 0);

  assert_false(sim_disk_size(fixture->device, "d/a", &before));
}

static void a_lying_sync_keeps_nothing(void **state) {
  struct fixture *fixture = *state;
  sim_disk_fault(fixture->device, "lie every sync on *");
  struct disk_file *file = opened(fixture, "a", DISK_CREATE | DISK_WRITE_THROUGH);
  assert_int_equal(write_text(file, 0, "gone"), STATUS_OK);
  assert_int_equal(disk_sync(file), STATUS_OK);
  assert_int_equal(disk_sync_dir(fixture->disk, ""), STATUS_OK);
  disk_close(file);

  restart(fixture, SIM_POWER_DROP, 0);

  assert_holds(fixture, "a", "");
}

static void faults_hit_the_nth_operation_on_matching_paths(void **state) {
  struct fixture *fixture = *state;
  sim_disk_fault(fixture->device, "fail 3rd write on journal* with no_space");
  struct disk_file *journal = opened(fixture, "journal", DISK_CREATE);
  struct disk_file *other = opened(fixture, "other", DISK_CREATE);

  for (int i = 1; i <= 4; i++) {
    assert_int_equal(write_text(other, 0, "x"), STATUS_OK);
    assert_int_equal(write_text(journal, 0, "x"), i == 3 ? STATUS_NO_SPACE : STATUS_OK);
  }

  assert_int_equal(sim_disk_faults_fired(fixture->device), 1);
  disk_close(journal);
  disk_close(other);
}

static void a_full_disk_takes_a_part(void **state) {
  struct fixture *fixture = *state;
  uint8_t *zeros = memory_new(2 << 20);
  memset(zeros, 1, 2 << 20);
  struct disk_file *file = opened(fixture, "a", DISK_CREATE);
  struct disk_stat stat = {0};
  struct disk_space space = {0};

  assert_int_equal(disk_write(file, 4096, bytes_of(zeros, 2 << 20)), STATUS_NO_SPACE);

  assert_int_equal(disk_stat_file(file, &stat), STATUS_OK);
  assert_int_equal(stat.size, 1 << 20);
  assert_int_equal(disk_space(fixture->disk, &space), STATUS_OK);
  assert_int_equal(space.available, 0);
  assert_int_equal(write_text(file, 0, "inside"), STATUS_OK);
  assert_int_equal(disk_truncate(file, 0), STATUS_OK);
  assert_int_equal(sim_disk_used(fixture->device), 0);
  disk_close(file);
  memory_free(zeros);
}

static void zeros_cost_no_memory_but_count_as_space(void **state) {
  struct fixture *fixture = *state;
  uint8_t *zeros = memory_new(1 << 19);
  struct disk_file *file = opened(fixture, "a", DISK_CREATE);

  assert_int_equal(disk_write(file, 0, bytes_of(zeros, 1 << 19)), STATUS_OK);
  assert_int_equal(disk_sync(file), STATUS_OK);

  assert_int_equal(sim_disk_used(fixture->device), 1 << 19);
  disk_close(file);
  memory_free(zeros);
}

static void after_the_crash_nothing_reaches_the_disk(void **state) {
  struct fixture *fixture = *state;
  durable_file(fixture, "a", "old");
  struct disk_file *file = opened(fixture, "a", 0);
  sim_disk_crash_at(fixture->device, sim_disk_operations(fixture->device) + 2, SIM_CRASH_BEFORE);
  assert_int_equal(write_text(file, 0, "one"), STATUS_OK);

  assert_int_equal(write_text(file, 0, "two"), STATUS_IO);

  assert_true(sim_disk_crashed(fixture->device));
  assert_int_equal(disk_sync(file), STATUS_IO);
  assert_int_equal(disk_rename(fixture->disk, "a", "b"), STATUS_IO);
  disk_close(file);
  restart(fixture, ONLY_KILLED, 0);
  assert_holds(fixture, "a", "one");
}

static void rot_is_seen_by_all_readers_and_stays(void **state) {
  struct fixture *fixture = *state;
  durable_file(fixture, "a", "abc");

  assert_int_equal(sim_disk_flip(fixture->device, "a*", 1, 'b' ^ 'X'), 1);

  assert_holds(fixture, "a", "aXc");
  restart(fixture, SIM_POWER_DROP, 0);
  assert_holds(fixture, "a", "aXc");
}

static void an_erased_disk_is_as_new(void **state) {
  struct fixture *fixture = *state;
  durable_file(fixture, "a", "abc");
  assert_int_equal(disk_make_dir(fixture->disk, "d"), STATUS_OK);
  durable_file(fixture, "d/b", "abc");
  sim_process_kill(&fixture->process);
  sim_disk_unmount(fixture->disk);

  sim_disk_erase(fixture->device);

  assert_int_equal(sim_disk_used(fixture->device), 0);
  sim_process_init(&fixture->process, fixture->sim, "node");
  fixture->disk = sim_disk_mount(fixture->device, &fixture->process);
  struct disk_file *file = NULL;
  assert_int_equal(disk_open(fixture->disk, "a", 0, &file), STATUS_NOT_FOUND);
  assert_int_equal(disk_open(fixture->disk, "d/b", 0, &file), STATUS_NOT_FOUND);
  restart(fixture, SIM_POWER_KEEP, 0);
  assert_int_equal(disk_open(fixture->disk, "a", 0, &file), STATUS_NOT_FOUND);
  durable_file(fixture, "a", "new");
  assert_holds(fixture, "a", "new");
}

static void a_lock_ends_with_its_process(void **state) {
  struct fixture *fixture = *state;
  struct sim_process second;
  struct disk_lock *lock = NULL;
  struct disk_lock *other = NULL;
  sim_process_init(&second, fixture->sim, "second");
  struct disk *disk = sim_disk_mount(fixture->device, &second);
  assert_int_equal(disk_lock(fixture->disk, "lock", &lock), STATUS_OK);
  assert_int_equal(disk_lock(disk, "lock", &other), STATUS_LOCKED);

  sim_process_kill(&fixture->process);

  assert_int_equal(disk_lock(disk, "lock", &other), STATUS_OK);
  fixture->disk->ops->unlock(lock);
  disk->ops->unlock(other);
  sim_disk_unmount(disk);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(synced_data_survive_every_mode),
      TEST(unsynced_data_survive_a_kill_and_not_a_power_cut),
      TEST(write_through_is_durable_at_once_and_by_itself),
      TEST(names_are_lost_without_a_directory_sync),
      TEST(names_are_lost_one_by_one_and_renames_are_atomic),
      TEST(a_name_never_skips_a_change),
      TEST(torn_writes_lose_any_sectors),
      TEST(failed_sync_then_retry_says_ok_with_the_data_dropped),
      TEST(a_directory_that_is_gone_takes_what_was_in_it_along),
      TEST(a_lying_sync_keeps_nothing),
      TEST(faults_hit_the_nth_operation_on_matching_paths),
      TEST(a_full_disk_takes_a_part),
      TEST(zeros_cost_no_memory_but_count_as_space),
      TEST(after_the_crash_nothing_reaches_the_disk),
      TEST(rot_is_seen_by_all_readers_and_stays),
      TEST(an_erased_disk_is_as_new),
      TEST(a_lock_ends_with_its_process),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
