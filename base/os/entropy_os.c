/* A counter and two keys from the kernel, mixed: no lock, no system call. Good chance, not secret chance. */
#include "base/os/world_os.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/random.h>

#include "base/check.h"
#include "base/list.h"
#include "base/memory.h"

struct entropy_os {
  struct entropy entropy;
  uint64_t keys[2];
  _Atomic uint64_t counter;
};

/* SplitMix64's finaliser: every bit of the input moves every bit of the result. */
static uint64_t mix(uint64_t value) {
  value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9u;
  value = (value ^ value >> 27) * 0x94d049bb133111ebu;
  return value ^ value >> 31;
}

static uint64_t entropy_os_next(struct entropy *entropy) {
  struct entropy_os *os = container_of(entropy, struct entropy_os, entropy);
  uint64_t count = atomic_fetch_add_explicit(&os->counter, 0x9e3779b97f4a7c15u, memory_order_relaxed);
  return mix(mix(count ^ os->keys[0]) + os->keys[1]);
}

static const struct entropy_ops entropy_os_ops = {.next = entropy_os_next};

static void fill_from_kernel(void *into, size_t size) {
  uint8_t *at = into;
  while (size > 0) {
    ssize_t got = getrandom(at, size, 0);
    CHECK_MSG(got > 0 || errno == EINTR, "the kernel gives no random bytes");
    if (got <= 0) continue;
    at += got;
    size -= (size_t)got;
  }
}

struct entropy *entropy_os_new(void) {
  struct entropy_os *os = NEW(struct entropy_os);
  uint64_t start = 0;
  os->entropy.ops = &entropy_os_ops;
  fill_from_kernel(os->keys, sizeof os->keys);
  fill_from_kernel(&start, sizeof start);
  atomic_init(&os->counter, start);
  return &os->entropy;
}

void entropy_os_free(struct entropy *entropy) {
  if (entropy != NULL) memory_free(container_of(entropy, struct entropy_os, entropy));
}
