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

static int report_status(const struct cli *cli, enum status status, const char *what, const char *try_this) {
  int code = status == STATUS_NOT_FOUND ? CLI_NOT_FOUND : status == STATUS_DENIED ? CLI_DENIED : CLI_FAILED;
  if (status == STATUS_LOCKED || status == STATUS_FOREIGN) code = CLI_PRECONDITION;
  return report_failure(cli, code, status_name(status), what, status_text(status), try_this);
}

int offline_segment_dump(struct cli *cli) {
  struct dump dump = {.cli = cli, .headers_only = cli_flag(cli, "headers-only")};
  struct disk *disk = NULL;
  const char *name = NULL;
  struct segment_header header = {0};
  enum status status = open_directory_of(cli->operands[0], &disk, &name);
  if (status == STATUS_OK) {
    status = inspect_segment(disk, name, &header, dump_visit, &dump);
    disk_os_close(disk);
  }
  output_flush(cli->output);
  char what[512];
  snprintf(what, sizeof what, "cannot read segment %s", cli->operands[0]);
  if (status != STATUS_OK) return report_status(cli, status, what, "a file below DATA_DIR/p");
  if (!cli->json) {
    output_printf(cli->output,
                  "segment group=%" PRIu64 " instance=%" PRIu64 " first_index=%" PRIu64 " entries=%" PRIu64 " damaged=%" PRIu64
                  "\n",
                  header.group, header.instance, header.first_index, dump.entries, dump.damaged);
  }
  return dump.damaged > 0 ? CLI_CHECK_FAILED : CLI_OK;
}

/* ---- verify ---- */

static void print_finding_json(struct output *output, const struct inspect_finding *finding) {
  output_printf(output, "{\"file\":");
  format_write_json_bytes((struct cairn_bytes){finding->file, strlen(finding->file)}, output);
  output_printf(output,
                ",\"position\":%" PRIu64 ",\"group_id\":%" PRIu64 ",\"instance\":%" PRIu64 ",\"first_offset\":%" PRId64
                ",\"end_offset\":%" PRId64 ",\"fatal\":%s,\"what\":\"%s\",\"advice\":\"%s\"}\n",
                finding->position, finding->group, finding->instance, finding->first, finding->end,
                finding->fatal ? "true" : "false", finding->what, finding->advice);
}

static void print_finding(struct output *output, const struct inspect_finding *finding) {
  output_printf(output, "%s: %s, position %" PRIu64, finding->fatal ? "lost" : "damaged", finding->file, finding->position);
  if (finding->group != 0) output_printf(output, ", group %" PRIu64, finding->group);
  if (finding->first < finding->end) {
    output_printf(output, ", offsets %" PRId64 " to %" PRId64, finding->first, finding->end - 1);
  }
  output_printf(output, ": %s\n  %s\n", finding->what, finding->advice);
}

static void verify_tell(void *context, const struct inspect_finding *finding) {
  const struct cli *cli = context;
  if (cli->json) print_finding_json(cli->output, finding);
  else print_finding(cli->output, finding);
}

static void print_report(const struct cli *cli, const struct inspect_report *report) {
  if (cli->json) {
    output_printf(cli->output,
                  "{\"segments\":%" PRIu64 ",\"segment_bytes\":%" PRIu64 ",\"entries\":%" PRIu64 ",\"records\":%" PRIu64
                  ",\"logs\":%" PRIu64 ",\"spares\":%" PRIu64 ",\"journal_frames\":%" PRIu64 ",\"findings\":%" PRIu64
                  ",\"fatal\":%" PRIu64 "}\n",
                  report->segments, report->segment_bytes, report->entries, report->records, report->logs, report->spares,
                  report->journal_frames, report->findings, report->fatal);
    return;
  }
  char size[32];
  output_printf(cli->output,
                "verified %" PRIu64 " partitions: %" PRIu64 " segments, %s, %" PRIu64 " entries, %" PRIu64 " records, %" PRIu64
                " journal frames: %" PRIu64 " findings, %" PRIu64 " with loss\n",
                report->logs, report->segments, quantity_format_bytes(size, sizeof size, (double)report->segment_bytes),
                report->entries, report->records, report->journal_frames, report->findings, report->fatal);
  if (report->spares > 0) output_printf(cli->output, "%" PRIu64 " of them are being replaced by a snapshot\n", report->spares);
}

int offline_verify(struct cli *cli) {
  const char *directory = cli->operands[0];
  struct inspect_report report = {0};
  struct world *world = NULL;
  enum status status = world_os_open(directory, false, &world);
  if (status == STATUS_OK) {
    status = inspect_directory(world, verify_tell, cli, &report);
    world_os_close(world);
  }
  output_flush(cli->output);
  char what[512];
  snprintf(what, sizeof what, "cannot verify %s", directory);
  if (status != STATUS_OK) return report_status(cli, status, what, "the data directory of a broker that is stopped");
  print_report(cli, &report);
  return report.findings > 0 ? CLI_CHECK_FAILED : CLI_OK;
}
