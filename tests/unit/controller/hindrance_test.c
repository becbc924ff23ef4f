/* What a move is said to wait for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "controller/hindrance.h"
#include "tests/unit/controller/map_rig.h"

static uint32_t down; /* a bit for each broker */

static bool is_up(void *context, uint32_t broker) {
  (void)context;
  return (down >> broker & 1) == 0;
}

/* Of topic t, partition 0 goes from brokers 1 to 3 to 2, 3 and 4. */
static int set_up(void **state) {
  down = 0;
  assert_int_equal(rig_set_up(state), 0);
  for (uint32_t id = 1; id <= 4; id++) rig_register_broker(id, "peer:1");
  struct command command = rig_create_command("t", 1);
  struct map_partition *partition = &command.topic.partitions[0];
  for (uint32_t id = 1; id <= 3; id++)
    partition->replicas[partition->replica_count++] = (struct map_replica){.broker = id, .incarnation = {(uint8_t)id}};
  assert_int_equal(cluster_map_apply(map, &command), STATUS_OK);
  command_deinit(&command);
  struct command move = {.kind = COMMAND_MOVE_PARTITION, .move = {.topic_id = 1, .target_count = 3}};
  for (uint32_t i = 0; i < 3; i++) move.move.target[i] = (struct map_replica){.broker = i + 2, .incarnation = {(uint8_t)(i + 2)}};
  assert_int_equal(rig_apply_through_bytes(&move), STATUS_OK);
  return 0;
}

static void expect(const char *text) {
  char told[HINDRANCE_SIZE] = "";
  const struct map_move *move = cluster_map_move_after(map, 0);
  assert_int_equal(hindrance_of_move(map, move, is_up, NULL, told), text[0] != '\0');
  assert_string_equal(told, text);
}

static void who_is_only_to_give_it_up_may_be_down(void **state) {
  (void)state;
  expect("");
  down = 1u << 1;
  expect("");
}

static void whoever_is_to_have_it_has_to_be_up(void **state) {
  (void)state;
  down = 1u << 4;
  expect("broker 4 is down: start it, or take the move back");
  down = 1u << 3 | 1u << 4;
  expect("broker 3 is down: start it, or take the move back");
}

static void without_a_quorum_nothing_moves(void **state) {
  (void)state;
  down = 1u << 1 | 1u << 3;
  expect("too few of its replicas are up: start the brokers that have them");
}

static void a_directory_that_is_lost_gets_nothing(void **state) {
  (void)state;
  struct command again = {.kind = COMMAND_REGISTER_BROKER, .broker = {.id = 4, .incarnation = {44}}, .cluster_id = {1}};
  assert_int_equal(rig_apply_through_bytes(&again), STATUS_OK);
  expect("broker 4 came back with another directory: ask for the same move again");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, rig_tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(who_is_only_to_give_it_up_may_be_down),
      TEST(whoever_is_to_have_it_has_to_be_up),
      TEST(without_a_quorum_nothing_moves),
      TEST(a_directory_that_is_lost_gets_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
