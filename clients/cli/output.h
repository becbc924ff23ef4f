/* Standard output: buffered in large pieces, and quiet about a reader that went away (`cairn read t | head`). */
#ifndef CAIRN_CLIENTS_CLI_OUTPUT_H
#define CAIRN_CLIENTS_CLI_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

struct output;

struct output *output_new(int fd);
void output_free(struct output *output); /* flushes; NULL is fine */

void output_write(struct output *output, const void *data, size_t size);
void output_printf(struct output *output, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Also finds out whether somebody reads still: who waits for more to write calls it now and then, with nothing to write too. */
void output_flush(struct output *output);

/* Nobody reads any more, or the disk is full: what is written goes nowhere. A command that writes much looks now and then. */
bool output_broken(const struct output *output);
/* What write() said, when that was not that the reader went away; 0. */
int output_error(const struct output *output);

#endif
