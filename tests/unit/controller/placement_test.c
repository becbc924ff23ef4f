/* Where replicas go: properties over many clusters, and a few that one can read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "controller/command.h"
#include "controller/placement.h"

#define BROKERS_MAX 40u
#define PARTITIONS_MAX 60u

static uint64_t chance(uint64_t *seed) {
  *seed ^= *seed << 13;
  *seed ^= *seed >> 7;
  *seed ^= *seed << 17;
  return *seed;
}

static uint32_t below(uint64_t *seed, uint32_t bound) { return (uint32_t)(chance(seed) % bound); }

/* ---- A few that one can read ---- */

static void an_even_cluster_is_filled_in_turn(void **state) {
  (void)state;
  struct placement_load loads[] = {{.broker = 1}, {.broker = 2, .rack = 1}, {.broker = 3, .rack = 2}};
  static const uint32_t expected[][2] = {{1, 2}, {3, 1}, {2, 3}, {1, 2}, {3, 1}, {2, 3}};
  for (size_t i = 0; i < 6; i++) {
    uint32_t brokers[2];
    placement_deal(loads, 3, 1, 2, brokers);
    assert_memory_equal(brokers, expected[i], sizeof brokers);
  }
}

static void a_new_broker_is_filled_first(void **state) {
  (void)state;
  struct placement_load loads[] = {{1, 10, 4, 0}, {2, 10, 3, 1}, {3, 10, 3, 2}, {9, 0, 0, 3}};
  uint32_t brokers[10][3];
  placement_deal(loads, 4, 10, 3, brokers[0]);
  for (size_t i = 0; i < 10; i++) assert_true(brokers[i][0] == 9 || brokers[i][1] == 9 || brokers[i][2] == 9);
  assert_int_equal(loads[3].replicas, 10);
  assert_true(loads[3].firsts >= 3);
}

/* Brokers 1 and 2 stand in one rack, 3 alone: it has every partition, and they have every other one. */
static void a_rack_of_one_has_its_share_of_each(void **state) {
  (void)state;
  struct placement_load loads[] = {{.broker = 1}, {.broker = 2}, {.broker = 3, .rack = 1}};
  uint32_t brokers[6][2];
  placement_deal(loads, 3, 6, 2, brokers[0]);
  for (size_t i = 0; i < 6; i++) assert_true(brokers[i][0] == 3 || brokers[i][1] == 3);
  static const struct placement_load expected[] = {{1, 3, 2, 0}, {2, 3, 2, 0}, {3, 6, 2, 1}};
  assert_memory_equal(loads, expected, sizeof loads);
}

/* One after the other, to whoever has the fewest, would put the first partition on 3 and 4; then 1 and 2, of one rack, could not catch up. */
static void what_is_still_to_come_is_seen(void **state) {
  (void)state;
  struct placement_load loads[] = {{.broker = 1, .rack = 1}, {.broker = 2, .rack = 2}, {.broker = 3}, {.broker = 4}};
  uint32_t brokers[2][2];
  placement_deal(loads, 4, 2, 2, brokers[0]);
  for (size_t i = 0; i < 4; i++) assert_int_equal(loads[i].replicas, 1);
}

static void default_is_three_or_all(void **state) {
  (void)state;
  static const uint32_t expected[] = {0, 1, 2, 3, 3, 3};
  for (size_t brokers = 0; brokers < 6; brokers++) assert_int_equal(placement_replicas_default(brokers), expected[brokers]);
}

/* ---- Drawn ---- */

enum layout { NO_RACKS, RACKS_OF_ONE_SIZE, RACKS_OF_ANY_SIZE, LAYOUTS };

/* A cluster, and a topic on it. */
static struct {
  struct placement_load loads[BROKERS_MAX];
  size_t count;
  struct placement_load before[BROKERS_MAX];
  uint32_t partitions;
  uint32_t replicas;
  uint32_t brokers[PARTITIONS_MAX * MAP_REPLICAS_MAX];
} drawn;

static void draw_cluster(uint64_t *seed, enum layout layout, uint32_t brokers_max) {
  memset(&drawn, 0, sizeof drawn);
  uint32_t racks = 1 + below(seed, 6), number = 0;
  if (racks > brokers_max) racks = brokers_max;
  drawn.count = layout == RACKS_OF_ONE_SIZE ? racks * (1 + below(seed, brokers_max / racks)) : 1 + below(seed, brokers_max);
  for (uint32_t i = 0; i < drawn.count; i++) {
    drawn.loads[i].broker = number += 1 + below(seed, 5);
    drawn.loads[i].rack = layout == NO_RACKS ? i : layout == RACKS_OF_ONE_SIZE ? i % racks : below(seed, racks);
  }
}

static void draw_topic(uint64_t *seed, uint32_t replicas) {
  drawn.partitions = 1 + below(seed, below(seed, 2) == 0 ? 4 : PARTITIONS_MAX);
  drawn.replicas = replicas;
}

static uint32_t draw_replicas(uint64_t *seed) {
  return 1 + below(seed, drawn.count < MAP_REPLICAS_MAX ? (uint32_t)drawn.count : MAP_REPLICAS_MAX);
}

static void deal(void) {
  memcpy(drawn.before, drawn.loads, sizeof drawn.before);
  placement_deal(drawn.loads, drawn.count, drawn.partitions, drawn.replicas, drawn.brokers);
  struct placement_load again[BROKERS_MAX];
  uint32_t same[PARTITIONS_MAX * MAP_REPLICAS_MAX];
  memcpy(again, drawn.before, sizeof again);
  placement_deal(again, drawn.count, drawn.partitions, drawn.replicas, same);
  assert_memory_equal(same, drawn.brokers, (size_t)drawn.partitions * drawn.replicas * sizeof *same);
}

static size_t place_of(uint32_t broker) {
  for (size_t i = 0; i < drawn.count; i++)
    if (drawn.loads[i].broker == broker) return i;
  fail_msg("broker %u is none of them", broker);
  return 0;
}

/* By giving one replica after the other to the rack that has the fewest. */
static uint32_t share_of(uint32_t replicas) {
  uint32_t has[BROKERS_MAX] = {0}, room[BROKERS_MAX] = {0}, most = 0;
  for (size_t i = 0; i < drawn.count; i++) room[drawn.loads[i].rack]++;
  for (uint32_t given = 0; given < replicas; given++) {
    uint32_t best = BROKERS_MAX;
    for (uint32_t rack = 0; rack < BROKERS_MAX; rack++)
      if (has[rack] < room[rack] && (best == BROKERS_MAX || has[rack] < has[best])) best = rack;
    has[best]++;
    if (has[best] > most) most = has[best];
  }
  return most;
}

/* What holds of each partition; and the loads have become what was dealt out. */
static void expect_sound(void) {
  struct placement_load expected[BROKERS_MAX];
  uint32_t share = share_of(drawn.replicas);
  memcpy(expected, drawn.before, sizeof expected);
  for (uint32_t i = 0; i < drawn.partitions; i++) {
    const uint32_t *brokers = &drawn.brokers[i * drawn.replicas];
    uint32_t in_rack[BROKERS_MAX] = {0};
    for (uint32_t at = 0; at < drawn.replicas; at++) {
      for (uint32_t other = 0; other < at; other++) assert_int_not_equal(brokers[at], brokers[other]);
      size_t place = place_of(brokers[at]);
      assert_in_range(++in_rack[drawn.loads[place].rack], 1, share);
      expected[place].replicas++;
      expected[place].firsts += at == 0;
    }
  }
  assert_memory_equal(expected, drawn.loads, sizeof expected);
}

static uint32_t given(size_t i) { return drawn.loads[i].replicas - drawn.before[i].replicas; }

/* No broker could have given a replica to one that has two fewer and has room. Where all bounds lie within one another, as those of brokers and racks,
 * there is nothing more even then. */
static void expect_none_could_be_elsewhere(void) {
  uint32_t in_rack[BROKERS_MAX] = {0}, bound = share_of(drawn.replicas) * drawn.partitions;
  for (size_t i = 0; i < drawn.count; i++) in_rack[drawn.loads[i].rack] += given(i);
  for (size_t from = 0; from < drawn.count; from++) {
    for (size_t to = 0; to < drawn.count; to++) {
      uint32_t rack = drawn.loads[to].rack;
      bool room = given(to) < drawn.partitions && (rack == drawn.loads[from].rack || in_rack[rack] < bound);
      if (given(from) > 0 && room) assert_true(drawn.loads[from].replicas <= drawn.loads[to].replicas + 1);
    }
  }
}

/* Nor could a lead, from one replica of a partition to another and so on. */
static void expect_no_lead_could_be_elsewhere(void) {
  bool reaches[BROKERS_MAX][BROKERS_MAX] = {{false}};
  for (uint32_t i = 0; i < drawn.partitions; i++) {
    const uint32_t *brokers = &drawn.brokers[i * drawn.replicas];
    for (uint32_t at = 1; at < drawn.replicas; at++) reaches[place_of(brokers[0])][place_of(brokers[at])] = true;
  }
  for (size_t by = 0; by < drawn.count; by++)
    for (size_t from = 0; from < drawn.count; from++)
      for (size_t to = 0; to < drawn.count; to++)
        if (reaches[from][by] && reaches[by][to]) reaches[from][to] = true;
  for (size_t from = 0; from < drawn.count; from++)
    for (size_t to = 0; to < drawn.count; to++)
      if (reaches[from][to]) assert_true(drawn.loads[from].firsts <= drawn.loads[to].firsts + 1);
}

static void measure(uint32_t *out_replicas, uint32_t *out_firsts) {
  uint32_t low[2] = {UINT32_MAX, UINT32_MAX}, high[2] = {0, 0};
  for (size_t i = 0; i < drawn.count; i++) {
    uint32_t values[2] = {drawn.loads[i].replicas, drawn.loads[i].firsts};
    for (size_t k = 0; k < 2; k++) {
      if (values[k] < low[k]) low[k] = values[k];
      if (values[k] > high[k]) high[k] = values[k];
    }
  }
  *out_replicas = high[0] - low[0];
  *out_firsts = high[1] - low[1];
}

static void expect_within(uint64_t number, uint32_t replicas_bound, uint32_t firsts_bound) {
  uint32_t apart = 0, firsts_apart = 0;
  measure(&apart, &firsts_apart);
  if (apart > replicas_bound || firsts_apart > firsts_bound)
    fail_msg("number %lu, %zu brokers, %u partitions of %u replicas: %u and %u apart", (unsigned long)number, drawn.count,
             drawn.partitions, drawn.replicas, apart, firsts_apart);
}

/* Topics of as many replicas come one after the other: at first nobody leads two more than another, and later nobody three more, as what led before
 * stays where it is. */
static void a_cluster_of_even_racks_is_filled_evenly(void **state) {
  (void)state;
  for (uint64_t number = 1; number <= 1000; number++) {
    uint64_t seed = number * 0x9e3779b97f4a7c15u;
    draw_cluster(&seed, number % 2 == 0 ? NO_RACKS : RACKS_OF_ONE_SIZE, number % 8 == 0 ? BROKERS_MAX : 12);
    uint32_t replicas = draw_replicas(&seed);
    for (unsigned topic = 0; topic < 10; topic++) {
      draw_topic(&seed, replicas);
      deal();
      expect_sound();
      expect_within(number, 1, topic == 0 ? 1 : 2);
    }
  }
}

/* Replicas of topics that have different numbers of them too. */
static void topics_of_any_kind_fill_it_evenly(void **state) {
  (void)state;
  for (uint64_t number = 1; number <= 1000; number++) {
    uint64_t seed = number * 0x9e3779b97f4a7c15u;
    draw_cluster(&seed, number % 2 == 0 ? NO_RACKS : RACKS_OF_ONE_SIZE, 16);
    for (unsigned topic = 0; topic < 10; topic++) {
      draw_topic(&seed, draw_replicas(&seed));
      deal();
      expect_within(number, 1, UINT32_MAX);
    }
  }
}

/* Racks of any size, and brokers that carry anything before. */
static void nothing_is_more_even_in_any_cluster(void **state) {
  (void)state;
  for (uint64_t number = 1; number <= 2000; number++) {
    uint64_t seed = number * 0x9e3779b97f4a7c15u;
    draw_cluster(&seed, (enum layout)(number % LAYOUTS), 16);
    uint32_t carried = 1 + below(&seed, 80);
    for (size_t i = 0; i < drawn.count; i++) {
      drawn.loads[i].replicas = below(&seed, carried);
      drawn.loads[i].firsts = below(&seed, drawn.loads[i].replicas + 1);
    }
    for (unsigned topic = 0; topic < 3; topic++) {
      draw_topic(&seed, draw_replicas(&seed));
      deal();
      expect_sound();
      expect_none_could_be_elsewhere();
      expect_no_lead_could_be_elsewhere();
    }
  }
}

/* ---- All ways tried ---- */

static uint64_t squares(const uint32_t *carried) {
  uint64_t sum = 0;
  for (size_t i = 0; i < drawn.count; i++) sum += (uint64_t)carried[i] * carried[i];
  return sum;
}

static bool is_allowed(uint32_t set, uint32_t share) {
  uint32_t in_rack[BROKERS_MAX] = {0};
  for (uint32_t i = 0; i < drawn.count; i++)
    if ((set >> i & 1) != 0 && ++in_rack[drawn.loads[i].rack] > share) return false;
  return (uint32_t)__builtin_popcount(set) == drawn.replicas;
}

static uint64_t least_squares(uint32_t *carried, uint32_t partitions, uint32_t share) {
  if (partitions == 0) return squares(carried);
  uint64_t least = UINT64_MAX;
  for (uint32_t set = 0; set < 1u << drawn.count; set++) {
    if (!is_allowed(set, share)) continue;
    for (uint32_t i = 0; i < drawn.count; i++) carried[i] += set >> i & 1;
    uint64_t found = least_squares(carried, partitions - 1, share);
    if (found < least) least = found;
    for (uint32_t i = 0; i < drawn.count; i++) carried[i] -= set >> i & 1;
  }
  return least;
}

static void no_other_way_is_more_even(void **state) {
  (void)state;
  for (uint64_t number = 1; number <= 600; number++) {
    uint64_t seed = number * 0x9e3779b97f4a7c15u;
    draw_cluster(&seed, (enum layout)(number % LAYOUTS), 5);
    for (size_t i = 0; i < drawn.count; i++) drawn.loads[i].replicas = below(&seed, 4);
    drawn.partitions = 1 + below(&seed, 3);
    drawn.replicas = draw_replicas(&seed);
    deal();
    uint32_t carried[BROKERS_MAX], found[BROKERS_MAX];
    for (size_t i = 0; i < drawn.count; i++) carried[i] = drawn.before[i].replicas, found[i] = drawn.loads[i].replicas;
    assert_int_equal(squares(found), least_squares(carried, drawn.partitions, share_of(drawn.replicas)));
  }
}

/* ---- From the map ---- */

/* What stands in the map already counts, also of brokers that are gone. */
static void loads_come_from_the_map(void **state) {
  (void)state;
  struct cluster_map *map = cluster_map_new(1);
  for (uint32_t id = 3; id >= 1; id--) {
    struct command command = {.kind = COMMAND_REGISTER_BROKER, .broker = {.id = id, .incarnation = {(uint8_t)id}}};
    command.cluster_id[0] = 1;
    command.broker.rack[0] = id == 2 ? 'b' : 'a';
    assert_int_equal(cluster_map_apply(map, &command), STATUS_OK);
  }
  struct command command = {.kind = COMMAND_CREATE_TOPIC};
  struct map_partition partitions[2] = {
      {.number = 0, .group = 1, .instance = 1, .replica_count = 2, .replicas = {{.broker = 2}, {.broker = 3}}},
      {.number = 1, .group = 2, .instance = 1, .replica_count = 3, .replicas = {{.broker = 2}, {.broker = 1}, {.broker = 77}}},
  };
  command.topic = (struct map_topic){.name = memory_copy_string("t"), .id = 1, .partition_count = 2};
  command.topic.partitions = memory_new_array(2, sizeof *partitions);
  memcpy(command.topic.partitions, partitions, sizeof partitions);
  assert_int_equal(cluster_map_apply(map, &command), STATUS_OK);
  command_deinit(&command);

  struct placement_load loads[3];
  assert_int_equal(placement_loads(map, loads), 3);

  static const struct placement_load expected[] = {{1, 1, 0, 0}, {2, 2, 2, 1}, {3, 1, 0, 0}};
  assert_memory_equal(loads, expected, sizeof loads);
  cluster_map_free(map);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(an_even_cluster_is_filled_in_turn),
      cmocka_unit_test(a_new_broker_is_filled_first),
      cmocka_unit_test(a_rack_of_one_has_its_share_of_each),
      cmocka_unit_test(what_is_still_to_come_is_seen),
      cmocka_unit_test(default_is_three_or_all),
      cmocka_unit_test(a_cluster_of_even_racks_is_filled_evenly),
      cmocka_unit_test(topics_of_any_kind_fill_it_evenly),
      cmocka_unit_test(nothing_is_more_even_in_any_cluster),
      cmocka_unit_test(no_other_way_is_more_even),
      cmocka_unit_test(loads_come_from_the_map),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
