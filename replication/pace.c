#include "replication/pace.h"

#define NS_PER_SECOND 1000000000u

void pace_init(struct pace *pace, uint64_t bytes_per_second) {
  pace->bytes_per_second = bytes_per_second;
  atomic_init(&pace->free_ns, 0);
}

uint64_t pace_took(struct pace *pace, uint64_t now_ns, uint64_t bytes) {
  if (pace->bytes_per_second == 0) return now_ns;
  uint64_t seconds = bytes / pace->bytes_per_second;
  uint64_t cost_ns = seconds * NS_PER_SECOND + bytes % pace->bytes_per_second * NS_PER_SECOND / pace->bytes_per_second;
  uint64_t before_ns = atomic_load_explicit(&pace->free_ns, memory_order_relaxed);
  for (;;) {
    uint64_t free_ns = (before_ns > now_ns ? before_ns : now_ns) + cost_ns;
    if (atomic_compare_exchange_weak_explicit(&pace->free_ns, &before_ns, free_ns, memory_order_relaxed, memory_order_relaxed))
      return free_ns;
  }
}
