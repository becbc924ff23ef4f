/* From one map to another that is ahead of it, without the commands between: what is otherwise is told as if they had been applied. */
#ifndef CAIRN_CONTROLLER_MAP_JUMP_H
#define CAIRN_CONTROLLER_MAP_JUMP_H

#include <stdbool.h>

#include "controller/cluster_map.h"
#include "controller/controller.h"

/* All borrowed. */
struct map_jump {
  const struct cluster_map *before;
  const struct cluster_map *after;
  const struct controller_watch *watch;
  const struct broker_watch *brokers;
  bool places; /* where partitions are is told too */
};

/* Topics that are gone, while `before` is in force, as the watch wants to see it. */
void map_jump_tell_gone(const struct map_jump *jump);
/* Everything else, once `after` is. */
void map_jump_tell_new(const struct map_jump *jump);

#endif
