/* Between the files of placement. */
#ifndef CAIRN_CONTROLLER_PLACEMENT_INTERNAL_H
#define CAIRN_CONTROLLER_PLACEMENT_INTERNAL_H

#include "controller/placement.h"

/* Partitions that were just dealt out: for one after the other the places that its brokers have in the loads, who is to lead it first. */
struct placement_dealt {
  struct placement_load *loads;
  size_t count;
  uint32_t *places;
  uint32_t partitions;
  uint32_t replicas; /* of each */
};

/* placement_lead.c: who is to lead them. Ends as evenly as replicas and earlier firsts allow; the loads go along. */
void placement_even_firsts(const struct placement_dealt *dealt);

#endif
