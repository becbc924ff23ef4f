/* What a load counts: messages answered, their bytes, and how long each took. For load and socket_load: both count, end and report alike.
 *
 * The first tenth of the time is not counted, unless a number of bytes is to be moved: then all of it is.
 */
#ifndef CAIRN_TOOLS_BENCH_TALLY_H
#define CAIRN_TOOLS_BENCH_TALLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Begins. `bytes_max`: it is over when so much was answered; 0: when `duration_ns` have passed. */
void tally_begin(uint64_t duration_ns, uint64_t bytes_max);
uint64_t tally_now_ns(void);
/* A message of so many bytes, sent at `began_ns`, has been answered well. */
void tally_count(uint64_t began_ns, size_t bytes);
/* One was not. The first says why, on standard error. */
void tally_fail(const char *why);
bool tally_over(void);
/* Prints one JSON object. False: something had failed. */
bool tally_report(void);

#endif
