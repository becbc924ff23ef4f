/* Between the files of the controller: controller.c (the map, as it is applied and told), controller_change.c (what is asked of it), controller_ahead.c. */
#ifndef CAIRN_CONTROLLER_CONTROLLER_INTERNAL_H
#define CAIRN_CONTROLLER_CONTROLLER_INTERNAL_H

#include "controller/controller.h"

struct controller {
  struct world *world;
  struct lane *lane;
  struct replica *replica;
  uint32_t founders;
  struct cluster_map *map;
  struct feature_range features; /* what this broker can */
  uint32_t outgrown;             /* the level that it cannot, which the cluster has; 0: it can. Nothing is applied any more */
  struct cluster_map *next;      /* has come as a whole, and is not in force yet; NULL: none has */
  struct controller_watch watch;
  struct broker_watch brokers;
  uint64_t led_since_ns; /* if this broker leads */
  struct list waiting;   /* changes, in the order they came */
  size_t waiting_count;
  struct change *current;
  struct proposal proposal;      /* of the current change */
  struct replica_read confirm;   /* of its refusal */
  enum status applied_status;    /* of the command applied last */
  const struct map_topic *topic; /* that it made or altered */
  uint64_t topic_id;             /* that it deleted */
  bool open;                     /* entries applied before this are history: nobody is told */
  entry_index found_through;     /* what was in the log when it was opened; 0: it is applied, or was cut */
  uint64_t kept_entries;         /* of the log, when the stored map covers them */
};

bool controller_is_up(const struct controller *controller, broker_id broker);

/* ---- controller_change.c ---- */

/* Goes on with the changes that wait, if it may: somebody else leads by now, or this broker is ready, or the one before is over. */
void controller_pump(struct controller *controller);

#endif
