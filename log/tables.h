/* The tables of the store: their numbers, keys and values. The store seals every value with a checksum bound to table and key; here is
 * only what is inside. All numbers in values are little endian, in keys big endian.
 *
 *   table        key                               value
 *   0 identity   "identity"                        identity.h
 *   1 group      group u64, instance u64           struct group_row
 *   2 segment    group, instance, first index      struct segment_info
 *   3 index      group, instance, base offset      struct index_row
 *   4 state      group, instance                   applied index u64, then the owner's bytes
 *   5 meta       "checkpoint"                      struct checkpoint_row
 *
 * A value begins with its version. docs/FORMATS.md has the bytes.
 */
#ifndef CAIRN_LOG_TABLES_H
#define CAIRN_LOG_TABLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/store.h"
#include "log/log.h"
#include "log/segment.h"

/* On disk: numbers are never given a new meaning. */
enum table { TABLE_IDENTITY = 0, TABLE_GROUP = 1, TABLE_SEGMENT = 2, TABLE_INDEX = 3, TABLE_STATE = 4, TABLE_META = 5 };

#define STORE_PATH "store.mdb"       /* in the data directory */
#define TABLE_STATE_MAX (256u << 20) /* an owner's snapshot */

struct table_key {
  size_t size;
  uint8_t data[24];
};
struct bytes table_key_bytes(const struct table_key *key);
struct table_key table_key_group(group_id group, instance_id instance);
struct table_key table_key_segment(group_id group, instance_id instance, entry_index first_index);
struct table_key table_key_index(group_id group, instance_id instance, record_offset offset);
/* STATUS_CORRUPT unless the key has `numbers` numbers. */
enum status table_key_parse(struct bytes key, size_t numbers, uint64_t out_numbers[3]) MUST_CHECK;

/* A replica as of the last checkpoint. Owns its array. */
struct group_row {
  group_id group;
  instance_id instance;
  instance_id replaces; /* in force only once that one is closed; 0: none */
  bool closed;          /* a tombstone: the replica is gone, its term and vote are remembered */
  bool damaged;         /* log_view.damaged */
  struct log_settings settings;
  struct hard_state hard_state;
  record_offset start_offset;
  entry_index start_index;
  uint64_t start_chain; /* the link before the first entry kept */
  entry_index flushed_index;
  record_offset flushed_offset; /* behind its last record */
  uint64_t flushed_chain;
  int64_t leader_time_ms;     /* of the flushed entry */
  int64_t max_time_ms;        /* of any record up to it */
  struct log_term_run *terms; /* of the entries from start_index - 1 to flushed_index */
  size_t term_count;
};

struct index_row {
  entry_index segment; /* first index of the segment */
  uint64_t position;
  entry_index index;
  record_offset offset;
  uint64_t previous_chain;
  int64_t time_before_ms; /* greatest record time in the segment before this entry */
};

struct checkpoint_row {
  uint64_t sequence;
  uint64_t durable_group; /* of the journal, when it was taken */
  uint64_t dump;          /* newest generation known */
  bool doubt;             /* log_set_report.doubt, until log_set_settle() */
  bool dump_owed;         /* the store knows what no dump up to that generation does, and the journal may not keep it any more */
};

/* Appends the value to `out`. */
enum status group_row_encode(const struct group_row *row, struct buffer *out) MUST_CHECK;
/* STATUS_CORRUPT, STATUS_FOREIGN. The array is new. */
enum status group_row_decode(struct bytes key, struct bytes value, struct group_row *out_row) MUST_CHECK;
void group_row_deinit(struct group_row *row);

enum status segment_row_encode(const struct segment_info *info, struct buffer *out) MUST_CHECK;
enum status segment_row_decode(struct bytes value, struct segment_info *out_info) MUST_CHECK;

enum status index_row_encode(const struct index_row *row, struct buffer *out) MUST_CHECK;
enum status index_row_decode(struct bytes key, struct bytes value, struct index_row *out_row) MUST_CHECK;

enum status checkpoint_row_encode(const struct checkpoint_row *row, struct buffer *out) MUST_CHECK;
enum status checkpoint_row_decode(struct bytes value, struct checkpoint_row *out_row) MUST_CHECK;

/* Changes of one transaction, gathered with their bytes. */
struct table_changes {
  struct store_change *changes;
  size_t count;
  size_t capacity;
};
void table_changes_init(struct table_changes *changes);
void table_changes_deinit(struct table_changes *changes);
/* Copies key and value; an empty value of `remove`. */
void table_changes_put(struct table_changes *changes, enum table table, struct bytes key, struct bytes value);
void table_changes_remove(struct table_changes *changes, enum table table, struct bytes key);
void table_changes_truncate(struct table_changes *changes, size_t count); /* takes back the last ones */

#endif
