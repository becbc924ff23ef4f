/* The wall clock of one process: preloaded, it adds to the system's time what the first 8 bytes of the file $WALL_CLOCK say, in
 * nanoseconds, and counts in the next 8 how often it was asked. The other clocks are left alone. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static _Atomic int64_t *shared;

__attribute__((constructor)) static void open_shared(void) {
  const char *path = getenv("WALL_CLOCK");
  if (path == NULL) return; /* also `ip` and whatever else stands before the program */
  int fd = open(path, O_RDWR | O_CLOEXEC);
  if (fd < 0) return;
  void *memory = mmap(NULL, 2 * sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory != MAP_FAILED) shared = memory;
  close(fd);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  static int (*real)(clockid_t, struct timespec *);
  if (real == NULL) *(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
  int result = real(clock, now);
  if (result != 0 || clock != CLOCK_REALTIME || shared == NULL) return result;
  shared[1]++;
  int64_t nanoseconds = (int64_t)now->tv_sec * 1000000000 + now->tv_nsec + shared[0];
  now->tv_sec = nanoseconds / 1000000000;
  now->tv_nsec = nanoseconds % 1000000000;
  return 0;
}
