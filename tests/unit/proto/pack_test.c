#include "proto/pack.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/wire.h"
#include "cairn/v1/admin.pb-c.h"

#define HOSTILE_BYTES (4u * 1024 * 1024)

static void message_is_packed_and_unpacked(void **state) {
  (void)state;
  Cairn__V1__TopicConfig config;
  cairn__v1__topic_config__init(&config);
  config.retention_ms_presence_case = CAIRN__V1__TOPIC_CONFIG__RETENTION_MS_PRESENCE_RETENTION_MS;
  config.retention_ms = 0;
  Cairn__V1__CreateTopicRequest request;
  cairn__v1__create_topic_request__init(&request);
  char name[] = "orders";
  request.name = name;
  request.partitions = 12;
  request.config = &config;
  struct blob_part part = pack_part(&request.base);
  struct arena *arena = arena_new(PACK_ARENA_BYTES_MAX);

  Cairn__V1__CreateTopicRequest *back = NULL;
  assert_int_equal(pack_unpack(arena, &cairn__v1__create_topic_request__descriptor, part.bytes, &back), STATUS_OK);
  assert_string_equal(back->name, "orders");
  assert_int_equal(back->partitions, 12);
  assert_int_equal(back->config->retention_ms_presence_case, CAIRN__V1__TOPIC_CONFIG__RETENTION_MS_PRESENCE_RETENTION_MS);
  assert_int_equal(back->config->retention_bytes_presence_case, CAIRN__V1__TOPIC_CONFIG__RETENTION_BYTES_PRESENCE__NOT_SET);
  arena_free(arena);
  blob_part_release(part);
}

static void account_bounds_what_is_packed(void **state) {
  (void)state;
  Cairn__V1__DescribeTopicRequest request;
  cairn__v1__describe_topic_request__init(&request);
  char name[] = "orders";
  request.name = name;
  struct account account;
  account_init(&account, 8);
  struct blob *blob = NULL;

  assert_int_equal(pack_blob(&request.base, &account, &blob), STATUS_NO_MEMORY);
  assert_null(blob);
}

/* Fills a message with one field over and over. */
static struct bytes fill(uint8_t *data, const char *field, size_t size) {
  for (size_t at = 0; at + size <= HOSTILE_BYTES; at += size) memcpy(data + at, field, size);
  return bytes_of(data, HOSTILE_BYTES / size * size);
}

static void hostile_message_costs_no_more_than_the_arena(void **state) {
  (void)state;
  uint8_t *data = malloc(HOSTILE_BYTES);
  struct arena *arena = arena_new(PACK_ARENA_BYTES_MAX);
  Cairn__V1__ListTopicsResponse *back = NULL;

  /* 2,097,152 empty topics */
  struct bytes message = fill(data, "\x0a\x00", 2);
  assert_int_equal(pack_unpack(arena, &cairn__v1__list_topics_response__descriptor, message, &back), STATUS_TOO_LARGE);
  assert_true(arena_used(arena) <= PACK_ARENA_BYTES_MAX);
  assert_null(back);

  /* as many unknown fields */
  arena_reset(arena);
  message = fill(data, "\x98\x06\x01", 3);
  assert_int_equal(pack_unpack(arena, &cairn__v1__list_topics_response__descriptor, message, &back), STATUS_TOO_LARGE);

  /* packed varints */
  arena_reset(arena);
  uint8_t *at = wire_put_bytes_head(data, 5, HOSTILE_BYTES - 16);
  memset(at, 1, HOSTILE_BYTES - 16);
  message = bytes_of(data, (size_t)(at - data) + HOSTILE_BYTES - 16);
  assert_int_equal(pack_unpack(arena, &cairn__v1__partition__descriptor, message, &back), STATUS_TOO_LARGE);
  arena_free(arena);
  free(data);
}

static void strings_with_nul_or_bad_utf8_are_refused(void **state) {
  (void)state;
  struct arena *arena = arena_new(PACK_ARENA_BYTES_MAX);
  Cairn__V1__DescribeTopicRequest *request = NULL;
  Cairn__V1__CreateTopicResponse *nested = NULL;
  const ProtobufCMessageDescriptor *flat = &cairn__v1__describe_topic_request__descriptor;

  assert_int_equal(pack_unpack(arena, flat,
                               bytes_of("\x0a\x03"
                                        "adm",
                                        5),
                               &request),
                   STATUS_OK);
  assert_int_equal(pack_unpack(arena, flat,
                               bytes_of("\x0a\x07"
                                        "adm\0xyz",
                                        9),
                               &request),
                   STATUS_BAD_NAME);
  assert_int_equal(pack_unpack(arena, flat,
                               bytes_of("\x0a\x02"
                                        "a\xff",
                                        4),
                               &request),
                   STATUS_BAD_NAME);
  /* also inside */
  assert_int_equal(pack_unpack(arena, &cairn__v1__create_topic_response__descriptor,
                               bytes_of("\x0a\x05\x0a\x03"
                                        "a\0b",
                                        7),
                               &nested),
                   STATUS_BAD_NAME);
  /* also where a later one of the same field hides it */
  assert_int_equal(pack_unpack(arena, flat,
                               bytes_of("\x0a\x01\xff\x0a\x01"
                                        "a",
                                        6),
                               &request),
                   STATUS_BAD_NAME);
  arena_free(arena);
}

static void what_is_not_a_message_is_malformed(void **state) {
  (void)state;
  struct arena *arena = arena_new(PACK_ARENA_BYTES_MAX);
  Cairn__V1__DescribeTopicRequest *request = NULL;
  const ProtobufCMessageDescriptor *flat = &cairn__v1__describe_topic_request__descriptor;
  static const char *const messages[] = {"\x0a\x05"
                                         "ab",
                                         "\x0a", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "\x0b\x0c", "\x08\x01"};

  for (size_t i = 0; i < sizeof messages / sizeof messages[0]; i++) {
    assert_int_equal(pack_unpack(arena, flat, bytes_of_string(messages[i]), &request), STATUS_MALFORMED);
  }
  assert_int_equal(pack_unpack(arena, flat, bytes_of(NULL, 0), &request), STATUS_OK);
  assert_string_equal(request->name, "");
  arena_free(arena);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(message_is_packed_and_unpacked),
      cmocka_unit_test(account_bounds_what_is_packed),
      cmocka_unit_test(hostile_message_costs_no_more_than_the_arena),
      cmocka_unit_test(strings_with_nul_or_bad_utf8_are_refused),
      cmocka_unit_test(what_is_not_a_message_is_malformed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
