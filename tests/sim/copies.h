/* Directories that are put back from an older copy, and such as are cloned: another part of the nemesis of a run.
 *
 *   IDLE ──a copy is made──> COPIED ──later──> CALMING ──nothing else is broken──> KNOWN ──it started anew, and was heard──> TRIED ──> IDLE
 *
 * What is asked is strict: whoever can be reached has seen newer, so the copy has to be refused, or, where it was started while it could reach
 * nobody, to be stopped when it can; each time that it is started. So meanwhile nothing else breaks.
 */
#ifndef CAIRN_TESTS_SIM_COPIES_H
#define CAIRN_TESTS_SIM_COPIES_H

#include "tests/sim/faults.h"
#include "tests/sim/run.h"

struct copies;

struct copies *copies_new(struct run *run, struct faults *faults); /* begins at once */
/* Every broker has its own newest directory again, and no clone runs; from here on nothing is copied. */
void copies_end(struct copies *copies);  /* NULL is fine */
void copies_free(struct copies *copies); /* PRE: ended, and no process is left. NULL is fine */
bool copies_quiet(const struct copies *copies);

#endif
