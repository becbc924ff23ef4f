/* The timers of one loop: a heap (sorted), and the fresh ones, set during this iteration. These join the heap when it is over, which is
 * why they cannot fire in it. Touched by the loop alone; the timers themselves belong to whoever set them.
 */
#ifndef CAIRN_BASE_OS_TIMERS_H
#define CAIRN_BASE_OS_TIMERS_H

#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"

struct timer_list {
  struct timer **items;
  size_t count;
  size_t capacity;
};

/* Zero at first. */
struct timers {
  struct timer_list heap;
  struct timer_list fresh;
  uint64_t order; /* of the last one that was set */
};

void timers_deinit(struct timers *timers); /* those that are still set never fire */

void timers_set(struct timers *timers, struct timer *timer, uint64_t deadline_ns); /* or moves it */
void timers_cancel(struct timers *timers, struct timer *timer);                    /* fine when it is not set */

/* Takes out the first that is due, by deadline and then by the order in which they were set; NULL: none is. */
struct timer *timers_take_due(struct timers *timers, uint64_t now_ns);
/* The iteration is over. */
void timers_settle(struct timers *timers);
/* When the next one is due, of those that are settled; UINT64_MAX: there is none. */
uint64_t timers_next_ns(const struct timers *timers);

#endif
