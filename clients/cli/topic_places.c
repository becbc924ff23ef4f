#include "clients/cli/topic_places.h"

#include <stdlib.h>

#include "base/memory.h"
#include "clients/cli/report.h"

/* Returns where it ends, NULL: it is none. */
static const char *read_place(const char *at, struct cairn_place *out_place) {
  *out_place = (struct cairn_place){0};
  while (out_place->count < CAIRN_REPLICAS_MAX) {
    char *end = NULL;
    unsigned long long broker = strtoull(at, &end, 10);
    if (*at < '0' || *at > '9' || broker == 0 || broker > INT32_MAX) return NULL;
    out_place->brokers[out_place->count++] = (uint32_t)broker;
    if (*end != ':') return end;
    at = end + 1;
  }
  return NULL;
}

int topic_places_read(const struct cli *cli, struct cairn_place **out_places, size_t *out_count) {
  const char *text = cli_option(cli, "places"), *at = text;
  *out_places = NULL;
  *out_count = 0;
  if (text == NULL) return CLI_OK;
  for (;;) {
    struct cairn_place place;
    const char *end = read_place(at, &place);
    if (end == NULL || (*end != ',' && *end != '\0')) break;
    *out_places = memory_grow_array(*out_places, *out_count + 1, sizeof **out_places);
    (*out_places)[(*out_count)++] = place;
    if (*end == '\0') return CLI_OK;
    at = end + 1;
  }
  memory_free(*out_places);
  *out_places = NULL;
  *out_count = 0;
  return report_usage(cli, "\"%s\" does not say which 1 to %d brokers each partition is on, as in --places 1:2:3,2:3:1", text,
                      CAIRN_REPLICAS_MAX);
}
