/* Tombstones come to their end, or a start would read every log that there ever was here.
 *
 * A tombstone says of what it finds, frames in the journal, files, a spare's predecessor, that the log is gone. At a start everything that could be
 * found is known: where nothing is, and no instance of its group is there, the rows go. A group that comes back to this directory comes with another
 * series of instances. The dumps that still have the tombstone do no harm.
 *
 * They go in a transaction of their own, behind the one that ends the recovery: LMDB copies each page that it takes something from, and where it has no
 * room for that they stay, and the start goes on.
 */
#include "base/map.h"
#include "base/probe.h"
#include "log/index.h"
#include "log/recovery.h"

static struct map *find_living(const struct recovery *recovery) {
  struct map *living = map_new(0); /* by group */
  struct map_cursor cursor = {0};
  for (struct recovered *log = NULL; (log = map_next(recovery->logs, &cursor)) != NULL;)
    if (!log->closed) map_put_number(living, log->image->row.group, log);
  return living;
}

/* A directory that was removed is gone for good when the transaction is durable: p/ is synced before it. */
static bool has_files(struct recovery *recovery, const struct recovered *log) {
  char path[DISK_PATH_MAX];
  struct disk_stat stat;
  segment_dir_path(path, log->image->row.group, log->image->row.instance);
  return log->image->segment_count > 0 || log->files_left ||
         disk_stat_path(recovery->set->world->disk, path, &stat) != STATUS_NOT_FOUND;
}

static void forget(struct recovery *recovery, const struct group_row *row) {
  static const struct segment_info all = {.end_offset = INT64_MAX};
  struct table_key key = table_key_group(row->group, row->instance);
  table_changes_remove(&recovery->forgotten, TABLE_GROUP, table_key_bytes(&key));
  table_changes_remove(&recovery->forgotten, TABLE_STATE, table_key_bytes(&key));
  index_remove(recovery->set->store, row->group, row->instance, &all, &recovery->forgotten);
}

void recovery_find_gone(struct recovery *recovery) {
  const struct log_set_report *report = recovery->report;
  if (report->store_rebuilt || report->doubt) return; /* something may be there that was not found */
  struct map *living = find_living(recovery);
  struct map_cursor cursor = {0};
  for (struct recovered *log = NULL; (log = map_next(recovery->logs, &cursor)) != NULL;) {
    const struct group_row *row = &log->image->row;
    bool gone = log->closed && !log->mentioned && log->image->stored && map_get_number(living, row->group) == NULL;
    if (gone && !has_files(recovery, log)) forget(recovery, row);
  }
  map_free(living);
}

enum status recovery_forget_gone(struct recovery *recovery) {
  const struct table_changes *forgotten = &recovery->forgotten;
  if (forgotten->count == 0) return STATUS_OK;
  enum status status = store_commit(recovery->set->store, forgotten->changes, forgotten->count);
  if (status == STATUS_NO_SPACE) return STATUS_OK; /* a start should need no space; the next one tries again */
  if (status == STATUS_OK) REACHED(tombstone_goes);
  return status;
}
