/* Bugs on purpose. `if (MUTANT(ack_before_write)) ...` is what a tired engineer might have written; one at a time is switched on
 * in simulated runs, and a named check must notice. A suite that no mutant can fail proves nothing.
 *
 * Constant false in an ordinary build, so the compiler drops it. In a simulated one (tools/bazel/simulated.bzl) it is a comparison.
 * The list is here, once: name, and what a reader should know of it.
 */
#ifndef CAIRN_BASE_MUTANT_H
#define CAIRN_BASE_MUTANT_H

#include <stdbool.h>

#define MUTANTS(X)                                                                                    \
  X(ack_before_write, "journal", "answers a group before it is written")                              \
  X(ack_without_sync, "journal", "writes groups to files that are not write-through")                 \
  X(journal_name_not_synced, "journal", "does not sync the directory of a renamed journal file")      \
  X(torn_tail_accepted, "journal", "takes a group whose bodies fail their checksums")                 \
  X(write_failure_ignored, "journal", "goes on after a failed write")                                 \
  X(recycle_before_checkpoint, "checkpoint", "releases journal files whose entries are not flushed")  \
  X(segment_not_synced, "checkpoint", "records the length of a segment that was not synced")          \
  X(segment_name_not_synced, "checkpoint", "does not sync the directories of new segments")           \
  X(tables_not_committed, "checkpoint", "recycles the journal for a transaction that it left out")    \
  X(offset_reused, "recovery", "begins one offset too early after a restart")                         \
  X(read_beyond_commit, "partition", "shows records that are not durable yet")                        \
  X(waiter_dropped, "partition", "forgets an answer now and then")                                    \
  X(unknown_called_no, "partition", "calls an unknown outcome not executed")                          \
  X(expected_offset_ignored, "partition", "appends whatever the expected offset says")                \
  X(answered_too_early, "partition", "answers what rests on entries that are not committed")          \
  X(followers_forget, "partition", "does not note producers' sequences where it does not lead")       \
  X(tail_skips, "partition", "goes on one record too far now and then")                               \
  X(trim_too_far, "partition", "trims one record more than asked")                                    \
  X(session_goes_on, "session", "appends behind a refusal")                                           \
  X(unknown_sent_again, "client", "sends a batch again whose outcome is unknown")                     \
  X(deletion_forgotten, "controller", "keeps a deleted topic in the map")                             \
  X(racks_ignored, "controller", "puts replicas of a new partition into one rack")                    \
  X(level_unasked, "controller", "raises the feature level without a look at who can it")             \
  X(change_not_told, "controller", "leaves out a change that a watcher of the map missed")            \
  X(lost_command_called_no, "controller", "calls a command not executed whose fate it does not know") \
  X(lost_command_called_done, "controller", "takes a command for done that another leader replaced")  \
  X(voters_go_first, "controller", "lets those go that a partition leaves before the others are in")  \
  X(replica_kept, "map follower", "keeps a replica that moved away, now and then")                    \
  X(older_copy_let_in, "peers", "listens to whoever says to be a broker, on whatever copy of its directory")

enum mutant {
  MUTANT_NONE,
#define MUTANT_ENUM(name, where, what) MUTANT_##name,
  MUTANTS(MUTANT_ENUM)
#undef MUTANT_ENUM
      MUTANT_COUNT
};

#ifdef CAIRN_SIMULATED
extern enum mutant mutant_on; /* set before a run, by the simulator alone */
#define MUTANT(mutant_name) __builtin_expect(mutant_on == MUTANT_##mutant_name, false)
#else
#define MUTANT(mutant_name) false
#endif

#endif
