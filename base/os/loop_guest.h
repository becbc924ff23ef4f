/* A loop without a thread of its own: the guest of a thread that has other things to wait for as well, as a transport has. What comes from
 * there to the loop, and goes back, then costs no switch between threads. It is a loop like any other (base/loop.h) for whoever posts to
 * it, sets timers on it and stops it.
 *
 * The host's thread, again and again, as long as there is a guest:
 *   1. loop_guest_turn(), after at most so much of its own work that timers and what others post may wait for it;
 *   2. when the guest sleeps: waits, for what it waits for itself, for `wake`, and until the guest is due; then loop_guest_awakes();
 *   3. when it is over: forgets it, then loop_guest_let_go().
 * While it waits it calls nothing that posts to the guest.
 *
 * 1. No post is lost: one that finds the guest asleep calls `wake`, once for all until loop_guest_awakes().
 * 2. A guest that runs is never woken, so what the host's thread itself posts costs no system call.
 */
#ifndef CAIRN_BASE_OS_LOOP_GUEST_H
#define CAIRN_BASE_OS_LOOP_GUEST_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"

enum loop_guest { LOOP_GUEST_BUSY, LOOP_GUEST_SLEEPS, LOOP_GUEST_OVER };

/* `thread` is the host's, which has the guest's first turn without being woken. `wake` runs on any thread; the host outlives the loop. `name`
 * as in world_loop_new(). */
struct loop *loop_guest_new(const char *name, pthread_t thread, void (*wake)(void *host), void *host);

/* What follows is for the host's thread. */

/* One iteration. BUSY: another is due at once, or as soon as the host has had its own turn. SLEEPS: the next one is due at `*out_due_ns`
 * (of loop_now_ns(), perhaps past; UINT64_MAX: never). OVER: loop_stop() was called, and everything has run; no more turns. */
enum loop_guest loop_guest_turn(struct loop *loop, uint64_t *out_due_ns);
/* Once after each SLEEPS. */
void loop_guest_awakes(struct loop *loop);
/* Is there anything posted? While it does not sleep. */
bool loop_guest_waits(struct loop *loop);
/* The loop may be gone when this returns. */
void loop_guest_let_go(struct loop *loop);

#endif
