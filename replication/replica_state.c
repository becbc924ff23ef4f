/* The replica's own state in its group's checkpoint, around the owner's.
 *
 * Only what the map does not say: a configuration that the log has made, and what this replica has lost. As long as there is neither, the
 * owner's bytes stand alone, as they always have. docs/FORMATS.md:
 *
 *   offset size
 *        0    8  magic "CRNGROUP"
 *        8    1  version, 1
 *        9    1  damaged: 1 when the log has a hole
 *       10    2  size of the configuration; 0: the founding one
 *       12    4  0
 *       16    8  index of the configuration's entry
 *       24    8  damage: greatest index that may have been lost; all ones: unknown
 *       32    8  damage: greatest term of what may have been lost
 *       40       the configuration (raft_config.h), then the owner's bytes
 */
#include <string.h>

#include "base/codec.h"
#include "replication/replica_internal.h"

#define MAGIC "CRNGROUP"
#define MAGIC_SIZE 8u
#define VERSION 1u
#define HEAD_SIZE 40u

static bool worth_keeping(const struct replica_state *state) {
  return state->config_index > 0 || state->damage.damaged || state->damage.through > 0 || state->damage.term > 0;
}

enum status replica_state_encode(const struct replica_state *state, struct buffer *out) {
  if (!worth_keeping(state)) return STATUS_OK;
  uint8_t bytes[HEAD_SIZE + RAFT_CONFIG_BYTES_MAX] = {0};
  size_t config_size = state->config_index == 0 ? 0 : raft_config_encode(&state->config, bytes + HEAD_SIZE);
  memcpy(bytes, MAGIC, MAGIC_SIZE);
  bytes[8] = VERSION;
  bytes[9] = state->damage.damaged;
  put_u16(bytes + 10, (uint16_t)config_size);
  put_u64(bytes + 16, state->config_index);
  put_u64(bytes + 24, state->damage.through);
  put_u64(bytes + 32, state->damage.term);
  return buffer_append(out, bytes, HEAD_SIZE + config_size);
}

enum status replica_state_decode(struct bytes bytes, struct replica_state *state, struct bytes *out_owner) {
  if (bytes.size < MAGIC_SIZE || memcmp(bytes.data, MAGIC, MAGIC_SIZE) != 0) {
    *out_owner = bytes;
    return STATUS_OK;
  }
  if (bytes.size < HEAD_SIZE) return STATUS_CORRUPT;
  if (bytes.data[8] != VERSION) return STATUS_FOREIGN;
  size_t config_size = get_u16(bytes.data + 10);
  entry_index config_index = get_u64(bytes.data + 16);
  if (bytes.data[9] > 1 || get_u32(bytes.data + 12) != 0 || bytes.size < HEAD_SIZE + config_size) return STATUS_CORRUPT;
  if ((config_size == 0) != (config_index == 0)) return STATUS_CORRUPT;
  if (config_size > 0) {
    struct raft_config config;
    enum status status = raft_config_decode(bytes_of(bytes.data + HEAD_SIZE, config_size), &config);
    if (status != STATUS_OK) return status;
    state->config = config;
    state->config_index = config_index;
  }
  state->damage =
      (struct raft_damage){.damaged = bytes.data[9] == 1, .through = get_u64(bytes.data + 24), .term = get_u64(bytes.data + 32)};
  *out_owner = bytes_after(bytes, HEAD_SIZE + config_size);
  return STATUS_OK;
}

/* Whoever is alone keeps what it has lost in its log: nobody could ever make it whole. */
bool replica_state_of(const struct replica *replica, struct replica_state *out_state) {
  const struct raft *raft = &replica->raft;
  bool newest = raft->config_index <= replica->applied;
  if (!newest && raft->previous_config_index > replica->applied) return false;
  *out_state = (struct replica_state){.config = newest ? raft->config : raft->previous_config,
                                      .config_index = newest ? raft->config_index : raft->previous_config_index};
  if (!replica_alone(replica)) out_state->damage = raft->damage;
  return true;
}
