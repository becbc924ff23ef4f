/* What rpc.h promises of bounds: how large, how many, how long silent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "tests/unit/sim/rpc_fixture.h"

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
  assert_int_equal(fixture_serve(f, f->server, f->address, &f->port), STATUS_OK);
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

  fixture_pause_ms(f, 2 * MESSAGE_WAIT_NS / 1000000);

  assert_false(f->exchange.done);
  rpc_request_cancel(f->exchange.request);
  exchange_wait_done(&f->exchange);
  exchange_end(&f->exchange);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_ALL(too_large_message_is_refused),
      ON_ALL(message_beyond_the_account_is_refused),
      ON_ALL(message_that_a_stream_may_not_send_is_its_services_to_answer),
      ON_ALL(calls_beyond_the_bound_are_refused),
      ON_ALL(one_peer_holds_no_more_than_its_share),
      ON_ALL(call_whose_message_does_not_come_is_ended),
      ON_ALL(call_that_waits_for_its_answer_is_not_silent),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
