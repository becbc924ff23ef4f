#include "tests/unit/base/cmocka_base.h"

#include <string.h>

#include "base/map.h"

static unsigned values[20000];

static int setup(void **state) {
  *state = map_new(42);
  for (unsigned i = 0; i < 20000; i++) values[i] = i;
  return 0;
}

static int teardown(void **state) {
  map_free(*state);
  return 0;
}

static void keys_of_bytes_and_numbers_are_found_and_apart(void **state) {
  struct map *map = *state;
  uint64_t number = 5;
  struct bytes same = bytes_of(&number, sizeof number);

  assert_null(map_get_number(map, 5));
  assert_null(map_put_number(map, 5, &values[1]));
  assert_null(map_put(map, same, &values[2]));
  assert_null(map_put(map, bytes_of(NULL, 0), &values[3]));
  assert_null(map_put(map, bytes_of_string("key"), &values[4]));

  assert_ptr_equal(map_get_number(map, 5), &values[1]);
  assert_ptr_equal(map_get(map, same), &values[2]);
  assert_ptr_equal(map_get(map, bytes_of_string("")), &values[3]);
  assert_ptr_equal(map_get(map, bytes_of_string("key")), &values[4]);
  assert_null(map_get(map, bytes_of_string("kez")));
  assert_int_equal(map_count(map), 4);
}

static void put_replaces_and_returns_what_was_there(void **state) {
  struct map *map = *state;
  char key[] = "key";
  assert_null(map_put(map, bytes_of_string(key), &values[1]));
  key[0] = 'x'; /* the map has its own copy */

  assert_ptr_equal(map_put(map, bytes_of_string("key"), &values[2]), &values[1]);

  assert_int_equal(map_count(map), 1);
  assert_ptr_equal(map_remove(map, bytes_of_string("key")), &values[2]);
  assert_null(map_remove(map, bytes_of_string("key")));
  assert_int_equal(map_count(map), 0);
}

static void assert_walk(struct map *map, const unsigned *expected, unsigned count) {
  struct map_cursor cursor = {0};
  for (unsigned i = 0; i < count; i++) {
    const unsigned *value = map_next(map, &cursor);
    assert_non_null(value);
    assert_int_equal(*value, expected[i]);
  }
  assert_null(map_next(map, &cursor));
  assert_null(map_next(map, &cursor));
}

static void walks_are_in_the_order_of_insertion_whatever_the_seed(void **state) {
  (void)state;
  for (uint64_t seed = 0; seed < 20; seed++) {
    struct map *map = map_new(seed);
    for (unsigned i = 0; i < 100; i++) map_put_number(map, i * 7919 % 100, &values[i]);
    map_put_number(map, 0, &values[0]); /* replacing does not move */
    map_remove_number(map, 7919 % 100);
    map_put_number(map, 7919 % 100, &values[1]); /* inserting again does */
    unsigned expected[100];
    for (unsigned i = 0; i < 100; i++) expected[i] = i == 0 ? 0 : i < 99 ? i + 1 : 1;
    assert_walk(map, expected, 100);
    map_free(map);
  }
}

static void every_value_is_seen_once_while_all_are_removed(void **state) {
  struct map *map = *state;
  for (unsigned i = 0; i < 10000; i++) map_put_number(map, i, &values[i]);

  struct map_cursor cursor = {0};
  unsigned seen = 0;
  for (unsigned *value = NULL; (value = map_next(map, &cursor)) != NULL; seen++) {
    assert_int_equal(*value, seen);
    assert_ptr_equal(map_remove_number(map, *value), value);
  }

  assert_int_equal(seen, 10000);
  assert_int_equal(map_count(map), 0);
}

static void removing_others_while_walking_skips_just_those(void **state) {
  struct map *map = *state;
  for (unsigned i = 0; i < 9000; i++) map_put_number(map, i, &values[i]);

  struct map_cursor cursor = {0};
  unsigned expected = 0;
  for (unsigned *value = NULL; (value = map_next(map, &cursor)) != NULL; expected += 3) {
    assert_int_equal(*value, expected);
    map_remove_number(map, *value + 1);
    map_remove_number(map, *value + 2);
  }

  assert_int_equal(expected, 9000);
  assert_int_equal(map_count(map), 3000);
}

static void a_walk_goes_on_after_what_was_put_during_it(void **state) {
  struct map *map = *state;
  for (unsigned i = 0; i < 100; i++) map_put_number(map, i, &values[i]);

  struct map_cursor cursor = {0};
  unsigned expected = 0;
  for (unsigned *value = NULL; (value = map_next(map, &cursor)) != NULL; expected++) {
    assert_int_equal(*value, expected);
    map_remove_number(map, *value);
    if (*value < 5000) map_put_number(map, *value + 100, &values[*value + 100]);
  }

  assert_int_equal(expected, 5100);
}

/* Random puts and removes against an array: the line it prints repeats it. */
static void random_use_agrees_with_an_array(void **state) {
  struct map *map = *state;
  enum { KEYS = 500 };
  static const unsigned *model[KEYS];
  memset(model, 0, sizeof model);
  uint64_t random = seed_new();
  size_t count = 0;
  for (unsigned round = 0; round < 100000; round++) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    unsigned key = (unsigned)(random >> 40) % KEYS;
    bool removing = (random >> 33) % 4 < (round / 10000) % 4; /* tides */
    char name[16];
    snprintf(name, sizeof name, "k%u", key);
    const unsigned *earlier = NULL;
    if (removing) earlier = map_remove(map, bytes_of_string(name));
    else earlier = map_put(map, bytes_of_string(name), &values[round % 20000]);
    assert_ptr_equal(earlier, model[key]);
    if (removing && earlier != NULL) count--;
    if (!removing && earlier == NULL) count++;
    model[key] = removing ? NULL : &values[round % 20000];
    assert_int_equal(map_count(map), count);
  }
  struct map_cursor cursor = {0};
  while (map_next(map, &cursor) != NULL) count--;
  assert_int_equal(count, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(keys_of_bytes_and_numbers_are_found_and_apart, setup, teardown),
      cmocka_unit_test_setup_teardown(put_replaces_and_returns_what_was_there, setup, teardown),
      cmocka_unit_test_setup_teardown(walks_are_in_the_order_of_insertion_whatever_the_seed, setup, teardown),
      cmocka_unit_test_setup_teardown(every_value_is_seen_once_while_all_are_removed, setup, teardown),
      cmocka_unit_test_setup_teardown(removing_others_while_walking_skips_just_those, setup, teardown),
      cmocka_unit_test_setup_teardown(a_walk_goes_on_after_what_was_put_during_it, setup, teardown),
      cmocka_unit_test_setup_teardown(random_use_agrees_with_an_array, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
