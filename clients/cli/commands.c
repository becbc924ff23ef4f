#include "clients/cli/commands.h"

#include <string.h>

const struct command *const commands[] = {
    &topic_create_command,
    &topic_list_command,
    &topic_describe_command,
    &topic_alter_command,
    &topic_delete_command,
    &append_command,
    &read_command,
    &partition_describe_command,
    &partition_producers_command,
    &partition_trim_command,
    &partition_move_command,
    &partition_transfer_command,
    &cluster_status_command,
    &cluster_health_command,
    &cluster_watch_command,
    &cluster_rebalance_command,
    &cluster_reassign_command,
    &cluster_moves_command,
    &cluster_work_command,
    &cluster_upgrade_command,
    &broker_list_command,
    &broker_describe_command,
    &broker_drain_command,
    &broker_decommission_command,
    &segment_dump_command,
    &verify_command,
    &bench_append_command,
    &bench_read_command,
    &help_command,
    &version_command,
    NULL,
};

static bool word_is(const char *word, const char *name, const char *alias) {
  return strcmp(word, name) == 0 || (alias != NULL && strcmp(word, alias) == 0);
}

static bool goes_by(const struct command *command, const char *noun, const char *verb) {
  size_t size = strlen(noun);
  if (command->also == NULL || verb == NULL || strncmp(command->also, noun, size) != 0) return false;
  return command->also[size] == ' ' && strcmp(command->also + size + 1, verb) == 0;
}

const struct command *command_find(const char *noun, const char *verb) {
  for (size_t i = 0; commands[i] != NULL; i++) {
    const struct command *command = commands[i];
    if (goes_by(command, noun, verb)) return command;
    if (command->verb == NULL && word_is(noun, command->noun, command->alias)) return command;
    if (command->verb == NULL || verb == NULL || strcmp(noun, command->noun) != 0) continue;
    if (word_is(verb, command->verb, command->alias)) return command;
  }
  return NULL;
}

bool command_noun_known(const char *noun) {
  for (size_t i = 0; commands[i] != NULL; i++) {
    if (word_is(noun, commands[i]->noun, commands[i]->verb == NULL ? commands[i]->alias : NULL)) return true;
  }
  return false;
}

/* ---- What was meant ---- */

unsigned words_distance(const char *a, const char *b) {
  size_t size = strlen(b);
  if (strlen(a) > WORD_SIZE_MAX || size > WORD_SIZE_MAX) return WORD_SIZE_MAX;
  unsigned row[WORD_SIZE_MAX + 1];
  for (size_t j = 0; j <= size; j++) row[j] = (unsigned)j;
  for (size_t i = 0; a[i] != '\0'; i++) {
    unsigned diagonal = row[0];
    row[0] = (unsigned)i + 1;
    for (size_t j = 0; j < size; j++) {
      unsigned least = diagonal + (a[i] != b[j]);
      diagonal = row[j + 1];
      if (row[j] + 1 < least) least = row[j] + 1;
      if (diagonal + 1 < least) least = diagonal + 1;
      row[j + 1] = least;
    }
  }
  return row[size];
}

const struct command *command_nearest(const char *noun, const char *verb) {
  const struct command *nearest = NULL;
  unsigned least = 3; /* letters that may be wrong, and one */
  for (size_t i = 0; commands[i] != NULL; i++) {
    unsigned distance = words_distance(noun, commands[i]->noun);
    if (commands[i]->verb != NULL) distance += verb == NULL ? WORD_SIZE_MAX : words_distance(verb, commands[i]->verb);
    if (distance >= least) continue;
    least = distance;
    nearest = commands[i];
  }
  return nearest;
}
