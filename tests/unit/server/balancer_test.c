/* Who keeps a cluster even by itself: when it begins, how much it moves at a time, and what ends it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "controller/imbalance.h"
#include "server/balancer.h"
#include "tests/unit/server/held_offload.h"
#include "tests/unit/server/movable.h"

#define CALM_MS (5 * SECOND_MS)
#define LOOK_MS (SECOND_MS + 500) /* until it was looked at once more */

/* One on each broker, as in a cluster. */
static struct balancer *balancers[CREW_BROKERS + 1];
static struct held_offload planners[CREW_BROKERS + 1];
static struct crew *crew;

/* ---- Starting and stopping ---- */

static void start(void *context) {
  const struct member *member = context;
  balancer_start(balancers[member->stage.broker], &(struct balancer_wiring){.lane = member->stage.lane,
                                                                            .controller = member->controller,
                                                                            .planner = planners[member->stage.broker].offload,
                                                                            .self = member->stage.broker,
                                                                            .wanted = true,
                                                                            .calm_ns = (uint64_t)CALM_MS * MS_NS});
}

static void start_all(void) {
  for (broker_id broker = 1; broker <= CREW_BROKERS; broker++)
    stage_on_lane(&crew->members[broker].stage, start, &crew->members[broker]);
}

static int set_up(void **state) {
  crew_set_up(state);
  crew = *state;
  movable_register(crew);
  for (broker_id broker = 1; broker <= CREW_BROKERS; broker++) {
    balancers[broker] = balancer_new();
    held_offload_init(&planners[broker], sim_world_doors(crew->members[broker].stage.node));
  }
  return 0;
}

struct stopping {
  struct balancer *balancer;
  bool done;
};

static void stopped(void *context) { ((struct stopping *)context)->done = true; }
static void stop(void *context) { balancer_stop(((struct stopping *)context)->balancer, stopped, context); }
static bool is_done(void *context) { return ((struct stopping *)context)->done; }

static void free_planner(void *context) { held_offload_deinit(context); }

static int tear_down(void **state) {
  for (broker_id broker = 1; broker <= CREW_BROKERS; broker++) {
    struct stopping stopping = {.balancer = balancers[broker]};
    stage_on_lane(&crew->members[broker].stage, stop, &stopping);
    stage_wait(&crew->members[broker].stage, is_done, &stopping);
    balancer_free(balancers[broker]);
    stage_blocking(&crew->members[broker].stage, free_planner, &planners[broker]);
  }
  return crew_tear_down(state);
}

static void wake(void *context) { balancer_wake(context); }
static void want(void *context) { balancer_set(context, true); }
static void want_no_more(void *context) { balancer_set(context, false); }

static void tell_all(void (*what)(void *context)) {
  for (broker_id broker = 1; broker <= CREW_BROKERS; broker++)
    stage_on_lane(&crew->members[broker].stage, what, balancers[broker]);
}

/* ---- What is to be seen ---- */

/* All six of one replica on broker 1. */
static void put_all_on_one(void) {
  movable_create(crew, "a", 6, 1);
  for (uint32_t i = 0; i < 6; i++) movable_put(crew, "a", i, "1");
}

static void expect_rest(unsigned ms) {
  for (unsigned passed = 0; passed < ms; passed += 20) {
    assert_int_equal(movable_under_way(crew), 0);
    crew_run_ms(crew, 20);
  }
}

static void wait_for_move(unsigned ms) {
  for (unsigned passed = 0; movable_under_way(crew) == 0; passed += 20) {
    assert_true(passed < ms);
    crew_run_ms(crew, 20);
  }
}

static unsigned count_plans(void) {
  unsigned count = 0;
  for (broker_id broker = 1; broker <= CREW_BROKERS; broker++) count += planners[broker].asked;
  return count;
}

/* Until somebody is about to make one, who does not come to it before let_plan(). */
static void hold_plan(void) {
  unsigned before = count_plans();
  for (broker_id broker = 1; broker <= CREW_BROKERS; broker++) held_offload_hold(&planners[broker]);
  for (unsigned passed = 0; count_plans() == before; passed += 20) {
    assert_true(passed < CALM_MS + LOOK_MS);
    crew_run_ms(crew, 20);
  }
}

static void let_plan(void) {
  for (broker_id broker = 1; broker <= CREW_BROKERS; broker++) held_offload_let_go(&planners[broker]);
}

struct course {
  uint32_t moves;
  uint32_t at_once; /* most that were seen under way */
};

/* Each takes half a second, until nothing is asked for any more. */
static struct course let_it_end(void) {
  struct course course = {0};
  for (unsigned rested = 0; rested < 2 * CALM_MS;) {
    for (unsigned i = 0; i < 25; i++) {
      crew_run_ms(crew, 20);
      if (movable_under_way(crew) > course.at_once) course.at_once = movable_under_way(crew);
    }
    uint32_t arrived = movable_arrive(crew);
    course.moves += arrived;
    rested = arrived > 0 ? 0 : rested + 500;
    assert_in_range(course.moves, 0, 100);
  }
  return course;
}

/* ---- The rules ---- */

static void it_waits_for_calm_and_ends_even(void **state) {
  (void)state;
  put_all_on_one();
  start_all();
  expect_rest(CALM_MS - 100);
  wait_for_move(LOOK_MS);

  struct course course = let_it_end();

  assert_int_equal(course.moves, 4);
  assert_int_equal(course.at_once, 1); /* broker 1 gives one at a time */
  struct imbalance even = imbalance_of(movable_map(crew));
  assert_int_equal(even.replicas_most, 2);
  assert_int_equal(even.replicas_fewest, 2);
}

/* What came in meanwhile is no part of the plan: another one is made at once. */
static void it_goes_on_until_all_is_even(void **state) {
  (void)state;
  put_all_on_one();
  start_all();
  wait_for_move(CALM_MS + LOOK_MS);
  movable_create(crew, "b", 6, 1); /* most on the others, which have the fewest just now */

  (void)let_it_end();

  struct imbalance even = imbalance_of(movable_map(crew));
  assert_int_equal(even.replicas_most, 4);
  assert_int_equal(even.replicas_fewest, 4);
}

static void two_are_under_way_at_most(void **state) {
  (void)state;
  movable_create(crew, "a", 6, 3);
  for (uint32_t i = 0; i < 6; i++) movable_put(crew, "a", i, "123");
  start_all();

  struct course course = let_it_end();

  assert_int_equal(course.moves, 4); /* who is to lead, which takes nothing from anybody */
  assert_int_equal(course.at_once, BALANCER_MOVES_MAX);
  assert_int_equal(imbalance_of(movable_map(crew)).firsts_most, 2);
}

/* As even as can be, and yet two replicas fall together. */
static void what_stands_in_one_rack_is_put_apart(void **state) {
  (void)state;
  for (broker_id broker = 1; broker <= CREW_BROKERS; broker++) crew_register_in_rack(crew, broker, broker == 3 ? "b" : "a");
  movable_create(crew, "t", 1, 2);
  movable_put(crew, "t", 0, "12");
  assert_int_equal(imbalance_of(movable_map(crew)).crowded, 1);
  start_all();

  struct course course = let_it_end();

  assert_int_equal(course.moves, 1);
  assert_int_equal(imbalance_of(movable_map(crew)).crowded, 0);
}

/* Broker 3 takes no peers, so nothing goes to its rack, whatever the map asks for. */
static void put_two_in_one_rack_for_good(void) {
  struct change alone = {.kind = COMMAND_REGISTER_BROKER, .broker = *cluster_map_broker(movable_map(crew), 3)};
  snprintf(alone.broker.rack, sizeof alone.broker.rack, "b");
  alone.broker.peer_address[0] = '\0';
  crew_change(crew, &alone);
  for (broker_id broker = 1; broker <= 2; broker++) crew_register_in_rack(crew, broker, "a");
  movable_create(crew, "t", 1, 2);
  movable_put(crew, "t", 0, "12");
}

static void what_cannot_be_more_even_is_not_planned_again(void **state) {
  (void)state;
  put_two_in_one_rack_for_good();
  assert_true(imbalance_of(movable_map(crew)).is_worth_it);
  start_all();
  expect_rest(4 * CALM_MS);
  assert_int_equal(count_plans(), 1);

  movable_create(crew, "u", 1, 1);
  expect_rest(4 * CALM_MS);
  assert_int_equal(count_plans(), 2);
}

static void a_little_is_left_as_it_is(void **state) {
  (void)state;
  movable_create(crew, "a", 6, 1);
  for (uint32_t i = 0; i < 6; i++) movable_put(crew, "a", i, (const char *const[]){"1", "1", "1", "2", "2", "3"}[i]);
  start_all();
  expect_rest(3 * CALM_MS);
}

static void what_disturbs_the_calm_begins_it_anew(void **state) {
  (void)state;
  put_all_on_one();
  start_all();
  expect_rest(CALM_MS - SECOND_MS);
  movable_stand(crew, 3, STANDING_DRAINED);
  expect_rest(LOOK_MS);
  movable_stand(crew, 3, STANDING_IN);
  expect_rest(CALM_MS - 100);
  wait_for_move(2 * LOOK_MS);
}

static void a_broker_that_is_down_is_waited_for(void **state) {
  (void)state;
  put_all_on_one();
  broker_id away = crew_leader(crew) % 3 + 1;
  start_all();
  crew_isolate(crew, away);
  expect_rest(3 * CALM_MS);
  wires_heal(&crew->wires);
  expect_rest(CALM_MS - 100);
  wait_for_move(3 * LOOK_MS);
}

static void it_stops_between_two_moves(void **state) {
  (void)state;
  put_all_on_one();
  start_all();
  wait_for_move(CALM_MS + LOOK_MS);
  movable_stand(crew, 3, STANDING_DRAINED);
  crew_run_ms(crew, LOOK_MS);
  assert_int_equal(movable_arrive(crew), 1); /* what has begun goes on */
  expect_rest(2 * CALM_MS);

  movable_stand(crew, 3, STANDING_IN);
  expect_rest(CALM_MS - 100);
  assert_int_equal(let_it_end().moves, 3);
}

static void it_stops_when_it_is_wanted_no_more(void **state) {
  (void)state;
  put_all_on_one();
  start_all();
  wait_for_move(CALM_MS + LOOK_MS);
  tell_all(want_no_more);
  assert_int_equal(movable_arrive(crew), 1);
  expect_rest(2 * CALM_MS);

  tell_all(want);
  expect_rest(CALM_MS - 100);
  wait_for_move(LOOK_MS);
}

static void one_plan_is_made_at_a_time(void **state) {
  (void)state;
  put_all_on_one();
  start_all();
  hold_plan();
  tell_all(wake);
  crew_run_ms(crew, LOOK_MS);
  assert_int_equal(count_plans(), 1);

  let_plan();
  wait_for_move(LOOK_MS);
}

static void a_plan_that_is_wanted_no_more_is_not_begun(void **state) {
  (void)state;
  put_all_on_one();
  start_all();
  hold_plan();
  tell_all(want_no_more);
  let_plan();
  expect_rest(2 * CALM_MS);
  assert_int_equal(count_plans(), 1);
}

static void what_was_deleted_since_it_was_planned_is_passed_over(void **state) {
  (void)state;
  put_all_on_one();
  start_all();
  hold_plan();
  struct change deletion = change_of_topic(COMMAND_DELETE_TOPIC, "a");
  crew_change(crew, &deletion);
  let_plan();
  assert_int_equal(let_it_end().moves, 0);
  assert_int_equal(count_plans(), 2); /* it was not waited for either: another one found nothing to do */
}

static void a_stop_waits_for_the_plan_that_is_being_made(void **state) {
  (void)state;
  put_all_on_one();
  start_all();
  hold_plan();
  struct member *leads = &crew->members[crew_leader(crew)];
  struct stopping stopping = {.balancer = balancers[leads->stage.broker]};
  stage_on_lane(&leads->stage, stop, &stopping);
  crew_run_ms(crew, LOOK_MS);
  assert_false(stopping.done);

  let_plan();
  stage_wait(&leads->stage, is_done, &stopping);

  expect_rest(2 * CALM_MS);
  assert_int_equal(count_plans(), 1);
}

static void nobody_is_disturbed_who_moves_something(void **state) {
  (void)state;
  put_all_on_one();
  crew_change(crew, &(struct change){.kind = COMMAND_MOVE_PARTITION, .name = "a", .to = {2}, .to_count = 1});
  start_all();
  for (unsigned ms = 0; ms < 3 * CALM_MS; ms += 20) {
    assert_int_equal(movable_under_way(crew), 1);
    crew_run_ms(crew, 20);
  }
  assert_int_equal(movable_arrive(crew), 1);
  expect_rest(CALM_MS - 100);
  wait_for_move(2 * LOOK_MS);
}

static void wait_for_another_leader(broker_id before) {
  for (unsigned ms = 0; crew_leader(crew) == before; ms += 10) {
    assert_true(ms < 20 * SECOND_MS);
    crew_run_ms(crew, 10);
  }
}

/* The one before knows nothing of it any more when it is back, and what it had begun counts as anybody's. */
static void another_leader_waits_for_calm_anew(void **state) {
  (void)state;
  put_all_on_one();
  start_all();
  wait_for_move(CALM_MS + LOOK_MS);
  broker_id before = crew_leader(crew);
  crew_isolate(crew, before);
  wait_for_another_leader(before);
  wires_heal(&crew->wires);
  tell_all(wake);
  crew_run_ms(crew, 2 * CALM_MS);
  assert_int_equal(movable_under_way(crew), 1);
  assert_int_equal(movable_arrive(crew), 1);
  expect_rest(CALM_MS - 100);
  assert_int_equal(let_it_end().moves, 3);
}

static void who_comes_to_lead_waits_as_long(void **state) {
  (void)state;
  put_all_on_one();
  start_all();
  expect_rest(CALM_MS - SECOND_MS);
  broker_id before = crew_leader(crew);
  wires_wish(&crew->wires, before, true);
  wait_for_another_leader(before);
  tell_all(wake);
  expect_rest(CALM_MS - 100);
  wait_for_move(2 * LOOK_MS);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(it_waits_for_calm_and_ends_even),
      TEST(it_goes_on_until_all_is_even),
      TEST(who_comes_to_lead_waits_as_long),
      TEST(two_are_under_way_at_most),
      TEST(what_stands_in_one_rack_is_put_apart),
      TEST(what_cannot_be_more_even_is_not_planned_again),
      TEST(a_little_is_left_as_it_is),
      TEST(what_disturbs_the_calm_begins_it_anew),
      TEST(a_broker_that_is_down_is_waited_for),
      TEST(it_stops_between_two_moves),
      TEST(it_stops_when_it_is_wanted_no_more),
      TEST(one_plan_is_made_at_a_time),
      TEST(a_plan_that_is_wanted_no_more_is_not_begun),
      TEST(what_was_deleted_since_it_was_planned_is_passed_over),
      TEST(a_stop_waits_for_the_plan_that_is_being_made),
      TEST(nobody_is_disturbed_who_moves_something),
      TEST(another_leader_waits_for_calm_anew),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
