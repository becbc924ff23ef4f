#include "base/os/signals.h"

#include <stddef.h>

void signals_hold(sigset_t *out_before) {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, out_before);
}

void signals_let_go(const sigset_t *before) { pthread_sigmask(SIG_SETMASK, before, NULL); }
