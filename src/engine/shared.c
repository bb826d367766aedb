#include "engine/shared.h"

#include <stdio.h>

#include "cache/redis_pool.h"
#include "core/crypto.h"

enum frt_status frt_shared_open(const struct frt_config *config, struct frt_access *access,
                                struct frt_context *context, struct frt_shared_cache **out,
                                struct frt_error *err)
{
    uint8_t secret[32];
    char edition[128];
    struct frt_shared_cache *shared = NULL;
    if (config->redis[0] == '\0')
        return FRT_OK;
    /* what another version of ours, or of the runtime, makes of the same photo may be a little different */
    const struct frt_backend *backend = context->backend;
    (void)snprintf(edition, sizeof edition, "frt %s, %s %s", frt_version(), backend->ops->name,
                   backend->ops->version(backend));
    const struct frt_shared_cache_options options = {.address = config->redis,
                                                     .password_file = config->redis_password_file,
                                                     .ca_file = config->redis_ca_file,
                                                     .cert_file = config->redis_cert_file,
                                                     .budget_ms = config->redis_budget_ms,
                                                     .secret = secret,
                                                     .edition = edition};
    enum frt_status status = frt_access_secret(access, "redis", secret, err);
    if (status == FRT_OK)
        status = frt_shared_cache_new(&options, &shared, err);
    frt_wipe(secret, sizeof secret);
    if (status == FRT_OK) {
        frt_context_share(context, shared);
        *out = shared;
    }
    return status;
}

bool frt_shared_check(const struct frt_config *config, char *text, size_t size)
{
    struct frt_redis_address address;
    char at[FRT_REDIS_TEXT_SIZE], version[FRT_REDIS_TEXT_SIZE] = "";
    struct frt_error err = {0};
    double ms = 0;
    const struct frt_redis_options options = {.address = &address,
                                              .password_file = config->redis_password_file,
                                              .ca_file = config->redis_ca_file,
                                              .cert_file = config->redis_cert_file,
                                              .budget_ms = config->redis_budget_ms};
    enum frt_status status = frt_redis_address_parse(config->redis, &address, &err);
    if (status == FRT_OK)
        status = frt_redis_try(&options, &ms, version, &err);
    if (status != FRT_OK)
        (void)snprintf(text, size, "%s", err.text);
    else
        (void)snprintf(text, size, "%s, Redis %s, answers in %.2f ms%s", frt_redis_address_text(&address, at),
                       version[0] == '\0' ? "of an unknown version" : version, ms,
                       ms > config->redis_budget_ms ? ": longer than 'redis_budget'" : "");
    frt_wipe(&address, sizeof address);
    return status == FRT_OK && ms <= config->redis_budget_ms;
}
