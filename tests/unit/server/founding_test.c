/* The rule of founding, turn by turn: what is answered to whom, what is decided on what, and in which words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "log/identity.h"
#include "server/founding.h"

static const uint8_t fresh[LOG_ID_SIZE] = {0xc1};
static char problem[FOUNDING_PROBLEM_SIZE];

static struct log_identity draft_of(uint32_t broker) {
  return (struct log_identity){.broker_id = broker, .incarnation = {(uint8_t)broker, 1}};
}

static struct founding founding_of(uint32_t broker, const char *text) {
  struct founding founding;
  struct join named;
  struct log_identity draft = draft_of(broker);
  assert_null(join_parse(text, &named));
  founding_init(&founding, &draft, &named, fresh);
  return founding;
}

#define THREE "1=a:1,2=b:1,3=c:1"

static struct meet_answer waiting(uint32_t broker) {
  return (struct meet_answer){.stage = MEET_WAITING, .who = draft_of(broker), .named = {.count = 3, .ids = {1, 2, 3}}};
}
static struct meet_answer empty(uint32_t broker) {
  struct meet_answer answer = waiting(broker);
  answer.stage = MEET_EMPTY;
  return answer;
}
/* Of the cluster of 1, 2 and 3. */
static struct meet_answer founded(uint32_t broker, uint8_t cluster) {
  struct meet_answer answer = {.stage = MEET_FOUNDED, .who = draft_of(broker)};
  answer.who.cluster[0] = cluster;
  answer.who.founder_count = 3;
  for (uint32_t i = 0; i < 3; i++)
    answer.who.founders[i] = (struct log_founder){.broker_id = i + 1, .incarnation = {(uint8_t)(i + 1), 1}, .address = "x:1"};
  return answer;
}
static struct meet_request request_of(uint32_t broker) {
  struct log_identity draft = draft_of(broker);
  struct meet_request request = {.broker = broker, .named = {.count = 3, .ids = {1, 2, 3}}};
  memcpy(request.incarnation, draft.incarnation, LOG_ID_SIZE);
  return request;
}

static enum founding_stage round_with(struct founding *founding, uint32_t a, struct meet_answer one, uint32_t b,
                                      struct meet_answer other) {
  (void)founding_begin_round(founding);
  founding_answered(founding, a, &one);
  founding_answered(founding, b, &other);
  return founding_decide(founding, problem);
}

static void the_founder_founds_when_all_are_empty(void **state) {
  (void)state;
  struct founding founding = founding_of(1, THREE);
  struct meet_request request = founding_begin_round(&founding);
  assert_int_equal(request.broker, 1);
  assert_int_equal(request.named.count, 3);

  assert_int_equal(round_with(&founding, 1, empty(2), 2, empty(3)), FOUNDING_WRITING);

  const struct log_identity *record = &founding.record;
  assert_memory_equal(record->cluster, fresh, LOG_ID_SIZE);
  assert_true(identity_founded(record));
  assert_int_equal(record->founder_count, 3);
  assert_int_equal(record->founders[2].incarnation[0], 3);
  assert_string_equal(record->founders[2].address, "c:1");
  struct meet_request asking = request_of(2);
  assert_int_equal(founding_asked(&founding, &asking).stage, MEET_WAITING); /* it is not durable yet */
  founding_written(&founding);
  struct meet_answer answer = founding_asked(&founding, &asking);
  assert_int_equal(answer.stage, MEET_FOUNDED);
  assert_memory_equal(&answer.who, record, sizeof *record);
}

static void one_that_does_not_answer_keeps_it_waiting(void **state) {
  (void)state;
  struct founding founding = founding_of(1, THREE);
  (void)founding_begin_round(&founding);
  struct meet_answer answer = empty(2);
  founding_answered(&founding, 1, &answer);

  assert_int_equal(founding_decide(&founding, problem), FOUNDING_WAITING);

  assert_non_null(strstr(problem, "broker 3 at c:1 does not answer: start it"));
  assert_null(strstr(problem, "broker 2"));
}

/* Both were there, but never in one round. */
static void an_answer_counts_for_its_round_only(void **state) {
  (void)state;
  struct founding founding = founding_of(1, THREE);
  struct meet_answer two = empty(2), three = empty(3);
  (void)founding_begin_round(&founding);
  founding_answered(&founding, 1, &two);
  assert_int_equal(founding_decide(&founding, problem), FOUNDING_WAITING);
  (void)founding_begin_round(&founding);
  founding_answered(&founding, 2, &three);
  assert_int_equal(founding_decide(&founding, problem), FOUNDING_WAITING);
}

static void waiting_is_not_empty(void **state) {
  (void)state;
  struct founding founding = founding_of(1, THREE);
  assert_int_equal(round_with(&founding, 1, empty(2), 2, waiting(3)), FOUNDING_WAITING);
}

static void others_never_found(void **state) {
  (void)state;
  struct founding founding = founding_of(2, THREE);
  assert_int_equal(round_with(&founding, 0, empty(1), 2, empty(3)), FOUNDING_WAITING);
  assert_non_null(strstr(problem, "broker 1 at a:1 gathers the others"));
}

static void empty_is_said_to_the_founder_that_was_seen(void **state) {
  (void)state;
  struct founding founding = founding_of(2, THREE);
  struct meet_request founder = request_of(1), other = request_of(3);
  assert_int_equal(founding_asked(&founding, &founder).stage, MEET_WAITING); /* not seen yet */
  assert_int_equal(round_with(&founding, 0, waiting(1), 2, waiting(3)), FOUNDING_WAITING);

  assert_int_equal(founding_asked(&founding, &founder).stage, MEET_EMPTY);
  assert_int_equal(founding_asked(&founding, &founder).stage, MEET_EMPTY); /* once more */

  assert_int_equal(founding_asked(&founding, &other).stage, MEET_WAITING);
  founder.named.ids[2] = 4;
  assert_int_equal(founding_asked(&founding, &founder).stage, MEET_WAITING); /* it means others */
  founder = request_of(1);
  founder.incarnation[5] = 1;
  assert_int_equal(founding_asked(&founding, &founder).stage,
                   MEET_WAITING); /* it says it is 1, but is not the one at that address */
}

static void what_was_asked_before_the_promise_does_not_count(void **state) {
  (void)state;
  struct founding founding = founding_of(2, THREE);
  struct meet_request founder = request_of(1);
  struct meet_answer record = founded(3, 7), seen = waiting(1);
  assert_int_equal(round_with(&founding, 0, waiting(1), 2, waiting(3)), FOUNDING_WAITING);
  (void)founding_begin_round(&founding);
  founding_answered(&founding, 0, &seen);
  assert_int_equal(founding_asked(&founding, &founder).stage, MEET_EMPTY);

  founding_answered(&founding, 2, &record);

  assert_int_equal(founding_decide(&founding, problem), FOUNDING_WAITING);
  /* It was true after all: asked again, it counts. */
  assert_int_equal(founding_asked(&founding, &founder).stage, MEET_EMPTY);
  assert_int_equal(round_with(&founding, 0, waiting(1), 2, founded(3, 7)), FOUNDING_WRITING);
  assert_int_equal(founding_asked(&founding, &founder).stage, MEET_WAITING);
}

static void a_record_is_taken_from_whoever_has_it(void **state) {
  (void)state;
  struct founding founding = founding_of(2, THREE);
  (void)founding_begin_round(&founding);
  struct meet_answer record = founded(3, 7);
  founding_answered(&founding, 2, &record); /* the founder does not answer */

  assert_int_equal(founding_decide(&founding, problem), FOUNDING_WRITING);

  assert_int_equal(founding.record.cluster[0], 7);
  assert_int_equal(founding.record.broker_id, 2);
  assert_true(identity_founded(&founding.record));
}

static void a_founder_that_forgot_finds_its_cluster(void **state) {
  (void)state;
  struct founding founding = founding_of(1, THREE); /* of the same incarnation: it crashed before it was durable elsewhere */
  assert_int_equal(round_with(&founding, 1, founded(2, 7), 2, empty(3)), FOUNDING_WRITING);
  assert_int_equal(founding.record.cluster[0], 7);
}

static void who_is_in_no_record_enters(void **state) {
  (void)state;
  struct founding founding = founding_of(2, THREE);
  struct meet_answer record = founded(3, 7);
  record.who.founders[1].incarnation[1] = 9; /* of an earlier directory */
  (void)founding_begin_round(&founding);
  founding_answered(&founding, 2, &record);

  assert_int_equal(founding_decide(&founding, problem), FOUNDING_ENTERING);

  assert_int_equal(founding.record.cluster[0], 7);
  assert_int_equal(founding.record.founder_count, 3);
  assert_false(identity_founded(&founding.record));
  struct meet_request founder = request_of(1);
  assert_int_equal(founding_asked(&founding, &founder).stage, MEET_WAITING);
}

static void alone_it_founds_at_once(void **state) {
  (void)state;
  struct founding founding = founding_of(5, "5=a:1");
  (void)founding_begin_round(&founding);
  assert_int_equal(founding_decide(&founding, problem), FOUNDING_WRITING);
  assert_int_equal(founding.record.founder_count, 1);
}

static void contradictions_are_refused_in_words(void **state) {
  (void)state;
  struct founding founding = founding_of(1, THREE);
  assert_int_equal(round_with(&founding, 1, empty(4), 2, empty(3)), FOUNDING_REFUSED);
  assert_non_null(strstr(problem, "join says that broker 2 is at b:1, but broker 4 answers there"));

  founding = founding_of(1, THREE);
  struct meet_answer fewer = waiting(2);
  fewer.named.count = 2;
  assert_int_equal(round_with(&founding, 1, fewer, 2, empty(3)), FOUNDING_REFUSED);
  assert_non_null(strstr(problem, "a cluster of 2 brokers (1, 2), and this one of 3 (1, 2, 3)"));

  founding = founding_of(1, THREE);
  assert_int_equal(round_with(&founding, 1, founded(2, 7), 2, founded(3, 8)), FOUNDING_REFUSED);
  assert_non_null(strstr(problem, "brokers 2 at b:1 and 3 at c:1 belong to different clusters"));

  founding = founding_of(1, THREE);
  struct meet_answer copy = empty(2);
  memcpy(copy.who.incarnation, founding.draft.incarnation, LOG_ID_SIZE);
  assert_int_equal(round_with(&founding, 1, copy, 2, empty(3)), FOUNDING_REFUSED);
  assert_non_null(strstr(problem, "a copy of this broker's data directory"));
  assert_int_equal(founding.record.founder_count, 0);
}

/* Seven long addresses: cut, never beyond the end. */
static void many_words_are_cut(void **state) {
  (void)state;
  static const char text[] = "1=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:1,"
                             "2=baaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:1,"
                             "3=caaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:1,"
                             "4=daaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:1,"
                             "5=eaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:1,"
                             "6=faaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:1,"
                             "7=gaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:1";
  struct founding founding = founding_of(1, text);
  (void)founding_begin_round(&founding);
  assert_int_equal(founding_decide(&founding, problem), FOUNDING_WAITING);
  assert_int_equal(strlen(problem), FOUNDING_PROBLEM_SIZE - 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_founder_founds_when_all_are_empty),
      cmocka_unit_test(one_that_does_not_answer_keeps_it_waiting),
      cmocka_unit_test(an_answer_counts_for_its_round_only),
      cmocka_unit_test(waiting_is_not_empty),
      cmocka_unit_test(others_never_found),
      cmocka_unit_test(empty_is_said_to_the_founder_that_was_seen),
      cmocka_unit_test(what_was_asked_before_the_promise_does_not_count),
      cmocka_unit_test(a_record_is_taken_from_whoever_has_it),
      cmocka_unit_test(a_founder_that_forgot_finds_its_cluster),
      cmocka_unit_test(who_is_in_no_record_enters),
      cmocka_unit_test(alone_it_founds_at_once),
      cmocka_unit_test(contradictions_are_refused_in_words),
      cmocka_unit_test(many_words_are_cut),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
