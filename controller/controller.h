/* The controller: group 0's state machine. It validates a change against the map, proposes it as a command, applies it when it is
 * committed, and tells whoever registered. One command is in flight at a time, the others wait in line (at most
 * CONTROLLER_QUEUE_MAX, then STATUS_BUSY): so each is validated against the map that it will meet. Among several brokers the one that leads
 * group 0 decides, when it has applied what earlier leaders left; the others answer STATUS_NOT_LEADER.
 *
 * On lane 0, except controller_open().
 */
#ifndef CAIRN_CONTROLLER_CONTROLLER_H
#define CAIRN_CONTROLLER_CONTROLLER_H

#include <stdint.h>

#include "base/status.h"
#include "controller/cluster_map.h"
#include "controller/decide.h"
#include "controller/feature_level.h"
#include "controller/map_delta.h"
#include "replication/lane.h"
#include "replication/replica.h"

#define CONTROLLER_QUEUE_MAX 1000u
#define CONTROLLER_LOG_BYTES_KEPT (16u << 20) /* and a segment more, whatever controller_keep_newest() says */

struct controller;

/* Told on lane 0, in log order, after the map has changed, and when this broker's disk has what changed it. Where the map comes as a whole,
 * with a snapshot of group 0, what is otherwise than before is told as if it had been applied. */
struct controller_watch {
  void (*topic_created)(void *context, const struct map_topic *topic);
  void (*topic_altered)(void *context, const struct map_topic *topic);
  void (*topic_grown)(void *context, const struct map_topic *topic, uint32_t first); /* partitions from this one on are new */
  void (*topic_deleted)(void *context, const struct map_topic *topic); /* gone from the map; borrowed during the call */
  /* Its replicas, or where it is to move, are otherwise than before, or it came with a move. `move`: NULL, none is under way. Not before
   * caught_up: what a place was in between, others have done with long ago, and this broker too. */
  void (*partition_placed)(void *context, const struct map_topic *topic, uint32_t partition, const struct map_move *move);
  /* Everything that was in group 0's log when it was opened is applied, or was cut, or a map came that has it. Not told where that is so from the beginning. */
  void (*caught_up)(void *context, const struct cluster_map *map);
  void *context;
  /* Every command that was applied, also of those that were there at the opening; and that a map came as a whole, also then. Both may be NULL. */
  void (*map_changed)(void *map_context, const struct cluster_map *map, const struct map_delta *delta);
  void (*map_came)(void *map_context, const struct cluster_map *map);
  void *map_context;
  /* The cluster went to a feature level that this broker cannot. Nothing of it is applied here, nor anything behind it, and no state of it is
   * stored: this process is to end. Not told during the opening (controller_outgrown()). May be NULL. */
  void (*outgrown)(void *outgrown_context, uint32_t level);
  void *outgrown_context;
};

/* `log` is group 0's. Restores and replays before it returns; the watch is told nothing of what was there already. `replica`: who this
 * broker is and who founded the group. `features`: what it can. */
enum status controller_open(struct world *world, struct lane *lane, struct log *log, const struct replica_options *replica,
                            struct feature_range features, const struct controller_watch *watch,
                            struct controller **out_controller) MUST_CHECK;
void controller_free(struct controller *controller); /* after the lane stopped; NULL is fine */

/* On lane 0, once the log is adopted or when it is new: takes part in group 0 from now on. */
void controller_start(struct controller *controller);
/* The broker that leads group 0, where changes are to be asked for; 0: not known. */
broker_id controller_leader(const struct controller *controller);
struct replica_id controller_leader_id(const struct controller *controller); /* the same, with its directory */

/* Before the lane runs: the map as it will be if everything in group 0's log is committed. Owned by the caller; NULL: it cannot be read. */
struct cluster_map *controller_map_ahead(const struct controller *controller);
/* The same, but topics that are deleted on the way stay in it: what was made of them before is known by it. By their ids: of several that had one
 * name only the first has it there. */
struct cluster_map *controller_map_passing(const struct controller *controller);

/* So many entries of group 0's log are kept beyond those that the stored map does not cover: who is further behind takes the map as a whole. Else all are.
 * Each broker does so for itself. */
void controller_keep_newest(struct controller *controller, uint64_t entries);

/* Told on lane 0: a broker stands in the map anew or otherwise than before; and who leads group 0 (0: nobody is known). `here`: this one, and
 * its map has everything that earlier leaders did. */
struct broker_watch {
  void (*registered)(void *context, const struct map_broker *broker);
  void (*leader_changed)(void *context, bool here, broker_id leader);
  void *context;
};
void controller_watch_brokers(struct controller *controller, const struct broker_watch *watch);
/* Before the lanes stop: nobody is told of anything any more. What is applied from here on the next start finds in the map. */
void controller_hush(struct controller *controller);
/* The feature level of the cluster, where this broker cannot it: it must not go on. 0: it can. */
uint32_t controller_outgrown(const struct controller *controller);
/* This broker leads group 0, and is ready to. */
bool controller_leads(const struct controller *controller);
/* Rot has taken entries of its log, and no other broker ever had them: what the map says is so, and it may not be all. */
bool controller_has_lost(const struct controller *controller);
/* Its vote counts in group 0, or it cannot be told yet. */
bool controller_counts_on(const struct controller *controller, broker_id broker);
/* Now and then: where this broker leads group 0, what waited for brokers to be up is done (members.h). */
void controller_look_who_is_up(struct controller *controller);
/* A linearizable look at the map: when it is answered OK, controller_map() has everything that was done before it was asked for. DRAINING:
 * controller_outgrown(). */
void controller_read(struct controller *controller, struct replica_read *read);

const struct cluster_map *controller_map(const struct controller *controller);

/* `change` is kept alive by the caller until its `done`, which runs after the watch was told. */
void controller_change(struct controller *controller, struct change *change);

#endif
