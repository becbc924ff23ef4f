/* Where replicas had better be: cases that one can read, all ways of small clusters tried, and properties of many that are drawn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "controller/spread.h"

#define BROKERS_MAX 16u
#define PARTITIONS_MAX 120u

static uint64_t chance(uint64_t *seed) {
  *seed ^= *seed << 13;
  *seed ^= *seed >> 7;
  *seed ^= *seed << 17;
  return *seed;
}

static uint32_t below(uint64_t *seed, uint32_t bound) { return (uint32_t)(chance(seed) % bound); }

/* A cluster before, and what becomes of it. */
static struct {
  struct spread_broker brokers[BROKERS_MAX];
  size_t broker_count;
  struct spread_partition before[PARTITIONS_MAX];
  struct spread_partition after[PARTITIONS_MAX];
  size_t count;
} cluster;

static int set_up(void **state) {
  (void)state;
  memset(&cluster, 0, sizeof cluster);
  return 0;
}

static enum status run(void) {
  memcpy(cluster.after, cluster.before, sizeof cluster.after);
  return spread(cluster.brokers, cluster.broker_count, cluster.after, cluster.count);
}

/* ---- Cases ---- */

static void put_brokers(const char *uses) {
  for (const char *use = uses; *use != '\0'; use++)
    cluster.brokers[cluster.broker_count++] = (struct spread_broker){.id = (uint32_t)(use - uses) + 1,
                                                                     .use = *use == 't'   ? SPREAD_TAKES
                                                                            : *use == 's' ? SPREAD_STAYS
                                                                                          : SPREAD_LEAVES};
}

/* Replicas by their digits. */
static void put_partition(uint64_t topic, const char *replicas) {
  struct spread_partition *partition = &cluster.before[cluster.count++];
  partition->topic = topic;
  for (; *replicas != '\0'; replicas++) partition->replicas[partition->count++] = (uint32_t)(*replicas - '0');
}

static void expect(const char *expected) {
  char found[PARTITIONS_MAX * (MAP_REPLICAS_MAX + 1)] = {0};
  size_t at = 0;
  assert_int_equal(run(), STATUS_OK);
  for (size_t i = 0; i < cluster.count; i++) {
    if (i > 0) found[at++] = ' ';
    for (uint32_t k = 0; k < cluster.after[i].count; k++) found[at++] = (char)('0' + cluster.after[i].replicas[k]);
  }
  assert_string_equal(found, expected);
}

static void what_is_even_stays(void **state) {
  (void)state;
  put_brokers("ttt");
  put_partition(1, "123");
  put_partition(1, "231");
  put_partition(1, "312");
  put_partition(2, "2");
  expect("123 231 312 2");
}

static void a_new_broker_gets_its_share(void **state) {
  (void)state;
  put_brokers("tttt");
  for (int i = 0; i < 4; i++) put_partition(1, (const char *const[]){"123", "231", "312", "123"}[i]);
  expect("234 314 412 123");
}

static void who_leaves_gives_all_to_others(void **state) {
  (void)state;
  put_brokers("lttt");
  put_partition(1, "123");
  put_partition(1, "231");
  put_partition(1, "312");
  expect("423 234 324");
}

static void who_is_down_keeps_what_it_has(void **state) {
  (void)state;
  put_brokers("sttt");
  put_partition(1, "12");
  put_partition(1, "12");
  put_partition(1, "12");
  expect("13 14 12");
}

static void who_is_down_does_not_come_first(void **state) {
  (void)state;
  put_brokers("lstt");
  put_partition(1, "12");
  expect("32");
}

static void too_few_brokers_change_nothing(void **state) {
  (void)state;
  put_brokers("ltt");
  put_partition(1, "12");
  put_partition(1, "123");
  assert_int_equal(run(), STATUS_TOO_FEW_BROKERS);
  assert_memory_equal(cluster.after, cluster.before, sizeof cluster.before);
}

static void racks_are_kept_apart(void **state) {
  (void)state;
  put_brokers("tttt");
  for (uint32_t i = 0; i < 4; i++) cluster.brokers[i].rack = 1 + i / 2;
  put_partition(1, "12");
  put_partition(1, "34");
  expect("14 32");
}

/* What a broker that is down has in a rack counts there: whoever stands beside it gives up its own. */
static void who_is_down_keeps_its_place_in_its_rack(void **state) {
  (void)state;
  put_brokers("tstt");
  cluster.brokers[0].rack = cluster.brokers[1].rack = 1;
  put_partition(1, "12");
  expect("32");
}

/* With one of three racks down two are enough for new partitions of three, and yet none that has a replica in each is crowded into them. */
static void a_rack_that_is_down_is_no_reason_to_crowd_others(void **state) {
  (void)state;
  put_brokers("ttttss");
  for (uint32_t i = 0; i < 6; i++) cluster.brokers[i].rack = 1 + i / 2;
  for (int i = 0; i < 4; i++) put_partition(1, "135");
  expect("452 254 315 135");
}

/* ---- Measures ---- */

static bool has(const struct spread_partition *partition, uint32_t id) {
  for (uint32_t i = 0; i < partition->count; i++)
    if (partition->replicas[i] == id) return true;
  return false;
}

static uint32_t moved(const struct spread_partition *before, const struct spread_partition *after) {
  uint32_t count = 0;
  for (size_t i = 0; i < cluster.count; i++)
    for (uint32_t k = 0; k < after[i].count; k++) count += !has(&before[i], after[i].replicas[k]);
  return count;
}

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
      bool here = firsts ? after[i].replicas[0] == broker->id : has(&after[i], broker->id);
      topic += here;
      all += here;
    }
    score.topic += topic * topic;
    if (broker->use == SPREAD_TAKES) score.all += all * all;
  }
  if (!firsts) score.moved = moved(cluster.before, after);
  else
    for (size_t i = 0; i < cluster.count; i++) score.moved += after[i].replicas[0] != cluster.before[i].replicas[0];
  return score;
}

static int compare(struct score a, struct score b) {
  if (a.topic != b.topic) return a.topic < b.topic ? -1 : 1;
  if (a.all != b.all) return a.all < b.all ? -1 : 1;
  return a.moved == b.moved ? 0 : a.moved < b.moved ? -1 : 1;
}

static uint32_t racks_of(const struct spread_partition *partition, uint32_t rack) {
  uint32_t count = 0;
  for (size_t b = 0; b < cluster.broker_count; b++)
    count += cluster.brokers[b].rack == rack && has(partition, cluster.brokers[b].id);
  return count;
}

/* That stay in a rack whatever is planned. */
static uint32_t stay_in(const struct spread_partition *partition, uint32_t rack) {
  uint32_t count = 0;
  for (size_t b = 0; b < cluster.broker_count; b++) {
    const struct spread_broker *broker = &cluster.brokers[b];
    count += broker->rack == rack && broker->use == SPREAD_STAYS && has(partition, broker->id);
  }
  return count;
}

/* The most that a rack must have of it, if one replica after the other went where the fewest are. `racks`: the greatest. */
static uint32_t share_of(const struct spread_partition *partition, uint32_t racks) {
  uint32_t room[BROKERS_MAX + 1] = {0}, given[BROKERS_MAX + 1] = {0}, most = 0, alone = 0;
  for (size_t b = 0; b < cluster.broker_count; b++) {
    const struct spread_broker *broker = &cluster.brokers[b];
    bool may = broker->use == SPREAD_TAKES || (broker->use == SPREAD_STAYS && has(partition, broker->id));
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
      uint32_t here = racks_of(&cluster.before[i], rack);
      count += here > share ? here - share : 0;
    }
  }
  return count;
}

/* ---- Drawn ---- */

static void draw(uint64_t *seed, uint32_t brokers_max, uint32_t partitions_max, uint32_t racks) {
  memset(&cluster, 0, sizeof cluster);
  cluster.broker_count = 2 + below(seed, brokers_max - 1);
  if (racks > 0) cluster.broker_count = racks * (1 + below(seed, brokers_max / racks));
  uint32_t id = 0;
  for (size_t b = 0; b < cluster.broker_count; b++) {
    cluster.brokers[b].id = id += 1 + below(seed, 3);
    if (racks > 0) cluster.brokers[b].rack = 1 + (uint32_t)b % racks;
  }
  uint32_t replicas = 1 + below(seed, cluster.broker_count < 4 ? (uint32_t)cluster.broker_count : 4);
  if (racks > 0 && replicas > racks) replicas = racks;
  size_t wanted = 1 + below(seed, partitions_max);
  uint64_t topic = 1;
  uint32_t crowded = 1 + below(seed, (uint32_t)cluster.broker_count); /* most are on these */
  if (crowded < replicas) crowded = replicas;
  while (cluster.count < wanted) {
    struct spread_partition *partition = &cluster.before[cluster.count++];
    if (below(seed, 6) == 0) topic++;
    partition->topic = topic;
    while (partition->count < replicas) {
      uint32_t within = below(seed, 4) == 0 ? (uint32_t)cluster.broker_count : crowded;
      uint32_t broker = cluster.brokers[below(seed, within)].id;
      if (!has(partition, broker)) partition->replicas[partition->count++] = broker;
    }
  }
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
      all += firsts ? cluster.after[i].replicas[0] == cluster.brokers[b].id : has(&cluster.after[i], cluster.brokers[b].id);
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
        count += firsts ? cluster.after[i].replicas[0] == cluster.brokers[b].id : has(&cluster.after[i], cluster.brokers[b].id);
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
      for (size_t i = first; i < end; i++) count += has(&cluster.before[i], cluster.brokers[b].id);
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
    for (size_t i = 0; i < cluster.count; i++) count += has(&cluster.before[i], cluster.brokers[b].id);
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
    draw(&seed, BROKERS_MAX, PARTITIONS_MAX, 0);
    assert_int_equal(run(), STATUS_OK);
    expect_whole();
    expect_within_one(false);
    expect_within_one(true);
    uint32_t least = least_moved(), found = moved(cluster.before, cluster.after);
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
    draw(&seed, BROKERS_MAX, PARTITIONS_MAX, racks);
    assert_int_equal(run(), STATUS_OK);
    expect_whole();
    expect_within_one(false);
    expect_within_one(true);
    for (size_t i = 0; i < cluster.count; i++)
      for (uint32_t rack = 1; rack <= racks; rack++) assert_in_range(racks_of(&cluster.after[i], rack), 0, 1);
    uint32_t uneven = least_moved(), crowded = crowded_out(racks), least = uneven > crowded ? uneven : crowded;
    uint32_t found = moved(cluster.before, cluster.after);
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
  draw(seed, 8, 30, 0);
  uint32_t racks = below(seed, 4);
  for (size_t b = 0; b < cluster.broker_count; b++) {
    uint32_t use = below(seed, 6);
    cluster.brokers[b].use = use == 0 ? SPREAD_LEAVES : use == 1 ? SPREAD_STAYS : SPREAD_TAKES;
    cluster.brokers[b].rack = racks == 0 ? 0 : below(seed, racks + 1);
  }
  for (size_t i = 0; i < cluster.count; i++) cluster.before[i].stays = below(seed, 8) == 0;
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
    if (!has(before, after->replicas[k])) continue;
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
    if (run() != STATUS_OK) continue;
    planned++;
    expect_whole();
    for (size_t i = 0; i < cluster.count; i++) {
      const struct spread_partition *before = &cluster.before[i], *after = &cluster.after[i];
      if (before->stays) assert_memory_equal(before, after, sizeof *before);
      if (before->stays) continue;
      for (uint32_t k = 0; k < after->count; k++) {
        enum spread_use use = use_of(after->replicas[k]);
        assert_true(use == SPREAD_TAKES || (use == SPREAD_STAYS && has(before, after->replicas[k])));
      }
      for (uint32_t k = 0; k < before->count; k++)
        if (use_of(before->replicas[k]) == SPREAD_STAYS) assert_true(has(after, before->replicas[k]));
      expect_order(before, after);
      uint32_t share = share_of(before, 3);
      for (uint32_t rack = 1; rack <= 3; rack++) {
        uint32_t stay = stay_in(before, rack);
        assert_in_range(racks_of(after, rack), 0, stay > share ? stay : share);
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
    draw(&seed, 10, 60, 0);
    assert_int_equal(run(), STATUS_OK);
    uint32_t planned = moved(cluster.before, cluster.after);
    struct spread_partition beginning[PARTITIONS_MAX];
    memcpy(beginning, cluster.before, sizeof beginning);
    for (size_t i = 0; i < cluster.count; i++)
      if (below(&seed, 2) == 0) cluster.before[i] = cluster.after[i];
    uint32_t done = moved(beginning, cluster.before);
    assert_int_equal(run(), STATUS_OK);
    assert_true(done + moved(cluster.before, cluster.after) <= planned);
    memcpy(cluster.before, cluster.after, sizeof cluster.before);
    assert_int_equal(run(), STATUS_OK);
    assert_memory_equal(cluster.before, cluster.after, sizeof cluster.before);
  }
}

/* ---- All ways tried ---- */

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
    for (uint32_t rack = 1; rack <= 4; rack++) apart = apart && racks_of(partition, rack) <= in_rack_max;
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
    draw(&seed, 4, 5, 0);
    for (size_t b = 0; b < cluster.broker_count; b++) cluster.brokers[b].others = below(&seed, 4);
    in_rack_max = MAP_REPLICAS_MAX;
    assert_int_equal(run(), STATUS_OK);
    expect_best(false, cluster.before);
    if (moved(cluster.before, cluster.after) == 0) expect_best(true, cluster.before);
  }
}

/* Racks of any size: even is what they allow. */
static void nothing_else_is_better_with_racks(void **state) {
  (void)state;
  for (uint64_t number = 1; number <= 300; number++) {
    uint64_t seed = number * 0x9e3779b97f4a7c15u;
    draw(&seed, 4, 5, 0);
    uint32_t sizes[3] = {0}, replicas = cluster.before[0].count;
    for (size_t b = 0; b < cluster.broker_count; b++) sizes[cluster.brokers[b].rack = 1 + below(&seed, 2)]++;
    in_rack_max = 1;
    while ((sizes[1] < in_rack_max ? sizes[1] : in_rack_max) + (sizes[2] < in_rack_max ? sizes[2] : in_rack_max) < replicas)
      in_rack_max++;
    assert_int_equal(run(), STATUS_OK);
    expect_best(false, cluster.before);
  }
}

/* ---- Large ones ---- */

static void many_partitions_do_not_take_long(void **state) {
  (void)state;
  enum { PARTITIONS = 6000, BROKERS = 12 };
  static struct spread_partition partitions[PARTITIONS];
  struct spread_broker brokers[BROKERS] = {0};
  uint32_t all[BROKERS] = {0}, low = UINT32_MAX, high = 0, moves = 0;
  for (uint32_t b = 0; b < BROKERS; b++) brokers[b].id = b + 1;
  for (uint32_t i = 0; i < PARTITIONS; i++)
    partitions[i] =
        (struct spread_partition){.topic = 1 + i / 60, .count = 3, .replicas = {1 + i % 9, 1 + (i + 1) % 9, 1 + (i + 4) % 9}};
  assert_int_equal(spread(brokers, BROKERS, partitions, PARTITIONS), STATUS_OK);
  for (uint32_t i = 0; i < PARTITIONS; i++) {
    for (uint32_t k = 0; k < 3; k++) {
      all[partitions[i].replicas[k] - 1]++;
      moves += partitions[i].replicas[k] > 9;
    }
  }
  for (uint32_t b = 0; b < BROKERS; b++) {
    if (all[b] < low) low = all[b];
    if (all[b] > high) high = all[b];
  }
  assert_int_equal(low, 1500);
  assert_int_equal(high, 1500);
  assert_int_equal(moves, 4500);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(what_is_even_stays, set_up),
      cmocka_unit_test_setup(a_new_broker_gets_its_share, set_up),
      cmocka_unit_test_setup(who_leaves_gives_all_to_others, set_up),
      cmocka_unit_test_setup(who_is_down_keeps_what_it_has, set_up),
      cmocka_unit_test_setup(who_is_down_does_not_come_first, set_up),
      cmocka_unit_test_setup(too_few_brokers_change_nothing, set_up),
      cmocka_unit_test_setup(racks_are_kept_apart, set_up),
      cmocka_unit_test_setup(who_is_down_keeps_its_place_in_its_rack, set_up),
      cmocka_unit_test_setup(a_rack_that_is_down_is_no_reason_to_crowd_others, set_up),
      cmocka_unit_test_setup(any_cluster_becomes_even_and_little_moves, set_up),
      cmocka_unit_test_setup(racks_of_one_size_become_even_too, set_up),
      cmocka_unit_test_setup(what_is_allowed_holds_in_any_cluster, set_up),
      cmocka_unit_test_setup(it_goes_on_where_it_stopped, set_up),
      cmocka_unit_test_setup(nothing_else_is_better_in_small_clusters, set_up),
      cmocka_unit_test_setup(nothing_else_is_better_with_racks, set_up),
      cmocka_unit_test(many_partitions_do_not_take_long),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
