/* --join, as people write it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "server/join.h"

static void brokers_come_back_by_number(void **state) {
  (void)state;
  struct join join;

  assert_null(join_parse("3=db3.example:7412,1=10.0.0.1:7412,4294967295=[::1]:1", &join));

  assert_int_equal(join.count, 3);
  assert_int_equal(join.brokers[0].broker, 1);
  assert_string_equal(join.brokers[0].address, "10.0.0.1:7412");
  assert_int_equal(join.brokers[1].broker, 3);
  assert_string_equal(join.brokers[2].address, "[::1]:1");
  assert_int_equal(join_find(&join, UINT32_MAX), 2);
  assert_int_equal(join_find(&join, 2), JOIN_MAX);
}

static void nothing_names_nobody(void **state) {
  (void)state;
  struct join join;
  assert_null(join_parse("", &join));
  assert_int_equal(join.count, 0);
}

static void what_makes_no_sense_is_refused(void **state) {
  (void)state;
  static const char *const texts[] = {"db1:7412",
                                      "0=db1:7412",
                                      "=db1:7412",
                                      "1=",
                                      "1=db1",
                                      "1=db1:7412,",
                                      ",1=db1:7412",
                                      "1=db1:7412,,2=db2:7412",
                                      "1=db1:7412;2=db2:7412",
                                      "1=db1:7412 ,2=db2:7412",
                                      "4294967296=db1:1",
                                      "99999999999=db1:1",
                                      "1=db1:0",
                                      "1=0.0.0.0:7412",
                                      "1=db1:7412,1=db2:7412",
                                      "1=db1:7412,2=db1:7412",
                                      "1=a:1,2=b:1,3=c:1,4=d:1,5=e:1,6=f:1,7=g:1,8=h:1"};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    struct join join = {.count = 77};
    if (join_parse(texts[i], &join) == NULL) fail_msg("taken: %s", texts[i]);
    assert_int_equal(join.count, 77);
  }
}

static void an_address_has_an_end(void **state) {
  (void)state;
  char text[100];
  struct join join;
  snprintf(text, sizeof text, "1=%060d:77", 1);
  assert_null(join_parse(text, &join));
  snprintf(text, sizeof text, "1=%060d:777", 1);
  assert_non_null(join_parse(text, &join));
}

static void one_more_is_put_in_its_place(void **state) {
  (void)state;
  struct join join;
  assert_null(join_parse("2=b:1,4=d:1", &join));

  assert_true(join_add(&join, 3, "c:1"));
  assert_true(join_add(&join, 4, "elsewhere:1")); /* it is there */

  assert_int_equal(join.count, 3);
  assert_int_equal(join.brokers[1].broker, 3);
  assert_string_equal(join.brokers[2].address, "d:1");
  for (uint32_t i = 5; i < 9; i++) assert_true(join_add(&join, i, "x:1"));
  assert_false(join_add(&join, 1, "a:1"));
  struct join_ids ids = join_ids_of(&join), others = ids;
  assert_true(join_ids_equal(&ids, &others));
  others.ids[6]++;
  assert_false(join_ids_equal(&ids, &others));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(brokers_come_back_by_number),    cmocka_unit_test(nothing_names_nobody),
      cmocka_unit_test(what_makes_no_sense_is_refused), cmocka_unit_test(an_address_has_an_end),
      cmocka_unit_test(one_more_is_put_in_its_place),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
