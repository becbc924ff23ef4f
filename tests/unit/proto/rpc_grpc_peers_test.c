#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "proto/rpc_grpc_peers.h"

static int set_up(void **state) {
  *state = peers_new(7);
  return 0;
}

static int tear_down(void **state) {
  peers_free(*state);
  return 0;
}

static void assert_one_peer(struct peers *peers, const char *first, const char *second) {
  struct peer *one = peers_enter(peers, first);
  struct peer *two = peers_enter(peers, second);
  assert_ptr_equal(one, two);
  assert_int_equal(peer_calls(one), 2);
  peers_leave(peers, one);
  peers_leave(peers, two);
}

static void assert_two_peers(struct peers *peers, const char *first, const char *second) {
  struct peer *one = peers_enter(peers, first);
  struct peer *two = peers_enter(peers, second);
  assert_ptr_not_equal(one, two);
  assert_int_equal(peer_calls(one), 1);
  assert_int_equal(peer_calls(two), 1);
  peers_leave(peers, one);
  peers_leave(peers, two);
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
  struct peers *peers = *state;
  struct peer *staying = peers_enter(peers, "ipv4:192.0.2.1:1");
  char name[40];

  for (unsigned i = 0; i < 3000; i++) {
    snprintf(name, sizeof name, "ipv4:10.%u.%u.1:80", i / 256, i % 256);
    peers_leave(peers, peers_enter(peers, name));
    assert_in_range(peers_count(peers), 1, PEERS_IDLE_MAX + 1);
  }

  assert_ptr_equal(peers_enter(peers, "ipv4:192.0.2.1:2"), staying);
  assert_int_equal(peer_calls(staying), 2);
  peers_leave(peers, staying);
  peers_leave(peers, staying);
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
