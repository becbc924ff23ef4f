#include "controller/spread.h"

#include <string.h>

#include "base/check.h"
#include "base/memory.h"
#include "controller/racks.h"
#include "controller/spread_internal.h"

/* ---- Shifts ---- */

static uint32_t count_in_rack(const struct spreading *spreading, const uint32_t *places, uint32_t count, uint32_t rack) {
  uint32_t found = 0;
  for (uint32_t i = 0; i < count; i++) found += spreading->racks[places[i]] == rack;
  return found;
}

static bool takes(const struct spreading *spreading, uint32_t broker) { return spreading->brokers[broker].use == SPREAD_TAKES; }

bool spread_may_shift(const struct spreading *spreading, const struct spot *spot, uint32_t from, uint32_t to) {
  if (spot->stays || from == to || !takes(spreading, from) || !takes(spreading, to)) return false;
  if (spreading->unit == SPREAD_FIRSTS) return spot->now[0] == from && spread_has(spot->now, spot->count, to);
  if (!spread_has(spot->now, spot->count, from) || spread_has(spot->now, spot->count, to)) return false;
  uint32_t rack = spreading->racks[to];
  return spreading->racks[from] == rack || count_in_rack(spreading, spot->now, spot->count, rack) < spot->in_rack_max;
}

int spread_moved_more(const struct spreading *spreading, const struct spot *spot, uint32_t from, uint32_t to) {
  if (spreading->unit == SPREAD_FIRSTS) return (to != spot->was_first) - (from != spot->was_first);
  return spread_has(spot->was, spot->was_count, from) - spread_has(spot->was, spot->was_count, to);
}

void spread_shift(struct spreading *spreading, struct spot *spot, uint32_t from, uint32_t to) {
  uint32_t i = 0, first = spot->now[0];
  PRE(spread_may_shift(spreading, spot, from, to));
  while (spot->now[i] != (spreading->unit == SPREAD_FIRSTS ? to : from)) i++;
  spot->now[i] = spreading->unit == SPREAD_FIRSTS ? first : to;
  if (spreading->unit == SPREAD_FIRSTS) spot->now[0] = to;
  --*spread_in_topic(spreading, spot->topic, from);
  ++*spread_in_topic(spreading, spot->topic, to);
  spreading->in_all[from]--;
  spreading->in_all[to]++;
}

static struct spread_cost shift_cost(const struct spreading *spreading, const struct spot *spot, uint32_t from, uint32_t to) {
  int64_t in_topic = (int64_t)*spread_in_topic(spreading, spot->topic, to) - *spread_in_topic(spreading, spot->topic, from);
  int64_t in_all = (int64_t)spreading->in_all[to] - spreading->in_all[from];
  return (struct spread_cost){2 * (in_topic + 1), 2 * (in_all + 1), spread_moved_more(spreading, spot, from, to)};
}

/* ---- One shift after the other, as long as one makes it better ---- */

static bool shift_once(struct spreading *spreading, struct spot *spot, uint32_t from) {
  struct spread_cost least = {0};
  uint32_t best = SPREAD_NOWHERE;
  for (uint32_t to = 0; to < spreading->broker_count; to++) {
    if (!spread_may_shift(spreading, spot, from, to)) continue;
    struct spread_cost cost = shift_cost(spreading, spot, from, to);
    if (spread_cost_compare(cost, least) >= 0) continue;
    least = cost;
    best = to;
  }
  if (best == SPREAD_NOWHERE) return false;
  spread_shift(spreading, spot, from, best);
  return true;
}

static void shift_while_better(struct spreading *spreading) {
  for (bool any = true; any;) {
    any = false;
    for (uint32_t i = 0; i < spreading->spot_count; i++) {
      struct spot *spot = &spreading->spots[i];
      uint32_t units = spreading->unit == SPREAD_FIRSTS && spot->count > 0 ? 1 : spot->count;
      for (uint32_t at = 0; at < units; at++) any = shift_once(spreading, spot, spot->now[at]) || any;
    }
  }
}

/* ---- What is allowed ---- */

static bool stays(const struct spreading *spreading, uint32_t place) { return spreading->brokers[place].use == SPREAD_STAYS; }

/* Those that stay whatever its rack has of it, and are still to be put there. */
static uint32_t count_to_stay(const struct spreading *spreading, const struct spot *spot, uint32_t rack) {
  uint32_t found = 0;
  for (uint32_t at = 0; at < spot->was_count; at++) {
    uint32_t place = spot->was[at];
    found += stays(spreading, place) && spreading->racks[place] == rack && !spread_has(spot->now, spot->count, place);
  }
  return found;
}

static bool may_stay(const struct spreading *spreading, const struct spot *spot, uint32_t place) {
  uint32_t rack = spreading->racks[place];
  if (spreading->brokers[place].use == SPREAD_LEAVES || spread_has(spot->now, spot->count, place)) return false;
  if (stays(spreading, place)) return true;
  return count_in_rack(spreading, spot->now, spot->count, rack) + count_to_stay(spreading, spot, rack) < spot->in_rack_max;
}

/* Of those that take replicas and have none of it: in the rack that has the fewest of it, who has the fewest of its topic, and in all. */
static uint32_t best_for(const struct spreading *spreading, const struct spot *spot) {
  uint32_t best = SPREAD_NOWHERE;
  uint64_t least[3] = {0};
  for (uint32_t broker = 0; broker < spreading->broker_count; broker++) {
    if (!takes(spreading, broker) || spread_has(spot->now, spot->count, broker)) continue;
    uint32_t in_rack = count_in_rack(spreading, spot->now, spot->count, spreading->racks[broker]);
    uint64_t has[3] = {in_rack < spot->in_rack_max ? 0 : in_rack, *spread_in_topic(spreading, spot->topic, broker),
                       spreading->in_all[broker]};
    size_t differs = 0;
    while (differs < 2 && has[differs] == least[differs]) differs++;
    if (best != SPREAD_NOWHERE && has[differs] >= least[differs]) continue;
    best = broker;
    memcpy(least, has, sizeof least);
  }
  return best;
}

static void put(struct spreading *spreading, struct spot *spot, uint32_t place) {
  spot->now[spot->count++] = place;
  ++*spread_in_topic(spreading, spot->topic, place);
  spreading->in_all[place]++;
}

/* First all that stay, so that those who come find counts that last. */
static void allow(struct spreading *spreading, const uint32_t *wanted) {
  for (uint32_t i = 0; i < spreading->spot_count; i++) {
    struct spot *spot = &spreading->spots[i];
    for (uint32_t at = 0; at < spot->was_count; at++)
      if (spot->stays || may_stay(spreading, spot, spot->was[at])) put(spreading, spot, spot->was[at]);
  }
  for (uint32_t i = 0; i < spreading->spot_count; i++) {
    struct spot *spot = &spreading->spots[i];
    while (!spot->stays && spot->count < wanted[i]) put(spreading, spot, best_for(spreading, spot));
  }
}

/* ---- Who leads ---- */

static void count_firsts(struct spreading *spreading) {
  memset(spreading->in_topic, 0, (size_t)spreading->topic_count * spreading->broker_count * sizeof *spreading->in_topic);
  for (uint32_t broker = 0; broker < spreading->broker_count; broker++)
    spreading->in_all[broker] = spreading->brokers[broker].other_firsts;
  for (uint32_t i = 0; i < spreading->spot_count; i++) {
    const struct spot *spot = &spreading->spots[i];
    if (spot->count == 0) continue;
    ++*spread_in_topic(spreading, spot->topic, spot->now[0]);
    spreading->in_all[spot->now[0]]++;
  }
}

/* Where the first has gone whoever takes replicas is next: one that is down had better not be. */
static void keep_firsts(struct spreading *spreading) {
  for (uint32_t i = 0; i < spreading->spot_count; i++) {
    struct spot *spot = &spreading->spots[i];
    uint32_t at = 0;
    if (spot->stays || spot->now[0] == spot->was_first) continue;
    while (at < spot->count && !takes(spreading, spot->now[at])) at++;
    if (at == spot->count) continue;
    uint32_t first = spot->now[at];
    memmove(&spot->now[1], &spot->now[0], at * sizeof *spot->now);
    spot->now[0] = first;
  }
}

static void balance(struct spreading *spreading, enum spread_unit unit) {
  spreading->unit = unit;
  shift_while_better(spreading);
  spread_go_ways(spreading);
}

/* ---- In and out ---- */

static uint32_t place_of(const struct spreading *spreading, uint32_t id) {
  uint32_t low = 0, high = spreading->broker_count;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    if (spreading->brokers[middle].id < id) low = middle + 1;
    else high = middle;
  }
  return low < spreading->broker_count && spreading->brokers[low].id == id ? low : SPREAD_NOWHERE;
}

/* Racks by number; who has none is one of its own. Returns how many brokers of each take replicas. */
static uint32_t *number_racks(const struct spread_broker *brokers, uint32_t count, uint32_t *out_racks) {
  uint32_t *sizes = memory_new_array(count + 1, sizeof *sizes);
  for (uint32_t i = 0; i < count; i++) {
    uint32_t same = 0;
    while (same < i && (brokers[i].rack == 0 || brokers[same].rack != brokers[i].rack)) same++;
    out_racks[i] = same < i ? out_racks[same] : i;
    sizes[out_racks[i]] += brokers[i].use == SPREAD_TAKES;
  }
  return sizes;
}

/* Of those that may have it: who takes replicas, and who keeps this one. */
static uint32_t in_rack_max(const struct spreading *spreading, const struct spot *spot, uint32_t *rack_sizes, uint32_t replicas) {
  for (uint32_t at = 0; at < spot->was_count; at++)
    rack_sizes[spreading->racks[spot->was[at]]] += stays(spreading, spot->was[at]);
  uint32_t max = racks_share(rack_sizes, spreading->broker_count, replicas);
  for (uint32_t at = 0; at < spot->was_count; at++)
    rack_sizes[spreading->racks[spot->was[at]]] -= stays(spreading, spot->was[at]);
  return max;
}

static enum status take_in(struct spreading *spreading, const struct spread_partition *partitions, uint32_t *rack_sizes,
                           uint32_t *out_wanted) {
  uint32_t takers = 0;
  for (uint32_t broker = 0; broker < spreading->broker_count; broker++) takers += takes(spreading, broker);
  for (uint32_t i = 0; i < spreading->spot_count; i++) {
    const struct spread_partition *partition = &partitions[i];
    struct spot *spot = &spreading->spots[i];
    uint32_t room = takers;
    PRE(partition->count <= MAP_REPLICAS_MAX && (partition->count > 0 || partition->stays));
    if (i == 0 || partition->topic != partitions[i - 1].topic) spreading->topic_begins[spreading->topic_count++] = i;
    spot->topic = spreading->topic_count - 1;
    spot->stays = partition->stays;
    spot->was_first = partition->count > 0 ? place_of(spreading, partition->replicas[0]) : SPREAD_NOWHERE;
    out_wanted[i] = partition->count;
    for (uint32_t at = 0; at < partition->count; at++) {
      uint32_t place = place_of(spreading, partition->replicas[at]);
      if (place == SPREAD_NOWHERE) continue;
      spot->was[spot->was_count++] = place;
      room += stays(spreading, place);
    }
    spot->in_rack_max = in_rack_max(spreading, spot, rack_sizes, partition->count);
    if (room < partition->count && !spot->stays) return STATUS_TOO_FEW_BROKERS;
  }
  spreading->topic_begins[spreading->topic_count] = spreading->spot_count;
  return STATUS_OK;
}

static void give_back(const struct spreading *spreading, struct spread_partition *partitions) {
  for (uint32_t i = 0; i < spreading->spot_count; i++) {
    const struct spot *spot = &spreading->spots[i];
    struct spread_partition *partition = &partitions[i];
    uint32_t count = 0;
    if (spot->stays) continue;
    partition->replicas[count++] = spreading->brokers[spot->now[0]].id;
    for (uint32_t at = 0; at < spot->was_count; at++)
      if (spot->was[at] != spot->now[0] && spread_has(spot->now, spot->count, spot->was[at]))
        partition->replicas[count++] = spreading->brokers[spot->was[at]].id;
    for (uint32_t at = 1; at < spot->count; at++)
      if (!spread_has(spot->was, spot->was_count, spot->now[at]))
        partition->replicas[count++] = spreading->brokers[spot->now[at]].id;
    CHECK(count == partition->count);
  }
}

enum status spread(const struct spread_broker *brokers, size_t broker_count, struct spread_partition *partitions, size_t count) {
  uint32_t *racks = memory_new_array(broker_count + 1, sizeof *racks);
  uint32_t *wanted = memory_new_array(count + 1, sizeof *wanted);
  struct spreading spreading = {
      .brokers = brokers, .broker_count = (uint32_t)broker_count, .racks = racks, .spot_count = (uint32_t)count};
  spreading.spots = memory_new_array(count + 1, sizeof *spreading.spots);
  spreading.topic_begins = memory_new_array(count + 1, sizeof *spreading.topic_begins);
  uint32_t *rack_sizes = number_racks(brokers, spreading.broker_count, racks);
  enum status status = take_in(&spreading, partitions, rack_sizes, wanted);
  if (status == STATUS_OK) {
    spreading.in_topic = memory_new_array((size_t)spreading.topic_count * broker_count + 1, sizeof *spreading.in_topic);
    spreading.in_all = memory_new_array(broker_count + 1, sizeof *spreading.in_all);
    for (size_t i = 0; i < broker_count; i++) spreading.in_all[i] = brokers[i].others;
    allow(&spreading, wanted);
    balance(&spreading, SPREAD_REPLICAS);
    keep_firsts(&spreading);
    count_firsts(&spreading);
    balance(&spreading, SPREAD_FIRSTS);
    give_back(&spreading, partitions);
  }
  memory_free(spreading.in_topic);
  memory_free(spreading.in_all);
  memory_free(rack_sizes);
  memory_free(spreading.topic_begins);
  memory_free(spreading.spots);
  memory_free(wanted);
  memory_free(racks);
  return status;
}
