/* What the files of the gRPC transport share: the instance, its one thread, and bytes on their way between blobs and slices.
 *
 * rpc_grpc.c            the instance, the table of functions, bytes in and out
 * rpc_grpc_poller.c     the polling thread, and what others give it to do
 * rpc_grpc_call.c       a call as the server sees it
 * rpc_grpc_listener.c   the server: options, dispatch, stop, the watchdog that makes a dead listener anew
 * rpc_grpc_flood.c      drops a connection that keeps the polling thread from coming back
 * rpc_grpc_silence.c    ends calls that were opened and say nothing
 * rpc_grpc_callers.c    how many calls each peer holds
 * rpc_grpc_client.c     channels and requests
 *
 * Threads. Everything that completes does so on the polling thread, through a `struct tag`. What lanes may call at the same time is
 * guarded by one mutex per call or request, which is also what C core asks of whoever starts batches on one call. Callbacks are made
 * without it. A batch in flight counts as `pending`; the C core object is given back when the last event was delivered and nothing is
 * pending, our own struct when its last holder has released it.
 */
#ifndef CAIRN_PROTO_RPC_GRPC_INTERNAL_H
#define CAIRN_PROTO_RPC_GRPC_INTERNAL_H

#include <grpc/byte_buffer.h>
#include <grpc/grpc.h>
#include <grpc/slice.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/rpc.h"
#include "proto/rpc_grpc_callers.h"
#include "proto/rpc_grpc_poller.h"
#include "proto/rpc_grpc_silence.h"

struct listener;

struct transport {
  struct rpc base;
  struct poller *poller;
  pthread_mutex_t lock;
  struct listener *listener; /* NULL while it does not serve; under `lock` */
  atomic_uint_fast64_t listener_rebuilds;
  atomic_uint channels; /* open ones */
};

static inline struct transport *transport_of(struct rpc *rpc) { return (struct transport *)(void *)rpc; }
static inline bool rpc_grpc_on_thread(const struct transport *transport) { return poller_is_me(transport->poller); }
uint64_t rpc_grpc_now_ns(void);

/* ---- Bytes ---- */

/* Parts below this size are copied: a slice of its own costs more. */
#define SLICE_BYTES_MIN 256u

/* Takes over the holds on the parts. */
grpc_byte_buffer *rpc_grpc_buffer_of(const struct blob_part *parts, size_t count);
/* Copies a received message. STATUS_UNSUPPORTED: compressed; STATUS_TOO_LARGE; STATUS_NO_MEMORY. */
enum status rpc_grpc_blob_of(const grpc_byte_buffer *buffer, struct account *account, size_t bytes_max, struct blob **out_blob);

/* Messages that wait until the one before them was taken. Grows; bounded by whoever fills it. */
struct outbox {
  grpc_byte_buffer **ring;
  size_t capacity; /* a power of two, or 0 */
  size_t first;
  size_t count;
};

void rpc_grpc_outbox_push(struct outbox *outbox, grpc_byte_buffer *buffer);
grpc_byte_buffer *rpc_grpc_outbox_pop(struct outbox *outbox); /* NULL when empty */
void rpc_grpc_outbox_deinit(struct outbox *outbox);

/* Of a message while others wait behind it: it need not go to the socket by itself. C core then takes it at once, as long as no more than
 * 64 KiB gather, and writes it with what follows. What follows is started as soon as it was taken, so nothing stays behind. */
static inline uint32_t rpc_grpc_send_flags(const struct outbox *behind) { return behind->count > 0 ? GRPC_WRITE_BUFFER_HINT : 0; }

/* ---- The server's side ---- */

struct server;

struct rpc_call *rpc_grpc_call_hold(struct rpc_call *call);
void rpc_grpc_call_release(struct rpc_call *call);
uint64_t rpc_grpc_call_time_left_ns(const struct rpc_call *call);
void rpc_grpc_call_receive(struct rpc_call *call);
void rpc_grpc_call_send(struct rpc_call *call, const struct blob_part *parts, size_t count);
size_t rpc_grpc_call_queued(const struct rpc_call *call);
void rpc_grpc_call_finish(struct rpc_call *call, enum grpc_status code, const char *text, const struct rpc_metadata *metadata,
                          size_t metadata_count);

/* Asks the server for one more call. */
void rpc_grpc_call_arm(struct server *server);

enum status rpc_grpc_serve(struct rpc *rpc, const struct rpc_serve_options *options, uint16_t *out_port);
void rpc_grpc_serve_stop(struct rpc *rpc, uint64_t grace_ns);

/* One grpc_server. After a rebuild there are two for a while: the old one finishes its calls. */
struct server {
  struct server *next;
  struct listener *listener;
  grpc_server *handle;
  struct tag down;
  atomic_uint armed;     /* calls asked for and not yet given */
  bool is_down;          /* polling thread */
  uint64_t cancel_at_ns; /* 0: in service; else told to end, and when its calls are cancelled; under the listener's lock */
};

/* Polling thread: an armed call came back without a call. */
void rpc_grpc_server_disarmed(struct server *server);

/* What calls need of the listener. What has no comment never changes. */
struct serving {
  struct transport *transport;
  void *service;
  struct account *account;
  size_t message_bytes_max;
  unsigned calls_max;
  unsigned peer_calls_max;
  struct callers *callers; /* polling thread */
  unsigned open_calls;     /* polling thread; until their end was told */
  struct silence silence;
  atomic_uint held_calls; /* counted by the polling thread, until nothing of theirs comes any more: the listener outlives them */
  atomic_uint_fast64_t sent_ns; /* when another thread last had something to send */
};
struct serving *rpc_grpc_serving(struct listener *listener);
const struct rpc_handler *rpc_grpc_find_handler(const struct listener *listener, struct bytes method);

/* ---- The client's side ---- */

struct rpc_channel *rpc_grpc_channel_open(struct rpc *rpc, const char *address);
void rpc_grpc_channel_close(struct rpc_channel *channel);
struct rpc_request *rpc_grpc_request_start(struct rpc_channel *channel, const char *method, enum rpc_kind kind,
                                           uint64_t timeout_ns, bool auto_receive, const struct rpc_client_handler *handler,
                                           void *context);
void rpc_grpc_request_send(struct rpc_request *request, const struct blob_part *parts, size_t count);
void rpc_grpc_request_receive(struct rpc_request *request);
void rpc_grpc_request_half_close(struct rpc_request *request);
void rpc_grpc_request_cancel(struct rpc_request *request);
size_t rpc_grpc_request_queued(const struct rpc_request *request);
void rpc_grpc_request_release(struct rpc_request *request);

#endif
