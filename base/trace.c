#include "base/trace.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"

#define LINE_SIZE_MAX 2048u

typedef void (*trace_sink)(void *context, const char *line);

static atomic_int level_max = TRACE_INFO;
static _Atomic(trace_sink) sink_function;
static _Atomic(void *) sink_context;

static const char *const level_names[] = {"error", "warn", "info", "debug"};

void trace_set_level(enum trace_level level) { atomic_store(&level_max, (int)level); }

void trace_set_sink(void (*sink)(void *context, const char *line), void *context) {
  /* In this order a thread that sees the new function sees its context; a function that gives way to another should go by
   * way of NULL. */
  if (sink == NULL) atomic_store(&sink_function, NULL);
  atomic_store(&sink_context, context);
  atomic_store(&sink_function, sink);
}

/* Appends and returns the new length; a line that is too long is cut. */
__attribute__((format(printf, 3, 0))) static size_t add(char *line, size_t length, const char *format, va_list arguments) {
  int added = vsnprintf(line + length, LINE_SIZE_MAX - length, format, arguments);
  if (added < 0) return length;
  size_t whole = length + (size_t)added;
  return whole < LINE_SIZE_MAX ? whole : LINE_SIZE_MAX - 1;
}

__attribute__((format(printf, 3, 4))) static size_t addf(char *line, size_t length, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  length = add(line, length, format, arguments);
  va_end(arguments);
  return length;
}

static size_t add_time(char *line, size_t length) {
  struct timespec now;
  struct tm parts;
  clock_gettime(CLOCK_REALTIME, &now);
  gmtime_r(&now.tv_sec, &parts);
  return addf(line, length, "time=%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ ", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday,
              parts.tm_hour, parts.tm_min, parts.tm_sec, now.tv_nsec / 1000000);
}

static void write_whole(const char *line, size_t size) {
  while (size > 0) {
    ssize_t written = write(STDERR_FILENO, line, size);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return; /* nowhere to complain */
    line += written;
    size -= (size_t)written;
  }
}

void trace_line(enum trace_level level, const char *event, const char *format, ...) {
  PRE((unsigned)level <= TRACE_DEBUG);
  if ((int)level > atomic_load_explicit(&level_max, memory_order_relaxed)) return;
  int error = errno; /* a trace between a call and the look at its errno changes nothing */
  trace_sink sink = atomic_load(&sink_function);
  char line[LINE_SIZE_MAX + 1];
  size_t length = 0;
  /* The wall clock has no place in a simulated run: a sink's lines begin with the level. */
  if (sink == NULL) length = add_time(line, length);
  length = addf(line, length, "level=%s event=%s", level_names[level], event);
  if (format[0] != '\0') {
    length = addf(line, length, " ");
    va_list arguments;
    va_start(arguments, format);
    length = add(line, length, format, arguments);
    va_end(arguments);
  }
  for (size_t i = 0; i < length; i++) {
    if ((unsigned char)line[i] < ' ' || line[i] == 0x7f) line[i] = '?'; /* one event stays one line */
  }
  line[length] = '\0';
  if (sink != NULL) {
    sink(atomic_load(&sink_context), line);
  } else {
    line[length] = '\n';
    write_whole(line, length + 1);
  }
  errno = error;
}

const char *trace_quote(char *into, unsigned long size, const char *text, unsigned long text_size) {
  PRE(size >= 3);
  unsigned long at = 0;
  into[at++] = '"';
  for (unsigned long i = 0; i < text_size; i++) {
    unsigned char byte = (unsigned char)text[i];
    char escaped[5];
    if (byte == '"' || byte == '\\') snprintf(escaped, sizeof escaped, "\\%c", byte);
    else if (byte < ' ' || byte == 0x7f) snprintf(escaped, sizeof escaped, "\\x%02x", byte);
    else snprintf(escaped, sizeof escaped, "%c", byte);
    size_t length = strlen(escaped);
    if (at + length + 2 > size) break;
    memcpy(into + at, escaped, length);
    at += length;
  }
  into[at++] = '"';
  into[at] = '\0';
  return into;
}
