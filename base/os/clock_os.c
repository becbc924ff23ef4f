#include "base/os/clock_os.h"

#include <time.h>

#include "base/check.h"

uint64_t clock_os_now_ns(void) {
  struct timespec now;
  int result = clock_gettime(CLOCK_BOOTTIME, &now);
  CHECK(result == 0);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int64_t clock_os_wall_ms(void) {
  struct timespec now;
  int result = clock_gettime(CLOCK_REALTIME, &now);
  CHECK(result == 0);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
