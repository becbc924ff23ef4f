/* What brokers tell a simulated run of their inside, so that it can hold them against each other: WITNESS(applied, ...) calls the run's
 * function of that name, if it has one.
 *
 * Nothing in an ordinary build. In a simulated one (tools/bazel/simulated.bzl) tests/sim sets the functions. They look and do nothing.
 */
#ifndef CAIRN_BASE_WITNESS_H
#define CAIRN_BASE_WITNESS_H

#include <stddef.h>
#include <stdint.h>

struct witness {
  /* A replica applies an entry while it believes in `term`; `entry_term` and `chain` stand in the entry's head. */
  void (*applied)(uint32_t broker, uint64_t group, uint64_t term, uint64_t index, uint64_t entry_term, uint64_t chain);
  /* It is about to write whom it votes for. */
  void (*votes)(uint32_t broker, uint64_t group, uint64_t term);
  /* A replica begins to lead, with a log that ends at `last_index`. */
  void (*leads)(uint32_t broker, uint64_t group, uint64_t term, uint64_t last_index);
  /* A broker that can feature levels up to `most` is given a command of group 0; of one that raises the level, `level` is the new one, else 0. It
   * is about to apply it, unless it cannot. */
  void (*command)(uint32_t most, uint32_t level);
  /* A broker's map of the cluster (struct cluster_map) is of another version than before. */
  void (*map)(const void *map);
  /* It leads the map, and has begun a command of this kind (enum command_kind): it stands in its log. */
  void (*proposes)(uint32_t broker, int command);
  /* A replica applies a configuration of its group, as it stands in the log (replication/raft_config.h). */
  void (*configured)(uint32_t broker, uint64_t group, uint64_t index, const void *config, size_t size);
  /* A broker that starts finds this log in its directory. */
  void (*found)(uint32_t broker, uint64_t group, uint64_t instance);
};

#ifdef CAIRN_SIMULATED
extern struct witness witness;
#define WITNESS(what, ...)                               \
  do {                                                   \
    if (witness.what != NULL) witness.what(__VA_ARGS__); \
  } while (0)
#else
#define WITNESS(what, ...) ((void)0)
#endif

#endif
