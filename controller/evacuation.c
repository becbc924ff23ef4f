#include "controller/evacuation.h"

#include <string.h>

#include "base/memory.h"
#include "controller/cluster_health.h"
#include "controller/placement.h"
#include "controller/racks.h"

struct candidate {
  struct evacuation_step step;
  uint32_t load; /* of the broker that is to take it */
};

uint32_t evacuation_broker(const struct cluster_map *map, uint32_t after) {
  const struct map_broker *broker = cluster_map_broker_after(map, after);
  while (broker != NULL && broker->standing != STANDING_LEAVING) broker = cluster_map_broker_after(map, broker->id);
  return broker == NULL ? 0 : broker->id;
}

static bool is_up(const struct evacuation *evacuation, uint32_t broker) { return evacuation->is_up(evacuation->context, broker); }

/* Its directory is the one that the broker has. */
static bool is_today(const struct cluster_map *map, const struct map_replica *replica) {
  const struct map_broker *broker = cluster_map_broker(map, replica->broker);
  return broker != NULL && memcmp(broker->incarnation, replica->incarnation, CLUSTER_ID_SIZE) == 0;
}

/* Those that can take replicas, and how many each has. A broker that takes no peers cannot have what others have. */
static size_t gather_takers(const struct evacuation *evacuation, struct placement_load *loads) {
  const struct cluster_map *map = evacuation->map;
  size_t count = placement_candidates(map, loads, placement_loads(map, loads)), kept = 0;
  for (size_t i = 0; i < count; i++) {
    uint32_t id = loads[i].broker;
    bool able = id != evacuation->broker && cluster_map_broker(map, id)->peer_address[0] != '\0' && is_up(evacuation, id);
    if (able) loads[kept++] = loads[i];
  }
  placement_count_moves(map, loads, kept);
  return kept;
}

struct takers {
  struct placement_load *loads;
  size_t count;
  struct racks racks;
  uint32_t *room; /* by rack: how many of them stand there */
};

/* Where it is to be. */
struct places {
  const struct map_replica *replicas;
  uint32_t count;
};

static struct places places_of(const struct map_partition *partition, const struct map_move *move) {
  if (move != NULL) return (struct places){move->target, move->target_count};
  return (struct places){partition->replicas, partition->replica_count};
}

static bool is_named(const struct evacuation_step *step, uint32_t broker) {
  for (uint32_t i = 0; i < step->to_count; i++)
    if (step->to[i] == broker) return true;
  return false;
}

static bool can_take(const struct takers *takers, uint32_t broker) {
  for (size_t i = 0; i < takers->count; i++)
    if (takers->loads[i].broker == broker) return true;
  return false;
}

/* How many replicas of it one rack must have, as those stay that are named. */
static uint32_t share_of(const struct takers *takers, const struct evacuation_step *step, uint32_t replicas) {
  uint32_t others[MAP_REPLICAS_MAX], count = 0; /* racks of those that keep it and would not be given it */
  for (uint32_t i = 0; i < step->to_count; i++) {
    uint32_t rack = racks_of(&takers->racks, step->to[i]);
    if (rack != RACK_NOWHERE && !can_take(takers, step->to[i])) others[count++] = rack;
  }
  for (uint32_t i = 0; i < count; i++) takers->room[others[i]]++;
  uint32_t share = racks_share(takers->room, takers->racks.count, replicas);
  for (uint32_t i = 0; i < count; i++) takers->room[others[i]]--;
  return share;
}

static uint32_t count_equal(const uint32_t *racks, uint32_t count, uint32_t rack) {
  uint32_t found = 0;
  for (uint32_t i = 0; i < count; i++) found += racks[i] == rack;
  return found;
}

/* Of those that have none of it and are not to get one yet. */
static const struct placement_load *best_taker(const struct takers *takers, const struct places *places,
                                               const struct evacuation_step *step, uint32_t share) {
  const struct placement_load *best = NULL;
  uint32_t best_excess = 0, racks[MAP_REPLICAS_MAX];
  for (uint32_t i = 0; i < step->to_count; i++) racks[i] = racks_of(&takers->racks, step->to[i]);
  for (size_t i = 0; i < takers->count; i++) {
    const struct placement_load *load = &takers->loads[i];
    if (map_replicas_have(places->replicas, places->count, load->broker) || is_named(step, load->broker)) continue;
    uint32_t in_rack = count_equal(racks, step->to_count, load->rack), excess = in_rack < share ? 0 : in_rack;
    if (best != NULL && (excess > best_excess || (excess == best_excess && load->replicas >= best->replicas))) continue;
    best = load;
    best_excess = excess;
  }
  return best;
}

/* Who is not to have it, or never will: the broker itself, and whoever has another directory by now and cannot take it with that one. */
static bool is_to_go(const struct evacuation *evacuation, const struct takers *takers, const struct map_replica *place) {
  return place->broker == evacuation->broker || (!is_today(evacuation->map, place) && !can_take(takers, place->broker));
}

static bool arrives(const struct evacuation *evacuation, const struct places *places) {
  for (uint32_t at = 0; at < places->count; at++)
    if (places->replicas[at].broker == evacuation->broker || !is_today(evacuation->map, &places->replicas[at])) return false;
  return true;
}

/* In the place of whoever is to go another one; whoever comes anew does not lead at first. */
static enum evacuation_state step_of(const struct evacuation *evacuation, const struct takers *takers,
                                     const struct map_topic *topic, uint32_t i, struct candidate *out_candidate) {
  const struct map_partition *partition = &topic->partitions[i];
  const struct map_move *move = cluster_map_move(evacuation->map, partition->group);
  struct places places = places_of(partition, move);
  struct evacuation_step *step = &out_candidate->step;
  *out_candidate = (struct candidate){.step = {.topic = topic, .partition = i}};
  if (arrives(evacuation, &places)) return EVACUATION_WAITS; /* it is about to be elsewhere */
  if (move == NULL && evacuation->full) return EVACUATION_WAITS;
  if (!cluster_health_has_quorum(evacuation->map, partition, evacuation->is_up, evacuation->context)) return EVACUATION_NO_QUORUM;
  for (uint32_t at = 0; at < places.count; at++)
    if (!is_to_go(evacuation, takers, &places.replicas[at])) step->to[step->to_count++] = places.replicas[at].broker;
  uint32_t share = share_of(takers, step, places.count);
  while (step->to_count < places.count) {
    const struct placement_load *other = best_taker(takers, &places, step, share);
    if (other == NULL) {
      step->to_count = 0;
      return EVACUATION_NO_ROOM;
    }
    step->to[step->to_count++] = other->broker;
    out_candidate->load = other->replicas;
  }
  step->replaces = move == NULL ? 0 : move->number;
  return EVACUATION_STEP;
}

/* What is to be said of two partitions: of steps the one to whoever has fewer, else the first that cannot go, else that some are on their way. */
static bool says_more(enum evacuation_state now, const struct candidate *candidate, enum evacuation_state before,
                      const struct candidate *best) {
  if (now == EVACUATION_STEP) return before != EVACUATION_STEP || candidate->load < best->load;
  return before == EVACUATION_OVER || (before == EVACUATION_WAITS && now != EVACUATION_WAITS);
}

static uint32_t fewest_replicas(const struct takers *takers) {
  uint32_t fewest = UINT32_MAX;
  for (size_t i = 0; i < takers->count; i++)
    if (takers->loads[i].replicas < fewest) fewest = takers->loads[i].replicas;
  return fewest;
}

static enum evacuation_state look_for_best(const struct evacuation *evacuation, const struct takers *takers,
                                           struct candidate *best) {
  const struct cluster_map *map = evacuation->map;
  uint32_t fewest = fewest_replicas(takers);
  enum evacuation_state state = EVACUATION_OVER;
  const struct map_topic *topic;
  for (size_t place = 0; (topic = cluster_map_topic_at(map, place)) != NULL; place++) {
    for (uint32_t i = 0; i < topic->partition_count; i++) {
      const struct map_partition *partition = &topic->partitions[i];
      const struct map_move *move = cluster_map_move(map, partition->group);
      bool counts = map_replicas_have(partition->replicas, partition->replica_count, evacuation->broker);
      counts = counts || (move != NULL && map_replicas_have(move->known, move->known_count, evacuation->broker));
      if (!counts) continue;
      struct candidate candidate = {0};
      enum evacuation_state now = step_of(evacuation, takers, topic, i, &candidate);
      if (!says_more(now, &candidate, state, best)) continue;
      *best = candidate;
      state = now;
      if (state == EVACUATION_STEP && candidate.load == fewest) return state; /* none has fewer */
    }
  }
  return state;
}

enum evacuation_state evacuation_next(const struct evacuation *evacuation, struct evacuation_step *out_step) {
  struct candidate best = {0};
  size_t brokers = cluster_map_broker_count(evacuation->map);
  struct takers takers = {.loads = memory_new_array(brokers + 1, sizeof *takers.loads),
                          .room = memory_new_array(brokers + 1, sizeof *takers.room)};
  racks_init(&takers.racks, evacuation->map);
  takers.count = gather_takers(evacuation, takers.loads);
  for (size_t i = 0; i < takers.count; i++) takers.room[takers.loads[i].rack]++;
  enum evacuation_state state = look_for_best(evacuation, &takers, &best);
  racks_deinit(&takers.racks);
  memory_free(takers.room);
  memory_free(takers.loads);
  *out_step = best.step;
  return state;
}

const char evacuation_vote_cure[] = "its vote on the map is needed: start the brokers that are down, or another one";

const char *evacuation_cure(enum evacuation_state state, bool leaves) {
  if (state == EVACUATION_NO_ROOM && leaves) return "there is no other broker for it: start one, or let this one stay";
  if (state == EVACUATION_NO_ROOM) return "there is no other broker for it: start this one again, or another one";
  if (state == EVACUATION_NO_QUORUM) return "too few of its replicas are up: start the brokers that have them";
  return NULL;
}
