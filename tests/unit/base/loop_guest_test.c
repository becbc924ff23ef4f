/* What a host sees of its guest; the test itself is the host. That a guest is a loop like any other is loop_test's. */
#include "base/os/loop_guest.h"

#include "tests/unit/base/cmocka_base.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <time.h>

#include "base/list.h"
#include "base/os/wakes.h"
#include "tests/unit/base/loop_host.h"

#define TURN_TASKS_MAX 1024u
#define PATIENCE_S 60

struct visit {
  struct loop *guest;
  atomic_uint wakes;
  unsigned ran;
};

static void count_wake(void *host) { atomic_fetch_add(&((struct visit *)host)->wakes, 1); }

static void begin(struct visit *visit) {
  *visit = (struct visit){0};
  visit->guest = loop_guest_new("guest", pthread_self(), count_wake, visit);
}

static void *stop_guest(void *guest) {
  loop_stop(guest);
  return NULL;
}

/* The last turns, while another thread waits for the loop to end. */
static void end(struct visit *visit) {
  pthread_t thread;
  uint64_t due_ns = 0;
  assert_int_equal(pthread_create(&thread, NULL, stop_guest, visit->guest), 0);
  for (enum loop_guest result; (result = loop_guest_turn(visit->guest, &due_ns)) != LOOP_GUEST_OVER;) {
    if (result == LOOP_GUEST_SLEEPS) loop_guest_awakes(visit->guest);
  }
  loop_guest_let_go(visit->guest);
  pthread_join(thread, NULL);
}

struct call {
  struct task task;
  struct timer timer;
  struct visit *visit;
  uint64_t due_ns; /* of the timer that it sets; 0: none */
};

static void fire(struct timer *timer) { list_entry(timer, struct call, timer)->visit->ran += 100; }

static void run(struct task *task) {
  struct call *call = list_entry(task, struct call, task);
  call->visit->ran++;
  if (call->due_ns > 0) loop_timer_set(call->visit->guest, &call->timer, call->due_ns);
}

static struct call call_of(struct visit *visit) { return (struct call){.task.run = run, .timer.fire = fire, .visit = visit}; }

static enum loop_guest turn(struct visit *visit) {
  uint64_t due_ns = 0;
  return loop_guest_turn(visit->guest, &due_ns);
}

static void a_sleeping_guest_has_its_host_woken_once(void **state) {
  (void)state;
  struct visit visit;
  begin(&visit);
  struct call calls[3] = {call_of(&visit), call_of(&visit), call_of(&visit)};
  assert_int_equal(turn(&visit), LOOP_GUEST_SLEEPS);
  assert_int_equal(visit.wakes, 0);

  for (int i = 0; i < 3; i++) loop_post(visit.guest, &calls[i].task);

  assert_int_equal(visit.wakes, 1);
  loop_guest_awakes(visit.guest);
  assert_int_equal(turn(&visit), LOOP_GUEST_SLEEPS);
  assert_int_equal(visit.ran, 3);
  loop_guest_awakes(visit.guest);
  end(&visit);
}

static void a_guest_that_is_awake_has_nobody_woken(void **state) {
  (void)state;
  struct visit visit;
  begin(&visit);
  struct call first = call_of(&visit);
  struct call second = call_of(&visit);

  loop_post(visit.guest, &first.task); /* before its first turn */
  assert_true(loop_guest_waits(visit.guest));
  assert_int_equal(turn(&visit), LOOP_GUEST_SLEEPS);
  loop_guest_awakes(visit.guest);
  assert_false(loop_guest_waits(visit.guest));
  loop_post(visit.guest, &second.task);
  assert_true(loop_guest_waits(visit.guest));

  assert_int_equal(turn(&visit), LOOP_GUEST_SLEEPS);
  assert_int_equal(visit.ran, 2);
  assert_int_equal(visit.wakes, 0);
  loop_guest_awakes(visit.guest);
  end(&visit);
}

static void a_wake_that_the_poster_holds_comes_when_it_is_let_go(void **state) {
  (void)state;
  struct visit visit;
  begin(&visit);
  struct call call = call_of(&visit);
  assert_int_equal(turn(&visit), LOOP_GUEST_SLEEPS);
  wakes_hold();

  loop_post(visit.guest, &call.task);
  assert_int_equal(visit.wakes, 0);
  wakes_let_go();

  assert_int_equal(visit.wakes, 1);
  loop_guest_awakes(visit.guest);
  end(&visit);
  assert_int_equal(visit.ran, 1);
}

static void a_turn_is_bounded_and_says_that_there_is_more(void **state) {
  (void)state;
  struct visit visit;
  begin(&visit);
  static struct call calls[TURN_TASKS_MAX + 1];
  for (unsigned i = 0; i <= TURN_TASKS_MAX; i++) {
    calls[i] = call_of(&visit);
    loop_post(visit.guest, &calls[i].task);
  }

  assert_int_equal(turn(&visit), LOOP_GUEST_BUSY);
  assert_int_equal(visit.ran, TURN_TASKS_MAX);
  assert_true(loop_guest_waits(visit.guest));
  assert_int_equal(turn(&visit), LOOP_GUEST_SLEEPS);

  assert_int_equal(visit.ran, TURN_TASKS_MAX + 1);
  loop_guest_awakes(visit.guest);
  end(&visit);
}

static void a_guest_tells_when_its_next_timer_is_due(void **state) {
  (void)state;
  struct visit visit;
  begin(&visit);
  uint64_t due_ns = 0;
  struct call call = call_of(&visit);
  assert_int_equal(loop_guest_turn(visit.guest, &due_ns), LOOP_GUEST_SLEEPS);
  assert_true(due_ns == UINT64_MAX);
  loop_guest_awakes(visit.guest);
  call.due_ns = loop_now_ns(visit.guest) + 20000000;
  loop_post(visit.guest, &call.task);

  assert_int_equal(loop_guest_turn(visit.guest, &due_ns), LOOP_GUEST_SLEEPS);
  assert_true(due_ns == call.due_ns);
  loop_guest_awakes(visit.guest);
  assert_int_equal(loop_guest_turn(visit.guest, &due_ns), LOOP_GUEST_SLEEPS); /* too early */
  assert_true(due_ns == call.due_ns);
  loop_guest_awakes(visit.guest);
  while (loop_now_ns(visit.guest) < call.due_ns) usleep(1000);
  assert_int_equal(visit.ran, 1);
  assert_int_equal(loop_guest_turn(visit.guest, &due_ns), LOOP_GUEST_SLEEPS);

  assert_int_equal(visit.ran, 101);
  assert_true(due_ns == UINT64_MAX);
  loop_guest_awakes(visit.guest);
  end(&visit);
}

/* It fires in the next turn, which the host has at once: it waits until a time that is past. */
static void a_timer_in_the_past_is_due(void **state) {
  (void)state;
  struct visit visit;
  begin(&visit);
  uint64_t due_ns = 0;
  struct call call = call_of(&visit);
  call.due_ns = 1;
  loop_post(visit.guest, &call.task);

  assert_int_equal(loop_guest_turn(visit.guest, &due_ns), LOOP_GUEST_SLEEPS);
  assert_int_equal(visit.ran, 1);
  assert_true(due_ns == 1);
  loop_guest_awakes(visit.guest);
  assert_int_equal(loop_guest_turn(visit.guest, &due_ns), LOOP_GUEST_SLEEPS);

  assert_int_equal(visit.ran, 101);
  loop_guest_awakes(visit.guest);
  end(&visit);
}

static void whoever_stops_a_guest_waits_until_the_host_has_let_go(void **state) {
  (void)state;
  struct visit visit;
  begin(&visit);
  pthread_t thread;
  uint64_t due_ns = 0;
  assert_int_equal(turn(&visit), LOOP_GUEST_SLEEPS);
  assert_int_equal(pthread_create(&thread, NULL, stop_guest, visit.guest), 0);
  while (atomic_load(&visit.wakes) == 0) usleep(1000);
  loop_guest_awakes(visit.guest);

  assert_int_equal(loop_guest_turn(visit.guest, &due_ns), LOOP_GUEST_OVER);
  usleep(20000);
  assert_int_equal(pthread_tryjoin_np(thread, NULL), EBUSY);
  loop_guest_let_go(visit.guest);

  assert_int_equal(pthread_join(thread, NULL), 0);
}

/* ---- No wake is lost ---- */

enum { ROUNDS = 20000, POSTERS = 2 };

struct errand {
  struct task task;
  sem_t back;
};

static void errand_run(struct task *task) { sem_post(&list_entry(task, struct errand, task)->back); }

/* Each time anew the guest is asleep, about to be, or just awake. */
static void *post_and_wait(void *guest) {
  struct errand errand = {.task.run = errand_run};
  struct timespec until;
  sem_init(&errand.back, 0, 0);
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec += PATIENCE_S;
  intptr_t round = 0;
  for (; round < ROUNDS; round++) {
    loop_post(guest, &errand.task);
    while (sem_timedwait(&errand.back, &until) != 0) {
      if (errno == ETIMEDOUT) return (void *)round; /* its task is lost, so is all of it */
    }
  }
  sem_destroy(&errand.back);
  return (void *)round;
}

static void no_wake_is_lost(void **state) {
  (void)state;
  struct loop_host *host = loop_host_new();
  struct loop *guest = loop_host_guest(host, "guest");
  pthread_t threads[POSTERS];

  for (int i = 0; i < POSTERS; i++) assert_int_equal(pthread_create(&threads[i], NULL, post_and_wait, guest), 0);
  for (int i = 0; i < POSTERS; i++) {
    void *rounds = NULL;
    pthread_join(threads[i], &rounds);
    assert_int_equal((intptr_t)rounds, ROUNDS);
  }

  loop_stop(guest);
  loop_host_free(host);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_sleeping_guest_has_its_host_woken_once),
      cmocka_unit_test(a_guest_that_is_awake_has_nobody_woken),
      cmocka_unit_test(a_wake_that_the_poster_holds_comes_when_it_is_let_go),
      cmocka_unit_test(a_turn_is_bounded_and_says_that_there_is_more),
      cmocka_unit_test(a_guest_tells_when_its_next_timer_is_due),
      cmocka_unit_test(a_timer_in_the_past_is_due),
      cmocka_unit_test(whoever_stops_a_guest_waits_until_the_host_has_let_go),
      cmocka_unit_test(no_wake_is_lost),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
