#include "proto/rpc_grpc_flood.h"

#include <dirent.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <malloc.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/trace.h"
#include "proto/rpc_grpc_internal.h"

#define NS_PER_MS UINT64_C(1000000)
#define TICK_NS (25 * NS_PER_MS)
#define BUSY_NS (TICK_NS / 2)     /* of a tick, on a processor: it is working, not waiting for one */
#define LOOK_NS (10 * NS_PER_MS)  /* how long the sockets are watched then */
#define LOST_NS (500 * NS_PER_MS) /* of work without coming back */
#define GROWTH_MIN (UINT64_C(4) << 20)
#define GROWTH_RATIO 8u
/* What a burst was made of is given back when it is quiet again: few events in two seconds, many since the last time. */
#define QUIET_NS (2000 * NS_PER_MS)
#define QUIET_EVENTS 200u
#define BURST_EVENTS 10000u

struct flood_guard {
  struct transport *transport;
  uint16_t port;
  const struct account *account;
  clockid_t thread_clock; /* processor time of the polling thread */
  pthread_t thread;
  pthread_mutex_t lock; /* guards what follows */
  pthread_cond_t changed;
  bool stopping;
  uint64_t trimmed_event; /* what follows is the guard's thread's: events when memory was given back, ... */
  uint64_t quiet_event;   /* ... and when it began to look whether it is quiet, ... */
  uint64_t quiet_at_ns;   /* ... which it knows then */
};

static uint64_t clock_ns(clockid_t clock) {
  struct timespec now = {0};
  clock_gettime(clock, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- How much was read from which socket ---- */

struct watched {
  int fd;
  uint64_t bytes;
};

struct watch {
  struct watched *sockets; /* by number */
  size_t count;
};

static bool is_at_port(int fd, uint16_t port) {
  struct sockaddr_storage address;
  socklen_t size = sizeof address;
  if (getsockname(fd, (struct sockaddr *)(void *)&address, &size) != 0) return false;
  if (address.ss_family == AF_INET) return ((struct sockaddr_in *)(void *)&address)->sin_port == htons(port);
  return address.ss_family == AF_INET6 && ((struct sockaddr_in6 *)(void *)&address)->sin6_port == htons(port);
}

/* What came in, less what still waits in the kernel. False: not a connection. */
static bool bytes_read(int fd, uint64_t *out_bytes) {
  struct tcp_info info = {0};
  socklen_t size = sizeof info;
  int waiting = 0;
  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0 || ioctl(fd, SIOCINQ, &waiting) != 0) return false;
  *out_bytes = info.tcpi_bytes_received - (uint64_t)waiting;
  return true;
}

static int by_fd(const void *a, const void *b) {
  const struct watched *first = a;
  const struct watched *second = b;
  return first->fd < second->fd ? -1 : first->fd > second->fd;
}

static struct watch watch_sockets(uint16_t port) {
  struct watch watch = {0};
  size_t capacity = 0;
  DIR *directory = opendir("/proc/self/fd");
  if (directory == NULL) return watch;
  for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
    struct watched socket = {.fd = (int)strtol(entry->d_name, NULL, 10)};
    if (entry->d_name[0] == '.' || !is_at_port(socket.fd, port) || !bytes_read(socket.fd, &socket.bytes)) continue;
    if (watch.count == capacity) {
      capacity = capacity == 0 ? 64 : capacity * 2;
      watch.sockets = memory_grow_array(watch.sockets, capacity, sizeof *watch.sockets);
    }
    watch.sockets[watch.count++] = socket;
  }
  closedir(directory);
  if (watch.count > 0) qsort(watch.sockets, watch.count, sizeof *watch.sockets, by_fd);
  return watch;
}

/* The socket from which more was read than from all others together, or -1; and how much. */
static int find_flood(const struct watch *before, uint64_t *out_bytes) {
  uint64_t all = 0;
  uint64_t most = 0;
  int fd = -1;
  for (size_t i = 0; i < before->count; i++) {
    uint64_t now = 0;
    if (!bytes_read(before->sockets[i].fd, &now) || now <= before->sockets[i].bytes) continue;
    uint64_t read = now - before->sockets[i].bytes;
    all += read;
    if (read <= most) continue;
    most = read;
    fd = before->sockets[i].fd;
  }
  *out_bytes = most;
  return most > all / 2 ? fd : -1;
}

/* ---- Looking ---- */

static uint64_t turns(const struct flood_guard *guard) {
  return atomic_load_explicit(&guard->transport->poller->turns, memory_order_relaxed);
}

static bool is_in_core(const struct flood_guard *guard) {
  return !atomic_load_explicit(&guard->transport->poller->hosts, memory_order_relaxed);
}

/* False: it is to stop. */
static bool sleep_ns(struct flood_guard *guard, uint64_t time_ns) {
  uint64_t until_ns = clock_ns(CLOCK_MONOTONIC) + time_ns;
  struct timespec until = {.tv_sec = (time_t)(until_ns / 1000000000u), .tv_nsec = (long)(until_ns % 1000000000u)};
  pthread_mutex_lock(&guard->lock);
  while (!guard->stopping && clock_ns(CLOCK_MONOTONIC) < until_ns) pthread_cond_timedwait(&guard->changed, &guard->lock, &until);
  bool stopping = guard->stopping;
  pthread_mutex_unlock(&guard->lock);
  return !stopping;
}

static void drop(int fd) {
  struct sockaddr_storage peer;
  socklen_t size = sizeof peer;
  char host[64] = "?";
  char port[16] = "?";
  if (getpeername(fd, (struct sockaddr *)(void *)&peer, &size) == 0)
    (void)getnameinfo((struct sockaddr *)(void *)&peer, size, host, sizeof host, port, sizeof port,
                      NI_NUMERICHOST | NI_NUMERICSERV);
  shutdown(fd, SHUT_RDWR);
  trace_warn("connection_dropped", "peer=\"%s:%s\" why=\"a flood of HTTP/2 frames without end\"", host, port);
}

static uint64_t resident_bytes(void) {
  unsigned long all = 0;
  unsigned long resident = 0;
  FILE *file = fopen("/proc/self/statm", "r");
  if (file == NULL) return 0;
  if (fscanf(file, "%lu %lu", &all, &resident) != 2) resident = 0;
  fclose(file);
  return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Memory in use that no blob accounts for: C core's, above all. Another heap than the C library's tells nothing of itself. */
static uint64_t foreign_bytes(const struct flood_guard *guard) {
  struct mallinfo2 heap = mallinfo2();
  uint64_t used = heap.uordblks + heap.hblkhd;
  if (used == 0) used = resident_bytes();
  uint64_t ours = guard->account == NULL ? 0 : account_used(guard->account);
  return used > ours ? used - ours : 0;
}

static bool grows_unduly(const struct flood_guard *guard, uint64_t before, uint64_t bytes) {
  uint64_t now = foreign_bytes(guard);
  return now > before && now - before > GROWTH_MIN && (now - before) / GROWTH_RATIO > bytes;
}

/* The thread was busy for a tick and did not come back. If it does not while we look, whom it reads is known. */
static void look(struct flood_guard *guard, uint64_t turn, bool lost) {
  struct watch watch = watch_sockets(guard->port);
  uint64_t before = foreign_bytes(guard);
  if (sleep_ns(guard, LOOK_NS)) {
    uint64_t bytes = 0;
    int fd = find_flood(&watch, &bytes);
    if (fd >= 0 && (lost || grows_unduly(guard, before, bytes)) && turns(guard) == turn) drop(fd);
  }
  memory_free(watch.sockets);
}

/* The heap keeps what a burst was made of, 250 MB for 20,000 open calls. To give it back costs, so it is done while nobody waits. */
static void give_back(struct flood_guard *guard) {
  uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
  if (now_ns < guard->quiet_at_ns) return;
  uint64_t event = atomic_load_explicit(&guard->transport->poller->events, memory_order_relaxed);
  bool quiet = event - guard->quiet_event < QUIET_EVENTS;
  guard->quiet_at_ns = now_ns + QUIET_NS;
  guard->quiet_event = event;
  if (!quiet || event - guard->trimmed_event < BURST_EVENTS) return;
  guard->trimmed_event = event;
  malloc_trim(0);
}

static void *guard_forever(void *argument) {
  struct flood_guard *guard = argument;
  uint64_t turn = turns(guard);
  uint64_t busy_ns = clock_ns(guard->thread_clock); /* now; when it last came back; a tick ago */
  uint64_t back_ns = busy_ns;
  while (sleep_ns(guard, TICK_NS)) {
    uint64_t before_ns = busy_ns;
    uint64_t turn_before = turn;
    turn = turns(guard);
    busy_ns = clock_ns(guard->thread_clock);
    if (turn != turn_before) back_ns = busy_ns;
    bool busy = turn == turn_before && busy_ns - before_ns >= BUSY_NS;
    if (busy && is_in_core(guard)) look(guard, turn, busy_ns - back_ns >= LOST_NS);
    give_back(guard);
  }
  return NULL;
}

/* ---- Life ---- */

struct flood_guard *flood_guard_start(struct transport *transport, uint16_t port, const struct account *account) {
  struct flood_guard *guard = NEW(struct flood_guard);
  guard->transport = transport;
  guard->port = port;
  guard->account = account;
  pthread_mutex_init(&guard->lock, NULL);
  pthread_condattr_t monotonic;
  pthread_condattr_init(&monotonic);
  pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
  pthread_cond_init(&guard->changed, &monotonic);
  pthread_condattr_destroy(&monotonic);
  if (pthread_getcpuclockid(transport->poller->thread, &guard->thread_clock) == 0 &&
      pthread_create(&guard->thread, NULL, guard_forever, guard) == 0) {
    pthread_setname_np(guard->thread, "rpc-guard");
    return guard;
  }
  pthread_cond_destroy(&guard->changed);
  pthread_mutex_destroy(&guard->lock);
  memory_free(guard);
  return NULL;
}

void flood_guard_stop(struct flood_guard *guard) {
  if (guard == NULL) return;
  pthread_mutex_lock(&guard->lock);
  guard->stopping = true;
  pthread_cond_broadcast(&guard->changed);
  pthread_mutex_unlock(&guard->lock);
  pthread_join(guard->thread, NULL);
  pthread_cond_destroy(&guard->changed);
  pthread_mutex_destroy(&guard->lock);
  memory_free(guard);
}
