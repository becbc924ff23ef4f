#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/world.h"
#include "clients/cli/commands.h"
#include "clients/cli/histogram.h"
#include "clients/cli/output.h"
#include "clients/cli/quantity.h"
#include "clients/cli/report.h"
#include "clients/cli/terminal.h"

#define BENCH_TOPIC "cairn-bench"
#define MEMORY_BYTES_MAX (128u * 1024 * 1024)
#define RECORDS_PER_LOOK 1024u

struct bench {
  struct cli *cli;
  const char *topic;
  int64_t records;
  int64_t record_bytes;
  int64_t batch_bytes;
  int64_t in_flight;
  int64_t partitions;
  int64_t rate; /* records a second; 0: as fast as answers come */
  struct progress progress;
  struct histogram *latency;
  uint64_t begun_ns;
  uint64_t ended_ns;
  uint64_t done;
  uint64_t bytes;
  uint64_t batches;
  struct cairn_error error;
  bool failed;
};

static uint64_t now_ns(const struct bench *bench) { return world_now_ns(bench->cli->world); }

/* ---- Results: one line of result, one of conditions ---- */

static void print_json(const struct bench *bench, const char *what, const char *loop) {
  double seconds = (double)(bench->ended_ns - bench->begun_ns) / 1e9;
  json_t *object = json_pack(
      "{s:s, s:I, s:I, s:f, s:f, s:f, s:{s:f, s:f, s:f, s:f}, s:{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:s}}", "bench", what,
      "records", (json_int_t)bench->done, "bytes", (json_int_t)bench->bytes, "seconds", seconds, "records_per_second",
      (double)bench->done / seconds, "bytes_per_second", (double)bench->bytes / seconds, "latency_us", "p50",
      (double)histogram_at(bench->latency, 0.5) / 1e3, "p99", (double)histogram_at(bench->latency, 0.99) / 1e3, "p999",
      (double)histogram_at(bench->latency, 0.999) / 1e3, "max", (double)bench->latency->max / 1e3, "conditions", "topic",
      bench->topic, "loop", loop, "record_bytes", (json_int_t)bench->record_bytes, "batch_bytes", (json_int_t)bench->batch_bytes,
      "in_flight", (json_int_t)bench->in_flight, "partitions", (json_int_t)bench->partitions, "rate", (json_int_t)bench->rate,
      "server", bench->cli->server);
  char *text = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(9));
  output_printf(bench->cli->output, "%s\n", text);
  memory_free(text); /* jansson's, from malloc() like ours */
  json_decref(object);
}

static void print_result(const struct bench *bench, const char *what, const char *loop, const char *latency_of) {
  if (bench->cli->json) {
    print_json(bench, what, loop);
    return;
  }
  double seconds = (double)(bench->ended_ns - bench->begun_ns) / 1e9;
  char rate[32];
  char batch[32];
  struct output *output = bench->cli->output;
  output_printf(output, "%s: %.0f records/s, %s/s; %s p50 %.0f us, p99 %.0f us, p99.9 %.0f us, max %.0f us\n", what,
                (double)bench->done / seconds, quantity_format_bytes(rate, sizeof rate, (double)bench->bytes / seconds),
                latency_of, (double)histogram_at(bench->latency, 0.5) / 1e3, (double)histogram_at(bench->latency, 0.99) / 1e3,
                (double)histogram_at(bench->latency, 0.999) / 1e3, (double)bench->latency->max / 1e3);
  output_printf(
      output,
      "conditions: topic=%s records=%llu record_bytes=%lld batch_bytes=%s in_flight=%lld partitions=%lld loop=%s seconds=%.2f "
      "server=%s\n",
      bench->topic, (unsigned long long)bench->done, (long long)bench->record_bytes,
      quantity_format_bytes(batch, sizeof batch, (double)bench->batch_bytes), (long long)bench->in_flight,
      (long long)bench->partitions, loop, seconds, bench->cli->server);
}

/* ---- append ---- */

/* The opaque of a record is when it was added or, at a fixed rate, when it should have been: a slow answer then counts against every
 * record that had to wait for it. */
static void bench_delivered(void *context, const struct cairn_delivery *delivery) {
  struct bench *bench = context;
  if (delivery->error != NULL && !bench->failed) {
    bench->failed = true;
    bench->error = *delivery->error;
  }
  uint64_t now = now_ns(bench);
  for (size_t i = 0; i < delivery->record_count; i++) histogram_add(bench->latency, now - (uintptr_t)delivery->opaques[i]);
  bench->done += delivery->record_count;
  bench->bytes += delivery->record_count * (uint64_t)bench->record_bytes;
  bench->batches++;
}

/* Until the record may be added: when its time has come, or when there is room in the window. False: the bench is over before that. */
static bool wait_for_turn(struct bench *bench, struct cairn_producer *producer, uint64_t added, uint64_t due_ns) {
  int64_t per_batch = bench->batch_bytes / bench->record_bytes;
  uint64_t window = (uint64_t)(bench->in_flight * (per_batch < 1 ? 1 : per_batch));
  while (!bench->failed && !terminal_interrupted()) {
    if (bench->rate == 0 && added - bench->done < window) return true;
    uint64_t now = now_ns(bench);
    if (bench->rate > 0 && now >= due_ns) return true;
    cairn_producer_poll(producer, bench->rate > 0 && due_ns - now < 2000000 ? 0 : 1);
  }
  return false;
}

static int append_records(struct bench *bench, struct cairn_producer *producer, uint8_t *value) {
  bench->begun_ns = now_ns(bench);
  for (int64_t i = 0; i < bench->records; i++) {
    uint64_t due_ns = bench->begun_ns + (bench->rate == 0 ? 0 : (uint64_t)((double)i * 1e9 / (double)bench->rate));
    if (!wait_for_turn(bench, producer, (uint64_t)i, due_ns)) break;
    uint64_t stamp = bench->rate == 0 ? now_ns(bench) : due_ns;
    struct cairn_message message = {.topic = bench->topic,
                                    .partition = (int32_t)(i / 64 % bench->partitions),
                                    .value = {value, (size_t)bench->record_bytes},
                                    .opaque = (void *)(uintptr_t)stamp};
    if (bench->batch_bytes <= bench->record_bytes) message.partition = (int32_t)(i % bench->partitions);
    struct cairn_error error;
    if (cairn_producer_add(producer, &message, &error) != CAIRN_OK) {
      if (!bench->failed) bench->error = error;
      bench->failed = true;
    }
    if (i % RECORDS_PER_LOOK != 0) continue;
    cairn_producer_poll(producer, 0);
    progress_show(&bench->progress, now_ns(bench), "appended", bench->done, bench->bytes,
                  (uint64_t)(bench->records * bench->record_bytes));
  }
  cairn_producer_flush(producer, CAIRN_FOREVER, NULL);
  bench->ended_ns = now_ns(bench);
  progress_end(&bench->progress);
  if (!bench->failed) return CLI_OK;
  return report_error(bench->cli, &bench->error, (struct report_subject){.topic = bench->topic},
                      "the bench cannot append to \"%s\"", bench->topic);
}

/* What was measured on fewer partitions than were asked for would be taken for something else. */
static int check_partitions(const struct bench *bench, uint32_t partitions) {
  if (bench->partitions <= partitions) return CLI_OK;
  char why[512];
  char try_this[512];
  snprintf(why, sizeof why, "%lld partitions are asked for, and topic \"%s\" has %u", (long long)bench->partitions, bench->topic,
           partitions);
  snprintf(try_this, sizeof try_this, "another topic, or `cairn topic alter %s --partitions %lld`", bench->topic,
           (long long)bench->partitions);
  return report_failure(bench->cli, CLI_PRECONDITION, "TOO_FEW_PARTITIONS", "the bench cannot spread so far", why, try_this);
}

static int find_or_create_topic(struct bench *bench) {
  struct cairn_topic topic;
  struct cairn_error error;
  int code = cairn_topic_describe(bench->cli->client, bench->topic, &topic, NULL, NULL, &error);
  if (code == CAIRN_NOT_FOUND) {
    const struct cairn_topic_options options = {.partitions = (uint32_t)bench->partitions};
    code = cairn_topic_create(bench->cli->client, bench->topic, &options, &topic, &error);
  }
  if (code != CAIRN_OK) {
    return report_error(bench->cli, &error, (struct report_subject){.topic = bench->topic}, "cannot use topic \"%s\"",
                        bench->topic);
  }
  return check_partitions(bench, topic.partitions);
}

static int bench_append(struct bench *bench) {
  const struct cairn_producer_options options = {
      .batch_bytes = (uint32_t)bench->batch_bytes,
      .in_flight_max = (uint32_t)bench->in_flight,
      .memory_bytes_max = MEMORY_BYTES_MAX,
      .delivered = bench_delivered,
      .context = bench,
  };
  struct cairn_producer *producer = NULL;
  struct cairn_error error;
  if (cairn_producer_new(bench->cli->client, &options, &producer, &error) != CAIRN_OK) {
    return report_error(bench->cli, &error, (struct report_subject){0}, "cannot append");
  }
  uint8_t *value = memory_new((size_t)bench->record_bytes);
  for (int64_t i = 0; i < bench->record_bytes; i++) value[i] = (uint8_t)('a' + i % 26);
  int code = append_records(bench, producer, value);
  memory_free(value);
  cairn_producer_free(producer);
  if (code == CLI_OK) print_result(bench, "append", bench->rate == 0 ? "closed" : "open", "acknowledged within");
  return code == CLI_OK && terminal_interrupted() ? CLI_INTERRUPTED : code;
}

static int read_append_options(struct bench *bench) {
  const struct cli *cli = bench->cli;
  int code = cli_option_number(cli, "records", 1, INT64_MAX / 1024 / 1024, &bench->records);
  if (code == CLI_OK) code = cli_option_bytes(cli, "record-bytes", 1, 3 * 1024 * 1024, &bench->record_bytes);
  if (code == CLI_OK) code = cli_option_bytes(cli, "batch-bytes", 1, 3 * 1024 * 1024, &bench->batch_bytes);
  if (code == CLI_OK) code = cli_option_number(cli, "in-flight", 1, 1000, &bench->in_flight);
  if (code == CLI_OK) code = cli_option_number(cli, "partitions", 1, 10000, &bench->partitions);
  if (code == CLI_OK) code = cli_option_number(cli, "rate", 0, 100000000, &bench->rate);
  return code;
}

static int bench_append_run(struct cli *cli) {
  struct bench bench = {.cli = cli,
                        .topic = cli->operand_count > 0 ? cli->operands[0] : BENCH_TOPIC,
                        .records = 1000000,
                        .record_bytes = 1024,
                        .batch_bytes = 64 * 1024,
                        .in_flight = 8,
                        .partitions = 1};
  int code = read_append_options(&bench);
  if (code == CLI_OK) code = cli_connect(cli);
  if (code == CLI_OK) code = find_or_create_topic(&bench);
  if (code != CLI_OK) return code;
  bench.latency = NEW(struct histogram);
  progress_begin(&bench.progress, now_ns(&bench));
  code = bench_append(&bench);
  memory_free(bench.latency);
  return code;
}

static const struct option bench_append_options[] = {
    {"records", 'n', "N", "how many (default 1000000)"},
    {"record-bytes", 0, "SIZE", "size of a value (default 1KiB)"},
    {"batch-bytes", 'b', "SIZE", "how much is sent at once (default 64KiB)"},
    {"in-flight", 0, "N", "batches on their way (default 8)"},
    {"partitions", 'p', "N", "spread over so many (default 1); a topic that is there must have them"},
    {"rate", 0, "N", "records a second, whatever the answers do (an open loop); 0 (default): as fast as answers come"},
    {NULL, 0, NULL, NULL},
};

static const char *const bench_append_examples[] = {
    "Throughput",
    "cairn bench append --records 1000000 --record-bytes 1KiB",
    "Latency of single records",
    "cairn bench append --records 10000 --batch-bytes 1 --in-flight 1",
    "Latency at a fixed load",
    "cairn bench append --rate 20000 --records 200000",
    NULL,
};

const struct command bench_append_command = {
    .noun = "bench",
    .verb = "append",
    .operands = "[TOPIC]",
    .operands_max = 1,
    .summary = "Measure appending: throughput and latency",
    .changes = CHANGES_RECORDS,
    .options = bench_append_options,
    .details =
        "The topic (default cairn-bench) is created when it is not there, and kept. Latency is from the add, or in an open loop\n"
        "from when the record was due, to its acknowledgement.\n",
    .examples = bench_append_examples,
    .run = bench_append_run,
};

/* ---- read ---- */

static int read_one_partition(struct bench *bench, uint32_t partition) {
  const struct cairn_consumer_options options = {.to = {.kind = CAIRN_AT_END}, .message_bytes = (uint32_t)bench->batch_bytes};
  struct cairn_consumer *consumer = NULL;
  struct cairn_record record;
  struct cairn_error error;
  int code = cairn_consumer_new(bench->cli->client, bench->topic, partition, &options, &consumer, &error);
  while (code == CAIRN_OK && (int64_t)bench->done < bench->records && !terminal_interrupted()) {
    code = cairn_consumer_next(consumer, 0, &record, &error);
    if (code == CAIRN_WAIT) {
      uint64_t before_ns = now_ns(bench);
      code = cairn_consumer_next(consumer, bench->cli->timeout_ms, &record, &error);
      histogram_add(bench->latency, now_ns(bench) - before_ns);
    }
    if (code != CAIRN_OK) break;
    bench->done++;
    bench->bytes += record.value.size;
  }
  cairn_consumer_free(consumer);
  if (code == CAIRN_OK || code == CAIRN_END) return CLI_OK;
  if (code == CAIRN_WAIT) {
    return report_failure(bench->cli, CLI_UNAVAILABLE, "DEADLINE", "the bench cannot read on", "nothing came within --timeout",
                          "a longer --timeout");
  }
  return report_error(bench->cli, &error,
                      (struct report_subject){.topic = bench->topic, .has_partition = true, .partition = partition},
                      "the bench cannot read \"%s\"", bench->topic);
}

static int bench_read_run(struct cli *cli) {
  struct bench bench = {.cli = cli,
                        .topic = cli->operand_count > 0 ? cli->operands[0] : BENCH_TOPIC,
                        .records = INT64_MAX,
                        .batch_bytes = 1024 * 1024};
  int code = cli_option_number(cli, "records", 1, INT64_MAX, &bench.records);
  if (code == CLI_OK) code = cli_option_bytes(cli, "batch-bytes", 1, 3 * 1024 * 1024, &bench.batch_bytes);
  if (code == CLI_OK) code = cli_connect(cli);
  if (code != CLI_OK) return code;
  struct cairn_topic topic;
  struct cairn_error error;
  if (cairn_topic_describe(cli->client, bench.topic, &topic, NULL, NULL, &error) != CAIRN_OK) {
    return report_error(cli, &error, (struct report_subject){.topic = bench.topic}, "cannot read topic \"%s\"", bench.topic);
  }
  bench.partitions = topic.partitions;
  bench.latency = NEW(struct histogram);
  bench.begun_ns = now_ns(&bench);
  for (uint32_t i = 0; code == CLI_OK && i < topic.partitions && !terminal_interrupted(); i++)
    code = read_one_partition(&bench, i);
  bench.ended_ns = now_ns(&bench);
  bench.record_bytes = bench.done == 0 ? 0 : (int64_t)(bench.bytes / bench.done);
  if (code == CLI_OK) print_result(&bench, "read", "closed", "waits");
  memory_free(bench.latency);
  return code == CLI_OK && terminal_interrupted() ? CLI_INTERRUPTED : code;
}

static const struct option bench_read_options[] = {
    {"records", 'n', "N", "at most so many (default: all)"},
    {"batch-bytes", 'b', "SIZE", "size of an answer (default 1MiB)"},
    {NULL, 0, NULL, NULL},
};

static const char *const bench_read_examples[] = {
    "After `cairn bench append`", "cairn bench read", "Another topic", "cairn bench read orders --records 100000", NULL,
};

const struct command bench_read_command = {
    .noun = "bench",
    .verb = "read",
    .operands = "[TOPIC]",
    .operands_max = 1,
    .summary = "Measure reading a topic from its start to its end",
    .options = bench_read_options,
    .details = "The percentiles are of the times for which the reader had to wait for the next answer.\n",
    .examples = bench_read_examples,
    .run = bench_read_run,
};
