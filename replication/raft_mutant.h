/* Deliberate faults of the protocol, switched at run time, by which the tests prove that they can fail.
 *
 * In the broker RAFT_MUTANT() is the constant false. Only the library that the tests link (//replication:raft_mutable) is compiled
 * with CAIRN_RAFT_MUTANTS and has the switch. Each row is a mistake that a real implementation has made; tests/unit/replication/
 * raft_mutant_test.c demands that each is found.
 */
#ifndef CAIRN_REPLICATION_RAFT_MUTANT_H
#define CAIRN_REPLICATION_RAFT_MUTANT_H

#include <stdbool.h>

#define RAFT_MUTANTS(MUTANT)                                                                   \
  MUTANT(COMMIT_OLD_TERM, "entries of an earlier term are committed by counting")              \
  MUTANT(VOTE_NOT_DURABLE, "a vote is answered before it is durable")                          \
  MUTANT(SELF_VOTE_EARLY, "the own vote counts before it is durable")                          \
  MUTANT(VOTE_FORGOTTEN, "a vote is cleared without a new term")                               \
  MUTANT(VOTE_INDEX_ONLY, "logs are compared by length alone")                                 \
  MUTANT(NO_STICKINESS, "votes are given although the leader lives")                           \
  MUTANT(ACK_NOT_DURABLE, "an append is acknowledged before it is durable")                    \
  MUTANT(COUNT_NOT_DURABLE, "the leader counts itself before its disk has it")                 \
  MUTANT(STALE_PERSIST, "a completion counts whatever was cut since (ABA)")                    \
  MUTANT(STALE_ACK, "acknowledgements of another term count")                                  \
  MUTANT(STRANGERS_COUNT, "answers count whoever gives them: no incarnation, no address")      \
  MUTANT(COMMIT_UNCAPPED, "a follower believes the leader's commit index beyond what matched") \
  MUTANT(CUT_ALWAYS, "a follower cuts behind every append, conflict or not")                   \
  MUTANT(CONFLICT_KEPT, "a follower keeps entries that conflict")                              \
  MUTANT(WINDOW_LEAK, "the window is not given back when a probe begins")                      \
  MUTANT(READ_UNCONFIRMED, "a read is confirmed without asking anybody")                       \
  MUTANT(READ_ID_REUSED, "a read shares the id of an attempt that began before it came")       \
  MUTANT(READ_BEFORE_NOOP, "a read is confirmed before an entry of the term is committed")     \
  MUTANT(SINGLE_STEP, "voters change in one step, without a joint configuration")              \
  MUTANT(CONFIG_ON_COMMIT, "a configuration counts only when it is committed")                 \
  MUTANT(CONFIG_NOT_REVERTED, "a cut leaves the configuration of an entry that is gone")       \
  MUTANT(TWO_CHANGES, "a change begins while another is under way")                            \
  MUTANT(LEARNER_COUNTS, "a learner counts as a voter")                                        \
  MUTANT(DAMAGED_VOTES, "a damaged replica votes as if it were whole")                         \
  MUTANT(SNAPSHOT_TERM_LOST, "the term of a snapshot's last entry is not kept")                \
  MUTANT(SNAPSHOT_EARLY_ACK, "a snapshot is acknowledged before it is installed")

enum raft_mutant {
  RAFT_MUTANT_NONE,
#define MUTANT(name, text) RAFT_MUTANT_##name,
  RAFT_MUTANTS(MUTANT)
#undef MUTANT
      RAFT_MUTANT_COUNT
};

#ifdef CAIRN_RAFT_MUTANTS
extern enum raft_mutant raft_mutant; /* which one is switched on; the test's */
#define RAFT_MUTANT(name) (raft_mutant == RAFT_MUTANT_##name)
#else
#define RAFT_MUTANT(name) false
#endif

#endif
