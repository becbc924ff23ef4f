/* A store of LMDB's: what it keeps, and what it refuses and then goes on. */
#include "tests/unit/base/cmocka_base.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/codec.h"
#include "base/memory.h"
#include "base/os/world_os.h"
#include "tests/unit/base/store_rig.h"

/* ---- What it keeps ---- */

static void what_was_committed_is_there_after_reopening(void **state) {
  (void)state;
  assert_ok(rig_put(0, "a", "one"));
  assert_ok(rig_put(1, "a", "two"));
  assert_ok(rig_put(0, "empty", ""));
  rig_close();

  assert_ok(rig_open(false));

  assert_ok(rig_get(0, "a"));
  rig_assert_buffer(&rig.value, "one");
  assert_ok(rig_get(1, "a"));
  rig_assert_buffer(&rig.value, "two");
  assert_ok(rig_get(0, "empty"));
  rig_assert_buffer(&rig.value, "");
  assert_status(rig_get(2, "a"), STATUS_NOT_FOUND);
}

static void commit_puts_replaces_and_removes_in_order(void **state) {
  (void)state;
  struct store_change changes[] = {rig_put_of(0, "a", "1"),
                                   rig_put_of(0, "a", "longer than before"),
                                   rig_put_of(0, "b", "2"),
                                   {.table = 0, .key = bytes_of_string("b"), .remove = true},
                                   {.table = 0, .key = bytes_of_string("absent"), .remove = true}};

  assert_ok(store_commit(rig.store, changes, 5));
  assert_ok(store_commit(rig.store, changes, 0));

  assert_ok(rig_get(0, "a"));
  rig_assert_buffer(&rig.value, "longer than before");
  assert_status(rig_get(0, "b"), STATUS_NOT_FOUND);
}

static void value_larger_than_the_buffer_is_too_large(void **state) {
  (void)state;
  struct buffer small = {.max = 4};
  assert_ok(rig_put(0, "a", "12345"));
  assert_ok(buffer_append_string(&small, "old"));

  assert_status(store_get(rig.store, 0, bytes_of_string("a"), &small), STATUS_TOO_LARGE);

  rig_assert_buffer(&small, "old");
  buffer_deinit(&small);
}

static void floor_is_the_greatest_key_that_is_not_above(void **state) {
  (void)state;
  assert_status(store_floor(rig.store, 4, bytes_of_string("x"), &rig.key, &rig.value), STATUS_NOT_FOUND);
  assert_ok(rig_put(4, "b", "at b"));
  assert_ok(rig_put(4, "d", "at d"));
  assert_ok(rig_put(5, "a", "elsewhere"));
  const char *const expected[][2] = {{"b", "b"}, {"c", "b"}, {"d", "d"}, {"zz", "d"}, {"b\x01", "b"}};

  for (unsigned i = 0; i < 5; i++) {
    assert_ok(store_floor(rig.store, 4, bytes_of_string(expected[i][0]), &rig.key, &rig.value));
    rig_assert_buffer(&rig.key, expected[i][1]);
  }

  assert_status(store_floor(rig.store, 4, bytes_of_string("a"), &rig.key, &rig.value), STATUS_NOT_FOUND);
}

struct seen {
  unsigned count;
  unsigned stop_at;
  uint64_t last;
  bool ascending;
};

static bool see_number(void *context, struct bytes key, struct bytes value) {
  struct seen *seen = context;
  uint64_t number = get_key_u64(key.data);
  if (seen->count > 0 && number <= seen->last) seen->ascending = false;
  if (value.size != 8 || get_u64(value.data) != number) seen->ascending = false;
  seen->last = number;
  return ++seen->count != seen->stop_at;
}

static void hundred_thousand_puts_are_one_commit_and_walk_in_number_order(void **state) {
  (void)state;
  enum { COUNT = 100000 };
  struct store_change *changes = memory_new_array(COUNT, sizeof *changes);
  uint8_t(*bytes)[16] = memory_new_array(COUNT, sizeof *bytes);
  for (uint64_t i = 0; i < COUNT; i++) {
    uint64_t number = i * 77777 % COUNT;
    put_key_u64(bytes[i], number);
    put_u64(bytes[i] + 8, number);
    changes[i] = (struct store_change){.table = 9, .key = bytes_of(bytes[i], 8), .value = bytes_of(bytes[i] + 8, 8)};
  }

  assert_ok(store_commit(rig.store, changes, COUNT));
  rig_close();
  assert_ok(rig_open(false));

  struct seen all = {.ascending = true};
  assert_ok(store_walk(rig.store, 9, bytes_of(NULL, 0), see_number, &all));
  assert_int_equal(all.count, COUNT);
  assert_true(all.ascending);

  uint8_t from[8];
  put_key_u64(from, 99990);
  struct seen some = {.ascending = true};
  assert_ok(store_walk(rig.store, 9, bytes_of(from, 8), see_number, &some));
  assert_int_equal(some.count, 10);
  struct seen few = {.ascending = true, .stop_at = 3};
  assert_ok(store_walk(rig.store, 9, bytes_of(from, 8), see_number, &few));
  assert_int_equal(few.count, 3);
  assert_int_equal(few.last, 99992);

  for (unsigned i = 0; i < COUNT; i++) changes[i].remove = true;
  assert_ok(store_commit(rig.store, changes, COUNT));
  struct seen none = {0};
  assert_ok(store_walk(rig.store, 9, bytes_of(NULL, 0), see_number, &none));
  assert_int_equal(none.count, 0);
  rig_close();
  assert_ok(rig_open(false));
  memory_free(changes);
  memory_free(bytes);
}

/* Whatever is committed, in whatever sizes, the check of the file finds nothing wrong with it. */
static void random_commits_reopen_with_all_they_left(void **state) {
  (void)state;
  enum { KEYS = 400, CHANGES = 120 };
  static char names[KEYS][STORE_KEY_MAX + 1];
  static size_t sizes[KEYS]; /* of the value plus one; 0: absent */
  static uint8_t text[60000];
  uint64_t random = seed_new();
  memset(sizes, 0, sizeof sizes);
  memset(text, 't', sizeof text);
  for (unsigned i = 0; i < KEYS; i++) {
    int length = snprintf(names[i], sizeof names[i], "%u", i * 7919);
    for (unsigned k = (unsigned)length; k < i % STORE_KEY_MAX; k++) names[i][k] = 'k';
  }
  for (unsigned round = 0; round < 150; round++) {
    struct store_change changes[CHANGES];
    unsigned count = 0;
    for (random = random * 6364136223846793005u + 1; count < 1 + (random >> 40) % CHANGES && count < CHANGES; count++) {
      random = random * 6364136223846793005u + 1442695040888963407u;
      unsigned key = (unsigned)(random >> 33) % KEYS;
      size_t size = (random >> 20) % ((random >> 50) % 8 == 0 ? sizeof text : 300);
      bool remove = (random >> 56) % 4 < (round / 40) % 3;
      changes[count] = (struct store_change){
          .table = key % 5, .key = bytes_of_string(names[key]), .value = bytes_of(text, size), .remove = remove};
      sizes[key] = remove ? 0 : size + 1;
    }
    assert_ok(store_commit(rig.store, changes, count));
    if (round % 3 != 0) continue;
    rig_close();
    assert_ok(rig_open(false));
    for (unsigned key = 0; key < KEYS; key++) {
      enum status status = rig_get(key % 5, names[key]);
      assert_status(status, sizes[key] == 0 ? STATUS_NOT_FOUND : STATUS_OK);
      if (status == STATUS_OK) assert_int_equal(rig.value.size + 1, sizes[key]);
    }
  }
}

/* ---- What it refuses ---- */

static void full_map_takes_nothing_of_the_commit_and_goes_on(void **state) {
  (void)state;
  rig_close();
  assert_int_equal(unlink(rig.path), 0);
  assert_ok(store_lmdb_open(rig.path, 1 << 20, STORE_CREATE, &rig.store));
  static char large[1 << 20];
  memset(large, 'x', sizeof large - 1);
  struct store_change changes[] = {rig_put_of(0, "a", "small"), rig_put_of(0, "b", large)};

  assert_status(store_commit(rig.store, changes, 2), STATUS_NO_SPACE);

  assert_status(rig_get(0, "a"), STATUS_NOT_FOUND);
  assert_ok(rig_put(0, "a", "small"));
  assert_ok(rig_get(0, "a"));
}

static void full_disk_takes_nothing_of_the_commit_and_goes_on(void **state) {
  (void)state;
  struct rlimit before;
  static char large[1 << 19];
  memset(large, 'x', sizeof large - 1);
  assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
  struct rlimit low = {.rlim_cur = 200001, .rlim_max = before.rlim_max}; /* also cuts a page in two */
  signal(SIGXFSZ, SIG_IGN);
  assert_ok(rig_put(0, "a", "before"));

  setrlimit(RLIMIT_FSIZE, &low);
  enum status refused = rig_put(0, "a", large);
  setrlimit(RLIMIT_FSIZE, &before);

  assert_status(refused, STATUS_NO_SPACE);
  assert_ok(rig_get(0, "a"));
  rig_assert_buffer(&rig.value, "before");
  rig_close();
  assert_ok(rig_open(false)); /* what the refused commit left behind the end does no harm */
  assert_ok(rig_put(0, "a", large));
  rig_close();
  assert_ok(rig_open(false));
}

static void second_opening_is_locked_out(void **state) {
  (void)state;
  struct store *second = NULL;

  assert_status(store_lmdb_open(rig.path, MAP_SIZE, 0, &second), STATUS_LOCKED);

  rig_close();
  assert_ok(rig_open(false));
}

static void who_only_reads_leaves_no_trace_and_lets_others_read(void **state) {
  (void)state;
  struct store *other = NULL;
  char lock[300];
  struct stat before;
  struct stat after;
  assert_ok(rig_put(0, "a", "kept"));
  rig_close();
  snprintf(lock, sizeof lock, "%s-lock", rig.path);
  unlink(lock);
  assert_int_equal(stat(rig.path, &before), 0);

  assert_ok(store_lmdb_open(rig.path, MAP_SIZE, STORE_READ_ONLY, &rig.store));
  assert_ok(store_lmdb_open(rig.path, MAP_SIZE, STORE_READ_ONLY, &other));
  assert_ok(rig_get(0, "a"));
  rig_assert_buffer(&rig.value, "kept");
  store_close(other);
  assert_status(store_lmdb_open(rig.path, MAP_SIZE, 0, &other), STATUS_LOCKED);

  assert_int_equal(access(lock, F_OK), -1);
  assert_int_equal(stat(rig.path, &after), 0);
  assert_int_equal(before.st_size, after.st_size);
  assert_memory_equal(&before.st_mtim, &after.st_mtim, sizeof before.st_mtim);
  rig_close();
  assert_ok(rig_open(false));
}

static void absent_is_not_found_and_only_made_when_asked(void **state) {
  (void)state;
  rig_close();
  unlink(rig.path);

  assert_status(rig_open(false), STATUS_NOT_FOUND);
  assert_ok(rig_open(true));
}

static void a_creation_that_was_cut_short_is_begun_again(void **state) {
  (void)state;
  char unfinished[300];
  rig_close();
  unlink(rig.path);
  snprintf(unfinished, sizeof unfinished, "%s.new", rig.path);
  int descriptor = open(unfinished, O_CREAT | O_WRONLY, 0600);
  assert_int_equal(write(descriptor, "rubbish", 7), 7);
  close(descriptor);

  assert_ok(rig_open(true));

  assert_int_equal(access(unfinished, F_OK), -1);
}

/* ---- Threads ---- */

static void *read_all_the_time(void *argument) {
  struct buffer value = {.max = 100};
  unsigned torn = 0;
  for (unsigned i = 0; i < 2000; i++) {
    enum status status = store_get(argument, 0, bytes_of_string("a"), &value);
    if (status != STATUS_OK || value.size != 6) torn++;
  }
  buffer_deinit(&value);
  return (void *)(uintptr_t)torn;
}

static void readers_run_beside_the_writer(void **state) {
  (void)state;
  pthread_t threads[3];
  assert_ok(rig_put(0, "a", "start."));
  for (unsigned i = 0; i < 3; i++) pthread_create(&threads[i], NULL, read_all_the_time, rig.store);

  for (unsigned i = 0; i < 50; i++) assert_ok(rig_put(0, "a", i % 2 == 0 ? "even.." : "odd..."));

  for (unsigned i = 0; i < 3; i++) {
    void *torn = NULL;
    pthread_join(threads[i], &torn);
    assert_null(torn);
  }
}

/* ---- Seals ---- */

static void seal_binds_value_to_key_and_table(void **state) {
  (void)state;
  uint8_t kept[STORE_SEAL_SIZE + 5];
  struct bytes value;
  memcpy(kept + STORE_SEAL_SIZE, "value", 5);
  store_seal(3, bytes_of_string("key"), bytes_of_string("value"), kept);
  struct bytes whole = bytes_of(kept, sizeof kept);

  assert_ok(store_unseal(3, bytes_of_string("key"), whole, &value));
  assert_true(bytes_equal(value, bytes_of_string("value")));
  assert_status(store_unseal(4, bytes_of_string("key"), whole, &value), STATUS_CORRUPT);
  assert_status(store_unseal(3, bytes_of_string("kez"), whole, &value), STATUS_CORRUPT);
  assert_status(store_unseal(3, bytes_of_string("keyv"), bytes_of(kept, sizeof kept - 1), &value), STATUS_CORRUPT);
  assert_status(store_unseal(3, bytes_of_string("key"), bytes_of(kept, 3), &value), STATUS_CORRUPT);
  for (unsigned bit = 0; bit < sizeof kept * 8; bit++) {
    kept[bit / 8] ^= (uint8_t)(1u << bit % 8);
    assert_status(store_unseal(3, bytes_of_string("key"), whole, &value), STATUS_CORRUPT);
    kept[bit / 8] ^= (uint8_t)(1u << bit % 8);
  }
}

#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, rig_set_up, rig_tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      WITH_STORE(what_was_committed_is_there_after_reopening),
      WITH_STORE(commit_puts_replaces_and_removes_in_order),
      WITH_STORE(value_larger_than_the_buffer_is_too_large),
      WITH_STORE(floor_is_the_greatest_key_that_is_not_above),
      WITH_STORE(hundred_thousand_puts_are_one_commit_and_walk_in_number_order),
      WITH_STORE(random_commits_reopen_with_all_they_left),
      WITH_STORE(full_map_takes_nothing_of_the_commit_and_goes_on),
      WITH_STORE(full_disk_takes_nothing_of_the_commit_and_goes_on),
      WITH_STORE(second_opening_is_locked_out),
      WITH_STORE(who_only_reads_leaves_no_trace_and_lets_others_read),
      WITH_STORE(absent_is_not_found_and_only_made_when_asked),
      WITH_STORE(a_creation_that_was_cut_short_is_begun_again),
      WITH_STORE(readers_run_beside_the_writer),
      cmocka_unit_test(seal_binds_value_to_key_and_table),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
