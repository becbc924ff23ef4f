#include "proto/health.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "grpc/health/v1/health.pb-c.h"
#include "proto/rpc_grpc.h"
#include "tests/unit/proto/echo.h"

struct fixture {
  struct echo echo;
  struct rpc *rpc;
  struct rpc_channel *channel;
  struct exchange exchange;
};

static int set_up(void **state) {
  struct fixture *f = calloc(1, sizeof *f);
  echo_init(&f->echo);
  f->echo.health = health_new();
  health_set(f->echo.health, "", true);
  health_set(f->echo.health, "cairn.v1.Log", false);
  assert_int_equal(rpc_grpc_open(&f->rpc), STATUS_OK);
  struct rpc_serve_options options = {.listen = "[::1]:0",
                                      .handlers = echo_handlers,
                                      .handler_count = echo_handler_count,
                                      .service = &f->echo,
                                      .message_bytes_max = 65536,
                                      .streams_max = 1000,
                                      .calls_max = 1000};
  uint16_t port = 0;
  if (rpc_serve(f->rpc, &options, &port) != STATUS_OK) { /* a machine without IPv6 */
    options.listen = "127.0.0.1:0";
    assert_int_equal(rpc_serve(f->rpc, &options, &port), STATUS_OK);
  }
  char address[32];
  snprintf(address, sizeof address, "%.*s:%u", (int)(strrchr(options.listen, ':') - options.listen), options.listen, port);
  f->channel = rpc_channel_open(f->rpc, address);
  *state = f;
  return 0;
}

static int tear_down(void **state) {
  struct fixture *f = *state;
  rpc_channel_close(f->channel);
  rpc_grpc_close(f->rpc);
  health_free(f->echo.health);
  echo_deinit(&f->echo);
  free(f);
  return 0;
}

static size_t ask(const char *service, uint8_t *request) {
  Grpc__Health__V1__HealthCheckRequest message;
  grpc__health__v1__health_check_request__init(&message);
  char name[200];
  snprintf(name, sizeof name, "%s", service);
  message.service = name;
  return grpc__health__v1__health_check_request__pack(&message, request);
}

static int answer(const struct blob *blob) {
  Grpc__Health__V1__HealthCheckResponse *message = grpc__health__v1__health_check_response__unpack(NULL, blob->size, blob->data);
  assert_non_null(message);
  int status = (int)message->status;
  grpc__health__v1__health_check_response__free_unpacked(message, NULL);
  return status;
}

static void check(struct fixture *f, const char *service) {
  uint8_t request[256];
  exchange_unary(&f->exchange, f->channel, HEALTH_CHECK_METHOD, request, ask(service, request));
}

static void check_tells_what_was_set(void **state) {
  struct fixture *f = *state;

  check(f, "");
  assert_int_equal(f->exchange.code, GRPC_CODE_OK);
  assert_int_equal(answer(f->exchange.messages[0]), GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING);
  exchange_end(&f->exchange);

  check(f, "cairn.v1.Log");
  assert_int_equal(answer(f->exchange.messages[0]), GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING);
  exchange_end(&f->exchange);

  check(f, "cairn.v1.Nothing");
  assert_int_equal(f->exchange.code, GRPC_CODE_NOT_FOUND);
  assert_int_equal(f->exchange.failure.executed, EXECUTED_NO);
  exchange_end(&f->exchange);

  char long_name[150];
  memset(long_name, 'x', sizeof long_name - 1);
  long_name[sizeof long_name - 1] = '\0';
  check(f, long_name);
  assert_int_equal(f->exchange.code, GRPC_CODE_NOT_FOUND);
  exchange_end(&f->exchange);

  exchange_unary(&f->exchange, f->channel, HEALTH_CHECK_METHOD, "\x0a\x09", 2);
  assert_int_equal(f->exchange.code, GRPC_CODE_INVALID_ARGUMENT);
  exchange_end(&f->exchange);
}

static void watch(struct fixture *f, struct exchange *exchange, const char *service) {
  uint8_t request[256];
  size_t size = ask(service, request);
  exchange_start(exchange, f->channel, HEALTH_WATCH_METHOD, RPC_SERVER_STREAM, UINT64_MAX, true);
  exchange_send(exchange, request, size);
}

static void watch_tells_at_once_and_then_each_change(void **state) {
  struct fixture *f = *state;
  watch(f, &f->exchange, "");
  assert_true(exchange_wait_count(&f->exchange, 1));
  health_set(f->echo.health, "", true); /* no change */
  health_set_all(f->echo.health, false);
  assert_true(exchange_wait_count(&f->exchange, 2));
  assert_int_equal(answer(f->exchange.messages[0]), GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING);
  assert_int_equal(answer(f->exchange.messages[1]), GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING);

  rpc_request_cancel(f->exchange.request);
  exchange_wait_done(&f->exchange);
  exchange_end(&f->exchange);
}

static void watch_of_an_unknown_service_waits_for_it(void **state) {
  struct fixture *f = *state;
  watch(f, &f->exchange, "cairn.v1.Later");
  assert_true(exchange_wait_count(&f->exchange, 1));
  assert_int_equal(answer(f->exchange.messages[0]), GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVICE_UNKNOWN);

  health_set(f->echo.health, "cairn.v1.Later", true);
  assert_true(exchange_wait_count(&f->exchange, 2));
  assert_int_equal(answer(f->exchange.messages[1]), GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING);
  rpc_request_cancel(f->exchange.request);
  exchange_wait_done(&f->exchange);
  exchange_end(&f->exchange);
}

static void watcher_always_learns_the_last_value(void **state) {
  struct fixture *f = *state;
  watch(f, &f->exchange, "");
  assert_true(exchange_wait_count(&f->exchange, 1));

  for (unsigned i = 0; i < 1000; i++) health_set(f->echo.health, "", i % 2 == 1);
  health_set(f->echo.health, "", false);

  bool last = false;
  for (unsigned tries = 0; tries < 100 && !last; tries++) {
    usleep(20000);
    pthread_mutex_lock(&f->exchange.lock);
    last = answer(f->exchange.messages[f->exchange.count - 1]) ==
           GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING;
    pthread_mutex_unlock(&f->exchange.lock);
  }
  assert_true(last);
  rpc_request_cancel(f->exchange.request);
  exchange_wait_done(&f->exchange);
  exchange_end(&f->exchange);
}

static void watchers_are_bounded(void **state) {
  struct fixture *f = *state;
  struct exchange *many = calloc(HEALTH_WATCHERS_MAX, sizeof *many);
  for (unsigned i = 0; i < HEALTH_WATCHERS_MAX; i++) {
    watch(f, &many[i], "");
    assert_true(exchange_wait_count(&many[i], 1));
  }

  watch(f, &f->exchange, "");
  exchange_wait_done(&f->exchange);
  assert_int_equal(f->exchange.code, GRPC_CODE_RESOURCE_EXHAUSTED);
  assert_int_equal(f->exchange.failure.reason, STATUS_BUSY);
  exchange_end(&f->exchange);
  for (unsigned i = 0; i < HEALTH_WATCHERS_MAX; i++) {
    rpc_request_cancel(many[i].request);
    exchange_wait_done(&many[i]);
    exchange_end(&many[i]);
  }
  free(many);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(check_tells_what_was_set),
      TEST(watch_tells_at_once_and_then_each_change),
      TEST(watch_of_an_unknown_service_waits_for_it),
      TEST(watcher_always_learns_the_last_value),
      TEST(watchers_are_bounded),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
