/* Looking again and again at what is under way, until nothing is. */
#ifndef CAIRN_CLIENTS_CLI_ROUNDS_H
#define CAIRN_CLIENTS_CLI_ROUNDS_H

#include <stdbool.h>
#include <stddef.h>

#include "clients/cli/cli.h"

struct rounds {
  struct cli *cli;
  bool watches; /* each second; else one look */
  /* One look; `again`: it is not the first. `out_left`: how much is under way. CLI_OK, or it was reported why not. */
  int (*look)(void *context, bool again, size_t *out_left);
  void *context;
};
/* CLI_OK: nothing is left, or it does not watch. CLI_INTERRUPTED: by Ctrl-C, which is not reported. */
int rounds_run(const struct rounds *rounds);

#endif
