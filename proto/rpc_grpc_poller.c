#include "proto/rpc_grpc_poller.h"

#include <grpc/support/log.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/list.h"
#include "base/memory.h"
#include "base/os/loop_guest.h"
#include "base/os/signals.h"
#include "base/os/wakes.h"
#include "base/trace.h"
#include "proto/rpc_grpc_internal.h"

#define ROW_NS 100000u           /* about four messages of 64 KiB */
#define ROW_GUEST_NS_MIN 500000u /* a turn of a lane has a price of its own: writes, and messages to other brokers */
#define ROW_GUEST_NS_MAX 20000000u
#define WAIT_NS_MAX UINT64_C(3600000000000)
#define CONTEXT "rpc thread"

/* Nobody else writes it. */
static void count(atomic_uint_fast64_t *counter) {
  atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1, memory_order_relaxed);
}

/* ---- The guest ---- */

static enum loop_guest have_guest_turn(struct poller *poller, struct loop *guest, uint64_t *out_due_ns) {
  atomic_store_explicit(&poller->hosts, true, memory_order_relaxed);
  enum loop_guest result = loop_guest_turn(guest, out_due_ns);
  count(&poller->turns);
  atomic_store_explicit(&poller->hosts, false, memory_order_relaxed);
  check_context(CONTEXT);
  if (result != LOOP_GUEST_OVER) return result;
  atomic_store_explicit(&poller->guest, NULL, memory_order_release);
  loop_guest_let_go(guest);
  return result;
}

/* When C core is to come back; the guest's clock is another one. */
static gpr_timespec deadline_of(struct loop *guest, uint64_t due_ns) {
  if (due_ns == UINT64_MAX) return gpr_inf_future(GPR_CLOCK_MONOTONIC);
  uint64_t now_ns = loop_now_ns(guest);
  if (due_ns <= now_ns) return gpr_inf_past(GPR_CLOCK_MONOTONIC);
  uint64_t left_ns = due_ns - now_ns < WAIT_NS_MAX ? due_ns - now_ns : WAIT_NS_MAX;
  return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_nanos((int64_t)left_ns, GPR_TIMESPAN));
}

/* ---- The thread ---- */

static grpc_event take_event(struct poller *poller, gpr_timespec until) {
  grpc_event event = grpc_completion_queue_next(poller->queue, until, NULL);
  count(&poller->turns);
  if (event.type != GRPC_QUEUE_TIMEOUT) count(&poller->events);
  return event;
}

/* Messages come in flocks, and each would wake a loop that is asleep, or be a turn of the guest by itself. So those wakes are held, and the guest
 * waits, until nothing more is at hand, or for a while: with a guest for as long as its last turn took. What it does once in a turn, for all
 * that ask for it, then is not done for a few of them only. */
static bool row_goes_on(struct poller *poller, struct loop *guest) {
  bool anybody_waits = wakes_held() || (guest != NULL && loop_guest_waits(guest));
  uint64_t now_ns = rpc_grpc_now_ns();
  if (!anybody_waits) poller->row_began_ns = now_ns;
  return anybody_waits && now_ns - poller->row_began_ns < (guest != NULL ? poller->row_guest_ns : ROW_NS);
}

static void set_row(struct poller *poller, uint64_t turn_ns) {
  poller->row_guest_ns = turn_ns;
  if (poller->row_guest_ns < ROW_GUEST_NS_MIN) poller->row_guest_ns = ROW_GUEST_NS_MIN;
  if (poller->row_guest_ns > ROW_GUEST_NS_MAX) poller->row_guest_ns = ROW_GUEST_NS_MAX;
}

/* Others need not wait until the guest's turn is over, which may be long. TIMEOUT: it has more to do. */
static grpc_event wait_beside(struct poller *poller, struct loop *guest) {
  wakes_let_go();
  uint64_t due_ns = UINT64_MAX;
  uint64_t began_ns = rpc_grpc_now_ns();
  enum loop_guest result = have_guest_turn(poller, guest, &due_ns);
  wakes_let_go();
  set_row(poller, rpc_grpc_now_ns() - began_ns);
  if (result != LOOP_GUEST_SLEEPS) return (grpc_event){.type = GRPC_QUEUE_TIMEOUT};
  grpc_event event = take_event(poller, deadline_of(guest, due_ns));
  loop_guest_awakes(guest);
  return event;
}

static grpc_event wait_alone(struct poller *poller) {
  wakes_let_go();
  return take_event(poller, gpr_inf_future(GPR_CLOCK_MONOTONIC));
}

static grpc_event next_event(struct poller *poller) {
  for (;;) {
    grpc_event event = {.type = GRPC_QUEUE_TIMEOUT};
    struct loop *guest = atomic_load_explicit(&poller->guest, memory_order_acquire);
    if (row_goes_on(poller, guest)) event = take_event(poller, gpr_inf_past(GPR_CLOCK_MONOTONIC));
    if (event.type != GRPC_QUEUE_TIMEOUT) return event;
    event = guest != NULL ? wait_beside(poller, guest) : wait_alone(poller);
    poller->row_began_ns = rpc_grpc_now_ns();
    if (event.type != GRPC_QUEUE_TIMEOUT) return event;
  }
}

static void *poll_forever(void *argument) {
  struct poller *poller = argument;
  check_context(CONTEXT);
  atomic_store_explicit(&poller->thread_id, gettid(), memory_order_relaxed);
  wakes_hold();
  for (;;) {
    grpc_event event = next_event(poller);
    if (event.type == GRPC_QUEUE_SHUTDOWN) {
      wakes_let_go();
      return NULL;
    }
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
static void ring(void *context) {
  struct poller *poller = context;
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

/* ---- A guest comes ---- */

struct loop *poller_guest_new(struct poller *poller, const char *name) {
  struct loop *guest = NULL;
  pthread_mutex_lock(&poller->lock); /* of two at a time one comes too late */
  if (atomic_load(&poller->guest) == NULL) {
    guest = loop_guest_new(name, poller->thread, ring, poller);
    atomic_store_explicit(&poller->guest, guest, memory_order_release);
  }
  pthread_mutex_unlock(&poller->lock);
  if (guest != NULL) ring(poller); /* it looks whom it has */
  return guest;
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

  sigset_t before;
  signals_hold(&before); /* for C core's threads as for ours */
  gpr_set_log_function(trace_core);
  grpc_init();
  poller->queue = grpc_completion_queue_create_for_next(NULL);
  hang_bell(poller);
  int error = pthread_create(&poller->thread, NULL, poll_forever, poller);
  signals_let_go(&before);
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
  PRE(atomic_load(&poller->guest) == NULL);
  take_bell_down(poller);
  grpc_completion_queue_shutdown(poller->queue);
  pthread_join(poller->thread, NULL);
  free_poller(poller);
}
