#include "tests/unit/sim/contract.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/memory.h"
#include "base/os/world_os.h"
#include "proto/rpc_grpc.h"
#include "tests/sim/sim_world.h"

struct sim_contract {
  struct contract contract;
  struct sim_disk *device;
  struct sim_world *sim_world;
};

static void settle_os(struct contract *contract) {
  (void)contract;
  usleep(30000);
}

static void settle_sim(struct contract *contract) { sim_run_for(contract->sim, 30000000); }

int contract_os_set_up(void **state) {
  struct contract *contract = NEW(struct contract);
  const char *where = getenv("TEST_TMPDIR");
  snprintf(contract->directory, sizeof contract->directory, "%.200s/contract.XXXXXX", where == NULL ? "/tmp" : where);
  CHECK(mkdtemp(contract->directory) != NULL);
  enum status status = world_os_open(contract->directory, false, &contract->world);
  CHECK(status == STATUS_OK);
  contract->settle = settle_os;
  *state = contract;
  return 0;
}

int contract_guest_set_up(void **state) {
  int result = contract_os_set_up(state);
  struct contract *contract = *state;
  enum status status = rpc_grpc_open(&contract->world->rpc);
  CHECK(status == STATUS_OK);
  world_os_lend_thread(contract->world, rpc_grpc_loop_new);
  contract->loop_flags = LOOP_NEAR_RPC;
  return result;
}

int contract_os_tear_down(void **state) {
  struct contract *contract = *state;
  char command[300];
  rpc_grpc_close(contract->world->rpc);
  world_os_close(contract->world);
  snprintf(command, sizeof command, "rm -rf '%s'", contract->directory);
  int result = system(command);
  memory_free(contract);
  return result;
}

int contract_sim_set_up(void **state) {
  struct sim_contract *contract = NEW(struct sim_contract);
  contract->contract.sim = sim_new(11);
  contract->contract.settle = settle_sim;
  contract->device = sim_disk_new(contract->contract.sim, "disk", 64 << 20);
  contract->sim_world = sim_world_new(contract->contract.sim, contract->device, "node");
  contract->contract.world = sim_world_doors(contract->sim_world);
  *state = &contract->contract;
  return 0;
}

int contract_sim_tear_down(void **state) {
  struct sim_contract *contract = *state;
  sim_world_free(contract->sim_world);
  sim_disk_free(contract->device);
  sim_free(contract->contract.sim);
  memory_free(contract);
  return 0;
}
