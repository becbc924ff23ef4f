#include "clients/cli/output.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"

#define OUTPUT_BYTES (256u * 1024)
#define LINE_SIZE 4096u

struct output {
  int fd;
  int error;
  bool broken;
  size_t size;
  char data[OUTPUT_BYTES];
};

struct output *output_new(int fd) {
  struct output *output = NEW(struct output);
  output->fd = fd;
  return output;
}

void output_free(struct output *output) {
  if (output == NULL) return;
  output_flush(output);
  memory_free(output);
}

static void write_through(struct output *output, const char *data, size_t size) {
  while (size > 0 && !output->broken) {
    ssize_t written = write(output->fd, data, size);
    if (written < 0) {
      if (errno == EINTR) continue;
      output->broken = true;
      output->error = errno == EPIPE ? 0 : errno;
      return;
    }
    data += written;
    size -= (size_t)written;
  }
}

/* Of a pipe that nobody reads any more this tells without a write: who waits for something to write would never know. */
static void look_for_reader(struct output *output) {
  struct pollfd pipe = {.fd = output->fd};
  if (poll(&pipe, 1, 0) == 1 && (pipe.revents & POLLERR) != 0) output->broken = true;
}

void output_flush(struct output *output) {
  write_through(output, output->data, output->size);
  output->size = 0;
  if (!output->broken) look_for_reader(output);
}

void output_write(struct output *output, const void *data, size_t size) {
  if (size > OUTPUT_BYTES - output->size) output_flush(output);
  if (size > OUTPUT_BYTES) {
    write_through(output, data, size);
    return;
  }
  if (size == 0) return;
  memcpy(output->data + output->size, data, size);
  output->size += size;
}

/* What does not fit on the stack is laid out a second time: nothing is ever cut. */
static void write_long(struct output *output, size_t size, const char *format, va_list arguments)
    __attribute__((format(printf, 3, 0)));
static void write_long(struct output *output, size_t size, const char *format, va_list arguments) {
  char *text = memory_new(size + 1);
  vsnprintf(text, size + 1, format, arguments);
  output_write(output, text, size);
  memory_free(text);
}

void output_printf(struct output *output, const char *format, ...) {
  char line[LINE_SIZE];
  va_list arguments, again;
  va_start(arguments, format);
  va_copy(again, arguments);
  int size = vsnprintf(line, sizeof line, format, arguments);
  if (size > 0 && (size_t)size >= sizeof line) write_long(output, (size_t)size, format, again);
  else if (size > 0) output_write(output, line, (size_t)size);
  va_end(again);
  va_end(arguments);
}

bool output_broken(const struct output *output) { return output->broken; }
int output_error(const struct output *output) { return output->error; }
