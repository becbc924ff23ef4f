/* The controller: group 0's state machine. It validates a change against the map, proposes it as a command, applies it when it is
 * committed, and tells whoever registered. One command is in flight at a time, the others wait in line (at most
 * CONTROLLER_QUEUE_MAX, then STATUS_BUSY): so each is validated against the map that it will meet.
 *
 * On lane 0, except controller_open().
 */
#ifndef CAIRN_CONTROLLER_CONTROLLER_H
#define CAIRN_CONTROLLER_CONTROLLER_H

#include <stdint.h>

#include "base/status.h"
#include "controller/cluster_map.h"
#include "controller/command.h"
#include "replication/lane.h"
#include "replication/replica.h"

#define CONTROLLER_QUEUE_MAX 1000u

struct controller;

/* Told on lane 0, in log order, after the map has changed. */
struct controller_watch {
  void (*topic_created)(void *context, const struct map_topic *topic);
  void (*topic_altered)(void *context, const struct map_topic *topic);
  void (*topic_deleted)(void *context, const struct map_topic *topic); /* gone from the map; borrowed during the call */
  void *context;
};

/* `log` is group 0's. Restores and replays before it returns; the watch is told nothing of what was there already. `replica`: who this
 * broker is and who founded the group. */
enum status controller_open(struct world *world, struct lane *lane, struct log *log, const struct replica_options *replica,
                            const struct controller_watch *watch, struct controller **out_controller) MUST_CHECK;
void controller_free(struct controller *controller); /* after the lane stopped; NULL is fine */

const struct cluster_map *controller_map(const struct controller *controller);
/* Who leads group 0, as far as this broker knows; 0: it does not. */
broker_id controller_leader(const struct controller *controller);

/* A change asked for. Kept alive by the caller until `done`, which runs after the watch was told. */
struct change {
  struct list_node node;
  enum command_kind kind;
  bool validate_only;
  /* CREATE_TOPIC: name, partition_count (0: 1), replicas (0: min(3, brokers)), settings. ALTER_TOPIC: name, and `mask` says which settings count. DELETE_TOPIC: name. */
  char name[TOPIC_NAME_MAX + 1];
  uint32_t partition_count;
  uint32_t replicas;
  struct topic_settings settings;
  bool set_retention_bytes, set_retention_ms, set_segment_bytes, set_record_bytes_max;
  struct map_broker broker;            /* REGISTER_BROKER */
  uint8_t cluster_id[CLUSTER_ID_SIZE]; /* REGISTER_BROKER */

  void (*done)(struct change *change);
  enum status status;
  char problem[256];             /* in words, when the status is not OK */
  const struct map_topic *topic; /* CREATE, ALTER: the topic as it is now (validate_only: as it would be); valid during `done` */
  uint64_t topic_id;             /* DELETE */
};
void controller_change(struct controller *controller, struct change *change);

#endif
