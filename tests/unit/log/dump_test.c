/* Dump files and the identity: what a directory is rebuilt from, and whose it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/os/world_os.h"
#include "log/dump.h"
#include "log/identity.h"
#include "log/tables.h"

struct fixture {
  char directory[256];
  struct world *world;
  struct store *store;
};

static int set_up(void **state) {
  struct fixture *fixture = NEW(struct fixture);
  const char *base = getenv("TEST_TMPDIR");
  snprintf(fixture->directory, sizeof fixture->directory, "%.200s/dump.XXXXXX", base != NULL ? base : "/tmp");
  assert_non_null(mkdtemp(fixture->directory));
  assert_int_equal(world_os_open(fixture->directory, true, &fixture->world), STATUS_OK);
  assert_int_equal(world_store_open(fixture->world, "store.mdb", 64u << 20, STORE_CREATE, &fixture->store), STATUS_OK);
  assert_int_equal(disk_make_dir(fixture->world->disk, "dump"), STATUS_OK);
  *state = fixture;
  return 0;
}

static int tear_down(void **state) {
  struct fixture *fixture = *state;
  store_close(fixture->store);
  world_os_close(fixture->world);
  char command[600];
  snprintf(command, sizeof command, "rm -rf '%s'", fixture->directory);
  assert_int_equal(system(command), 0);
  memory_free(fixture);
  return 0;
}

static void put(struct fixture *fixture, enum table table, const char *key, const char *value) {
  struct store_change change = {.table = table, .key = bytes_of_string(key), .value = bytes_of_string(value)};
  assert_int_equal(store_commit(fixture->store, &change, 1), STATUS_OK);
}

static void flip(struct fixture *fixture, const char *path, uint64_t offset) {
  struct disk_file *file = NULL;
  uint8_t byte = 0;
  size_t got = 0;
  assert_int_equal(disk_open(fixture->world->disk, path, 0, &file), STATUS_OK);
  assert_int_equal(disk_read(file, offset, &byte, 1, &got), STATUS_OK);
  byte ^= 32;
  assert_int_equal(disk_write(file, offset, bytes_of(&byte, 1)), STATUS_OK);
  disk_close(file);
}

static void count_row(void *context, unsigned table, struct bytes key, struct bytes value) {
  size_t *count = context;
  assert_true(table == TABLE_GROUP || table == TABLE_STATE);
  assert_true(key.size > 0 && value.size > 0);
  (*count)++;
}

static void rows_come_back_and_two_generations_stay(void **state) {
  struct fixture *fixture = *state;
  put(fixture, TABLE_GROUP, "a", "one");
  put(fixture, TABLE_STATE, "b", "two");
  put(fixture, TABLE_INDEX, "c", "derivable");
  for (uint64_t i = 1; i <= 4; i++) assert_int_equal(dump_write(fixture->world->disk, fixture->store, i), STATUS_OK);

  uint64_t generations[8];
  size_t rows = 0;
  assert_int_equal(dump_list(fixture->world->disk, generations, 8), DUMP_KEEP);
  assert_int_equal(generations[0], 4);
  assert_int_equal(generations[1], 3);
  assert_int_equal(dump_read(fixture->world->disk, 4, count_row, &rows), STATUS_OK);
  assert_int_equal(rows, 2);
}

static void a_damaged_dump_tells_nothing(void **state) {
  struct fixture *fixture = *state;
  put(fixture, TABLE_GROUP, "a", "one");
  assert_int_equal(dump_write(fixture->world->disk, fixture->store, 1), STATUS_OK);
  struct disk_stat stat;
  assert_int_equal(disk_stat_path(fixture->world->disk, "dump/00000000000000000001", &stat), STATUS_OK);
  for (uint64_t at = 0; at < stat.size; at++) {
    size_t rows = 0;
    flip(fixture, "dump/00000000000000000001", at);
    assert_int_not_equal(dump_read(fixture->world->disk, 1, count_row, &rows), STATUS_OK);
    assert_int_equal(rows, 0);
    flip(fixture, "dump/00000000000000000001", at);
  }
}

static void one_good_identity_mends_the_other(void **state) {
  struct fixture *fixture = *state;
  struct log_identity identity = {.cluster = {1, 2}, .incarnation = {3, 4}, .broker_id = 9};
  identity_found_alone(&identity);
  struct log_identity found;
  assert_int_equal(identity_read(fixture->world->disk, &found), STATUS_NOT_FOUND);
  assert_int_equal(identity_write(fixture->world->disk, &identity), STATUS_OK);

  flip(fixture, "identity", 20);
  assert_int_equal(identity_read(fixture->world->disk, &found), STATUS_OK);
  assert_memory_equal(&found, &identity, sizeof found);
  flip(fixture, "identity.copy", 20);
  assert_int_equal(identity_read(fixture->world->disk, &found), STATUS_OK);
  flip(fixture, "identity", 20);
  flip(fixture, "identity.copy", 21);

  assert_int_equal(identity_read(fixture->world->disk, &found), STATUS_CORRUPT);
}

static void two_identities_that_differ_are_refused(void **state) {
  struct fixture *fixture = *state;
  struct log_identity identity = {.broker_id = 1};
  struct log_identity found;
  assert_int_equal(identity_write(fixture->world->disk, &identity), STATUS_OK);
  assert_int_equal(disk_rename(fixture->world->disk, "identity", "identity.copy"), STATUS_OK);
  struct log_identity other = {.broker_id = 2};
  uint8_t bytes[IDENTITY_SIZE_MAX];
  size_t size = identity_encode(&other, bytes);
  struct disk_file *file = NULL;
  assert_int_equal(disk_open(fixture->world->disk, "identity", DISK_CREATE, &file), STATUS_OK);
  assert_int_equal(disk_write(file, 0, bytes_of(bytes, size)), STATUS_OK);
  disk_close(file);

  assert_int_equal(identity_read(fixture->world->disk, &found), STATUS_CORRUPT);
}

static void a_draft_is_no_identity_and_goes(void **state) {
  struct fixture *fixture = *state;
  struct disk *disk = fixture->world->disk;
  struct log_identity draft = {.incarnation = {7}, .broker_id = 3}, found;
  assert_int_equal(identity_read_draft(disk, &found), STATUS_NOT_FOUND);
  assert_int_equal(identity_write_draft(disk, &draft), STATUS_OK);

  assert_int_equal(identity_read_draft(disk, &found), STATUS_OK);
  assert_memory_equal(&found, &draft, sizeof found);
  assert_int_equal(identity_read(disk, &found), STATUS_NOT_FOUND);
  flip(fixture, "founding", 33);
  assert_int_equal(identity_read_draft(disk, &found), STATUS_CORRUPT);
  identity_remove_draft(disk);
  assert_int_equal(identity_read_draft(disk, &found), STATUS_NOT_FOUND);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(rows_come_back_and_two_generations_stay, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_damaged_dump_tells_nothing, set_up, tear_down),
      cmocka_unit_test_setup_teardown(one_good_identity_mends_the_other, set_up, tear_down),
      cmocka_unit_test_setup_teardown(two_identities_that_differ_are_refused, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_draft_is_no_identity_and_goes, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
