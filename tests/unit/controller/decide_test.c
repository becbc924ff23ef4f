/* Whose number a broker may have, against a map that is drawn up for it. */
#include "controller/decide.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct cluster_map *map;

static void register_with(uint8_t directory) {
  struct command command = {.kind = COMMAND_REGISTER_BROKER,
                            .broker = {.id = 2, .advertised = "a:1", .peer_address = "a:2", .incarnation = {directory}}};
  assert_int_equal(cluster_map_apply(map, &command), STATUS_OK);
}

/* Broker 2 has directory 8, and had 7. */
static int set_up(void **state) {
  (void)state;
  map = cluster_map_new(1);
  register_with(7);
  register_with(8);
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  cluster_map_free(map);
  return 0;
}

static enum status ask(uint32_t broker, uint8_t directory, bool is_up, struct change *out_change) {
  *out_change = (struct change){.kind = COMMAND_REGISTER_BROKER, .broker = {.id = broker, .incarnation = {directory}}};
  return decide_whose_number(map, out_change, is_up);
}

static void a_number_that_nobody_has_is_free(void **state) {
  (void)state;
  struct change change;
  assert_int_equal(ask(3, 9, false, &change), STATUS_OK);
}

static void a_broker_keeps_its_number(void **state) {
  (void)state;
  struct change change;
  assert_int_equal(ask(2, 8, true, &change), STATUS_OK);
  assert_int_equal(ask(2, 8, false, &change), STATUS_OK);
}

static void a_new_directory_takes_the_place_of_one_that_is_gone(void **state) {
  (void)state;
  struct change change;
  assert_int_equal(ask(2, 9, false, &change), STATUS_OK);
}

static void it_does_not_take_that_of_one_that_is_up(void **state) {
  (void)state;
  struct change change;
  assert_int_equal(ask(2, 9, true, &change), STATUS_BROKER_ID_TAKEN);
  assert_non_null(strstr(change.problem, "broker 2 is up at a:2"));
}

static void a_directory_that_was_replaced_stays_so(void **state) {
  (void)state;
  struct change change;
  assert_int_equal(ask(2, 7, false, &change), STATUS_DIRECTORY_REPLACED);
  assert_int_equal(ask(2, 7, true, &change), STATUS_DIRECTORY_REPLACED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_number_that_nobody_has_is_free),
      TEST(a_broker_keeps_its_number),
      TEST(a_new_directory_takes_the_place_of_one_that_is_gone),
      TEST(it_does_not_take_that_of_one_that_is_up),
      TEST(a_directory_that_was_replaced_stays_so),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
