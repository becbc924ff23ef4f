/* The real disk: files relative to one open directory.
 *
 * After a failed sync, or a write that failed for anything but lack of space, the file answers STATUS_IO to every write and
 * sync: on this kernel a second fsync would return success with the data dropped.
 */
#include "base/os/world_os.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/check.h"
#include "base/list.h"
#include "base/memory.h"
#include "base/os/blocking.h"
#include "base/os/descriptors.h"

#define PARTS_PER_CALL_MAX 64u
#define READ_PER_CALL_MAX ((size_t)1 << 30)
#define DIRECTORY_MODE 0700

struct disk_os {
  struct disk disk;
  int directory;
};

struct file_os {
  struct disk_file file;
  int descriptor;
  unsigned flags;
  atomic_bool failed;
};

struct disk_lock {
  int descriptor;
};

static struct disk_os *disk_os_of(struct disk *disk) { return container_of(disk, struct disk_os, disk); }
static struct file_os *file_os_of(struct disk_file *file) { return container_of(file, struct file_os, file); }

static enum status status_of_errno(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:  /* the limit on file sizes (ulimit -f): also a quota */
    case EMFILE: /* of descriptors, with the reserve used up: passes, like a full disk */
    case ENFILE: return STATUS_NO_SPACE;
    case EACCES:
    case EPERM:
    case EROFS: return STATUS_DENIED;
    case ENOENT: return STATUS_NOT_FOUND;
    case ENOTDIR:
    case EISDIR: return STATUS_WRONG_KIND;
    case ENAMETOOLONG: return STATUS_NAME_TOO_LONG;
    case EEXIST:
    case ENOTEMPTY: return STATUS_EXISTS;
    default: return STATUS_IO;
  }
}

/* Relative, without empty, "." or ".." parts. "" is the data directory itself, where that makes sense. */
static bool path_allowed(const char *path) {
  size_t size = strnlen(path, DISK_PATH_MAX);
  if (size == 0 || size == DISK_PATH_MAX) return false;
  for (const char *part = path;;) {
    size_t length = strcspn(part, "/");
    if (length == 0) return false;
    if (part[0] == '.' && (length == 1 || (length == 2 && part[1] == '.'))) return false;
    if (part[length] == '\0') return true;
    part += length + 1;
  }
}

/* ---- Files ---- */

static enum status disk_os_open_file(struct disk *disk, const char *path, unsigned flags, struct disk_file **out_file) {
  blocking_check();
  PRE(IMPLIES(flags & DISK_EXCLUSIVE, flags & DISK_CREATE));
  PRE(IMPLIES(flags & DISK_CREATE, !(flags & DISK_READ_ONLY)));
  if (!path_allowed(path)) return STATUS_INVALID;
  int how = flags & DISK_READ_ONLY ? O_RDONLY : O_RDWR;
  if (flags & DISK_CREATE) how |= O_CREAT;
  if (flags & DISK_EXCLUSIVE) how |= O_EXCL;
  if (flags & DISK_WRITE_THROUGH) how |= O_DSYNC;
  int descriptor = descriptors_open(disk_os_of(disk)->directory, path, how);
  if (descriptor < 0) return status_of_errno(errno);
  if (flags & DISK_DIRECT) {
    /* Asked for afterwards: an open() with O_DIRECT that the file system refuses may have made the file all the same. */
    int now = fcntl(descriptor, F_GETFL);
    if (now < 0 || (fcntl(descriptor, F_SETFL, now | O_DIRECT) != 0 && errno != EINVAL)) {
      enum status status = status_of_errno(errno);
      descriptors_close(descriptor);
      return status;
    }
  }
  struct file_os *file = NEW(struct file_os);
  file->file.disk = disk;
  file->descriptor = descriptor;
  file->flags = flags;
  *out_file = &file->file;
  return STATUS_OK;
}

static void disk_os_close_file(struct disk_file *file) {
  blocking_check();
  struct file_os *os = file_os_of(file);
  descriptors_close(os->descriptor); /* its error would speak of what nobody synced */
  memory_free(os);
}

/* Direct I/O is checked on every file system, also on those that would not mind. */
static void pre_aligned(const struct file_os *os, uint64_t number) {
  PRE(IMPLIES(os->flags & DISK_DIRECT, number % DISK_BLOCK_SIZE == 0));
}

static enum status disk_os_read(struct disk_file *file, uint64_t offset, void *into, size_t size, size_t *out_size) {
  blocking_check();
  struct file_os *os = file_os_of(file);
  pre_aligned(os, offset);
  pre_aligned(os, size);
  pre_aligned(os, (uintptr_t)into);
  if (offset > INT64_MAX - size) return STATUS_INVALID;
  size_t total = 0;
  while (total < size) {
    size_t wanted = size - total < READ_PER_CALL_MAX ? size - total : READ_PER_CALL_MAX;
    ssize_t got = pread(os->descriptor, (uint8_t *)into + total, wanted, (off_t)(offset + total));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return status_of_errno(errno);
    total += (size_t)got;
    if (got == 0) break;
    /* Direct I/O cannot go on from the middle of a block, and has no reason to: that is where the file ends. */
    if ((os->flags & DISK_DIRECT) && total % DISK_BLOCK_SIZE != 0) break;
  }
  *out_size = total;
  return STATUS_OK;
}

/* The parts from byte `done` on, as many as one call takes. Returns how many vectors it filled. */
static int fill_vectors(struct iovec vectors[PARTS_PER_CALL_MAX], const struct bytes *parts, size_t count, size_t done) {
  int used = 0;
  for (size_t i = 0; i < count && used < (int)PARTS_PER_CALL_MAX; i++) {
    if (done >= parts[i].size) {
      done -= parts[i].size;
      continue;
    }
    /* writev() reads only, but its vectors are those of readv(). */
    vectors[used].iov_base = (void *)(uintptr_t)(parts[i].data + done);
    vectors[used].iov_len = parts[i].size - done;
    done = 0;
    used++;
  }
  return used;
}

static enum status write_parts(struct file_os *os, uint64_t offset, const struct bytes *parts, size_t count) {
  size_t first = 0; /* the parts before it are written */
  size_t done = 0;  /* of parts[first] and what follows */
  for (;;) {
    while (first < count && done >= parts[first].size) done -= parts[first++].size;
    if (first == count) return STATUS_OK;
    struct iovec vectors[PARTS_PER_CALL_MAX];
    int used = fill_vectors(vectors, parts + first, count - first, done);
    ssize_t written = pwritev(os->descriptor, vectors, used, (off_t)offset);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return status_of_errno(errno);
    size_t progress = (size_t)written;
    if (os->flags & DISK_DIRECT) progress -= progress % DISK_BLOCK_SIZE; /* a block in part is written again */
    if (progress == 0) return STATUS_IO;
    offset += progress;
    done += progress;
  }
}

static enum status disk_os_write(struct disk_file *file, uint64_t offset, const struct bytes *parts, size_t count) {
  blocking_check();
  struct file_os *os = file_os_of(file);
  PRE(!(os->flags & DISK_READ_ONLY));
  pre_aligned(os, offset);
  uint64_t total = 0;
  for (size_t i = 0; i < count; i++) {
    pre_aligned(os, (uintptr_t)parts[i].data);
    pre_aligned(os, parts[i].size);
    total += parts[i].size;
  }
  if (offset > INT64_MAX - total) return STATUS_INVALID;
  if (atomic_load(&os->failed)) return STATUS_IO;
  enum status status = write_parts(os, offset, parts, count);
  if (status != STATUS_OK && status != STATUS_NO_SPACE) {
    atomic_store(&os->failed, true);
    return STATUS_IO;
  }
  return status;
}

static enum status disk_os_sync(struct disk_file *file) {
  blocking_check();
  struct file_os *os = file_os_of(file);
  if (atomic_load(&os->failed)) return STATUS_IO;
  int result = -1;
  do {
    result = fdatasync(os->descriptor); /* the size counts as data, times do not */
  } while (result != 0 && errno == EINTR);
  if (result == 0) return STATUS_OK;
  /* Whatever the reason, lack of space too: what was to be synced may be gone from memory. */
  atomic_store(&os->failed, true);
  return STATUS_IO;
}

static enum status disk_os_truncate(struct disk_file *file, uint64_t size) {
  blocking_check();
  struct file_os *os = file_os_of(file);
  PRE(!(os->flags & DISK_READ_ONLY));
  if (size > INT64_MAX) return STATUS_INVALID;
  if (atomic_load(&os->failed)) return STATUS_IO;
  int result = -1;
  do {
    result = ftruncate(os->descriptor, (off_t)size);
  } while (result != 0 && errno == EINTR);
  return result == 0 ? STATUS_OK : status_of_errno(errno);
}

static void stat_taken(const struct stat *from, struct disk_stat *out_stat) {
  out_stat->size = (uint64_t)from->st_size;
  out_stat->is_directory = S_ISDIR(from->st_mode);
}

static enum status disk_os_stat_file(struct disk_file *file, struct disk_stat *out_stat) {
  blocking_check();
  struct stat stat;
  if (fstat(file_os_of(file)->descriptor, &stat) != 0) return status_of_errno(errno);
  stat_taken(&stat, out_stat);
  return STATUS_OK;
}

static void disk_os_advise_dont_need(struct disk_file *file, uint64_t offset, uint64_t size) {
  blocking_check();
  posix_fadvise(file_os_of(file)->descriptor, (off_t)offset, (off_t)size, POSIX_FADV_DONTNEED);
}

/* ---- Names ---- */

static enum status disk_os_stat(struct disk *disk, const char *path, struct disk_stat *out_stat) {
  blocking_check();
  if (path[0] != '\0' && !path_allowed(path)) return STATUS_INVALID;
  struct stat stat;
  if (fstatat(disk_os_of(disk)->directory, path, &stat, AT_EMPTY_PATH) != 0) return status_of_errno(errno);
  stat_taken(&stat, out_stat);
  return STATUS_OK;
}

static enum status disk_os_rename(struct disk *disk, const char *from, const char *to) {
  blocking_check();
  if (!path_allowed(from) || !path_allowed(to)) return STATUS_INVALID;
  int directory = disk_os_of(disk)->directory;
  return renameat(directory, from, directory, to) == 0 ? STATUS_OK : status_of_errno(errno);
}

static enum status disk_os_remove(struct disk *disk, const char *path) {
  blocking_check();
  if (!path_allowed(path)) return STATUS_INVALID;
  int directory = disk_os_of(disk)->directory;
  if (unlinkat(directory, path, 0) == 0) return STATUS_OK;
  if (errno == EISDIR && unlinkat(directory, path, AT_REMOVEDIR) == 0) return STATUS_OK;
  return status_of_errno(errno);
}

static enum status disk_os_make_dir(struct disk *disk, const char *path) {
  blocking_check();
  if (!path_allowed(path)) return STATUS_INVALID;
  return mkdirat(disk_os_of(disk)->directory, path, DIRECTORY_MODE) == 0 ? STATUS_OK : status_of_errno(errno);
}

static enum status open_directory(struct disk *disk, const char *path, int *out_descriptor) {
  if (path[0] != '\0' && !path_allowed(path)) return STATUS_INVALID;
  int descriptor = descriptors_open(disk_os_of(disk)->directory, path[0] == '\0' ? "." : path, O_RDONLY | O_DIRECTORY);
  if (descriptor < 0) return status_of_errno(errno);
  *out_descriptor = descriptor;
  return STATUS_OK;
}

static enum status sync_and_close(int directory) {
  int result = -1;
  do {
    result = fsync(directory);
  } while (result != 0 && errno == EINTR);
  descriptors_close(directory);
  return result == 0 ? STATUS_OK : STATUS_IO;
}

static enum status disk_os_sync_dir(struct disk *disk, const char *path) {
  blocking_check();
  int directory = -1;
  enum status status = open_directory(disk, path, &directory);
  if (status != STATUS_OK) return status;
  return sync_and_close(directory);
}

static int compare_names(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

struct names {
  char **items;
  size_t count;
  size_t capacity;
};

static enum status read_names(DIR *directory, struct names *names) {
  for (;;) {
    errno = 0;
    const struct dirent *entry = readdir(directory);
    if (entry == NULL) return errno == 0 ? STATUS_OK : status_of_errno(errno);
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    if (names->count == names->capacity) {
      names->capacity = names->capacity == 0 ? 64 : names->capacity * 2;
      names->items = memory_grow_array(names->items, names->capacity, sizeof *names->items);
    }
    names->items[names->count++] = memory_copy_string(entry->d_name);
  }
}

static enum status disk_os_list(struct disk *disk, const char *path, void (*visit)(void *context, const char *name),
                                void *context) {
  blocking_check();
  int descriptor = -1;
  enum status status = open_directory(disk, path, &descriptor);
  if (status != STATUS_OK) return status;
  DIR *directory = fdopendir(descriptor);
  if (directory == NULL) {
    status = status_of_errno(errno);
    descriptors_close(descriptor);
    return status;
  }
  struct names names = {0};
  status = read_names(directory, &names);
  closedir(directory);
  if (names.count > 0) qsort(names.items, names.count, sizeof *names.items, compare_names);
  for (size_t i = 0; i < names.count; i++) {
    if (status == STATUS_OK) visit(context, names.items[i]);
    memory_free(names.items[i]);
  }
  memory_free(names.items);
  return status;
}

static enum status disk_os_space(struct disk *disk, struct disk_space *out_space) {
  blocking_check();
  struct statvfs space;
  if (fstatvfs(disk_os_of(disk)->directory, &space) != 0) return status_of_errno(errno);
  out_space->total = (uint64_t)space.f_blocks * space.f_frsize;
  out_space->available = (uint64_t)space.f_bavail * space.f_frsize; /* what root keeps for itself is not ours */
  return STATUS_OK;
}

/* ---- The lock ---- */

/* It belongs to the open file, not to the process: a second opening in this very process is refused too. */
static enum status open_lock(struct disk *disk, const char *path, int open_flags, int lock_flags, int *out_descriptor) {
  blocking_check();
  if (!path_allowed(path)) return STATUS_INVALID;
  int descriptor = descriptors_open(disk_os_of(disk)->directory, path, open_flags);
  if (descriptor < 0) return status_of_errno(errno);
  if (flock(descriptor, lock_flags | LOCK_NB) != 0) {
    enum status status = errno == EWOULDBLOCK ? STATUS_LOCKED : status_of_errno(errno);
    descriptors_close(descriptor);
    return status;
  }
  *out_descriptor = descriptor;
  return STATUS_OK;
}

static struct disk_lock *lock_new(int descriptor) {
  struct disk_lock *lock = NEW(struct disk_lock);
  lock->descriptor = descriptor;
  return lock;
}

static enum status disk_os_lock(struct disk *disk, const char *path, struct disk_lock **out_lock) {
  int descriptor = -1;
  enum status status = open_lock(disk, path, O_RDWR | O_CREAT, LOCK_EX, &descriptor);
  if (status != STATUS_OK) return status;
  /* For whoever wonders who holds it. A full disk does not matter here. */
  char text[32];
  int length = snprintf(text, sizeof text, "%ld\n", (long)getpid());
  if (ftruncate(descriptor, 0) == 0 && pwrite(descriptor, text, (size_t)length, 0) != length) {
    if (ftruncate(descriptor, 0) != 0) length = 0; /* nothing to be done about it either */
  }
  *out_lock = lock_new(descriptor);
  return STATUS_OK;
}

enum status disk_os_lock_shared(struct disk *disk, const char *path, struct disk_lock **out_lock) {
  int descriptor = -1;
  enum status status = open_lock(disk, path, O_RDONLY, LOCK_SH, &descriptor);
  if (status == STATUS_OK) *out_lock = lock_new(descriptor);
  return status;
}

static void disk_os_unlock(struct disk_lock *lock) {
  blocking_check();
  close(lock->descriptor);
  memory_free(lock);
}

/* ---- The disk ---- */

static const struct disk_ops disk_os_ops = {
    .open = disk_os_open_file,
    .close = disk_os_close_file,
    .read = disk_os_read,
    .write = disk_os_write,
    .sync = disk_os_sync,
    .truncate = disk_os_truncate,
    .stat_file = disk_os_stat_file,
    .advise_dont_need = disk_os_advise_dont_need,
    .stat = disk_os_stat,
    .rename = disk_os_rename,
    .remove = disk_os_remove,
    .make_dir = disk_os_make_dir,
    .sync_dir = disk_os_sync_dir,
    .list = disk_os_list,
    .space = disk_os_space,
    .lock = disk_os_lock,
    .unlock = disk_os_unlock,
};

/* Makes the directory, and its name durable: what is synced inside it must not vanish with it. */
static enum status make_data_directory(const char *directory) {
  if (mkdir(directory, DIRECTORY_MODE) != 0) return errno == EEXIST ? STATUS_OK : status_of_errno(errno);
  char *parent = memory_grow_array(NULL, strlen(directory) + 4, 1);
  snprintf(parent, strlen(directory) + 4, "%s/..", directory);
  int descriptor = descriptors_open(AT_FDCWD, parent, O_RDONLY | O_DIRECTORY);
  enum status status = descriptor < 0 ? status_of_errno(errno) : sync_and_close(descriptor);
  memory_free(parent);
  return status;
}

enum status disk_os_open(const char *directory, bool create, struct disk **out_disk) {
  if (create) {
    enum status status = make_data_directory(directory);
    if (status != STATUS_OK) return status;
  }
  int descriptor = descriptors_open(AT_FDCWD, directory, O_RDONLY | O_DIRECTORY);
  if (descriptor < 0) return status_of_errno(errno);
  /* Beyond the limit on file sizes a write fails with EFBIG; the signal that comes with it would end the process. */
  signal(SIGXFSZ, SIG_IGN);
  struct disk_os *os = NEW(struct disk_os);
  os->disk.ops = &disk_os_ops;
  os->directory = descriptor;
  *out_disk = &os->disk;
  return STATUS_OK;
}

void disk_os_close(struct disk *disk) {
  if (disk == NULL) return;
  struct disk_os *os = disk_os_of(disk);
  close(os->directory);
  memory_free(os);
}
