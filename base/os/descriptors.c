#include "base/os/descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <unistd.h>

#define FILE_MODE 0600

static struct {
  pthread_mutex_t lock;
  int reserved[DESCRIPTORS_RESERVED];
  int count;
  bool begun;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER};

void descriptors_hold_standard(void) {
  for (int descriptor = STDIN_FILENO; descriptor <= STDERR_FILENO; descriptor++) {
    if (fcntl(descriptor, F_GETFD) >= 0) continue;
    int held = open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY);
    (void)held; /* the least that is free, so it is this one */
  }
}

static void fill(void) {
  pthread_mutex_lock(&pool.lock);
  while (pool.count < DESCRIPTORS_RESERVED) {
    int descriptor = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) break;
    pool.reserved[pool.count++] = descriptor;
  }
  pool.begun = true;
  pthread_mutex_unlock(&pool.lock);
}

static bool give_back_one(void) {
  pthread_mutex_lock(&pool.lock);
  bool had_one = pool.count > 0;
  if (had_one) close(pool.reserved[--pool.count]);
  pthread_mutex_unlock(&pool.lock);
  return had_one;
}

static bool begun(void) {
  pthread_mutex_lock(&pool.lock);
  bool is = pool.begun;
  pthread_mutex_unlock(&pool.lock);
  return is;
}

int descriptors_open(int directory, const char *path, int flags) {
  if (!begun()) fill();
  for (;;) {
    int descriptor = openat(directory, path, flags | O_CLOEXEC, FILE_MODE);
    if (descriptor >= 0) return descriptor;
    if (errno == EINTR) continue;
    int error = errno;
    bool out_of_them = error == EMFILE || error == ENFILE;
    if (out_of_them && give_back_one()) continue;
    errno = error;
    return -1;
  }
}

void descriptors_close(int descriptor) {
  int error = errno;
  close(descriptor);
  fill();
  errno = error;
}
