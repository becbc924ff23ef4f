/* Door 4, other machines: a method's name and bytes, in and out. The real twin speaks gRPC (proto/rpc_grpc.h).
 *
 * Bytes of a message arrive in one blob: they are copied once, out of the transport's slices, into memory of the right size.
 * Bytes leave as a list of blob parts, uncopied; the transport releases each when it no longer reads it, which may be long
 * after the send completed or was cancelled.
 *
 * Threads: handlers and client callbacks run on the transport's thread, one at a time, and must not block or do anything dear
 * before the message is parsed. The functions marked @any-thread may be called from lanes; the others only from a handler.
 *
 * Flow control: at most one message at a time travels per direction and call. A receiver asks for each message; a sender may
 * queue several, and `sent` tells when the transport took one. Queues are bounded by whoever fills them, with these two.
 */
#ifndef CAIRN_BASE_RPC_H
#define CAIRN_BASE_RPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/bytes.h"
#include "base/status.h"

enum rpc_kind { RPC_UNARY, RPC_SERVER_STREAM, RPC_BIDI_STREAM };

#define RPC_METADATA_MAX 8u
#define RPC_TEXT_MAX 1024u

/* A trailing (or, from a client, initial) metadata pair. Keys lower case, values printable ASCII. Borrowed. */
struct rpc_metadata {
  const char *key;
  const char *value;
};

/* ---- The side that answers ---- */

/* One call, as the server sees it. Counted: the transport holds it until `closed` has returned; whoever keeps it longer or hands it
 * to a lane holds it too. */
struct rpc_call;

/* What a service does with the calls of one method. They are given `own_service` or, where that is NULL, what rpc_serve() was given. */
struct rpc_handler {
  const char *method; /* "/cairn.v1.Log/Append" */
  enum rpc_kind kind;
  /* A call began. Unary and server-stream calls receive their one message by themselves; a bidirectional stream asks for each with
   * rpc_call_receive(). May be NULL. */
  void (*opened)(void *service, struct rpc_call *call);
  /* One message. The handler takes over the hold on `message`. Never NULL: a missing or compressed message is refused below. */
  void (*message)(void *service, struct rpc_call *call, struct blob *message);
  /* A bidirectional stream sent a message that is not let in: TOO_LARGE, NO_MEMORY, or UNSUPPORTED (compressed). Earlier ones may
   * still be in work, so the handler decides what becomes of the stream. The handler takes over the hold on `message`, its bytes, which
   * are charged to nobody and so are to be released at once; NULL when they were compressed. May be NULL: the call ends with the
   * reason. */
  void (*refused)(void *service, struct rpc_call *call, enum status reason, struct blob *message);
  /* The client will send no more. Streams only; may be NULL. */
  void (*half_closed)(void *service, struct rpc_call *call);
  /* The transport took one more of the queued messages. Streams only; may be NULL. */
  void (*sent)(void *service, struct rpc_call *call);
  /* The last event: finished, cancelled by the client, or the connection is gone. Sends from now on go nowhere. May be NULL. */
  void (*closed)(void *service, struct rpc_call *call, bool cancelled);
  void *own_service;
};

static inline void *rpc_handler_service(const struct rpc_handler *handler, void *service) {
  return handler->own_service != NULL ? handler->own_service : service;
}

struct rpc_call *rpc_call_hold(struct rpc_call *call); /* @any-thread */
void rpc_call_release(struct rpc_call *call);          /* @any-thread */

/* A pointer of the service's, and its peer "ipv4:127.0.0.1:4242" (borrowed, for log lines). */
void rpc_call_set_context(struct rpc_call *call, void *context);
void *rpc_call_context(const struct rpc_call *call);
const char *rpc_call_peer(const struct rpc_call *call);

/* Time the client still gives it, in nanoseconds from now; UINT64_MAX when it set no deadline. @any-thread */
uint64_t rpc_call_time_left_ns(const struct rpc_call *call);

/* @any-thread. Asks for the next message of a bidirectional stream; one request at a time. */
void rpc_call_receive(struct rpc_call *call);

/* @any-thread. Queues one message; takes over the holds on the parts (not the array). Unary: rpc_call_finish() must follow. */
void rpc_call_send(struct rpc_call *call, const struct blob_part *parts, size_t count);
size_t rpc_call_queued(const struct rpc_call *call); /* @any-thread; messages the transport has not taken yet */

/* @any-thread. Ends the call after what is queued. `text` and metadata are copied; text may be NULL when the code is OK. */
void rpc_call_finish(struct rpc_call *call, enum grpc_status code, const char *text, const struct rpc_metadata *metadata,
                     size_t metadata_count);

/* ---- The side that asks ---- */

struct rpc_channel; /* a connection to one broker, made when needed, made again when lost */
struct rpc_request; /* one call, as the client sees it; counted like rpc_call */

struct rpc_result {
  enum grpc_status code;
  const char *text;                               /* borrowed during `done` */
  bool unsent;                                    /* no connection ever had it: whatever it asked for was surely not done */
  struct rpc_metadata metadata[RPC_METADATA_MAX]; /* only those whose key begins with "cairn-" or is "retry-after-ms" */
  size_t metadata_count;
};

struct rpc_client_handler {
  void (*message)(void *context, struct rpc_request *request, struct blob *message);         /* takes over the hold */
  void (*sent)(void *context, struct rpc_request *request);                                  /* may be NULL */
  void (*done)(void *context, struct rpc_request *request, const struct rpc_result *result); /* always, and last */
};

/* @any-thread. Messages of streams are delivered as they come when `auto_receive`, else one per rpc_request_receive(). */
struct rpc_request *rpc_request_start(struct rpc_channel *channel, const char *method, enum rpc_kind kind, uint64_t timeout_ns,
                                      bool auto_receive, const struct rpc_client_handler *handler, void *context);
void rpc_request_send(struct rpc_request *request, const struct blob_part *parts, size_t count); /* @any-thread */
void rpc_request_receive(struct rpc_request *request);                                           /* @any-thread */
void rpc_request_half_close(struct rpc_request *request);                                        /* @any-thread */
void rpc_request_cancel(struct rpc_request *request);                                            /* @any-thread */
size_t rpc_request_queued(const struct rpc_request *request);                                    /* @any-thread */
void rpc_request_release(struct rpc_request *request);                                           /* @any-thread */

/* ---- The transport ---- */

struct rpc;

struct rpc_serve_options {
  const char *listen; /* "127.0.0.1:7411"; port 0 picks one */
  const struct rpc_handler *handlers;
  size_t handler_count;
  void *service;
  size_t message_bytes_max; /* a larger request is refused before it is read */
  size_t memory_bytes_max;  /* the transport's own quota */
  unsigned streams_max;     /* per connection */
  unsigned calls_max;       /* all connections; beyond it RESOURCE_EXHAUSTED */
  unsigned peer_calls_max;  /* all connections of one address; 0: as calls_max */
  uint64_t message_wait_ns; /* for the message of a unary or server-stream call, then DEADLINE_EXCEEDED; 0: for ever */
  uint64_t hash_seed;       /* of what strangers' addresses are kept in */
  struct account *account;  /* blobs of received messages are charged here */
};

/* Called from outside the transport's thread. STATUS_EXISTS: the address is in use. */
enum status rpc_serve(struct rpc *rpc, const struct rpc_serve_options *options, uint16_t *out_port) MUST_CHECK;
/* Refuses new calls; waits up to `grace_ns` for open ones, then cancels them. Those that never sent a message are refused after half of
 * that time: of them it is known that nothing was done. */
void rpc_serve_stop(struct rpc *rpc, uint64_t grace_ns);

struct rpc_channel *rpc_channel_open(struct rpc *rpc, const char *address);
/* Requests on it end first, with CANCELLED, and were told so when it returns. PRE: on the transport's thread, and on lanes, which may have no
 * other: all were told their end already. */
void rpc_channel_close(struct rpc_channel *channel);

struct rpc_ops {
  struct rpc_call *(*call_hold)(struct rpc_call *call);
  void (*call_release)(struct rpc_call *call);
  uint64_t (*call_time_left_ns)(const struct rpc_call *call);
  void (*call_receive)(struct rpc_call *call);
  void (*call_send)(struct rpc_call *call, const struct blob_part *parts, size_t count);
  size_t (*call_queued)(const struct rpc_call *call);
  void (*call_finish)(struct rpc_call *call, enum grpc_status code, const char *text, const struct rpc_metadata *metadata,
                      size_t metadata_count);
  struct rpc_request *(*request_start)(struct rpc_channel *channel, const char *method, enum rpc_kind kind, uint64_t timeout_ns,
                                       bool auto_receive, const struct rpc_client_handler *handler, void *context);
  void (*request_send)(struct rpc_request *request, const struct blob_part *parts, size_t count);
  void (*request_receive)(struct rpc_request *request);
  void (*request_half_close)(struct rpc_request *request);
  void (*request_cancel)(struct rpc_request *request);
  size_t (*request_queued)(const struct rpc_request *request);
  void (*request_release)(struct rpc_request *request);
  enum status (*serve)(struct rpc *rpc, const struct rpc_serve_options *options, uint16_t *out_port);
  void (*serve_stop)(struct rpc *rpc, uint64_t grace_ns);
  struct rpc_channel *(*channel_open)(struct rpc *rpc, const char *address);
  void (*channel_close)(struct rpc_channel *channel);
};
struct rpc {
  const struct rpc_ops *ops;
};
/* What both twins put first in their own structs. */
struct rpc_call {
  const struct rpc_ops *ops;
  void *context;
  char peer[64];
};
struct rpc_channel {
  const struct rpc_ops *ops;
};
struct rpc_request {
  const struct rpc_ops *ops;
};

#endif
