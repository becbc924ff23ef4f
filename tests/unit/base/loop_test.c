#include "tests/unit/base/cmocka_base.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>

#include "base/list.h"
#include "base/loop.h"
#include "base/memory.h"
#include "base/os/wakes.h"
#include "base/os/world_os.h"
#include "tests/unit/base/loop_host.h"

#define MILLISECOND 1000000u
#define TURN_TASKS_MAX 1024u
#define TRACE_MAX 8192u

/* A loop, on its own thread or as the guest of another, and what happened on it, in order. Written on the loop, read after it was stopped
 * or said so. */
struct fixture {
  struct loop *loop;
  struct loop_host *host; /* NULL: it has its own thread */
  unsigned trace[TRACE_MAX];
  unsigned trace_count;
  unsigned turns;
  sem_t said;
};

struct step {
  struct task task;
  struct timer timer;
  struct fixture *fixture;
  unsigned number;
  void (*then)(struct step *step);
};

static struct fixture *fixture; /* one test at a time */

static void note(unsigned number) {
  if (fixture->trace_count < TRACE_MAX) fixture->trace[fixture->trace_count++] = number;
}

static void run_step(struct task *task) {
  struct step *step = list_entry(task, struct step, task);
  note(step->number);
  if (step->then != NULL) step->then(step);
}

static void fire_step(struct timer *timer) {
  struct step *step = list_entry(timer, struct step, timer);
  note(step->number);
  if (step->then != NULL) step->then(step);
}

static void say(struct step *step) { sem_post(&step->fixture->said); }

static struct step step_of(unsigned number, void (*then)(struct step *step)) {
  return (struct step){.task.run = run_step, .timer.fire = fire_step, .fixture = fixture, .number = number, .then = then};
}

static void count_turn(void *context) { ((struct fixture *)context)->turns++; }

static struct loop *new_loop(const char *name) {
  return fixture->host != NULL ? loop_host_guest(fixture->host, name) : loop_os_new(name, 0);
}

static int set_up_on(void **state, struct loop_host *host) {
  fixture = NEW(struct fixture);
  sem_init(&fixture->said, 0, 0);
  fixture->host = host;
  fixture->loop = new_loop("test");
  loop_set_turn_hook(fixture->loop, count_turn, fixture);
  *state = fixture;
  return 0;
}

static int setup(void **state) { return set_up_on(state, NULL); }
static int setup_guest(void **state) { return set_up_on(state, loop_host_new()); }

static int teardown(void **state) {
  (void)state;
  if (fixture->loop != NULL) loop_stop(fixture->loop);
  loop_host_free(fixture->host);
  sem_destroy(&fixture->said);
  memory_free(fixture);
  return 0;
}

static void stop(void) {
  loop_stop(fixture->loop);
  fixture->loop = NULL;
}

static void assert_trace(const unsigned *expected, unsigned count) {
  assert_int_equal(fixture->trace_count, count);
  for (unsigned i = 0; i < count; i++) assert_int_equal(fixture->trace[i], expected[i]);
}
#define ASSERT_TRACE(...)                                         \
  do {                                                            \
    const unsigned expected[] = {__VA_ARGS__};                    \
    assert_trace(expected, sizeof expected / sizeof expected[0]); \
  } while (0)

/* ---- Tasks ---- */

static void tasks_run_in_the_order_they_were_posted(void **state) {
  (void)state;
  static struct step steps[3000];
  for (unsigned i = 0; i < 3000; i++) {
    steps[i] = step_of(i, NULL);
    loop_post(fixture->loop, &steps[i].task);
  }

  stop();

  assert_int_equal(fixture->trace_count, 3000);
  for (unsigned i = 0; i < 3000; i++) assert_int_equal(fixture->trace[i], i);
}

static struct step followers[4];

static void post_followers(struct step *step) {
  loop_post(step->fixture->loop, &followers[0].task);
  loop_post(step->fixture->loop, &followers[1].task);
}

static void post_again_twice(struct step *step) {
  if (step->fixture->trace_count < 6) loop_post(step->fixture->loop, &step->task);
}

static void stop_waits_for_what_tasks_post(void **state) {
  (void)state;
  struct step first = step_of(1, post_followers);
  followers[0] = step_of(2, post_again_twice);
  followers[1] = step_of(3, NULL);
  loop_post(fixture->loop, &first.task);

  stop();

  ASSERT_TRACE(1, 2, 3, 2, 2, 2);
}

static sem_t gate;

static void wait_at_gate(struct step *step) {
  sem_post(&step->fixture->said);
  while (sem_wait(&gate) != 0) continue;
}

static void a_turn_takes_a_bounded_number_of_tasks(void **state) {
  (void)state;
  static struct step steps[2 * TURN_TASKS_MAX + 1];
  struct step blocker = step_of(0, wait_at_gate);
  sem_init(&gate, 0, 0);
  loop_post(fixture->loop, &blocker.task);
  sem_wait(&fixture->said);
  for (unsigned i = 0; i < 2 * TURN_TASKS_MAX; i++) {
    steps[i] = step_of(i + 1, NULL);
    loop_post(fixture->loop, &steps[i].task);
  }
  steps[2 * TURN_TASKS_MAX] = step_of(9999, say);
  loop_post(fixture->loop, &steps[2 * TURN_TASKS_MAX].task);

  sem_post(&gate);
  sem_wait(&fixture->said);
  stop();

  /* The blocker's turn, two full ones, and the last task's, which may share its turn with the end. */
  assert_in_range(fixture->turns, 4, 5);
  for (unsigned i = 0; i <= 2 * TURN_TASKS_MAX; i++) assert_int_equal(fixture->trace[i], i);
}

static void hook_runs_after_turns_that_did_something_only(void **state) {
  (void)state;
  struct step steps[3];
  for (unsigned i = 0; i < 3; i++) {
    steps[i] = step_of(i, say);
    loop_post(fixture->loop, &steps[i].task);
    sem_wait(&fixture->said);
    usleep(3000);
  }

  stop();

  assert_int_equal(fixture->turns, 4); /* and the one that stopped it */
}

/* ---- Timers ---- */

static struct step timed[64];

static void set_out_of_order(struct step *step) {
  struct loop *loop = step->fixture->loop;
  uint64_t now_ns = loop_now_ns(loop);
  loop_timer_set(loop, &timed[0].timer, now_ns + 6 * MILLISECOND);
  loop_timer_set(loop, &timed[1].timer, now_ns + 2 * MILLISECOND);
  loop_timer_set(loop, &timed[2].timer, now_ns + 4 * MILLISECOND);
  loop_timer_set(loop, &timed[3].timer, now_ns + 2 * MILLISECOND);
  loop_timer_set(loop, &timed[4].timer, now_ns + 1 * MILLISECOND);
  loop_timer_set(loop, &timed[5].timer, now_ns + 3 * MILLISECOND);
  loop_timer_cancel(loop, &timed[5].timer);
  loop_timer_cancel(loop, &timed[5].timer);
  loop_timer_set(loop, &timed[4].timer, now_ns + 5 * MILLISECOND); /* moved */
}

static void timers_fire_by_deadline_then_by_the_order_they_were_set(void **state) {
  (void)state;
  for (unsigned i = 0; i < 6; i++) timed[i] = step_of(10 + i, i == 0 ? say : NULL);
  struct step setter = step_of(1, set_out_of_order);
  loop_post(fixture->loop, &setter.task);

  sem_wait(&fixture->said);
  stop();

  ASSERT_TRACE(1, 11, 13, 12, 14, 10);
  for (unsigned i = 0; i < 6; i++) assert_int_equal(timed[i].timer.slot, 0);
}

static void set_in_the_past(struct step *step) {
  if (step->fixture->trace_count == 20) sem_post(&step->fixture->said);
  else loop_timer_set(step->fixture->loop, &step->timer, 0);
}

static void a_deadline_in_the_past_fires_in_the_next_iteration(void **state) {
  (void)state;
  struct step step = step_of(5, set_in_the_past);
  loop_post(fixture->loop, &step.task);

  sem_wait(&fixture->said);
  stop();

  /* Once per iteration, and one more for the end: a timer that sets itself does not keep the loop from its tasks. */
  assert_int_equal(fixture->trace_count, 20);
  assert_int_equal(fixture->turns, 21);
}

static void cancel_the_next(struct step *step) {
  loop_timer_cancel(step->fixture->loop, &timed[1].timer);
  loop_timer_set(step->fixture->loop, &timed[2].timer, loop_now_ns(step->fixture->loop) + 1 * MILLISECOND);
}

static void set_three_at_once(struct step *step) {
  uint64_t due_ns = loop_now_ns(step->fixture->loop) + 1 * MILLISECOND;
  for (unsigned i = 0; i < 4; i++) loop_timer_set(step->fixture->loop, &timed[i].timer, due_ns);
}

static void a_due_timer_can_still_be_cancelled_and_moved(void **state) {
  (void)state;
  timed[0] = step_of(10, cancel_the_next);
  timed[1] = step_of(11, NULL);
  timed[2] = step_of(12, say);
  timed[3] = step_of(13, NULL);
  struct step setter = step_of(1, set_three_at_once);
  loop_post(fixture->loop, &setter.task);

  sem_wait(&fixture->said);
  stop();

  ASSERT_TRACE(1, 10, 13, 12);
}

static void set_far_away(struct step *step) {
  for (unsigned i = 0; i < 40; i++) {
    loop_timer_set(step->fixture->loop, &timed[i].timer, loop_now_ns(step->fixture->loop) + 3600ull * 1000 * MILLISECOND);
  }
}

static void timers_that_are_set_when_the_loop_stops_never_fire(void **state) {
  (void)state;
  for (unsigned i = 0; i < 40; i++) timed[i] = step_of(100, NULL);
  struct step setter = step_of(1, set_far_away);
  loop_post(fixture->loop, &setter.task);

  stop();

  ASSERT_TRACE(1);
}

/* Timers at random, against a list that is searched: the line it prints repeats it. */
static uint64_t random_state;

static unsigned random_below(unsigned bound) {
  random_state = random_state * 6364136223846793005u + 1442695040888963407u;
  return (unsigned)(random_state >> 33) % bound;
}

/* Due after every timer that was set before it. */
static struct step last_timer;

static void shuffle_timers(struct step *step) {
  struct loop *loop = step->fixture->loop;
  uint64_t now_ns = loop_now_ns(loop);
  for (unsigned i = 0; i < 2000; i++) {
    struct step *chosen = &timed[random_below(64)];
    if (random_below(4) == 0) loop_timer_cancel(loop, &chosen->timer);
    else loop_timer_set(loop, &chosen->timer, now_ns + random_below(3 * MILLISECOND));
  }
  if (--step->number > 0) loop_post(loop, &step->task);
  else loop_timer_set(loop, &last_timer.timer, now_ns + 3 * MILLISECOND);
}

static unsigned disorders;

static void check_not_early(struct step *step) {
  if (loop_now_ns(step->fixture->loop) < step->timer.deadline_ns) disorders++;
  if (step->timer.slot != 0) disorders++;
}

static void timers_survive_random_setting_moving_and_cancelling(void **state) {
  (void)state;
  random_state = seed_new();
  disorders = 0;
  for (unsigned i = 0; i < 64; i++) timed[i] = step_of(100 + i, check_not_early);
  last_timer = step_of(99, say);
  struct step shuffler = step_of(50, shuffle_timers);
  loop_post(fixture->loop, &shuffler.task);

  sem_wait(&fixture->said);
  stop();

  assert_int_equal(disorders, 0);
  for (unsigned i = 0; i < 64; i++) assert_int_equal(timed[i].timer.slot, 0);
}

/* ---- Threads ---- */

enum { PRODUCERS = 3, POSTS = 4000 };

struct producer {
  pthread_t thread;
  struct loop *loop;
  unsigned number;
  struct step *steps;
};

static unsigned next_of_producer[PRODUCERS];
static unsigned misordered;

static void check_order(struct step *step) {
  unsigned producer = step->number / POSTS;
  if (next_of_producer[producer]++ != step->number % POSTS) misordered++;
}

static void *produce(void *argument) {
  struct producer *producer = argument;
  for (unsigned i = 0; i < POSTS; i++) {
    producer->steps[i] = step_of(producer->number * POSTS + i, check_order);
    loop_post(producer->loop, &producer->steps[i].task);
    if (i % 64 == 0) usleep(20); /* lets the loop fall asleep now and then */
  }
  return NULL;
}

static void posts_of_many_threads_all_run_and_each_threads_in_order(void **state) {
  (void)state;
  struct producer producers[PRODUCERS];
  memset(next_of_producer, 0, sizeof next_of_producer);
  misordered = 0;
  for (unsigned i = 0; i < PRODUCERS; i++) {
    producers[i] = (struct producer){.loop = fixture->loop, .number = i, .steps = memory_new_array(POSTS, sizeof(struct step))};
    assert_int_equal(pthread_create(&producers[i].thread, NULL, produce, &producers[i]), 0);
  }
  for (unsigned i = 0; i < PRODUCERS; i++) pthread_join(producers[i].thread, NULL);

  stop();

  assert_int_equal(misordered, 0);
  for (unsigned i = 0; i < PRODUCERS; i++) {
    assert_int_equal(next_of_producer[i], POSTS);
    memory_free(producers[i].steps);
  }
}

struct ball {
  struct task task;
  struct loop *sides[2];
  unsigned bounces;
  sem_t done;
};

static void bounce(struct task *task) {
  struct ball *ball = list_entry(task, struct ball, task);
  if (++ball->bounces == 5000) sem_post(&ball->done);
  else loop_post(ball->sides[ball->bounces % 2], task);
}

static void two_loops_hand_a_task_back_and_forth(void **state) {
  (void)state;
  struct ball ball = {.task.run = bounce, .sides = {fixture->loop, loop_os_new("other", LOOP_MAY_BLOCK)}};
  sem_init(&ball.done, 0, 0);

  loop_post(fixture->loop, &ball.task);
  sem_wait(&ball.done);

  loop_stop(ball.sides[1]);
  assert_int_equal(ball.bounces, 5000);
}

struct late {
  struct task task;
  struct loop *loop;
  sem_t ran;
};

static void late_run(struct task *task) { sem_post(&list_entry(task, struct late, task)->ran); }

static void *late_post(void *argument) {
  struct late *late = argument;
  loop_post(late->loop, &late->task);
  return NULL;
}

/* The poster may still be on its way out of loop_post() when its task has run and the loop is stopped. */
static void a_loop_may_be_stopped_as_soon_as_the_last_task_has_run(void **state) {
  (void)state;
  stop();
  for (unsigned i = 0; i < 300; i++) {
    struct late late = {.task.run = late_run, .loop = new_loop("late")};
    pthread_t thread;
    sem_init(&late.ran, 0, 0);
    pthread_create(&thread, NULL, late_post, &late);
    sem_wait(&late.ran);
    loop_stop(late.loop);
    pthread_join(thread, NULL);
    sem_destroy(&late.ran);
  }
}

/* ---- Wakes held back ---- */

#define QUIET_NS (100 * MILLISECOND)

static void pause_for(uint64_t ns) {
  struct timespec pause = {.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
  nanosleep(&pause, NULL);
}

static bool said_something(void) { return sem_trywait(&fixture->said) == 0; }

static void *hold_and_let_go(void *unused) {
  (void)unused;
  static struct step first, second;
  first = step_of(1, say);
  second = step_of(2, say);
  pause_for(QUIET_NS); /* now the loop sleeps */
  wakes_hold();

  assert_false(wakes_held());
  loop_post(fixture->loop, &first.task);
  loop_post(fixture->loop, &second.task);
  assert_true(wakes_held());
  pause_for(QUIET_NS);
  assert_false(said_something());
  wakes_let_go();
  assert_false(wakes_held());

  sem_wait(&fixture->said);
  sem_wait(&fixture->said);
  return NULL;
}

static void in_a_thread(void *(*run)(void *)) {
  pthread_t thread;
  assert_int_equal(pthread_create(&thread, NULL, run, NULL), 0);
  pthread_join(thread, NULL);
}

static void a_loop_sleeps_until_a_held_wake_is_let_go_and_then_runs_all_in_one_turn(void **state) {
  (void)state;

  in_a_thread(hold_and_let_go);

  stop();
  ASSERT_TRACE(1, 2);
  assert_int_equal(fixture->turns, 2); /* the other is the stop's */
}

static void only_say(struct task *task) { say(list_entry(task, struct step, task)); }

static void *hold_too_many(void *unused) {
  (void)unused;
  static struct loop *loops[WAKES_HELD_MAX];
  static struct step steps[WAKES_HELD_MAX + 1];
  for (unsigned i = 0; i < WAKES_HELD_MAX; i++) loops[i] = loop_os_new("held", 0);
  pause_for(QUIET_NS);
  wakes_hold();
  for (unsigned i = 0; i < WAKES_HELD_MAX; i++) {
    steps[i] = (struct step){.task.run = only_say, .fixture = fixture};
    loop_post(loops[i], &steps[i].task);
  }
  pause_for(QUIET_NS);
  assert_false(said_something());

  steps[WAKES_HELD_MAX] = step_of(WAKES_HELD_MAX, say);
  loop_post(fixture->loop, &steps[WAKES_HELD_MAX].task);

  for (unsigned i = 0; i < WAKES_HELD_MAX; i++) sem_wait(&fixture->said);
  assert_true(wakes_held()); /* the last one */
  for (unsigned i = 0; i < WAKES_HELD_MAX; i++) loop_stop(loops[i]);
  sem_wait(&fixture->said);
  return NULL;
}

static void no_more_wakes_are_held_than_there_is_room_for(void **state) {
  (void)state;
  in_a_thread(hold_too_many);
}

static void *stop_what_it_has_not_woken(void *unused) {
  (void)unused;
  static struct step step;
  step = step_of(1, NULL);
  pause_for(QUIET_NS);
  wakes_hold();
  loop_post(fixture->loop, &step.task);
  stop();
  return NULL;
}

static void a_thread_that_holds_a_wake_may_stop_the_loop(void **state) {
  (void)state;

  in_a_thread(stop_what_it_has_not_woken);

  ASSERT_TRACE(1);
}

static void clocks_go_forward_and_agree_with_the_world(void **state) {
  (void)state;
  uint64_t before_ns = loop_now_ns(fixture->loop);
  usleep(2000);

  assert_true(loop_now_ns(fixture->loop) >= before_ns + 2 * MILLISECOND);
  assert_true(loop_wall_ms(fixture->loop) > 1600000000000);
}

#define ON_BOTH(test) \
  {#test " (its own thread)", test, setup, teardown, NULL}, { #test " (guest)", test, setup_guest, teardown, NULL }

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_BOTH(tasks_run_in_the_order_they_were_posted),
      ON_BOTH(stop_waits_for_what_tasks_post),
      ON_BOTH(a_turn_takes_a_bounded_number_of_tasks),
      ON_BOTH(hook_runs_after_turns_that_did_something_only),
      ON_BOTH(timers_fire_by_deadline_then_by_the_order_they_were_set),
      ON_BOTH(a_deadline_in_the_past_fires_in_the_next_iteration),
      ON_BOTH(a_due_timer_can_still_be_cancelled_and_moved),
      ON_BOTH(timers_that_are_set_when_the_loop_stops_never_fire),
      ON_BOTH(timers_survive_random_setting_moving_and_cancelling),
      ON_BOTH(posts_of_many_threads_all_run_and_each_threads_in_order),
      ON_BOTH(two_loops_hand_a_task_back_and_forth),
      ON_BOTH(a_loop_may_be_stopped_as_soon_as_the_last_task_has_run),
      ON_BOTH(a_loop_sleeps_until_a_held_wake_is_let_go_and_then_runs_all_in_one_turn),
      ON_BOTH(no_more_wakes_are_held_than_there_is_room_for),
      ON_BOTH(a_thread_that_holds_a_wake_may_stop_the_loop),
      ON_BOTH(clocks_go_forward_and_agree_with_the_world),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
