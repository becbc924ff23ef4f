#include "clients/cli/input.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"

#define PIECE_BYTES (1024u * 1024)

struct input {
  int fd;
  uint64_t bytes_total;
  uint64_t bytes_read;
  bool ended;
  char *data;
  size_t capacity;
  size_t first;   /* of what was not given out */
  size_t scanned; /* no newline before it */
  size_t end;
};

enum status input_open(const char *path, struct input **out_input) {
  int fd = STDIN_FILENO;
  if (path != NULL && strcmp(path, "-") != 0) {
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return errno == ENOENT ? STATUS_NOT_FOUND : errno == EACCES ? STATUS_DENIED : STATUS_IO;
  }
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || (flags & O_ACCMODE) == O_WRONLY) return STATUS_DENIED; /* standard input alone can be so */
  struct stat stat = {0};
  if (fstat(fd, &stat) == 0 && S_ISDIR(stat.st_mode)) {
    if (fd != STDIN_FILENO) close(fd);
    return STATUS_INVALID;
  }
  struct input *input = NEW(struct input);
  input->fd = fd;
  if (S_ISREG(stat.st_mode)) input->bytes_total = (uint64_t)stat.st_size;
  input->capacity = 2 * PIECE_BYTES;
  input->data = memory_grow_array(NULL, input->capacity, 1);
  *out_input = input;
  return STATUS_OK;
}

void input_close(struct input *input) {
  if (input == NULL) return;
  if (input->fd != STDIN_FILENO) close(input->fd);
  memory_free(input->data);
  memory_free(input);
}

enum status input_next_line(struct input *input, struct bytes *out_line) {
  const char *newline = memchr(input->data + input->scanned, '\n', input->end - input->scanned);
  if (newline == NULL) {
    input->scanned = input->end;
    if (!input->ended || input->first == input->end) return STATUS_END;
    *out_line = bytes_of(input->data + input->first, input->end - input->first);
    input->first = input->end;
    return STATUS_OK;
  }
  size_t at = (size_t)(newline - input->data);
  *out_line = bytes_of(input->data + input->first, at - input->first);
  input->first = at + 1;
  input->scanned = at + 1;
  return STATUS_OK;
}

/* The rest of a line moves to the front; a line that fills everything gets more room. */
static enum status make_room(struct input *input) {
  size_t rest = input->end - input->first;
  if (rest > INPUT_LINE_BYTES_MAX) return STATUS_TOO_LARGE;
  memmove(input->data, input->data + input->first, rest);
  input->scanned -= input->first;
  input->first = 0;
  input->end = rest;
  if (input->capacity - rest >= PIECE_BYTES) return STATUS_OK;
  input->capacity *= 2;
  input->data = memory_grow_array(input->data, input->capacity, 1);
  return STATUS_OK;
}

enum status input_fill(struct input *input, int wake_fd) {
  if (input->ended) return STATUS_END;
  enum status status = make_room(input);
  if (status != STATUS_OK) return status;
  struct pollfd polled[2] = {{.fd = input->fd, .events = POLLIN}, {.fd = wake_fd, .events = POLLIN}};
  if (poll(polled, 2, -1) < 0) return errno == EINTR ? STATUS_BUSY : STATUS_IO;
  if (polled[0].revents == 0) return STATUS_BUSY;
  ssize_t size = read(input->fd, input->data + input->end, PIECE_BYTES);
  if (size < 0) return errno == EINTR || errno == EAGAIN ? STATUS_BUSY : STATUS_IO;
  input->end += (size_t)size;
  input->bytes_read += (uint64_t)size;
  input->ended = size == 0;
  /* A last line without a newline is still there to be taken. */
  return input->ended && input->first == input->end ? STATUS_END : STATUS_OK;
}

uint64_t input_bytes_read(const struct input *input) { return input->bytes_read; }
uint64_t input_bytes_total(const struct input *input) { return input->bytes_total; }

/* ---- Waking up ---- */

int wake_open(void) { return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); }

void wake_ring(int fd) {
  uint64_t one = 1;
  ssize_t written = write(fd, &one, sizeof one);
  (void)written; /* full: it rings already */
}

void wake_clear(int fd) {
  uint64_t rings = 0;
  ssize_t taken = read(fd, &rings, sizeof rings);
  (void)taken;
}

void wake_wait(int fd, int timeout_ms) {
  struct pollfd polled = {.fd = fd, .events = POLLIN};
  poll(&polled, 1, timeout_ms);
}

void wake_close(int fd) {
  if (fd >= 0) close(fd);
}
