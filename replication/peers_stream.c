/* A lane's queue on one connection: drafts, flow, loss, backoff. On the lane, but for the transport's callbacks.
 *
 *   empty ──put──> drafts wait ──pump──> a run begins, hello first ──> packets go, at most PEER_SENDS_MAX not taken
 *     ^                 ^                                                   │
 *     │                 └── put: waits for the retry timer <── lost (RESET) ┘   what was queued is dropped
 *     └── all taken
 *
 * A stream that has nothing to send has no timer and does not come back by itself when it is lost.
 */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/memory.h"
#include "base/trace.h"
#include "replication/peers_internal.h"

struct peer_queued {
  struct list_node node;
  struct peer_draft draft;
};

/* ---- The queue ---- */

static void retry_fires(struct timer *timer) { peer_stream_pump(container_of(timer, struct peer_stream, retry)); }

void peer_stream_init(struct peer_stream *stream, struct peer_outbox *outbox, enum peer_road road, struct rpc_channel *channel) {
  *stream = (struct peer_stream){.outbox = outbox, .road = road, .channel = channel, .retry = {.fire = retry_fires}};
  list_init(&stream->drafts);
}

static void drop(struct peer_queued *queued) {
  list_remove(&queued->node);
  peer_draft_deinit(&queued->draft);
  memory_free(queued);
}

static void drop_all(struct peer_stream *stream) {
  for (struct list_node *node; (node = list_first(&stream->drafts)) != NULL;) drop(list_entry(node, struct peer_queued, node));
  stream->bytes = 0;
  stream->messages = 0;
  stream->sent_count = 0;
}

void peer_stream_deinit(struct peer_stream *stream) {
  CHECK(stream->run == NULL);
  drop_all(stream);
  loop_timer_cancel(peer_lane_loop(stream->outbox->lane), &stream->retry);
}

bool peer_stream_room(const struct peer_stream *stream) {
  return stream->bytes < PEER_OUTBOX_BYTES_MAX && stream->messages < PEER_OUTBOX_MESSAGES_MAX;
}

bool peer_stream_idle(const struct peer_stream *stream) { return stream->run == NULL && list_empty(&stream->drafts); }

static struct peer_draft *draft_for(struct peer_stream *stream, size_t bytes) {
  struct list_node *last = list_last(&stream->drafts);
  if (last != NULL) {
    struct peer_draft *draft = &list_entry(last, struct peer_queued, node)->draft;
    bool fits = draft->bytes + bytes <= PEER_PACKET_BYTES_TARGET && draft->messages < PEER_PACKET_MESSAGES_MAX;
    if (fits) return draft;
  }
  struct peer_queued *queued = NEW(struct peer_queued);
  peer_draft_init(&queued->draft);
  list_push_back(&stream->drafts, &queued->node);
  return &queued->draft;
}

void peer_stream_put(struct peer_stream *stream, group_id group, const struct raft_message *message, const struct entry *entries,
                     size_t count) {
  if (!peer_stream_room(stream)) {
    stream->crowded = true;
    return;
  }
  size_t bytes_max = peer_wire_message_bytes_max(entries, count);
  PRE(count <= 1 || bytes_max <= PEER_APPEND_BYTES_MAX + peer_wire_message_bytes_max(entries, 0) + count * 8);
  struct peer_draft *draft = draft_for(stream, bytes_max);
  size_t before = draft->bytes;
  peer_draft_add(draft, group, message, entries, count);
  stream->bytes += draft->bytes - before;
  stream->messages++;
  if (!peer_stream_room(stream)) stream->crowded = true;
}

/* Half empty, so that it does not flutter. */
static void tell_room(struct peer_stream *stream) {
  if (!stream->crowded || stream->bytes > PEER_OUTBOX_BYTES_MAX / 2 || stream->messages > PEER_OUTBOX_MESSAGES_MAX / 2) return;
  stream->crowded = false;
  struct peer_lane *lane = stream->outbox->lane;
  if (stream->road == PEER_BULK) lane->ops->edge(lane->context, stream->outbox->to.broker, PEER_ROOM);
}

/* ---- A run ---- */

static void note_taken(struct task *task) {
  struct peer_run *run = container_of(task, struct peer_run, taken_task);
  struct peer_stream *stream = run->stream;
  /* Release: whoever posts the task again is done after the loop took it. And before the exchange: what is counted later is told again. */
  atomic_store_explicit(&run->telling, false, memory_order_release);
  unsigned taken = atomic_exchange_explicit(&run->taken, 0, memory_order_acq_rel);
  for (; taken > 0 && stream->sent_count > 0; taken--) {
    stream->bytes -= stream->sent_bytes[stream->sent_first];
    stream->sent_first = (stream->sent_first + 1) % PEER_SENDS_MAX;
    stream->sent_count--;
  }
  if (stream->outbox->closing) return;
  peer_stream_pump(stream);
  tell_room(stream);
}

static void tell_lost(const struct peer_stream *stream, const struct peer_run *run) {
  char quoted[2 * PEER_REASON_SIZE];
  trace_quote(quoted, sizeof quoted, run->reason, strlen(run->reason));
  bool refused = run->code == GRPC_CODE_FAILED_PRECONDITION;
  if (stream->failures > 1) return; /* once for each time that it was lost */
  trace_line(refused ? TRACE_WARN : TRACE_DEBUG, refused ? "peer_refuses" : "peer_stream_lost",
             "broker=%u lane=%u road=%u code=%u reason=%s", stream->outbox->to.broker, stream->outbox->lane->number,
             (unsigned)stream->road, (unsigned)run->code, quoted);
}

static void note_done(struct task *task) {
  struct peer_run *run = container_of(task, struct peer_run, done_task);
  struct peer_stream *stream = run->stream;
  struct peer_outbox *outbox = stream->outbox;
  struct peer_lane *lane = outbox->lane;
  uint64_t now_ns = loop_now_ns(peer_lane_loop(lane));
  if (now_ns - run->began_ns >= PEER_SETTLED_NS) stream->failures = 0;
  stream->retry_at_ns = now_ns + peers_backoff_ns(lane->peers, stream->failures++);
  if (!outbox->closing) tell_lost(stream, run);
  stream->run = NULL;
  rpc_request_release(run->request);
  memory_free(run);
  drop_all(stream);
  if (outbox->closing) {
    peer_outbox_closed(outbox);
    return;
  }
  lane->ops->edge(lane->context, outbox->to.broker, PEER_RESET);
  tell_room(stream);
}

/* On the transport's thread, like all three. */
static void on_message(void *context, struct rpc_request *request, struct blob *message) {
  (void)context;
  (void)request;
  blob_release(message); /* nothing is said on this way back */
}

static void on_sent(void *context, struct rpc_request *request) {
  struct peer_run *run = context;
  (void)request;
  atomic_fetch_add_explicit(&run->taken, 1, memory_order_acq_rel);
  if (atomic_exchange_explicit(&run->telling, true, memory_order_acq_rel)) return;
  loop_post(peer_lane_loop(run->lane), &run->taken_task);
}

static void on_done(void *context, struct rpc_request *request, const struct rpc_result *result) {
  struct peer_run *run = context;
  (void)request;
  run->code = result->code;
  snprintf(run->reason, sizeof run->reason, "%s", result->text);
  peers_superseded(run->lane->peers, result);
  loop_post(peer_lane_loop(run->lane), &run->done_task);
}

static const struct rpc_client_handler handler = {on_message, on_sent, on_done};

static void begin_run(struct peer_stream *stream) {
  struct peer_lane *lane = stream->outbox->lane;
  struct peer_run *run = NEW(struct peer_run);
  run->lane = lane;
  run->stream = stream;
  run->began_ns = loop_now_ns(peer_lane_loop(lane));
  run->taken_task.run = note_taken;
  run->done_task.run = note_done;
  atomic_init(&run->taken, 0);
  atomic_init(&run->telling, false);
  stream->run = run;
  stream->sent_first = 0;
  run->request = rpc_request_start(stream->channel, PEER_EXCHANGE_METHOD, RPC_BIDI_STREAM, UINT64_MAX, true, &handler, run);

  struct peer_hello hello = peers_hello(lane->peers, &stream->outbox->to);
  struct peer_draft draft;
  peer_draft_init(&draft);
  peer_draft_hello(&draft, &hello);
  size_t count = 0;
  struct blob_part *parts = peer_draft_seal(&draft, &count);
  rpc_request_send(run->request, parts, count);
  memory_free(parts);
  peer_draft_deinit(&draft);
  stream->sent_bytes[0] = 0;
  stream->sent_count = 1;
}

static void send_first(struct peer_stream *stream) {
  struct peer_queued *queued = list_entry(list_first(&stream->drafts), struct peer_queued, node);
  unsigned at = (stream->sent_first + stream->sent_count) % PEER_SENDS_MAX;
  stream->sent_bytes[at] = queued->draft.bytes;
  stream->sent_count++;
  stream->messages -= queued->draft.messages;
  size_t count = 0;
  struct blob_part *parts = peer_draft_seal(&queued->draft, &count);
  rpc_request_send(stream->run->request, parts, count);
  memory_free(parts);
  drop(queued);
}

void peer_stream_pump(struct peer_stream *stream) {
  if (list_empty(&stream->drafts) || stream->outbox->closing) return;
  if (stream->run == NULL) {
    struct loop *loop = peer_lane_loop(stream->outbox->lane);
    if (loop_now_ns(loop) < stream->retry_at_ns) {
      if (stream->retry.slot == 0) loop_timer_set(loop, &stream->retry, stream->retry_at_ns);
      return;
    }
    begin_run(stream);
  }
  while (stream->sent_count < PEER_SENDS_MAX && !list_empty(&stream->drafts)) send_first(stream);
}

void peer_stream_close(struct peer_stream *stream) {
  loop_timer_cancel(peer_lane_loop(stream->outbox->lane), &stream->retry);
  if (stream->run != NULL) rpc_request_cancel(stream->run->request);
}
