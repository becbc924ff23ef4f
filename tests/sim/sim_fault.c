#include "tests/sim/sim_fault.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/memory.h"

static const char *const operation_names[] = {
    [SIM_OPEN] = "open",         [SIM_READ] = "read",         [SIM_WRITE] = "write",   [SIM_SYNC] = "sync",
    [SIM_TRUNCATE] = "truncate", [SIM_STAT] = "stat",         [SIM_RENAME] = "rename", [SIM_REMOVE] = "remove",
    [SIM_MAKE_DIR] = "make_dir", [SIM_SYNC_DIR] = "sync_dir", [SIM_LIST] = "list",     [SIM_LOCK] = "lock",
    [SIM_ANY] = "any",
};

const char *sim_operation_name(enum sim_operation operation) { return operation_names[operation]; }

static enum sim_fault_kind kind_of(const char *word) {
  if (strcmp(word, "fail") == 0) return SIM_FAULT_FAIL;
  if (strcmp(word, "lie") == 0) return SIM_FAULT_LIE;
  if (strcmp(word, "slow") == 0) return SIM_FAULT_SLOW;
  if (strcmp(word, "crash") == 0) return SIM_FAULT_CRASH;
  return SIM_FAULT_NONE;
}

static bool operation_of(const char *word, enum sim_operation *out_operation) {
  for (int i = 0; i <= SIM_ANY; i++) {
    if (strcmp(word, operation_names[i]) != 0) continue;
    *out_operation = (enum sim_operation)i;
    return true;
  }
  return false;
}

static enum status status_of(const char *word) {
  if (strcmp(word, "no_space") == 0) return STATUS_NO_SPACE;
  if (strcmp(word, "denied") == 0) return STATUS_DENIED;
  CHECK_MSG(strcmp(word, "io") == 0, "no such status: %s", word);
  return STATUS_IO;
}

struct sim_fault *sim_fault_parse(const char *sentence) {
  char words[8][128] = {{0}};
  int count = sscanf(sentence, "%127s %127s %127s %127s %127s %127s %127s", words[0], words[1], words[2], words[3], words[4],
                     words[5], words[6]);
  struct sim_fault *fault = NEW(struct sim_fault);
  fault->kind = kind_of(words[0]);
  fault->status = STATUS_IO;
  fault->factor = 1;
  int at = 1;
  if (words[1][0] >= '1' && words[1][0] <= '9') {
    fault->which = strtoull(words[at++], NULL, 10);
  } else if (strcmp(words[1], "every") == 0) {
    at++;
  }
  bool known = fault->kind != SIM_FAULT_NONE && operation_of(words[at], &fault->operation) && strcmp(words[at + 1], "on") == 0;
  CHECK_MSG(known && at + 3 <= count, "not a fault: %s", sentence);
  memcpy(fault->pattern, words[at + 2], sizeof fault->pattern);
  at += 3;
  if (at + 1 < count && strcmp(words[at], "with") == 0) fault->status = status_of(words[at + 1]);
  else if (at + 1 < count && strcmp(words[at], "by") == 0) fault->factor = strtoull(words[at + 1], NULL, 10);
  else CHECK_MSG(at == count, "not a fault: %s", sentence);
  return fault;
}

struct sim_verdict sim_faults_judge(struct list *faults, enum sim_operation operation, const char *path, uint64_t *out_fired) {
  struct sim_verdict verdict = {.kind = SIM_FAULT_NONE, .status = STATUS_OK, .factor = 1};
  list_for_each(faults, node, following) {
    struct sim_fault *fault = list_entry(node, struct sim_fault, node);
    if (fault->operation != SIM_ANY && fault->operation != operation) continue;
    if (fnmatch(fault->pattern, path, 0) != 0) continue;
    fault->seen++;
    if (fault->which != 0 && fault->seen != fault->which) continue;
    ++*out_fired;
    if (fault->kind == SIM_FAULT_SLOW) {
      verdict.factor *= fault->factor;
    } else if (verdict.kind == SIM_FAULT_NONE) {
      verdict.kind = fault->kind;
      verdict.status = fault->status;
    }
  }
  return verdict;
}
