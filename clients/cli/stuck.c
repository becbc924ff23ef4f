#include "clients/cli/stuck.h"

#include <stdio.h>
#include <string.h>

#include "clients/cli/output.h"

#define TOLD_MAX 8u

const char *stuck_text(char into[STUCK_SIZE], const struct cairn_move *move) {
  into[0] = '\0';
  if (move->stuck[0] != '\0')
    snprintf(into, STUCK_SIZE, "partition %u of %.*s waits: %s", move->partition, CAIRN_NAME_MAX, move->topic, move->stuck);
  return into;
}

struct search {
  char *into;
  const char *const *topics;
  size_t topic_count;
};

static bool is_wanted(const struct search *search, const char *topic) {
  for (size_t i = 0; i < search->topic_count; i++)
    if (strcmp(search->topics[i], topic) == 0) return true;
  return search->topic_count == 0;
}

static void move_visit(void *context, const struct cairn_move *move) {
  const struct search *search = context;
  if (search->into[0] == '\0' && is_wanted(search, move->topic)) stuck_text(search->into, move);
}

void stuck_find(char into[STUCK_SIZE], struct cli *cli, const char *const *topics, size_t topic_count) {
  struct search search = {into, topics, topic_count};
  into[0] = '\0';
  cairn_move_list(cli->client, move_visit, &search, NULL);
}

void stuck_print(const struct cli *cli, const json_t *moves) {
  size_t i, stuck = 0;
  json_t *move;
  json_array_foreach(moves, i, move) {
    const char *why = json_string_value(json_object_get(move, "stuck"));
    if (why == NULL || why[0] == '\0' || stuck++ >= TOLD_MAX) continue;
    output_printf(cli->output, "partition %lld of %s waits: %s\n",
                  (long long)json_integer_value(json_object_get(move, "partition")),
                  json_string_value(json_object_get(move, "topic")), why);
  }
  if (stuck > TOLD_MAX) output_printf(cli->output, "%zu more wait\n", stuck - TOLD_MAX);
}
