#include "tests/unit/base/cmocka_base.h"

#include <string.h>

/* The plain code, whatever the processor: what stands on disk must not depend on who wrote it. */
#define XXH_INLINE_ALL
#define XXH_VECTOR 0
#include <xxhash.h>

#include "base/codec.h"

/* RFC 3720, appendix B.4, and the check value of the CRC catalogue. */
static void crc32c_gives_the_vectors_of_rfc_3720(void **state) {
  (void)state;
  uint8_t block[32];
  static const uint8_t read_command[48] = {0x01, 0xc0, 0, 0, 0, 0, 0,    0, 0,    0, 0, 0,    0, 0, 0, 0,
                                           0x14, 0,    0, 0, 0, 0, 0x04, 0, 0,    0, 0, 0x14, 0, 0, 0, 0x18,
                                           0x28, 0,    0, 0, 0, 0, 0,    0, 0x02, 0, 0, 0,    0, 0, 0, 0};

  assert_int_equal(crc32c(0, bytes_of_string("123456789")), 0xe3069283u);
  memset(block, 0, sizeof block);
  assert_int_equal(crc32c(0, bytes_of(block, sizeof block)), 0x8a9136aau);
  memset(block, 0xff, sizeof block);
  assert_int_equal(crc32c(0, bytes_of(block, sizeof block)), 0x62a8ab43u);
  for (unsigned i = 0; i < 32; i++) block[i] = (uint8_t)i;
  assert_int_equal(crc32c(0, bytes_of(block, sizeof block)), 0x46dd794eu);
  for (unsigned i = 0; i < 32; i++) block[i] = (uint8_t)(31 - i);
  assert_int_equal(crc32c(0, bytes_of(block, sizeof block)), 0x113fdb5cu);
  assert_int_equal(crc32c(0, bytes_of(read_command, sizeof read_command)), 0xd9963a56u);
}

static void crc32c_of_nothing_is_where_it_started(void **state) {
  (void)state;
  assert_int_equal(crc32c(0, bytes_of(NULL, 0)), 0);
  assert_int_equal(crc32c(0x12345678, bytes_of(NULL, 0)), 0x12345678);
}

static uint32_t crc32c_bit_by_bit(uint32_t crc, struct bytes bytes) {
  crc = ~crc;
  for (size_t i = 0; i < bytes.size; i++) {
    crc ^= bytes.data[i];
    for (unsigned bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
  }
  return ~crc;
}

static void crc32c_continues_at_any_cut_and_matches_the_definition(void **state) {
  (void)state;
  uint8_t data[700];
  for (unsigned i = 0; i < sizeof data; i++) data[i] = (uint8_t)(i * i * 31 + i);
  uint32_t whole = crc32c_bit_by_bit(0, bytes_of(data, sizeof data));

  for (unsigned cut = 0; cut <= sizeof data; cut++) {
    uint32_t head = crc32c(0, bytes_of(data, cut));
    assert_int_equal(head, crc32c_bit_by_bit(0, bytes_of(data, cut)));
    assert_int_equal(crc32c(head, bytes_of(data + cut, sizeof data - cut)), whole);
  }
}

static void crc32c_differs_for_every_salt(void **state) {
  (void)state;
  for (uint32_t salt = 1; salt < 1000; salt++) {
    assert_int_not_equal(crc32c(salt, bytes_of_string("x")), crc32c(salt - 1, bytes_of_string("x")));
  }
}

static void xxh3_gives_the_published_value_of_nothing_and_obeys_its_seed(void **state) {
  (void)state;
  assert_true(xxh3(0, bytes_of(NULL, 0)) == 0x2d06800538d394c2u);
  assert_true(xxh3(1, bytes_of_string("key")) != xxh3(2, bytes_of_string("key")));
  assert_true(xxh3(1, bytes_of_string("key")) == xxh3(1, bytes_of_string("key")));
}

static void xxh3_is_the_same_on_every_processor_at_any_size_and_address(void **state) {
  (void)state;
  static uint8_t data[70000];
  for (unsigned i = 0; i < sizeof data; i++) data[i] = (uint8_t)(i * i * 31 + i / 7);
  static const size_t larger[] = {4095, 4096, 4097, 65535, 65536, 65537, 69000};

  for (size_t size = 0; size <= 1500; size++) {
    struct bytes bytes = bytes_of(data + size % 67, size);
    assert_true(xxh3(size * 77, bytes) == XXH3_64bits_withSeed(bytes.data, bytes.size, size * 77));
  }
  for (size_t i = 0; i < sizeof larger / sizeof larger[0]; i++) {
    struct bytes bytes = bytes_of(data + 1 + i, larger[i]);
    assert_true(xxh3(i, bytes) == XXH3_64bits_withSeed(bytes.data, bytes.size, i));
  }
}

static void numbers_go_in_and_out_little_endian_at_any_address(void **state) {
  (void)state;
  uint8_t at[9];

  put_u64(at + 1, 0x0102030405060708u);
  assert_int_equal(at[1], 8);
  assert_int_equal(at[8], 1);
  assert_true(get_u64(at + 1) == 0x0102030405060708u);
  put_u32(at + 1, 0xa1b2c3d4u);
  assert_int_equal(at[1], 0xd4);
  assert_int_equal(get_u32(at + 1), 0xa1b2c3d4u);
  put_u16(at + 1, 0xfffe);
  assert_int_equal(at[1], 0xfe);
  assert_int_equal(get_u16(at + 1), 0xfffe);
}

static void keys_sort_as_their_numbers(void **state) {
  (void)state;
  uint64_t numbers[] = {0, 1, 255, 256, 65535, 1u << 31, UINT64_MAX - 1, UINT64_MAX};
  uint8_t before[8];
  uint8_t after[8];
  for (unsigned i = 1; i < sizeof numbers / sizeof numbers[0]; i++) {
    put_key_u64(before, numbers[i - 1]);
    put_key_u64(after, numbers[i]);
    assert_true(memcmp(before, after, 8) < 0);
    assert_true(get_key_u64(after) == numbers[i]);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(crc32c_gives_the_vectors_of_rfc_3720),
      cmocka_unit_test(crc32c_of_nothing_is_where_it_started),
      cmocka_unit_test(crc32c_continues_at_any_cut_and_matches_the_definition),
      cmocka_unit_test(crc32c_differs_for_every_salt),
      cmocka_unit_test(xxh3_gives_the_published_value_of_nothing_and_obeys_its_seed),
      cmocka_unit_test(xxh3_is_the_same_on_every_processor_at_any_size_and_address),
      cmocka_unit_test(numbers_go_in_and_out_little_endian_at_any_address),
      cmocka_unit_test(keys_sort_as_their_numbers),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
