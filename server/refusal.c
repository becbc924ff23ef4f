#include "server/refusal.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/memory.h"

struct failure *refusal_new(enum status reason, const char *format, ...) {
  char text[FAILURE_TEXT_SIZE];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  struct failure *failure = NEW(struct failure);
  failure_set(failure, reason, "%s", text);
  return failure;
}

static const char *advice(enum status status) {
  switch (status) {
    case STATUS_FENCED:
      return "reads go on, and from other replicas it mends itself. The broker's log says which of the two it was: after a "
             "failure restart it "
             "on a good disk; rot where there is no other replica stays: read what there is into a new topic";
    case STATUS_BUSY: return "try again in a moment, or send less at once";
    case STATUS_NO_MEMORY: return "try again in a moment; memory-bytes sets the budget";
    case STATUS_JOURNAL_FULL: return "try again in a moment; journal-bytes sets its size";
    case STATUS_DISK_FULL: return "free some space: appends go on by themselves then";
    case STATUS_UNKNOWN_PARTITION: return "its topic was deleted meanwhile";
    case STATUS_UNKNOWN_OUTCOME:
      return "the disk failed, or leadership was lost, before it was known to be kept; look into the partition before you send "
             "it "
             "again";
    case STATUS_DRAINING: return "try again when it is back, or ask another broker";
    case STATUS_LOADING: return "try again in a moment";
    case STATUS_IO: return "look at the broker's log; the disk may need to be replaced";
    case STATUS_NOT_LEADER: return "nobody is known to lead it just now; ask again, or another broker";
    case STATUS_REPLACED: return "send it again";
    default: return NULL;
  }
}

struct failure *refusal_of_status(enum status status) {
  const char *what_to_do = advice(status);
  if (what_to_do == NULL) return refusal_new(status, "%s", status_text(status));
  return refusal_new(status, "%s: %s", status_text(status), what_to_do);
}
