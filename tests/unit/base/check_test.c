#include "tests/unit/base/cmocka_base.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "base/check.h"
#include "base/memory.h"
#include "tests/unit/base/child.h"

static void fail_with_words(void) {
  int zero = 0;
  check_context("broker=3 lane=1 seed=77");
  CHECK_MSG(zero == 1, "zero=%d", zero);
}

static void failed_check_prints_place_words_and_context_and_aborts(void **state) {
  (void)state;
  char words[CHILD_WORDS_SIZE];

  int how = child_run(fail_with_words, words);

  assert_true(WIFSIGNALED(how) && WTERMSIG(how) == SIGABRT);
  assert_non_null(strstr(words, "cairn: CHECK failed at "));
  assert_non_null(strstr(words, "check_test.c:"));
  assert_non_null(strstr(words, "zero == 1"));
  assert_non_null(strstr(words, "zero=0"));
  assert_non_null(strstr(words, "broker=3 lane=1 seed=77"));
}

static void grow_beyond_all_memory(void) { memory_free(memory_grow_array(NULL, SIZE_MAX / 2, 3)); }

static void array_size_that_overflows_stops_the_process(void **state) {
  (void)state;
  char words[CHILD_WORDS_SIZE];

  int how = child_run(grow_beyond_all_memory, words);

  assert_true(WIFSIGNALED(how) && WTERMSIG(how) == SIGABRT);
  assert_non_null(strstr(words, "CHECK failed"));
}

static void checks_that_hold_say_nothing(void **state) {
  (void)state;
  CHECK(1 + 1 == 2);
  PRE(IMPLIES(0, 0));
  POST(IMPLIES(1, 1));
}

static void memory_is_zeroed_and_aligned_as_asked(void **state) {
  (void)state;
  uint8_t *zeroed = memory_new_array(100, 3);
  void *aligned = memory_new_aligned(4096, 8192);
  void *nothing = memory_new(0);
  char *copy = memory_copy_string("words");

  for (unsigned i = 0; i < 300; i++) assert_int_equal(zeroed[i], 0);
  assert_int_equal((uintptr_t)aligned % 4096, 0);
  assert_non_null(nothing);
  assert_string_equal(copy, "words");

  memory_free(zeroed);
  memory_free(aligned);
  memory_free(nothing);
  memory_free(copy);
  memory_free(NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(failed_check_prints_place_words_and_context_and_aborts),
      cmocka_unit_test(array_size_that_overflows_stops_the_process),
      cmocka_unit_test(checks_that_hold_say_nothing),
      cmocka_unit_test(memory_is_zeroed_and_aligned_as_asked),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
