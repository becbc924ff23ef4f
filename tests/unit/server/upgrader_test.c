/* Who raises the feature level by itself: when it does, what it waits for, and that it leaves alone what nobody wants raised. */
#include "server/upgrader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/controller/crew.h"

#define LOOKS_MS 3000u /* it has looked some times */

/* One on each broker, as in a cluster. */
static struct upgrader *upgraders[CREW_BROKERS + 1];
static struct crew *crew;
static bool wanted;

/* ---- Starting and stopping ---- */

static void start(void *context) {
  const struct member *member = context;
  upgrader_start(upgraders[member->stage.broker], &(struct upgrader_wiring){.lane = member->stage.lane,
                                                                            .controller = member->controller,
                                                                            .self = member->stage.broker,
                                                                            .wanted = wanted});
}

static void start_all(bool is_wanted) {
  wanted = is_wanted;
  for (broker_id broker = 1; broker <= CREW_BROKERS; broker++)
    stage_on_lane(&crew->members[broker].stage, start, &crew->members[broker]);
}

static int set_up(void **state) {
  crew_set_up(state);
  crew = *state;
  for (broker_id broker = 1; broker <= CREW_BROKERS; broker++) upgraders[broker] = upgrader_new();
  return 0;
}

struct stopping {
  struct upgrader *upgrader;
  bool done;
};

static void stopped(void *context) { ((struct stopping *)context)->done = true; }
static void stop(void *context) { upgrader_stop(((struct stopping *)context)->upgrader, stopped, context); }
static bool is_done(void *context) { return ((struct stopping *)context)->done; }

static int tear_down(void **state) {
  for (broker_id broker = 1; broker <= CREW_BROKERS; broker++) {
    struct stopping stopping = {.upgrader = upgraders[broker]};
    stage_on_lane(&crew->members[broker].stage, stop, &stopping);
    stage_wait(&crew->members[broker].stage, is_done, &stopping);
    upgrader_free(upgraders[broker]);
  }
  return crew_tear_down(state);
}

static void wake(void *context) { upgrader_wake(context); }
static void want(void *context) { upgrader_set(context, true); }

static void tell_all(void (*what)(void *context)) {
  for (broker_id broker = 1; broker <= CREW_BROKERS; broker++)
    stage_on_lane(&crew->members[broker].stage, what, upgraders[broker]);
}

/* ---- The cluster ---- */

static void register_that_can(broker_id broker, uint32_t most) {
  struct change change = {.kind = COMMAND_REGISTER_BROKER, .broker = {.id = broker, .advertised = "a:1"}};
  change.broker.incarnation[0] = (uint8_t)broker;
  change.broker.incarnation[8] = 1;
  snprintf(change.broker.peer_address, sizeof change.broker.peer_address, "peer-%u:1", broker);
  map_broker_set_features(&change.broker, (struct feature_range){1, most});
  crew_change(crew, &change);
  tell_all(wake);
}

static void register_all(void) {
  for (broker_id broker = 1; broker <= CREW_BROKERS; broker++) register_that_can(broker, 2);
}

static void make_topic(void) {
  struct change change = change_of_topic(COMMAND_CREATE_TOPIC, "t");
  change.partition_count = change.replicas = 1;
  crew_change(crew, &change);
}

static uint32_t level(void) { return cluster_map_feature_level(controller_map(crew->members[crew_leader(crew)].controller)); }

static void expect_level(uint32_t expected) {
  crew_run_ms(crew, LOOKS_MS);
  assert_int_equal(level(), expected);
}

/* ---- The rules ---- */

static void a_cluster_without_a_topic_begins_with_all_that_it_can(void **state) {
  (void)state;
  start_all(false);
  register_all();
  expect_level(2);
}

static void not_before_all_that_founded_it_have_told(void **state) {
  (void)state;
  start_all(false);
  register_that_can(1, 2);
  register_that_can(2, 2);
  expect_level(1);
  register_that_can(3, 2);
  expect_level(2);
}

static void one_that_has_records_is_left_alone(void **state) {
  (void)state;
  register_all();
  make_topic();
  start_all(false);
  expect_level(1);
}

static void where_it_is_wanted_it_rises_when_the_last_one_can(void **state) {
  (void)state;
  register_all();
  register_that_can(2, 1);
  make_topic();
  start_all(true);
  expect_level(1);
  register_that_can(2, 2);
  expect_level(2);
}

static void it_rises_when_it_becomes_wanted(void **state) {
  (void)state;
  register_all();
  make_topic();
  start_all(false);
  expect_level(1);
  tell_all(want);
  expect_level(2);
}

/* One that is down may come back as an earlier version. */
static void it_waits_for_who_is_down(void **state) {
  (void)state;
  register_all();
  make_topic();
  broker_id away = crew_leader(crew) % CREW_BROKERS + 1;
  crew_isolate(crew, away);
  crew_run_ms(crew, 3000);
  start_all(true);
  expect_level(1);
  wires_heal(&crew->wires);
  expect_level(2);
}

struct asking {
  const struct member *asked;
  broker_id broker;
  bool is_up;
};
static void ask(void *context) {
  struct asking *asking = context;
  asking->is_up = lane_broker_up(asking->asked->stage.lane, asking->broker);
}

static void wait_until_up(broker_id broker) {
  struct asking asking = {.asked = &crew->members[crew_leader(crew)], .broker = broker};
  for (unsigned passed = 0; !asking.is_up; passed += 10) {
    assert_true(passed < LOOKS_MS);
    crew_run_ms(crew, 10);
    stage_on_lane(&crew->members[crew_leader(crew)].stage, ask, &asking);
  }
}

/* Somebody may be about to make the first topic, and then it stays as it is. */
static void a_new_cluster_keeps_nobody_waiting(void **state) {
  (void)state;
  register_all();
  broker_id away = crew_leader(crew) % CREW_BROKERS + 1;
  crew_isolate(crew, away);
  crew_run_ms(crew, 3000);
  start_all(false);
  expect_level(1);
  wires_heal(&crew->wires);
  wait_until_up(away);
  crew_run_ms(crew, 100);
  assert_int_equal(level(), 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_cluster_without_a_topic_begins_with_all_that_it_can),
      TEST(not_before_all_that_founded_it_have_told),
      TEST(one_that_has_records_is_left_alone),
      TEST(where_it_is_wanted_it_rises_when_the_last_one_can),
      TEST(it_rises_when_it_becomes_wanted),
      TEST(it_waits_for_who_is_down),
      TEST(a_new_cluster_keeps_nobody_waiting),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
