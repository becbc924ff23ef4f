/* What a change comes to: the command that makes it true, or why not, in words. Pure: against the map as it is, and a few facts that only
 * whoever leads group 0 knows.
 */
#ifndef CAIRN_CONTROLLER_DECIDE_H
#define CAIRN_CONTROLLER_DECIDE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/status.h"
#include "controller/cluster_map.h"
#include "controller/command.h"

/* The brokers that one partition is to have, the one that is to lead first. */
struct change_place {
  uint32_t brokers[MAP_REPLICAS_MAX];
  uint32_t count; /* more than there is room for: refused */
};

/* A change asked for, and what became of it. */
struct change {
  struct list_node node;
  enum command_kind kind;
  bool validate_only;
  /* CREATE_TOPIC: name, partition_count (0: 1), replicas (0: min(3, brokers)), settings, places. ALTER_TOPIC: name, and `set_...` says which settings
   * count. DELETE_TOPIC: name. GROW_TOPIC: name, partition_count (as many as it is to have), places. */
  char name[TOPIC_NAME_MAX + 1];
  uint32_t partition_count;
  uint32_t replicas;
  struct change_place *
      places; /* the asker's until `done`. CREATE_TOPIC: of all partitions; partition_count and replicas are 0 or as here. GROW_TOPIC: of
                                  * the new ones */
  size_t place_count; /* 0: they are spread evenly */
  struct topic_settings settings;
  bool set_retention_bytes, set_retention_ms, set_segment_bytes, set_record_bytes_max;
  struct map_broker broker;            /* REGISTER_BROKER; SET_STANDING: id and standing */
  uint8_t cluster_id[CLUSTER_ID_SIZE]; /* REGISTER_BROKER */
  /* MOVE_PARTITION: name, partition, and the brokers that are to have it, the one that is to lead first. PARTITION_MOVED: topic_id, partition,
   * and the move that is over. */
  uint32_t partition;
  uint32_t to[MAP_REPLICAS_MAX];
  uint32_t to_count;
  bool exactly; /* MOVE_PARTITION: only in the place of `move` (0: of none), else BUSY; false: of whatever is under way */
  uint64_t move;
  uint64_t bytes_per_second; /* MOVE_PARTITION: bound of what its new replicas are given; 0: none of its own */
  /* MOVE_PARTITION by a plan: only where the topic is this one (0: whichever has the name), and the partition rests on these brokers in this order
   * (none: wherever it is), or is on its way to `to` or there already; else PLAN_STALE. */
  uint64_t planned_topic_id;
  uint32_t planned_from[MAP_REPLICAS_MAX];
  uint32_t planned_from_count;
  /* MOVE_PARTITION: takes the move under way back instead, to where the partition was; `to` counts for nothing. `move`: only this one, 0: whichever.
   * NOT_FOUND: none is under way. */
  bool take_back;
  uint32_t feature_level; /* SET_FEATURE_LEVEL; 0: as high as any broker can. What it comes to */

  void (*done)(struct change *change);
  enum status status;
  char problem[256]; /* in words, when the status is not OK */
  bool
      unchanged; /* REGISTER_BROKER, SET_STANDING, GROW_TOPIC, SET_FEATURE_LEVEL: the map has it so already, and nothing is written */
  const struct map_topic *
      topic; /* CREATE, ALTER, GROW, MOVE, MOVED: the topic as it is now (validate_only: as it would be, and of partitions that are
                      * not there yet only how many); valid during `done` */
  uint64_t topic_id;             /* DELETE: that was deleted (validate_only: that would be) */
  uint32_t feature_level_before; /* SET_FEATURE_LEVEL: that the cluster had */
};

struct decision_facts {
  const struct cluster_map *map;
  uint32_t brokers;      /* of the cluster, those included that the map does not have yet */
  uint32_t untold;       /* one of these that the map does not have yet; 0: it has all of them */
  uint32_t untold_count; /* how many of these there are, but for the one that the change is about */
  bool brokers_are_late; /* these have had time to tell where they are */
  bool broker_is_up;     /* REGISTER_BROKER: whoever has the number so far */
  uint64_t logs_max;     /* that this broker's journal has files for */
  int64_t time_ms;       /* what the command is to bear */
};

/* OK: `out_command` is complete, and its owner's to deinit, as it is after a refusal. */
enum status decide(const struct decision_facts *facts, struct change *change, struct command *out_command) MUST_CHECK;

/* May this broker have the number that it registers with? Of an older map as good as of the newest: a directory that was replaced stays it.
 * `is_up`: whoever has the number so far is, as far as is known. DIRECTORY_REPLACED, BROKER_ID_TAKEN. */
enum status decide_whose_number(const struct cluster_map *map, struct change *change, bool is_up) MUST_CHECK;

/* Puts the words into the change. Returns the status. */
enum status decide_refuse(struct change *change, enum status status, const char *problem);

#endif
