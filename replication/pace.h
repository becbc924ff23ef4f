/* How fast replicas that do not count yet get what they lack, so that live traffic has the rest: one account of a broker for all that
 * it gives and all that it takes, which its lanes share. What is taken at once is paid for with a pause behind it, so nobody has to ask before.
 */
#ifndef CAIRN_REPLICATION_PACE_H
#define CAIRN_REPLICATION_PACE_H

#include <stdatomic.h>
#include <stdint.h>

struct pace {
  uint64_t bytes_per_second;     /* 0: unbounded */
  atomic_uint_least64_t free_ns; /* when all that was taken is paid for */
};

void pace_init(struct pace *pace, uint64_t bytes_per_second);

/* So much came, or went. When the next may: `now_ns`, or later. @any-thread */
uint64_t pace_took(struct pace *pace, uint64_t now_ns, uint64_t bytes);

#endif
