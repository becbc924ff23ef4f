/* Threads that append: one batch and wait, or many records through a producer. */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/memory.h"
#include "tests/sim/workload.h"

#define BATCH_MAX 32u
#define BYTES_MAX ((uint64_t)24 << 20) /* of all values together: the disk is small. Beyond it they are tiny */

/* ---- Values ---- */

static size_t draw_size(struct worker *worker) {
  uint32_t max = worker->run->plan->record_bytes_max;
  if (sim_random_chance(&worker->chance, 80) && max > 256) max = 256; /* mostly small */
  size_t size = CHECK_VALUE_MIN + sim_random_below(&worker->chance, max);
  if (worker->run->value_bytes + size > BYTES_MAX) size = CHECK_VALUE_MIN;
  worker->run->value_bytes += size;
  return size;
}

static enum check_outcome outcome_of(const struct cairn_error *error) {
  if (error == NULL || error->code == CAIRN_OK) return CHECK_ACKED;
  return error->executed == CAIRN_EXECUTED_NO ? CHECK_REFUSED : CHECK_UNKNOWN;
}

/* ---- cairn_append() ---- */

struct batch {
  uint64_t numbers[BATCH_MAX];
  struct cairn_message messages[BATCH_MAX];
  size_t count;
  uint8_t *bytes;
};

static void fill_batch(struct worker *worker, struct check_partition *partition, struct batch *batch) {
  size_t sizes[BATCH_MAX], total = 0;
  batch->count = 1 + sim_random_below(&worker->chance, worker->run->plan->batch_records_max);
  for (size_t i = 0; i < batch->count; i++) total += sizes[i] = draw_size(worker);
  batch->bytes = memory_new(total);
  uint8_t *at = batch->bytes;
  for (size_t i = 0; i < batch->count; i++) {
    batch->numbers[i] = check_append(partition, 0);
    check_value(worker->run->checker, batch->numbers[i], at, sizes[i]);
    batch->messages[i] = (struct cairn_message){.value = {at, sizes[i]}};
    at += sizes[i];
  }
}

static struct cairn_append_options draw_expectation(struct worker *worker, const struct check_partition *partition) {
  struct cairn_append_options options = {0};
  if (!worker->run->plan->conditional || sim_random_chance(&worker->chance, 50)) return options;
  options.has_expected_offset = true;
  options.expected_offset = check_partition_end(partition);
  if (sim_random_chance(&worker->chance, 10)) options.expected_offset += 1;
  return options;
}

static int append_once(struct worker *worker, struct run_topic *topic, uint32_t number, struct cairn_append_options options) {
  struct run *run = worker->run;
  struct check_partition *partition = topic->partitions[number];
  struct batch batch;
  struct cairn_appended appended = {0};
  struct cairn_error error = {0};
  fill_batch(worker, partition, &batch);
  run_call_begin(run);
  int code = cairn_append(worker->client, topic->name, number, batch.messages, batch.count, &options, &appended, &error);
  run_call_end(run);
  run_trace(run, worker->name, "append %s/%u records=%zu first=#%llu -> %s %s %lld", topic->name, number, batch.count,
            (unsigned long long)batch.numbers[0], code == CAIRN_OK ? "OK" : error.reason,
            error.executed == CAIRN_EXECUTED_NO ? "no" : "", (long long)appended.base_offset);
  if (code != CAIRN_OK) worker_error(worker, topic, "append", &error);
  else {
    run->acked++;
    worker_term(worker, topic, number, appended.term);
    if (appended.term > topic->acked_terms[number]) topic->acked_terms[number] = appended.term;
  }
  if (code == CAIRN_OK && appended.last_offset != appended.base_offset + (int64_t)batch.count - 1)
    checker_violation(run->checker, "L2 no-partial", "%zu records were appended at %lld to %lld", batch.count,
                      (long long)appended.base_offset, (long long)appended.last_offset);
  if (options.has_expected_offset) check_expected(partition, options.expected_offset, code, &error, appended.base_offset);
  for (size_t i = 0; i < batch.count; i++) {
    check_appended(run->checker, batch.numbers[i], outcome_of(code == CAIRN_OK ? NULL : &error),
                   appended.base_offset + (int64_t)i);
  }
  memory_free(batch.bytes);
  return code;
}

bool workload_append_probe(struct worker *worker, struct run_topic *topic, uint32_t number) {
  return append_once(worker, topic, number, (struct cairn_append_options){0}) == CAIRN_OK;
}

void workload_appender(void *context) {
  struct worker *worker = context;
  while (!worker->run->stopping) {
    uint32_t number = 0;
    struct run_topic *topic = worker_pick(worker, &number);
    if (topic == NULL) continue;
    append_once(worker, topic, number, draw_expectation(worker, topic->partitions[number]));
    worker_think(worker);
  }
}

/* ---- The producer ---- */

/* A record's number travels as its opaque pointer, plus one. */
struct production {
  struct worker *worker;
  struct run_topic *topic;
  uint64_t added;
  uint64_t delivered;
};

static void on_delivered(void *context, const struct cairn_delivery *delivery) {
  struct production *production = context;
  struct worker *worker = production->worker;
  run_trace(worker->run, worker->name, "delivered %s/%u records=%zu first=#%llu -> %s %lld", delivery->topic, delivery->partition,
            delivery->record_count, (unsigned long long)(uintptr_t)delivery->opaques[0] - 1,
            delivery->error == NULL ? "OK" : delivery->error->reason, (long long)delivery->base_offset);
  if (delivery->error != NULL) worker_error(worker, production->topic, "produce", delivery->error);
  else worker->run->acked++;
  for (size_t i = 0; i < delivery->record_count; i++) {
    uint64_t number = (uint64_t)(uintptr_t)delivery->opaques[i] - 1;
    check_appended(worker->run->checker, number, outcome_of(delivery->error), delivery->base_offset + (int64_t)i);
  }
  production->delivered += delivery->record_count;
}

static void add_one(struct production *production, struct cairn_producer *producer) {
  struct worker *worker = production->worker;
  struct run_topic *topic = production->topic;
  uint32_t number = (uint32_t)sim_random_below(&worker->chance, topic->partition_count);
  size_t size = draw_size(worker);
  uint8_t *value = memory_new(size);
  uint64_t record = check_append(topic->partitions[number], worker->writer << 20 | worker->rounds);
  check_value(worker->run->checker, record, value, size);
  const struct cairn_message message = {
      .topic = topic->name, .partition = (int32_t)number, .value = {value, size}, .opaque = (void *)(uintptr_t)(record + 1)};
  struct cairn_error error = {0};
  int code = cairn_producer_add(producer, &message, &error);
  if (code == CAIRN_OK) {
    production->added++;
  } else {
    worker_error(worker, topic, "add", &error);
    check_appended(worker->run->checker, record, CHECK_REFUSED, -1);
  }
  memory_free(value);
}

static void produce_for_a_while(struct production *production, struct cairn_producer *producer) {
  struct worker *worker = production->worker;
  struct run *run = worker->run;
  uint64_t rounds = 1 + sim_random_below(&worker->chance, 12);
  for (uint64_t i = 0; i < rounds && !run->stopping && production->topic->stage == TOPIC_LIVE; i++) {
    uint64_t burst = 1 + sim_random_below(&worker->chance, 2 * run->plan->batch_records_max);
    run_call_begin(run);
    for (uint64_t k = 0; k < burst; k++) add_one(production, producer);
    cairn_producer_poll(producer, sim_random_chance(&worker->chance, 30) ? 5 : 0);
    run_call_end(run);
    worker_think(worker);
  }
  if (sim_random_chance(&worker->chance, 20)) return; /* given up with records on their way */
  run_call_begin(run);
  int code = cairn_producer_flush(producer, 20000, NULL);
  run_call_end(run);
  run_trace(run, worker->name, "flush -> %d", code);
}

static void produce(struct worker *worker, struct run_topic *topic) {
  struct production production = {.worker = worker, .topic = topic};
  const struct plan *plan = worker->run->plan;
  char name[sizeof worker->name];
  snprintf(name, sizeof name, "%s", worker->name);
  if (plan->named_alike) snprintf(name, sizeof name, "one-of-%u", (unsigned)sim_random_below(&worker->chance, 2));
  const struct cairn_producer_options options = {
      .name = plan->named ? name : NULL,
      .linger_ms = (uint32_t)sim_random_below(&worker->chance, 3),
      .batch_bytes = (uint32_t)(1024u << sim_random_below(&worker->chance, 6)),
      .in_flight_max = (uint32_t)(1 + sim_random_below(&worker->chance, 8)),
      .request_timeout_ms = plan->impatient ? 200 : 5000,
      .delivery_timeout_ms = plan->impatient ? 1000 : 10000,
      .codec = plan->compressed ? (enum cairn_codec)sim_random_below(&worker->chance, 3) : CAIRN_CODEC_NONE,
      .stop_on_error = sim_random_chance(&worker->chance, 30),
      .delivered = on_delivered,
      .context = &production,
  };
  struct cairn_producer *producer = NULL;
  worker->rounds++;
  if (cairn_producer_new(worker->client, &options, &producer, NULL) != CAIRN_OK) CHECK_MSG(false, "no producer");
  produce_for_a_while(&production, producer);
  cairn_producer_free(producer);
  if (production.delivered != production.added)
    checker_violation(worker->run->checker, "A9 delivered",
                      "%llu records were added, of %llu the producer told what became of them",
                      (unsigned long long)production.added, (unsigned long long)production.delivered);
}

void workload_producer(void *context) {
  struct worker *worker = context;
  while (!worker->run->stopping) {
    uint32_t number = 0;
    struct run_topic *topic = worker_pick(worker, &number);
    if (topic != NULL) produce(worker, topic);
    worker_think(worker);
  }
}
