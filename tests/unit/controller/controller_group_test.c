/* Group 0 on three brokers: who decides, and what a broker says that may no longer be the one who does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/controller/crew.h"

static struct change alter_unknown(void) { return change_of_topic(COMMAND_ALTER_TOPIC, "nobody-made-it"); }

static void who_does_not_lead_names_who_does(void **state) {
  struct crew *crew = *state;
  broker_id leader = crew_leader(crew);
  crew_run_ms(crew, 500);
  broker_id other = leader % CREW_BROKERS + 1;
  struct change wanted = change_of_topic(COMMAND_CREATE_TOPIC, "t");
  struct request request;
  crew_ask(crew, other, &wanted, &request);
  assert_int_equal(crew_answer(crew, &request), STATUS_NOT_LEADER);
  assert_int_equal(controller_leader(crew->members[other].controller), leader);
  assert_non_null(strstr(request.change.problem, "leads the controller"));
}

/* It has the leader's first entry already, so none comes that would say it. */
static void who_starts_anew_hears_who_leads(void **state) {
  struct crew *crew = *state;
  broker_id leader = crew_leader(crew), other = leader % CREW_BROKERS + 1;
  crew_run_ms(crew, 500);
  assert_true(crew->members[leader].leads);
  crew_stop(&crew->members[other]);
  crew_start(crew, other);
  crew_run_ms(crew, 2000);

  assert_int_equal(crew_leader(crew), leader);
  assert_int_equal(crew->members[other].leader, leader);
  assert_false(crew->members[other].leads);
}

static void who_leads_no_more_says_so_at_once(void **state) {
  struct crew *crew = *state;
  broker_id leader = crew_leader(crew);
  crew_isolate(crew, leader);
  crew_run_ms(crew, 5000);
  assert_false(crew->members[leader].leads);
  assert_int_equal(crew->members[leader].leader, 0);
  wires_heal(&crew->wires);
}

/* What was in its log when it started may be committed already: places are told only when all of that is in the map. */
static void places_are_told_when_the_map_has_what_was_known(void **state) {
  struct crew *crew = *state;
  broker_id leader = crew_leader(crew), late = leader % CREW_BROKERS + 1;
  struct member *member = &crew->members[late];
  for (broker_id broker = 1; broker <= CREW_BROKERS; broker++) crew_register(crew, broker, "somewhere:1");
  struct change create = change_of_topic(COMMAND_CREATE_TOPIC, "t"), move = change_of_topic(COMMAND_MOVE_PARTITION, "t");
  create.replicas = 2;
  crew_change(crew, &create);
  crew_run_ms(crew, 500);
  unsigned before = member->placed;
  move.to[move.to_count++] = 3;
  crew_change(crew, &move);
  crew_run_ms(crew, 500);
  assert_int_equal(member->placed, before + 1);

  crew_crash(member);
  crew_isolate(crew, late);
  crew_start(crew, late);
  crew_run_ms(crew, 3000);
  assert_int_equal(member->caught_up, 0);
  wires_heal(&crew->wires);
  crew_run_ms(crew, 3000);
  assert_int_equal(member->caught_up, 1);
  assert_int_equal(member->placed, 0); /* whoever has caught up looks at all of them */

  move.to[0] = 2;
  crew_change(crew, &move);
  crew_run_ms(crew, 500);
  assert_int_equal(member->placed, 1);
}

/* A broker that starts does not know yet what is committed of what is in its log; it may have logs of what was made, and perhaps is not deleted. */
static void what_is_deleted_ahead_is_known_in_passing(void **state) {
  struct crew *crew = *state;
  broker_id leader = crew_leader(crew), late = leader % CREW_BROKERS + 1;
  struct member *member = &crew->members[late];
  for (broker_id broker = 1; broker <= CREW_BROKERS; broker++) crew_register(crew, broker, "somewhere:1");
  struct change create = change_of_topic(COMMAND_CREATE_TOPIC, "t"), delete = change_of_topic(COMMAND_DELETE_TOPIC, "t");
  crew_change(crew, &create);
  crew_change(crew, &delete);
  crew_run_ms(crew, 500);
  crew_crash(member);
  crew_isolate(crew, late);
  crew_start(crew, late);
  struct cluster_map *ahead = controller_map_ahead(member->controller), *passing = controller_map_passing(member->controller);

  assert_true(cluster_map_version(controller_map(member->controller)) < cluster_map_version(ahead));
  assert_int_equal(cluster_map_version(passing), cluster_map_version(ahead));
  assert_int_equal(cluster_map_next_group_id(passing), cluster_map_next_group_id(ahead));
  assert_null(cluster_map_topic(ahead, bytes_of_string("t")));
  assert_non_null(cluster_map_topic(passing, bytes_of_string("t")));

  cluster_map_free(ahead);
  cluster_map_free(passing);
}

/* Names are given again, ids are not: a broker may have logs of each topic that had the name. */
static void every_topic_of_a_name_is_known_in_passing(void **state) {
  struct crew *crew = *state;
  broker_id leader = crew_leader(crew), late = leader % CREW_BROKERS + 1;
  struct member *member = &crew->members[late];
  for (broker_id broker = 1; broker <= CREW_BROKERS; broker++) crew_register(crew, broker, "somewhere:1");
  for (unsigned round = 0; round < 3; round++) {
    struct change create = change_of_topic(COMMAND_CREATE_TOPIC, "t"), delete = change_of_topic(COMMAND_DELETE_TOPIC, "t");
    crew_change(crew, &create);
    crew_change(crew, &delete);
  }
  crew_run_ms(crew, 500);
  crew_crash(member);
  crew_isolate(crew, late);
  crew_start(crew, late);
  struct cluster_map *ahead = controller_map_ahead(member->controller), *passing = controller_map_passing(member->controller);

  assert_int_equal(cluster_map_topic_count(ahead), 0);
  assert_int_equal(cluster_map_next_group_id(passing), cluster_map_next_group_id(ahead));
  for (uint64_t id = 1; id <= 3; id++) assert_non_null(cluster_map_topic_by_id(passing, id));

  cluster_map_free(ahead);
  cluster_map_free(passing);
}

static void a_refusal_that_rests_on_the_map_is_confirmed(void **state) {
  struct crew *crew = *state;
  struct change wanted = alter_unknown();
  struct request request;
  crew_ask(crew, crew_leader(crew), &wanted, &request);
  assert_int_equal(crew_answer(crew, &request), STATUS_UNKNOWN_TOPIC);
}

/* Others may have made it by now. */
static void who_is_cut_off_does_not_say_that_there_is_no_such_topic(void **state) {
  struct crew *crew = *state;
  broker_id leader = crew_leader(crew);
  struct change wanted = alter_unknown();
  struct request request;
  crew_isolate(crew, leader);
  crew_ask(crew, leader, &wanted, &request);
  crew_run_ms(crew, 200);
  assert_false(request.answered);
  assert_int_equal(crew_answer(crew, &request), STATUS_NOT_LEADER);
  wires_heal(&crew->wires);
}

/* Nor how many partitions one has: it may be another one by now. */
static void who_is_cut_off_does_not_say_what_a_topic_has(void **state) {
  struct crew *crew = *state;
  broker_id leader = crew_leader(crew);
  struct change create = change_of_topic(COMMAND_CREATE_TOPIC, "t"), fewer = change_of_topic(COMMAND_GROW_TOPIC, "t");
  struct request request;
  for (broker_id broker = 1; broker <= CREW_BROKERS; broker++) crew_register(crew, broker, "somewhere:1");
  create.partition_count = 2;
  fewer.partition_count = 1;
  crew_change(crew, &create);
  crew_ask(crew, leader, &fewer, &request);
  assert_int_equal(crew_answer(crew, &request), STATUS_INVALID);
  crew_isolate(crew, leader);
  crew_ask(crew, leader, &fewer, &request);
  crew_run_ms(crew, 200);
  assert_false(request.answered);
  assert_int_equal(crew_answer(crew, &request), STATUS_NOT_LEADER);
  wires_heal(&crew->wires);
}

static void what_the_request_alone_decides_needs_nobody(void **state) {
  struct crew *crew = *state;
  broker_id leader = crew_leader(crew);
  struct change wanted = change_of_topic(COMMAND_CREATE_TOPIC, "not/a/name");
  struct request request;
  crew_isolate(crew, leader);
  crew_ask(crew, leader, &wanted, &request);
  assert_true(request.answered);
  assert_int_equal(request.change.status, STATUS_BAD_NAME);
  wires_heal(&crew->wires);
}

static void whose_disk_has_failed_sends_elsewhere(void **state) {
  struct crew *crew = *state;
  broker_id leader = crew_leader(crew);
  struct change create = change_of_topic(COMMAND_CREATE_TOPIC, "t"), alter = alter_unknown();
  struct request request;
  for (broker_id broker = 1; broker <= CREW_BROKERS; broker++) crew_register(crew, broker, "somewhere:1");
  stage_fail_journal(&crew->members[leader].stage);
  crew_ask(crew, leader, &create, &request);
  (void)crew_answer(crew, &request); /* in doubt, or refused: its journal is gone either way */
  crew_ask(crew, leader, &alter, &request);
  assert_int_equal(crew_answer(crew, &request), STATUS_NOT_LEADER);
  stage_heal(&crew->members[leader].stage);
}

/* A topic is not given less replicas than it may have because some brokers are a moment late. */
static void replicas_wait_for_brokers_that_have_not_told_where_they_are(void **state) {
  struct crew *crew = *state;
  struct change wanted = change_of_topic(COMMAND_CREATE_TOPIC, "t");
  struct request request;
  crew_register(crew, 1, "one:1");
  crew_register(crew, 2, "two:1");
  for (wanted.replicas = 0; wanted.replicas <= 3; wanted.replicas += 3) { /* 0: three of three */
    crew_ask(crew, crew_leader(crew), &wanted, &request);
    assert_int_equal(crew_answer(crew, &request), STATUS_LOADING);
    assert_non_null(strstr(request.change.problem, "of the cluster's 3 brokers 2"));
  }
  wanted.replicas = 4;
  crew_ask(crew, crew_leader(crew), &wanted, &request);
  assert_int_equal(crew_answer(crew, &request), STATUS_INVALID);

  crew_register(crew, 3, "three:1");
  wanted.replicas = 0;
  crew_change(crew, &wanted);
  const struct cluster_map *map = controller_map(crew->members[crew_leader(crew)].controller);
  assert_int_equal(cluster_map_topic(map, bytes_of_string("t"))->replicas, 3);
}

/* Nor because others are there that do not belong to group 0. */
static void they_are_waited_for_whoever_else_is_there(void **state) {
  struct crew *crew = *state;
  struct change wanted = change_of_topic(COMMAND_CREATE_TOPIC, "t");
  struct request request;
  crew_register(crew, 1, "one:1");
  crew_register(crew, 2, "two:1");
  crew_register(crew, 4, "four:1"); /* which takes no peers */
  for (wanted.replicas = 3; wanted.replicas <= 4; wanted.replicas++) {
    crew_ask(crew, crew_leader(crew), &wanted, &request);
    assert_int_equal(crew_answer(crew, &request), STATUS_LOADING);
  }
  assert_non_null(strstr(request.change.problem, "of the cluster's 4 brokers 3"));
}

/* Else all partitions of a cluster's first topic would be where somebody was first. */
static void partitions_wait_a_moment_to_be_spread_over_all_founders(void **state) {
  struct crew *crew = *state;
  struct change wanted = change_of_topic(COMMAND_CREATE_TOPIC, "t");
  struct request request;
  wanted.replicas = 1;
  crew_register(crew, crew_leader(crew), "one:1");
  crew_ask(crew, crew_leader(crew), &wanted, &request);
  assert_int_equal(crew_answer(crew, &request), STATUS_LOADING);

  crew_run_ms(crew, 6000);
  crew_ask(crew, crew_leader(crew), &wanted, &request);
  assert_int_equal(crew_answer(crew, &request), STATUS_OK);
}

/* Of topic t's partition 0, as this broker's map has it. NULL: it stays. */
static const struct map_move *move_on(struct crew *crew, broker_id broker) {
  const struct cluster_map *map = controller_map(crew->members[broker].controller);
  const struct map_topic *topic = cluster_map_topic(map, bytes_of_string("t"));
  return topic == NULL ? NULL : cluster_map_move(map, topic->partitions[0].group);
}

/* Begun through one leader, ended through the next; what was known of an earlier move ends nothing there either. */
static void a_move_outlives_the_leader_that_began_it(void **state) {
  struct crew *crew = *state;
  struct change create = change_of_topic(COMMAND_CREATE_TOPIC, "t"), move = change_of_topic(COMMAND_MOVE_PARTITION, "t");
  for (broker_id broker = 1; broker <= CREW_BROKERS; broker++) crew_register(crew, broker, "somewhere:1");
  create.replicas = 1;
  crew_change(crew, &create);
  broker_id first = crew_leader(crew);
  const struct map_topic *topic = cluster_map_topic(controller_map(crew->members[first].controller), bytes_of_string("t"));
  struct change over = {.kind = COMMAND_PARTITION_MOVED, .topic_id = topic->id};
  broker_id home = topic->partitions[0].replicas[0].broker, away = home % CREW_BROKERS + 1;
  move.to_count = 2;
  move.to[0] = away;
  move.to[1] = home;
  crew_change(crew, &move);
  over.move = move_on(crew, first)->number;
  move.to_count = 1;
  crew_change(crew, &move);
  crew_isolate(crew, first);
  crew_run_ms(crew, 5000); /* it knows by then that it does not lead */

  broker_id second = crew_leader(crew);
  struct request request;
  assert_int_not_equal(second, first);
  assert_int_equal(move_on(crew, second)->target_count, 1);
  crew_ask(crew, second, &over, &request);
  assert_int_equal(crew_answer(crew, &request), STATUS_NOT_FOUND);
  over.move = move_on(crew, second)->number;
  crew_ask(crew, first, &over, &request); /* cut off: not its to say */
  assert_int_equal(crew_answer(crew, &request), STATUS_NOT_LEADER);
  crew_change(crew, &over);
  wires_heal(&crew->wires);
  crew_run_ms(crew, 2000);

  for (broker_id broker = 1; broker <= CREW_BROKERS; broker++) {
    topic = cluster_map_topic(controller_map(crew->members[broker].controller), bytes_of_string("t"));
    assert_null(move_on(crew, broker));
    assert_int_equal(topic->partitions[0].replica_count, 1);
    assert_int_equal(topic->partitions[0].replicas[0].broker, away);
  }
}

/* Another directory comes under the number of one that has registered. */
static enum status ask_for_number(struct crew *crew, broker_id asked, broker_id number) {
  struct change wanted = {.kind = COMMAND_REGISTER_BROKER, .broker = {.id = number, .incarnation = {77}, .advertised = "a:9"}};
  struct request request;
  crew_ask(crew, asked, &wanted, &request);
  return crew_answer(crew, &request);
}

static void nobody_takes_the_number_of_a_broker_that_is_up(void **state) {
  struct crew *crew = *state;
  for (broker_id broker = 1; broker <= CREW_BROKERS; broker++) crew_register(crew, broker, "somewhere:1");
  crew_run_ms(crew, 500);
  broker_id leader = crew_leader(crew), other = leader % CREW_BROKERS + 1, third = other % CREW_BROKERS + 1;

  assert_int_equal(ask_for_number(crew, leader, leader), STATUS_BROKER_ID_TAKEN);
  assert_int_equal(ask_for_number(crew, leader, other), STATUS_BROKER_ID_TAKEN);
  assert_int_equal(ask_for_number(crew, third, other), STATUS_BROKER_ID_TAKEN);

  crew_isolate(crew, other);
  crew_run_ms(crew, 3000);
  assert_int_equal(ask_for_number(crew, third, other), STATUS_NOT_LEADER);
  assert_int_equal(ask_for_number(crew, leader, other), STATUS_OK);
  wires_heal(&crew->wires);
}

/* ---- Who belongs to group 0 ---- */

static void begin_hand_over(void *context) {
  struct member *member = context;
  assert_int_equal(lane_hand_over(member->stage.lane), 1);
}

static entry_index last_index(const struct member *member) { return log_view(member->stage.log[0]).last_index; }

/* A broker that was registered while the lead was on its way to somebody who did not take it. */
static void members_follow_when_a_hand_over_has_failed(void **state) {
  struct crew *crew = *state;
  broker_id leader = crew_leader(crew);
  struct member *member = &crew->members[leader];
  for (broker_id broker = 1; broker <= CREW_BROKERS; broker++) crew_register(crew, broker, "a:1");
  crew_run_ms(crew, 500);
  entry_index before = last_index(member);
  struct change wanted = {.kind = COMMAND_REGISTER_BROKER,
                          .broker = {.id = 4, .incarnation = {4}, .advertised = "a:4", .peer_address = "peer-4:1"}};
  struct request request;

  crew->wires.cut[leader][leader == 1 ? 2 : 1] = true; /* the best placed, of two that have everything */
  crew_ask(crew, leader, &wanted, &request);
  stage_on_lane(&member->stage, begin_hand_over, member);
  assert_int_equal(crew_answer(crew, &request), STATUS_OK);
  crew_run_ms(crew, 200);
  assert_int_equal(last_index(member), before + 1);
  crew_run_ms(crew, 1000);

  assert_int_equal(crew_leader(crew), leader);
  assert_int_equal(last_index(member), before + 2); /* the members, with the new one */
  wires_heal(&crew->wires);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, crew_set_up, crew_tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(who_does_not_lead_names_who_does),
      TEST(places_are_told_when_the_map_has_what_was_known),
      TEST(what_is_deleted_ahead_is_known_in_passing),
      TEST(every_topic_of_a_name_is_known_in_passing),
      TEST(who_starts_anew_hears_who_leads),
      TEST(who_leads_no_more_says_so_at_once),
      TEST(a_refusal_that_rests_on_the_map_is_confirmed),
      TEST(who_is_cut_off_does_not_say_that_there_is_no_such_topic),
      TEST(who_is_cut_off_does_not_say_what_a_topic_has),
      TEST(what_the_request_alone_decides_needs_nobody),
      TEST(whose_disk_has_failed_sends_elsewhere),
      TEST(replicas_wait_for_brokers_that_have_not_told_where_they_are),
      TEST(they_are_waited_for_whoever_else_is_there),
      TEST(partitions_wait_a_moment_to_be_spread_over_all_founders),
      TEST(a_move_outlives_the_leader_that_began_it),
      TEST(nobody_takes_the_number_of_a_broker_that_is_up),
      TEST(members_follow_when_a_hand_over_has_failed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
