/* AppendStream: many requests, answered in order. */
#include "base/check.h"
#include "base/memory.h"
#include "base/probe.h"
#include "server/append_answers.h"
#include "server/append_session.h"
#include "server/log_append.h"
#include "server/log_service.h"

#define STREAM_REQUESTS_MAX 1024u
#define MESSAGE_REQUESTS_MAX 1024u
#define IN_FLIGHT_MAX \
  (STREAM_REQUESTS_MAX + MESSAGE_REQUESTS_MAX) /* a message is asked for while there is room for one request */
#define STREAM_BYTES_MAX (16u << 20)
/* Of all streams together. An answer that nobody reads is kept, and the account does not know of it; but every stream may always
 * have one request in flight, so that those who read go on. */
#define STREAMS_REQUESTS_MAX 65536u

/* What is in flight is counted on the transport's thread: from a message until the transport took its answer. */
struct append_stream {
  struct append_session session;
  struct append_answers answers;
  struct services *services;
  struct rpc_call *call;
  struct list_node node; /* of services->streams, at home */
  struct task end_task;
  struct task close_task;
  unsigned home; /* number of the lane; set with has_home */
  bool closed;   /* at home: the call is over */
  bool over;     /* at home: it is to be freed when its answers wait no more */
  bool draining; /* at home */

  bool has_home; /* this and what follows: transport's thread */
  bool full;
  uint64_t bytes;
  uint32_t first; /* of those in flight, a ring: no larger than the stream has needed it */
  uint32_t count;
  uint32_t capacity;
  uint32_t *sizes;
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
  append_answers_deinit(&stream->answers);
  memory_free(stream->sizes);
  rpc_call_release(stream->call);
  if (stream->has_home) services_end(stream->services);
  memory_free(stream);
}

static void flushed(struct append_answers *answers) {
  struct append_stream *stream = container_of(answers, struct append_stream, answers);
  if (stream->over) free_stream(stream);
}

static void answer_request(struct append_session *session, struct session_request *request) {
  struct append_stream *stream = stream_of(session);
  struct partition_append *append = &request->append;
  bool together = stream->answers.together;
  append_answers_add(&stream->answers, append->failure == NULL
                                           ? log_append_answer(append, request->request_id, together)
                                           : log_wire_encode_append_failure(request->request_id, append->failure));
  memory_free(append->failure);
  blob_release(append->message);
  if (append->partition != NULL) partition_release(append->partition);
  memory_free(container_of(request, struct stream_request, request));
}

static void stream_finished(struct append_session *session) {
  struct append_stream *stream = stream_of(session);
  append_answers_flush(&stream->answers);
  stream->over = stream->closed;
  if (stream->closed && !stream->answers.waiting) free_stream(stream);
  else if (stream->closed) return; /* when they were flushed */
  else if (stream->draining) services_fail(stream->call, refusal_of_status(STATUS_DRAINING));
  else rpc_call_finish(stream->call, GRPC_CODE_OK, NULL, NULL, 0);
}

static struct loop *loop_of_partition(const struct partition *partition) { return partition_host_of(partition)->loop; }

static const struct append_session_ops session_ops = {
    .submit = partition_append, .loop_of = loop_of_partition, .answer = answer_request, .finished = stream_finished};

static void drain_stream(struct append_stream *stream) {
  stream->draining = true; /* what comes from now on is refused: before it gets here, or here */
  append_session_end(&stream->session);
}

/* It was let in before the broker began to drain, and came home when its stream had been drained: that may have ended already, with the word that
 * nothing more was done. */
static void refuse_late(struct partition_append *append) {
  if (append->failure == NULL) append->failure = refusal_of_status(STATUS_DRAINING);
}

static void run_request(struct task *task) {
  struct stream_request *this = container_of(task, struct stream_request, task);
  struct append_stream *stream = this->stream;
  struct services *services = stream->services;
  bool first = !list_node_linked(&stream->node);
  if (first) list_push_back(&services->streams[stream->home], &stream->node);
  if (this->request.append.request.together) stream->answers.together = true;
  if (stream->draining) refuse_late(&this->request.append);
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
  append_answers_init(&stream->answers, stream->call, host->loop, flushed);
  services_begin(services);
  stream->has_home = true;
}

static bool has_room(const struct append_stream *stream) {
  if (stream->count == 0) return true;
  return stream->count < STREAM_REQUESTS_MAX && stream->bytes < STREAM_BYTES_MAX &&
         stream->services->stream_requests < STREAMS_REQUESTS_MAX;
}

static void make_room(struct append_stream *stream) {
  uint32_t capacity = stream->capacity == 0 ? 4 : 2 * stream->capacity;
  CHECK(capacity <= IN_FLIGHT_MAX);
  uint32_t *sizes = memory_new_array(capacity, sizeof *sizes);
  for (uint32_t i = 0; i < stream->count; i++) sizes[i] = stream->sizes[(stream->first + i) % stream->capacity];
  memory_free(stream->sizes);
  stream->sizes = sizes;
  stream->capacity = capacity;
  stream->first = 0;
}

static void count_in(struct append_stream *stream, size_t size) {
  if (stream->count == stream->capacity) make_room(stream);
  stream->sizes[(stream->first + stream->count) % stream->capacity] = (uint32_t)size;
  stream->count++;
  stream->services->stream_requests++;
  stream->bytes += size;
}

/* A message was taken in: the next one may come. */
static void go_on(struct append_stream *stream) {
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

static struct failure *prepare(struct append_stream *stream, struct blob *message, struct bytes bytes, bool further,
                               struct partition_append *append) {
  struct failure *failure = services_not_serving(stream->services);
  if (failure == NULL) failure = log_append_prepare(stream->services, bytes, append);
  if (failure == NULL && further && append->request.has_more)
    failure = refusal_new(STATUS_MALFORMED, "a request in `more` has `more` itself; put all of them into that of the first one");
  if (failure == NULL) append->message = blob_hold(message);
  return failure;
}

/* One request: a message, or one that stands in `more` of it. */
static struct stream_request *request_new(struct append_stream *stream, struct blob *message, struct bytes bytes, bool further) {
  struct stream_request *this = NEW(struct stream_request);
  struct partition_append *append = &this->request.append;
  struct failure *failure = prepare(stream, message, bytes, further, append);
  if (failure == NULL) {
    this->request.request_id = append->request.request_id;
  } else {
    append->failure = services_route_failure_in_stream(stream->services, failure);
    this->request.request_id = log_wire_find_request_id(bytes);
  }
  return this;
}

/* How many further ones there are, and their bytes. No more than are too many are counted. */
static uint32_t count_further(struct bytes message, size_t *out_bytes) {
  struct wire_cursor more = wire_cursor_of(message);
  struct bytes further;
  uint32_t count = 0;
  for (; count < MESSAGE_REQUESTS_MAX && log_wire_next_append_request(&more, &further) == STATUS_OK; count++)
    *out_bytes += further.size;
  return count;
}

static void refuse_them_all(struct stream_request *first, struct failure *failure) {
  memory_free(first->request.append.failure);
  first->request.append.failure = failure;
}

/* Why a message of so many further requests is not taken in; NULL: it is. A request takes more than its bytes, so those of all streams are bounded here,
 * too. */
static struct failure *refuse_further(const struct services *services, uint32_t count) {
  if (count == MESSAGE_REQUESTS_MAX)
    return refusal_new(STATUS_TOO_LARGE, "the message has more than %u requests; send several", MESSAGE_REQUESTS_MAX);
  if (count > 0 && services->stream_requests >= STREAMS_REQUESTS_MAX)
    return refusal_new(STATUS_BUSY,
                       "%u requests of streams are in flight on this broker; send each in a message of its own, or wait",
                       STREAMS_REQUESTS_MAX);
  return NULL;
}

/* Of a message that is no message all is refused at once, for nobody knows what else is in it. */
static bool has_further(const struct partition_append *append) {
  return append->failure == NULL ? append->request.has_more : append->failure->reason != STATUS_MALFORMED;
}

void log_service_stream_message(void *service, struct rpc_call *call, struct blob *message) {
  const struct services *services = service;
  struct append_stream *stream = rpc_call_context(call);
  struct bytes whole = bytes_of(message->data, message->size);
  struct wire_cursor more = wire_cursor_of(whole);
  struct bytes further;
  size_t further_bytes = 0;
  struct stream_request *first = request_new(stream, message, whole, false);
  uint32_t count = has_further(&first->request.append) ? count_further(whole, &further_bytes) : 0;
  struct failure *refusal = refuse_further(services, count);
  if (refusal != NULL) {
    refuse_them_all(first, refusal);
    count = 0;
  }
  submit(stream, first, whole.size - (count > 0 ? further_bytes : 0));
  for (; count > 0 && log_wire_next_append_request(&more, &further) == STATUS_OK; count--) {
    REACHED(requests_come_together);
    submit(stream, request_new(stream, message, further, true), further.size);
  }
  blob_release(message);
  go_on(stream);
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
  go_on(rpc_call_context(call));
}

void log_service_stream_sent(void *service, struct rpc_call *call) {
  (void)service;
  struct append_stream *stream = rpc_call_context(call);
  if (stream->count == 0) return;
  for (uint32_t answers = append_answers_sent(&stream->answers); answers > 0; answers--) {
    stream->bytes -= stream->sizes[stream->first];
    stream->first = (stream->first + 1) % stream->capacity;
    stream->count--;
    stream->services->stream_requests--;
  }
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
