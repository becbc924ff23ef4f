/* Partitions that are to be elsewhere: plans that one can read, and that from any cluster they end even, whoever carries them out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "controller/imbalance.h"
#include "controller/placement.h"
#include "controller/reassignment.h"
#include "tests/unit/controller/map_rig.h"

#define BROKERS_MAX 9u

static uint64_t chance(uint64_t *seed) {
  *seed ^= *seed << 13;
  *seed ^= *seed >> 7;
  *seed ^= *seed << 17;
  return *seed;
}

static uint32_t below(uint64_t *seed, uint32_t bound) { return (uint32_t)(chance(seed) % bound); }

/* ---- The map ---- */

static void begin(uint64_t topic_id, uint32_t partition, const uint32_t *to, uint32_t to_count) {
  assert_int_equal(rig_begin_move(topic_id, partition, to, to_count), STATUS_OK);
}

static const char *asked_name;

static bool is_asked(void *context, const struct map_topic *topic) {
  (void)context;
  return strcmp(topic->name, asked_name) == 0;
}

static int set_up(void **state) {
  asked_name = NULL;
  return rig_set_up(state);
}

/* ---- Plans ---- */

static struct reassignment_goal goal_of(const uint32_t *brokers, size_t count) {
  return (struct reassignment_goal){.map = map,
                                    .is_up = rig_is_up,
                                    .is_asked = asked_name != NULL ? is_asked : NULL,
                                    .brokers = brokers,
                                    .broker_count = count};
}

/* "0:123>234 ..." */
static void expect_plan(const uint32_t *brokers, size_t count, const char *expected) {
  char found[512] = {0};
  size_t at = 0;
  struct reassignment plan;
  const struct reassignment_goal goal = goal_of(brokers, count);
  assert_int_equal(reassignment_plan(&goal, &plan), STATUS_OK);
  for (size_t i = 0; i < plan.count; i++) {
    const struct reassignment_move *move = &plan.moves[i];
    at += (size_t)snprintf(found + at, sizeof found - at, "%s%u:", i == 0 ? "" : " ", move->partition);
    for (uint32_t k = 0; k < move->from_count; k++) found[at++] = (char)('0' + move->from[k]);
    found[at++] = '>';
    for (uint32_t k = 0; k < move->to_count; k++) found[at++] = (char)('0' + move->to[k]);
  }
  assert_string_equal(found, expected);
  reassignment_deinit(&plan);
}

static void expect_no_plan(const uint32_t *brokers, size_t count, enum status status, const char *problem) {
  struct reassignment plan;
  const struct reassignment_goal goal = goal_of(brokers, count);
  assert_int_equal(reassignment_plan(&goal, &plan), status);
  assert_string_equal(plan.problem, problem);
  reassignment_deinit(&plan);
}

static void a_new_broker_gets_its_share(void **state) {
  (void)state;
  for (uint32_t id = 1; id <= 3; id++) rig_register_broker(id, "peer:1");
  rig_create_on("a", (const char *const[]){"123", "231", "312", "123"}, 4);
  expect_plan(NULL, 0, "");
  rig_register_broker(4, "peer:1");
  expect_plan(NULL, 0, "0:123>234 1:231>314 2:312>412");
}

/* The map says who stands where; whoever told no rack stands alone. */
static void what_is_crowded_goes_to_other_racks(void **state) {
  (void)state;
  static const char *const racks[] = {"a", "a", "b", ""};
  for (uint32_t id = 1; id <= 4; id++) rig_register_in_rack(id, racks[id - 1]);
  rig_create_on("a", (const char *const[]){"12", "34"}, 2);
  expect_plan(NULL, 0, "0:12>13 1:34>24");
  rig_register_in_rack(2, "b"); /* it was carried elsewhere */
  expect_plan(NULL, 0, "");
}

static void what_is_asked_goes_to_whom_it_is_asked_for(void **state) {
  (void)state;
  for (uint32_t id = 1; id <= 4; id++) rig_register_broker(id, "peer:1");
  rig_create_on("a", (const char *const[]){"123", "231", "312"}, 3);
  rig_create_on("b", (const char *const[]){"123"}, 1);
  asked_name = "a";
  expect_plan((const uint32_t[]){2, 3, 4}, 3, "0:123>423 1:231>234 2:312>324");
}

static void a_plan_that_could_not_end_is_none(void **state) {
  (void)state;
  for (uint32_t id = 1; id <= 5; id++) rig_register_broker(id, id == 5 ? "" : "peer:1");
  rig_create_on("a", (const char *const[]){"12", "123"}, 2);
  assert_int_equal(rig_stand(4, STANDING_LEAVING), STATUS_OK);
  rig_down = 1u << 3;
  expect_no_plan((const uint32_t[]){1, 9}, 2, STATUS_NOT_FOUND,
                 "broker 9 is to have replicas, and the cluster has no such broker: cairn broker list shows those it has");
  expect_no_plan((const uint32_t[]){1, 5}, 2, STATUS_NOT_FOUND,
                 "broker 5 is to have replicas, and it takes no other brokers: start it with --peer-listen, or name another");
  expect_no_plan((const uint32_t[]){1, 4}, 2, STATUS_INVALID,
                 "broker 4 is to have replicas, and it is about to leave the cluster");
  expect_no_plan((const uint32_t[]){1, 1}, 2, STATUS_INVALID,
                 "broker 1 is to have replicas, and is named twice: name each broker once");
  expect_no_plan((const uint32_t[]){1, 3}, 2, STATUS_INVALID,
                 "broker 3 is to have replicas, and it is down: what goes to it would not arrive: start it first");
  expect_no_plan(
      (const uint32_t[]){1, 2}, 2, STATUS_TOO_FEW_BROKERS,
      "partition 1 of a has 3 replicas, and there are 2 brokers for them: name more brokers, or give it fewer replicas first");
}

static void what_cannot_move_is_left_out_and_counted(void **state) {
  (void)state;
  for (uint32_t id = 1; id <= 4; id++) rig_register_broker(id, "peer:1");
  rig_create_on("a", (const char *const[]){"1", "1", "1", "1", "2", "2"}, 6);
  begin(rig_find("a")->id, 0, (const uint32_t[]){3}, 1);
  rig_down = 1u << 2;
  struct reassignment plan;
  const struct reassignment_goal goal = goal_of(NULL, 0);
  assert_int_equal(reassignment_plan(&goal, &plan), STATUS_OK);
  assert_int_equal(plan.partitions, 6);
  assert_int_equal(plan.left_moving, 1);
  assert_int_equal(plan.left_without_quorum, 2);
  assert_int_equal(plan.count, 1); /* 1 has three, 3 is about to have one, 4 has none */
  assert_int_equal(plan.copies, 1);
  reassignment_deinit(&plan);
}

/* Half of two is no majority: what the one that is up has could not go elsewhere. */
static void what_has_no_quorum_stays_whole(void **state) {
  (void)state;
  for (uint32_t id = 1; id <= 4; id++) rig_register_broker(id, "peer:1");
  rig_create_on("a", (const char *const[]){"12", "12", "12", "12"}, 4);
  expect_plan(NULL, 0, "0:12>43 1:12>34 2:12>21");
  rig_down = 1u << 2;
  expect_plan(NULL, 0, "");
}

static void who_is_drained_or_down_gets_nothing_and_keeps_what_it_has(void **state) {
  (void)state;
  for (uint32_t id = 1; id <= 4; id++) rig_register_broker(id, "peer:1");
  rig_create_on("a", (const char *const[]){"12", "12", "12", "12"}, 4);
  assert_int_equal(rig_stand(1, STANDING_DRAINED), STATUS_OK);
  rig_down = 1u << 4;
  expect_plan(NULL, 0, "0:12>13 1:12>13");
}

/* ---- One after the other ---- */

static void a_move_begins_where_there_is_room_for_it(void **state) {
  (void)state;
  for (uint32_t id = 1; id <= 4; id++) rig_register_broker(id, "peer:1");
  rig_create_on("a", (const char *const[]){"123", "123", "123"}, 3);
  struct reassignment plan;
  const struct reassignment_goal goal = goal_of((const uint32_t[]){2, 3, 4}, 3);
  const struct reassignment_bounds two = {.per_broker = 2, .in_all = 9}, one_in_all = {.per_broker = 9, .in_all = 1};
  assert_int_equal(reassignment_plan(&goal, &plan), STATUS_OK);
  assert_int_equal(plan.count, 3);
  const struct reassignment_move *moves = plan.moves;

  for (size_t i = 0; i < 2; i++) {
    assert_true(reassignment_may_begin(&goal, &moves[i], &two));
    begin(moves[i].topic_id, moves[i].partition, moves[i].to, moves[i].to_count);
    assert_int_equal(reassignment_stage_of(map, &moves[i]), REASSIGNMENT_GOES);
    assert_false(reassignment_may_begin(&goal, &moves[i], &two));
  }
  assert_false(reassignment_may_begin(&goal, &moves[2], &two));
  assert_false(reassignment_may_begin(&goal, &moves[2], &one_in_all));
  rig_end_move(cluster_map_move_after(map, 0));
  assert_int_equal(reassignment_stage_of(map, &moves[0]), REASSIGNMENT_ARRIVED);
  assert_true(reassignment_may_begin(&goal, &moves[2], &two));
  rig_down = 1u << 4;
  assert_false(reassignment_may_begin(&goal, &moves[2], &two));
  rig_down = 1u << 1 | 1u << 2; /* two of the three that have it */
  assert_false(reassignment_may_begin(&goal, &moves[2], &two));
  rig_down = 0;
  begin(moves[2].topic_id, moves[2].partition, (const uint32_t[]){1, 2}, 2);
  assert_int_equal(reassignment_stage_of(map, &moves[2]), REASSIGNMENT_ELSEWHERE);
  assert_int_equal(rig_delete(moves[2].topic_id), STATUS_OK);
  assert_int_equal(reassignment_stage_of(map, &moves[2]), REASSIGNMENT_ELSEWHERE);
  reassignment_deinit(&plan);
}

/* Each goes to somebody else. */
static void who_gives_replicas_gives_a_few_at_a_time(void **state) {
  (void)state;
  for (uint32_t id = 1; id <= 4; id++) rig_register_broker(id, "peer:1");
  rig_create_on("a", (const char *const[]){"1", "1", "1", "1"}, 4);
  struct reassignment plan;
  const struct reassignment_goal goal = goal_of(NULL, 0);
  const struct reassignment_bounds two = {.per_broker = 2, .in_all = 9};
  assert_int_equal(reassignment_plan(&goal, &plan), STATUS_OK);
  assert_int_equal(plan.count, 3);

  for (size_t i = 0; i < 2; i++) {
    assert_true(reassignment_may_begin(&goal, &plan.moves[i], &two));
    begin(plan.moves[i].topic_id, plan.moves[i].partition, plan.moves[i].to, plan.moves[i].to_count);
  }
  assert_false(reassignment_may_begin(&goal, &plan.moves[2], &two));
  rig_end_move(cluster_map_move_after(map, 0));
  assert_true(reassignment_may_begin(&goal, &plan.moves[2], &two));
  reassignment_deinit(&plan);
}

static void draw_cluster(uint64_t *seed) {
  uint32_t brokers = 2 + below(seed, BROKERS_MAX - 1), crowded = 1 + below(seed, brokers);
  for (uint32_t id = 1; id <= brokers; id++) rig_register_broker(id, "peer:1");
  uint32_t replicas = 1 + below(seed, crowded < 3 ? crowded : 3), topics = 1 + below(seed, 4);
  for (uint32_t t = 0; t < topics; t++) {
    char texts[12][4] = {0}, name[] = {(char)('a' + t), '\0'};
    const char *partitions[12];
    uint32_t count = 1 + below(seed, 12);
    for (uint32_t i = 0; i < count; i++) {
      uint32_t first = below(seed, crowded);
      for (uint32_t k = 0; k < replicas; k++) texts[i][k] = (char)('1' + (first + k) % crowded);
      partitions[i] = texts[i];
    }
    rig_create_on(name, partitions, count);
  }
}

static uint32_t busiest(void) {
  uint32_t counts[BROKERS_MAX + 1] = {0}, most = 0;
  for (const struct map_move *move = NULL; (move = cluster_map_move_after(map, move == NULL ? 0 : move->group)) != NULL;) {
    const struct map_partition *from = &cluster_map_topic_by_id(map, move->topic_id)->partitions[move->partition];
    for (uint32_t id = 1; id <= BROKERS_MAX; id++)
      counts[id] +=
          map_replicas_have(from->replicas, from->replica_count, id) != map_replicas_have(move->target, move->target_count, id);
  }
  for (uint32_t id = 1; id <= BROKERS_MAX; id++)
    if (counts[id] > most) most = counts[id];
  return most;
}

static void begin_some(const struct reassignment_goal *goal, const struct reassignment *plan,
                       const struct reassignment_bounds *bounds, uint32_t *copies) {
  for (size_t i = 0; i < plan->count; i++) {
    const struct reassignment_move *move = &plan->moves[i];
    if (!reassignment_may_begin(goal, move, bounds)) continue;
    begin(move->topic_id, move->partition, move->to, move->to_count);
    *copies += move->copies;
    assert_in_range(busiest(), 0, bounds->per_broker);
  }
}

static void end_one(uint64_t *seed) {
  uint32_t which = below(seed, (uint32_t)cluster_map_move_count(map));
  const struct map_move *move = cluster_map_move_after(map, 0);
  while (which-- > 0) move = cluster_map_move_after(map, move->group);
  rig_end_move(move);
}

static void expect_even(void) {
  struct placement_load loads[BROKERS_MAX];
  size_t count = placement_loads(map, loads);
  uint32_t low = UINT32_MAX, high = 0;
  for (size_t i = 0; i < count; i++) {
    if (loads[i].replicas < low) low = loads[i].replicas;
    if (loads[i].replicas > high) high = loads[i].replicas;
  }
  assert_in_range(high - low, 0, 1);
}

/* Whoever leads group 0 by then makes a new plan of what the map says, in the middle of moves that another one began. */
static void any_cluster_ends_even_whoever_goes_on_with_it(void **state) {
  for (uint64_t number = 1; number <= 150; number++) {
    uint64_t seed = number * 0x9e3779b97f4a7c15u;
    set_up(state);
    draw_cluster(&seed);
    const struct reassignment_goal goal = goal_of(NULL, 0);
    const struct reassignment_bounds bounds = {.per_broker = 1 + below(&seed, 3), .in_all = 1 + below(&seed, 8)};
    struct reassignment plan;
    assert_int_equal(reassignment_plan(&goal, &plan), STATUS_OK);
    uint32_t planned = plan.copies, copied = 0;
    for (unsigned step = 0; plan.count > 0 || cluster_map_move_count(map) > 0; step++) {
      assert_in_range(step, 0, 1000);
      begin_some(&goal, &plan, &bounds, &copied);
      if (cluster_map_move_count(map) > 0) end_one(&seed);
      bool over = true;
      for (size_t i = 0; i < plan.count; i++) over = over && reassignment_stage_of(map, &plan.moves[i]) == REASSIGNMENT_ARRIVED;
      if (!over && below(&seed, 3) > 0) continue;
      reassignment_deinit(&plan);
      assert_int_equal(reassignment_plan(&goal, &plan), STATUS_OK);
    }
    expect_even();
    assert_in_range(copied, 0, planned);
    reassignment_deinit(&plan);
    rig_tear_down(state);
  }
}

/* Racks of any size, and topics of any number of replicas. True: all racks have as many brokers. */
static bool draw_racks(uint64_t *seed) {
  uint32_t brokers = 2 + below(seed, BROKERS_MAX - 1), racks = below(seed, 4), crowded = 1 + below(seed, brokers), sizes[3] = {0};
  for (uint32_t id = 1; id <= brokers; id++) {
    uint32_t rack = racks == 0 ? 0 : below(seed, racks);
    sizes[rack]++;
    rig_register_in_rack(id, (const char[]){racks == 0 ? '\0' : (char)('a' + rack), '\0'});
  }
  for (uint32_t t = 0; t < 1 + below(seed, 5); t++) {
    char texts[40][4] = {0}, name[] = {(char)('a' + t), '\0'};
    const char *partitions[40];
    uint32_t count = 1 + below(seed, 40), replicas = 1 + below(seed, crowded < 3 ? crowded : 3);
    for (uint32_t i = 0; i < count; i++) {
      uint32_t first = below(seed, crowded);
      for (uint32_t k = 0; k < replicas; k++) texts[i][k] = (char)('1' + (first + k) % crowded);
      partitions[i] = texts[i];
    }
    rig_create_on(name, partitions, count);
  }
  return racks == 0 || (sizes[0] * racks == brokers && sizes[racks - 1] * racks == brokers);
}

/* Else whoever balances by itself would plan again and again. With racks of different sizes what is rounded, topic by topic, may look like it. */
static void what_a_plan_comes_to_is_no_imbalance(void **state) {
  unsigned looks_like_it = 0;
  for (uint64_t number = 1; number <= 400; number++) {
    uint64_t seed = number * 0x9e3779b97f4a7c15u;
    set_up(state);
    bool alike = draw_racks(&seed);
    const struct reassignment_goal goal = goal_of(NULL, 0);
    struct reassignment plan;
    assert_int_equal(reassignment_plan(&goal, &plan), STATUS_OK);
    for (size_t i = 0; i < plan.count; i++) {
      begin(plan.moves[i].topic_id, plan.moves[i].partition, plan.moves[i].to, plan.moves[i].to_count);
      rig_end_move(cluster_map_move_after(map, 0));
    }
    reassignment_deinit(&plan);
    struct imbalance left = imbalance_of(map);
    assert_int_equal(left.crowded, 0);
    if (alike) assert_false(left.is_worth_it);
    looks_like_it += left.is_worth_it;
    rig_tear_down(state);
  }
  assert_in_range(looks_like_it, 0, 4);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(a_new_broker_gets_its_share, set_up, rig_tear_down),
      cmocka_unit_test_setup_teardown(what_is_crowded_goes_to_other_racks, set_up, rig_tear_down),
      cmocka_unit_test_setup_teardown(what_is_asked_goes_to_whom_it_is_asked_for, set_up, rig_tear_down),
      cmocka_unit_test_setup_teardown(a_plan_that_could_not_end_is_none, set_up, rig_tear_down),
      cmocka_unit_test_setup_teardown(what_cannot_move_is_left_out_and_counted, set_up, rig_tear_down),
      cmocka_unit_test_setup_teardown(what_has_no_quorum_stays_whole, set_up, rig_tear_down),
      cmocka_unit_test_setup_teardown(who_is_drained_or_down_gets_nothing_and_keeps_what_it_has, set_up, rig_tear_down),
      cmocka_unit_test_setup_teardown(a_move_begins_where_there_is_room_for_it, set_up, rig_tear_down),
      cmocka_unit_test_setup_teardown(who_gives_replicas_gives_a_few_at_a_time, set_up, rig_tear_down),
      cmocka_unit_test(any_cluster_ends_even_whoever_goes_on_with_it),
      cmocka_unit_test(what_a_plan_comes_to_is_no_imbalance),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
