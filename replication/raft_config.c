#include "replication/raft_config.h"

#include <string.h>

#include "base/check.h"
#include "base/codec.h"
#include "replication/raft_mutant.h"

#define CONFIG_VERSION 1u
#define CONFIG_VERSION_PLACED 2u
#define HEAD_SIZE 4u
#define MEMBER_SIZE 24u
#define MEMBER_SIZE_PLACED 32u

struct replica_id replica_id_of(broker_id broker, const uint8_t incarnation[INCARNATION_SIZE]) {
  return (struct replica_id){.broker = broker, .incarnation = {get_u64(incarnation), get_u64(incarnation + sizeof(uint64_t))}};
}

void raft_config_add(struct raft_config *config, const struct replica_id *id, enum raft_rank now, enum raft_rank then) {
  PRE(config->count < RAFT_MEMBERS_MAX);
  config->members[config->count++] = (struct raft_member){.id = *id, .now = (uint8_t)now, .then = (uint8_t)then};
}

size_t raft_config_find(const struct raft_config *config, const struct replica_id *id) {
  for (size_t i = 0; i < config->count; i++) {
    if (replica_id_equal(&config->members[i].id, id)) return i;
  }
  return RAFT_NO_POSITION;
}

struct quorum raft_config_quorum(const struct raft_config *config) {
  struct quorum quorum = {0};
  for (size_t i = 0; i < config->count; i++) {
    const struct raft_member *member = &config->members[i];
    if (member->now == RAFT_VOTER || RAFT_MUTANT(LEARNER_COUNTS)) quorum.now |= member_set_of(i);
    if (config->phase == RAFT_JOINT && member->then == RAFT_VOTER) quorum.then |= member_set_of(i);
  }
  return quorum;
}

bool raft_config_votes(const struct raft_config *config, const struct replica_id *id) {
  size_t position = raft_config_find(config, id);
  if (position == RAFT_NO_POSITION) return false;
  struct quorum quorum = raft_config_quorum(config);
  return ((quorum.now | quorum.then) & member_set_of(position)) != 0;
}

bool raft_config_alone(const struct raft_config *config, const struct replica_id *id) {
  return config->count == 1 && config->members[0].now == RAFT_VOTER && replica_id_equal(&config->members[0].id, id);
}

static bool member_valid(const struct raft_config *config, size_t position) {
  const struct raft_member *member = &config->members[position];
  if (member->id.broker == 0 || member->now > RAFT_VOTER || member->then > RAFT_VOTER) return false;
  if (member->now == RAFT_NOBODY && member->then == RAFT_NOBODY) return false;
  if (config->phase == RAFT_STABLE && member->now != member->then) return false;
  for (size_t i = 0; i < position; i++) {
    if (config->members[i].id.broker == member->id.broker) return false;
  }
  return true;
}

bool raft_config_valid(const struct raft_config *config) {
  if (config->phase > RAFT_JOINT || config->count == 0 || config->count > RAFT_MEMBERS_MAX) return false;
  unsigned now = 0;
  unsigned then = 0;
  for (size_t i = 0; i < config->count; i++) {
    if (!member_valid(config, i)) return false;
    now += config->members[i].now == RAFT_VOTER;
    then += config->members[i].then == RAFT_VOTER;
  }
  return now > 0 && then > 0 && now <= RAFT_VOTERS_MAX && then <= RAFT_VOTERS_MAX;
}

bool raft_config_equal(const struct raft_config *a, const struct raft_config *b) {
  if (a->phase != b->phase || a->count != b->count) return false;
  for (size_t i = 0; i < a->count; i++) {
    const struct raft_member *one = &a->members[i];
    const struct raft_member *other = &b->members[i];
    if (!replica_id_equal(&one->id, &other->id) || one->now != other->now || one->then != other->then) return false;
  }
  return true;
}

static bool is_placed(const struct raft_config *config) {
  for (size_t i = 0; i < config->count; i++)
    if (config->members[i].id.placement != 0) return true;
  return false;
}

size_t raft_config_encode(const struct raft_config *config, uint8_t out[RAFT_CONFIG_BYTES_MAX]) {
  PRE(raft_config_valid(config));
  bool placed = is_placed(config);
  size_t member_size = placed ? MEMBER_SIZE_PLACED : MEMBER_SIZE;
  size_t size = HEAD_SIZE + member_size * config->count;
  memset(out, 0, size);
  out[0] = placed ? CONFIG_VERSION_PLACED : CONFIG_VERSION;
  out[1] = config->phase;
  out[2] = config->count;
  for (size_t i = 0; i < config->count; i++) {
    const struct raft_member *member = &config->members[i];
    uint8_t *at = out + HEAD_SIZE + member_size * i;
    put_u32(at, member->id.broker);
    at[4] = member->now;
    at[5] = member->then;
    put_u64(at + 8, member->id.incarnation[0]);
    put_u64(at + 16, member->id.incarnation[1]);
    if (placed) put_u64(at + MEMBER_SIZE, member->id.placement);
  }
  return size;
}

enum status raft_config_decode(struct bytes bytes, struct raft_config *out_config) {
  if (bytes.size < HEAD_SIZE) return STATUS_CORRUPT;
  bool placed = bytes.data[0] == CONFIG_VERSION_PLACED;
  if (bytes.data[0] != CONFIG_VERSION && !placed) return STATUS_FOREIGN;
  size_t member_size = placed ? MEMBER_SIZE_PLACED : MEMBER_SIZE;
  struct raft_config config = {.phase = bytes.data[1], .count = bytes.data[2]};
  if (config.count > RAFT_MEMBERS_MAX || bytes.size != HEAD_SIZE + member_size * config.count) return STATUS_CORRUPT;
  for (size_t i = 0; i < config.count; i++) {
    const uint8_t *at = bytes.data + HEAD_SIZE + member_size * i;
    config.members[i] = (struct raft_member){.id = replica_id_of(get_u32(at), at + 8), .now = at[4], .then = at[5]};
    if (placed) config.members[i].id.placement = get_u64(at + MEMBER_SIZE);
  }
  if (!raft_config_valid(&config)) return STATUS_CORRUPT;
  *out_config = config;
  return STATUS_OK;
}
