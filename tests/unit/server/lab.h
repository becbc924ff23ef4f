/* A lane with partitions on a real log set in a directory of its own: what the tests of the server's parts stand on. Everything that
 * belongs on the lane is done there by lab_on_lane(), which waits.
 */
#ifndef CAIRN_TESTS_UNIT_SERVER_LAB_H
#define CAIRN_TESTS_UNIT_SERVER_LAB_H

#include <stdbool.h>

#include "base/world.h"
#include "server/partition.h"

struct lab {
  char directory[256];
  struct world *world;
  struct account account;
  struct log_set *logs;
  struct lane *lane;
  struct offload *inflater;
  struct partition_host host;
  struct partition *partition; /* group 1, held */
};

void lab_open(struct lab *lab);
void lab_open_bare(struct lab *lab); /* without the partition */
/* From now on each write to its disk that carries this text fails with STATUS_IO; NULL: none does. So the test says which one it is, and not
 * whichever the journal makes next by itself. Kept. */
void lab_fail_writes_of(const char *text);
/* So many reads of its disk from now on fail with STATUS_IO, after so many that do not. */
void lab_fail_reads(unsigned after, unsigned count);
void lab_close(struct lab *lab, bool checkpoint); /* keeps the directory */
void lab_remove(struct lab *lab);

void lab_on_lane(struct lab *lab, void (*run)(struct lab *lab));
/* Waits until a flag is set, as whatever is awaited does when it is done. */
void lab_wait(struct lab *lab, atomic_bool *flag);

/* An append of `count` records with the values "PREFIX0", "PREFIX1", ... The rest of the request may still be changed before it is handed
 * in, on the lane; `finished` is set by its `done`. */
struct lab_append {
  struct partition_append append;
  atomic_bool finished;
  unsigned order; /* which of all appends of the test was done how late, from 1 */
};
void lab_append_init(struct lab *lab, struct lab_append *append, const char *prefix, unsigned count);
void lab_append_deinit(struct lab_append *append);
/* Init, hand in, wait. The failure, if any, is in the append. */
void lab_append_now(struct lab *lab, struct lab_append *append, const char *prefix, unsigned count);

/* Takes over the payload. */
void lab_append_init_payload(struct lab *lab, struct lab_append *append, struct blob *payload);
/* The encoded Records of such an append. */
struct blob *lab_records(const char *prefix, unsigned count);

#endif
