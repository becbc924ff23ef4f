#include "clients/cli/format.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/memory.h"
#include "base/wire.h"
#include "clients/cli/output.h"

/* A letter of the language, or LITERAL with bytes. */
#define LITERAL '\0'

struct token {
  char letter;
  size_t first;
  size_t size;
};

struct format {
  struct token *tokens;
  size_t count;
  char *literals;
  size_t literal_size;
};

/* ---- Compiling ---- */

static void add_literal(struct format *format, char c) {
  struct token *last = format->count == 0 ? NULL : &format->tokens[format->count - 1];
  if (last == NULL || last->letter != LITERAL) {
    last = &format->tokens[format->count++];
    *last = (struct token){.letter = LITERAL, .first = format->literal_size};
  }
  format->literals[format->literal_size++] = c;
  last->size++;
}

static int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/* Returns how many characters of `text` (which follow a backslash) it took, or 0. */
static size_t add_escape(struct format *format, const char *text, const char **out_why) {
  static const char names[] = "nrt\\";
  static const char values[] = "\n\r\t\\";
  const char *name = *text == '\0' ? NULL : strchr(names, *text);
  if (name != NULL) {
    add_literal(format, values[name - names]);
    return 1;
  }
  int high = *text == 'x' ? hex_digit(text[1]) : -1;
  int low = high < 0 ? -1 : hex_digit(text[2]);
  if (low < 0) {
    *out_why = "after a backslash comes n, r, t, another backslash, or x and two hex digits";
    return 0;
  }
  add_literal(format, (char)(high << 4 | low));
  return 3;
}

static size_t add_letter(struct format *format, char letter, const char **out_why) {
  if (letter == '%') {
    add_literal(format, '%');
    return 1;
  }
  if (letter == '\0' || strchr("tpokKvsSRTh", letter) == NULL) {
    *out_why = "after a percent sign comes one of t p o k K v s S R T h %; see `cairn help format`";
    return 0;
  }
  format->tokens[format->count++] = (struct token){.letter = letter == 's' ? 'v' : letter};
  return 1;
}

struct format *format_new(const char *text, const char **out_why, size_t *out_at) {
  struct format *format = NEW(struct format);
  size_t size = strlen(text);
  format->tokens = memory_new_array(size + 1, sizeof *format->tokens);
  format->literals = memory_new(size + 1);
  for (size_t at = 0; at < size;) {
    if (text[at] != '%' && text[at] != '\\') {
      add_literal(format, text[at++]);
      continue;
    }
    size_t taken = text[at] == '%' ? add_letter(format, text[at + 1], out_why) : add_escape(format, text + at + 1, out_why);
    if (taken == 0) {
      *out_at = at;
      format_free(format);
      return NULL;
    }
    at += 1 + taken;
  }
  return format;
}

void format_free(struct format *format) {
  if (format == NULL) return;
  memory_free(format->tokens);
  memory_free(format->literals);
  memory_free(format);
}

/* ---- Writing ---- */

static void write_number(struct output *output, int64_t number) {
  char text[24];
  int size = snprintf(text, sizeof text, "%" PRId64, number);
  output_write(output, text, (size_t)size);
}

static int64_t size_of(struct cairn_bytes bytes) { return bytes.data == NULL ? -1 : (int64_t)bytes.size; }

/* In front of values that may hold anything: so that a program can tell where each ends. */
static void write_binary_size(struct output *output, int64_t size) {
  uint32_t bits = (uint32_t)size;
  uint8_t bytes[4] = {(uint8_t)(bits >> 24), (uint8_t)(bits >> 16), (uint8_t)(bits >> 8), (uint8_t)bits};
  output_write(output, bytes, sizeof bytes);
}

static void write_headers(struct output *output, const struct cairn_record *record) {
  for (size_t i = 0; i < record->header_count; i++) {
    if (i > 0) output_write(output, ",", 1);
    output_write(output, record->headers[i].name.data, record->headers[i].name.size);
    output_write(output, "=", 1);
    output_write(output, record->headers[i].value.data, record->headers[i].value.size);
  }
}

void format_write(const struct format *format, const struct cairn_record *record, struct output *output) {
  for (size_t i = 0; i < format->count; i++) {
    const struct token *token = &format->tokens[i];
    switch (token->letter) {
      case LITERAL: output_write(output, format->literals + token->first, token->size); break;
      case 't': output_write(output, record->topic, strlen(record->topic)); break;
      case 'p': write_number(output, record->partition); break;
      case 'o': write_number(output, record->offset); break;
      case 'k': output_write(output, record->key.data, record->key.size); break;
      case 'K': write_number(output, size_of(record->key)); break;
      case 'v': output_write(output, record->value.data, record->value.size); break;
      case 'S': write_number(output, size_of(record->value)); break;
      case 'R': write_binary_size(output, size_of(record->value)); break;
      case 'T': write_number(output, record->timestamp_ms); break;
      case 'h': write_headers(output, record); break;
      default: break;
    }
  }
}

/* ---- JSON ---- */

static void write_text(struct output *output, const char *text) { output_write(output, text, strlen(text)); }

static void write_json_string(struct output *output, const uint8_t *data, size_t size) {
  output_write(output, "\"", 1);
  size_t first = 0;
  for (size_t i = 0; i < size; i++) {
    if (data[i] >= 0x20 && data[i] != '"' && data[i] != '\\') continue;
    output_write(output, data + first, i - first);
    first = i + 1;
    if (data[i] == '\n') write_text(output, "\\n");
    else if (data[i] == '\t') write_text(output, "\\t");
    else if (data[i] == '"') write_text(output, "\\\"");
    else if (data[i] == '\\') write_text(output, "\\\\");
    else output_printf(output, "\\u%04x", data[i]);
  }
  output_write(output, data + first, size - first);
  output_write(output, "\"", 1);
}

static void write_base64(struct output *output, const uint8_t *data, size_t size) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (size_t i = 0; i < size; i += 3) {
    uint32_t bits = (uint32_t)data[i] << 16;
    if (i + 1 < size) bits |= (uint32_t)data[i + 1] << 8;
    if (i + 2 < size) bits |= data[i + 2];
    char four[4] = {digits[bits >> 18], digits[bits >> 12 & 63], i + 1 < size ? digits[bits >> 6 & 63] : '=',
                    i + 2 < size ? digits[bits & 63] : '='};
    output_write(output, four, sizeof four);
  }
}

/* utf8_valid_text() refuses NUL, which JSON can carry; a text with NUL is rare enough to be base64. */
void format_write_json_bytes(struct cairn_bytes bytes, struct output *output) {
  if (bytes.data == NULL) {
    write_text(output, "null");
  } else if (utf8_valid_text(bytes_of(bytes.data, bytes.size))) {
    write_json_string(output, bytes.data, bytes.size);
  } else {
    write_text(output, "{\"base64\":\"");
    write_base64(output, bytes.data, bytes.size);
    write_text(output, "\"}");
  }
}

void format_write_json(const struct cairn_record *record, struct output *output) {
  output_printf(output,
                "{\"topic\":\"%s\",\"partition\":%" PRIu32 ",\"offset\":%" PRId64 ",\"timestamp_ms\":%" PRId64 ",\"key\":",
                record->topic, record->partition, record->offset, record->timestamp_ms);
  format_write_json_bytes(record->key, output);
  write_text(output, ",\"value\":");
  format_write_json_bytes(record->value, output);
  write_text(output, ",\"headers\":[");
  for (size_t i = 0; i < record->header_count; i++) {
    write_text(output, i == 0 ? "{\"name\":" : ",{\"name\":");
    struct cairn_bytes name = record->headers[i].name;
    format_write_json_bytes(name.data == NULL ? (struct cairn_bytes){"", 0} : name, output);
    write_text(output, ",\"value\":");
    struct cairn_bytes value = record->headers[i].value;
    format_write_json_bytes(value.data == NULL ? (struct cairn_bytes){"", 0} : value, output);
    write_text(output, "}");
  }
  write_text(output, "]}\n");
}
