/* Help, from the table of commands: an overview, one page per command, and a few topics. */
#ifndef CAIRN_CLIENTS_CLI_HELP_H
#define CAIRN_CLIENTS_CLI_HELP_H

#include "clients/cli/cli.h"

/* What --help asks for: the command's page, a noun's verbs, or the overview. Returns CLI_OK. */
int help_print(const struct cli *cli);

#endif
