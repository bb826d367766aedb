#include "engine/remote_models.h"

#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "infer/failover.h"
#include "infer/remote_address.h"

struct frt_remote_models {
    const struct frt_backend *remote, *both; /* borrowed: the backend's */
    struct frt_window time;
};

bool frt_infer_server_is_named(const struct frt_infer_server *server)
{
    return server != NULL && server->address != NULL && server->address[0] != '\0' &&
           strcmp(server->address, "local") != 0;
}

static void observe(void *arg, double ms, bool good)
{
    struct frt_remote_models *models = arg;
    (void)good;
    frt_window_record(&models->time, ms);
}

enum frt_status frt_remote_models_new(const struct frt_infer_server *server, struct frt_backend **backend,
                                      struct frt_remote_models **out, struct frt_error *err)
{
    struct frt_backend *local = *backend, *remote = NULL, *both = NULL;
    struct frt_remote_models *models = frt_alloc_zero(1, sizeof *models);
    *backend = NULL;
    if (models == NULL) {
        frt_backend_free(local);
        return frt_fail_nomem(err, "a model server's backend");
    }
    frt_window_init(&models->time, &frt_clock_system);
    const struct frt_remote_options options = {.address = server->address,
                                               .models = server->models,
                                               .ca_file = server->ca_file,
                                               .token_file = server->token_file,
                                               .connect_timeout_ms = server->connect_timeout_ms,
                                               .timeout_ms = server->timeout_ms,
                                               .connections = server->connections,
                                               .retries = server->retries,
                                               .observe = observe,
                                               .observe_arg = models};
    enum frt_status status = frt_backend_remote_new(&options, &remote, err);
    if (status != FRT_OK) {
        frt_backend_free(local);
        frt_free(models);
        return status;
    }
    const struct frt_failover_options chain = {.primary = remote,
                                               .fallback = local,
                                               .device = server->address,
                                               .agreement = -1 /* remote.h compares */};
    status = frt_backend_failover_new(&chain, &both, err);
    if (status != FRT_OK) {
        frt_free(models);
        return status;
    }
    models->remote = remote;
    models->both = both;
    *backend = both;
    *out = models;
    return FRT_OK;
}

void frt_remote_models_free(struct frt_remote_models *models)
{
    frt_free(models);
}

bool frt_remote_models_figures(const struct frt_remote_models *models, struct frt_remote_figures *out)
{
    struct frt_backend_state outermost = {.device = ""};
    if (models == NULL)
        return false;
    *out = (struct frt_remote_figures){.time = &models->time};
    frt_remote_state_get(models->remote, &out->state);
    if (frt_backend_states(models->both, &outermost, 1) > 0)
        out->fallbacks = outermost.fallback_runs + outermost.spills + outermost.falls + outermost.model_falls;
    return true;
}
