#include "tests/sim/map_places.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/map.h"
#include "base/memory.h"
#include "controller/cluster_map.h"
#include "log/entry.h"
#include "replication/raft_config.h"
#include "tests/sim/checker.h"
#include "tests/sim/sim_disk.h"

#define NAMED_MAX (MAP_MOVE_KNOWN_MAX + MAP_REPLICAS_MAX)

/* A partition. */
struct spot {
  uint64_t group;
  struct map_replica named[NAMED_MAX]; /* since it was last at rest: those that it has, first, and those that it was to have */
  uint32_t named_count;
  uint32_t has_count;
  uint32_t fewest; /* replicas, since then */
  bool moves;
  uint64_t configured; /* index of the newest configuration that anybody has applied */
  bool here;           /* in the version that is being looked at */
};

struct map_places {
  struct checker *checker;
  struct map *spots; /* struct spot, by group */
};

struct map_places *map_places_new(struct checker *checker) {
  struct map_places *places = NEW(struct map_places);
  places->checker = checker;
  places->spots = map_new(0);
  return places;
}

void map_places_free(struct map_places *places) {
  if (places == NULL) return;
  struct map_cursor cursor = {0};
  for (struct spot *spot; (spot = map_next(places->spots, &cursor)) != NULL;) memory_free(spot);
  map_free(places->spots);
  memory_free(places);
}

/* ---- What the map says ---- */

static bool is_named(const struct spot *spot, uint32_t broker, uint64_t placement) {
  for (uint32_t i = 0; i < spot->named_count; i++)
    if (spot->named[i].broker == broker && spot->named[i].placement == placement) return true;
  return false;
}

static void name_all(struct spot *spot, const struct map_replica *replicas, uint32_t count) {
  for (uint32_t i = 0; i < count && spot->named_count < NAMED_MAX; i++) {
    if (!is_named(spot, replicas[i].broker, replicas[i].placement)) spot->named[spot->named_count++] = replicas[i];
  }
}

static void see_partition(struct map_places *places, const struct map_partition *partition, const struct map_move *move) {
  struct spot *spot = map_get_number(places->spots, partition->group);
  if (spot == NULL) {
    spot = NEW(struct spot);
    spot->group = partition->group;
    map_put_number(places->spots, partition->group, spot);
  }
  spot->here = true;
  if (move == NULL || !spot->moves) { /* at rest, or it was until now */
    spot->named_count = 0;
    name_all(spot, partition->replicas, partition->replica_count);
    spot->has_count = spot->named_count;
    spot->fewest = partition->replica_count;
  }
  spot->moves = move != NULL;
  if (move == NULL) return;
  name_all(spot, move->known, move->known_count);
  name_all(spot, move->target, move->target_count);
  if (move->target_count < spot->fewest) spot->fewest = move->target_count;
}

void map_places_see(struct map_places *places, const struct cluster_map *map) {
  const struct map_topic *topic = cluster_map_topic_after(map, bytes_of_string(""));
  for (; topic != NULL; topic = cluster_map_topic_after(map, bytes_of_string(topic->name))) {
    for (uint32_t i = 0; i < topic->partition_count; i++)
      see_partition(places, &topic->partitions[i], cluster_map_move(map, topic->partitions[i].group));
  }
  struct map_cursor cursor = {0};
  for (struct spot *spot; (spot = map_next(places->spots, &cursor)) != NULL;) {
    bool here = spot->here;
    spot->here = false;
    if (!here) memory_free(map_remove_number(places->spots, spot->group));
  }
}

/* ---- Who votes ---- */

/* Brokers that are to have another replica of it than they have: out of the group for a moment. */
static uint32_t returning(const struct spot *spot) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < spot->has_count; i++) {
    for (uint32_t k = 0; k < spot->named_count; k++) {
      bool other = memcmp(&spot->named[i], &spot->named[k], sizeof spot->named[i]) != 0;
      if (!other || spot->named[i].broker != spot->named[k].broker) continue;
      count++;
      break;
    }
  }
  return count;
}

void map_places_configure(struct map_places *places, uint64_t group, uint64_t index, const void *config, size_t size) {
  struct spot *spot = map_get_number(places->spots, group);
  struct raft_config members;
  if (spot == NULL || index <= spot->configured || raft_config_decode(bytes_of(config, size), &members) != STATUS_OK) return;
  spot->configured = index;
  uint32_t now = 0, then = 0, away = returning(spot);
  for (size_t i = 0; i < members.count; i++) {
    const struct raft_member *member = &members.members[i];
    now += member->now == RAFT_VOTER;
    then += member->then == RAFT_VOTER;
    if (!is_named(spot, member->id.broker, member->id.placement))
      checker_violation(places->checker, "M6 voters-kept",
                        "group %" PRIu64 ": broker %u belongs to it at index %" PRIu64 ", and the map has not named it", group,
                        member->id.broker, index);
  }
  uint32_t fewest = spot->fewest > away ? spot->fewest - away : 0;
  if (fewest == 0) fewest = 1;
  if (now < fewest || then < fewest)
    checker_violation(places->checker, "M6 voters-kept",
                      "group %" PRIu64 ": at index %" PRIu64
                      " %u vote now and %u then, where the map has never had fewer than %u",
                      group, index, now, then, fewest);
}

/* ---- What brokers have ---- */

bool map_places_has(const struct map_places *places, uint32_t broker, uint64_t group, uint64_t instance) {
  const struct spot *spot = map_get_number(places->spots, group);
  return group == 0 || (spot != NULL && is_named(spot, broker, instance_series(instance)));
}

void map_places_find(struct map_places *places, uint32_t broker, uint64_t group, uint64_t instance) {
  if (map_places_has(places, broker, group, instance)) return;
  checker_violation(places->checker, "M7 nothing-left",
                    "broker %u still has a log of group %" PRIu64 ", instance %" PRIu64 ", which the map does not give it",
                    broker, group, instance);
}

struct directory {
  const struct map_places *places;
  uint32_t broker;
  bool all;
};

static void look_at_file(void *context, const char *path, uint64_t size) {
  struct directory *directory = context;
  uint64_t group = 0, instance = 0;
  (void)size;
  if (sscanf(path, "p/%" SCNu64 "-%" SCNu64 "/", &group, &instance) != 2) return;
  if (!map_places_has(directory->places, directory->broker, group, instance)) directory->all = false;
}

bool map_places_are_all(const struct map_places *places, uint32_t broker, struct sim_disk *disk) {
  struct directory directory = {.places = places, .broker = broker, .all = true};
  sim_disk_each(disk, look_at_file, &directory);
  return directory.all;
}
