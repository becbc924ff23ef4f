#include "proto/rpc_grpc_callers.h"

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

struct callers {
  struct map *map;
  struct list idle; /* without calls, the longest idle first: who makes one call after the other need not be made anew for each */
  size_t idle_count;
};

struct caller {
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

struct callers *callers_new(uint64_t seed) {
  struct callers *callers = NEW(struct callers);
  callers->map = map_new(seed);
  list_init(&callers->idle);
  return callers;
}

static void forget_idle(struct callers *callers, size_t keep) {
  for (; callers->idle_count > keep; callers->idle_count--) {
    struct caller *caller = list_entry(list_pop_front(&callers->idle), struct caller, idle_node);
    struct caller *removed = map_remove(callers->map, bytes_of(caller->key, caller->key_size));
    CHECK(removed == caller);
    memory_free(caller);
  }
}

void callers_free(struct callers *callers) {
  if (callers == NULL) return;
  forget_idle(callers, 0);
  PRE(map_count(callers->map) == 0);
  map_free(callers->map);
  memory_free(callers);
}

size_t callers_count(const struct callers *callers) { return map_count(callers->map); }

static struct caller *find_or_make(struct callers *callers, const char *name) {
  uint8_t key[KEY_SIZE];
  size_t size = make_key(name, key);
  struct caller *caller = map_get(callers->map, bytes_of(key, size));
  if (caller != NULL) return caller;
  caller = NEW(struct caller);
  memcpy(caller->key, key, size);
  caller->key_size = size;
  map_put(callers->map, bytes_of(key, size), caller);
  return caller;
}

struct caller *callers_enter(struct callers *callers, const char *name) {
  struct caller *caller = find_or_make(callers, name);
  if (list_node_linked(&caller->idle_node)) {
    list_remove(&caller->idle_node);
    callers->idle_count--;
  }
  caller->calls++;
  return caller;
}

unsigned caller_calls(const struct caller *caller) { return caller->calls; }

void callers_leave(struct callers *callers, struct caller *caller) {
  CHECK(caller->calls > 0);
  if (--caller->calls > 0) return;
  list_push_back(&callers->idle, &caller->idle_node);
  callers->idle_count++;
  forget_idle(callers, CALLERS_IDLE_MAX);
}
