/* Opening: reads the ring past the page cache, checks every group, lets journal_judge.h decide, tells what counts. Changes nothing
 * on disk. Internal to log/. May run wherever blocking is allowed.
 *
 * The ring is read twice, a file at a time: once to find and check its groups, once to tell the frames, because what a group is worth may
 * stand in a later file. Memory: one file and a few dozen bytes per group.
 */
#ifndef CAIRN_LOG_JOURNAL_SCAN_H
#define CAIRN_LOG_JOURNAL_SCAN_H

#include "log/journal_ring.h"
#include "log/journal_states.h"

struct journal_scan_result {
  uint64_t next_sequence; /* of the next group */
  uint64_t last_hash;
  uint64_t frames; /* in all groups so far */
  struct journal_report report;
};

/* Adopts the files into the ring, and notes hard states. STATUS_FOREIGN, STATUS_IO. */
enum status journal_scan(struct journal_ring *ring, struct journal_states *states, uint64_t durable_through,
                         const struct journal_replay *replay, struct journal_scan_result *out_result) MUST_CHECK;

#endif
