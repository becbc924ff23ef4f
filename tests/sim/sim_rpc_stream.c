/* One call's two directions, as one side sees them: what waits to go out, what may travel, what came and waits to be asked for. */
#include "base/check.h"
#include "base/memory.h"
#include "tests/sim/sim_rpc_internal.h"

#define MESSAGE_OVERHEAD 5u /* gRPC's prefix; it also keeps empty messages from being free */

void sim_stream_init(struct sim_stream *stream, struct sim_rpc *rpc, uint64_t number, bool asks) {
  *stream = (struct sim_stream){.rpc = rpc, .number = number, .asks = asks};
  list_init(&stream->outbox);
  list_init(&stream->inbox);
}

void sim_stream_attach(struct sim_stream *stream, struct sim_connection *link) {
  PRE(stream->link == NULL);
  stream->link = link;
  list_push_back(&link->streams, &stream->node);
}

void sim_stream_detach(struct sim_stream *stream) {
  if (stream->link == NULL) return;
  list_remove(&stream->node);
  stream->link = NULL;
}

void sim_stream_deinit(struct sim_stream *stream) {
  sim_stream_detach(stream);
  sim_stream_discard(stream);
  for (struct list_node *node; (node = list_pop_front(&stream->inbox)) != NULL;) {
    sim_packet_free(list_entry(node, struct sim_packet, node));
  }
  sim_rpc_errand_drop(&stream->sent_errand);
  sim_rpc_errand_drop(&stream->arrived_errand);
}

/* ---- Out ---- */

static void send_message(struct sim_stream *stream, struct sim_message *message) {
  struct sim_packet *packet = sim_packet_new(FRAME_MESSAGE, stream->number, message->size);
  sim_message_copy(message, packet->data);
  stream->sending = message;
  stream->sent += message->size + MESSAGE_OVERHEAD;
  sim_connection_send(stream->link, packet);
}

static void note_taken(struct sim_stream *stream) {
  if (stream->sending == NULL || stream->sent - stream->credited > stream->rpc->options.window_bytes) return;
  sim_rpc_errand(stream->rpc, &stream->sent_errand);
}

void sim_stream_pump(struct sim_stream *stream) {
  if (stream->link == NULL || stream->sending != NULL) return;
  if (stream->sent - stream->credited >= stream->rpc->options.window_bytes) return;
  struct list_node *node = list_pop_front(&stream->outbox);
  if (node == NULL) return;
  stream->outbox_count--;
  send_message(stream, list_entry(node, struct sim_message, node));
  note_taken(stream);
}

void sim_stream_put(struct sim_stream *stream, const struct blob_part *parts, size_t count) {
  struct sim_message *message = sim_message_new(parts, count);
  list_push_back(&stream->outbox, &message->node);
  stream->outbox_count++;
}

bool sim_stream_taken(struct sim_stream *stream) {
  struct sim_message *message = stream->sending;
  stream->sending = NULL;
  sim_message_free(stream->rpc, message);
  return message != NULL;
}

void sim_stream_credit(struct sim_stream *stream, uint64_t bytes) {
  stream->credited += bytes;
  CHECK(stream->credited <= stream->sent);
  if (stream->sending != NULL) note_taken(stream);
  else sim_stream_pump(stream);
}

bool sim_stream_flushed(const struct sim_stream *stream) { return stream->sending == NULL && stream->outbox_count == 0; }

size_t sim_stream_queued(const struct sim_stream *stream) { return stream->outbox_count + (stream->sending != NULL ? 1 : 0); }

void sim_stream_discard(struct sim_stream *stream) {
  for (struct list_node *node; (node = list_pop_front(&stream->outbox)) != NULL;) {
    sim_message_free(stream->rpc, list_entry(node, struct sim_message, node));
  }
  stream->outbox_count = 0;
  sim_message_free(stream->rpc, stream->sending);
  stream->sending = NULL;
}

/* ---- In ---- */

struct sim_packet *sim_stream_take(struct sim_stream *stream) {
  struct list_node *node = stream->wanted ? list_pop_front(&stream->inbox) : NULL;
  if (node == NULL) return NULL;
  stream->wanted = false;
  struct sim_packet *packet = list_entry(node, struct sim_packet, node);
  struct sim_packet *credit = sim_packet_new(FRAME_CREDIT, stream->number, 0);
  credit->credit = packet->size + MESSAGE_OVERHEAD;
  sim_connection_send(stream->link, credit);
  return packet;
}
