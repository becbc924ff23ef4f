/* `cairn segment dump` and `cairn verify`: the commands that open our files. They live here and not in clients/, which may not know
 * log/; the program //clients/cli:cairn links both. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/os/world_os.h"
#include "base/trace.h"
#include "clients/cli/format.h"
#include "clients/cli/offline.h"
#include "clients/cli/output.h"
#include "clients/cli/quantity.h"
#include "clients/cli/report.h"
#include "log/batch.h"
#include "log/inspect.h"
#include "log/small_file.h"
#include "replication/peer_memory.h"

#define QUOTED_SIZE 80u
#define INFLATED_BYTES_MAX (64u << 20)

/* ---- segment dump ---- */

struct dump {
  struct cli *cli;
  bool headers_only;
  uint64_t entries;
  uint64_t damaged;
};

static const char *kind_name(enum entry_kind kind) {
  switch (kind) {
    case ENTRY_RECORDS: return "records";
    case ENTRY_NOOP: return "noop";
    case ENTRY_CONFIG: return "config";
    case ENTRY_TRIM: return "trim";
    case ENTRY_COMMAND: return "command";
    case ENTRY_PRODUCER: return "producer";
  }
  return "unknown";
}

static const char *codec_name(enum entry_codec codec) {
  switch (codec) {
    case ENTRY_CODEC_NONE: return "none";
    case ENTRY_CODEC_ZSTD: return "zstd";
    case ENTRY_CODEC_LZ4: return "lz4";
  }
  return "unknown";
}

static const char *quoted(char into[QUOTED_SIZE], bool present, struct bytes bytes) {
  if (!present) return "-";
  return trace_quote(into, QUOTED_SIZE, (const char *)bytes.data, bytes.size);
}

static void print_record(const struct dump *dump, const struct entry_head *head, record_offset offset,
                         const struct batch_record *record) {
  struct output *output = dump->cli->output;
  int64_t time_ms = record->time_ms != 0 ? record->time_ms : head->base_time_ms != 0 ? head->base_time_ms : head->leader_time_ms;
  if (dump->cli->json) {
    output_printf(output, "{\"offset\":%" PRId64 ",\"timestamp_ms\":%" PRId64 ",\"key\":", offset, time_ms);
    format_write_json_bytes((struct cairn_bytes){record->has_key ? record->key.data : NULL, record->key.size}, output);
    output_printf(output, ",\"value\":");
    format_write_json_bytes((struct cairn_bytes){record->has_value ? record->value.data : NULL, record->value.size}, output);
    output_printf(output, "}\n");
    return;
  }
  char key[QUOTED_SIZE];
  char value[QUOTED_SIZE];
  char time[40];
  output_printf(output, "  offset=%" PRId64 " time=%s key=%s value=%s value_bytes=%zu\n", offset,
                quantity_format_time(time, sizeof time, time_ms), quoted(key, record->has_key, record->key),
                quoted(value, record->has_value, record->value), record->value.size);
}

static void print_records(const struct dump *dump, const struct entry *entry) {
  struct buffer plain;
  buffer_init(&plain, INFLATED_BYTES_MAX);
  struct bytes payload = entry->payload.bytes;
  enum status status = STATUS_OK;
  if (entry->head.codec != ENTRY_CODEC_NONE) {
    status = batch_inflate(entry->head.codec, payload, entry->head.uncompressed_size, &plain);
    payload = buffer_bytes(&plain);
  }
  struct batch_cursor cursor = batch_cursor_of(payload);
  struct batch_record record;
  record_offset offset = entry->head.base_offset;
  while (status == STATUS_OK && batch_next(&cursor, &record) == STATUS_OK) print_record(dump, &entry->head, offset++, &record);
  buffer_deinit(&plain);
}

static void print_entry_json(const struct dump *dump, const struct inspect_entry *inspected) {
  const struct entry_head *head = &inspected->entry.head;
  output_printf(dump->cli->output,
                "{\"position\":%" PRIu64 ",\"size\":%" PRIu64 ",\"kind\":\"%s\",\"index\":%" PRIu64 ",\"term\":%" PRIu64
                ",\"base_offset\":%" PRId64 ",\"record_count\":%" PRIu32 ",\"codec\":\"%s\",\"payload_size\":%" PRIu32
                ",\"leader_time_ms\":%" PRId64 ",\"chain\":\"%016" PRIx64 "\"}\n",
                inspected->position, inspected->size, kind_name(head->kind), head->index, head->term, head->base_offset,
                head->record_count, codec_name(head->codec), head->payload_size, head->leader_time_ms, head->chain);
}

static void print_entry(const struct dump *dump, const struct inspect_entry *inspected) {
  const struct entry_head *head = &inspected->entry.head;
  char time[40];
  output_printf(dump->cli->output, "position=%" PRIu64 " index=%" PRIu64 " term=%" PRIu64 " kind=%s", inspected->position,
                head->index, head->term, kind_name(head->kind));
  if (head->record_count > 0) {
    output_printf(dump->cli->output, " offsets=%" PRId64 "-%" PRId64 " codec=%s", head->base_offset, entry_end_offset(head) - 1,
                  codec_name(head->codec));
  }
  output_printf(dump->cli->output, " payload_bytes=%" PRIu32 " time=%s chain=%016" PRIx64 "\n", head->payload_size,
                quantity_format_time(time, sizeof time, head->leader_time_ms), head->chain);
}

static bool dump_visit(void *context, const struct inspect_entry *inspected) {
  struct dump *dump = context;
  if (inspected->damaged) {
    dump->damaged++;
    output_printf(dump->cli->output,
                  dump->cli->json ? "{\"position\":%" PRIu64 ",\"size\":%" PRIu64 ",\"damaged\":\"%s\"}\n"
                                  : "position=%" PRIu64 " size=%" PRIu64 " damaged=%s\n",
                  inspected->position, inspected->size, inspected->what);
    return !output_broken(dump->cli->output);
  }
  dump->entries++;
  if (dump->cli->json) print_entry_json(dump, inspected);
  else print_entry(dump, inspected);
  if (!dump->headers_only && inspected->entry.head.kind == ENTRY_RECORDS) print_records(dump, &inspected->entry);
  return !output_broken(dump->cli->output);
}

/* The disk door knows one directory: that of the file. */
static enum status open_directory_of(const char *path, struct disk **out_disk, const char **out_name) {
  char directory[4096] = ".";
  const char *slash = strrchr(path, '/');
  if (slash != NULL && (size_t)(slash - path) >= sizeof directory) return STATUS_NOT_FOUND;
  if (slash != NULL) snprintf(directory, sizeof directory, "%.*s", slash == path ? 1 : (int)(slash - path), path);
  *out_name = slash == NULL ? path : slash + 1;
  return disk_os_open(directory, false, out_disk);
}

struct refusal {
  const char *why; /* NULL: what the status says */
  const char *try_this;
};

static int report_status(const struct cli *cli, enum status status, const char *what, struct refusal refusal) {
  int code = status == STATUS_NOT_FOUND ? CLI_NOT_FOUND : status == STATUS_DENIED ? CLI_DENIED : CLI_FAILED;
  if (status == STATUS_LOCKED || status == STATUS_FOREIGN) code = CLI_PRECONDITION;
  return report_failure(cli, code, status_name(status), what, refusal.why != NULL ? refusal.why : status_text(status),
                        refusal.try_this);
}

static struct refusal dump_refusal(enum status status) {
  if (status == STATUS_WRONG_KIND)
    return (struct refusal){"it is a directory, or leads through a file", "a file below DATA_DIR/p"};
  return (struct refusal){.try_this = "a file below DATA_DIR/p"};
}

int offline_segment_dump(struct cli *cli) {
  struct dump dump = {.cli = cli, .headers_only = cli_flag(cli, "headers-only")};
  struct disk *disk = NULL;
  const char *name = NULL;
  struct segment_header header = {0};
  enum status status = open_directory_of(cli->operands[0], &disk, &name);
  if (status == STATUS_OK) {
    status = inspect_segment(disk, name, NULL, &header, dump_visit, &dump);
    disk_os_close(disk);
  }
  output_flush(cli->output);
  char what[512];
  snprintf(what, sizeof what, "cannot read segment %s", cli->operands[0]);
  if (status != STATUS_OK) return report_status(cli, status, what, dump_refusal(status));
  if (!cli->json) {
    output_printf(cli->output,
                  "segment group=%" PRIu64 " instance=%" PRIu64 " first_index=%" PRIu64 " entries=%" PRIu64 " damaged=%" PRIu64
                  "\n",
                  header.group, header.instance, header.first_index, dump.entries, dump.damaged);
  }
  return dump.damaged > 0 ? CLI_CHECK_FAILED : CLI_OK;
}

/* ---- verify ---- */

static const char *severity_name(enum inspect_severity severity) {
  switch (severity) {
    case INSPECT_DROPPED: return "dropped";
    case INSPECT_DAMAGED: return "damaged";
    case INSPECT_LOST: return "lost";
  }
  return "unknown";
}

static void print_finding_json(struct output *output, const struct inspect_finding *finding) {
  output_printf(output, "{\"severity\":\"%s\",\"file\":", severity_name(finding->severity));
  format_write_json_bytes((struct cairn_bytes){finding->file, strlen(finding->file)}, output);
  if (finding->has_position) output_printf(output, ",\"position\":%" PRIu64, finding->position);
  if (finding->instance != 0) {
    output_printf(output, ",\"group_id\":%" PRIu64 ",\"instance\":%" PRIu64, finding->group, finding->instance);
  }
  if (finding->first_index != 0) {
    output_printf(output, ",\"first_index\":%" PRIu64 ",\"last_index\":%" PRIu64, finding->first_index, finding->last_index);
  }
  if (finding->first < finding->end) {
    output_printf(output, ",\"first_offset\":%" PRId64 ",\"end_offset\":%" PRId64, finding->first, finding->end);
  }
  output_printf(output, ",\"fatal\":%s,\"what\":\"%s\",\"advice\":\"%s\"}\n",
                finding->severity == INSPECT_LOST ? "true" : "false", finding->what, finding->advice);
}

static void print_finding(struct output *output, const struct inspect_finding *finding) {
  output_printf(output, "%s: %s", severity_name(finding->severity), finding->file);
  if (finding->has_position) output_printf(output, ", position %" PRIu64, finding->position);
  if (finding->instance != 0) output_printf(output, ", group %" PRIu64, finding->group);
  if (finding->first + 1 == finding->end) {
    output_printf(output, ", offset %" PRId64, finding->first);
  } else if (finding->first < finding->end) {
    output_printf(output, ", offsets %" PRId64 " to %" PRId64, finding->first, finding->end - 1);
  } else if (finding->first_index != 0 && finding->first_index == finding->last_index) {
    output_printf(output, ", entry %" PRIu64, finding->first_index);
  } else if (finding->first_index != 0) {
    output_printf(output, ", entries %" PRIu64 " to %" PRIu64, finding->first_index, finding->last_index);
  }
  output_printf(output, ": %s\n  %s\n", finding->what, finding->advice);
}

static void verify_tell(void *context, const struct inspect_finding *finding) {
  const struct cli *cli = context;
  if (cli->json) print_finding_json(cli->output, finding);
  else print_finding(cli->output, finding);
}

static void print_count(struct output *output, uint64_t count, const char *one, const char *many) {
  output_printf(output, "%" PRIu64 " %s", count, count == 1 ? one : many);
}

static void print_report_json(struct output *output, const struct inspect_report *report) {
  output_printf(output,
                "{\"segments\":%" PRIu64 ",\"segment_bytes\":%" PRIu64 ",\"entries\":%" PRIu64 ",\"records\":%" PRIu64
                ",\"logs\":%" PRIu64 ",\"spares\":%" PRIu64 ",\"journal_frames\":%" PRIu64 ",\"journal_entries\":%" PRIu64
                ",\"journal_records\":%" PRIu64 ",\"findings\":%" PRIu64 ",\"fatal\":%" PRIu64 "}\n",
                report->segments, report->segment_bytes, report->entries, report->records, report->logs, report->spares,
                report->journal_frames, report->journal_entries, report->journal_records, report->findings, report->fatal);
}

static void print_report(struct output *output, const struct inspect_report *report) {
  char size[32];
  output_printf(output, "verified ");
  print_count(output, report->logs, "partition: ", "partitions: ");
  print_count(output, report->segments, "segment, ", "segments, ");
  output_printf(output, "%s, ", quantity_format_bytes(size, sizeof size, (double)report->segment_bytes));
  print_count(output, report->entries, "entry, ", "entries, ");
  print_count(output, report->records, "record", "records");
  output_printf(output, "; only in the journal ");
  print_count(output, report->journal_entries, "entry, ", "entries, ");
  print_count(output, report->journal_records, "record", "records");
  output_printf(output, " (of ");
  print_count(output, report->journal_frames, "frame): ", "frames): ");
  print_count(output, report->findings, "finding", "findings");
  output_printf(output, ", %" PRIu64 " with loss\n", report->fatal);
  if (report->spares > 0) output_printf(output, "%" PRIu64 " of them are being replaced by a snapshot\n", report->spares);
}

/* A broker holds it alone while it runs. Where there is no such file none ever ran. */
static enum status lock_directory(struct world *world, struct disk_lock **out_lock) {
  enum status status = disk_os_lock_shared(world->disk, "lock", out_lock);
  return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

static struct refusal verify_refusal(enum status status) {
  switch (status) {
    case STATUS_LOCKED:
      return (struct refusal){"a broker runs on it, and what it is about to write would look like damage",
                              "stop the broker, or verify a copy, as a snapshot of its disk"};
    case STATUS_WRONG_KIND:
      return (struct refusal){"it is a file, or leads through one", "the directory that the broker's --data-dir names"};
    case STATUS_DENIED: return (struct refusal){.try_this = "as a user who may read all of it; the right to write is not needed"};
    case STATUS_FOREIGN:
      return (struct refusal){.try_this =
                                  "the directory that the broker's --data-dir names, with the version of Cairn that wrote it"};
    default: return (struct refusal){.try_this = "the data directory of a broker that is stopped"};
  }
}

/* What a recovery would log is told by findings. */
static void ignore_line(void *context, const char *line) { (void)context, (void)line; }

/* What the broker remembers of others, which log/ knows nothing of. */
static void verify_seen(struct cli *cli, struct world *world, struct inspect_report *report) {
  uint8_t into[SMALL_FILE_BYTES_MAX];
  struct peer_memory rows[PEER_MEMORIES_MAX];
  struct bytes bytes;
  size_t count = 0;
  struct inspect_finding finding = {.severity = INSPECT_DAMAGED,
                                    .file = PEER_MEMORIES_PATH,
                                    .what = "damaged",
                                    .advice = "the broker begins a new one: until it has heard of the others again it would let "
                                              "in an older copy of their directories"};
  enum status status = small_file_read(world->disk, PEER_MEMORIES_PATH, into, &bytes);
  if (status == STATUS_OK) status = peer_memories_decode(bytes, rows, &count);
  if (status == STATUS_OK || status == STATUS_NOT_FOUND) return; /* a broker alone has none */
  if (status == STATUS_FOREIGN) {
    finding.severity = INSPECT_LOST;
    finding.what = "written by a newer Cairn";
    finding.advice = "verify the directory with the version that wrote it";
    report->fatal++;
  }
  if (status == STATUS_IO) finding.what = "the disk would not read it";
  report->findings++;
  verify_tell(cli, &finding);
}

int offline_verify(struct cli *cli) {
  const char *directory = cli->operands[0];
  struct inspect_report report = {0};
  struct world *world = NULL;
  struct disk_lock *lock = NULL;
  trace_set_sink(ignore_line, NULL);
  enum status status = world_os_open(directory, false, &world);
  if (status == STATUS_OK) status = lock_directory(world, &lock);
  if (status == STATUS_OK) status = inspect_directory(world, verify_tell, cli, &report);
  if (status == STATUS_OK) verify_seen(cli, world, &report);
  if (lock != NULL) disk_unlock(world->disk, lock);
  world_os_close(world);
  output_flush(cli->output);
  char what[512];
  snprintf(what, sizeof what, "cannot verify %s", directory);
  if (status != STATUS_OK) return report_status(cli, status, what, verify_refusal(status));
  if (cli->json) print_report_json(cli->output, &report);
  else print_report(cli->output, &report);
  return report.findings > 0 ? CLI_CHECK_FAILED : CLI_OK;
}
