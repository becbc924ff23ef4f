#include "clients/c/bell.h"

#include <limits.h>
#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

unsigned bell_listen(const struct bell *bell) { return atomic_load_explicit(&bell->rings, memory_order_acquire); }

void bell_wait(struct bell *bell, unsigned seen, uint64_t timeout_ns) {
  struct timespec timeout = {.tv_sec = (time_t)(timeout_ns / 1000000000u), .tv_nsec = (long)(timeout_ns % 1000000000u)};
  syscall(SYS_futex, &bell->rings, FUTEX_WAIT_PRIVATE, seen, timeout_ns == UINT64_MAX ? NULL : &timeout, NULL, 0);
}

void bell_ring(struct bell *bell) {
  atomic_fetch_add_explicit(&bell->rings, 1, memory_order_release);
  /* Whoever waited may have freed the bell by now; a futex call on memory that is gone does no harm. */
  syscall(SYS_futex, &bell->rings, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}
