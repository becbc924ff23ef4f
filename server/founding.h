/* How brokers with empty directories become a cluster: the rule, pure. Each is told, by --join, who the others are.
 *
 * The one with the lowest number is the founder. It asks all others, round after round, and when in one round each has answered that it is
 * empty, it draws the cluster's id and writes the record, cluster and founders, into its identity. From then on the cluster exists.
 * The others ask too, everybody; who finds itself in a record that another broker has writes it into its own identity. So a record
 * spreads by being asked for, from whoever has it: nobody has to be told, a founder that starts again has nothing to finish, and a message
 * that comes twice, late or not at all changes nothing.
 *
 *                       asked by the founder that it sees itself: EMPTY
 *                                    ┌───┐
 *   (draft durable) ──> WAITING ─────┴───┴──── all EMPTY, or a record with it ──> WRITING ──> FOUNDED (identity durable)
 *                          ├──── a record without it ──> ENTERING
 *                          └──── a contradiction ──────> REFUSED
 *
 * 1. Among brokers that name each other there are never two records, whatever crashes, is lost, or comes late; and a record names all of
 *    them, each with an incarnation that was durable when it answered.
 * 2. Who has said EMPTY to a founder counts only what it asks for afterwards. So a record of an earlier directory of the founder, still under
 *    way somewhere, comes to nothing: the founder was seen at its address without one.
 * 3. EMPTY is said only to whom this broker has seen itself, by its own call to the address it was told: a second process with the
 *    founder's number gets nowhere.
 * 4. A directory that was emptied is another broker: it is in no record made before, and enters the cluster as somebody new.
 */
#ifndef CAIRN_SERVER_FOUNDING_H
#define CAIRN_SERVER_FOUNDING_H

#include <stdbool.h>
#include <stdint.h>

#include "log/log_set.h"
#include "server/join.h"

enum meet_stage { MEET_WAITING = 1, MEET_EMPTY = 2, MEET_FOUNDED = 3 };

struct meet_request {
  uint32_t broker;
  uint8_t incarnation[LOG_ID_SIZE];
  struct join_ids named;
};

struct meet_answer {
  enum meet_stage stage;
  struct log_identity who; /* number and incarnation; FOUNDED: cluster and founders too */
  struct join_ids named;
};

enum founding_stage { FOUNDING_WAITING, FOUNDING_WRITING, FOUNDING_FOUNDED, FOUNDING_ENTERING, FOUNDING_REFUSED };

#define FOUNDING_PROBLEM_SIZE 400u

/* Of one process. Open, so that tests can compare and copy it; nobody else looks in. */
struct founding {
  enum founding_stage stage;
  struct log_identity draft;
  struct join named;
  struct join_ids ids;
  uint32_t self;                /* its place in `named` */
  uint8_t fresh[LOG_ID_SIZE];   /* the cluster's id, if it is this one that draws it */
  bool promised;                /* EMPTY was said ... */
  uint8_t founder[LOG_ID_SIZE]; /* ... to the founder of this incarnation */
  struct founding_peer {
    bool asked;    /* in this round, and what comes counts */
    bool answered; /* in this round */
    bool seen;
    uint8_t incarnation[LOG_ID_SIZE]; /* that was seen last */
    struct meet_answer answer;
  } peers[JOIN_MAX];
  struct log_identity
      record; /* WRITING, FOUNDED: what this directory's identity is to be. ENTERING: of the cluster that is there */
};

/* `draft`: number and incarnation, durable. `named` has this broker. `fresh`: 128 random bits. */
void founding_init(struct founding *founding, const struct log_identity *draft, const struct join *named,
                   const uint8_t fresh[LOG_ID_SIZE]);

/* Somebody asks. May promise something: the answer must not go out of order with what is asked by this broker. */
struct meet_answer founding_asked(struct founding *founding, const struct meet_request *request);

/* A round: all others are asked at once, and decided when each call is over. */
struct meet_request founding_begin_round(struct founding *founding);
void founding_answered(struct founding *founding, uint32_t place, const struct meet_answer *answer);
/* Moves on from WAITING, or stays. `out_problem`: REFUSED, what contradicts and what to do; WAITING, what is missing. */
enum founding_stage founding_decide(struct founding *founding, char out_problem[FOUNDING_PROBLEM_SIZE]);

/* The record is durable. */
void founding_written(struct founding *founding);

#endif
