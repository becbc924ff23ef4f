/* AppendStream from its events to its answers, with a call whose other end is this test: what goes together, what is counted, and what becomes of a
 * request that comes home late.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "proto/log_wire.h"
#include "server/log_service.h"
#include "server/services.h"
#include "tests/unit/server/lab.h"

#define ANSWERS_MAX 3000u

static struct lab lab;
static struct services services;
static struct options options;
static struct list streams;

/* The other end. Messages are taken apart as they come. */
static struct {
  struct rpc_call call;
  atomic_uint holders;
  atomic_uint messages;
  atomic_uint answers;
  uint64_t ids[ANSWERS_MAX];
  enum status reasons[ANSWERS_MAX];
  unsigned received; /* how often the next message was asked for */
  atomic_bool finished;
  char reason[32];
} peer;

static struct rpc_call *call_hold(struct rpc_call *call) {
  atomic_fetch_add(&peer.holders, 1);
  return call;
}
static void call_release(struct rpc_call *call) {
  (void)call;
  atomic_fetch_sub(&peer.holders, 1);
}
static void call_receive(struct rpc_call *call) {
  (void)call;
  peer.received++;
}

static void take_answer(struct bytes answer) {
  struct wire_append_response response;
  struct failure failure;
  bool failed = false;
  assert_int_equal(log_wire_decode_append_response(answer, &response, &failed, &failure), STATUS_OK);
  unsigned at = atomic_load(&peer.answers);
  peer.ids[at] = response.request_id;
  peer.reasons[at] = failed ? failure.reason : STATUS_OK;
  atomic_store(&peer.answers, at + 1);
}

static void call_send(struct rpc_call *call, const struct blob_part *parts, size_t count) {
  (void)call;
  assert_int_equal(count, 1);
  struct wire_cursor more = wire_cursor_of(parts[0].bytes);
  struct bytes further;
  take_answer(parts[0].bytes);
  while (log_wire_next_append_response(&more, &further) == STATUS_OK) take_answer(further);
  blob_part_release(parts[0]);
  atomic_fetch_add(&peer.messages, 1);
}

static void call_finish(struct rpc_call *call, enum grpc_status code, const char *text, const struct rpc_metadata *metadata,
                        size_t count) {
  (void)call;
  (void)code;
  (void)text;
  for (size_t i = 0; i < count; i++)
    if (strcmp(metadata[i].key, "cairn-reason") == 0) snprintf(peer.reason, sizeof peer.reason, "%s", metadata[i].value);
  atomic_store(&peer.finished, true);
}

static const struct rpc_ops peer_ops = {.call_hold = call_hold,
                                        .call_release = call_release,
                                        .call_receive = call_receive,
                                        .call_send = call_send,
                                        .call_finish = call_finish};

/* ---- Set up ---- */

static int setup(void **state) {
  (void)state;
  lab_open(&lab);
  memset(&peer, 0, sizeof peer);
  peer.call.ops = &peer_ops;
  list_init(&streams);
  options.request_bytes_max = 1u << 20;
  memset(&services, 0, sizeof services);
  services.options = &options;
  services.world = lab.world;
  services.routing = routing_new(1);
  services.hosts = &lab.host;
  services.streams = &streams;
  services.lane_count = 1;
  services.alone = true;
  services.brokers = brokers_new(lab.world, &services.identity);
  atomic_store(&services.stage, SERVICES_SERVING);
  atomic_store(&services.in_work, 1);
  routing_add_topic(services.routing, bytes_of_string("t"), 1);
  routing_set_partition(services.routing, bytes_of_string("t"), 0, partition_hold(lab.partition));
  log_service_stream_opened(&services, &peer.call);
  return 0;
}

static void nothing(struct lab *of) { (void)of; }

/* Whatever was done with the stream, it is gone in the end, and nothing is held. */
static int teardown(void **state) {
  (void)state;
  log_service_stream_closed(&services, &peer.call, true);
  for (unsigned i = 0; i < 3; i++) lab_on_lane(&lab, nothing); /* its close, and a flush that it may wait for */
  while (atomic_load(&peer.holders) > 0) lab_on_lane(&lab, nothing);
  assert_int_equal(services.stream_requests, 0);
  assert_int_equal(atomic_load(&services.in_work), 1);
  lab_close(&lab, false);
  routing_free(services.routing);
  brokers_free((struct brokers *)(uintptr_t)services.brokers);
  lab_remove(&lab);
  return 0;
}

/* ---- What a client does ---- */

/* So many requests in one message, with the ids from `first` on. */
static void send(uint64_t first, uint32_t count, bool together) {
  struct blob *records = lab_records("v", 1);
  struct blob_part parts[2 * LOG_WIRE_APPEND_PARTS];
  struct buffer whole;
  buffer_init(&whole, SIZE_MAX);
  for (uint32_t i = 0; i < count; i++) {
    const struct wire_append_request request = {
        .topic = bytes_of_string("t"), .request_id = first + i, .together = together, .batch = {.record_count = 1}};
    struct blob_part payload = blob_part_of(records, 0, records->size);
    if (i == 0) log_wire_encode_append_request(&request, payload, parts);
    else log_wire_encode_further_request(&request, payload, parts);
    for (size_t part = 0; part < LOG_WIRE_APPEND_PARTS; part++) {
      assert_int_equal(buffer_append(&whole, parts[part].bytes.data, parts[part].bytes.size), STATUS_OK);
      blob_part_release(parts[part]);
    }
  }
  blob_release(records);
  struct blob *message = NULL;
  assert_int_equal(blob_new(NULL, whole.size, &message), STATUS_OK);
  memcpy(message->data, whole.data, whole.size);
  buffer_deinit(&whole);
  log_service_stream_message(&services, &peer.call, message);
}

static void await_answers(unsigned count) {
  while (atomic_load(&peer.answers) < count) lab_on_lane(&lab, nothing);
}

/* The transport takes all that was sent. */
static void take_all(void) {
  while (atomic_load(&peer.messages) > 0) {
    atomic_fetch_sub(&peer.messages, 1);
    log_service_stream_sent(&services, &peer.call);
  }
}

/* The lane stands still from stop() to go_on(); what is posted meanwhile waits in its order. */
static atomic_bool stands, goes_on;
static struct task standing;

static void stand(struct task *task) {
  (void)task;
  atomic_store(&stands, true);
  while (!atomic_load(&goes_on)) {}
}
static void stop(void) {
  atomic_store(&stands, false);
  atomic_store(&goes_on, false);
  standing.run = stand;
  loop_post(lab.host.loop, &standing);
  while (!atomic_load(&stands)) {}
}
static void go_on(void) { atomic_store(&goes_on, true); }

static void run_drain(struct task *task) {
  (void)task;
  log_service_drain_streams(&services, 0);
}

/* ---- Together ---- */

static void answers_of_a_turn_share_a_message(void **state) {
  (void)state;
  stop();
  send(1, 100, true);
  send(101, 100, false);
  go_on();
  await_answers(200);
  for (unsigned i = 0; i < 200; i++) {
    assert_int_equal(peer.ids[i], i + 1);
    assert_int_equal(peer.reasons[i], STATUS_OK);
  }
  assert_true(atomic_load(&peer.messages) < 20);
  assert_int_equal(services.stream_requests, 200);
  take_all();
  assert_int_equal(services.stream_requests, 0);
}

static void who_does_not_ask_gets_a_message_each(void **state) {
  (void)state;
  stop();
  send(1, 100, false);
  go_on();
  await_answers(100);
  assert_int_equal(atomic_load(&peer.messages), 100);
  take_all();
}

/* As many as there can be: a message is asked for while there is room for one request. */
static void what_is_in_flight_is_counted_and_given_back(void **state) {
  (void)state;
  unsigned received = peer.received;
  send(1, 1023, true);
  assert_int_equal(peer.received, received + 1);
  send(1024, 1024, true);
  assert_int_equal(peer.received, received + 1); /* full */
  assert_int_equal(services.stream_requests, 2047);
  await_answers(2047);
  for (unsigned i = 0; i < 2047; i++) assert_int_equal(peer.ids[i], i + 1);
  take_all();
  assert_int_equal(services.stream_requests, 0);
  assert_int_equal(peer.received, received + 2); /* once, when there was room again */
}

static void a_client_that_goes_leaves_nothing_behind(void **state) {
  (void)state;
  stop();
  send(1, 500, true);
  log_service_stream_half_closed(&services, &peer.call);
  go_on();
  /* teardown closes it at any moment of the rest */
}

/* ---- The end ---- */

/* A1: it was let in while the broker served, and came home when its stream had been told that nothing more was done. */
static void what_comes_home_behind_a_drain_is_refused(void **state) {
  (void)state;
  static struct task drain = {.run = run_drain};
  send(1, 1, true);
  await_answers(1);
  stop();
  loop_post(lab.host.loop, &drain);
  send(2, 3, true);
  atomic_store(&services.stage, SERVICES_DRAINING);
  go_on();
  lab_wait(&lab, &peer.finished);
  await_answers(4);
  assert_string_equal(peer.reason, "DRAINING");
  assert_int_equal(peer.reasons[1], STATUS_DRAINING);
  assert_int_equal(peer.reasons[2], STATUS_SESSION_BROKEN);
  static struct lab_append next;
  lab_append_now(&lab, &next, "w", 1);
  assert_int_equal(next.append.proposal.entry.head.base_offset, 1); /* behind the first, and nothing else */
  lab_append_deinit(&next);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(answers_of_a_turn_share_a_message),           TEST(who_does_not_ask_gets_a_message_each),
      TEST(what_is_in_flight_is_counted_and_given_back), TEST(a_client_that_goes_leaves_nothing_behind),
      TEST(what_comes_home_behind_a_drain_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
