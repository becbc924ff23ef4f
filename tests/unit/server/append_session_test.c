/* The order of a stream, with partitions and lanes made of cardboard: what reaches a partition, when, and which answers leave. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "server/append_session.h"

/* ---- Two lanes that run when they are told to ---- */

struct card_loop {
  struct loop loop;
  struct task *tasks[64];
  size_t count;
};
static void card_post(struct loop *loop, struct task *task) {
  struct card_loop *card = container_of(loop, struct card_loop, loop);
  card->tasks[card->count++] = task;
}
static const struct loop_ops card_ops = {.post = card_post};
static struct card_loop home, away;

static void run(struct card_loop *card) {
  for (size_t i = 0; i < card->count; i++) card->tasks[i]->run(card->tasks[i]);
  card->count = 0;
}

/* ---- Partitions: a byte each; the first two live at home, the third elsewhere ---- */

static char partitions[3];
static struct partition *partition_number(size_t i) { return (struct partition *)(void *)&partitions[i]; }
static struct loop *loop_of(const struct partition *partition) {
  return (const void *)partition == &partitions[2] ? &away.loop : &home.loop;
}

static struct partition_append *submitted[64];
static size_t submitted_count;
static bool accept_at_once;
static void submit(struct partition_append *append) {
  submitted[submitted_count++] = append;
  if (accept_at_once) append->accepted(append);
}

static uint64_t answered[64];
static enum status reasons[64];
static enum executed executed[64];
static size_t answered_count;
static bool session_finished;
static struct append_session session;

static void answer(struct append_session *of, struct session_request *request) {
  assert_ptr_equal(of, &session);
  const struct failure *failure = request->append.failure;
  reasons[answered_count] = failure == NULL ? STATUS_OK : failure->reason;
  executed[answered_count] = failure == NULL ? EXECUTED_YES : failure->executed;
  answered[answered_count++] = request->request_id;
  memory_free(request->append.failure);
  memory_free(request);
}
static void finished(struct append_session *of) {
  assert_ptr_equal(of, &session);
  session_finished = true;
}
static const struct append_session_ops ops = {.submit = submit, .loop_of = loop_of, .answer = answer, .finished = finished};

static int setup(void **state) {
  (void)state;
  home = (struct card_loop){.loop = {.ops = &card_ops}};
  away = home;
  memset(&session, 0, sizeof session);
  append_session_init(&session, &ops, &home.loop);
  submitted_count = answered_count = 0;
  accept_at_once = true;
  session_finished = false;
  return 0;
}

static void ask(uint64_t id, size_t partition) {
  struct session_request *request = NEW(struct session_request);
  request->request_id = id;
  request->append.partition = partition_number(partition);
  append_session_submit(&session, request);
}
static void ask_refused(uint64_t id) {
  struct session_request *request = NEW(struct session_request);
  request->request_id = id;
  request->append.failure = refusal_new(STATUS_UNKNOWN_TOPIC, "no");
  append_session_submit(&session, request);
}
static void finish(size_t i) { submitted[i]->done(submitted[i]); }
static void turn_down(size_t i, enum status status, enum executed how) {
  submitted[i]->failure = refusal_new(status, "no");
  submitted[i]->failure->executed = how;
  submitted[i]->done(submitted[i]);
}

/* ---- */

static void requests_are_handed_over_as_soon_as_the_one_before_is_accepted(void **state) {
  (void)state;
  ask(1, 0);
  ask(2, 1);
  ask(3, 0);

  assert_int_equal(submitted_count, 3);
  assert_int_equal(answered_count, 0);
  finish(0);
  finish(1);
  finish(2);
  assert_int_equal(answered_count, 3);
}

static void answers_leave_in_the_order_of_the_requests(void **state) {
  (void)state;
  ask(1, 0);
  ask(2, 1);
  ask(3, 0);

  finish(2);
  finish(1);
  assert_int_equal(answered_count, 0);
  finish(0);
  assert_int_equal(answered_count, 3);
  assert_int_equal(answered[0], 1);
  assert_int_equal(answered[2], 3);
}

static void nothing_behind_an_undecided_request_is_handed_over(void **state) {
  (void)state;
  accept_at_once = false;
  ask(1, 0);
  ask(2, 0);
  assert_int_equal(submitted_count, 1);

  submitted[0]->accepted(submitted[0]);

  assert_int_equal(submitted_count, 2);
  finish(0);
  finish(1);
  assert_int_equal(answered_count, 2);
}

static void nothing_behind_a_refusal_is_appended(void **state) {
  (void)state;
  accept_at_once = false;
  ask(1, 0);
  ask(2, 1);
  ask(3, 2);

  turn_down(0, STATUS_BAD_BATCH, EXECUTED_NO);

  assert_int_equal(submitted_count, 1);
  assert_int_equal(answered_count, 3);
  assert_int_equal(reasons[0], STATUS_BAD_BATCH);
  assert_int_equal(reasons[1], STATUS_SESSION_BROKEN);
  assert_int_equal(reasons[2], STATUS_SESSION_BROKEN);
  assert_int_equal(executed[2], EXECUTED_NO);
  ask(4, 0);
  assert_int_equal(submitted_count, 1);
  assert_int_equal(reasons[3], STATUS_SESSION_BROKEN);
}

static void what_another_partition_had_accepted_before_a_refusal_has_its_own_outcome(void **state) {
  (void)state;
  ask(1, 0);
  ask(2, 1);
  turn_down(0, STATUS_REPLACED, EXECUTED_NO);
  ask(3, 1);
  finish(1);

  assert_int_equal(submitted_count, 2);
  assert_int_equal(answered_count, 3);
  assert_int_equal(reasons[0], STATUS_REPLACED);
  assert_int_equal(reasons[1], STATUS_OK);
  assert_int_equal(reasons[2], STATUS_SESSION_BROKEN);
  assert_int_equal(executed[2], EXECUTED_NO);
}

static void a_request_that_was_refused_before_it_came_breaks_the_session_in_its_turn(void **state) {
  (void)state;
  ask(1, 0);
  ask_refused(2);
  ask(3, 0);

  assert_int_equal(submitted_count, 1);
  assert_int_equal(answered_count, 0); /* the first is still on its way */
  finish(0);
  assert_int_equal(reasons[0], STATUS_OK);
  assert_int_equal(reasons[1], STATUS_UNKNOWN_TOPIC);
  assert_int_equal(reasons[2], STATUS_SESSION_BROKEN);
}

static void behind_an_unknown_outcome_everything_is_unknown(void **state) {
  (void)state;
  ask(1, 0);
  ask(2, 1);
  ask(3, 0);

  finish(1); /* appended, and yet */
  turn_down(0, STATUS_UNKNOWN_OUTCOME, EXECUTED_MAYBE);
  finish(2);
  ask(4, 0);

  assert_int_equal(answered_count, 4);
  for (size_t i = 0; i < 4; i++) {
    assert_int_equal(reasons[i], STATUS_UNKNOWN_OUTCOME);
    assert_int_equal(executed[i], EXECUTED_MAYBE);
  }
  assert_int_equal(submitted_count, 3);
}

static void a_request_for_another_lane_holds_back_the_next(void **state) {
  (void)state;
  ask(1, 0);
  ask(2, 2);
  ask(3, 0);
  assert_int_equal(submitted_count, 1); /* the second is on its way */

  run(&away);
  assert_int_equal(submitted_count, 2);
  run(&home); /* brings the word that it was accepted */
  assert_int_equal(submitted_count, 3);

  finish(2);
  finish(0);
  finish(1);
  assert_int_equal(answered_count, 1);
  run(&home);
  assert_int_equal(answered_count, 3);
  assert_int_equal(answered[1], 2);
}

static void a_refusal_on_another_lane_holds_too(void **state) {
  (void)state;
  accept_at_once = false;
  ask(1, 2);
  ask(2, 0);
  run(&away);

  turn_down(0, STATUS_DISK_FULL, EXECUTED_NO);
  run(&home);

  assert_int_equal(submitted_count, 1);
  assert_int_equal(reasons[0], STATUS_DISK_FULL);
  assert_int_equal(reasons[1], STATUS_SESSION_BROKEN);
}

static void the_end_waits_for_the_last_answer(void **state) {
  (void)state;
  ask(1, 0);
  append_session_end(&session);
  assert_false(session_finished);

  finish(0);

  assert_true(session_finished);
}

static void an_empty_session_ends_at_once(void **state) {
  (void)state;
  append_session_end(&session);
  assert_true(session_finished);
}

/* A repetition that is too old, or one of a producer that was given up: the answer speaks of an earlier attempt, nothing was begun. */
static void a_refusal_that_says_yes_or_maybe_of_an_earlier_attempt_is_one(void **state) {
  (void)state;
  accept_at_once = false;
  ask(1, 0);
  ask(2, 0);
  turn_down(0, STATUS_DUPLICATE_BEYOND_WINDOW, EXECUTED_YES);

  assert_int_equal(submitted_count, 1);
  assert_int_equal(answered_count, 2);
  assert_int_equal(reasons[0], STATUS_DUPLICATE_BEYOND_WINDOW);
  assert_int_equal(executed[0], EXECUTED_YES);
  assert_int_equal(reasons[1], STATUS_SESSION_BROKEN);
  assert_int_equal(executed[1], EXECUTED_NO);
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_refusal_that_says_yes_or_maybe_of_an_earlier_attempt_is_one),
      TEST(requests_are_handed_over_as_soon_as_the_one_before_is_accepted),
      TEST(answers_leave_in_the_order_of_the_requests),
      TEST(nothing_behind_an_undecided_request_is_handed_over),
      TEST(nothing_behind_a_refusal_is_appended),
      TEST(what_another_partition_had_accepted_before_a_refusal_has_its_own_outcome),
      TEST(a_request_that_was_refused_before_it_came_breaks_the_session_in_its_turn),
      TEST(behind_an_unknown_outcome_everything_is_unknown),
      TEST(a_request_for_another_lane_holds_back_the_next),
      TEST(a_refusal_on_another_lane_holds_too),
      TEST(the_end_waits_for_the_last_answer),
      TEST(an_empty_session_ends_at_once),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
