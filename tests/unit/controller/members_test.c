/* Who is to belong to group 0: each step that one can read, and that from any start the steps end, and never take a vote too many. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "controller/command.h"
#include "controller/members.h"

static struct cluster_map *map;
static uint32_t down; /* a bit for each broker */

static int make_map(void **state) {
  (void)state;
  map = cluster_map_new(1);
  down = 0;
  return 0;
}

static int free_map(void **state) {
  (void)state;
  cluster_map_free(map);
  return 0;
}

/* Broker `id` in its directory number `directory`. */
static void put(uint32_t id, uint8_t directory, const char *peer_address) {
  struct command command = {.kind = COMMAND_REGISTER_BROKER, .broker = {.id = id, .incarnation = {directory}}, .cluster_id = {1}};
  snprintf(command.broker.peer_address, sizeof command.broker.peer_address, "%s", peer_address);
  assert_int_equal(cluster_map_apply(map, &command), STATUS_OK);
}

static struct replica_id id_of(uint32_t id, uint8_t directory) {
  return replica_id_of(id, (const uint8_t[INCARNATION_SIZE]){directory});
}

static bool is_up(void *context, broker_id broker) {
  (void)context;
  return (down >> broker & 1) == 0;
}

static bool next_of(const struct raft_config *today, uint32_t founders, struct raft_config *out_target) {
  return members_next(today, &(struct members_facts){.map = map, .founders = founders, .is_up = is_up}, out_target);
}

static struct raft_config founded_by(uint32_t founders) {
  struct raft_config config = {.phase = RAFT_STABLE};
  for (uint32_t id = 1; id <= founders; id++) {
    struct replica_id replica = id_of(id, 1);
    raft_config_add(&config, &replica, RAFT_VOTER, RAFT_VOTER);
  }
  return config;
}

static enum raft_rank rank_of(const struct raft_config *config, uint32_t id, uint8_t directory) {
  struct replica_id replica = id_of(id, directory);
  size_t position = raft_config_find(config, &replica);
  return position == RAFT_NO_POSITION ? RAFT_NOBODY : (enum raft_rank)config->members[position].then;
}

static void the_founders_are_enough(void **state) {
  (void)state;
  struct raft_config today = founded_by(3), target;
  assert_false(next_of(&today, 3, &target)); /* nobody has registered yet */
  for (uint32_t id = 1; id <= 3; id++) put(id, 1, "here:1");
  assert_false(next_of(&today, 3, &target));
}

static void a_fourth_broker_learns(void **state) {
  (void)state;
  struct raft_config today = founded_by(3), target;
  for (uint32_t id = 1; id <= 4; id++) put(id, 1, "here:1");
  assert_true(next_of(&today, 3, &target));
  assert_int_equal(target.count, 4);
  assert_int_equal(rank_of(&target, 4, 1), RAFT_LEARNER);
  assert_false(next_of(&target, 3, &target));
}

static void whoever_takes_no_peers_is_left_out(void **state) {
  (void)state;
  struct raft_config today = founded_by(1), target;
  put(1, 1, "");
  put(2, 1, "");
  assert_false(next_of(&today, 1, &target));
}

static void a_wiped_voter_goes_and_then_comes_back(void **state) {
  (void)state;
  struct raft_config today = founded_by(3), target;
  put(1, 1, "here:1");
  put(2, 2, "here:2");
  put(3, 1, "here:3");
  assert_true(next_of(&today, 3, &target));
  assert_int_equal(target.count, 2);
  assert_int_equal(rank_of(&target, 2, 1), RAFT_NOBODY);
  today = target;
  assert_true(next_of(&today, 3, &target));
  assert_int_equal(target.count, 3);
  assert_int_equal(rank_of(&target, 2, 2), RAFT_VOTER);
  assert_false(next_of(&target, 3, &target));
}

static void stand(uint32_t id, enum map_standing standing) {
  struct command command = {.kind = COMMAND_SET_STANDING, .broker = {.id = id, .standing = standing}};
  assert_int_equal(cluster_map_apply(map, &command), STATUS_OK);
}

static void who_leaves_gives_its_vote_to_another(void **state) {
  (void)state;
  struct raft_config today = founded_by(3), target;
  for (uint32_t id = 1; id <= 4; id++) put(id, 1, "here:1");
  assert_true(next_of(&today, 3, &target));
  today = target;
  stand(2, STANDING_LEAVING);

  assert_true(next_of(&today, 3, &target));
  assert_int_equal(rank_of(&target, 2, 1), RAFT_LEARNER); /* in one step */
  assert_int_equal(rank_of(&target, 4, 1), RAFT_VOTER);
  today = target;
  assert_false(next_of(&today, 3, &target));
  stand(2, STANDING_GONE);
  assert_true(next_of(&today, 3, &target));
  assert_int_equal(rank_of(&target, 2, 1), RAFT_NOBODY);
}

static void the_only_voter_leaves_when_another_can_vote(void **state) {
  (void)state;
  struct raft_config today = founded_by(1), target;
  put(1, 1, "here:1");
  stand(1, STANDING_LEAVING);
  assert_false(next_of(&today, 1, &target));
  put(2, 1, "here:2");
  assert_true(next_of(&today, 1, &target));
  assert_int_equal(rank_of(&target, 1, 1), RAFT_LEARNER);
  assert_int_equal(rank_of(&target, 2, 1), RAFT_VOTER);
  assert_false(next_of(&target, 1, &today));
}

static void where_nobody_can_take_it_a_vote_is_given_up(void **state) {
  (void)state;
  struct raft_config today = founded_by(3), target;
  for (uint32_t id = 1; id <= 3; id++) put(id, 1, "here:1");
  stand(3, STANDING_LEAVING);
  assert_true(next_of(&today, 3, &target));
  assert_int_equal(rank_of(&target, 3, 1), RAFT_LEARNER);
  assert_false(next_of(&target, 3, &today));
}

/* Without broker 2 the two that would be left could decide nothing, not even that broker 3 stays. */
static void a_vote_that_is_needed_is_kept(void **state) {
  (void)state;
  struct raft_config today = founded_by(3), target;
  for (uint32_t id = 1; id <= 3; id++) put(id, 1, "here:1");
  stand(3, STANDING_LEAVING);
  down = 1u << 2;
  assert_false(next_of(&today, 3, &target));
  down = 1u << 3; /* itself is no loss */
  assert_true(next_of(&today, 3, &target));
  assert_int_equal(rank_of(&target, 3, 1), RAFT_LEARNER);
}

static void who_is_down_inherits_nothing(void **state) {
  (void)state;
  struct raft_config today = founded_by(3), target;
  for (uint32_t id = 1; id <= 5; id++) put(id, 1, "here:1");
  assert_true(next_of(&today, 3, &target));
  today = target;
  stand(3, STANDING_LEAVING);
  down = 1u << 4;
  assert_true(next_of(&today, 3, &target));
  assert_int_equal(rank_of(&target, 4, 1), RAFT_LEARNER);
  assert_int_equal(rank_of(&target, 5, 1), RAFT_VOTER);
}

/* The change prepares, and waits for one that will not come. */
static void who_goes_down_on_the_way_is_not_waited_for(void **state) {
  (void)state;
  struct raft_config today = founded_by(3), target;
  for (uint32_t id = 1; id <= 5; id++) put(id, 1, "here:1");
  assert_true(next_of(&today, 3, &target));
  today = target;
  stand(3, STANDING_LEAVING);
  assert_true(next_of(&today, 3, &target));
  assert_int_equal(rank_of(&target, 4, 1), RAFT_VOTER);
  for (size_t i = 0; i < today.count; i++) today.members[i].then = target.members[i].then;
  today.phase = RAFT_PREPARING;
  assert_false(next_of(&today, 3, &target));

  down = 1u << 4;

  assert_true(next_of(&today, 3, &target));
  assert_int_equal(rank_of(&target, 3, 1), RAFT_LEARNER);
  assert_int_equal(rank_of(&target, 4, 1), RAFT_LEARNER);
  assert_int_equal(rank_of(&target, 5, 1), RAFT_VOTER);
}

static void who_cannot_vote_makes_no_number_odd(void **state) {
  (void)state;
  struct raft_config today = founded_by(1), target;
  for (uint32_t id = 1; id <= 2; id++) put(id, 1, "here:1");
  assert_true(next_of(&today, 1, &target));
  today = target;
  stand(2, STANDING_LEAVING);
  put(3, 1, "here:3");
  assert_true(next_of(&today, 1, &target)); /* to learn */
  assert_int_equal(rank_of(&target, 3, 1), RAFT_LEARNER);
  assert_false(next_of(&target, 1, &today));
  put(4, 1, "here:4");
  today = target;
  down = 1u << 4;
  assert_true(next_of(&today, 1, &target));
  assert_int_equal(rank_of(&target, 3, 1), RAFT_LEARNER);
  today = target;
  assert_false(next_of(&today, 1, &target));
  down = 0;
  assert_true(next_of(&today, 1, &target));
  assert_int_equal(rank_of(&target, 3, 1), RAFT_VOTER);
  assert_int_equal(rank_of(&target, 4, 1), RAFT_VOTER);
}

static void two_brokers_do_not_both_vote_where_one_did(void **state) {
  (void)state;
  struct raft_config today = founded_by(1), target;
  put(1, 1, "here:1");
  put(2, 1, "here:2");
  assert_true(next_of(&today, 1, &target));
  assert_int_equal(rank_of(&target, 2, 1), RAFT_LEARNER);
  today = target;
  put(3, 1, "here:3");
  assert_true(next_of(&today, 1, &target));
  assert_int_equal(rank_of(&target, 2, 1), RAFT_VOTER);
  assert_int_equal(rank_of(&target, 3, 1), RAFT_VOTER);
}

static void nothing_is_done_when_no_voter_is_left(void **state) {
  (void)state;
  struct raft_config today = founded_by(1), target;
  put(1, 2, "here:1");
  assert_false(next_of(&today, 1, &target));
}

static uint64_t chance(uint64_t *seed) {
  *seed ^= *seed << 13;
  *seed ^= *seed >> 7;
  *seed ^= *seed << 17;
  return *seed;
}

static bool is_now(const struct replica_id *id) {
  const struct map_broker *broker = cluster_map_broker(map, id->broker);
  if (broker == NULL) return true;
  struct replica_id now = replica_id_of(broker->id, broker->incarnation);
  return replica_id_equal(&now, id);
}

static bool leaves(const struct replica_id *id) {
  const struct map_broker *broker = cluster_map_broker(map, id->broker);
  return broker != NULL && broker->standing >= STANDING_LEAVING;
}

static unsigned votes_of(const struct raft_config *config, bool only_up) {
  unsigned votes = 0;
  for (size_t i = 0; i < config->count; i++)
    votes += config->members[i].then == RAFT_VOTER && !(only_up && !is_up(NULL, config->members[i].id.broker));
  return votes;
}

/* One step keeps what it promises. */
static void check_step(const struct raft_config *today, const struct raft_config *target) {
  assert_true(raft_config_valid(target));
  for (size_t i = 0; i < target->count; i++)
    for (size_t before = 0; before < i; before++)
      assert_int_not_equal(target->members[before].id.broker, target->members[i].id.broker);
  bool taken = false;
  for (size_t i = 0; i < today->count; i++) {
    const struct raft_member *member = &today->members[i];
    size_t position = raft_config_find(target, &member->id);
    bool given_up = member->then == RAFT_VOTER && position != RAFT_NO_POSITION && target->members[position].then != RAFT_VOTER;
    taken = taken || given_up;
    if (member->then == RAFT_VOTER && is_now(&member->id) && !leaves(&member->id))
      assert_int_equal(target->members[position].then, RAFT_VOTER);
    if (!is_now(&member->id)) assert_int_equal(position, RAFT_NO_POSITION);
    if (position != RAFT_NO_POSITION) continue;
    for (size_t k = 0; k < target->count; k++) assert_int_not_equal(target->members[k].id.broker, member->id.broker);
  }
  assert_true(votes_of(target, false) > 0);
  if (taken) assert_true(2 * votes_of(target, true) > votes_of(target, false));
}

static void steps_end_whatever_joins_leaves_and_is_wiped(void **state) {
  (void)state;
  for (uint64_t round = 1; round <= 2000; round++) {
    uint64_t seed = round * 0x9E3779B97F4A7C15u;
    cluster_map_free(map);
    map = cluster_map_new(1);
    uint32_t founders = 1 + (uint32_t)(chance(&seed) % RAFT_VOTERS_MAX);
    struct raft_config today = founded_by(founders);
    uint8_t directories[25] = {0};
    for (unsigned events = 0; events < 30; events++) {
      uint32_t id = 1 + (uint32_t)(chance(&seed) % 24);
      if (id <= founders && directories[id] == 0) directories[id] = 1;
      else if (directories[id] == 0 || chance(&seed) % 3 == 0) directories[id]++;
      put(id, directories[id], chance(&seed) % 8 == 0 ? "" : "there:1");
      static const enum map_standing wishes[] = {STANDING_IN, STANDING_DRAINED, STANDING_LEAVING, STANDING_LEAVING};
      stand(id, wishes[chance(&seed) % 4]);
      down = chance(&seed) % 2 == 0 ? 0 : (uint32_t)chance(&seed) & (uint32_t)chance(&seed);
      struct raft_config target;
      unsigned steps = 0;
      for (; next_of(&today, founders, &target); steps++) {
        check_step(&today, &target);
        today = target;
      }
      assert_true(steps <= 3);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(the_founders_are_enough, make_map, free_map),
      cmocka_unit_test_setup_teardown(a_fourth_broker_learns, make_map, free_map),
      cmocka_unit_test_setup_teardown(whoever_takes_no_peers_is_left_out, make_map, free_map),
      cmocka_unit_test_setup_teardown(a_wiped_voter_goes_and_then_comes_back, make_map, free_map),
      cmocka_unit_test_setup_teardown(who_leaves_gives_its_vote_to_another, make_map, free_map),
      cmocka_unit_test_setup_teardown(the_only_voter_leaves_when_another_can_vote, make_map, free_map),
      cmocka_unit_test_setup_teardown(where_nobody_can_take_it_a_vote_is_given_up, make_map, free_map),
      cmocka_unit_test_setup_teardown(a_vote_that_is_needed_is_kept, make_map, free_map),
      cmocka_unit_test_setup_teardown(who_is_down_inherits_nothing, make_map, free_map),
      cmocka_unit_test_setup_teardown(who_goes_down_on_the_way_is_not_waited_for, make_map, free_map),
      cmocka_unit_test_setup_teardown(who_cannot_vote_makes_no_number_odd, make_map, free_map),
      cmocka_unit_test_setup_teardown(two_brokers_do_not_both_vote_where_one_did, make_map, free_map),
      cmocka_unit_test_setup_teardown(nothing_is_done_when_no_voter_is_left, make_map, free_map),
      cmocka_unit_test_setup_teardown(steps_end_whatever_joins_leaves_and_is_wiped, make_map, free_map),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
