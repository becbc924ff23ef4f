#include "tests/unit/log/fault_disk.h"

#include <string.h>
#include <unistd.h>

#include "base/list.h"
#include "base/memory.h"

struct fault_file {
  struct disk_file file;
  struct disk_file *inner;
  bool is_segment;
  bool is_dump;
  bool is_journal;
};

static struct fault_disk *fault_of(struct disk *disk) { return container_of(disk, struct fault_disk, disk); }
static struct fault_file *file_of(struct disk_file *file) { return container_of(file, struct fault_file, file); }

static enum status fault_open(struct disk *disk, const char *path, unsigned flags, struct disk_file **out_file) {
  struct disk_file *inner = NULL;
  enum status status = disk_open(fault_of(disk)->inner, path, flags, &inner);
  if (status != STATUS_OK) return status;
  bool cached_journal = strncmp(path, "journal/", 8) == 0 && (flags & DISK_DIRECT) == 0;
  if (cached_journal) atomic_fetch_add(&fault_of(disk)->cached_journal_opens, 1);
  struct fault_file *file = NEW(struct fault_file);
  *file = (struct fault_file){.file.disk = disk,
                              .inner = inner,
                              .is_segment = strstr(path, ".segment") != NULL,
                              .is_dump = strncmp(path, "dump/", 5) == 0,
                              .is_journal = strncmp(path, "journal/", 8) == 0};
  *out_file = &file->file;
  return STATUS_OK;
}
static void fault_close(struct disk_file *file) {
  disk_close(file_of(file)->inner);
  memory_free(file_of(file));
}
static enum status fault_read(struct disk_file *file, uint64_t offset, void *into, size_t size, size_t *out_size) {
  return disk_read(file_of(file)->inner, offset, into, size, out_size);
}
static enum status fault_write(struct disk_file *file, uint64_t offset, const struct bytes *parts, size_t count) {
  if (file_of(file)->is_segment && atomic_load(&fault_of(file->disk)->full)) return STATUS_NO_SPACE;
  if (file_of(file)->is_dump && atomic_load(&fault_of(file->disk)->dumps_fail)) return STATUS_IO;
  if (file_of(file)->is_dump && atomic_load(&fault_of(file->disk)->no_room_for_dumps)) return STATUS_NO_SPACE;
  if (file_of(file)->is_journal && atomic_load(&fault_of(file->disk)->journal_fails)) return STATUS_IO;
  int wait_ms = file_of(file)->is_journal ? atomic_load(&fault_of(file->disk)->journal_write_ms) : 0;
  if (wait_ms > 0) usleep((unsigned)wait_ms * 1000);
  return disk_write_parts(file_of(file)->inner, offset, parts, count);
}
static enum status fault_sync(struct disk_file *file) {
  struct fault_disk *fault = fault_of(file->disk);
  if (file_of(file)->is_segment && atomic_load(&fault->failing_syncs) > 0) {
    atomic_fetch_sub(&fault->failing_syncs, 1);
    return STATUS_IO;
  }
  return disk_sync(file_of(file)->inner);
}
static enum status fault_truncate(struct disk_file *file, uint64_t size) { return disk_truncate(file_of(file)->inner, size); }
static enum status fault_stat_file(struct disk_file *file, struct disk_stat *out_stat) {
  return disk_stat_file(file_of(file)->inner, out_stat);
}
static void fault_advise(struct disk_file *file, uint64_t offset, uint64_t size) {
  disk_advise_dont_need(file_of(file)->inner, offset, size);
}
static enum status fault_stat(struct disk *disk, const char *path, struct disk_stat *out_stat) {
  return disk_stat_path(fault_of(disk)->inner, path, out_stat);
}
static enum status fault_rename(struct disk *disk, const char *from, const char *to) {
  return disk_rename(fault_of(disk)->inner, from, to);
}
static enum status fault_remove(struct disk *disk, const char *path) { return disk_remove(fault_of(disk)->inner, path); }
static enum status fault_make_dir(struct disk *disk, const char *path) { return disk_make_dir(fault_of(disk)->inner, path); }
static enum status fault_sync_dir(struct disk *disk, const char *path) { return disk_sync_dir(fault_of(disk)->inner, path); }
static enum status fault_list(struct disk *disk, const char *path, void (*visit)(void *context, const char *name),
                              void *context) {
  return disk_list(fault_of(disk)->inner, path, visit, context);
}
static enum status fault_space(struct disk *disk, struct disk_space *out_space) {
  enum status status = disk_space(fault_of(disk)->inner, out_space);
  if (status == STATUS_OK && atomic_load(&fault_of(disk)->full)) out_space->available = 0;
  return status;
}
static enum status fault_lock(struct disk *disk, const char *path, struct disk_lock **out_lock) {
  return disk_lock(fault_of(disk)->inner, path, out_lock);
}
static void fault_unlock(struct disk_lock *lock) { (void)lock; }

static const struct disk_ops ops = {
    .open = fault_open,
    .close = fault_close,
    .read = fault_read,
    .write = fault_write,
    .sync = fault_sync,
    .truncate = fault_truncate,
    .stat_file = fault_stat_file,
    .advise_dont_need = fault_advise,
    .stat = fault_stat,
    .rename = fault_rename,
    .remove = fault_remove,
    .make_dir = fault_make_dir,
    .sync_dir = fault_sync_dir,
    .list = fault_list,
    .space = fault_space,
    .lock = fault_lock,
    .unlock = fault_unlock,
};

void fault_disk_init(struct fault_disk *fault, struct disk *inner) {
  *fault = (struct fault_disk){.disk.ops = &ops, .inner = inner};
}
