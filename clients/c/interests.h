/* What the library itself has to know of the map while a program runs: of topics whose partitions it chooses among, how many there are. On the loop.
 *
 * One watch for all of a client, as long as there is a topic that somebody wants to know about, and of these topics only. Nobody waits for it: whoever
 * asks the broker for a topic has its answer, and hears from here what has become of it since. Where no broker has room for the watch, or all are
 * older than it, nothing is heard, and it is tried again later.
 */
#ifndef CAIRN_CLIENTS_C_INTERESTS_H
#define CAIRN_CLIENTS_C_INTERESTS_H

#include "clients/c/client_internal.h"

struct interest {
  struct list_node node;
  const char *topic; /* borrowed as long as it is followed */
  uint64_t id;       /* of the topic that is known by that name */
  uint64_t told_id;  /* the list's own: of the newest one of that name that was told, ... */
  uint32_t told;     /* and how many partitions it had last; 0: it was deleted */
  /* It has so many partitions now, of which none were taken away. 0: it is deleted, or another one, or perhaps no more: ask the broker. */
  void (*changed)(struct interest *interest, uint32_t partitions);
};

struct interests;

struct interests *interests_new(struct cairn_client *client);
/* Waits until its watch is closed, while the loop still runs. PRE nothing is followed. NULL is fine. */
void interests_free(struct interests *interests);

/* A broker has answered that the topic has this id and so many partitions. Returns how many it has: where more, or a newer topic, was told since
 * the question, the answer is old. Once more is fine, with another id. */
uint32_t interests_follow(struct interests *interests, struct interest *interest, uint64_t id, uint32_t partitions);
void interests_unfollow(struct interests *interests, struct interest *interest); /* also if it is not followed */

#endif
