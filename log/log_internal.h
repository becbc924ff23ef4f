/* What the files of log/ share about a log, its lane and its set. For log/ only. */
#ifndef CAIRN_LOG_LOG_INTERNAL_H
#define CAIRN_LOG_LOG_INTERNAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "log/checkpoint.h"
#include "log/image.h"
#include "log/log.h"
#include "log/log_set.h"
#include "log/tail.h"

#define LOG_DAMAGED_RANGES_MAX 64u
#define LOG_SUSPECTS_MAX 16u
#define LOG_WATERMARK_BYTES (1u << 20) /* committed bytes between two durable commit indexes */
#define LOG_LANES_MAX 64u

struct log {
  struct list_node node;       /* of its lane, or of the set before adoption */
  struct list_node dirty_node; /* of its lane, while a round may want something of it */
  struct task join;            /* its lane's */
  struct list_node mark_node;  /* of its lane, while its commit wants to be durable */
  struct log_set *set;
  struct log_lane *lane;
  group_id group;
  instance_id instance;
  instance_id replaces;      /* it is in force when that one is closed; 0: from its beginning */
  instance_id next_instance; /* no instance of the group from there on ever existed; of a log in force */
  struct log *spare;         /* being filled to replace it */
  struct log *spare_of;      /* the log that it is the spare of */
  bool is_spare;             /* spare_of is NULL when that is lost */
  entry_index stored_index;
  entry_index dumped_index; /* what the owner's state in the newest dump covers, as far as a round has told */
  struct log_owner owner;
  struct log_settings settings;
  struct hard_state hard_state;
  record_offset start_offset;
  entry_index start_index;
  uint64_t start_chain;
  struct log_term_run *terms;
  size_t term_count;
  size_t term_capacity;
  entry_index last_index;
  entry_term last_term;
  uint64_t last_chain;
  record_offset next_offset;
  int64_t last_leader_time_ms;
  int64_t max_time_ms;
  entry_index commit_index;
  entry_index durable_index;
  entry_index applied_index;
  uint32_t cuts;         /* issued, ever */
  uint32_t cuts_durable; /* of which the frames were told */
  entry_index flushed_index;
  record_offset flushed_offset;
  uint64_t flushed_chain;
  int64_t flushed_leader_time_ms;
  int64_t flushed_max_time_ms; /* of any record up to there */
  entry_index carried_through; /* up to here frames may have been appended again, out of order */
  struct tail tail;
  uint64_t unflushed_bytes;
  uint64_t unmarked_bytes; /* committed since the last durable commit index */
  struct segment_info *segments;
  size_t segment_count;
  uint64_t segment_bytes; /* of all of them */
  struct log_range *damage;
  size_t damage_count;
  entry_index suspects[LOG_SUSPECTS_MAX]; /* segments, by first index, in which something could not be read */
  size_t suspect_count;
  uint64_t pinned_file;       /* of its OPEN or CLOSE frame, until the store has it; 0: none */
  unsigned reads;             /* in flight */
  entry_index damage_through; /* what was lost, at most; UINT64_MAX: unknown. What is there counts besides. */
  bool damaged;
  bool deleting; /* CLOSE is on its way */
  bool closed;   /* CLOSE is durable: only its lane knows it */
  bool row_dirty;
  bool state_owed; /* the owner's state is to be stored, whatever else is not */
  bool loss_owed;  /* damaged, and the store does not know yet: until then the files with what was lost stay */
  bool in_round;   /* a round has an item of it */
  struct buffer recovered_state;
  entry_index recovered_applied;
  record_offset recovered_start; /* and as it was found */
  entry_index recovered_start_index;
  uint64_t recovered_start_chain;
};

/* The part of a set that lives on one lane. */
struct log_lane {
  struct log_set *set;
  struct loop *loop;
  struct list logs;
  struct list dirty;
  struct list marks;
  struct list closed; /* logs whose CLOSE is durable, by dirty_node */
  struct tail_pool pool;
  struct timer tick;
  uint64_t tick_ns;         /* today's period */
  uint64_t round_tick_ns;   /* the next one's while in_round */
  bool active;              /* something happened since the last tick */
  bool in_round;            /* between collect and apply of a round that has something of it */
  atomic_uint joining;      /* adopted logs that the lane has not met yet */
  uint64_t durable_file;    /* no frame of its logs that is still on its way is in an older file */
  struct journal_write own; /* carried entries and commit marks */
  bool own_busy;
  atomic_bool own_done;
  atomic_bool ticking;
  atomic_int request; /* enum lane_request */
  struct checkpoint_request wanted;
  struct list items;          /* handed over with the request and with the answer */
  atomic_uint_fast64_t floor; /* no journal file below it is needed by this lane */
};

/* WORKING: the lane has taken it up, and it cannot be called off any more. */
enum lane_request { LANE_NOTHING, LANE_COLLECT, LANE_APPLY, LANE_WORKING };

struct log_set {
  struct world *world;
  struct log_set_options options;
  struct journal *journal;
  struct store *store;
  struct log_identity identity;
  struct list logs;        /* not adopted yet */
  atomic_size_t unadopted; /* how many: no lane speaks for what they need of the journal */
  _Atomic(struct log_lane *) lanes[LOG_LANES_MAX];
  struct tail_budget tail_budget;
  struct images images; /* the checkpoint's, after recovery */
  struct checkpoint_row checkpointed;
  bool dump_owed;            /* recovery could not write one; the first round's */
  struct table_changes gone; /* rows of segments whose files were removed: the next transaction's */
  struct checkpoint *checkpoint;
  struct reader **readers;
  size_t reader_count;
  atomic_uint next_reader;
  atomic_bool fenced;       /* a store or journal failed */
  atomic_bool store_failed; /* its index must not be asked any more */
  atomic_bool settled;      /* log_set_settle() */
  atomic_bool pressed;      /* an append found no room in the journal: the next round is to free all it can */
  atomic_bool deleted;      /* a log was, since the last round began */
  atomic_bool hurried; /* a round is under way, or an append waits for one: lanes look often, however little happens on them */
  atomic_bool lanes_stopped;
  atomic_uint rounds_wanted; /* somebody waits for the end of a round */
  atomic_uint_fast64_t unflushed_bytes;
  atomic_uint_fast64_t round_bytes; /* unflushed_bytes above which appends wait for the round that runs; UINT64_MAX: none does */
  atomic_uint_fast64_t free_mark;   /* free on the disk when it was last seen, plus space_filled of the journal then */
};

/* ---- log_set.c ---- */
/* Looks how much of the disk is free. Blocks. */
void log_set_see_space(struct log_set *set);
/* @any-thread. What is free by what was last seen, without what the journal's files have taken since and are about to. */
uint64_t log_set_free_bytes(const struct log_set *set);

/* ---- log.c ---- */
struct log *log_new(struct log_set *set, group_id group, instance_id instance);
void log_free(struct log *log);
void log_note_term(struct log *log, entry_index index, entry_term term);
void log_forget_terms(struct log *log); /* of entries before the first kept */
void log_note_damage(struct log *log, struct log_range range);
void log_take_segments(struct log *log, struct segment_info *segments,
                       size_t count);                                    /* in place of those it had; takes over the array */
void log_mark_dirty(struct log *log);                                    /* a round may want something of it */
void log_take_place(struct log *log, const struct journal_frame *frame); /* an entry was appended again, and that is durable */
entry_index log_first_kept(const struct log *log);
/* The oldest journal file that it needs; UINT64_MAX: none. */
uint64_t log_pinned_file(const struct log *log);

/* ---- log_mend.c ---- */
void log_suspect(struct log *log, entry_index segment);
/* A read met damage in a segment that no read has met before. */
void log_suspect_more(struct log *log, entry_index segment, struct log_range damage);

/* ---- log_loss.c ---- */
/* The journal has bad bytes where this entry is to be read from. False: it is not there any more, nor needed: look again. */
bool log_lose(struct log *log, const struct flush_entry *entry);

/* ---- log_set.c, log_install.c ---- */
struct open_frame;
/* Gives a new log to its lane and adds its OPEN frame. */
void log_open(struct log *log, struct log_lane *lane, struct journal_write *write, const struct open_frame *frame);
/* It is empty behind `base`. PRE: it is new. */
void log_take_base(struct log *log, const struct log_base *base);

/* ---- log_lane.c ---- */
struct log_lane *log_lane_get(struct log_set *set, struct loop *loop); /* makes it on first use */
void log_lane_free(struct log_lane *lane);
void log_lane_adopt(struct log_lane *lane, struct log *log); /* from the opening thread */
void log_lane_wake(struct log_lane *lane);                   /* something is dirty, or more than before */
void log_lane_turn_soon(struct log_lane *lane);              /* in this iteration or the next */
void log_lane_turn(struct log_lane *lane); /* what the tick does; also called by the checkpoint once lanes have stopped */
/* log_collect.c: fills lane->items. */
void log_lane_collect(struct log_lane *lane);
bool log_owes_map(const struct log *log); /* its state is the map, and the newest dump has an older one */
/* Of the entries between two indexes, the lost ones not counted. */
uint64_t log_bytes_between(const struct log *log, entry_index first, entry_index last);
/* A read of a closed log ended. */
void log_lane_read_ended(struct log *log);

#endif
