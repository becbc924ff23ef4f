/* grpc.health.v1: is this broker, or one of its services, ready? What load balancers and supervisors ask.
 *
 * The service "" is the broker as a whole. Check answers NOT_FOUND for a service that was never set; Watch answers SERVICE_UNKNOWN
 * and goes on watching, as the protocol wants. A watcher that does not read misses values in between, never the last one.
 *
 * rpc_serve() gives all handlers one `service` pointer, so a server has rows like these, each calling the function here:
 *   {HEALTH_CHECK_METHOD, RPC_UNARY, .message = ...health_check}
 *   {HEALTH_WATCH_METHOD, RPC_SERVER_STREAM, .message = ...health_watch, .sent = ...health_watch_sent, .closed = ...health_watch_closed}
 */
#ifndef CAIRN_PROTO_HEALTH_H
#define CAIRN_PROTO_HEALTH_H

#include <stdbool.h>

#include "base/rpc.h"

#define HEALTH_CHECK_METHOD "/grpc.health.v1.Health/Check"
#define HEALTH_WATCH_METHOD "/grpc.health.v1.Health/Watch"

/* Watchers at one time; the next is refused with BUSY. */
#define HEALTH_WATCHERS_MAX 256u
#define HEALTH_SERVICES_MAX 16u
#define HEALTH_SERVICE_NAME_MAX 63u

struct health;

struct health *health_new(void);
void health_free(struct health *health); /* after rpc_serve_stop(); NULL is fine */

/* @any-thread. PRE: the name is short enough and there are not too many; they are ours. */
void health_set(struct health *health, const char *service, bool serving);
/* @any-thread. Everything that is set becomes not serving: the broker is shutting down. */
void health_set_all(struct health *health, bool serving);

/* Take over the hold on `message`. */
void health_check(struct health *health, struct rpc_call *call, struct blob *message);
void health_watch(struct health *health, struct rpc_call *call, struct blob *message);
void health_watch_sent(struct health *health, struct rpc_call *call);
void health_watch_closed(struct health *health, struct rpc_call *call, bool cancelled);

#endif
