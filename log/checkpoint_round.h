/* The disk work of one checkpoint round: from what the lanes gathered to a durable transaction. On the checkpoint's loop. */
#ifndef CAIRN_LOG_CHECKPOINT_ROUND_H
#define CAIRN_LOG_CHECKPOINT_ROUND_H

#include <stdbool.h>

#include "log/checkpoint.h"
#include "log/checkpoint_pace.h"
#include "log/image.h"

/* A file that the newest transaction does not name any more. */
struct checkpoint_removal {
  group_id group;
  instance_id instance;
  entry_index first_index; /* 0: the directory */
};

struct checkpoint_round {
  struct log_set *set;
  struct checkpoint_request request;
  struct checkpoint_pace pace;
  uint64_t room_bytes; /* may be appended while it runs, until appends wait for its end */
  bool last;           /* before closing: with a dump */
  bool committed;      /* a transaction is durable */
  bool carried;        /* something is appended again */
  bool failed;         /* try again in a second */
  bool may_release;    /* what covers it is durable, in store and dump */
  bool settles;        /* everything was settled when it began: when all of it is stored nothing is in doubt any more */
  /* Kept from round to round. */
  bool dump_owed;    /* the store knows what no dump does yet, and nothing could tell it again but the journal */
  bool release_held; /* so the journal keeps it: the dump failed, for another reason than lack of space */
  bool full;         /* no space: no more entries in this round, only rows */
  struct table_changes changes;
  struct image_update *updates;
  struct checkpoint_item **updated; /* whose each update is */
  size_t update_count;
  struct checkpoint_removal *removals; /* kept from round to round until they succeed */
  size_t removal_count;
  uint64_t entries;   /* flushed */
  uint64_t read_back; /* of them from the journal */
  uint64_t rounds;    /* ever */
};

void checkpoint_round_begin(struct checkpoint_round *round, struct log_set *set, bool last);
/* Everything up to the transaction and the dump; fills the answers into the lanes' items. */
void checkpoint_round_write(struct checkpoint_round *round);
/* After the CHECKPOINT frame: files go. */
void checkpoint_round_remove_files(struct checkpoint_round *round);
void checkpoint_round_end(struct checkpoint_round *round);
void checkpoint_round_deinit(struct checkpoint_round *round);

#endif
