/* What one broker believes of what another leads: by which of its groups may this broker's followers sleep?
 *
 *   followed   this broker's replicas follow it there, by what messages told them
 *   claimed    it leads there, by its own newest word (a digest that was understood, or a list)
 *   vouched    both agree, and the replica was told so (RAFT_LEADER_HEARD)
 *
 * A digest is understood when it is that of what was claimed before, or of what is followed here: usually one of both. Otherwise the list is
 * wanted.
 *
 * Pure: what is to be told goes through one function, in the order of the rolls.
 *
 * 1. vouched is part of followed and of claimed.
 * 2. "Leads no longer" is told only of what was vouched for: a claim may be older than the message by which the replica learnt of its leader.
 */
#ifndef CAIRN_REPLICATION_VOUCH_H
#define CAIRN_REPLICATION_VOUCH_H

#include "replication/roll.h"

struct vouch {
  struct roll followed;
  struct roll claimed;
  struct roll vouched;
  void (*tell)(void *context, group_id group, entry_term term, bool leads);
  void *context;
};

void vouch_init(struct vouch *vouch, uint64_t seed, void (*tell)(void *context, group_id group, entry_term term, bool leads),
                void *context);
void vouch_deinit(struct vouch *vouch);

/* This broker's replica follows it in `term`; 0: not any more. */
void vouch_follow(struct vouch *vouch, group_id group, entry_term term);
/* Its beat's digest. True: understood; false: the list is wanted, and all stays as it was. */
bool vouch_digest(struct vouch *vouch, struct roll_digest digest);
/* Its list: claims are put into `vouch->claimed`, which vouch_list_begin() has emptied, then settled. */
void vouch_list_begin(struct vouch *vouch);
void vouch_list_end(struct vouch *vouch);
/* Nothing is heard of it any more: nothing is claimed, nothing vouched for, nothing told. */
void vouch_silence(struct vouch *vouch);
/* It began anew: all that was vouched for is told to be over. */
void vouch_reborn(struct vouch *vouch);

#endif
