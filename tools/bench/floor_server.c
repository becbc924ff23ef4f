/* What gRPC costs by itself: a server whose handlers do nothing, and (with --journal FILE) one that answers a call only after a single
 * journal thread has written its message, with all that waited beside it, past the page cache into a zero-filled ring.
 *
 * No protobuf, no log, no checks: the floor under cairnd. Methods: /floor.Floor/Unary, /floor.Floor/Stream (bidirectional, each
 * message answered). Prints `ready PORT`.
 */
#include <fcntl.h>
#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/bench/args.h"

#define RING_BYTES (256u << 20)
#define GROUP_BYTES_MAX (1u << 20)
#define BLOCK 4096u
#define ARMED 128

enum step { NEW, RECEIVED, ANSWERED, STREAM_OPENED, STREAM_RECEIVED, STREAM_ANSWERED, CLOSED };

struct call {
  grpc_call *call;
  grpc_call_details details;
  grpc_metadata_array metadata;
  grpc_byte_buffer *message, *answer;
  enum step step;
  int cancelled;
  struct call *next; /* in the journal's queue */
};

static grpc_server *server;
static grpc_completion_queue *queue;
static grpc_byte_buffer *answer;

static struct {
  int file;
  uint8_t *buffer;
  pthread_mutex_t lock;
  pthread_cond_t filled;
  struct call *first, *last;
} journal = {.file = -1, .lock = PTHREAD_MUTEX_INITIALIZER, .filled = PTHREAD_COND_INITIALIZER};

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static void begin(struct call *call, const grpc_op *ops, size_t count) {
  if (grpc_call_start_batch(call->call, ops, count, call, NULL) != GRPC_CALL_OK) {
    fprintf(stderr, "floor_server: a batch was refused\n");
    exit(1);
  }
}

static void arm(void) {
  struct call *call = calloc(1, sizeof *call);
  if (call == NULL) fail("calloc");
  grpc_call_details_init(&call->details);
  grpc_metadata_array_init(&call->metadata);
  grpc_server_request_call(server, &call->call, &call->details, &call->metadata, queue, queue, call);
}

static void release(struct call *call) {
  if (call->message != NULL) grpc_byte_buffer_destroy(call->message);
  if (call->answer != NULL) grpc_byte_buffer_destroy(call->answer);
  if (call->call != NULL) grpc_call_unref(call->call);
  grpc_call_details_destroy(&call->details);
  grpc_metadata_array_destroy(&call->metadata);
  free(call);
}

static void answer_unary(struct call *call) {
  call->step = ANSWERED;
  call->answer = grpc_byte_buffer_copy(answer);
  grpc_op ops[] = {
      {.op = GRPC_OP_SEND_INITIAL_METADATA},
      {.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = call->answer},
      {.op = GRPC_OP_SEND_STATUS_FROM_SERVER},
      {.op = GRPC_OP_RECV_CLOSE_ON_SERVER, .data.recv_close_on_server.cancelled = &call->cancelled},
  };
  begin(call, ops, 4);
}

static void receive(struct call *call, enum step step, bool first) {
  call->step = step;
  grpc_op ops[] = {
      {.op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &call->message},
      {.op = GRPC_OP_SEND_INITIAL_METADATA},
  };
  begin(call, ops, first && step == STREAM_RECEIVED ? 2 : 1);
}

static void finish_stream(struct call *call) {
  call->step = CLOSED;
  grpc_op ops[] = {
      {.op = GRPC_OP_SEND_STATUS_FROM_SERVER},
      {.op = GRPC_OP_RECV_CLOSE_ON_SERVER, .data.recv_close_on_server.cancelled = &call->cancelled},
  };
  begin(call, ops, 2);
}

/* ---- The bare journal ---- */

static void hand_to_journal(struct call *call) {
  pthread_mutex_lock(&journal.lock);
  call->next = NULL;
  if (journal.first == NULL) journal.first = call;
  else journal.last->next = call;
  journal.last = call;
  pthread_cond_signal(&journal.filled);
  pthread_mutex_unlock(&journal.lock);
}

/* Takes what waits, up to a group's size. */
static struct call *take(size_t *out_bytes) {
  pthread_mutex_lock(&journal.lock);
  while (journal.first == NULL) pthread_cond_wait(&journal.filled, &journal.lock);
  struct call *calls = journal.first, *last = NULL;
  size_t bytes = 0;
  for (struct call *call = calls; call != NULL; call = call->next) {
    size_t size = grpc_byte_buffer_length(call->message);
    if (last != NULL && bytes + size > GROUP_BYTES_MAX) break;
    grpc_byte_buffer_reader reader;
    grpc_byte_buffer_reader_init(&reader, call->message);
    grpc_slice slice;
    while (grpc_byte_buffer_reader_next(&reader, &slice)) {
      memcpy(journal.buffer + bytes, GRPC_SLICE_START_PTR(slice), GRPC_SLICE_LENGTH(slice));
      bytes += GRPC_SLICE_LENGTH(slice);
      grpc_slice_unref(slice);
    }
    grpc_byte_buffer_reader_destroy(&reader);
    last = call;
  }
  journal.first = last->next;
  last->next = NULL;
  pthread_mutex_unlock(&journal.lock);
  *out_bytes = (bytes + BLOCK - 1) / BLOCK * BLOCK;
  return calls;
}

static void *journal_thread(void *unused) {
  (void)unused;
  off_t at = 0;
  for (;;) {
    size_t bytes;
    struct call *calls = take(&bytes);
    if (at + (off_t)bytes > (off_t)RING_BYTES) at = 0;
    if (pwrite(journal.file, journal.buffer, bytes, at) != (ssize_t)bytes) fail("journal write");
    at += (off_t)bytes;
    for (struct call *call = calls, *next; call != NULL; call = next) {
      next = call->next;
      answer_unary(call);
    }
  }
  return NULL;
}

static void open_journal(const char *path) {
  journal.file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_DIRECT | O_DSYNC | O_CLOEXEC, 0600);
  if (journal.file < 0) fail(path);
  if (posix_memalign((void **)&journal.buffer, BLOCK, GROUP_BYTES_MAX + (4u << 20)) != 0) fail("memory");
  memset(journal.buffer, 0, GROUP_BYTES_MAX + (4u << 20));
  for (off_t at = 0; at < (off_t)RING_BYTES; at += GROUP_BYTES_MAX)
    if (pwrite(journal.file, journal.buffer, GROUP_BYTES_MAX, at) != (ssize_t)GROUP_BYTES_MAX) fail("zero fill");
  pthread_t thread;
  if (pthread_create(&thread, NULL, journal_thread, NULL) != 0) fail("thread");
}

/* ---- Calls ---- */

static void opened(struct call *call) {
  arm();
  bool stream = grpc_slice_str_cmp(call->details.method, "/floor.Floor/Stream") == 0;
  receive(call, stream ? STREAM_RECEIVED : RECEIVED, true);
}

static void stream_received(struct call *call) {
  if (call->message == NULL) {
    finish_stream(call);
    return;
  }
  grpc_byte_buffer_destroy(call->message);
  call->message = NULL;
  call->step = STREAM_ANSWERED;
  if (call->answer != NULL) grpc_byte_buffer_destroy(call->answer);
  call->answer = grpc_byte_buffer_copy(answer);
  grpc_op op = {.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = call->answer};
  begin(call, &op, 1);
}

static void advance(struct call *call, bool ok) {
  switch (call->step) {
    case NEW:
      if (ok) opened(call);
      break;
    case RECEIVED:
      if (!ok || call->message == NULL) answer_unary(call);
      else if (journal.file >= 0) hand_to_journal(call);
      else answer_unary(call);
      break;
    case STREAM_RECEIVED:
      if (ok) stream_received(call);
      else finish_stream(call);
      break;
    case STREAM_ANSWERED:
      if (ok) receive(call, STREAM_RECEIVED, false);
      else finish_stream(call);
      break;
    case ANSWERED:
    case CLOSED:
    case STREAM_OPENED: release(call); break;
  }
}

int main(int argc, char **argv) {
  if (argc == 3 && strcmp(argv[1], "--journal") == 0) open_journal(argv[2]);
  grpc_init();
  grpc_arg args[BENCH_ARGS_MAX];
  grpc_channel_args channel_args = {.num_args = bench_args(args), .args = args};
  server = grpc_server_create(&channel_args, NULL);
  queue = grpc_completion_queue_create_for_next(NULL);
  grpc_server_register_completion_queue(server, queue, NULL);
  grpc_server_credentials *credentials = grpc_insecure_server_credentials_create();
  int port = grpc_server_add_http2_port(server, "127.0.0.1:0", credentials);
  grpc_server_credentials_release(credentials);
  if (port == 0) fail("no port");
  grpc_slice slice = grpc_slice_from_copied_buffer("0123456789abcdef0123456789abcdef", 32);
  answer = grpc_raw_byte_buffer_create(&slice, 1);
  grpc_server_start(server);
  for (int i = 0; i < ARMED; i++) arm();
  printf("ready %d\n", port);
  fflush(stdout);
  for (;;) {
    grpc_event event = grpc_completion_queue_next(queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
    if (event.type == GRPC_OP_COMPLETE) advance(event.tag, event.success != 0);
  }
}
