/* Which segments may go: by the bytes kept and by the age of the newest record in them. Pure.
 *
 * Whole segments go, oldest first, never the newest; what is not in a segment yet counts as kept.
 */
#ifndef CAIRN_LOG_RETENTION_H
#define CAIRN_LOG_RETENTION_H

#include <stddef.h>
#include <stdint.h>

#include "log/log.h"
#include "log/segment.h"

/* The start offset that the settings ask for; `start` when nothing may go. `unflushed_bytes`: of entries in no segment. */
record_offset retention_start(const struct log_settings *settings, const struct segment_info *segments, size_t count,
                              uint64_t unflushed_bytes, record_offset start, int64_t now_ms);

#endif
