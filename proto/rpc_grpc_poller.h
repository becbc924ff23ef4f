/* A queue of completions and the one thread that takes them. Instances of the transport may share it: whoever holds it has it, and the last one who
 * releases it ends the thread.
 *
 * The thread may have a guest: one loop that has no thread of its own (base/os/loop_guest.h). While anything is posted to the guest it
 * takes events that are at hand, for as long as the guest's last turn took (half a millisecond at least, twenty at most); has one turn of the
 * guest; and waits, for events and for the guest's deadline, when neither has anything to do. So a flood of events keeps the guest's timers and what
 * others post from it for no longer than that, and a guest that always has something to do lets events in between any two of its turns. Its deadlines are kept to two milliseconds: C core waits in whole ones.
 */
#ifndef CAIRN_PROTO_RPC_GRPC_POLLER_H
#define CAIRN_PROTO_RPC_GRPC_POLLER_H

#include <grpc/grpc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"

/* What a completion queue gives back. Embedded in whatever waits for it. */
struct tag {
  void (*run)(struct tag *tag, bool ok);
};

/* What was written before a tag was handed to C core is seen by whoever gets it back: the queue orders that. ThreadSanitizer cannot
 * see into the library, so it is told. */
#if defined(__SANITIZE_THREAD__)
#define TELLS_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TELLS_TSAN 1
#endif
#endif
#ifdef TELLS_TSAN
#include <sanitizer/tsan_interface.h>
static inline void tag_leaves(struct tag *tag) { __tsan_release(tag); }
static inline void tag_returns(struct tag *tag) { __tsan_acquire(tag); }
/* Around a copy out of C core's slices, which any of its threads may have filled. */
void AnnotateIgnoreReadsBegin(const char *file, int line);
void AnnotateIgnoreReadsEnd(const char *file, int line);
static inline void slices_read_begin(void) { AnnotateIgnoreReadsBegin(__FILE__, __LINE__); }
static inline void slices_read_end(void) { AnnotateIgnoreReadsEnd(__FILE__, __LINE__); }
#else
static inline void tag_leaves(struct tag *tag) { (void)tag; }
static inline void tag_returns(struct tag *tag) { (void)tag; }
static inline void slices_read_begin(void) {}
static inline void slices_read_end(void) {}
#endif

/* Something that another thread has given to the polling thread: it runs there once, in order. */
struct errand {
  struct errand *next;
  void (*run)(struct errand *errand);
};

struct poller {
  grpc_completion_queue *queue;
  pthread_t thread;
  atomic_int thread_id;         /* as the kernel calls it; 0: not running yet */
  atomic_uint_fast64_t turns;   /* how often it came back from C core, or from the guest, ... */
  atomic_uint_fast64_t events;  /* ... and how often with an event */
  uint64_t row_began_ns;        /* the thread's own: since when events have come one after the other, ... */
  uint64_t row_guest_ns;        /* ... and for how long they may while the guest waits */
  _Atomic(struct loop *) guest; /* NULL: it has none */
  atomic_bool hosts;            /* the guest has its turn: whatever takes long is not C core's */
  atomic_uint holders;

  grpc_channel *nowhere; /* leads nowhere; for the bell */
  grpc_call *bell;       /* a call that is never made, and calls the thread back from its waiting */
  struct tag rung;
  atomic_bool ringing; /* `rung` is on its way */

  pthread_mutex_t lock; /* guards what follows */
  struct errand *first_errand;
  struct errand **last_errand;
};

/* NULL: the operating system gives no thread. */
struct poller *poller_start(void);
struct poller *poller_hold(struct poller *poller);
/* The last one waits for everything that C core still holds. PRE: not on its thread; its guest was stopped. */
void poller_release(struct poller *poller);

/* A loop on the thread, to be stopped like any other. NULL: it has one already. */
struct loop *poller_guest_new(struct poller *poller, const char *name);

bool poller_is_me(const struct poller *poller); /* @any-thread. Is this its thread? */

/* @any-thread. The errand runs on the polling thread, and lives until then; the poller outlives this call.
 *
 * Starting a batch from a lane would do: but each would then wake the polling thread for itself, with two system calls and a switch. A
 * lane answers dozens of calls at once, after a sync; with errands that is one wake for all of them, and the lane need not wait for the
 * socket. */
void poller_give_errand(struct poller *poller, struct errand *errand);

#endif
