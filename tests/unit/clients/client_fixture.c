#include "tests/unit/clients/client_fixture.h"

int fixture_setup(void **state) {
  static struct fixture fixture;
  fixture = (struct fixture){.broker = fake_broker_start()};
  fake_broker_add_topic(fixture.broker, "events", 1);
  fake_broker_add_topic(fixture.broker, "wide", 8);
  const struct cairn_client_options options = {
      .servers = fake_broker_address(fixture.broker), .reach_timeout_ms = 300, .retry_backoff_ms = 5};
  struct cairn_error error;
  assert_int_equal(cairn_client_new(&options, &fixture.client, &error), CAIRN_OK);
  *state = &fixture;
  return 0;
}

int fixture_teardown(void **state) {
  struct fixture *fixture = *state;
  cairn_client_free(fixture->client);
  fake_broker_stop(fixture->broker);
  return 0;
}

static void note_delivery(void *context, const struct cairn_delivery *delivery) {
  struct fixture *fixture = context;
  fixture->records += delivery->record_count;
  for (size_t i = 0; delivery->opaques != NULL && i < delivery->record_count; i++) {
    uintptr_t opaque = (uintptr_t)delivery->opaques[i];
    if (opaque <= fixture->last_opaque) fixture->out_of_order = true;
    fixture->last_opaque = opaque;
  }
  if (delivery->error == NULL) return;
  fixture->failed += delivery->record_count;
  if (delivery->error->executed == CAIRN_EXECUTED_MAYBE) fixture->maybe += delivery->record_count;
  snprintf(fixture->reason, sizeof fixture->reason, "%s", delivery->error->reason);
}

struct cairn_producer *fixture_producer(struct fixture *fixture, struct cairn_producer_options options) {
  options.delivered = note_delivery;
  options.context = fixture;
  struct cairn_producer *producer = NULL;
  assert_int_equal(cairn_producer_new(fixture->client, &options, &producer, NULL), CAIRN_OK);
  return producer;
}

void add_numbers(struct cairn_producer *producer, const char *topic, int32_t partition, unsigned first, unsigned count) {
  for (unsigned i = first; i < first + count; i++) {
    char text[16];
    int size = snprintf(text, sizeof text, "%u", i);
    const struct cairn_message message = {
        .topic = topic, .partition = partition, .value = {text, (size_t)size}, .opaque = (void *)(uintptr_t)(i + 1)};
    struct cairn_error error;
    assert_int_equal(cairn_producer_add(producer, &message, &error), CAIRN_OK);
  }
}

void expect_numbers(struct fixture *fixture, const char *topic, unsigned count) {
  const struct cairn_consumer_options options = {.to = {.kind = CAIRN_AT_END}};
  struct cairn_consumer *consumer = NULL;
  assert_int_equal(cairn_consumer_new(fixture->client, topic, 0, &options, &consumer, NULL), CAIRN_OK);
  struct cairn_record record;
  struct cairn_error error;
  for (unsigned i = 0; i < count; i++) {
    char text[16];
    int size = snprintf(text, sizeof text, "%u", i);
    assert_int_equal(cairn_consumer_next(consumer, 10000, &record, &error), CAIRN_OK);
    assert_int_equal(record.offset, i);
    assert_int_equal(record.value.size, size);
    assert_memory_equal(record.value.data, text, (size_t)size);
  }
  assert_int_equal(cairn_consumer_next(consumer, 10000, &record, &error), CAIRN_END);
  cairn_consumer_free(consumer);
}
