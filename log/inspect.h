/* Looking at files offline, changing nothing: what `cairn segment dump` and `cairn verify` are made of. The broker must not run.
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
  const char *what; /* damaged: "head", "payload", "chain", "index" */
  struct entry entry;
};

/* Visits what stands in a segment file, in order; `visit` returns false to stop. All bytes of the file count, recorded or not. STATUS_CORRUPT:
 * its header is no segment's (entries are still visited); STATUS_FOREIGN; STATUS_IO. */
enum status inspect_segment(struct disk *disk, const char *path, struct segment_header *out_header,
                            bool (*visit)(void *context, const struct inspect_entry *entry), void *context) MUST_CHECK;

/* Something that is not as it should be. Borrowed. */
struct inspect_finding {
  const char *file;
  uint64_t position; /* in it; 0: the file as a whole */
  group_id group;
  instance_id instance;
  record_offset first; /* offsets concerned: [first, end), equal when none */
  record_offset end;
  bool fatal;       /* data is lost here; else it repairs itself */
  const char *what; /* what is wrong */
  const char *advice;
};

struct inspect_report {
  uint64_t segments;
  uint64_t segment_bytes;
  uint64_t entries;
  uint64_t records;
  uint64_t logs;   /* one for each group */
  uint64_t spares; /* being filled to replace one of them, when the newest checkpoint was taken */
  uint64_t journal_frames;
  uint64_t findings;
  uint64_t fatal;
};

/* Verifies a whole data directory: identity, store, dumps, every segment, the journal. Findings are told as they are met. STATUS_IO,
 * STATUS_FOREIGN: it could not be looked at. */
enum status inspect_directory(struct world *world, void (*tell)(void *context, const struct inspect_finding *finding),
                              void *context, struct inspect_report *out_report) MUST_CHECK;

#endif
