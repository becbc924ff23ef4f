/* The long work that is under way: moves, and brokers that leave with the moves that empty them. */
#ifndef CAIRN_CLIENTS_CLI_WORK_H
#define CAIRN_CLIENTS_CLI_WORK_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "clients/cli/cli.h"

#define WORK_STUCK_SIZE 512u

/* A broker that leaves. */
struct departure {
  uint32_t broker_id;
  uint32_t replicas;    /* still to go, ... */
  uint32_t moving;      /* ... and on their way of these */
  uint64_t bytes_to_go; /* estimated, ... */
  bool more_to_go;      /* ... and there is more, of partitions whose size is not known */
  uint64_t bytes_per_second;
  char stuck[WORK_STUCK_SIZE]; /* what is in the way, and what to do; "": nothing is */
};

struct work {
  json_t *moves; /* move_json() of each */
  struct departure *departures;
  size_t departure_count;
};

/* One look. CAIRN_OK: `out_work` is the caller's to deinit. */
int work_look(struct cli *cli, struct work *out_work, struct cairn_error *error);
void work_deinit(struct work *work);
/* NULL: it does not leave, or the broker asked is too old to say. */
const struct departure *work_departure(const struct work *work, uint32_t broker);
/* "12 replicas left, 3 on their way; 1.2 GiB to go at 31.0 MiB/s, 40s left". Returns `into`. */
const char *work_departure_text(char *into, size_t size, const struct departure *departure);
/* Until so much is done at this pace; -1: not known. */
int64_t work_seconds_left(uint64_t bytes_to_go, uint64_t bytes_per_second);

#endif
