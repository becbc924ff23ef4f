/* A broker is emptied: steps that one can read, and that from any cluster they end, with every partition as whole as it was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "controller/evacuation.h"
#include "controller/placement.h"
#include "tests/unit/controller/map_rig.h"

#define BROKERS_MAX 12u

static uint64_t chance(uint64_t *seed) {
  *seed ^= *seed << 13;
  *seed ^= *seed >> 7;
  *seed ^= *seed << 17;
  return *seed;
}

static enum status begin(const struct evacuation_step *step) {
  return rig_begin_move(step->topic->id, step->partition, step->to, step->to_count);
}

static bool full;

static enum evacuation_state next(uint32_t broker, struct evacuation_step *out_step) {
  const struct evacuation evacuation = {.map = map, .broker = broker, .full = full, .is_up = rig_is_up};
  return evacuation_next(&evacuation, out_step);
}

static int set_up(void **state) {
  full = false;
  return rig_set_up(state);
}

static void expect_step(uint32_t broker, uint32_t partition, const char *to) {
  struct evacuation_step step;
  char found[MAP_REPLICAS_MAX + 1] = {0};
  assert_int_equal(next(broker, &step), EVACUATION_STEP);
  for (uint32_t i = 0; i < step.to_count; i++) found[i] = (char)('0' + step.to[i]);
  assert_int_equal(step.partition, partition);
  assert_string_equal(found, to);
  assert_int_equal(begin(&step), STATUS_OK);
}

static void one_partition_after_the_other_goes(void **state) {
  (void)state;
  for (uint32_t id = 1; id <= 5; id++) rig_register_broker(id, "peer:1");
  rig_create_on("a", (const char *const[]){"123", "341", "512", "34"}, 4);
  assert_int_equal(evacuation_broker(map, 0), 0);
  assert_int_equal(rig_stand(1, STANDING_LEAVING), STATUS_OK);
  assert_int_equal(evacuation_broker(map, 0), 1);

  expect_step(1, 0, "235");
  expect_step(1, 1, "342");
  expect_step(1, 2, "524");
  struct evacuation_step step;
  assert_int_equal(next(1, &step), EVACUATION_WAITS);
  while (cluster_map_move_count(map) > 0) rig_end_move(cluster_map_move_after(map, 0));
  assert_int_equal(next(1, &step), EVACUATION_OVER);
}

static void nothing_goes_to_who_leaves_too(void **state) {
  (void)state;
  for (uint32_t id = 1; id <= 4; id++) rig_register_broker(id, "peer:1");
  rig_register_broker(5, ""); /* takes no peers */
  rig_create_on("a", (const char *const[]){"12"}, 1);
  assert_int_equal(rig_stand(1, STANDING_LEAVING), STATUS_OK);
  assert_int_equal(rig_stand(3, STANDING_LEAVING), STATUS_OK);
  expect_step(1, 0, "24");
}

static void a_partition_without_another_broker_is_named(void **state) {
  (void)state;
  for (uint32_t id = 1; id <= 3; id++) rig_register_broker(id, "peer:1");
  rig_create_on("a", (const char *const[]){"123", "12"}, 2);
  assert_int_equal(rig_stand(1, STANDING_LEAVING), STATUS_OK);

  expect_step(1, 1, "23");
  struct evacuation_step step;
  assert_int_equal(next(1, &step), EVACUATION_NO_ROOM);
  assert_int_equal(step.partition, 0);
  assert_int_equal(step.to_count, 0);
}

/* A broker that is dead takes nothing, and what most of its brokers are missing from cannot go; it does not keep others waiting. */
static void only_who_is_up_takes_part(void **state) {
  (void)state;
  for (uint32_t id = 1; id <= 5; id++) rig_register_broker(id, "peer:1");
  rig_create_on("a", (const char *const[]){"12", "123", "1"}, 3);
  assert_int_equal(rig_stand(1, STANDING_LEAVING), STATUS_OK);
  rig_down = 1u << 1 | 1u << 4;

  expect_step(1, 1, "235");
  rig_end_move(cluster_map_move_after(map, 0));
  struct evacuation_step step;
  assert_int_equal(next(1, &step), EVACUATION_NO_QUORUM);
  assert_int_equal(step.partition, 0);
  rig_down = 1u << 4;
  expect_step(1, 0, "23");
  expect_step(1, 2, "5");
}

static void put_directory(uint32_t id, uint8_t directory) {
  struct command command = {.kind = COMMAND_REGISTER_BROKER,
                            .broker = {.id = id, .incarnation = {directory}, .peer_address = "peer:1"},
                            .cluster_id = {1}};
  assert_int_equal(rig_apply_through_bytes(&command), STATUS_OK);
}

/* It would never arrive in a directory that is no more. */
static void what_goes_to_a_lost_directory_is_sent_to_the_present_one(void **state) {
  (void)state;
  for (uint32_t id = 1; id <= 4; id++) rig_register_broker(id, "peer:1");
  rig_create_on("a", (const char *const[]){"123"}, 1);
  assert_int_equal(rig_stand(1, STANDING_LEAVING), STATUS_OK);
  expect_step(1, 0, "234");
  struct evacuation_step step;
  assert_int_equal(next(1, &step), EVACUATION_WAITS);
  uint64_t number = cluster_map_move_after(map, 0)->number;

  put_directory(4, 44);

  assert_int_equal(next(1, &step), EVACUATION_STEP);
  assert_int_equal(step.to_count, 3);
  assert_int_equal(step.to[2], 4);
  assert_int_equal(step.replaces, number);
}

/* Nor where it is not up with the present one, or is to leave itself. */
static void what_goes_to_a_lost_directory_is_sent_to_another_broker(void **state) {
  (void)state;
  for (uint32_t id = 1; id <= 5; id++) rig_register_broker(id, "peer:1");
  rig_create_on("a", (const char *const[]){"123", "5", "5"}, 3);
  assert_int_equal(rig_stand(1, STANDING_LEAVING), STATUS_OK);
  expect_step(1, 0, "234");
  put_directory(4, 44);
  assert_int_equal(rig_stand(4, STANDING_LEAVING), STATUS_OK);
  expect_step(1, 0, "235");
  rig_down = 1u << 5;
  struct evacuation_step step;
  put_directory(5, 55);
  assert_int_equal(next(1, &step), EVACUATION_NO_ROOM);
}

/* What is on its way to the broker is sent elsewhere: it may never arrive there. */
static void what_is_on_its_way_to_it_is_sent_elsewhere(void **state) {
  (void)state;
  for (uint32_t id = 1; id <= 4; id++) rig_register_broker(id, "peer:1");
  rig_create_on("a", (const char *const[]){"23"}, 1);
  struct evacuation_step step = {.topic = rig_find("a"), .to = {1, 2}, .to_count = 2};
  assert_int_equal(begin(&step), STATUS_OK);
  assert_int_equal(rig_stand(1, STANDING_LEAVING), STATUS_OK);
  rig_down = 1u << 1;

  expect_step(1, 0, "23");
  assert_int_equal(rig_stand(1, STANDING_GONE), STATUS_BUSY); /* it may vote already */
  assert_int_equal(next(1, &step), EVACUATION_WAITS);
  rig_end_move(cluster_map_move_after(map, 0));
  assert_int_equal(next(1, &step), EVACUATION_OVER);
  assert_int_equal(rig_stand(1, STANDING_GONE), STATUS_OK);
}

static void no_more_begin_than_may(void **state) {
  (void)state;
  for (uint32_t id = 1; id <= 4; id++) rig_register_broker(id, "peer:1");
  rig_create_on("a", (const char *const[]){"12", "23"}, 2);
  assert_int_equal(rig_stand(1, STANDING_LEAVING), STATUS_OK);
  full = true;
  struct evacuation_step step;
  assert_int_equal(next(1, &step), EVACUATION_WAITS);
  assert_int_equal(rig_stand(4, STANDING_LEAVING), STATUS_OK);
  assert_int_equal(next(4, &step), EVACUATION_OVER); /* it has nothing: that is seen all the same */
}

/* It is back with another directory: what it had there is gone. */
static void a_lost_directory_is_not_up(void **state) {
  (void)state;
  for (uint32_t id = 1; id <= 4; id++) rig_register_broker(id, "peer:1");
  rig_create_on("a", (const char *const[]){"123"}, 1);
  struct command again = {.kind = COMMAND_REGISTER_BROKER, .broker = {.id = 2, .incarnation = {22}}, .cluster_id = {1}};
  snprintf(again.broker.peer_address, sizeof again.broker.peer_address, "peer:1");
  assert_int_equal(rig_apply_through_bytes(&again), STATUS_OK);
  rig_down = 1u << 1;
  struct evacuation_step step;
  assert_int_equal(next(1, &step), EVACUATION_NO_QUORUM);
}

/* ---- Racks ---- */

static void a_rack_gets_no_second_replica_where_another_has_room(void **state) {
  (void)state;
  static const char *const racks[] = {"a", "a", "b", "b", "c"};
  for (uint32_t id = 1; id <= 5; id++) rig_register_in_rack(id, racks[id - 1]);
  rig_create_on("a", (const char *const[]){"13", "15", "15"}, 3);
  rig_create_on("b", (const char *const[]){"2", "2", "2", "2", "4"}, 5); /* so 2 has the most of all but 1 */
  assert_int_equal(rig_stand(1, STANDING_LEAVING), STATUS_OK);
  expect_step(1, 1, "53"); /* 3 and 4 have one each */
  expect_step(1, 2, "54");
  expect_step(1, 0, "35"); /* and not to 4, which has fewer than 5 */
  struct evacuation_step step;
  assert_int_equal(next(1, &step), EVACUATION_WAITS);
}

/* Where there are too few racks one has two, and where one is down they are fewer. */
static void a_rack_gets_a_second_replica_where_it_must(void **state) {
  (void)state;
  static const char *const racks[] = {"a", "a", "b", "b", "c", "c"};
  for (uint32_t id = 1; id <= 6; id++) rig_register_in_rack(id, racks[id - 1]);
  rig_create_on("a", (const char *const[]){"135"}, 1);
  rig_create_on("b", (const char *const[]){"2", "2"}, 2);
  assert_int_equal(rig_stand(1, STANDING_LEAVING), STATUS_OK);
  rig_down = 1u << 5 | 1u << 6;
  expect_step(1, 0, "352"); /* c is down, and still has its own */
  rig_end_move(cluster_map_move_after(map, 0));
  assert_int_equal(rig_stand(2, STANDING_LEAVING), STATUS_OK);
  struct evacuation_step step;
  while (next(2, &step) == EVACUATION_STEP) {
    assert_int_equal(begin(&step), STATUS_OK);
    rig_end_move(cluster_map_move_after(map, 0));
  }
  const struct map_partition *partition = &rig_find("a")->partitions[0];
  assert_true(
      map_replicas_are(partition->replicas, partition->replica_count, (const uint32_t[]){3, 5, 4}, 3)); /* nobody else is left */
}

/* ---- Properties ---- */

static void make_random_cluster(uint64_t *seed, uint32_t brokers) {
  uint32_t racks = (uint32_t)(chance(seed) % 5); /* 0: none */
  for (uint32_t id = 1; id <= brokers; id++) {
    char rack[2] = {racks == 0 ? '\0' : (char)('a' + chance(seed) % racks), '\0'};
    rig_register_in_rack(id, rack);
  }
  uint32_t topics = 1 + (uint32_t)(chance(seed) % 6);
  struct placement_load loads[BROKERS_MAX];
  for (uint32_t t = 0; t < topics; t++) {
    char name[16];
    snprintf(name, sizeof name, "t%u", t);
    uint32_t most = brokers - 1 < MAP_REPLICAS_MAX ? brokers - 1 : MAP_REPLICAS_MAX;
    uint32_t partitions = 1 + (uint32_t)(chance(seed) % 20), replicas = 1 + (uint32_t)(chance(seed) % most);
    struct command command = rig_create_command(name, partitions);
    uint32_t chosen[20 * MAP_REPLICAS_MAX];
    placement_deal(loads, placement_loads(map, loads), partitions, replicas, chosen);
    for (uint32_t i = 0; i < partitions; i++) {
      command.topic.partitions[i].replica_count = replicas;
      for (uint32_t at = 0; at < replicas; at++) {
        uint32_t id = chosen[i * replicas + at];
        command.topic.partitions[i].replicas[at] = (struct map_replica){.broker = id, .incarnation = {(uint8_t)id}};
      }
    }
    assert_int_equal(cluster_map_apply(map, &command), STATUS_OK);
    command_deinit(&command);
  }
}

static bool together(uint32_t one, uint32_t other) {
  const char *rack = cluster_map_broker(map, one)->rack;
  return one == other || (rack[0] != '\0' && strcmp(rack, cluster_map_broker(map, other)->rack) == 0);
}

static uint32_t beside(const uint32_t *brokers, uint32_t count, uint32_t broker) {
  uint32_t found = 0;
  for (uint32_t i = 0; i < count; i++) found += together(brokers[i], broker);
  return found;
}

/* As many as a rack must have if one replica after the other goes to whoever has the fewest beside it. */
static uint32_t share_without(uint32_t leaves, uint32_t replicas) {
  uint32_t chosen[MAP_REPLICAS_MAX], count = 0, share = 0;
  while (count < replicas) {
    uint32_t best = 0;
    for (uint32_t id = 1; id <= cluster_map_broker_count(map); id++) {
      bool has = false;
      for (uint32_t i = 0; i < count; i++) has = has || chosen[i] == id;
      if (has || id == leaves) continue;
      if (best == 0 || beside(chosen, count, id) < beside(chosen, count, best)) best = id;
    }
    chosen[count++] = best;
    if (beside(chosen, count, best) > share) share = beside(chosen, count, best);
  }
  return share;
}

/* Its newcomer, the last, stands in no rack that has more than it must, unless every other one that could have taken it does; and of equal ones nobody
 * had two fewer than it by then. */
static void check_step(const struct evacuation_step *step, uint32_t leaves) {
  struct placement_load loads[BROKERS_MAX];
  size_t count = placement_loads(map, loads);
  placement_count_moves(map, loads, count);
  const struct map_partition *partition = &step->topic->partitions[step->partition];
  uint32_t kept = step->to_count - 1, came = step->to[kept], share = share_without(leaves, step->to_count);
  assert_int_equal(step->to_count, partition->replica_count);
  uint32_t crowd = beside(step->to, kept, came) + 1;
  for (uint32_t id = 1; id <= count; id++) {
    if (id == leaves || map_replicas_have(partition->replicas, partition->replica_count, id)) continue;
    uint32_t other = beside(step->to, kept, id) + 1;
    if (crowd > share) assert_true(other >= crowd);
    bool as_good = other <= share ? crowd <= share : other == crowd;
    if (as_good) assert_true(loads[came - 1].replicas <= loads[id - 1].replicas);
  }
}

static void check_whole(uint32_t gone) {
  const struct map_topic *topic = cluster_map_topic_after(map, bytes_of_string(""));
  for (; topic != NULL; topic = cluster_map_topic_after(map, bytes_of_string(topic->name))) {
    uint32_t wanted = topic->partitions[0].replica_count; /* all of a topic have as many */
    for (uint32_t i = 0; i < topic->partition_count; i++) {
      const struct map_partition *partition = &topic->partitions[i];
      assert_int_equal(partition->replica_count, wanted);
      for (uint32_t at = 0; at < partition->replica_count; at++) {
        assert_int_not_equal(partition->replicas[at].broker, gone);
        for (uint32_t before = 0; before < at; before++)
          assert_int_not_equal(partition->replicas[before].broker, partition->replicas[at].broker);
      }
    }
  }
}

/* Steps are taken and come to their ends in any order. Each replica of the broker is moved once and nothing else is: less cannot be. */
static void any_broker_of_any_cluster_is_emptied(void **state) {
  (void)state;
  for (uint64_t round = 1; round <= 500; round++) {
    uint64_t seed = round * UINT64_C(0x9e3779b97f4a7c15);
    cluster_map_free(map);
    map = cluster_map_new(round);
    uint32_t brokers = 2 + (uint32_t)(chance(&seed) % (BROKERS_MAX - 1));
    make_random_cluster(&seed, brokers);
    uint32_t leaves = 1 + (uint32_t)(chance(&seed) % brokers);
    size_t had = cluster_map_replicas_of(map, leaves), steps = 0;
    assert_int_equal(rig_stand(leaves, STANDING_GONE), STATUS_BUSY);
    assert_int_equal(rig_stand(leaves, STANDING_LEAVING), STATUS_OK);

    struct evacuation_step step;
    for (enum evacuation_state now; (now = next(leaves, &step)) != EVACUATION_OVER;) {
      assert_true(now == EVACUATION_STEP || now == EVACUATION_WAITS);
      bool ends = now == EVACUATION_WAITS || (cluster_map_move_count(map) > 0 && chance(&seed) % 2 == 0);
      if (ends) {
        rig_end_move(cluster_map_move_after(map, 0));
        continue;
      }
      check_step(&step, leaves);
      assert_int_equal(begin(&step), STATUS_OK);
      assert_true(++steps <= had);
    }
    assert_int_equal(steps, had);
    while (cluster_map_move_count(map) > 0) rig_end_move(cluster_map_move_after(map, 0));
    check_whole(leaves);
    assert_int_equal(rig_stand(leaves, STANDING_GONE), STATUS_OK);
  }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, rig_tear_down)
int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(one_partition_after_the_other_goes),
      TEST(nothing_goes_to_who_leaves_too),
      TEST(a_partition_without_another_broker_is_named),
      TEST(what_goes_to_a_lost_directory_is_sent_to_the_present_one),
      TEST(what_goes_to_a_lost_directory_is_sent_to_another_broker),
      TEST(what_is_on_its_way_to_it_is_sent_elsewhere),
      TEST(no_more_begin_than_may),
      TEST(a_lost_directory_is_not_up),
      TEST(only_who_is_up_takes_part),
      TEST(a_rack_gets_no_second_replica_where_another_has_room),
      TEST(a_rack_gets_a_second_replica_where_it_must),
      TEST(any_broker_of_any_cluster_is_emptied),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
