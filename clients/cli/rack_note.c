#include "clients/cli/rack_note.h"

#include <jansson.h>
#include <stdio.h>

struct sight {
  const uint32_t *brokers;
  size_t count;
  json_t *chosen; /* by rack, the brokers there that were chosen */
  bool others;    /* some broker stands where none of them does */
};

static bool is_chosen(const struct sight *sight, uint32_t broker) {
  for (size_t i = 0; i < sight->count; i++)
    if (sight->brokers[i] == broker) return true;
  return false;
}

/* Who told no rack stands alone, and who leaves gets nothing. */
static void see(void *context, const struct cairn_member *member) {
  struct sight *sight = context;
  bool gets = member->standing != CAIRN_BROKER_GONE && member->standing != CAIRN_BROKER_LEAVING;
  bool chosen = is_chosen(sight, member->broker_id);
  if (member->rack[0] == '\0') {
    sight->others = sight->others || (gets && !chosen);
    return;
  }
  if (!gets && !chosen) return;
  if (json_object_get(sight->chosen, member->rack) == NULL) json_object_set_new(sight->chosen, member->rack, json_array());
  if (chosen) json_array_append_new(json_object_get(sight->chosen, member->rack), json_integer(member->broker_id));
}

static void tell(const struct sight *sight) {
  const char *rack, *crowded = NULL;
  json_t *brokers;
  bool others = sight->others;
  json_object_foreach(sight->chosen, rack, brokers) {
    if (json_array_size(brokers) == 0) others = true;
    if (json_array_size(brokers) > 1) crowded = rack;
  }
  if (crowded == NULL || !others) return;
  brokers = json_object_get(sight->chosen, crowded);
  fprintf(stderr,
          "note: brokers %lld and %lld stand in one rack, %s, and another rack has none of them: what falls there takes both\n",
          (long long)json_integer_value(json_array_get(brokers, 0)), (long long)json_integer_value(json_array_get(brokers, 1)),
          crowded);
}

void rack_note_tell(const struct cli *cli, const uint32_t *brokers, size_t count) {
  struct sight sight = {.brokers = brokers, .count = count, .chosen = json_object()};
  if (count > 1 && cairn_cluster_describe(cli->client, NULL, see, &sight, NULL) == CAIRN_OK) tell(&sight);
  json_decref(sight.chosen);
}
