#include "replication/peer_memory.h"

enum peer_news peer_memory_note(struct peer_memory *memory, const struct replica_id *id, uint64_t boot, uint64_t journal) {
  if (!replica_id_equal(&memory->id, id)) *memory = (struct peer_memory){.id = *id};
  if (boot != 0 && boot == memory->refused_boot) return PEER_REFUSED;
  if (journal == 0) return PEER_NEWS;
  bool known = boot == memory->boot || boot == memory->earlier_boot;
  if (journal < memory->journal) {
    if (!known) memory->refused_boot = boot;
    return known ? PEER_LATE : PEER_WENT_BACK;
  }
  memory->journal = journal;
  if (boot == memory->boot) return PEER_NEWS;
  memory->earlier_boot = memory->boot;
  memory->boot = boot;
  return PEER_NEWS;
}
