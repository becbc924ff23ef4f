/* Feature levels: when the cluster's is raised, and who may be part of it. */
#include <stdio.h>

#include "base/mutant.h"
#include "controller/decide_internal.h"
#include "controller/feature_level.h"

#define HOLDERS_NAMED 3u

_Static_assert(sizeof((struct change *)0)->problem >= FEATURE_LEVEL_PROBLEM_SIZE, "a problem fits");

enum status decide_features(const struct cluster_map *map, struct change *change) {
  struct feature_range range = map_broker_features(&change->broker);
  uint32_t level = cluster_map_feature_level(map);
  if (feature_range_has(range, level)) return STATUS_OK;
  feature_problem(change->broker.id, range, level, change->problem);
  return STATUS_FEATURE_LEVEL;
}

/* "broker 2 can levels 1 to 1, broker 3 can levels 1 to 1: ..." False: nobody does. */
static bool tell_holders(const struct cluster_map *map, struct change *change) {
  const struct map_broker *broker = feature_holder(map, change->feature_level, 0);
  unsigned named = 0;
  size_t at = 0;
  for (; broker != NULL; broker = feature_holder(map, change->feature_level, broker->id)) {
    if (named++ >= HOLDERS_NAMED) continue;
    struct feature_range range = map_broker_features(broker);
    int size = snprintf(change->problem + at, sizeof change->problem - at, "%sbroker %u can levels %u to %u", at == 0 ? "" : ", ",
                        broker->id, range.least, range.most);
    at += size > 0 ? (size_t)size : 0;
  }
  if (named == 0) return false;
  snprintf(change->problem + at, sizeof change->problem - at,
           "%s: run a newer Cairn on %s, or let %s leave (cairn broker decommission)", named > HOLDERS_NAMED ? ", ..." : "",
           named == 1 ? "it" : "them", named == 1 ? "it" : "them");
  return true;
}

enum status decide_feature_level(const struct decision_facts *facts, struct change *change, struct command *command) {
  const struct cluster_map *map = facts->map;
  struct feature_reach reach = feature_reach_of(map);
  change->feature_level_before = reach.level;
  if (change->feature_level == 0) change->feature_level = reach.anyone;
  if (change->feature_level < reach.level) {
    snprintf(change->problem, sizeof change->problem,
             "the cluster is at feature level %u, and a level is never lowered: what is written by now no older Cairn can read",
             reach.level);
    return STATUS_INVALID;
  }
  change->unchanged = change->feature_level == reach.level;
  if (change->unchanged) return STATUS_OK;
  if (facts->untold != 0) {
    snprintf(change->problem, sizeof change->problem,
             "broker %u belongs to the cluster and has not told what it can so far: start it, with an empty directory where its "
             "own is lost, or ask again in a moment",
             facts->untold);
    return STATUS_LOADING;
  }
  if (tell_holders(map, change) && !MUTANT(level_unasked)) return STATUS_FEATURE_LEVEL;
  command->feature_level = change->feature_level;
  return STATUS_OK;
}
