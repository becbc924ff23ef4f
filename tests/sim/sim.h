/* The simulator's heart: virtual time, a heap of events, fibers, and a hash of everything that happened.
 *
 * One thread runs it all. Code under test is plain blocking code: each loop that may block is a fiber, and a disk call in it
 * gives way to whatever happens meanwhile and comes back after a simulated latency. The harness itself stands outside, in the
 * thread's own stack: it calls sim_step() or sim_run_until(), and between two steps nothing moves.
 *
 * 1. Same seed, same code: same events in the same order, same hash. Nothing here depends on addresses or clocks.
 * 2. Events fire by time; those of one instant in an order drawn from the seed. What must stay in order keeps its own queue.
 * 3. After sim_process_kill() no operation of the process reaches a disk or the network: each fails at once, so that its
 *    fibers unwind and the harness can free what it built.
 */
#ifndef CAIRN_TESTS_SIM_SIM_H
#define CAIRN_TESTS_SIM_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"

/* ---- Time and events ---- */

struct sim;

/* Embedded in whatever happens later. `slot` is 0 while it is not set. */
struct sim_event {
  uint64_t at_ns;
  uint64_t order;
  size_t slot;
  struct list_node held; /* came due while its process was paused */
  void (*fire)(struct sim_event *event);
};

struct sim *sim_new(uint64_t seed);
void sim_free(struct sim *sim); /* PRE: all fibers are over */
uint64_t sim_seed(const struct sim *sim);
uint64_t sim_now_ns(const struct sim *sim);

void sim_event_set(struct sim *sim, struct sim_event *event, uint64_t at_ns); /* sets or moves; not before now */
void sim_event_cancel(struct sim *sim, struct sim_event *event);

/* Fires the next event. False: there is none. From outside only. */
bool sim_step(struct sim *sim);
/* Steps until `reached` (asked after each step, and before the first), or until the next event is later than `limit_ns`.
 * Returns whether it was reached. */
bool sim_run_until(struct sim *sim, bool (*reached)(void *context), void *context, uint64_t limit_ns);
void sim_run_for(struct sim *sim, uint64_t ns); /* and moves the clock there */

/* Mixes facts into the running hash. Twins note every operation; harnesses note what they see. */
void sim_note(struct sim *sim, uint64_t what, uint64_t first, uint64_t second);
uint64_t sim_hash(const struct sim *sim);

/* ---- Processes: what is killed together ---- */

/* Embedded in what must know that its process was killed. Told at once, in the middle of whatever killed it: note it, no more. */
struct sim_death {
  struct list_node node;
  void (*told)(struct sim_death *death);
};

struct sim_process {
  struct sim *sim;
  const char *name;
  bool dead;
  bool paused;
  struct list fibers;
  struct list held; /* events that came due during a pause */
  struct list deaths;
};

void sim_process_init(struct sim_process *process, struct sim *sim, const char *name); /* keeps `name` */
void sim_process_kill(struct sim_process *process);
void sim_process_watch(struct sim_process *process, struct sim_death *death);
/* SIGSTOP and SIGCONT: nothing of it runs, its clock goes on, what it waited for has happened when it wakes. */
void sim_process_pause(struct sim_process *process);
void sim_process_resume(struct sim_process *process);
/* For what fires on behalf of a process: true when it is paused; the event then fires again on resume. */
bool sim_process_holds(struct sim_process *process, struct sim_event *event);

/* ---- Fibers ---- */

struct sim_fiber;

/* A new fiber of a process, runnable now. Ends when `run` returns. Free it when it is over. */
struct sim_fiber *sim_fiber_start(struct sim_process *process, const char *name, void (*run)(void *context), void *context);
bool sim_fiber_over(const struct sim_fiber *fiber);
void sim_fiber_free(struct sim_fiber *fiber); /* PRE: over; NULL is fine */

struct sim_fiber *sim_fiber_current(const struct sim *sim); /* NULL: outside, or in an event */

/* On a fiber: gives way until sim_fiber_wake(), or until the time has passed. */
void sim_fiber_park(struct sim *sim);
void sim_fiber_wake(struct sim_fiber *fiber, uint64_t at_ns); /* an earlier wake stays */

/* What a blocking door does: on a fiber gives way for `ns`; outside (harness, set-up) returns at once. PRE: not inside a plain
 * event: a lane never blocks. Returns false when the process is dead by then. */
bool sim_block(struct sim_process *process, uint64_t ns);

#endif
