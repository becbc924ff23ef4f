/* How far moves are, as the leaders of their partitions told the broker that leads group 0. It is kept in memory alone, and of use to whoever
 * watches: what is decided comes from the map. Bounded by MAP_MOVES_MAX; what is told of more takes the place of what is oldest. Plain data, on lane 0.
 */
#ifndef CAIRN_SERVER_PROGRESS_BOARD_H
#define CAIRN_SERVER_PROGRESS_BOARD_H

#include <stdbool.h>
#include <stdint.h>

#include "controller/cluster_map.h"

#define PROGRESS_FRESH_NS 5000000000u /* told longer ago it says nothing any more */

/* As it is told, and what follows from telling it again and again. */
struct move_progress {
  uint64_t group;
  uint64_t move; /* its number: of another, nothing is known */
  uint32_t learners;
  uint64_t bytes_done;
  uint64_t bytes_to_go;
  uint64_t bytes_per_second; /* lately; the board's */
};

struct progress_board;

struct progress_board *progress_board_new(void);
void progress_board_free(struct progress_board *board); /* NULL is fine */
void progress_board_put(struct progress_board *board, uint64_t now_ns, const struct move_progress *told);
/* False: nothing was told of that move lately. */
bool progress_board_get(const struct progress_board *board, uint64_t now_ns, const struct map_move *move,
                        struct move_progress *out_progress);

#endif
