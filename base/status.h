/* Every way an operation can fail, in one table (status.def).
 *
 * A function that can fail returns `enum status`, looked at on the very next line. The names are API: they travel to
 * clients as `cairn-reason`. Three kinds of wrong have three words: trouble is a status, a bug is a CHECK (check.h),
 * rot (bytes that fail their checksum) is STATUS_CORRUPT and never stops the process.
 */
#ifndef CAIRN_BASE_STATUS_H
#define CAIRN_BASE_STATUS_H

#include <stdbool.h>

enum status {
#define STATUS(name, code, executed, retry, text) STATUS_##name,
#include "base/status.def"
#undef STATUS
  STATUS_COUNT
};

/* Did the request take effect? What `cairn-executed` says. */
enum executed { EXECUTED_NO, EXECUTED_MAYBE, EXECUTED_YES };

/* What a client may do by itself. */
enum retry { RETRY_NEVER, RETRY_SAFE, RETRY_LEADER };

/* gRPC's status codes, by their numbers on the wire. */
enum grpc_status {
  GRPC_CODE_OK = 0,
  GRPC_CODE_CANCELLED = 1,
  GRPC_CODE_UNKNOWN = 2,
  GRPC_CODE_INVALID_ARGUMENT = 3,
  GRPC_CODE_DEADLINE_EXCEEDED = 4,
  GRPC_CODE_NOT_FOUND = 5,
  GRPC_CODE_ALREADY_EXISTS = 6,
  GRPC_CODE_PERMISSION_DENIED = 7,
  GRPC_CODE_RESOURCE_EXHAUSTED = 8,
  GRPC_CODE_FAILED_PRECONDITION = 9,
  GRPC_CODE_ABORTED = 10,
  GRPC_CODE_OUT_OF_RANGE = 11,
  GRPC_CODE_UNIMPLEMENTED = 12,
  GRPC_CODE_INTERNAL = 13,
  GRPC_CODE_UNAVAILABLE = 14,
  GRPC_CODE_DATA_LOSS = 15,
  GRPC_CODE_UNAUTHENTICATED = 16
};

#define MUST_CHECK __attribute__((warn_unused_result))

const char *status_name(enum status status); /* "NOT_LEADER" */
const char *status_text(enum status status); /* "this broker does not lead the partition" */
enum grpc_status status_grpc_code(enum status status);
enum executed status_executed(enum status status);
enum retry status_retry(enum status status);

/* The status of a name as it travels in `cairn-reason`; false if no row has it. */
bool status_from_name(const char *name, enum status *out_status);

const char *executed_name(enum executed executed); /* "no", "maybe", "yes" */

#endif
