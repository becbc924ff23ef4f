/* Meet, as bytes: what was written comes back, and nothing else is taken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/wire.h"
#include "server/meet.h"

static struct bytes bytes_in(struct blob_part part) { return part.bytes; }

static struct meet_request a_request(void) {
  return (struct meet_request){.broker = 3, .incarnation = {7, 8}, .named = {.count = 3, .ids = {1, 3, 900}}};
}

static struct meet_answer an_answer(enum meet_stage stage) {
  struct meet_answer answer = {
      .stage = stage, .who = {.broker_id = 2, .incarnation = {1, 2, 3}}, .named = {.count = 2, .ids = {2, 3}}};
  if (stage != MEET_FOUNDED) return answer;
  memset(answer.who.cluster, 9, LOG_ID_SIZE);
  answer.who.founder_count = 2;
  answer.who.founders[0] = (struct log_founder){.broker_id = 2, .incarnation = {1}, .address = "a:1"};
  answer.who.founders[1] = (struct log_founder){.broker_id = 3, .incarnation = {4}};
  return answer;
}

static void a_request_comes_back(void **state) {
  (void)state;
  struct meet_request request = a_request(), found;
  struct blob_part part = meet_request_pack(&request);

  assert_int_equal(meet_request_unpack(bytes_in(part), &found), STATUS_OK);

  assert_memory_equal(&found, &request, sizeof found);
  blob_part_release(part);
}

static void an_answer_comes_back(void **state) {
  (void)state;
  for (enum meet_stage stage = MEET_WAITING; stage <= MEET_FOUNDED; stage++) {
    struct meet_answer answer = an_answer(stage), found;
    struct blob_part part = meet_answer_pack(&answer);

    assert_int_equal(meet_answer_unpack(bytes_in(part), &found), STATUS_OK);

    assert_memory_equal(&found, &answer, sizeof found);
    blob_part_release(part);
  }
}

/* Cut anywhere, or with a byte that is another: refused, or taken for something that could have been said. */
static void what_is_damaged_is_refused_or_whole(void **state) {
  (void)state;
  struct meet_answer answer = an_answer(MEET_FOUNDED), found;
  struct blob_part part = meet_answer_pack(&answer);
  uint8_t bytes[512];
  struct bytes whole = bytes_in(part);
  assert_true(whole.size < sizeof bytes);
  memcpy(bytes, whole.data, whole.size);
  for (size_t size = 0; size < whole.size; size++) {
    if (meet_answer_unpack(bytes_of(bytes, size), &found) == STATUS_OK) assert_true(found.who.founder_count > 0);
  }
  for (size_t bit = 0; bit < whole.size * 8; bit++) {
    bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    if (meet_answer_unpack(bytes_of(bytes, whole.size), &found) == STATUS_OK) {
      assert_true(found.stage >= MEET_WAITING && found.stage <= MEET_FOUNDED && found.who.founder_count <= LOG_FOUNDERS_MAX);
      for (uint32_t i = 1; i < found.who.founder_count; i++)
        assert_true(found.who.founders[i].broker_id > found.who.founders[i - 1].broker_id);
    }
    bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
  }
  blob_part_release(part);
}

static void assert_refused(struct meet_answer answer) {
  struct blob_part part = meet_answer_pack(&answer);
  assert_int_equal(meet_answer_unpack(bytes_in(part), &answer), STATUS_MALFORMED);
  blob_part_release(part);
}

static void an_answer_that_contradicts_itself_is_refused(void **state) {
  (void)state;
  struct meet_answer answer = an_answer(MEET_FOUNDED);
  assert_int_equal(meet_answer_unpack(bytes_of(NULL, 0), &answer), STATUS_MALFORMED);
  answer = an_answer(MEET_FOUNDED);
  answer.who.founder_count = 0;
  assert_refused(answer);
  answer = an_answer(MEET_FOUNDED);
  answer.who.founders[1].broker_id = 2;
  assert_refused(answer);
  answer = an_answer(MEET_FOUNDED);
  memset(answer.who.cluster, 0, LOG_ID_SIZE);
  assert_refused(answer);
  answer = an_answer(MEET_WAITING);
  answer.who.broker_id = 0;
  assert_refused(answer);
  answer = an_answer(MEET_WAITING);
  memset(answer.who.incarnation, 0, LOG_ID_SIZE);
  assert_refused(answer);
  answer = an_answer(MEET_WAITING);
  answer.named.ids[1] = 2;
  assert_refused(answer);
  answer = an_answer(MEET_WAITING);
  answer.stage = (enum meet_stage)4;
  assert_refused(answer);
}

static void a_request_of_nobody_is_refused(void **state) {
  (void)state;
  struct meet_request request = a_request();
  request.broker = 0;
  struct blob_part part = meet_request_pack(&request);
  assert_int_equal(meet_request_unpack(bytes_in(part), &request), STATUS_MALFORMED);
  blob_part_release(part);
  request = a_request();
  request.named.ids[0] = 0;
  part = meet_request_pack(&request);
  assert_int_equal(meet_request_unpack(bytes_in(part), &request), STATUS_MALFORMED);
  blob_part_release(part);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_request_comes_back),
      cmocka_unit_test(an_answer_comes_back),
      cmocka_unit_test(what_is_damaged_is_refused_or_whole),
      cmocka_unit_test(an_answer_that_contradicts_itself_is_refused),
      cmocka_unit_test(a_request_of_nobody_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
