/* Torn or rotten: what the groups found on a ring are worth. Pure; journal_scan.c reads, tells and acts. Internal to log/.
 *
 * A group is known only by a head that passes its salted hash, so all that are judged here are our own, of the file's present lap,
 * at their place. What can be wrong: groups are missing (their heads are damaged or were never written), bodies fail their CRC, or a
 * group continues a history that was given up: a file that a later start found torn keeps the groups behind the tear, and they
 * must not come back when the journal has gone on in another file under the same numbers.
 *
 * 1. A group whose number is that of a later file's first group, or above, is void: the later file says where history went on.
 * 2. A bad group that anybody says to be synced is rotten; what stands behind it still counts. Without a word for it, it is torn: it
 *    and all behind it count for nothing.
 * 3. The groups with which a start began (what it carried over) count only if all of them are there. Of one that did not finish the first
 *    says where the journal goes on: with its own number.
 * 4. Where even that one is gone, what is missing before those that are left may be of the start, which nobody needs, or of what was there
 *    before it. The checkpoint says which: a recovery has recorded the last group that it found before it starts. Without its word (it ends
 *    below what was found) all that is missing counts as lost.
 */
#ifndef CAIRN_LOG_JOURNAL_JUDGE_H
#define CAIRN_LOG_JOURNAL_JUDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "log/journal_format.h"

enum journal_verdict { VERDICT_VOID, VERDICT_TORN, VERDICT_ROTTEN, VERDICT_GOOD };

/* A group that was found, in the order of files and places. */
struct journal_seen {
  struct journal_group_head head;
  size_t file;     /* in the scan's list */
  bool whole;      /* all its bodies pass their CRC */
  uint32_t frames; /* rows that are no table */

  enum journal_verdict verdict;
  uint64_t lost_before; /* so many groups just before it are rotten and cannot be seen at all ... */
  bool lost_frames;     /* ... and may have held frames */
};

struct journal_judgement {
  uint64_t next_sequence; /* that the journal goes on with */
  uint64_t last_hash;     /* of the group before; 0: none */
  uint64_t frames;        /* in all groups before, as far as is known */
  uint64_t lost_at_end;   /* rotten groups behind all that were seen */
  uint64_t torn_groups;
  uint64_t rotten_groups; /* those that cannot be seen included */
};

/* Fills in the verdicts. `durable_through`: the highest group that is known durable from elsewhere; 0: none. */
struct journal_judgement journal_judge(struct journal_seen *seen, size_t count, uint64_t durable_through);

#endif
