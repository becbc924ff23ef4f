/* Between map_follower.c (what happens while the broker runs) and map_follower_start.c (what it finds at start). */
#ifndef CAIRN_SERVER_MAP_FOLLOWER_INTERNAL_H
#define CAIRN_SERVER_MAP_FOLLOWER_INTERNAL_H

#include "base/map.h"
#include "server/map_follower.h"

struct map_follower {
  struct map_follower_options options;
  struct list openings;
  struct map *opens;           /* what they open: struct opening_place, by group */
  struct list settling;        /* waits for all openings */
  struct map *leftovers;       /* at start: partitions of deleted topics, by group */
  struct lost_partition *lost; /* at start: those of which nothing is left */
  size_t lost_count;
  struct missing_partition *missing; /* at start: those to be made */
  size_t missing_count;
  struct map *early;     /* at start: partitions of topics that are only ahead, by group */
  struct map *unclaimed; /* logs that were left alone, by group */
  struct map *unread;    /* logs that could not be read, by group */
  struct map *arrivals;  /* by group */
  group_id doubted;      /* the start lost something, and groups below it may have been here; 0: nothing is in doubt */
  bool caught_up;        /* the map has everything that was known at start, so that what it says is to be done */
  bool made;             /* map_follower_make() has run */
  bool settles;          /* `settled` waits, or has been told */
  struct map_follower_wait settled;
  bool known; /* the map has this directory: what only an earlier one of this broker had is lost */
};

/* It is to be opened here as soon as an earlier opening of the same partition has ended. */
struct arrival {
  uint64_t topic_id;
  char *name;
  struct topic_settings settings;
  struct map_partition own;
  bool lost;
};

struct missing_partition {
  uint64_t topic_id;
  uint32_t number;
  bool lost; /* it was there, and rot took all of it; others have it */
};

/* Nobody has it: it stays lost. */
struct lost_partition {
  struct map_partition place;
  struct log_settings settings;
};

/* One lane's part of an opening: first a task there, then a report on lane 0. */
struct opening_lane {
  struct task task;
  struct lane_fence fence;
  struct timer again; /* an earlier replica of the same partition is not quite gone */
  struct opening *opening;
  unsigned lane;
  uint32_t next;
  enum status status;
};

/* Where a group stands in the opening that opens it, of which there is one at a time. */
struct opening_place {
  struct opening *opening;
  uint32_t at; /* in its `wanted` */
};

struct opening {
  struct map_follower *follower;
  struct list_node node;
  uint64_t topic_id;
  char *name;
  struct topic_settings settings;      /* fixed: lanes read it */
  struct topic_settings next_settings; /* if altered meanwhile */
  bool altered;
  bool *lost;   /* beside `wanted`: it was there, and is to be had from others */
  bool deleted; /* meanwhile */
  bool *left;   /* beside `wanted`: it is to be elsewhere by now; NULL: none is */
  struct map_partition *wanted;
  struct opening_place *places; /* beside `wanted` */
  struct partition **opened;    /* beside `wanted`; each written by its lane */
  uint32_t count;
  struct opening_lane *lanes;
  unsigned lanes_left;
  enum status status;
  struct list waits;
};

/* Has this very directory a replica of it? */
bool map_follower_has(const struct map_follower *follower, const struct map_partition *place);
/* Which replica of it this directory has, or is to have: the place, with the number of its first log. False: none. */
bool map_follower_own(const struct map_follower *follower, const struct map_partition *place, const struct map_move *move,
                      struct map_partition *out_own);
/* True: it has to be made. Else routing knows why it is not here, or where it is. */
bool map_follower_wants(struct map_follower *follower, const struct map_topic *topic, uint32_t i);
/* It was here, and rot has taken all of it: it begins as one that has forgotten. */
bool map_follower_has_lost(const struct map_follower *follower, const struct map_topic *topic, uint32_t i);
/* An opening of this group has ended: what waited for that begins. */
void map_follower_next_arrival(struct map_follower *follower, group_id group, bool deleted);
/* What the controller tells of places. */
void map_follower_placed(void *context, const struct map_topic *topic, uint32_t i, const struct map_move *move);
void map_follower_caught_up(void *context, const struct cluster_map *map);
/* Who belongs to it from its founding on. False: this broker alone. */
bool map_follower_founding(const struct map_partition *place, struct raft_config *out_config);
/* It is on other brokers: routing is told which. */
void map_follower_point_elsewhere(struct map_follower *follower, const struct map_topic *topic, uint32_t i);
struct partition_host *map_follower_host(const struct map_follower *follower, group_id group);
void map_follower_open(struct map_follower *follower, const struct map_topic *topic, struct map_partition *wanted, uint32_t count,
                       bool *lost);
void map_follower_send_close(struct partition *partition); /* its topic is deleted */
void map_follower_send_leave(struct partition *partition); /* it is on other brokers now */
/* Its brokers by the map, and whether it is on its way to others; for whoever leads it. */
void map_follower_send_places(struct partition *partition, const struct map_partition *place, bool moving);
void map_follower_tell_lost(const struct map_topic *topic, uint32_t i);

#endif
