/* What replication over plain sockets costs by itself: three processes, a leader and two followers that never change, natural group commit,
 * acknowledged when a majority has written and synced. No protocol, no checksum, no index, nothing is read back.
 *
 *   replica_floor follower DIRECTORY                  appends what it is sent to a growing file, and says how far it has synced it
 *   replica_floor leader DIRECTORY PORT PORT          the same for a client's bytes, which go to both followers meanwhile
 *
 * A client sends bytes and is sent back, as eight bytes of the machine's own order, how many of them a majority has. Prints `ready PORT`; ends
 * when its peer does.
 */
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/eventfd.h>

#include "tools/bench/sockets.h"

#define GROUP_BYTES_MAX (1u << 20)
#define RING_BYTES (16u << 20)
#define FOLLOWERS 2u

static int make_file(const char *directory) {
  char path[4096];
  snprintf(path, sizeof path, "%s/replica-floor", directory);
  int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file < 0) sockets_fail(path);
  return file;
}

static void write_and_sync(int file, const uint8_t *bytes, size_t size) {
  if (write(file, bytes, size) != (ssize_t)size || fdatasync(file) != 0) sockets_fail("write");
}

static int ready(void) {
  unsigned port;
  int listener = sockets_listen(&port);
  printf("ready %u\n", port);
  fflush(stdout);
  return sockets_accept(listener);
}

/* ---- A follower ---- */

static void follow(const char *directory) {
  int file = make_file(directory), leader = ready(), ended = 0;
  uint8_t *buffer = malloc(GROUP_BYTES_MAX);
  if (buffer == NULL) sockets_fail("memory");
  uint64_t synced = 0;
  for (size_t got; (got = sockets_read(leader, buffer, GROUP_BYTES_MAX, &ended)) > 0 || !ended;) {
    if (got == 0) continue;
    write_and_sync(file, buffer, got);
    synced += got;
    if (sockets_write(leader, &synced, sizeof synced) != sizeof synced) sockets_fail("answer");
  }
}

/* ---- The leader: its own thread writes, this one speaks ---- */

static struct {
  int file, bell;
  uint8_t *ring;
  pthread_mutex_t lock;
  pthread_cond_t more;
  uint64_t received, synced; /* under the lock */
} leader = {.lock = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER};

struct peer {
  int socket;
  uint64_t sent, synced;
};

static size_t contiguous(uint64_t from, uint64_t to, size_t size_max) {
  size_t size = (size_t)(to - from), to_end = RING_BYTES - (size_t)(from % RING_BYTES);
  if (size > to_end) size = to_end;
  return size < size_max ? size : size_max;
}

static void *write_thread(void *unused) {
  (void)unused;
  pthread_mutex_lock(&leader.lock);
  for (;;) {
    while (leader.received == leader.synced) pthread_cond_wait(&leader.more, &leader.lock);
    uint64_t from = leader.synced, to = leader.received, one = 1;
    pthread_mutex_unlock(&leader.lock);
    size_t size = contiguous(from, to, GROUP_BYTES_MAX);
    write_and_sync(leader.file, leader.ring + from % RING_BYTES, size);
    pthread_mutex_lock(&leader.lock);
    leader.synced = from + size;
    if (write(leader.bell, &one, sizeof one) != sizeof one) sockets_fail("bell");
  }
  return NULL;
}

static uint64_t synced_here(void) {
  pthread_mutex_lock(&leader.lock);
  uint64_t synced = leader.synced;
  pthread_mutex_unlock(&leader.lock);
  return synced;
}

static void take_acknowledgements(struct peer *peer) {
  uint64_t said[512];
  int ended;
  size_t got = sockets_read(peer->socket, said, sizeof said, &ended);
  while (got % sizeof *said != 0)
    got += sockets_read(peer->socket, (uint8_t *)said + got, sizeof *said - got % sizeof *said, &ended);
  if (ended) exit(1);
  if (got > 0) peer->synced = said[got / sizeof *said - 1];
}

static uint64_t least(uint64_t a, uint64_t b) { return a < b ? a : b; }
static uint64_t greatest(uint64_t a, uint64_t b) { return a > b ? a : b; }

/* Two of three have it. */
static uint64_t majority(const struct peer peers[FOLLOWERS], uint64_t here) {
  uint64_t low = least(peers[0].synced, peers[1].synced), high = greatest(peers[0].synced, peers[1].synced);
  return greatest(low, least(high, here));
}

static void lead(const char *directory, const unsigned ports[FOLLOWERS]) {
  struct peer peers[FOLLOWERS] = {{0}};
  for (unsigned i = 0; i < FOLLOWERS; i++) {
    peers[i].socket = sockets_connect(ports[i]);
    sockets_do_not_wait(peers[i].socket);
  }
  leader.file = make_file(directory);
  leader.bell = eventfd(0, EFD_CLOEXEC);
  leader.ring = malloc(RING_BYTES);
  pthread_t thread;
  if (leader.ring == NULL || leader.bell < 0 || pthread_create(&thread, NULL, write_thread, NULL) != 0) sockets_fail("leader");
  int client = ready(), ended = 0;
  sockets_do_not_wait(client);

  uint64_t received = 0, told = 0;
  while (!ended) {
    uint64_t here = synced_here(), kept_from = least(here, least(peers[0].sent, peers[1].sent));
    struct pollfd polled[2 + FOLLOWERS] = {{.fd = leader.bell, .events = POLLIN}, {.fd = client}};
    if (received - kept_from < RING_BYTES) polled[1].events = POLLIN;
    for (unsigned i = 0; i < FOLLOWERS; i++)
      polled[2 + i] =
          (struct pollfd){.fd = peers[i].socket, .events = (short)(POLLIN | (peers[i].sent < received ? POLLOUT : 0))};
    if (poll(polled, 2 + FOLLOWERS, -1) < 0) sockets_fail("poll");

    uint64_t rung;
    if ((polled[0].revents & POLLIN) != 0 && read(leader.bell, &rung, sizeof rung) != sizeof rung) sockets_fail("bell");
    if (polled[1].revents != 0) {
      size_t size = contiguous(received, kept_from + RING_BYTES, GROUP_BYTES_MAX);
      received += sockets_read(client, leader.ring + received % RING_BYTES, size, &ended);
      pthread_mutex_lock(&leader.lock);
      leader.received = received;
      pthread_cond_signal(&leader.more);
      pthread_mutex_unlock(&leader.lock);
    }
    for (unsigned i = 0; i < FOLLOWERS; i++) {
      struct peer *peer = &peers[i];
      if ((polled[2 + i].revents & POLLIN) != 0) take_acknowledgements(peer);
      if (peer->sent == received) continue;
      peer->sent +=
          sockets_write(peer->socket, leader.ring + peer->sent % RING_BYTES, contiguous(peer->sent, received, RING_BYTES));
    }
    uint64_t durable = majority(peers, synced_here());
    if (durable == told) continue;
    if (sockets_write(client, &durable, sizeof durable) != sizeof durable) sockets_fail("answer");
    told = durable;
  }
}

int main(int argc, char **argv) {
  if (argc == 3 && strcmp(argv[1], "follower") == 0) {
    follow(argv[2]);
  } else if (argc == 5 && strcmp(argv[1], "leader") == 0) {
    unsigned ports[FOLLOWERS] = {(unsigned)strtoul(argv[3], NULL, 10), (unsigned)strtoul(argv[4], NULL, 10)};
    lead(argv[2], ports);
  } else {
    fprintf(stderr, "usage: replica_floor follower DIRECTORY, replica_floor leader DIRECTORY PORT PORT\n");
    return 2;
  }
  return 0;
}
