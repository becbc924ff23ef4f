/* When a round of the checkpoint writes a dump of the store, and what waits for it: the store must never be the only one that knows something for long.
 *
 * A dump is owed when the store knows what nothing but the journal could tell it again. Until it is written and synced, the journal keeps that. */
#ifndef CAIRN_LOG_CHECKPOINT_DUMP_H
#define CAIRN_LOG_CHECKPOINT_DUMP_H

#include "log/checkpoint_round.h"

/* Before `item` is recorded: is a dump owed for it? */
void checkpoint_dump_note(struct checkpoint_round *round, const struct image *image, const struct checkpoint_item *item);
/* Behind the transaction: the dump that is owed, or due. Tells each item what the newest one covers, and the round whether the journal may go. */
void checkpoint_dump_write(struct checkpoint_round *round);
/* There is nothing to store, and a dump failed, or there was no room for it. The journal may wait for it: once that is full nothing comes any more that there
 * would be to store. Else the store is alone with what it knows. */
void checkpoint_dump_again(struct checkpoint_round *round);

#endif
