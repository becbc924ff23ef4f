#include "base/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static _Thread_local const char *context_words;

void check_context(const char *context) { context_words = context; }

_Noreturn void check_failed(const char *file, int line, const char *condition, const char *format, ...) {
  char message[512];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
  /* No stdio buffer and no lock: whoever holds them may be what failed. */
  dprintf(STDERR_FILENO, "cairn: CHECK failed at %s:%d: %s: %s [%s]\n", file, line, condition, message,
          context_words == NULL ? "" : context_words);
  abort();
}
