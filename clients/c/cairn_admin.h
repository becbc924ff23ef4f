/* The administration of a cluster, as far as a program wants to do it itself: topics, who has and leads which partition, moves and plans of moves,
 * brokers, and the map of all that with every change of it. What cairn.h says of threads, ownership, options, units, names and errors
 * holds here too; every call goes to the brokers of a cairn_client, to whichever of them can answer it.
 */
#ifndef CAIRN_ADMIN_H
#define CAIRN_ADMIN_H

#include "clients/c/cairn.h"

#ifdef __cplusplus
extern "C" {
#endif

#define CAIRN_REPLICAS_MAX 7 /* of a partition */

/* ---- Topics ---- */

/* A setting that is 0 is not given: it keeps its value, or gets its default. For the first two -1 means no bound, and 0 that every segment goes
 * once it is full: there `has_` says that 0 is meant. It is looked at with 0 alone, and set in what a broker answers. */
struct cairn_topic_config {
  bool has_retention_bytes;
  bool has_retention_ms;
  int64_t retention_bytes;
  int64_t retention_ms;
  int64_t segment_bytes;
  int64_t record_bytes_max;
};

struct cairn_topic {
  char name[CAIRN_NAME_MAX + 1];
  uint64_t id;
  uint32_t partitions;
  uint32_t replicas;
  struct cairn_topic_config config;
  int64_t created_ms;
};

/* Borrowed during the visit. As the broker that was asked sees it: of a partition that is on other brokers it knows no more than who these are: leader_id is 0,
 * and cairn_partition_describe() tells the rest. */
struct cairn_partition {
  uint32_t partition;
  uint64_t group_id;
  uint32_t leader_id; /* 0: not known to it */
  const char *leader;
  const uint32_t *replicas;
  size_t replica_count;
  const uint32_t *moving_to; /* brokers, while it is on its way to them */
  size_t moving_to_count;    /* 0: it stays where it is */
  int64_t log_start_offset;
  int64_t high_watermark;
};

/* The brokers of one partition: 1 to CAIRN_REPLICAS_MAX, each once; the first is to lead. */
struct cairn_place {
  uint32_t brokers[CAIRN_REPLICAS_MAX];
  size_t count;
};

struct cairn_topic_options {
  uint32_t partitions;              /* 0: 1, or as many as there are places */
  uint32_t replicas;                /* 0: min(3, brokers), or as many as each place has */
  const struct cairn_place *places; /* where its partitions are to be, in the order of their numbers, ... */
  size_t place_count;               /* ... 0: spread evenly. A broker that is older than this spreads them all the same */
  struct cairn_topic_config config;
  bool validate_only; /* check everything, change nothing */
};

struct cairn_growth_options {
  const struct cairn_place *
      places; /* where the new partitions are to be, in the order of their numbers, each with as many brokers as partition 0 has replicas, ... */
  size_t place_count; /* ... 0: spread evenly. A broker that is older than this spreads them all the same */
  bool validate_only; /* check everything, change nothing */
};

/* A synchronous call that changes something is sent again only when it surely had no effect. `out` pointers may be NULL, and so
 * may `options`, and the `visit` of describe. `visit` runs on the caller's thread, before the function returns.
 *
 *   create    BAD_NAME, TOPIC_EXISTS, INVALID (a setting, a place), NOT_FOUND (a place's broker), TOO_LARGE (the cluster has as many topics or partitions as it can)
 *   list      all topics by name, page by page: one that is made or deleted meanwhile may be missed or shown
 *   describe  UNKNOWN_TOPIC; partitions in the order of their numbers
 *   alter     UNKNOWN_TOPIC, INVALID
 *   grow      up to so many partitions; those that it has keep their numbers and records. Open producers choose among the new ones too within a
 *             second, if a broker has room to tell them: records with a key may go to another partition than before. A consumer reads one partition, and
 *             cairn_watch tells that there are more. UNKNOWN_TOPIC, INVALID (fewer than it has; a place), NOT_FOUND (a place's broker), TOO_LARGE,
 *             DISK_FULL
 *   delete    UNKNOWN_TOPIC; `*out_id` is the id that is never used again
 */
int cairn_topic_create(struct cairn_client *client, const char *name, const struct cairn_topic_options *options,
                       struct cairn_topic *out_topic, struct cairn_error *error);
int cairn_topic_list(struct cairn_client *client, void (*visit)(void *context, const struct cairn_topic *topic), void *context,
                     struct cairn_error *error);
int cairn_topic_describe(struct cairn_client *client, const char *name, struct cairn_topic *out_topic,
                         void (*visit)(void *context, const struct cairn_partition *partition), void *context,
                         struct cairn_error *error);
int cairn_topic_alter(struct cairn_client *client, const char *name, const struct cairn_topic_config *config, bool validate_only,
                      struct cairn_topic *out_topic, struct cairn_error *error);
int cairn_topic_grow(struct cairn_client *client, const char *name, uint32_t partitions,
                     const struct cairn_growth_options *options, struct cairn_topic *out_topic, struct cairn_error *error);
int cairn_topic_delete(struct cairn_client *client, const char *name, bool validate_only, uint64_t *out_id,
                       struct cairn_error *error);

/* ---- One partition: where it is, and who leads it ---- */

/* Gives a partition other replicas; the first broker is to lead. It goes on meanwhile, and has arrived when cairn_topic_describe() says that it
 * is moving no more. UNKNOWN_TOPIC, UNKNOWN_PARTITION, NOT_FOUND (no such broker), INVALID, BUSY,
 * TOO_FEW_BROKERS (one of them is leaving, and fewer others stay than it is to have replicas). */
int cairn_partition_move(struct cairn_client *client, const char *topic, uint32_t partition, const uint32_t *brokers,
                         size_t broker_count, bool validate_only, struct cairn_error *error);

/* Who leads a partition: when it was asked for, and since. */
struct cairn_leadership {
  uint32_t leader_before;
  uint32_t leader_after;           /* validate_only: the same */
  char leader[CAIRN_ADDRESS_SIZE]; /* of leader_after; "": not known */
  uint64_t term;
};

/* Hands the lead of a partition to one of its replicas, and returns when that one is seen to lead, or leads already. It keeps the lead though the
 * partition's first replica is another one, until the leader changes in some other way, the replicas do, or preferred-leaders-hold-ms (a setting of
 * brokers) have passed. While the replica is behind it is asked again until the call's timeout. UNKNOWN_TOPIC, UNKNOWN_PARTITION, NOT_FOUND
 * (no such broker), CANNOT_LEAD, CANNOT_LEAD_YET; DEADLINE, UNKNOWN_OUTCOME: it may lead yet, and asking again does no harm. */
int cairn_partition_transfer(struct cairn_client *client, const char *topic, uint32_t partition, uint32_t broker,
                             bool validate_only, struct cairn_leadership *out_leadership, struct cairn_error *error);

/* ---- Many moves: a plan, and what is under way ---- */

/* A partition that had better be elsewhere. Borrowed during the visit. */
struct cairn_planned_move {
  const char *topic;
  uint64_t topic_id; /* 0: whichever topic has the name */
  uint32_t partition;
  const uint32_t *from; /* brokers; the first is to lead. None: wherever it is */
  size_t from_count;
  const uint32_t *to;
  size_t to_count;
  uint32_t copies;  /* replicas that are made anew; 0: only who is to lead changes */
  bool bytes_known; /* false: the broker asked has no replica of it */
  uint64_t bytes;   /* that are copied to all of these */
};
struct cairn_reassignment_goal {
  const char *const *topics; /* none: all */
  size_t topic_count;
  const uint32_t *brokers; /* that are to have them, and nobody else; none: whoever is up and in */
  size_t broker_count;
};
struct cairn_plan {
  uint32_t moves;      /* visited */
  uint32_t more_moves; /* beyond the 5,000 that one answer holds: carry these out, and ask again */
  uint32_t partitions; /* that were looked at, and of these left where they are */
  uint32_t partitions_moving;
  uint32_t partitions_without_quorum;
  uint32_t copies; /* of all moves */
  uint32_t leads;  /* partitions that another broker is to lead */
  uint64_t bytes;  /* where they are known */
  uint32_t partitions_of_unknown_size;
};
/* Where partitions had better be: apart by racks and spread evenly, with as few replicas moved as that takes. Changes nothing. UNKNOWN_TOPIC, NOT_FOUND (no such
 * broker), INVALID (a broker is named twice, leaves, or is down), TOO_FEW_BROKERS, TOO_LARGE (name topics), BUSY (the broker makes as many
 * as it may: it is asked again until the call's time is over). `out_plan` and
 * `visit` may be NULL. */
int cairn_reassignment_plan(struct cairn_client *client, const struct cairn_reassignment_goal *goal, struct cairn_plan *out_plan,
                            void (*visit)(void *context, const struct cairn_planned_move *move), void *context,
                            struct cairn_error *error);
/* One move of a plan: the same as cairn_partition_move(), but only where the partition is where the plan found it, or on its way to `to`, or there.
 * Else PLAN_STALE, and nothing is changed. Records that were there before go to new replicas no faster than `bytes_per_second` (0: as fast as brokers
 * give them). */
int cairn_partition_move_planned(struct cairn_client *client, const struct cairn_planned_move *move, uint64_t bytes_per_second,
                                 bool validate_only, struct cairn_error *error);
/* Takes a move back: the partition ends where it was when it began. `number`: of this move only; 0: of whichever is under way. NOT_FOUND: it is
 * not on its way. PLAN_STALE: another move has taken the place of that one. UNKNOWN_TOPIC, UNKNOWN_PARTITION, TOO_FEW_BROKERS. */
int cairn_partition_move_cancel(struct cairn_client *client, const char *topic, uint32_t partition, uint64_t number,
                                bool validate_only, struct cairn_error *error);

/* A partition on its way. Borrowed during the visit. */
struct cairn_move {
  const char *topic;
  uint64_t topic_id;
  uint32_t partition;
  uint64_t number; /* no other move has it */
  const uint32_t *from;
  size_t from_count;
  const uint32_t *to;
  size_t to_count;
  uint64_t bytes_per_second_max; /* 0: none of its own */
  bool told;                     /* false: its leader has told nothing within the last seconds, and what follows is 0 */
  uint32_t learners;             /* replicas that are being given what they lack */
  uint64_t bytes_done;           /* of all of them, estimated */
  uint64_t bytes_to_go;
  uint64_t bytes_per_second; /* lately */
  const char *stuck;         /* what is in the way, and what to do; "": nothing is, or the broker asked is older than this */
};
/* The moves under way, by topic's id and partition: whoever leads the map answers. */
int cairn_move_list(struct cairn_client *client, void (*visit)(void *context, const struct cairn_move *move), void *context,
                    struct cairn_error *error);

/* A broker that leaves, and what it still has. Borrowed during the visit. */
struct cairn_evacuation {
  uint32_t broker_id;
  uint32_t replicas;                   /* partitions that are still to go ... */
  uint32_t moving;                     /* ... and these of them are on their way */
  uint64_t bytes;                      /* of the others, where they are known */
  uint32_t partitions_of_unknown_size; /* of the others */
  const char *stuck;                   /* what is in the way, and what to do; "": nothing is */
  const char *stuck_topic;             /* the first partition that it is in the way of; "": none */
  uint32_t stuck_partition;
};
/* All long work that is under way: moves, and brokers that leave. The same answer as cairn_move_list() has, with both; `evacuation_visit` sees none
 * where the broker asked is older than that. */
int cairn_work_list(struct cairn_client *client, void (*move_visit)(void *context, const struct cairn_move *move),
                    void (*evacuation_visit)(void *context, const struct cairn_evacuation *evacuation), void *context,
                    struct cairn_error *error);

/* ---- Brokers, and the cluster as a whole ---- */

struct cairn_broker {
  uint32_t broker_id;
  char cluster_id[33];
  char incarnation[33];
  char version[64];
  char advertised[CAIRN_ADDRESS_SIZE];
  uint32_t topics;
  uint32_t partitions;
  uint32_t leads; /* of the partitions: those that it leads just now */
};
int cairn_broker_describe(struct cairn_client *client, struct cairn_broker *out_broker, struct cairn_error *error);

struct cairn_cluster {
  char cluster_id[33];
  uint32_t controller_id; /* the broker that leads the map; 0: the one asked does not know */
  uint32_t brokers;
  uint32_t topics;
  uint32_t partitions;
  /* Of these, as the broker asked hears the others (0 where it is older): */
  uint32_t partitions_without_quorum;    /* no majority of their replicas is up: nothing can be appended */
  uint32_t partitions_short_of_replicas; /* of the rest: a replica is down, or its directory lost */
  uint32_t partitions_moving;            /* on their way to other brokers */
  uint32_t feature_level;                /* what may be written; 0: the broker asked is older */
  uint32_t feature_level_possible;       /* that all brokers can: cairn_feature_level_raise(); never below feature_level */
};
/* What is wanted of a broker, and in the end what has become of it. */
enum cairn_broker_standing {
  CAIRN_BROKER_UNKNOWN = 0, /* told by a broker that does not know of standings, or knows more of them */
  CAIRN_BROKER_IN = 1,      /* it has replicas, and leads */
  CAIRN_BROKER_DRAINED = 2, /* it leads nothing that another one can lead */
  CAIRN_BROKER_LEAVING = 3, /* the same; its replicas go to others, and it gets no new ones */
  CAIRN_BROKER_GONE = 4     /* it has none any more, and its directory is no part of the cluster */
};
/* Whether the broker asked hears it. */
enum cairn_broker_liveness {
  CAIRN_BROKER_UNTOLD = 0, /* the one asked is older */
  CAIRN_BROKER_UP = 1,
  CAIRN_BROKER_DOWN = 2
};
/* Borrowed during the visit. */
struct cairn_member {
  uint32_t broker_id;
  const char *advertised;
  const char *peer_address; /* "": it takes no peers */
  const char *incarnation;
  bool controller;
  uint32_t replicas;  /* that the map gives it */
  uint32_t preferred; /* of them: those that are to lead their partition */
  enum cairn_broker_standing standing;
  enum cairn_broker_liveness liveness;
  const char *rack;       /* what it shares with others that fall when it falls; "": it told none, or the one asked is older */
  uint32_t feature_least; /* levels that it can, both inclusive; ... */
  uint32_t feature_most;  /* ... 0: the broker asked is older */
  bool votes;             /* on the map, and so it may come to lead it; false of all: the broker asked is older */
};
/* The brokers of the cluster, by number. UNSUPPORTED: the broker asked is older. `out_cluster` and `visit` may be NULL. */
int cairn_cluster_describe(struct cairn_client *client, struct cairn_cluster *out_cluster,
                           void (*visit)(void *context, const struct cairn_member *member), void *context,
                           struct cairn_error *error);

/* Asks for CAIRN_BROKER_IN, _DRAINED or _LEAVING; the same a second time changes nothing. It returns when that is decided, and the cluster brings
 * it about: cairn_cluster_describe() tells when a broker that leaves is CAIRN_BROKER_GONE. `validate_only`: checks everything, changes nothing.
 * `visit` gets the broker as whoever leads the map has it then; it may be NULL. NOT_FOUND (no such broker, or, with the reason BROKER_GONE, it has
 * left), INVALID (also DRAINED of one that is leaving), TOO_FEW_BROKERS (each partition on it needs as many other brokers as it has
 * replicas; the message names the first ones), UNSUPPORTED: the broker asked is older. */
int cairn_broker_set_standing(struct cairn_client *client, uint32_t broker_id, enum cairn_broker_standing standing,
                              bool validate_only, void (*visit)(void *context, const struct cairn_member *member), void *context,
                              struct cairn_error *error);

/* From now on what belongs to this feature level may be written, and there is no way back: who cannot read it can be no part of the cluster.
 * `level` 0: the highest that any broker can. The same a second time changes nothing. `out_before` (the level that it had) and `out_level` (that it
 * has; with `validate_only`, that it would have) may be NULL. FEATURE_LEVEL (a broker cannot it: the message names the first ones), INVALID (the
 * cluster is at a higher one), LOADING (not all brokers have told what they can), UNSUPPORTED: the broker asked is older. */
int cairn_feature_level_raise(struct cairn_client *client, uint32_t level, bool validate_only, uint32_t *out_before,
                              uint32_t *out_level, struct cairn_error *error);

/* ---- The watch of the map: which brokers, topics and partitions there are, and every change of it ---- */

struct cairn_watch;

#define CAIRN_WATCH_TOPICS_MAX 100

struct cairn_watch_options {
  uint64_t from_version;     /* of the map that you have; 0: none, and the whole map comes first */
  const char *cluster_id;    /* whose map that is: brokers of another cluster say FOREIGN. NULL: it is not looked at */
  bool from_now;             /* with from_version 0: only what changes from now on, and not the map */
  const char *const *topics; /* nothing of topics but these, also before they are there; brokers in any case */
  size_t topic_count;        /* at most CAIRN_WATCH_TOPICS_MAX; 0: all topics. Who goes on from a version names the same ones */
  uint32_t retry_timeout_ms; /* how long to try to go on, at any of the brokers, before an error; 0: 30,000 */
  void (*notify)(void *context); /* on the library's thread: cairn_watch_next() has something. Must not block */
  void *context;
};

enum cairn_change_kind {
  CAIRN_CHANGE_BROKER = 1, /* `member` is new, or otherwise than before */
  CAIRN_CHANGE_TOPIC = 2,  /* of a whole map: `topic`, with all its `partitions` */
  CAIRN_CHANGE_TOPIC_CREATED = 3,
  CAIRN_CHANGE_TOPIC_ALTERED = 4,    /* it has other settings; no partitions are told */
  CAIRN_CHANGE_TOPIC_GROWN = 5,      /* it has these `partitions` besides those that it had */
  CAIRN_CHANGE_TOPIC_DELETED = 6,    /* `topic` has only its id and its name, which another topic may get */
  CAIRN_CHANGE_PARTITION_MOVING = 7, /* one is to go to other brokers */
  CAIRN_CHANGE_PARTITION_MOVED = 8,  /* it has arrived */
  CAIRN_CHANGE_FEATURE_LEVEL = 9,    /* what may be written is of `feature_level`; of a whole map, where it is above 1 */
  CAIRN_CHANGE_MAP_BEGINS = 100,     /* forget what you have: the whole map comes, change by change */
  CAIRN_CHANGE_MAP_WHOLE = 101       /* that was all of it: what you have now is the map of `version` */
};

/* What something is from a version on. Who only keeps what is told puts it in the place of what he had, by the ids of topics, the numbers of their
 * partitions and of brokers; a newer broker may tell of kinds that are not above, to which this applies too. All is borrowed until the next call on the watch. */
struct cairn_change {
  enum cairn_change_kind kind;
  uint64_t version;                         /* that it came with; of a whole map, as of which it is so */
  const struct cairn_topic *topic;          /* NULL: it is of a broker, or of the map */
  const struct cairn_partition *partitions; /* of it, without leaders and offsets */
  size_t partition_count;
  const struct cairn_member *member; /* its id, addresses, incarnation, standing, rack and feature levels, and nothing else */
  uint32_t feature_level;            /* 0: it is not of that */
};

/* Begins at once, in the background, with any of the client's brokers; what is in the options is copied. It is one call to one broker, which has room
 * for some (map-watches-max), so one watch serves a whole program. It goes on by itself at another broker, from where it was, when that one stops or is
 * not heard any more, or hears of nobody who leads the map. Like a consumer it belongs to one thread at a time.
 * BAD_NAME, INVALID. */
int cairn_watch_new(struct cairn_client *client, const struct cairn_watch_options *options, struct cairn_watch **out_watch,
                    struct cairn_error *error);

/* CAIRN_OK: the next change. Never one is left out: where they cannot be had one by one any more, because this was away or did not ask for long,
 * CAIRN_CHANGE_MAP_BEGINS comes. CAIRN_WAIT: nothing came in time. Else an error, which ends the watch: FOREIGN, INVALID, BAD_NAME, BUSY, TRANSPORT, ... */
int cairn_watch_next(struct cairn_watch *watch, uint32_t timeout_ms, struct cairn_change *out_change, struct cairn_error *error);

/* What you have by the changes so far: keep it, with the cluster's id, to go on from there another time. 0: not yet a whole map, or nothing was heard. */
uint64_t cairn_watch_version(const struct cairn_watch *watch);
/* 32 hex digits, as the broker told them, or as the options have them; "" while neither is known. Borrowed; it never changes once it is known. */
const char *cairn_watch_cluster_id(const struct cairn_watch *watch);
void cairn_watch_free(struct cairn_watch *watch); /* NULL is fine */

#ifdef __cplusplus
}
#endif

#endif
