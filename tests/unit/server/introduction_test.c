/* When whoever leads group 0 is to hear what this process is, though our own map has all of it. */
#include "server/introduction.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Somebody leads, and has heard of it. */
static struct introduction heard_at_level(uint32_t level) {
  struct introduction introduction = {0};
  introduction_lead_changed(&introduction);
  introduction_see_level(&introduction, level);
  introduction_begin(&introduction);
  introduction_end(&introduction);
  return introduction;
}

static void every_leader_hears_of_it_once(void **state) {
  (void)state;
  struct introduction introduction = {0};
  introduction_lead_changed(&introduction);
  assert_true(introduction_is_due(&introduction));
  introduction_begin(&introduction);
  assert_true(introduction_is_due(&introduction)); /* who was asked may not have led */
  introduction_end(&introduction);
  assert_false(introduction_is_due(&introduction));
  introduction_lead_changed(&introduction);
  assert_true(introduction_is_due(&introduction));
}

/* It may have kept a rack from a map that has none, of a broker whose own map has it. */
static void the_same_leader_hears_of_it_again_when_the_level_has_risen(void **state) {
  (void)state;
  struct introduction introduction = heard_at_level(1);
  introduction_see_level(&introduction, 1);
  assert_false(introduction_is_due(&introduction));
  introduction_see_level(&introduction, 2);
  assert_true(introduction_is_due(&introduction));
  introduction_begin(&introduction);
  introduction_end(&introduction);
  assert_false(introduction_is_due(&introduction));
  introduction_see_level(&introduction, 2);
  assert_false(introduction_is_due(&introduction));
}

static void what_comes_up_while_it_is_told_is_told_later(void **state) {
  (void)state;
  struct introduction introduction = heard_at_level(1);
  introduction_lead_changed(&introduction);
  introduction_begin(&introduction);
  introduction_see_level(&introduction, 2);
  introduction_end(&introduction);
  assert_true(introduction_is_due(&introduction));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_leader_hears_of_it_once),
      cmocka_unit_test(the_same_leader_hears_of_it_again_when_the_level_has_risen),
      cmocka_unit_test(what_comes_up_while_it_is_told_is_told_later),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
