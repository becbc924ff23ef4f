#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/world.h"
#include "clients/cli/commands.h"
#include "clients/cli/format.h"
#include "clients/cli/input.h"
#include "clients/cli/output.h"
#include "clients/cli/position.h"
#include "clients/cli/report.h"
#include "clients/cli/terminal.h"

/* Records of one partition before the next one has its turn. */
#define TURN_RECORDS 4096u
#define PREFETCH_BYTES_ALL (64u * 1024 * 1024)
#define PREFETCH_BYTES_MAX (16u * 1024 * 1024)
#define WAIT_MS 100

struct read {
  struct cli *cli;
  const char *topic;
  struct cairn_consumer_options options;
  bool follow;
  uint64_t count_max;    /* of all partitions together; 0: no bound */
  struct format *format; /* NULL with -o json */
  int wake_fd;
  struct progress progress;

  struct cairn_consumer **consumers; /* those that are read at the same time; NULL: ended */
  uint32_t *partitions;
  uint32_t consumer_count;
  uint32_t open;             /* of them: those that have not ended */
  struct cairn_watch *watch; /* of a topic that is followed as a whole: it may grow; NULL: nobody can tell */
  uint64_t topic_id;
  uint32_t had; /* partitions, when it began to be followed */
  uint64_t count;
  uint64_t bytes;
};

static void read_notify(void *context) { wake_ring(((struct read *)context)->wake_fd); }

/* ---- Records ---- */

static void print_record(struct read *read, const struct cairn_record *record) {
  if (read->format == NULL) format_write_json(record, read->cli->output);
  else format_write(read->format, record, read->cli->output);
  read->count++;
  read->bytes += record->value.size;
}

static bool read_over(const struct read *read) {
  return (read->count_max > 0 && read->count >= read->count_max) || output_broken(read->cli->output) || terminal_interrupted();
}

static int read_failed(const struct read *read, uint32_t partition, const struct cairn_error *error) {
  output_flush(read->cli->output);
  int code =
      report_error(read->cli, error, (struct report_subject){.topic = read->topic, .has_partition = true, .partition = partition},
                   "cannot read partition %u of topic \"%s\"", partition, read->topic);
  return code;
}

/* A partition that came meanwhile, and has let go of its first records already. */
static bool began_behind(const struct read *read, uint32_t index, const struct cairn_error *error) {
  bool is_new = read->had > 0 && read->partitions[index] >= read->had;
  if (!is_new || strcmp(error->reason, "BELOW_START") != 0 || !error->has_next_offset) return false;
  cairn_consumer_seek(read->consumers[index], error->next_offset);
  return true;
}

/* What is there of one partition, up to a bound. CAIRN_WAIT, CAIRN_END, CAIRN_OK (there is more), or an error, reported. */
static int read_turn(struct read *read, uint32_t index, int *out_exit) {
  struct cairn_record record;
  struct cairn_error error = {0};
  for (unsigned i = 0; i < TURN_RECORDS && !read_over(read); i++) {
    int code = cairn_consumer_next(read->consumers[index], 0, &record, &error);
    if (code == CAIRN_WAIT || code == CAIRN_END) return code;
    if (code != CAIRN_OK && began_behind(read, index, &error)) continue;
    if (code != CAIRN_OK) {
      *out_exit = read_failed(read, read->partitions[index], &error);
      return code;
    }
    print_record(read, &record);
  }
  return CAIRN_OK;
}

static int follow_growth(struct read *read);

/* Until all that are open have ended. */
static int read_open_ones(struct read *read) {
  int exit_code = CLI_OK;
  read->open = read->consumer_count;
  while (read->open > 0 && !read_over(read)) {
    bool waiting = true;
    wake_clear(read->wake_fd);
    exit_code = follow_growth(read);
    if (exit_code != CLI_OK) return exit_code;
    for (uint32_t i = 0; i < read->consumer_count && !read_over(read); i++) {
      if (read->consumers[i] == NULL) continue;
      int code = read_turn(read, i, &exit_code);
      if (code == CAIRN_WAIT) continue;
      waiting = false;
      if (code == CAIRN_OK) continue;
      if (code != CAIRN_END) return exit_code;
      cairn_consumer_free(read->consumers[i]);
      read->consumers[i] = NULL;
      read->open--;
    }
    progress_show(&read->progress, world_now_ns(read->cli->world), "read", read->count, read->bytes, 0);
    if (!waiting) continue;
    output_flush(read->cli->output);
    wake_wait(read->wake_fd, WAIT_MS);
  }
  return exit_code;
}

/* ---- Partitions ---- */

/* Without --follow nobody waits for an offset that does not exist yet. */
static int stop_at_end(const struct read *read, uint32_t partition, struct cairn_consumer_options *options) {
  if (read->follow || options->to.kind != CAIRN_AT_OFFSET) return CLI_OK;
  struct cairn_partition_state state;
  struct cairn_error error;
  if (cairn_partition_describe(read->cli->client, read->topic, partition, &state, &error) != CAIRN_OK)
    return read_failed(read, partition, &error);
  if (options->to.value > state.high_watermark) options->to.value = state.high_watermark;
  return CLI_OK;
}

/* Of each of so many that are read at the same time. */
static size_t prefetch_bytes(uint32_t partitions) {
  size_t share = PREFETCH_BYTES_ALL / partitions;
  return share < PREFETCH_BYTES_MAX ? share : PREFETCH_BYTES_MAX;
}

static int open_consumer(struct read *read, uint32_t partition) {
  struct cairn_error error;
  uint32_t index = read->consumer_count;
  struct cairn_consumer_options options = read->options;
  int stop_code = stop_at_end(read, partition, &options);
  if (stop_code != CLI_OK) return stop_code;
  int code = cairn_consumer_new(read->cli->client, read->topic, partition, &options, &read->consumers[index], &error);
  if (code != CAIRN_OK) return read_failed(read, partition, &error);
  read->partitions[index] = partition;
  read->consumer_count++;
  return CLI_OK;
}

/* What a topic gets while it is followed is read from its beginning: nobody can have missed it on purpose. */
static int open_more(struct read *read, uint32_t partitions) {
  read->consumers = memory_grow_array(read->consumers, partitions, sizeof(struct cairn_consumer *));
  read->partitions = memory_grow_array(read->partitions, partitions, sizeof *read->partitions);
  read->options.from = (struct cairn_position){.kind = CAIRN_AT_OFFSET, .value = 0};
  read->options.prefetch_bytes = prefetch_bytes(partitions);
  while (read->consumer_count < partitions) {
    int code = open_consumer(read, read->consumer_count);
    if (code != CLI_OK) return code;
    read->open++;
  }
  return CLI_OK;
}

/* That the topic is gone its partitions say themselves. */
static int follow_growth(struct read *read) {
  struct cairn_change change;
  int code = CAIRN_WAIT;
  while (read->watch != NULL && (code = cairn_watch_next(read->watch, 0, &change, NULL)) == CAIRN_OK) {
    bool grew = change.topic != NULL && change.topic->id == read->topic_id && change.topic->partitions > read->consumer_count;
    int exit_code = grew ? open_more(read, change.topic->partitions) : CLI_OK;
    if (exit_code != CLI_OK) return exit_code;
  }
  if (code == CAIRN_WAIT) return CLI_OK;
  cairn_watch_free(read->watch); /* the brokers cannot tell: what there was is read on */
  read->watch = NULL;
  return CLI_OK;
}

static void close_consumers(struct read *read) {
  for (uint32_t i = 0; i < read->consumer_count; i++) cairn_consumer_free(read->consumers[i]);
  read->consumer_count = 0;
}

/* One after the other to the end, or all together when they are followed. */
static int read_partitions(struct read *read, uint32_t first, uint32_t end) {
  read->consumers = memory_new_array(end - first, sizeof(struct cairn_consumer *));
  read->partitions = memory_new_array(end - first, sizeof *read->partitions);
  read->options.prefetch_bytes = prefetch_bytes(read->follow ? end - first : 1);
  int code = CLI_OK;
  for (uint32_t partition = first; code == CLI_OK && partition < end && !read_over(read); partition++) {
    code = open_consumer(read, partition);
    if (code == CLI_OK && !read->follow) code = read_open_ones(read);
    if (!read->follow) close_consumers(read);
  }
  if (code == CLI_OK && read->follow) code = read_open_ones(read);
  close_consumers(read);
  memory_free(read->consumers);
  memory_free(read->partitions);
  return code;
}

static int read_topic(struct read *read) {
  int64_t partition = -1;
  int code = cli_option_number(read->cli, "partition", 0, INT32_MAX, &partition);
  if (code != CLI_OK) return code;
  if (partition >= 0) return read_partitions(read, (uint32_t)partition, (uint32_t)partition + 1);
  struct cairn_topic topic;
  struct cairn_error error;
  if (cairn_topic_describe(read->cli->client, read->topic, &topic, NULL, NULL, &error) != CAIRN_OK) {
    return report_error(read->cli, &error, (struct report_subject){.topic = read->topic}, "cannot read topic \"%s\"",
                        read->topic);
  }
  if (!read->follow) return read_partitions(read, 0, topic.partitions);
  const struct cairn_watch_options watch = {
      .topics = &read->topic, .topic_count = 1, .retry_timeout_ms = CAIRN_FOREVER, .notify = read_notify, .context = read};
  read->topic_id = topic.id;
  read->had = topic.partitions;
  if (cairn_watch_new(read->cli->client, &watch, &read->watch, NULL) != CAIRN_OK) read->watch = NULL;
  code = read_partitions(read, 0, topic.partitions);
  cairn_watch_free(read->watch);
  read->watch = NULL;
  return code;
}

/* ---- Options ---- */

static int read_position(const struct read *read, const char *name, struct cairn_position *position) {
  const char *text = cli_option(read->cli, name);
  if (text == NULL) return CLI_OK;
  enum status status = position_parse(text, world_wall_ms(read->cli->world), position);
  if (status == STATUS_OK) return CLI_OK;
  if (status == STATUS_TOO_LARGE)
    return report_usage(read->cli, "--%s is \"%s\", further than any record can be; `cairn help positions` lists what it can be",
                        name, text);
  return report_usage(read->cli, "--%s is \"%s\"; it can be start, end, 42, -10, @2024-05-01T10:00:00Z or @-15m", name, text);
}

static int read_format(struct read *read) {
  const char *text = cli_option(read->cli, "format");
  if (read->cli->json) {
    if (text == NULL && !cli_flag(read->cli, "raw")) return CLI_OK;
    return report_usage(read->cli, "-o json excludes --format and --raw");
  }
  if (text != NULL && cli_flag(read->cli, "raw")) return report_usage(read->cli, "--raw and --format exclude each other");
  const char *why = NULL;
  size_t at = 0;
  read->format = format_new(text == NULL ? "%v\\n" : text, &why, &at);
  return read->format != NULL ? CLI_OK : report_usage(read->cli, "--format, at character %zu: %s", at + 1, why);
}

static int read_options(struct read *read) {
  int64_t count = 0;
  int code = read_position(read, "from", &read->options.from);
  if (code == CLI_OK) code = read_position(read, "to", &read->options.to);
  if (code == CLI_OK) code = cli_option_number(read->cli, "count", 1, INT64_MAX, &count);
  if (code == CLI_OK) code = read_format(read);
  if (code != CLI_OK) return code;
  read->count_max = (uint64_t)count;
  read->follow = cli_flag(read->cli, "follow");
  if (!read->follow && read->options.to.kind == CAIRN_AT_DEFAULT) read->options.to.kind = CAIRN_AT_END;
  read->options.retry_timeout_ms = read->follow ? CAIRN_FOREVER : read->cli->timeout_ms;
  read->options.notify = read_notify;
  read->options.context = read;
  return CLI_OK;
}

static int read_run(struct cli *cli) {
  struct read read = {.cli = cli, .topic = cli->operands[0], .wake_fd = wake_open()};
  int code = read_options(&read);
  if (code == CLI_OK) code = cli_connect(cli);
  if (code == CLI_OK) {
    progress_begin(&read.progress, world_now_ns(cli->world));
    if (read.follow) read.progress.shown = false;
    code = read_topic(&read);
    progress_end(&read.progress);
    if (code == CLI_OK && terminal_interrupted()) code = CLI_INTERRUPTED;
  }
  format_free(read.format);
  wake_close(read.wake_fd);
  return code;
}

static const struct option read_options_table[] = {
    {"partition", 'p', "N", "only this partition (default: all, one after the other)"},
    {"from", 0, "POSITION", "begin at start (default), end, 42, -10, @TIME; see `cairn help positions`"},
    {"to", 0, "POSITION", "end before a position (default: end; with --follow: never)"},
    {"count", 'c', "N", "end after N records"},
    {"follow", 0, NULL, "go on with what is appended, until interrupted; all partitions at once, also those it gets meanwhile"},
    {"format", 'f', "FORMAT", "how a record is printed, in kcat's language; see `cairn help format`"},
    {"raw", 0, NULL, "values byte for byte, each with a newline (the default)"},
    {NULL, 0, NULL, NULL},
};

static const char *const read_examples[] = {
    "Everything",
    "cairn read orders",
    "The last 10 records of each partition, then what comes",
    "cairn read orders --from -10 --follow",
    "The last hour, with keys",
    "cairn read orders --from @-1h -f '%p:%o %k=%v\\n'",
    "As JSON",
    "cairn read orders -o json | jq .value",
    NULL,
};

const struct command read_command = {
    .noun = "read",
    .alias = "consume",
    .operands = "TOPIC",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Read records, and follow what is appended",
    .options = read_options_table,
    .details =
        "With -o json there is one object per line: topic, partition, offset, timestamp_ms, key, value, headers. Bytes that\n"
        "are not UTF-8, or have a NUL among them, are {\"base64\": \"...\"}; an absent key or value is null. Every checksum is\n"
        "verified.\n",
    .examples = read_examples,
    .run = read_run,
};
