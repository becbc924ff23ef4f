/* Who empties brokers that leave: that one that cannot go on does not keep others waiting. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "server/steward.h"
#include "tests/unit/server/movable.h"

/* One on each broker, as in a cluster. */
static struct steward *stewards[CREW_BROKERS + 1];
static struct crew *crew;

static void start(void *context) {
  const struct member *member = context;
  steward_start(
      stewards[member->stage.broker],
      &(struct steward_wiring){.lane = member->stage.lane, .controller = member->controller, .self = member->stage.broker});
}

static int set_up(void **state) {
  crew_set_up(state);
  crew = *state;
  movable_register(crew);
  for (broker_id broker = 1; broker <= CREW_BROKERS; broker++) stewards[broker] = steward_new();
  return 0;
}

static void start_all(void) {
  for (broker_id broker = 1; broker <= CREW_BROKERS; broker++)
    stage_on_lane(&crew->members[broker].stage, start, &crew->members[broker]);
}

struct stopping {
  struct steward *steward;
  bool done;
};

static void stopped(void *context) { ((struct stopping *)context)->done = true; }
static void stop(void *context) { steward_stop(((struct stopping *)context)->steward, stopped, context); }
static bool is_done(void *context) { return ((struct stopping *)context)->done; }

static int tear_down(void **state) {
  for (broker_id broker = 1; broker <= CREW_BROKERS; broker++) {
    struct stopping stopping = {.steward = stewards[broker]};
    stage_on_lane(&crew->members[broker].stage, stop, &stopping);
    stage_wait(&crew->members[broker].stage, is_done, &stopping);
    steward_free(stewards[broker]);
  }
  return crew_tear_down(state);
}

/* A broker that is registered, and down. */
static void register_fourth(const char *peer_address) {
  struct change wanted = {.kind = COMMAND_REGISTER_BROKER, .broker = {.id = 4, .incarnation = {4}, .advertised = "there:4"}};
  snprintf(wanted.broker.peer_address, sizeof wanted.broker.peer_address, "%s", peer_address);
  crew_change(crew, &wanted);
}

/* What 1 has can go nowhere: its partition would keep 2, which leaves as well, and one broker stays that could have two replicas. What 2 has besides
 * can go, and does, though 1 would be first each time. */
static void whose_step_is_refused_keeps_nobody_waiting(void **state) {
  (void)state;
  register_fourth("peer-4:1");
  movable_create(crew, "a", 1, 1);
  movable_create(crew, "b", 1, 2);
  movable_put(crew, "a", 0, "2");
  movable_put(crew, "b", 0, "12");
  movable_stand(crew, 1, STANDING_LEAVING);
  movable_stand(crew, 2, STANDING_LEAVING);
  register_fourth(""); /* it takes no replicas any more */

  start_all();
  crew_run_ms(crew, 3 * SECOND_MS);

  assert_int_equal(movable_under_way(crew), 1);
  const struct map_move *move = cluster_map_move_after(movable_map(crew), 0);
  assert_string_equal(cluster_map_topic_by_id(movable_map(crew), move->topic_id)->name, "a");
  assert_int_equal(move->target_count, 1);
  assert_int_equal(move->target[0].broker, 3);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(whose_step_is_refused_keeps_nobody_waiting, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
