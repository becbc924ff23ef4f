/* What whoever moves partitions asks of group 0: to write down which moves are over, and how new the map is.
 *
 * The broker that leads group 0 answers. An answer without error says: all that was over is in the map, if it was still under way, and a map of
 * this version has everything that was decided before the question. Others are answered NOT_LEADER.
 */
#ifndef CAIRN_SERVER_MAP_QUESTION_H
#define CAIRN_SERVER_MAP_QUESTION_H

#include <stdint.h>

#include "base/blob.h"
#include "base/rpc.h"
#include "controller/controller.h"
#include "server/progress_board.h"

#define MAP_MOVED_MAX 256u
#define MAP_QUESTION_METHOD "/cairn.internal.v1.Peer/Moves"

struct map_moved {
  uint64_t topic_id;
  uint32_t partition;
  uint64_t move;
};

/* Kept by the caller until `done`, on lane 0. */
struct map_question {
  uint32_t count;
  struct map_moved moved[MAP_MOVED_MAX];
  uint32_t progress_count;
  struct move_progress progress[MAP_MOVED_MAX]; /* told besides, for whoever watches */
  void (*done)(struct map_question *question);

  enum status status;
  uint64_t version;

  struct controller *controller; /* the question's */
  uint32_t next;
  struct change change;
  struct replica_read read;
};

/* Here, where group 0 is led. On lane 0. */
void map_question_ask(struct map_question *question, struct controller *controller);
/* What it tells of progress goes to the board. */
void map_question_post(const struct map_question *question, struct progress_board *board, uint64_t now_ns);

/* As a message, and what is answered. */
struct blob_part map_question_pack(const struct map_question *question, const uint8_t cluster_id[CLUSTER_ID_SIZE]);
enum status map_question_unpack_answer(struct bytes bytes, uint64_t *out_version) MUST_CHECK;

/* Questions of other brokers: a row for peers_options.more. LOADING until started. */
struct map_questions;
struct map_questions *map_questions_new(const uint8_t *cluster_id); /* borrowed */
void map_questions_free(struct map_questions *questions);           /* NULL is fine */
void map_questions_start(struct map_questions *questions, struct loop *loop, struct controller *controller,
                         struct progress_board *board);
struct rpc_handler map_questions_handler(struct map_questions *questions);

#endif
