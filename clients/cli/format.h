/* How a record is printed: the language of kcat's -f, compiled once.
 *
 *   %t topic      %p partition   %o offset    %T timestamp, ms since 1970
 *   %k key        %K its size    %v or %s value    %S its size (-1 when there is none)
 *   %h headers, name=value,name=value         %% a percent sign
 *   \n \r \t \\ \xNN (two hex digits)          anything else stands for itself
 */
#ifndef CAIRN_CLIENTS_CLI_FORMAT_H
#define CAIRN_CLIENTS_CLI_FORMAT_H

#include <stddef.h>

#include "clients/c/cairn.h"

struct output;
struct format;

/* NULL: `*out_why` says what is wrong (it lives for ever) and `*out_at` where. */
struct format *format_new(const char *text, const char **out_why, size_t *out_at);
void format_free(struct format *format); /* NULL is fine */
void format_write(const struct format *format, const struct cairn_record *record, struct output *output);

/* One JSON object on one line: topic, partition, offset, timestamp_ms, key, value, headers. Bytes that are UTF-8 are a string, others
 * {"base64": "..."}, absent ones null. */
void format_write_json(const struct cairn_record *record, struct output *output);
void format_write_json_bytes(struct cairn_bytes bytes, struct output *output);

#endif
