/* A disk that behaves like the worst one that is still a disk. It outlives the processes that use it.
 *
 * What a file's readers see, what is durable, and what stands between are three things. A write is seen at once and is one of the
 * file's unsynced writes until a sync has covered it; so are size changes, and names in a directory. A power cut decides each
 * unsynced 512-byte sector, size and name by itself: kept or lost. A killed process loses nothing: the cache lives on.
 *
 * 1. A sync covers what was written before it began, when it returns; nothing sooner.
 * 2. Sectors are atomic, writes are not: later sectors and writes may survive where earlier ones do not.
 * 3. A rename is atomic. A name's changes survive in order (the second never without the first); different names have no order.
 * 4. After a failed write or sync the cache shows data that the device never got: buffered reads see them until the power goes,
 *    direct reads do not, and a repeated sync says OK and saves nothing.
 * 5. A file that was renamed or recycled keeps its bytes; pages of zeros cost no memory.
 *
 * Operations that change something are counted, from 1: they are the points at which a run may crash.
 */
#ifndef CAIRN_TESTS_SIM_SIM_DISK_H
#define CAIRN_TESTS_SIM_SIM_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/disk.h"
#include "tests/sim/sim.h"

struct sim_disk;

/* How long things take: a base, a price per KiB, and a jitter of up to as much again. */
struct sim_disk_latency {
  uint64_t write_ns;
  uint64_t write_kib_ns;
  uint64_t sync_ns;
  uint64_t read_ns;
  uint64_t name_ns;
};

struct sim_disk *sim_disk_new(struct sim *sim, const char *name, uint64_t capacity);        /* copies `name` */
void sim_disk_free(struct sim_disk *device);                                                /* PRE: nothing is mounted */
void sim_disk_set_latency(struct sim_disk *device, const struct sim_disk_latency *latency); /* NULL: as it was new */
void sim_disk_set_capacity(struct sim_disk *device, uint64_t capacity);
uint64_t sim_disk_used(const struct sim_disk *device);

/* The door, for one process. Its locks end with it. */
struct disk *sim_disk_mount(struct sim_disk *device, struct sim_process *process);
void sim_disk_unmount(struct disk *disk); /* PRE: its files are closed */

/* ---- Crashes ---- */

enum sim_crash_point { SIM_CRASH_BEFORE, SIM_CRASH_DURING, SIM_CRASH_AFTER };

/* Kills every process that has it mounted at the k-th counted operation: before it has any effect, after a part of it (some
 * sectors of a write, in the cache), or after all of it but before anybody is told. 0: never. */
void sim_disk_crash_at(struct sim_disk *device, uint64_t operation, enum sim_crash_point point);
bool sim_disk_crashed(const struct sim_disk *device);
uint64_t sim_disk_operations(const struct sim_disk *device);

enum sim_power_cut {
  SIM_POWER_KEEP,     /* everything had reached the device: also what a kill leaves, but for failed writes */
  SIM_POWER_DROP,     /* nothing unsynced did */
  SIM_POWER_TEAR,     /* each sector, size and name by itself */
  SIM_POWER_REORDER,  /* each write whole or not at all, newer ones rather than older ones */
  SIM_POWER_PREFIX,   /* everything up to some write of each file, nothing after it */
  SIM_POWER_SCRAMBLE, /* as TEAR, and a sector may also be half written or full of noise */
  SIM_POWER_COUNT
};
const char *sim_power_cut_name(enum sim_power_cut mode);

/* Decides what is left and forgets the cache. PRE: every process that has it mounted is dead. `salt` varies the draw. */
void sim_disk_power_cut(struct sim_disk *device, enum sim_power_cut mode, uint64_t salt);

/* It is empty, as one that was just bought. PRE: every process that has it mounted is dead. */
void sim_disk_erase(struct sim_disk *device);

/* It has all that another one shows at this moment, durably, and nothing else. PRE: every process that has it mounted is dead. */
void sim_disk_copy(struct sim_disk *into, const struct sim_disk *from);

/* ---- Faults ---- */

/* One sentence; patterns are fnmatch(3) over whole paths, where '*' also matches '/'.
 *
 *   fail [WHICH] OP on PATTERN [with io|no_space|denied]
 *   lie [WHICH] sync on PATTERN            says OK, makes nothing durable (also write-through)
 *   slow [WHICH] OP on PATTERN by N        N times the latency
 *   crash [WHICH] OP on PATTERN            as sim_disk_crash_at(DURING)
 *
 * WHICH: 1st, 2nd, 3rd, 4th, ... counted from now, or "every" (the default). OP: open read write sync truncate stat rename remove
 * make_dir sync_dir list lock, or any. A write that fails with io leaves some of its sectors; a sync that fails leaves none (4). */
void sim_disk_fault(struct sim_disk *device, const char *sentence);
void sim_disk_heal(struct sim_disk *device); /* forgets all sentences */
uint64_t sim_disk_faults_fired(const struct sim_disk *device);

/* Rot: flips the bits of `mask` in the byte at `position` of every file that matches; durable, and seen by every reader.
 * Returns how many files had such a byte. */
unsigned sim_disk_flip(struct sim_disk *device, const char *pattern, uint64_t position, uint8_t mask);

/* ---- Looking in from outside; no operations, no time, no mount ---- */

/* What a direct read would see. Bytes beyond the end are zero. */
bool sim_disk_peek(const struct sim_disk *device, const char *path, uint64_t offset, void *into, size_t size);
bool sim_disk_size(const struct sim_disk *device, const char *path, uint64_t *out_size);
/* All files, by path. */
void sim_disk_each(struct sim_disk *device, void (*visit)(void *context, const char *path, uint64_t size), void *context);

struct sim_disk_stats {
  uint64_t operations; /* counted ones */
  uint64_t reads, writes, syncs, renames, removes;
  uint64_t bytes_written;
  uint64_t written_after_failure; /* writes to a file by the process that saw a write or sync of it fail: a broken promise */
  uint64_t cached_after_failure;  /* the same for reads through the cache */
};
struct sim_disk_stats sim_disk_stats(const struct sim_disk *device);

/* A line for every operation: "12 0.001234 write journal/0000 offset=0 size=4096 OK". NULL: none. */
void sim_disk_set_trace(struct sim_disk *device, void (*line)(void *context, const char *text), void *context);

#endif
