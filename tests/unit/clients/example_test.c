/* The program of the tutorial does what the tutorial says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "clients/c/cairn.h"
#include "clients/c/examples/append_read.h"
#include "tests/unit/clients/fake_broker.h"

static void example_appends_and_reads_back(void **state) {
  (void)state;
  struct fake_broker *broker = fake_broker_start();

  assert_int_equal(append_read(fake_broker_address(broker), "tutorial"), CAIRN_OK);

  assert_int_equal(fake_broker_end(broker, "tutorial", 0), 10);
  fake_broker_stop(broker);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(example_appends_and_reads_back)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
