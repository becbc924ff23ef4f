/* The map of the cluster: brokers, topics, partitions, where they are. Pure: apply(command) and nothing else changes it; two maps that
 * applied the same commands are equal. Every fact about the cluster is here first; a broker acts only on the map.
 *
 * 1. Topic ids and group ids are never reused, whatever is deleted.
 * 2. A topic's name is unique among the living.
 * 3. `version` rises by one with every command.
 * 4. A broker has one directory. One that it had before is refused for good; of those the map knows the last MAP_EARLIER_MAX.
 * 5. A broker is gone only where no partition has a replica on it, or is to have one.
 * 6. A partition's replicas change only when the very move that is under way is said to be over: what is known of an earlier one, also one
 *    to the same brokers, changes nothing.
 * 7. The feature level never goes back. Who can what is looked at before a level is asked for (decide.h) and not when it is applied: what is
 *    committed is so for everybody who can read it.
 */
#ifndef CAIRN_CONTROLLER_CLUSTER_MAP_H
#define CAIRN_CONTROLLER_CLUSTER_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/map.h"
#include "base/status.h"

#define TOPIC_NAME_MAX 249u
#define TOPIC_PARTITIONS_MAX 10000u
#define MAP_TOPICS_MAX 100000u
#define MAP_PARTITIONS_MAX 200000u
#define CLUSTER_ID_SIZE 16u

struct topic_settings {
  int64_t retention_bytes;
  int64_t retention_ms;
  int64_t segment_bytes;
  int64_t record_bytes_max;
};
extern const struct topic_settings topic_settings_default;

#define MAP_REPLICAS_MAX 7u /* as many voters as a group may have */
#define MAP_ADDRESS_SIZE 64u
#define MAP_RACK_SIZE 64u
#define MAP_BROKERS_MAX 1000u       /* those that are gone too */
#define MAP_BROKERS_PRESENT_MAX 16u /* as many members as a group may have: each of them follows group 0 */
#define MAP_EARLIER_MAX 16u

/* Where a replica was put: on this broker, in this directory of it. A directory that the broker has later changes nothing here. A replica that
 * comes back to where one was given up is another: `placement` tells them apart. */
struct map_replica {
  uint32_t broker;
  uint8_t incarnation[CLUSTER_ID_SIZE];
  uint64_t placement; /* 0: from the founding on; else the number of the move that put it there */
};

/* One partition of a topic, and its replicas, as it was founded or as its last move left it: the first is to lead it. */
struct map_partition {
  uint32_t number;
  uint32_t replica_count; /* 0: made by a Cairn that knew one broker only, which has it */
  uint64_t group;
  uint64_t instance;
  struct map_replica replicas[MAP_REPLICAS_MAX];
};

#define MAP_MOVES_MAX 1000u    /* under way at a time */
#define MAP_MOVE_KNOWN_MAX 32u /* replicas of one partition, until it rests */

/* A partition is on its way to other replicas. It belongs to those that it has, those that it is to have, and perhaps to some that an
 * earlier move, which this one took the place of, wanted it to have: none of them may give anything up before the move is over. */
struct map_move {
  uint64_t topic_id;
  uint32_t partition;
  uint64_t group;
  uint64_t number;           /* the version of the map that began it: no other move has it */
  uint64_t bytes_per_second; /* old entries go to its new replicas no faster than this; 0: as fast as brokers give them */
  uint32_t target_count;
  struct map_replica target[MAP_REPLICAS_MAX];
  /* All who may belong to it since it was last at rest: whoever is named again is the same replica. */
  uint32_t known_count;
  struct map_replica known[MAP_MOVE_KNOWN_MAX];
};

struct map_topic {
  char *name;
  uint64_t id;
  uint32_t replicas;
  struct topic_settings settings;
  int64_t created_ms;
  struct map_partition *partitions;
  uint32_t partition_count;
};

/* What is wanted of a broker, as long as it is there. */
enum map_standing {
  STANDING_IN = 0,      /* it has replicas and leads */
  STANDING_DRAINED = 1, /* it leads nothing that another one can lead */
  STANDING_LEAVING = 2, /* the same; its replicas go to others, and it gets no new ones */
  STANDING_GONE = 3     /* it has none any more: its directory is no part of the cluster, another one may come in its place */
};
#define STANDINGS 4u

struct map_broker {
  uint32_t id;
  uint8_t incarnation[CLUSTER_ID_SIZE];
  char advertised[MAP_ADDRESS_SIZE];   /* for clients */
  char peer_address[MAP_ADDRESS_SIZE]; /* for brokers; "": it takes no peers */
  char rack[MAP_RACK_SIZE];            /* what falls together has the same one; "": not known, it stands alone */
  enum map_standing standing;
  uint32_t feature_least; /* what it told of feature levels, ... */
  uint32_t feature_most;  /* ... 0: nothing; read with map_broker_features() */
  uint32_t earlier_count; /* directories that it had before, the newest last: none of them is ever this broker again */
  uint8_t earlier[MAP_EARLIER_MAX][CLUSTER_ID_SIZE];
};

struct cluster_map;
struct command;

struct cluster_map *cluster_map_new(uint64_t seed);
void cluster_map_free(struct cluster_map *map); /* NULL is fine */

uint64_t cluster_map_version(const struct cluster_map *map);
const uint8_t *cluster_map_cluster_id(const struct cluster_map *map);
size_t cluster_map_topic_count(const struct cluster_map *map);
size_t cluster_map_partition_count(const struct cluster_map *map);
uint64_t cluster_map_next_topic_id(const struct cluster_map *map);
uint64_t cluster_map_next_group_id(const struct cluster_map *map);
uint32_t cluster_map_feature_level(const struct cluster_map *map);                           /* feature_level.h; from 1 on */
const struct map_topic *cluster_map_topic(const struct cluster_map *map, struct bytes name); /* NULL: none */
const struct map_topic *cluster_map_topic_by_id(const struct cluster_map *map, uint64_t id);
const struct map_broker *cluster_map_broker(const struct cluster_map *map, uint32_t id);
/* It had this directory before the one that it has. */
bool map_broker_had(const struct map_broker *broker, const uint8_t incarnation[CLUSTER_ID_SIZE]);

/* Brokers by number, the first above `after`; NULL at the end. */
const struct map_broker *cluster_map_broker_after(const struct cluster_map *map, uint32_t after);
size_t cluster_map_broker_count(const struct cluster_map *map);
bool map_replicas_have(const struct map_replica *replicas, uint32_t count, uint32_t broker);
/* They are on these, in this order. */
bool map_replicas_are(const struct map_replica *replicas, uint32_t count, const uint32_t *brokers, uint32_t broker_count);
/* How many partitions have a replica on this broker, or may have one as long as they have not come to rest. */
size_t cluster_map_replicas_of(const struct cluster_map *map, uint32_t broker);

/* Moves under way, by group, the first above `after`; NULL at the end. */
const struct map_move *cluster_map_move_after(const struct cluster_map *map, uint64_t after);
const struct map_move *cluster_map_move(const struct cluster_map *map, uint64_t group); /* NULL: it stays where it is */
size_t cluster_map_move_count(const struct cluster_map *map);
/* The same among those that the move knows, with the placement that it has; NULL: it would be one more. */
const struct map_replica *map_move_known(const struct map_move *move, const struct map_replica *wanted);

/* Topics in order of name, the first whose name is above `after` (empty: the first); NULL at the end. Searches: for who comes back after the map
 * may have changed. */
const struct map_topic *cluster_map_topic_after(const struct cluster_map *map, struct bytes after);
/* The same order by place, from 0 on; NULL at the end. A step costs nothing: for who walks over all of them. Places are those of this version. */
const struct map_topic *cluster_map_topic_at(const struct cluster_map *map, size_t place);

/* Applies a command. STATUS_OK, or why it changed nothing but the version (STATUS_TOPIC_EXISTS, STATUS_UNKNOWN_TOPIC, ...). */
enum status cluster_map_apply(struct cluster_map *map, const struct command *command) MUST_CHECK;

/* The whole map as bytes (cairn.internal.v1.ClusterMap), and back. From feature level 2 on a head stands before it: map_head.h. */
enum status cluster_map_encode(const struct cluster_map *map, struct buffer *out) MUST_CHECK;
enum status cluster_map_decode(struct cluster_map *map,
                               struct bytes bytes) MUST_CHECK; /* PRE: new. STATUS_CORRUPT, STATUS_FOREIGN */

/* 1 to 249 of [a-zA-Z0-9._-], neither "." nor "..". */
bool topic_name_valid(struct bytes name);
/* 1 to 63 of [a-zA-Z0-9._-]. */
bool rack_name_valid(struct bytes name);
/* NULL: fine. Else which setting, its bounds, in words. */
const char *topic_settings_problem(const struct topic_settings *settings);

#endif
