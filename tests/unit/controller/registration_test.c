/* What the map is to have of a broker: when nothing has to be written. */
#include "controller/registration.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/controller/map_rig.h"

/* What the map has of it, and this rack. */
static struct map_broker told_of(uint32_t id, const char *rack) {
  struct map_broker told = *cluster_map_broker(map, id);
  snprintf(told.rack, sizeof told.rack, "%s", rack);
  return told;
}

static void all_that_a_broker_tells_counts(void **state) {
  (void)state;
  rig_register_in_rack(1, "a");
  const struct map_broker same = told_of(1, "a");
  assert_true(registration_is_known(map, &same));
  struct map_broker others[7];
  for (size_t i = 0; i < 7; i++) others[i] = same;
  others[0].id = 2;
  others[1].incarnation[7]++;
  others[2].advertised[0]++;
  others[3].peer_address[0] = '\0';
  others[4].rack[0] = '\0';
  others[5].feature_least = 1;
  others[6].feature_most = 2;
  for (size_t i = 0; i < 7; i++) assert_false(registration_is_known(map, &others[i]));
}

static void one_that_is_gone_is_not_known(void **state) {
  (void)state;
  rig_register_broker(1, "peer:1");
  const struct map_broker told = told_of(1, "");
  for (int standing = STANDING_IN; standing <= STANDING_GONE; standing++) {
    struct command command = {.kind = COMMAND_SET_STANDING, .broker = {.id = 1, .standing = (enum map_standing)standing}};
    if (standing != STANDING_IN) assert_int_equal(rig_apply_through_bytes(&command), STATUS_OK);
    assert_int_equal(registration_is_known(map, &told), standing != STANDING_GONE);
  }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)
int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(all_that_a_broker_tells_counts),
      TEST(one_that_is_gone_is_not_known),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
