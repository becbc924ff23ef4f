/* The five doors in one struct: everything a broker cannot decide for itself. main() opens a real world, the simulator a
 * pretended one, and node_start() cannot tell which. Passed to whoever builds something; kept by nobody who decides.
 */
#ifndef CAIRN_BASE_WORLD_H
#define CAIRN_BASE_WORLD_H

#include <stdatomic.h>

#include "base/disk.h"
#include "base/entropy.h"
#include "base/loop.h"
#include "base/rpc.h"
#include "base/store.h"

struct world;
struct world_ops {
  /* A new, running loop. `name` appears in traces; at most 15 characters. `flags`: LOOP_MAY_BLOCK or LOOP_NEAR_RPC. */
  struct loop *(*loop_new)(struct world *world, const char *name, unsigned flags);
  /* Opens the ordered tables kept in `path` of the data directory, with room for `size_max` bytes. STATUS_CORRUPT: it is there and cannot
   * be what was written (empty, shorter than its own header says, not LMDB). `flags`: STORE_CREATE, STORE_READ_ONLY. */
  enum status (*store_open)(struct world *world, const char *path, uint64_t size_max, unsigned flags, struct store **out_store);
  /* Waits until another loop has set the flag. */
  void (*wait)(struct world *world, const atomic_bool *flag);
  void (*wait_word)(struct world *world, const atomic_uint *word, unsigned seen, uint64_t timeout_ns);
  void (*wake_word)(struct world *world, const atomic_uint *word);
  /* Wall clock and monotonic clock for code that runs before there is a loop. */
  uint64_t (*now_ns)(struct world *world);
  int64_t (*wall_ms)(struct world *world);
};
struct world {
  const struct world_ops *ops;
  struct disk *disk; /* the data directory */
  struct rpc *rpc;
  struct rpc *peers; /* the same door once more, with a thread of its own: other brokers. NULL: there are none */
  struct entropy *entropy;
};

static inline struct loop *world_loop_new(struct world *world, const char *name, unsigned flags) {
  return world->ops->loop_new(world, name, flags);
}
static inline MUST_CHECK enum status world_store_open(struct world *world, const char *path, uint64_t size_max, unsigned flags,
                                                      struct store **out_store) {
  return world->ops->store_open(world, path, size_max, flags, out_store);
}
/* For code that opens and closes, outside every loop: waits until a loop has set the flag (release order). Never on a loop. */
static inline void world_wait(struct world *world, const atomic_bool *flag) { world->ops->wait(world, flag); }
/* For threads of an application, which own no loop: waits while the word is still `seen`, until somebody wakes those who wait on it,
 * the time has passed (UINT64_MAX: never), or for no reason at all; the caller looks again. Never on a loop, unless it may block. */
static inline void world_wait_word(struct world *world, const atomic_uint *word, unsigned seen, uint64_t timeout_ns) {
  world->ops->wait_word(world, word, seen, timeout_ns);
}
/* @any-thread. Wakes all. Looks at the address alone: the word may be gone by now. */
static inline void world_wake_word(struct world *world, const atomic_uint *word) { world->ops->wake_word(world, word); }
static inline uint64_t world_now_ns(struct world *world) { return world->ops->now_ns(world); }
static inline int64_t world_wall_ms(struct world *world) { return world->ops->wall_ms(world); }

#endif
