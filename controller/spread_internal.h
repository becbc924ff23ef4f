/* What the files of spread share: partitions by the places of their brokers, and how many each broker has. */
#ifndef CAIRN_CONTROLLER_SPREAD_INTERNAL_H
#define CAIRN_CONTROLLER_SPREAD_INTERNAL_H

#include <stdbool.h>

#include "controller/spread.h"

#define SPREAD_NOWHERE UINT32_MAX

/* A partition. Brokers are meant by their place in the list. */
struct spot {
  uint32_t topic; /* 0, 1, ... */
  uint32_t count;
  uint32_t now[MAP_REPLICAS_MAX]; /* the first is to lead */
  uint32_t was_count;             /* those that were on no broker of the list are left out */
  uint32_t was[MAP_REPLICAS_MAX];
  uint32_t was_first;   /* SPREAD_NOWHERE: on none of the list */
  uint32_t in_rack_max; /* of its replicas */
  bool stays;
  bool passed_over; /* in the search for ways: it was in one that could not be gone */
};

/* What is shifted: replicas, or firsts from one replica of a partition to another. */
enum spread_unit { SPREAD_REPLICAS, SPREAD_FIRSTS };

struct spreading {
  const struct spread_broker *brokers;
  uint32_t broker_count;
  const uint32_t *racks; /* by broker: 0, 1, ... */
  struct spot *spots;
  uint32_t spot_count;
  uint32_t topic_count;
  uint32_t *topic_begins; /* topic_count + 1 of them */
  enum spread_unit unit;
  uint32_t *in_topic; /* units, by topic and broker */
  uint32_t *in_all;   /* units, by broker */
};

/* What a shift costs, or saves: how much less even a topic gets, and all together, as sums of squares; and how many units more are elsewhere than
 * they were. The first counts before the second, the second before the third. */
struct spread_cost {
  int64_t topic;
  int64_t all;
  int64_t moved;
};

static inline int spread_cost_compare(struct spread_cost a, struct spread_cost b) {
  if (a.topic != b.topic) return a.topic < b.topic ? -1 : 1;
  if (a.all != b.all) return a.all < b.all ? -1 : 1;
  if (a.moved != b.moved) return a.moved < b.moved ? -1 : 1;
  return 0;
}

static inline struct spread_cost spread_cost_sum(struct spread_cost a, struct spread_cost b) {
  return (struct spread_cost){a.topic + b.topic, a.all + b.all, a.moved + b.moved};
}

static inline bool spread_has(const uint32_t *places, uint32_t count, uint32_t place) {
  for (uint32_t i = 0; i < count; i++)
    if (places[i] == place) return true;
  return false;
}

static inline uint32_t *spread_in_topic(const struct spreading *spreading, uint32_t topic, uint32_t broker) {
  return &spreading->in_topic[(size_t)topic * spreading->broker_count + broker];
}

/* May a unit of this partition go from one broker to another? */
bool spread_may_shift(const struct spreading *spreading, const struct spot *spot, uint32_t from, uint32_t to);
/* How many more of its units are elsewhere then: -1, 0 or 1. */
int spread_moved_more(const struct spreading *spreading, const struct spot *spot, uint32_t from, uint32_t to);
/* PRE: it may. */
void spread_shift(struct spreading *spreading, struct spot *spot, uint32_t from, uint32_t to);

/* spread_ways.c: goes every way of shifts that makes it better, until there is none. */
void spread_go_ways(struct spreading *spreading);

#endif
