#include "proto/rpc_grpc.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/codec.h"
#include "tests/unit/proto/echo.h"

#define MESSAGE_MAX (1024u * 1024u)
#define CALLS_MAX 8u

/* A server and a client, each with its own instance, and one channel between them. */
struct fixture {
  struct echo echo;
  struct account account;
  struct rpc *server;
  struct rpc *client;
  uint16_t port;
  char address[32];
  struct rpc_channel *channel;
  struct exchange exchange, other;
};

static enum status serve(struct fixture *f, struct rpc *rpc, const char *listen, uint16_t *out_port) {
  struct rpc_serve_options options = {.listen = listen,
                                      .handlers = echo_handlers,
                                      .handler_count = echo_handler_count,
                                      .service = &f->echo,
                                      .message_bytes_max = MESSAGE_MAX,
                                      .memory_bytes_max = 64u * 1024 * 1024,
                                      .streams_max = 1000,
                                      .calls_max = CALLS_MAX,
                                      .account = &f->account};
  return rpc_serve(rpc, &options, out_port);
}

static int set_up(void **state) {
  struct fixture *f = calloc(1, sizeof *f);
  echo_init(&f->echo);
  account_init(&f->account, 16u * 1024 * 1024);
  assert_int_equal(rpc_grpc_open(&f->server), STATUS_OK);
  assert_int_equal(rpc_grpc_open(&f->client), STATUS_OK);
  assert_int_equal(serve(f, f->server, "127.0.0.1:0", &f->port), STATUS_OK);
  snprintf(f->address, sizeof f->address, "127.0.0.1:%u", f->port);
  f->channel = rpc_channel_open(f->client, f->address);
  *state = f;
  return 0;
}

static int tear_down(void **state) {
  struct fixture *f = *state;
  rpc_channel_close(f->channel);
  rpc_serve_stop(f->server, 0);
  rpc_grpc_close(f->client);
  echo_deinit(&f->echo);
  rpc_grpc_close(f->server);
  assert_int_equal(account_used(&f->account), 0);
  free(f);
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

static void answer_may_come_from_another_thread(void **state) {
  struct fixture *f = *state;

  exchange_unary(&f->exchange, f->channel, "/test.Echo/Later", "lane", 4);

  assert_echoed(&f->exchange, "lane", 4);
  exchange_end(&f->exchange);
  assert_true(echo_wait_closed(&f->echo, 1, 0));
}

static void many_answers_come_from_other_threads_at_once(void **state) {
  struct fixture *f = *state;
  struct exchange *many = calloc(CALLS_MAX, sizeof *many);

  for (unsigned round = 0; round < 20; round++) {
    for (unsigned i = 0; i < CALLS_MAX; i++) {
      exchange_start(&many[i], f->channel, "/test.Echo/Later", RPC_UNARY, 10 * SECOND_NS, true);
      exchange_send(&many[i], &i, sizeof i);
    }
    for (unsigned i = 0; i < CALLS_MAX; i++) {
      exchange_wait_done(&many[i]);
      assert_echoed(&many[i], &i, sizeof i);
      exchange_end(&many[i]);
    }
    assert_true(echo_wait_closed(&f->echo, (round + 1) * CALLS_MAX, 0)); /* so that the bound on calls is not met */
  }
  free(many);
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
  usleep(50000); /* the answer is given meanwhile */
}

static void broker_that_is_not_there_is_unavailable(void **state) {
  struct fixture *f = *state;
  struct rpc_channel *channel = rpc_channel_open(f->client, "127.0.0.1:1");

  exchange_unary(&f->exchange, channel, "/test.Echo/Unary", "x", 1);

  assert_failed(&f->exchange, GRPC_CODE_UNAVAILABLE, STATUS_TRANSPORT, EXECUTED_MAYBE);
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
    usleep(50000);
    exchange_unary(&f->exchange, f->channel, "/test.Echo/Unary", "x", 1);
    exchange_end(&f->exchange);
  } while (f->exchange.code != GRPC_CODE_OK && ++tries < 100);
  assert_int_equal(f->exchange.code, GRPC_CODE_OK);
}

static void port_that_is_taken_is_told(void **state) {
  struct fixture *f = *state;
  struct rpc *second = NULL;
  assert_int_equal(rpc_grpc_open(&second), STATUS_OK);
  uint16_t port = 0;

  assert_int_equal(serve(f, second, f->address, &port), STATUS_EXISTS);
  assert_int_equal(serve(f, second, "192.0.2.1:0", &port), STATUS_INVALID);
  assert_int_equal(serve(f, second, "127.0.0.1", &port), STATUS_INVALID);
  assert_int_equal(serve(f, second, "127.0.0.1:99999", &port), STATUS_INVALID);
  assert_int_equal(serve(f, second, "localhost:0", &port), STATUS_OK);

  rpc_grpc_close(second);
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
  usleep(500000);
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
  struct rpc *other = NULL;
  assert_int_equal(rpc_grpc_open(&other), STATUS_OK);
  struct rpc_channel *channel = rpc_channel_open(other, f->address);
  exchange_start(&f->exchange, channel, "/test.Echo/Chat", RPC_BIDI_STREAM, UINT64_MAX, true);
  exchange_send(&f->exchange, "x", 1);
  assert_true(exchange_wait_count(&f->exchange, 1));

  rpc_channel_close(channel);
  rpc_grpc_close(other);

  assert_true(echo_wait_closed(&f->echo, 1, 1));
  exchange_end(&f->exchange);
}

/* ---- What only a raw client sends ---- */

static size_t put_frame(uint8_t *at, uint8_t type, uint8_t flags, uint32_t stream, const void *payload, size_t size) {
  uint8_t head[9] = {(uint8_t)(size >> 16),   (uint8_t)(size >> 8),    (uint8_t)size,          type,           flags,
                     (uint8_t)(stream >> 24), (uint8_t)(stream >> 16), (uint8_t)(stream >> 8), (uint8_t)stream};
  memcpy(at, head, sizeof head);
  if (size > 0) memcpy(at + 9, payload, size);
  return 9 + size;
}

/* A literal header field without indexing (RFC 7541, section 6.2.2). */
static size_t put_header(uint8_t *at, const char *key, const char *value) {
  uint8_t *begin = at;
  *at++ = 0;
  *at++ = (uint8_t)strlen(key);
  memcpy(at, key, strlen(key));
  at += strlen(key);
  *at++ = (uint8_t)strlen(value);
  memcpy(at, value, strlen(value));
  at += strlen(value);
  return (size_t)(at - begin);
}

/* Calls Unary with these bytes as its DATA and the stream's end; gathers what comes back within a while. */
static size_t raw_call(uint16_t port, const char *encoding, const void *data, size_t size, char *answer, size_t answer_max) {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);

  uint8_t headers[512], out[2048];
  size_t headers_size = 0, out_size = 0;
  headers_size += put_header(headers + headers_size, ":method", "POST");
  headers_size += put_header(headers + headers_size, ":scheme", "http");
  headers_size += put_header(headers + headers_size, ":path", "/test.Echo/Unary");
  headers_size += put_header(headers + headers_size, ":authority", "x");
  headers_size += put_header(headers + headers_size, "content-type", "application/grpc");
  headers_size += put_header(headers + headers_size, "te", "trailers");
  if (encoding != NULL) headers_size += put_header(headers + headers_size, "grpc-encoding", encoding);
  memcpy(out, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
  out_size = 24;
  out_size += put_frame(out + out_size, 4, 0, 0, NULL, 0);               /* SETTINGS */
  out_size += put_frame(out + out_size, 1, 4, 1, headers, headers_size); /* HEADERS, END_HEADERS */
  out_size += put_frame(out + out_size, 0, 1, 1, data, size);            /* DATA, END_STREAM */
  assert_int_equal(send(fd, out, out_size, 0), out_size);

  struct timeval patience = {.tv_usec = 300000};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  size_t got = 0;
  for (ssize_t n = 0; got < answer_max && (n = recv(fd, answer + got, answer_max - got, 0)) > 0;) got += (size_t)n;
  close(fd);
  return got;
}

static bool contains(const char *answer, size_t size, const char *text) {
  return memmem(answer, size, text, strlen(text)) != NULL;
}

static void message_that_is_missing_or_cut_is_malformed(void **state) {
  struct fixture *f = *state;
  char answer[4096];

  size_t size = raw_call(f->port, NULL, NULL, 0, answer, sizeof answer);
  assert_true(contains(answer, size, "MALFORMED"));
  assert_true(contains(answer, size, "cairn-executed"));

  size = raw_call(f->port, NULL, "\0\0\0\0\5ab", 7, answer, sizeof answer);
  assert_false(contains(answer, size, "OFFSET"));
  assert_true(contains(answer, size, "MALFORMED"));
}

static void compressed_message_is_refused_unread(void **state) {
  struct fixture *f = *state;
  char answer[4096];

  size_t size = raw_call(f->port, "gzip", "\1\0\0\0\2ab", 7, answer, sizeof answer);
  assert_true(contains(answer, size,
                       "grpc-status\x02"
                       "12"));
  assert_true(contains(answer, size, "'gzip' is disabled"));

  /* Flags without an encoding: C core passes the bytes on as they are; nothing is ever inflated. */
  raw_call(f->port, NULL, "\1\0\0\0\2ab", 7, answer, sizeof answer);
  raw_call(f->port, NULL, "\7\0\0\0\2ab", 7, answer, sizeof answer);
  exchange_unary(&f->exchange, f->channel, "/test.Echo/Unary", "x", 1);
  assert_echoed(&f->exchange, "x", 1);
  exchange_end(&f->exchange);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(unary_call_carries_messages_of_all_sizes),
      TEST(parts_arrive_as_one_message),
      TEST(answer_may_come_from_another_thread),
      TEST(many_answers_come_from_other_threads_at_once),
      TEST(failure_travels_with_all_it_carries),
      TEST(value_that_http2_forbids_is_left_out),
      TEST(unknown_method_is_refused),
      TEST(too_large_message_is_refused),
      TEST(message_beyond_the_account_is_refused),
      TEST(message_that_a_stream_may_not_send_is_its_services_to_answer),
      TEST(calls_beyond_the_bound_are_refused),
      TEST(deadline_ends_the_call_on_both_sides),
      TEST(cancellation_reaches_the_service),
      TEST(unary_call_cancelled_before_its_message_is_done),
      TEST(answer_after_cancellation_goes_nowhere),
      TEST(broker_that_is_not_there_is_unavailable),
      TEST(closing_a_channel_cancels_its_requests),
      TEST(client_reconnects_after_a_restart),
      TEST(port_that_is_taken_is_told),
      TEST(stopping_lets_open_calls_finish),
      TEST(server_and_client_share_an_instance),
      TEST(server_stream_delivers_all_then_the_status),
      TEST(burst_arrives_whole_before_the_status),
      TEST(reader_that_stops_stops_the_sender),
      TEST(chat_keeps_the_order_and_ends_cleanly),
      TEST(stream_without_messages_ends),
      TEST(calls_end_when_the_client_vanishes),
      TEST(message_that_is_missing_or_cut_is_malformed),
      TEST(compressed_message_is_refused_unread),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
