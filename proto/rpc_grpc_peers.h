/* How many of a listener's calls each peer holds, so that none holds them all.
 *
 * A peer is an address, whatever its ports are: connections cost nothing. Of an IPv6 address the first 64 bits count, for who has one has the
 * rest too. Plain counting, without a lock: on the transport's thread. Both twins of door 4 count with it.
 *
 * 1. What is remembered is bounded by the calls that are held: of peers without any the last PEERS_IDLE_MAX are kept.
 */
#ifndef CAIRN_PROTO_RPC_GRPC_PEERS_H
#define CAIRN_PROTO_RPC_GRPC_PEERS_H

#include <stddef.h>
#include <stdint.h>

#define PEERS_IDLE_MAX 64u

struct peers;
struct peer;

/* The seed keeps strangers from choosing addresses that collide. */
struct peers *peers_new(uint64_t seed);
void peers_free(struct peers *peers); /* PRE: no peer holds a call. NULL is fine */
size_t peers_count(const struct peers *peers);

/* One more call of the peer that is called so, "ipv4:127.0.0.1:4242", who lives at least until it has left. */
struct peer *peers_enter(struct peers *peers, const char *name);
unsigned peer_calls(const struct peer *peer);
void peers_leave(struct peers *peers, struct peer *peer);

#endif
