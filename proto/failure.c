#include "proto/failure.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/wire.h"

#define OVERLOAD_RETRY_MS 50u

/* cairn.v1.Error */
enum {
  ERROR_CODE = 1,
  ERROR_REASON = 2,
  ERROR_MESSAGE = 3,
  ERROR_EXECUTED = 4,
  ERROR_LEADER = 5,
  ERROR_NEXT_OFFSET = 6,
  ERROR_RETRY_AFTER_MS = 7,
  ERROR_NEXT_SEQUENCE = 8,
  ERROR_PRODUCER_EPOCH = 9
};

static bool is_overload(enum status reason) {
  return status_grpc_code(reason) == GRPC_CODE_RESOURCE_EXHAUSTED && status_retry(reason) == RETRY_SAFE;
}

/* A text that was cut inside a character, or that quotes bytes which are not UTF-8, would make an Error that no client can read. */
static void make_valid(char *text) {
  size_t size = strlen(text);
  for (unsigned i = 0; i < 3 && !utf8_valid_text(bytes_of(text, size)) && size > 0; i++) {
    if (size + 1 + i < FAILURE_TEXT_SIZE) break; /* it was not cut */
    text[--size] = '\0';
  }
  if (utf8_valid_text(bytes_of(text, size))) return;
  for (size_t i = 0; i < size; i++) {
    if ((uint8_t)text[i] >= 0x80) text[i] = '?';
  }
}

static void set(struct failure *failure, enum status reason, const char *format, va_list arguments)
    __attribute__((format(printf, 3, 0)));
static void set(struct failure *failure, enum status reason, const char *format, va_list arguments) {
  *failure = (struct failure){
      .reason = reason, .executed = status_executed(reason), .retry_after_ms = is_overload(reason) ? OVERLOAD_RETRY_MS : 0};
  if (format == NULL) {
    snprintf(failure->text, sizeof failure->text, "%s", status_text(reason));
  } else {
    vsnprintf(failure->text, sizeof failure->text, format, arguments);
    make_valid(failure->text);
  }
}

void failure_set(struct failure *failure, enum status reason, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  set(failure, reason, format, arguments);
  va_end(arguments);
}

void failure_refuse_call(struct rpc_call *call, enum status reason, const char *format, ...) {
  struct failure failure;
  va_list arguments;
  va_start(arguments, format);
  set(&failure, reason, format, arguments);
  va_end(arguments);
  failure_finish_call(call, &failure);
}

void failure_finish_call(struct rpc_call *call, const struct failure *failure) {
  PRE(failure->reason != STATUS_OK);
  char next_offset[24], next_sequence[24], epoch[16], retry_after[16];
  struct rpc_metadata metadata[7];
  size_t count = 0;
  metadata[count++] = (struct rpc_metadata){"cairn-executed", executed_name(failure->executed)};
  metadata[count++] = (struct rpc_metadata){"cairn-reason", status_name(failure->reason)};
  if (failure->leader[0] != '\0') metadata[count++] = (struct rpc_metadata){"cairn-leader", failure->leader};
  if (failure->has_next_offset) {
    snprintf(next_offset, sizeof next_offset, "%" PRId64, failure->next_offset);
    metadata[count++] = (struct rpc_metadata){"cairn-next-offset", next_offset};
  }
  if (failure->has_producer) {
    snprintf(next_sequence, sizeof next_sequence, "%" PRIu64, failure->next_sequence);
    metadata[count++] = (struct rpc_metadata){"cairn-next-sequence", next_sequence};
    snprintf(epoch, sizeof epoch, "%" PRIu32, failure->producer_epoch);
    metadata[count++] = (struct rpc_metadata){"cairn-producer-epoch", epoch};
  }
  if (failure->retry_after_ms != 0) {
    snprintf(retry_after, sizeof retry_after, "%" PRIu32, failure->retry_after_ms);
    metadata[count++] = (struct rpc_metadata){"retry-after-ms", retry_after};
  }
  rpc_call_finish(call, status_grpc_code(failure->reason), failure->text, metadata, count);
}

/* ---- For clients ---- */

/* For answers that carry no reason that we know: the transport's own, a proxy's, a newer broker's. */
static enum status reason_of_code(enum grpc_status code) {
  switch (code) {
    case GRPC_CODE_OK: return STATUS_OK;
    case GRPC_CODE_CANCELLED: return STATUS_CANCELLED;
    case GRPC_CODE_INVALID_ARGUMENT: return STATUS_INVALID;
    case GRPC_CODE_DEADLINE_EXCEEDED: return STATUS_DEADLINE;
    case GRPC_CODE_NOT_FOUND: return STATUS_NOT_FOUND;
    case GRPC_CODE_ALREADY_EXISTS: return STATUS_EXISTS;
    case GRPC_CODE_PERMISSION_DENIED: return STATUS_DENIED;
    case GRPC_CODE_RESOURCE_EXHAUSTED: return STATUS_TOO_LARGE;
    case GRPC_CODE_OUT_OF_RANGE: return STATUS_END;
    case GRPC_CODE_UNIMPLEMENTED: return STATUS_UNSUPPORTED;
    case GRPC_CODE_DATA_LOSS: return STATUS_CORRUPT;
    case GRPC_CODE_UNAUTHENTICATED: return STATUS_DENIED;
    default: return STATUS_TRANSPORT;
  }
}

/* A decimal number that fills the whole text. */
static bool read_number(const char *text, int64_t *out_number) {
  char *end = NULL;
  long long number = strtoll(text, &end, 10);
  if (end == text || *end != '\0') return false;
  *out_number = number;
  return true;
}

static bool read_u64(const char *text, uint64_t *out_number) {
  char *end = NULL;
  if (text[0] < '0' || text[0] > '9') return false;
  unsigned long long number = strtoull(text, &end, 10);
  if (*end != '\0') return false;
  *out_number = number;
  return true;
}

static void take_pair(struct failure *failure, const struct rpc_metadata *pair) {
  int64_t number = 0;
  if (strcmp(pair->key, "cairn-executed") == 0) {
    for (enum executed executed = EXECUTED_NO; executed <= EXECUTED_YES; executed++) {
      if (strcmp(pair->value, executed_name(executed)) == 0) failure->executed = executed;
    }
  } else if (strcmp(pair->key, "cairn-reason") == 0) {
    enum status reason = STATUS_OK;
    if (status_from_name(pair->value, &reason) && reason != STATUS_OK) failure->reason = reason;
  } else if (strcmp(pair->key, "cairn-leader") == 0) {
    snprintf(failure->leader, sizeof failure->leader, "%s", pair->value);
  } else if (strcmp(pair->key, "cairn-next-offset") == 0) {
    failure->has_next_offset = read_number(pair->value, &failure->next_offset);
  } else if (strcmp(pair->key, "cairn-next-sequence") == 0) {
    failure->has_producer = read_u64(pair->value, &failure->next_sequence);
  } else if (strcmp(pair->key, "cairn-producer-epoch") == 0) {
    if (read_number(pair->value, &number) && number >= 0 && number <= UINT32_MAX) failure->producer_epoch = (uint32_t)number;
  } else if (strcmp(pair->key, "retry-after-ms") == 0) {
    if (read_number(pair->value, &number) && number > 0) {
      failure->retry_after_ms = number < UINT32_MAX ? (uint32_t)number : UINT32_MAX;
    }
  }
}

void failure_from_result(struct failure *failure, const struct rpc_result *result) {
  *failure = (struct failure){.reason = reason_of_code(result->code), .executed = result->unsent ? EXECUTED_NO : EXECUTED_MAYBE};
  if (result->code == GRPC_CODE_OK) {
    failure->executed = EXECUTED_YES;
    return;
  }
  for (size_t i = 0; i < result->metadata_count; i++) take_pair(failure, &result->metadata[i]);
  const char *text = result->text != NULL && result->text[0] != '\0' ? result->text : status_text(failure->reason);
  snprintf(failure->text, sizeof failure->text, "%s", text);
}

/* ---- As a cairn.v1.Error ---- */

static uint8_t *put_text(uint8_t *at, uint32_t number, const char *text) {
  return text[0] == '\0' ? at : wire_put_bytes(at, number, bytes_of_string(text));
}

size_t failure_encode(const struct failure *failure, uint8_t *into) {
  uint8_t *at = into;
  at = wire_put_uint(at, ERROR_CODE, (uint64_t)status_grpc_code(failure->reason));
  at = put_text(at, ERROR_REASON, status_name(failure->reason));
  at = put_text(at, ERROR_MESSAGE, failure->text);
  at = wire_put_uint(at, ERROR_EXECUTED, (uint64_t)failure->executed + 1); /* 0 on the wire is "not said" */
  at = put_text(at, ERROR_LEADER, failure->leader);
  if (failure->has_next_offset) {
    at = wire_put_varint(wire_put_tag(at, ERROR_NEXT_OFFSET, WIRE_VARINT), (uint64_t)failure->next_offset);
  }
  at = wire_put_uint(at, ERROR_RETRY_AFTER_MS, failure->retry_after_ms);
  if (failure->has_producer) { /* their presence speaks, so 0 is written too */
    at = wire_put_varint(wire_put_tag(at, ERROR_NEXT_SEQUENCE, WIRE_VARINT), failure->next_sequence);
    at = wire_put_varint(wire_put_tag(at, ERROR_PRODUCER_EPOCH, WIRE_VARINT), failure->producer_epoch);
  }
  POST((size_t)(at - into) <= FAILURE_ENCODED_MAX);
  return (size_t)(at - into);
}

static void copy_text(char *into, size_t size, struct bytes text) {
  snprintf(into, size, "%.*s", text.size < size ? (int)text.size : (int)size - 1,
           text.data == NULL ? "" : (const char *)text.data);
}

static enum wire_type type_of(uint32_t number) {
  return number == ERROR_REASON || number == ERROR_MESSAGE || number == ERROR_LEADER ? WIRE_BYTES : WIRE_VARINT;
}

enum status failure_decode(struct bytes message, struct failure *out_failure) {
  struct failure failure = {.executed = EXECUTED_MAYBE};
  enum grpc_status code = GRPC_CODE_UNKNOWN;
  bool has_reason = false;
  struct wire_cursor cursor = wire_cursor_of(message);
  struct wire_field field;
  enum status status = STATUS_OK;
  while ((status = wire_next(&cursor, &field)) == STATUS_OK) {
    if (field.number <= ERROR_PRODUCER_EPOCH && field.type != type_of(field.number)) return STATUS_MALFORMED;
    char name[64];
    switch (field.number) {
      case ERROR_CODE: code = field.value <= GRPC_CODE_UNAUTHENTICATED ? (enum grpc_status)field.value : GRPC_CODE_UNKNOWN; break;
      case ERROR_REASON:
        copy_text(name, sizeof name, field.bytes);
        has_reason = status_from_name(name, &failure.reason) && failure.reason != STATUS_OK;
        break;
      case ERROR_MESSAGE: copy_text(failure.text, sizeof failure.text, field.bytes); break;
      case ERROR_EXECUTED:
        if (field.value >= 1 && field.value <= 3) failure.executed = (enum executed)(field.value - 1);
        break;
      case ERROR_LEADER: copy_text(failure.leader, sizeof failure.leader, field.bytes); break;
      case ERROR_NEXT_OFFSET:
        failure.has_next_offset = true;
        failure.next_offset = (int64_t)field.value;
        break;
      case ERROR_RETRY_AFTER_MS: failure.retry_after_ms = field.value < UINT32_MAX ? (uint32_t)field.value : UINT32_MAX; break;
      case ERROR_NEXT_SEQUENCE:
        failure.has_producer = true;
        failure.next_sequence = field.value;
        break;
      case ERROR_PRODUCER_EPOCH:
        failure.has_producer = true;
        failure.producer_epoch = field.value < UINT32_MAX ? (uint32_t)field.value : UINT32_MAX;
        break;
      default: break;
    }
  }
  if (status != STATUS_END) return STATUS_MALFORMED;
  if (!has_reason) failure.reason = reason_of_code(code == GRPC_CODE_OK ? GRPC_CODE_UNKNOWN : code);
  *out_failure = failure;
  return STATUS_OK;
}
