/* How a thread of the application waits for the library's: it listens while it holds the lock, lets go of the lock, and waits
 * until the bell was rung since. Timeouts are relative, so no clock is read here.
 *
 *   lock; while (nothing there) { seen = bell_listen(&bell); unlock; bell_wait(world, &bell, seen, timeout_ns); lock; }
 */
#ifndef CAIRN_CLIENTS_C_BELL_H
#define CAIRN_CLIENTS_C_BELL_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/world.h"

struct bell {
  atomic_uint rings;
};

unsigned bell_listen(const struct bell *bell);
/* Returns when the bell was rung after bell_listen() gave `seen`, when the time has passed (UINT64_MAX: never), or when a signal
 * came. The caller looks at its condition again. */
void bell_wait(struct world *world, const struct bell *bell, unsigned seen, uint64_t timeout_ns);
void bell_ring(struct world *world, struct bell *bell); /* @any-thread; wakes all */

#endif
