/* What a leader does for the map: a step for each configuration, and walks of many steps that have to end where the map says. */
#include "controller/moves.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Replicas in letters: 'a' is broker 1 with its first directory, 'A' broker 1 with its second. */
static struct map_replica replica_of(char letter) {
  bool second = letter >= 'A' && letter <= 'Z';
  return (struct map_replica){.broker = (uint32_t)(letter - (second ? 'A' : 'a')) + 1, .incarnation = {second ? 2 : 1}};
}

static uint32_t put(const char *letters, struct map_replica *out_replicas) {
  uint32_t count = 0;
  for (; *letters != '\0'; letters++) out_replicas[count++] = replica_of(*letters);
  return count;
}

static void add(struct raft_config *config, char letter, enum raft_rank now, enum raft_rank then) {
  struct map_replica replica = replica_of(letter);
  struct replica_id id = replica_id_of(replica.broker, replica.incarnation);
  raft_config_add(config, &id, now, then);
}

static struct raft_config stable(const char *voters) {
  struct raft_config config = {.phase = RAFT_STABLE};
  for (; *voters != '\0'; voters++) add(&config, *voters, RAFT_VOTER, RAFT_VOTER);
  return config;
}

/* In the order in which they stand. */
static const char *letters_of(const struct raft_config *config) {
  static char letters[RAFT_MEMBERS_MAX + 1];
  memset(letters, 0, sizeof letters);
  struct map_replica second = replica_of('A');
  for (size_t i = 0; i < config->count; i++) {
    struct replica_id id = replica_id_of(config->members[i].id.broker, second.incarnation);
    letters[i] = (char)((replica_id_equal(&id, &config->members[i].id) ? 'A' : 'a') + config->members[i].id.broker - 1);
  }
  return letters;
}

struct map_of_one {
  struct map_partition place;
  struct map_move move;
  bool moves;
};

static struct map_of_one map_with(const char *replicas, const char *target) {
  struct map_of_one map = {.moves = target != NULL};
  map.place.replica_count = put(replicas, map.place.replicas);
  if (target != NULL) map.move.target_count = put(target, map.move.target);
  return map;
}

static enum move_step step(const struct map_of_one *map, const struct raft_config *today, bool committed,
                           struct raft_config *out_target) {
  *out_target = (struct raft_config){0};
  return move_next(today, committed, &map->place, map->moves ? &map->move : NULL, out_target);
}

static void each_configuration_has_its_step(void **state) {
  (void)state;
  static const struct {
    const char *replicas, *target, *today;
    enum move_step step;
    const char *to;
  } rows[] = {
      {"abc", NULL, "abc", MOVE_REST, ""},
      {"abc", "bcd", "abc", MOVE_CHANGE, "bcd"},
      {"abc", "bcd", "bcd", MOVE_OVER, ""},
      {"abc", "bcd", "dcb", MOVE_OVER, ""},
      {"abc", "a", "abc", MOVE_CHANGE, "a"},
      {"abc", "cab", "abc", MOVE_OVER, ""},
      {"abc", NULL, "abcd", MOVE_CHANGE, "abc"}, /* a leader with an older map went too far */
      {"", NULL, "a", MOVE_REST, ""},            /* of whose replicas the map says nothing */
      {"abc", "abC", "abc", MOVE_CHANGE, "ab"},
      {"abc", "abC", "ab", MOVE_CHANGE, "abC"},
      {"abc", "Cde", "abc", MOVE_CHANGE, "ab"},
      {"abc", "ABc", "abc", MOVE_CHANGE, "c"},
      {"abc", "ABC", "abc", MOVE_REST, ""}, /* nobody would be left to vote */
      {"abc", "Ad", "bcd", MOVE_CHANGE, "Ad"},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct map_of_one map = map_with(rows[i].replicas, rows[i].target);
    struct raft_config today = stable(rows[i].today), target;
    assert_int_equal(step(&map, &today, true, &target), rows[i].step);
    assert_string_equal(letters_of(&target), rows[i].to);
    assert_int_equal(step(&map, &today, false, &target), MOVE_REST);
  }
}

/* Whoever was to come has come back with another directory: those that vote today stay until it is in. */
static void nobody_is_given_up_for_one_that_comes_back_as_another(void **state) {
  (void)state;
  struct map_of_one alone = map_with("a", "D"), three = map_with("a", "Def");
  struct raft_config today = {.phase = RAFT_PREPARING}, target;
  add(&today, 'a', RAFT_VOTER, RAFT_NOBODY);
  add(&today, 'd', RAFT_LEARNER, RAFT_VOTER);

  assert_int_equal(step(&alone, &today, true, &target), MOVE_CHANGE);
  assert_string_equal(letters_of(&target), "a");
  add(&today, 'e', RAFT_LEARNER, RAFT_VOTER);
  add(&today, 'f', RAFT_LEARNER, RAFT_VOTER);
  assert_int_equal(step(&three, &today, true, &target), MOVE_CHANGE);
  assert_string_equal(letters_of(&target), "aef");
}

/* Joint: it has to end first. Catching up: it is waited for, unless it is somebody else's by now. */
static void what_is_under_way_is_waited_for_or_replaced(void **state) {
  (void)state;
  struct map_of_one to_d = map_with("ab", "ad"), to_e = map_with("ab", "ae"), back = map_with("ab", NULL);
  struct raft_config today = {.phase = RAFT_PREPARING}, target;
  add(&today, 'a', RAFT_VOTER, RAFT_VOTER);
  add(&today, 'b', RAFT_VOTER, RAFT_NOBODY);
  add(&today, 'd', RAFT_LEARNER, RAFT_VOTER);

  assert_int_equal(step(&to_d, &today, true, &target), MOVE_REST);
  assert_int_equal(step(&to_e, &today, true, &target), MOVE_CHANGE);
  assert_string_equal(letters_of(&target), "ae");
  assert_int_equal(step(&back, &today, true, &target), MOVE_CHANGE);
  assert_string_equal(letters_of(&target), "ab");

  today.phase = RAFT_JOINT;
  assert_int_equal(step(&to_d, &today, true, &target), MOVE_REST);
  assert_int_equal(step(&to_e, &today, true, &target), MOVE_REST);
  assert_int_equal(step(&back, &today, true, &target), MOVE_REST);
}

/* Nobody makes one; should there be one, it is to vote, or to go. */
static void a_learner_is_not_there_yet(void **state) {
  (void)state;
  struct map_of_one to_d = map_with("ab", "ad"), to_a = map_with("ab", "a");
  struct raft_config today = stable("a"), target;
  add(&today, 'd', RAFT_LEARNER, RAFT_LEARNER);

  assert_int_equal(step(&to_d, &today, true, &target), MOVE_CHANGE);
  assert_string_equal(letters_of(&target), "ad");
  assert_int_equal(step(&to_a, &today, true, &target), MOVE_CHANGE);
  assert_string_equal(letters_of(&target), "a");
}

/* ---- Walks ---- */

static uint32_t draw(uint64_t *seed, uint32_t below) {
  *seed = *seed * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(*seed >> 33) % below;
}

/* One to four of five brokers, each in one of two directories. */
static const char *draw_replicas(uint64_t *seed, char out[8]) {
  uint32_t count = draw(seed, 4) + 1, first = draw(seed, 5);
  for (uint32_t i = 0; i < count; i++) out[i] = (char)((draw(seed, 4) == 0 ? 'A' : 'a') + (first + i) % 5);
  out[count] = '\0';
  return out;
}

/* What the group makes of a target, up to where it is caught up or joint. */
static struct raft_config begin(const struct raft_config *today, const struct raft_config *target, enum raft_phase phase) {
  struct raft_config next = {.phase = (uint8_t)phase};
  for (size_t i = 0; i < today->count; i++) {
    const struct raft_member *member = &today->members[i];
    bool stays = raft_config_find(target, &member->id) != RAFT_NO_POSITION;
    if (member->now == RAFT_VOTER || stays)
      raft_config_add(&next, &member->id, (enum raft_rank)member->now, stays ? RAFT_VOTER : RAFT_NOBODY);
  }
  for (size_t i = 0; i < target->count; i++)
    if (raft_config_find(&next, &target->members[i].id) == RAFT_NO_POSITION)
      raft_config_add(&next, &target->members[i].id, RAFT_LEARNER, RAFT_VOTER);
  assert_true(raft_config_valid(&next));
  return next;
}

static struct raft_config end(const struct raft_config *today) {
  struct raft_config next = {.phase = RAFT_STABLE};
  for (size_t i = 0; i < today->count; i++)
    if (today->members[i].then != RAFT_NOBODY) raft_config_add(&next, &today->members[i].id, RAFT_VOTER, RAFT_VOTER);
  assert_true(raft_config_valid(&next));
  return next;
}

/* Targets come and are replaced while others are under way, then one of them stays: the group gets there, or there is nobody who could. */
static void walks_end_where_the_map_says(void **state) {
  (void)state;
  uint64_t seed = 7;
  unsigned over = 0;
  for (unsigned walk = 0; walk < 5000; walk++) {
    char replicas[8], letters[8];
    struct raft_config today = stable(draw_replicas(&seed, replicas)), target;
    struct map_of_one map = map_with(replicas, NULL);
    enum move_step last = MOVE_REST;
    for (unsigned at = 0; at < 12; at++) {
      if (at < 6 && draw(&seed, 2) == 0) map = map_with(replicas, draw_replicas(&seed, letters));
      last = step(&map, &today, true, &target);
      if (last == MOVE_CHANGE) today = begin(&today, &target, draw(&seed, 2) == 0 ? RAFT_PREPARING : RAFT_JOINT);
      else if (today.phase != RAFT_STABLE) today = end(&today);
      if (at < 6 && today.phase == RAFT_JOINT && draw(&seed, 2) == 0) today = end(&today);
    }
    if (last == MOVE_OVER) {
      struct raft_config wanted = stable(letters);
      assert_int_equal(today.count, wanted.count);
      for (size_t i = 0; i < wanted.count; i++)
        assert_int_not_equal(raft_config_find(&today, &wanted.members[i].id), RAFT_NO_POSITION);
      over++;
    } else if (map.moves) { /* everyone is an earlier self of whom is wanted */
      assert_int_equal(last, MOVE_REST);
      for (size_t i = 0; i < today.count; i++) {
        bool is_wanted = false;
        for (uint32_t other = 0; other < map.move.target_count; other++)
          is_wanted = is_wanted || map.move.target[other].broker == today.members[i].id.broker;
        assert_true(is_wanted);
      }
    }
  }
  assert_true(over > 3000);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(each_configuration_has_its_step),
      cmocka_unit_test(nobody_is_given_up_for_one_that_comes_back_as_another),
      cmocka_unit_test(what_is_under_way_is_waited_for_or_replaced),
      cmocka_unit_test(a_learner_is_not_there_yet),
      cmocka_unit_test(walks_end_where_the_map_says),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
