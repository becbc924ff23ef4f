/* Structured log lines, logfmt on standard error: `time=... level=info event=journal_recycled file=12 ...`.
 *
 * One line per event, fixed field order, stable event names. The floor that decides writes the line; lower floors report a
 * status. Pure code (raft, cluster map, placement, producer state) never calls it. @any-thread
 */
#ifndef CAIRN_BASE_TRACE_H
#define CAIRN_BASE_TRACE_H

enum trace_level { TRACE_ERROR, TRACE_WARN, TRACE_INFO, TRACE_DEBUG };

/* Lines above `level` are dropped. Default TRACE_INFO. */
void trace_set_level(enum trace_level level);

/* Sends finished lines elsewhere, for the simulator and for tests, without the newline and the time; NULL for standard error. */
void trace_set_sink(void (*sink)(void *context, const char *line), void *context);

/* `event` is a snake_case constant; `format` gives logfmt pairs ("partition=%llu file=\"%s\"") or is "". A field that strangers
 * chose goes through trace_quote(). */
void trace_line(enum trace_level level, const char *event, const char *format, ...) __attribute__((format(printf, 3, 4)));

#define trace_error(event, ...) trace_line(TRACE_ERROR, event, __VA_ARGS__)
#define trace_warn(event, ...) trace_line(TRACE_WARN, event, __VA_ARGS__)
#define trace_info(event, ...) trace_line(TRACE_INFO, event, __VA_ARGS__)
#define trace_debug(event, ...) trace_line(TRACE_DEBUG, event, __VA_ARGS__)

/* Copies `text` quoted, with control characters and quotes escaped, cut to fit; returns `into`. */
const char *trace_quote(char *into, unsigned long size, const char *text, unsigned long text_size);

#endif
