/* An offload that counts what is asked of it, and keeps that for as long as a test wants: so that something can happen while it is being worked at. */
#ifndef CAIRN_TESTS_UNIT_SERVER_HELD_OFFLOAD_H
#define CAIRN_TESTS_UNIT_SERVER_HELD_OFFLOAD_H

#include <stdbool.h>

#include "server/offload.h"

struct held_offload {
  struct world world; /* which makes `loop` */
  struct loop loop;
  struct loop *behind; /* where what is let go is worked at */
  struct offload *offload;
  struct task *first; /* held, oldest first */
  struct task **last;
  bool holds;
  unsigned asked;
};

void held_offload_init(struct held_offload *held, struct world *world); /* holds nothing; not to be moved */
void held_offload_deinit(struct held_offload *held);                    /* as offload_free(). PRE: nothing is held */
void held_offload_hold(struct held_offload *held);
void held_offload_let_go(struct held_offload *held);

#endif
