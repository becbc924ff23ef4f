/* Wakes that a thread holds back. To post to a loop that sleeps is cheap, to wake it is not: a system call, an interrupt for another
 * processor, a switch. A thread that may well post to the same loop again at once can hold its wakes and let them go when it
 * has nothing more at hand: the loop then wakes once, for all of it. A loop that is awake anyway takes what was posted as ever.
 *
 * Whoever holds wakes owes them: until they are let go the loop sleeps on, also when others post to it. So they are let go before the
 * thread sleeps or waits, and soon in any case.
 */
#ifndef CAIRN_BASE_OS_WAKES_H
#define CAIRN_BASE_OS_WAKES_H

#include <stdbool.h>

/* From now on the calling thread holds its wakes. Of more than WAKES_HELD_MAX loops at a time it lets those before go. */
void wakes_hold(void);
bool wakes_held(void); /* is there any? */
void wakes_let_go(void);

#define WAKES_HELD_MAX 16u

#endif
