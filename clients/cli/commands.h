/* The table of commands. One file per noun defines its rows; commands.c lists them. */
#ifndef CAIRN_CLIENTS_CLI_COMMANDS_H
#define CAIRN_CLIENTS_CLI_COMMANDS_H

#include "clients/cli/cli.h"

extern const struct command topic_create_command, topic_list_command, topic_describe_command, topic_alter_command,
    topic_delete_command;
extern const struct command append_command, read_command;
extern const struct command partition_describe_command, partition_producers_command, partition_trim_command,
    partition_move_command, partition_transfer_command;
extern const struct command cluster_status_command, cluster_health_command, cluster_watch_command, cluster_rebalance_command,
    cluster_reassign_command, cluster_moves_command, cluster_upgrade_command, cluster_work_command;
extern const struct command broker_list_command, broker_describe_command, broker_drain_command, broker_decommission_command;
extern const struct command segment_dump_command, verify_command;
extern const struct command bench_append_command, bench_read_command;
extern const struct command help_command, version_command;

/* In the order of the overview; ends with NULL. */
extern const struct command *const commands[];

/* `verb` may be NULL, and is not looked at when the noun stands alone ("append TOPIC"). */
const struct command *command_find(const char *noun, const char *verb);
bool command_noun_known(const char *noun);

/* What was probably meant: "topic create" for "topic creat"; NULL when nothing is near. `verb` may be NULL. */
const struct command *command_nearest(const char *noun, const char *verb);
/* How many letters must be changed, added or left out; words longer than WORD_SIZE_MAX are far from everything. */
#define WORD_SIZE_MAX 31u
unsigned words_distance(const char *a, const char *b);

#endif
