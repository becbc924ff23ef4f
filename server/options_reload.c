#include "base/check.h"
#include "server/options_internal.h"

static void take(struct options *options, const struct options *fresh, const struct option_row *row, struct bytes value) {
  enum status status = option_set(options, row, value);
  CHECK_MSG(status == STATUS_OK, "%s, as it was printed", row->name);
  options->origins[row - option_rows] = fresh->origins[row - option_rows];
}

struct options_reloaded options_reload(struct options *options, const struct options *fresh,
                                       void (*tell)(const struct option_change *change)) {
  struct options_reloaded reloaded = {0};
  struct buffer was, is;
  buffer_init(&was, OPTION_TEXT_SIZE);
  buffer_init(&is, OPTION_TEXT_SIZE);
  for (const struct option_row *row = option_rows; row < option_rows + option_row_count; row++) {
    buffer_reset(&was);
    buffer_reset(&is);
    option_print_value(options, row, &was);
    option_print_value(fresh, row, &is);
    if (bytes_equal(buffer_bytes(&was), buffer_bytes(&is))) continue;
    if (row->reloadable) reloaded.taken++;
    else reloaded.need_restart++;
    tell(&(struct option_change){row->name, buffer_bytes(&was), buffer_bytes(&is), row->reloadable});
    if (row->reloadable) take(options, fresh, row, buffer_bytes(&is));
  }
  buffer_deinit(&was);
  buffer_deinit(&is);
  return reloaded;
}
