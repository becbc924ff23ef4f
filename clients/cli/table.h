/* What is listed or described, from one source: JSON objects whose fields have the names of the API. With -o json they are printed
 * as they are; otherwise as a table (many) or a card (one), with sizes and times as people read them. */
#ifndef CAIRN_CLIENTS_CLI_TABLE_H
#define CAIRN_CLIENTS_CLI_TABLE_H

#include <jansson.h>

#include "clients/cli/cli.h"

enum column_kind {
  COLUMN_TEXT,
  COLUMN_NUMBER,
  COLUMN_BYTES,         /* "1.5 GiB" */
  COLUMN_BYTES_OR_NONE, /* -1: "unbounded" */
  COLUMN_DURATION_OR_NONE,
  COLUMN_TIME
};

struct column {
  const char *title;
  const char *field; /* a dot goes into an object: "config.retention_ms" */
  enum column_kind kind;
};

/* Columns end with a NULL title. The objects stay the caller's. Return CLI_OK. */
int table_print(const struct cli *cli, const struct column *columns, json_t *rows);
int table_print_json(const struct cli *cli, const json_t *value); /* as it is */
int table_print_card(const struct cli *cli, const struct column *columns, json_t *object);

#endif
