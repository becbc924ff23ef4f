#include "base/check.h"
#include "base/memory.h"
#include "server/append_session.h"
#include "server/log_service.h"
#include "server/services.h"

static struct blob_part encode_answer(const struct partition_append *append, uint64_t request_id) {
  const struct entry_head *head = &append->proposal.entry.head;
  struct wire_append_response response = {
      .request_id = request_id,
      .base_offset = head->base_offset,
      .last_offset = entry_end_offset(head) - 1,
      .term = head->term,
      .leader_time_ms = head->leader_time_ms,
      .durability = WIRE_DURABILITY_QUORUM_SYNC,
      .synced_replicas = 1,
      .chain = head->chain,
      .duplicate = append->duplicate,
  };
  return log_wire_encode_append_response(&response);
}

/* ---- Append: one request, one answer ---- */

struct append_call {
  struct partition_append append;
  struct task task;
  struct rpc_call *call;
  struct services *services;
};

static void append_done(struct partition_append *append) {
  struct append_call *this = container_of(append, struct append_call, append);
  if (append->failure == NULL) services_answer(this->call, encode_answer(append, append->request.request_id));
  else services_fail(this->call, append->failure);
  rpc_call_release(this->call);
  partition_release(append->partition);
  services_end(this->services);
  memory_free(this);
}

static void append_run(struct task *task) { partition_append(&container_of(task, struct append_call, task)->append); }

/* Fills the request and finds its partition. NULL: all is well; else the message's hold is still the caller's. */
static struct failure *prepare(struct services *services, struct blob *message, struct partition_append *append) {
  const char *why = NULL;
  enum status status = log_wire_decode_append_request(bytes_of(message->data, message->size), &append->request, &why);
  if (status != STATUS_OK) return refusal_new(status, "%s", why);
  struct failure *failure = NULL;
  append->partition = services_find(services, append->request.topic, append->request.partition, &failure);
  if (failure == NULL) append->message = message;
  return failure;
}

void log_service_append(void *service, struct rpc_call *call, struct blob *message) {
  struct services *services = service;
  struct append_call *this = NEW(struct append_call);
  struct failure *failure = services_not_serving(services);
  if (failure == NULL) failure = prepare(services, message, &this->append);
  if (failure != NULL) {
    services_fail_route(services, call, failure);
    blob_release(message);
    memory_free(this);
    return;
  }
  this->append.done = append_done;
  this->append.patience_ns = rpc_call_time_left_ns(call);
  this->task.run = append_run;
  this->call = rpc_call_hold(call);
  this->services = services;
  services_begin(services);
  loop_post(partition_host_of(this->append.partition)->loop, &this->task);
}

/* ---- AppendStream: many requests, answered in order ---- */

#define STREAM_REQUESTS_MAX 1024u
#define STREAM_BYTES_MAX (16u << 20)
/* Of all streams together. An answer that nobody reads is kept, and the account does not know of it; but every stream may always
 * have one request in flight, so that those who read go on. */
#define STREAMS_REQUESTS_MAX 65536u

/* What is in flight is counted on the transport's thread: from a message until the transport took its answer. */
struct append_stream {
  struct append_session session;
  struct services *services;
  struct rpc_call *call;
  struct list_node node; /* of services->streams, at home */
  struct task end_task;
  struct task close_task;
  unsigned home; /* number of the lane; set with has_home */
  bool closed;   /* at home: the call is over */
  bool draining; /* at home */

  bool has_home; /* this and what follows: transport's thread */
  bool full;
  uint64_t bytes;
  uint32_t first;
  uint32_t count;
  uint32_t sizes[STREAM_REQUESTS_MAX];
};

struct stream_request {
  struct session_request request;
  struct append_stream *stream;
  struct task task;
};

static struct append_stream *stream_of(struct append_session *session) {
  return container_of(session, struct append_stream, session);
}

/* When its call is over and its last request has been answered. */
static void free_stream(struct append_stream *stream) {
  if (list_node_linked(&stream->node)) list_remove(&stream->node);
  rpc_call_release(stream->call);
  if (stream->has_home) services_end(stream->services);
  memory_free(stream);
}

static void answer_request(struct append_session *session, struct session_request *request) {
  struct append_stream *stream = stream_of(session);
  struct partition_append *append = &request->append;
  struct blob_part part = append->failure == NULL ? encode_answer(append, request->request_id)
                                                  : log_wire_encode_append_failure(request->request_id, append->failure);
  rpc_call_send(stream->call, &part, 1);
  memory_free(append->failure);
  blob_release(append->message);
  if (append->partition != NULL) partition_release(append->partition);
  memory_free(container_of(request, struct stream_request, request));
}

static void stream_finished(struct append_session *session) {
  struct append_stream *stream = stream_of(session);
  if (stream->closed) free_stream(stream);
  else if (stream->draining) services_fail(stream->call, refusal_of_status(STATUS_DRAINING));
  else rpc_call_finish(stream->call, GRPC_CODE_OK, NULL, NULL, 0);
}

static struct loop *loop_of_partition(const struct partition *partition) { return partition_host_of(partition)->loop; }

static const struct append_session_ops session_ops = {
    .submit = partition_append, .loop_of = loop_of_partition, .answer = answer_request, .finished = stream_finished};

static void drain_stream(struct append_stream *stream) {
  stream->draining = true; /* what comes from now on was refused before it got here */
  append_session_end(&stream->session);
}

static void run_request(struct task *task) {
  struct stream_request *this = container_of(task, struct stream_request, task);
  struct append_stream *stream = this->stream;
  struct services *services = stream->services;
  bool first = !list_node_linked(&stream->node);
  if (first) list_push_back(&services->streams[stream->home], &stream->node);
  append_session_submit(&stream->session, &this->request);
  /* It spoke for the first time when its lane had been drained already, or is about to be. */
  bool draining = atomic_load_explicit(&services->stage, memory_order_acquire) == SERVICES_DRAINING;
  if (first && draining) drain_stream(stream);
}

static void run_end(struct task *task) { append_session_end(&container_of(task, struct append_stream, end_task)->session); }

static void run_close(struct task *task) {
  struct append_stream *stream = container_of(task, struct append_stream, close_task);
  stream->closed = true;
  append_session_end(&stream->session);
}

void log_service_drain_streams(struct services *services, unsigned lane) {
  list_for_each(&services->streams[lane], node, following) { drain_stream(list_entry(node, struct append_stream, node)); }
}

/* ---- Its events, on the transport's thread ---- */

void log_service_stream_opened(void *service, struct rpc_call *call) {
  struct services *services = service;
  if (services_refuse(services, call)) return;
  struct append_stream *stream = NEW(struct append_stream);
  stream->services = services;
  stream->call = rpc_call_hold(call);
  stream->end_task.run = run_end;
  stream->close_task.run = run_close;
  rpc_call_set_context(call, stream);
  rpc_call_receive(call);
}

/* Home is where the first request's partition lives. Until there is one, the stream is no work that a drain would wait for. */
static void settle_home(struct append_stream *stream, const struct partition *partition) {
  if (stream->has_home) return;
  struct services *services = stream->services;
  struct partition_host *host = partition == NULL ? services->hosts : partition_host_of(partition);
  stream->home = (unsigned)(host - services->hosts);
  append_session_init(&stream->session, &session_ops, host->loop);
  services_begin(services);
  stream->has_home = true;
}

static bool has_room(const struct append_stream *stream) {
  if (stream->count == 0) return true;
  return stream->count < STREAM_REQUESTS_MAX && stream->bytes < STREAM_BYTES_MAX &&
         stream->services->stream_requests < STREAMS_REQUESTS_MAX;
}

static void count_in(struct append_stream *stream, size_t size) {
  stream->sizes[(stream->first + stream->count) % STREAM_REQUESTS_MAX] = (uint32_t)size;
  stream->count++;
  stream->services->stream_requests++;
  stream->bytes += size;
  stream->full = !has_room(stream);
  if (!stream->full) rpc_call_receive(stream->call);
}

/* A request, perhaps refused already, takes its place in line. */
static void submit(struct append_stream *stream, struct stream_request *this, size_t size) {
  this->request.append.patience_ns = UINT64_MAX; /* a stream's deadline is that of all its requests together */
  this->stream = stream;
  this->task.run = run_request;
  settle_home(stream, this->request.append.partition);
  loop_post(stream->session.home, &this->task);
  count_in(stream, size);
}

void log_service_stream_message(void *service, struct rpc_call *call, struct blob *message) {
  struct services *services = service;
  struct stream_request *this = NEW(struct stream_request);
  struct partition_append *append = &this->request.append;
  size_t size = message->size;
  append->failure = services_not_serving(services);
  if (append->failure == NULL) append->failure = prepare(services, message, append);
  this->request.request_id = append->request.request_id;
  if (append->failure != NULL) {
    append->failure = services_route_failure_in_stream(services, append->failure);
    this->request.request_id = log_wire_find_request_id(bytes_of(message->data, message->size));
    blob_release(message);
  }
  submit(rpc_call_context(call), this, size);
}

/* What is before it in the stream may be appended still, so it is answered like any other refusal: in its turn. */
void log_service_stream_refused(void *service, struct rpc_call *call, enum status reason, struct blob *message) {
  const struct services *services = service;
  struct stream_request *this = NEW(struct stream_request);
  if (reason == STATUS_TOO_LARGE) {
    this->request.append.failure =
        refusal_new(reason, "the message is larger than %llu bytes (request-bytes-max); send smaller batches",
                    (unsigned long long)services->options->request_bytes_max);
  } else if (reason == STATUS_UNSUPPORTED) {
    this->request.append.failure =
        refusal_new(reason, "the message is compressed by gRPC; send it plain and compress the batch instead");
  } else {
    this->request.append.failure = refusal_of_status(reason);
  }
  if (message != NULL) this->request.request_id = log_wire_find_request_id(bytes_of(message->data, message->size));
  blob_release(message);
  submit(rpc_call_context(call), this, 0);
}

void log_service_stream_sent(void *service, struct rpc_call *call) {
  (void)service;
  struct append_stream *stream = rpc_call_context(call);
  if (stream->count == 0) return;
  stream->bytes -= stream->sizes[stream->first];
  stream->first = (stream->first + 1) % STREAM_REQUESTS_MAX;
  stream->count--;
  stream->services->stream_requests--;
  if (!stream->full || !has_room(stream)) return;
  stream->full = false;
  rpc_call_receive(call);
}

void log_service_stream_half_closed(void *service, struct rpc_call *call) {
  (void)service;
  struct append_stream *stream = rpc_call_context(call);
  if (stream->has_home) loop_post(stream->session.home, &stream->end_task);
  else rpc_call_finish(call, GRPC_CODE_OK, NULL, NULL, 0);
}

void log_service_stream_closed(void *service, struct rpc_call *call, bool cancelled) {
  (void)service;
  (void)cancelled;
  struct append_stream *stream = rpc_call_context(call);
  if (stream == NULL) return;
  stream->services->stream_requests -= stream->count;
  if (!stream->has_home) {
    free_stream(stream);
    return;
  }
  atomic_store_explicit(&stream->session.abandoned, true, memory_order_relaxed);
  loop_post(stream->session.home, &stream->close_task);
}
