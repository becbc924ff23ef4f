#include "clients/cli/rounds.h"

#include "base/world.h"
#include "clients/cli/output.h"
#include "clients/cli/terminal.h"

#define LOOK_NS 1000000000u /* between two looks */

static void pause_between(struct cli *cli) {
  struct progress progress = {0};
  uint64_t until_ns = world_now_ns(cli->world) + LOOK_NS;
  progress_begin(&progress, until_ns); /* nothing is drawn before that */
  while (!terminal_interrupted() && world_now_ns(cli->world) < until_ns) progress_wait(&progress, progress.begun_ns, "");
}

int rounds_run(const struct rounds *rounds) {
  struct cli *cli = rounds->cli;
  size_t left = 0;
  int code = rounds->look(rounds->context, false, &left);
  while (code == CLI_OK && rounds->watches && left > 0 && !output_broken(cli->output)) {
    pause_between(cli);
    if (terminal_interrupted()) return CLI_INTERRUPTED;
    code = rounds->look(rounds->context, true, &left);
  }
  return code;
}
