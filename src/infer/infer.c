/* What every backend shares: checks before a run, so that an adapter sees only tensors that fit. */
#include "infer/infer.h"

#include <stdio.h>
#include <string.h>

#include "core/log.h"
#include "core/mem.h"
#include "core/trace.h"

enum frt_status frt_session_open(struct frt_backend *backend, const char *path, struct frt_session **out,
                                 struct frt_error *err)
{
    if (backend == NULL || path == NULL || out == NULL)
        return frt_fail(err, FRT_EINVAL, "opening a model takes a backend, a path and a place for the session");
    return backend->ops->open(backend, path, out, err);
}

enum frt_status frt_session_open_bytes(struct frt_backend *backend, const void *bytes, size_t size,
                                       struct frt_session **out, struct frt_error *err)
{
    if (backend == NULL || bytes == NULL || out == NULL || backend->ops->open_bytes == NULL)
        return frt_fail(err, FRT_EINVAL, "opening a model from memory takes a backend that can, and its bytes");
    return backend->ops->open_bytes(backend, bytes, size, out, err);
}

enum frt_status frt_session_open_source(struct frt_backend *backend, const struct frt_model_source *source,
                                        struct frt_session **out, struct frt_error *err)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    enum frt_status status = FRT_OK;
    if (backend == NULL || source == NULL || out == NULL)
        return frt_fail(err, FRT_EINVAL,
                        "opening a model takes a backend, a source and a place for the session");
    if (backend->ops->open_source != NULL)
        return backend->ops->open_source(backend, source, out, err);
    if (source->path == NULL)
        return frt_session_open_bytes(backend, source->bytes, source->size, out, err);
    const bool half = backend->ops->graph == FRT_GRAPH_HALF && !source->exact;
    const enum frt_graph graph =
        backend->ops->graph == FRT_GRAPH_HALF && source->exact ? FRT_GRAPH_PLAIN : backend->ops->graph;
    struct frt_error why = {0};
    if (source->prepare != NULL && backend->ops->open_bytes != NULL)
        status = source->prepare(source->path, graph, &bytes, &size, err);
    if (status == FRT_OK && bytes != NULL)
        status = backend->ops->open_bytes(backend, bytes, size, out, half ? &why : err);
    else if (status == FRT_OK)
        status = backend->ops->open(backend, source->path, out, err);
    if (half && bytes != NULL && (status == FRT_EBAD_MODEL || status == FRT_ENOMEM)) {
        /* a device that is well, and has no f16, or not all of it */
        frt_log(FRT_LOG_INFO, "device", FRT_LOG_STR("device", backend->ops->device),
                FRT_LOG_STR("state", "model in fp32"),
                FRT_LOG_STR("model", source->name != NULL ? source->name : source->path),
                FRT_LOG_STR("cause", why.text), FRT_LOG_END);
        status = backend->ops->open(backend, source->path, out, err);
    } else if (status != FRT_OK && why.text[0] != '\0' && err != NULL) {
        *err = why;
    }
    frt_free(bytes);
    return status;
}

size_t frt_tensor_size(const struct frt_tensor *tensor)
{
    size_t size = 1;
    if (tensor->n_dims == 0 || tensor->n_dims > FRT_TENSOR_MAX_DIMS)
        return 0;
    for (uint32_t i = 0; i < tensor->n_dims; i++) {
        if (tensor->dims[i] <= 0 || __builtin_mul_overflow(size, (size_t)tensor->dims[i], &size))
            return 0;
    }
    return size <= PTRDIFF_MAX / sizeof(float) ? size : 0;
}

void frt_tensor_shape_text(const int64_t *dims, uint32_t n_dims, char *out, size_t capacity)
{
    size_t used = 0;
    if (capacity == 0)
        return;
    out[0] = '\0';
    for (uint32_t i = 0; i <= n_dims && used + 1 < capacity; i++) {
        int n;
        if (i == n_dims)
            n = snprintf(out + used, capacity - used, "%s", n_dims == 0 ? "[]" : "]");
        else if (dims[i] < 0)
            n = snprintf(out + used, capacity - used, "%s?", i == 0 ? "[" : ",");
        else
            n = snprintf(out + used, capacity - used, "%s%lld", i == 0 ? "[" : ",", (long long)dims[i]);
        if (n < 0)
            break;
        used += (size_t)n;
    }
}

static bool shape_fits(const struct frt_tensor_info *info, const struct frt_tensor *tensor)
{
    if (info->n_dims != tensor->n_dims)
        return false;
    for (uint32_t i = 0; i < info->n_dims; i++) {
        if (info->dims[i] >= 0 && info->dims[i] != tensor->dims[i])
            return false;
    }
    return true;
}

enum frt_status frt_session_takes(const struct frt_session *session, const struct frt_tensor *inputs,
                                  uint32_t n_inputs, struct frt_error *err)
{
    const struct frt_session_info *info = &session->info;
    if (n_inputs != info->n_inputs)
        return frt_fail(err, FRT_EINVAL, "%u inputs given; the model takes %u", (unsigned)n_inputs,
                        (unsigned)info->n_inputs);
    for (uint32_t i = 0; i < n_inputs; i++) {
        if (inputs[i].data != NULL && info->inputs[i].is_float && frt_tensor_size(&inputs[i]) != 0 &&
            shape_fits(&info->inputs[i], &inputs[i]))
            continue;
        char found[96], wanted[96];
        uint32_t n_dims = inputs[i].n_dims <= FRT_TENSOR_MAX_DIMS ? inputs[i].n_dims : FRT_TENSOR_MAX_DIMS;
        frt_tensor_shape_text(inputs[i].dims, n_dims, found, sizeof found);
        frt_tensor_shape_text(info->inputs[i].dims, info->inputs[i].n_dims, wanted, sizeof wanted);
        return frt_fail(err, FRT_EINVAL, "input \"%s\" given as f32%s%s; the model takes %s%s",
                        info->inputs[i].name, found, inputs[i].data == NULL ? " without data" : "",
                        info->inputs[i].is_float ? "f32" : "a type other than f32, ", wanted);
    }
    return FRT_OK;
}

enum frt_status frt_session_run(const struct frt_session *session, const struct frt_tensor *inputs,
                                uint32_t n_inputs, struct frt_outputs *out, struct frt_error *err)
{
    enum frt_status status = frt_session_takes(session, inputs, n_inputs, err);
    if (status != FRT_OK)
        return status;
    int span = frt_trace_begin("inference");
    status = session->ops->run(session, inputs, n_inputs, out, err);
    frt_trace_end(span, NULL);
    return status;
}

static _Thread_local enum frt_infer_width own_width;

void frt_infer_width_set(enum frt_infer_width width)
{
    own_width = width;
}

enum frt_infer_width frt_infer_width_get(void)
{
    return own_width;
}

static _Thread_local bool own_fallback_only;

void frt_infer_fallback_only_set(bool only)
{
    own_fallback_only = only;
}

bool frt_infer_fallback_only_get(void)
{
    return own_fallback_only;
}

static _Thread_local int64_t own_deadline_ms;

void frt_infer_deadline_set(int64_t deadline_ms)
{
    own_deadline_ms = deadline_ms;
}

int64_t frt_infer_deadline_get(void)
{
    return own_deadline_ms;
}

const char *frt_session_device(const struct frt_session *session)
{
    if (session->ops->device != NULL)
        return session->ops->device(session);
    return session->device != NULL ? session->device : "cpu";
}

const char *frt_backend_serving(const struct frt_backend *backend)
{
    return backend->ops->serving != NULL ? backend->ops->serving(backend) : backend->ops->device;
}

size_t frt_backend_states(const struct frt_backend *backend, struct frt_backend_state *out, size_t max)
{
    return backend->ops->states != NULL ? backend->ops->states(backend, out, max) : 0;
}

void frt_outputs_release(struct frt_outputs *out)
{
    if (out == NULL || out->session == NULL)
        return;
    out->session->ops->release(out->session, out);
    memset(out, 0, sizeof *out);
}

void frt_session_free(struct frt_session *session)
{
    if (session != NULL)
        session->ops->free(session);
}

void frt_backend_free(struct frt_backend *backend)
{
    if (backend != NULL)
        backend->ops->free(backend);
}
