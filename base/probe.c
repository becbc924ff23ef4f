#include "base/probe.h"

static struct probe *reached;

void probe_reach(struct probe *probe) {
  if (probe->count++ > 0) return;
  probe->next = reached;
  reached = probe;
}

const struct probe *probe_first(void) { return reached; }

void probe_reset(void) {
  for (struct probe *probe = reached; probe != NULL; probe = probe->next) probe->count = 0;
  reached = NULL;
}
