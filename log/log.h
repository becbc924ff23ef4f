/* The log of one replica: the only door to log/ for other folders, beside entry.h, batch.h and log_set.h.
 *
 * A log is a run of entries. The newest are in memory (the tail cache, within a budget); all that are not checkpointed are in the
 * journal; the committed rest is in segments `p/<group>-<instance>/<first index, 20 digits>.segment`. Nobody above can tell where
 * an entry came from.
 *
 *    start ........ flushed ........ commit ........ durable ........ last
 *      segments        |    journal, tail cache    |  journal, tail   |  on its way
 *
 * A majority may commit what this disk does not have yet: then commit is ahead of durable, and so may be what the owner has applied.
 *
 * 1. start <= flushed + 1; flushed <= commit <= last; flushed <= durable <= last. What is stored as a hard state's commit index is
 *    not above durable.
 * 2. Segments hold committed entries only, so a cut never reaches them. A sealed segment never changes, but for rot that is mended with the
 *    very entries that were there.
 * 3. Offsets below the start offset, and damaged ranges, answer their own status; they are never skipped in silence.
 *
 * Owned by a lane: every function runs there, unless it says otherwise. Blocking work is done by the checkpoint and the readers.
 */
#ifndef CAIRN_LOG_LOG_H
#define CAIRN_LOG_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/list.h"
#include "base/loop.h"
#include "base/status.h"
#include "log/entry.h"
#include "log/journal.h"

struct log;
struct log_set;

struct log_settings {
  uint64_t segment_bytes;  /* a new segment begins beyond it */
  int64_t retention_bytes; /* -1: no bound */
  int64_t retention_ms;    /* -1: for ever */
};

/* What the log must know of whoever applies its entries. Called on the lane. */
struct log_owner {
  /* Appends the owner's whole state, as of the newest applied entry, to `out`. Entries may go only when the state that covers them is
   * durable; the checkpoint stores both in one transaction. May append nothing. */
  enum status (*snapshot)(void *context, struct buffer *out);
  /* A segment cannot be read as it was written: log_next_suspect(); or more of it than was known. In the middle of a read: only to be noted. May be
   * NULL. */
  void (*suspected)(void *context);
  /* Entries that only the journal had are lost to rot, and the log is damaged from now on (log_view). The same. */
  void (*lost)(void *context);
  void *context;
};

struct log_range {
  record_offset first;
  record_offset end; /* behind the last */
};

/* From `first` on, entries have this term. */
struct log_term_run {
  entry_index first;
  entry_term term;
};

/* A look at the log; free of cost. */
struct log_view {
  group_id group;
  instance_id instance;
  record_offset start_offset;
  entry_index start_index;   /* of the first entry kept (or to come) */
  record_offset next_offset; /* behind the last entry's last record */
  entry_index last_index;
  entry_term last_term;
  uint64_t last_chain;
  int64_t last_leader_time_ms;
  int64_t max_time_ms; /* of any record */
  entry_index commit_index;
  entry_index durable_index;
  entry_index flushed_index;
  uint64_t bytes; /* of the entries kept: segments and what is not flushed yet */
  struct hard_state hard_state;
  entry_index stored_index; /* what the owner's state in the store covers */
  bool spare;               /* made by log_create_at(), and not in force */
  /* Of a log that was found damaged: no entry above was ever durable here. UINT64_MAX: it cannot be told, nor which votes were lost. Told by the
   * start that met the damage; later ones cannot. */
  entry_index damage_through;
  bool damaged; /* the journal lost entries of it to rot: appends are refused, what can be read is served */
};

struct log_view log_view(const struct log *log);
size_t log_damaged_ranges(const struct log *log, struct log_range *out_ranges, size_t max);
void log_set_owner(struct log *log, const struct log_owner *owner);
void log_set_settings(struct log *log, const struct log_settings *settings);

/* ---- Writing: everything goes into the lane's journal write of this turn ---- */

/* An append to it found no room (log_set_admit()): a round must not wait for this lane now. */
void log_hurry(struct log *log);

/* Adds an entry at the end: seals the head (chain link, payload CRC), remembers it, and adds its frame to `write`. Holds the payload.
 * PRE: index is last + 1, term >= last term, base offset is next_offset; log_set_admit() gave room for it if entry_needs_room().
 * Returns the chain link. */
uint64_t log_append(struct log *log, struct journal_write *write, const struct entry *entry);

/* The same with an entry that another broker sealed: the head stays as it came. PRE: also verified: payload size and CRC, and the chain link
 * that follows from last_chain. */
void log_append_sealed(struct log *log, struct journal_write *write, const struct entry *entry);

/* Voids the entries from `from` on. PRE: from > commit. Others may take their indexes at once, in the same write even: what becomes durable
 * of the old ones later is told apart, also when the very same entries come back. */
void log_cut(struct log *log, struct journal_write *write, entry_index from);

void log_set_hard_state(struct log *log, struct journal_write *write, const struct hard_state *state);

/* After `write` became durable: call for each of its frames that belongs to this log, in order. */
void log_frame_durable(struct log *log, const struct journal_frame *frame);

/* Raises the commit index: entries up to it may be checkpointed, never cut. PRE: commit <= last. It may be above the durable index. */
void log_set_commit(struct log *log, entry_index commit);
/* The owner has applied entries up to here; its next snapshot covers them. PRE: applied <= commit. Above the durable index too: a checkpoint then
 * flushes them from memory, so that no stored state is ever ahead of its log. */
void log_set_applied(struct log *log, entry_index applied);

/* The owner's state is not what it was, though no entry says so: the next checkpoint stores it, with the log as it is then. */
void log_owe_state(struct log *log);

/* Moves the start: entries wholly before `start` will go at a checkpoint. Not below today's start, not above commit. */
void log_set_start(struct log *log, record_offset start);

/* Of a log whose owner's state says all that its entries said: entries go that the stored state covers, but for the newest `entries`; of these, too,
 * whole segments that have `bytes` behind them. Stored means in a synced dump as well: the store must not be the only one that knows it. A log
 * that is damaged keeps what it has. */
void log_keep_newest(struct log *log, uint64_t entries, uint64_t bytes);

/* The greatest start offset that retention asks for, or today's start. `now_ms`: the time that counts. */
record_offset log_retention_start(const struct log *log, int64_t now_ms);

/* Adds the CLOSE frame. When it is durable and its frame was told by log_frame_durable(), files and table rows go, and the log is freed
 * by its set; nobody may use it after that call. Reads in flight end with STATUS_NOT_FOUND. PRE: it has no spare: that is to be deleted first,
 * in the same write even, or a crash in between would leave it in force. */
void log_delete(struct log *log, struct journal_write *write);

/* ---- Installing a snapshot: a new instance is filled while the old one stays in force ---- */

/* What comes before the first entry of a log that does not begin at the first of its group. */
struct log_base {
  entry_index index; /* of the entry before; 0: none */
  entry_term term;   /* its term, chain link and leader time; 0: none */
  uint64_t chain;
  int64_t leader_time_ms;
  record_offset next_offset; /* of the first record to come */
  int64_t max_time_ms;       /* of any record before */
};

/* Makes a spare of `log`: a new instance of its group on the same lane, empty behind `base`, with the settings and the hard state of `log`; its
 * OPEN frame and the hard state are in `write`. It is filled by log_append_sealed(); what is appended is committed already, so commit and
 * applied follow at once and checkpoints flush it, without a state until there is an owner. A start finds it as a spare
 * again, to be filled further or deleted. PRE: `log` has no spare, and is none. */
struct log *log_create_at(struct log *log, struct journal_write *write, const struct log_base *base);

/* NULL: `log` has none. */
struct log *log_spare(const struct log *log);

/* The spare takes the place of its log: its hard state becomes that of the log, with the spare's own commit index, and the log is closed as by
 * log_delete(). When the CLOSE frame is durable it is done; a crash before leaves the old one in force, and the spare. PRE: the
 * snapshot's state is stored (spare's stored_index + 1 >= start_index): set an owner who gives it, and ask for a checkpoint. */
void log_replace(struct log *spare, struct journal_write *write);

/* ---- Reading ---- */

/* STATUS_END: not in this log (0, above the last, or below the start; the entry just before the start is known). */
enum status log_term_at(const struct log *log, entry_index index, entry_term *out_term) MUST_CHECK;

/* The chain link of the entry at `index`, from memory alone: of the last entry and of the one before the start always, of those that are not
 * flushed, and of a few others. False: it would have to be read from a disk. */
bool log_chain_at(const struct log *log, entry_index index, uint64_t *out_chain);

/* Where each term begins, above `base`: the first run at base + 1 whenever its term began, the last one up to the last entry. Fills at most
 * `max`, returns how many there are. PRE: start - 1 <= base <= last. */
size_t log_terms(const struct log *log, entry_index base, struct log_term_run *out_runs, size_t max);

/* Where a reader stands in a segment, so that the next read needs no search. Zeroed: unknown. Only log/ looks inside. */
struct log_cursor {
  uint64_t segment;
  uint64_t position;
  record_offset offset;
  entry_index index; /* of the entry that stands there */
  uint64_t chain;    /* the link before it */
};

#define LOG_READ_ENTRIES_MAX 1024u

/* One read of committed entries that carry records. The caller fills the upper half, keeps it alive until it is answered. */
struct log_read {
  record_offset offset; /* the first entry returned contains it */
  record_offset limit;  /* entries from this offset on are not returned */
  size_t bytes_max;     /* the first entry always fits */
  struct loop *loop;    /* the lane; where `done` is posted */
  struct task done;
  struct log_cursor cursor; /* kept from one read to the next of a stream */

  enum status status; /* OK (count may be 0 only when offset == limit), BELOW_START, BEYOND_END, DAMAGED, IO, NO_MEMORY */
  record_offset
      next_offset;       /* OK: where to read on. DAMAGED: the first readable offset after the damage. BELOW_START: the start. */
  struct entry *entries; /* released and freed by log_read_reset() */
  size_t count;
  bool cold; /* it came from a file */

  struct task task; /* the reader's */
  void *work;       /* the reader's */
};

/* True: answered at once, from memory, `done` is not posted. False: a reader loop fetches it, `done` follows. */
bool log_read(struct log *log, struct log_read *read);
void log_read_reset(struct log_read *read);

/* One read of entries of every kind by index, uncommitted ones too: what a follower that is behind is sent. The caller fills the upper part,
 * keeps it alive until it is answered, and sends nothing of it that it would not send now: the log may have been cut meanwhile. */
struct log_fetch {
  entry_index first;
  entry_index last;  /* inclusive; what is above the log's last is not waited for */
  size_t count_max;  /* <= LOG_READ_ENTRIES_MAX */
  size_t bytes_max;  /* heads and payloads; the first entry always fits */
  struct loop *loop; /* the lane; where `done` is posted */
  struct task done;
  struct log_cursor cursor; /* kept from one fetch to the next of a stream */

  /* OK: count >= 1, consecutive from `first` on, whole, payload and chain checked. BELOW_START, BEYOND_END; DAMAGED: the one at `first` is lost
   * or unreadable; IO, NO_MEMORY; NOT_FOUND: the log was deleted. */
  enum status status;
  struct entry *entries; /* released and freed by log_fetch_reset() */
  size_t count;
  bool cold; /* it came from a file */
};

/* True: answered at once, from memory, `done` is not posted. False: a reader loop fetches it, `done` follows. */
bool log_fetch(struct log *log, struct log_fetch *fetch);
void log_fetch_reset(struct log_fetch *fetch);

/* The first record at or after a time, among committed ones below `limit`. Always answered through `done`. */
struct log_find {
  int64_t time_ms;
  record_offset limit;
  struct loop *loop;
  struct task done;

  enum status status;   /* OK, END (none), DAMAGED, IO */
  record_offset offset; /* DAMAGED: the first readable one behind the damage, 0 when that is not known */
  int64_t found_time_ms;

  struct task task;
  void *work;
};
void log_find_time(struct log *log, struct log_find *find);

/* ---- Mending a segment that rot has met ---- */

/* One hole in a segment, and what is to fill it. The caller says which segment, keeps it alive until it is answered, and between find and fill
 * leaves it as it is. */
struct log_mend {
  entry_index segment; /* log_next_suspect() */
  entry_index passes;  /* find: holes that end there or before are passed over, nobody has what was in them; 0: none */
  struct loop *loop;   /* the lane; where `done` is posted */
  struct task done;
  const struct entry *entries; /* fill: first .. last, from wherever; borrowed */
  size_t count;

  /* Find. OK: entries first .. last are lost, none when last is first - 1; END: there is no other hole; NOT_FOUND: it went, and is suspected no more;
   * DAMAGED: nothing of it can be told apart; IO, NO_MEMORY. Fill. OK: in place, durable, there may be more; CORRUPT: these are not what was there; IO, NO_SPACE. */
  enum status status;
  entry_index first;
  entry_index last;
  record_offset first_offset; /* of their records: [first_offset, end_offset) */
  record_offset end_offset;
  uint64_t bytes; /* that the hole takes */
  bool passed;    /* with END: the segment is not whole, a hole was passed over */

  /* log/'s. */
  uint64_t position;
  uint64_t end;
  uint64_t chain;
  bool chained;
  uint64_t last_chain; /* of the last one lost, if whatever is left of it says so */
  bool last_chained;
  bool header; /* the header is to be written as well */
};

/* The first of the segments that are suspected, from the one that begins at `from` on. False: none is. */
bool log_next_suspect(const struct log *log, entry_index from, entry_index *out_segment);
/* Looks through the segment for the first hole that is not passed over. When it is whole it is suspected no more, and what was said of its damage is
 * forgotten. True: answered at once. */
bool log_mend_find(struct log *log, struct log_mend *mend);
/* Puts the entries back in their place, if their links show that they were there: byte for byte but for padding. True: answered at once. */
bool log_mend_fill(struct log *log, struct log_mend *mend);

/* ---- Opening: before lanes run, blocking ---- */

/* The owner's state of the last checkpoint, and the index that it covers. Empty and 0 when there is none. Borrowed until the log takes
 * its first turn. */
struct bytes log_recovered_state(const struct log *log, entry_index *out_applied);
/* The owner could not take all of it in. Takes back what it set meanwhile: without an owner no checkpoint stores a state that would cover what lies
 * below a new start, and the next opening would find it gone. */
void log_forget_owner(struct log *log);

/* Visits the entries after `applied` up to `through`, in order. Payloads of RECORDS entries are not read (empty), all others are. `through` may be
 * the last index: a configuration counts before it is committed. */
enum status log_replay(struct log *log, entry_index applied, entry_index through,
                       enum status (*visit)(void *context, const struct entry *entry), void *context) MUST_CHECK;

#endif
