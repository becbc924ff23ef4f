#include <stdio.h>
#include <string.h>

#include "server/options_internal.h"

#define PRINT(...)                                       \
  do {                                                   \
    if (buffer_printf(__VA_ARGS__) != STATUS_OK) return; \
  } while (0)

static void print_row_help(const struct option_row *row, struct buffer *out) {
  char left[64];
  snprintf(left, sizeof left, "--%s%s%s", row->name, row->placeholder == NULL ? "" : " ",
           row->placeholder == NULL ? "" : row->placeholder);
  PRINT(out, "  %-38s %s\n", left, row->meaning);
  if (row->kind == OPTION_FLAG) return;
  PRINT(out, "  %-38s ", "");
  if (row->value[0] != '\0') {
    PRINT(out, "default ");
    struct options defaults;
    options_init(&defaults);
    option_print_value(&defaults, row, out);
  }
  if (row->kind != OPTION_TEXT && row->kind != OPTION_CHOICE) {
    PRINT(out, "; from ");
    option_print_number(row->kind, row->min, out);
    PRINT(out, " to ");
    option_print_number(row->kind, row->max, out);
  }
  PRINT(out, "\n");
}

void options_print_help(struct buffer *out) {
  PRINT(out, "cairnd: a Cairn broker, a replicated commit log.\n\n"
             "Usage: cairnd [--name value]...\n\n"
             "Examples:\n"
             "  cairnd                                       keep ./cairn-data, serve 127.0.0.1:7411\n"
             "  cairnd --data-dir /var/lib/cairn --listen 127.0.0.1:0\n"
             "  cairnd --listen 0.0.0.0:7411 --advertise db1.example:7411 --insecure\n"
             "  cairnd --broker-id 1 --peer-listen 127.0.0.1:7412 --join 1=127.0.0.1:7412,2=127.0.0.1:7422,3=127.0.0.1:7432\n"
             "  CAIRN_MEMORY_BYTES=2GiB cairnd --config /etc/cairn.conf --print-config\n\n"
             "A setting is taken from its flag, else from the environment (CAIRN_DATA_DIR), else from the file that --config\n"
             "names (data-dir = DIR), else from its default. Sizes take KiB, MiB, GiB; times take ms, s, m, h.\n");
  const char *group = "";
  for (size_t i = 0; i < option_row_count; i++) {
    if (strcmp(group, option_rows[i].group) != 0) PRINT(out, "\n%s:\n", option_rows[i].group);
    group = option_rows[i].group;
    print_row_help(&option_rows[i], out);
  }
  PRINT(out, "\nInstead of running:\n"
             "  --help, --version                      print and exit\n"
             "  --print-config                         print every setting, its value and where that came from\n\n"
             "SIGTERM or SIGINT: finish open calls (at most drain-ms), take a checkpoint, exit 0. A second one: exit at once.\n"
             "SIGHUP: read --config again. What --print-config calls reloadable is taken over; the log says what else differs.\n"
             "Exit status: 0 stopped as asked, 1 it could not start or go on, 2 a setting makes no sense.\n");
}

void options_print_config(const struct options *options, struct buffer *out) {
  static const char *const origins[] = {"default", "file", "environment", "flag"};
  for (size_t i = 0; i < option_row_count; i++) {
    const struct option_row *row = &option_rows[i];
    struct buffer line;
    buffer_init(&line, 1024);
    /* What is printed can be read back as a file, which cannot name another. */
    const char *mark = row->offset == offsetof(struct options, config) ? "# " : "";
    if (buffer_printf(&line, "%s%s = ", mark, row->name) == STATUS_OK) option_print_value(options, row, &line);
    PRINT(out, "%-48.*s # %s%s\n", (int)line.size, (const char *)line.data, origins[options->origins[i]],
          row->reloadable ? ", reloadable" : "");
    buffer_deinit(&line);
  }
}
