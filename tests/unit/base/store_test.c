#include "tests/unit/base/cmocka_base.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/codec.h"
#include "base/memory.h"
#include "base/os/world_os.h"

#define MAP_SIZE ((uint64_t)64 << 20)
#define DAMAGE_ROUNDS 1500u

struct fixture {
  char directory[256];
  char path[280];
  struct store *store;
  struct buffer key;
  struct buffer value;
};

static struct fixture fixture;

static enum status open_store(bool create) { return store_lmdb_open(fixture.path, MAP_SIZE, create, &fixture.store); }

static void close_store(void) {
  store_close(fixture.store);
  fixture.store = NULL;
}

static int setup(void **state) {
  (void)state;
  scratch_new(fixture.directory);
  snprintf(fixture.path, sizeof fixture.path, "%s/store.mdb", fixture.directory);
  buffer_init(&fixture.key, STORE_KEY_MAX);
  buffer_init(&fixture.value, 1 << 20);
  return open_store(true) == STATUS_OK ? 0 : -1;
}

static int teardown(void **state) {
  (void)state;
  close_store();
  buffer_deinit(&fixture.key);
  buffer_deinit(&fixture.value);
  scratch_free(fixture.directory);
  return 0;
}

static struct store_change put_of(unsigned table, const char *key, const char *value) {
  return (struct store_change){.table = table, .key = bytes_of_string(key), .value = bytes_of_string(value)};
}

static enum status put(unsigned table, const char *key, const char *value) {
  struct store_change change = put_of(table, key, value);
  return store_commit(fixture.store, &change, 1);
}

static enum status get(unsigned table, const char *key) {
  return store_get(fixture.store, table, bytes_of_string(key), &fixture.value);
}

static void assert_buffer(const struct buffer *buffer, const char *text) {
  assert_true(bytes_equal(buffer_bytes(buffer), bytes_of_string(text)));
}

/* Many pairs in several tables, some of them large: the tree has branches, and values have pages of their own. */
static void fill(unsigned count) {
  struct store_change *changes = memory_new_array(count, sizeof *changes);
  char(*keys)[32] = memory_new_array(count, sizeof *keys);
  static uint8_t text[20000];
  memset(text, 'v', sizeof text);
  for (unsigned i = 0; i < count; i++) {
    snprintf(keys[i], sizeof keys[i], "key-%07u", i * 7 % count);
    changes[i] = (struct store_change){
        .table = i % 3, .key = bytes_of_string(keys[i]), .value = bytes_of(text, i % 100 == 99 ? 3000 + i % 17000 : i % 60)};
  }
  assert_ok(store_commit(fixture.store, changes, count));
  memory_free(changes);
  memory_free(keys);
}

/* ---- What it keeps ---- */

static void what_was_committed_is_there_after_reopening(void **state) {
  (void)state;
  assert_ok(put(0, "a", "one"));
  assert_ok(put(1, "a", "two"));
  assert_ok(put(0, "empty", ""));
  close_store();

  assert_ok(open_store(false));

  assert_ok(get(0, "a"));
  assert_buffer(&fixture.value, "one");
  assert_ok(get(1, "a"));
  assert_buffer(&fixture.value, "two");
  assert_ok(get(0, "empty"));
  assert_buffer(&fixture.value, "");
  assert_status(get(2, "a"), STATUS_NOT_FOUND);
}

static void commit_puts_replaces_and_removes_in_order(void **state) {
  (void)state;
  struct store_change changes[] = {put_of(0, "a", "1"),
                                   put_of(0, "a", "longer than before"),
                                   put_of(0, "b", "2"),
                                   {.table = 0, .key = bytes_of_string("b"), .remove = true},
                                   {.table = 0, .key = bytes_of_string("absent"), .remove = true}};

  assert_ok(store_commit(fixture.store, changes, 5));
  assert_ok(store_commit(fixture.store, changes, 0));

  assert_ok(get(0, "a"));
  assert_buffer(&fixture.value, "longer than before");
  assert_status(get(0, "b"), STATUS_NOT_FOUND);
}

static void value_larger_than_the_buffer_is_too_large(void **state) {
  (void)state;
  struct buffer small = {.max = 4};
  assert_ok(put(0, "a", "12345"));
  assert_ok(buffer_append_string(&small, "old"));

  assert_status(store_get(fixture.store, 0, bytes_of_string("a"), &small), STATUS_TOO_LARGE);

  assert_buffer(&small, "old");
  buffer_deinit(&small);
}

static void floor_is_the_greatest_key_that_is_not_above(void **state) {
  (void)state;
  assert_status(store_floor(fixture.store, 4, bytes_of_string("x"), &fixture.key, &fixture.value), STATUS_NOT_FOUND);
  assert_ok(put(4, "b", "at b"));
  assert_ok(put(4, "d", "at d"));
  assert_ok(put(5, "a", "elsewhere"));
  const char *const expected[][2] = {{"b", "b"}, {"c", "b"}, {"d", "d"}, {"zz", "d"}, {"b\x01", "b"}};

  for (unsigned i = 0; i < 5; i++) {
    assert_ok(store_floor(fixture.store, 4, bytes_of_string(expected[i][0]), &fixture.key, &fixture.value));
    assert_buffer(&fixture.key, expected[i][1]);
  }

  assert_status(store_floor(fixture.store, 4, bytes_of_string("a"), &fixture.key, &fixture.value), STATUS_NOT_FOUND);
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

  assert_ok(store_commit(fixture.store, changes, COUNT));
  close_store();
  assert_ok(open_store(false));

  struct seen all = {.ascending = true};
  assert_ok(store_walk(fixture.store, 9, bytes_of(NULL, 0), see_number, &all));
  assert_int_equal(all.count, COUNT);
  assert_true(all.ascending);

  uint8_t from[8];
  put_key_u64(from, 99990);
  struct seen some = {.ascending = true};
  assert_ok(store_walk(fixture.store, 9, bytes_of(from, 8), see_number, &some));
  assert_int_equal(some.count, 10);
  struct seen few = {.ascending = true, .stop_at = 3};
  assert_ok(store_walk(fixture.store, 9, bytes_of(from, 8), see_number, &few));
  assert_int_equal(few.count, 3);
  assert_int_equal(few.last, 99992);

  for (unsigned i = 0; i < COUNT; i++) changes[i].remove = true;
  assert_ok(store_commit(fixture.store, changes, COUNT));
  struct seen none = {0};
  assert_ok(store_walk(fixture.store, 9, bytes_of(NULL, 0), see_number, &none));
  assert_int_equal(none.count, 0);
  close_store();
  assert_ok(open_store(false));
  memory_free(changes);
  memory_free(bytes);
}

/* ---- What it refuses ---- */

static void full_map_takes_nothing_of_the_commit_and_goes_on(void **state) {
  (void)state;
  close_store();
  assert_int_equal(unlink(fixture.path), 0);
  assert_ok(store_lmdb_open(fixture.path, 1 << 20, true, &fixture.store));
  static char large[1 << 20];
  memset(large, 'x', sizeof large - 1);
  struct store_change changes[] = {put_of(0, "a", "small"), put_of(0, "b", large)};

  assert_status(store_commit(fixture.store, changes, 2), STATUS_NO_SPACE);

  assert_status(get(0, "a"), STATUS_NOT_FOUND);
  assert_ok(put(0, "a", "small"));
  assert_ok(get(0, "a"));
}

static void full_disk_takes_nothing_of_the_commit_and_goes_on(void **state) {
  (void)state;
  struct rlimit before;
  static char large[1 << 19];
  memset(large, 'x', sizeof large - 1);
  assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
  struct rlimit low = {.rlim_cur = 200001, .rlim_max = before.rlim_max}; /* also cuts a page in two */
  signal(SIGXFSZ, SIG_IGN);
  assert_ok(put(0, "a", "before"));

  setrlimit(RLIMIT_FSIZE, &low);
  enum status refused = put(0, "a", large);
  setrlimit(RLIMIT_FSIZE, &before);

  assert_status(refused, STATUS_NO_SPACE);
  assert_ok(get(0, "a"));
  assert_buffer(&fixture.value, "before");
  close_store();
  assert_ok(open_store(false)); /* what the refused commit left behind the end does no harm */
  assert_ok(put(0, "a", large));
  close_store();
  assert_ok(open_store(false));
}

static void second_opening_is_locked_out(void **state) {
  (void)state;
  struct store *second = NULL;

  assert_status(store_lmdb_open(fixture.path, MAP_SIZE, false, &second), STATUS_LOCKED);

  close_store();
  assert_ok(open_store(false));
}

static void absent_is_not_found_and_only_made_when_asked(void **state) {
  (void)state;
  close_store();
  unlink(fixture.path);

  assert_status(open_store(false), STATUS_NOT_FOUND);
  assert_ok(open_store(true));
}

static void a_creation_that_was_cut_short_is_begun_again(void **state) {
  (void)state;
  char unfinished[300];
  close_store();
  unlink(fixture.path);
  snprintf(unfinished, sizeof unfinished, "%s.new", fixture.path);
  int descriptor = open(unfinished, O_CREAT | O_WRONLY, 0600);
  assert_int_equal(write(descriptor, "rubbish", 7), 7);
  close(descriptor);

  assert_ok(open_store(true));

  assert_int_equal(access(unfinished, F_OK), -1);
}

/* ---- What it notices ---- */

static uint64_t file_size(void) {
  struct stat stat;
  assert_int_equal(lstat(fixture.path, &stat), 0);
  return (uint64_t)stat.st_size;
}

static uint8_t *read_file(uint64_t *out_size) {
  uint64_t size = file_size();
  uint8_t *data = memory_new(size);
  int descriptor = open(fixture.path, O_RDONLY);
  assert_int_equal(pread(descriptor, data, size, 0), size);
  close(descriptor);
  *out_size = size;
  return data;
}

static void write_file(const uint8_t *data, uint64_t size) {
  int descriptor = open(fixture.path, O_WRONLY | O_TRUNC);
  assert_int_equal(pwrite(descriptor, data, size, 0), size);
  close(descriptor);
}

static void empty_file_is_corrupt_and_never_made_anew(void **state) {
  (void)state;
  close_store();
  assert_int_equal(truncate(fixture.path, 0), 0);

  assert_status(open_store(true), STATUS_CORRUPT);
  assert_status(open_store(false), STATUS_CORRUPT);

  assert_int_equal(file_size(), 0);
}

static void file_that_is_not_lmdbs_is_corrupt(void **state) {
  (void)state;
  static uint8_t noise[100000];
  close_store();
  for (unsigned i = 0; i < sizeof noise; i++) noise[i] = (uint8_t)(i * 2654435761u >> 13);

  write_file(noise, sizeof noise);

  assert_status(open_store(true), STATUS_CORRUPT);
}

static void file_cut_anywhere_is_corrupt_and_kills_nobody(void **state) {
  (void)state;
  uint64_t size = 0;
  fill(3000);
  close_store();
  uint8_t *whole = read_file(&size);

  for (uint64_t cut = 1; cut < size; cut += 4096 - 7) {
    write_file(whole, cut);
    enum status status = open_store(true);
    if (status == STATUS_OK) {
      /* Only unused pages stood behind the cut. */
      assert_ok(get(0, "key-0000000"));
      close_store();
      assert_true(cut > size / 2);
    } else {
      assert_status(status, STATUS_CORRUPT);
    }
  }
  memory_free(whole);
}

static void value_flipped_on_disk_is_corrupt(void **state) {
  (void)state;
  uint64_t size = 0;
  assert_ok(put(0, "key", "a value to be found in the file"));
  close_store();
  uint8_t *whole = read_file(&size);
  uint8_t *at = memmem(whole, size, "to be found", 11);
  assert_non_null(at);

  at[3] ^= 0x10;
  write_file(whole, size);

  assert_status(open_store(false), STATUS_CORRUPT);
  memory_free(whole);
}

/* Flipped under a running store: the page cache is what LMDB's map shows. */
static void value_flipped_while_open_is_corrupt_when_it_is_read(void **state) {
  (void)state;
  uint64_t size = 0;
  assert_ok(put(0, "good", "stays"));
  assert_ok(put(0, "key", "a value to be found in the file"));
  uint8_t *whole = read_file(&size);
  uint64_t offset = 0;
  /* The newest copy is the last one that the newest page has; flip them all. */
  int descriptor = open(fixture.path, O_WRONLY);
  for (uint8_t *at = whole; (at = memmem(at, size - (uint64_t)(at - whole), "to be found", 11)) != NULL; at++) {
    offset = (uint64_t)(at - whole);
    assert_int_equal(pwrite(descriptor, "T", 1, (off_t)offset), 1);
  }
  close(descriptor);
  assert_true(offset > 0);

  assert_status(get(0, "key"), STATUS_CORRUPT);
  assert_status(store_floor(fixture.store, 0, bytes_of_string("kez"), &fixture.key, &fixture.value), STATUS_CORRUPT);
  assert_status(put(0, "key", "cannot be subtracted from the digest"), STATUS_CORRUPT);
  assert_ok(get(0, "good"));
  memory_free(whole);
}

/* LMDB stops the process when an assertion fails; here it ends the store. */
static void page_damaged_while_open_ends_the_store_not_the_process(void **state) {
  (void)state;
  uint64_t size = 0;
  fill(3000);
  uint8_t *whole = read_file(&size);
  int descriptor = open(fixture.path, O_WRONLY);
  for (uint64_t page = 2; page < size / 4096; page++) {
    const uint8_t *at = whole + page * 4096;
    uint8_t one_pointer[2];
    put_u16(one_pointer, 18);
    if (get_u64(at) != page || get_u16(at + 10) != 1) continue; /* not a branch */
    assert_int_equal(pwrite(descriptor, one_pointer, 2, (off_t)(page * 4096 + 12)), 2);
  }
  close(descriptor);

  assert_status(get(0, "key-0000000"), STATUS_CORRUPT);
  assert_status(put(0, "key-0000000", "x"), STATUS_CORRUPT);
  assert_status(put(9, "new", "x"), STATUS_CORRUPT);

  close_store();
  assert_status(open_store(false), STATUS_CORRUPT);
  memory_free(whole);
}

/* Two meta pages, each with a whole tree: damage to either number must not make the older one count. */
static void damaged_number_of_a_meta_page_is_corrupt_not_an_older_state(void **state) {
  (void)state;
  uint64_t size = 0;
  for (unsigned i = 0; i < 6; i++) assert_ok(put(0, "a", i % 2 == 0 ? "x" : "y"));
  close_store();
  uint8_t *whole = read_file(&size);

  for (unsigned bit = 0; bit < 128; bit++) {
    uint8_t *number = whole + bit / 64 * 4096 + 144;
    uint64_t kept = get_u64(number);
    put_u64(number, kept ^ 1ull << bit % 64);
    write_file(whole, size);
    assert_status(open_store(false), STATUS_CORRUPT);
    put_u64(number, kept);
  }

  write_file(whole, size);
  assert_ok(open_store(false));
  memory_free(whole);
}

/* One table's pages as they were a commit ago: well-formed, sealed, and not what was committed. */
static void a_page_that_was_never_written_is_corrupt(void **state) {
  (void)state;
  uint64_t size = 0;
  uint64_t size_now = 0;
  fill(500);
  close_store();
  uint8_t *before = read_file(&size);
  assert_ok(open_store(false));
  for (unsigned i = 0; i < 6; i++) assert_ok(put(0, "key-0000000", i % 2 == 0 ? "x" : "y"));
  close_store();
  uint8_t *now = read_file(&size_now);
  unsigned undone = 0;

  for (uint64_t page = 2; page < size / 4096; page++) {
    uint8_t *at = now + page * 4096;
    if (memcmp(at, before + page * 4096, 4096) == 0) continue;
    uint8_t kept[4096];
    memcpy(kept, at, 4096);
    memcpy(at, before + page * 4096, 4096);
    write_file(now, size_now);
    enum status status = open_store(false);
    if (status == STATUS_OK) {
      assert_ok(get(0, "key-0000000")); /* the page was not in use: what was committed is all there */
      assert_buffer(&fixture.value, "y");
      close_store();
    } else {
      assert_status(status, STATUS_CORRUPT);
      undone++;
    }
    memcpy(at, kept, 4096);
  }

  assert_true(undone > 0);
  memory_free(before);
  memory_free(now);
}

static uint64_t checksum_all(void) {
  uint64_t sum = 0;
  for (unsigned i = 0; i < 300; i++) {
    char key[32];
    snprintf(key, sizeof key, "key-%07u", i);
    for (unsigned table = 0; table < 3; table++) {
      enum status status = get(table, key);
      if (status == STATUS_NOT_FOUND) continue;
      assert_ok(status);
      sum += xxh3(table + i * 3, buffer_bytes(&fixture.value));
    }
  }
  return sum;
}

/* Whatever bits rot, the store opens with all it held, or does not open; and it still takes commits when it does. */
static void random_damage_is_found_or_harmless(void **state) {
  (void)state;
  uint64_t size = 0;
  uint64_t random = seed_new();
  unsigned found = 0;
  fill(300);
  for (unsigned i = 0; i < 4; i++) assert_ok(put(0, "key-0000001", i % 2 == 0 ? "x" : "y"));
  uint64_t expected = checksum_all();
  close_store();
  uint8_t *whole = read_file(&size);

  uint8_t *damaged = memory_new(size);
  for (unsigned round = 0; round < DAMAGE_ROUNDS; round++) {
    memcpy(damaged, whole, size);
    for (unsigned flips = 1 + round % 3; flips > 0; flips--) {
      random = random * 6364136223846793005u + 1442695040888963407u;
      uint64_t at = (random >> 20) % size;
      if (round % 2 == 0) at = at / 4096 * 4096 + at % 200; /* heads and pointers */
      if (round % 16 == 1) at %= 8192;                      /* meta pages */
      damaged[at] ^= (uint8_t)(1u << (random >> 60) % 8);
    }
    write_file(damaged, size);
    enum status status = open_store(false);
    if (status == STATUS_OK) {
      assert_true(checksum_all() == expected);
      assert_ok(put(7, "new", "value"));
      assert_true(checksum_all() == expected);
      close_store();
      assert_ok(open_store(false));
      close_store();
    } else {
      assert_status(status, STATUS_CORRUPT);
      found++;
    }
  }
  print_message("found %u of %u\n", found, DAMAGE_ROUNDS);
  memory_free(damaged);
  memory_free(whole);
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
    assert_ok(store_commit(fixture.store, changes, count));
    if (round % 3 != 0) continue;
    close_store();
    assert_ok(open_store(false));
    for (unsigned key = 0; key < KEYS; key++) {
      enum status status = get(key % 5, names[key]);
      assert_status(status, sizes[key] == 0 ? STATUS_NOT_FOUND : STATUS_OK);
      if (status == STATUS_OK) assert_int_equal(fixture.value.size + 1, sizes[key]);
    }
  }
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
  assert_ok(put(0, "a", "start."));
  for (unsigned i = 0; i < 3; i++) pthread_create(&threads[i], NULL, read_all_the_time, fixture.store);

  for (unsigned i = 0; i < 50; i++) assert_ok(put(0, "a", i % 2 == 0 ? "even.." : "odd..."));

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

#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      WITH_STORE(what_was_committed_is_there_after_reopening),
      WITH_STORE(commit_puts_replaces_and_removes_in_order),
      WITH_STORE(value_larger_than_the_buffer_is_too_large),
      WITH_STORE(floor_is_the_greatest_key_that_is_not_above),
      WITH_STORE(hundred_thousand_puts_are_one_commit_and_walk_in_number_order),
      WITH_STORE(full_map_takes_nothing_of_the_commit_and_goes_on),
      WITH_STORE(full_disk_takes_nothing_of_the_commit_and_goes_on),
      WITH_STORE(second_opening_is_locked_out),
      WITH_STORE(absent_is_not_found_and_only_made_when_asked),
      WITH_STORE(a_creation_that_was_cut_short_is_begun_again),
      WITH_STORE(empty_file_is_corrupt_and_never_made_anew),
      WITH_STORE(file_that_is_not_lmdbs_is_corrupt),
      WITH_STORE(file_cut_anywhere_is_corrupt_and_kills_nobody),
      WITH_STORE(value_flipped_on_disk_is_corrupt),
      WITH_STORE(value_flipped_while_open_is_corrupt_when_it_is_read),
      WITH_STORE(page_damaged_while_open_ends_the_store_not_the_process),
      WITH_STORE(damaged_number_of_a_meta_page_is_corrupt_not_an_older_state),
      WITH_STORE(a_page_that_was_never_written_is_corrupt),
      WITH_STORE(random_damage_is_found_or_harmless),
      WITH_STORE(random_commits_reopen_with_all_they_left),
      WITH_STORE(readers_run_beside_the_writer),
      cmocka_unit_test(seal_binds_value_to_key_and_table),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
