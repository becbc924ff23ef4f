#include <arpa/inet.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/memory.h"
#include "proto/rpc_grpc.h"
#include "tests/unit/proto/echo.h"

/* A server that says it takes whatever comes, and then never reads: as a machine behind a network that swallows everything. C core keeps what is
 * on its way to it, and the call's batch with it, until TCP gives up after 10 s; those who let go of the connection do not wait for that. */

#define MESSAGES 64u
#define MESSAGE_SIZE (256u * 1024)

struct deaf_server {
  int listener, connection;
  char address[32];
};

static void deaf_server_listen(struct deaf_server *server) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  server->listener = socket(AF_INET, SOCK_STREAM, 0);
  assert_int_equal(bind(server->listener, (struct sockaddr *)&address, size), 0);
  assert_int_equal(listen(server->listener, 1), 0);
  assert_int_equal(getsockname(server->listener, (struct sockaddr *)&address, &size), 0);
  snprintf(server->address, sizeof server->address, "127.0.0.1:%u", ntohs(address.sin_port));
}

/* SETTINGS with the largest window for each stream, the same for the connection, and the other side's settings taken note of (RFC 9113, 6.5, 6.9). */
static void deaf_server_welcome(struct deaf_server *server) {
  static const unsigned char welcome[] = {0, 0, 6, 4, 0, 0, 0, 0, 0, 0,    4, 0x7f, 0xff, 0xff, 0xff, /* SETTINGS */
                                          0, 0, 4, 8, 0, 0, 0, 0, 0, 0x7f, 0, 0,    0,                /* WINDOW_UPDATE */
                                          0, 0, 0, 4, 1, 0, 0, 0, 0};                                 /* SETTINGS, ACK */
  struct pollfd ready = {.fd = server->listener, .events = POLLIN};
  assert_int_equal(poll(&ready, 1, 10000), 1);
  server->connection = accept(server->listener, NULL, NULL);
  assert_true(server->connection >= 0);
  assert_int_equal(write(server->connection, welcome, sizeof welcome), sizeof welcome);
}

static unsigned sent(struct exchange *exchange) {
  pthread_mutex_lock(&exchange->lock);
  unsigned count = exchange->sent;
  pthread_mutex_unlock(&exchange->lock);
  return count;
}

/* Until nothing more goes out. */
static void wait_for_standstill(struct exchange *exchange) {
  const struct timespec pause = {.tv_nsec = 300 * 1000000};
  unsigned before = 0, now = 0;
  do {
    before = now;
    nanosleep(&pause, NULL);
    now = sent(exchange);
  } while (now == 0 || now != before);
  assert_in_range(now, 1, MESSAGES - 1);
}

static double seconds_of_closing(struct rpc_channel *channel) {
  struct timespec before, after;
  clock_gettime(CLOCK_MONOTONIC, &before);
  rpc_channel_close(channel);
  clock_gettime(CLOCK_MONOTONIC, &after);
  return (double)(after.tv_sec - before.tv_sec) + (double)(after.tv_nsec - before.tv_nsec) / 1e9;
}

static void closing_does_not_wait_for_who_takes_nothing(void **state) {
  struct deaf_server server;
  struct rpc *client = NULL;
  struct exchange exchange;
  (void)state;
  deaf_server_listen(&server);
  assert_int_equal(rpc_grpc_open(&client), STATUS_OK);
  struct rpc_channel *channel = rpc_channel_open(client, server.address);
  exchange_start(&exchange, channel, "/test.Echo/Chat", RPC_BIDI_STREAM, UINT64_MAX, true);
  deaf_server_welcome(&server);
  char *message = memory_new_array(MESSAGE_SIZE, 1);
  for (unsigned i = 0; i < MESSAGES; i++) exchange_send(&exchange, message, MESSAGE_SIZE);
  wait_for_standstill(&exchange);

  rpc_request_cancel(exchange.request);
  exchange_wait_done(&exchange);
  exchange_end(&exchange);
  double seconds = seconds_of_closing(channel);

  printf("    closed after %.3f s\n", seconds);
  assert_true(seconds < 5);
  close(server.connection);
  close(server.listener);
  rpc_grpc_close(client);
  memory_free(message);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(closing_does_not_wait_for_who_takes_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
