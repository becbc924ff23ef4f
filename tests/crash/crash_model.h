/* What the logs of one broker must hold: every entry that was submitted, how much of it was acknowledged, what may be gone. */
#ifndef CAIRN_TESTS_CRASH_CRASH_MODEL_H
#define CAIRN_TESTS_CRASH_CRASH_MODEL_H

#include "log/log_set.h"
#include "tests/crash/crash_lab.h"

#define MODEL_LOGS 9u
#define MODEL_ENTRIES 400u
#define MODEL_CUT_MAX 4u

struct model_entry {
  enum entry_kind kind;
  record_offset base;
  uint32_t count;
  uint64_t hash;      /* of the payload */
  uint64_t running;   /* of all payloads up to it: the owner's state */
  record_offset trim; /* of a TRIM */
};

enum model_stage {
  MODEL_ABSENT,
  MODEL_OPENING, /* submitted: may be there */
  MODEL_OPEN,    /* acknowledged: must be there */
  MODEL_CLOSING, /* may be gone */
  MODEL_CLOSED   /* must be gone */
};

struct model_log {
  enum model_stage stage;
  struct model_entry entries[MODEL_ENTRIES]; /* entry i is at i - 1 */
  entry_index last;                          /* submitted */
  entry_index acked;
  struct hard_state submitted;
  struct hard_state acked_state;
  /* A cut that is on its way: what stood there before may still be found. */
  entry_index cut_from; /* 0: none */
  entry_index cut_count;
  struct model_entry cut[MODEL_CUT_MAX];
  uint32_t cuts; /* ever */
};

struct crash_model {
  struct model_log logs[MODEL_LOGS];
  uint64_t serial; /* of payloads */
};

void *crash_model_new(void);
record_offset model_next_offset(const struct model_log *log);
record_offset model_start(const struct model_log *log, entry_index through); /* the greatest trim up to there */
void model_append(struct model_log *log, const struct model_entry *entry);   /* base and running are filled in */
void model_cut(struct model_log *log, entry_index from);
void model_cut_acked(struct model_log *log);

/* After a recovery, before anything was changed: is this log what it may be? Entries are checked by model_check_entry(). */
void model_check_log(struct crash_lab *lab, const struct model_log *model, const struct log_view *view);
/* `old_tail` is kept between the entries of one log: the entries behind the cut are the old ones. */
void model_check_entry(struct crash_lab *lab, const struct model_log *model, group_id group, const struct entry *entry,
                       bool *old_tail);
/* What was found is the truth from now on. */
void model_settle(struct model_log *model, const struct log_view *view, bool old_tail);
void model_settle_absent(struct crash_lab *lab, struct model_log *model, group_id group);

#endif
