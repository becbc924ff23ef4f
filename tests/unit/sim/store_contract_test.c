/* What store.h promises, of LMDB and its twin. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/sim/contract.h"

#define STORE_BYTES ((uint64_t)4 << 20)

static struct store *opened(void **state, bool create) {
  struct contract *contract = *state;
  struct store *store = NULL;
  assert_int_equal(world_store_open(contract->world, "store.mdb", STORE_BYTES, create ? STORE_CREATE : 0, &store), STATUS_OK);
  return store;
}

static struct store_change put(unsigned table, const char *key, const char *value) {
  return (struct store_change){.table = table, .key = bytes_of_string(key), .value = bytes_of_string(value)};
}

static struct store_change removal(unsigned table, const char *key) {
  return (struct store_change){.table = table, .key = bytes_of_string(key), .remove = true};
}

static void assert_value(struct store *store, unsigned table, const char *key, const char *value) {
  struct buffer found = {.max = 1024};
  assert_int_equal(store_get(store, table, bytes_of_string(key), &found), STATUS_OK);
  assert_true(bytes_equal(buffer_bytes(&found), bytes_of_string(value)));
  buffer_deinit(&found);
}

static void assert_absent(struct store *store, unsigned table, const char *key) {
  struct buffer found = {.max = 1024};
  assert_int_equal(store_get(store, table, bytes_of_string(key), &found), STATUS_NOT_FOUND);
  buffer_deinit(&found);
}

static void absent_stores_are_made_only_on_request(void **state) {
  struct contract *contract = *state;
  struct store *store = NULL;
  assert_int_equal(world_store_open(contract->world, "store.mdb", STORE_BYTES, 0, &store), STATUS_NOT_FOUND);
  store_close(opened(state, true));
  store_close(opened(state, false));
}

static void commits_are_seen_again_after_reopening(void **state) {
  struct store *store = opened(state, true);
  struct store_change first[] = {put(1, "a", "1"), put(1, "b", ""), put(2, "a", "other table")};
  struct store_change second[] = {put(1, "a", "2"), removal(1, "b"), removal(1, "never there")};
  assert_int_equal(store_commit(store, first, 3), STATUS_OK);
  assert_value(store, 1, "b", "");
  assert_int_equal(store_commit(store, second, 3), STATUS_OK);
  store_close(store);

  store = opened(state, false);

  assert_value(store, 1, "a", "2");
  assert_absent(store, 1, "b");
  assert_value(store, 2, "a", "other table");
  store_close(store);
}

static void floor_finds_the_greatest_key_not_above(void **state) {
  struct store *store = opened(state, true);
  struct buffer key = {.max = 64};
  struct buffer value = {.max = 64};
  struct store_change changes[] = {put(3, "b", "B"), put(3, "d", "D"), put(2, "z", "Z")};
  assert_int_equal(store_commit(store, changes, 3), STATUS_OK);

  assert_int_equal(store_floor(store, 3, bytes_of_string("c"), &key, &value), STATUS_OK);
  assert_true(bytes_equal(buffer_bytes(&key), bytes_of_string("b")));
  assert_true(bytes_equal(buffer_bytes(&value), bytes_of_string("B")));
  assert_int_equal(store_floor(store, 3, bytes_of_string("d"), &key, &value), STATUS_OK);
  assert_true(bytes_equal(buffer_bytes(&value), bytes_of_string("D")));
  assert_int_equal(store_floor(store, 3, bytes_of_string("zz"), &key, &value), STATUS_OK);
  assert_true(bytes_equal(buffer_bytes(&value), bytes_of_string("D")));
  assert_int_equal(store_floor(store, 3, bytes_of_string("a"), &key, &value), STATUS_NOT_FOUND);
  assert_int_equal(store_floor(store, 4, bytes_of_string("a"), &key, &value), STATUS_NOT_FOUND);
  buffer_deinit(&key);
  buffer_deinit(&value);
  store_close(store);
}

static bool add_key(void *context, struct bytes key, struct bytes value) {
  (void)value;
  size_t length = strlen(context);
  memcpy((char *)context + length, key.data, key.size);
  ((char *)context)[length + key.size] = '\0';
  return strlen(context) < 6;
}

static void walks_go_in_key_order_until_told_to_stop(void **state) {
  struct store *store = opened(state, true);
  struct store_change changes[] = {put(3, "cc", ""), put(3, "aa", ""), put(3, "bb", ""), put(3, "dd", ""), put(4, "ab", "")};
  char keys[32] = "";
  assert_int_equal(store_commit(store, changes, 5), STATUS_OK);

  assert_int_equal(store_walk(store, 3, bytes_of_string("ab"), add_key, keys), STATUS_OK);
  assert_string_equal(keys, "bbccdd");
  keys[0] = '\0';
  assert_int_equal(store_walk(store, 3, bytes_of(NULL, 0), add_key, keys), STATUS_OK);
  assert_string_equal(keys, "aabbcc");
  keys[0] = '\0';
  assert_int_equal(store_walk(store, 5, bytes_of(NULL, 0), add_key, keys), STATUS_OK);
  assert_string_equal(keys, "");
  store_close(store);
}

static void a_full_store_refuses_and_keeps_what_it_has(void **state) {
  struct store *store = opened(state, true);
  static char large[64 * 1024];
  memset(large, 'x', sizeof large - 1);
  enum status status = STATUS_OK;
  char key[16];
  unsigned kept = 0;
  for (; status == STATUS_OK && kept < 200; kept++) {
    snprintf(key, sizeof key, "%04u", kept);
    struct store_change changes[] = {put(1, key, large), put(2, "last", key)};
    status = store_commit(store, changes, 2);
  }
  assert_int_equal(status, STATUS_NO_SPACE);

  snprintf(key, sizeof key, "%04u", kept - 2);
  assert_value(store, 2, "last", key);
  struct store_change small[] = {removal(1, "0000"), put(2, "last", "small")};
  assert_int_equal(store_commit(store, small, 2), STATUS_OK);
  store_close(store);
  store = opened(state, false);
  assert_value(store, 2, "last", "small");
  store_close(store);
}

static void a_flipped_byte_is_found_when_it_is_opened(void **state) {
  struct contract *contract = *state;
  struct store *store = opened(state, true);
  struct store_change changes[] = {put(1, "key", "0123456789abcdef0123456789abcdef")};
  struct disk_file *file = NULL;
  uint8_t bytes[65536];
  size_t size = 0;
  assert_int_equal(store_commit(store, changes, 1), STATUS_OK);
  store_close(store);
  assert_int_equal(disk_open(contract->world->disk, "store.mdb", 0, &file), STATUS_OK);
  assert_int_equal(disk_read(file, 0, bytes, sizeof bytes, &size), STATUS_OK);
  const uint8_t *at = memmem(bytes, size, "0123456789abcdef", 16);
  assert_non_null(at);
  assert_int_equal(disk_write(file, (uint64_t)(at - bytes), bytes_of_string("X")), STATUS_OK);
  disk_close(file);

  assert_int_equal(world_store_open(contract->world, "store.mdb", STORE_BYTES, STORE_CREATE, &store), STATUS_CORRUPT);
}

static void an_empty_file_is_no_store(void **state) {
  struct contract *contract = *state;
  struct disk_file *file = NULL;
  struct store *store = NULL;
  assert_int_equal(disk_open(contract->world->disk, "store.mdb", DISK_CREATE, &file), STATUS_OK);
  disk_close(file);
  assert_int_equal(world_store_open(contract->world, "store.mdb", STORE_BYTES, STORE_CREATE, &store), STATUS_CORRUPT);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      CONTRACT_TEST(absent_stores_are_made_only_on_request),
      CONTRACT_TEST(commits_are_seen_again_after_reopening),
      CONTRACT_TEST(floor_finds_the_greatest_key_not_above),
      CONTRACT_TEST(walks_go_in_key_order_until_told_to_stop),
      CONTRACT_TEST(a_full_store_refuses_and_keeps_what_it_has),
      CONTRACT_TEST(a_flipped_byte_is_found_when_it_is_opened),
      CONTRACT_TEST(an_empty_file_is_no_store),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
