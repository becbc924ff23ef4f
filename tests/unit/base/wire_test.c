#include "tests/unit/base/cmocka_base.h"

#include <string.h>

#include "base/memory.h"
#include "base/wire.h"

static void what_is_put_is_read(void **state) {
  (void)state;
  uint8_t message[128];
  uint8_t *end = message;
  struct wire_field field;

  end = wire_put_uint(end, 1, 300);
  end = wire_put_uint(end, 2, 0); /* left out */
  end = wire_put_fixed32(end, 3, 0);
  end = wire_put_fixed64(end, 4, 0x1122334455667788u);
  end = wire_put_bytes(end, 5, bytes_of_string("payload"));
  end = wire_put_bytes(end, (1u << 29) - 1, bytes_of(NULL, 0));
  end = wire_put_uint(end, 7, UINT64_MAX);
  struct wire_cursor cursor = wire_cursor_of(bytes_of(message, (size_t)(end - message)));

  assert_ok(wire_next(&cursor, &field));
  assert_true(field.number == 1 && field.type == WIRE_VARINT && field.value == 300);
  assert_ok(wire_next(&cursor, &field));
  assert_true(field.number == 3 && field.type == WIRE_FIXED32 && field.value == 0);
  assert_ok(wire_next(&cursor, &field));
  assert_true(field.number == 4 && field.type == WIRE_FIXED64 && field.value == 0x1122334455667788u);
  assert_ok(wire_next(&cursor, &field));
  assert_true(field.number == 5 && field.type == WIRE_BYTES && bytes_equal(field.bytes, bytes_of_string("payload")));
  assert_ok(wire_next(&cursor, &field));
  assert_true(field.number == (1u << 29) - 1 && field.bytes.size == 0);
  assert_ok(wire_next(&cursor, &field));
  assert_true(field.number == 7 && field.value == UINT64_MAX);
  assert_status(wire_next(&cursor, &field), STATUS_END);
  assert_status(wire_next(&cursor, &field), STATUS_END);
}

static void head_and_contents_make_the_same_bytes_as_put_bytes(void **state) {
  (void)state;
  uint8_t whole[64];
  uint8_t parts[64];

  size_t whole_size = (size_t)(wire_put_bytes(whole, 9, bytes_of_string("abc")) - whole);
  uint8_t *end = wire_put_bytes_head(parts, 9, 3);
  memcpy(end, "abc", 3);

  assert_int_equal(whole_size, end + 3 - parts);
  assert_memory_equal(whole, parts, whole_size);
}

static void varint_sizes_are_what_is_written(void **state) {
  (void)state;
  uint8_t at[WIRE_VARINT_SIZE_MAX];
  for (unsigned bits = 0; bits <= 64; bits++) {
    uint64_t value = bits == 0 ? 0 : UINT64_MAX >> (64 - bits);
    assert_int_equal(wire_put_varint(at, value) - at, wire_varint_size(value));
  }
  assert_int_equal(wire_varint_size(UINT64_MAX), WIRE_VARINT_SIZE_MAX);
}

static void zigzag_is_decoded(void **state) {
  (void)state;
  assert_true(wire_zigzag_decode(0) == 0);
  assert_true(wire_zigzag_decode(1) == -1);
  assert_true(wire_zigzag_decode(2) == 1);
  assert_true(wire_zigzag_decode(UINT64_MAX) == INT64_MIN);
  assert_true(wire_zigzag_decode(UINT64_MAX - 1) == INT64_MAX);
}

#define ASSERT_MALFORMED(...)                                              \
  do {                                                                     \
    const uint8_t bad[] = {__VA_ARGS__};                                   \
    struct wire_cursor cursor = wire_cursor_of(bytes_of(bad, sizeof bad)); \
    struct wire_field field;                                               \
    assert_status(wire_next(&cursor, &field), STATUS_MALFORMED);           \
    assert_ptr_equal(cursor.at, bad);                                      \
  } while (0)

static void malformed_bytes_are_refused_where_they_begin(void **state) {
  (void)state;
  ASSERT_MALFORMED(0x80);                                                                /* half a tag */
  ASSERT_MALFORMED(0x08);                                                                /* no value */
  ASSERT_MALFORMED(0x08, 0xff);                                                          /* half a value */
  ASSERT_MALFORMED(0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02);    /* 65 bits */
  ASSERT_MALFORMED(0x08, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0); /* eleven bytes */
  ASSERT_MALFORMED(0x00, 0x00);                                                          /* field 0 */
  ASSERT_MALFORMED(0x80, 0x80, 0x80, 0x80, 0x10, 0x00);                                  /* field 2^29 */
  ASSERT_MALFORMED(0x0b);                                                                /* group */
  ASSERT_MALFORMED(0x0c);
  ASSERT_MALFORMED(0x0e, 0); /* types 6 and 7 */
  ASSERT_MALFORMED(0x0f, 0);
  ASSERT_MALFORMED(0x0d, 1, 2, 3);                                                    /* fixed32, short */
  ASSERT_MALFORMED(0x09, 1, 2, 3, 4, 5, 6, 7);                                        /* fixed64, short */
  ASSERT_MALFORMED(0x0a, 2, 'x');                                                     /* bytes, short */
  ASSERT_MALFORMED(0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01); /* 2^64 - 1 bytes */
}

/* Random bytes, each in memory of exactly its size, so that a read past the end is seen by the address sanitizer. */
static void random_bytes_end_or_are_refused_within_their_bounds(void **state) {
  (void)state;
  uint64_t random = seed_new();
  for (unsigned round = 0; round < 50000; round++) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    size_t size = (random >> 33) % 24;
    uint8_t *data = memory_new(size);
    for (size_t i = 0; i < size; i++) {
      random = random * 6364136223846793005u + 1442695040888963407u;
      data[i] = (uint8_t)(random >> (round % 2 == 0 ? 56 : 60)); /* small ones make longer messages */
    }
    struct wire_cursor cursor = wire_cursor_of(bytes_of(data, size));
    struct wire_field field;
    enum status status = STATUS_OK;
    unsigned fields = 0;
    while ((status = wire_next(&cursor, &field)) == STATUS_OK) {
      fields++;
      assert_true(cursor.at > data && cursor.at <= data + size);
      if (field.type != WIRE_BYTES) continue;
      assert_true(field.bytes.data >= data && field.bytes.data + field.bytes.size <= data + size);
    }
    assert_true(status == STATUS_END || status == STATUS_MALFORMED);
    assert_true(fields <= size);
    memory_free(data);
  }
}

static void every_cut_of_a_message_is_an_end_or_malformed(void **state) {
  (void)state;
  uint8_t message[64];
  uint8_t *end = wire_put_bytes(wire_put_fixed64(wire_put_uint(message, 1, 70000), 2, 5), 3, bytes_of_string("0123456789"));
  size_t whole = (size_t)(end - message);
  for (size_t cut = 0; cut < whole; cut++) {
    struct wire_cursor cursor = wire_cursor_of(bytes_of(message, cut));
    struct wire_field field;
    enum status status = STATUS_OK;
    while ((status = wire_next(&cursor, &field)) == STATUS_OK) continue;
    bool between_fields = cut == 0 || cut == 4 || cut == 13;
    assert_status(status, between_fields ? STATUS_END : STATUS_MALFORMED);
  }
}

static bool valid(const char *text, size_t size) { return utf8_valid_text(bytes_of(text, size)); }

static void text_is_utf8_without_nul(void **state) {
  (void)state;
  assert_true(valid(NULL, 0));
  assert_true(valid("plain", 5));
  assert_true(valid("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", 9));
  assert_true(valid("\xf4\x8f\xbf\xbf", 4)); /* U+10FFFF */
  assert_true(valid("\xee\x80\x80", 3));     /* U+E000 */
  assert_false(valid("a\0b", 3));
  assert_false(valid("\xc0\x80", 2));         /* NUL, overlong */
  assert_false(valid("\xe0\x9f\xbf", 3));     /* overlong */
  assert_false(valid("\xf0\x8f\xbf\xbf", 4)); /* overlong */
  assert_false(valid("\xed\xa0\x80", 3));     /* surrogate */
  assert_false(valid("\xf4\x90\x80\x80", 4)); /* beyond U+10FFFF */
  assert_false(valid("\xf5\x80\x80\x80", 4));
  assert_false(valid("\x80", 1));
  assert_false(valid("\xe2\x82", 2)); /* cut */
  assert_false(valid("\xc3(", 2));
}

static void plain_text_is_letters_digits_and_three_more(void **state) {
  (void)state;
  assert_true(plain_text(bytes_of(NULL, 0)));
  assert_true(plain_text(bytes_of_string("azAZ09._-")));
  static const char *const others[] = {"a b", "a/b", "a:b", "a@b", "a[b", "a`b", "a{b", "\xc3\xa4", "a\nb"};
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) assert_false(plain_text(bytes_of_string(others[i])));
  assert_false(plain_text(bytes_of("a\0b", 3)));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_is_put_is_read),
      cmocka_unit_test(head_and_contents_make_the_same_bytes_as_put_bytes),
      cmocka_unit_test(varint_sizes_are_what_is_written),
      cmocka_unit_test(zigzag_is_decoded),
      cmocka_unit_test(malformed_bytes_are_refused_where_they_begin),
      cmocka_unit_test(random_bytes_end_or_are_refused_within_their_bounds),
      cmocka_unit_test(every_cut_of_a_message_is_an_end_or_malformed),
      cmocka_unit_test(text_is_utf8_without_nul),
      cmocka_unit_test(plain_text_is_letters_digits_and_three_more),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
