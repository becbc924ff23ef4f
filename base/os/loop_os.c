/* The real loop: a mailbox that any thread may post to, timers (timers.h), and a thread with a futex to sleep on, or a host that lends its
 * thread and knows how to be woken (loop_guest.h).
 *
 * The mailbox is one atomic pointer to the newest task, each task pointing at the one posted before it. Posting is one
 * compare-and-swap; the loop takes the whole chain with one exchange and turns it round, so the order of the swaps is the
 * order of the runs. Instead of a task the pointer may hold SLEEPING: only the post that replaces it makes a system call, or
 * holds it back (wakes.h).
 */
#include "base/os/world_os.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/list.h"
#include "base/memory.h"
#include "base/os/blocking.h"
#include "base/os/clock_os.h"
#include "base/os/loop_guest.h"
#include "base/os/signals.h"
#include "base/os/timers.h"
#include "base/os/wakes.h"

#define TURN_TASKS_MAX 1024u
#define NAME_LENGTH_MAX 15u

struct loop_os {
  struct loop loop;

  /* Touched by every thread that posts. */
  _Alignas(64) _Atomic(struct task *) newest;
  atomic_uint wakes;             /* what the loop sleeps on; one for every SLEEPING that was replaced */
  atomic_uint over;              /* of a guest: the host has let go of it */
  void (*wake_host)(void *host); /* never changes; NULL: the loop has a thread of its own */
  void *host;

  /* The loop's own. */
  _Alignas(64) struct task *first; /* taken from the mailbox, not run yet */
  struct task *last;
  struct timers timers;
  unsigned wakes_owed;
  bool stopping;
  unsigned flags;
  pthread_t thread;
  char name[NAME_LENGTH_MAX + 1];
  struct task stop_task;
};

static struct task sleeping_mark;
#define SLEEPING (&sleeping_mark)

static _Thread_local bool thread_must_not_block;

void blocking_forbid(void) { thread_must_not_block = true; }
void blocking_check(void) { PRE(!thread_must_not_block); }

static struct loop_os *loop_os_of(struct loop *loop) { return container_of(loop, struct loop_os, loop); }

/* ---- Posting and sleeping ---- */

static void futex_wake_all(const atomic_uint *word) { syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0); }

/* The task that replaced the mark may have run already and its owner may wait for the loop to end; loop_os_stop() waits for this
 * addition. The host outlives that; a futex call on memory that was freed meanwhile does no harm. */
static void wake(struct loop_os *os) {
  bool has_host = os->wake_host != NULL;
  if (has_host) os->wake_host(os->host);
  const atomic_uint *wakes = &os->wakes;
  atomic_fetch_add_explicit(&os->wakes, 1, memory_order_release);
  if (!has_host) futex_wake_all(wakes);
}

static _Thread_local struct {
  struct loop_os *loops[WAKES_HELD_MAX];
  unsigned count;
  bool holds;
} held;

void wakes_hold(void) { held.holds = true; }
bool wakes_held(void) { return held.count > 0; }

void wakes_let_go(void) {
  for (unsigned i = 0; i < held.count; i++) wake(held.loops[i]);
  held.count = 0;
}

static void loop_os_post(struct loop *loop, struct task *task) {
  struct loop_os *os = loop_os_of(loop);
  struct task *newest = atomic_load_explicit(&os->newest, memory_order_relaxed);
  do {
    task->next = newest == SLEEPING ? NULL : newest;
    /* Release: the loop sees what the poster wrote into the task. Acquire: whoever wakes a host sees what that did before it slept. */
  } while (!atomic_compare_exchange_weak_explicit(&os->newest, &newest, task, memory_order_acq_rel, memory_order_relaxed));
  if (newest != SLEEPING) return;
  if (!held.holds) {
    wake(os);
    return;
  }
  if (held.count == WAKES_HELD_MAX) wakes_let_go();
  held.loops[held.count++] = os;
}

/* Moves what was posted behind what is still to run. */
static void take_mail(struct loop_os *os) {
  if (atomic_load_explicit(&os->newest, memory_order_relaxed) == NULL) return;
  struct task *newest = atomic_exchange_explicit(&os->newest, NULL, memory_order_acquire);
  CHECK(newest != SLEEPING);
  struct task *last = newest;
  struct task *oldest = NULL;
  while (newest != NULL) {
    struct task *before = newest->next;
    newest->next = oldest;
    oldest = newest;
    newest = before;
  }
  if (os->first == NULL) os->first = oldest;
  else os->last->next = oldest;
  os->last = last;
}

/* False: there is mail. */
static bool fall_asleep(struct loop_os *os) {
  struct task *expected = NULL;
  return atomic_compare_exchange_strong_explicit(&os->newest, &expected, SLEEPING, memory_order_release, memory_order_relaxed);
}

/* Whoever replaced the mark adds, or has added, one wake. */
static void awake(struct loop_os *os) {
  struct task *expected = SLEEPING;
  if (!atomic_compare_exchange_strong_explicit(&os->newest, &expected, NULL, memory_order_relaxed, memory_order_relaxed)) {
    os->wakes_owed++;
  }
}

/* Sleeps until there is mail or the deadline has come. */
static void sleep_until(struct loop_os *os, uint64_t deadline_ns) {
  if (!fall_asleep(os)) return;
  for (;;) {
    /* In this order: a post that replaces the mark after the second look adds its wake after the first. */
    unsigned wakes = atomic_load_explicit(&os->wakes, memory_order_acquire);
    if (atomic_load_explicit(&os->newest, memory_order_relaxed) != SLEEPING) break;
    struct timespec left = {0};
    if (deadline_ns != UINT64_MAX) {
      uint64_t now_ns = clock_os_now_ns();
      if (deadline_ns <= now_ns) break;
      left.tv_sec = (time_t)((deadline_ns - now_ns) / 1000000000u);
      left.tv_nsec = (long)((deadline_ns - now_ns) % 1000000000u);
    }
    long result = syscall(SYS_futex, &os->wakes, FUTEX_WAIT_PRIVATE, wakes, deadline_ns == UINT64_MAX ? NULL : &left, NULL, 0);
    CHECK_MSG(result == 0 || errno == EAGAIN || errno == EINTR || errno == ETIMEDOUT, "futex: %s", strerror(errno));
  }
  awake(os);
}

/* ---- Timers ---- */

static void pre_on_loop(const struct loop_os *os) { PRE(pthread_equal(os->thread, pthread_self())); }

static void loop_os_timer_set(struct loop *loop, struct timer *timer, uint64_t deadline_ns) {
  struct loop_os *os = loop_os_of(loop);
  pre_on_loop(os);
  timers_set(&os->timers, timer, deadline_ns);
}

static void loop_os_timer_cancel(struct loop *loop, struct timer *timer) {
  struct loop_os *os = loop_os_of(loop);
  pre_on_loop(os);
  timers_cancel(&os->timers, timer);
}

/* ---- Iterations ---- */

static bool run_tasks(struct loop_os *os) {
  take_mail(os);
  unsigned count = 0;
  for (; count < TURN_TASKS_MAX && os->first != NULL; count++) {
    struct task *task = os->first;
    os->first = task->next; /* before the run, which may post or free it */
    task->run(task);
  }
  return count > 0;
}

static bool run_timers(struct loop_os *os) {
  if (timers_next_ns(&os->timers) == UINT64_MAX) return false;
  uint64_t now_ns = clock_os_now_ns();
  bool any = false;
  for (struct timer *timer; (timer = timers_take_due(&os->timers, now_ns)) != NULL; any = true) timer->fire(timer);
  return any;
}

static bool mail_waits(const struct loop_os *os) {
  return os->first != NULL || atomic_load_explicit(&os->newest, memory_order_relaxed) != NULL;
}

static void run_turn(struct loop_os *os) {
  bool any_task = run_tasks(os);
  bool any_timer = !os->stopping && run_timers(os);
  if ((any_task || any_timer) && os->loop.turn_hook != NULL) os->loop.turn_hook(os->loop.turn_hook_context);
  timers_settle(&os->timers);
}

static bool is_over(const struct loop_os *os) { return os->stopping && !mail_waits(os); }

static void *loop_os_thread(void *argument) {
  struct loop_os *os = argument;
  check_context(os->name);
  if ((os->flags & LOOP_MAY_BLOCK) == 0) blocking_forbid();
  while (!is_over(os)) {
    run_turn(os);
    if (os->stopping || mail_waits(os)) continue;
    sleep_until(os, timers_next_ns(&os->timers));
  }
  return NULL;
}

/* ---- As a guest ---- */

enum loop_guest loop_guest_turn(struct loop *loop, uint64_t *out_due_ns) {
  struct loop_os *os = loop_os_of(loop);
  pre_on_loop(os);
  check_context(os->name);
  blocking_forbid();
  run_turn(os);
  if (is_over(os)) return LOOP_GUEST_OVER;
  if (os->stopping || mail_waits(os) || !fall_asleep(os)) return LOOP_GUEST_BUSY;
  *out_due_ns = timers_next_ns(&os->timers);
  return LOOP_GUEST_SLEEPS;
}

void loop_guest_awakes(struct loop *loop) { awake(loop_os_of(loop)); }

bool loop_guest_waits(struct loop *loop) { return mail_waits(loop_os_of(loop)); }

/* Whoever stops the loop may free it as soon as it reads this. */
void loop_guest_let_go(struct loop *loop) {
  struct loop_os *os = loop_os_of(loop);
  PRE(is_over(os));
  const atomic_uint *over = &os->over;
  atomic_store_explicit(&os->over, 1, memory_order_release);
  futex_wake_all(over);
}

static void wait_until_over(struct loop_os *os) {
  while (atomic_load_explicit(&os->over, memory_order_acquire) == 0) {
    syscall(SYS_futex, &os->over, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
  }
}

/* ---- Life ---- */

static void join(struct loop_os *os) {
  int error = pthread_join(os->thread, NULL);
  CHECK_MSG(error == 0, "pthread_join: %s", strerror(error));
}

static void run_stop(struct task *task) { container_of(task, struct loop_os, stop_task)->stopping = true; }

static void loop_os_stop(struct loop *loop) {
  struct loop_os *os = loop_os_of(loop);
  PRE(!pthread_equal(os->thread, pthread_self()));
  os->stop_task.run = run_stop;
  loop_os_post(loop, &os->stop_task);
  wakes_let_go();
  if (os->wake_host != NULL) wait_until_over(os);
  else join(os);
  /* A poster may stand between its swap and its wake, or hold it. */
  while (atomic_load_explicit(&os->wakes, memory_order_acquire) != os->wakes_owed) sched_yield();
  timers_deinit(&os->timers);
  memory_free(os);
}

static uint64_t loop_os_now_ns(struct loop *loop) {
  (void)loop;
  return clock_os_now_ns();
}

static int64_t loop_os_wall_ms(struct loop *loop) {
  (void)loop;
  return clock_os_wall_ms();
}

static const struct loop_ops loop_os_ops = {
    .post = loop_os_post,
    .now_ns = loop_os_now_ns,
    .wall_ms = loop_os_wall_ms,
    .timer_set = loop_os_timer_set,
    .timer_cancel = loop_os_timer_cancel,
    .stop = loop_os_stop,
};

static struct loop_os *new_loop(const char *name, unsigned flags) {
  PRE(strlen(name) <= NAME_LENGTH_MAX);
  struct loop_os *os = memory_new_aligned(_Alignof(struct loop_os), sizeof *os);
  memset(os, 0, sizeof *os);
  os->loop.ops = &loop_os_ops;
  os->flags = flags;
  memcpy(os->name, name, strlen(name) + 1);
  return os;
}

struct loop *loop_guest_new(const char *name, pthread_t thread, void (*wake_host)(void *host), void *host) {
  struct loop_os *os = new_loop(name, 0);
  os->thread = thread;
  os->wake_host = wake_host;
  os->host = host;
  return &os->loop;
}

struct loop *loop_os_new(const char *name, unsigned flags) {
  struct loop_os *os = new_loop(name, flags);

  sigset_t before;
  signals_hold(&before);
  int error = pthread_create(&os->thread, NULL, loop_os_thread, os);
  signals_let_go(&before);
  CHECK_MSG(error == 0, "pthread_create: %s", strerror(error));
  pthread_setname_np(os->thread, os->name);
  return &os->loop;
}
