/* What rpc.h promises of ends: by a deadline, by whoever asked, with the connection, with the server; and how it goes on after. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/memory.h"
#include "tests/unit/sim/rpc_fixture.h"

/* ---- Deadlines and cancellation ---- */

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
  fixture_pause_ms(f, 50); /* the answer is given meanwhile */
}

/* ---- Connections ---- */

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

static void calls_end_when_the_client_vanishes(void **state) {
  struct fixture *f = *state;
  struct rpc *other = fixture_open_rpc(f);
  struct rpc_channel *channel = rpc_channel_open(other, f->address);
  exchange_start(&f->exchange, channel, "/test.Echo/Chat", RPC_BIDI_STREAM, UINT64_MAX, true);
  exchange_send(&f->exchange, "x", 1);
  assert_true(exchange_wait_count(&f->exchange, 1));

  rpc_channel_close(channel);
  fixture_close_rpc(f, other);

  assert_true(echo_wait_closed(&f->echo, 1, 1));
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
  assert_int_equal(fixture_serve(f, f->server, f->address, &f->port), STATUS_OK);

  unsigned tries = 0;
  do {
    fixture_pause_ms(f, 50);
    exchange_unary(&f->exchange, f->channel, "/test.Echo/Unary", "x", 1);
    exchange_end(&f->exchange);
  } while (f->exchange.code != GRPC_CODE_OK && ++tries < 100);
  assert_int_equal(f->exchange.code, GRPC_CODE_OK);
}

static void server_and_client_share_an_instance(void **state) {
  struct fixture *f = *state;
  struct rpc_channel *channel = rpc_channel_open(f->server, f->address);

  exchange_unary(&f->exchange, channel, "/test.Echo/Unary", "both", 4);

  assert_echoed(&f->exchange, "both", 4);
  exchange_end(&f->exchange);
  rpc_channel_close(channel);
}

/* ---- Servers ---- */

static void port_that_is_taken_is_told(void **state) {
  struct fixture *f = *state;
  struct rpc *second = fixture_open_rpc(f);
  uint16_t port = 0;

  assert_int_equal(fixture_serve(f, second, f->address, &port), STATUS_EXISTS);
  assert_int_equal(fixture_serve(f, second, "192.0.2.1:0", &port), STATUS_INVALID);
  assert_int_equal(fixture_serve(f, second, "127.0.0.1", &port), STATUS_INVALID);
  assert_int_equal(fixture_serve(f, second, "127.0.0.1:99999", &port), STATUS_INVALID);
  assert_int_equal(fixture_serve(f, second, "localhost:0", &port), STATUS_OK);

  fixture_close_rpc(f, second);
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

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_ALL(deadline_ends_the_call_on_both_sides),
      ON_ALL(cancellation_reaches_the_service),
      ON_ALL(unary_call_cancelled_before_its_message_is_done),
      ON_ALL(answer_after_cancellation_goes_nowhere),
      ON_ALL(broker_that_is_not_there_surely_did_nothing),
      ON_ALL(closing_a_channel_cancels_its_requests),
      ON_ALL(calls_end_when_the_client_vanishes),
      ON_ALL(client_reconnects_after_a_restart),
      ON_ALL(server_and_client_share_an_instance),
      ON_ALL(port_that_is_taken_is_told),
      ON_ALL(stopping_lets_open_calls_finish),
      ON_ALL(stopping_says_of_silent_calls_that_nothing_was_done),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
