/* Raises the cluster's feature level (controller/feature_level.h) by itself, where group 0 is led: of a cluster that never had a topic always, so that a
 * new one begins with all that its brokers can; of any other only where that is wanted (auto-upgrade), for there is no way back. Only while all
 * brokers that are part of it are up: one that is down may come back as an older version. Where it is not wanted, and a level could be
 * had, it says so once. On lane 0, except new and free.
 */
#ifndef CAIRN_SERVER_UPGRADER_H
#define CAIRN_SERVER_UPGRADER_H

#include <stdbool.h>

#include "base/loop.h"
#include "controller/controller.h"
#include "replication/lane.h"

struct upgrader;

struct upgrader *upgrader_new(void);
void upgrader_free(struct upgrader *upgrader); /* PRE: not started, or stopped. NULL is fine */
struct upgrader_wiring {
  struct lane *lane; /* 0 */
  struct controller *controller;
  broker_id self;
  bool wanted;
};
void upgrader_start(struct upgrader *upgrader, const struct upgrader_wiring *wiring);
/* From now on it is wanted, or not. */
void upgrader_set(struct upgrader *upgrader, bool wanted);
/* A broker stands in the map otherwise than before, or group 0 is led by another one. It may come before the start. */
void upgrader_wake(struct upgrader *upgrader);
void upgrader_stop(struct upgrader *upgrader, void (*done)(void *context), void *context);

#endif
