#include "server/leadership.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define SECOND ((uint64_t)1000000000u)

static struct leadership leadership;

static int set_up(void **state) {
  (void)state;
  leadership = (struct leadership){0};
  return 0;
}

/* One letter for each candidate: s steady, u unsteady, d about to be steady at 9 s, o out, ! itself. */
static struct leadership_choice choose(const char *candidates, uint64_t now_ns) {
  struct leadership_candidate list[8] = {0};
  size_t count = 0;
  for (; candidates[count] != '\0'; count++) {
    char letter = candidates[count];
    list[count] = (struct leadership_candidate){.self = letter == '!',
                                                .steadiness = letter == 's'   ? STEADY
                                                              : letter == 'o' ? STEADILY_OUT
                                                                              : UNSTEADY,
                                                .due_ns = letter == 'd' ? 9 * SECOND : LEADERSHIP_NEVER};
  }
  return leadership_choose(&leadership, list, count, now_ns);
}

static void assert_offers(const char *candidates, size_t to) {
  struct leadership_choice choice = choose(candidates, SECOND);
  assert_int_equal(choice.step, LEADERSHIP_OFFERS);
  assert_int_equal(choice.to, to);
}

static void assert_rests(const char *candidates) {
  struct leadership_choice choice = choose(candidates, SECOND);
  assert_int_equal(choice.step, LEADERSHIP_RESTS);
  assert_int_equal(choice.due_ns, LEADERSHIP_NEVER);
}

static void first_that_may_lead_is_offered_it(void **state) {
  (void)state;
  assert_offers("s!s", 0);
  assert_offers("ss!", 0);
  assert_offers("os!", 1);
}

static void preferred_leader_offers_nothing(void **state) {
  (void)state;
  assert_rests("!ss");
  assert_rests("o!s");
  assert_rests("oo!");
}

/* Not even to the second: the first is probably back soon. */
static void who_is_down_is_waited_for(void **state) {
  (void)state;
  assert_rests("us!");
  assert_rests("ou!");
  struct leadership_choice choice = choose("ds!", SECOND);
  assert_int_equal(choice.step, LEADERSHIP_WAITS);
  assert_int_equal(choice.due_ns, 9 * SECOND);
}

static void leader_that_the_map_does_not_have_offers_nothing(void **state) {
  (void)state;
  assert_rests("sss");
  assert_rests("");
}

static void leader_that_was_asked_for_stays_for_its_time(void **state) {
  (void)state;
  leadership.held_until_ns = 60 * SECOND;

  struct leadership_choice choice = choose("s!", SECOND);
  assert_int_equal(choice.step, LEADERSHIP_WAITS);
  assert_int_equal(choice.due_ns, 60 * SECOND);

  assert_int_equal(choose("s!", 60 * SECOND).step, LEADERSHIP_OFFERS);
}

static void what_was_refused_is_offered_again_later_and_later(void **state) {
  (void)state;
  static const uint64_t pauses[] = {1, 2, 4, 8, 16, 32, 60, 60};
  for (size_t i = 0; i < sizeof pauses / sizeof pauses[0]; i++) {
    uint64_t pause = pauses[i];
    leadership_refused(&leadership, 100 * SECOND);
    struct leadership_choice choice = choose("s!", 100 * SECOND);
    assert_int_equal(choice.step, LEADERSHIP_WAITS);
    assert_int_equal(choice.due_ns, (100 + pause) * SECOND);
    assert_int_equal(choose("s!", (100 + pause) * SECOND).step, LEADERSHIP_OFFERS);
  }
}

static void what_failed_pauses_longer_and_never_too_long(void **state) {
  (void)state;
  leadership_failed(&leadership, 0);
  assert_int_equal(leadership.again_ns, 10 * SECOND);
  leadership_failed(&leadership, 0);
  assert_int_equal(leadership.again_ns, 20 * SECOND);
  for (int i = 0; i < 100; i++) leadership_failed(&leadership, 0);
  assert_int_equal(leadership.again_ns, LEADERSHIP_FAILED_NS_MAX);
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(first_that_may_lead_is_offered_it),
      TEST(preferred_leader_offers_nothing),
      TEST(who_is_down_is_waited_for),
      TEST(leader_that_the_map_does_not_have_offers_nothing),
      TEST(leader_that_was_asked_for_stays_for_its_time),
      TEST(what_was_refused_is_offered_again_later_and_later),
      TEST(what_failed_pauses_longer_and_never_too_long),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
