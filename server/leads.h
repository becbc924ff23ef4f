/* What a lane does to bring leaderships to whom the map has first: it keeps a list of the partitions that it leads in another one's place, and
 * looks at it when a broker has changed, when one of them was led here anew, and when something that was waited for is due. Where there is
 * nothing of the kind nothing runs.
 *
 * Whether one is offered, and to whom, leadership.h says; raft refuses an offer that would make appends wait. Few are under way to a broker at a
 * time (LEADS_UNDER_WAY_MAX of each lane, LEADS_LOOK_NS apart), and after one that was not taken that broker is left alone for a while.
 *
 * Part of a partition_host; everything runs on its lane.
 */
#ifndef CAIRN_SERVER_LEADS_H
#define CAIRN_SERVER_LEADS_H

#include <stdbool.h>

#include "base/list.h"
#include "base/loop.h"
#include "replication/steady.h"

#define LEADS_UNDER_WAY_MAX 4u              /* offers of one lane to one broker */
#define LEADS_LOOK_NS ((uint64_t)100000000) /* between looks, as long as more is to be offered */
#define LEADS_PACED_MAX 64u /* in a look: so many that may not be offered just now say that the rest may not either */

struct leads_settings {
  bool on;
  uint64_t after_ns; /* a broker is steady after so long */
  uint64_t hold_ns;  /* a leader that somebody asked for stays for so long */
};

/* A broker to whom something was offered. */
struct leads_target {
  broker_id broker;
  unsigned under_way;
  unsigned failures; /* in a row: offers that it did not take */
  uint64_t again_ns; /* nothing is offered to it before */
};

struct leads {
  struct leads_settings settings;
  struct steady_brokers brokers;
  struct list astray; /* partitions */
  size_t astray_count;
  struct timer timer;
  uint64_t due_ns; /* LEADERSHIP_NEVER: it is not set */
  struct leads_target targets[PEER_BROKERS_MAX];
  size_t target_count;
};

#endif
