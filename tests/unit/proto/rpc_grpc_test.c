#include "proto/rpc_grpc.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
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

static int set_up_on(void **state, bool beside) {
  struct fixture *f = calloc(1, sizeof *f);
  echo_init(&f->echo);
  account_init(&f->account, 16u * 1024 * 1024);
  assert_int_equal(rpc_grpc_open(&f->server), STATUS_OK);
  if (beside) f->client = rpc_grpc_open_beside(f->server);
  else assert_int_equal(rpc_grpc_open(&f->client), STATUS_OK);
  assert_int_equal(serve(f, f->server, "127.0.0.1:0", &f->port), STATUS_OK);
  snprintf(f->address, sizeof f->address, "127.0.0.1:%u", f->port);
  f->channel = rpc_channel_open(f->client, f->address);
  *state = f;
  return 0;
}

static int set_up(void **state) { return set_up_on(state, false); }
static int set_up_beside(void **state) { return set_up_on(state, true); }

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

static void assert_echoed(const struct exchange *exchange, const void *data, size_t size) {
  assert_int_equal(exchange->code, GRPC_CODE_OK);
  assert_int_equal(exchange->count, 1);
  assert_int_equal(exchange->messages[0]->size, size);
  if (size > 0) assert_memory_equal(exchange->messages[0]->data, data, size);
}

static void assert_failed(const struct exchange *exchange, enum grpc_status code, enum status reason, enum executed executed) {
  assert_int_equal(exchange->code, code);
  assert_string_equal(status_name(exchange->failure.reason), status_name(reason));
  assert_int_equal(exchange->failure.executed, executed);
}

/* ---- Threads ---- */

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

/* ---- Flocks ---- */

/* Small ones share a write to the socket, large ones do not; either way the last one must not wait for another that never comes. */
static void flock_arrives_whole_while_the_stream_stays_open(void **state) {
  struct fixture *f = *state;
  static const size_t sizes[] = {1, 700, 20000};
  static const size_t flocks[] = {2, 64, 500, 1};
  uint8_t *message = calloc(1, 20000);

  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
    struct exchange *exchange = calloc(1, sizeof *exchange);
    size_t sent = 0;
    exchange_start(exchange, f->channel, "/test.Echo/Chat", RPC_BIDI_STREAM, 60 * SECOND_NS, true);
    for (size_t flock = 0; flock < sizeof flocks / sizeof flocks[0]; flock++) {
      for (size_t end = sent + flocks[flock]; sent < end; sent++) {
        message[0] = (uint8_t)sent;
        exchange_send(exchange, message, sizes[i]);
      }
      assert_true(exchange_wait_count(exchange, sent));
    }
    for (size_t k = 0; k < sent; k++) {
      assert_int_equal(exchange->messages[k]->size, sizes[i]);
      assert_int_equal(exchange->messages[k]->data[0], (uint8_t)k);
    }
    rpc_request_half_close(exchange->request);
    exchange_wait_done(exchange);
    assert_int_equal(exchange->code, GRPC_CODE_OK);
    exchange_end(exchange);
    free(exchange);
  }
  free(message);
}

/* ---- Brokers that are not there, and one that goes ---- */

static void broker_of_any_name_that_is_not_there_surely_did_nothing(void **state) {
  struct fixture *f = *state;
  static const char *const addresses[] = {"127.0.0.1:1", "[::1]:1", "localhost:1"};
  for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++) {
    struct rpc_channel *channel = rpc_channel_open(f->client, addresses[i]);

    exchange_unary(&f->exchange, channel, "/test.Echo/Unary", "x", 1);
    assert_failed(&f->exchange, GRPC_CODE_UNAVAILABLE, STATUS_TRANSPORT, EXECUTED_NO);
    exchange_end(&f->exchange);
    exchange_start(&f->exchange, channel, "/test.Echo/Chat", RPC_BIDI_STREAM, 30 * SECOND_NS, true);
    exchange_send(&f->exchange, "x", 1);
    exchange_wait_done(&f->exchange);
    assert_failed(&f->exchange, GRPC_CODE_UNAVAILABLE, STATUS_TRANSPORT, EXECUTED_NO);
    exchange_end(&f->exchange);

    rpc_channel_close(channel);
  }
}

/* Says hello as an HTTP/2 server does, reads until the call is there, and is gone. */
struct vanishing {
  int listener;
  pthread_t thread;
  char address[32];
};

static void *vanish(void *argument) {
  const struct vanishing *vanishing = argument;
  static const char settings[] = "\0\0\0\4\0\0\0\0\0";
  static char bytes[65536];
  int fd = accept(vanishing->listener, NULL, NULL);
  assert_int_equal(send(fd, settings, sizeof settings - 1, 0), sizeof settings - 1);
  size_t size = 0;
  while (memmem(bytes, size, "Hang", 4) == NULL) {
    ssize_t got = recv(fd, bytes + size, sizeof bytes - size, 0);
    assert_true(got > 0);
    size += (size_t)got;
  }
  close(fd);
  return NULL;
}

static void vanishing_start(struct vanishing *vanishing) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  vanishing->listener = socket(AF_INET, SOCK_STREAM, 0);
  assert_int_equal(bind(vanishing->listener, (const struct sockaddr *)(const void *)&address, size), 0);
  assert_int_equal(listen(vanishing->listener, 1), 0);
  assert_int_equal(getsockname(vanishing->listener, (struct sockaddr *)(void *)&address, &size), 0);
  snprintf(vanishing->address, sizeof vanishing->address, "127.0.0.1:%u", ntohs(address.sin_port));
  assert_int_equal(pthread_create(&vanishing->thread, NULL, vanish, vanishing), 0);
}

static void broker_that_vanishes_may_have_done_it(void **state) {
  struct fixture *f = *state;
  static const enum rpc_kind kinds[] = {RPC_UNARY, RPC_BIDI_STREAM};
  for (size_t i = 0; i < 2; i++) {
    struct vanishing vanishing;
    vanishing_start(&vanishing);
    struct rpc_channel *channel = rpc_channel_open(f->client, vanishing.address);

    exchange_start(&f->exchange, channel, "/test.Echo/Hang", kinds[i], 30 * SECOND_NS, true);
    exchange_send(&f->exchange, "x", 1);
    exchange_wait_done(&f->exchange);

    assert_failed(&f->exchange, GRPC_CODE_UNAVAILABLE, STATUS_TRANSPORT, EXECUTED_MAYBE);
    exchange_end(&f->exchange);
    pthread_join(vanishing.thread, NULL);
    close(vanishing.listener);
    rpc_channel_close(channel);
  }
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

/* ---- Two on one thread ---- */

static void the_thread_lives_as_long_as_one_of_them(void **state) {
  struct fixture *f = *state;
  exchange_unary(&f->exchange, f->channel, "/test.Echo/Unary", "x", 1);
  assert_echoed(&f->exchange, "x", 1);
  exchange_end(&f->exchange);
  rpc_channel_close(f->channel);
  rpc_grpc_close(f->client); /* the server's is not the worse for it */

  f->client = rpc_grpc_open_beside(f->server);
  f->channel = rpc_channel_open(f->client, f->address);
  exchange_unary(&f->exchange, f->channel, "/test.Echo/Unary", "y", 1);
  assert_echoed(&f->exchange, "y", 1);
  exchange_end(&f->exchange);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define TEST_BESIDE(name) \
  { #name "_on_one_thread", name, set_up_beside, tear_down, NULL }

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(many_answers_come_from_other_threads_at_once),
      TEST(flock_arrives_whole_while_the_stream_stays_open),
      TEST(broker_of_any_name_that_is_not_there_surely_did_nothing),
      TEST(broker_that_vanishes_may_have_done_it),
      TEST(message_that_is_missing_or_cut_is_malformed),
      TEST(compressed_message_is_refused_unread),
      TEST_BESIDE(many_answers_come_from_other_threads_at_once),
      TEST_BESIDE(flock_arrives_whole_while_the_stream_stays_open),
      TEST_BESIDE(broker_that_vanishes_may_have_done_it),
      TEST_BESIDE(the_thread_lives_as_long_as_one_of_them),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
