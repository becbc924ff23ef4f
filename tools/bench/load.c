/* Load over gRPC, for a broker, a floor or etcd: the same client, the same channel arguments.
 *
 *   load unary  ADDRESS METHOD OUTSTANDING PARTITIONS RECORD_BYTES SECONDS
 *   load stream ADDRESS METHOD WINDOW      PARTITIONS BATCH_BYTES  SECONDS [TOTAL_BYTES]
 *   load flock  ADDRESS METHOD WINDOW      PARTITIONS BATCH_BYTES  SECONDS [TOTAL_BYTES]
 *   load put    ADDRESS METHOD OUTSTANDING -          VALUE_BYTES  SECONDS
 *   load tail   ADDRESS METHOD MAX_BYTES   -          -            SECONDS [TOTAL_BYTES]
 *
 * unary, stream and flock send AppendRequests for topic "bench" (batches of records of 1000 bytes each; unary, and a batch of no more than
 * 1024 bytes: one record); put sends etcdserverpb.PutRequests, each with a key of its own; tail follows partition 0 from offset 0.
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
#include "tools/bench/tally.h"

#define RECORD_BYTES 1000u
#define SINGLE_BYTES_MAX 1024u
#define PARTITIONS_MAX 1024u

static grpc_completion_queue *queue;
static grpc_channel *channel;
static grpc_slice method;
static grpc_byte_buffer *requests[PARTITIONS_MAX];
static grpc_slice further[PARTITIONS_MAX]; /* the same requests, as they stand in AppendRequest.more */
static unsigned partitions = 1, next_partition;
static bool puts_values;
static grpc_slice put_value;

static void fail(const char *what) {
  fprintf(stderr, "load: %s\n", what);
  exit(1);
}

/* ---- Messages ---- */

static grpc_byte_buffer *buffer_of(const uint8_t *bytes, size_t size) {
  grpc_slice slice = grpc_slice_from_copied_buffer((const char *)bytes, size);
  grpc_byte_buffer *buffer = grpc_raw_byte_buffer_create(&slice, 1);
  grpc_slice_unref(slice);
  return buffer;
}

/* An AppendRequest: topic 1, partition 2, batch 3 { records 14 { record 1 { value 2 } } }. */
static grpc_byte_buffer *append_request(unsigned partition, size_t batch_bytes, size_t record_bytes) {
  size_t count = batch_bytes / record_bytes == 0 ? 1 : batch_bytes / record_bytes;
  uint8_t *memory = calloc(3, count * (record_bytes + 32) + 64);
  uint8_t *records = memory + count * (record_bytes + 32) + 64;
  if (memory == NULL) fail("no memory");
  uint8_t *value = calloc(1, record_bytes);
  for (size_t i = 0; i < record_bytes; i++) value[i] = (uint8_t)('a' + i * 7 % 26);

  uint8_t *at = records;
  for (size_t i = 0; i < count; i++) {
    uint8_t record_head[2 * WIRE_VARINT_SIZE_MAX];
    size_t head = (size_t)(wire_put_bytes_head(record_head, 2, record_bytes) - record_head);
    at = wire_put_bytes_head(at, 1, head + record_bytes);
    memcpy(at, record_head, head);
    memcpy(at + head, value, record_bytes);
    at += head + record_bytes;
  }
  size_t records_size = (size_t)(at - records);
  uint8_t batch_head[2 * WIRE_VARINT_SIZE_MAX];
  size_t batch_head_size = (size_t)(wire_put_bytes_head(batch_head, 14, records_size) - batch_head);

  at = wire_put_bytes(memory, 1, bytes_of("bench", 5));
  at = wire_put_uint(at, 2, partition);
  at = wire_put_bytes_head(at, 3, batch_head_size + records_size);
  memcpy(at, batch_head, batch_head_size);
  at += batch_head_size;
  memmove(at, records, records_size);
  grpc_byte_buffer *buffer = buffer_of(memory, (size_t)(at + records_size - memory));
  free(value);
  free(memory);
  return buffer;
}

static grpc_slice value_of(size_t size) {
  grpc_slice value = grpc_slice_malloc(size);
  for (size_t i = 0; i < size; i++) GRPC_SLICE_START_PTR(value)[i] = (uint8_t)('a' + i * 7 % 26);
  return value;
}

static grpc_byte_buffer *tail_request(size_t max_bytes) {
  uint8_t memory[64];
  uint8_t *at = wire_put_bytes(memory, 1, bytes_of("bench", 5));
  at = wire_put_uint(at, 4, max_bytes);
  return buffer_of(memory, (size_t)(at - memory));
}

/* etcdserverpb.PutRequest { key 1, value 2 }: a key of eight bytes, never the same, before the one value. */
static grpc_byte_buffer *put_request(void) {
  static uint64_t number;
  uint8_t memory[64], key[8];
  number++;
  for (unsigned i = 0; i < sizeof key; i++) key[i] = (uint8_t)(number >> (8 * (7 - i)));
  uint8_t *at = wire_put_bytes(memory, 1, bytes_of(key, sizeof key));
  at = wire_put_bytes_head(at, 2, GRPC_SLICE_LENGTH(put_value));
  grpc_slice slices[] = {grpc_slice_from_copied_buffer((const char *)memory, (size_t)(at - memory)), put_value};
  grpc_byte_buffer *buffer = grpc_raw_byte_buffer_create(slices, 2);
  grpc_slice_unref(slices[0]);
  return buffer;
}

/* C core takes the slices out of what it sends: each send gets a buffer of its own over the same bytes. */
static grpc_byte_buffer *next_request(void) {
  return puts_values ? put_request() : grpc_byte_buffer_copy(requests[next_partition++ % partitions]);
}

/* ---- Requests that go together ---- */

enum { REQUEST_MORE = 7, REQUEST_TOGETHER = 8, RESPONSE_MORE = 13, RESPONSE_TAKES_MORE = 14, RESPONSE_ERROR = 15 };
#define TOGETHER_MAX 256u

static bool flocks;

static void prepare_further(unsigned partition) {
  grpc_byte_buffer_reader reader;
  if (!grpc_byte_buffer_reader_init(&reader, requests[partition])) fail("a request cannot be read");
  grpc_slice whole = grpc_byte_buffer_reader_readall(&reader);
  grpc_byte_buffer_reader_destroy(&reader);
  uint8_t head[1 + WIRE_VARINT_SIZE_MAX];
  size_t head_size = (size_t)(wire_put_bytes_head(head, REQUEST_MORE, GRPC_SLICE_LENGTH(whole)) - head);
  further[partition] = grpc_slice_malloc(head_size + GRPC_SLICE_LENGTH(whole));
  memcpy(GRPC_SLICE_START_PTR(further[partition]), head, head_size);
  memcpy(GRPC_SLICE_START_PTR(further[partition]) + head_size, GRPC_SLICE_START_PTR(whole), GRPC_SLICE_LENGTH(whole));
  grpc_slice_unref(whole);
}

/* The first is whole, the flag follows it, then the others. */
static grpc_byte_buffer *requests_together(unsigned count) {
  static const uint8_t takes_answers_together[] = {REQUEST_TOGETHER << 3, 1};
  grpc_slice slices[TOGETHER_MAX + 1];
  grpc_byte_buffer *first = next_request();
  size_t used = 0;
  slices[used++] = grpc_slice_ref(first->data.raw.slice_buffer.slices[0]);
  slices[used++] = grpc_slice_from_copied_buffer((const char *)takes_answers_together, sizeof takes_answers_together);
  while (used <= count) slices[used++] = grpc_slice_ref(further[next_partition++ % partitions]);
  grpc_byte_buffer_destroy(first);
  grpc_byte_buffer *buffer = grpc_raw_byte_buffer_create(slices, used);
  for (size_t i = 0; i < used; i++) grpc_slice_unref(slices[i]);
  return buffer;
}

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
  grpc_byte_buffer *request = next_request();
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
  unsigned open = outstanding;
  for (unsigned i = 0; i < outstanding; i++) unary_start(&calls[i]);
  while (open > 0) {
    grpc_event event = grpc_completion_queue_next(queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
    struct unary *unary = event.tag;
    unary_end(unary);
    if (tally_over()) open--;
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
  bool takes_more;
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
  unsigned count = !stream->takes_more ? 1 : stream->due < TOGETHER_MAX ? stream->due : TOGETHER_MAX;
  stream->request = flocks ? requests_together(count) : next_request();
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
    if (field.number == RESPONSE_TAKES_MORE && flocks) stream->takes_more = true;
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

static void run_stream(unsigned window) {
  static struct stream stream;
  stream.window = window;
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
  grpc_op send[] = {{.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = tail_request(max_bytes)},
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
  if (argc < 8) fail("usage: load unary|stream|tail ADDRESS METHOD N PARTITIONS BYTES SECONDS [TOTAL_BYTES]");
  grpc_init();
  grpc_arg args[BENCH_ARGS_MAX];
  grpc_channel_args channel_args = {.num_args = bench_args(args), .args = args};
  queue = grpc_completion_queue_create_for_next(NULL);
  grpc_channel_credentials *credentials = grpc_insecure_credentials_create();
  channel = grpc_channel_create(argv[2], credentials, &channel_args);
  grpc_channel_credentials_release(credentials);
  method = grpc_slice_from_copied_string(argv[3]);
  unsigned n = (unsigned)number(argc, argv, 4);
  partitions = (unsigned)number(argc, argv, 5);
  size_t bytes = number(argc, argv, 6);
  uint64_t duration_ns = number(argc, argv, 7) * UINT64_C(1000000000);
  if (partitions == 0) partitions = 1;
  if (partitions > PARTITIONS_MAX) fail("too many partitions");
  flocks = strcmp(argv[1], "flock") == 0;
  bool unary = strcmp(argv[1], "unary") == 0, stream = flocks || strcmp(argv[1], "stream") == 0;
  puts_values = strcmp(argv[1], "put") == 0;
  if (puts_values) put_value = value_of(bytes);
  size_t record_bytes = unary || bytes <= SINGLE_BYTES_MAX ? bytes : RECORD_BYTES;
  for (unsigned p = 0; p < partitions && (unary || stream); p++) requests[p] = append_request(p, bytes, record_bytes);
  for (unsigned p = 0; p < partitions && flocks; p++) prepare_further(p);

  tally_begin(duration_ns, number(argc, argv, 8));
  if (unary || puts_values) run_unary(n);
  else if (stream) run_stream(n);
  else run_tail(n);
  return tally_report() ? 0 : 1;
}
