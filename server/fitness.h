/* Is this broker fit to lead, as far as its disk has room? Pure: looks and time in, a wish out; looked at with each beat.
 *
 *   FIT ──an append would lack space──> LOW ──and still does some beats later──> FULL
 *    ^                                   ^ │                                       │
 *    │                          lacks it again                                 has room
 *    └──has had room for an election timeout── RECOVERING <────────────────────────┘
 *
 * Only FULL hands over what it leads. Others hear earlier and longer that nothing is to be handed to this one: where all disks fill up, or
 * get room, together, nobody hands to who is about to be as full, or to who was only the first to get room.
 */
#ifndef CAIRN_SERVER_FITNESS_H
#define CAIRN_SERVER_FITNESS_H

#include <stdbool.h>
#include <stdint.h>

#include "replication/peers.h"

#define FITNESS_BEATS \
  3u /* for so long space is lacking before leaderships go: longer than a checkpoint needs to give some back */

enum fitness_state { FITNESS_FIT, FITNESS_LOW, FITNESS_FULL, FITNESS_RECOVERING };

struct fitness {
  enum fitness_state state;
  uint64_t since_ns;
};

/* What one look at the disk says. Neither: it lacks nothing yet, but has not enough to be said to have room. */
struct fitness_look {
  bool lacks; /* an append would be refused for want of space */
  bool roomy; /* and would not for a while, as far as is known */
};

enum peers_wish fitness_of(struct fitness *fitness, const struct fitness_look *look, const struct raft_timing *timing,
                           uint64_t now_ns);

#endif
