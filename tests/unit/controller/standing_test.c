/* How brokers stand in the map: what may follow what, what is decided about it, and what it survives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "controller/decide.h"
#include "tests/unit/controller/map_rig.h"

static enum map_standing standing_of(uint32_t broker) { return cluster_map_broker(map, broker)->standing; }

/* Decided as group 0's leader would, in a cluster of the brokers that the map has, and carried out. */
static enum status carry_out(struct change *change) {
  const struct decision_facts facts = {
      .map = map, .brokers = (uint32_t)cluster_map_broker_count(map), .brokers_are_late = true, .logs_max = 1000, .time_ms = 5};
  struct command command = {0};
  enum status status = decide(&facts, change, &command);
  if (status == STATUS_OK) status = rig_apply_through_bytes(&command);
  command_deinit(&command);
  return status;
}

static enum status ask(uint32_t broker, enum map_standing standing, struct change *out_change) {
  *out_change = (struct change){.kind = COMMAND_SET_STANDING, .broker = {.id = broker, .standing = standing}};
  return carry_out(out_change);
}

static enum status create(const char *name, uint32_t partitions, uint32_t replicas, struct change *out_change) {
  *out_change = (struct change){
      .kind = COMMAND_CREATE_TOPIC, .partition_count = partitions, .replicas = replicas, .settings = topic_settings_default};
  snprintf(out_change->name, sizeof out_change->name, "%s", name);
  return carry_out(out_change);
}

static void register_three(void) {
  for (uint32_t id = 1; id <= 3; id++) rig_register_broker(id, "peer:1");
}

static void a_broker_is_in_until_something_else_is_said(void **state) {
  (void)state;
  register_three();
  assert_int_equal(standing_of(2), STANDING_IN);
  assert_int_equal(rig_stand(2, STANDING_DRAINED), STATUS_OK);
  assert_int_equal(standing_of(2), STANDING_DRAINED);
  rig_register_broker(2, "elsewhere:1"); /* the same directory at another address */
  assert_int_equal(standing_of(2), STANDING_DRAINED);
  assert_int_equal(rig_stand(2, STANDING_IN), STATUS_OK);
  assert_int_equal(standing_of(2), STANDING_IN);
  assert_int_equal(rig_stand(4, STANDING_DRAINED), STATUS_NOT_FOUND);
}

static void who_is_gone_comes_back_with_another_directory_only(void **state) {
  (void)state;
  register_three();
  assert_int_equal(rig_stand(2, STANDING_GONE), STATUS_BUSY); /* it has to leave first */
  assert_int_equal(rig_stand(2, STANDING_LEAVING), STATUS_OK);
  assert_int_equal(rig_stand(2, STANDING_GONE), STATUS_OK);
  assert_int_equal(rig_stand(2, STANDING_IN), STATUS_NOT_FOUND);

  struct command again = {.kind = COMMAND_REGISTER_BROKER, .broker = {.id = 2, .incarnation = {2}}, .cluster_id = {1}};
  assert_int_equal(rig_apply_through_bytes(&again), STATUS_DIRECTORY_REPLACED);
  struct change change = {.kind = COMMAND_REGISTER_BROKER, .broker = {.id = 2, .incarnation = {2}}};
  assert_int_equal(decide_whose_number(map, &change, false), STATUS_DIRECTORY_REPLACED);
  assert_non_null(strstr(change.problem, "broker 2 has left the cluster"));

  again.broker.incarnation[0] = 22;
  assert_int_equal(decide_whose_number(map, &(struct change){.broker = again.broker}, false), STATUS_OK);
  assert_int_equal(rig_apply_through_bytes(&again), STATUS_OK);
  assert_int_equal(standing_of(2), STANDING_IN);
}

/* What was decided of a broker does not depend on its disk. */
static void a_new_directory_changes_nothing_of_it(void **state) {
  (void)state;
  register_three();
  assert_int_equal(rig_stand(2, STANDING_LEAVING), STATUS_OK);
  struct command again = {.kind = COMMAND_REGISTER_BROKER, .broker = {.id = 2, .incarnation = {22}}, .cluster_id = {1}};
  assert_int_equal(rig_apply_through_bytes(&again), STATUS_OK);
  assert_int_equal(standing_of(2), STANDING_LEAVING);
}

static void the_last_one_stays(void **state) {
  (void)state;
  struct change change;
  register_three();
  assert_int_equal(ask(1, STANDING_LEAVING, &change), STATUS_OK);
  assert_int_equal(ask(2, STANDING_LEAVING, &change), STATUS_OK);
  assert_int_equal(ask(3, STANDING_LEAVING, &change), STATUS_TOO_FEW_BROKERS);
  assert_non_null(strstr(change.problem, "nobody would be left"));
}

/* A partition may be on two that leave: while one is emptied the other keeps what it has. */
static void two_may_leave_at_once(void **state) {
  (void)state;
  struct change change;
  for (uint32_t id = 1; id <= 5; id++) rig_register_broker(id, "peer:1");
  assert_int_equal(create("a", 1, 3, &change), STATUS_OK); /* on 1, 2, 3 */
  assert_int_equal(ask(2, STANDING_LEAVING, &change), STATUS_OK);
  assert_int_equal(ask(3, STANDING_LEAVING, &change), STATUS_OK);
  change = (struct change){.kind = COMMAND_MOVE_PARTITION, .name = "a", .to = {1, 3, 4}, .to_count = 3};
  assert_int_equal(carry_out(&change), STATUS_OK);
  change = (struct change){.kind = COMMAND_MOVE_PARTITION, .name = "a", .to = {1, 3, 5}, .to_count = 3, .exactly = true};
  assert_int_equal(carry_out(&change), STATUS_BUSY);
  change.move = cluster_map_move_after(map, 0)->number;
  assert_int_equal(carry_out(&change), STATUS_OK); /* in the place of that very move */
  assert_int_equal(carry_out(&change), STATUS_BUSY);
}

/* Whoever is asked to leave, and those that leave already, need others for all that is on any of them. */
static void all_that_leave_are_counted(void **state) {
  (void)state;
  struct change change;
  for (uint32_t id = 1; id <= 4; id++) rig_register_broker(id, "peer:1");
  assert_int_equal(create("a", 1, 3, &change), STATUS_OK); /* on 1, 2, 3 */
  assert_int_equal(ask(3, STANDING_LEAVING, &change), STATUS_OK);
  assert_int_equal(ask(4, STANDING_LEAVING, &change), STATUS_TOO_FEW_BROKERS); /* it has nothing, but is needed */
  assert_int_equal(ask(3, STANDING_LEAVING, &change), STATUS_OK);              /* a second time changes nothing */
  assert_int_equal(ask(3, STANDING_DRAINED, &change), STATUS_INVALID);
}

/* Two are to leave, and one stays: a partition with two replicas would keep one of them for ever. */
static void a_move_does_not_keep_who_leaves(void **state) {
  (void)state;
  struct change change;
  register_three();
  assert_int_equal(create("a", 1, 1, &change), STATUS_OK); /* on 1 */
  assert_int_equal(ask(1, STANDING_LEAVING, &change), STATUS_OK);
  assert_int_equal(ask(2, STANDING_LEAVING, &change), STATUS_OK);
  change = (struct change){.kind = COMMAND_MOVE_PARTITION, .name = "a", .to = {1, 3}, .to_count = 2};
  assert_int_equal(carry_out(&change), STATUS_TOO_FEW_BROKERS);
  assert_non_null(strstr(change.problem, "would keep broker 1, which is about to leave: 1 brokers stay"));
  change = (struct change){.kind = COMMAND_MOVE_PARTITION, .name = "a", .to = {3}, .to_count = 1};
  assert_int_equal(carry_out(&change), STATUS_OK);
}

static void what_is_so_already_is_not_written(void **state) {
  (void)state;
  struct change change;
  struct command command = {0};
  register_three();
  assert_int_equal(ask(3, STANDING_DRAINED, &change), STATUS_OK);
  assert_false(change.unchanged);
  assert_int_equal(ask(3, STANDING_DRAINED, &change), STATUS_OK);
  assert_true(change.unchanged);
  const struct decision_facts facts = {.map = map, .broker_is_up = true};
  change = (struct change){.kind = COMMAND_REGISTER_BROKER, .broker = *cluster_map_broker(map, 2)};
  assert_int_equal(decide(&facts, &change, &command), STATUS_OK);
  assert_true(change.unchanged);
  change.broker.advertised[0] = 'x';
  assert_int_equal(decide(&facts, &change, &command), STATUS_OK);
  assert_false(change.unchanged);
  change = (struct change){.kind = COMMAND_REGISTER_BROKER, .broker = *cluster_map_broker(map, 2)};
  change.broker.rack[0] = 'a';
  assert_int_equal(decide(&facts, &change, &command), STATUS_OK);
  assert_false(change.unchanged);
  assert_string_equal(command.broker.rack, "a");
}

static void of_one_that_is_gone_nothing_is_wanted(void **state) {
  (void)state;
  struct change change;
  register_three();
  assert_int_equal(rig_stand(2, STANDING_LEAVING), STATUS_OK);
  assert_int_equal(rig_stand(2, STANDING_GONE), STATUS_OK);
  assert_int_equal(ask(2, STANDING_IN, &change), STATUS_BROKER_GONE);
  assert_non_null(strstr(change.problem, "empty directory"));
  assert_int_equal(ask(4, STANDING_IN, &change), STATUS_NOT_FOUND);
}

/* What was on its way there may count there still. */
static void a_move_that_was_redirected_still_counts(void **state) {
  (void)state;
  struct change change;
  for (uint32_t id = 1; id <= 4; id++) rig_register_broker(id, "peer:1");
  assert_int_equal(create("a", 1, 1, &change), STATUS_OK); /* on 1 */
  change = (struct change){.kind = COMMAND_MOVE_PARTITION, .name = "a", .to = {3}, .to_count = 1};
  assert_int_equal(carry_out(&change), STATUS_OK);
  change.to[0] = 4;
  assert_int_equal(carry_out(&change), STATUS_OK);
  assert_int_equal(ask(3, STANDING_LEAVING, &change), STATUS_OK);
  assert_int_equal(ask(3, STANDING_GONE, &change), STATUS_BUSY);
  assert_int_equal(rig_stand(3, STANDING_GONE), STATUS_BUSY);
}

static void a_standing_survives_a_snapshot(void **state) {
  (void)state;
  register_three();
  assert_int_equal(rig_stand(1, STANDING_DRAINED), STATUS_OK);
  assert_int_equal(rig_stand(3, STANDING_LEAVING), STATUS_OK);
  struct buffer bytes;
  buffer_init(&bytes, 1 << 16);
  assert_int_equal(cluster_map_encode(map, &bytes), STATUS_OK);

  struct cluster_map *again = cluster_map_new(2);
  assert_int_equal(cluster_map_decode(again, buffer_bytes(&bytes)), STATUS_OK);

  assert_int_equal(cluster_map_broker(again, 1)->standing, STANDING_DRAINED);
  assert_int_equal(cluster_map_broker(again, 2)->standing, STANDING_IN);
  assert_int_equal(cluster_map_broker(again, 3)->standing, STANDING_LEAVING);
  cluster_map_free(again);
  buffer_deinit(&bytes);
}

/* A newer Cairn wrote it: to take it for another one would be to disagree with the cluster. */
static void a_standing_that_is_not_known_is_foreign(void **state) {
  (void)state;
  static const uint8_t bytes[] = {0x42, 0x04, 0x08, 0x02, 0x10, 0x04}; /* Command { set_standing { broker 2, standing 4 } } */
  struct command command;
  assert_int_equal(command_decode(bytes_of(bytes, sizeof bytes), &command), STATUS_FOREIGN);
}

static void nobody_leaves_whom_a_partition_needs(void **state) {
  (void)state;
  struct change change;
  register_three();
  assert_int_equal(create("orders", 2, 3, &change), STATUS_OK);
  assert_int_equal(create("few", 1, 2, &change), STATUS_OK);

  assert_int_equal(ask(2, STANDING_LEAVING, &change), STATUS_TOO_FEW_BROKERS);
  assert_non_null(strstr(change.problem, "orders/0 (3 replicas), orders/1 (3 replicas): 2 brokers would be left"));
  assert_int_equal(standing_of(2), STANDING_IN);

  rig_register_broker(4, "");
  assert_int_equal(ask(2, STANDING_LEAVING, &change), STATUS_TOO_FEW_BROKERS); /* that one takes no peers */
  rig_register_broker(4, "peer:1");
  assert_int_equal(ask(2, STANDING_LEAVING, &change), STATUS_OK);
  assert_int_equal(ask(3, STANDING_LEAVING, &change), STATUS_TOO_FEW_BROKERS); /* two at once are too many */
  assert_int_equal(ask(3, STANDING_DRAINED, &change), STATUS_OK);
  assert_int_equal(ask(2, STANDING_IN, &change), STATUS_OK);
}

static void a_long_list_of_partitions_is_cut_short(void **state) {
  (void)state;
  struct change change;
  char name[TOPIC_NAME_MAX + 1] = {0};
  register_three();
  memset(name, 'x', TOPIC_NAME_MAX);
  assert_int_equal(create(name, 100, 3, &change), STATUS_OK);
  assert_int_equal(ask(1, STANDING_LEAVING, &change), STATUS_TOO_FEW_BROKERS);
  assert_non_null(
      strstr(change.problem, ", ...: 2 brokers would be left for them: start more brokers, or give them fewer replicas first"));
}

static void who_has_replicas_is_not_gone_yet(void **state) {
  (void)state;
  struct change change;
  register_three();
  assert_int_equal(create("a", 1, 2, &change), STATUS_OK);
  uint32_t has = rig_find("a")->partitions[0].replicas[0].broker;
  assert_int_equal(ask(has, STANDING_LEAVING, &change), STATUS_OK);
  assert_int_equal(ask(has, STANDING_GONE, &change), STATUS_BUSY);
  assert_string_equal(change.problem, "it has replicas: they have to go to others first");
  assert_int_equal(rig_stand(has, STANDING_GONE), STATUS_BUSY);
  assert_int_equal(ask(9, STANDING_DRAINED, &change), STATUS_NOT_FOUND);
}

/* Somebody let it stay while it was about to be written down as gone. */
static void who_does_not_leave_is_not_gone(void **state) {
  (void)state;
  struct change change;
  register_three();
  assert_int_equal(ask(3, STANDING_LEAVING, &change), STATUS_OK);
  assert_int_equal(ask(3, STANDING_IN, &change), STATUS_OK);
  uint64_t version = cluster_map_version(map);
  assert_int_equal(ask(3, STANDING_GONE, &change), STATUS_BUSY);
  assert_string_equal(change.problem, "it is not about to leave: it has been asked to stay since");
  assert_int_equal(cluster_map_version(map), version); /* nothing is written that would come to nothing */
}

static void nothing_new_comes_to_who_leaves(void **state) {
  (void)state;
  struct change change;
  register_three();
  assert_int_equal(ask(1, STANDING_LEAVING, &change), STATUS_OK);

  assert_int_equal(create("a", 4, 0, &change), STATUS_OK); /* as many replicas as there are others: two */
  for (uint32_t i = 0; i < 4; i++) {
    assert_int_equal(rig_find("a")->partitions[i].replica_count, 2);
    for (uint32_t at = 0; at < 2; at++) assert_int_not_equal(rig_find("a")->partitions[i].replicas[at].broker, 1);
  }
  assert_int_equal(create("b", 1, 3, &change), STATUS_INVALID);
  change = (struct change){.kind = COMMAND_MOVE_PARTITION, .name = "a", .to = {1, 2}, .to_count = 2};
  assert_int_equal(carry_out(&change), STATUS_INVALID);
  assert_non_null(strstr(change.problem, "broker 1, which is about to leave the cluster"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)
int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_broker_is_in_until_something_else_is_said),
      TEST(who_is_gone_comes_back_with_another_directory_only),
      TEST(a_new_directory_changes_nothing_of_it),
      TEST(a_move_does_not_keep_who_leaves),
      TEST(what_is_so_already_is_not_written),
      TEST(of_one_that_is_gone_nothing_is_wanted),
      TEST(the_last_one_stays),
      TEST(two_may_leave_at_once),
      TEST(all_that_leave_are_counted),
      TEST(a_move_that_was_redirected_still_counts),
      TEST(a_standing_survives_a_snapshot),
      TEST(a_standing_that_is_not_known_is_foreign),
      TEST(nobody_leaves_whom_a_partition_needs),
      TEST(a_long_list_of_partitions_is_cut_short),
      TEST(who_has_replicas_is_not_gone_yet),
      TEST(who_does_not_leave_is_not_gone),
      TEST(nothing_new_comes_to_who_leaves),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
