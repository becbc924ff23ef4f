/* What a map and the brokers that are up say of partitions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "controller/cluster_health.h"
#include "tests/unit/controller/map_rig.h"

/* A topic with partitions on brokers 1 to `n`, 1 to `n - 1`, and so on. */
static void create_on(uint32_t n) {
  for (uint32_t id = 1; id <= n; id++) rig_register_broker(id, "peer:1");
  struct command command = rig_create_command("t", n);
  for (uint32_t i = 0; i < n; i++) {
    struct map_partition *partition = &command.topic.partitions[i];
    for (uint32_t id = 1; id <= n - i; id++)
      partition->replicas[partition->replica_count++] = (struct map_replica){.broker = id, .incarnation = {(uint8_t)id}};
  }
  assert_int_equal(cluster_map_apply(map, &command), STATUS_OK);
  command_deinit(&command);
}

static void expect(uint32_t without_quorum, uint32_t short_of_some, uint32_t moving) {
  struct cluster_health health = cluster_health_of(map, rig_is_up, NULL);
  assert_int_equal(health.without_quorum, without_quorum);
  assert_int_equal(health.short_of_some, short_of_some);
  assert_int_equal(health.moving, moving);
}

static void where_all_are_up_nothing_is_missed(void **state) {
  (void)state;
  expect(0, 0, 0);
  create_on(3);
  expect(0, 0, 0);
  assert_int_equal(rig_create("old", 2), STATUS_OK); /* of which the map knows no replicas */
  expect(0, 0, 0);
}

static void a_majority_is_a_quorum(void **state) {
  (void)state;
  create_on(3); /* 123, 12, 1 */
  rig_down = 1u << 3;
  expect(0, 1, 0);
  rig_down = 1u << 2;
  expect(1, 1, 0); /* half of two is none */
  rig_down = 1u << 1;
  expect(2, 1, 0);
  rig_down = 1u << 1 | 1u << 2;
  expect(3, 0, 0);
}

static void a_lost_directory_is_missed_though_its_broker_is_up(void **state) {
  (void)state;
  create_on(3);
  struct command again = {.kind = COMMAND_REGISTER_BROKER, .broker = {.id = 3, .incarnation = {33}}, .cluster_id = {1}};
  assert_int_equal(rig_apply_through_bytes(&again), STATUS_OK);
  expect(0, 1, 0);
}

static void moves_are_counted_beside(void **state) {
  (void)state;
  create_on(3);
  struct command move = {.kind = COMMAND_MOVE_PARTITION, .move = {.topic_id = 1, .partition = 2, .target_count = 1}};
  move.move.target[0] = (struct map_replica){.broker = 2, .incarnation = {2}};
  assert_int_equal(rig_apply_through_bytes(&move), STATUS_OK);
  expect(0, 0, 1);
  rig_down = 1u << 1;
  expect(2, 1, 1); /* it counts where it is */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)
int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(where_all_are_up_nothing_is_missed),
      TEST(a_majority_is_a_quorum),
      TEST(a_lost_directory_is_missed_though_its_broker_is_up),
      TEST(moves_are_counted_beside),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
