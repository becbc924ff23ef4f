#include "clients/c/bell.h"

unsigned bell_listen(const struct bell *bell) { return atomic_load_explicit(&bell->rings, memory_order_acquire); }

void bell_wait(struct world *world, const struct bell *bell, unsigned seen, uint64_t timeout_ns) {
  world_wait_word(world, &bell->rings, seen, timeout_ns);
}

void bell_ring(struct world *world, struct bell *bell) {
  atomic_fetch_add_explicit(&bell->rings, 1, memory_order_release);
  world_wake_word(world, &bell->rings); /* whoever waited may have freed the bell by now */
}
