/* Looking at files offline: what `cairn segment dump` and `cairn verify` are made of. Nothing is changed, so a mount that is read-only will
 * do; and nobody else may change anything meanwhile, which is the caller's to see to (a lock, or a copy).
 */
#ifndef CAIRN_LOG_INSPECT_H
#define CAIRN_LOG_INSPECT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/world.h"
#include "log/entry.h"
#include "log/segment.h"

/* One entry of a segment, or a stretch of bytes that is none. Borrowed. */
struct inspect_entry {
  uint64_t position;
  uint64_t size;
  bool damaged;     /* then entry is zeroed but for what is known */
  const char *what; /* damaged: "head", "payload", "end" (the file ends before its recorded length) */
  struct entry entry;
};

/* Visits what stands in a segment file, in order; `visit` returns false to stop. `recorded`: what a row says of it, by which its entries are
 * checked too; NULL: all bytes of the file count, and its header says what it begins with. STATUS_CORRUPT: its header is no segment's (entries
 * are still visited); STATUS_FOREIGN: of a newer Cairn; STATUS_IO, STATUS_WRONG_KIND. */
enum status inspect_segment(struct disk *disk, const char *path, const struct segment_info *recorded,
                            struct segment_header *out_header, bool (*visit)(void *context, const struct inspect_entry *entry),
                            void *context) MUST_CHECK;

enum inspect_severity {
  INSPECT_DROPPED, /* was never acknowledged, as far as can be told: no finding, but said */
  INSPECT_DAMAGED, /* repairs itself */
  INSPECT_LOST
};

/* Something that is not as it should be. Borrowed. */
struct inspect_finding {
  enum inspect_severity severity;
  const char *file;
  bool has_position; /* else it is about the file as a whole */
  uint64_t position;
  group_id group;
  instance_id instance;    /* 0: about no log */
  entry_index first_index; /* entries concerned: [first, last]; 0: none, or they are told by offsets */
  entry_index last_index;
  record_offset first; /* offsets concerned: [first, end), equal when none */
  record_offset end;
  const char *what; /* what is wrong */
  const char *advice;
};

struct inspect_report {
  uint64_t segments;
  uint64_t segment_bytes;
  uint64_t entries; /* in segments */
  uint64_t records;
  uint64_t logs;   /* one for each group */
  uint64_t spares; /* being filled to replace one of them */
  uint64_t journal_frames;
  uint64_t journal_entries; /* in no segment yet */
  uint64_t journal_records;
  uint64_t findings; /* what was dropped is none */
  uint64_t fatal;
};

/* Verifies a whole data directory as a start would find it: identity, lineage, store, dumps, the journal, every segment that counts. Without a store that
 * can be believed, what a broker would make it of. Findings are told as they are met.
 *
 * STATUS_FOREIGN: it is no data directory, or its store or its journal has something that a newer Cairn wrote. STATUS_IO, STATUS_DENIED, STATUS_LOCKED: it could not be looked at. */
enum status inspect_directory(struct world *world, void (*tell)(void *context, const struct inspect_finding *finding),
                              void *context, struct inspect_report *out_report) MUST_CHECK;

#endif
