#include "controller/imbalance.h"

#include "base/memory.h"
#include "controller/cluster_health.h"
#include "controller/placement.h"

static bool is_much(uint32_t most, uint32_t fewest, uint64_t all, size_t brokers) {
  return most - fewest > IMBALANCE_LEAST && (uint64_t)(most - fewest) * brokers * 100 > all * IMBALANCE_PERCENT;
}

/* Those that are gone have none, and are to have none. */
struct imbalance imbalance_of(const struct cluster_map *map) {
  struct imbalance imbalance = {.replicas_fewest = UINT32_MAX, .firsts_fewest = UINT32_MAX};
  uint64_t replicas = 0, firsts = 0;
  struct placement_load *loads = memory_new_array(cluster_map_broker_count(map) + 1, sizeof *loads);
  size_t count = placement_candidates(map, loads, placement_loads(map, loads));
  placement_count_moves(map, loads, count);
  for (size_t i = 0; i < count; i++) {
    replicas += loads[i].replicas;
    firsts += loads[i].firsts;
    if (loads[i].replicas > imbalance.replicas_most) imbalance.replicas_most = loads[i].replicas;
    if (loads[i].replicas < imbalance.replicas_fewest) imbalance.replicas_fewest = loads[i].replicas;
    if (loads[i].firsts > imbalance.firsts_most) imbalance.firsts_most = loads[i].firsts;
    if (loads[i].firsts < imbalance.firsts_fewest) imbalance.firsts_fewest = loads[i].firsts;
  }
  memory_free(loads);
  if (count == 0) return (struct imbalance){0};
  imbalance.is_worth_it = is_much(imbalance.replicas_most, imbalance.replicas_fewest, replicas, count) ||
                          is_much(imbalance.firsts_most, imbalance.firsts_fewest, firsts, count);
  return imbalance;
}

const char *imbalance_unrest(const struct cluster_map *map, bool (*is_up)(void *context, uint32_t broker),
                             bool (*is_own)(void *context, const struct map_move *move), void *context) {
  const struct map_broker *broker = cluster_map_broker_after(map, 0);
  for (; broker != NULL; broker = cluster_map_broker_after(map, broker->id)) {
    if (broker->standing == STANDING_GONE) continue;
    if (broker->standing != STANDING_IN) return "a broker is drained, or leaves";
    if (!is_up(context, broker->id)) return "a broker is down";
  }
  const struct map_move *move = cluster_map_move_after(map, 0);
  for (; move != NULL; move = cluster_map_move_after(map, move->group))
    if (!is_own(context, move)) return "somebody moves partitions";
  struct cluster_health health = cluster_health_of(map, is_up, context);
  return health.without_quorum + health.short_of_some > 0 ? "a replica is missing" : NULL;
}
