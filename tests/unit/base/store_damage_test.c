/* A store whose file is cut, flipped, not its own or of an earlier commit: it is found out before LMDB maps it, or ends the store and not the
 * process. */
#include "tests/unit/base/cmocka_base.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/codec.h"
#include "base/memory.h"
#include "tests/unit/base/store_rig.h"

#define DAMAGE_ROUNDS 1500u

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
  assert_ok(store_commit(rig.store, changes, count));
  memory_free(changes);
  memory_free(keys);
}

static uint64_t file_size(void) {
  struct stat stat;
  assert_int_equal(lstat(rig.path, &stat), 0);
  return (uint64_t)stat.st_size;
}

static uint8_t *read_file(uint64_t *out_size) {
  uint64_t size = file_size();
  uint8_t *data = memory_new(size);
  int descriptor = open(rig.path, O_RDONLY);
  assert_int_equal(pread(descriptor, data, size, 0), size);
  close(descriptor);
  *out_size = size;
  return data;
}

static void write_file(const uint8_t *data, uint64_t size) {
  int descriptor = open(rig.path, O_WRONLY | O_TRUNC);
  assert_int_equal(pwrite(descriptor, data, size, 0), size);
  close(descriptor);
}

static void empty_file_is_corrupt_and_never_made_anew(void **state) {
  (void)state;
  rig_close();
  assert_int_equal(truncate(rig.path, 0), 0);

  assert_status(rig_open(true), STATUS_CORRUPT);
  assert_status(rig_open(false), STATUS_CORRUPT);

  assert_int_equal(file_size(), 0);
}

static void file_that_is_not_lmdbs_is_corrupt(void **state) {
  (void)state;
  static uint8_t noise[100000];
  rig_close();
  for (unsigned i = 0; i < sizeof noise; i++) noise[i] = (uint8_t)(i * 2654435761u >> 13);

  write_file(noise, sizeof noise);

  assert_status(rig_open(true), STATUS_CORRUPT);
}

static void file_cut_anywhere_is_corrupt_and_kills_nobody(void **state) {
  (void)state;
  uint64_t size = 0;
  fill(3000);
  rig_close();
  uint8_t *whole = read_file(&size);

  for (uint64_t cut = 1; cut < size; cut += 4096 - 7) {
    write_file(whole, cut);
    enum status status = rig_open(true);
    if (status == STATUS_OK) {
      /* Only unused pages stood behind the cut. */
      assert_ok(rig_get(0, "key-0000000"));
      rig_close();
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
  assert_ok(rig_put(0, "key", "a value to be found in the file"));
  rig_close();
  uint8_t *whole = read_file(&size);
  uint8_t *at = memmem(whole, size, "to be found", 11);
  assert_non_null(at);

  at[3] ^= 0x10;
  write_file(whole, size);

  assert_status(rig_open(false), STATUS_CORRUPT);
  memory_free(whole);
}

/* Flipped under a running store: the page cache is what LMDB's map shows. */
static void value_flipped_while_open_is_corrupt_when_it_is_read(void **state) {
  (void)state;
  uint64_t size = 0;
  assert_ok(rig_put(0, "good", "stays"));
  assert_ok(rig_put(0, "key", "a value to be found in the file"));
  uint8_t *whole = read_file(&size);
  uint64_t offset = 0;
  /* The newest copy is the last one that the newest page has; flip them all. */
  int descriptor = open(rig.path, O_WRONLY);
  for (uint8_t *at = whole; (at = memmem(at, size - (uint64_t)(at - whole), "to be found", 11)) != NULL; at++) {
    offset = (uint64_t)(at - whole);
    assert_int_equal(pwrite(descriptor, "T", 1, (off_t)offset), 1);
  }
  close(descriptor);
  assert_true(offset > 0);

  assert_status(rig_get(0, "key"), STATUS_CORRUPT);
  assert_status(store_floor(rig.store, 0, bytes_of_string("kez"), &rig.key, &rig.value), STATUS_CORRUPT);
  assert_status(rig_put(0, "key", "cannot be subtracted from the digest"), STATUS_CORRUPT);
  assert_ok(rig_get(0, "good"));
  memory_free(whole);
}

/* LMDB stops the process when an assertion fails; here it ends the store. */
static void page_damaged_while_open_ends_the_store_not_the_process(void **state) {
  (void)state;
  uint64_t size = 0;
  fill(3000);
  uint8_t *whole = read_file(&size);
  int descriptor = open(rig.path, O_WRONLY);
  for (uint64_t page = 2; page < size / 4096; page++) {
    const uint8_t *at = whole + page * 4096;
    uint8_t one_pointer[2];
    put_u16(one_pointer, 18);
    if (get_u64(at) != page || get_u16(at + 10) != 1) continue; /* not a branch */
    assert_int_equal(pwrite(descriptor, one_pointer, 2, (off_t)(page * 4096 + 12)), 2);
  }
  close(descriptor);

  assert_status(rig_get(0, "key-0000000"), STATUS_CORRUPT);
  assert_status(rig_put(0, "key-0000000", "x"), STATUS_CORRUPT);
  assert_status(rig_put(9, "new", "x"), STATUS_CORRUPT);

  rig_close();
  assert_status(rig_open(false), STATUS_CORRUPT);
  memory_free(whole);
}

/* Two meta pages, each with a whole tree: damage to either number must not make the older one count. */
static void damaged_number_of_a_meta_page_is_corrupt_not_an_older_state(void **state) {
  (void)state;
  uint64_t size = 0;
  for (unsigned i = 0; i < 6; i++) assert_ok(rig_put(0, "a", i % 2 == 0 ? "x" : "y"));
  rig_close();
  uint8_t *whole = read_file(&size);

  for (unsigned bit = 0; bit < 128; bit++) {
    uint8_t *number = whole + bit / 64 * 4096 + 144;
    uint64_t kept = get_u64(number);
    put_u64(number, kept ^ 1ull << bit % 64);
    write_file(whole, size);
    assert_status(rig_open(false), STATUS_CORRUPT);
    put_u64(number, kept);
  }

  write_file(whole, size);
  assert_ok(rig_open(false));
  memory_free(whole);
}

/* One table's pages as they were a commit ago: well-formed, sealed, and not what was committed. */
static void a_page_that_was_never_written_is_corrupt(void **state) {
  (void)state;
  uint64_t size = 0;
  uint64_t size_now = 0;
  fill(500);
  rig_close();
  uint8_t *before = read_file(&size);
  assert_ok(rig_open(false));
  for (unsigned i = 0; i < 6; i++) assert_ok(rig_put(0, "key-0000000", i % 2 == 0 ? "x" : "y"));
  rig_close();
  uint8_t *now = read_file(&size_now);
  unsigned undone = 0;

  for (uint64_t page = 2; page < size / 4096; page++) {
    uint8_t *at = now + page * 4096;
    if (memcmp(at, before + page * 4096, 4096) == 0) continue;
    uint8_t kept[4096];
    memcpy(kept, at, 4096);
    memcpy(at, before + page * 4096, 4096);
    write_file(now, size_now);
    enum status status = rig_open(false);
    if (status == STATUS_OK) {
      assert_ok(rig_get(0, "key-0000000")); /* the page was not in use: what was committed is all there */
      rig_assert_buffer(&rig.value, "y");
      rig_close();
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
      enum status status = rig_get(table, key);
      if (status == STATUS_NOT_FOUND) continue;
      assert_ok(status);
      sum += xxh3(table + i * 3, buffer_bytes(&rig.value));
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
  for (unsigned i = 0; i < 4; i++) assert_ok(rig_put(0, "key-0000001", i % 2 == 0 ? "x" : "y"));
  uint64_t expected = checksum_all();
  rig_close();
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
    enum status status = rig_open(false);
    if (status == STATUS_OK) {
      assert_true(checksum_all() == expected);
      assert_ok(rig_put(7, "new", "value"));
      assert_true(checksum_all() == expected);
      rig_close();
      assert_ok(rig_open(false));
      rig_close();
    } else {
      assert_status(status, STATUS_CORRUPT);
      found++;
    }
  }
  print_message("found %u of %u\n", found, DAMAGE_ROUNDS);
  memory_free(damaged);
  memory_free(whole);
}

#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, rig_set_up, rig_tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      WITH_STORE(empty_file_is_corrupt_and_never_made_anew),
      WITH_STORE(file_that_is_not_lmdbs_is_corrupt),
      WITH_STORE(file_cut_anywhere_is_corrupt_and_kills_nobody),
      WITH_STORE(value_flipped_on_disk_is_corrupt),
      WITH_STORE(value_flipped_while_open_is_corrupt_when_it_is_read),
      WITH_STORE(page_damaged_while_open_ends_the_store_not_the_process),
      WITH_STORE(damaged_number_of_a_meta_page_is_corrupt_not_an_older_state),
      WITH_STORE(a_page_that_was_never_written_is_corrupt),
      WITH_STORE(random_damage_is_found_or_harmless),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
