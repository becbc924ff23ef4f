/* What the files of the simulated transport share. Nobody else includes it.
 *
 * sim_rpc.c           the instance: its thread, blobs on their way out, the table of functions
 * sim_rpc_connection.c      a connection: frames in and out, who is meant, keepalive
 * sim_rpc_stream.c    one direction of a call: what waits, what may travel, what came
 * sim_rpc_call.c      a call as the server sees it; serving
 * sim_rpc_request.c   a call as the client sees it; channels
 */
#ifndef CAIRN_TESTS_SIM_SIM_RPC_INTERNAL_H
#define CAIRN_TESTS_SIM_SIM_RPC_INTERNAL_H

#include "base/list.h"
#include "proto/rpc_grpc_callers.h"
#include "tests/sim/sim_rpc.h"

#define CLIENT_MESSAGE_BYTES_MAX (4u * 1024 * 1024)

struct sim_channel;
struct sim_serving;

/* Something that the transport's thread will do. Embedded. */
struct sim_errand {
  struct list_node node;
  void (*run)(struct sim_errand *errand);
};

struct sim_rpc {
  struct rpc base;
  struct sim *sim;
  struct sim_process *process;
  struct sim_net *net;
  struct sim_host *host;
  struct sim_random chance;
  struct sim_rpc_options options;
  struct sim_death death;
  struct sim_event closing; /* after it */
  struct list errands;
  struct sim_event thread;
  struct list links; /* connections, of both kinds */
  struct list channels;
  struct list releases; /* blobs that are still held */
  size_t held;
  struct sim_serving *serving;
  uint64_t last_stream;
};

static inline struct sim_rpc *sim_rpc_of(struct rpc *rpc) { return container_of(rpc, struct sim_rpc, base); }

/* Runs it on the transport's thread, soon. Fine when it is already waiting. */
void sim_rpc_errand(struct sim_rpc *rpc, struct sim_errand *errand);
static inline void sim_rpc_errand_drop(struct sim_errand *errand) {
  if (list_node_linked(&errand->node)) list_remove(&errand->node);
}
/* Waits for a flag that an errand will set: on a fiber, or outside of all. */
void sim_rpc_wait(struct sim_rpc *rpc, bool (*reached)(void *context), void *context, uint64_t until_ns);

/* ---- Messages ---- */

struct sim_message {
  struct list_node node;
  struct blob_part *parts; /* holds */
  size_t count;
  size_t size;
  uint64_t sum; /* of the bytes, when they were given */
};
struct sim_message *sim_message_new(const struct blob_part *parts, size_t count);
void sim_message_copy(const struct sim_message *message, uint8_t *into); /* checks that nobody touched them */
void sim_message_free(struct sim_rpc *rpc, struct sim_message *message); /* the holds go later */

/* ---- Frames ---- */

enum sim_frame_kind {
  FRAME_CALL,
  FRAME_MESSAGE,
  FRAME_HALF_CLOSE,
  FRAME_CANCEL,
  FRAME_STATUS,
  FRAME_CREDIT,
  FRAME_PING,
  FRAME_PONG,
  FRAME_GOAWAY
};

struct sim_result { /* a status on its way */
  enum grpc_status code;
  char text[RPC_TEXT_MAX];
  char keys[RPC_METADATA_MAX][32];
  char values[RPC_METADATA_MAX][256];
  size_t metadata_count;
};

struct sim_packet {
  struct sim_frame frame;
  enum sim_frame_kind kind;
  uint64_t stream;
  const char *method; /* CALL */
  uint64_t timeout_ns;
  uint64_t credit;
  struct sim_result *result;
  struct list_node node; /* in an inbox */
  size_t size;
  uint8_t data[];
};
struct sim_packet *sim_packet_new(enum sim_frame_kind kind, uint64_t stream, size_t size);
void sim_packet_free(struct sim_packet *packet);

/* ---- Connections ---- */

struct sim_connection {
  struct sim_end end;
  struct list_node node;
  struct sim_rpc *rpc;
  struct sim_channel *channel; /* of the side that asks; NULL: it answers */
  struct list streams;
  bool asks;
  bool up;
  bool over;
  uint64_t heard_ns;
  struct sim_event keepalive;
};

struct sim_connection *sim_connection_new(struct sim_rpc *rpc, struct sim_channel *channel);
void sim_connection_send(struct sim_connection *link, struct sim_packet *packet); /* NULL or over: drops it */
void sim_connection_signal(struct sim_connection *link, enum sim_frame_kind kind, uint64_t stream);
/* The end of it: its streams are lost, it is freed. */
void sim_connection_close(struct sim_connection *link);

/* ---- One call's two directions, on one side ---- */

struct sim_stream {
  struct sim_rpc *rpc;
  struct sim_connection *link; /* NULL: not yet, or no more */
  struct list_node node;       /* of the link */
  uint64_t number;
  bool asks; /* the client's side */

  struct list outbox;
  size_t outbox_count;
  struct sim_message *sending; /* on the wire, waits for room in the window */
  uint64_t sent;
  uint64_t credited;

  struct list inbox; /* packets */
  bool wanted;       /* a receive is pending */
  bool ended;        /* nothing more will come behind the inbox */

  struct sim_errand sent_errand; /* the message in `sending` was taken */
  struct sim_errand arrived_errand;
};

void sim_stream_init(struct sim_stream *stream, struct sim_rpc *rpc, uint64_t number, bool asks);
void sim_stream_attach(struct sim_stream *stream, struct sim_connection *link);
void sim_stream_detach(struct sim_stream *stream);
void sim_stream_put(struct sim_stream *stream, const struct blob_part *parts, size_t count);
void sim_stream_pump(struct sim_stream *stream);  /* sends what may go */
bool sim_stream_taken(struct sim_stream *stream); /* in sent_errand: false when it was discarded meanwhile */
bool sim_stream_flushed(const struct sim_stream *stream);
size_t sim_stream_queued(const struct sim_stream *stream);
void sim_stream_discard(struct sim_stream *stream); /* what waits to go out */
void sim_stream_credit(struct sim_stream *stream, uint64_t bytes);
/* The next message that was asked for, or NULL. The window opens by so much. */
struct sim_packet *sim_stream_take(struct sim_stream *stream);
void sim_stream_deinit(struct sim_stream *stream);

/* ---- The server's side ---- */

struct sim_serving {
  struct sim_listener listener;
  struct sim_rpc *rpc;
  struct rpc_serve_options options;
  unsigned open_calls;
  struct callers *callers;
  struct list silent; /* calls that have sent no message yet */
  bool stopping;
};

void sim_call_begin_remote(struct sim_connection *link, const struct sim_packet *packet);
void sim_call_packet(struct sim_stream *stream, struct sim_packet *packet); /* takes it over */
void sim_call_lost(struct sim_stream *stream);
void sim_serving_died(struct sim_rpc *rpc); /* takes no more calls */
extern const struct rpc_ops sim_rpc_ops;

struct rpc_call *sim_call_hold(struct rpc_call *call);
void sim_call_release(struct rpc_call *call);
uint64_t sim_call_time_left_ns(const struct rpc_call *call);
void sim_call_receive(struct rpc_call *call);
void sim_call_send(struct rpc_call *call, const struct blob_part *parts, size_t count);
size_t sim_call_queued(const struct rpc_call *call);
void sim_call_finish(struct rpc_call *call, enum grpc_status code, const char *text, const struct rpc_metadata *metadata,
                     size_t metadata_count);
enum status sim_rpc_serve(struct rpc *rpc, const struct rpc_serve_options *options, uint16_t *out_port);
void sim_rpc_serve_stop(struct rpc *rpc, uint64_t grace_ns);

/* ---- The client's side ---- */

void sim_request_packet(struct sim_stream *stream, struct sim_packet *packet); /* takes it over */
void sim_request_lost(struct sim_stream *stream);
void sim_channel_up(struct sim_channel *channel);
void sim_channel_going_away(struct sim_channel *channel);
void sim_channel_lost(struct sim_channel *channel);
void sim_channels_died(struct sim_rpc *rpc);

struct rpc_channel *sim_channel_open(struct rpc *rpc, const char *address);
void sim_channel_close(struct rpc_channel *channel);
struct rpc_request *sim_request_start(struct rpc_channel *channel, const char *method, enum rpc_kind kind, uint64_t timeout_ns,
                                      bool auto_receive, const struct rpc_client_handler *handler, void *context);
void sim_request_send(struct rpc_request *request, const struct blob_part *parts, size_t count);
void sim_request_receive(struct rpc_request *request);
void sim_request_half_close(struct rpc_request *request);
void sim_request_cancel(struct rpc_request *request);
size_t sim_request_queued(const struct rpc_request *request);
void sim_request_release(struct rpc_request *request);

#endif
