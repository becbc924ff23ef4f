#include "proto/rpc_grpc_peers.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/list.h"
#include "base/map.h"
#include "base/memory.h"

#define KEY_SIZE 64u
#define IPV6_NETWORK_SIZE 8u

struct peers {
  struct map *map;
  struct list idle; /* without calls, the longest idle first: who makes one call after the other need not be made anew for each */
  size_t idle_count;
};

struct peer {
  struct list_node idle_node;
  unsigned calls;
  size_t key_size;
  uint8_t key[KEY_SIZE];
};

/* ---- Who it is ---- */

/* "ipv6:%5B2001:db8::1%25eth0%5D:4242", as C core writes it, or with plain brackets. False: something else. */
static bool read_ipv6(const char *name, struct in6_addr *out_address) {
  char text[INET6_ADDRSTRLEN];
  if (strncmp(name, "ipv6:", 5) != 0) return false;
  const char *from = name + 5;
  from += strncmp(from, "%5B", 3) == 0 ? 3 : from[0] == '[' ? 1 : 0;
  size_t size = strcspn(from, "%]"); /* a zone or the bracket follows */
  if (size >= sizeof text) return false;
  memcpy(text, from, size);
  text[size] = '\0';
  return inet_pton(AF_INET6, text, out_address) == 1;
}

/* What is not an address counts as what it is called, without what looks like a port. */
static size_t make_key(const char *name, uint8_t *key) {
  struct in6_addr address;
  if (read_ipv6(name, &address)) {
    memcpy(key, &address, IPV6_NETWORK_SIZE);
    return IPV6_NETWORK_SIZE;
  }
  const char *colon = strrchr(name, ':');
  size_t size = colon == NULL ? strlen(name) : (size_t)(colon - name);
  if (size > KEY_SIZE) size = KEY_SIZE;
  memcpy(key, name, size);
  return size;
}

/* ---- Counting ---- */

struct peers *peers_new(uint64_t seed) {
  struct peers *peers = NEW(struct peers);
  peers->map = map_new(seed);
  list_init(&peers->idle);
  return peers;
}

static void forget_idle(struct peers *peers, size_t keep) {
  for (; peers->idle_count > keep; peers->idle_count--) {
    struct peer *peer = list_entry(list_pop_front(&peers->idle), struct peer, idle_node);
    struct peer *removed = map_remove(peers->map, bytes_of(peer->key, peer->key_size));
    CHECK(removed == peer);
    memory_free(peer);
  }
}

void peers_free(struct peers *peers) {
  if (peers == NULL) return;
  forget_idle(peers, 0);
  PRE(map_count(peers->map) == 0);
  map_free(peers->map);
  memory_free(peers);
}

size_t peers_count(const struct peers *peers) { return map_count(peers->map); }

static struct peer *find_or_make(struct peers *peers, const char *name) {
  uint8_t key[KEY_SIZE];
  size_t size = make_key(name, key);
  struct peer *peer = map_get(peers->map, bytes_of(key, size));
  if (peer != NULL) return peer;
  peer = NEW(struct peer);
  memcpy(peer->key, key, size);
  peer->key_size = size;
  map_put(peers->map, bytes_of(key, size), peer);
  return peer;
}

struct peer *peers_enter(struct peers *peers, const char *name) {
  struct peer *peer = find_or_make(peers, name);
  if (list_node_linked(&peer->idle_node)) {
    list_remove(&peer->idle_node);
    peers->idle_count--;
  }
  peer->calls++;
  return peer;
}

unsigned peer_calls(const struct peer *peer) { return peer->calls; }

void peers_leave(struct peers *peers, struct peer *peer) {
  CHECK(peer->calls > 0);
  if (--peer->calls > 0) return;
  list_push_back(&peers->idle, &peer->idle_node);
  peers->idle_count++;
  forget_idle(peers, PEERS_IDLE_MAX);
}
