/* Telling the frames of judged groups: puts bodies that span groups together again, turns tables into hard states, names what is
 * lost. Internal to log/; memory only.
 */
#ifndef CAIRN_LOG_JOURNAL_TELL_H
#define CAIRN_LOG_JOURNAL_TELL_H

#include <stdbool.h>

#include "log/journal_format.h"
#include "log/journal_states.h"

/* A body that is being put together. */
struct journal_assembly {
  bool open;
  struct journal_row row; /* of its first part */
  struct journal_place place;
  struct buffer body;
};

struct journal_teller {
  const struct journal_replay *replay;
  struct journal_states *states;
  struct journal_report *report;
  struct journal_assembly frame;
  struct journal_assembly table; /* a file may begin with one in the middle of another body */
  bool begun;                    /* a frame began: a part without a beginning is now a loss */
  bool table_lost;
  bool table_told;
  struct journal_row last_damaged;
};

void journal_teller_init(struct journal_teller *teller, const struct journal_replay *replay, struct journal_states *states,
                         struct journal_report *report);
void journal_teller_deinit(struct journal_teller *teller);

/* The next group, whole in memory. True if a table ended in it. */
bool journal_tell_group(struct journal_teller *teller, const struct journal_file_head *file,
                        const struct journal_group_head *head, const uint8_t *group);
/* Groups are lost before this place; with `frames`, nobody knows whose. */
void journal_tell_lost(struct journal_teller *teller, bool frames, struct journal_place place);
/* A group that does not count, whole in memory: what began in it is told as dropped. */
void journal_tell_dropped(struct journal_teller *teller, const struct journal_group_head *head, const uint8_t *group);
/* Nothing follows. What is half done was torn. */
void journal_tell_end(struct journal_teller *teller);

#endif
