/* Verifying a data directory as a whole. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "log/dump.h"
#include "log/identity.h"
#include "log/inspect.h"
#include "log/journal.h"
#include "log/tables.h"

#define DUMPS_MAX 64u

struct check {
  struct world *world;
  void (*tell)(void *context, const struct inspect_finding *finding);
  void *context;
  struct inspect_report *report;
  struct store *store;
  uint8_t owner[SEGMENT_OWNER_SIZE];
  bool owner_known;
  bool stop;              /* a row was bad */
  group_id counted_group; /* of the newest row that counted as a log ... */
  bool counted;           /* ... if any did */
};

static void tell(struct check *check, const struct inspect_finding *finding) {
  check->report->findings++;
  if (finding->fatal) check->report->fatal++;
  check->tell(check->context, finding);
}

static void tell_file(struct check *check, const char *file, const char *what, const char *advice, bool fatal) {
  tell(check, &(struct inspect_finding){.file = file, .what = what, .advice = advice, .fatal = fatal});
}

/* ---- Identity, dumps ---- */

static void check_identity(struct check *check) {
  static const char *const paths[] = {"identity", "identity.copy"};
  struct log_identity found[2];
  bool good[2];
  for (size_t i = 0; i < 2; i++) {
    enum status status = identity_read_file(check->world->disk, paths[i], &found[i]);
    good[i] = status == STATUS_OK;
    if (good[i]) memcpy(check->owner, found[i].incarnation, SEGMENT_OWNER_SIZE);
    check->owner_known = check->owner_known || good[i];
    if (good[i]) continue;
    if (status == STATUS_FOREIGN)
      tell_file(check, paths[i], "written by a newer Cairn", "verify the directory with the version that wrote it", true);
    else
      tell_file(check, paths[i], status == STATUS_NOT_FOUND ? "missing" : "damaged",
                "the broker writes it again from the other copy when it starts", false);
  }
  if (good[0] && good[1] && memcmp(&found[0], &found[1], sizeof found[0]) != 0)
    tell_file(check, paths[1], "another identity than that of the file identity",
              "one of the two came from elsewhere: restore the right one, the broker does not start on two", true);
}

static void ignore_row(void *context, unsigned table, struct bytes key, struct bytes value) {
  (void)context, (void)table, (void)key, (void)value;
}

static void check_dumps(struct check *check) {
  uint64_t generations[DUMPS_MAX];
  size_t count = dump_list(check->world->disk, generations, DUMPS_MAX);
  for (size_t i = 0; i < count; i++) {
    if (dump_read(check->world->disk, generations[i], ignore_row, NULL) == STATUS_OK) continue;
    char path[DISK_PATH_MAX];
    snprintf(path, sizeof path, "dump/%020" PRIu64, generations[i]);
    tell_file(check, path, "the dump is damaged", "the next checkpoints write new ones", false);
  }
}

/* ---- Segments ---- */

struct segment_check {
  struct check *check;
  const char *path;
  group_id group;
  instance_id instance;
  uint64_t limit; /* recorded length; what lies behind it does not exist */
  record_offset next;
  bool bad;
  struct inspect_finding finding;
};

static void end_finding(struct segment_check *segment, record_offset end) {
  if (!segment->bad) return;
  segment->finding.end = end > segment->finding.first ? end : segment->finding.first;
  tell(segment->check, &segment->finding);
  segment->bad = false;
}

static bool check_entry(void *context, const struct inspect_entry *found) {
  struct segment_check *segment = context;
  if (found->position >= segment->limit) return false;
  if (!found->damaged) {
    const struct entry_head *head = &found->entry.head;
    end_finding(segment, head->base_offset);
    segment->next = entry_end_offset(head);
    segment->check->report->entries++;
    segment->check->report->records += head->record_count;
    return true;
  }
  if (segment->bad) return true;
  segment->bad = true;
  segment->finding = (struct inspect_finding){
      .file = segment->path,
      .position = found->position,
      .group = segment->group,
      .instance = segment->instance,
      .first = segment->next,
      .fatal = true,
      .what = strcmp(found->what, "payload") == 0 ? "an entry's payload is damaged" : "an entry's head is damaged",
      .advice = "these offsets answer DATA_LOSS, all others are served: repair the replica from another one, or restore the file",
  };
  return true;
}

static void check_segment(struct check *check, group_id group, instance_id instance, const struct segment_info *info) {
  char path[DISK_PATH_MAX];
  segment_path(path, group, instance, info->first_index);
  struct segment_check segment = {
      .check = check, .path = path, .group = group, .instance = instance, .limit = info->length, .next = info->first_offset};
  struct segment_header header;
  enum status status = inspect_segment(check->world->disk, path, &header, check_entry, &segment);
  check->report->segments++;
  check->report->segment_bytes += info->length;
  end_finding(&segment, info->end_offset);
  if (status == STATUS_CORRUPT) tell_file(check, path, "the header is damaged", "its entries are read all the same", false);
  bool foreign = status == STATUS_OK && check->owner_known && memcmp(header.owner, check->owner, SEGMENT_OWNER_SIZE) != 0;
  if (foreign) tell_file(check, path, "another broker wrote this file", "put the right one back: it answers DATA_LOSS", true);
  bool gone = status == STATUS_NOT_FOUND || status == STATUS_IO;
  if (!gone && segment.next >= info->end_offset) return;
  tell(check, &(struct inspect_finding){.file = path,
                                        .group = group,
                                        .instance = instance,
                                        .first = gone ? info->first_offset : segment.next,
                                        .end = info->end_offset,
                                        .fatal = true,
                                        .what = gone ? "the file cannot be read" : "the file ends too early",
                                        .advice = "repair the replica from another one, or restore the file"});
}

struct segment_list {
  struct check *check;
  uint64_t (*ids)[2];
  struct segment_info *infos;
  size_t count;
};

static bool note_segment(void *context, struct bytes key, struct bytes value) {
  struct segment_list *list = context;
  uint64_t numbers[3];
  struct segment_info info;
  if (table_key_parse(key, 3, numbers) != STATUS_OK || segment_row_decode(value, &info) != STATUS_OK) {
    list->check->stop = true;
    return true;
  }
  if (info.dropped) return true;
  list->ids = memory_grow_array(list->ids, list->count + 1, sizeof *list->ids);
  list->infos = memory_grow_array(list->infos, list->count + 1, sizeof *list->infos);
  list->ids[list->count][0] = numbers[0];
  list->ids[list->count][1] = numbers[1];
  list->infos[list->count++] = info;
  return true;
}

static void check_segments(struct check *check) {
  struct segment_list list = {.check = check};
  enum status status = store_walk(check->store, TABLE_SEGMENT, bytes_of(NULL, 0), note_segment, &list);
  if (status != STATUS_OK) check->stop = true;
  for (size_t i = 0; i < list.count; i++) check_segment(check, list.ids[i][0], list.ids[i][1], &list.infos[i]);
  memory_free(list.ids);
  memory_free(list.infos);
}

/* ---- The store ---- */

/* Rows come by group and instance: the first open one is in force, and what follows is to replace it. */
static void count_log(struct check *check, group_id group) {
  bool again = check->counted && check->counted_group == group;
  *(again ? &check->report->spares : &check->report->logs) += 1;
  check->counted_group = group;
  check->counted = true;
}

static bool check_row(void *context, struct bytes key, struct bytes value) {
  struct check *check = context;
  struct group_row row;
  if (key.size == 16 && group_row_decode(key, value, &row) == STATUS_OK) {
    if (!row.closed) count_log(check, row.group);
    if (row.damaged) {
      tell(check, &(struct inspect_finding){.file = "store.mdb",
                                            .group = row.group,
                                            .instance = row.instance,
                                            .fatal = true,
                                            .what = "this log lost entries to rot in the journal",
                                            .advice = "it takes no appends until it is repaired from another replica"});
    }
    group_row_deinit(&row);
  }
  return true;
}

static bool pass_row(void *context, struct bytes key, struct bytes value) {
  (void)context, (void)key, (void)value;
  return true;
}

static void check_store(struct check *check) {
  static const char advice[] = "the broker rebuilds it from the newest dump, the segments and the journal when it starts";
  enum status status = world_store_open(check->world, "store.mdb", 16ull << 30, false, &check->store);
  if (status != STATUS_OK) {
    tell_file(check, "store.mdb", status == STATUS_NOT_FOUND ? "missing" : "damaged", advice, false);
    return;
  }
  for (unsigned table = TABLE_IDENTITY; table <= TABLE_META && status == STATUS_OK; table++) {
    status = store_walk(check->store, table, bytes_of(NULL, 0), table == TABLE_GROUP ? check_row : pass_row, check);
  }
  if (status == STATUS_OK) check_segments(check);
  if (status != STATUS_OK || check->stop) tell_file(check, "store.mdb", "a table is damaged", advice, false);
  store_close(check->store);
  check->store = NULL;
}

/* ---- The journal ---- */

static void journal_found(void *context, const struct journal_found *frame) {
  struct check *check = context;
  (void)frame;
  check->report->journal_frames++;
}

static void journal_damaged(void *context, const struct journal_loss *loss) {
  tell(context, &(struct inspect_finding){.file = "journal",
                                          .position = loss->first_index,
                                          .group = loss->group,
                                          .instance = loss->instance,
                                          .fatal = true,
                                          .what = loss->known ? "a frame of this log is damaged"
                                                        : "a frame is damaged, and it cannot be told whose it was",
                                          .advice = "start the broker: what is in segments already is not concerned, the rest is "
                                                    "fenced until it is repaired"});
}

static enum status check_journal(struct check *check) {
  struct journal_options options = {
      .ring_bytes = 512u << 20, .file_bytes = 64u << 20, .group_bytes_max = 1u << 20, .files_ready = 2, .idle_close_ms = 20};
  struct journal_replay replay = {.found = journal_found, .damaged = journal_damaged, .context = check};
  struct journal *journal = NULL;
  struct journal_report report;
  enum status status = journal_open(check->world, &options, 0, &replay, &journal, &report);
  if (status != STATUS_OK) return status;
  journal_close(journal);
  return STATUS_OK;
}

enum status inspect_directory(struct world *world, void (*tell_finding)(void *context, const struct inspect_finding *finding),
                              void *context, struct inspect_report *out_report) {
  *out_report = (struct inspect_report){0};
  struct check check = {.world = world, .tell = tell_finding, .context = context, .report = out_report};
  struct disk_stat stat;
  bool ours = disk_stat_path(world->disk, "identity", &stat) == STATUS_OK ||
              disk_stat_path(world->disk, "identity.copy", &stat) == STATUS_OK ||
              disk_stat_path(world->disk, "store.mdb", &stat) == STATUS_OK;
  if (!ours) return STATUS_FOREIGN;
  check_identity(&check);
  check_store(&check);
  check_dumps(&check);
  return check_journal(&check);
}
