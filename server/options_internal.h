/* The table of settings, and one row's values in and out. Shared by options.c (who sets what), options_print.c and options_reload.c. */
#ifndef CAIRN_SERVER_OPTIONS_INTERNAL_H
#define CAIRN_SERVER_OPTIONS_INTERNAL_H

#include "server/options.h"

enum option_kind { OPTION_TEXT, OPTION_FLAG, OPTION_COUNT, OPTION_SIZE, OPTION_TIME, OPTION_CHOICE };

struct option_row {
  const char *name;
  enum option_kind kind;
  size_t offset;     /* in struct options */
  const char *value; /* default, as one would write it */
  uint64_t min;
  uint64_t max;
  bool reloadable;         /* may change without a restart */
  const char *placeholder; /* in --help; of a choice: its words, separated by '|' */
  const char *group;       /* heading in --help */
  const char *meaning;
};

extern const struct option_row option_rows[];
extern const size_t option_row_count;

const struct option_row *option_find(struct bytes name); /* NULL: none */
const char *option_nearest(struct bytes name, size_t *out_distance);

/* STATUS_INVALID: the value cannot be read or lies out of bounds; nothing changed. */
enum status option_set(struct options *options, const struct option_row *row, struct bytes value) MUST_CHECK;
/* The value, as one would write it. */
void option_print_value(const struct options *options, const struct option_row *row, struct buffer *out);
/* A number of the row's kind, in its best unit. */
void option_print_number(enum option_kind kind, uint64_t number, struct buffer *out);
/* What would be allowed, in words. */
void option_print_bounds(const struct option_row *row, struct buffer *out);

#endif
