/* What brokers say to each other as bytes: cairn.internal.v1.Peer (proto/cairn/internal/v1/peer.proto is the authority), written and read in
 * place on base/wire.h. Payloads of entries are never unpacked: going out they are parts of the blobs they already are, coming in they are
 * parts of the one blob that the packet came in.
 *
 * 1. A decoder takes any bytes: rot is a status. What it takes says what protobuf-c reads, where that can read it too: what belongs to no
 *    message of a known kind is not looked at here.
 * 2. Unknown fields are skipped, and so are messages of an unknown kind: a newer broker may send them. Of a number
 *    given twice the last counts, what has an inside may be given once.
 * 3. What a packet costs beside its own bytes is bounded: PEER_PACKET_MESSAGES_MAX, and a constant for each entry of 104 bytes or more.
 */
#ifndef CAIRN_REPLICATION_PEER_WIRE_H
#define CAIRN_REPLICATION_PEER_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/bytes.h"
#include "base/status.h"
#include "base/wire.h"
#include "log/entry.h"
#include "log/lineage.h"
#include "replication/raft.h"

#define PEER_PACKET_BYTES_TARGET ((size_t)1 << 20) /* a draft takes no more beyond it, unless it is empty */
#define PEER_PACKET_MESSAGES_MAX 4096u
/* A larger one is refused. One append of one entry always fits. */
#define PEER_PACKET_BYTES_MAX (ENTRY_PAYLOAD_MAX + PEER_PACKET_BYTES_TARGET)
#define PEER_PAYLOAD_COPY_MAX 256u /* smaller payloads are copied between the heads: a part of its own costs more */

/* The first words of a stream. */
struct peer_hello {
  uint8_t cluster[16];
  struct replica_id from;
  struct replica_id to;
  uint64_t boot;
  struct bytes lineage; /* encoded (log/lineage.h), borrowed; empty: not told here, or the sender knows of none */
};

/* What came for a group: the message, and the entries of a RAFT_APPEND as they were sent. `raft.append.entries` is NULL: links and
 * configurations of its own log are the receiver's to find. Heads are checked (head_crc, size, consecutive indexes behind prev_index);
 * payload CRC and chain are the receiver's to check. Payloads are parts of the one blob that the whole packet came in: who keeps one
 * holds it with blob_part_hold(). All of it is borrowed for the call that brings it. */
struct peer_message {
  struct raft_message raft;
  const struct entry *entries;
  size_t count;
};

#define PEER_HELLO_BYTES_MAX (160u + LINEAGE_SIZE_MAX)
#define PEER_WIRE_HELLO 1u /* its field in packets and pulses */
uint8_t *peer_wire_put_hello(uint8_t *at, const struct peer_hello *hello);

/* ---- Out ---- */

/* A packet that fills up. */
struct peer_draft {
  struct buffer heads; /* everything but the payloads that travel as parts */
  struct peer_cut *cuts;
  size_t cut_count;
  size_t cut_capacity;
  size_t bytes; /* of the whole packet so far */
  size_t messages;
};

void peer_draft_init(struct peer_draft *draft);
void peer_draft_deinit(struct peer_draft *draft); /* releases what it holds */
void peer_draft_hello(struct peer_draft *draft, const struct peer_hello *hello);
/* What a message will add, at most; of append.entries and append.count nothing is looked at. */
size_t peer_wire_message_bytes_max(const struct entry *entries, size_t count);
/* Copies the message, holds the payloads. */
void peer_draft_add(struct peer_draft *draft, group_id group, const struct raft_message *message, const struct entry *entries,
                    size_t count);
/* The packet as parts; the caller gets the holds and the array (memory_free). The draft is empty again. */
struct blob_part *peer_draft_seal(struct peer_draft *draft, size_t *out_count);

/* ---- In ---- */

struct peer_received {
  group_id group;
  struct peer_message message;
};

/* A packet taken apart. Holds its blob. */
struct peer_packet {
  struct blob *blob;
  size_t count;
  struct peer_received *messages;
};

/* `*out_given` tells whether the packet (or pulse) begins with a hello. STATUS_MALFORMED. */
enum status peer_wire_decode_hello(struct bytes message, bool *out_given, struct peer_hello *out_hello) MUST_CHECK;

/* Sender and addressee are those of the hello of the stream. Holds `blob`. STATUS_MALFORMED; STATUS_CORRUPT: the head of an entry fails its
 * checksum; STATUS_FOREIGN: an entry or a configuration of a newer version; STATUS_TOO_LARGE: too many messages. */
enum status peer_wire_decode_packet(struct blob *blob, const struct replica_id *from, const struct replica_id *to,
                                    struct peer_packet **out_packet) MUST_CHECK;
void peer_packet_free(struct peer_packet *packet); /* NULL is fine */

/* ---- Beats ---- */

#define PEER_PULSE_LANES_MAX 64u
#define PEER_PULSE_LIST_MAX 131072u /* leaderships in one list: with 20 bytes each it is within PEER_PACKET_BYTES_MAX */

struct peer_lane_health {
  uint64_t turn_us;
  uint64_t unsynced_us;
};

struct peer_pulse {
  uint64_t digest;
  uint64_t count;
  size_t lane_count;
  struct peer_lane_health lanes[PEER_PULSE_LANES_MAX];
  int64_t wall_ms;
  uint64_t silent_us;
  uint64_t journal; /* how far the sender's is durable; 0: it does not say */
  bool reluctant;   /* the sender had better not lead */
  bool has_list;
  struct bytes list; /* the Leaderships; borrowed. Read with peer_wire_next_leadership(). */
};

struct peer_leadership {
  group_id group;
  entry_term term;
};

/* One part, not charged; the caller gets the hold. `hello` may be NULL; `pulse->list` is not looked at, `list` counts when has_list. */
struct blob_part peer_wire_encode_pulse(const struct peer_hello *hello, const struct peer_pulse *pulse,
                                        const struct peer_leadership *list, size_t list_count);
enum status peer_wire_decode_pulse(struct bytes message, struct peer_pulse *out_pulse) MUST_CHECK;
/* STATUS_END behind the last one, STATUS_MALFORMED. */
enum status peer_wire_next_leadership(struct wire_cursor *list, struct peer_leadership *out_leadership) MUST_CHECK;

/* What do you remember of me? `hello->to` counts for nothing. */
struct blob_part peer_wire_encode_recall(const struct peer_hello *hello);

enum peer_recalled {
  PEER_RECALLED_UNJUDGED, /* the broker asked is older than this field: the journal's number tells */
  PEER_RECALLED_GOOD,     /* nothing speaks against it */
  PEER_RECALLED_LIVES,    /* but for the process that it goes on from, which was heard of a moment ago */
  PEER_RECALLED_OLDER,    /* of something newer */
  PEER_RECALLED_ANOTHER   /* of something else: it is a copy */
};
struct peer_recall_answer {
  enum peer_recalled recalled;
  uint64_t journal;    /* the greatest that beats have told; 0: nothing is remembered */
  uint64_t generation; /* of the newest process; 0: not known */
  uint64_t beats;      /* that were heard of that process since the broker asked was started */
};
struct blob_part peer_wire_encode_recall_answer(const struct peer_recall_answer *answer);
enum status peer_wire_decode_recall_answer(struct bytes message, struct peer_recall_answer *out_answer) MUST_CHECK;

struct blob_part peer_wire_encode_pulse_answer(bool list_wanted);
enum status peer_wire_decode_pulse_answer(struct bytes message, bool *out_list_wanted) MUST_CHECK;

#endif
