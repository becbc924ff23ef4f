/* The twin of rpc_grpc.h: base/rpc.h spoken between simulated processes, over the wires of sim_net.h.
 *
 * It answers as C core does, also where C core answers by itself: a broker that is not there, a connection that is lost, a
 * deadline, a message beyond all bounds carry a bare status and no `cairn-executed`. Messages of one call stay in order and
 * travel one at a time, as far as the receiver's window lets them; two connections know nothing of each other's order.
 *
 * 1. Callbacks run in events of the process, one at a time, and never inside a call of the one they belong to.
 * 2. A blob that was sent is held for a while after the transport has no more use for it: also when its call is over, also
 *    when the server has stopped. Its bytes must be the same when they leave as they were when they were given.
 * 3. When its process is killed everything ends at once: calls are closed as cancelled, requests are done. So code above unwinds.
 */
#ifndef CAIRN_TESTS_SIM_SIM_RPC_H
#define CAIRN_TESTS_SIM_SIM_RPC_H

#include "base/rpc.h"
#include "tests/sim/sim_net.h"

struct sim_rpc_options {
  size_t window_bytes;     /* of one call, per direction */
  uint64_t release_ns_max; /* how long a blob is held after its last use, mostly */
};

struct rpc *sim_rpc_new(struct sim_process *process, struct sim_net *net, struct sim_host *host,
                        const struct sim_rpc_options *options); /* NULL: defaults */
/* PRE: all channels are closed, all calls and requests released. NULL is fine. */
void sim_rpc_free(struct rpc *rpc);

/* Blobs that were sent and are not released yet. */
size_t sim_rpc_held(const struct rpc *rpc);

#endif
