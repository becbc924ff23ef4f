/* Where replicas had better be: all ways of small clusters tried, none is better. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/controller/spread_rig.h"

struct score {
  uint64_t topic, all, moved;
};

/* Sums of squares over the brokers, of each topic and in all; `firsts`: of these. */
static struct score score_of(const struct spread_partition *after, bool firsts) {
  struct score score = {0};
  for (size_t b = 0; b < cluster.broker_count; b++) {
    const struct spread_broker *broker = &cluster.brokers[b];
    uint64_t all = firsts ? broker->other_firsts : broker->others, topic = 0;
    for (size_t i = 0; i < cluster.count; i++) {
      if (i > 0 && after[i].topic != after[i - 1].topic) {
        score.topic += topic * topic;
        topic = 0;
      }
      bool here = firsts ? after[i].replicas[0] == broker->id : rig_has(&after[i], broker->id);
      topic += here;
      all += here;
    }
    score.topic += topic * topic;
    if (broker->use == SPREAD_TAKES) score.all += all * all;
  }
  if (!firsts) score.moved = rig_moved(cluster.before, after);
  else
    for (size_t i = 0; i < cluster.count; i++) score.moved += after[i].replicas[0] != cluster.before[i].replicas[0];
  return score;
}

static int compare(struct score a, struct score b) {
  if (a.topic != b.topic) return a.topic < b.topic ? -1 : 1;
  if (a.all != b.all) return a.all < b.all ? -1 : 1;
  return a.moved == b.moved ? 0 : a.moved < b.moved ? -1 : 1;
}

static struct score best;
static bool best_of_firsts;
static uint32_t in_rack_max;

static void try_all(struct spread_partition *tried, size_t from) {
  if (from == cluster.count) {
    struct score score = score_of(tried, best_of_firsts);
    if (compare(score, best) < 0) best = score;
    return;
  }
  struct spread_partition *partition = &tried[from];
  if (best_of_firsts) {
    for (uint32_t k = 0; k < partition->count; k++) {
      uint32_t first = partition->replicas[0];
      partition->replicas[0] = partition->replicas[k];
      partition->replicas[k] = first;
      try_all(tried, from + 1);
      partition->replicas[k] = partition->replicas[0];
      partition->replicas[0] = first;
    }
    return;
  }
  uint32_t count = partition->count;
  for (uint32_t set = 0; set < 1u << cluster.broker_count; set++) {
    if ((uint32_t)__builtin_popcount(set) != count) continue;
    partition->count = 0;
    for (uint32_t b = 0; b < cluster.broker_count; b++)
      if ((set >> b & 1) != 0) partition->replicas[partition->count++] = cluster.brokers[b].id;
    bool apart = true;
    for (uint32_t rack = 1; rack <= 4; rack++) apart = apart && rig_racks_of(partition, rack) <= in_rack_max;
    if (apart) try_all(tried, from + 1);
  }
  partition->count = count;
}

static void expect_best(bool firsts, const struct spread_partition *start) {
  struct spread_partition tried[PARTITIONS_MAX];
  memcpy(tried, start, sizeof tried);
  best = (struct score){UINT64_MAX, UINT64_MAX, UINT64_MAX};
  best_of_firsts = firsts;
  try_all(tried, 0);
  struct score found = score_of(cluster.after, firsts);
  assert_int_equal(found.topic, best.topic);
  assert_int_equal(found.all, best.all);
  assert_int_equal(found.moved, best.moved);
}

static void nothing_else_is_better_in_small_clusters(void **state) {
  (void)state;
  for (uint64_t number = 1; number <= 300; number++) {
    uint64_t seed = number * 0x9e3779b97f4a7c15u;
    rig_draw(&seed, 4, 5, 0);
    for (size_t b = 0; b < cluster.broker_count; b++) cluster.brokers[b].others = rig_below(&seed, 4);
    in_rack_max = MAP_REPLICAS_MAX;
    assert_int_equal(rig_run(), STATUS_OK);
    expect_best(false, cluster.before);
    if (rig_moved(cluster.before, cluster.after) == 0) expect_best(true, cluster.before);
  }
}

/* Racks of any size: even is what they allow. */
static void nothing_else_is_better_with_racks(void **state) {
  (void)state;
  for (uint64_t number = 1; number <= 300; number++) {
    uint64_t seed = number * 0x9e3779b97f4a7c15u;
    rig_draw(&seed, 4, 5, 0);
    uint32_t sizes[3] = {0}, replicas = cluster.before[0].count;
    for (size_t b = 0; b < cluster.broker_count; b++) sizes[cluster.brokers[b].rack = 1 + rig_below(&seed, 2)]++;
    in_rack_max = 1;
    while ((sizes[1] < in_rack_max ? sizes[1] : in_rack_max) + (sizes[2] < in_rack_max ? sizes[2] : in_rack_max) < replicas)
      in_rack_max++;
    assert_int_equal(rig_run(), STATUS_OK);
    expect_best(false, cluster.before);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(nothing_else_is_better_in_small_clusters, rig_set_up),
      cmocka_unit_test_setup(nothing_else_is_better_with_racks, rig_set_up),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
