#include "proto/reflection.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "grpc/reflection/v1/reflection.pb-c.h"
#include "proto/descriptors.h"

typedef Grpc__Reflection__V1__ServerReflectionRequest question_message;
typedef Grpc__Reflection__V1__ServerReflectionResponse answer_message;

static int set_up(void **state) {
  struct reflection *reflection = NULL;
  assert_int_equal(reflection_new_embedded(&reflection), STATUS_OK);
  *state = reflection;
  return 0;
}

static int tear_down(void **state) {
  reflection_free(*state);
  return 0;
}

static answer_message *ask(struct reflection *reflection, unsigned which, const char *operand) {
  question_message question;
  grpc__reflection__v1__server_reflection_request__init(&question);
  char text[256];
  snprintf(text, sizeof text, "%s", operand);
  question.message_request_case = (Grpc__Reflection__V1__ServerReflectionRequest__MessageRequestCase)which;
  question.list_services = text; /* a union: all of these are strings */
  char host[] = "here";
  question.host = host;
  uint8_t request[512];
  size_t size = grpc__reflection__v1__server_reflection_request__pack(&question, request);

  struct blob_part part = reflection_answer(reflection, bytes_of(request, size));
  answer_message *answer = grpc__reflection__v1__server_reflection_response__unpack(NULL, part.bytes.size, part.bytes.data);
  blob_part_release(part);
  assert_non_null(answer);
  assert_string_equal(answer->valid_host, "here");
  assert_string_equal(answer->original_request->list_services, operand);
  return answer;
}

static void end(answer_message *answer) { grpc__reflection__v1__server_reflection_response__free_unpacked(answer, NULL); }

#define FILE_BY_FILENAME 3u
#define FILE_CONTAINING_SYMBOL 4u
#define ALL_EXTENSION_NUMBERS 6u
#define LIST_SERVICES 7u

static void all_public_services_are_listed(void **state) {
  answer_message *answer = ask(*state, LIST_SERVICES, "*");
  static const char *const wanted[] = {"cairn.v1.Log", "cairn.v1.Admin", "grpc.health.v1.Health",
                                       "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"};

  assert_int_equal(answer->message_response_case,
                   GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_LIST_SERVICES_RESPONSE);
  for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
    bool found = false;
    for (size_t j = 0; j < answer->list_services_response->n_service; j++) {
      found = found || strcmp(answer->list_services_response->service[j]->name, wanted[i]) == 0;
    }
    assert_true(found);
  }
  end(answer);
}

static void every_kind_of_symbol_is_found_with_its_imports(void **state) {
  static const char *const symbols[] = {"cairn.v1.Log",
                                        "cairn.v1.Log.Append",
                                        "cairn.v1.AppendRequest",
                                        "cairn.v1.AppendRequest.topic",
                                        "cairn.v1.AppendRequest.expect",
                                        "cairn.v1.Durability",
                                        "cairn.v1.DURABILITY_QUORUM_SYNC"};
  for (size_t i = 0; i < sizeof symbols / sizeof symbols[0]; i++) {
    answer_message *answer = ask(*state, FILE_CONTAINING_SYMBOL, symbols[i]);
    assert_int_equal(answer->message_response_case,
                     GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_FILE_DESCRIPTOR_RESPONSE);
    assert_int_equal(answer->file_descriptor_response->n_file_descriptor_proto, 3); /* log, error, record */
    const ProtobufCBinaryData *first = &answer->file_descriptor_response->file_descriptor_proto[0];
    assert_non_null(memmem(first->data, first->len, "cairn/v1/log.proto", 18));
    end(answer);
  }
  answer_message *answer = ask(*state, FILE_CONTAINING_SYMBOL, "grpc.health.v1.HealthCheckResponse.ServingStatus");
  assert_int_equal(answer->file_descriptor_response->n_file_descriptor_proto, 1);
  end(answer);
}

static void file_is_found_by_its_name(void **state) {
  answer_message *answer = ask(*state, FILE_BY_FILENAME, "cairn/v1/record.proto");
  assert_int_equal(answer->file_descriptor_response->n_file_descriptor_proto, 1);
  end(answer);
}

static void unknown_names_are_not_found_in_band(void **state) {
  static const unsigned kinds[] = {FILE_BY_FILENAME, FILE_CONTAINING_SYMBOL, ALL_EXTENSION_NUMBERS};
  for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
    answer_message *answer = ask(*state, kinds[i], "no.such.Thing");
    assert_int_equal(answer->message_response_case,
                     GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ERROR_RESPONSE);
    assert_int_equal(answer->error_response->error_code, GRPC_CODE_NOT_FOUND);
    end(answer);
  }
  answer_message *answer = ask(*state, ALL_EXTENSION_NUMBERS, "cairn.v1.Record");
  assert_string_equal(answer->all_extension_numbers_response->base_type_name, "cairn.v1.Record");
  assert_int_equal(answer->all_extension_numbers_response->n_extension_number, 0);
  end(answer);
}

static void nonsense_gets_an_answer_too(void **state) {
  uint8_t *large = calloc(1, 100000);
  const struct bytes requests[] = {bytes_of(NULL, 0), bytes_of("\xff\xff", 2), bytes_of("\x1a\x02\xff\xff", 4),
                                   bytes_of(large, 100000)};
  for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
    struct blob_part part = reflection_answer(*state, requests[i]);
    answer_message *answer = grpc__reflection__v1__server_reflection_response__unpack(NULL, part.bytes.size, part.bytes.data);
    assert_non_null(answer);
    assert_int_equal(answer->error_response->error_code, GRPC_CODE_INVALID_ARGUMENT);
    end(answer);
    blob_part_release(part);
  }
  free(large);
}

static void damaged_set_is_refused_or_survived(void **state) {
  (void)state;
  struct reflection *reflection = NULL;
  assert_int_equal(reflection_new(bytes_of("\x0a\x05x", 3), &reflection), STATUS_MALFORMED);
  uint64_t seed = 2463534242;
  uint8_t *copy = malloc(cairn_descriptors_size);
  for (unsigned round = 0; round < 300; round++) {
    memcpy(copy, cairn_descriptors, cairn_descriptors_size);
    for (unsigned i = 0; i < 5; i++) {
      seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
      copy[seed % cairn_descriptors_size] = (uint8_t)(seed >> 32);
    }
    size_t size = round % 2 == 0 ? cairn_descriptors_size : seed % cairn_descriptors_size;
    if (reflection_new(bytes_of(copy, size), &reflection) != STATUS_OK) continue;
    blob_part_release(reflection_answer(reflection, bytes_of("\x3a\x01*", 3)));
    blob_part_release(reflection_answer(reflection, bytes_of("\x22\x0c"
                                                             "cairn.v1.Log",
                                                             14)));
    reflection_free(reflection);
  }
  free(copy);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(all_public_services_are_listed), TEST(every_kind_of_symbol_is_found_with_its_imports),
      TEST(file_is_found_by_its_name),      TEST(unknown_names_are_not_found_in_band),
      TEST(nonsense_gets_an_answer_too),    cmocka_unit_test(damaged_set_is_refused_or_survived),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
