/* Deliberate faults of the protocol, switched at run time, by which the tests prove that they can fail.
 *
 * In the broker RAFT_MUTANT() is the constant false. Only the library that the tests link (//replication:raft_mutable) is compiled
 * with CAIRN_RAFT_MUTANTS and has the switch, and what is built for the simulator (base/mutant.h). Each row is a mistake that a real
 * implementation has made; tests/unit/replication/raft_mutant_test.c demands that each is found, and `./dev sim --mutants` that whole clusters
 * notice all that they can come to.
 */
#ifndef CAIRN_REPLICATION_RAFT_MUTANT_H
#define CAIRN_REPLICATION_RAFT_MUTANT_H

#include <stdbool.h>

#define RAFT_MUTANTS(X)                                                                   \
  X(COMMIT_OLD_TERM, "entries of an earlier term are committed by counting")              \
  X(VOTE_NOT_DURABLE, "a vote is answered before it is durable")                          \
  X(SELF_VOTE_EARLY, "the own vote counts before it is durable")                          \
  X(VOTE_FORGOTTEN, "a vote is cleared without a new term")                               \
  X(VOTE_INDEX_ONLY, "logs are compared by length alone")                                 \
  X(NO_STICKINESS, "votes are given although the leader lives")                           \
  X(ACK_NOT_DURABLE, "an append is acknowledged before it is durable")                    \
  X(COUNT_NOT_DURABLE, "the leader counts itself before its disk has it")                 \
  X(STALE_PERSIST, "a completion counts whatever was cut since (ABA)")                    \
  X(STALE_ACK, "acknowledgements of another term count")                                  \
  X(STRANGERS_COUNT, "answers count whoever gives them: no incarnation, no address")      \
  X(COMMIT_UNCAPPED, "a follower believes the leader's commit index beyond what matched") \
  X(CUT_ALWAYS, "a follower cuts behind every append, conflict or not")                   \
  X(CONFLICT_KEPT, "a follower keeps entries that conflict")                              \
  X(WINDOW_LEAK, "the window is not given back when a probe begins")                      \
  X(READ_UNCONFIRMED, "a read is confirmed without asking anybody")                       \
  X(READ_ID_REUSED, "a read shares the id of an attempt that began before it came")       \
  X(READ_BEFORE_NOOP, "a read is confirmed before an entry of the term is committed")     \
  X(SINGLE_STEP, "voters change in one step, without a joint configuration")              \
  X(CONFIG_ON_COMMIT, "a configuration counts only when it is committed")                 \
  X(CONFIG_NOT_REVERTED, "a cut leaves the configuration of an entry that is gone")       \
  X(TWO_CHANGES, "a change begins while another is under way")                            \
  X(LEARNER_COUNTS, "a learner counts as a voter")                                        \
  X(UNPROVEN_COUNTS, "one that has forgotten its promises counts once it has the log")    \
  X(DAMAGED_VOTES, "a damaged replica votes as if it were whole")                         \
  X(SNAPSHOT_TERM_LOST, "the term of a snapshot's last entry is not kept")                \
  X(SNAPSHOT_EARLY_ACK, "a snapshot is acknowledged before it is installed")

enum raft_mutant {
  RAFT_MUTANT_NONE,
#define RAFT_MUTANT_ENUM(name, text) RAFT_MUTANT_##name,
  RAFT_MUTANTS(RAFT_MUTANT_ENUM)
#undef RAFT_MUTANT_ENUM
      RAFT_MUTANT_COUNT
};

#if defined(CAIRN_RAFT_MUTANTS) || defined(CAIRN_SIMULATED)
extern enum raft_mutant raft_mutant; /* which one is switched on; the test's */
#define RAFT_MUTANT(name) (raft_mutant == RAFT_MUTANT_##name)
#else
#define RAFT_MUTANT(name) false
#endif

#endif
