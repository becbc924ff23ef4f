#include "clients/cli/cli.h"

#include "clients/cli/report.h"
#include "clients/cli/terminal.h"

static bool given_up(void *context) {
  (void)context;
  return terminal_interrupted();
}

int cli_connect(struct cli *cli) {
  const struct cairn_client_options options = {.servers = cli->server, .call_timeout_ms = cli->timeout_ms, .given_up = given_up};
  struct cairn_error error;
  if (cairn_client_new(&options, &cli->client, &error) == CAIRN_OK) return CLI_OK;
  return report_failure(cli, report_exit_code(&error), error.reason, "cannot use the server that is named", error.message,
                        "--server " CAIRN_DEFAULT_SERVER ", or CAIRN_SERVER=" CAIRN_DEFAULT_SERVER);
}
