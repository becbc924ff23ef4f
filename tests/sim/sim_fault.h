/* The sentences of sim_disk_fault(): which operation on which path goes wrong how. For sim_disk.c and its neighbours only. */
#ifndef CAIRN_TESTS_SIM_SIM_FAULT_H
#define CAIRN_TESTS_SIM_SIM_FAULT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/status.h"

enum sim_operation {
  SIM_OPEN,
  SIM_READ,
  SIM_WRITE,
  SIM_SYNC,
  SIM_TRUNCATE,
  SIM_STAT,
  SIM_RENAME,
  SIM_REMOVE,
  SIM_MAKE_DIR,
  SIM_SYNC_DIR,
  SIM_LIST,
  SIM_LOCK,
  SIM_ANY
};
const char *sim_operation_name(enum sim_operation operation);

enum sim_fault_kind { SIM_FAULT_NONE, SIM_FAULT_FAIL, SIM_FAULT_LIE, SIM_FAULT_SLOW, SIM_FAULT_CRASH };

struct sim_fault {
  struct list_node node;
  enum sim_fault_kind kind;
  uint64_t which; /* 0: every */
  enum sim_operation operation;
  char pattern[128];
  enum status status;
  uint64_t factor;
  uint64_t seen;
};

struct sim_verdict {
  enum sim_fault_kind kind; /* the first fault that fits, SLOW apart */
  enum status status;
  uint64_t factor; /* of the latency */
};

struct sim_fault *sim_fault_parse(const char *sentence); /* a sentence that makes no sense fails a CHECK */
/* Counts the operation in all sentences that match, and tells what they say. `out_fired` counts up. */
struct sim_verdict sim_faults_judge(struct list *faults, enum sim_operation operation, const char *path, uint64_t *out_fired);

#endif
