/* One file or directory of a simulated disk: what its readers see, what is durable, and the unsynced writes between the two.
 * For sim_disk.c and its neighbours only.
 */
#ifndef CAIRN_TESTS_SIM_SIM_INODE_H
#define CAIRN_TESTS_SIM_SIM_INODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/list.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_random.h"

#define SIM_PAGE_SIZE 4096u
#define SIM_SECTOR_SIZE 512u

/* Pages of zeros are NULL. A page with several holders is copied before it is written. */
struct sim_page {
  unsigned holders;
  uint8_t data[SIM_PAGE_SIZE];
};
struct sim_pages {
  struct sim_page **slots;
  size_t count;
};

/* A write, or a change of size, that no sync has covered. */
struct sim_write {
  struct list_node node; /* of its file, oldest first */
  uint64_t sequence;
  uint64_t offset;
  size_t size;
  uint8_t *data; /* NULL: zeros, or nothing but a change of size */
  uint64_t size_before;
  uint64_t size_after;
  bool buffered;
};

struct sim_name {
  char *text;
  struct sim_inode *inode;
};
/* Sorted by strcmp. Holds the inodes. */
struct sim_names {
  struct sim_name *items;
  size_t count;
  size_t capacity;
};

struct sim_inode {
  struct list_node node; /* of the disk */
  uint64_t id;
  unsigned holders; /* names, handles, pending changes of names */
  bool directory;
  bool gone;                /* a directory whose removal is durable: what has happened in it before is of no matter */
  char path[DISK_PATH_MAX]; /* where it was seen last */

  struct sim_pages seen;    /* what the device answers */
  struct sim_pages durable; /* what a power cut leaves */
  struct sim_pages cached;  /* pages that only the page cache has: their write failed */
  uint64_t size;
  uint64_t durable_size;
  struct list writes;
  uint64_t *used; /* the disk's count of bytes in use */
  uint64_t charged;
  void *locked_by;       /* a mount */
  const void *failed_by; /* the mount that saw a write or sync of it fail */

  struct sim_names names; /* of a directory */
  struct sim_names durable_names;
};

struct sim_inode *sim_inode_new(uint64_t id, bool directory, const char *path, uint64_t *used);
struct sim_inode *sim_inode_hold(struct sim_inode *inode);
void sim_inode_release(struct sim_inode *inode); /* the last one frees */

void sim_inode_read(const struct sim_inode *inode, uint64_t offset, uint8_t *into, size_t size, bool cached);
/* Adds an unsynced write. Buffered writes carry along the rest of pages whose write had failed. */
void sim_inode_write(struct sim_inode *inode, uint64_t sequence, uint64_t offset, struct bytes bytes, bool buffered);
void sim_inode_truncate(struct sim_inode *inode, uint64_t sequence, uint64_t size);

/* Makes durable what was written up to `sequence`. */
void sim_inode_sync(struct sim_inode *inode, uint64_t sequence);
/* Makes this one write durable and, if older ones lie in its way, all up to it. */
void sim_inode_sync_write(struct sim_inode *inode, uint64_t sequence);
/* The device lost it: buffered writes up to `sequence` stay in the cache only, direct ones are gone. */
void sim_inode_lose(struct sim_inode *inode, uint64_t sequence);
/* Leaves some of the unsynced writes and makes that durable. */
void sim_inode_power_cut(struct sim_inode *inode, enum sim_power_cut mode, struct sim_random *random);
/* Has what the other one shows, durably. PRE: a new file, maybe on another disk. */
void sim_inode_copy(struct sim_inode *into, const struct sim_inode *from);
void sim_inode_flip(struct sim_inode *inode, uint64_t position, uint8_t mask);

struct sim_inode *sim_names_get(const struct sim_names *names, const char *text);       /* NULL: absent */
void sim_names_set(struct sim_names *names, const char *text, struct sim_inode *inode); /* NULL removes */
void sim_names_copy(struct sim_names *into, const struct sim_names *from);
void sim_names_deinit(struct sim_names *names);

#endif
