#include "tests/unit/base/cmocka_base.h"

#include <stdalign.h>
#include <string.h>

#include "base/arena.h"

static void takes_are_zeroed_aligned_and_apart(void **state) {
  (void)state;
  struct arena *arena = arena_new(1 << 20);
  uint8_t *taken[1000];

  for (unsigned i = 0; i < 1000; i++) {
    taken[i] = arena_take(arena, i);
    assert_non_null(taken[i]);
    assert_int_equal((uintptr_t)taken[i] % alignof(max_align_t), 0);
    for (unsigned k = 0; k < i; k++) assert_int_equal(taken[i][k], 0);
    memset(taken[i], (int)i, i);
  }

  for (unsigned i = 0; i < 1000; i++) {
    for (unsigned k = 0; k < i; k++) assert_int_equal(taken[i][k], (uint8_t)i);
  }
  arena_free(arena);
}

static void beyond_the_limit_is_null_and_what_was_taken_stays(void **state) {
  (void)state;
  struct arena *arena = arena_new(1024);
  char *text = arena_copy_string(arena, "stays", 5);

  assert_null(arena_take(arena, 1024));
  assert_null(arena_take(arena, SIZE_MAX));
  assert_null(arena_take(arena, SIZE_MAX - 4));
  assert_null(arena_copy_string(arena, "x", SIZE_MAX));
  assert_non_null(arena_take(arena, 1024 - arena_used(arena)));
  assert_null(arena_take(arena, 1));

  assert_int_equal(arena_used(arena), 1024);
  assert_string_equal(text, "stays");
  arena_free(arena);
}

static void reset_gives_zeroed_room_again(void **state) {
  (void)state;
  struct arena *arena = arena_new(300000);
  for (unsigned round = 0; round < 3; round++) {
    uint8_t *small = arena_take(arena, 100);
    uint8_t *large = arena_take(arena, 200000); /* larger than any block */
    assert_non_null(small);
    assert_non_null(large);
    assert_int_equal(small[99] + large[199999], 0);
    memset(small, 1, 100);
    memset(large, 1, 200000);

    arena_reset(arena);

    assert_int_equal(arena_used(arena), 0);
  }
  arena_free(arena);
  arena_free(NULL);
}

static void strings_are_copied_with_their_end(void **state) {
  (void)state;
  struct arena *arena = arena_new(1000);

  char *cut = arena_copy_string(arena, "whole text", 5);
  char *none = arena_copy_string(arena, NULL, 0);

  assert_string_equal(cut, "whole");
  assert_string_equal(none, "");
  arena_free(arena);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(takes_are_zeroed_aligned_and_apart),
      cmocka_unit_test(beyond_the_limit_is_null_and_what_was_taken_stays),
      cmocka_unit_test(reset_gives_zeroed_room_again),
      cmocka_unit_test(strings_are_copied_with_their_end),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
