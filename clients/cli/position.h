/* Positions as --from and --to take them: start, end, N, -N, @TIME. Pure. */
#ifndef CAIRN_CLIENTS_CLI_POSITION_H
#define CAIRN_CLIENTS_CLI_POSITION_H

#include <stdint.h>

#include "base/status.h"
#include "clients/c/cairn.h"

/* `now_ms` is what @-15m counts from. STATUS_INVALID, STATUS_TOO_LARGE: as quantities. */
enum status position_parse(const char *text, int64_t now_ms, struct cairn_position *out_position) MUST_CHECK;

#endif
