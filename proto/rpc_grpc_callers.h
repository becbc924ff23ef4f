/* How many of a listener's calls each caller holds, so that none holds them all.
 *
 * A caller is an address, whatever its ports are: connections cost nothing. Of an IPv6 address the first 64 bits count, for who has one has the
 * rest too. Plain counting, without a lock: on the transport's thread. Both twins of door 4 count with it.
 *
 * 1. What is remembered is bounded by the calls that are held: of callers without any the last CALLERS_IDLE_MAX are kept.
 */
#ifndef CAIRN_PROTO_RPC_GRPC_CALLERS_H
#define CAIRN_PROTO_RPC_GRPC_CALLERS_H

#include <stddef.h>
#include <stdint.h>

#define CALLERS_IDLE_MAX 64u

struct callers;
struct caller;

/* The seed keeps strangers from choosing addresses that collide. */
struct callers *callers_new(uint64_t seed);
void callers_free(struct callers *callers); /* PRE: no caller holds a call. NULL is fine */
size_t callers_count(const struct callers *callers);

/* One more call of the caller that is called so, "ipv4:127.0.0.1:4242", who lives at least until it has left. */
struct caller *callers_enter(struct callers *callers, const char *name);
unsigned caller_calls(const struct caller *caller);
void callers_leave(struct callers *callers, struct caller *caller);

#endif
