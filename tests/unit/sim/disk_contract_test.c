/* What disk.h promises, of both disks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "tests/unit/sim/contract.h"

static struct disk *disk_of(void **state) { return ((struct contract *)*state)->world->disk; }

static struct disk_file *opened(struct disk *disk, const char *path, unsigned flags) {
  struct disk_file *file = NULL;
  assert_int_equal(disk_open(disk, path, flags, &file), STATUS_OK);
  return file;
}

static enum status open_status(struct disk *disk, const char *path, unsigned flags) {
  struct disk_file *file = NULL;
  enum status status = disk_open(disk, path, flags, &file);
  disk_close(file);
  return status;
}

static void files_are_made_only_on_request(void **state) {
  struct disk *disk = disk_of(state);
  assert_int_equal(open_status(disk, "a", 0), STATUS_NOT_FOUND);
  assert_int_equal(open_status(disk, "no/a", DISK_CREATE), STATUS_NOT_FOUND);
  assert_int_equal(open_status(disk, "a", DISK_CREATE), STATUS_OK);
  assert_int_equal(open_status(disk, "a", DISK_CREATE), STATUS_OK);
  assert_int_equal(open_status(disk, "a", DISK_CREATE | DISK_EXCLUSIVE), STATUS_EXISTS);
  assert_int_equal(open_status(disk, "a", DISK_READ_ONLY), STATUS_OK);
}

static void bad_paths_are_refused(void **state) {
  struct disk *disk = disk_of(state);
  const char *const paths[] = {"", "/etc/passwd", "../a", "a/../b", "a//b", "a/"};
  for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
    assert_int_equal(open_status(disk, paths[i], DISK_CREATE), STATUS_INVALID);
    assert_int_equal(disk_remove(disk, paths[i]), STATUS_INVALID);
  }
}

static void writes_are_read_back_with_holes_as_zeros(void **state) {
  struct disk *disk = disk_of(state);
  struct disk_file *file = opened(disk, "a", DISK_CREATE);
  struct bytes parts[3] = {bytes_of_string("one"), bytes_of_string(""), bytes_of_string("two")};
  uint8_t into[32];
  size_t size = 0;
  memset(into, 'x', sizeof into);
  assert_int_equal(disk_write_parts(file, 5000, parts, 3), STATUS_OK);

  assert_int_equal(disk_read(file, 4990, into, sizeof into, &size), STATUS_OK);

  assert_int_equal(size, 16);
  assert_memory_equal(into, "\0\0\0\0\0\0\0\0\0\0onetwo", 16);
  assert_int_equal(disk_read(file, 5006, into, sizeof into, &size), STATUS_OK);
  assert_int_equal(size, 0);
  assert_int_equal(disk_read(file, 1 << 20, into, sizeof into, &size), STATUS_OK);
  assert_int_equal(size, 0);
  disk_close(file);
}

static void direct_files_hold_what_was_written(void **state) {
  struct disk *disk = disk_of(state);
  struct disk_file *direct = opened(disk, "a", DISK_CREATE | DISK_DIRECT | DISK_WRITE_THROUGH);
  struct disk_file *cached = opened(disk, "a", DISK_READ_ONLY);
  uint8_t *block = memory_new_aligned(DISK_BLOCK_SIZE, 2 * DISK_BLOCK_SIZE);
  uint8_t into[8];
  size_t size = 0;
  memset(block, 'd', DISK_BLOCK_SIZE);
  assert_int_equal(disk_write(direct, DISK_BLOCK_SIZE, bytes_of(block, DISK_BLOCK_SIZE)), STATUS_OK);

  assert_int_equal(disk_read(cached, 2 * DISK_BLOCK_SIZE - 8, into, 8, &size), STATUS_OK);
  assert_int_equal(size, 8);
  assert_memory_equal(into, "dddddddd", 8);
  assert_int_equal(disk_read(direct, DISK_BLOCK_SIZE, block, 2 * DISK_BLOCK_SIZE, &size), STATUS_OK);
  assert_int_equal(size, DISK_BLOCK_SIZE);
  disk_close(direct);
  disk_close(cached);
  memory_free(block);
}

static void truncate_cuts_and_grows_with_zeros(void **state) {
  struct disk *disk = disk_of(state);
  struct disk_file *file = opened(disk, "a", DISK_CREATE);
  struct disk_stat stat = {0};
  char into[8] = {0};
  size_t size = 0;
  assert_int_equal(disk_write(file, 0, bytes_of_string("abcdef")), STATUS_OK);

  assert_int_equal(disk_truncate(file, 2), STATUS_OK);
  assert_int_equal(disk_truncate(file, 5), STATUS_OK);

  assert_int_equal(disk_stat_file(file, &stat), STATUS_OK);
  assert_int_equal(stat.size, 5);
  assert_int_equal(disk_read(file, 0, into, 8, &size), STATUS_OK);
  assert_int_equal(size, 5);
  assert_memory_equal(into, "ab\0\0\0", 5);
  disk_close(file);
}

static void a_removed_file_lives_while_it_is_open(void **state) {
  struct disk *disk = disk_of(state);
  struct disk_file *file = opened(disk, "a", DISK_CREATE);
  char into[4] = {0};
  size_t size = 0;
  assert_int_equal(disk_write(file, 0, bytes_of_string("abc")), STATUS_OK);

  assert_int_equal(disk_remove(disk, "a"), STATUS_OK);

  assert_int_equal(open_status(disk, "a", 0), STATUS_NOT_FOUND);
  assert_int_equal(disk_remove(disk, "a"), STATUS_NOT_FOUND);
  assert_int_equal(disk_read(file, 0, into, 3, &size), STATUS_OK);
  assert_string_equal(into, "abc");
  assert_int_equal(disk_sync(file), STATUS_OK);
  disk_close(file);
}

static void a_rename_replaces_and_keeps_open_files(void **state) {
  struct disk *disk = disk_of(state);
  struct disk_file *file = opened(disk, "a", DISK_CREATE);
  struct disk_stat stat = {0};
  disk_close(opened(disk, "b", DISK_CREATE));
  assert_int_equal(disk_make_dir(disk, "d"), STATUS_OK);
  assert_int_equal(disk_write(file, 0, bytes_of_string("abc")), STATUS_OK);

  assert_int_equal(disk_rename(disk, "a", "b"), STATUS_OK);
  assert_int_equal(disk_rename(disk, "b", "d/c"), STATUS_OK);

  assert_int_equal(disk_write(file, 3, bytes_of_string("d")), STATUS_OK);
  assert_int_equal(disk_stat_path(disk, "d/c", &stat), STATUS_OK);
  assert_int_equal(stat.size, 4);
  assert_int_equal(disk_stat_path(disk, "a", &stat), STATUS_NOT_FOUND);
  assert_int_equal(disk_rename(disk, "a", "b"), STATUS_NOT_FOUND);
  assert_int_equal(disk_rename(disk, "d/c", "e/c"), STATUS_NOT_FOUND);
  disk_close(file);
}

static void directories_hold_names(void **state) {
  struct disk *disk = disk_of(state);
  struct disk_stat stat = {0};
  assert_int_equal(disk_make_dir(disk, "d"), STATUS_OK);
  assert_int_equal(disk_make_dir(disk, "d"), STATUS_EXISTS);
  assert_int_equal(disk_make_dir(disk, "no/d"), STATUS_NOT_FOUND);
  assert_int_equal(disk_make_dir(disk, "d/e"), STATUS_OK);
  disk_close(opened(disk, "d/e/f", DISK_CREATE));

  assert_int_equal(disk_stat_path(disk, "d/e", &stat), STATUS_OK);
  assert_true(stat.is_directory);
  assert_int_equal(disk_stat_path(disk, "", &stat), STATUS_OK);
  assert_true(stat.is_directory);
  assert_int_equal(disk_remove(disk, "d/e"), STATUS_EXISTS);
  assert_int_equal(disk_remove(disk, "d/e/f"), STATUS_OK);
  assert_int_equal(disk_remove(disk, "d/e"), STATUS_OK);
  assert_int_equal(disk_sync_dir(disk, "d"), STATUS_OK);
  assert_int_equal(disk_sync_dir(disk, ""), STATUS_OK);
  assert_int_equal(disk_sync_dir(disk, "no"), STATUS_NOT_FOUND);
}

#define LISTED_MAX 64u

static void add_name(void *context, const char *name) {
  size_t length = strlen(context);
  snprintf((char *)context + length, LISTED_MAX - length, "%s ", name);
}

static void lists_are_sorted(void **state) {
  struct disk *disk = disk_of(state);
  const char *const names[] = {"d/10", "d/9", "d/a", "d/B"};
  char listed[LISTED_MAX] = "";
  assert_int_equal(disk_make_dir(disk, "d"), STATUS_OK);
  for (size_t i = 0; i < 4; i++) disk_close(opened(disk, names[i], DISK_CREATE));

  assert_int_equal(disk_list(disk, "d", add_name, listed), STATUS_OK);

  assert_string_equal(listed, "10 9 B a ");
  assert_int_equal(disk_list(disk, "no", add_name, listed), STATUS_NOT_FOUND);
}

static void a_lock_is_held_once(void **state) {
  struct disk *disk = disk_of(state);
  struct disk_lock *lock = NULL;
  struct disk_lock *second = NULL;
  assert_int_equal(disk_lock(disk, "lock", &lock), STATUS_OK);
  assert_int_equal(disk_lock(disk, "lock", &second), STATUS_LOCKED);
  disk->ops->unlock(lock);
  assert_int_equal(disk_lock(disk, "lock", &second), STATUS_OK);
  disk->ops->unlock(second);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      CONTRACT_TEST(files_are_made_only_on_request),
      CONTRACT_TEST(bad_paths_are_refused),
      CONTRACT_TEST(writes_are_read_back_with_holes_as_zeros),
      CONTRACT_TEST(direct_files_hold_what_was_written),
      CONTRACT_TEST(truncate_cuts_and_grows_with_zeros),
      CONTRACT_TEST(a_removed_file_lives_while_it_is_open),
      CONTRACT_TEST(a_rename_replaces_and_keeps_open_files),
      CONTRACT_TEST(directories_hold_names),
      CONTRACT_TEST(lists_are_sorted),
      CONTRACT_TEST(a_lock_is_held_once),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
