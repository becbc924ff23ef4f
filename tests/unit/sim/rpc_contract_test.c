/* What rpc.h promises, of gRPC and of the simulated wires: the same bodies, and neither can be told from the other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/codec.h"
#include "base/list.h"
#include "base/memory.h"
#include "base/os/world_os.h"
#include "proto/rpc_grpc.h"
#include "tests/sim/sim_rpc.h"
#include "tests/sim/sim_world.h"
#include "tests/unit/proto/echo.h"

#define MESSAGE_MAX (1024u * 1024u)
#define CALLS_MAX 8u
#define MESSAGE_WAIT_NS (2 * SECOND_NS)

/* A server and a client, each with its own instance, and one channel between them. */
struct fixture {
  struct echo echo;
  struct account account;
  struct rpc *server;
  struct rpc *client;
  unsigned peer_calls_max;
  uint16_t port;
  char address[32];
  struct rpc_channel *channel;
  struct exchange exchange, other;
  struct world *world; /* the real one; NULL: all is pretended */
  struct sim *sim;
  struct sim_net *net;
  struct sim_host *host;
  struct sim_disk *device;
  struct sim_world *processes[2];
};

/* ---- The twins ---- */

static struct rpc *open_rpc(struct fixture *f) {
  struct rpc *rpc = NULL;
  if (f->sim != NULL) return sim_rpc_new(sim_world_process(f->processes[1]), f->net, f->host, NULL);
  assert_int_equal(rpc_grpc_open(&rpc), STATUS_OK);
  return rpc;
}

static void close_rpc(struct fixture *f, struct rpc *rpc) {
  if (f->sim != NULL) sim_rpc_free(rpc);
  else rpc_grpc_close(rpc);
}

static void pause_ms(struct fixture *f, unsigned ms) {
  if (f->sim != NULL) sim_run_for(f->sim, (uint64_t)ms * 1000000u);
  else usleep(ms * 1000);
}

static enum status serve(struct fixture *f, struct rpc *rpc, const char *listen, uint16_t *out_port) {
  struct rpc_serve_options options = {.listen = listen,
                                      .handlers = echo_handlers,
                                      .handler_count = echo_handler_count,
                                      .service = &f->echo,
                                      .message_bytes_max = MESSAGE_MAX,
                                      .memory_bytes_max = 64u * 1024 * 1024,
                                      .streams_max = 1000,
                                      .calls_max = CALLS_MAX,
                                      .peer_calls_max = f->peer_calls_max,
                                      .message_wait_ns = MESSAGE_WAIT_NS,
                                      .account = &f->account};
  return rpc_serve(rpc, &options, out_port);
}

/* `lane` is known before anything is served: the transport's thread looks at it. */
static int begin(struct fixture *f, struct loop *lane, void **state) {
  echo_init(&f->echo);
  f->echo.loop = lane;
  account_init(&f->account, 16u * 1024 * 1024);
  assert_int_equal(serve(f, f->server, "127.0.0.1:0", &f->port), STATUS_OK);
  snprintf(f->address, sizeof f->address, "127.0.0.1:%u", f->port);
  f->channel = rpc_channel_open(f->client, f->address);
  *state = f;
  return 0;
}

static int real_set_up(void **state) {
  struct fixture *f = NEW(struct fixture);
  assert_int_equal(world_os_open("/", false, &f->world), STATUS_OK);
  f->server = open_rpc(f);
  f->client = open_rpc(f);
  return begin(f, world_loop_new(f->world, "lane", 0), state);
}

static struct sim *working; /* for echo_work() */

static bool work(void) { return sim_step(working); }

static int simulated_set_up(void **state) {
  struct fixture *f = NEW(struct fixture);
  f->sim = sim_new(29);
  f->net = sim_net_new(f->sim);
  f->host = sim_host_new(f->net, "10.0.0.1");
  f->device = sim_disk_new(f->sim, "disk", 1 << 20);
  f->processes[0] = sim_world_new(f->sim, f->device, "server");
  f->processes[1] = sim_world_new(f->sim, f->device, "client");
  f->server = sim_rpc_new(sim_world_process(f->processes[0]), f->net, f->host, NULL);
  f->client = open_rpc(f);
  working = f->sim;
  echo_work = work;
  return begin(f, world_loop_new(sim_world_doors(f->processes[0]), "lane", 0), state);
}

static int tear_down(void **state) {
  struct fixture *f = *state;
  rpc_channel_close(f->channel);
  rpc_serve_stop(f->server, 0);
  close_rpc(f, f->client);
  echo_deinit(&f->echo);
  loop_stop(f->echo.loop);
  close_rpc(f, f->server);
  assert_int_equal(account_used(&f->account), 0);
  echo_work = NULL;
  for (int i = 0; i < 2; i++) sim_world_free(f->processes[i]);
  sim_disk_free(f->device);
  sim_net_free(f->net);
  sim_free(f->sim);
  world_os_close(f->world);
  memory_free(f);
  return 0;
}

static void assert_failed(const struct exchange *exchange, enum grpc_status code, enum status reason, enum executed executed) {
  assert_int_equal(exchange->code, code);
  assert_string_equal(status_name(exchange->failure.reason), status_name(reason));
  assert_int_equal(exchange->failure.executed, executed);
}

static void assert_echoed(const struct exchange *exchange, const void *data, size_t size) {
  assert_int_equal(exchange->code, GRPC_CODE_OK);
  assert_int_equal(exchange->count, 1);
  assert_int_equal(exchange->messages[0]->size, size);
  if (size > 0) assert_memory_equal(exchange->messages[0]->data, data, size);
}

/* ---- Unary ---- */

static void unary_call_carries_messages_of_all_sizes(void **state) {
  struct fixture *f = *state;
  static const size_t sizes[] = {0, 1, 255, 256, 1024, 70000, MESSAGE_MAX};
  uint8_t *data = malloc(MESSAGE_MAX);
  for (size_t i = 0; i < MESSAGE_MAX; i++) data[i] = (uint8_t)(i * 31 + i / 256);

  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
    exchange_unary(&f->exchange, f->channel, "/test.Echo/Unary", data, sizes[i]);
    assert_echoed(&f->exchange, data, sizes[i]);
    exchange_end(&f->exchange);
  }
  assert_true(echo_wait_closed(&f->echo, 7, 0));
  free(data);
}

static void parts_arrive_as_one_message(void **state) {
  struct fixture *f = *state;
  struct blob *blob = NULL;
  assert_int_equal(blob_new(NULL, 50000, &blob), STATUS_OK);
  for (size_t i = 0; i < blob->size; i++) blob->data[i] = (uint8_t)(i % 251);
  struct blob_part parts[40];
  size_t at = 0;
  for (size_t i = 0; i < 40; i++) { /* small ones, large ones, and one that lives for ever */
    size_t size = i % 3 == 0 ? 3000 : 7;
    parts[i] = blob_part_of(blob, at, size);
    at += size;
  }
  blob_release(parts[39].blob);
  parts[39] = (struct blob_part){.bytes = bytes_of_string("for ever")};
  size_t last_size = 3000;

  exchange_start(&f->exchange, f->channel, "/test.Echo/Unary", RPC_UNARY, 10 * SECOND_NS, true);
  rpc_request_send(f->exchange.request, parts, 40);
  exchange_wait_done(&f->exchange);

  assert_int_equal(f->exchange.count, 1);
  assert_int_equal(f->exchange.messages[0]->size, at - last_size + 8);
  assert_memory_equal(f->exchange.messages[0]->data, blob->data, at - last_size);
  assert_memory_equal(f->exchange.messages[0]->data + at - last_size, "for ever", 8);
  exchange_end(&f->exchange);
  blob_release(blob);
}

static void answer_may_come_from_a_lane(void **state) {
  struct fixture *f = *state;

  exchange_unary(&f->exchange, f->channel, "/test.Echo/Later", "lane", 4);

  assert_echoed(&f->exchange, "lane", 4);
  exchange_end(&f->exchange);
  assert_true(echo_wait_closed(&f->echo, 1, 0));
}

static void failure_travels_with_all_it_carries(void **state) {
  struct fixture *f = *state;

  exchange_unary(&f->exchange, f->channel, "/test.Echo/Refuse", "broker-2:7411", 13);

  assert_failed(&f->exchange, GRPC_CODE_ABORTED, STATUS_OFFSET_MISMATCH, EXECUTED_NO);
  assert_string_equal(f->exchange.failure.text, "expected 7, the log ends at 42; read from there");
  assert_string_equal(f->exchange.failure.leader, "broker-2:7411");
  assert_true(f->exchange.failure.has_next_offset);
  assert_int_equal(f->exchange.failure.next_offset, 42);
  assert_int_equal(f->exchange.failure.retry_after_ms, 250);
  exchange_end(&f->exchange);
}

static void value_that_http2_forbids_is_left_out(void **state) {
  struct fixture *f = *state;

  exchange_unary(&f->exchange, f->channel, "/test.Echo/Refuse", "b\xc3\xbcro\x01:1", 9);

  assert_failed(&f->exchange, GRPC_CODE_ABORTED, STATUS_OFFSET_MISMATCH, EXECUTED_NO);
  assert_string_equal(f->exchange.failure.leader, "");
  exchange_end(&f->exchange);
}

static void unknown_method_is_refused(void **state) {
  struct fixture *f = *state;

  exchange_unary(&f->exchange, f->channel, "/test.Echo/Nothing", "x", 1);

  assert_failed(&f->exchange, GRPC_CODE_UNIMPLEMENTED, STATUS_UNSUPPORTED, EXECUTED_NO);
  exchange_end(&f->exchange);
}

/* ---- Bounds ---- */

static void too_large_message_is_refused(void **state) {
  struct fixture *f = *state;
  void *data = calloc(3, MESSAGE_MAX);

  exchange_unary(&f->exchange, f->channel, "/test.Echo/Unary", data, MESSAGE_MAX + 1);
  assert_failed(&f->exchange, GRPC_CODE_RESOURCE_EXHAUSTED, STATUS_TOO_LARGE, EXECUTED_NO);
  exchange_end(&f->exchange);

  /* C core cuts this one off unread, and does not say what became of it. */
  exchange_unary(&f->exchange, f->channel, "/test.Echo/Unary", data, 2 * MESSAGE_MAX + 1);
  assert_failed(&f->exchange, GRPC_CODE_RESOURCE_EXHAUSTED, STATUS_TOO_LARGE, EXECUTED_MAYBE);
  exchange_end(&f->exchange);

  exchange_unary(&f->exchange, f->channel, "/test.Echo/Unary", "x", 1);
  assert_echoed(&f->exchange, "x", 1);
  exchange_end(&f->exchange);
  free(data);
}

static void message_beyond_the_account_is_refused(void **state) {
  struct fixture *f = *state;
  void *data = calloc(1, 100000);
  struct blob *filler = NULL;
  assert_int_equal(blob_new(&f->account, 16u * 1024 * 1024 - 50000, &filler), STATUS_OK);

  exchange_unary(&f->exchange, f->channel, "/test.Echo/Unary", data, 100000);

  assert_failed(&f->exchange, GRPC_CODE_RESOURCE_EXHAUSTED, STATUS_NO_MEMORY, EXECUTED_NO);
  assert_true(f->exchange.failure.retry_after_ms > 0);
  exchange_end(&f->exchange);
  blob_release(filler);
  free(data);
}

static void message_that_a_stream_may_not_send_is_its_services_to_answer(void **state) {
  struct fixture *f = *state;
  uint8_t *data = calloc(1, MESSAGE_MAX + 1);
  struct blob *filler = NULL;
  exchange_start(&f->exchange, f->channel, "/test.Echo/Patient", RPC_BIDI_STREAM, 30 * SECOND_NS, true);

  exchange_send(&f->exchange, "one", 3);
  exchange_send(&f->exchange, data, MESSAGE_MAX + 1);
  exchange_send(&f->exchange, "two", 3);
  assert_true(exchange_wait_count(&f->exchange, 3));
  assert_int_equal(blob_new(&f->account, 16u * 1024 * 1024 - 50000, &filler), STATUS_OK);
  exchange_send(&f->exchange, data, 100000);
  assert_true(exchange_wait_count(&f->exchange, 4));
  blob_release(filler);
  rpc_request_half_close(f->exchange.request);
  exchange_wait_done(&f->exchange);

  char large[64];
  snprintf(large, sizeof large, "TOO_LARGE %u", MESSAGE_MAX + 1);
  const char *const answers[] = {"one", large, "two", "NO_MEMORY 100000"};
  for (size_t i = 0; i < 4; i++) {
    assert_int_equal(f->exchange.messages[i]->size, strlen(answers[i]));
    assert_memory_equal(f->exchange.messages[i]->data, answers[i], strlen(answers[i]));
  }
  assert_int_equal(f->exchange.code, GRPC_CODE_OK);
  assert_int_equal(account_used(&f->account), 0);
  exchange_end(&f->exchange);
  free(data);
}

static void calls_beyond_the_bound_are_refused(void **state) {
  struct fixture *f = *state;
  struct exchange *hanging = calloc(CALLS_MAX, sizeof *hanging);
  for (unsigned i = 0; i < CALLS_MAX; i++) {
    exchange_start(&hanging[i], f->channel, "/test.Echo/Hang", RPC_UNARY, 30 * SECOND_NS, true);
    exchange_send(&hanging[i], "x", 1);
  }
  assert_true(echo_wait_opened(&f->echo, CALLS_MAX));

  exchange_unary(&f->exchange, f->channel, "/test.Echo/Unary", "x", 1);
  assert_failed(&f->exchange, GRPC_CODE_RESOURCE_EXHAUSTED, STATUS_BUSY, EXECUTED_NO);
  exchange_end(&f->exchange);

  for (unsigned i = 0; i < CALLS_MAX; i++) {
    rpc_request_cancel(hanging[i].request);
    exchange_wait_done(&hanging[i]);
    exchange_end(&hanging[i]);
  }
  assert_true(echo_wait_closed(&f->echo, CALLS_MAX, CALLS_MAX));
  exchange_unary(&f->exchange, f->channel, "/test.Echo/Unary", "x", 1);
  assert_echoed(&f->exchange, "x", 1);
  exchange_end(&f->exchange);
  free(hanging);
}

static void one_peer_holds_no_more_than_its_share(void **state) {
  struct fixture *f = *state;
  rpc_serve_stop(f->server, 0);
  f->peer_calls_max = CALLS_MAX / 2;
  assert_int_equal(serve(f, f->server, f->address, &f->port), STATUS_OK);
  struct exchange *idle = calloc(CALLS_MAX / 2, sizeof *idle);
  for (unsigned i = 0; i < CALLS_MAX / 2; i++)
    exchange_start(&idle[i], f->channel, "/test.Echo/Chat", RPC_BIDI_STREAM, UINT64_MAX, true);
  assert_true(echo_wait_opened(&f->echo, CALLS_MAX / 2));

  exchange_unary(&f->exchange, f->channel, "/test.Echo/Unary", "x", 1);
  assert_failed(&f->exchange, GRPC_CODE_RESOURCE_EXHAUSTED, STATUS_BUSY, EXECUTED_NO);
  exchange_end(&f->exchange);

  for (unsigned i = 0; i < CALLS_MAX / 2; i++) {
    rpc_request_half_close(idle[i].request);
    exchange_wait_done(&idle[i]);
    assert_int_equal(idle[i].code, GRPC_CODE_OK);
    exchange_end(&idle[i]);
  }
  assert_true(echo_wait_closed(&f->echo, CALLS_MAX / 2, 0));
  exchange_unary(&f->exchange, f->channel, "/test.Echo/Unary", "x", 1);
  assert_echoed(&f->exchange, "x", 1);
  exchange_end(&f->exchange);
  free(idle);
}

static void call_whose_message_does_not_come_is_ended(void **state) {
  struct fixture *f = *state;
  struct exchange *stream = NEW(struct exchange);
  /* Our own client sends nothing at all before there is a message, unless the call is a stream to it. */
  exchange_start(&f->exchange, f->channel, "/test.Echo/Unary", RPC_BIDI_STREAM, UINT64_MAX, true);
  exchange_start(&f->other, f->channel, "/test.Echo/Many", RPC_BIDI_STREAM, UINT64_MAX, true);
  exchange_start(stream, f->channel, "/test.Echo/Chat", RPC_BIDI_STREAM, UINT64_MAX, true);

  exchange_wait_done(&f->exchange);
  exchange_wait_done(&f->other);
  assert_failed(&f->exchange, GRPC_CODE_DEADLINE_EXCEEDED, STATUS_DEADLINE, EXECUTED_NO);
  assert_failed(&f->other, GRPC_CODE_DEADLINE_EXCEEDED, STATUS_DEADLINE, EXECUTED_NO);
  exchange_end(&f->exchange);
  exchange_end(&f->other);

  /* A stream may be silent as long as it likes. */
  exchange_send(stream, "x", 1);
  rpc_request_half_close(stream->request);
  exchange_wait_done(stream);
  assert_echoed(stream, "x", 1);
  exchange_end(stream);
  memory_free(stream);
}

static void call_that_waits_for_its_answer_is_not_silent(void **state) {
  struct fixture *f = *state;
  exchange_start(&f->exchange, f->channel, "/test.Echo/Hang", RPC_UNARY, UINT64_MAX, true);
  exchange_send(&f->exchange, "x", 1);

  pause_ms(f, 2 * MESSAGE_WAIT_NS / 1000000);

  assert_false(f->exchange.done);
  rpc_request_cancel(f->exchange.request);
  exchange_wait_done(&f->exchange);
  exchange_end(&f->exchange);
}

/* ---- Deadlines, cancellation, connections ---- */

static void deadline_ends_the_call_on_both_sides(void **state) {
  struct fixture *f = *state;

  exchange_start(&f->exchange, f->channel, "/test.Echo/Hang", RPC_UNARY, SECOND_NS / 5, true);
  exchange_send(&f->exchange, "x", 1);
  exchange_wait_done(&f->exchange);

  assert_failed(&f->exchange, GRPC_CODE_DEADLINE_EXCEEDED, STATUS_DEADLINE, EXECUTED_MAYBE);
  exchange_end(&f->exchange);
  assert_true(echo_wait_closed(&f->echo, 1, 1));
}

static void cancellation_reaches_the_service(void **state) {
  struct fixture *f = *state;
  exchange_start(&f->exchange, f->channel, "/test.Echo/Hang", RPC_UNARY, UINT64_MAX, true);
  exchange_send(&f->exchange, "x", 1);
  exchange_start(&f->other, f->channel, "/test.Echo/Chat", RPC_BIDI_STREAM, UINT64_MAX, true);
  assert_true(echo_wait_opened(&f->echo, 2));

  rpc_request_cancel(f->exchange.request);
  rpc_request_cancel(f->other.request);
  exchange_wait_done(&f->exchange);
  exchange_wait_done(&f->other);

  assert_failed(&f->exchange, GRPC_CODE_CANCELLED, STATUS_CANCELLED, EXECUTED_MAYBE);
  assert_failed(&f->other, GRPC_CODE_CANCELLED, STATUS_CANCELLED, EXECUTED_MAYBE);
  assert_true(echo_wait_closed(&f->echo, 2, 2));
  exchange_end(&f->exchange);
  exchange_end(&f->other);
}

static void unary_call_cancelled_before_its_message_is_done(void **state) {
  struct fixture *f = *state;
  exchange_start(&f->exchange, f->channel, "/test.Echo/Unary", RPC_UNARY, UINT64_MAX, true);

  rpc_request_cancel(f->exchange.request);
  exchange_wait_done(&f->exchange);

  assert_int_equal(f->exchange.code, GRPC_CODE_CANCELLED);
  exchange_end(&f->exchange);
}

static void answer_after_cancellation_goes_nowhere(void **state) {
  struct fixture *f = *state;
  exchange_start(&f->exchange, f->channel, "/test.Echo/Later", RPC_UNARY, UINT64_MAX, true);
  exchange_send(&f->exchange, "x", 1);
  assert_true(echo_wait_opened(&f->echo, 1));

  rpc_request_cancel(f->exchange.request);
  exchange_wait_done(&f->exchange);

  assert_int_equal(f->exchange.code, GRPC_CODE_CANCELLED);
  exchange_end(&f->exchange);
  pause_ms(f, 50); /* the answer is given meanwhile */
}

static void broker_that_is_not_there_surely_did_nothing(void **state) {
  struct fixture *f = *state;
  struct rpc_channel *channel = rpc_channel_open(f->client, "127.0.0.1:1");

  exchange_unary(&f->exchange, channel, "/test.Echo/Unary", "x", 1);

  assert_failed(&f->exchange, GRPC_CODE_UNAVAILABLE, STATUS_TRANSPORT, EXECUTED_NO);
  exchange_end(&f->exchange);
  rpc_channel_close(channel);
}

static void closing_a_channel_cancels_its_requests(void **state) {
  struct fixture *f = *state;
  struct rpc_channel *channel = rpc_channel_open(f->client, f->address);
  exchange_start(&f->exchange, channel, "/test.Echo/Hang", RPC_UNARY, UINT64_MAX, true);
  exchange_send(&f->exchange, "x", 1);
  assert_true(echo_wait_opened(&f->echo, 1));

  rpc_channel_close(channel);

  assert_true(f->exchange.done);
  assert_int_equal(f->exchange.code, GRPC_CODE_CANCELLED);
  exchange_end(&f->exchange);
}

static void client_reconnects_after_a_restart(void **state) {
  struct fixture *f = *state;
  exchange_unary(&f->exchange, f->channel, "/test.Echo/Unary", "x", 1);
  exchange_end(&f->exchange);

  rpc_serve_stop(f->server, 0);
  exchange_unary(&f->exchange, f->channel, "/test.Echo/Unary", "x", 1);
  assert_int_equal(f->exchange.code, GRPC_CODE_UNAVAILABLE);
  exchange_end(&f->exchange);
  assert_int_equal(serve(f, f->server, f->address, &f->port), STATUS_OK);

  unsigned tries = 0;
  do {
    pause_ms(f, 50);
    exchange_unary(&f->exchange, f->channel, "/test.Echo/Unary", "x", 1);
    exchange_end(&f->exchange);
  } while (f->exchange.code != GRPC_CODE_OK && ++tries < 100);
  assert_int_equal(f->exchange.code, GRPC_CODE_OK);
}

static void port_that_is_taken_is_told(void **state) {
  struct fixture *f = *state;
  struct rpc *second = open_rpc(f);
  uint16_t port = 0;

  assert_int_equal(serve(f, second, f->address, &port), STATUS_EXISTS);
  assert_int_equal(serve(f, second, "192.0.2.1:0", &port), STATUS_INVALID);
  assert_int_equal(serve(f, second, "127.0.0.1", &port), STATUS_INVALID);
  assert_int_equal(serve(f, second, "127.0.0.1:99999", &port), STATUS_INVALID);
  assert_int_equal(serve(f, second, "localhost:0", &port), STATUS_OK);

  close_rpc(f, second);
}

static void stopping_lets_open_calls_finish(void **state) {
  struct fixture *f = *state;
  exchange_start(&f->exchange, f->channel, "/test.Echo/Later", RPC_UNARY, UINT64_MAX, true);
  exchange_send(&f->exchange, "x", 1);
  exchange_start(&f->other, f->channel, "/test.Echo/Hang", RPC_UNARY, UINT64_MAX, true);
  exchange_send(&f->other, "x", 1);
  assert_true(echo_wait_opened(&f->echo, 2));

  rpc_serve_stop(f->server, SECOND_NS / 2);

  exchange_wait_done(&f->exchange);
  assert_echoed(&f->exchange, "x", 1);
  exchange_end(&f->exchange);
  exchange_wait_done(&f->other);
  assert_true(f->other.code != GRPC_CODE_OK);
  assert_int_equal(f->other.failure.executed, EXECUTED_MAYBE);
  exchange_end(&f->other);
  assert_int_equal(f->echo.closed, 2);
  assert_int_equal(f->echo.cancelled, 1);
}

static void stopping_says_of_silent_calls_that_nothing_was_done(void **state) {
  struct fixture *f = *state;
  struct exchange *silent = NEW(struct exchange);
  exchange_start(&f->exchange, f->channel, "/test.Echo/Chat", RPC_BIDI_STREAM, UINT64_MAX, true);
  exchange_start(silent, f->channel, "/test.Echo/Unary", RPC_BIDI_STREAM, UINT64_MAX, true);
  exchange_start(&f->other, f->channel, "/test.Echo/Chat", RPC_BIDI_STREAM, UINT64_MAX, true);
  exchange_send(&f->other, "x", 1);
  assert_true(exchange_wait_count(&f->other, 1));
  assert_true(echo_wait_opened(&f->echo, 3));

  rpc_serve_stop(f->server, SECOND_NS / 2);

  exchange_wait_done(&f->exchange);
  assert_failed(&f->exchange, GRPC_CODE_UNAVAILABLE, STATUS_DRAINING, EXECUTED_NO);
  exchange_end(&f->exchange);
  exchange_wait_done(silent);
  assert_failed(silent, GRPC_CODE_UNAVAILABLE, STATUS_DRAINING, EXECUTED_NO);
  exchange_end(silent);
  exchange_wait_done(&f->other);
  assert_int_equal(f->other.failure.executed, EXECUTED_MAYBE);
  exchange_end(&f->other);
  memory_free(silent);
}

static void server_and_client_share_an_instance(void **state) {
  struct fixture *f = *state;
  struct rpc_channel *channel = rpc_channel_open(f->server, f->address);

  exchange_unary(&f->exchange, channel, "/test.Echo/Unary", "both", 4);

  assert_echoed(&f->exchange, "both", 4);
  exchange_end(&f->exchange);
  rpc_channel_close(channel);
}

/* ---- Streams ---- */

static void ask_many(struct exchange *exchange, uint32_t count, uint32_t size, uint32_t window) {
  uint8_t request[12];
  put_u32(request, count);
  put_u32(request + 4, size);
  put_u32(request + 8, window);
  exchange_send(exchange, request, sizeof request);
}

static void server_stream_delivers_all_then_the_status(void **state) {
  struct fixture *f = *state;
  exchange_start(&f->exchange, f->channel, "/test.Echo/Many", RPC_SERVER_STREAM, 30 * SECOND_NS, true);

  ask_many(&f->exchange, 500, 20000, 4);
  exchange_wait_done(&f->exchange);

  assert_int_equal(f->exchange.code, GRPC_CODE_OK);
  assert_int_equal(f->exchange.count, 500);
  assert_int_equal(f->exchange.messages[499]->size, 20000);
  exchange_end(&f->exchange);
  assert_true(echo_wait_closed(&f->echo, 1, 0));
  assert_true(f->echo.queued_most <= 4);
}

static void burst_arrives_whole_before_the_status(void **state) {
  struct fixture *f = *state;
  exchange_start(&f->exchange, f->channel, "/test.Echo/Burst", RPC_SERVER_STREAM, 30 * SECOND_NS, true);

  ask_many(&f->exchange, 1000, 300, 0);
  exchange_wait_done(&f->exchange);

  assert_int_equal(f->exchange.code, GRPC_CODE_OK);
  assert_int_equal(f->exchange.count, 1000);
  exchange_end(&f->exchange);
}

static void reader_that_stops_stops_the_sender(void **state) {
  struct fixture *f = *state;
  exchange_start(&f->exchange, f->channel, "/test.Echo/Many", RPC_SERVER_STREAM, UINT64_MAX, false);
  ask_many(&f->exchange, 1000, 100 * 1000, 3);

  for (unsigned i = 1; i <= 3; i++) {
    rpc_request_receive(f->exchange.request);
    assert_true(exchange_wait_count(&f->exchange, i));
  }
  pause_ms(f, 500);
  pthread_mutex_lock(&f->echo.lock);
  unsigned sent = f->echo.sent;
  pthread_mutex_unlock(&f->echo.lock);

  assert_in_range(sent, 1, 300); /* what flow control holds, not the 1,000 */
  assert_int_equal(f->exchange.count, 3);
  rpc_request_cancel(f->exchange.request);
  exchange_wait_done(&f->exchange);
  assert_int_equal(f->exchange.code, GRPC_CODE_CANCELLED);
  exchange_end(&f->exchange);
  assert_true(echo_wait_closed(&f->echo, 1, 1));
}

static void chat_keeps_the_order_and_ends_cleanly(void **state) {
  struct fixture *f = *state;
  exchange_start(&f->exchange, f->channel, "/test.Echo/Chat", RPC_BIDI_STREAM, 30 * SECOND_NS, true);

  for (uint32_t i = 0; i < 2000; i++) {
    uint8_t number[600] = {0};
    put_u32(number, i);
    exchange_send(&f->exchange, number, 4 + i % 590);
  }
  rpc_request_half_close(f->exchange.request);
  exchange_wait_done(&f->exchange);

  assert_int_equal(f->exchange.code, GRPC_CODE_OK);
  assert_int_equal(f->exchange.count, 2000);
  for (uint32_t i = 0; i < 2000; i++) {
    assert_int_equal(f->exchange.messages[i]->size, 4 + i % 590);
    assert_int_equal(get_u32(f->exchange.messages[i]->data), i);
  }
  assert_int_equal(rpc_request_queued(f->exchange.request), 0);
  exchange_end(&f->exchange);
  assert_true(echo_wait_closed(&f->echo, 1, 0));
}

static void stream_without_messages_ends(void **state) {
  struct fixture *f = *state;
  exchange_start(&f->exchange, f->channel, "/test.Echo/Chat", RPC_BIDI_STREAM, 30 * SECOND_NS, false);

  rpc_request_half_close(f->exchange.request);
  exchange_wait_done(&f->exchange);

  assert_int_equal(f->exchange.code, GRPC_CODE_OK);
  exchange_end(&f->exchange);
}

static void calls_end_when_the_client_vanishes(void **state) {
  struct fixture *f = *state;
  struct rpc *other = open_rpc(f);
  struct rpc_channel *channel = rpc_channel_open(other, f->address);
  exchange_start(&f->exchange, channel, "/test.Echo/Chat", RPC_BIDI_STREAM, UINT64_MAX, true);
  exchange_send(&f->exchange, "x", 1);
  assert_true(exchange_wait_count(&f->exchange, 1));

  rpc_channel_close(channel);
  close_rpc(f, other);

  assert_true(echo_wait_closed(&f->echo, 1, 1));
  exchange_end(&f->exchange);
}

/* The status comes behind the messages: whoever does not ask for these does not hear of it. */
static void status_waits_for_messages_that_nobody_asked_for(void **state) {
  struct fixture *f = *state;
  exchange_start(&f->exchange, f->channel, "/test.Echo/Burst", RPC_SERVER_STREAM, UINT64_MAX, false);
  ask_many(&f->exchange, 3, 100, 0);
  rpc_request_receive(f->exchange.request);
  assert_true(exchange_wait_count(&f->exchange, 1));
  pause_ms(f, 300);
  assert_false(f->exchange.done);

  for (unsigned i = 2; i <= 3; i++) {
    rpc_request_receive(f->exchange.request);
    assert_true(exchange_wait_count(&f->exchange, i));
  }
  exchange_wait_done(&f->exchange);

  assert_int_equal(f->exchange.code, GRPC_CODE_OK);
  exchange_end(&f->exchange);
}

static void every_message_that_was_taken_is_told(void **state) {
  struct fixture *f = *state;
  exchange_start(&f->exchange, f->channel, "/test.Echo/Chat", RPC_BIDI_STREAM, 30 * SECOND_NS, true);

  for (unsigned i = 0; i < 50; i++) exchange_send(&f->exchange, "x", 1);
  assert_true(exchange_wait_count(&f->exchange, 50));
  rpc_request_half_close(f->exchange.request);
  exchange_wait_done(&f->exchange);

  assert_int_equal(f->exchange.sent, 50);
  exchange_end(&f->exchange);
}

#define TWICE(test) \
  {#test " (real)", test, real_set_up, tear_down, NULL}, { #test " (simulated)", test, simulated_set_up, tear_down, NULL }

int main(void) {
  const struct CMUnitTest tests[] = {
      TWICE(unary_call_carries_messages_of_all_sizes),
      TWICE(parts_arrive_as_one_message),
      TWICE(answer_may_come_from_a_lane),
      TWICE(failure_travels_with_all_it_carries),
      TWICE(value_that_http2_forbids_is_left_out),
      TWICE(unknown_method_is_refused),
      TWICE(too_large_message_is_refused),
      TWICE(message_beyond_the_account_is_refused),
      TWICE(message_that_a_stream_may_not_send_is_its_services_to_answer),
      TWICE(calls_beyond_the_bound_are_refused),
      TWICE(one_peer_holds_no_more_than_its_share),
      TWICE(call_whose_message_does_not_come_is_ended),
      TWICE(call_that_waits_for_its_answer_is_not_silent),
      TWICE(deadline_ends_the_call_on_both_sides),
      TWICE(cancellation_reaches_the_service),
      TWICE(unary_call_cancelled_before_its_message_is_done),
      TWICE(answer_after_cancellation_goes_nowhere),
      TWICE(broker_that_is_not_there_surely_did_nothing),
      TWICE(closing_a_channel_cancels_its_requests),
      TWICE(client_reconnects_after_a_restart),
      TWICE(port_that_is_taken_is_told),
      TWICE(stopping_lets_open_calls_finish),
      TWICE(stopping_says_of_silent_calls_that_nothing_was_done),
      TWICE(server_and_client_share_an_instance),
      TWICE(server_stream_delivers_all_then_the_status),
      TWICE(burst_arrives_whole_before_the_status),
      TWICE(reader_that_stops_stops_the_sender),
      TWICE(chat_keeps_the_order_and_ends_cleanly),
      TWICE(stream_without_messages_ends),
      TWICE(calls_end_when_the_client_vanishes),
      TWICE(status_waits_for_messages_that_nobody_asked_for),
      TWICE(every_message_that_was_taken_is_told),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
