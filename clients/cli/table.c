#include "clients/cli/table.h"

#include <libsmartcols/libsmartcols.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "clients/cli/output.h"
#include "clients/cli/quantity.h"

#define CELL_SIZE 320u

static const json_t *field_of(const json_t *object, const char *path) {
  for (;;) {
    char name[64];
    size_t size = strcspn(path, ".");
    snprintf(name, sizeof name, "%.*s", (int)size, path);
    object = json_object_get(object, name);
    if (object == NULL || path[size] == '\0') return object;
    path += size + 1;
  }
}

static void format_list(const json_t *list, char *into, size_t size) {
  size_t used = 0;
  into[0] = '\0';
  for (size_t i = 0; i < json_array_size(list) && used < size; i++) {
    used += (size_t)snprintf(into + used, size - used, "%s%lld", i == 0 ? "" : ",",
                             (long long)json_integer_value(json_array_get(list, i)));
  }
}

static void format_number(enum column_kind kind, int64_t number, char *into, size_t size) {
  switch (kind) {
    case COLUMN_BYTES_OR_NONE:
      if (number < 0) snprintf(into, size, "unbounded");
      else quantity_format_bytes(into, size, (double)number);
      return;
    case COLUMN_DURATION_OR_NONE:
      if (number < 0) snprintf(into, size, "for ever");
      else quantity_format_duration(into, size, number);
      return;
    case COLUMN_BYTES: quantity_format_bytes(into, size, (double)number); return;
    case COLUMN_TIME:
      if (number == 0) snprintf(into, size, "-");
      else quantity_format_time(into, size, number);
      return;
    case COLUMN_TEXT:
    case COLUMN_NUMBER: break;
  }
  snprintf(into, size, "%lld", (long long)number);
}

static void format_cell(const struct column *column, const json_t *object, char *into, size_t size) {
  const json_t *value = field_of(object, column->field);
  if (json_is_string(value)) snprintf(into, size, "%s", json_string_value(value)[0] == '\0' ? "-" : json_string_value(value));
  else if (json_is_boolean(value)) snprintf(into, size, "%s", json_is_true(value) ? "yes" : "no");
  else if (json_is_array(value)) format_list(value, into, size);
  else if (json_is_integer(value)) format_number(column->kind, json_integer_value(value), into, size);
  else if (json_is_real(value)) snprintf(into, size, "%.1f", json_real_value(value));
  else snprintf(into, size, "-");
}

/* ---- JSON ---- */

static int write_chunk(const char *text, size_t size, void *context) {
  output_write(context, text, size);
  return 0;
}

int table_print_json(const struct cli *cli, const json_t *value) {
  json_dump_callback(value, write_chunk, cli->output, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
  output_write(cli->output, "\n", 1);
  return CLI_OK;
}

/* ---- Tables and cards ---- */

/* Of a table without rows smartcols prints nothing. */
static int print_head(const struct cli *cli, const struct column *columns) {
  for (size_t i = 0; columns[i].title != NULL; i++) output_printf(cli->output, "%s%s", i == 0 ? "" : " ", columns[i].title);
  output_printf(cli->output, "\n");
  return CLI_OK;
}

int table_print(const struct cli *cli, const struct column *columns, json_t *rows) {
  if (cli->json) return table_print_json(cli, rows);
  if (json_array_size(rows) == 0) return print_head(cli, columns);
  setlocale(LC_CTYPE, "");
  struct libscols_table *table = scols_new_table();
  size_t count = 0;
  for (; columns[count].title != NULL; count++) {
    int flags = columns[count].kind == COLUMN_TEXT ? 0 : SCOLS_FL_RIGHT;
    scols_table_new_column(table, columns[count].title, 0, flags);
  }
  size_t index;
  json_t *row;
  json_array_foreach(rows, index, row) {
    struct libscols_line *line = scols_table_new_line(table, NULL);
    for (size_t i = 0; i < count; i++) {
      char cell[CELL_SIZE];
      format_cell(&columns[i], row, cell, sizeof cell);
      scols_line_set_data(line, i, cell);
    }
  }
  char *text = NULL;
  if (scols_print_table_to_string(table, &text) == 0 && text != NULL) output_printf(cli->output, "%s\n", text);
  memory_free(text); /* the library's, from malloc() like ours */
  scols_unref_table(table);
  return CLI_OK;
}

int table_print_card(const struct cli *cli, const struct column *columns, json_t *object) {
  if (cli->json) return table_print_json(cli, object);
  size_t width = 0;
  for (size_t i = 0; columns[i].title != NULL; i++) {
    if (strlen(columns[i].title) > width) width = strlen(columns[i].title);
  }
  for (size_t i = 0; columns[i].title != NULL; i++) {
    char cell[CELL_SIZE];
    format_cell(&columns[i], object, cell, sizeof cell);
    output_printf(cli->output, "%-*s  %s\n", (int)width, columns[i].title, cell);
  }
  return CLI_OK;
}
