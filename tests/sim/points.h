/* Every crash point of a reassignment: one story is told again and again, and each time somebody who has a part in it dies at another moment.
 *
 * The story: a topic of one partition on two of three brokers, somebody who appends, and a move that takes the place of the one that does not
 * lead. From the moment when it is asked for until it has arrived the disk of the victim does so many operations that change something, and so many
 * messages come to it; it dies in the k-th. Then it comes back, all ends as in any seed, and every check holds: the reassignment is whole or
 * absent.
 *
 *   seed of a run    story * POINTS_STORY + (victim * POINTS_WAYS + way) * POINTS_KS + k
 *
 * k 0: nobody dies, and it is counted how far k goes. Other stories differ in what plans draw: lanes, checkpoints, gathering.
 */
#ifndef CAIRN_TESTS_SIM_POINTS_H
#define CAIRN_TESTS_SIM_POINTS_H

#include "tests/sim/jobs.h"

#define POINT_ROLES(X)                                          \
  X(controller, "whoever leads the map")                        \
  X(leader, "whoever leads the partition, and keeps a replica") \
  X(newcomer, "who is to have one")                             \
  X(leaver, "who has one, and is to have none")

#define POINTS_KS 100000u
#define POINTS_STORY 100000000u
/* 0 to 5: before, in the middle of or after an operation of its disk, killed or without power; then when a message has come, and a little later. */
#define POINTS_WAYS 8u
#define POINTS_BY_MESSAGE 6u

enum point_role {
#define POINT_ROLE_ENUM(name, what) POINT_##name,
  POINT_ROLES(POINT_ROLE_ENUM)
#undef POINT_ROLE_ENUM
      POINT_ROLE_COUNT
};

const char *point_role_name(enum point_role role);

/* Of a run. */
struct points;
struct points *points_new(struct run *run); /* NULL: its plan is about something else */
void points_free(struct points *points);    /* NULL is fine, here and below */
/* The reassignment is about to be asked for; brokers by their part in it, from 0 on. */
void points_begin(struct points *points, const unsigned brokers[POINT_ROLE_COUNT]);
void points_end(struct points *points); /* it is over, and who has not died does not */
bool points_over(const struct points *points);
bool points_hit(const struct points *points); /* the victim has died, or nobody was to */
/* Of the victim, from the beginning to the end. */
uint64_t points_operations(const struct points *points);
uint64_t points_messages(const struct points *points);

/* ---- All of them (points_sweep.c) ---- */

/* Tells the story with nobody's death for each victim, and then with each death, or with each `every`-th. `options->first` is the story.
 * Returns the exit code. */
int points_run(const struct jobs_options *options, uint64_t every, const char *json, bool probes);

#endif
