/* Bits of a disk flip: what a broker's disk gives back is not what was written, and nobody was told.
 *
 * What a cluster is asked to survive is bounded, so that it can be asked to survive all of it (a fault atlas): while things break the disks of one
 * broker rot, from the beginning to the end the same, and every partition has a replica on each broker. So of what is committed there is
 * always a copy that nothing has touched. And only such bytes rot of which a start can tell that they were durable: the newest groups of a
 * journal look like those that a power cut tore. Nor does anything of group 0: a broker that has lost the map, and no log of a partition, leaves these
 * logs alone until its next start, and answers DATA_LOSS for them meanwhile; and one that has lost what opened the log of group 0 refuses to start.
 */
#ifndef CAIRN_TESTS_SIM_ROT_H
#define CAIRN_TESTS_SIM_ROT_H

#include "tests/sim/run.h"

/* Some bits, anywhere but in more than one copy of the tables, on the disk of a broker that is down. */
void rot_anything(struct run *run, struct sim_random *chance, unsigned which);

/* Some bits of one file: of a segment, or of what the journal has and later groups vouch for. Whether the broker runs makes no difference.
 * False: there is nothing of the kind yet. */
bool rot_what_others_have(struct run *run, struct sim_random *chance, unsigned which);

#endif
