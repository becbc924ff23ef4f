/* `cairn`: parse, run, exit. What it can do is in commands.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/os/descriptors.h"
#include "base/os/world_os.h"
#include "clients/cli/arguments.h"
#include "clients/cli/cli.h"
#include "clients/cli/help.h"
#include "clients/cli/output.h"
#include "clients/cli/report.h"
#include "clients/cli/terminal.h"

static int run(struct cli *cli, int argc, char *const *argv) {
  int code = arguments_parse(cli, argc, argv, getenv("CAIRN_SERVER"));
  if (code != CLI_OK) return code;
  if (cli->help || cli->command == NULL) return help_print(cli);
  code = cli->command->run(cli);
  output_flush(cli->output);
  if (output_error(cli->output) == 0) return code;
  return report_failure(cli, CLI_FAILED, "OUTPUT", "cannot write to standard output", strerror(output_error(cli->output)),
                        "free space, or write elsewhere");
}

DESCRIPTORS_HOLD_STANDARD_FIRST;

int main(int argc, char **argv) {
  struct cli cli = {.output = output_new(STDOUT_FILENO)};
  enum status status = world_os_open("/", false, &cli.world);
  if (status != STATUS_OK) {
    fprintf(stderr, "error[%s]: cannot open the root directory\n", status_name(status));
    return CLI_FAILED;
  }
  terminal_catch_interrupts();
  int code = run(&cli, argc, argv);
  cairn_client_free(cli.client);
  output_free(cli.output);
  world_os_close(cli.world);
  return code;
}
