/* Lines from standard input or a file, read in large pieces and never copied: a line points into the piece it came in.
 *
 * The only file of clients/ that opens or reads files. */
#ifndef CAIRN_CLIENTS_CLI_INPUT_H
#define CAIRN_CLIENTS_CLI_INPUT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"

#define INPUT_LINE_BYTES_MAX (4u * 1024 * 1024)

struct input;

/* `path` NULL or "-": standard input. STATUS_NOT_FOUND, STATUS_INVALID (a directory), STATUS_DENIED (also: not open for reading), STATUS_IO. */
enum status input_open(const char *path, struct input **out_input) MUST_CHECK;
void input_close(struct input *input); /* NULL is fine */

/* The next line of what was read, without its newline. STATUS_END: input_fill() has to read more. A last line without a newline
 * is a line. Borrowed until input_fill(). */
enum status input_next_line(struct input *input, struct bytes *out_line) MUST_CHECK;

/* Reads more, waiting if need be. STATUS_OK; STATUS_END: that was all. STATUS_BUSY: `wake_fd` (-1: none) became readable first, or
 * a signal came. STATUS_TOO_LARGE: a line is longer than INPUT_LINE_BYTES_MAX. STATUS_IO. */
enum status input_fill(struct input *input, int wake_fd) MUST_CHECK;

uint64_t input_bytes_read(const struct input *input);
uint64_t input_bytes_total(const struct input *input); /* of a file; 0: unknown */

/* A descriptor that one thread rings and another waits for with input_fill() or input_wait(). */
int wake_open(void);
void wake_ring(int fd); /* @any-thread */
void wake_clear(int fd);
void wake_wait(int fd, int timeout_ms);
void wake_close(int fd);

#endif
