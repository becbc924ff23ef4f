#include <arpa/inet.h>
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/codec.h"
#include "proto/rpc_grpc.h"
#include "tests/unit/proto/echo.h"

/* One EMFILE in accept() ends a listener of C core 1.51 for good. The watchdog must bring it back, on the same port, without
 * disturbing the calls that are open. */

#define STRANGERS 80

/* Another process, forked before there are threads: on "c" it opens idle connections, on "x" it closes them. */
struct strangers {
  pid_t pid;
  int to, from;
};

static void be_strangers(int from, int to) {
  uint16_t port = 0;
  if (read(from, &port, sizeof port) != sizeof port) _exit(0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int fds[STRANGERS];
  for (char order; read(from, &order, 1) == 1;) {
    for (unsigned i = 0; i < STRANGERS; i++) {
      if (order == 'c') {
        fds[i] = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(fds[i], (struct sockaddr *)&address, sizeof address) != 0) perror("connect");
      } else {
        close(fds[i]);
      }
    }
    if (write(to, "k", 1) != 1) _exit(1);
  }
  _exit(0);
}

static struct strangers fork_strangers(void) {
  int to[2], from[2];
  assert_int_equal(pipe(to), 0);
  assert_int_equal(pipe(from), 0);
  pid_t pid = fork();
  assert_true(pid >= 0);
  if (pid == 0) {
    close(to[1]);
    close(from[0]);
    be_strangers(to[0], from[1]);
  }
  close(to[0]);
  close(from[1]);
  return (struct strangers){.pid = pid, .to = to[1], .from = from[0]};
}

static void order(const struct strangers *strangers, char what) {
  char done = 0;
  assert_int_equal(write(strangers->to, &what, 1), 1);
  assert_int_equal(read(strangers->from, &done, 1), 1);
}

static rlim_t open_files(void) {
  rlim_t count = 0;
  DIR *directory = opendir("/proc/self/fd");
  while (readdir(directory) != NULL) count++;
  closedir(directory);
  return count;
}

static void listener_comes_back_after_descriptors_ran_out(void **state) {
  struct strangers *strangers = *state;
  static struct echo echo;
  static struct exchange exchange, chat;
  echo_init(&echo);
  struct rpc *server = NULL, *client = NULL;
  assert_int_equal(rpc_grpc_open(&server), STATUS_OK);
  assert_int_equal(rpc_grpc_open(&client), STATUS_OK);
  struct rpc_serve_options options = {.listen = "127.0.0.1:0",
                                      .handlers = echo_handlers,
                                      .handler_count = echo_handler_count,
                                      .service = &echo,
                                      .message_bytes_max = 1u << 20,
                                      .memory_bytes_max = 64u << 20,
                                      .streams_max = 100,
                                      .calls_max = 100};
  uint16_t port = 0;
  assert_int_equal(rpc_serve(server, &options, &port), STATUS_OK);
  assert_int_equal(write(strangers->to, &port, sizeof port), sizeof port);
  char address[32];
  snprintf(address, sizeof address, "127.0.0.1:%u", port);
  struct rpc_channel *early = rpc_channel_open(client, address);
  exchange_start(&chat, early, "/test.Echo/Chat", RPC_BIDI_STREAM, UINT64_MAX, true);
  exchange_send(&chat, "before", 6);
  assert_true(exchange_wait_count(&chat, 1));

  struct rlimit before, low;
  getrlimit(RLIMIT_NOFILE, &before);
  low = before;
  low.rlim_cur = open_files() + 20;
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
  order(strangers, 'c');
  usleep(1500000);
  order(strangers, 'x');
  usleep(200000);
  assert_int_equal(rpc_grpc_listener_rebuilds(server), 0);

  /* The descriptors are free again, the listener is dead: only the watchdog can help. */
  unsigned tries = 0;
  struct rpc_channel *late = rpc_channel_open(client, address);
  do {
    usleep(100000);
    exchange_start(&exchange, late, "/test.Echo/Unary", RPC_UNARY, SECOND_NS / 2, true);
    exchange_send(&exchange, "after", 5);
    exchange_wait_done(&exchange);
    exchange_end(&exchange);
  } while (exchange.code != GRPC_CODE_OK && ++tries < 100);
  assert_int_equal(exchange.code, GRPC_CODE_OK);
  assert_int_equal(rpc_grpc_listener_rebuilds(server), 1);
  print_message("recovered after %u tries\n", tries);

  /* The stream that was open all the time still works. */
  exchange_send(&chat, "after", 5);
  assert_true(exchange_wait_count(&chat, 2));
  rpc_request_half_close(chat.request);
  exchange_wait_done(&chat);
  assert_int_equal(chat.code, GRPC_CODE_OK);
  exchange_end(&chat);

  setrlimit(RLIMIT_NOFILE, &before);
  rpc_channel_close(early);
  rpc_channel_close(late);
  rpc_grpc_close(client);
  rpc_grpc_close(server);
  echo_deinit(&echo);
}

/* Everything is late then, the answer to the watchdog too; a new listener would cut off who is served. */
static void listener_of_a_busy_thread_is_left_alone(void **state) {
  (void)state;
  static struct echo echo;
  static struct exchange exchange;
  echo_init(&echo);
  struct rpc *server = NULL, *client = NULL;
  assert_int_equal(rpc_grpc_open(&server), STATUS_OK);
  assert_int_equal(rpc_grpc_open(&client), STATUS_OK);
  struct rpc_serve_options options = {.listen = "127.0.0.1:0",
                                      .handlers = echo_handlers,
                                      .handler_count = echo_handler_count,
                                      .service = &echo,
                                      .message_bytes_max = 1u << 20,
                                      .memory_bytes_max = 64u << 20,
                                      .streams_max = 100,
                                      .calls_max = 100};
  uint16_t port = 0;
  assert_int_equal(rpc_serve(server, &options, &port), STATUS_OK);
  char address[32];
  snprintf(address, sizeof address, "127.0.0.1:%u", port);
  struct rpc_channel *channel = rpc_channel_open(client, address);
  uint8_t busy_ms[4];
  put_u32(busy_ms, 9000);

  exchange_start(&exchange, channel, "/test.Echo/Busy", RPC_UNARY, UINT64_MAX, true);
  exchange_send(&exchange, busy_ms, sizeof busy_ms);
  assert_true(echo_wait_opened(&echo, 1));
  usleep(500000);
  rpc_channel_close(channel); /* C core's threads do each other's work, so the client's must not be there */
  exchange_end(&exchange);
  rpc_grpc_close(client);
  (void)echo_wait_closed(&echo, 1, 1); /* cancelled, or answered first */
  assert_int_equal(echo.closed, 1);

  assert_int_equal(rpc_grpc_listener_rebuilds(server), 0);
  rpc_grpc_close(server);
  echo_deinit(&echo);
}

static int set_up(void **state) {
  static struct strangers strangers;
  strangers = fork_strangers();
  *state = &strangers;
  return 0;
}

static int tear_down(void **state) {
  struct strangers *strangers = *state;
  close(strangers->to);
  close(strangers->from);
  waitpid(strangers->pid, NULL, 0);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(listener_comes_back_after_descriptors_ran_out),
                                     cmocka_unit_test(listener_of_a_busy_thread_is_left_alone)};
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
