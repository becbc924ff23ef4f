/* When a cluster had better be balanced by itself: what is calm, and what is uneven enough. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "controller/imbalance.h"
#include "tests/unit/controller/map_rig.h"

static bool owns;
static struct imbalance_memory memory;

static bool is_own(void *context, const struct map_move *move) {
  (void)context;
  return owns && move->partition == 0;
}

static int set_up(void **state) {
  owns = false;
  memory = (struct imbalance_memory){0};
  return rig_set_up(state);
}

static const char *unrest(void) { return imbalance_unrest(map, &memory, rig_is_up, is_own, NULL); }

static void put_brokers(uint32_t count) {
  for (uint32_t id = 1; id <= count; id++) rig_register_broker(id, "peer:1");
}

static void put_in_racks(const char *racks) {
  for (uint32_t id = 1; racks[id - 1] != '\0'; id++) rig_register_in_rack(id, (const char[]){racks[id - 1], '\0'});
}

/* `copies`: of each the digits are its brokers. */
static void create_copies(const char *name, const char *copies, uint32_t count) {
  struct command command = rig_create_command(name, count);
  for (uint32_t i = 0; i < count; i++) rig_put_on(&command.topic.partitions[i], copies);
  assert_int_equal(cluster_map_apply(map, &command), STATUS_OK);
  command_deinit(&command);
}

/* So many partitions of one replica each. */
static void create(const char *name, uint32_t broker, uint32_t count) {
  create_copies(name, (const char[]){(char)('0' + broker), '\0'}, count);
}

static void move_first(const char *name, uint32_t to) {
  assert_int_equal(rig_begin_move(rig_find(name)->id, 0, &to, 1), STATUS_OK);
}

static void a_little_is_not_worth_it(void **state) {
  (void)state;
  assert_false(imbalance_of(map).is_worth_it);
  put_brokers(2);
  assert_false(imbalance_of(map).is_worth_it);
  create("a", 1, 2);
  assert_false(imbalance_of(map).is_worth_it);
  create("b", 1, 1);
  assert_true(imbalance_of(map).is_worth_it); /* 3 and 0 */
  assert_int_equal(imbalance_of(map).replicas_most, 3);
  assert_int_equal(imbalance_of(map).replicas_fewest, 0);
  move_first("a", 2); /* counts where it goes: 2 and 1 */
  assert_false(imbalance_of(map).is_worth_it);
  assert_int_equal(imbalance_of(map).firsts_most, 2);
}

static void much_is_measured_by_the_average(void **state) {
  (void)state;
  put_brokers(2);
  create("a", 1, 100);
  create("b", 2, 92);
  assert_false(imbalance_of(map).is_worth_it);
  create("c", 1, 4);
  assert_true(imbalance_of(map).is_worth_it); /* 104 and 92: more than a tenth of 98 */
}

static void who_leaves_is_not_counted(void **state) {
  (void)state;
  put_brokers(3);
  create("a", 1, 5);
  create("b", 2, 5);
  assert_true(imbalance_of(map).is_worth_it);
  assert_int_equal(rig_stand(3, STANDING_LEAVING), STATUS_OK);
  assert_false(imbalance_of(map).is_worth_it);
}

static void a_rack_that_has_more_than_it_must_is_worth_it(void **state) {
  (void)state;
  put_in_racks("aabb");
  create_copies("a", "13", 1);
  create_copies("b", "132", 1); /* one must have two */
  assert_false(imbalance_of(map).is_worth_it);
  create_copies("c", "34", 1);
  assert_true(imbalance_of(map).is_worth_it);
  assert_int_equal(imbalance_of(map).crowded, 1);
  create_copies("d", "243", 1);
  assert_int_equal(imbalance_of(map).crowded, 1);
  rig_register_in_rack(4, "");                    /* it stands alone now: of three replicas no rack must have two */
  assert_int_equal(imbalance_of(map).crowded, 1); /* b */
}

/* What is on its way out of it counts as gone. */
static void a_rack_that_is_being_left_is_crowded_no_more(void **state) {
  (void)state;
  put_in_racks("aab");
  create_copies("a", "12", 1);
  assert_true(imbalance_of(map).is_worth_it);
  struct command command = {.kind = COMMAND_MOVE_PARTITION, .move = {.topic_id = rig_find("a")->id, .target_count = 2}};
  command.move.target[0] = (struct map_replica){.broker = 1, .incarnation = {1}};
  command.move.target[1] = (struct map_replica){.broker = 3, .incarnation = {3}};
  assert_int_equal(rig_apply_through_bytes(&command), STATUS_OK);
  assert_false(imbalance_of(map).is_worth_it);
}

/* Broker 3 has every partition, and 1 and 2 every other one: no plan could make that more even. */
static void what_racks_keep_from_brokers_does_not_count(void **state) {
  (void)state;
  put_in_racks("aab");
  create_copies("a", "13", 10);
  create_copies("b", "23", 10);
  create_copies("c", "31", 4);
  create_copies("d", "32", 4);
  assert_int_equal(imbalance_of(map).replicas_most, 28);
  assert_int_equal(imbalance_of(map).replicas_fewest, 14);
  assert_false(imbalance_of(map).is_worth_it);
  create_copies("e", "13", 6);
  assert_true(imbalance_of(map).is_worth_it); /* 20 and 14 in their rack */
}

static void what_is_calm(void **state) {
  (void)state;
  put_brokers(3);
  create("a", 1, 2);
  assert_null(unrest());
  rig_down = 1u << 3;
  assert_string_equal(unrest(), "a broker is down");
  rig_down = 0;
  assert_int_equal(rig_stand(3, STANDING_DRAINED), STATUS_OK);
  assert_string_equal(unrest(), "a broker is drained, or leaves");
  assert_int_equal(rig_stand(3, STANDING_LEAVING), STATUS_OK);
  assert_string_equal(unrest(), "a broker is drained, or leaves");
  assert_int_equal(rig_stand(3, STANDING_GONE), STATUS_OK);
  assert_null(unrest()); /* it is no part of it any more */
  move_first("a", 2);
  assert_string_equal(unrest(), "somebody moves partitions");
  owns = true;
  assert_null(unrest());
}

static void a_directory_that_is_lost_is_no_calm(void **state) {
  (void)state;
  put_brokers(2);
  create("a", 1, 1);
  struct command command = {
      .kind = COMMAND_REGISTER_BROKER, .broker = {.id = 1, .incarnation = {77}, .peer_address = "peer:1"}, .cluster_id = {1}};
  assert_int_equal(rig_apply_through_bytes(&command), STATUS_OK);
  assert_string_equal(unrest(), "a replica is missing");
}

/* A memory that says otherwise than the map is believed, for as long as the map has the version that it is of. */
static void what_was_seen_of_a_version_is_not_looked_for_again(void **state) {
  (void)state;
  put_brokers(2);
  create("a", 1, 2);
  assert_false(imbalance_is_worth_it(map, &memory));
  assert_null(unrest());
  memory.is_worth_it = true;
  memory.is_missing = true;
  assert_true(imbalance_is_worth_it(map, &memory));
  assert_string_equal(unrest(), "a replica is missing");

  create("b", 2, 2);

  assert_false(imbalance_is_worth_it(map, &memory));
  assert_null(unrest());
  create("c", 1, 4);
  assert_true(imbalance_is_worth_it(map, &memory));
}

/* That depends on more than the map. */
static void who_is_down_is_seen_at_every_look(void **state) {
  (void)state;
  put_brokers(2);
  create("a", 1, 2);
  assert_null(unrest());
  rig_down = 1u << 1;
  assert_string_equal(unrest(), "a broker is down");
  rig_down = 0;
  assert_null(unrest());
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(a_little_is_not_worth_it, set_up, rig_tear_down),
      cmocka_unit_test_setup_teardown(much_is_measured_by_the_average, set_up, rig_tear_down),
      cmocka_unit_test_setup_teardown(who_leaves_is_not_counted, set_up, rig_tear_down),
      cmocka_unit_test_setup_teardown(a_rack_that_has_more_than_it_must_is_worth_it, set_up, rig_tear_down),
      cmocka_unit_test_setup_teardown(a_rack_that_is_being_left_is_crowded_no_more, set_up, rig_tear_down),
      cmocka_unit_test_setup_teardown(what_racks_keep_from_brokers_does_not_count, set_up, rig_tear_down),
      cmocka_unit_test_setup_teardown(what_is_calm, set_up, rig_tear_down),
      cmocka_unit_test_setup_teardown(a_directory_that_is_lost_is_no_calm, set_up, rig_tear_down),
      cmocka_unit_test_setup_teardown(what_was_seen_of_a_version_is_not_looked_for_again, set_up, rig_tear_down),
      cmocka_unit_test_setup_teardown(who_is_down_is_seen_at_every_look, set_up, rig_tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
