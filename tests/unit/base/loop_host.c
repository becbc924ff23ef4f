#include "tests/unit/base/loop_host.h"

#include <pthread.h>
#include <stdbool.h>
#include <time.h>

#include "base/check.h"
#include "base/memory.h"
#include "base/os/loop_guest.h"

struct loop_host {
  pthread_t thread;
  pthread_mutex_t lock; /* guards what follows */
  pthread_cond_t changed;
  struct loop *guest;
  bool rung, ending;
};

static void ring(void *context) {
  struct loop_host *host = context;
  pthread_mutex_lock(&host->lock);
  host->rung = true;
  pthread_cond_signal(&host->changed);
  pthread_mutex_unlock(&host->lock);
}

/* Until it is rung, or then. */
static void wait_until(struct loop_host *host, uint64_t due_ns) {
  struct timespec due = {.tv_sec = (time_t)(due_ns / 1000000000u), .tv_nsec = (long)(due_ns % 1000000000u)};
  int result = 0;
  pthread_mutex_lock(&host->lock);
  while (!host->rung && result == 0) {
    if (due_ns == UINT64_MAX) result = pthread_cond_wait(&host->changed, &host->lock);
    else result = pthread_cond_timedwait(&host->changed, &host->lock, &due);
  }
  host->rung = false;
  pthread_mutex_unlock(&host->lock);
}

static struct loop *next_guest(struct loop_host *host) {
  pthread_mutex_lock(&host->lock);
  while (host->guest == NULL && !host->ending) pthread_cond_wait(&host->changed, &host->lock);
  struct loop *guest = host->guest;
  pthread_mutex_unlock(&host->lock);
  return guest;
}

static void forget_guest(struct loop_host *host) {
  pthread_mutex_lock(&host->lock);
  host->guest = NULL;
  pthread_mutex_unlock(&host->lock);
}

static void *host_forever(void *context) {
  struct loop_host *host = context;
  for (struct loop *guest; (guest = next_guest(host)) != NULL;) {
    enum loop_guest result = LOOP_GUEST_BUSY;
    for (uint64_t due_ns = 0; (result = loop_guest_turn(guest, &due_ns)) != LOOP_GUEST_OVER;) {
      if (result == LOOP_GUEST_BUSY) continue;
      wait_until(host, due_ns);
      loop_guest_awakes(guest);
    }
    forget_guest(host);
    loop_guest_let_go(guest);
  }
  return NULL;
}

struct loop_host *loop_host_new(void) {
  struct loop_host *host = NEW(struct loop_host);
  pthread_mutex_init(&host->lock, NULL);
  pthread_condattr_t monotonic;
  pthread_condattr_init(&monotonic);
  pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
  pthread_cond_init(&host->changed, &monotonic);
  pthread_condattr_destroy(&monotonic);
  int error = pthread_create(&host->thread, NULL, host_forever, host);
  CHECK(error == 0);
  return host;
}

void loop_host_free(struct loop_host *host) {
  if (host == NULL) return;
  pthread_mutex_lock(&host->lock);
  host->ending = true;
  pthread_cond_signal(&host->changed);
  pthread_mutex_unlock(&host->lock);
  pthread_join(host->thread, NULL);
  pthread_cond_destroy(&host->changed);
  pthread_mutex_destroy(&host->lock);
  memory_free(host);
}

struct loop *loop_host_guest(struct loop_host *host, const char *name) {
  struct loop *guest = loop_guest_new(name, host->thread, ring, host);
  pthread_mutex_lock(&host->lock);
  CHECK(host->guest == NULL);
  host->guest = guest;
  pthread_cond_signal(&host->changed);
  pthread_mutex_unlock(&host->lock);
  return guest;
}
