/* Door 4 (base/rpc.h) spoken in gRPC C core. The only files that see grpc/ headers are proto/rpc_grpc*.c and their internal
 * header.
 *
 * One instance has one completion queue and one thread that polls it, for the calls it answers and for those it makes. A second
 * instance (for peers) has its own, or shares that of the first: C core lets one thread of a process wait for sockets at a time, so two
 * of them hand that place to each other with every event, which on few processors costs more than the second one does (decision 0016).
 *
 * The thread can lend itself to one loop, which then costs no switch between threads on the way there and back (decision 0023).
 *
 * Beside it runs a watchdog while the instance serves: C core 1.51 stops accepting for good after one EMFILE, so once a second
 * it speaks to its own port, and after three silences in a row it makes a new listener on the same port. Calls on the old
 * one go on to their own end.
 *
 * 1. Handlers and client callbacks run on the instance's thread, one at a time.
 * 2. Whatever this transport itself refuses carries `cairn-executed: no` and `cairn-reason`. What C core refuses before we see
 *    it (see proto/README.md) carries neither, and counts as `maybe`.
 * 3. After rpc_serve_stop() has returned, no handler runs any more; after rpc_channel_close(), no callback of its requests.
 * 4. What waits for the thread is not called on it, nor on a loop that it has lent itself to: rpc_serve(), rpc_serve_stop(), rpc_grpc_close(), and
 *    rpc_channel_close() while a request is open. Each of these is a failed check there and not a deadlock.
 */
#ifndef CAIRN_PROTO_RPC_GRPC_H
#define CAIRN_PROTO_RPC_GRPC_H

#include <stdint.h>

#include "base/loop.h"
#include "base/rpc.h"

/* STATUS_IO when the operating system gives no thread. */
enum status rpc_grpc_open(struct rpc **out_rpc) MUST_CHECK;
/* Another instance on the thread of this one, which lives until both are closed. */
struct rpc *rpc_grpc_open_beside(struct rpc *rpc);

/* A loop on the thread of this instance; `name` as in world_loop_new(). It is stopped before the last instance on the thread is closed. NULL:
 * there is one already. */
struct loop *rpc_grpc_loop_new(struct rpc *rpc, const char *name);

/* Stops serving if need be. PRE: all channels are closed, all calls and requests released. Waits for what C core still holds of calls that are over:
 * some 10 s where a network swallows what goes out. NULL is fine. */
void rpc_grpc_close(struct rpc *rpc);

/* How often the watchdog had to make a new listener. @any-thread */
uint64_t rpc_grpc_listener_rebuilds(const struct rpc *rpc);

#endif
