#include "replication/vouch.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/replication/chance.h"

/* What was told, as text: "+7@2" heard, "-7@2" gone. */
struct fixture {
  struct vouch vouch;
  struct roll leader; /* what the other broker leads, in truth */
  char told[4096];
  size_t size;
};

static void tell(void *context, group_id group, entry_term term, bool leads) {
  struct fixture *f = context;
  f->size += (size_t)snprintf(f->told + f->size, sizeof f->told - f->size, "%s%c%" PRIu64 "@%" PRIu64, f->size > 0 ? " " : "",
                              leads ? '+' : '-', group, term);
}

static void assert_told(struct fixture *f, const char *wanted) {
  assert_string_equal(f->told, wanted);
  f->size = 0;
  f->told[0] = '\0';
}

static int set_up(void **state) {
  struct fixture *f = calloc(1, sizeof *f);
  vouch_init(&f->vouch, 1, tell, f);
  roll_init(&f->leader, 2);
  *state = f;
  return 0;
}

static int tear_down(void **state) {
  struct fixture *f = *state;
  vouch_deinit(&f->vouch);
  roll_deinit(&f->leader);
  free(f);
  return 0;
}

static bool beat(struct fixture *f) { return vouch_digest(&f->vouch, roll_digest(&f->leader)); }

static void list(struct fixture *f) {
  vouch_list_begin(&f->vouch);
  roll_copy(&f->vouch.claimed, &f->leader);
  vouch_list_end(&f->vouch);
}

static void equal_digests_vouch_for_all_without_a_list(void **state) {
  struct fixture *f = *state;
  for (group_id group = 1; group <= 3; group++) {
    roll_set(&f->leader, group, 5);
    vouch_follow(&f->vouch, group, 5);
  }
  assert_told(f, "");

  assert_true(beat(f));

  assert_told(f, "+1@5 +2@5 +3@5");
  assert_true(beat(f));
  assert_told(f, "");
}

static void list_vouches_for_some_and_is_asked_for_once(void **state) {
  struct fixture *f = *state;
  roll_set(&f->leader, 1, 5);
  roll_set(&f->leader, 2, 5); /* our replica does not follow there yet */
  vouch_follow(&f->vouch, 1, 5);
  vouch_follow(&f->vouch, 3, 4); /* it led there once */

  assert_false(beat(f));
  assert_told(f, "");
  list(f);

  assert_told(f, "+1@5");
  assert_true(beat(f));
  vouch_follow(&f->vouch, 2, 5); /* now it does */
  assert_told(f, "+2@5");
  assert_true(beat(f));
  assert_told(f, "");
}

static void who_leads_no_longer_is_told_only_of_what_was_vouched_for(void **state) {
  struct fixture *f = *state;
  roll_set(&f->leader, 1, 5);
  roll_set(&f->leader, 2, 5);
  vouch_follow(&f->vouch, 1, 5);
  vouch_follow(&f->vouch, 2, 5);
  assert_true(beat(f));
  assert_told(f, "+1@5 +2@5");
  vouch_follow(&f->vouch, 9, 6); /* learnt by a message; the beat is older */

  roll_set(&f->leader, 2, 0);
  assert_false(beat(f));
  list(f);

  assert_told(f, "-2@5");
  roll_set(&f->leader, 9, 6);
  list(f);
  assert_told(f, "+9@6");
}

static void new_term_is_another_leadership(void **state) {
  struct fixture *f = *state;
  roll_set(&f->leader, 1, 5);
  vouch_follow(&f->vouch, 1, 5);
  assert_true(beat(f));
  assert_told(f, "+1@5");

  vouch_follow(&f->vouch, 1, 6);
  assert_told(f, "");
  assert_true(beat(f)); /* its old claim, still */
  assert_told(f, "");
  roll_set(&f->leader, 1, 6);
  assert_true(beat(f));

  assert_told(f, "+1@6");
}

static void replica_that_follows_no_longer_is_told_nothing(void **state) {
  struct fixture *f = *state;
  roll_set(&f->leader, 1, 5);
  vouch_follow(&f->vouch, 1, 5);
  assert_true(beat(f));
  assert_told(f, "+1@5");

  vouch_follow(&f->vouch, 1, 0);
  roll_set(&f->leader, 1, 0);
  assert_true(beat(f));

  assert_told(f, "");
}

static void silence_takes_back_all_and_a_return_vouches_anew(void **state) {
  struct fixture *f = *state;
  roll_set(&f->leader, 1, 5);
  vouch_follow(&f->vouch, 1, 5);
  assert_true(beat(f));
  assert_told(f, "+1@5");

  vouch_silence(&f->vouch);
  assert_told(f, "");
  vouch_follow(&f->vouch, 2, 5); /* vouched for by nobody */
  assert_told(f, "");
  roll_set(&f->leader, 2, 5);
  assert_true(beat(f));

  assert_told(f, "+1@5 +2@5");
}

static void new_boot_ends_all_leaderships(void **state) {
  struct fixture *f = *state;
  roll_set(&f->leader, 1, 5);
  roll_set(&f->leader, 2, 6);
  vouch_follow(&f->vouch, 1, 5);
  vouch_follow(&f->vouch, 2, 6);
  assert_true(beat(f));
  assert_told(f, "+1@5 +2@6");

  vouch_reborn(&f->vouch);

  assert_told(f, "-1@5 -2@6");
  roll_clear(&f->leader);
  assert_true(beat(f));
  assert_told(f, "");
}

/* Whatever happens: what is vouched for is followed and claimed, and after a beat that was understood, or a list, nothing else is missing. */
static void random_words_end_in_agreement(void **state) {
  struct fixture *f = *state;
  struct chance chance = {.state = chance_seed()};
  for (unsigned round = 0; round < 20000; round++) {
    group_id group = chance_below(&chance, 6);
    entry_term term = chance_below(&chance, 3);
    switch (chance_below(&chance, 5)) {
      case 0: roll_set(&f->leader, group, term); break;
      case 1: vouch_follow(&f->vouch, group, term); break;
      case 2: chance_in(&chance, 500) ? vouch_silence(&f->vouch) : vouch_reborn(&f->vouch); break;
      default:
        if (!beat(f)) list(f);
        for (group = 0; group < 6; group++) {
          entry_term followed = roll_term(&f->vouch.followed, group);
          entry_term wanted = roll_term(&f->leader, group) == followed ? followed : 0;
          assert_int_equal(roll_term(&f->vouch.vouched, group), wanted);
        }
        break;
    }
    for (group = 0; group < 6; group++) {
      entry_term vouched = roll_term(&f->vouch.vouched, group);
      if (vouched == 0) continue;
      assert_int_equal(roll_term(&f->vouch.followed, group), vouched);
      assert_int_equal(roll_term(&f->vouch.claimed, group), vouched);
    }
    f->size = 0;
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(equal_digests_vouch_for_all_without_a_list, set_up, tear_down),
      cmocka_unit_test_setup_teardown(list_vouches_for_some_and_is_asked_for_once, set_up, tear_down),
      cmocka_unit_test_setup_teardown(who_leads_no_longer_is_told_only_of_what_was_vouched_for, set_up, tear_down),
      cmocka_unit_test_setup_teardown(new_term_is_another_leadership, set_up, tear_down),
      cmocka_unit_test_setup_teardown(replica_that_follows_no_longer_is_told_nothing, set_up, tear_down),
      cmocka_unit_test_setup_teardown(silence_takes_back_all_and_a_return_vouches_anew, set_up, tear_down),
      cmocka_unit_test_setup_teardown(new_boot_ends_all_leaderships, set_up, tear_down),
      cmocka_unit_test_setup_teardown(random_words_end_in_agreement, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
