/* What tests do to a simulated disk from outside: set it up, break it, look into it. */
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/memory.h"
#include "tests/sim/sim_device.h"

/* An NVMe drive that syncs in a tenth of a millisecond. */
static const struct sim_disk_latency default_latency = {
    .write_ns = 8000, .write_kib_ns = 250, .sync_ns = 80000, .read_ns = 40000, .name_ns = 10000};

struct sim_disk *sim_disk_new(struct sim *sim, const char *name, uint64_t capacity) {
  struct sim_disk *device = NEW(struct sim_disk);
  device->sim = sim;
  device->capacity = capacity;
  device->latency = default_latency;
  snprintf(device->name, sizeof device->name, "%s", name);
  sim_random_init(&device->chance, sim_seed(sim), device->name);
  list_init(&device->inodes);
  list_init(&device->renames);
  list_init(&device->faults);
  list_init(&device->mounts);
  device->root = sim_inode_new(++device->inode_id, true, "", &device->used);
  list_push_back(&device->inodes, &device->root->node);
  return device;
}

void sim_disk_free(struct sim_disk *device) {
  if (device == NULL) return;
  PRE(list_empty(&device->mounts));
  sim_disk_heal(device);
  list_for_each(&device->renames, node, following) sim_rename_free(list_entry(node, struct sim_rename, node));
  sim_inode_release(device->root);
  CHECK(list_empty(&device->inodes));
  memory_free(device);
}

void sim_disk_set_latency(struct sim_disk *device, const struct sim_disk_latency *latency) {
  device->latency = latency == NULL ? default_latency : *latency;
}
void sim_disk_set_capacity(struct sim_disk *device, uint64_t capacity) { device->capacity = capacity; }
uint64_t sim_disk_used(const struct sim_disk *device) { return device->used; }
uint64_t sim_disk_operations(const struct sim_disk *device) { return device->stats.operations; }
bool sim_disk_crashed(const struct sim_disk *device) { return device->crashed; }
struct sim_disk_stats sim_disk_stats(const struct sim_disk *device) {
  return device->stats;
}
uint64_t sim_disk_faults_fired(const struct sim_disk *device) { return device->faults_fired; }

void sim_disk_crash_at(struct sim_disk *device, uint64_t operation, enum sim_crash_point point) {
  device->crash_at = operation;
  device->crash_point = point;
}

void sim_disk_set_trace(struct sim_disk *device, void (*line)(void *context, const char *text), void *context) {
  device->trace = line;
  device->trace_context = context;
}

void sim_disk_fault(struct sim_disk *device, const char *sentence) {
  list_push_back(&device->faults, &sim_fault_parse(sentence)->node);
}

void sim_disk_heal(struct sim_disk *device) {
  for (struct list_node *node; (node = list_pop_front(&device->faults)) != NULL;) {
    memory_free(list_entry(node, struct sim_fault, node));
  }
}

const char *sim_power_cut_name(enum sim_power_cut mode) {
  static const char *const names[SIM_POWER_COUNT] = {"keep", "drop", "tear", "reorder", "prefix", "scramble"};
  return names[mode];
}

void sim_disk_power_cut(struct sim_disk *device, enum sim_power_cut mode, uint64_t salt) {
  list_for_each(&device->mounts, node, following) PRE(list_entry(node, struct sim_mount, node)->process->dead);
  struct sim_random random;
  sim_random_init(&random, sim_seed(device->sim) ^ (salt * 0x9e3779b97f4a7c15u), sim_power_cut_name(mode));
  list_for_each(&device->inodes, node, following) {
    sim_inode_power_cut(list_entry(node, struct sim_inode, node), mode, &random);
  }
  sim_names_power_cut(device, mode, &random);
  sim_note(device->sim, 4, (uint64_t)mode, salt);
}

void sim_disk_erase(struct sim_disk *device) {
  sim_disk_power_cut(device, SIM_POWER_DROP, 0);
  sim_names_deinit(&device->root->names);
  sim_names_deinit(&device->root->durable_names);
  sim_note(device->sim, 4, SIM_POWER_COUNT, 0);
}

static void copy_directory(struct sim_disk *device, struct sim_inode *into, const struct sim_inode *from) {
  for (size_t i = 0; i < from->names.count; i++) {
    const struct sim_inode *original = from->names.items[i].inode;
    struct sim_inode *copy = sim_inode_new(++device->inode_id, original->directory, original->path, &device->used);
    list_push_back(&device->inodes, &copy->node);
    sim_names_set(&into->names, from->names.items[i].text, copy);
    sim_names_set(&into->durable_names, from->names.items[i].text, copy);
    if (original->directory) copy_directory(device, copy, original);
    else sim_inode_copy(copy, original);
    sim_inode_release(copy); /* the names hold it now */
  }
}

void sim_disk_copy(struct sim_disk *into, const struct sim_disk *from) {
  sim_disk_erase(into);
  copy_directory(into, into->root, from->root);
}

unsigned sim_disk_flip(struct sim_disk *device, const char *pattern, uint64_t position, uint8_t mask) {
  unsigned count = 0;
  list_for_each(&device->inodes, node, following) {
    struct sim_inode *inode = list_entry(node, struct sim_inode, node);
    if (inode->directory || position >= inode->size || fnmatch(pattern, inode->path, 0) != 0) continue;
    sim_inode_flip(inode, position, mask);
    count++;
  }
  return count;
}

/* ---- Looking in ---- */

bool sim_disk_peek(const struct sim_disk *device, const char *path, uint64_t offset, void *into, size_t size) {
  const struct sim_inode *inode = sim_find(device, path);
  if (inode == NULL || inode->directory) return false;
  sim_inode_read(inode, offset, into, size, false);
  return true;
}

bool sim_disk_size(const struct sim_disk *device, const char *path, uint64_t *out_size) {
  const struct sim_inode *inode = sim_find(device, path);
  if (inode == NULL || inode->directory) return false;
  *out_size = inode->size;
  return true;
}

static void visit_directory(const struct sim_inode *directory, const char *prefix,
                            void (*visit)(void *context, const char *path, uint64_t size), void *context) {
  for (size_t i = 0; i < directory->names.count; i++) {
    const struct sim_name *name = &directory->names.items[i];
    char path[DISK_PATH_MAX * 2];
    snprintf(path, sizeof path, "%s%s%s", prefix, prefix[0] == '\0' ? "" : "/", name->text);
    if (name->inode->directory) visit_directory(name->inode, path, visit, context);
    else visit(context, path, name->inode->size);
  }
}

void sim_disk_each(struct sim_disk *device, void (*visit)(void *context, const char *path, uint64_t size), void *context) {
  visit_directory(device->root, "", visit, context);
}
