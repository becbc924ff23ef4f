/* Directories of the simulated disk: names that are seen at once and durable when their directory was synced. */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/memory.h"
#include "tests/sim/sim_device.h"

/* ---- Paths ---- */

static void pre_path(const char *path) { PRE(strlen(path) < DISK_PATH_MAX && path[0] != '/' && strstr(path, "..") == NULL); }

struct sim_inode *sim_find_parent(const struct sim_disk *device, const char *path, const char **out_name) {
  pre_path(path);
  struct sim_inode *at = device->root;
  for (;;) {
    const char *slash = strchr(path, '/');
    if (slash == NULL) break;
    char part[DISK_PATH_MAX];
    snprintf(part, sizeof part, "%.*s", (int)(slash - path), path);
    at = sim_names_get(&at->names, part);
    if (at == NULL || !at->directory) return NULL;
    path = slash + 1;
  }
  *out_name = path;
  return at;
}

struct sim_inode *sim_find(const struct sim_disk *device, const char *path) {
  const char *name = NULL;
  struct sim_inode *parent = sim_find_parent(device, path, &name);
  if (parent == NULL) return NULL;
  return name[0] == '\0' ? parent : sim_names_get(&parent->names, name);
}

/* ---- Changes on their way to being durable ---- */

static char *copy_or_null(const char *text) { return text == NULL ? NULL : memory_copy_string(text); }

static void add_change(struct sim_disk *device, struct sim_inode *from_directory, const char *from, struct sim_inode *directory,
                       const char *to, struct sim_inode *inode) {
  struct sim_rename *change = NEW(struct sim_rename);
  change->sequence = ++device->sequence;
  change->from_directory = from_directory == NULL ? NULL : sim_inode_hold(from_directory);
  change->directory = directory == NULL ? NULL : sim_inode_hold(directory);
  change->from = copy_or_null(from);
  change->to = copy_or_null(to);
  change->inode = sim_inode_hold(inode);
  list_push_back(&device->renames, &change->node);
}

void sim_rename_free(struct sim_rename *change) {
  list_remove(&change->node);
  sim_inode_release(change->from_directory);
  sim_inode_release(change->directory);
  sim_inode_release(change->inode);
  memory_free(change->from);
  memory_free(change->to);
  memory_free(change);
}

static void make_durable(struct sim_rename *change) {
  if (change->from_directory != NULL && sim_names_get(&change->from_directory->durable_names, change->from) == change->inode) {
    sim_names_set(&change->from_directory->durable_names, change->from, NULL);
  }
  if (change->directory != NULL) sim_names_set(&change->directory->durable_names, change->to, change->inode);
  else change->inode->gone = change->inode->directory;
}

static bool is_gone(const struct sim_inode *directory) { return directory == NULL || directory->gone; }

/* What nobody can sync any more holds nothing. */
static void forget_gone(struct sim_disk *device) {
  list_for_each(&device->renames, node, following) {
    struct sim_rename *change = list_entry(node, struct sim_rename, node);
    change->from_synced = change->from_synced || is_gone(change->from_directory);
    if (is_gone(change->from_directory) && is_gone(change->directory)) sim_rename_free(change);
  }
}

static bool touches(const struct sim_rename *change, const struct sim_inode *directory, const char *name) {
  if (directory == NULL) return false;
  return (change->from_directory == directory && strcmp(change->from, name) == 0) ||
         (change->directory == directory && strcmp(change->to, name) == 0);
}

/* One name's changes survive in order. */
static bool depends_on_lost(const struct sim_disk *device, const struct sim_rename *change) {
  list_for_each(&device->renames, node, following) {
    const struct sim_rename *earlier = list_entry(node, struct sim_rename, node);
    if (earlier == change) return false;
    if (!earlier->lost) continue;
    if (touches(earlier, change->from_directory, change->from) || touches(earlier, change->directory, change->to)) return true;
  }
  return false;
}

void sim_names_power_cut(struct sim_disk *device, enum sim_power_cut mode, struct sim_random *random) {
  size_t count = 0;
  size_t at = 0;
  list_for_each(&device->renames, node, following) count++;
  size_t prefix = sim_random_below(random, count + 1);
  list_for_each(&device->renames, node, following) {
    struct sim_rename *change = list_entry(node, struct sim_rename, node);
    bool kept = sim_random_chance(random, 50);
    if (mode == SIM_POWER_KEEP) kept = true;
    if (mode == SIM_POWER_DROP) kept = false;
    if (mode == SIM_POWER_PREFIX) kept = at < prefix;
    if (!kept || depends_on_lost(device, change)) change->lost = true;
    at++;
  }
  list_for_each(&device->renames, node, following) {
    struct sim_rename *change = list_entry(node, struct sim_rename, node);
    if (!change->lost) make_durable(change);
  }
  list_for_each(&device->renames, node, following) sim_rename_free(list_entry(node, struct sim_rename, node));
  list_for_each(&device->inodes, node, following) {
    struct sim_inode *inode = list_entry(node, struct sim_inode, node);
    sim_inode_hold(inode); /* the copy may drop the last name of it, or of the one that follows */
  }
  list_for_each(&device->inodes, node, following) {
    struct sim_inode *inode = list_entry(node, struct sim_inode, node);
    if (inode->directory) sim_names_copy(&inode->names, &inode->durable_names);
  }
  list_for_each(&device->inodes, node, following) sim_inode_release(list_entry(node, struct sim_inode, node));
}

/* Everything in this directory up to `sequence`. A move between directories wants both synced. */
static void settle_directory(struct sim_disk *device, struct sim_inode *directory, uint64_t sequence) {
  list_for_each(&device->renames, node, following) {
    struct sim_rename *change = list_entry(node, struct sim_rename, node);
    if (change->sequence > sequence) break;
    bool here = change->from_directory == directory || change->directory == directory;
    if (!here) continue;
    if (change->from_directory == directory || change->from_directory == NULL) change->from_synced = true;
    if (change->directory == directory || change->directory == NULL) change->to_synced = true;
    if (!change->from_synced || !change->to_synced) continue;
    make_durable(change);
    sim_rename_free(change);
  }
  forget_gone(device);
}

/* ---- The door ---- */

struct sim_inode *sim_link_new(struct sim_disk *device, const char *path, bool directory) {
  const char *name = NULL;
  struct sim_inode *parent = sim_find_parent(device, path, &name);
  PRE(parent != NULL);
  struct sim_inode *inode = sim_inode_new(++device->inode_id, directory, path, &device->used);
  list_push_back(&device->inodes, &inode->node);
  sim_names_set(&parent->names, name, inode);
  add_change(device, NULL, NULL, parent, name, inode);
  sim_inode_release(inode); /* names and changes hold it now */
  return inode;
}

enum status sim_names_stat(struct disk *disk, const char *path, struct disk_stat *out_stat) {
  struct sim_call call;
  enum status status = STATUS_OK;
  if (!sim_call_begin(&call, sim_mount_of(disk), SIM_STAT, path, false, &status)) return status;
  const struct sim_inode *inode = sim_find(call.mount->device, path);
  if (inode == NULL) return sim_call_end(&call, STATUS_NOT_FOUND);
  *out_stat = (struct disk_stat){.size = inode->directory ? 0 : inode->size, .is_directory = inode->directory};
  return sim_call_end(&call, STATUS_OK);
}

static void move_name(struct sim_disk *device, const char *from, const char *to) {
  const char *from_name = NULL;
  const char *to_name = NULL;
  struct sim_inode *from_parent = sim_find_parent(device, from, &from_name);
  struct sim_inode *to_parent = sim_find_parent(device, to, &to_name);
  struct sim_inode *inode = sim_inode_hold(sim_names_get(&from_parent->names, from_name));
  add_change(device, from_parent, from_name, to_parent, to_name, inode);
  sim_names_set(&from_parent->names, from_name, NULL);
  sim_names_set(&to_parent->names, to_name, inode);
  snprintf(inode->path, sizeof inode->path, "%s", to);
  sim_inode_release(inode);
}

enum status sim_names_rename(struct disk *disk, const char *from, const char *to) {
  struct sim_call call;
  enum status status = STATUS_OK;
  if (!sim_call_begin(&call, sim_mount_of(disk), SIM_RENAME, from, true, &status)) return status;
  struct sim_disk *device = call.mount->device;
  const char *name = NULL;
  device->stats.renames++;
  if (sim_find(device, from) == NULL || sim_find_parent(device, to, &name) == NULL) {
    return sim_call_end(&call, STATUS_NOT_FOUND);
  }
  if (!call.dies_during) move_name(device, from, to);
  return sim_call_end(&call, STATUS_OK);
}

enum status sim_names_remove(struct disk *disk, const char *path) {
  struct sim_call call;
  enum status status = STATUS_OK;
  if (!sim_call_begin(&call, sim_mount_of(disk), SIM_REMOVE, path, true, &status)) return status;
  struct sim_disk *device = call.mount->device;
  const char *name = NULL;
  device->stats.removes++;
  struct sim_inode *parent = sim_find_parent(device, path, &name);
  struct sim_inode *inode = parent == NULL ? NULL : sim_names_get(&parent->names, name);
  if (inode == NULL) return sim_call_end(&call, STATUS_NOT_FOUND);
  if (inode->names.count > 0) return sim_call_end(&call, STATUS_EXISTS);
  if (!call.dies_during) {
    add_change(device, parent, name, NULL, NULL, inode);
    sim_names_set(&parent->names, name, NULL);
  }
  return sim_call_end(&call, STATUS_OK);
}

enum status sim_names_make_dir(struct disk *disk, const char *path) {
  struct sim_call call;
  enum status status = STATUS_OK;
  const char *name = NULL;
  if (!sim_call_begin(&call, sim_mount_of(disk), SIM_MAKE_DIR, path, true, &status)) return status;
  struct sim_disk *device = call.mount->device;
  if (sim_find_parent(device, path, &name) == NULL) return sim_call_end(&call, STATUS_NOT_FOUND);
  if (sim_find(device, path) != NULL) return sim_call_end(&call, STATUS_EXISTS);
  if (!call.dies_during) sim_link_new(device, path, true);
  return sim_call_end(&call, STATUS_OK);
}

enum status sim_names_sync_dir(struct disk *disk, const char *path) {
  struct sim_call call;
  enum status status = STATUS_OK;
  if (!sim_call_begin(&call, sim_mount_of(disk), SIM_SYNC_DIR, path, true, &status)) return status;
  struct sim_disk *device = call.mount->device;
  struct sim_inode *directory = sim_find(device, path);
  if (directory == NULL || !directory->directory) return sim_call_end(&call, STATUS_NOT_FOUND);
  device->stats.syncs++;
  uint64_t sequence = device->sequence;
  sim_inode_hold(directory);
  if (sim_call_wait(&call) && call.verdict.kind != SIM_FAULT_LIE) {
    /* Unlike pages, names that could not be synced stay to be synced. */
    if (call.verdict.kind == SIM_FAULT_FAIL) status = call.verdict.status;
    else settle_directory(device, directory, sequence);
  }
  sim_inode_release(directory);
  return sim_call_end(&call, status);
}

enum status sim_names_list(struct disk *disk, const char *path, void (*visit)(void *context, const char *name), void *context) {
  struct sim_call call;
  enum status status = STATUS_OK;
  if (!sim_call_begin(&call, sim_mount_of(disk), SIM_LIST, path, false, &status)) return status;
  struct sim_inode *directory = sim_find(call.mount->device, path);
  if (directory == NULL || !directory->directory) return sim_call_end(&call, STATUS_NOT_FOUND);
  status = sim_call_end(&call, STATUS_OK);
  if (status != STATUS_OK) return status;
  struct sim_names names = {0}; /* the visitor may remove what it sees */
  sim_names_copy(&names, &directory->names);
  for (size_t i = 0; i < names.count; i++) visit(context, names.items[i].text);
  sim_names_deinit(&names);
  return STATUS_OK;
}
