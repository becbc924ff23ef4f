/* The files of the simulated disk, behind disk.h's door. */
#include "tests/sim/sim_disk.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/codec.h"
#include "base/memory.h"
#include "tests/sim/sim_device.h"

struct disk_lock {
  struct sim_mount *mount;
  struct sim_inode *inode;
};

static struct sim_handle *handle_of(struct disk_file *file) { return container_of(file, struct sim_handle, file); }

/* ---- What every operation goes through ---- */

static void kill_all(struct sim_disk *device) {
  device->crashed = true;
  list_for_each(&device->mounts, node, following) sim_process_kill(list_entry(node, struct sim_mount, node)->process);
}

static void count_call(struct sim_call *call) {
  struct sim_disk *device = call->mount->device;
  if (!call->counted) return;
  call->number = ++device->stats.operations;
  if (call->verdict.kind == SIM_FAULT_CRASH) call->dies_during = true;
  if (device->crash_at != call->number) return;
  if (device->crash_point == SIM_CRASH_BEFORE) kill_all(device);
  if (device->crash_point == SIM_CRASH_DURING) call->dies_during = true;
  if (device->crash_point == SIM_CRASH_AFTER) call->dies_after = true;
}

static uint64_t base_latency_ns(const struct sim_disk_latency *latency, enum sim_operation operation) {
  switch (operation) {
    case SIM_SYNC:
    case SIM_SYNC_DIR: return latency->sync_ns;
    case SIM_WRITE: return latency->write_ns;
    case SIM_READ: return latency->read_ns;
    default: return latency->name_ns;
  }
}

bool sim_call_begin(struct sim_call *call, struct sim_mount *mount, enum sim_operation operation, const char *path, bool counts,
                    enum status *out_status) {
  struct sim_disk *device = mount->device;
  *call = (struct sim_call){.mount = mount, .operation = operation, .path = path, .counted = counts};
  *out_status = STATUS_IO;
  if (!sim_block(mount->process, 0)) return false;
  call->verdict = sim_faults_judge(&device->faults, operation, path, &device->faults_fired);
  count_call(call);
  if (mount->process->dead) return false;
  uint64_t base_ns = base_latency_ns(&device->latency, operation) * call->verdict.factor;
  call->latency_ns = base_ns + sim_random_below(&device->chance, base_ns + 1);
  bool partial = operation == SIM_WRITE || operation == SIM_SYNC || operation == SIM_SYNC_DIR;
  *out_status = STATUS_OK;
  if (call->verdict.kind != SIM_FAULT_FAIL || partial) return true;
  *out_status = sim_call_end(call, call->verdict.status);
  return false;
}

bool sim_call_wait(struct sim_call *call) {
  if (call->dies_during) kill_all(call->mount->device);
  uint64_t latency_ns = call->latency_ns;
  call->latency_ns = 0;
  return sim_block(call->mount->process, latency_ns);
}

static void trace(const struct sim_call *call, enum status status) {
  const struct sim_disk *device = call->mount->device;
  if (device->trace == NULL) return;
  char line[DISK_PATH_MAX + 160];
  snprintf(line, sizeof line, "%6llu %.6f %-9s %s %s offset=%llu size=%llu %s%s", (unsigned long long)call->number,
           (double)sim_now_ns(device->sim) / 1e9, call->mount->process->name, sim_operation_name(call->operation), call->path,
           (unsigned long long)call->offset, (unsigned long long)call->size, status_name(status),
           call->dies_during || call->dies_after ? " CRASH" : "");
  device->trace(device->trace_context, line);
}

enum status sim_call_end(struct sim_call *call, enum status status) {
  struct sim_disk *device = call->mount->device;
  if (call->dies_after) kill_all(device);
  if (!sim_call_wait(call)) status = STATUS_IO;
  sim_note(device->sim, 16 + (uint64_t)call->operation, call->offset ^ (call->size << 32), (uint64_t)status);
  trace(call, status);
  return status;
}

/* ---- Open and close ---- */

static bool path_allowed(const char *path) {
  size_t size = strnlen(path, DISK_PATH_MAX);
  if (size == 0 || size == DISK_PATH_MAX || path[0] == '/' || path[size - 1] == '/') return false;
  return strstr(path, "..") == NULL && strstr(path, "//") == NULL && path[0] != '.';
}

static enum status open_inode(struct sim_call *call, const char *path, unsigned flags, struct sim_inode **out_inode) {
  const char *name = NULL;
  struct sim_disk *device = call->mount->device;
  struct sim_inode *inode = sim_find(device, path);
  if (inode == NULL) {
    if (!(flags & DISK_CREATE) || sim_find_parent(device, path, &name) == NULL) return STATUS_NOT_FOUND;
    if (!call->dies_during) inode = sim_link_new(device, path, false);
  } else if (flags & DISK_EXCLUSIVE) {
    return STATUS_EXISTS;
  } else if (inode->directory) {
    return STATUS_IO;
  }
  *out_inode = inode == NULL ? NULL : sim_inode_hold(inode);
  return STATUS_OK;
}

static enum status sim_open(struct disk *disk, const char *path, unsigned flags, struct disk_file **out_file) {
  PRE(IMPLIES(flags & DISK_EXCLUSIVE, flags & DISK_CREATE));
  PRE(IMPLIES(flags & DISK_CREATE, !(flags & DISK_READ_ONLY)));
  struct sim_call call;
  enum status status = STATUS_OK;
  if (!path_allowed(path)) return STATUS_INVALID;
  bool creates = (flags & DISK_CREATE) != 0 && sim_find(sim_mount_of(disk)->device, path) == NULL;
  if (!sim_call_begin(&call, sim_mount_of(disk), SIM_OPEN, path, creates, &status)) return status;
  struct sim_inode *inode = NULL;
  status = open_inode(&call, path, flags, &inode);
  status = sim_call_end(&call, status);
  if (status != STATUS_OK) {
    sim_inode_release(inode);
    return status;
  }
  struct sim_handle *handle = NEW(struct sim_handle);
  handle->file.disk = disk;
  handle->inode = inode;
  handle->flags = flags;
  call.mount->handles++;
  *out_file = &handle->file;
  return STATUS_OK;
}

static void sim_close(struct disk_file *file) {
  struct sim_handle *handle = handle_of(file);
  sim_mount_of(file->disk)->handles--;
  sim_inode_release(handle->inode);
  memory_free(handle);
}

/* ---- Reads ---- */

static void pre_aligned(const struct sim_handle *handle, uint64_t number) {
  PRE(IMPLIES(handle->flags & DISK_DIRECT, number % DISK_BLOCK_SIZE == 0));
}

static enum status sim_read(struct disk_file *file, uint64_t offset, void *into, size_t size, size_t *out_size) {
  struct sim_handle *handle = handle_of(file);
  struct sim_mount *mount = sim_mount_of(file->disk);
  struct sim_call call;
  enum status status = STATUS_OK;
  pre_aligned(handle, offset);
  pre_aligned(handle, size);
  pre_aligned(handle, (uintptr_t)into);
  if (!sim_call_begin(&call, mount, SIM_READ, handle->inode->path, false, &status)) return status;
  call.offset = offset;
  call.size = size;
  mount->device->stats.reads++;
  bool cached = !(handle->flags & DISK_DIRECT);
  if (cached && handle->inode->failed_by == mount) mount->device->stats.cached_after_failure++;
  uint64_t file_size = handle->inode->size;
  size_t got = offset >= file_size ? 0 : (size_t)(file_size - offset < size ? file_size - offset : size);
  sim_inode_read(handle->inode, offset, into, got, cached);
  status = sim_call_end(&call, STATUS_OK);
  if (status == STATUS_OK) *out_size = got;
  return status;
}

/* ---- Writes ---- */

/* In one piece: what is not is copied into `out_copy`, which the caller frees. */
static struct bytes gather(const struct sim_handle *handle, const struct bytes *parts, size_t count, uint8_t **out_copy) {
  size_t size = 0;
  for (size_t i = 0; i < count; i++) {
    pre_aligned(handle, parts[i].size);
    pre_aligned(handle, (uintptr_t)parts[i].data);
    size += parts[i].size;
  }
  if (count == 1) return parts[0]; /* the writer waits for the write, and leaves its bytes alone */
  uint8_t *all = memory_new(size);
  size_t at = 0;
  for (size_t i = 0; i < count; i++) {
    if (parts[i].size > 0) memcpy(all + at, parts[i].data, parts[i].size);
    at += parts[i].size;
  }
  *out_copy = all;
  return bytes_of(all, size);
}

/* How much of it the disk has room for. */
static size_t room_for(const struct sim_disk *device, const struct sim_inode *inode, uint64_t offset, size_t size) {
  uint64_t room = inode->charged + (device->used < device->capacity ? device->capacity - device->used : 0);
  if (offset + size <= room || offset + size <= inode->charged) return size;
  return offset >= room ? 0 : (size_t)(room - offset);
}

/* Some sectors of it, as when power or the device fails in the middle. */
static void write_partly(struct sim_disk *device, struct sim_inode *inode, uint64_t offset, struct bytes bytes, bool buffered) {
  for (size_t at = 0; at < bytes.size;) {
    size_t part = SIM_SECTOR_SIZE - (offset + at) % SIM_SECTOR_SIZE;
    if (part > bytes.size - at) part = bytes.size - at;
    if (sim_random_chance(&device->chance, 50)) {
      sim_inode_write(inode, device->sequence, offset + at, bytes_of(bytes.data + at, part), buffered);
    }
    at += part;
  }
}

static void handle_failed(struct sim_handle *handle) {
  handle->failed = true;
  handle->inode->failed_by = sim_mount_of(handle->file.disk);
}

/* The second half of a write-through: a sync of this write alone. */
static enum status sync_through(struct sim_call *call, struct sim_handle *handle, uint64_t sequence) {
  struct sim_disk *device = call->mount->device;
  struct sim_verdict verdict = sim_faults_judge(&device->faults, SIM_SYNC, handle->inode->path, &device->faults_fired);
  uint64_t sync_ns = device->latency.sync_ns * verdict.factor;
  call->latency_ns += sync_ns + sim_random_below(&device->chance, sync_ns + 1);
  if (verdict.kind == SIM_FAULT_CRASH) call->dies_during = true;
  if (!sim_call_wait(call) || verdict.kind == SIM_FAULT_LIE) return STATUS_OK;
  if (verdict.kind == SIM_FAULT_FAIL) {
    sim_inode_lose(handle->inode, sequence);
    handle_failed(handle);
    return STATUS_IO;
  }
  sim_inode_sync_write(handle->inode, sequence);
  return STATUS_OK;
}

static enum status do_write(struct sim_call *call, struct sim_handle *handle, struct bytes bytes) {
  struct sim_disk *device = call->mount->device;
  bool buffered = !(handle->flags & DISK_DIRECT);
  uint64_t sequence = ++device->sequence;
  bool fails = call->verdict.kind == SIM_FAULT_FAIL;
  if (fails && call->verdict.status == STATUS_NO_SPACE) return STATUS_NO_SPACE;
  if (fails || call->dies_during) {
    write_partly(device, handle->inode, call->offset, bytes, buffered);
    if (fails) handle_failed(handle);
    return STATUS_IO;
  }
  size_t room = room_for(device, handle->inode, call->offset, bytes.size);
  sim_inode_write(handle->inode, sequence, call->offset, bytes_of(bytes.data, room), buffered);
  device->stats.bytes_written += room;
  if (room < bytes.size) return STATUS_NO_SPACE;
  return handle->flags & DISK_WRITE_THROUGH ? sync_through(call, handle, sequence) : STATUS_OK;
}

static enum status sim_write(struct disk_file *file, uint64_t offset, const struct bytes *parts, size_t count) {
  struct sim_handle *handle = handle_of(file);
  struct sim_mount *mount = sim_mount_of(file->disk);
  struct sim_call call;
  enum status status = STATUS_OK;
  PRE(!(handle->flags & DISK_READ_ONLY));
  pre_aligned(handle, offset);
  if (handle->failed) return STATUS_IO;
  uint8_t *copy = NULL;
  struct bytes bytes = gather(handle, parts, count, &copy);
  if (sim_call_begin(&call, mount, SIM_WRITE, handle->inode->path, true, &status)) {
    call.offset = offset;
    call.size = bytes.size;
    call.latency_ns += mount->device->latency.write_kib_ns * call.verdict.factor * (bytes.size / 1024);
    mount->device->stats.writes++;
    if (handle->inode->failed_by == mount) mount->device->stats.written_after_failure++;
    sim_note(mount->device->sim, 3, handle->inode->id, xxh3(offset, bytes));
    status = sim_call_end(&call, do_write(&call, handle, bytes));
  }
  memory_free(copy);
  return status;
}

static enum status sim_sync(struct disk_file *file) {
  struct sim_handle *handle = handle_of(file);
  struct sim_mount *mount = sim_mount_of(file->disk);
  struct sim_call call;
  enum status status = STATUS_OK;
  if (handle->failed) return STATUS_IO;
  if (!sim_call_begin(&call, mount, SIM_SYNC, handle->inode->path, true, &status)) return status;
  mount->device->stats.syncs++;
  uint64_t sequence = mount->device->sequence;
  if (sim_call_wait(&call) && call.verdict.kind != SIM_FAULT_LIE) {
    if (call.verdict.kind == SIM_FAULT_FAIL) {
      sim_inode_lose(handle->inode, sequence);
      handle_failed(handle);
      status = STATUS_IO;
    } else {
      sim_inode_sync(handle->inode, sequence);
    }
  }
  return sim_call_end(&call, status);
}

static enum status sim_truncate(struct disk_file *file, uint64_t size) {
  struct sim_handle *handle = handle_of(file);
  struct sim_mount *mount = sim_mount_of(file->disk);
  struct sim_call call;
  enum status status = STATUS_OK;
  PRE(!(handle->flags & DISK_READ_ONLY));
  if (handle->failed) return STATUS_IO;
  if (!sim_call_begin(&call, mount, SIM_TRUNCATE, handle->inode->path, true, &status)) return status;
  call.size = size;
  if (room_for(mount->device, handle->inode, 0, size) < size) return sim_call_end(&call, STATUS_NO_SPACE);
  if (!call.dies_during) sim_inode_truncate(handle->inode, ++mount->device->sequence, size);
  return sim_call_end(&call, STATUS_OK);
}

static enum status sim_stat_file(struct disk_file *file, struct disk_stat *out_stat) {
  struct sim_handle *handle = handle_of(file);
  struct sim_call call;
  enum status status = STATUS_OK;
  if (!sim_call_begin(&call, sim_mount_of(file->disk), SIM_STAT, handle->inode->path, false, &status)) return status;
  *out_stat = (struct disk_stat){.size = handle->inode->size};
  return sim_call_end(&call, STATUS_OK);
}

static void sim_advise_dont_need(struct disk_file *file, uint64_t offset, uint64_t size) {
  (void)file;
  (void)offset;
  (void)size;
}

static enum status sim_space(struct disk *disk, struct disk_space *out_space) {
  const struct sim_mount *mount = sim_mount_of(disk);
  const struct sim_disk *device = mount->device;
  if (mount->process->dead) return STATUS_IO;
  out_space->total = device->capacity;
  out_space->available = device->used < device->capacity ? device->capacity - device->used : 0;
  return STATUS_OK;
}

/* ---- Locks ---- */

static bool held_by_the_living(const struct sim_inode *inode) {
  const struct sim_mount *holder = inode->locked_by;
  return holder != NULL && !holder->process->dead;
}

static enum status sim_lock(struct disk *disk, const char *path, struct disk_lock **out_lock) {
  struct sim_mount *mount = sim_mount_of(disk);
  struct sim_call call;
  enum status status = STATUS_OK;
  if (!path_allowed(path)) return STATUS_INVALID;
  bool creates = sim_find(mount->device, path) == NULL;
  if (!sim_call_begin(&call, mount, SIM_LOCK, path, creates, &status)) return status;
  struct sim_inode *inode = NULL;
  status = open_inode(&call, path, DISK_CREATE, &inode);
  if (status == STATUS_OK && inode != NULL && held_by_the_living(inode)) status = STATUS_LOCKED;
  status = sim_call_end(&call, status);
  if (status != STATUS_OK) {
    sim_inode_release(inode);
    return status;
  }
  struct disk_lock *lock = NEW(struct disk_lock);
  lock->mount = mount;
  lock->inode = inode;
  inode->locked_by = mount;
  mount->handles++;
  *out_lock = lock;
  return STATUS_OK;
}

static void sim_unlock(struct disk_lock *lock) {
  if (lock->inode->locked_by == lock->mount) lock->inode->locked_by = NULL;
  lock->mount->handles--;
  sim_inode_release(lock->inode);
  memory_free(lock);
}

/* ---- Mounts ---- */

static enum status names_or_invalid(struct disk *disk, const char *path,
                                    enum status (*operation)(struct disk *disk, const char *path)) {
  return path_allowed(path) ? operation(disk, path) : STATUS_INVALID;
}

static enum status sim_remove(struct disk *disk, const char *path) { return names_or_invalid(disk, path, sim_names_remove); }
static enum status sim_make_dir(struct disk *disk, const char *path) { return names_or_invalid(disk, path, sim_names_make_dir); }
static enum status sim_rename(struct disk *disk, const char *from, const char *to) {
  return path_allowed(from) && path_allowed(to) ? sim_names_rename(disk, from, to) : STATUS_INVALID;
}
static enum status sim_stat(struct disk *disk, const char *path, struct disk_stat *out_stat) {
  return path[0] == '\0' || path_allowed(path) ? sim_names_stat(disk, path, out_stat) : STATUS_INVALID;
}

static const struct disk_ops sim_disk_ops = {
    .open = sim_open,
    .close = sim_close,
    .read = sim_read,
    .write = sim_write,
    .sync = sim_sync,
    .truncate = sim_truncate,
    .stat_file = sim_stat_file,
    .advise_dont_need = sim_advise_dont_need,
    .stat = sim_stat,
    .rename = sim_rename,
    .remove = sim_remove,
    .make_dir = sim_make_dir,
    .sync_dir = sim_names_sync_dir,
    .list = sim_names_list,
    .space = sim_space,
    .lock = sim_lock,
    .unlock = sim_unlock,
};

struct disk *sim_disk_mount(struct sim_disk *device, struct sim_process *process) {
  struct sim_mount *mount = NEW(struct sim_mount);
  mount->disk.ops = &sim_disk_ops;
  mount->device = device;
  mount->process = process;
  list_push_back(&device->mounts, &mount->node);
  device->crashed = false;
  return &mount->disk;
}

void sim_disk_unmount(struct disk *disk) {
  struct sim_mount *mount = sim_mount_of(disk);
  CHECK_MSG(mount->handles == 0, "%s: %zu files were not closed", mount->process->name, mount->handles);
  list_for_each(&mount->device->inodes, node, following) {
    struct sim_inode *inode = list_entry(node, struct sim_inode, node);
    if (inode->failed_by == mount) inode->failed_by = NULL;
  }
  list_remove(&mount->node);
  memory_free(mount);
}
