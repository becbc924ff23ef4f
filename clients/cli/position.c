#include "clients/cli/position.h"

#include <string.h>

#include "clients/cli/quantity.h"

enum status position_parse(const char *text, int64_t now_ms, struct cairn_position *out_position) {
  struct cairn_position position = {.kind = CAIRN_AT_OFFSET};
  enum status status = STATUS_OK;
  if (strcmp(text, "start") == 0 || strcmp(text, "beginning") == 0) {
    position.kind = CAIRN_AT_START;
  } else if (strcmp(text, "end") == 0) {
    position.kind = CAIRN_AT_END;
  } else if (text[0] == '@') {
    position.kind = CAIRN_AT_TIME;
    status = quantity_parse_time_ms(text + 1, now_ms, &position.value);
  } else {
    status = quantity_parse_number(text, &position.value);
  }
  if (status != STATUS_OK) return status;
  if (text[0] == '-') {
    position.kind = CAIRN_BEFORE_END;
    position.value = -position.value;
  }
  *out_position = position;
  return STATUS_OK;
}
