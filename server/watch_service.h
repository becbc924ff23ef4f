/* cairn.v1.Admin.WatchCluster. Handlers run on the transport's thread, and only unpack; the rest is in map_watches.h, on lane 0. */
#ifndef CAIRN_SERVER_WATCH_SERVICE_H
#define CAIRN_SERVER_WATCH_SERVICE_H

#include "base/rpc.h"

void watch_service_watch(void *services, struct rpc_call *call, struct blob *message);
void watch_service_sent(void *services, struct rpc_call *call);
void watch_service_closed(void *services, struct rpc_call *call, bool cancelled);

#endif
