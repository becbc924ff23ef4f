/* Drops a connection that keeps the polling thread from ever coming back.
 *
 * C core reads a connection until its socket is empty before it hands anything over. Flow control bounds that for DATA, nothing does for
 * HEADERS, RST_STREAM, SETTINGS and PING: 45 MB of calls that were opened and reset at once held the thread for eight seconds and
 * filled 2.4 GB with calls that nobody had seen yet, while everybody else waited. C core 1.51 has neither a bound for it nor a way to
 * drop a connection, so this looks from outside: the thread is busy and does not come back, and what is being read meanwhile is read
 * from one socket. That socket is shut down, and C core sees the end of the connection. And what the heap keeps of a burst of calls, of
 * whatever kind, is given back to the system once it is quiet.
 *
 * 1. No connection is dropped while the polling thread comes back at all.
 * 2. None is dropped from which less is being read than from all others together.
 * 3. It takes half a second of the thread's processor time, far more than flow control lets pass; or, soon, memory that grows by a
 *    multiple of what is read, as no DATA makes it grow.
 */
#ifndef CAIRN_PROTO_RPC_GRPC_FLOOD_H
#define CAIRN_PROTO_RPC_GRPC_FLOOD_H

#include <stdint.h>

struct account;
struct transport;
struct flood_guard;

/* Looks after the connections to `port`. `account` knows of the memory that is ours. NULL: there is no thread for it. */
struct flood_guard *flood_guard_start(struct transport *transport, uint16_t port, const struct account *account);
/* Waits until its thread is over. NULL is fine. */
void flood_guard_stop(struct flood_guard *guard);

#endif
