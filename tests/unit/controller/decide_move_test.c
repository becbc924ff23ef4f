/* Moves by a plan, which may be old by the time that it is carried out, and moves that are taken back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "controller/decide.h"
#include "tests/unit/controller/map_rig.h"

/* Topic "a": two partitions, on 1,2,3 and 2,3,1, of five brokers. */
static int set_up(void **state) {
  rig_set_up(state);
  for (uint32_t id = 1; id <= 5; id++) rig_register_broker(id, "peer:1");
  struct command command = rig_create_command("a", 2);
  for (uint32_t i = 0; i < 2; i++) {
    struct map_partition *partition = &command.topic.partitions[i];
    for (uint32_t k = 0; k < 3; k++) {
      uint32_t id = 1 + (i + k) % 3;
      partition->replicas[partition->replica_count++] = (struct map_replica){.broker = id, .incarnation = {(uint8_t)id}};
    }
  }
  assert_int_equal(cluster_map_apply(map, &command), STATUS_OK);
  command_deinit(&command);
  return 0;
}

static enum status carry_out(struct change *change) {
  const struct decision_facts facts = {.map = map, .brokers = 5, .brokers_are_late = true, .logs_max = UINT64_MAX};
  struct command command = {0};
  change->problem[0] = '\0';
  enum status status = decide(&facts, change, &command);
  if (status == STATUS_OK && !change->validate_only) status = rig_apply_through_bytes(&command);
  command_deinit(&command);
  return status;
}

/* From digits to digits. */
static struct change planned(const char *from, const char *to) {
  struct change change = {.kind = COMMAND_MOVE_PARTITION, .name = "a", .planned_topic_id = rig_find("a")->id};
  for (; *from != '\0'; from++) change.planned_from[change.planned_from_count++] = (uint32_t)(*from - '0');
  for (; *to != '\0'; to++) change.to[change.to_count++] = (uint32_t)(*to - '0');
  return change;
}

static void expect_stale(struct change change, const char *problem) {
  uint64_t version = cluster_map_version(map);
  assert_int_equal(carry_out(&change), STATUS_PLAN_STALE);
  assert_string_equal(change.problem, problem);
  assert_int_equal(cluster_map_version(map), version);
}

static const struct map_move *move_of_first(void) { return cluster_map_move(map, rig_find("a")->partitions[0].group); }

static void end_move(void) {
  const struct map_move *move = move_of_first();
  assert_int_equal(rig_apply_through_bytes(&(struct command){
                       .kind = COMMAND_PARTITION_MOVED,
                       .move = {.topic_id = move->topic_id, .partition = move->partition, .number = move->number}}),
                   STATUS_OK);
}

static void a_plan_holds_as_long_as_the_partition_is_where_it_was(void **state) {
  (void)state;
  struct change move = planned("123", "234"), again = planned("123", "234"), once_more = planned("123", "234");
  assert_int_equal(carry_out(&move), STATUS_OK);
  uint64_t number = move_of_first()->number;
  assert_int_equal(carry_out(&again), STATUS_OK); /* its answer was lost, say */
  assert_int_equal(move_of_first()->number, number);
  end_move();
  assert_int_equal(carry_out(&once_more), STATUS_OK); /* it is there */
  assert_null(move_of_first());
}

static void a_stale_plan_changes_nothing(void **state) {
  (void)state;
  expect_stale(planned("132", "234"), "partition 0 has other replicas by now: make a new plan");
  expect_stale(planned("12", "24"), "partition 0 has other replicas by now: make a new plan");
  struct change other = planned("123", "345");
  assert_int_equal(carry_out(&other), STATUS_OK);
  expect_stale(planned("123", "234"), "partition 0 is on its way elsewhere by now: make a new plan");
  end_move();
  expect_stale(planned("123", "234"), "partition 0 has other replicas by now: make a new plan");

  struct change of_earlier = planned("345", "123");
  assert_int_equal(rig_delete(of_earlier.planned_topic_id), STATUS_OK);
  assert_int_equal(rig_create("a", 1), STATUS_OK);
  expect_stale(of_earlier, "a topic of that name was made since, and is another one: make a new plan");
}

static void a_move_that_is_taken_back_leaves_the_partition_as_it_was(void **state) {
  (void)state;
  struct change move = planned("123", "245"), back = {.kind = COMMAND_MOVE_PARTITION, .name = "a", .take_back = true};
  assert_int_equal(carry_out(&back), STATUS_NOT_FOUND);
  assert_string_equal(back.problem, "partition 0 is not on its way anywhere");
  assert_int_equal(carry_out(&move), STATUS_OK);

  struct change of_another = back;
  of_another.move = move_of_first()->number + 1;
  expect_stale(of_another, "another move of partition 0 has taken the place of that one");
  back.move = move_of_first()->number;
  assert_int_equal(carry_out(&back), STATUS_OK);
  assert_int_equal(move_of_first()->target_count, 3);
  for (uint32_t i = 0; i < 3; i++) {
    assert_int_equal(move_of_first()->target[i].broker, i + 1);
    assert_int_equal(move_of_first()->target[i].placement, 0); /* the same replicas, not others in their place */
  }
  end_move();
  for (uint32_t i = 0; i < 3; i++) assert_int_equal(rig_find("a")->partitions[0].replicas[i].broker, i + 1);
}

static void a_move_keeps_its_pace_and_may_get_another(void **state) {
  (void)state;
  struct change move = planned("123", "234"), faster = planned("123", "234");
  move.bytes_per_second = 1 << 20;
  faster.bytes_per_second = 2 << 20;
  assert_int_equal(carry_out(&move), STATUS_OK);
  uint64_t number = move_of_first()->number;
  assert_int_equal(move_of_first()->bytes_per_second, 1 << 20);
  assert_int_equal(carry_out(&faster), STATUS_OK);
  assert_int_equal(move_of_first()->bytes_per_second, 2 << 20);
  assert_int_equal(move_of_first()->number, number);

  struct buffer bytes;
  struct cluster_map *copy = cluster_map_new(2);
  buffer_init(&bytes, SIZE_MAX);
  assert_int_equal(cluster_map_encode(map, &bytes), STATUS_OK);
  assert_int_equal(cluster_map_decode(copy, buffer_bytes(&bytes)), STATUS_OK);
  assert_int_equal(cluster_map_move_after(copy, 0)->bytes_per_second, 2 << 20);
  buffer_deinit(&bytes);
  cluster_map_free(copy);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(a_plan_holds_as_long_as_the_partition_is_where_it_was, set_up, rig_tear_down),
      cmocka_unit_test_setup_teardown(a_stale_plan_changes_nothing, set_up, rig_tear_down),
      cmocka_unit_test_setup_teardown(a_move_keeps_its_pace_and_may_get_another, set_up, rig_tear_down),
      cmocka_unit_test_setup_teardown(a_move_that_is_taken_back_leaves_the_partition_as_it_was, set_up, rig_tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
