/* Names and numbers to partitions, and that what was found stays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/routing.h"
#include "tests/unit/server/lab.h"

static struct lab lab;
static struct routing *routing;
static struct route_found found;
static unsigned told;

static int setup(void **state) {
  (void)state;
  lab_open(&lab);
  routing = routing_new(1);
  found = (struct route_found){0};
  told = 0;
  return 0;
}
static int teardown(void **state) {
  (void)state;
  lab_close(&lab, false);
  routing_free(routing);
  lab_remove(&lab);
  return 0;
}

static struct bytes name(void) { return bytes_of_string("orders"); }
static enum status find(uint32_t number) { return routing_find(routing, name(), number, &found); }
static void tell(void *context, struct partition *partition) {
  (void)context;
  (void)partition;
  told++;
}

static void an_unknown_topic_is_told_from_an_unknown_partition(void **state) {
  (void)state;
  assert_int_equal(find(0), STATUS_UNKNOWN_TOPIC);
  routing_add_topic(routing, name(), 2);
  assert_int_equal(find(2), STATUS_UNKNOWN_PARTITION);
  assert_int_equal(found.partition_count, 2);
}

static void a_partition_is_loading_until_it_is_there(void **state) {
  (void)state;
  routing_add_topic(routing, name(), 2);
  assert_int_equal(find(1), STATUS_LOADING);
  routing_set_absent(routing, name(), 1, STATUS_DAMAGED);
  assert_int_equal(find(1), STATUS_DAMAGED);

  routing_set_partition(routing, name(), 0, partition_hold(lab.partition));

  assert_int_equal(find(0), STATUS_OK);
  assert_ptr_equal(found.partition, lab.partition);
  partition_release(found.partition);
}

static void what_was_found_outlives_its_topic(void **state) {
  (void)state;
  routing_add_topic(routing, name(), 1);
  routing_set_partition(routing, name(), 0, partition_hold(lab.partition));
  assert_int_equal(find(0), STATUS_OK);
  struct partition *kept = found.partition;

  routing_remove_topic(routing, name(), tell, NULL);

  assert_int_equal(told, 1);
  assert_int_equal(partition_place_of(kept).group, 1);
  assert_int_equal(find(0), STATUS_UNKNOWN_TOPIC);
  partition_release(kept);
}

static void a_partition_that_comes_too_late_is_let_go(void **state) {
  (void)state;
  routing_set_partition(routing, name(), 0, partition_hold(lab.partition));
  assert_int_equal(find(0), STATUS_UNKNOWN_TOPIC);
}

static const char *asked(void) {
  static char address[ADDRESS_TEXT_SIZE];
  routing_address(routing, found.ask, address);
  return address;
}

static void a_partition_of_others_names_one_of_them(void **state) {
  (void)state;
  routing_add_topic(routing, name(), 1);
  routing_set_elsewhere(routing, name(), 0, 3);
  assert_int_equal(find(0), STATUS_NOT_LEADER);
  assert_int_equal(found.ask, 3);
  assert_string_equal(asked(), "");
  routing_set_broker(routing, 3, "db3:7411");
  assert_string_equal(asked(), "db3:7411");
  routing_set_broker(routing, 3, "db3.example:7411");
  assert_string_equal(asked(), "db3.example:7411");
}

static void a_topic_that_grows_keeps_what_it_has(void **state) {
  (void)state;
  routing_add_topic(routing, name(), 2);
  routing_set_elsewhere(routing, name(), 1, 3);
  assert_int_equal(find(2), STATUS_UNKNOWN_PARTITION);
  routing_grow_topic(routing, name(), 4);
  assert_int_equal(find(1), STATUS_NOT_LEADER);
  assert_int_equal(found.ask, 3);
  assert_int_equal(find(3), STATUS_LOADING);
  assert_int_equal(found.partition_count, 4);
  assert_int_equal(find(4), STATUS_UNKNOWN_PARTITION);
}

static void only_who_leads_group_0_says_that_a_topic_is_not_there(void **state) {
  (void)state;
  routing_set_broker(routing, 2, "db2:7411");
  routing_set_authority(routing, STATUS_NOT_LEADER, 2);
  assert_int_equal(find(0), STATUS_NOT_LEADER);
  assert_string_equal(asked(), "db2:7411");
  routing_set_authority(routing, STATUS_NOT_LEADER, 0);
  assert_int_equal(find(0), STATUS_NOT_LEADER);
  assert_string_equal(asked(), "");
  routing_set_authority(routing, STATUS_DAMAGED, 1);
  assert_int_equal(find(0), STATUS_DAMAGED);
  assert_int_equal(found.partition_count, 0);
  routing_set_authority(routing, STATUS_UNKNOWN_TOPIC, 1);
  assert_int_equal(find(0), STATUS_UNKNOWN_TOPIC);
  routing_add_topic(routing, name(), 2);
  assert_int_equal(find(2), STATUS_UNKNOWN_PARTITION);
  routing_set_authority(routing, STATUS_NOT_LEADER, 2);
  assert_int_equal(find(1), STATUS_LOADING);
  assert_int_equal(find(2), STATUS_NOT_LEADER); /* it may have grown */
  assert_string_equal(asked(), "db2:7411");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(an_unknown_topic_is_told_from_an_unknown_partition),
      TEST(a_partition_is_loading_until_it_is_there),
      TEST(what_was_found_outlives_its_topic),
      TEST(a_partition_that_comes_too_late_is_let_go),
      TEST(a_partition_of_others_names_one_of_them),
      TEST(a_topic_that_grows_keeps_what_it_has),
      TEST(only_who_leads_group_0_says_that_a_topic_is_not_there),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
