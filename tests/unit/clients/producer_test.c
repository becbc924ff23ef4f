/* What is sent again and what is not, and in which order deliveries come. */
#include "tests/unit/clients/client_fixture.h"

#define RECORDS_MAX 200000u

static void producer_delivers_in_order_and_consumer_reads_back(void **state) {
  struct fixture *fixture = *state;
  struct cairn_producer *producer = fixture_producer(fixture, (struct cairn_producer_options){.batch_bytes = 10000});

  add_numbers(producer, "events", 0, 0, RECORDS_MAX);

  assert_int_equal(cairn_producer_flush(producer, 20000, NULL), CAIRN_OK);
  cairn_producer_free(producer);
  assert_int_equal(fixture->records, RECORDS_MAX);
  assert_int_equal(fixture->failed, 0);
  assert_false(fixture->out_of_order);
  expect_numbers(fixture, "events", RECORDS_MAX);
}

static void producer_compresses_and_consumer_inflates(void **state) {
  struct fixture *fixture = *state;
  enum cairn_codec codecs[] = {CAIRN_CODEC_ZSTD, CAIRN_CODEC_LZ4};
  for (unsigned i = 0; i < 2; i++) {
    struct cairn_producer *producer = fixture_producer(fixture, (struct cairn_producer_options){.codec = codecs[i]});
    add_numbers(producer, "events", 0, i * 1000, 1000);
    assert_int_equal(cairn_producer_flush(producer, 20000, NULL), CAIRN_OK);
    cairn_producer_free(producer);
  }
  expect_numbers(fixture, "events", 2000);
}

static void producer_sends_again_what_surely_had_no_effect(void **state) {
  struct fixture *fixture = *state;
  struct failure failure;
  failure_set(&failure, STATUS_BUSY, NULL);
  failure.retry_after_ms = 0;
  struct cairn_producer *producer = fixture_producer(fixture, (struct cairn_producer_options){.batch_bytes = 1000});

  fake_broker_refuse(fixture->broker, 5, &failure, false);
  add_numbers(producer, "events", 0, 0, 5000);

  assert_int_equal(cairn_producer_flush(producer, 20000, NULL), CAIRN_OK);
  cairn_producer_free(producer);
  assert_false(fixture->out_of_order);
  assert_int_equal(fixture->records, 5000);
  expect_numbers(fixture, "events", 5000);
}

static void producer_never_sends_again_what_may_have_had_an_effect(void **state) {
  struct fixture *fixture = *state;
  struct failure failure;
  failure_set(&failure, STATUS_UNKNOWN_OUTCOME, NULL);
  struct cairn_producer *producer = fixture_producer(fixture, (struct cairn_producer_options){.batch_bytes = 1000});

  fake_broker_refuse(fixture->broker, 5, &failure, true);
  add_numbers(producer, "events", 0, 0, 5000);

  struct cairn_error error;
  assert_int_equal(cairn_producer_flush(producer, 20000, &error), CAIRN_DEADLINE_EXCEEDED);
  assert_string_equal(error.reason, "UNKNOWN_OUTCOME");
  assert_int_equal(error.executed, CAIRN_EXECUTED_MAYBE);
  cairn_producer_free(producer);
  assert_false(fixture->out_of_order);
  assert_int_equal(fixture->records, 5000);
  assert_true(fixture->maybe > 0);
  assert_int_equal(fixture->maybe, fixture->failed);
  int64_t end = fake_broker_end(fixture->broker, "events", 0);
  assert_true(end >= (int64_t)(5000 - fixture->maybe) && end <= 5000);
}

static void producer_reports_maybe_when_the_connection_is_lost(void **state) {
  struct fixture *fixture = *state;
  struct cairn_producer *producer = fixture_producer(fixture, (struct cairn_producer_options){.batch_bytes = 1000});

  fake_broker_lose(fixture->broker, 3, true);
  add_numbers(producer, "events", 0, 0, 5000);

  assert_int_not_equal(cairn_producer_flush(producer, 20000, NULL), CAIRN_OK);
  cairn_producer_free(producer);
  assert_false(fixture->out_of_order);
  assert_int_equal(fixture->records, 5000);
  assert_true(fixture->maybe > 0);
}

/* ---- With a name ---- */

static struct cairn_producer *named_producer(struct fixture *fixture) {
  return fixture_producer(fixture, (struct cairn_producer_options){.name = "writer", .batch_bytes = 1000});
}

static void expect_each_once(struct fixture *fixture, struct cairn_producer *producer) {
  struct cairn_error error;
  int code = cairn_producer_flush(producer, 20000, &error);
  if (code != CAIRN_OK) print_message("%s: %s\n", error.reason, error.message);
  assert_int_equal(code, CAIRN_OK);
  cairn_producer_free(producer);
  assert_false(fixture->out_of_order);
  assert_int_equal(fixture->records, 5000);
  assert_int_equal(fixture->failed, 0);
  assert_int_equal(fake_broker_end(fixture->broker, "events", 0), 5000);
  expect_numbers(fixture, "events", 5000);
}

static void lose_the_third(struct fixture *fixture, bool keep) {
  struct cairn_producer *producer = named_producer(fixture);
  fake_broker_lose(fixture->broker, 3, keep);
  add_numbers(producer, "events", 0, 0, 5000);
  expect_each_once(fixture, producer);
}
static void producer_with_a_name_sends_again_what_a_lost_connection_swallowed(void **state) { lose_the_third(*state, false); }
static void producer_with_a_name_learns_what_a_lost_connection_had_done(void **state) { lose_the_third(*state, true); }

static void producer_with_a_name_clears_up_an_unknown_outcome(void **state) {
  struct fixture *fixture = *state;
  struct failure failure;
  failure_set(&failure, STATUS_UNKNOWN_OUTCOME, NULL);
  struct cairn_producer *producer = named_producer(fixture);

  fake_broker_refuse(fixture->broker, 5, &failure, true);
  add_numbers(producer, "events", 0, 0, 5000);
  expect_each_once(fixture, producer);
}

/* Without stop_on_error: a sequence is missing then, and those behind it get new ones. */
static void producer_with_a_name_goes_on_behind_what_it_gave_up(void **state) {
  struct fixture *fixture = *state;
  struct failure failure;
  failure_set(&failure, STATUS_TOO_LARGE, NULL);
  struct cairn_producer *producer = named_producer(fixture);

  fake_broker_refuse(fixture->broker, 4, &failure, false);
  add_numbers(producer, "events", 0, 0, 5000);

  struct cairn_error error;
  assert_int_not_equal(cairn_producer_flush(producer, 20000, &error), CAIRN_OK);
  assert_string_equal(error.reason, "TOO_LARGE");
  cairn_producer_free(producer);
  assert_false(fixture->out_of_order);
  assert_int_equal(fixture->records, 5000);
  assert_true(fixture->failed > 0 && fixture->failed < 300); /* that one batch */
  assert_int_equal(fixture->maybe, 0);
  assert_int_equal(fake_broker_end(fixture->broker, "events", 0), 5000 - fixture->failed);
}

static void add_large(struct cairn_producer *producer) {
  static const char value[2000]; /* more than a batch: it goes by itself */
  const struct cairn_message message = {.topic = "events", .partition = 0, .value = {value, sizeof value}};
  assert_int_equal(cairn_producer_add(producer, &message, NULL), CAIRN_OK);
}

/* One batch is given up, the one behind it has to be sent again when the stream ends, and the application adds more before that. */
static void producer_with_a_name_waits_for_its_sessions_end(void **state) {
  struct fixture *fixture = *state;
  struct failure failure;
  failure_set(&failure, STATUS_TOO_LARGE, NULL);
  struct cairn_producer *producer = named_producer(fixture);
  add_large(producer);
  assert_int_equal(cairn_producer_flush(producer, 20000, NULL), CAIRN_OK);
  fake_broker_hold(fixture->broker);
  fake_broker_gather(fixture->broker, 2);
  fake_broker_refuse(fixture->broker, 1, &failure, false);

  for (unsigned i = 0; i < 3; i++) add_large(producer); /* the third says that the second is full */
  for (unsigned i = 0; i < 500 && fixture->failed == 0; i++) cairn_producer_poll(producer, 20);
  assert_int_equal(fixture->failed, 1);
  for (unsigned i = 0; i < 10; i++) { /* the other answer is on its way: at once, or in a moment */
    add_large(producer);
    cairn_producer_poll(producer, 20);
  }
  fake_broker_let_end(fixture->broker);
  for (unsigned i = 0; i < 5; i++) cairn_producer_poll(producer, 20);
  fake_broker_let_open(fixture->broker);
  struct cairn_error error;
  cairn_producer_flush(producer, 5000, &error);

  assert_int_equal(fixture->records, 14); /* nothing was left behind */
  assert_int_equal(fixture->failed, 1);
  assert_int_equal(fake_broker_end(fixture->broker, "events", 0), 13);
  assert_false(fixture->out_of_order);
  cairn_producer_free(producer);
}

/* ---- Several batches in one message ---- */

static void producer_sends_what_it_has_together(void **state) {
  struct fixture *fixture = *state;
  fake_broker_flock(fixture->broker);
  struct cairn_producer *producer = named_producer(fixture);
  add_numbers(producer, "events", 0, 0, RECORDS_MAX);
  struct cairn_error error;
  assert_int_equal(cairn_producer_flush(producer, 20000, &error), CAIRN_OK);
  assert_true(fake_broker_further(fixture->broker) > 0);
  assert_int_equal(fake_broker_end(fixture->broker, "events", 0), RECORDS_MAX);
  assert_int_equal(fixture->failed, 0);
  assert_false(fixture->out_of_order);
  expect_numbers(fixture, "events", RECORDS_MAX);
  cairn_producer_free(producer);
}

/* Whatever breaks in the middle of a message, each record is there once. */
static void producer_finds_its_way_when_a_flock_is_broken(void **state) {
  struct fixture *fixture = *state;
  struct failure failure;
  failure_set(&failure, STATUS_BUSY, NULL);
  fake_broker_flock(fixture->broker);
  struct cairn_producer *producer = named_producer(fixture);
  for (unsigned round = 0; round < 20; round++) {
    unsigned nth = 3 + 5 * round % 17;
    if (round % 2 == 0) fake_broker_refuse(fixture->broker, nth, &failure, false);
    else fake_broker_lose(fixture->broker, nth, round % 4 == 1);
    add_numbers(producer, "events", 0, round * 1000, 1000);
  }
  struct cairn_error error;
  assert_int_equal(cairn_producer_flush(producer, 20000, &error), CAIRN_OK);
  assert_true(fake_broker_further(fixture->broker) > 0);
  assert_int_equal(fake_broker_end(fixture->broker, "events", 0), 20000);
  assert_int_equal(fixture->failed, 0);
  assert_false(fixture->out_of_order);
  expect_numbers(fixture, "events", 20000);
  cairn_producer_free(producer);
}

/* Without a name only what was surely not done is sent again: all that was in a message that was refused as one. */
static void producer_sends_a_refused_flock_again(void **state) {
  struct fixture *fixture = *state;
  struct failure failure;
  failure_set(&failure, STATUS_BUSY, NULL);
  failure.retry_after_ms = 0;
  fake_broker_flock(fixture->broker);
  fake_broker_refuse_flock(fixture->broker, &failure);
  struct cairn_producer *producer = fixture_producer(fixture, (struct cairn_producer_options){.batch_bytes = 1000});
  add_numbers(producer, "events", 0, 0, RECORDS_MAX);

  assert_int_equal(cairn_producer_flush(producer, 20000, NULL), CAIRN_OK);
  cairn_producer_free(producer);
  assert_true(fake_broker_further(fixture->broker) > 0);
  assert_int_equal(fixture->failed, 0);
  assert_int_equal(fixture->records, RECORDS_MAX);
  assert_false(fixture->out_of_order);
  expect_numbers(fixture, "events", RECORDS_MAX);
}

static void producer_that_is_fenced_ends(void **state) {
  struct fixture *fixture = *state;
  struct failure failure;
  failure_set(&failure, STATUS_PRODUCER_FENCED, NULL);
  struct cairn_producer *producer = named_producer(fixture);

  fake_broker_refuse(fixture->broker, 4, &failure, false);
  struct cairn_error error;
  for (unsigned i = 0; i < 5000; i++) {
    const struct cairn_message message = {.topic = "events", .partition = 0, .value = {"0123456789", 10}};
    if (cairn_producer_add(producer, &message, &error) != CAIRN_OK) break;
  }

  assert_int_not_equal(cairn_producer_flush(producer, 20000, &error), CAIRN_OK);
  assert_string_equal(error.reason, "PRODUCER_FENCED");
  cairn_producer_free(producer);
  assert_int_equal(fixture->maybe, 0);
  assert_int_equal(fake_broker_end(fixture->broker, "events", 0), fixture->records - fixture->failed);
}

static void producer_with_stop_on_error_leaves_a_prefix(void **state) {
  struct fixture *fixture = *state;
  struct failure failure;
  failure_set(&failure, STATUS_TOO_LARGE, NULL);
  struct cairn_producer *producer = fixture_producer(
      fixture, (struct cairn_producer_options){.batch_bytes = 1000, .stop_on_error = true, .memory_bytes_max = 1 << 24});
  fake_broker_refuse(fixture->broker, 4, &failure, false);

  struct cairn_error error;
  for (unsigned i = 0; i < 5000; i++) {
    const struct cairn_message message = {.topic = "events", .partition = 0, .value = {"0123456789", 10}};
    int code = cairn_producer_add(producer, &message, &error);
    if (code == CAIRN_OK) continue;
    assert_string_equal(error.reason, "SESSION_BROKEN");
    break;
  }

  assert_int_not_equal(cairn_producer_flush(producer, 20000, &error), CAIRN_OK);
  assert_string_equal(error.reason, "TOO_LARGE");
  cairn_producer_free(producer);
  assert_int_equal(fixture->maybe, 0);
  assert_int_equal(fake_broker_end(fixture->broker, "events", 0), fixture->records - fixture->failed);
}

static void producer_reports_an_unknown_topic_both_ways(void **state) {
  struct fixture *fixture = *state;
  struct cairn_producer *producer = fixture_producer(fixture, (struct cairn_producer_options){0});
  struct cairn_error error;

  struct cairn_message message = {.topic = "nowhere", .partition = CAIRN_ANY_PARTITION, .value = {"x", 1}};
  assert_int_equal(cairn_producer_add(producer, &message, &error), CAIRN_NOT_FOUND);
  assert_string_equal(error.reason, "UNKNOWN_TOPIC");
  message.partition = 0;
  assert_int_equal(cairn_producer_add(producer, &message, &error), CAIRN_OK);
  assert_int_equal(cairn_producer_flush(producer, 10000, &error), CAIRN_NOT_FOUND);
  assert_int_equal(error.executed, CAIRN_EXECUTED_NO);

  cairn_producer_free(producer);
}

static void producer_spreads_keys_as_kafka_and_sticks_without(void **state) {
  struct fixture *fixture = *state;
  struct cairn_producer *producer = fixture_producer(fixture, (struct cairn_producer_options){.batch_bytes = 500});
  uint32_t expected[8] = {0};
  for (unsigned i = 0; i < 1000; i++) {
    char key[16];
    int size = snprintf(key, sizeof key, "key-%u", i);
    const struct cairn_message message = {
        .topic = "wide", .partition = CAIRN_ANY_PARTITION, .key = {key, (size_t)size}, .value = {"", 0}};
    expected[cairn_partition_of_key(message.key, 8)]++;
    assert_int_equal(cairn_producer_add(producer, &message, NULL), CAIRN_OK);
  }
  assert_int_equal(cairn_producer_flush(producer, 20000, NULL), CAIRN_OK);
  for (uint32_t i = 0; i < 8; i++) assert_int_equal(fake_broker_end(fixture->broker, "wide", i), expected[i]);

  for (unsigned i = 0; i < 8000; i++) {
    const struct cairn_message message = {.topic = "wide", .partition = CAIRN_ANY_PARTITION, .value = {"0123456789", 10}};
    assert_int_equal(cairn_producer_add(producer, &message, NULL), CAIRN_OK);
  }
  assert_int_equal(cairn_producer_flush(producer, 20000, NULL), CAIRN_OK);
  for (uint32_t i = 0; i < 8; i++) assert_true(fake_broker_end(fixture->broker, "wide", i) > expected[i]);
  cairn_producer_free(producer);
}

static void producer_that_does_not_block_says_wait(void **state) {
  struct fixture *fixture = *state;
  struct cairn_producer *producer = fixture_producer(fixture, (struct cairn_producer_options){.non_blocking = true});
  const struct cairn_message message = {.topic = "wide", .partition = CAIRN_ANY_PARTITION, .value = {"x", 1}};

  assert_int_equal(cairn_producer_add(producer, &message, NULL), CAIRN_WAIT);
  int code = CAIRN_WAIT;
  for (unsigned i = 0; i < 100 && code == CAIRN_WAIT; i++) {
    cairn_producer_poll(producer, 20);
    code = cairn_producer_add(producer, &message, NULL);
  }

  assert_int_equal(code, CAIRN_OK);
  assert_int_equal(cairn_producer_flush(producer, 10000, NULL), CAIRN_OK);
  cairn_producer_free(producer);
}

static void producer_freed_without_flush_reports_everything(void **state) {
  struct fixture *fixture = *state;
  struct cairn_producer *producer = fixture_producer(fixture, (struct cairn_producer_options){.batch_bytes = 1000});

  add_numbers(producer, "events", 0, 0, 3000);
  cairn_producer_free(producer);

  assert_int_equal(fixture->records, 3000);
  assert_false(fixture->out_of_order);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(producer_delivers_in_order_and_consumer_reads_back),
      TEST(producer_compresses_and_consumer_inflates),
      TEST(producer_sends_again_what_surely_had_no_effect),
      TEST(producer_never_sends_again_what_may_have_had_an_effect),
      TEST(producer_reports_maybe_when_the_connection_is_lost),
      TEST(producer_with_a_name_sends_again_what_a_lost_connection_swallowed),
      TEST(producer_with_a_name_learns_what_a_lost_connection_had_done),
      TEST(producer_with_a_name_clears_up_an_unknown_outcome),
      TEST(producer_with_a_name_goes_on_behind_what_it_gave_up),
      TEST(producer_with_a_name_waits_for_its_sessions_end),
      TEST(producer_sends_what_it_has_together),
      TEST(producer_finds_its_way_when_a_flock_is_broken),
      TEST(producer_sends_a_refused_flock_again),
      TEST(producer_that_is_fenced_ends),
      TEST(producer_with_stop_on_error_leaves_a_prefix),
      TEST(producer_reports_an_unknown_topic_both_ways),
      TEST(producer_spreads_keys_as_kafka_and_sticks_without),
      TEST(producer_that_does_not_block_says_wait),
      TEST(producer_freed_without_flush_reports_everything),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
