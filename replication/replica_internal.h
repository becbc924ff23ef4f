/* Between the files of the replica and its lane. Everything runs on the lane, unless it says otherwise. */
#ifndef CAIRN_REPLICATION_REPLICA_INTERNAL_H
#define CAIRN_REPLICATION_REPLICA_INTERNAL_H

#include "base/list.h"
#include "replication/lane.h"
#include "replication/peers.h"
#include "replication/replica.h"

/* One read of the log on behalf of a follower. On the heap: it may be under way when nobody wants it any more. */
struct gathering {
  struct log_fetch fetch;
  struct lane *lane;
  struct replica *replica; /* NULL: nobody wants it */
  struct replica_id to;
  bool busy; /* a reader has it */
};

/* What the host of a leader knows of one follower. */
struct follower {
  struct replica_id id;
  bool asked;              /* `ask` is to be sent: RAFT_SENT is owed */
  bool waits_for_room;     /* until PEER_ROOM */
  struct raft_message ask; /* a RAFT_APPEND, of which the entries are still to be gathered */
  uint64_t retry_ns;       /* the log could not be read; RAFT_NEVER: it could */
  uint64_t paced_ns;       /* old entries are not read for it before; 0: it may have them */
  uint64_t paced_bytes;    /* of what is appended here: from there on it was not given as much yet, and gets it without a pause */
  uint64_t given_bytes;    /* of entries, ever */
  uint64_t ship_ns;        /* entries of a snapshot are not read for it before; 0: it may have them */
  uint64_t unread_ns;      /* since when it could not be read for this one; 0: it could */
  uint64_t shipped_ns;     /* a snapshot was offered and is given up then; RAFT_NEVER: none was */
  struct gathering *gathering;
  struct shipment *shipment; /* what it is fetching; NULL: nothing was asked for */
};

/* On its lane's list while something is to be gathered, or on another one while a follower may wait for room. */
struct replica_sender {
  struct list_node node;
  struct replica *replica;
};

/* What only a replica among others has. */
struct replica_links {
  struct raft_held_message *held; /* in the order in which they were made */
  size_t held_count;
  size_t held_capacity;
  struct follower *followers; /* of a leader, one for each other member */
  uint64_t appended_bytes;    /* ever, here: how fast the group grows */
  struct pace pace;           /* of what its own new replicas get */
  size_t follower_count;
  struct replica_sender sender;
  struct replica_sender crowded;

  broker_id led[RAFT_MEMBERS_MAX]; /* whom the wires were told that this one leads */
  size_t led_count;
  entry_term led_term;
  broker_id followed; /* whom the wires were told that this one follows; 0: nobody */
  entry_term followed_term;

  struct list cut;   /* proposals whose entries were cut: what is committed in their place tells their fate */
  uint64_t doubt_ns; /* when proposals of an earlier leadership are given up; RAFT_NEVER: there are none */
};

struct replica_role {
  bool leads;
  entry_term term;
  struct replica_id leader;
};

struct replica {
  struct lane *lane;
  struct log *log;
  struct raft raft;
  struct state_machine machine;
  group_id group;
  struct list uncommitted; /* proposals, in index order, from applied + 1 on; those of other leaders are replica_entry's */
  uint64_t uncommitted_bytes;
  struct list reads; /* in the order of their tickets */
  entry_index applied;
  entry_index
      restored; /* what the owner's state has had from the start: more than `applied` where rot has taken entries from the log since */
  entry_index decides_from; /* of a leader: the entry that has to be applied before its owner may decide */
  entry_term decides_term;  /* in which that entry was proposed */
  struct raft_mark durable; /* what its frames have told: as of the newest write that came back */
  record_offset high_watermark;
  struct replica_role told; /* to the owner */
  struct timer timer;
  uint64_t timer_ns;               /* RAFT_NEVER: not set */
  struct replica_links *links;     /* NULL: alone */
  struct list_node touched;        /* on the lane's list while a returned write is being worked through */
  struct replica_install *install; /* a snapshot comes in; NULL: none does */
  struct replica_mend *mend;       /* a segment is being mended; NULL: none is */
  struct replica_gift *gift;       /* a peer's is, with what is read here; NULL */
  struct log *closing;             /* another instance of the group, until its CLOSE frame is durable; NULL: there is none */
  bool started;
  uint64_t
      lost_ns; /* the journal has lost entries of the log: when the protocol is to be told; RAFT_NEVER: it is not, or knows */
  uint64_t lost_give_up_ns; /* 0: nothing is waited for before */
  bool settling;            /* the owner is being told things */
  bool installed;           /* the owner is to be told that the state it was given is in force */
  bool stays;               /* the owner is to be told that its leadership is not handed over after all */
  bool deleting;
  void (*deleted)(void *context);
  void *deleted_context;
};

/* ---- replica_obey.c ---- */

/* What comes with an event. */
struct replica_load {
  struct proposal *proposal;
  const struct entry *entries; /* of a RAFT_APPEND, from prev_index + 1 on */
  entry_index appended_from;   /* told: which of them were appended */
  uint32_t appended;
  struct replica_read *read;
  enum raft_offer offer; /* told: what came of it */
};
/* Steps the protocol, does what it asks for, and tells the owner. `load` may be NULL. Returns effects.status. */
enum status replica_step(struct replica *replica, struct raft_event *event, struct replica_load *load);
/* Applies everything up to the commit index that the protocol knows: at the opening, when nobody is told anything yet. */
void replica_apply_recovered(struct replica *replica);
/* Remembers an entry of another leader, or of nobody, until it is applied. `entry`: its payload is held where applying needs it. */
void replica_remember(struct replica *replica, const struct entry *entry);
/* Answers every proposal and read. */
void replica_answer_all(struct replica *replica, enum status proposals, enum status reads);
void replica_drop_all(struct replica *replica); /* without an answer */
void replica_arm(struct replica *replica);
/* Makes links if there are others. */
void replica_need_links(struct replica *replica);

/* ---- replica_send.c ---- */

void replica_send(struct replica *replica, const struct raft_message *message);
void replica_to_wires(struct replica *replica, const struct raft_message *message, const struct entry *entries, size_t count);
struct follower *replica_follower(struct replica *replica, const struct replica_id *id); /* NULL: it is none */
void replica_hold(struct replica *replica, const struct raft_held_message *held);
void replica_release_held(struct replica *replica);
/* The followers are the other members of today's configuration; of whoever leads not: none. */
void replica_set_followers(struct replica *replica);
/* What it leads and follows, to the wires. */
void replica_tell_wires(struct replica *replica);
void replica_forget_wires(struct replica *replica);
/* Tells a new leader, or one with new members, which of them live. */
void replica_greet(struct replica *replica);
void replica_reconnect(struct replica *replica);
uint64_t replica_send_due_ns(const struct replica *replica);
void replica_send_timer(struct replica *replica, uint64_t now_ns);
/* What was asked for since the turn began: gathered, sent, told to the protocol. */
void replica_gather(struct replica *replica);
/* There is room on the way to that broker. True: somebody waits for room on the way to another one. */
bool replica_room(struct replica *replica, broker_id broker);
/* The protocol is about to hear of a change at that broker, and asks anew for what it wants after that. */
void replica_unask(struct replica *replica, broker_id broker);
void replica_links_free(struct replica *replica);

/* ---- replica_learning.c ---- */

/* These go to it: where it does not count yet, no more do for a while. */
void replica_pace(struct replica *replica, struct follower *follower, const struct log_fetch *fetch);
/* It counts by now, and is missed: what it was given before is paid for by nobody. */
void replica_end_pause(struct replica *replica, struct follower *follower);

/* ---- replica_ship.c: a leader's side of a snapshot ---- */

/* It has waited long enough for what it asked for last. */
void replica_ship_late(struct replica *replica, struct follower *follower);

#define SHIP_PART_BYTES ((size_t)1 << 20) /* of a state or of entries in one message; one entry always fits */
#define SHIP_STATE_BYTES_MAX (256u << 20)

/* What a state begins with when it is shipped. */
struct ship_head {
  struct log_base base; /* of the first entry kept; next_offset and the times count only where no entry is behind it */
  entry_index covers;   /* the state is as of this entry */
  entry_term covers_term;
  record_offset next_offset; /* behind its last record */
  uint64_t bytes;            /* of head and state */
};
/* Reads the head. False: not whole yet, or nothing of the kind: then `*out_wrong`. */
bool replica_ship_head(struct bytes shipped, struct ship_head *out_head, bool *out_wrong);
/* Where the state begins: replica_state_decode() reads it. */
struct bytes replica_ship_state(struct bytes shipped);

/* A follower asks. */
void replica_ship(struct replica *replica, const struct raft_message *ask);
/* Its own disk does not give what this follower needs, and has not for long: whoever has everything leads instead. May end what is known of
 * followers. */
void replica_cannot_read(struct replica *replica, struct follower *follower);

/* Until then a follower that fetches something is heard of again. */
uint64_t replica_ship_due_ns(const struct replica *replica);
void replica_stop_shipping(struct follower *follower);

/* ---- replica_install.c: a follower's ---- */

#define LANE_INSTALLS_MAX 2u /* of one lane at a time; the others wait in line */

/* effects.install. */
void replica_install_begin(struct replica *replica);
void replica_install_go(struct list_node *line);
/* After each step: whoever shipped may lead no longer. */
void replica_install_check(struct replica *replica);
void replica_install_receive(struct replica *replica, const struct peer_message *message);
/* Frames of another instance than the one in force became durable; then once for the write. */
void replica_install_frame(struct replica *replica, const struct journal_frame *frame);
void replica_install_publish(struct replica *replica);
uint64_t replica_install_due_ns(const struct replica *replica);
void replica_install_timer(struct replica *replica, uint64_t now_ns);
/* The replica's log is about to be deleted: a spare goes first. */
void replica_install_give_up(struct replica *replica);
/* The same, and the replica goes with it. */
void replica_install_deleted(struct replica *replica);
void replica_install_free(struct replica *replica);
/* What an install that did not end has left: deleted. */
void replica_install_sweep(struct replica *replica);
/* The log's owner from now on. */
void replica_own_log(struct replica *replica);

/* ---- replica_mend.c ---- */

/* The log suspects a segment. */
void replica_mend_begin(struct replica *replica);
/* Its log goes, or the replica. */
void replica_mend_end(struct replica *replica);
void replica_mend_receive(struct replica *replica, const struct peer_message *message); /* GIVEN, GIVES_NOT */
uint64_t replica_mend_due_ns(const struct replica *replica);
void replica_mend_timer(struct replica *replica, uint64_t now_ns);

/* ---- replica_gift.c ---- */

void replica_give(struct replica *replica, const struct raft_message *message); /* WANT */
/* Its log goes, or the replica. */
void replica_give_end(struct replica *replica);

/* ---- replica_loss.c ---- */

/* Another voter may have what this one has not. */
bool replica_has_others(const struct replica *replica);
/* The log has lost entries: log_owner.lost. */
void replica_note_loss(void *replica);
/* The same, while nobody owned it. */
void replica_see_losses(struct replica *replica);
/* It is time to tell the protocol. */
void replica_loss_timer(struct replica *replica, uint64_t now_ns);
/* After each step: `before` is what bound this replica before it. */
void replica_keep_rights(struct replica *replica, const struct raft_damage *before);

/* ---- replica_receive.c ---- */

void replica_receive(struct replica *replica, const struct peer_message *message);
void replica_peer_edge(struct replica *replica, broker_id broker, enum peer_edge edge);
/* This very broker had better not lead, or may again. */
void replica_own_wish(struct replica *replica, bool reluctant);
void replica_peer_leads(struct replica *replica, broker_id broker, entry_term term, bool leads);

/* ---- replica_state.c ---- */

/* What a checkpoint keeps of the replica itself. */
struct replica_state {
  struct raft_config config;
  entry_index config_index; /* 0: the founding one, which is not stored */
  struct raft_damage damage;
};
/* Appends the head, if there is anything to keep; the owner's bytes follow. */
enum status replica_state_encode(const struct replica_state *state, struct buffer *out) MUST_CHECK;
/* Reads the head, if there is one, into `state`, and says where the owner's bytes are. STATUS_CORRUPT, STATUS_FOREIGN. */
enum status replica_state_decode(struct bytes bytes, struct replica_state *state, struct bytes *out_owner) MUST_CHECK;
/* Of a replica, as of the newest applied entry. */
/* False: there is none just now. Where entries are applied only when they are on this disk (makes_logs), and that stands still, both
 * configurations that are remembered may be ahead of what is applied. */
bool replica_state_of(const struct replica *replica, struct replica_state *out_state) MUST_CHECK;

/* ---- lane.c ---- */

void lane_add(struct lane *lane, struct replica *replica);
void lane_remove(struct lane *lane, struct replica *replica);
struct peer_lane *lane_wires(const struct lane *lane); /* NULL: alone, or not joined yet */
/* A replica that does not count yet was given so much, or took it. When the next may come: now, or later. */
uint64_t lane_took(struct lane *lane, uint64_t bytes);
bool lane_reluctant(const struct lane *lane); /* this broker had better not lead */
const struct raft_timing *lane_timing(const struct lane *lane);
uint64_t lane_random(struct lane *lane);
uint64_t lane_clock_ns(const struct lane *lane); /* as loop_now_ns(), also before the lane runs */
/* The replica has something to gather at the end of the turn. */
void lane_will_send(struct lane *lane, struct replica_sender *sender);
/* A follower of it waits: replica_room() when there is room somewhere. */
void lane_waits_for_room(struct lane *lane, struct replica_sender *crowded);
/* Reads of logs that are under way: the lane does not stop before they are back. */
void lane_fetch_begins(struct lane *lane);
void lane_fetch_ended(struct lane *lane);
/* A snapshot is to come in: replica_install_go() when it is its turn, in the order in which they came. Whoever gives up before leaves the line. */
void lane_install_waits(struct lane *lane, struct list_node *line);
void lane_install_ends(struct lane *lane);
/* RAFT_ENTRIES_MAX of them, for the message at hand. */
struct raft_entry *lane_entries(struct lane *lane);

/* ---- replica.c, for the lane ---- */

void replica_note_durable(struct raft_mark *durable, const struct journal_frame *frame);
/* Of a write that became durable: one of its frames; then once for each replica that had any. */
void replica_frame_durable(struct replica *replica, const struct journal_frame *frame);
void replica_publish(struct replica *replica);
/* The lane stops, and everything that it wrote has come back. True: somebody was answered. */
bool replica_lane_stops(struct replica *replica);
/* The journal has failed: nothing in flight will ever be known to be durable. */
void replica_disk_failed(struct replica *replica);

#endif
