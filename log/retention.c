#include "log/retention.h"

/* Clients choose the times of their records, and may err by a unit: none is newer than when the last entry was taken. A segment without a
 * single record's time is as old as that. */
static int64_t newest_time(const struct segment_info *segment) {
  bool untold = segment->max_time_ms <= 0, ahead = segment->leader_time_ms > 0 && segment->max_time_ms > segment->leader_time_ms;
  return untold || ahead ? segment->leader_time_ms : segment->max_time_ms;
}

record_offset retention_start(const struct log_settings *settings, const struct segment_info *segments, size_t count,
                              uint64_t unflushed_bytes, record_offset start, int64_t now_ms) {
  uint64_t kept = unflushed_bytes;
  for (size_t i = 0; i < count; i++) {
    if (segments[i].end_offset > start) kept += segments[i].length;
  }
  for (size_t i = 0; i + 1 < count; i++) {
    const struct segment_info *segment = &segments[i];
    if (segment->end_offset <= start) continue;
    bool too_much = settings->retention_bytes >= 0 && kept > (uint64_t)settings->retention_bytes;
    bool too_old = settings->retention_ms >= 0 && newest_time(segment) < now_ms - settings->retention_ms;
    if (!too_much && !too_old) break;
    /* By bytes: what stays must still reach the bound. */
    if (!too_old && kept - segment->length < (uint64_t)settings->retention_bytes) break;
    kept -= segment->length;
    start = segment->end_offset;
  }
  return start;
}
