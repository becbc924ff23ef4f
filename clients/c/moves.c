#include "cairn/v1/admin.pb-c.h"
#include "clients/c/cairn_admin.h"
#include "clients/c/client_internal.h"

/* protobuf-c only reads them. */
static uint32_t *pack_numbers(const uint32_t *numbers) {
  union {
    const uint32_t *in;
    uint32_t *out;
  } both = {.in = numbers};
  return both.out;
}

int cairn_partition_move_planned(struct cairn_client *client, const struct cairn_planned_move *move, uint64_t bytes_per_second,
                                 bool validate_only, struct cairn_error *error) {
  Cairn__V1__MovePartitionRequest request;
  cairn__v1__move_partition_request__init(&request);
  request.topic = pack_text(move->topic);
  request.partition = move->partition;
  request.n_replicas = move->to_count;
  request.replicas = pack_numbers(move->to);
  request.validate_only = validate_only;
  request.expected_topic_id = move->topic_id;
  request.n_expected_replicas = move->from_count;
  request.expected_replicas = pack_numbers(move->from);
  request.bytes_per_second = bytes_per_second;
  const struct exchange exchange = {.method = "/cairn.v1.Admin/MovePartition",
                                    .request = &request.base,
                                    .idempotent = true, /* what it begins the first time it finds under way */
                                    .answer = &cairn__v1__move_partition_response__descriptor};
  Cairn__V1__MovePartitionResponse *answer = NULL;
  struct arena *arena = NULL;
  int code = call_for(client, &exchange, &answer, &arena, error);
  if (code == CAIRN_OK) arena_free(arena);
  return code;
}

int cairn_partition_move(struct cairn_client *client, const char *topic, uint32_t partition, const uint32_t *brokers,
                         size_t broker_count, bool validate_only, struct cairn_error *error) {
  const struct cairn_planned_move anyhow = {.topic = topic, .partition = partition, .to = brokers, .to_count = broker_count};
  return cairn_partition_move_planned(client, &anyhow, 0, validate_only, error);
}

int cairn_partition_move_cancel(struct cairn_client *client, const char *topic, uint32_t partition, uint64_t number,
                                bool validate_only, struct cairn_error *error) {
  Cairn__V1__CancelMoveRequest request;
  cairn__v1__cancel_move_request__init(&request);
  request.topic = pack_text(topic);
  request.partition = partition;
  request.number = number;
  request.validate_only = validate_only;
  const struct exchange exchange = {.method = "/cairn.v1.Admin/CancelMove",
                                    .request = &request.base,
                                    .idempotent = validate_only,
                                    .answer = &cairn__v1__cancel_move_response__descriptor};
  Cairn__V1__CancelMoveResponse *answer = NULL;
  struct arena *arena = NULL;
  int code = call_for(client, &exchange, &answer, &arena, error);
  if (code == CAIRN_OK) arena_free(arena);
  return code;
}

static void move_visit(const Cairn__V1__Move *in, void (*visit)(void *context, const struct cairn_move *move), void *context) {
  const struct cairn_move move = {.topic = in->topic,
                                  .topic_id = in->topic_id,
                                  .partition = in->partition,
                                  .number = in->number,
                                  .from = in->from,
                                  .from_count = in->n_from,
                                  .to = in->to,
                                  .to_count = in->n_to,
                                  .bytes_per_second_max = in->bytes_per_second_max,
                                  .told = in->told != 0,
                                  .learners = in->learners,
                                  .bytes_done = in->bytes_done,
                                  .bytes_to_go = in->bytes_to_go,
                                  .bytes_per_second = in->bytes_per_second,
                                  .stuck = in->stuck};
  visit(context, &move);
}

static void evacuation_visit(const Cairn__V1__Evacuation *in,
                             void (*visit)(void *context, const struct cairn_evacuation *evacuation), void *context) {
  const struct cairn_evacuation evacuation = {.broker_id = in->broker_id,
                                              .replicas = in->replicas,
                                              .moving = in->moving,
                                              .bytes = in->bytes,
                                              .partitions_of_unknown_size = in->partitions_of_unknown_size,
                                              .stuck = in->stuck,
                                              .stuck_topic = in->stuck_topic,
                                              .stuck_partition = in->stuck_partition};
  visit(context, &evacuation);
}

int cairn_work_list(struct cairn_client *client, void (*visit_move)(void *context, const struct cairn_move *move),
                    void (*visit_evacuation)(void *context, const struct cairn_evacuation *evacuation), void *context,
                    struct cairn_error *error) {
  Cairn__V1__ListMovesRequest request;
  cairn__v1__list_moves_request__init(&request);
  const struct exchange exchange = {.method = "/cairn.v1.Admin/ListMoves",
                                    .request = &request.base,
                                    .idempotent = true,
                                    .answer = &cairn__v1__list_moves_response__descriptor};
  Cairn__V1__ListMovesResponse *answer = NULL;
  struct arena *arena = NULL;
  int code = call_for(client, &exchange, &answer, &arena, error);
  if (code != CAIRN_OK) return code;
  for (size_t i = 0; i < answer->n_moves; i++) move_visit(answer->moves[i], visit_move, context);
  for (size_t i = 0; visit_evacuation != NULL && i < answer->n_evacuations; i++)
    evacuation_visit(answer->evacuations[i], visit_evacuation, context);
  arena_free(arena);
  return CAIRN_OK;
}

int cairn_move_list(struct cairn_client *client, void (*visit)(void *context, const struct cairn_move *move), void *context,
                    struct cairn_error *error) {
  return cairn_work_list(client, visit, NULL, context, error);
}

static void plan_visit(const Cairn__V1__PlannedMove *in, void (*visit)(void *context, const struct cairn_planned_move *move),
                       void *context) {
  const struct cairn_planned_move move = {.topic = in->topic,
                                          .topic_id = in->topic_id,
                                          .partition = in->partition,
                                          .from = in->from,
                                          .from_count = in->n_from,
                                          .to = in->to,
                                          .to_count = in->n_to,
                                          .copies = in->copies,
                                          .bytes_known = in->bytes_known != 0,
                                          .bytes = in->bytes};
  visit(context, &move);
}

int cairn_reassignment_plan(struct cairn_client *client, const struct cairn_reassignment_goal *goal, struct cairn_plan *out_plan,
                            void (*visit)(void *context, const struct cairn_planned_move *move), void *context,
                            struct cairn_error *error) {
  union {
    const char *const *in;
    char **out;
  } topics = {.in = goal->topics}; /* protobuf-c only reads them */
  Cairn__V1__PlanReassignmentRequest request;
  cairn__v1__plan_reassignment_request__init(&request);
  request.n_topics = goal->topic_count;
  request.topics = topics.out;
  request.n_brokers = goal->broker_count;
  request.brokers = pack_numbers(goal->brokers);
  const struct exchange exchange = {.method = "/cairn.v1.Admin/PlanReassignment",
                                    .request = &request.base,
                                    .idempotent = true,
                                    .answer = &cairn__v1__plan_reassignment_response__descriptor};
  Cairn__V1__PlanReassignmentResponse *answer = NULL;
  struct arena *arena = NULL;
  int code = call_for(client, &exchange, &answer, &arena, error);
  if (code != CAIRN_OK) return code;
  if (out_plan != NULL)
    *out_plan = (struct cairn_plan){.moves = (uint32_t)answer->n_moves,
                                    .more_moves = answer->more_moves,
                                    .partitions = answer->partitions,
                                    .partitions_moving = answer->partitions_moving,
                                    .partitions_without_quorum = answer->partitions_without_quorum,
                                    .copies = answer->copies,
                                    .leads = answer->leads,
                                    .bytes = answer->bytes,
                                    .partitions_of_unknown_size = answer->partitions_of_unknown_size};
  for (size_t i = 0; visit != NULL && i < answer->n_moves; i++) plan_visit(answer->moves[i], visit, context);
  arena_free(arena);
  return CAIRN_OK;
}
