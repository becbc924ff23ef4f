/* The parts of a node, for the files that put it together and take it apart: node.c, node_recover.c, node_stop.c. */
#ifndef CAIRN_SERVER_NODE_INTERNAL_H
#define CAIRN_SERVER_NODE_INTERNAL_H

#include "log/lineage.h"
#include "server/balancer.h"
#include "server/brokers.h"
#include "server/fitness.h"
#include "server/map_question.h"
#include "server/map_watches.h"
#include "server/movers.h"
#include "server/node.h"
#include "server/seen.h"
#include "server/services.h"
#include "server/steward.h"
#include "server/upgrader.h"

struct lane_errand;

struct node {
  struct world *world;
  const struct options *options;
  struct account *account;      /* the transport may give back a blob when the node is gone */
  struct account *read_account; /* a part of it: answers that readers do not take must not keep appends out */
  struct log_set *logs;
  struct log_identity identity;
  struct log_set_report report;
  struct lineage lineage; /* of the directory, with this process as its newest link */
  struct seen *seen;      /* NULL where there are no others */
  atomic_bool ending;     /* somebody is noting ... */
  atomic_bool must_end;   /* ... that this process is to end, ... */
  enum status end_status; /* ... for what, ... */
  char end_why[512];      /* ... and why, in words */
  atomic_bool watched;
  struct node_watch watch; /* of that */
  bool doubt;              /* the map or the journal lost something to damage: nothing is made or deleted on the map's word */
  struct brokers *brokers;
  struct movers *movers;
  struct map_watches *watches;
  struct steward *steward;
  struct balancer *balancer;
  struct upgrader *upgrader;
  enum map_standing standing;      /* as the map has this broker; on lane 0 */
  atomic_bool drained;             /* the map wants this broker to lead nothing */
  struct map_questions *questions; /* of other brokers' movers */
  struct progress_board *board;    /* what they told */
  struct peers *peers;             /* NULL: there are none */
  struct pace pace;                /* of what replicas get that do not count yet */
  struct lane **lanes;
  struct partition_host *hosts;
  struct looks *looks;
  struct list *streams;
  unsigned lane_count;
  struct offload *inflater;
  struct offload *planner;
  struct routing *routing;
  struct map_follower *follower;
  struct controller *controller;
  struct log *controller_log; /* recovered; NULL when group 0 was founded just now */
  struct services services;
  struct timer drain_timer;
  struct timer hand_over_timer;
  uint64_t hand_over_until_ns;
  atomic_bool leaving;    /* it stops, and had better not lead */
  struct fitness fitness; /* the peers loop's */
  struct lane_errand *handing_over;
  bool serving;
  char address[ADDRESS_HOST_SIZE + 16];
  uint64_t started_ns;
  uint64_t recovered_ms;
  size_t partition_count;
};

#define NS_PER_MS 1000000u

/* Something to be done on a lane while the opening or closing thread waits. */
struct lane_errand {
  struct task task;
  struct node *node;
  unsigned lane;
  void (*run)(struct lane_errand *errand); /* ends, perhaps later, with errand_done() */
  enum status status;
  atomic_bool done;
};
/* Sends it, waits for it, returns its status. */
enum status node_on_lane(struct node *node, unsigned lane, void (*run)(struct lane_errand *errand));
void errand_done(struct lane_errand *errand); /* the last thing that touches it */

/* On lane 0: done when nothing is being opened any more. */
void node_settle_partitions(struct lane_errand *errand);

/* Opens the logs and learns who this is. */
enum status node_recover(struct node *node, const atomic_bool *cancelled, struct buffer *out_problem) MUST_CHECK;

/* log_set_options.may_go_on. (node_lineage.c) */
struct node_going_on {
  struct node *node;
  const uint8_t *formatted;     /* the incarnation that the directory got if it had none */
  const atomic_bool *cancelled; /* looked at while an earlier process is waited for; NULL: nobody can */
  struct buffer *out_problem;
};
enum status node_may_go_on(void *context, const struct log_identity *identity, const struct log_set_report *report,
                           struct buffer *out_reason) MUST_CHECK;

/* Why this process must end. The first one counts. @any-thread (node_end.c) */
void node_superseded_by(void *context, const char *text); /* peers_options.superseded */
void node_refused_by(void *context, const char *text);    /* brokers_wiring.outgrown: the others are at a level that it cannot */
void node_outgrown(void *context, uint32_t level);        /* controller_watch.outgrown */
/* Group 0 was opened. STATUS_FEATURE_LEVEL: the map is of a level that this broker cannot; nothing was done on its word. */
enum status node_check_features(const struct node *node, struct buffer *out_problem) MUST_CHECK;
struct feature_range node_features(const struct node *node);

/* The wires to other brokers; nothing where there are to be none. (node_peers.c) */
enum status node_open_peers(struct node *node, struct buffer *out_problem) MUST_CHECK;
struct raft_timing node_timing(const struct node *node);
struct replica_id node_replica_id(const struct node *node);
/* Group 0's founders. */
void node_founding(const struct node *node, struct raft_config *out_config);

#endif
