/* Numbers as people write them. Pure. */
#ifndef CAIRN_CLIENTS_CLI_QUANTITY_H
#define CAIRN_CLIENTS_CLI_QUANTITY_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* STATUS_INVALID: it is not written like one. STATUS_TOO_LARGE: it is, and greater than can be held. */
enum status quantity_parse_number(const char *text, int64_t *out) MUST_CHECK; /* decimal, with a sign; the whole text */
enum status quantity_parse_bytes(const char *text, int64_t *out) MUST_CHECK;  /* 4096, 64k, 64KiB, 1MiB, 2G; powers of 1,024 */
enum status quantity_parse_duration_ms(const char *text,
                                       int64_t *out) MUST_CHECK; /* 250ms, 30s, 15m, 12h, 7d; a bare number is ms */
/* 2024-05-01, 2024-05-01T10:00, ...:00:30, ...:30.250, with Z or nothing (UTC) or +02:00; -15m before `now_ms`; or ms since 1970. */
enum status quantity_parse_time_ms(const char *text, int64_t now_ms, int64_t *out) MUST_CHECK;

/* Return `into`. */
const char *quantity_format_bytes(char *into, size_t size, double bytes);   /* "1.5 GiB" */
const char *quantity_format_time(char *into, size_t size, int64_t time_ms); /* "2024-05-01T10:00:00.000Z" */
const char *quantity_format_duration(char *into, size_t size, int64_t ms);  /* "7d", "1h 30m" */

#endif
