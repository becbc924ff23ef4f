/* One suite, two twins: each test gets a door and cannot tell whether it is real. Loops are of a third kind too: guests of the transport. */
#ifndef CAIRN_TESTS_UNIT_SIM_CONTRACT_H
#define CAIRN_TESTS_UNIT_SIM_CONTRACT_H

#include "base/world.h"

struct contract {
  struct world *world;
  struct sim *sim;                   /* NULL: the real world */
  void (*settle)(struct contract *); /* lets loops work for a while */
  unsigned loop_flags;               /* of loops under test */
  char directory[256];               /* of the real world */
};

int contract_os_set_up(void **state);
int contract_os_tear_down(void **state);
int contract_guest_set_up(void **state); /* tears down as contract_os does */
int contract_sim_set_up(void **state);
int contract_sim_tear_down(void **state);

#define CONTRACT_TEST(test)                                                       \
  {#test " (real)", test, contract_os_set_up, contract_os_tear_down, NULL}, {     \
#test " (simulated)", test, contract_sim_set_up, contract_sim_tear_down, NULL \
  }

#define LOOP_CONTRACT_TEST(test) \
  CONTRACT_TEST(test), { #test " (guest)", test, contract_guest_set_up, contract_os_tear_down, NULL }

#endif
