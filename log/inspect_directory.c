/* Verifying a data directory as a whole. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/memory.h"
#include "log/dump.h"
#include "log/identity.h"
#include "log/inspect_private.h"
#include "log/journal_ring.h"
#include "log/lineage.h"

#define STORE_BYTES_MAX (16ull << 30) /* addresses, not memory */

void inspect_tell(struct inspection *inspection, const struct inspect_finding *finding) {
  if (finding->severity != INSPECT_DROPPED) inspection->report->findings++;
  if (finding->severity == INSPECT_LOST) inspection->report->fatal++;
  inspection->tell(inspection->context, finding);
}

void inspect_tell_file(struct inspection *inspection, enum inspect_severity severity, const char *file, const char *what,
                       const char *advice) {
  inspect_tell(inspection, &(struct inspect_finding){.severity = severity, .file = file, .what = what, .advice = advice});
}

/* ---- Identity, lineage, dumps ---- */

static void tell_identity(struct inspection *inspection, const char *path, enum status status) {
  if (status == STATUS_FOREIGN)
    inspect_tell_file(inspection, INSPECT_LOST, path, "written by a newer Cairn",
                      "verify the directory with the version that wrote it");
  else
    inspect_tell_file(inspection, INSPECT_DAMAGED, path, status == STATUS_NOT_FOUND ? "missing" : "damaged",
                      "the broker writes it again from another copy when it starts");
}

static void check_identity(struct inspection *inspection) {
  static const char *const paths[] = {"identity", "identity.copy"};
  struct log_identity found[2];
  bool good[2];
  for (size_t i = 0; i < 2; i++) {
    enum status status = identity_read_file(inspection->world->disk, paths[i], &found[i]);
    good[i] = status == STATUS_OK;
    if (!good[i]) tell_identity(inspection, paths[i], status);
  }
  inspection->recovery.owner_known = good[0] || good[1];
  if (inspection->recovery.owner_known) inspection->set->identity = found[good[0] ? 0 : 1];
  if (good[0] && good[1] && memcmp(&found[0], &found[1], sizeof found[0]) != 0)
    inspect_tell_file(inspection, INSPECT_LOST, paths[1], "another identity than that of the file identity",
                      "one of the two came from elsewhere: restore the right one, the broker does not start on two");
}

static void tell_lineage(struct inspection *inspection, const char *path, enum status status, bool other_is_good) {
  if (status == STATUS_FOREIGN)
    inspect_tell_file(inspection, INSPECT_LOST, path, "written by a newer Cairn",
                      "verify the directory with the version that wrote it");
  else if (other_is_good)
    inspect_tell_file(inspection, INSPECT_DAMAGED, path, status == STATUS_NOT_FOUND ? "missing" : "damaged, or another broker's",
                      "the broker writes it again from the other one when it starts");
  else if (status != STATUS_NOT_FOUND)
    inspect_tell_file(inspection, INSPECT_LOST, path, "damaged, or another broker's, and so is its copy",
                      "restore either of the two; without them brokers that know this directory do not let it in");
}

/* Where there is neither, an earlier version wrote the directory, or it has not been started on. */
static void check_lineage(struct inspection *inspection) {
  enum status statuses[LINEAGE_FILES];
  bool good = false;
  if (!inspection->recovery.owner_known) return; /* nothing says whose they would have to be */
  for (size_t i = 0; i < LINEAGE_FILES; i++) {
    struct lineage lineage;
    statuses[i] = lineage_read_file(inspection->world->disk, lineage_paths[i], inspection->set->identity.incarnation, &lineage);
    good = good || statuses[i] == STATUS_OK;
  }
  for (size_t i = 0; i < LINEAGE_FILES; i++)
    if (statuses[i] != STATUS_OK) tell_lineage(inspection, lineage_paths[i], statuses[i], good);
}

static void check_dumps(struct inspection *inspection) {
  uint64_t generations[DUMP_LIST_MAX];
  size_t count = dump_list(inspection->world->disk, generations, DUMP_LIST_MAX);
  for (size_t i = 0; i < count; i++) {
    enum status status = recovery_check_dump(&inspection->recovery, generations[i]);
    if (status == STATUS_OK) continue;
    char path[DISK_PATH_MAX];
    snprintf(path, sizeof path, "dump/%020" PRIu64, generations[i]);
    if (status == STATUS_FOREIGN)
      inspect_tell_file(inspection, INSPECT_DAMAGED, path, "written by a newer Cairn",
                        "start that version: an older one refuses the directory where it would need the dump");
    else
      inspect_tell_file(inspection, INSPECT_DAMAGED, path, status == STATUS_EXISTS ? "another broker's" : "the dump is damaged",
                        "it is passed over, and the next checkpoints write new ones");
  }
}

/* ---- The tables ---- */

/* The store's own copy of the identity: whose it is, where no file says so; else it must say the same. */
static enum status check_store_identity(struct inspection *inspection) {
  struct log_set *set = inspection->set;
  struct log_identity found;
  enum status status = identity_read_store(set->store, &found);
  if (status != STATUS_OK) return status == STATUS_NOT_FOUND ? STATUS_CORRUPT : status;
  if (inspection->recovery.owner_known) return memcmp(&found, &set->identity, sizeof found) == 0 ? STATUS_OK : STATUS_EXISTS;
  set->identity = found;
  inspection->recovery.owner_known = true;
  return STATUS_OK;
}

static enum status load_store(struct inspection *inspection) {
  struct log_set *set = inspection->set;
  enum status status = world_store_open(inspection->world, STORE_PATH, STORE_BYTES_MAX, STORE_READ_ONLY, &set->store);
  if (status != STATUS_OK) return status;
  status = check_store_identity(inspection);
  if (status == STATUS_OK) status = recovery_load_store(&inspection->recovery);
  store_close(set->store);
  set->store = NULL;
  return status;
}

static const char *store_what(enum status status) {
  switch (status) {
    case STATUS_NOT_FOUND: return "missing";
    case STATUS_EXISTS: return "another broker's";
    case STATUS_END: return "older than the journal: it was restored from a backup, or lost what it was last given";
    case STATUS_IO: return "the disk would not read it";
    default: return "damaged";
  }
}

/* As a start does it: from the newest dump and the segments, and the journal after them. */
static enum status rebuild(struct inspection *inspection, enum status why) {
  struct log_set *set = inspection->set;
  inspect_tell_file(inspection, INSPECT_DAMAGED, STORE_PATH, store_what(why),
                    "the broker rebuilds it from the newest dump, the segments and the journal when it starts");
  inspection->rebuilt = true;
  bool owner_known = inspection->recovery.owner_known;
  journal_close(set->journal);
  set->journal = NULL;
  recovery_deinit(&inspection->recovery);
  images_deinit(&set->images);
  images_init(&set->images);
  set->checkpointed = (struct checkpoint_row){0};
  recovery_init(&inspection->recovery, set, &inspection->recovered);
  inspection->recovery.looks = true;
  inspection->recovery.owner_known = owner_known;
  if (!owner_known) {
    inspect_tell_file(inspection, INSPECT_LOST, "identity", "neither a file nor the store tells whose directory this is",
                      "restore the file from a backup: the broker does not start without it");
  }
  enum status status = recovery_rebuild(&inspection->recovery);
  return status == STATUS_NOT_FOUND ? STATUS_OK : status; /* no log has a directory */
}

/* Without it the rest would look as if rot had taken something. */
static void tell_foreign_frame(struct inspection *inspection) {
  char what[128];
  snprintf(what, sizeof what, "it has %s of group %" PRIu64 " that a newer Cairn wrote", inspection->recovery.foreign,
           inspection->recovery.foreign_group);
  inspect_tell_file(inspection, INSPECT_LOST, JOURNAL_DIRECTORY, what, "verify the directory with the version that wrote it");
}

/* STATUS_FOREIGN: what stands in it is of a newer Cairn, and nothing can be said of the logs. */
static enum status scan_journal(struct inspection *inspection) {
  struct log_set *set = inspection->set;
  if (inspection->recovery.owner_known) memcpy(set->options.journal.owner, set->identity.incarnation, JOURNAL_OWNER_SIZE);
  enum status status = recovery_scan_journal(&inspection->recovery);
  if (status != STATUS_FOREIGN) return status;
  if (inspection->recovery.foreign != NULL) {
    tell_foreign_frame(inspection);
    return STATUS_FOREIGN;
  }
  inspect_tell_file(
      inspection, INSPECT_LOST, JOURNAL_DIRECTORY, "it has a file of another broker, or of a newer Cairn",
      "another broker's: take that file away, or put the right one back; a newer Cairn's: verify the directory with "
      "that version; the broker does not start on it");
  return STATUS_OK;
}

static enum status read_all(struct inspection *inspection) {
  enum status status = load_store(inspection);
  bool closed_to_us = status == STATUS_DENIED || status == STATUS_LOCKED || status == STATUS_FOREIGN;
  if (closed_to_us) return status;
  if (status != STATUS_OK) status = rebuild(inspection, status);
  if (status == STATUS_OK) status = scan_journal(inspection);
  bool stale = inspection->recovery.newest_frame.sequence > inspection->set->checkpointed.sequence;
  if (status == STATUS_OK && stale && !inspection->rebuilt) {
    status = rebuild(inspection, STATUS_END);
    if (status == STATUS_OK) status = scan_journal(inspection);
  }
  if (status != STATUS_OK) return status;
  recovery_close_earlier(&inspection->recovery);
  recovery_judge(&inspection->recovery);
  return STATUS_OK;
}

/* ---- The logs ---- */

static void count_log(struct inspection *inspection, struct map *groups, const struct recovered *log) {
  bool again = map_get_number(groups, log->image->row.group) != NULL;
  *(again ? &inspection->report->spares : &inspection->report->logs) += 1;
  map_put_number(groups, log->image->row.group, inspection);
}

/* What no file shows: entries that a dump or a row knew, or that do not follow each other. */
static void tell_log(struct inspection *inspection, const struct group_row *row, const char *what) {
  inspect_tell(inspection, &(struct inspect_finding){.severity = INSPECT_LOST,
                                                     .file = inspection->rebuilt ? "p" : STORE_PATH,
                                                     .group = row->group,
                                                     .instance = row->instance,
                                                     .what = what,
                                                     .advice = "it takes no appends until it is repaired from another replica"});
}

static bool is_told(const struct recovery *recovery, const struct group_row *row) {
  for (size_t i = 0; i < recovery->damage.count; i++) {
    const struct journal_loss *loss = &recovery->damage.at[i];
    if (!loss->known || (loss->group == row->group && loss->instance == row->instance)) return true;
  }
  return false;
}

static void check_log(struct inspection *inspection, const struct recovered *log) {
  const struct group_row *row = &log->image->row;
  uint64_t fatal = inspection->report->fatal;
  inspect_log_segments(inspection, log);
  inspect_log_unflushed(inspection, log);
  if (row->damaged) tell_log(inspection, row, "this log lost entries to rot in the journal");
  bool silent = inspection->report->fatal == fatal && !is_told(&inspection->recovery, row);
  if (log->damaged && silent) tell_log(inspection, row, "entries of this log are missing, or do not follow each other");
}

static void check_logs(struct inspection *inspection) {
  struct map *groups = map_new(0);
  struct map_cursor cursor = {0};
  for (struct recovered *log = NULL; (log = map_next(inspection->recovery.logs, &cursor)) != NULL;) {
    if (log->closed) continue;
    count_log(inspection, groups, log);
    check_log(inspection, log);
  }
  map_free(groups);
}

static void check_journal(struct inspection *inspection) {
  const struct journal_report *journal = &inspection->recovered.journal;
  inspection->report->journal_frames = journal->frames;
  if (inspection->set->journal != NULL && journal->empty && inspection->set->checkpointed.sequence > 0) {
    inspect_tell_file(inspection, INSPECT_LOST, JOURNAL_DIRECTORY, "it is empty, and a checkpoint says that it was not",
                      "restore it: what was in no segment yet is lost, and every log is fenced until it is repaired");
  }
  inspect_journal_losses(inspection);
}

/* ---- All of it ---- */

static struct log_set *set_new(struct world *world) {
  struct log_set *set = NEW(struct log_set);
  set->world = world;
  set->options.journal = (struct journal_options){
      .ring_bytes = 512u << 20, .file_bytes = 64u << 20, .group_bytes_max = 1u << 20, .files_ready = 2, .idle_close_ms = 20};
  images_init(&set->images);
  table_changes_init(&set->gone);
  return set;
}

static void set_free(struct log_set *set) {
  journal_close(set->journal);
  images_deinit(&set->images);
  table_changes_deinit(&set->gone);
  memory_free(set);
}

enum status inspect_directory(struct world *world, void (*tell)(void *context, const struct inspect_finding *finding),
                              void *context, struct inspect_report *out_report) {
  *out_report = (struct inspect_report){0};
  bool ours = false;
  enum status status = log_set_formatted(world->disk, &ours);
  if (status == STATUS_OK && !ours) status = STATUS_FOREIGN;
  if (status != STATUS_OK) return status;
  struct inspection inspection = {.world = world, .tell = tell, .context = context, .report = out_report, .set = set_new(world)};
  recovery_init(&inspection.recovery, inspection.set, &inspection.recovered);
  inspection.recovery.looks = true;
  check_identity(&inspection);
  status = read_all(&inspection);
  if (status == STATUS_OK) {
    check_lineage(&inspection);
    check_dumps(&inspection);
    check_journal(&inspection);
    check_logs(&inspection);
  }
  recovery_deinit(&inspection.recovery);
  set_free(inspection.set);
  return status;
}
