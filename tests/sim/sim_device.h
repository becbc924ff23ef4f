/* The inside of a simulated disk, shared by sim_disk.c (files), sim_disk_names.c (directories) and sim_disk_admin.c (what tests
 * do to it). Nobody else includes it.
 */
#ifndef CAIRN_TESTS_SIM_SIM_DEVICE_H
#define CAIRN_TESTS_SIM_SIM_DEVICE_H

#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_fault.h"
#include "tests/sim/sim_inode.h"
#include "tests/sim/sim_random.h"

/* A change of names that no directory sync has covered. A link has no `from_directory`, a removal no `directory`. */
struct sim_rename {
  struct list_node node;
  uint64_t sequence;
  struct sim_inode *from_directory;
  char *from;
  struct sim_inode *directory;
  char *to;
  struct sim_inode *inode;
  bool from_synced;
  bool to_synced;
  bool lost; /* by a power cut */
};

struct sim_disk {
  struct sim *sim;
  char name[32];
  struct sim_random chance;
  struct sim_disk_latency latency;
  uint64_t capacity;
  uint64_t used;
  uint64_t sequence;
  uint64_t inode_id;
  struct list inodes;
  struct list renames;
  struct list faults;
  struct list mounts;
  struct sim_inode *root;
  struct sim_inode *durable_root;
  uint64_t faults_fired;
  uint64_t crash_at;
  enum sim_crash_point crash_point;
  bool crashed;
  struct sim_disk_stats stats;
  void (*trace)(void *context, const char *text);
  void *trace_context;
};

struct sim_mount {
  struct disk disk;
  struct list_node node;
  struct sim_disk *device;
  struct sim_process *process;
  size_t handles;
};

struct sim_handle {
  struct disk_file file;
  struct sim_inode *inode;
  unsigned flags;
  bool failed; /* this process saw a write or sync of it fail */
};

/* One operation on its way: sim_disk_begin() judges and counts it, sim_disk_end() lets the time pass and traces it. */
struct sim_call {
  struct sim_mount *mount;
  enum sim_operation operation;
  const char *path;
  struct sim_verdict verdict;
  bool counted;
  bool dies_during; /* do a part of it, then end */
  bool dies_after;
  uint64_t number;
  uint64_t offset;
  uint64_t size;
  uint64_t latency_ns;
};

/* False: it failed before it had any effect, with *out_status. `counts`: it changes something. */
bool sim_call_begin(struct sim_call *call, struct sim_mount *mount, enum sim_operation operation, const char *path, bool counts,
                    enum status *out_status);
/* Kills if it must, waits, and returns the status to answer: STATUS_IO when the process died meanwhile. */
enum status sim_call_end(struct sim_call *call, enum status status);
/* The middle of a sync: whether it still takes effect. */
bool sim_call_wait(struct sim_call *call);

static inline struct sim_mount *sim_mount_of(struct disk *disk) { return container_of(disk, struct sim_mount, disk); }

struct sim_inode *sim_find(const struct sim_disk *device, const char *path);
/* The directory of a path, and its last name. NULL: no such directory. */
struct sim_inode *sim_find_parent(const struct sim_disk *device, const char *path, const char **out_name);
struct sim_inode *sim_link_new(struct sim_disk *device, const char *path, bool directory); /* PRE: the parent is there */

enum status sim_names_stat(struct disk *disk, const char *path, struct disk_stat *out_stat);
enum status sim_names_rename(struct disk *disk, const char *from, const char *to);
enum status sim_names_remove(struct disk *disk, const char *path);
enum status sim_names_make_dir(struct disk *disk, const char *path);
enum status sim_names_sync_dir(struct disk *disk, const char *path);
enum status sim_names_list(struct disk *disk, const char *path, void (*visit)(void *context, const char *name), void *context);
void sim_names_power_cut(struct sim_disk *device, enum sim_power_cut mode, struct sim_random *random);
void sim_rename_free(struct sim_rename *change);

#endif
