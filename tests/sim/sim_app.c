#include "tests/sim/sim_app.h"

#include "base/check.h"
#include "base/memory.h"
#include "clients/c/client_internal.h"

#define THREADS_MAX 16u

struct sim_app {
  struct sim *sim;
  struct sim_host *host;
  struct sim_disk *disk; /* a world has one; nothing is kept there */
  struct sim_world *world;
  struct cairn_client *client;
  struct sim_fiber *threads[THREADS_MAX];
  unsigned thread_count;
};

struct sim_app *sim_app_new(struct sim *sim, struct sim_net *net, const char *host, const struct cairn_client_options *options,
                            const struct sim_rpc_options *rpc) {
  struct sim_app *app = NEW(struct sim_app);
  app->sim = sim;
  app->host = sim_host_new(net, host);
  app->disk = sim_disk_new(sim, host, 1 << 20);
  app->world = sim_world_new(sim, app->disk, host);
  struct world *world = sim_world_doors(app->world);
  world->rpc = sim_rpc_new(sim_world_process(app->world), net, app->host, rpc);
  int code = client_new_in(world, options, &app->client, NULL);
  CHECK(code == CAIRN_OK);
  return app;
}

struct cairn_client *sim_app_client(const struct sim_app *app) {
  return app->client;
}
struct sim_process *sim_app_process(const struct sim_app *app) {
  return sim_world_process(app->world);
}
struct sim_host *sim_app_host(const struct sim_app *app) {
  return app->host;
}

void sim_app_thread(struct sim_app *app, const char *name, void (*run)(void *context), void *context) {
  CHECK(app->thread_count < THREADS_MAX);
  app->threads[app->thread_count++] = sim_fiber_start(sim_world_process(app->world), name, run, context);
}

void sim_app_sleep(struct sim_app *app, uint64_t ns) { (void)sim_block(sim_world_process(app->world), ns); }

bool sim_app_threads_over(const struct sim_app *app) {
  for (unsigned i = 0; i < app->thread_count; i++) {
    if (!sim_fiber_over(app->threads[i])) return false;
  }
  return true;
}

void sim_app_free(struct sim_app *app) {
  if (app == NULL) return;
  PRE(sim_app_threads_over(app));
  for (unsigned i = 0; i < app->thread_count; i++) sim_fiber_free(app->threads[i]);
  struct world *world = sim_world_doors(app->world);
  cairn_client_free(app->client);
  sim_rpc_free(world->rpc);
  sim_world_free(app->world);
  sim_disk_free(app->disk);
  memory_free(app);
}
