#include "cairn/v1/log.pb-c.h"
#include "clients/c/client_internal.h"

/* What a partition remembers of those who append to it. */

int cairn_open_producer(struct cairn_client *client, const char *topic, uint32_t partition, const char *name,
                        struct cairn_opened *out_opened, struct cairn_error *error) {
  Cairn__V1__OpenProducerRequest request;
  cairn__v1__open_producer_request__init(&request);
  request.topic = pack_text(topic);
  request.partition = partition;
  request.producer = pack_text(name);
  const struct exchange exchange = {.method = "/cairn.v1.Log/OpenProducer",
                                    .request = &request.base,
                                    .idempotent = true, /* once more takes one more epoch, which nobody was told */
                                    .answer = &cairn__v1__open_producer_response__descriptor};
  Cairn__V1__OpenProducerResponse *answer = NULL;
  struct arena *arena = NULL;
  int code = call_for(client, &exchange, &answer, &arena, error);
  if (code != CAIRN_OK) return code;
  *out_opened = (struct cairn_opened){.producer_id = answer->producer_id,
                                      .epoch = answer->epoch,
                                      .next_sequence = answer->next_sequence,
                                      .last_offset = answer->last_offset,
                                      .created = answer->created};
  arena_free(arena);
  return CAIRN_OK;
}

static void show(const Cairn__V1__Producer *producer, void (*visit)(void *context, const struct cairn_producer_state *state),
                 void *context) {
  visit(context, &(struct cairn_producer_state){.name = producer->name,
                                                .producer_id = producer->producer_id,
                                                .epoch = producer->epoch,
                                                .next_sequence = producer->next_sequence,
                                                .window_sequence = producer->window_sequence,
                                                .batches = producer->batches,
                                                .last_offset = producer->last_offset});
}

int cairn_list_producers(struct cairn_client *client, const char *topic, uint32_t partition,
                         void (*visit)(void *context, const struct cairn_producer_state *state), void *context,
                         uint64_t *out_given_up, struct cairn_error *error) {
  struct arena *page = NULL; /* the token that is asked with lives in it */
  char *token = pack_text("");
  do {
    Cairn__V1__ListProducersRequest request;
    cairn__v1__list_producers_request__init(&request);
    request.topic = pack_text(topic);
    request.partition = partition;
    request.page_token = token;
    const struct exchange exchange = {.method = "/cairn.v1.Log/ListProducers",
                                      .request = &request.base,
                                      .idempotent = true,
                                      .answer = &cairn__v1__list_producers_response__descriptor};
    Cairn__V1__ListProducersResponse *answer = NULL;
    struct arena *arena = NULL;
    int code = call_for(client, &exchange, &answer, &arena, error);
    arena_free(page);
    if (code != CAIRN_OK) return code;
    page = arena;
    for (size_t i = 0; i < answer->n_producers; i++) show(answer->producers[i], visit, context);
    if (out_given_up != NULL) *out_given_up = answer->given_up;
    token = answer->next_page_token;
  } while (token[0] != '\0');
  arena_free(page);
  return CAIRN_OK;
}

int cairn_forget_producer(struct cairn_client *client, const char *topic, uint32_t partition, const char *name,
                          bool *out_forgotten, struct cairn_error *error) {
  Cairn__V1__ForgetProducerRequest request;
  cairn__v1__forget_producer_request__init(&request);
  request.topic = pack_text(topic);
  request.partition = partition;
  request.producer = pack_text(name);
  const struct exchange exchange = {.method = "/cairn.v1.Log/ForgetProducer",
                                    .request = &request.base,
                                    .idempotent = true,
                                    .answer = &cairn__v1__forget_producer_response__descriptor};
  Cairn__V1__ForgetProducerResponse *answer = NULL;
  struct arena *arena = NULL;
  int code = call_for(client, &exchange, &answer, &arena, error);
  if (code != CAIRN_OK) return code;
  if (out_forgotten != NULL) *out_forgotten = answer->forgotten;
  arena_free(arena);
  return CAIRN_OK;
}
