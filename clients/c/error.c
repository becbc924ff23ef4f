#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "clients/c/client_internal.h"

static enum cairn_executed executed_of(enum executed executed) {
  switch (executed) {
    case EXECUTED_NO: return CAIRN_EXECUTED_NO;
    case EXECUTED_YES: return CAIRN_EXECUTED_YES;
    case EXECUTED_MAYBE: break;
  }
  return CAIRN_EXECUTED_MAYBE;
}

static void error_fill(struct cairn_error *error, enum status reason) {
  *error = (struct cairn_error){.code = (enum cairn_code)status_grpc_code(reason)};
  snprintf(error->reason, sizeof error->reason, "%s", status_name(reason));
}

int error_from_failure(struct cairn_error *error, const struct failure *failure) {
  if (error != NULL) {
    error_fill(error, failure->reason);
    error->executed = executed_of(failure->executed);
    snprintf(error->message, sizeof error->message, "%s", failure->text);
    snprintf(error->leader, sizeof error->leader, "%s", failure->leader);
    error->has_next_offset = failure->has_next_offset;
    error->next_offset = failure->next_offset;
    error->retry_after_ms = failure->retry_after_ms;
    error->has_producer = failure->has_producer;
    error->next_sequence = failure->next_sequence;
    error->producer_epoch = failure->producer_epoch;
  }
  return (int)status_grpc_code(failure->reason);
}

int error_set(struct cairn_error *error, enum status reason, const char *format, ...) {
  if (error != NULL) {
    error_fill(error, reason);
    error->executed = executed_of(status_executed(reason));
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
  }
  return (int)status_grpc_code(reason);
}

void error_clear(struct cairn_error *error) {
  if (error != NULL) *error = (struct cairn_error){.executed = CAIRN_EXECUTED_YES};
}
