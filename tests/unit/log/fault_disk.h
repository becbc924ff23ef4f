/* A disk in front of another one, on which things fail when a test says so. */
#ifndef CAIRN_TESTS_UNIT_LOG_FAULT_DISK_H
#define CAIRN_TESTS_UNIT_LOG_FAULT_DISK_H

#include <stdatomic.h>

#include "base/disk.h"

struct fault_disk {
  struct disk disk;
  struct disk *inner;
  atomic_bool full;                /* segment writes and new files: STATUS_NO_SPACE; the free space reads as none */
  atomic_bool dumps_fail;          /* writes of dumps: STATUS_IO */
  atomic_bool no_room_for_dumps;   /* writes of dumps: STATUS_NO_SPACE */
  atomic_bool journal_fails;       /* writes to the journal: STATUS_IO */
  atomic_int cached_journal_opens; /* so many times was a file of the journal opened without going past the cache */
  atomic_int journal_write_ms;     /* how long a write to the journal takes, at least */
  atomic_int failing_syncs;        /* so many syncs of segments from now on: STATUS_IO */
};

void fault_disk_init(struct fault_disk *fault, struct disk *inner);

#endif
