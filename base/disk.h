/* Door 2, files: everything below one data directory. Paths are relative to it, with '/', never "..".
 *
 * Calls block, so only loops made with LOOP_MAY_BLOCK (and opening code) may make them. A write or read is whole or an error.
 * Nothing is durable before disk_sync() (contents and size of a file) and disk_sync_dir() (names in a directory) returned OK.
 *
 * STATUS_NO_SPACE: the disk or quota is full, the file may have grown. STATUS_IO: anything else the operating system says;
 * after a failed write or sync the file must never be written again, nor be read through the page cache (a retried fsync
 * returns success with the data dropped). STATUS_NOT_FOUND, STATUS_EXISTS, STATUS_DENIED, STATUS_LOCKED, STATUS_WRONG_KIND,
 * STATUS_NAME_TOO_LONG as they say.
 */
#ifndef CAIRN_BASE_DISK_H
#define CAIRN_BASE_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"

#define DISK_BLOCK_SIZE 4096u /* offset, size and memory of direct I/O are multiples of it */
#define DISK_PATH_MAX 256u

enum {
  DISK_READ_ONLY = 1 << 0,
  DISK_CREATE = 1 << 1,       /* make it if it is absent */
  DISK_EXCLUSIVE = 1 << 2,    /* with CREATE: STATUS_EXISTS if it is there */
  DISK_DIRECT = 1 << 3,       /* past the page cache; falls back silently where the file system has no such thing */
  DISK_WRITE_THROUGH = 1 << 4 /* a write returns when it is durable, as if followed by disk_sync() */
};

struct disk_stat {
  uint64_t size;
  bool is_directory;
};
struct disk_space {
  uint64_t total;
  uint64_t available;
};

struct disk;
struct disk_file;
struct disk_lock;

struct disk_ops {
  enum status (*open)(struct disk *disk, const char *path, unsigned flags, struct disk_file **out_file);
  void (*close)(struct disk_file *file);
  enum status (*read)(struct disk_file *file, uint64_t offset, void *into, size_t size, size_t *out_size);
  enum status (*write)(struct disk_file *file, uint64_t offset, const struct bytes *parts, size_t count);
  enum status (*sync)(struct disk_file *file);
  enum status (*truncate)(struct disk_file *file, uint64_t size);
  enum status (*stat_file)(struct disk_file *file, struct disk_stat *out_stat);
  void (*advise_dont_need)(struct disk_file *file, uint64_t offset, uint64_t size);
  enum status (*stat)(struct disk *disk, const char *path, struct disk_stat *out_stat);
  enum status (*rename)(struct disk *disk, const char *from, const char *to);
  enum status (*remove)(struct disk *disk, const char *path);
  enum status (*make_dir)(struct disk *disk, const char *path);
  enum status (*sync_dir)(struct disk *disk, const char *path);
  enum status (*list)(struct disk *disk, const char *path, void (*visit)(void *context, const char *name), void *context);
  enum status (*space)(struct disk *disk, struct disk_space *out_space);
  enum status (*lock)(struct disk *disk, const char *path, struct disk_lock **out_lock);
  void (*unlock)(struct disk_lock *lock);
};
struct disk {
  const struct disk_ops *ops;
};
struct disk_file {
  struct disk *disk;
};

static inline MUST_CHECK enum status disk_open(struct disk *disk, const char *path, unsigned flags, struct disk_file **out_file) {
  return disk->ops->open(disk, path, flags, out_file);
}
static inline void disk_close(struct disk_file *file) { /* NULL is fine; durable is what was synced before */
  if (file != NULL) file->disk->ops->close(file);
}
/* Reads up to `size` bytes: fewer only at the end of the file. */
static inline MUST_CHECK enum status disk_read(struct disk_file *file, uint64_t offset, void *into, size_t size,
                                               size_t *out_size) {
  return file->disk->ops->read(file, offset, into, size, out_size);
}
/* Writes the parts one behind the other. With DISK_DIRECT every part's memory and size are multiples of DISK_BLOCK_SIZE. */
static inline MUST_CHECK enum status disk_write_parts(struct disk_file *file, uint64_t offset, const struct bytes *parts,
                                                      size_t count) {
  return file->disk->ops->write(file, offset, parts, count);
}
static inline MUST_CHECK enum status disk_write(struct disk_file *file, uint64_t offset, struct bytes bytes) {
  return file->disk->ops->write(file, offset, &bytes, 1);
}
static inline MUST_CHECK enum status disk_sync(struct disk_file *file) { return file->disk->ops->sync(file); }
static inline MUST_CHECK enum status disk_truncate(struct disk_file *file, uint64_t size) {
  return file->disk->ops->truncate(file, size);
}
static inline MUST_CHECK enum status disk_stat_file(struct disk_file *file, struct disk_stat *out_stat) {
  return file->disk->ops->stat_file(file, out_stat);
}
/* Tells the operating system that these bytes need not stay in memory. A hint. */
static inline void disk_advise_dont_need(struct disk_file *file, uint64_t offset, uint64_t size) {
  file->disk->ops->advise_dont_need(file, offset, size);
}
static inline MUST_CHECK enum status disk_stat_path(struct disk *disk, const char *path, struct disk_stat *out_stat) {
  return disk->ops->stat(disk, path, out_stat);
}
static inline MUST_CHECK enum status disk_rename(struct disk *disk, const char *from, const char *to) {
  return disk->ops->rename(disk, from, to);
}
static inline MUST_CHECK enum status disk_remove(struct disk *disk, const char *path) { /* a file or an empty directory */
  return disk->ops->remove(disk, path);
}
static inline MUST_CHECK enum status disk_make_dir(struct disk *disk, const char *path) { /* STATUS_EXISTS if it is there */
  return disk->ops->make_dir(disk, path);
}
static inline MUST_CHECK enum status disk_sync_dir(struct disk *disk, const char *path) { /* "" is the data directory itself */
  return disk->ops->sync_dir(disk, path);
}
/* Visits the names in a directory, sorted by strcmp. The names are borrowed. */
static inline MUST_CHECK enum status disk_list(struct disk *disk, const char *path,
                                               void (*visit)(void *context, const char *name), void *context) {
  return disk->ops->list(disk, path, visit, context);
}
static inline MUST_CHECK enum status disk_space(struct disk *disk, struct disk_space *out_space) {
  return disk->ops->space(disk, out_space);
}
/* An exclusive lock that ends with the process. STATUS_LOCKED when another process holds it. */
static inline MUST_CHECK enum status disk_lock(struct disk *disk, const char *path, struct disk_lock **out_lock) {
  return disk->ops->lock(disk, path, out_lock);
}
static inline void disk_unlock(struct disk *disk, struct disk_lock *lock) { /* NULL is fine */
  if (lock != NULL) disk->ops->unlock(lock);
}

#endif
