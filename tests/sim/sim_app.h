/* A machine with one application on it, which uses the real client library: a process with a client and threads that block. */
#ifndef CAIRN_TESTS_SIM_SIM_APP_H
#define CAIRN_TESTS_SIM_SIM_APP_H

#include "clients/c/cairn_admin.h"
#include "tests/sim/sim_net.h"
#include "tests/sim/sim_rpc.h"
#include "tests/sim/sim_world.h"

struct sim_app;

/* `servers` as cairn_client_options has it. */
struct sim_app *sim_app_new(struct sim *sim, struct sim_net *net, const char *host, const struct cairn_client_options *options,
                            const struct sim_rpc_options *rpc);
struct cairn_client *sim_app_client(const struct sim_app *app);
struct sim_process *sim_app_process(const struct sim_app *app);
struct sim_host *sim_app_host(const struct sim_app *app);

/* One more thread. It may call everything in cairn.h and cairn_admin.h. */
void sim_app_thread(struct sim_app *app, const char *name, void (*run)(void *context), void *context);
/* On such a thread: lets so much time pass. */
void sim_app_sleep(struct sim_app *app, uint64_t ns);
bool sim_app_threads_over(const struct sim_app *app);

/* Frees client and process. PRE: all threads are over. Runs the simulation meanwhile, from outside. */
void sim_app_free(struct sim_app *app);

#endif
