#include "controller/feature_level.h"

#include <stdio.h>

#include "base/check.h"
#include "controller/cluster_map.h"

/* ---- Ranges ---- */

struct feature_range feature_range_own(uint64_t held_at) {
  struct feature_range range = {FEATURE_LEVEL_LEAST, FEATURE_LEVEL_MOST};
  if (held_at != 0 && held_at < range.most) range.most = held_at < range.least ? range.least : (uint32_t)held_at;
  return range;
}

bool feature_range_has(struct feature_range range, uint32_t level) { return range.least <= level && level <= range.most; }

static uint32_t told(uint32_t level) { return level == 0 ? FEATURE_LEVEL_FIRST : level; }

struct feature_range map_broker_features(const struct map_broker *broker) {
  return (struct feature_range){told(broker->feature_least), told(broker->feature_most)};
}

/* Level 1 alone is told by saying nothing: so it stands in the log as it stood there before. */
void map_broker_set_features(struct map_broker *broker, struct feature_range range) {
  bool first = range.least == FEATURE_LEVEL_FIRST && range.most == FEATURE_LEVEL_FIRST;
  broker->feature_least = first ? 0 : range.least;
  broker->feature_most = first ? 0 : range.most;
}

/* ---- A cluster ---- */

struct feature_reach feature_reach_of(const struct cluster_map *map) {
  struct feature_reach reach = {.level = cluster_map_feature_level(map)};
  const struct map_broker *broker = cluster_map_broker_after(map, 0);
  for (; broker != NULL; broker = cluster_map_broker_after(map, broker->id)) {
    if (broker->standing == STANDING_GONE) continue;
    uint32_t most = map_broker_features(broker).most;
    if (reach.all == 0 || most < reach.all) reach.all = most;
    if (most > reach.anyone) reach.anyone = most;
  }
  if (reach.all < reach.level) reach.all = reach.level;
  if (reach.anyone < reach.level) reach.anyone = reach.level;
  return reach;
}

const struct map_broker *feature_holder(const struct cluster_map *map, uint32_t level, uint32_t after) {
  const struct map_broker *broker = cluster_map_broker_after(map, after);
  for (; broker != NULL; broker = cluster_map_broker_after(map, broker->id))
    if (broker->standing != STANDING_GONE && !feature_range_has(map_broker_features(broker), level)) return broker;
  return NULL;
}

bool feature_is_fresh(const struct cluster_map *map) { return cluster_map_next_topic_id(map) == 1; }

/* ---- In words ---- */

void feature_problem(uint32_t broker, struct feature_range range, uint32_t level, char out_problem[FEATURE_LEVEL_PROBLEM_SIZE]) {
  PRE(!feature_range_has(range, level));
  const char *cure =
      "a level is never lowered: run a newer Cairn on it, or, where its feature-level-most holds it back, take that "
      "setting away";
  if (level < range.least) cure = "raise the cluster's level with the version before (cairn cluster upgrade), then run this one";
  snprintf(out_problem, FEATURE_LEVEL_PROBLEM_SIZE, "the cluster is at feature level %u, and broker %u can levels %u to %u; %s",
           level, broker, range.least, range.most, cure);
}
