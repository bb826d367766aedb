#include "http/reload.h"

#include <stdio.h>
#include <string.h>

#include "core/log.h"

static bool is_pack_name(const char *name)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    const size_t n = strlen(name);
    return n >= 1 && n <= HTTP_PACK_NAME_MAX && name[0] != '.' && strspn(name, allowed) == n;
}

/* "" = where frt_pack_open looks. `size` is at least FRT_LOCATE_PATH_MAX. */
static enum frt_status folder_of(const struct frt_config *config, const char *name, char *out, size_t size,
                                 struct frt_error *err)
{
    char data[FRT_LOCATE_PATH_MAX];
    int n = 0;
    out[0] = '\0';
    if (name == NULL && config->pack[0] != '\0') {
        n = snprintf(out, size, "%s", config->pack);
    } else if (name == NULL && config->data_dir[0] != '\0') {
        return frt_pack_locate_named(config->data_dir, "default", out, err);
    } else if (name != NULL) {
        if (!is_pack_name(name))
            return frt_fail(err, FRT_EBAD_REQUEST,
                            "'pack' is the name of a folder of packs: 1 to %d of [A-Za-z0-9._-], not starting "
                            "with a dot",
                            HTTP_PACK_NAME_MAX);
        if (config->data_dir[0] != '\0')
            return frt_pack_locate_named(config->data_dir, name, out, err);
        enum frt_status status = frt_data_dir_locate(data, err);
        return status != FRT_OK ? status : frt_pack_locate_named(data, name, out, err);
    }
    return n < 0 || (size_t)n >= size ? frt_fail(err, FRT_EINVAL, "the pack's path is too long") : FRT_OK;
}

/* A client is not told where the service keeps its packs. */
static enum frt_status fail_without_path(const char *folder, const char *name, enum frt_status status,
                                         const struct frt_error *why, struct frt_error *err)
{
    const char *at = folder[0] != '\0' ? strstr(why->text, folder) : NULL;
    if (at == NULL)
        return frt_fail(err, status, "%s", why->text);
    return frt_fail(err, status, "%.*s%s%s", (int)(at - why->text), why->text,
                    name != NULL ? name : "the configured pack, ", at + strlen(folder));
}

enum frt_status http_reload(struct http_service *service, const char *name, struct frt_pack_loaded *out,
                            struct frt_error *err)
{
    const struct frt_config *config = service->config;
    char folder[FRT_LOCATE_PATH_MAX + HTTP_PACK_NAME_MAX + 8];
    struct frt_error why = {0};
    enum frt_status status = folder_of(config, name, folder, sizeof folder, &why);
    if (status == FRT_OK) {
        const struct frt_pack_load load = {
            .context = service->context,
            .path = folder[0] != '\0' ? folder : NULL,
            .options = {.detector = config->detector, .spoof_threshold = (float)config->spoof_percent / 100},
            .batch = config->recognition_batch};
        status = frt_pack_swap_load(service->packs, &load, out, &why);
    }
    if (status != FRT_OK && atomic_load(&service->state) == HTTP_STARTING)
        return frt_fail(err, status, "%s", why.text); /* told where the program ends */
    if (status != FRT_OK) {
        frt_log(FRT_LOG_WARN, "pack not loaded; the one in use stays", FRT_LOG_STR("why", why.text),
                FRT_LOG_END);
        return fail_without_path(folder, name, status, &why, err);
    }
    frt_log(FRT_LOG_INFO, "pack loaded", FRT_LOG_STR("pack", out->now.name),
            FRT_LOG_STR("version", out->now.version), FRT_LOG_STR("id", out->now.id),
            FRT_LOG_STR("embedder", out->now.model), FRT_LOG_STR("before", out->before.name),
            FRT_LOG_STR("embedder_before", out->before.model), FRT_LOG_NUM("ms", out->ms), FRT_LOG_END);
    return FRT_OK;
}

static void *run(void *arg)
{
    struct http_reloader *reloader = arg;
    struct frt_pack_loaded loaded;
    struct frt_error err = {0};
    enum frt_status status = http_reload(reloader->service, NULL, &loaded, &err);
    (void)status; /* it has been logged */
    atomic_store(&reloader->busy, false);
    return NULL;
}

void http_reloader_ask(struct http_reloader *reloader)
{
    reloader->wanted = true;
    http_reloader_tick(reloader);
}

void http_reloader_tick(struct http_reloader *reloader)
{
    if (!reloader->wanted || atomic_load(&reloader->busy))
        return;
    http_reloader_end(reloader);
    reloader->wanted = false;
    atomic_store(&reloader->busy, true);
    reloader->started = pthread_create(&reloader->thread, NULL, run, reloader) == 0;
    if (!reloader->started) {
        atomic_store(&reloader->busy, false);
        frt_log(FRT_LOG_WARN, "pack not loaded; the one in use stays", FRT_LOG_STR("why", "no thread for it"),
                FRT_LOG_END);
    }
}

void http_reloader_end(struct http_reloader *reloader)
{
    if (reloader->started)
        (void)pthread_join(reloader->thread, NULL);
    reloader->started = false;
}
