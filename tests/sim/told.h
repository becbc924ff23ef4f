/* What brokers tell of their inside (base/witness.h, and lines of their log) goes to those who hold it against each other, and to those who
 * break things at the right moment.
 */
#ifndef CAIRN_TESTS_SIM_TOLD_H
#define CAIRN_TESTS_SIM_TOLD_H

#include "tests/sim/run.h"

void told_listen(struct run *run); /* from now on; NULL: nobody does */
/* A line of a broker's log. */
void told_line(struct run *run, const char *line);

#endif
