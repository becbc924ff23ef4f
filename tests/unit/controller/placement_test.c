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

static uint64_t chance(uint64_t *seed) {
  *seed ^= *seed << 13;
  *seed ^= *seed >> 7;
  *seed ^= *seed << 17;
  return *seed;
}

static void an_even_cluster_is_filled_in_turn(void **state) {
  (void)state;
  struct placement_load loads[] = {{.broker = 1}, {.broker = 2}, {.broker = 3}};
  static const uint32_t expected[][2] = {{1, 2}, {3, 1}, {2, 3}, {1, 2}, {3, 1}, {2, 3}};
  for (size_t i = 0; i < 6; i++) {
    uint32_t brokers[2];
    placement_add(loads, 3, 2, brokers);
    assert_memory_equal(brokers, expected[i], sizeof brokers);
  }
}

static void a_new_broker_is_filled_first(void **state) {
  (void)state;
  struct placement_load loads[] = {{1, 10, 4}, {2, 10, 3}, {3, 10, 3}, {9, 0, 0}};
  for (size_t i = 0; i < 10; i++) {
    uint32_t brokers[3];
    placement_add(loads, 4, 3, brokers);
    assert_int_equal(brokers[0] == 9 || brokers[1] == 9 || brokers[2] == 9, 1);
  }
  assert_int_equal(loads[3].replicas, 10);
  assert_true(loads[3].firsts >= 3);
}

static void default_is_three_or_all(void **state) {
  (void)state;
  static const uint32_t expected[] = {0, 1, 2, 3, 3, 3};
  for (size_t brokers = 0; brokers < 6; brokers++) assert_int_equal(placement_replicas_default(brokers), expected[brokers]);
}

static void spread(const struct placement_load *loads, size_t count, uint32_t *out_replicas, uint32_t *out_firsts) {
  uint32_t low[2] = {UINT32_MAX, UINT32_MAX}, high[2] = {0, 0};
  for (size_t i = 0; i < count; i++) {
    uint32_t values[2] = {loads[i].replicas, loads[i].firsts};
    for (size_t k = 0; k < 2; k++) {
      if (values[k] < low[k]) low[k] = values[k];
      if (values[k] > high[k]) high[k] = values[k];
    }
  }
  *out_replicas = high[0] - low[0];
  *out_firsts = high[1] - low[1];
}

static void any_cluster_is_filled_evenly(void **state) {
  (void)state;
  for (uint64_t seed = 1; seed <= 400; seed++) {
    uint64_t chances = seed * 0x9e3779b97f4a7c15u;
    size_t count = 1 + chance(&chances) % BROKERS_MAX;
    uint32_t replicas = 1 + (uint32_t)(chance(&chances) % (count < MAP_REPLICAS_MAX ? count : MAP_REPLICAS_MAX));
    struct placement_load loads[BROKERS_MAX] = {0}, again[BROKERS_MAX];
    uint32_t number = 0;
    for (size_t i = 0; i < count; i++) loads[i].broker = number += 1 + (uint32_t)(chance(&chances) % 5);
    memcpy(again, loads, sizeof loads);
    uint32_t total = 0;
    for (unsigned partition = 0; partition < 200; partition++) {
      uint32_t brokers[MAP_REPLICAS_MAX], same[MAP_REPLICAS_MAX];
      placement_add(loads, count, replicas, brokers);
      placement_add(again, count, replicas, same);
      assert_memory_equal(brokers, same, replicas * sizeof *brokers);
      for (uint32_t a = 0; a < replicas; a++)
        for (uint32_t b = 0; b < a; b++) assert_int_not_equal(brokers[a], brokers[b]);
      total += replicas;
      uint32_t apart = 0, firsts_apart = 0;
      spread(loads, count, &apart, &firsts_apart);
      if (apart > 1 || firsts_apart > 1)
        fail_msg("seed %lu, %zu brokers, %u replicas, partition %u: %u and %u apart", (unsigned long)seed, count, replicas,
                 partition, apart, firsts_apart);
    }
    uint32_t sum = 0, firsts = 0;
    for (size_t i = 0; i < count; i++) sum += loads[i].replicas, firsts += loads[i].firsts;
    assert_int_equal(sum, total);
    assert_int_equal(firsts, 200);
  }
}

/* What stands in the map already counts, also of brokers that are gone. */
static void loads_come_from_the_map(void **state) {
  (void)state;
  struct cluster_map *map = cluster_map_new(1);
  for (uint32_t id = 3; id >= 1; id--) {
    struct command command = {.kind = COMMAND_REGISTER_BROKER, .broker = {.id = id, .incarnation = {(uint8_t)id}}};
    command.cluster_id[0] = 1;
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

  static const struct placement_load expected[] = {{1, 1, 0}, {2, 2, 2}, {3, 1, 0}};
  assert_memory_equal(loads, expected, sizeof loads);
  cluster_map_free(map);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(an_even_cluster_is_filled_in_turn), cmocka_unit_test(a_new_broker_is_filled_first),
      cmocka_unit_test(default_is_three_or_all),           cmocka_unit_test(any_cluster_is_filled_evenly),
      cmocka_unit_test(loads_come_from_the_map),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
