/* A command line against the table of commands. Options may stand anywhere; `--name VALUE`, `--name=VALUE`, `-x VALUE`, `-xVALUE`;
 * `--` ends them. An option that takes a value takes the next word whatever it begins with: `--from -10`. */
#ifndef CAIRN_CLIENTS_CLI_ARGUMENTS_H
#define CAIRN_CLIENTS_CLI_ARGUMENTS_H

#include "clients/cli/cli.h"

/* Options of every command. */
extern const struct option global_options[];

/* CLI_OK: cli->command is set, or it is NULL with cli->help (the user asked for the overview). CLI_USAGE: reported. Keeps the
 * pointers in `argv`. `environment_server` is CAIRN_SERVER or NULL. */
int arguments_parse(struct cli *cli, int argc, char *const *argv, const char *environment_server);

#endif
