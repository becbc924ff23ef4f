/* Whether whoever leads group 0 has heard from this process what it is. Pure.
 *
 * Its map may say something else of this broker than ours, so that ours does not tell: a Cairn that does not know something (feature levels, racks) loses
 * it of what it stores, and the version that it is upgraded to reads that. So each leader is told once, also where our own map has all of it; and
 * once more when the feature level has risen, for until then it may have kept from its map what it was told (registration.h).
 */
#ifndef CAIRN_SERVER_INTRODUCTION_H
#define CAIRN_SERVER_INTRODUCTION_H

#include <stdbool.h>
#include <stdint.h>

/* Zeroed at first: nobody leads, and nobody has to hear of it. */
struct introduction {
  unsigned occasions; /* for it: so many so far */
  unsigned asked;     /* `occasions` when somebody was asked last, ... */
  unsigned heard;     /* ... and when it was the leader who was asked last */
  uint32_t level;     /* of our own map, when it was looked at last */
};

/* Another broker leads, or the same one anew. */
void introduction_lead_changed(struct introduction *introduction);
/* Our own map is at this level, perhaps as before. Whoever leads is, too: nobody applies a command before it does. */
void introduction_see_level(struct introduction *introduction, uint32_t level);
bool introduction_is_due(const struct introduction *introduction);
/* Somebody is asked to write this broker down, who may lead. */
void introduction_begin(struct introduction *introduction);
/* The one who was asked last leads, and knows it now: what came up meanwhile is due nevertheless. */
void introduction_end(struct introduction *introduction);

#endif
