/* What breaks, and when: the nemesis of a run. Each fault begins at a time drawn from the seed, hits a machine drawn from the seed,
 * and ends by itself or when everything heals. A broker that is down is started again after a while; one whose disk has failed
 * it is killed first, as an operator would.
 */
#ifndef CAIRN_TESTS_SIM_FAULTS_H
#define CAIRN_TESTS_SIM_FAULTS_H

#include "tests/sim/run.h"

struct faults *faults_new(struct run *run); /* begins at once */
/* Mends everything, now; from here on nothing breaks, and brokers that are down are started. */
void faults_heal(struct faults *faults);
/* A broker has left the cluster with this directory, by somebody's map, which may be old. */
void faults_gone(struct faults *faults, unsigned which, const char *incarnation);
void faults_vote(struct faults *faults, unsigned which); /* a broker is about to write whom it votes for */
void faults_stop_tending(struct faults *faults);         /* nobody starts brokers any more */
void faults_rot(struct faults *faults, unsigned which);  /* flips some bits on the disk of a broker that is down */
/* Nothing more breaks for a while; what is broken is mended when its time comes. */
void faults_calm(struct faults *faults, bool calm);
/* All brokers are up, and nothing is broken. */
bool faults_is_calm(struct faults *faults);
/* Somebody else sees to this broker: nobody starts it, or asks why it is down. */
void faults_spare(struct faults *faults, unsigned which, bool spared);
/* This one, now, to this broker; not counted. False: it was not to be had. */
bool faults_hit(struct faults *faults, enum fault fault, unsigned which);
/* Where a broker's process ends: in an operation of its disk that changes something, so many ahead from now (1: the next). */
struct crash_at {
  uint64_t ahead;
  enum sim_crash_point point;
  bool cuts_power; /* else what was not synced stays in the cache */
};
void faults_crash_at(struct faults *faults, unsigned which, const struct crash_at *at);
void faults_free(struct faults *faults); /* PRE: healed */

uint64_t faults_count(const struct faults *faults, enum fault fault);
uint64_t faults_total(const struct faults *faults);

#endif
