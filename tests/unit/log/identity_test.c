/* Whose a directory is, byte by byte: what older versions wrote is read, and nothing damaged is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/codec.h"
#include "log/identity.h"

/* Broker 2 of the cluster aa.., incarnation bb.. */
static const uint8_t version_1[IDENTITY_HEAD_SIZE] = {
    0x43, 0x52, 0x4e, 0x49, 0x4e, 0x67, 0x68, 0x69, 0x01, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, /* head */
    0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, /* cluster */
    0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, /* incarnation */
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
};

/* The same, founded together with broker 7 (incarnation bc..): the first 96 bytes; the second address is "b:2" and zeros. */
static const uint8_t version_2[] = {
    0x43, 0x52, 0x4e, 0x49, 0xe3, 0x09, 0x33, 0x82, 0x02, 0x02, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, /* head */
    0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, /* cluster */
    0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, /* incarnation */
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x02, 0x00, 0x00, 0x00, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, /* broker 2 */
    0xbb, 0xbb, 0xbb, 0xbb, 0x61, 0x3a, 0x31, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* at a:1 */
};

static struct log_identity identity_of(uint32_t founders) {
  struct log_identity identity = {.broker_id = 2, .founder_count = founders};
  memset(identity.cluster, 0xaa, LOG_ID_SIZE);
  memset(identity.incarnation, 0xbb, LOG_ID_SIZE);
  for (uint32_t i = 0; i < founders; i++) {
    identity.founders[i].broker_id = i == 0 ? 2 : 6 + i;
    memset(identity.founders[i].incarnation, 0xbb + (int)i, LOG_ID_SIZE);
    snprintf(identity.founders[i].address, LOG_ADDRESS_SIZE, "%c:%u", (char)('a' + i), i + 1);
  }
  return identity;
}

static void the_bytes_are_those_of_the_table(void **state) {
  (void)state;
  struct log_identity identity = identity_of(2), found;
  uint8_t bytes[IDENTITY_SIZE_MAX];

  assert_int_equal(identity_encode(&identity, bytes), 64 + 2 * 84);

  assert_memory_equal(bytes, version_2, sizeof version_2);
  assert_int_equal(get_u32(bytes + 148), 7);
  assert_string_equal((const char *)bytes + 168, "b:2");
  assert_int_equal(identity_decode(bytes_of(bytes, 64 + 2 * 84), &found), STATUS_OK);
  assert_memory_equal(&found, &identity, sizeof found);
}

static void the_first_version_reads_as_founded_alone(void **state) {
  (void)state;
  struct log_identity found;

  assert_int_equal(identity_decode(bytes_of(version_1, sizeof version_1), &found), STATUS_OK);

  assert_int_equal(found.broker_id, 2);
  assert_int_equal(found.cluster[15], 0xaa);
  assert_int_equal(found.founder_count, 1);
  assert_int_equal(found.founders[0].broker_id, 2);
  assert_memory_equal(found.founders[0].incarnation, found.incarnation, LOG_ID_SIZE);
  assert_string_equal(found.founders[0].address, "");
  assert_true(identity_founded(&found));
}

static void every_count_of_founders_comes_back(void **state) {
  (void)state;
  for (uint32_t count = 0; count <= LOG_FOUNDERS_MAX; count++) {
    struct log_identity identity = identity_of(count), found;
    uint8_t bytes[IDENTITY_SIZE_MAX];
    size_t size = identity_encode(&identity, bytes);
    assert_int_equal(identity_decode(bytes_of(bytes, size), &found), STATUS_OK);
    assert_memory_equal(&found, &identity, sizeof found);
    assert_int_equal(identity_founded(&found), count > 0);
  }
}

static void no_bit_may_be_another(void **state) {
  (void)state;
  struct log_identity identity = identity_of(3), found;
  uint8_t bytes[IDENTITY_SIZE_MAX];
  size_t size = identity_encode(&identity, bytes);
  for (size_t bit = 0; bit < size * 8; bit++) {
    bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    assert_int_equal(identity_decode(bytes_of(bytes, size), &found), STATUS_CORRUPT);
    bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
  }
  for (size_t shorter = 0; shorter < size; shorter++)
    assert_int_equal(identity_decode(bytes_of(bytes, shorter), &found), STATUS_CORRUPT);
}

/* Sealed again: the checksum is right, and the contents are not. */
static enum status decode_changed(const uint8_t *bytes, size_t size, size_t at, uint8_t value) {
  uint8_t changed[IDENTITY_SIZE_MAX + IDENTITY_FOUNDER_SIZE] = {0};
  struct log_identity found;
  memcpy(changed, bytes, size > IDENTITY_SIZE_MAX ? IDENTITY_SIZE_MAX : size);
  changed[at] = value;
  put_u32(changed + 4, crc32c(0, bytes_of(changed + 8, size - 8)));
  return identity_decode(bytes_of(changed, size), &found);
}

static void contradictions_are_no_identity(void **state) {
  (void)state;
  struct log_identity identity = identity_of(3);
  uint8_t bytes[IDENTITY_SIZE_MAX];
  size_t size = identity_encode(&identity, bytes);

  assert_int_equal(decode_changed(bytes, size, 9, 3), STATUS_OK);
  assert_int_equal(decode_changed(bytes, size, 9, 2), STATUS_CORRUPT);
  assert_int_equal(decode_changed(bytes, size, 9, 8), STATUS_CORRUPT);
  assert_int_equal(decode_changed(bytes, IDENTITY_SIZE_MAX + IDENTITY_FOUNDER_SIZE, 9, 8), STATUS_CORRUPT);
  assert_int_equal(decode_changed(bytes, size, 148, 2), STATUS_CORRUPT);     /* a founder twice */
  assert_int_equal(decode_changed(bytes, size, 64, 0), STATUS_CORRUPT);      /* nobody */
  assert_int_equal(decode_changed(bytes, size, 64 + 83, 1), STATUS_CORRUPT); /* behind the text */
  assert_int_equal(decode_changed(bytes, size, 8, 1), STATUS_CORRUPT);       /* too long for its version */
}

static void a_newer_version_is_told_from_damage(void **state) {
  (void)state;
  struct log_identity identity = identity_of(1);
  uint8_t bytes[IDENTITY_SIZE_MAX];
  size_t size = identity_encode(&identity, bytes);

  assert_int_equal(decode_changed(bytes, size, 8, 3), STATUS_FOREIGN);
  assert_int_equal(decode_changed(bytes, IDENTITY_SIZE_MAX + 10, 8, 3), STATUS_FOREIGN);
  assert_int_equal(decode_changed(bytes, size, 8, 0), STATUS_FOREIGN);
}

static void an_older_directory_of_a_founder_is_no_founder(void **state) {
  (void)state;
  struct log_identity identity = identity_of(2);
  assert_true(identity_founded(&identity));
  identity.incarnation[3] ^= 1;
  assert_false(identity_founded(&identity));
  identity.broker_id = 3;
  assert_false(identity_founded(&identity));
  assert_null(identity_founder(&identity, 3));
  assert_int_equal(identity_founder(&identity, 7)->incarnation[0], 0xbc);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_bytes_are_those_of_the_table),
      cmocka_unit_test(the_first_version_reads_as_founded_alone),
      cmocka_unit_test(every_count_of_founders_comes_back),
      cmocka_unit_test(no_bit_may_be_another),
      cmocka_unit_test(contradictions_are_no_identity),
      cmocka_unit_test(a_newer_version_is_told_from_damage),
      cmocka_unit_test(an_older_directory_of_a_founder_is_no_founder),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
