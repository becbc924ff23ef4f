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

/* A broker whose group 0 has rotted, up again and cut off from the leader, where something has happened in the meantime. */
static struct member *a_rotten_one(struct crew *crew) {
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
  assert_int_equal(member->caught_up, 0);
  return member;
}

static bool knows(const struct member *member, const char *topic) {
  return cluster_map_topic(controller_map(member->controller), bytes_of_string(topic)) != NULL;
}

/* The log and the map have been taken over, and a moment later the old log is closed for good. */
static bool has_a_spare(void *context) { return log_spare(((struct member *)context)->stage.log[0]) != NULL; }
static bool has_taken_it(void *context) { return !has_a_spare(context); }
static void wait_until_taken(struct member *member) {
  stage_wait(&member->stage, has_a_spare, member);
  stage_wait(&member->stage, has_taken_it, member);
}

static bool is_told(void *context) { return strstr(((struct member *)context)->told, "created newest, ") != NULL; }

static void a_rotten_group_0_takes_the_map_and_tells_what_is_new(void **state) {
  struct crew *crew = *state;
  struct member *member = a_rotten_one(crew);

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
  crew_start(crew, member->stage.broker);
  crew_run_ms(crew, 2000);
  assert_false(log_view(member->stage.log[0]).damaged);
  assert_equal_maps(&crew->members[crew_leader(crew)], member);
  assert_null(strstr(member->told, "deleted")); /* of what is in the state nothing is told again */
  assert_null(strstr(member->told, "created newest"));
}

/* Who is told makes logs and deletes some: nothing of that may be on the disk while a crash can bring the old map back. */
static void a_map_is_told_when_no_crash_can_take_it_back(void **state) {
  struct crew *crew = *state;
  struct member *member = a_rotten_one(crew);
  broker_id broker = member->stage.broker;

  for (unsigned i = 0; i < 2; i++) {
    wires_heal(&crew->wires);
    wait_until_taken(member);
    assert_string_equal(member->told, "");
    assert_int_equal(member->caught_up, 0);
    assert_false(knows(member, "newest"));
    if (i == 1) stage_wait(&member->stage, is_told, member);
    crew_crash(member);
    crew_isolate(crew, broker);
    crew_start(crew, broker);
    assert_int_equal(knows(member, "newest"), i == 1);
    assert_int_equal(log_view(member->stage.log[0]).damaged, i == 0);
  }

  wires_heal(&crew->wires);
  crew_run_ms(crew, 5000);
  assert_equal_maps(&crew->members[crew_leader(crew)], member);
  assert_string_equal(member->told, ""); /* of what is in the state nothing is told again */
}

/* Nobody says anything more in group 0, perhaps for days. */
static void whoever_takes_the_map_has_caught_up(void **state) {
  struct crew *crew = *state;
  struct member *member = a_rotten_one(crew);

  wires_heal(&crew->wires);
  stage_wait(&member->stage, is_told, member);
  crew_isolate(crew, member->stage.broker);
  crew_run_ms(crew, 5000);

  assert_int_equal(member->caught_up, 1);
  assert_true(knows(member, "newest"));
  wires_heal(&crew->wires);
  of_topic(crew, COMMAND_CREATE_TOPIC, "after");
  crew_run_ms(crew, 5000);
  assert_non_null(strstr(member->told, "created after, "));
  assert_int_equal(member->caught_up, 1);
}

/* The map of before is in force for as long as the disk does not say that it is not. */
static void a_map_whose_log_cannot_take_its_place_is_never_told(void **state) {
  struct crew *crew = *state;
  struct member *member = a_rotten_one(crew);

  wires_heal(&crew->wires);
  wait_until_taken(member);
  stage_fail_journal(&member->stage);
  of_topic(crew, COMMAND_CREATE_TOPIC, "after");
  crew_run_ms(crew, 5000);

  assert_string_equal(member->told, "");
  assert_int_equal(member->caught_up, 0);
  assert_false(knows(member, "newest"));
  stage_heal(&member->stage);
  crew_stop(member);
  crew_start(crew, member->stage.broker);
  crew_run_ms(crew, 20000);
  assert_equal_maps(&crew->members[crew_leader(crew)], member);
}

/* ---- A log that keeps its newest entries alone ---- */

#define KEPT 5u
#define SEGMENT_MOST 8u /* commands in one of these segments, at most */

static void keep_few(struct crew *crew) {
  const struct log_settings small = {.segment_bytes = 512, .retention_bytes = -1, .retention_ms = -1};
  for (broker_id broker = 1; broker <= CREW_BROKERS; broker++) {
    controller_keep_newest(crew->members[broker].controller, KEPT);
    log_set_settings(crew->members[broker].stage.log[0], &small);
  }
}

static struct log_view log_of(const struct member *member) { return log_view(member->stage.log[0]); }

/* What is stored goes with what is applied next, and is gone when that is stored. */
static void store(struct crew *crew, const char *next) {
  for (broker_id broker = 1; broker <= CREW_BROKERS; broker++) stage_checkpoint(&crew->members[broker].stage);
  of_topic(crew, COMMAND_CREATE_TOPIC, next);
  crew_run_ms(crew, 1000);
  for (broker_id broker = 1; broker <= CREW_BROKERS; broker++) stage_checkpoint(&crew->members[broker].stage);
}

static void a_log_whose_map_is_stored_does_not_grow(void **state) {
  struct crew *crew = *state;
  char name[16];
  for (broker_id broker = 1; broker <= CREW_BROKERS; broker++) crew_register(crew, broker, "first:1");
  keep_few(crew);
  broker_id away = crew_leader(crew) % CREW_BROKERS + 1;
  crew_isolate(crew, away);
  for (unsigned i = 0; i < TOPICS; i++) {
    snprintf(name, sizeof name, "t%02u", i);
    of_topic(crew, COMMAND_CREATE_TOPIC, name);
  }
  of_topic(crew, COMMAND_DELETE_TOPIC, "t00");
  store(crew, "next");
  struct member *leader = &crew->members[crew_leader(crew)], *member = &crew->members[away];
  assert_in_range(log_of(leader).last_index + 1 - log_of(leader).start_index, KEPT, KEPT + SEGMENT_MOST);
  assert_int_equal(log_of(member).start_index, 1); /* it has stored nothing that it could go by */

  wires_heal(&crew->wires);
  crew_run_ms(crew, 20000);

  leader = &crew->members[crew_leader(crew)];
  assert_equal_maps(leader, member);
  assert_non_null(strstr(member->told, "created t01, "));
  assert_null(strstr(member->told, "t00")); /* it came and went meanwhile */
  for (broker_id broker = 1; broker <= CREW_BROKERS; broker++) {
    crew_stop(&crew->members[broker]);
    crew_start(crew, broker);
  }
  assert_true(log_of(member).start_index > 1);
  of_topic(crew, COMMAND_CREATE_TOPIC, "after");
  crew_run_ms(crew, 2000);
  for (broker_id broker = 1; broker <= CREW_BROKERS; broker++) {
    assert_true(knows(&crew->members[broker], "after") && knows(&crew->members[broker], "t01"));
    assert_equal_maps(&crew->members[crew_leader(crew)], &crew->members[broker]);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(a_rotten_group_0_takes_the_map_and_tells_what_is_new, crew_set_up, crew_tear_down),
      cmocka_unit_test_setup_teardown(a_map_is_told_when_no_crash_can_take_it_back, crew_set_up, crew_tear_down),
      cmocka_unit_test_setup_teardown(whoever_takes_the_map_has_caught_up, crew_set_up, crew_tear_down),
      cmocka_unit_test_setup_teardown(a_map_whose_log_cannot_take_its_place_is_never_told, crew_set_up, crew_tear_down),
      cmocka_unit_test_setup_teardown(a_log_whose_map_is_stored_does_not_grow, crew_set_up, crew_tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
