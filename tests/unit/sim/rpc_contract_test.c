/* What rpc.h promises, of gRPC and of the simulated wires: the same bodies, and neither can be told from the other. Here: what calls and
 * streams carry. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/codec.h"
#include "tests/unit/sim/rpc_fixture.h"

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
  fixture_pause_ms(f, 500);
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

/* The status comes behind the messages: whoever does not ask for these does not hear of it. */
static void status_waits_for_messages_that_nobody_asked_for(void **state) {
  struct fixture *f = *state;
  exchange_start(&f->exchange, f->channel, "/test.Echo/Burst", RPC_SERVER_STREAM, UINT64_MAX, false);
  ask_many(&f->exchange, 3, 100, 0);
  rpc_request_receive(f->exchange.request);
  assert_true(exchange_wait_count(&f->exchange, 1));
  fixture_pause_ms(f, 300);
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

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_ALL(unary_call_carries_messages_of_all_sizes),
      ON_ALL(parts_arrive_as_one_message),
      ON_ALL(answer_may_come_from_a_lane),
      ON_ALL(failure_travels_with_all_it_carries),
      ON_ALL(value_that_http2_forbids_is_left_out),
      ON_ALL(unknown_method_is_refused),
      ON_ALL(server_stream_delivers_all_then_the_status),
      ON_ALL(burst_arrives_whole_before_the_status),
      ON_ALL(reader_that_stops_stops_the_sender),
      ON_ALL(chat_keeps_the_order_and_ends_cleanly),
      ON_ALL(stream_without_messages_ends),
      ON_ALL(status_waits_for_messages_that_nobody_asked_for),
      ON_ALL(every_message_that_was_taken_is_told),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
