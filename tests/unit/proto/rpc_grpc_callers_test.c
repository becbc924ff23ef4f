#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "proto/rpc_grpc_callers.h"

static int set_up(void **state) {
  *state = callers_new(7);
  return 0;
}

static int tear_down(void **state) {
  callers_free(*state);
  return 0;
}

static void assert_one_peer(struct callers *callers, const char *first, const char *second) {
  struct caller *one = callers_enter(callers, first);
  struct caller *two = callers_enter(callers, second);
  assert_ptr_equal(one, two);
  assert_int_equal(caller_calls(one), 2);
  callers_leave(callers, one);
  callers_leave(callers, two);
}

static void assert_two_peers(struct callers *callers, const char *first, const char *second) {
  struct caller *one = callers_enter(callers, first);
  struct caller *two = callers_enter(callers, second);
  assert_ptr_not_equal(one, two);
  assert_int_equal(caller_calls(one), 1);
  assert_int_equal(caller_calls(two), 1);
  callers_leave(callers, one);
  callers_leave(callers, two);
}

static void ports_do_not_tell_peers_apart(void **state) {
  assert_one_peer(*state, "ipv4:127.0.0.1:4242", "ipv4:127.0.0.1:65535");
  assert_two_peers(*state, "ipv4:127.0.0.1:4242", "ipv4:127.0.0.2:4242");
  assert_two_peers(*state, "ipv4:10.0.0.1:1", "ipv4:10.0.0.11:1");
}

static void of_ipv6_the_network_counts(void **state) {
  assert_one_peer(*state, "ipv6:%5B2001:db8:1:2:3:4:5:6%5D:1", "ipv6:%5B2001:db8:1:2::9%5D:2");
  assert_one_peer(*state, "ipv6:%5B2001:db8::1%5D:1", "ipv6:[2001:db8::ffff]:1");
  assert_one_peer(*state, "ipv6:%5Bfe80::1%25eth0%5D:1", "ipv6:%5Bfe80::2%25eth0%5D:1");
  assert_two_peers(*state, "ipv6:%5B2001:db8:1:2::9%5D:1", "ipv6:%5B2001:db8:1:3::9%5D:1");
  assert_one_peer(*state, "ipv6:%5B::1%5D:1", "ipv6:[::1]:2");
}

static void what_is_no_address_is_a_name(void **state) {
  assert_one_peer(*state, "unix:", "unix:");
  assert_one_peer(*state, "", "");
  assert_two_peers(*state, "ipv6:%5Bnonsense%5D:1", "ipv6:%5Bnonsense2%5D:1");
  char longest[200];
  snprintf(longest, sizeof longest, "%0150d:1", 5);
  assert_one_peer(*state, longest, longest);
}

static void peers_without_calls_are_forgotten(void **state) {
  struct callers *callers = *state;
  struct caller *staying = callers_enter(callers, "ipv4:192.0.2.1:1");
  char name[40];

  for (unsigned i = 0; i < 3000; i++) {
    snprintf(name, sizeof name, "ipv4:10.%u.%u.1:80", i / 256, i % 256);
    callers_leave(callers, callers_enter(callers, name));
    assert_in_range(callers_count(callers), 1, CALLERS_IDLE_MAX + 1);
  }

  assert_ptr_equal(callers_enter(callers, "ipv4:192.0.2.1:2"), staying);
  assert_int_equal(caller_calls(staying), 2);
  callers_leave(callers, staying);
  callers_leave(callers, staying);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(ports_do_not_tell_peers_apart, set_up, tear_down),
      cmocka_unit_test_setup_teardown(of_ipv6_the_network_counts, set_up, tear_down),
      cmocka_unit_test_setup_teardown(what_is_no_address_is_a_name, set_up, tear_down),
      cmocka_unit_test_setup_teardown(peers_without_calls_are_forgotten, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
