#include "engine/context.h"

#include "core/mem.h"

enum frt_status frt_context_new_over(struct frt_backend *backend, const struct frt_context_options *options,
                                     struct frt_context **out, struct frt_error *err)
{
    struct frt_context *context = frt_alloc_zero(1, sizeof *context);
    if (context == NULL) {
        frt_backend_free(backend);
        return frt_fail_nomem(err, "a context");
    }
    context->backend = backend;
    if (options != NULL) {
        context->limits.max_pixels = options->max_pixels;
        context->limits.max_side_px = options->max_side_px;
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
        runtime.threads = options->threads;
        runtime.library_path = options->runtime_path;
    }
    enum frt_status status = frt_backend_onnxruntime_new(&runtime, &backend, err);
    if (status != FRT_OK)
        return status;
    return frt_context_new_over(backend, options, out, err);
}

void frt_context_free(struct frt_context *context)
{
    if (context == NULL)
        return;
    frt_backend_free(context->backend);
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
