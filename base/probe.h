/* Places that a batch of simulated runs must have reached at least once: REACHED(tail_torn) says that the rare thing happened.
 *
 * Nothing in an ordinary build. In a simulated one (tools/bazel/simulated.bzl) it counts, by name, and tests/sim holds the counts
 * against its list of required ones. The name is an identifier; no two places share one.
 */
#ifndef CAIRN_BASE_PROBE_H
#define CAIRN_BASE_PROBE_H

#include <stddef.h>
#include <stdint.h>

struct probe {
  const char *name;
  uint64_t count;
  struct probe *next; /* of those that were reached */
};

#ifdef CAIRN_SIMULATED
#define REACHED(probe_name)                                 \
  do {                                                      \
    static struct probe probe_here = {.name = #probe_name}; \
    probe_reach(&probe_here);                               \
  } while (0)
#else
#define REACHED(probe_name) ((void)0)
#endif

void probe_reach(struct probe *probe); /* one thread only: the simulator's */
const struct probe *probe_first(void); /* all that were reached since the last reset, newest first */
void probe_reset(void);

#endif
