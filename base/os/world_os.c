#include "base/os/world_os.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/list.h"
#include "base/memory.h"
#include "base/os/blocking.h"
#include "base/os/clock_os.h"

struct world_os {
  struct world world;
  char *directory; /* absolute: LMDB opens files by path, and the working directory may change */
  struct loop *(*guest_new)(struct rpc *rpc, const char *name); /* NULL: every loop has a thread of its own */
};

static struct loop *world_os_loop_new(struct world *world, const char *name, unsigned flags) {
  const struct world_os *os = container_of(world, struct world_os, world);
  PRE((flags & LOOP_NEAR_RPC) == 0 || (flags & LOOP_MAY_BLOCK) == 0);
  struct loop *guest = NULL;
  if ((flags & LOOP_NEAR_RPC) != 0 && os->guest_new != NULL) guest = os->guest_new(world->rpc, name);
  return guest != NULL ? guest : loop_os_new(name, flags);
}

void world_os_lend_thread(struct world *world, struct loop *(*guest_new)(struct rpc *rpc, const char *name)) {
  PRE(world->rpc != NULL);
  container_of(world, struct world_os, world)->guest_new = guest_new;
}

static enum status world_os_store_open(struct world *world, const char *path, uint64_t size_max, unsigned flags,
                                       struct store **out_store) {
  struct world_os *os = container_of(world, struct world_os, world);
  size_t size = strlen(os->directory) + 1 + strlen(path) + 1;
  char *whole = memory_grow_array(NULL, size, 1);
  snprintf(whole, size, "%s/%s", os->directory, path);
  enum status status = store_lmdb_open(whole, size_max, flags, out_store);
  memory_free(whole);
  return status;
}

/* Looks, and looks less and less often: the loop that sets the flag knows nobody to wake. Rare, and only when something opens or closes. */
static void world_os_wait(struct world *world, const atomic_bool *flag) {
  (void)world;
  blocking_check();
  struct timespec pause = {.tv_nsec = 20000};
  while (!atomic_load_explicit(flag, memory_order_acquire)) {
    nanosleep(&pause, NULL);
    if (pause.tv_nsec < 1000000) pause.tv_nsec *= 2;
  }
}

static void world_os_wait_word(struct world *world, const atomic_uint *word, unsigned seen, uint64_t timeout_ns) {
  (void)world;
  struct timespec timeout = {.tv_sec = (time_t)(timeout_ns / 1000000000u), .tv_nsec = (long)(timeout_ns % 1000000000u)};
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, timeout_ns == UINT64_MAX ? NULL : &timeout, NULL, 0);
}

/* A futex call on memory that is gone does no harm. */
static void world_os_wake_word(struct world *world, const atomic_uint *word) {
  (void)world;
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

static uint64_t world_os_now_ns(struct world *world) {
  (void)world;
  return clock_os_now_ns();
}

static int64_t world_os_wall_ms(struct world *world) {
  (void)world;
  return clock_os_wall_ms();
}

static const struct world_ops world_os_ops = {
    .loop_new = world_os_loop_new,
    .store_open = world_os_store_open,
    .wait = world_os_wait,
    .wait_word = world_os_wait_word,
    .wake_word = world_os_wake_word,
    .now_ns = world_os_now_ns,
    .wall_ms = world_os_wall_ms,
};

enum status world_os_open(const char *directory, bool create, struct world **out_world) {
  struct disk *disk = NULL;
  enum status status = disk_os_open(directory, create, &disk);
  if (status != STATUS_OK) return status;
  char resolved[PATH_MAX];
  if (realpath(directory, resolved) == NULL) {
    status = errno == EACCES ? STATUS_DENIED : STATUS_IO;
    disk_os_close(disk);
    return status;
  }
  struct world_os *os = NEW(struct world_os);
  os->world.ops = &world_os_ops;
  os->world.disk = disk;
  os->world.entropy = entropy_os_new();
  os->directory = memory_copy_string(resolved);
  *out_world = &os->world;
  return STATUS_OK;
}

void world_os_close(struct world *world) {
  if (world == NULL) return;
  struct world_os *os = container_of(world, struct world_os, world);
  entropy_os_free(os->world.entropy);
  disk_os_close(os->world.disk);
  memory_free(os->directory);
  memory_free(os);
}

unsigned long world_os_raise_file_limit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  struct rlimit raised = {.rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max};
  if (setrlimit(RLIMIT_NOFILE, &raised) == 0) limit = raised;
  return (unsigned long)limit.rlim_cur;
}
