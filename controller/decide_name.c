/* What a new topic may be called. What has such a name already, from before it was kept, is read, written and deleted as any other. */
#include <stdio.h>
#include <string.h>

#include "controller/decide_internal.h"

/* Kept for topics that Cairn is to have itself: nobody else is to be there first. */
static const char own_prefix[] = "__cairn";

/* Applications that know Kafka take these for the system's own, and leave them out, or write to them what nobody else understands. */
static const char *const foreign_names[] = {"__consumer_offsets", "__transaction_state"};

static enum status refuse_own(struct change *change) {
  snprintf(change->problem, sizeof change->problem,
           "names that begin with \"%s\" are kept for topics of Cairn's own: choose another", own_prefix);
  return STATUS_BAD_NAME;
}

enum status decide_name(struct change *change) {
  if (!topic_name_valid(bytes_of_string(change->name)))
    return decide_refuse(change, STATUS_BAD_NAME,
                         "a topic name has 1 to 249 characters of a-z A-Z 0-9 . _ - and is not \".\" or \"..\"");
  if (strncmp(change->name, own_prefix, sizeof own_prefix - 1) == 0) return refuse_own(change);
  for (size_t i = 0; i < sizeof foreign_names / sizeof *foreign_names; i++)
    if (strcmp(change->name, foreign_names[i]) == 0)
      return decide_refuse(change, STATUS_BAD_NAME,
                           "applications of Kafka take it for the system's own, so it is kept: choose another");
  return STATUS_OK;
}
