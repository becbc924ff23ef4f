/* Of admins who want something of the map all the time, what they want next: each kind as likely as another, those that take many commands likelier. */
#include "tests/sim/workload.h"

void workload_want(struct worker *worker) {
  const struct plan *plan = worker->run->plan;
  uint32_t number = 0;
  uint64_t what = sim_random_below(&worker->chance, 100);
  if (plan->leaves && what < 20) {
    if (!worker->run->healed) workload_set_standing(worker);
    (void)workload_look_at_brokers(worker);
    return;
  }
  struct run_topic *topic = worker_pick(worker, &number);
  if (topic == NULL) return;
  if (what < 60 && !worker->run->healed) workload_move(worker, topic, number);
  else if (what < 72) workload_alter_topic(worker, topic);
  else if (what < 82) workload_transfer(worker, topic, number);
  else if (what < 91) workload_grow_topic(worker, topic);
  else workload_delete_topic(worker, topic);
}
