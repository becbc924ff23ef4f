/* The sparse index: about every 64 KiB of a segment, which offset stands where. Rows live in the store, are hints that whoever follows
 * them verifies against the frames, and can be rebuilt by scanning. A missing or damaged row costs time, never an answer.
 *
 * Each row also tells the greatest record time in its segment before it, so that a search by time needs no other table.
 */
#ifndef CAIRN_LOG_INDEX_H
#define CAIRN_LOG_INDEX_H

#include "base/store.h"
#include "log/segment.h"
#include "log/tables.h"

#define INDEX_EVERY_BYTES 65536u

/* Makes the rows of one segment while its entries pass by. */
struct index_builder {
  group_id group;
  instance_id instance;
  uint64_t last_position; /* of the newest row; 0: none yet */
  struct table_changes *changes;
};
/* An entry that stands at info->length, before it is added to `info`. */
void index_note(struct index_builder *builder, const struct segment_info *info, const struct entry_head *head);

/* The row at or before the offset in this segment. STATUS_NOT_FOUND: begin at the segment's start. */
enum status index_floor(struct store *store, group_id group, instance_id instance, const struct segment_info *segment,
                        record_offset offset, struct index_row *out_row) MUST_CHECK;
/* The first row of this segment behind `position`. STATUS_NOT_FOUND: none. */
enum status index_after(struct store *store, group_id group, instance_id instance, const struct segment_info *segment,
                        record_offset offset, uint64_t position, struct index_row *out_row) MUST_CHECK;
/* The last row of this segment before which no record is as late as `time_ms`. STATUS_NOT_FOUND: begin at the segment's start. */
enum status index_find_time(struct store *store, group_id group, instance_id instance, const struct segment_info *segment,
                            int64_t time_ms, struct index_row *out_row) MUST_CHECK;
/* The last row of this segment at or before an entry. STATUS_NOT_FOUND: begin at the segment's start. */
enum status index_find_index(struct store *store, group_id group, instance_id instance, const struct segment_info *segment,
                             entry_index index, struct index_row *out_row) MUST_CHECK;
/* Adds the removal of all rows of a segment. */
void index_remove(struct store *store, group_id group, instance_id instance, const struct segment_info *segment,
                  struct table_changes *changes);

#endif
