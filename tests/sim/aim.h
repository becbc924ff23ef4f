/* Whoever leads the map is hit in the middle of a command: killed, without power, paused, cut off.
 *
 * A random moment seldom is one that matters: a command is on its way for less than a millisecond. So each of these faults waits for the next
 * command, of any kind or of one that it wants, and comes
 *
 *   ASKED      while the admin's call is on its way
 *   PROPOSED   when it is in its leader's log, and mostly not committed yet
 *   APPLIED    when the first broker has applied it, mostly its leader, and the others do not know it
 *   LATER      within the time in which what it has begun goes on: between two commands of a move, a plan, an evacuation
 */
#ifndef CAIRN_TESTS_SIM_AIM_H
#define CAIRN_TESTS_SIM_AIM_H

#include <stdint.h>

#include "tests/sim/operations.h"
#include "tests/sim/plan.h"

struct aim;
struct faults;
struct run;

struct aim *aim_new(struct run *run, struct faults *faults); /* NULL: the plan has none */
void aim_end(struct aim *aim);                               /* from here on it hits nobody. NULL is fine, here and below */
void aim_free(struct aim *aim);

void aim_asked(struct aim *aim, enum operation_kind kind);
/* A broker, from 0 on, that leads the map has begun a command (enum command_kind). */
void aim_proposed(struct aim *aim, unsigned broker, int command);
/* A broker has applied an entry of group 0; `first` of all. */
void aim_applied(struct aim *aim, unsigned broker, uint64_t index);

uint64_t aim_total(const struct aim *aim); /* how often it has hit */

#endif
