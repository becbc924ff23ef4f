/* Empties brokers, where group 0 is led: those that are to leave, and those that have been missed for long. One partition after the other is asked to
 * move (evacuation.h), a few at a time; a broker that is to leave and has none left is written down as gone. What one leader of group 0 has begun
 * stands in the map, so the next one goes on with it; how long a broker has been missed each counts anew. On lane 0, except new and free.
 */
#ifndef CAIRN_SERVER_STEWARD_H
#define CAIRN_SERVER_STEWARD_H

#include "base/loop.h"
#include "controller/controller.h"
#include "replication/lane.h"

#define STEWARD_MOVES_MAX 16u /* moves under way beyond which no more are asked for, whoever asked for these */

struct steward;

struct steward *steward_new(void);
void steward_free(struct steward *steward); /* PRE: not started, or stopped. NULL is fine */
struct steward_wiring {
  struct lane *lane; /* 0 */
  struct controller *controller;
  broker_id self;
  uint64_t replace_after_ns; /* a broker that is missed for so long is emptied as if it left; 0: never */
};
void steward_start(struct steward *steward, const struct steward_wiring *wiring);
/* A broker stands in the map otherwise than before, or group 0 is led by another one. It may come before the start. */
void steward_wake(struct steward *steward);
void steward_stop(struct steward *steward, void (*done)(void *context), void *context);

#endif
