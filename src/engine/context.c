#include "engine/context.h"

#include "core/cores.h"
#include "core/mem.h"
#include "engine/devices.h"
#include "engine/photo.h"

enum {
    DEFAULT_TTL_MS = 1800000,
    DEFAULT_IMAGE = 16,
    DEFAULT_STORE = 20,
    DEFAULT_QUEUE = 256,
    MOST_DEFAULT = 8
};
/* A frame takes at most this share of the image cache. */
enum { FRAME_SHARE = 16 };
/* Of the cores, this share may have wide inferences at a time. */
enum { WIDE_SHARE = 4 };

static uint32_t ttl_of(const struct frt_cache_limits *limits)
{
    return limits->ttl_ms == 0 ? DEFAULT_TTL_MS : limits->ttl_ms;
}

static enum frt_status cache_new(const char *name, const struct frt_cache_limits *limits,
                                 void (*free_value)(void *), struct frt_cache **out, struct frt_error *err)
{
    if (limits->entries == 0)
        return FRT_OK;
    const struct frt_cache_options options = {.name = name,
                                              .entries = limits->entries,
                                              .bytes = limits->bytes,
                                              .ttl_ms = ttl_of(limits),
                                              .free_value = free_value};
    return frt_cache_new(&options, out, err);
}

void frt_stage_limits_fill(struct frt_stage_limits *limits)
{
    if (limits->cores == 0)
        limits->cores = frt_usable_cores();
    uint32_t few = limits->cores < MOST_DEFAULT ? limits->cores : MOST_DEFAULT;
    limits->image = limits->image != 0 ? limits->image : DEFAULT_IMAGE;
    limits->detect = limits->detect != 0 ? limits->detect : few;
    limits->recognize = limits->recognize != 0 ? limits->recognize : few;
    limits->store = limits->store != 0 ? limits->store : DEFAULT_STORE;
    limits->queue = limits->queue != 0 ? limits->queue : DEFAULT_QUEUE;
}

static enum frt_status stages_new(const struct frt_stage_limits *asked, struct frt_stages **out,
                                  struct frt_error *err)
{
    struct frt_stage_limits limits = *asked;
    frt_stage_limits_fill(&limits);
    const struct frt_stages_options options = {.limits = {[FRT_STAGE_IMAGE] = limits.image,
                                                          [FRT_STAGE_DETECT] = limits.detect,
                                                          [FRT_STAGE_RECOGNIZE] = limits.recognize,
                                                          [FRT_STAGE_STORE] = limits.store},
                                               .cores = limits.cores,
                                               .queue = limits.queue};
    return frt_stages_new(&options, out, err);
}

uint32_t frt_context_threads(uint32_t asked, const struct frt_stage_limits *stages)
{
    uint32_t cores = stages != NULL && stages->cores != 0 ? stages->cores : frt_usable_cores();
    if (stages == NULL)
        return asked != 0 ? asked : cores;
    uint32_t at_a_time = cores / WIDE_SHARE > 0 ? cores / WIDE_SHARE : 1, most = cores - at_a_time + 1;
    return asked != 0 && asked < most ? asked : most;
}

void frt_context_settle_width(const struct frt_context *context)
{
    uint32_t busy, cores;
    frt_stages_cores(context->stages, &busy, &cores);
    bool all_fit = context->stages == NULL || busy + context->threads - 1 <= cores;
    frt_infer_width_set(all_fit ? FRT_INFER_WIDE : FRT_INFER_NARROW);
}

enum frt_status frt_context_new_over(struct frt_backend *backend, const struct frt_context_options *options,
                                     struct frt_context **out, struct frt_error *err)
{
    struct frt_context *context = frt_alloc_zero(1, sizeof *context);
    if (context == NULL) {
        frt_backend_free(backend);
        return frt_fail_nomem(err, "a context");
    }
    context->backend = backend;
    context->threads = 1;
    context->embedding_ttl_ms = context->image_ttl_ms = DEFAULT_TTL_MS;
    context->device_memory_bytes = options != NULL && options->gpu_memory_limit_bytes != 0
                                       ? options->gpu_memory_limit_bytes
                                       : FRT_DEVICE_MEMORY_BYTES;
    if (options != NULL) {
        context->threads = frt_context_threads(options->threads, options->stages);
        context->limits.max_pixels = options->max_pixels;
        context->limits.max_side_px = options->max_side_px;
        context->max_kept_frame_bytes =
            options->image_cache.bytes == 0 ? UINT64_MAX : options->image_cache.bytes / FRAME_SHARE;
        context->embedding_ttl_ms = ttl_of(&options->embedding_cache);
        context->image_ttl_ms = ttl_of(&options->image_cache);
        enum frt_status status = cache_new("embedding", &options->embedding_cache, frt_embedded_free,
                                           &context->embedding_cache, err);
        if (status == FRT_OK)
            status = cache_new("image", &options->image_cache, frt_photo_free, &context->image_cache, err);
        if (status == FRT_OK && options->stages != NULL)
            status = stages_new(options->stages, &context->stages, err);
        if (status != FRT_OK) {
            frt_context_free(context);
            return status;
        }
    }
    *out = context;
    return FRT_OK;
}

enum frt_status frt_context_new(const struct frt_context_options *options, struct frt_context **out,
                                struct frt_error *err)
{
    struct frt_onnxruntime_options runtime = {0};
    struct frt_backend *backend = NULL;
    if (options != NULL) {
        runtime.threads = frt_context_threads(options->threads, options->stages);
        runtime.narrow_too = options->stages != NULL;
        runtime.library_path = options->runtime_path;
    }
    enum frt_status status = frt_devices_open(options, &runtime, &backend, err);
    struct frt_remote_models *remote = NULL;
    if (status == FRT_OK && options != NULL && frt_infer_server_is_named(options->infer))
        status = frt_remote_models_new(options->infer, &backend, &remote, err);
    if (status != FRT_OK)
        return status;
    status = frt_context_new_over(backend, options, out, err);
    if (status == FRT_OK)
        (*out)->remote = remote;
    else
        frt_remote_models_free(remote);
    return status;
}

void frt_context_share(struct frt_context *context, struct frt_shared_cache *shared)
{
    context->shared = shared;
}

void frt_context_free(struct frt_context *context)
{
    if (context == NULL)
        return;
    frt_cache_free(context->embedding_cache);
    frt_cache_free(context->image_cache);
    frt_stages_free(context->stages);
    frt_backend_free(context->backend);
    frt_remote_models_free(context->remote);
    frt_free(context);
}

enum frt_status frt_image_open_memory(const struct frt_context *context, const void *data, size_t size,
                                      struct frt_image **out, struct frt_error *err)
{
    return frt_image_open(&context->limits, data, size, out, err);
}

enum frt_status frt_image_open_file(const struct frt_context *context, const char *path, struct frt_image **out,
                                    struct frt_error *err)
{
    return frt_image_map(&context->limits, path, out, err);
}

enum frt_status frt_image_open_pixels(const struct frt_context *context, const uint8_t *pixels,
                                      uint32_t width_px, uint32_t height_px, size_t stride_bytes,
                                      struct frt_image **out, struct frt_error *err)
{
    return frt_image_wrap(&context->limits, pixels, width_px, height_px, stride_bytes, out, err);
}

size_t frt_context_cache_stats(const struct frt_context *context, struct frt_cache_stats *out, size_t max)
{
    struct frt_cache *const caches[] = {context->embedding_cache, context->image_cache};
    size_t n = 0;
    for (size_t i = 0; i < sizeof caches / sizeof *caches && n < max; i++)
        if (caches[i] != NULL)
            out[n++] = frt_cache_stats_get(caches[i]);
    return n;
}

void frt_context_expire(const struct frt_context *context)
{
    if (context->embedding_cache != NULL)
        frt_cache_expire(context->embedding_cache);
    if (context->image_cache != NULL)
        frt_cache_expire(context->image_cache);
}
