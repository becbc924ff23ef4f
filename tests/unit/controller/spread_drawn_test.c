/* Where replicas had better be: properties of many clusters that are drawn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/controller/spread_rig.h"

/* That stay in a rack whatever is planned. */
static uint32_t stay_in(const struct spread_partition *partition, uint32_t rack) {
  uint32_t count = 0;
  for (size_t b = 0; b < cluster.broker_count; b++) {
    const struct spread_broker *broker = &cluster.brokers[b];
    count += broker->rack == rack && broker->use == SPREAD_STAYS && rig_has(partition, broker->id);
  }
  return count;
}

/* The most that a rack must have of it, if one replica after the other went where the fewest are. `racks`: the greatest. */
static uint32_t share_of(const struct spread_partition *partition, uint32_t racks) {
  uint32_t room[BROKERS_MAX + 1] = {0}, given[BROKERS_MAX + 1] = {0}, most = 0, alone = 0;
  for (size_t b = 0; b < cluster.broker_count; b++) {
    const struct spread_broker *broker = &cluster.brokers[b];
    bool may = broker->use == SPREAD_TAKES || (broker->use == SPREAD_STAYS && rig_has(partition, broker->id));
    if (broker->rack == 0) alone += may; /* a rack of its own */
    else room[broker->rack] += may;
  }
  for (uint32_t left = partition->count; left > 0; left--) {
    uint32_t best = 0;
    for (uint32_t rack = 1; rack <= racks; rack++)
      if (given[rack] < room[rack] && (best == 0 || given[rack] < given[best])) best = rack;
    if (alone > 0 && (best == 0 || given[best] > 0)) {
      alone--;
      if (most == 0) most = 1;
      continue;
    }
    assert_int_not_equal(best, 0);
    if (++given[best] > most) most = given[best];
  }
  return most;
}

/* Those that have to leave a rack, and those that come to one in their place. */
static uint32_t crowded_out(uint32_t racks) {
  uint32_t count = 0;
  for (size_t i = 0; i < cluster.count; i++) {
    uint32_t share = share_of(&cluster.before[i], racks);
    for (uint32_t rack = 1; rack <= racks; rack++) {
      uint32_t here = rig_racks_of(&cluster.before[i], rack);
      count += here > share ? here - share : 0;
    }
  }
  return count;
}

static void expect_whole(void) {
  for (size_t i = 0; i < cluster.count; i++) {
    const struct spread_partition *partition = &cluster.after[i];
    assert_int_equal(partition->count, cluster.before[i].count);
    for (uint32_t k = 0; k < partition->count; k++)
      for (uint32_t other = 0; other < k; other++) assert_int_not_equal(partition->replicas[k], partition->replicas[other]);
  }
}

static void expect_within_one(bool firsts) {
  uint32_t low_all = UINT32_MAX, high_all = 0;
  for (size_t b = 0; b < cluster.broker_count; b++) {
    uint32_t all = 0;
    for (size_t i = 0; i < cluster.count; i++)
      all += firsts ? cluster.after[i].replicas[0] == cluster.brokers[b].id : rig_has(&cluster.after[i], cluster.brokers[b].id);
    if (all < low_all) low_all = all;
    if (all > high_all) high_all = all;
  }
  assert_in_range(high_all - low_all, 0, 1);
  for (size_t first = 0; first < cluster.count;) {
    size_t end = first;
    while (end < cluster.count && cluster.after[end].topic == cluster.after[first].topic) end++;
    uint32_t low = UINT32_MAX, high = 0;
    for (size_t b = 0; b < cluster.broker_count; b++) {
      uint32_t count = 0;
      for (size_t i = first; i < end; i++)
        count +=
            firsts ? cluster.after[i].replicas[0] == cluster.brokers[b].id : rig_has(&cluster.after[i], cluster.brokers[b].id);
      if (count < low) low = count;
      if (count > high) high = count;
    }
    assert_in_range(high - low, 0, 1);
    first = end;
  }
}

static uint64_t excess_over(uint64_t has, uint64_t all, uint64_t brokers) {
  uint64_t most = (all + brokers - 1) / brokers;
  return has > most ? has - most : 0;
}

/* What any even spread has to take away from some brokers, and to give to others; of all topics, or of each. */
static uint32_t least_moved(void) {
  uint64_t least[2] = {0}, brokers = cluster.broker_count;
  for (size_t first = 0; first < cluster.count;) {
    uint64_t replicas = 0, over = 0, under = 0;
    size_t end = first;
    while (end < cluster.count && cluster.before[end].topic == cluster.before[first].topic)
      replicas += cluster.before[end++].count;
    for (size_t b = 0; b < brokers; b++) {
      uint64_t count = 0;
      for (size_t i = first; i < end; i++) count += rig_has(&cluster.before[i], cluster.brokers[b].id);
      over += excess_over(count, replicas, brokers);
      under += replicas / brokers > count ? replicas / brokers - count : 0;
    }
    least[0] += over > under ? over : under;
    first = end;
  }
  uint64_t replicas = 0, over = 0, under = 0;
  for (size_t i = 0; i < cluster.count; i++) replicas += cluster.before[i].count;
  for (size_t b = 0; b < brokers; b++) {
    uint64_t count = 0;
    for (size_t i = 0; i < cluster.count; i++) count += rig_has(&cluster.before[i], cluster.brokers[b].id);
    over += excess_over(count, replicas, brokers);
    under += replicas / brokers > count ? replicas / brokers - count : 0;
  }
  least[1] = over > under ? over : under;
  return (uint32_t)(least[0] > least[1] ? least[0] : least[1]);
}

static void any_cluster_becomes_even_and_little_moves(void **state) {
  (void)state;
  uint64_t moved_in_all = 0, least_in_all = 0;
  unsigned at_bound = 0, runs = 0;
  for (uint64_t number = 1; number <= 600; number++) {
    uint64_t seed = number * 0x9e3779b97f4a7c15u;
    rig_draw(&seed, BROKERS_MAX, PARTITIONS_MAX, 0);
    assert_int_equal(rig_run(), STATUS_OK);
    expect_whole();
    expect_within_one(false);
    expect_within_one(true);
    uint32_t least = least_moved(), found = rig_moved(cluster.before, cluster.after);
    assert_true(found >= least);
    moved_in_all += found;
    least_in_all += least;
    at_bound += found == least;
    runs++;
  }
  print_message("moved %lu, at least %lu, at the bound in %u of %u\n", (unsigned long)moved_in_all, (unsigned long)least_in_all,
                at_bound, runs);
  assert_true(moved_in_all * 100 <= least_in_all * 104);
}

static void racks_of_one_size_become_even_too(void **state) {
  (void)state;
  uint64_t moved_in_all = 0, least_in_all = 0;
  unsigned at_bound = 0, runs = 0;
  for (uint64_t number = 1; number <= 600; number++) {
    uint64_t seed = number * 0x9e3779b97f4a7c15u;
    uint32_t racks = 2 + (uint32_t)(number % 3);
    rig_draw(&seed, BROKERS_MAX, PARTITIONS_MAX, racks);
    assert_int_equal(rig_run(), STATUS_OK);
    expect_whole();
    expect_within_one(false);
    expect_within_one(true);
    for (size_t i = 0; i < cluster.count; i++)
      for (uint32_t rack = 1; rack <= racks; rack++) assert_in_range(rig_racks_of(&cluster.after[i], rack), 0, 1);
    uint32_t uneven = least_moved(), crowded = crowded_out(racks), least = uneven > crowded ? uneven : crowded;
    uint32_t found = rig_moved(cluster.before, cluster.after);
    assert_true(found >= least);
    moved_in_all += found;
    least_in_all += least;
    at_bound += found == least;
    runs++;
  }
  print_message("with racks: moved %lu, at least %lu, at the bound in %u of %u\n", (unsigned long)moved_in_all,
                (unsigned long)least_in_all, at_bound, runs);
  assert_true(moved_in_all * 100 <= least_in_all * 112);
}

/* Some leave, some are down, some partitions stay, and racks are of any size. */
static void draw_mixed(uint64_t *seed) {
  rig_draw(seed, 8, 30, 0);
  uint32_t racks = rig_below(seed, 4);
  for (size_t b = 0; b < cluster.broker_count; b++) {
    uint32_t use = rig_below(seed, 6);
    cluster.brokers[b].use = use == 0 ? SPREAD_LEAVES : use == 1 ? SPREAD_STAYS : SPREAD_TAKES;
    cluster.brokers[b].rack = racks == 0 ? 0 : rig_below(seed, racks + 1);
  }
  for (size_t i = 0; i < cluster.count; i++) cluster.before[i].stays = rig_below(seed, 8) == 0;
}

static enum spread_use use_of(uint32_t id) {
  for (size_t b = 0; b < cluster.broker_count; b++)
    if (cluster.brokers[b].id == id) return cluster.brokers[b].use;
  return SPREAD_LEAVES;
}

/* The replicas that stay, but for the one that leads, in the order that they had. */
static void expect_order(const struct spread_partition *before, const struct spread_partition *after) {
  uint32_t at = 0;
  for (uint32_t k = 1; k < after->count; k++) {
    if (!rig_has(before, after->replicas[k])) continue;
    while (at < before->count && before->replicas[at] != after->replicas[k]) at++;
    assert_in_range(at, 0, before->count - 1);
  }
}

static void what_is_allowed_holds_in_any_cluster(void **state) {
  (void)state;
  unsigned planned = 0;
  for (uint64_t number = 1; number <= 2000; number++) {
    uint64_t seed = number * 0x9e3779b97f4a7c15u;
    draw_mixed(&seed);
    if (rig_run() != STATUS_OK) continue;
    planned++;
    expect_whole();
    for (size_t i = 0; i < cluster.count; i++) {
      const struct spread_partition *before = &cluster.before[i], *after = &cluster.after[i];
      if (before->stays) assert_memory_equal(before, after, sizeof *before);
      if (before->stays) continue;
      for (uint32_t k = 0; k < after->count; k++) {
        enum spread_use use = use_of(after->replicas[k]);
        assert_true(use == SPREAD_TAKES || (use == SPREAD_STAYS && rig_has(before, after->replicas[k])));
      }
      for (uint32_t k = 0; k < before->count; k++)
        if (use_of(before->replicas[k]) == SPREAD_STAYS) assert_true(rig_has(after, before->replicas[k]));
      expect_order(before, after);
      uint32_t share = share_of(before, 3);
      for (uint32_t rack = 1; rack <= 3; rack++) {
        uint32_t stay = stay_in(before, rack);
        assert_in_range(rig_racks_of(after, rack), 0, stay > share ? stay : share);
      }
    }
  }
  assert_true(planned > 1000);
}

/* In the middle of it the rest is what was left, or less. */
static void it_goes_on_where_it_stopped(void **state) {
  (void)state;
  for (uint64_t number = 1; number <= 200; number++) {
    uint64_t seed = number * 0x9e3779b97f4a7c15u;
    rig_draw(&seed, 10, 60, 0);
    assert_int_equal(rig_run(), STATUS_OK);
    uint32_t planned = rig_moved(cluster.before, cluster.after);
    struct spread_partition beginning[PARTITIONS_MAX];
    memcpy(beginning, cluster.before, sizeof beginning);
    for (size_t i = 0; i < cluster.count; i++)
      if (rig_below(&seed, 2) == 0) cluster.before[i] = cluster.after[i];
    uint32_t done = rig_moved(beginning, cluster.before);
    assert_int_equal(rig_run(), STATUS_OK);
    assert_true(done + rig_moved(cluster.before, cluster.after) <= planned);
    memcpy(cluster.before, cluster.after, sizeof cluster.before);
    assert_int_equal(rig_run(), STATUS_OK);
    assert_memory_equal(cluster.before, cluster.after, sizeof cluster.before);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(any_cluster_becomes_even_and_little_moves, rig_set_up),
      cmocka_unit_test_setup(racks_of_one_size_become_even_too, rig_set_up),
      cmocka_unit_test_setup(what_is_allowed_holds_in_any_cluster, rig_set_up),
      cmocka_unit_test_setup(it_goes_on_where_it_stopped, rig_set_up),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
