#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/memory.h"
#include "base/os/world_os.h"
#include "clients/c/client_internal.h"
#include "clients/c/interests.h"
#include "proto/rpc_grpc.h"

#define CALL_TIMEOUT_MS 30000u
#define REACH_TIMEOUT_MS 3000u
#define RETRY_BACKOFF_MS 50u

const char *cairn_version(void) { return "0.1.0"; }

/* ---- The list of servers ---- */

static bool address_valid(const char *text, size_t size) {
  const char *colon = memrchr(text, ':', size);
  if (size >= CAIRN_ADDRESS_SIZE || colon == NULL || colon == text) return false;
  size_t digits = size - (size_t)(colon + 1 - text);
  if (digits == 0 || digits > 5 || strspn(colon + 1, "0123456789") < digits) return false;
  uint32_t port = 0;
  for (size_t i = 1; i <= digits; i++) port = port * 10 + (uint32_t)(colon[i] - '0');
  return port > 0 && port <= UINT16_MAX;
}

static int servers_parse(struct cairn_client *client, const char *servers, struct cairn_error *error) {
  client->servers = memory_new_array(SERVERS_MAX, sizeof *client->servers);
  while (*servers != '\0') {
    size_t size = strcspn(servers, ",");
    if (!address_valid(servers, size)) {
      return error_set(error, STATUS_INVALID, "\"%.*s\" is not HOST:PORT, as in %s", (int)size, servers, CAIRN_DEFAULT_SERVER);
    }
    if (client->server_count == SERVERS_MAX) return error_set(error, STATUS_INVALID, "more than %u servers", SERVERS_MAX);
    memcpy(client->servers[client->server_count++], servers, size);
    servers += size;
    servers += *servers == ',';
  }
  if (client->server_count == 0) return error_set(error, STATUS_INVALID, "the list of servers is empty");
  return CAIRN_OK;
}

/* ---- Life ---- */

static void client_release(struct cairn_client *client) {
  memory_free(client->servers);
  memory_free(client);
}

int client_new_in(struct world *world, const struct cairn_client_options *options, struct cairn_client **out_client,
                  struct cairn_error *error) {
  struct cairn_client_options given = options == NULL ? (struct cairn_client_options){0} : *options;
  struct cairn_client *client = NEW(struct cairn_client);
  list_init(&client->connections);
  client->world = world;
  client->given_up = given.given_up;
  client->given_up_context = given.given_up_context;
  client->call_timeout_ms = given.call_timeout_ms == 0 ? CALL_TIMEOUT_MS : given.call_timeout_ms;
  client->reach_timeout_ms = given.reach_timeout_ms == 0 ? REACH_TIMEOUT_MS : given.reach_timeout_ms;
  client->retry_backoff_ms = given.retry_backoff_ms == 0 ? RETRY_BACKOFF_MS : given.retry_backoff_ms;
  int code = servers_parse(client, given.servers == NULL ? CAIRN_DEFAULT_SERVER : given.servers, error);
  if (code != CAIRN_OK) {
    client_release(client);
    return code;
  }
  client->loop = world_loop_new(world, "cairn-client", 0);
  client->interests = interests_new(client);
  *out_client = client;
  error_clear(error);
  return CAIRN_OK;
}

/* A client touches no file; a world has a directory all the same, and the root is one that everybody can open. */
static int world_open(struct world **out_world, struct cairn_error *error) {
  struct world *world = NULL;
  enum status status = world_os_open("/", false, &world);
  if (status != STATUS_OK) return error_set(error, status, "cannot open the root directory: %s", status_text(status));
  status = rpc_grpc_open(&world->rpc);
  if (status != STATUS_OK) {
    world_os_close(world);
    return error_set(error, status, "cannot start the transport: %s", status_text(status));
  }
  *out_world = world;
  return CAIRN_OK;
}

static void world_close(struct world *world) {
  rpc_grpc_close(world->rpc);
  world_os_close(world);
}

int cairn_client_new(const struct cairn_client_options *options, struct cairn_client **out_client, struct cairn_error *error) {
  struct world *world = NULL;
  int code = world_open(&world, error);
  if (code != CAIRN_OK) return code;
  code = client_new_in(world, options, out_client, error);
  if (code != CAIRN_OK) {
    world_close(world);
    return code;
  }
  (*out_client)->owns_world = true;
  return CAIRN_OK;
}

void cairn_client_free(struct cairn_client *client) {
  if (client == NULL) return;
  interests_free(client->interests);
  list_for_each(&client->connections, node, following) {
    struct connection *connection = list_entry(node, struct connection, node);
    rpc_channel_close(connection->channel);
    memory_free(connection);
  }
  loop_stop(client->loop);
  if (client->owns_world) world_close(client->world);
  client_release(client);
}

/* ---- Whom to ask ---- */

struct connection *client_connection(struct cairn_client *client, const char *address) {
  if (address[0] == '\0') address = client->servers[client->server];
  list_for_each(&client->connections, node, following) {
    struct connection *connection = list_entry(node, struct connection, node);
    if (strcmp(connection->address, address) == 0) return connection;
  }
  struct connection *connection = NEW(struct connection);
  snprintf(connection->address, sizeof connection->address, "%s", address);
  connection->channel = rpc_channel_open(client->world->rpc, address);
  list_push_back(&client->connections, &connection->node);
  return connection;
}

void client_avoid(struct cairn_client *client, const char *address) {
  if (strcmp(client->servers[client->server], address) != 0) return;
  client->server = client->server + 1 < client->server_count ? client->server + 1 : 0;
}

void client_redirect(struct cairn_client *client, const struct failure *failure, char address[CAIRN_ADDRESS_SIZE]) {
  if (failure->leader[0] != '\0' && strcmp(failure->leader, address) != 0) {
    snprintf(address, CAIRN_ADDRESS_SIZE, "%s", failure->leader);
    return;
  }
  client_avoid(client, address[0] != '\0' ? address : client->servers[client->server]);
  address[0] = '\0';
}

/* ---- Time ---- */

uint64_t client_deadline_ns(const struct cairn_client *client, uint32_t timeout_ms) {
  return timeout_ms == CAIRN_FOREVER ? UINT64_MAX : world_now_ns(client->world) + (uint64_t)timeout_ms * NS_PER_MS;
}

uint64_t client_left_ns(const struct cairn_client *client, uint64_t deadline_ns) {
  if (deadline_ns == UINT64_MAX) return UINT64_MAX;
  uint64_t now_ns = world_now_ns(client->world);
  return deadline_ns > now_ns ? deadline_ns - now_ns : 0;
}
