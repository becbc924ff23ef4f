/* Group 0 on three brokers: one whose log has rotted takes the map from the leader, and tells its watch what is otherwise than before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/controller/crew.h"

#define TOPICS 40u

static void of_topic(struct crew *crew, enum command_kind kind, const char *name) {
  struct change wanted = change_of_topic(kind, name);
  crew_change(crew, &wanted);
}

static void assert_equal_maps(const struct member *a, const struct member *b) {
  const struct cluster_map *one = controller_map(a->controller), *other = controller_map(b->controller);
  assert_int_equal(cluster_map_topic_count(one), cluster_map_topic_count(other));
  const struct map_topic *topic = cluster_map_topic_after(one, bytes_of_string(""));
  for (; topic != NULL; topic = cluster_map_topic_after(one, bytes_of_string(topic->name))) {
    const struct map_topic *same = cluster_map_topic_by_id(other, topic->id);
    assert_non_null(same);
    assert_string_equal(same->name, topic->name);
    assert_int_equal(same->settings.retention_ms, topic->settings.retention_ms);
  }
  assert_int_equal(cluster_map_broker_count(one), cluster_map_broker_count(other));
}

static void a_rotten_group_0_takes_the_map_and_tells_what_is_new(void **state) {
  struct crew *crew = *state;
  char name[16];
  for (broker_id broker = 1; broker <= CREW_BROKERS; broker++) crew_register(crew, broker, "first:1");
  broker_id rotten = crew_leader(crew) % CREW_BROKERS + 1;
  struct member *member = &crew->members[rotten];
  for (unsigned i = 0; i < TOPICS; i++) {
    snprintf(name, sizeof name, "t%02u", i);
    of_topic(crew, COMMAND_CREATE_TOPIC, name);
    if (i == TOPICS / 2) stage_checkpoint(&member->stage); /* what it knows when it starts */
  }
  crew_run_ms(crew, 2000);
  crew_stop(member);
  assert_true(sim_disk_flip(member->stage.device, "journal/0*", 250000, 0xff) > 0);
  crew_start(crew, rotten);
  assert_true(log_view(member->stage.log[0]).damaged);
  size_t known = cluster_map_topic_count(controller_map(member->controller));
  assert_true(known < TOPICS && known > 2);
  crew->wires.cut[crew_leader(crew)][rotten] = true; /* until there is something new */
  of_topic(crew, COMMAND_CREATE_TOPIC, "newest");
  of_topic(crew, COMMAND_ALTER_TOPIC, "t01");
  of_topic(crew, COMMAND_DELETE_TOPIC, "t00");
  crew_register(crew, rotten, "second:2");

  wires_heal(&crew->wires);
  crew_run_ms(crew, 20000);

  assert_equal_maps(&crew->members[crew_leader(crew)], member);
  assert_non_null(strstr(member->told, "deleted t00, "));
  assert_non_null(strstr(member->told, "created newest, "));
  assert_non_null(strstr(member->told, "altered t01, "));
  assert_non_null(strstr(member->told, "broker second:2, "));
  assert_null(strstr(member->told, "created t01, "));
  of_topic(crew, COMMAND_CREATE_TOPIC, "after");
  crew_run_ms(crew, 1000);
  assert_equal_maps(&crew->members[crew_leader(crew)], member);

  crew_stop(member);
  crew_start(crew, rotten);
  crew_run_ms(crew, 2000);
  assert_false(log_view(member->stage.log[0]).damaged);
  assert_equal_maps(&crew->members[crew_leader(crew)], member);
  assert_null(strstr(member->told, "deleted")); /* of what is in the state nothing is told again */
  assert_null(strstr(member->told, "created newest"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(a_rotten_group_0_takes_the_map_and_tells_what_is_new, crew_set_up, crew_tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
