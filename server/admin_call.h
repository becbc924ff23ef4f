/* One request to cairn.v1.Admin, from the transport's thread to lane 0 and back: what its handlers share. A handler starts it as a change of
 * the map or as a look at it, or sends it to the lane of a partition; what then runs there ends it with admin_call_finish() or
 * admin_call_refuse(), once.
 */
#ifndef CAIRN_SERVER_ADMIN_CALL_H
#define CAIRN_SERVER_ADMIN_CALL_H

#include "base/arena.h"
#include "server/services.h"

/* A request and, as it goes on, its change and its answer. */
struct admin_call {
  struct task task;
  struct look look; /* of what changes nothing */
  struct replica_read read;
  struct rpc_call *call;
  struct services *services;
  struct arena *arena; /* of the unpacked request and the answer's parts */
  const ProtobufCMessage *request;
  struct change change;
  struct partition *partition;        /* held; NULL: it is about none */
  struct partition_transfer transfer; /* of TransferLeadership */
  struct map_follower_wait wait;
  struct blob_part answer; /* of CreateTopic, until the partitions are open */
};

/* The handlers, on the transport's thread. Unpacks the request and goes on with `run` on lane 0; takes over the hold on `message`. */
void admin_call_start_change(struct services *services, struct rpc_call *call, struct blob *message,
                             const ProtobufCMessageDescriptor *descriptor, void (*run)(struct task *task));
/* `confirm`: only when this broker's map has everything that was done before it was asked for; else it refuses, and says who leads group 0. */
void admin_call_start_look(struct services *services, struct rpc_call *call, struct blob *message,
                           const ProtobufCMessageDescriptor *descriptor, void (*run)(struct look *look), bool confirm);

/* On the lane of the partition that the request is about, as `where` reads it out of it. If it is not here the call is refused, and told where it
 * is as far as that is known. */
void admin_call_start_at(struct services *services, struct rpc_call *call, struct blob *message,
                         const ProtobufCMessageDescriptor *descriptor,
                         const char *(*where)(const ProtobufCMessage *request, uint32_t *out_partition),
                         void (*run)(struct task *task));

/* The call is answered: it ends. */
void admin_call_finish(struct admin_call *this);
/* The answer is this failure, which is taken over, and it ends. */
void admin_call_refuse(struct admin_call *this, struct failure *failure);
/* The topic that a change is about. False: the name cannot be anybody's, for a longer one would be cut; the call was refused. */
bool admin_call_take_name(struct admin_call *this, const char *name);
/* A change of a topic came back: if it was refused, so is the call. */
bool admin_call_refuse_change(struct admin_call *this);
/* As this broker hears it. `services` is what it says. */
bool admin_call_broker_is_up(void *services, uint32_t broker);
/* A change was refused because another broker leads group 0, or leads it by now: it ends, and is told whom to ask. False: it was not that. */
bool admin_call_refuse_elsewhere(struct admin_call *this, const struct change *change);

#endif
