#include "base/rpc.h"

struct rpc_call *rpc_call_hold(struct rpc_call *call) {
  return call->ops->call_hold(call);
}
void rpc_call_release(struct rpc_call *call) { call->ops->call_release(call); }
void rpc_call_set_context(struct rpc_call *call, void *context) { call->context = context; }
void *rpc_call_context(const struct rpc_call *call) { return call->context; }
const char *rpc_call_peer(const struct rpc_call *call) { return call->peer; }
uint64_t rpc_call_time_left_ns(const struct rpc_call *call) { return call->ops->call_time_left_ns(call); }
void rpc_call_receive(struct rpc_call *call) { call->ops->call_receive(call); }
void rpc_call_send(struct rpc_call *call, const struct blob_part *parts, size_t count) {
  call->ops->call_send(call, parts, count);
}
size_t rpc_call_queued(const struct rpc_call *call) { return call->ops->call_queued(call); }
void rpc_call_finish(struct rpc_call *call, enum grpc_status code, const char *text, const struct rpc_metadata *metadata,
                     size_t metadata_count) {
  call->ops->call_finish(call, code, text, metadata, metadata_count);
}

struct rpc_request *rpc_request_start(struct rpc_channel *channel, const char *method, enum rpc_kind kind, uint64_t timeout_ns,
                                      bool auto_receive, const struct rpc_client_handler *handler, void *context) {
  return channel->ops->request_start(channel, method, kind, timeout_ns, auto_receive, handler, context);
}
void rpc_request_send(struct rpc_request *request, const struct blob_part *parts, size_t count) {
  request->ops->request_send(request, parts, count);
}
void rpc_request_receive(struct rpc_request *request) { request->ops->request_receive(request); }
void rpc_request_half_close(struct rpc_request *request) { request->ops->request_half_close(request); }
void rpc_request_cancel(struct rpc_request *request) { request->ops->request_cancel(request); }
size_t rpc_request_queued(const struct rpc_request *request) { return request->ops->request_queued(request); }
void rpc_request_release(struct rpc_request *request) { request->ops->request_release(request); }

enum status rpc_serve(struct rpc *rpc, const struct rpc_serve_options *options, uint16_t *out_port) {
  return rpc->ops->serve(rpc, options, out_port);
}
void rpc_serve_stop(struct rpc *rpc, uint64_t grace_ns) { rpc->ops->serve_stop(rpc, grace_ns); }
struct rpc_channel *rpc_channel_open(struct rpc *rpc, const char *address) {
  return rpc->ops->channel_open(rpc, address);
}
void rpc_channel_close(struct rpc_channel *channel) { channel->ops->channel_close(channel); }
