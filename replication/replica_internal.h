/* Between replica.c and lane.c: what a lane does with its replicas when a journal write comes back. */
#ifndef CAIRN_REPLICATION_REPLICA_INTERNAL_H
#define CAIRN_REPLICATION_REPLICA_INTERNAL_H

#include "base/list.h"
#include "replication/lane.h"
#include "replication/replica.h"

struct replica {
  struct lane *lane;
  struct log *log;
  struct raft raft;
  struct state_machine machine;
  group_id group;
  struct list uncommitted; /* proposals, in index order, from commit + 1 on */
  uint64_t uncommitted_bytes;
  entry_index applied;
  struct raft_mark durable; /* what its frames have told: as of the newest write that came back */
  record_offset high_watermark;
  struct list_node touched; /* on the lane's list while a returned write is being worked through */
  bool deleting;
  void (*deleted)(void *context);
  void *deleted_context;
};

/* The lane's register of its replicas. */
void lane_add(struct lane *lane, struct replica *replica);
void lane_remove(struct lane *lane, struct replica *replica);

/* Of a write that became durable: one of its frames; then once for each replica that had any. */
void replica_frame_durable(struct replica *replica, const struct journal_frame *frame);
void replica_publish(struct replica *replica);

/* The journal has failed: nothing in flight will ever be known to be durable. */
void replica_disk_failed(struct replica *replica);

#endif
