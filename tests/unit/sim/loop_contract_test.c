/* What loop.h promises, of the thread, the guest and the fiber. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/list.h"
#include "tests/unit/sim/contract.h"

struct story {
  struct loop *loop;
  char text[64]; /* touched on the loop; read after it was stopped */
  struct contract *contract;
};

struct teller {
  struct task task;
  struct timer timer;
  struct story *story;
  char letter;
  struct teller *then; /* posted from the run */
  uint64_t after_ns;   /* a timer set from the run; UINT64_MAX: none */
  struct timer *cancels;
};

static void tell(struct story *story, char letter) {
  size_t length = strlen(story->text);
  if (length < sizeof story->text - 1) story->text[length] = letter;
}

static void run_task(struct task *task) {
  struct teller *teller = container_of(task, struct teller, task);
  tell(teller->story, teller->letter);
  if (teller->then != NULL) loop_post(teller->story->loop, &teller->then->task);
  if (teller->after_ns != UINT64_MAX) {
    loop_timer_set(teller->story->loop, &teller->timer, loop_now_ns(teller->story->loop) + teller->after_ns);
  }
  if (teller->cancels != NULL) loop_timer_cancel(teller->story->loop, teller->cancels);
}

static void fire_timer(struct timer *timer) {
  const struct teller *teller = container_of(timer, struct teller, timer);
  tell(teller->story, (char)(teller->letter - 'a' + 'A'));
}

static void run_hook(void *context) { tell(context, '.'); }

static struct teller teller_of(struct story *story, char letter) {
  return (struct teller){
      .task = {.run = run_task}, .timer = {.fire = fire_timer}, .story = story, .letter = letter, .after_ns = UINT64_MAX};
}

static void begin(void **state, struct story *story) {
  memset(story, 0, sizeof *story);
  story->contract = *state;
  story->loop = world_loop_new(story->contract->world, "loop", story->contract->loop_flags);
}

static void tasks_run_in_order_and_stop_waits_for_them(void **state) {
  struct story story;
  begin(state, &story);
  struct teller a = teller_of(&story, 'a');
  struct teller b = teller_of(&story, 'b');
  struct teller c = teller_of(&story, 'c');
  loop_post(story.loop, &a.task);
  loop_post(story.loop, &b.task);
  loop_post(story.loop, &c.task);

  loop_stop(story.loop);

  assert_string_equal(story.text, "abc");
}

static void what_a_task_posts_runs_before_the_loop_ends(void **state) {
  struct story story;
  begin(state, &story);
  struct teller a = teller_of(&story, 'a');
  struct teller b = teller_of(&story, 'b');
  struct teller c = teller_of(&story, 'c');
  a.then = &b;
  b.then = &c;
  loop_post(story.loop, &a.task);

  loop_stop(story.loop);

  assert_string_equal(story.text, "abc");
}

static void timers_fire_by_deadline_and_then_by_order(void **state) {
  struct story story;
  begin(state, &story);
  struct teller tellers[4];
  const uint64_t after_ns[4] = {3000000, 2000000, 1000000, 0};
  for (int i = 0; i < 4; i++) {
    tellers[i] = teller_of(&story, (char)('a' + i));
    tellers[i].after_ns = after_ns[i];
    loop_post(story.loop, &tellers[i].task);
  }
  story.contract->settle(story.contract);

  loop_stop(story.loop);

  assert_string_equal(story.text, "abcdDCBA");
}

static void a_cancelled_timer_is_silent(void **state) {
  struct story story;
  begin(state, &story);
  struct teller a = teller_of(&story, 'a');
  struct teller b = teller_of(&story, 'b');
  a.after_ns = 1000000;
  b.cancels = &a.timer;
  loop_post(story.loop, &a.task);
  loop_post(story.loop, &b.task);
  story.contract->settle(story.contract);

  loop_stop(story.loop);

  assert_string_equal(story.text, "ab");
  assert_int_equal(a.timer.slot, 0);
}

static void the_hook_ends_every_turn_in_which_something_ran(void **state) {
  struct story story;
  begin(state, &story);
  struct teller a = teller_of(&story, 'a');
  struct teller b = teller_of(&story, 'b');
  a.then = &b;
  loop_set_turn_hook(story.loop, run_hook, &story);
  loop_post(story.loop, &a.task);
  story.contract->settle(story.contract);

  loop_stop(story.loop);

  assert_memory_equal(story.text, "a.b.", 4);
}

/* A deadline in the past waits for the next iteration: the hook of this one comes first. */
static void a_timer_in_the_past_fires_in_the_next_turn(void **state) {
  struct story story;
  begin(state, &story);
  struct teller a = teller_of(&story, 'a');
  a.after_ns = 0;
  loop_set_turn_hook(story.loop, run_hook, &story);
  loop_post(story.loop, &a.task);
  story.contract->settle(story.contract);

  loop_stop(story.loop);

  assert_memory_equal(story.text, "a.A.", 4);
}

static void clocks_do_not_go_back(void **state) {
  struct contract *contract = *state;
  uint64_t before_ns = world_now_ns(contract->world);
  int64_t before_ms = world_wall_ms(contract->world);
  contract->settle(contract);
  assert_true(world_now_ns(contract->world) >= before_ns + 20000000);
  assert_true(world_wall_ms(contract->world) >= before_ms + 20);
}

/* ---- Words ---- */

struct knocker {
  struct task task;
  struct world *world;
  atomic_uint word;
};

static void knock(struct task *task) {
  struct knocker *knocker = container_of(task, struct knocker, task);
  atomic_fetch_add(&knocker->word, 1);
  world_wake_word(knocker->world, &knocker->word);
}

static void a_waiter_wakes_when_its_word_has_changed(void **state) {
  struct story story;
  begin(state, &story);
  struct knocker knocker = {.task = {.run = knock}, .world = story.contract->world};
  uint64_t before_ns = world_now_ns(knocker.world);

  loop_post(story.loop, &knocker.task);
  while (atomic_load(&knocker.word) == 0) world_wait_word(knocker.world, &knocker.word, 0, UINT64_C(60000000000));

  assert_true(world_now_ns(knocker.world) < before_ns + UINT64_C(30000000000));
  world_wait_word(knocker.world, &knocker.word, 0, UINT64_MAX); /* it has changed already */
  loop_stop(story.loop);
}

static void a_waiter_gives_up_after_its_time(void **state) {
  struct contract *contract = *state;
  atomic_uint word = 5;
  uint64_t deadline_ns = world_now_ns(contract->world) + 20000000;

  while (world_now_ns(contract->world) < deadline_ns) world_wait_word(contract->world, &word, 5, 20000000);

  assert_true(world_now_ns(contract->world) < deadline_ns + UINT64_C(30000000000));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      LOOP_CONTRACT_TEST(tasks_run_in_order_and_stop_waits_for_them),
      LOOP_CONTRACT_TEST(what_a_task_posts_runs_before_the_loop_ends),
      LOOP_CONTRACT_TEST(timers_fire_by_deadline_and_then_by_order),
      LOOP_CONTRACT_TEST(a_cancelled_timer_is_silent),
      LOOP_CONTRACT_TEST(the_hook_ends_every_turn_in_which_something_ran),
      LOOP_CONTRACT_TEST(a_timer_in_the_past_fires_in_the_next_turn),
      LOOP_CONTRACT_TEST(clocks_do_not_go_back),
      LOOP_CONTRACT_TEST(a_waiter_wakes_when_its_word_has_changed),
      LOOP_CONTRACT_TEST(a_waiter_gives_up_after_its_time),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
