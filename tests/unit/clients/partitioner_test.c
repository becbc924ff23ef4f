#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "clients/c/cairn.h"
#include "clients/c/partitioner.h"

/* Kafka's own vectors: org.apache.kafka.common.utils.UtilsTest.testMurmur2. */
static void murmur2_is_that_of_kafka(void **state) {
  (void)state;
  assert_int_equal((int32_t)murmur2(bytes_of_string("21")), -973932308);
  assert_int_equal((int32_t)murmur2(bytes_of_string("foobar")), -790332482);
  assert_int_equal((int32_t)murmur2(bytes_of_string("a-little-bit-long-string")), -985981536);
  assert_int_equal((int32_t)murmur2(bytes_of_string("a-little-bit-longer-string")), -1486304829);
  assert_int_equal((int32_t)murmur2(bytes_of_string("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8")), -58897971);
  assert_int_equal((int32_t)murmur2(bytes_of("abc", 3)), 479470107);
}

static void partition_of_key_is_positive_and_in_range(void **state) {
  (void)state;
  for (uint32_t partitions = 1; partitions < 50; partitions++) {
    struct cairn_bytes key = {"foobar", 6};
    uint32_t partition = cairn_partition_of_key(key, partitions);
    assert_int_equal(partition, ((uint32_t)-790332482 & 0x7fffffff) % partitions);
  }
  assert_int_equal(cairn_partition_of_key((struct cairn_bytes){"", 0}, 7), (murmur2(bytes_of("", 0)) & 0x7fffffff) % 7);
}

static void sticky_goes_round(void **state) {
  (void)state;
  struct sticky sticky;
  sticky_start(&sticky, 3, 5);
  assert_int_equal(sticky.partition, 2);
  sticky_advance(&sticky, 3);
  assert_int_equal(sticky.partition, 0);
  sticky_advance(&sticky, 3);
  assert_int_equal(sticky.partition, 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(murmur2_is_that_of_kafka),
      cmocka_unit_test(partition_of_key_is_positive_and_in_range),
      cmocka_unit_test(sticky_goes_round),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
