/* What must stay true, as clients see it: a model of every partition that only grows, and checks of everything that comes back.
 *
 * Each record that is ever appended has a number of its own, which its value carries; so a value names its append. The checks
 * have the names of docs/INVARIANTS.md where it has one; checker_violation() tells the first that failed.
 *
 *   L1 acked-durable    everything that was acknowledged is there at the end; a read shows nothing behind the log's end
 *   L2 no-partial       a batch has as many offsets as records
 *   L3 dense            offsets of what is read follow one another; none is beyond what was ever sent
 *   L4 immutable        an offset shows one record for ever, a record one offset
 *   L6 rot-is-named     no damage is told where none was done
 *   R4 one-leader       a term of a group has at most one leader
 *   R13 one-history     at an index of a group every broker applies the same entry
 *   R14 leader-complete who begins to lead has all that was committed before
 *   L9 identity-kept    neither the cluster's name nor a durable term goes back
 *   A1 executed-no      what was refused with `executed: no` is never seen
 *   A2 session-order    the records of one producer stand in the order in which they were added
 *   A3 read-your-writes what was acknowledged before a look began is seen by it; nothing that was seen is unseen
 *   A5 conditional      an append that expected an offset got that one; a refusal names another end
 *   A6 real-time        an append that began after another was acknowledged stands behind it
 *   A7 trim             the log starts where it was last trimmed, and nowhere else
 *   A8 map-kept         a topic that was made is there, one that was deleted is not
 *   A9 delivered        a producer tells of every record what became of it
 *   A10 no-internal     nobody is ever answered INTERNAL
 */
#ifndef CAIRN_TESTS_SIM_CHECKER_H
#define CAIRN_TESTS_SIM_CHECKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "clients/c/cairn.h"

struct checker;
struct check_partition;

struct checker *checker_new(uint64_t seed);
void checker_free(struct checker *checker);

/* The first check that failed and what it saw; NULL while there is none. */
const char *checker_failed(const struct checker *checker, const char **out_what);
void checker_violation(struct checker *checker, const char *check, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* A partition of one topic. `retains`: its log may start anywhere, for old records go by themselves. */
struct check_partition *checker_partition_new(struct checker *checker, const char *topic, uint32_t number, bool retains);
/* It is being deleted: nothing is asked of it any more. */
void check_partition_deleted(struct check_partition *partition);
bool check_partition_is_deleted(const struct check_partition *partition);

/* ---- Appends ---- */

#define CHECK_VALUE_MIN 24u

enum check_outcome { CHECK_ACKED, CHECK_REFUSED, CHECK_UNKNOWN };

/* A record begins its way; returns its number. `writer` orders the records of one producer; 0: no order. */
uint64_t check_append(struct check_partition *partition, uint64_t writer);
/* Fills `size` bytes (at least CHECK_VALUE_MIN) that name it. */
void check_value(const struct checker *checker, uint64_t number, uint8_t *into, size_t size);
/* What became of it; `offset` of CHECK_ACKED. Once. */
void check_appended(struct checker *checker, uint64_t number, enum check_outcome outcome, int64_t offset);
void check_expected(struct check_partition *partition, int64_t expected, int code, const struct cairn_error *error, int64_t got);

/* ---- Looks ---- */

/* What any look that begins now must reach. */
struct check_look {
  int64_t end;
  int64_t start;
};
struct check_look check_look_begin(const struct check_partition *partition);
/* Where the log was said to end (behind the last committed record), and to start; -1: not said. */
void check_look_end(struct check_partition *partition, const struct check_look *look, int64_t high_watermark, int64_t log_start);
/* A record that was read. */
void check_record(struct check_partition *partition, const struct cairn_record *record);

void check_trim_begin(struct check_partition *partition, int64_t before);
void check_trim_end(struct check_partition *partition, int64_t log_start);

/* Some broker knows who leads a group in a term. */
void check_leader(struct checker *checker, uint64_t group, uint64_t term, uint32_t leader);

/* What brokers tell of their inside (base/witness.h). */
struct check_applied {
  uint64_t entry_term;
  uint64_t chain;
  uint64_t term; /* that the broker believed in: it was committed in this one or before */
};
void check_applied(struct checker *checker, uint32_t broker, uint64_t group, uint64_t index, const struct check_applied *applied);
void check_leads(struct checker *checker, uint32_t broker, uint64_t group, uint64_t term, uint64_t last_index);

/* Any error that a client gets. */
void check_error(struct checker *checker, const char *call, const struct cairn_error *error);

/* ---- The end ---- */

/* Everything was read from where the log was said to start to where it was said to end, and both were looked at: is there a hole? */
void check_final(struct check_partition *partition, int64_t log_start, int64_t end);

int64_t check_partition_end(const struct check_partition *partition); /* behind what is known to be there */
int64_t check_partition_start(const struct check_partition *partition);
uint64_t checker_acked(const struct checker *checker);
uint64_t checker_refused(const struct checker *checker);
uint64_t checker_unknown(const struct checker *checker);
uint64_t checker_hash(const struct checker *checker); /* of all logs as they were seen */

#endif
