/* Group 0 on three brokers, of which one cannot the level that the cluster goes to: it applies nothing of it, and loses nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "log/journal_ring.h"
#include "log/log_internal.h"
#include "tests/unit/controller/crew.h"

static void make_topic(struct crew *crew, const char *name) {
  struct change wanted = change_of_topic(COMMAND_CREATE_TOPIC, name);
  wanted.partition_count = 1;
  crew_change(crew, &wanted);
}

static void register_one(struct crew *crew, broker_id broker, uint32_t most) {
  struct change wanted = {.kind = COMMAND_REGISTER_BROKER, .broker = {.id = broker, .advertised = "a:1"}};
  wanted.broker.incarnation[0] = (uint8_t)broker;
  wanted.broker.incarnation[8] = 1;
  snprintf(wanted.broker.peer_address, sizeof wanted.broker.peer_address, "peer-%u:1", broker);
  map_broker_set_features(&wanted.broker, (struct feature_range){FEATURE_LEVEL_LEAST, most});
  crew_change(crew, &wanted);
}

static void register_that_can(struct crew *crew, uint32_t most) {
  for (broker_id broker = 1; broker <= CREW_BROKERS; broker++) register_one(crew, broker, most);
}

/* As every broker says that it can it. */
static void register_all(struct crew *crew) { register_that_can(crew, FEATURE_LEVEL_MOST); }

static void raise_level_to(struct crew *crew, uint32_t level) {
  crew_change(crew, &(struct change){.kind = COMMAND_SET_FEATURE_LEVEL, .feature_level = level});
}

static void raise_level(struct crew *crew) { raise_level_to(crew, 2); }

static void set_standing(struct crew *crew, broker_id broker, enum map_standing standing) {
  crew_change(crew, &(struct change){.kind = COMMAND_SET_STANDING, .broker = {.id = broker, .standing = standing}});
}

static const struct cluster_map *map_of(const struct member *member) { return controller_map(member->controller); }
static uint32_t level_of(const struct member *member) { return cluster_map_feature_level(map_of(member)); }
static bool knows(const struct member *member, const char *topic) {
  return cluster_map_topic(map_of(member), bytes_of_string(topic)) != NULL;
}

/* It told that it can level 2, and runs a version by now that cannot. */
static struct member *one_that_cannot(struct crew *crew) {
  register_all(crew);
  make_topic(crew, "before");
  crew_run_ms(crew, 500);
  struct member *member = &crew->members[crew_leader(crew) % CREW_BROKERS + 1];
  crew_stop(member);
  member->features.most = 1;
  crew_start(crew, member->stage.broker);
  crew_run_ms(crew, 2000);
  assert_int_equal(controller_outgrown(member->controller), 0);
  return member;
}

static void all_that_can_go_to_the_new_level(void **state) {
  struct crew *crew = *state;
  register_all(crew);
  raise_level(crew);
  crew_run_ms(crew, 500);
  for (broker_id broker = 1; broker <= CREW_BROKERS; broker++) {
    assert_int_equal(level_of(&crew->members[broker]), 2);
    assert_int_equal(crew->members[broker].outgrown, 0);
  }
}

/* As many are in the map as belong to group 0, and one of them is not. */
static void a_founder_that_never_told_is_missed_though_another_has_come_and_gone(void **state) {
  struct crew *crew = *state;
  struct request request;
  register_one(crew, 1, FEATURE_LEVEL_MOST);
  register_one(crew, 2, FEATURE_LEVEL_MOST);
  register_one(crew, 4, FEATURE_LEVEL_MOST);
  set_standing(crew, 4, STANDING_LEAVING);
  set_standing(crew, 4, STANDING_GONE);
  crew_run_ms(crew, 3000);
  struct change wanted = {.kind = COMMAND_SET_FEATURE_LEVEL};

  crew_ask(crew, crew_leader(crew), &wanted, &request);

  assert_int_equal(crew_answer(crew, &request), STATUS_LOADING);
  assert_non_null(strstr(request.change.problem, "broker 3 belongs to the cluster"));
}

static void one_that_cannot_is_told_and_applies_nothing_more(void **state) {
  struct crew *crew = *state;
  struct member *member = one_that_cannot(crew);
  uint64_t version = cluster_map_version(map_of(member));

  raise_level(crew);
  make_topic(crew, "behind");
  crew_run_ms(crew, 500);

  assert_int_equal(member->outgrown, 2);
  assert_int_equal(controller_outgrown(member->controller), 2);
  assert_int_equal(cluster_map_version(map_of(member)), version);
  assert_int_equal(level_of(member), 1);
  assert_false(knows(member, "behind"));
}

/* What it has not applied stays to be applied: also where a checkpoint asked it for its state meanwhile. */
static void the_version_that_can_finds_everything_again(void **state) {
  struct crew *crew = *state;
  struct member *member = one_that_cannot(crew);
  raise_level(crew);
  make_topic(crew, "behind");
  crew_run_ms(crew, 500);
  stage_checkpoint(&member->stage);
  crew_stop(member);

  crew_start(crew, member->stage.broker); /* the same once more: it knows when it starts, or learns it again */
  crew_run_ms(crew, 500);
  assert_int_equal(controller_outgrown(member->controller), 2);
  assert_false(knows(member, "behind"));
  crew_stop(member);

  member->features.most = FEATURE_LEVEL_MOST;
  crew_start(crew, member->stage.broker);
  crew_run_ms(crew, 2000);
  assert_int_equal(controller_outgrown(member->controller), 0);
  assert_int_equal(level_of(member), 2);
  assert_true(knows(member, "before"));
  assert_true(knows(member, "behind"));
}

/* Its state is of that level, and nothing has to be applied for it to know. */
static void one_that_starts_with_a_map_that_it_cannot_says_so(void **state) {
  struct crew *crew = *state;
  register_all(crew);
  raise_level(crew);
  crew_run_ms(crew, 500);
  struct member *member = &crew->members[crew_leader(crew) % CREW_BROKERS + 1];
  stage_checkpoint(&member->stage);
  crew_stop(member);
  member->features.most = 1;

  crew_start(crew, member->stage.broker);

  assert_int_equal(controller_outgrown(member->controller), 2);
  assert_int_equal(member->outgrown, 0); /* whoever opens it looks by himself */
}

/* Of such a map this version may have no words for what is behind its level, and does not look. */
static void a_map_of_a_level_that_this_version_does_not_know_is_not_read(void **state) {
  struct crew *crew = *state;
  uint32_t later = FEATURE_LEVEL_MOST + 1;
  crew_run_ms(crew, 500);
  for (broker_id broker = 1; broker <= CREW_BROKERS; broker++) {
    crew_stop(&crew->members[broker]);
    crew->members[broker].features.most = later;
    crew_start(crew, broker);
  }
  register_that_can(crew, later);
  raise_level_to(crew, later);
  crew_run_ms(crew, 500);
  struct member *member = &crew->members[crew_leader(crew) % CREW_BROKERS + 1];
  assert_int_equal(level_of(member), later);
  stage_checkpoint(&member->stage);
  crew_stop(member);
  member->features = feature_range_own(0);

  crew_start(crew, member->stage.broker);

  assert_int_equal(controller_outgrown(member->controller), later);
  assert_int_equal(cluster_map_version(map_of(member)), 0);
}

/* Rot in a command of its log: the others give it the map as a whole. */
static void lose_a_command(struct member *member) {
  struct log_view view = log_view(member->stage.log[0]);
  struct journal_place place = tail_at(&member->stage.log[0]->tail, view.last_index)->place;
  char path[DISK_PATH_MAX];
  journal_file_path(path, place.file);
  crew_crash(member);
  assert_int_equal(sim_disk_flip(member->stage.device, path, place.offset + 200, 0xff), 1);
}

static void count_later_instances(void *context, struct log *log) {
  if (log_view(log).group == 0 && log_view(log).instance > 1) ++*(unsigned *)context;
}

static void one_that_is_given_such_a_map_as_a_whole_is_told_too(void **state) {
  struct crew *crew = *state;
  struct member *member = one_that_cannot(crew);
  unsigned given = 0;
  lose_a_command(member);
  raise_level(crew);
  make_topic(crew, "behind");
  crew_run_ms(crew, 500);

  crew_start(crew, member->stage.broker);
  assert_int_equal(controller_outgrown(member->controller), 0);
  crew_run_ms(crew, 5000);

  log_set_each(member->stage.logs, count_later_instances, &given);
  assert_int_equal(given, 1);
  assert_int_equal(member->outgrown, 2);
  assert_false(knows(member, "behind"));
}

static void it_decides_nothing(void **state) {
  struct crew *crew = *state;
  register_all(crew);
  raise_level(crew);
  crew_run_ms(crew, 500);
  for (broker_id broker = 1; broker <= CREW_BROKERS; broker++) {
    stage_checkpoint(&crew->members[broker].stage);
    crew_stop(&crew->members[broker]);
    crew->members[broker].features.most = 1;
  }
  for (broker_id broker = 1; broker <= CREW_BROKERS; broker++) crew_start(crew, broker);
  struct change wanted = change_of_topic(COMMAND_CREATE_TOPIC, "t");
  struct request request;

  crew_ask(crew, crew_leader(crew), &wanted, &request);

  assert_int_equal(crew_answer(crew, &request), STATUS_DRAINING);
  assert_non_null(strstr(request.change.problem, "cannot the cluster's feature level"));
}

struct looking {
  struct controller *controller;
  struct replica_read read;
  bool looked;
  enum status status;
};

static void looked(struct replica_read *read, enum status status) {
  struct looking *looking = container_of(read, struct looking, read);
  looking->looked = true;
  looking->status = status;
}

static void look(void *context) {
  struct looking *looking = context;
  looking->read.done = looked;
  controller_read(looking->controller, &looking->read);
}

static void look_who_is_up(void *controller) { controller_look_who_is_up(controller); }

static void begin_again_without_it(struct crew *crew, broker_id broker) {
  crew_stop(&crew->members[broker]);
  crew->members[broker].features.most = 1;
  crew_start(crew, broker);
}

/* It raised the level itself, by what it once told that it can: so it is, whatever became of the command before. */
static void one_that_raises_what_it_cannot_says_that_it_is_done(void **state) {
  struct crew *crew = *state;
  struct request request;
  register_all(crew);
  for (broker_id broker = 1; broker <= CREW_BROKERS; broker++) begin_again_without_it(crew, broker);
  crew_run_ms(crew, 3000);
  struct change refused = {.kind = COMMAND_SET_STANDING, .broker = {.id = 1, .standing = STANDING_GONE}};
  crew_ask(crew, crew_leader(crew), &refused, &request);
  assert_int_equal(crew_answer(crew, &request), STATUS_BUSY); /* when it was applied: it does not leave */
  struct member *member = request.member;

  raise_level(crew);

  assert_int_equal(controller_outgrown(member->controller), 2);
}

/* Whoever leads by a map that ended before its log did knows neither what there is nor who belongs to group 0. */
static void one_that_leads_shows_no_map_and_changes_no_members(void **state) {
  struct crew *crew = *state;
  register_all(crew);
  raise_level(crew);
  broker_id gone = crew_leader(crew) % CREW_BROKERS + 1;
  set_standing(crew, gone, STANDING_LEAVING);
  set_standing(crew, gone, STANDING_GONE);
  crew_run_ms(crew, 3000);
  for (broker_id broker = 1; broker <= CREW_BROKERS; broker++)
    if (broker != gone) begin_again_without_it(crew, broker);
  crew_run_ms(crew, 3000);
  struct member *member = &crew->members[crew_leader(crew)];
  assert_int_equal(controller_outgrown(member->controller), 2);
  assert_int_equal(cluster_map_broker(map_of(member), gone)->standing, STANDING_IN);
  assert_false(controller_counts_on(member->controller, gone));

  struct looking looking = {.controller = member->controller};
  stage_on_lane(&member->stage, look, &looking);
  for (unsigned i = 0; i < 5; i++) {
    stage_on_lane(&member->stage, look_who_is_up, member->controller);
    crew_run_ms(crew, 1000);
  }

  assert_true(looking.looked);
  assert_int_equal(looking.status, STATUS_DRAINING);
  assert_false(controller_counts_on(member->controller, gone));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, crew_set_up, crew_tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(all_that_can_go_to_the_new_level),
      TEST(a_founder_that_never_told_is_missed_though_another_has_come_and_gone),
      TEST(one_that_cannot_is_told_and_applies_nothing_more),
      TEST(the_version_that_can_finds_everything_again),
      TEST(one_that_starts_with_a_map_that_it_cannot_says_so),
      TEST(a_map_of_a_level_that_this_version_does_not_know_is_not_read),
      TEST(one_that_is_given_such_a_map_as_a_whole_is_told_too),
      TEST(it_decides_nothing),
      TEST(one_that_raises_what_it_cannot_says_that_it_is_done),
      TEST(one_that_leads_shows_no_map_and_changes_no_members),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
