#include "log/log_set.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/memory.h"
#include "base/trace.h"
#include "log/checkpoint.h"
#include "log/identity.h"
#include "log/journal_ring.h"
#include "log/log_internal.h"
#include "log/reader.h"
#include "log/recovery.h"

#define FILES_IN_WORK 16u /* the tables and their lock, a directory, what a checkpoint writes, what a recovery reads */

/* ---- The directory ---- */

struct survey {
  bool ours;    /* something that only a broker makes */
  bool opened;  /* and more than its identity: it was opened once */
  bool foreign; /* something else */
};

static void survey_name(void *context, const char *name) {
  static const char *const own[] = {"identity", "identity.copy", "journal", STORE_PATH, "dump", "p"};
  struct survey *survey = context;
  for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
    if (strcmp(name, own[i]) != 0) continue;
    survey->ours = true;
    survey->opened = survey->opened || strncmp(name, "identity", 8) != 0;
    return;
  }
  /* Locks, a mount's own directory, what an interrupted formatting left. */
  bool neutral = strncmp(name, "lock", 4) == 0 || strncmp(name, STORE_PATH "-", sizeof STORE_PATH) == 0 || name[0] == '.' ||
                 strcmp(name, "lost+found") == 0 || strncmp(name, STORE_PATH ".damaged", sizeof STORE_PATH + 7) == 0 ||
                 strcmp(name, "identity.tmp") == 0 || strcmp(name, "identity.copy.tmp") == 0 || strcmp(name, "founding") == 0 ||
                 strcmp(name, "founding.tmp") == 0 || strncmp(name, "lineage", 7) == 0 || strncmp(name, "seen", 4) == 0;
  if (!neutral) survey->foreign = true;
}

static enum status survey_directory(struct disk *disk, struct survey *out_survey) {
  *out_survey = (struct survey){0};
  enum status status = disk_list(disk, "", survey_name, out_survey);
  if (status != STATUS_OK) return status;
  return !out_survey->ours && out_survey->foreign ? STATUS_FOREIGN : STATUS_OK;
}

enum status log_set_survey(struct disk *disk) {
  struct survey survey;
  return survey_directory(disk, &survey);
}

enum status log_set_formatted(struct disk *disk, bool *out_formatted) {
  struct survey survey;
  enum status status = survey_directory(disk, &survey);
  if (status == STATUS_OK) *out_formatted = survey.ours;
  return status;
}

static enum status make_dirs(struct disk *disk) {
  static const char *const dirs[] = {"journal", "dump", "p"};
  for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++) {
    enum status status = disk_make_dir(disk, dirs[i]);
    if (status != STATUS_OK && status != STATUS_EXISTS) return status;
  }
  return disk_sync_dir(disk, "");
}

static void explain(struct buffer *out_reason, const char *text) {
  trace_error("directory_refused", "reason=\"%s\"", text);
  if (out_reason == NULL) return;
  enum status status = buffer_append_string(out_reason, text);
  (void)status; /* it is traced as well */
}

/* ---- Identity ---- */

static enum status set_aside(struct disk *disk) {
  for (unsigned i = 0; i < 1000; i++) {
    char path[DISK_PATH_MAX];
    snprintf(path, sizeof path, STORE_PATH ".damaged-%u", i);
    struct disk_stat stat;
    if (disk_stat_path(disk, path, &stat) == STATUS_OK) continue;
    enum status status = disk_rename(disk, STORE_PATH, path);
    enum status unlocked = disk_remove(disk, STORE_PATH "-lock");
    (void)unlocked; /* LMDB makes its own anew */
    trace_error("store_set_aside", "file=\"%s\" do=\"it is rebuilt from a dump, the segments and the journal\"", path);
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
  }
  return STATUS_EXISTS;
}

/* STATUS_CORRUPT: to be rebuilt. */
static enum status open_store(struct log_set *set, bool fresh, const struct log_identity *identity) {
  enum status status =
      world_store_open(set->world, STORE_PATH, set->options.store_bytes_max, fresh ? STORE_CREATE : 0, &set->store);
  if (status == STATUS_NOT_FOUND) return STATUS_CORRUPT;
  if (status != STATUS_OK || fresh) return status;
  struct log_identity found;
  status = identity_read_store(set->store, &found);
  if (status == STATUS_FOREIGN) return status;
  bool same = status == STATUS_OK && (identity == NULL || memcmp(&found, identity, sizeof found) == 0);
  if (same) {
    set->identity = found;
    return STATUS_OK;
  }
  store_close(set->store);
  set->store = NULL;
  return STATUS_CORRUPT;
}

/* On a directory that has none yet. One with a draft may be in the record of a cluster already: it becomes that broker or none. */
static enum status format_directory(struct log_set *set, const struct log_identity *format, struct buffer *out_reason) {
  struct disk *disk = set->world->disk;
  struct log_identity draft;
  enum status status = identity_read_draft(disk, &draft);
  if (status == STATUS_FOREIGN) {
    explain(out_reason, "the data directory was begun by a newer Cairn, to found a cluster: start that version");
    return status;
  }
  bool other = status != STATUS_OK || memcmp(draft.incarnation, format->incarnation, LOG_ID_SIZE) != 0;
  if (status != STATUS_NOT_FOUND && other) {
    explain(
        out_reason,
        "the data directory waits to found a cluster with other brokers, which may have founded it by now: give join as before, "
        "or name an empty directory");
    return STATUS_FOREIGN;
  }
  set->identity = *format;
  if (format->founder_count == 0) identity_found_alone(&set->identity);
  status = identity_write(disk, &set->identity);
  if (status == STATUS_OK) identity_remove_draft(disk);
  return status;
}

static enum status find_identity(struct log_set *set, struct buffer *out_reason) {
  struct disk *disk = set->world->disk;
  enum status status = identity_read(disk, &set->identity);
  if (status != STATUS_NOT_FOUND && status != STATUS_CORRUPT) {
    if (status == STATUS_FOREIGN) explain(out_reason, "the data directory was written by a newer Cairn: start that version");
    return status;
  }
  status = open_store(set, false, NULL); /* the third copy */
  if (status == STATUS_OK) {
    store_close(set->store);
    set->store = NULL;
    return identity_write(disk, &set->identity);
  }
  explain(out_reason,
          "the data directory is not empty, but its identity is gone: neither the files identity and identity.copy nor the "
          "store tell whose it is. Restore one of the two files from a backup, or start with an empty directory and let the "
          "other brokers repair this one");
  return STATUS_FOREIGN;
}

/* ---- Opening ---- */

static enum status recover(struct log_set *set, struct recovery *recovery, bool fresh, bool rebuild) {
  enum status status = rebuild ? STATUS_CORRUPT : open_store(set, fresh, &set->identity);
  if (status == STATUS_OK && !fresh) {
    status = recovery_load_store(recovery);
    if (status != STATUS_OK) {
      store_close(set->store);
      set->store = NULL;
    }
  }
  if (status == STATUS_CORRUPT && recovery_dump_is_foreign(recovery)) return STATUS_FOREIGN; /* an older one knows less */
  if (status == STATUS_CORRUPT) {
    recovery->report->store_rebuilt = true;
    recovery_deinit(recovery);
    images_deinit(&set->images);
    images_init(&set->images);
    table_changes_deinit(&set->gone);
    recovery_init(recovery, set, recovery->report);
    status = set_aside(set->world->disk);
    if (status == STATUS_OK) {
      status = world_store_open(set->world, STORE_PATH, set->options.store_bytes_max, STORE_CREATE, &set->store);
    }
    if (status == STATUS_OK) status = recovery_rebuild(recovery);
  }
  return status == STATUS_OK ? recovery_scan_journal(recovery) : status;
}

static void forget_journal(struct log_set *set) {
  journal_close(set->journal);
  set->journal = NULL;
  store_close(set->store);
  set->store = NULL;
}

/* The owner may know better than this directory what is in it. */
static enum status ask_leave(struct log_set *set, const struct log_set_report *report, struct buffer *out_reason) {
  const struct log_set_options *options = &set->options;
  if (options->may_go_on == NULL) return STATUS_OK;
  return options->may_go_on(options->may_context, &set->identity, report, out_reason);
}

static void explain_foreign(const struct recovery *recovery, struct buffer *out_reason) {
  if (recovery->foreign == NULL || out_reason == NULL) return;
  char text[256];
  snprintf(text, sizeof text,
           "its journal has %s of group %" PRIu64 " that a newer Cairn wrote, and nothing was changed: start that version",
           recovery->foreign, recovery->foreign_group);
  explain(out_reason, text);
}

static enum status open_all(struct log_set *set, bool fresh, struct log_set_report *report, struct buffer *out_reason) {
  struct recovery recovery;
  recovery_init(&recovery, set, report);
  enum status status = recover(set, &recovery, fresh, false);
  bool stale = status == STATUS_OK && !report->store_rebuilt && recovery.newest_frame.sequence > set->checkpointed.sequence;
  if (stale) { /* the journal was recycled for a transaction that this store does not have */
    trace_error("store_stale", "sequence=%" PRIu64 " journal=%" PRIu64, set->checkpointed.sequence,
                recovery.newest_frame.sequence);
    bool doubt = set->checkpointed.doubt; /* the dump may be older */
    forget_journal(set);
    status = recover(set, &recovery, fresh, true);
    set->checkpointed.doubt = set->checkpointed.doubt || doubt;
  }
  if (status == STATUS_OK) recovery_close_earlier(&recovery);
  bool missing = status == STATUS_OK && report->journal.empty && set->checkpointed.sequence > 0;
  bool lost = missing && map_count(recovery.logs) > 0; /* else the first start was cut short: there is nothing to lose yet */
  report->doubt = set->checkpointed.doubt || lost || report->journal.rotten_groups > 0;
  if (missing) {
    trace_error("journal_missing", "do=\"what was not in segments is lost: every log is damaged until it is repaired\"");
    struct map_cursor cursor = {0};
    for (struct recovered *log = NULL; (log = map_next(recovery.logs, &cursor)) != NULL;) {
      if (!log->closed) recovered_damage(log, UINT64_MAX);
    }
  }
  if (status == STATUS_OK) recovery_judge(&recovery);
  if (status == STATUS_OK) status = ask_leave(set, report, out_reason);
  if (status == STATUS_OK) status = recovery_finish(&recovery);
  explain_foreign(&recovery, out_reason);
  if (status == STATUS_OK) recovery_make_logs(&recovery);
  recovery_deinit(&recovery);
  return status;
}

struct visit_dir {
  struct log_set *set;
};

static void report_stray(void *context, const char *name) {
  struct visit_dir *visit = context;
  group_id group = 0;
  instance_id instance = 0;
  if (segment_dir_parse(name, &group, &instance) && images_get(&visit->set->images, group, instance) != NULL) return;
  trace_warn("stray_directory", "path=\"p/%s\" do=\"nothing names it: look at it, and remove it by hand\"", name);
}

static void start_loops(struct log_set *set) {
  set->reader_count = set->options.readers > 0 ? set->options.readers : 1;
  set->readers = memory_new_array(set->reader_count, sizeof(struct reader *));
  for (size_t i = 0; i < set->reader_count; i++) {
    set->readers[i] = reader_new(set, world_loop_new(set->world, "reader", LOOP_MAY_BLOCK));
  }
  log_set_see_space(set);
  set->checkpoint = checkpoint_new(set);
  checkpoint_start(set->checkpoint);
}

/* @any-thread. A round is to free all that it can, soon. */
static void press(void *context) {
  struct log_set *set = context;
  atomic_store_explicit(&set->pressed, true, memory_order_relaxed);
  atomic_store_explicit(&set->hurried, true, memory_order_relaxed);
  checkpoint_kick(set->checkpoint); /* it is there before anything is submitted, until the journal was hastened */
}

static struct log_set *set_new(struct world *world, const struct log_set_options *options) {
  struct log_set *set = NEW(struct log_set);
  set->world = world;
  set->options = *options;
  list_init(&set->logs);
  tail_budget_init(&set->tail_budget, (size_t)options->tail_bytes);
  images_init(&set->images);
  table_changes_init(&set->gone);
  set->options.journal.disk_reserve_bytes = options->disk_reserve_bytes;
  set->options.journal.claimed_bytes = &set->unflushed_bytes;
  set->options.journal.room_wanted = press;
  set->options.journal.room_context = set;
  atomic_init(&set->free_mark, UINT64_MAX);
  atomic_init(&set->round_bytes, UINT64_MAX);
  return set;
}

static void set_free(struct log_set *set) {
  for (size_t i = 0; i < LOG_LANES_MAX; i++) log_lane_free(atomic_load(&set->lanes[i]));
  list_for_each(&set->logs, node, next) log_free(list_entry(node, struct log, node));
  store_close(set->store);
  images_deinit(&set->images);
  table_changes_deinit(&set->gone);
  memory_free(set->readers);
  memory_free(set);
}

static enum status open_directory(struct log_set *set, const struct log_identity *format, struct log_set_report *report,
                                  struct buffer *out_reason) {
  struct disk *disk = set->world->disk;
  struct survey survey;
  enum status status = survey_directory(disk, &survey);
  if (status == STATUS_FOREIGN)
    explain(out_reason, "the data directory is not empty and holds nothing of Cairn: name an empty or a new directory");
  if (status != STATUS_OK) return status;
  report->fresh = !survey.opened;
  status = survey.ours ? find_identity(set, out_reason) : format_directory(set, format, out_reason);
  memcpy(set->options.journal.owner, set->identity.incarnation, JOURNAL_OWNER_SIZE);
  memcpy(set->images.owner, set->identity.incarnation, SEGMENT_OWNER_SIZE);
  if (status == STATUS_OK) status = make_dirs(disk);
  if (status != STATUS_OK) return status;
  size_t said = out_reason == NULL ? 0 : out_reason->size;
  status = open_all(set, report->fresh, report, out_reason);
  if (status == STATUS_FOREIGN && (out_reason == NULL || out_reason->size == said)) {
    explain(out_reason,
            "a file of the data directory was written by a newer Cairn, or its journal is another broker's: start that "
            "version, or put the right journal back");
  }
  if (status != STATUS_OK) return status;
  struct visit_dir visit = {.set = set};
  return disk_list(disk, "p", report_stray, &visit);
}

uint64_t log_set_files_max(const struct log_set_options *options) {
  uint64_t ring = options->journal.ring_bytes / options->journal.file_bytes + JOURNAL_FILES_EXTRA;
  uint64_t readers = options->readers * (uint64_t)(READER_FILES_MAX + 1); /* and a file of the journal */
  return ring + readers + FILES_IN_WORK;
}

enum status log_set_open(struct world *world, const struct log_set_options *options, const struct log_identity *format,
                         struct log_set **out_set, struct log_identity *out_identity, struct log_set_report *out_report,
                         struct buffer *out_reason) {
  uint64_t begin_ns = world_now_ns(world);
  struct log_set *set = set_new(world, options);
  struct log_set_report report = {0};
  enum status status = open_directory(set, format, &report, out_reason);
  if (status != STATUS_OK) {
    journal_close(set->journal);
    set_free(set);
    return status;
  }
  start_loops(set);
  report.recovery_ms = (world_now_ns(world) - begin_ns) / 1000000u;
  *out_set = set;
  *out_identity = set->identity;
  *out_report = report;
  return STATUS_OK;
}

void log_set_hasten(struct log_set *set) {
  if (set != NULL) journal_hasten(set->journal);
}

void log_set_close(struct log_set *set, bool checkpoint) {
  if (set == NULL) return;
  journal_hasten(set->journal); /* asks the checkpoint for nothing from here on */
  /* Each posts only to those that end after it. */
  checkpoint_stop(set->checkpoint, checkpoint);
  journal_close(set->journal);
  for (size_t i = 0; i < set->reader_count; i++) {
    loop_stop(reader_loop(set->readers[i]));
    reader_free(set->readers[i]);
  }
  checkpoint_free(set->checkpoint);
  set_free(set);
}

/* ---- Logs ---- */

static int by_group(const void *a, const void *b) {
  const struct log *const *x = a;
  const struct log *const *y = b;
  if ((*x)->group != (*y)->group) return (*x)->group < (*y)->group ? -1 : 1;
  return (*x)->instance < (*y)->instance ? -1 : (*x)->instance > (*y)->instance;
}

static size_t gather(struct list *logs, struct log **out, size_t count) {
  list_for_each(logs, node, next) {
    struct log *log = list_entry(node, struct log, node);
    if (log->closed) continue;
    if (out != NULL) out[count] = log;
    count++;
  }
  return count;
}

static size_t gather_all(struct log_set *set, struct log **out) {
  size_t count = gather(&set->logs, out, 0);
  for (size_t i = 0; i < LOG_LANES_MAX; i++) {
    struct log_lane *lane = atomic_load(&set->lanes[i]);
    if (lane != NULL) count = gather(&lane->logs, out, count);
  }
  return count;
}

void log_set_each(struct log_set *set, void (*visit)(void *context, struct log *log), void *context) {
  struct log **logs = memory_new_array(gather_all(set, NULL) + 1, sizeof(struct log *));
  size_t count = gather_all(set, logs);
  qsort(logs, count, sizeof *logs, by_group);
  for (size_t i = 0; i < count; i++) visit(context, logs[i]);
  memory_free(logs);
}

struct journal *log_set_journal(struct log_set *set) {
  return set->journal;
}

void log_open(struct log *log, struct log_lane *lane, struct journal_write *write, const struct open_frame *open) {
  log->lane = lane;
  tail_adopt(&log->tail, &lane->pool);
  list_push_back(&lane->logs, &log->node);
  log->pinned_file = journal_usage(log->set->journal).current_file;
  log->row_dirty = true;
  struct journal_frame *frame = journal_write_add(write, log->group, log->instance, FRAME_OPEN);
  frame->head_size = open_frame_encode(open, frame->head);
  write->bytes += frame->head_size;
  log_mark_dirty(log);
}

struct log *log_create(struct log_set *set, struct loop *lane, struct journal_write *write, group_id group, instance_id instance,
                       const struct log_settings *settings) {
  struct log *log = log_new(set, group, instance);
  log->settings = *settings;
  log_open(log, log_lane_get(set, lane), write, &(struct open_frame){.settings = *settings});
  return log;
}

struct log *log_create_lost(struct log_set *set, struct loop *lane, struct journal_write *write, group_id group,
                            instance_id instance, const struct log_settings *settings) {
  struct log *log = log_create(set, lane, write, group, instance, settings);
  log->damaged = true;
  log->damage_through = UINT64_MAX;
  struct open_frame open = {.settings = *settings, .lost = true};
  write->frames[write->count - 1].head_size = open_frame_encode(&open, write->frames[write->count - 1].head);
  return log;
}

void log_adopt(struct log *log, struct loop *lane) {
  struct log_set *set = log->set;
  list_remove(&log->node);
  log_lane_adopt(log_lane_get(set, lane), log);
  atomic_fetch_sub(&set->unadopted, 1);
}

void log_set_adopt_rest(struct log_set *set, struct loop *lane) {
  list_for_each(&set->logs, node, next) log_adopt(list_entry(node, struct log, node), lane);
}

/* ---- Admission ---- */

/* Appends are flushed from memory that is counted until it is on the disk and the disk was looked at again; what else takes space in
 * between, and much of it at once, are the journal's files. */
void log_set_see_space(struct log_set *set) {
  struct disk_space space;
  uint64_t filled = journal_usage(set->journal).space_filled; /* first: what comes meanwhile may be counted twice, not never */
  enum status status = disk_space(set->world->disk, &space);
  if (status == STATUS_OK) atomic_store(&set->free_mark, space.available + filled);
}

uint64_t log_set_free_bytes(const struct log_set *set) {
  uint64_t mark = atomic_load_explicit(&set->free_mark, memory_order_relaxed);
  uint64_t taken = journal_usage(set->journal).space_taken;
  return mark > taken ? mark - taken : 0;
}

static uint64_t cost_of(uint64_t payload_bytes) { return journal_cost(ENTRY_HEAD_SIZE + payload_bytes); }

static bool disk_has(const struct log_set *set, uint64_t waiting, uint64_t payload_bytes) {
  return log_set_free_bytes(set) >= set->options.disk_reserve_bytes + waiting + payload_bytes;
}

bool log_set_has_space(const struct log_set *set, uint64_t payload_bytes) {
  uint64_t waiting = atomic_load_explicit(&set->unflushed_bytes, memory_order_relaxed);
  return disk_has(set, waiting, payload_bytes) && journal_would_admit(set->journal, cost_of(payload_bytes)) != STATUS_DISK_FULL;
}

enum status log_set_admit(struct log_set *set, uint64_t payload_bytes) {
  if (atomic_load_explicit(&set->fenced, memory_order_relaxed)) return STATUS_FENCED;
  uint64_t waiting = atomic_load_explicit(&set->unflushed_bytes, memory_order_relaxed);
  if (!disk_has(set, waiting, payload_bytes)) return STATUS_DISK_FULL;
  /* What is appended faster than it can be flushed would leave memory and be read back: slower still. */
  if (waiting >= atomic_load_explicit(&set->round_bytes, memory_order_relaxed)) return STATUS_JOURNAL_FULL;
  enum status status = journal_admit(set->journal, cost_of(payload_bytes));
  /* Not only the journal's room may come back: what was trimmed or deleted goes with a round too. */
  if (status == STATUS_JOURNAL_FULL || status == STATUS_DISK_FULL) press(set);
  /* The checkpoint looks too: it fences the set and says so, once. */
  return status == STATUS_IO ? STATUS_FENCED : status;
}

void log_set_admit_undo(struct log_set *set, uint64_t payload_bytes) { journal_admit_undo(set->journal, cost_of(payload_bytes)); }

void log_set_checkpoint(struct log_set *set, struct loop *loop, struct task *done) {
  checkpoint_request_round(set->checkpoint, loop, done);
}

void log_set_settle(struct log_set *set) {
  atomic_store(&set->settled, true);
  checkpoint_request_round(set->checkpoint, NULL, NULL);
}
