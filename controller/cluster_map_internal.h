/* Between the files of the map: cluster_map.c (what it says, and what commands make of it), cluster_map_bytes.c (how it is kept). */
#ifndef CAIRN_CONTROLLER_CLUSTER_MAP_INTERNAL_H
#define CAIRN_CONTROLLER_CLUSTER_MAP_INTERNAL_H

#include "controller/cluster_map.h"

struct cluster_map {
  uint8_t cluster_id[CLUSTER_ID_SIZE];
  uint64_t version;
  uint64_t next_topic_id;
  uint64_t next_group_id; /* 0 is the controller's own */
  uint32_t feature_level;
  struct map *brokers; /* by id */
  struct map_broker **brokers_sorted;
  size_t broker_count;
  struct map *by_name;
  struct map *by_id;
  struct map_topic **sorted; /* by name */
  size_t topic_count;
  size_t partition_count;
  struct map_move *moves; /* by group */
  size_t move_count;
};

/* Takes it over. PRE: nobody has its name or its id. */
void cluster_map_add_topic(struct cluster_map *map, struct map_topic *topic);
/* In place of what was known of that number. */
void cluster_map_put_broker(struct cluster_map *map, const struct map_broker *broker);
/* In place of what is under way of that group. */
void cluster_map_put_move(struct cluster_map *map, const struct map_move *move);
/* Of the topic and number that the move names. UNKNOWN_TOPIC, UNKNOWN_PARTITION. */
enum status cluster_map_find_partition(struct cluster_map *map, const struct map_move *move,
                                       struct map_partition **out_partition) MUST_CHECK;

#endif
