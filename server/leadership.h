/* Should whoever leads a partition offer it to another broker, and when? Pure: what is remembered of the leadership, and how steady the brokers
 * are that the map has for the partition, in its order; a choice out.
 *
 * The preferred leader is the first of them that may lead: who has been reluctant for long (drained, leaving, full) is passed over, and who is
 * merely down, or was until just now, is waited for. So while it is not clear who it is nothing is offered to anybody.
 *
 * 1. Nothing is offered by the preferred leader, nor by one that the map does not have.
 * 2. What was refused or failed is offered again later, each time twice as late.
 * 3. A leader that somebody asked for stays for as long as that is to hold. The hold ends before that when its leadership does, and when the map
 *    has the partition otherwise than before.
 */
#ifndef CAIRN_SERVER_LEADERSHIP_H
#define CAIRN_SERVER_LEADERSHIP_H

#include <stddef.h>
#include <stdint.h>

#include "replication/steady.h"

/* Pauses after an offer, doubled for each failure in a row: a refusal costs nobody anything, while for one that is not taken appends stand still. */
#define LEADERSHIP_REFUSED_NS ((uint64_t)1000000000)
#define LEADERSHIP_REFUSED_NS_MAX ((uint64_t)60000000000u)
#define LEADERSHIP_FAILED_NS ((uint64_t)10000000000u)
#define LEADERSHIP_FAILED_NS_MAX ((uint64_t)600000000000u)
#define LEADERSHIP_NEVER STEADY_NEVER

/* Of one leadership; all 0 when it begins. */
struct leadership {
  uint64_t held_until_ns; /* somebody asked for it; 0: nobody did */
  uint64_t again_ns;      /* no offer before */
  unsigned failures;      /* in a row, refusals among them */
};

struct leadership_candidate {
  bool self;
  enum steadiness steadiness;
  uint64_t due_ns; /* when that may change by itself */
};

enum leadership_step {
  LEADERSHIP_RESTS, /* until a broker changes */
  LEADERSHIP_WAITS, /* until due_ns */
  LEADERSHIP_OFFERS /* to the candidate `to` */
};
struct leadership_choice {
  enum leadership_step step;
  size_t to;
  uint64_t due_ns; /* LEADERSHIP_NEVER, but for WAITS */
};
struct leadership_choice leadership_choose(const struct leadership *leadership, const struct leadership_candidate *candidates,
                                           size_t count, uint64_t now_ns);

/* An offer was refused, or was not taken. */
void leadership_refused(struct leadership *leadership, uint64_t now_ns);
void leadership_failed(struct leadership *leadership, uint64_t now_ns);
/* After one that was not taken, so many having failed in a row before. */
uint64_t leadership_failed_pause_ns(unsigned failures_before);

#endif
