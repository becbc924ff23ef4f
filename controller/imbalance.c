#include "controller/imbalance.h"

#include "base/memory.h"
#include "controller/cluster_health.h"
#include "controller/placement.h"
#include "controller/racks.h"

static bool is_much(uint64_t apart, uint64_t all, size_t brokers) {
  return apart > IMBALANCE_LEAST && apart * brokers * 100 > all * IMBALANCE_PERCENT;
}

/* ---- Racks ---- */

/* Those that may have replicas, and their racks. */
struct field {
  const struct cluster_map *map;
  struct placement_load *loads;
  size_t count;
  struct racks racks; /* of all brokers */
  uint32_t *room;     /* by rack: how many of those stand there */
  /* By how many replicas a partition has: how many of them a rack must have, and how many such partitions there are. */
  uint32_t share[MAP_REPLICAS_MAX + 1];
  uint64_t partitions[MAP_REPLICAS_MAX + 1];
  uint64_t replicas;
  uint32_t crowded;
};

static bool is_crowded(const struct field *field, const struct map_replica *replicas, uint32_t count) {
  uint32_t racks[MAP_REPLICAS_MAX];
  for (uint32_t i = 0; i < count; i++) {
    uint32_t beside = 1;
    racks[i] = racks_of(&field->racks, replicas[i].broker);
    for (uint32_t at = 0; at < i; at++) beside += racks[at] == racks[i];
    if (racks[i] != RACK_NOWHERE && beside > field->share[count]) return true;
  }
  return false;
}

/* Of one that is on its way what counts is where it goes. */
static void take_in(struct field *field, const struct map_partition *partition) {
  const struct map_move *move = cluster_map_move(field->map, partition->group);
  uint32_t count = move == NULL ? partition->replica_count : move->target_count;
  field->replicas += count;
  field->partitions[count]++;
  field->crowded += is_crowded(field, move == NULL ? partition->replicas : move->target, count);
}

static void take_all_in(struct field *field) {
  const struct map_topic *topic;
  for (size_t place = 0; (topic = cluster_map_topic_at(field->map, place)) != NULL; place++)
    for (uint32_t i = 0; i < topic->partition_count; i++) take_in(field, &topic->partitions[i]);
}

/* What a rack has of a partition at most. */
static uint64_t most_of_rack(const struct field *field, size_t rack, uint32_t replicas) {
  return field->room[rack] < field->share[replicas] ? field->room[rack] : field->share[replicas];
}

/* How much of such a partition a broker would have on average where all is as even as racks allow, if its rack is none that may have less: what these may
 * not have goes to the others. In parts of ONE. */
#define ONE ((uint64_t)1 << 20)
static uint64_t even_level(const struct field *field, uint32_t replicas) {
  uint64_t level = 0, before;
  do {
    uint64_t left = replicas * ONE, brokers = 0;
    before = level;
    for (size_t rack = 0; rack < field->racks.count; rack++) {
      uint64_t most = most_of_rack(field, rack, replicas) * ONE;
      if (most < before * field->room[rack]) left -= most;
      else brokers += field->room[rack];
    }
    if (brokers > 0) level = left / brokers;
  } while (level > before);
  return level;
}

/* By rack: how many replicas each broker there would have of all partitions. In parts of ONE. */
static uint64_t *even_counts(const struct field *field) {
  uint64_t *counts = memory_new_array(field->racks.count + 1, sizeof *counts);
  for (uint32_t replicas = 1; replicas <= MAP_REPLICAS_MAX; replicas++) {
    uint64_t level = field->partitions[replicas] == 0 ? 0 : even_level(field, replicas);
    for (size_t rack = 0; level > 0 && rack < field->racks.count; rack++) {
      uint64_t most = field->room[rack] == 0 ? 0 : most_of_rack(field, rack, replicas) * ONE / field->room[rack];
      counts[rack] += field->partitions[replicas] * (most < level ? most : level);
    }
  }
  return counts;
}

/* ---- All of it ---- */

static void field_init(struct field *field, const struct cluster_map *map) {
  size_t brokers = cluster_map_broker_count(map);
  *field = (struct field){.map = map,
                          .loads = memory_new_array(brokers + 1, sizeof *field->loads),
                          .room = memory_new_array(brokers + 1, sizeof *field->room)};
  racks_init(&field->racks, map);
  field->count = placement_candidates(map, field->loads, placement_loads(map, field->loads));
  placement_count_moves(map, field->loads, field->count);
  for (size_t i = 0; i < field->count; i++) field->room[field->loads[i].rack]++;
  for (uint32_t replicas = 0; replicas <= MAP_REPLICAS_MAX; replicas++)
    field->share[replicas] = racks_share(field->room, field->racks.count, replicas);
  take_all_in(field);
}

static void field_deinit(struct field *field) {
  racks_deinit(&field->racks);
  memory_free(field->loads);
  memory_free(field->room);
}

/* Beyond what racks make of it. Those of a topic of few partitions may all be where the fewest are besides: what is even in all is even, too. */
static bool replicas_are_uneven(const struct field *field, const struct imbalance *imbalance) {
  int64_t most = INT64_MIN, fewest = INT64_MAX; /* beyond what they would have */
  uint64_t *counts = even_counts(field);
  for (size_t i = 0; i < field->count; i++) {
    int64_t beyond = (int64_t)(field->loads[i].replicas * ONE) - (int64_t)counts[field->loads[i].rack];
    if (beyond > most) most = beyond;
    if (beyond < fewest) fewest = beyond;
  }
  memory_free(counts);
  return is_much((uint64_t)(most - fewest) / ONE, field->replicas, field->count) &&
         is_much(imbalance->replicas_most - imbalance->replicas_fewest, field->replicas, field->count);
}

/* Those that are gone have none, and are to have none. */
struct imbalance imbalance_of(const struct cluster_map *map) {
  struct imbalance imbalance = {.replicas_fewest = UINT32_MAX, .firsts_fewest = UINT32_MAX};
  struct field field;
  uint64_t firsts = 0;
  field_init(&field, map);
  for (size_t i = 0; i < field.count; i++) {
    const struct placement_load *load = &field.loads[i];
    firsts += load->firsts;
    if (load->replicas > imbalance.replicas_most) imbalance.replicas_most = load->replicas;
    if (load->replicas < imbalance.replicas_fewest) imbalance.replicas_fewest = load->replicas;
    if (load->firsts > imbalance.firsts_most) imbalance.firsts_most = load->firsts;
    if (load->firsts < imbalance.firsts_fewest) imbalance.firsts_fewest = load->firsts;
  }
  imbalance.crowded = field.crowded;
  if (field.count == 0) imbalance = (struct imbalance){0};
  else
    imbalance.is_worth_it = imbalance.crowded > 0 || replicas_are_uneven(&field, &imbalance) ||
                            is_much(imbalance.firsts_most - imbalance.firsts_fewest, firsts, field.count);
  field_deinit(&field);
  return imbalance;
}

/* ---- Calm ---- */

bool imbalance_is_worth_it(const struct cluster_map *map, struct imbalance_memory *memory) {
  uint64_t version = cluster_map_version(map);
  if (memory->worth_version != version) memory->is_worth_it = imbalance_of(map).is_worth_it;
  memory->worth_version = version;
  return memory->is_worth_it;
}

static bool everybody_is_up(void *context, uint32_t broker) {
  (void)context;
  (void)broker;
  return true;
}

/* PRE: all are up that are not gone, and who is gone has no replica. */
static bool is_missing(const struct cluster_map *map, struct imbalance_memory *memory) {
  uint64_t version = cluster_map_version(map);
  if (memory->missing_version != version) {
    struct cluster_health health = cluster_health_of(map, everybody_is_up, NULL);
    memory->is_missing = health.without_quorum + health.short_of_some > 0;
  }
  memory->missing_version = version;
  return memory->is_missing;
}

const char *imbalance_unrest(const struct cluster_map *map, struct imbalance_memory *memory,
                             bool (*is_up)(void *context, uint32_t broker),
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
  return is_missing(map, memory) ? "a replica is missing" : NULL;
}
