/* HOST:PORT as people write it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/address.h"

static void addresses_are_read_and_printed_back(void **state) {
  (void)state;
  static const char *const good[] = {"127.0.0.1:7411", "[::1]:0", "db1.example:65535", "localhost:80"};
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    struct address address;
    char text[64];
    assert_true(address_parse(good[i], &address));
    assert_true(address_print(&address, text, sizeof text));
    assert_string_equal(text, good[i]);
  }
}

static void what_is_no_address_is_refused(void **state) {
  (void)state;
  static const char *const bad[] = {"",        ":",       "7411",     "host:", ":7411", "host:65536",
                                    "host:-1", "host:7x", "::1:7411", "[]:1",  "a b:1"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    struct address address;
    assert_false(address_parse(bad[i], &address));
  }
}

static void loopback_is_told_from_the_rest(void **state) {
  (void)state;
  struct address address;
  assert_true(address_parse("127.1.2.3:1", &address) && address_is_loopback(&address));
  assert_true(address_parse("[::1]:1", &address) && address_is_loopback(&address));
  assert_true(address_parse("127.evil.example:1", &address) && !address_is_loopback(&address));
  assert_true(address_parse("0.0.0.0:1", &address) && !address_is_loopback(&address) && address_is_wildcard(&address));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(addresses_are_read_and_printed_back),
      cmocka_unit_test(what_is_no_address_is_refused),
      cmocka_unit_test(loopback_is_told_from_the_rest),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
