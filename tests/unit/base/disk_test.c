#include "tests/unit/base/cmocka_base.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/disk.h"
#include "base/memory.h"
#include "base/os/world_os.h"

struct fixture {
  char directory[256];
  struct disk *disk;
};

static struct fixture fixture;

static int setup(void **state) {
  (void)state;
  scratch_new(fixture.directory);
  return disk_os_open(fixture.directory, false, &fixture.disk) == STATUS_OK ? 0 : -1;
}

static int teardown(void **state) {
  (void)state;
  disk_os_close(fixture.disk);
  scratch_free(fixture.directory);
  return 0;
}

static struct disk_file *open_file(const char *path, unsigned flags) {
  struct disk_file *file = NULL;
  assert_ok(disk_open(fixture.disk, path, flags, &file));
  return file;
}

static void paths_out_of_the_data_directory_are_refused(void **state) {
  (void)state;
  const char *const bad[] = {"/etc/passwd", "../x", "a/../../x", "..", ".", "./a", "a//b", "a/", "", "a/.."};
  struct disk_file *file = NULL;
  char too_long[DISK_PATH_MAX + 1];
  memset(too_long, 'a', DISK_PATH_MAX);
  too_long[DISK_PATH_MAX] = '\0';

  for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    assert_status(disk_open(fixture.disk, bad[i], DISK_CREATE, &file), STATUS_INVALID);
    assert_status(disk_remove(fixture.disk, bad[i]), STATUS_INVALID);
    assert_status(disk_make_dir(fixture.disk, bad[i]), STATUS_INVALID);
    assert_status(disk_rename(fixture.disk, bad[i], "b"), STATUS_INVALID);
    assert_status(disk_rename(fixture.disk, "b", bad[i]), STATUS_INVALID);
  }
  assert_status(disk_open(fixture.disk, too_long, DISK_CREATE, &file), STATUS_INVALID);
  assert_null(file);
}

static void absent_present_and_exclusive_are_told_apart(void **state) {
  (void)state;
  struct disk_file *file = NULL;
  struct disk_stat stat;

  assert_status(disk_open(fixture.disk, "a", 0, &file), STATUS_NOT_FOUND);
  assert_status(disk_open(fixture.disk, "no/a", DISK_CREATE, &file), STATUS_NOT_FOUND);
  assert_status(disk_stat_path(fixture.disk, "a", &stat), STATUS_NOT_FOUND);
  disk_close(open_file("a", DISK_CREATE | DISK_EXCLUSIVE));
  assert_status(disk_open(fixture.disk, "a", DISK_CREATE | DISK_EXCLUSIVE, &file), STATUS_EXISTS);
  disk_close(open_file("a", DISK_CREATE));

  assert_ok(disk_stat_path(fixture.disk, "a", &stat));
  assert_false(stat.is_directory);
  assert_ok(disk_stat_path(fixture.disk, "", &stat));
  assert_true(stat.is_directory);
  disk_close(NULL);
}

static void what_was_written_is_read_wherever_it_was_put(void **state) {
  (void)state;
  struct disk_file *file = open_file("a", DISK_CREATE);
  struct disk_stat stat;
  char into[32] = {0};
  size_t size = 99;
  struct bytes parts[] = {bytes_of_string("one"), bytes_of(NULL, 0), bytes_of_string("two"), bytes_of_string("three")};

  assert_ok(disk_write_parts(file, 10, parts, 4));
  assert_ok(disk_sync(file));
  assert_ok(disk_sync_dir(fixture.disk, ""));
  assert_ok(disk_write_parts(file, 5, parts, 0));

  assert_ok(disk_read(file, 8, into, sizeof into, &size));
  assert_int_equal(size, 13);
  assert_memory_equal(into, "\0\0onetwothree", 13);
  assert_ok(disk_read(file, 21, into, sizeof into, &size));
  assert_int_equal(size, 0);
  assert_ok(disk_stat_file(file, &stat));
  assert_int_equal(stat.size, 21);
  assert_ok(disk_truncate(file, 13));
  assert_ok(disk_stat_file(file, &stat));
  assert_int_equal(stat.size, 13);
  disk_advise_dont_need(file, 0, 13);
  disk_close(file);
}

static void more_parts_than_one_call_takes_are_written_in_order(void **state) {
  (void)state;
  enum { PARTS = 1000 };
  struct disk_file *file = open_file("a", DISK_CREATE);
  static uint8_t data[PARTS * 3];
  static uint8_t into[sizeof data + 1];
  struct bytes parts[PARTS];
  size_t size = 0;
  for (unsigned i = 0; i < sizeof data; i++) data[i] = (uint8_t)(i * 7 + i / 256);
  for (unsigned i = 0; i < PARTS; i++) parts[i] = bytes_of(data + i * 3, 3);

  assert_ok(disk_write_parts(file, 0, parts, PARTS));

  assert_ok(disk_read(file, 0, into, sizeof into, &size));
  assert_int_equal(size, sizeof data);
  assert_memory_equal(into, data, sizeof data);
  disk_close(file);
}

static void direct_files_read_and_write_whole_blocks_and_end_where_they_end(void **state) {
  (void)state;
  struct disk_file *file = open_file("a", DISK_CREATE | DISK_DIRECT | DISK_WRITE_THROUGH);
  uint8_t *block = memory_new_aligned(DISK_BLOCK_SIZE, 3 * DISK_BLOCK_SIZE);
  size_t size = 0;
  memset(block, 'd', 3 * DISK_BLOCK_SIZE);
  struct bytes parts[] = {bytes_of(block, DISK_BLOCK_SIZE), bytes_of(block + DISK_BLOCK_SIZE, DISK_BLOCK_SIZE)};

  assert_ok(disk_write_parts(file, DISK_BLOCK_SIZE, parts, 2));
  assert_ok(disk_truncate(file, 2 * DISK_BLOCK_SIZE + 100));
  assert_ok(disk_sync(file));
  assert_ok(disk_read(file, 0, block, 3 * DISK_BLOCK_SIZE, &size));

  assert_int_equal(size, 2 * DISK_BLOCK_SIZE + 100);
  assert_int_equal(block[0], 0);
  assert_int_equal(block[DISK_BLOCK_SIZE], 'd');
  memory_free(block);
  disk_close(file);
}

/* /dev/full refuses every byte as a full disk does; a name in the data directory leads there. */
static void full_disk_is_no_space(void **state) {
  (void)state;
  char link[300];
  snprintf(link, sizeof link, "%s/full", fixture.directory);
  assert_int_equal(symlink("/dev/full", link), 0);
  struct disk_file *file = open_file("full", 0);

  assert_status(disk_write(file, 0, bytes_of_string("x")), STATUS_NO_SPACE);
  assert_status(disk_write(file, 0, bytes_of_string("x")), STATUS_NO_SPACE); /* not for ever broken */

  disk_close(file);
}

static void limit_on_file_size_is_no_space_and_the_file_goes_on_when_it_is_lifted(void **state) {
  (void)state;
  struct rlimit before;
  struct disk_file *file = open_file("a", DISK_CREATE);
  uint8_t *data = memory_new(100000);
  struct bytes parts[] = {bytes_of(data, 50000), bytes_of(data, 50000)};
  assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
  struct rlimit low = {.rlim_cur = 70000, .rlim_max = before.rlim_max};
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);

  enum status refused = disk_write_parts(file, 0, parts, 2); /* the first part fits, the second does so in part */
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);

  assert_status(refused, STATUS_NO_SPACE);
  assert_ok(disk_write_parts(file, 0, parts, 2));
  assert_ok(disk_sync(file));
  memory_free(data);
  disk_close(file);
}

/* A pipe cannot be synced, nor written at an offset. */
static void after_a_failed_write_or_sync_the_file_is_never_written_again(void **state) {
  (void)state;
  char path[300];
  snprintf(path, sizeof path, "%s/pipe", fixture.directory);
  assert_int_equal(mkfifo(path, 0600), 0);
  struct disk_file *file = open_file("pipe", 0);
  struct disk_file *other = open_file("pipe", 0);

  assert_status(disk_sync(file), STATUS_IO);
  assert_status(disk_sync(file), STATUS_IO);
  assert_status(disk_write(file, 0, bytes_of_string("x")), STATUS_IO);
  assert_status(disk_truncate(file, 0), STATUS_IO);
  assert_status(disk_write(other, 0, bytes_of_string("x")), STATUS_IO);
  assert_status(disk_sync(other), STATUS_IO);

  disk_close(file);
  disk_close(other);
}

static void read_of_a_directory_is_an_error_not_an_end(void **state) {
  (void)state;
  assert_ok(disk_make_dir(fixture.disk, "d"));
  struct disk_file *file = open_file("d", DISK_READ_ONLY);
  char into[16];
  size_t size = 77;

  assert_status(disk_read(file, 0, into, sizeof into, &size), STATUS_WRONG_KIND);

  assert_int_equal(size, 77);
  disk_close(file);
}

static void a_path_that_makes_no_sense_is_no_failure_of_the_disk(void **state) {
  (void)state;
  struct disk_file *file = open_file("f", DISK_CREATE);
  struct disk *disk = NULL;
  char path[600];
  char long_name[301];
  memset(long_name, 'n', sizeof long_name - 1);
  long_name[sizeof long_name - 1] = '\0';
  disk_close(file);
  assert_ok(disk_make_dir(fixture.disk, "d"));

  assert_status(disk_open(fixture.disk, "d", 0, &file), STATUS_WRONG_KIND);
  assert_status(disk_open(fixture.disk, "f/below", DISK_READ_ONLY, &file), STATUS_WRONG_KIND);
  snprintf(path, sizeof path, "%s/f", fixture.directory);
  assert_status(disk_os_open(path, false, &disk), STATUS_WRONG_KIND);
  snprintf(path, sizeof path, "%s/%s", fixture.directory, long_name);
  assert_status(disk_os_open(path, true, &disk), STATUS_NAME_TOO_LONG);
}

static void take_name(void *context, const char *name) {
  size_t length = strlen(context);
  snprintf((char *)context + length, 256 - length, "%s ", name);
}

static void names_are_listed_sorted_made_renamed_and_removed(void **state) {
  (void)state;
  char names[256] = "";
  assert_ok(disk_make_dir(fixture.disk, "p"));
  assert_status(disk_make_dir(fixture.disk, "p"), STATUS_EXISTS);
  disk_close(open_file("p/b", DISK_CREATE));
  disk_close(open_file("p/a", DISK_CREATE));
  disk_close(open_file("p/.hidden", DISK_CREATE));
  disk_close(open_file("p/10", DISK_CREATE));

  assert_ok(disk_list(fixture.disk, "p", take_name, names));
  assert_string_equal(names, ".hidden 10 a b ");
  assert_status(disk_list(fixture.disk, "q", take_name, names), STATUS_NOT_FOUND);
  assert_ok(disk_rename(fixture.disk, "p/a", "p/b"));
  assert_status(disk_rename(fixture.disk, "p/a", "p/b"), STATUS_NOT_FOUND);
  assert_status(disk_remove(fixture.disk, "p"), STATUS_EXISTS); /* not empty */
  assert_ok(disk_remove(fixture.disk, "p/b"));
  assert_ok(disk_remove(fixture.disk, "p/10"));
  assert_ok(disk_remove(fixture.disk, "p/.hidden"));
  assert_ok(disk_sync_dir(fixture.disk, "p"));
  assert_ok(disk_remove(fixture.disk, "p"));
  assert_status(disk_remove(fixture.disk, "p"), STATUS_NOT_FOUND);
  assert_status(disk_sync_dir(fixture.disk, "p"), STATUS_NOT_FOUND);

  names[0] = '\0';
  assert_ok(disk_list(fixture.disk, "", take_name, names));
  assert_string_equal(names, "");
}

static void space_is_told(void **state) {
  (void)state;
  struct disk_space space;

  assert_ok(disk_space(fixture.disk, &space));

  assert_true(space.total > 0 && space.available <= space.total);
}

static void lock_excludes_others_names_its_holder_and_ends_with_it(void **state) {
  (void)state;
  struct disk_lock *lock = NULL;
  struct disk_lock *second = NULL;
  struct disk_file *file = NULL;
  char text[32] = "";
  size_t size = 0;

  assert_ok(disk_lock(fixture.disk, "lock", &lock));
  assert_status(disk_lock(fixture.disk, "lock", &second), STATUS_LOCKED);
  pid_t child = fork();
  if (child == 0) _exit(disk_lock(fixture.disk, "lock", &second) == STATUS_LOCKED ? 0 : 1);
  int how = -1;
  waitpid(child, &how, 0);
  assert_int_equal(how, 0);

  file = open_file("lock", DISK_READ_ONLY);
  assert_ok(disk_read(file, 0, text, sizeof text - 1, &size));
  assert_int_equal(strtol(text, NULL, 10), getpid());
  disk_close(file);

  disk_unlock(fixture.disk, lock);
  assert_ok(disk_lock(fixture.disk, "lock", &second));
  disk_unlock(fixture.disk, second);
  disk_unlock(fixture.disk, NULL);
}

static void who_only_looks_shares_a_lock_that_is_there(void **state) {
  (void)state;
  struct disk_lock *held = NULL;
  struct disk_lock *one = NULL;
  struct disk_lock *other = NULL;
  struct disk_stat stat = {0};

  assert_status(disk_os_lock_shared(fixture.disk, "lock", &one), STATUS_NOT_FOUND);
  assert_status(disk_stat_path(fixture.disk, "lock", &stat), STATUS_NOT_FOUND);
  assert_ok(disk_lock(fixture.disk, "lock", &held));
  assert_status(disk_os_lock_shared(fixture.disk, "lock", &one), STATUS_LOCKED);
  disk_unlock(fixture.disk, held);

  assert_ok(disk_os_lock_shared(fixture.disk, "lock", &one));
  assert_ok(disk_os_lock_shared(fixture.disk, "lock", &other));
  assert_status(disk_lock(fixture.disk, "lock", &held), STATUS_LOCKED);
  disk_unlock(fixture.disk, one);
  disk_unlock(fixture.disk, other);
  assert_ok(disk_lock(fixture.disk, "lock", &held));
  disk_unlock(fixture.disk, held);
}

static void data_directory_is_made_one_level_when_asked(void **state) {
  (void)state;
  char path[300];
  struct disk *disk = NULL;
  snprintf(path, sizeof path, "%s/data", fixture.directory);

  assert_status(disk_os_open(path, false, &disk), STATUS_NOT_FOUND);
  assert_ok(disk_os_open(path, true, &disk));
  disk_os_close(disk);
  assert_ok(disk_os_open(path, true, &disk));
  disk_os_close(disk);
  snprintf(path, sizeof path, "%s/no/data", fixture.directory);
  assert_status(disk_os_open(path, true, &disk), STATUS_NOT_FOUND);
}

/* A lane that touches the disk would stall every replica it owns: it is stopped at once. */
static void touch_disk(struct task *task) {
  (void)task;
  struct disk_stat stat;
  if (disk_stat_path(fixture.disk, "", &stat) != STATUS_OK) _exit(3);
}

static int run_on_loop(unsigned flags) {
  pid_t child = fork();
  if (child == 0) {
    struct task trespass = {.run = touch_disk};
    signal(SIGABRT, SIG_DFL);
    fclose(stderr);
    struct loop *loop = loop_os_new("lane", flags);
    loop_post(loop, &trespass);
    loop_stop(loop);
    _exit(0);
  }
  int how = -1;
  waitpid(child, &how, 0);
  return how;
}

static void only_loops_that_may_block_may_use_the_disk(void **state) {
  (void)state;
  assert_int_equal(run_on_loop(LOOP_MAY_BLOCK), 0);

  int how = run_on_loop(0);

  assert_true(WIFSIGNALED(how) && WTERMSIG(how) == SIGABRT);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(paths_out_of_the_data_directory_are_refused, setup, teardown),
      cmocka_unit_test_setup_teardown(absent_present_and_exclusive_are_told_apart, setup, teardown),
      cmocka_unit_test_setup_teardown(what_was_written_is_read_wherever_it_was_put, setup, teardown),
      cmocka_unit_test_setup_teardown(more_parts_than_one_call_takes_are_written_in_order, setup, teardown),
      cmocka_unit_test_setup_teardown(direct_files_read_and_write_whole_blocks_and_end_where_they_end, setup, teardown),
      cmocka_unit_test_setup_teardown(full_disk_is_no_space, setup, teardown),
      cmocka_unit_test_setup_teardown(limit_on_file_size_is_no_space_and_the_file_goes_on_when_it_is_lifted, setup, teardown),
      cmocka_unit_test_setup_teardown(after_a_failed_write_or_sync_the_file_is_never_written_again, setup, teardown),
      cmocka_unit_test_setup_teardown(read_of_a_directory_is_an_error_not_an_end, setup, teardown),
      cmocka_unit_test_setup_teardown(a_path_that_makes_no_sense_is_no_failure_of_the_disk, setup, teardown),
      cmocka_unit_test_setup_teardown(names_are_listed_sorted_made_renamed_and_removed, setup, teardown),
      cmocka_unit_test_setup_teardown(space_is_told, setup, teardown),
      cmocka_unit_test_setup_teardown(lock_excludes_others_names_its_holder_and_ends_with_it, setup, teardown),
      cmocka_unit_test_setup_teardown(who_only_looks_shares_a_lock_that_is_there, setup, teardown),
      cmocka_unit_test_setup_teardown(data_directory_is_made_one_level_when_asked, setup, teardown),
      cmocka_unit_test_setup_teardown(only_loops_that_may_block_may_use_the_disk, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
