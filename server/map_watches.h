/* Who watches the map on this broker, and when each is told what: cairn.v1.Admin.WatchCluster, behind its handler (watch_service.c).
 *
 *   the map changes ──> the history has one more delta ──> each watch that has taken its last message gets what it lacks
 *   the transport took a message ──> the same for that one
 *   nothing was told for two seconds ──> that nothing happens
 *   the broker stops ──> all end at once, DRAINING
 *
 * What is told when is decided by controller/map_watch.h. One message of a watch is on its way at a time; whoever does not take it holds
 * that one, and no more. A version that the map here does not have yet is waited for, a moment; then whoever leads group 0 is named, and where
 * this broker does, and the version was never decided, the whole map comes.
 *
 * Owned by the node. On lane 0, except new and free.
 */
#ifndef CAIRN_SERVER_MAP_WATCHES_H
#define CAIRN_SERVER_MAP_WATCHES_H

#include "controller/map_watch.h"
#include "server/services.h"

struct map_watches;

struct map_watches *map_watches_new(const struct options *options, struct account *account);
void map_watches_free(struct map_watches *watches); /* after all calls and lanes have ended; NULL is fine */

/* What the controller tells, also while it is opened: the same fields of a controller_watch. */
void map_watches_map_changed(void *watches, const struct cluster_map *map, const struct map_delta *delta);
void map_watches_map_came(void *watches, const struct cluster_map *map);

/* From here on there may be watches. */
void map_watches_start(struct map_watches *watches, struct services *services);
/* All end, and those that come are refused. */
void map_watches_drain(struct map_watches *watches);

/* One watch: its call's, until both have ended. */
struct watching {
  struct list_node node;
  struct map_watches *watches;
  struct services *services;
  struct rpc_call *call;
  struct map_filter filter; /* until it begins */
  uint64_t from;
  bool from_now;

  struct task start_task;
  struct task taken_task;
  struct task closed_task;
  struct replica_read confirm;

  struct map_watch watch;
  bool began;       /* `watch` is in force */
  bool under_way;   /* a message is */
  bool confirming;  /* `confirm` is */
  bool counted;     /* among what the broker has in work */
  bool ended;       /* it is told nothing any more */
  bool closed;      /* its call is over */
  uint64_t told_ns; /* when it was told something last, or came */
};

/* It came; it was sent what was under way; its call is over. A watch frees itself. */
void map_watches_add(struct watching *watching);
void map_watches_taken(struct watching *watching);
void map_watches_closed(struct watching *watching);

#endif
