/* The parts of a node, for the files that put it together: node.c, node_recover.c. */
#ifndef CAIRN_SERVER_NODE_INTERNAL_H
#define CAIRN_SERVER_NODE_INTERNAL_H

#include "server/node.h"
#include "server/services.h"

struct node {
  struct world *world;
  const struct options *options;
  struct account account;
  struct log_set *logs;
  struct log_identity identity;
  struct log_set_report report;
  bool doubt; /* the map or the journal lost something to damage: nothing is made or deleted on the map's word */
  struct lane **lanes;
  struct partition_host *hosts;
  struct list *streams;
  unsigned lane_count;
  struct inflater *inflater;
  struct routing *routing;
  struct map_follower *follower;
  struct controller *controller;
  struct log *controller_log; /* recovered; NULL when group 0 was founded just now */
  struct services services;
  struct timer drain_timer;
  bool serving;
  char address[ADDRESS_HOST_SIZE + 16];
  uint64_t started_ns;
  uint64_t recovered_ms;
  size_t partition_count;
};

/* Opens the logs and learns who this is. */
enum status node_recover(struct node *node, struct buffer *out_problem) MUST_CHECK;

#endif
