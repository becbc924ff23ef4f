/* The blocking calls, and how a consumer gets over what goes wrong. */
#include <unistd.h>

#include "clients/c/bell.h"
#include "clients/c/client_internal.h"
#include "tests/unit/clients/client_fixture.h"

/* ---- The blocking layer ---- */

static void append_and_read_block_until_done(void **state) {
  struct fixture *fixture = *state;
  const struct cairn_header header = {{"trace", 5}, {"abc", 3}};
  const struct cairn_message messages[] = {
      {.key = {"k", 1}, .value = {"v", 1}, .timestamp_ms = 77, .headers = &header, .header_count = 1},
      {.key = {"", 0}, .value = {NULL, 0}},
      {.value = {"", 0}},
  };
  struct cairn_appended appended;

  assert_int_equal(cairn_append(fixture->client, "events", 0, messages, 3, NULL, &appended, NULL), CAIRN_OK);

  assert_int_equal(appended.base_offset, 0);
  assert_int_equal(appended.last_offset, 2);
  const struct cairn_consumer_options options = {.from = {CAIRN_BEFORE_END, 10}, .to = {.kind = CAIRN_AT_END}};
  struct cairn_consumer *consumer = NULL;
  assert_int_equal(cairn_consumer_new(fixture->client, "events", 0, &options, &consumer, NULL), CAIRN_OK);
  struct cairn_record record;
  assert_int_equal(cairn_consumer_next(consumer, 5000, &record, NULL), CAIRN_OK);
  assert_int_equal(record.timestamp_ms, 77);
  assert_int_equal(record.header_count, 1);
  assert_memory_equal(record.headers[0].name.data, "trace", 5);
  assert_memory_equal(record.headers[0].value.data, "abc", 3);
  assert_int_equal(cairn_consumer_next(consumer, 5000, &record, NULL), CAIRN_OK);
  assert_non_null(record.key.data);
  assert_int_equal(record.key.size, 0);
  assert_null(record.value.data);
  assert_int_equal(record.timestamp_ms, 1000);
  assert_int_equal(cairn_consumer_next(consumer, 5000, &record, NULL), CAIRN_OK);
  assert_null(record.key.data);
  assert_non_null(record.value.data);
  assert_int_equal(cairn_consumer_next(consumer, 5000, &record, NULL), CAIRN_END);
  cairn_consumer_free(consumer);
}

static void append_is_sent_again_only_when_that_is_safe(void **state) {
  struct fixture *fixture = *state;
  const struct cairn_message message = {.value = {"x", 1}};
  struct failure failure;
  struct cairn_error error;

  failure_set(&failure, STATUS_LOADING, NULL);
  fake_broker_refuse(fixture->broker, 1, &failure, false);
  assert_int_equal(cairn_append(fixture->client, "events", 0, &message, 1, NULL, NULL, &error), CAIRN_OK);
  assert_int_equal(fake_broker_appends(fixture->broker), 2);

  failure_set(&failure, STATUS_UNKNOWN_OUTCOME, NULL);
  fake_broker_refuse(fixture->broker, 1, &failure, true);
  assert_int_equal(cairn_append(fixture->client, "events", 0, &message, 1, NULL, NULL, &error), CAIRN_DEADLINE_EXCEEDED);
  assert_int_equal(error.executed, CAIRN_EXECUTED_MAYBE);
  assert_int_equal(fake_broker_appends(fixture->broker), 3);
}

/* Sent again, because the same values a second time change nothing. */
static void what_was_in_doubt_once_stays_so(void **state) {
  struct fixture *fixture = *state;
  const struct cairn_client_options options = {.servers = fake_broker_address(fixture->broker), .call_timeout_ms = 500};
  const struct cairn_topic_config config = {.record_bytes_max = 1000};
  struct cairn_client *client = NULL;
  struct cairn_error error;
  assert_int_equal(cairn_client_new(&options, &client, NULL), CAIRN_OK);
  fake_broker_lose_alteration(fixture->broker);

  assert_int_equal(cairn_topic_alter(client, "events", &config, false, NULL, &error), CAIRN_UNAVAILABLE);

  assert_string_equal(error.reason, "LOADING");
  assert_int_equal(error.executed, CAIRN_EXECUTED_MAYBE);
  cairn_client_free(client);
}

static void a_client_that_reaches_nobody_says_so_soon(void **state) {
  (void)state;
  const struct cairn_client_options options = {.servers = "127.0.0.1:1", .reach_timeout_ms = 200};
  struct cairn_client *client = NULL;
  struct cairn_error error;
  assert_int_equal(cairn_client_new(&options, &client, NULL), CAIRN_OK);
  assert_int_equal(cairn_topic_describe(client, "events", NULL, NULL, NULL, &error), CAIRN_UNAVAILABLE);
  assert_string_equal(error.reason, "TRANSPORT");
  const struct cairn_message message = {.value = {"x", 1}};
  assert_int_equal(cairn_append(client, "events", 0, &message, 1, NULL, NULL, &error), CAIRN_UNAVAILABLE);
  assert_int_equal(error.executed, CAIRN_EXECUTED_NO); /* nobody ever had it */
  cairn_client_free(client);

  const struct cairn_client_options wrong = {.servers = "localhost"};
  assert_int_equal(cairn_client_new(&wrong, &client, &error), CAIRN_INVALID_ARGUMENT);
}

static bool count_and_give_up(void *context) {
  ++*(unsigned *)context;
  return true;
}

static void who_gives_up_does_not_wait_for_the_deadline(void **state) {
  struct fixture *fixture = *state;
  unsigned asked = 0;
  struct cairn_client_options options = {.servers = "127.0.0.1:1",
                                         .reach_timeout_ms = 600000,
                                         .call_timeout_ms = 600000,
                                         .given_up = count_and_give_up,
                                         .given_up_context = &asked};
  const struct cairn_topic_config config = {.record_bytes_max = 1000};
  struct cairn_client *client = NULL;
  struct cairn_error error;
  assert_int_equal(cairn_client_new(&options, &client, NULL), CAIRN_OK);
  assert_int_equal(cairn_topic_alter(client, "events", &config, false, NULL, &error), CAIRN_CANCELLED);
  assert_int_equal(error.executed, CAIRN_EXECUTED_NO);
  assert_true(asked > 1);
  cairn_client_free(client);

  options.servers = fake_broker_address(fixture->broker);
  assert_int_equal(cairn_client_new(&options, &client, NULL), CAIRN_OK);
  assert_int_equal(cairn_topic_describe(client, "events", NULL, NULL, NULL, &error), CAIRN_OK); /* the answer comes first */
  fake_broker_lose_alteration(fixture->broker);
  assert_int_equal(cairn_topic_alter(client, "events", &config, false, NULL, &error), CAIRN_CANCELLED);
  assert_int_equal(error.executed, CAIRN_EXECUTED_MAYBE);
  cairn_client_free(client);
}

struct refused_call {
  struct call call;
  struct task task;
  struct bell done;
};

static void refused_call_done(struct call *call, struct blob *answer) {
  assert_null(answer);
  bell_ring(call->client->world, &container_of(call, struct refused_call, call)->done);
}

static void cancel_late(struct task *task) {
  struct refused_call *this = container_of(task, struct refused_call, task);
  call_start(&this->call);
  usleep(500000); /* by now the transport has posted that it failed */
  call_cancel(&this->call);
}

/* That it failed is on its way to the loop when it is cancelled: it would have been sent again. */
static void a_call_that_is_cancelled_between_two_attempts_is_not_called_out_of_reach(void **state) {
  (void)state;
  const struct cairn_client_options options = {.servers = "127.0.0.1:1", .reach_timeout_ms = 600000};
  struct cairn_client *client = NULL;
  struct cairn_error error;
  assert_int_equal(cairn_client_new(&options, &client, NULL), CAIRN_OK);
  struct refused_call this = {.task.run = cancel_late,
                              .call = {.client = client,
                                       .method = "/cairn.v1.Admin/ListTopics",
                                       .idempotent = true,
                                       .deadline_ns = client_deadline_ns(client, 600000),
                                       .done = refused_call_done}};
  loop_post(client->loop, &this.task);
  while (bell_listen(&this.done) == 0) bell_wait(client->world, &this.done, 0, UINT64_MAX);

  assert_int_equal(error_from_failure(&error, &this.call.failure), CAIRN_CANCELLED);
  assert_int_equal(error.executed, CAIRN_EXECUTED_NO);
  cairn_client_free(client);
}

/* ---- Topics ---- */

static void create_sends_the_settings_that_are_given(void **state) {
  struct fixture *fixture = *state;
  struct cairn_topic topic;
  const struct cairn_topic_options bare = {.partitions = 1};
  assert_int_equal(cairn_topic_create(fixture->client, "bare", &bare, &topic, NULL), CAIRN_OK);
  assert_false(topic.config.has_retention_bytes);
  assert_false(topic.config.has_retention_ms);

  const struct cairn_topic_options nothing = {.config = {.has_retention_ms = true, .retention_bytes = -1}};
  assert_int_equal(cairn_topic_create(fixture->client, "nothing", &nothing, &topic, NULL), CAIRN_OK);
  assert_true(topic.config.has_retention_ms);
  assert_int_equal(topic.config.retention_ms, 0);
  assert_true(topic.config.has_retention_bytes);
  assert_int_equal(topic.config.retention_bytes, -1);
}

static void a_place_has_at_most_as_many_brokers_as_it_has_room_for(void **state) {
  struct fixture *fixture = *state;
  const struct cairn_place places[] = {{.brokers = {1}, .count = 1}, {.brokers = {1}, .count = CAIRN_REPLICAS_MAX + 1}};
  const struct cairn_topic_options options = {.places = places, .place_count = 2};
  const struct cairn_growth_options growth = {.places = places, .place_count = 2};
  struct cairn_error error;

  assert_int_equal(cairn_topic_create(fixture->client, "new", &options, NULL, &error), CAIRN_INVALID_ARGUMENT);
  assert_string_equal(error.message, "place 1 has 8 brokers; a partition has at most 7");
  assert_int_equal(cairn_topic_grow(fixture->client, "events", 3, &growth, NULL, NULL), CAIRN_INVALID_ARGUMENT);
}

/* ---- Consuming ---- */

static void consumer_follows_and_gets_over_a_lost_stream(void **state) {
  struct fixture *fixture = *state;
  struct cairn_consumer *consumer = NULL;
  assert_int_equal(cairn_consumer_new(fixture->client, "events", 0, NULL, &consumer, NULL), CAIRN_OK);
  struct cairn_record record;
  struct cairn_error error;
  assert_int_equal(cairn_consumer_next(consumer, 50, &record, &error), CAIRN_WAIT);
  fake_broker_lose_tail(fixture->broker, 3);

  struct cairn_producer *producer = fixture_producer(fixture, (struct cairn_producer_options){.batch_bytes = 200});
  add_numbers(producer, "events", 0, 0, 2000);
  assert_int_equal(cairn_producer_flush(producer, 10000, NULL), CAIRN_OK);

  for (unsigned i = 0; i < 2000; i++) {
    assert_int_equal(cairn_consumer_next(consumer, 5000, &record, &error), CAIRN_OK);
    assert_int_equal(record.offset, i);
  }
  cairn_producer_free(producer);
  cairn_consumer_free(consumer);
}

static void consumer_stops_seeks_and_counts(void **state) {
  struct fixture *fixture = *state;
  struct cairn_producer *producer = fixture_producer(fixture, (struct cairn_producer_options){.batch_bytes = 300});
  add_numbers(producer, "events", 0, 0, 1000);
  assert_int_equal(cairn_producer_flush(producer, 10000, NULL), CAIRN_OK);
  cairn_producer_free(producer);
  const struct cairn_consumer_options options = {
      .from = {CAIRN_AT_OFFSET, 417}, .to = {CAIRN_AT_OFFSET, 900}, .prefetch_bytes = 1, .count_max = 20};
  struct cairn_consumer *consumer = NULL;
  struct cairn_record record;
  struct cairn_error error;
  assert_int_equal(cairn_consumer_new(fixture->client, "events", 0, &options, &consumer, NULL), CAIRN_OK);

  for (unsigned i = 417; i < 427; i++) {
    assert_int_equal(cairn_consumer_next(consumer, 5000, &record, &error), CAIRN_OK);
    assert_int_equal(record.offset, i);
  }
  cairn_consumer_seek(consumer, 895);
  for (unsigned i = 895; i < 900; i++) {
    assert_int_equal(cairn_consumer_next(consumer, 5000, &record, &error), CAIRN_OK);
    assert_int_equal(record.offset, i);
  }
  assert_int_equal(cairn_consumer_next(consumer, 5000, &record, &error), CAIRN_END);
  cairn_consumer_seek(consumer, 3);
  for (unsigned i = 3; i < 8; i++) {
    assert_int_equal(cairn_consumer_next(consumer, 5000, &record, &error), CAIRN_OK);
    assert_int_equal(record.offset, i);
  }
  assert_int_equal(cairn_consumer_next(consumer, 5000, &record, &error), CAIRN_END);
  cairn_consumer_free(consumer);
}

static void consumer_says_that_a_partition_is_empty(void **state) {
  struct fixture *fixture = *state;
  const struct cairn_consumer_options options = {.from = {CAIRN_AT_OFFSET, 7}, .to = {CAIRN_AT_END, 0}};
  struct cairn_consumer *consumer = NULL;
  struct cairn_record record;
  struct cairn_error error;
  assert_int_equal(cairn_consumer_new(fixture->client, "events", 0, &options, &consumer, NULL), CAIRN_OK);
  assert_int_equal(cairn_consumer_next(consumer, 5000, &record, &error), CAIRN_OUT_OF_RANGE);
  assert_non_null(strstr(error.message, "is empty and begins at 0"));
  cairn_consumer_free(consumer);
}

static void consumer_reports_rot_and_where_the_log_ends(void **state) {
  struct fixture *fixture = *state;
  const struct cairn_message message = {.value = {"x", 1}};
  assert_int_equal(cairn_append(fixture->client, "events", 0, &message, 1, NULL, NULL, NULL), CAIRN_OK);
  struct cairn_consumer_options options = {.from = {CAIRN_AT_OFFSET, 7}};
  struct cairn_consumer *consumer = NULL;
  struct cairn_record record;
  struct cairn_error error;
  assert_int_equal(cairn_consumer_new(fixture->client, "events", 0, &options, &consumer, NULL), CAIRN_OK);
  assert_int_equal(cairn_consumer_next(consumer, 5000, &record, &error), CAIRN_OUT_OF_RANGE);
  assert_string_equal(error.reason, "BEYOND_END");
  assert_true(error.has_next_offset);
  assert_int_equal(error.next_offset, 1);
  cairn_consumer_seek(consumer, 0);
  assert_int_equal(cairn_consumer_next(consumer, 5000, &record, &error), CAIRN_OK);
  cairn_consumer_free(consumer);

  fake_broker_rot(fixture->broker);
  options.from = (struct cairn_position){CAIRN_AT_START, 0};
  assert_int_equal(cairn_consumer_new(fixture->client, "events", 0, &options, &consumer, NULL), CAIRN_OK);
  assert_int_equal(cairn_consumer_next(consumer, 5000, &record, &error), CAIRN_DATA_LOSS);
  assert_int_equal(cairn_consumer_next(consumer, 5000, &record, &error), CAIRN_DATA_LOSS);
  cairn_consumer_free(consumer);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(append_and_read_block_until_done),
      TEST(append_is_sent_again_only_when_that_is_safe),
      TEST(what_was_in_doubt_once_stays_so),
      TEST(a_client_that_reaches_nobody_says_so_soon),
      TEST(who_gives_up_does_not_wait_for_the_deadline),
      TEST(a_call_that_is_cancelled_between_two_attempts_is_not_called_out_of_reach),
      TEST(consumer_follows_and_gets_over_a_lost_stream),
      TEST(consumer_stops_seeks_and_counts),
      TEST(consumer_reports_rot_and_where_the_log_ends),
      TEST(create_sends_the_settings_that_are_given),
      TEST(a_place_has_at_most_as_many_brokers_as_it_has_room_for),
      TEST(consumer_says_that_a_partition_is_empty),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
