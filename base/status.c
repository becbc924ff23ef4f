#include "base/status.h"

#include <stddef.h>
#include <string.h>

#include "base/check.h"

struct status_row {
  const char *name;
  const char *text;
  enum grpc_status code;
  enum executed executed;
  enum retry retry;
};

static const struct status_row rows[STATUS_COUNT] = {
#define STATUS(name, code, executed, retry, text) {#name, text, GRPC_CODE_##code, EXECUTED_##executed, RETRY_##retry},
#include "base/status.def"
#undef STATUS
};

static const struct status_row *row_of(enum status status) {
  PRE((unsigned)status < STATUS_COUNT);
  return &rows[status];
}

const char *status_name(enum status status) { return row_of(status)->name; }
const char *status_text(enum status status) { return row_of(status)->text; }
enum grpc_status status_grpc_code(enum status status) { return row_of(status)->code; }
enum executed status_executed(enum status status) { return row_of(status)->executed; }
enum retry status_retry(enum status status) { return row_of(status)->retry; }

bool status_from_name(const char *name, enum status *out_status) {
  for (unsigned i = 0; i < STATUS_COUNT; i++) {
    if (strcmp(rows[i].name, name) == 0) {
      *out_status = (enum status)i;
      return true;
    }
  }
  return false;
}

const char *executed_name(enum executed executed) {
  switch (executed) {
    case EXECUTED_NO: return "no";
    case EXECUTED_MAYBE: return "maybe";
    case EXECUTED_YES: return "yes";
  }
  check_failed(__FILE__, __LINE__, "executed is one of three", "executed=%d", (int)executed);
}
