/* cmocka and the headers it wants before itself, and a directory that goes away with its test. */
#ifndef CAIRN_TESTS_UNIT_BASE_CMOCKA_BASE_H
#define CAIRN_TESTS_UNIT_BASE_CMOCKA_BASE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/status.h"

#define assert_status(expression, expected) assert_string_equal(status_name(expression), status_name(expected))
#define assert_ok(expression) assert_status(expression, STATUS_OK)

/* Where a random test begins: where TEST_SEED says (./dev test: the hash of the tree), or elsewhere in each run. Prints the line that repeats it. */
__attribute__((unused)) static uint64_t seed_new(void) {
  const char *wanted = getenv("TEST_SEED");
  uint64_t seed = wanted != NULL ? strtoull(wanted, NULL, 10) : (uint64_t)getpid() * 0x9e3779b97f4a7c15u;
  print_message("to repeat: TEST_SEED=%llu\n", (unsigned long long)seed);
  return seed;
}

static int scratch_remove_one(const char *path, const struct stat *stat, int kind, struct FTW *walk) {
  (void)stat;
  (void)kind;
  (void)walk;
  return remove(path);
}

/* Fills `path` with the name of a new directory, on the disk that Bazel gives the test. */
__attribute__((unused)) static void scratch_new(char path[256]) {
  const char *parent = getenv("TEST_TMPDIR");
  snprintf(path, 256, "%s/cairn_test_XXXXXX", parent == NULL ? "/tmp" : parent);
  assert_non_null(mkdtemp(path));
}

__attribute__((unused)) static void scratch_free(const char *path) { nftw(path, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS); }

#endif
