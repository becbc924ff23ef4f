#include "proto/rpc_grpc_poller.h"

#include <grpc/support/log.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/list.h"
#include "base/memory.h"
#include "base/os/wakes.h"
#include "base/trace.h"

#define WAKES_HELD_NS 100000 /* about four messages of 64 KiB */

/* ---- The thread ---- */

/* The next event. Messages come in flocks, and each would wake a lane that is asleep: those wakes are held until nothing more is at
 * hand, or for WAKES_HELD_NS. */
static grpc_event next_event(struct poller *poller, gpr_timespec *held_since) {
  gpr_timespec now = gpr_now(GPR_CLOCK_MONOTONIC);
  if (!wakes_held()) *held_since = now;
  gpr_timespec until = gpr_time_add(*held_since, gpr_time_from_nanos(WAKES_HELD_NS, GPR_TIMESPAN));
  if (wakes_held() && gpr_time_cmp(now, until) < 0) {
    grpc_event event = grpc_completion_queue_next(poller->queue, gpr_inf_past(GPR_CLOCK_MONOTONIC), NULL);
    if (event.type != GRPC_QUEUE_TIMEOUT) return event;
  }
  wakes_let_go();
  return grpc_completion_queue_next(poller->queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
}

static void *poll_forever(void *argument) {
  struct poller *poller = argument;
  check_context("rpc thread");
  atomic_store_explicit(&poller->thread_id, gettid(), memory_order_relaxed);
  wakes_hold();
  gpr_timespec held_since = gpr_now(GPR_CLOCK_MONOTONIC);
  for (;;) {
    grpc_event event = next_event(poller, &held_since);
    if (event.type == GRPC_QUEUE_SHUTDOWN) {
      wakes_let_go();
      return NULL;
    }
    uint64_t turns = atomic_load_explicit(&poller->turns, memory_order_relaxed); /* nobody else writes it */
    atomic_store_explicit(&poller->turns, turns + 1, memory_order_relaxed);
    CHECK(event.type == GRPC_OP_COMPLETE);
    struct tag *tag = event.tag;
    tag_returns(tag);
    tag->run(tag, event.success != 0);
  }
}

bool poller_is_me(const struct poller *poller) { return pthread_equal(pthread_self(), poller->thread) != 0; }

/* ---- The bell ---- */

/* C core's surface has no way to post to a queue but this: an empty batch completes at once. One that rings already has not been heard yet, and
 * whoever hears it looks at everything after it has fallen silent. */
static void ring(struct poller *poller) {
  if (atomic_exchange(&poller->ringing, true)) return;
  tag_leaves(&poller->rung);
  grpc_call_error error = grpc_call_start_batch(poller->bell, NULL, 0, &poller->rung, NULL);
  CHECK_MSG(error == GRPC_CALL_OK, "%s", grpc_call_error_to_string(error));
}

static void hang_bell(struct poller *poller) {
  poller->nowhere = grpc_lame_client_channel_create("nowhere", GRPC_STATUS_UNAVAILABLE, "leads nowhere");
  poller->bell = grpc_channel_create_call(poller->nowhere, NULL, 0, poller->queue, grpc_slice_from_static_string("/bell"), NULL,
                                          gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
}

static void take_bell_down(struct poller *poller) {
  grpc_call_unref(poller->bell);
  grpc_channel_destroy(poller->nowhere);
}

/* ---- Errands ---- */

void poller_give_errand(struct poller *poller, struct errand *errand) {
  errand->next = NULL;
  pthread_mutex_lock(&poller->lock);
  *poller->last_errand = errand;
  poller->last_errand = &errand->next;
  pthread_mutex_unlock(&poller->lock);
  ring(poller);
}

static void run_errands(struct poller *poller) {
  pthread_mutex_lock(&poller->lock);
  struct errand *errand = poller->first_errand;
  poller->first_errand = NULL;
  poller->last_errand = &poller->first_errand;
  pthread_mutex_unlock(&poller->lock);
  while (errand != NULL) {
    struct errand *next = errand->next; /* it may be given again while it runs */
    errand->run(errand);
    errand = next;
  }
}

static void on_rung(struct tag *tag, bool ok) {
  struct poller *poller = container_of(tag, struct poller, rung);
  CHECK(ok);
  bool rang = atomic_exchange(&poller->ringing, false);
  CHECK(rang);
  run_errands(poller);
}

/* C core logs by itself, in a form of its own, and some of its errors can be had by any stranger as often as he likes. What matters
 * of it (a port that cannot be had, a listener that fell silent) we report ourselves. */
static void trace_core(gpr_log_func_args *args) {
  char text[512];
  trace_debug("grpc_core", "line=%d text=%s", args->line, trace_quote(text, sizeof text, args->message, strlen(args->message)));
}

/* ---- Life ---- */

static void free_poller(struct poller *poller) {
  grpc_completion_queue_destroy(poller->queue);
  grpc_shutdown();
  pthread_mutex_destroy(&poller->lock);
  memory_free(poller);
}

struct poller *poller_start(void) {
  struct poller *poller = NEW(struct poller);
  pthread_mutex_init(&poller->lock, NULL);
  atomic_init(&poller->holders, 1);
  poller->last_errand = &poller->first_errand;
  poller->rung.run = on_rung;

  /* C core's threads and ours leave signals to main(). */
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  gpr_set_log_function(trace_core);
  grpc_init();
  poller->queue = grpc_completion_queue_create_for_next(NULL);
  hang_bell(poller);
  int error = pthread_create(&poller->thread, NULL, poll_forever, poller);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (error != 0) {
    take_bell_down(poller);
    grpc_completion_queue_shutdown(poller->queue);
    free_poller(poller);
    return NULL;
  }
  pthread_setname_np(poller->thread, "rpc");
  return poller;
}

struct poller *poller_hold(struct poller *poller) {
  atomic_fetch_add(&poller->holders, 1);
  return poller;
}

void poller_release(struct poller *poller) {
  if (atomic_fetch_sub(&poller->holders, 1) > 1) return;
  take_bell_down(poller);
  grpc_completion_queue_shutdown(poller->queue);
  pthread_join(poller->thread, NULL);
  free_poller(poller);
}
