/* Identities are not repeated, never empty, and a seed makes them repeat. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "security/random.h"

static void identities_differ(void **state) {
  (void)state;
  uint8_t first[RANDOM_ID_SIZE];
  uint8_t second[RANDOM_ID_SIZE];

  random_id(first);
  random_id(second);

  assert_memory_not_equal(first, second, RANDOM_ID_SIZE);
}

static void an_identity_prints_as_32_digits(void **state) {
  (void)state;
  uint8_t id[RANDOM_ID_SIZE] = {0x00, 0xff, 0x1a};
  char hex[RANDOM_ID_HEX_SIZE];

  random_id_hex(id, hex);

  assert_string_equal(hex, "00ff1a00000000000000000000000000");
}

/* Last: from here on nothing is random. */
static void a_seed_repeats(void **state) {
  (void)state;
  uint8_t first[40];
  uint8_t second[40];

  random_use_seed(7);
  random_bytes(first, sizeof first);
  random_use_seed(7);
  random_bytes(second, sizeof second);

  assert_memory_equal(first, second, sizeof first);
  random_use_seed(8);
  random_bytes(second, sizeof second);
  assert_memory_not_equal(first, second, sizeof first);
}

static int start(void **state) {
  (void)state;
  return random_start() == STATUS_OK ? 0 : -1;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(identities_differ),
      cmocka_unit_test(an_identity_prints_as_32_digits),
      cmocka_unit_test(a_seed_repeats),
  };
  return cmocka_run_group_tests(tests, start, NULL);
}
