/* Stacks and the switch between them; for sim.c only. The sanitizers are told of every switch. */
#ifndef CAIRN_TESTS_SIM_SIM_FIBER_H
#define CAIRN_TESTS_SIM_SIM_FIBER_H

#include <stdbool.h>

struct sim_stack;

/* A stack that will run `run(context)` when it is entered first. */
struct sim_stack *sim_stack_new(void (*run)(void *context), void *context);
void sim_stack_free(struct sim_stack *stack); /* PRE: over or never entered */
bool sim_stack_over(const struct sim_stack *stack);

void sim_stack_enter(struct sim_stack *stack); /* from the thread's own stack: returns when it leaves or is over */
void sim_stack_leave(struct sim_stack *stack); /* from inside: back to where it was entered */

#endif
