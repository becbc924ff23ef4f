/* Signals are the main thread's: a thread inherits what its maker has blocked, so whoever makes one, or calls a library that may, holds all of
 * them back meanwhile. One signal that another thread takes instead is one that main() waits for in vain.
 */
#ifndef CAIRN_BASE_OS_SIGNALS_H
#define CAIRN_BASE_OS_SIGNALS_H

#include <signal.h>

/* Of the calling thread. What comes meanwhile is not lost. */
void signals_hold(sigset_t *out_before);
void signals_let_go(const sigset_t *before);

#endif
