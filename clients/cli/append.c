#include <stdio.h>
#include <string.h>

#include "base/world.h"
#include "clients/cli/commands.h"
#include "clients/cli/input.h"
#include "clients/cli/output.h"
#include "clients/cli/report.h"
#include "clients/cli/terminal.h"

#define BATCH_BYTES_MAX (3 * 1024 * 1024)
#define MEMORY_BYTES_MAX (64u * 1024 * 1024)
/* Progress is looked at once in so many lines. */
#define LINES_PER_LOOK 4096u
#define TEXT_SIZE 512u
#define COUNTS_SIZE 128u

struct append {
  struct cli *cli;
  const char *topic;
  int32_t partition;
  struct cairn_bytes key;
  struct bytes separator; /* empty: none */
  bool print_offsets;
  struct cairn_producer *producer;
  struct input *input;
  int wake_fd;
  struct progress progress;

  uint64_t added;
  uint64_t acknowledged;
  uint64_t refused; /* surely not appended */
  uint64_t unknown;
  struct cairn_error error; /* the first */
  bool failed;
  bool stopped; /* nothing more can be added */
  int64_t record_bytes_max;
};

/* ---- Deliveries: on our own thread ---- */

static void append_delivered(void *context, const struct cairn_delivery *delivery) {
  struct append *append = context;
  if (delivery->error != NULL) {
    if (delivery->error->executed == CAIRN_EXECUTED_NO) append->refused += delivery->record_count;
    else append->unknown += delivery->record_count;
    if (!append->failed) append->error = *delivery->error;
    append->failed = true;
    return;
  }
  append->acknowledged += delivery->record_count;
  if (!append->print_offsets) return;
  for (size_t i = 0; i < delivery->record_count; i++) {
    output_printf(append->cli->output, "%u:%lld\n", delivery->partition, (long long)delivery->base_offset + (long long)i);
  }
  output_flush(append->cli->output);
}

static void append_notify(void *context) { wake_ring(((struct append *)context)->wake_fd); }

/* ---- Lines into records ---- */

static int append_line(struct append *append, struct bytes line) {
  struct cairn_message message = {
      .topic = append->topic, .partition = append->partition, .key = append->key, .value = {line.data, line.size}};
  if (append->separator.size > 0) {
    const uint8_t *at = memmem(line.data, line.size, append->separator.data, append->separator.size);
    if (at != NULL) {
      size_t key_size = (size_t)(at - line.data);
      message.key = (struct cairn_bytes){line.data, key_size};
      message.value = (struct cairn_bytes){at + append->separator.size, line.size - key_size - append->separator.size};
    }
  }
  struct cairn_error error;
  int code = cairn_producer_add(append->producer, &message, &error);
  if (code == CAIRN_OK) {
    append->added++;
    return CLI_OK;
  }
  /* A partition that was stopped has a failure to deliver, which says why; it comes with the flush. */
  append->stopped = true;
  if (!append->failed) append->error = error;
  append->failed |= strcmp(error.reason, "SESSION_BROKEN") != 0;
  return CLI_FAILED;
}

static void append_look(struct append *append) {
  cairn_producer_poll(append->producer, 0);
  progress_show(&append->progress, world_now_ns(append->cli->world), "appended", append->acknowledged,
                input_bytes_read(append->input), input_bytes_total(append->input));
}

static bool append_goes_on(const struct append *append) {
  return !append->failed && !append->stopped && !terminal_interrupted() && !output_broken(append->cli->output);
}

static int append_lines(struct append *append) {
  struct bytes line;
  for (unsigned count = 0; append_goes_on(append) && input_next_line(append->input, &line) == STATUS_OK; count++) {
    if (append_line(append, line) != CLI_OK) break;
    if (count % LINES_PER_LOOK == LINES_PER_LOOK - 1) append_look(append);
  }
  return CLI_OK;
}

/* STATUS_OK: to its end, or as far as anything may be added. Else it cannot be read on behind the lines that were added. */
static enum status append_input(struct append *append) {
  while (append_goes_on(append)) {
    append_lines(append);
    append_look(append);
    if (!append_goes_on(append)) break;
    enum status status = input_fill(append->input, append->wake_fd);
    if (status == STATUS_END) return STATUS_OK;
    if (status == STATUS_BUSY) wake_clear(append->wake_fd);
    if (status != STATUS_OK && status != STATUS_BUSY) return status;
  }
  return STATUS_OK;
}

/* ---- The end ---- */

static void print_counts(const struct append *append) {
  if (!append->cli->json) return;
  output_printf(append->cli->output, "{\"acknowledged\": %llu, \"refused\": %llu, \"unknown\": %llu}\n",
                (unsigned long long)append->acknowledged, (unsigned long long)append->refused,
                (unsigned long long)append->unknown);
}

/* For the end of a sentence. */
static const char *counts_text(const struct append *append, char into[COUNTS_SIZE]) {
  snprintf(into, COUNTS_SIZE, "%llu records acknowledged, %llu not appended, %llu unknown",
           (unsigned long long)append->acknowledged, (unsigned long long)append->refused, (unsigned long long)append->unknown);
  return into;
}

static int append_failed(struct append *append) {
  char counts[COUNTS_SIZE];
  struct report_subject subject = {
      .topic = append->topic, .unknown = append->unknown, .record_bytes_max = append->record_bytes_max};
  if (append->partition >= 0) {
    subject.has_partition = true;
    subject.partition = (uint32_t)append->partition;
  }
  int code = report_error(append->cli, &append->error, subject, "cannot append to topic \"%s\": %s", append->topic,
                          counts_text(append, counts));
  return append->acknowledged > 0 ? CLI_PARTIAL : code;
}

/* Everything before the line that could not be had was added. */
static int input_failed(const struct append *append, enum status status) {
  char what[TEXT_SIZE];
  char why[TEXT_SIZE];
  char try_this[TEXT_SIZE];
  char counts[COUNTS_SIZE];
  unsigned long long line = append->added + 1;
  snprintf(what, sizeof what, "cannot append all of the input to topic \"%s\": %s", append->topic, counts_text(append, counts));
  if (status == STATUS_TOO_LARGE) {
    snprintf(why, sizeof why, "line %llu is longer than %u MiB, which no record may be", line,
             INPUT_LINE_BYTES_MAX / 1024 / 1024);
    snprintf(try_this, sizeof try_this, "split line %llu or leave it out, and append the input from there on", line);
  } else {
    snprintf(why, sizeof why, "line %llu cannot be read: %s", line, status_text(status));
    snprintf(try_this, sizeof try_this, "see what is wrong with the input, and append it from line %llu on", line);
  }
  return report_failure(append->cli, append->acknowledged > 0 ? CLI_PARTIAL : CLI_FAILED, status_name(status), what, why,
                        try_this);
}

static int append_finish(struct append *append, enum status input_status) {
  cairn_producer_flush(append->producer, CAIRN_FOREVER, NULL);
  progress_end(&append->progress);
  print_counts(append);
  if (append->failed || append->stopped) return append_failed(append);
  if (input_status != STATUS_OK) return input_failed(append, input_status);
  if (!terminal_interrupted()) return CLI_OK;
  char why[128];
  snprintf(why, sizeof why, "%llu records were read and acknowledged; the rest of the input was not read",
           (unsigned long long)append->acknowledged);
  return report_failure(append->cli, CLI_INTERRUPTED, "INTERRUPTED", "appending was interrupted", why,
                        "append the rest of the input");
}

/* ---- Options ---- */

static int read_options(struct append *append, struct cairn_producer_options *options) {
  const struct cli *cli = append->cli;
  int64_t partition = CAIRN_ANY_PARTITION;
  int64_t batch_bytes = 0;
  int64_t linger_ms = 0;
  int code = cli_option_number(cli, "partition", 0, INT32_MAX, &partition);
  if (code == CLI_OK) code = cli_option_bytes(cli, "batch-bytes", 1, BATCH_BYTES_MAX, &batch_bytes);
  if (code == CLI_OK) code = cli_option_duration_ms(cli, "linger", 0, 60000, &linger_ms);
  if (code != CLI_OK) return code;
  const char *codec = cli_option(cli, "codec");
  if (codec != NULL && strcmp(codec, "zstd") == 0) options->codec = CAIRN_CODEC_ZSTD;
  else if (codec != NULL && strcmp(codec, "lz4") == 0) options->codec = CAIRN_CODEC_LZ4;
  else if (codec != NULL && strcmp(codec, "none") != 0)
    return report_usage(cli, "--codec is \"%s\"; it can be none, zstd or lz4", codec);
  options->name = cli_option(cli, "producer");
  const char *key = cli_option(cli, "key");
  const char *separator = cli_option(cli, "key-separator");
  if (key != NULL && separator != NULL) return report_usage(cli, "--key and --key-separator exclude each other");
  if (separator != NULL && separator[0] == '\0') return report_usage(cli, "--key-separator is empty");
  if (key != NULL) append->key = (struct cairn_bytes){key, strlen(key)};
  if (separator != NULL) append->separator = bytes_of_string(separator);
  append->partition = (int32_t)partition;
  append->print_offsets = cli_flag(cli, "print-offsets");
  options->batch_bytes = (uint32_t)batch_bytes;
  options->linger_ms = (uint32_t)linger_ms;
  options->request_timeout_ms = cli->timeout_ms;
  options->delivery_timeout_ms = cli->timeout_ms;
  return CLI_OK;
}

static int open_input(struct append *append) {
  const char *path = cli_option(append->cli, "file");
  enum status status = input_open(path, &append->input);
  if (status == STATUS_OK) return CLI_OK;
  bool standard = path == NULL || strcmp(path, "-") == 0;
  char what[TEXT_SIZE] = "cannot read standard input";
  if (!standard) snprintf(what, sizeof what, "cannot open \"%s\"", path);
  const char *why = status_text(status);
  if (status == STATUS_NOT_FOUND) why = "there is no such file";
  else if (status == STATUS_INVALID) why = "it is a directory";
  else if (status == STATUS_DENIED) why = standard ? "it is closed, or open for writing only" : "you may not read it";
  int code = status == STATUS_NOT_FOUND ? CLI_NOT_FOUND : status == STATUS_INVALID ? CLI_USAGE : CLI_FAILED;
  return report_failure(append->cli, code, status_name(status), what, why,
                        standard ? "name a file with --file" : "another --file, or none and the records on standard input");
}

/* So that a wrong name is told at once, even when there is no input yet. */
static int check_topic(struct append *append) {
  struct cairn_topic topic;
  if (cairn_topic_describe(append->cli->client, append->topic, &topic, NULL, NULL, &append->error) != CAIRN_OK) {
    return append_failed(append);
  }
  append->record_bytes_max = topic.config.record_bytes_max;
  if (append->partition < (int32_t)topic.partitions) return CLI_OK;
  char what[TEXT_SIZE];
  char why[TEXT_SIZE];
  char counts[COUNTS_SIZE];
  snprintf(what, sizeof what, "cannot append to partition %d of topic \"%s\": %s", append->partition, append->topic,
           counts_text(append, counts));
  snprintf(why, sizeof why, "the topic has the partitions 0 to %u", topic.partitions - 1);
  return report_failure(append->cli, CLI_NOT_FOUND, "UNKNOWN_PARTITION", what, why, "another --partition, or none");
}

static int append_run(struct cli *cli) {
  struct append append = {.cli = cli, .topic = cli->operands[0], .wake_fd = -1};
  struct cairn_producer_options options = {
      .memory_bytes_max = MEMORY_BYTES_MAX,
      .stop_on_error = true,
      .delivered = append_delivered,
      .notify = append_notify,
      .context = &append,
  };
  int code = read_options(&append, &options);
  if (code == CLI_OK) code = open_input(&append);
  if (code == CLI_OK) code = cli_connect(cli);
  if (code == CLI_OK) code = check_topic(&append);
  struct cairn_error error;
  if (code == CLI_OK) {
    append.wake_fd = wake_open();
    if (cairn_producer_new(cli->client, &options, &append.producer, &error) != CAIRN_OK) {
      code = report_error(cli, &error, (struct report_subject){0}, "cannot append");
    }
  }
  if (code == CLI_OK) {
    progress_begin(&append.progress, world_now_ns(cli->world));
    enum status input_status = append_input(&append);
    code = append_finish(&append, input_status);
  }
  cairn_producer_free(append.producer);
  wake_close(append.wake_fd);
  input_close(append.input);
  return code;
}

static const struct option append_options[] = {
    {"file", 'F', "FILE", "read records from FILE, not from standard input"},
    {"partition", 'p', "N", "append to this partition (default: by key; without a key, any)"},
    {"key", 'k', "KEY", "the key of every record"},
    {"key-separator", 'K', "TEXT", "a line is KEY TEXT VALUE; a line without TEXT has no key"},
    {"producer", 0, "NAME", "append under this name: each record once, also when a connection breaks"},
    {"batch-bytes", 'b', "SIZE", "how much is sent at once (default 256KiB, at most 3MiB)"},
    {"linger", 0, "TIME", "how long a record may wait for others (default 0)"},
    {"codec", 'z', "NAME", "compress batches: none, zstd, lz4"},
    {"print-offsets", 0, NULL, "print PARTITION:OFFSET for each record, as soon as it is acknowledged"},
    {NULL, 0, NULL, NULL},
};

static const char *const append_examples[] = {
    "One record",
    "echo hello | cairn append orders",
    "A file, one record per line",
    "cairn append orders --file orders.txt",
    "Lines like user-17:clicked, by key",
    "cairn append clicks --key-separator : < clicks.txt",
    "Each record once, whatever breaks",
    "cairn append orders --producer loader < orders.txt",
    "And where each record went",
    "cairn append orders --print-offsets < orders.txt",
    NULL,
};

const struct command append_command = {
    .noun = "append",
    .alias = "produce",
    .operands = "TOPIC",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Append records, one per line of the input",
    .changes = CHANGES_RECORDS,
    .options = append_options,
    .details =
        "An empty line is a record with an empty value; a last line without a newline counts. Keyed records go to the\n"
        "partition that Kafka's default partitioner would choose. A record is acknowledged when a majority of the\n"
        "replicas has it on stable storage. After the first failure nothing behind it is appended to its partition.\n"
        "With --producer what was sent when a connection broke is sent again and recognised; a later run under the same name\n"
        "goes on behind this one and does not compare its input with what is there.\n",
    .examples = append_examples,
    .run = append_run,
};
