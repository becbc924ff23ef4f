/* Makes this broker what group 0's map says: opens a log for every partition that is placed here, closes those whose topic was
 * deleted, and keeps routing in step. It acts on the map and on nothing else.
 *
 *   created    routing knows the topic; its logs are made on their lanes; a partition is routed once its OPEN frame is durable
 *   grown      the same for what is new of it
 *   altered    settings go to the partitions
 *   moved      which brokers have them, and which of these is to lead, goes there too
 *   deleted    routing forgets the topic; its partitions answer whoever waits and delete their logs
 *   placed     a partition that is to move here gets a log with the number of its move: it is another replica than any that was here before
 *              (docs/decisions/0015-placements.md). One whose move is over and that is not here was lost, and begins as one that has forgotten
 *              its promises. Who is not to be here deletes it once the move is over; as long as one is under way nobody does
 *
 * At start it gives each recovered log to its lane. A partition in the map without a log is made, as it would have been had the broker not
 * stopped, unless the journal lost something to rot: then it may have been there, and stays absent as damaged. A log without a
 * partition in the map, or of one that is elsewhere, is deleted only if the map knows its group; in any doubt it is left alone.
 *
 * Unreadable is not absent, and not damaged either: a partition whose files the disk would not read is tried again a few times, as long as the
 * broker starts, and else refused as UNREADABLE until the next start. Its log stays as it was found.
 *
 * Among several brokers the map may be behind what this broker has done already: it did it when it heard that the command is committed, and
 * has to hear that again. So there are two maps at start: the one that is committed for sure, and the one `ahead`, with all that is in
 * group 0's log. A log whose topic is only in the second one is opened, and waits to be told of. No log is ever made in place of one that is there.
 *
 * A group lives on lane (group id modulo lanes). Everything runs on lane 0 unless it says otherwise.
 */
#ifndef CAIRN_SERVER_MAP_FOLLOWER_H
#define CAIRN_SERVER_MAP_FOLLOWER_H

#include "base/world.h"
#include "controller/controller.h"
#include "log/log_set.h"
#include "server/partition.h"
#include "server/routing.h"

struct map_follower;

struct map_follower_options {
  struct world *world;
  struct log_set *logs;
  struct routing *routing;
  struct partition_host *hosts; /* by lane */
  unsigned lane_count;
  void (*moving)(void *context); /* a partition is to move; NULL: nobody wants to know */
  void *moving_context;
  const struct cluster_map *(*map)(void *context); /* today's; NULL: what is opened is where it was when that began */
  void *map_context;
};

struct map_follower *map_follower_new(const struct map_follower_options *options);
void map_follower_free(struct map_follower *follower); /* NULL is fine */

/* What the controller tells. */
struct controller_watch map_follower_watch(struct map_follower *follower);

/* What a broker knows of the map when it starts. */
struct known_map {
  const struct cluster_map *today;
  const struct cluster_map
      *ahead; /* what it will be if all that is in its log is committed; may be today's; NULL: it could not be read */
  const struct cluster_map
      *passing; /* the same, and what is deleted on the way is still there; the same as `ahead` where nothing is */
  bool whole;   /* its log has lost nothing to damage */
};

/* At start, on the opening thread: opens what was recovered, and blocks. `doubt`: the map, or the journal, lost something to damage. */
struct map_follower_report {
  size_t opened;
  size_t missing; /* map_follower_make() makes them */
  size_t early;   /* opened, of partitions that are only ahead, also of those that are deleted there again */
  size_t damaged; /* kept closed */
  size_t unread;  /* the same, until the next start */
  size_t deleted; /* left over of deleted topics: map_follower_make() deletes them */
  size_t orphans; /* left alone */
};
struct map_follower_report map_follower_adopt(struct map_follower *follower, const struct known_map *known, bool doubt);
/* Then, once the lanes have taken what was opened: begins to make what is missing and to delete what is left over. */
void map_follower_make(struct map_follower *follower, const struct cluster_map *map); /* today's */

/* On lane 0, when the map has this very directory as the broker's: the second time and later nothing happens. */
void map_follower_known(struct map_follower *follower, const struct cluster_map *map);

/* Tells once every partition of the topic that can be opened is open (or the topic is gone). `done` may run at once. */
struct map_follower_wait {
  struct list_node node;
  void (*done)(struct map_follower_wait *wait);
  enum status status; /* OK, UNKNOWN_TOPIC (deleted meanwhile), IO (the journal failed) */
};
void map_follower_when_open(struct map_follower *follower, uint64_t topic_id, struct map_follower_wait *wait);
/* The same for everything that is being opened now. */
void map_follower_when_settled(struct map_follower *follower, struct map_follower_wait *wait);

#endif
