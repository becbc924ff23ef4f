/* A replica as the store knows it, in the hands of whoever writes the store: the checkpoint, and recovery before it.
 *
 * A change is prepared as an update, a copy that grows while segments are written. When the transaction that records it is durable the
 * update replaces the image; otherwise it is thrown away and the image is as before.
 */
#ifndef CAIRN_LOG_IMAGE_H
#define CAIRN_LOG_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/disk.h"
#include "base/map.h"
#include "base/store.h"
#include "log/checkpoint_pace.h"
#include "log/index.h"
#include "log/journal.h"
#include "log/segment.h"
#include "log/tables.h"

struct image {
  struct group_row row;
  struct segment_info *segments; /* by first index; none of them dropped */
  size_t segment_count;
  uint64_t index_position;    /* of the newest index row in the last segment */
  entry_index state_applied;  /* what the stored state covers */
  entry_index dumped_applied; /* what the state in the newest dump covers */
  bool stored;                /* the store has its row */
  const uint8_t *owner;       /* the images' */
  bool abandoned;             /* the last segment's file failed: never written again */
};

/* All images of a set, by group and instance. Owns them. */
struct images {
  struct map *map;
  uint8_t owner[SEGMENT_OWNER_SIZE]; /* for the headers of segments */
};
void images_init(struct images *images);
void images_deinit(struct images *images);
struct image *images_get(const struct images *images, group_id group, instance_id instance); /* NULL when absent */
struct image *images_add(struct images *images, group_id group, instance_id instance);
void images_remove(struct images *images, group_id group, instance_id instance);

/* An entry on its way into a segment. Owns its payload while `cached`. */
struct flush_entry {
  struct entry entry;
  struct journal_place place; /* where the payload is, unless cached */
  bool cached;
  bool lost; /* no such bytes any more: a hole */
};

struct image_update {
  struct image *image;
  struct group_row row;
  struct segment_info *segments;
  size_t segment_count;
  size_t segment_capacity;
  uint64_t index_position;
  bool made_dir;                /* p/ must be synced: the group's directory is new, or may be */
  bool made_file;               /* the group's directory must be synced */
  size_t changes_begin;         /* of the transaction, before this update added to it */
  struct segment_info *dropped; /* to remove once the transaction is durable */
  size_t dropped_count;
  size_t bad_entry;   /* after STATUS_DAMAGED: which one could not be read back */
  uint64_t read_back; /* entries that had to come from the journal */
  bool written;       /* something was written behind the recorded length */
};

void image_update_begin(struct image_update *update, struct image *image, const struct table_changes *changes);
/* Writes entries behind what is flushed, rotating segments, syncing each file; adds segment and index rows. `journal`: where entries that are
 * not cached are read from. `pace`: who says how fast; NULL: nobody. STATUS_NO_SPACE, STATUS_IO; STATUS_DAMAGED: an entry could not be read back, nothing counts. */
enum status image_update_flush(struct image_update *update, struct disk *disk, struct journal *journal,
                               struct checkpoint_pace *pace, struct flush_entry *entries, size_t count,
                               struct table_changes *changes) MUST_CHECK;
/* Drops the segments wholly below the row's start, or all when the row is closed. */
void image_update_drop(struct image_update *update, struct store *store, struct table_changes *changes);
/* Adds the group's row. */
void image_update_row(struct image_update *update, struct table_changes *changes);
/* The transaction is durable. */
void image_update_apply(struct image_update *update);
/* It is not: takes the changes back, cuts files to what is recorded. `disk` NULL: the transaction failed, and may be durable for all that;
 * what it names must stay. */
void image_update_discard(struct image_update *update, struct disk *disk, struct table_changes *changes);

#endif
