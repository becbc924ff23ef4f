/* What every service of a broker knows: where the partitions are, whether requests are taken, and how many are in work. The `service`
 * of all handlers. Owned by the node; the fields without a comment never change while it serves.
 */
#ifndef CAIRN_SERVER_SERVICES_H
#define CAIRN_SERVER_SERVICES_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/rpc.h"
#include "base/world.h"
#include "controller/controller.h"
#include "log/log_set.h"
#include "proto/health.h"
#include "proto/pack.h"
#include "proto/reflection.h"
#include "server/address.h"
#include "server/brokers.h"
#include "server/looks.h"
#include "server/map_follower.h"
#include "server/options.h"
#include "server/partition.h"
#include "server/progress_board.h"
#include "server/routing.h"

struct map_watches;

enum services_stage { SERVICES_LOADING, SERVICES_SERVING, SERVICES_DRAINING };

struct services {
  const struct options *options;
  struct world *world;
  struct routing *routing;
  struct partition_host *hosts; /* by lane */
  struct looks *looks;          /* by lane */
  struct list *streams;         /* append streams, by the lane that is their home; each on that lane */
  unsigned lane_count;
  bool alone;                    /* no other broker can know better */
  struct controller *controller; /* lane 0 */
  struct map_follower *follower; /* lane 0 */
  struct offload *planner;       /* of moves */
  const struct brokers *brokers;
  struct map_watches *watches;        /* lane 0 */
  const struct progress_board *board; /* how far moves are; on lane 0 */
  struct account *answers;            /* what is told of much: clients may leave it lying */
  struct health *health;
  struct reflection *reflection;
  struct log_identity identity;
  char advertised[ADDRESS_TEXT_SIZE];

  uint32_t stream_requests; /* in flight on all append streams; transport's thread */
  uint32_t plans;           /* of moves, that are asked for and not told yet; lane 0 */

  atomic_int stage;    /* enum services_stage */
  atomic_uint in_work; /* requests and streams, plus one for the node until it stops */
  atomic_bool idle;    /* set when in_work has come to 0 */
};

/* @any-thread. Counts a request that will outlive its handler. */
void services_begin(struct services *services);
void services_end(struct services *services);

/* True: the broker does not serve (yet, or any more), and the call was told so. */
bool services_refuse(struct services *services, struct rpc_call *call);
/* NULL while it serves. */
struct failure *services_not_serving(struct services *services);

/* The partition, held, or NULL and why. @any-thread */
struct partition *services_find(struct services *services, struct bytes topic, uint32_t number, struct failure **out_failure);

/* NOT_LEADER, naming the address of the broker to ask; 0: nobody in particular. @any-thread */
struct failure *services_not_leader(struct services *services, uint32_t ask);
/* The same of group 0, naming who leads it as far as this broker knows. On lane 0. */
struct failure *services_not_leader_of_map(struct services *services);
/* The map does not name the topic, and has lost something (controller_has_lost). */
struct failure *services_cannot_tell(struct bytes topic);

/* Ends a call for which services_find() found nothing, and frees the failure. That there is no such topic is asked of the others first, where there
 * are others: this broker may have ceased to lead group 0 and not know it yet. @any-thread */
void services_fail_route(struct services *services, struct rpc_call *call, struct failure *failure);
/* The same for one request of a stream, which cannot wait: whoever wants to know for certain asks with a call of its own. */
struct failure *services_route_failure_in_stream(struct services *services, struct failure *failure);

/* Ends the call with it and frees it. @any-thread */
void services_fail(struct rpc_call *call, struct failure *failure);
/* Sends a unary answer. @any-thread */
void services_answer(struct rpc_call *call, struct blob_part part);
/* The same, charged, for answers that can be large: without room NO_MEMORY. Only of what changed nothing, for the refusal says so. @any-thread */
void services_tell(struct services *services, struct rpc_call *call, const ProtobufCMessage *message);

#endif
