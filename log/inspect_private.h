/* Verifying a directory is a recovery that only looks: for inspect_directory.c, which reads identity, tables and journal, inspect_segments.c and
 * inspect_journal.c, which say what is wrong with what came of it. Internal to log/. */
#ifndef CAIRN_LOG_INSPECT_PRIVATE_H
#define CAIRN_LOG_INSPECT_PRIVATE_H

#include "log/inspect.h"
#include "log/recovery.h"

struct inspection {
  struct world *world;
  void (*tell)(void *context, const struct inspect_finding *finding);
  void *context;
  struct inspect_report *report;
  struct log_set *set; /* as much of one as a recovery needs; never opened */
  struct log_set_report recovered;
  struct recovery recovery;
  bool rebuilt; /* the store cannot be believed: the tables are what a start would make of dumps and segments */
};

void inspect_tell(struct inspection *inspection, const struct inspect_finding *finding);
/* About a file as a whole. */
void inspect_tell_file(struct inspection *inspection, enum inspect_severity severity, const char *file, const char *what,
                       const char *advice);

/* The segments of a log that is not closed, and, where the tables were made of them, files that were left out. */
void inspect_log_segments(struct inspection *inspection, const struct recovered *log);

/* What the journal lost and dropped. */
void inspect_journal_losses(struct inspection *inspection);
/* What the journal has of a log that is not closed and no segment has. */
void inspect_log_unflushed(struct inspection *inspection, const struct recovered *log);

#endif
