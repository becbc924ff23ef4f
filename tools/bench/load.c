/* Load over gRPC, for a broker, a floor or etcd: the same client, the same channel arguments.
 *
 *   load unary    ADDRESS METHOD OUTSTANDING PARTITIONS RECORD_BYTES SECONDS
 *   load stream   ADDRESS METHOD WINDOW      PARTITIONS BATCH_BYTES  SECONDS [TOTAL_BYTES]
 *   load flock    ADDRESS METHOD WINDOW      PARTITIONS BATCH_BYTES  SECONDS [TOTAL_BYTES]
 *   load put      ADDRESS METHOD OUTSTANDING -          VALUE_BYTES  SECONDS
 *   load get      ADDRESS METHOD OUTSTANDING KEYS       -            SECONDS
 *   load create   ADDRESS METHOD OUTSTANDING TOPICS     PARTITIONS   SECONDS
 *   load alter, describe, delete    the same without PARTITIONS
 *   load tail     ADDRESS METHOD MAX_BYTES   -          -            SECONDS [TOTAL_BYTES]
 *
 * What each sends: messages.h; tail follows partition 0 from offset 0. create and delete end with the last topic, and the others with the time.
 * flock is stream as a client does it that sends what it has at hand in one message (AppendRequest.more), and takes answers so. Prints one JSON object.
 */
#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>
#include <grpc/support/alloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/wire.h"
#include "tools/bench/args.h"
#include "tools/bench/messages.h"
#include "tools/bench/tally.h"

static grpc_completion_queue *queue;
static grpc_channel *channel;
static grpc_slice method;

static void fail(const char *what) {
  fprintf(stderr, "load: %s\n", what);
  exit(1);
}

enum { RESPONSE_MORE = 13, RESPONSE_TAKES_MORE = 14, RESPONSE_ERROR = 15 };

static void failed_with(grpc_slice details) {
  char *text = grpc_slice_to_c_string(details);
  tally_fail(text);
  gpr_free(text);
}

/* ---- Unary: so many calls outstanding ---- */

struct unary {
  grpc_call *call;
  grpc_metadata_array initial, trailing;
  grpc_byte_buffer *request, *answer;
  grpc_status_code status;
  grpc_slice details;
  uint64_t began_ns;
  size_t bytes;
};

static void unary_start(struct unary *unary) {
  memset(unary, 0, sizeof *unary);
  grpc_byte_buffer *request = messages_next();
  grpc_metadata_array_init(&unary->initial);
  grpc_metadata_array_init(&unary->trailing);
  unary->request = request;
  unary->bytes = grpc_byte_buffer_length(request);
  unary->began_ns = tally_now_ns();
  unary->call = grpc_channel_create_call(channel, NULL, GRPC_PROPAGATE_DEFAULTS, queue, method, NULL,
                                         gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
  grpc_op ops[] = {
      {.op = GRPC_OP_SEND_INITIAL_METADATA},
      {.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = request},
      {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT},
      {.op = GRPC_OP_RECV_INITIAL_METADATA, .data.recv_initial_metadata.recv_initial_metadata = &unary->initial},
      {.op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &unary->answer},
      {.op = GRPC_OP_RECV_STATUS_ON_CLIENT,
       .data.recv_status_on_client = {.trailing_metadata = &unary->trailing,
                                      .status = &unary->status,
                                      .status_details = &unary->details}},
  };
  if (grpc_call_start_batch(unary->call, ops, 6, unary, NULL) != GRPC_CALL_OK) fail("a batch was refused");
}

static void unary_end(struct unary *unary) {
  if (unary->status == GRPC_STATUS_OK) tally_count(unary->began_ns, unary->bytes);
  else failed_with(unary->details);
  grpc_metadata_array_destroy(&unary->initial);
  grpc_metadata_array_destroy(&unary->trailing);
  if (unary->answer != NULL) grpc_byte_buffer_destroy(unary->answer);
  grpc_byte_buffer_destroy(unary->request);
  grpc_slice_unref(unary->details);
  grpc_call_unref(unary->call);
}

static void run_unary(unsigned outstanding) {
  struct unary *calls = calloc(outstanding, sizeof *calls);
  unsigned open = 0;
  while (open < outstanding && messages_more()) unary_start(&calls[open++]);
  while (open > 0) {
    grpc_event event = grpc_completion_queue_next(queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
    struct unary *unary = event.tag;
    unary_end(unary);
    if (tally_over() || !messages_more()) open--;
    else unary_start(unary);
  }
  free(calls);
}

/* ---- Streams: one call, so many messages unanswered ---- */

struct stream {
  grpc_call *call;
  grpc_metadata_array initial, trailing;
  grpc_byte_buffer *request, *answer;
  grpc_status_code status;
  grpc_slice details;
  unsigned window, unanswered;
  unsigned due; /* of the messages that go together, still to be sent */
  bool sending, closed, done;
  uint64_t began_ns[65536]; /* of the messages unanswered, a ring */
  uint16_t first, next;
  size_t bytes; /* of a request */
  bool flocks, takes_more;
};

enum { TAG_SENT = 1, TAG_RECEIVED, TAG_STATUS, TAG_OPENED, TAG_CLOSED };
#define TAG(number) ((void *)(intptr_t)(number))

static void batch(struct stream *stream, const grpc_op *ops, size_t op_count, int tag) {
  if (grpc_call_start_batch(stream->call, ops, op_count, TAG(tag), NULL) != GRPC_CALL_OK) fail("a batch was refused");
}

static void stream_open(struct stream *stream) {
  grpc_metadata_array_init(&stream->initial);
  grpc_metadata_array_init(&stream->trailing);
  stream->call = grpc_channel_create_call(channel, NULL, GRPC_PROPAGATE_DEFAULTS, queue, method, NULL,
                                          gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
  grpc_op status = {.op = GRPC_OP_RECV_STATUS_ON_CLIENT,
                    .data.recv_status_on_client = {
                        .trailing_metadata = &stream->trailing, .status = &stream->status, .status_details = &stream->details}};
  batch(stream, &status, 1, TAG_STATUS);
  grpc_op open[] = {{.op = GRPC_OP_SEND_INITIAL_METADATA},
                    {.op = GRPC_OP_RECV_INITIAL_METADATA, .data.recv_initial_metadata.recv_initial_metadata = &stream->initial}};
  batch(stream, open, 2, TAG_OPENED);
}

static void stream_receive(struct stream *stream) {
  grpc_op op = {.op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &stream->answer};
  batch(stream, &op, 1, TAG_RECEIVED);
}

/* Each but the last of those that are due waits for the others, so that they reach the socket together. */
static void stream_send(struct stream *stream) {
  unsigned count = !stream->takes_more ? 1 : stream->due < MESSAGES_TOGETHER_MAX ? stream->due : MESSAGES_TOGETHER_MAX;
  stream->request = stream->flocks ? messages_together(count) : messages_next();
  if (stream->bytes == 0) stream->bytes = grpc_byte_buffer_length(stream->request);
  for (unsigned i = 0; i < count; i++) stream->began_ns[stream->next++] = tally_now_ns();
  stream->unanswered += count;
  stream->due -= count;
  stream->sending = true;
  grpc_op op = {.op = GRPC_OP_SEND_MESSAGE,
                .flags = stream->due > 0 ? GRPC_WRITE_BUFFER_HINT : 0,
                .data.send_message.send_message = stream->request};
  batch(stream, &op, 1, TAG_SENT);
}

/* Fills the window, or ends the stream when the time is over and all is answered. */
static void stream_fill(struct stream *stream) {
  if (stream->sending || stream->closed) return;
  if (tally_over()) {
    if (stream->unanswered > 0) return;
    stream->closed = true;
    grpc_op op = {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT};
    batch(stream, &op, 1, TAG_CLOSED);
    return;
  }
  stream->due = stream->window - stream->unanswered;
  if (stream->due > 0) stream_send(stream);
}

/* A refusal is an answer too, and a fast one: it must not pass for an append. (A floor answers with what it likes.) */
static void count_answers(struct stream *stream, struct bytes message) {
  struct wire_cursor cursor = wire_cursor_of(message);
  struct wire_field field;
  bool refused = false;
  while (wire_next(&cursor, &field) == STATUS_OK) {
    if (field.number == RESPONSE_ERROR) refused = true;
    if (field.number == RESPONSE_TAKES_MORE && stream->flocks) stream->takes_more = true;
    if (field.number == RESPONSE_MORE) count_answers(stream, field.bytes);
  }
  uint64_t began_ns = stream->began_ns[stream->first++];
  if (refused) tally_fail("an append was refused");
  else tally_count(began_ns, stream->bytes);
  stream->unanswered--;
}

static void stream_answered(struct stream *stream) {
  grpc_byte_buffer_reader reader;
  if (!grpc_byte_buffer_reader_init(&reader, stream->answer)) fail("an answer cannot be read");
  grpc_slice whole = grpc_byte_buffer_reader_readall(&reader);
  count_answers(stream, bytes_of(GRPC_SLICE_START_PTR(whole), GRPC_SLICE_LENGTH(whole)));
  grpc_slice_unref(whole);
  grpc_byte_buffer_reader_destroy(&reader);
  grpc_byte_buffer_destroy(stream->answer);
  stream->answer = NULL;
}

/* The next event. What the window has room for is sent when none is at hand: answers come in flocks, and so does what follows them. */
static grpc_event next_of_stream(struct stream *stream) {
  grpc_event event = grpc_completion_queue_next(queue, gpr_inf_past(GPR_CLOCK_MONOTONIC), NULL);
  if (event.type != GRPC_QUEUE_TIMEOUT) return event;
  stream_fill(stream);
  return grpc_completion_queue_next(queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
}

static void run_stream(unsigned window, bool flocks) {
  static struct stream stream;
  stream.window = window;
  stream.flocks = flocks;
  stream_open(&stream);
  stream_receive(&stream);
  while (!stream.done) {
    grpc_event event = next_of_stream(&stream);
    switch ((int)(intptr_t)event.tag) {
      case TAG_SENT:
        stream.sending = false;
        grpc_byte_buffer_destroy(stream.request);
        if (event.success && stream.due > 0) stream_send(&stream);
        break;
      case TAG_RECEIVED:
        if (stream.answer == NULL) break;
        stream_answered(&stream);
        stream_receive(&stream);
        break;
      case TAG_STATUS:
        stream.done = true;
        if (stream.status != GRPC_STATUS_OK) failed_with(stream.details);
        break;
      default: break;
    }
  }
}

static void run_tail(size_t max_bytes) {
  static struct stream stream;
  stream_open(&stream);
  grpc_op send[] = {{.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = messages_tail(max_bytes)},
                    {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT}};
  batch(&stream, send, 2, TAG_SENT);
  uint64_t asked = tally_now_ns();
  stream_receive(&stream);
  while (!stream.done) {
    grpc_event event = grpc_completion_queue_next(queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
    if (event.tag == TAG(TAG_STATUS)) {
      stream.done = true;
      if (stream.status != GRPC_STATUS_OK && stream.status != GRPC_STATUS_CANCELLED) failed_with(stream.details);
    }
    if (event.tag != TAG(TAG_RECEIVED) || stream.answer == NULL) continue;
    size_t bytes = grpc_byte_buffer_length(stream.answer);
    grpc_byte_buffer_destroy(stream.answer);
    stream.answer = NULL;
    tally_count(asked, bytes);
    asked = tally_now_ns();
    stream_receive(&stream);
    if (tally_over()) grpc_call_cancel(stream.call, NULL);
  }
}

static uint64_t number(int argc, char **argv, int at) { return at < argc ? strtoull(argv[at], NULL, 10) : 0; }

int main(int argc, char **argv) {
  if (argc < 8) fail("usage: load KIND ADDRESS METHOD N MANY BYTES SECONDS [TOTAL_BYTES]");
  grpc_init();
  grpc_arg args[BENCH_ARGS_MAX];
  grpc_channel_args channel_args = {.num_args = bench_args(args), .args = args};
  queue = grpc_completion_queue_create_for_next(NULL);
  grpc_channel_credentials *credentials = grpc_insecure_credentials_create();
  channel = grpc_channel_create(argv[2], credentials, &channel_args);
  grpc_channel_credentials_release(credentials);
  method = grpc_slice_from_copied_string(argv[3]);
  unsigned n = (unsigned)number(argc, argv, 4);
  size_t bytes = number(argc, argv, 6);
  uint64_t duration_ns = number(argc, argv, 7) * UINT64_C(1000000000);
  bool flock = strcmp(argv[1], "flock") == 0, stream = flock || strcmp(argv[1], "stream") == 0,
       tail = strcmp(argv[1], "tail") == 0;
  if (!tail && !messages_begin(argv[1], (unsigned)number(argc, argv, 5), bytes)) fail("no such load, or too many partitions");

  tally_begin(duration_ns, !tail && messages_are_counted() ? UINT64_MAX : number(argc, argv, 8));
  if (stream) run_stream(n, flock);
  else if (tail) run_tail(n);
  else run_unary(n);
  return tally_report() ? 0 : 1;
}
