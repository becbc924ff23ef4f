/* Door 1, time and tasks. A loop is one thread of control: it runs tasks in the order they were posted, timers when they
 * are due, and nothing else. Everything that has an owner is owned by a loop and touched only there; loop_post() and
 * loop_wall_ms() are the only functions here that other threads may call.
 *
 * One iteration, in order:
 *   1. the tasks that were posted before it began (at most `turn_tasks_max`), oldest first;
 *   2. the timers that are due, by deadline, then by the order in which they were set;
 *   3. the turn hook, if anything ran: here a lane hands what it gathered to the journal.
 *
 * A loop may block only in the disk and store doors, and only loops made with LOOP_MAY_BLOCK (journal, checkpoint, readers) may
 * use those; lanes never do. The real twin is a thread, or the guest of another (base/os/loop_guest.h). The simulated twin is a fiber that gives way while its disk works, so
 * that everything else can happen meanwhile, in one thread, chosen by one seed.
 */
#ifndef CAIRN_BASE_LOOP_H
#define CAIRN_BASE_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Embedded in whatever is posted. Must stay alive until it has run; may be posted again from its own run. */
struct task {
  struct task *next;
  void (*run)(struct task *task);
};

/* Embedded in whatever waits. `slot` is 0 while it is not set. */
struct timer {
  size_t slot;
  uint64_t deadline_ns;
  uint64_t order;
  void (*fire)(struct timer *timer);
};

/* NEAR_RPC: most of what it does comes from the rpc door and goes back there, so a world with few processors may let it work on that door's
 * thread. It then has what that thread has left, and what it does at length keeps that thread from its work. */
enum { LOOP_MAY_BLOCK = 1, LOOP_NEAR_RPC = 2 };

struct loop;
struct loop_ops {
  void (*post)(struct loop *loop, struct task *task);
  uint64_t (*now_ns)(struct loop *loop);
  int64_t (*wall_ms)(struct loop *loop);
  void (*timer_set)(struct loop *loop, struct timer *timer, uint64_t deadline_ns);
  void (*timer_cancel)(struct loop *loop, struct timer *timer);
  void (*stop)(struct loop *loop);
};
struct loop {
  const struct loop_ops *ops;
  void (*turn_hook)(void *context);
  void *turn_hook_context;
};

/* @any-thread. The task runs once, on the loop, after all that were posted to it before. */
static inline void loop_post(struct loop *loop, struct task *task) { loop->ops->post(loop, task); }

/* Monotonic nanoseconds; never goes back, stands still in no suspended virtual machine that we know. */
static inline uint64_t loop_now_ns(struct loop *loop) { return loop->ops->now_ns(loop); }

/* @any-thread. Milliseconds since 1970 by the wall clock, which may jump. For record times and log lines only. */
static inline int64_t loop_wall_ms(struct loop *loop) { return loop->ops->wall_ms(loop); }

/* Sets or moves a timer. A deadline in the past fires in the next iteration. */
static inline void loop_timer_set(struct loop *loop, struct timer *timer, uint64_t deadline_ns) {
  loop->ops->timer_set(loop, timer, deadline_ns);
}
static inline void loop_timer_cancel(struct loop *loop, struct timer *timer) { loop->ops->timer_cancel(loop, timer); }

/* Called once, before the loop is given work. */
static inline void loop_set_turn_hook(struct loop *loop, void (*hook)(void *context), void *context) {
  loop->turn_hook = hook;
  loop->turn_hook_context = context;
}

/* From outside the loop: waits until it has run what was posted, ends it and frees it. Timers that are still set never fire. */
static inline void loop_stop(struct loop *loop) { loop->ops->stop(loop); }

#endif
