#include "engine/input_recorder.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "core/mem.h"

enum { MAX_MODELS = 64 };

struct kept {
    char *path;
    struct frt_tensor *tensors; /* [limits.inputs], data owned */
    uint32_t n;
    size_t bytes;
};

struct frt_input_recorder {
    struct frt_backend base; /* what callers open models with */
    struct frt_backend_ops ops;
    struct frt_backend *inner;
    struct frt_input_limits limits;
    pthread_mutex_t lock; /* guards what follows */
    struct kept models[MAX_MODELS];
    uint32_t n_models;
};

struct recorded_session {
    struct frt_session base;
    struct frt_session *inner; /* owned */
    struct frt_input_recorder *recorder;
    uint32_t model;
};

static void forget_locked(struct kept *kept)
{
    for (uint32_t i = 0; i < kept->n; i++)
        frt_free((void *)(uintptr_t)kept->tensors[i].data);
    kept->n = 0;
    kept->bytes = 0;
}

/* One row of a batch. Without memory it is not kept: the run goes on. */
static void keep_locked(struct frt_input_recorder *recorder, uint32_t model, const struct frt_tensor *input,
                        int64_t row)
{
    struct kept *kept = &recorder->models[model];
    const size_t each = frt_tensor_size(input) / (size_t)input->dims[0];
    if (kept->n >= recorder->limits.inputs || each == 0 ||
        each * sizeof(float) > recorder->limits.bytes - kept->bytes)
        return;
    float *data = frt_alloc_array(each, sizeof *data);
    if (data == NULL)
        return;
    memcpy(data, input->data + (size_t)row * each, each * sizeof *data);
    struct frt_tensor tensor = *input;
    tensor.data = data;
    tensor.dims[0] = 1;
    kept->tensors[kept->n++] = tensor;
    kept->bytes += each * sizeof *data;
}

static enum frt_status run(const struct frt_session *session, const struct frt_tensor *inputs,
                           uint32_t n_inputs, struct frt_outputs *out, struct frt_error *err)
{
    const struct recorded_session *self = (const struct recorded_session *)session;
    if (n_inputs == 1 && inputs[0].n_dims > 0) {
        (void)pthread_mutex_lock(&self->recorder->lock);
        for (int64_t row = 0; row < inputs[0].dims[0]; row++)
            keep_locked(self->recorder, self->model, &inputs[0], row);
        (void)pthread_mutex_unlock(&self->recorder->lock);
    }
    return frt_session_run(self->inner, inputs, n_inputs, out, err); /* the outputs are the inner session's */
}

static void release(const struct frt_session *session, struct frt_outputs *out)
{
    (void)session;
    frt_outputs_release(out);
}

static void session_free(struct frt_session *session)
{
    struct recorded_session *self = (struct recorded_session *)session;
    frt_session_free(self->inner);
    frt_free(self);
}

static const struct frt_session_ops session_ops = {.run = run, .release = release, .free = session_free};

/* The place of a model; MAX_MODELS: there is none. */
static uint32_t place_locked(struct frt_input_recorder *recorder, const char *path)
{
    for (uint32_t i = 0; i < recorder->n_models; i++)
        if (strcmp(recorder->models[i].path, path) == 0)
            return i;
    if (recorder->n_models == MAX_MODELS)
        return MAX_MODELS;
    struct kept *kept = &recorder->models[recorder->n_models];
    kept->path = frt_strdup(path);
    kept->tensors = frt_alloc_array(recorder->limits.inputs, sizeof *kept->tensors);
    if (kept->path == NULL || kept->tensors == NULL) {
        frt_free(kept->path);
        frt_free(kept->tensors);
        *kept = (struct kept){0};
        return MAX_MODELS;
    }
    return recorder->n_models++;
}

static enum frt_status open_model(struct frt_backend *backend, const char *path, struct frt_session **out,
                                  struct frt_error *err)
{
    struct frt_input_recorder *recorder = (struct frt_input_recorder *)backend;
    struct recorded_session *session = frt_alloc_zero(1, sizeof *session);
    if (session == NULL)
        return frt_fail_nomem(err, "a session");
    (void)pthread_mutex_lock(&recorder->lock);
    session->model = place_locked(recorder, path);
    (void)pthread_mutex_unlock(&recorder->lock);
    enum frt_status status = session->model == MAX_MODELS ? frt_fail_nomem(err, "a model's inputs") : FRT_OK;
    if (status == FRT_OK)
        status = frt_session_open(recorder->inner, path, &session->inner, err);
    if (status != FRT_OK) {
        frt_free(session);
        return status;
    }
    session->recorder = recorder;
    session->base.ops = &session_ops;
    session->base.info = session->inner->info;
    *out = &session->base;
    return FRT_OK;
}

static const char *version(const struct frt_backend *backend)
{
    const struct frt_backend *inner = ((const struct frt_input_recorder *)backend)->inner;
    return inner->ops->version(inner);
}

static void backend_free(struct frt_backend *backend)
{
    (void)backend; /* frt_input_recorder_free does */
}

enum frt_status frt_input_recorder_new(struct frt_backend *inner, const struct frt_input_limits *limits,
                                       struct frt_input_recorder **out, struct frt_error *err)
{
    struct frt_input_recorder *recorder = frt_alloc_zero(1, sizeof *recorder);
    if (recorder == NULL)
        return frt_fail_nomem(err, "a recorder");
    recorder->ops = (struct frt_backend_ops){.name = inner->ops->name,
                                             .device = inner->ops->device,
                                             .version = version,
                                             .open = open_model,
                                             .free = backend_free};
    recorder->base.ops = &recorder->ops;
    recorder->inner = inner;
    recorder->limits = *limits;
    (void)pthread_mutex_init(&recorder->lock, NULL);
    *out = recorder;
    return FRT_OK;
}

void frt_input_recorder_free(struct frt_input_recorder *recorder)
{
    if (recorder == NULL)
        return;
    for (uint32_t i = 0; i < recorder->n_models; i++) {
        forget_locked(&recorder->models[i]);
        frt_free(recorder->models[i].tensors);
        frt_free(recorder->models[i].path);
    }
    (void)pthread_mutex_destroy(&recorder->lock);
    frt_free(recorder);
}

struct frt_backend *frt_input_recorder_backend(struct frt_input_recorder *recorder)
{
    return &recorder->base;
}

struct frt_compile_inputs frt_input_recorder_get(const struct frt_input_recorder *recorder, const char *path)
{
    for (uint32_t i = 0; i < recorder->n_models; i++)
        if (strcmp(recorder->models[i].path, path) == 0)
            return (struct frt_compile_inputs){recorder->models[i].tensors, recorder->models[i].n};
    return (struct frt_compile_inputs){0};
}

void frt_input_recorder_forget(struct frt_input_recorder *recorder, const char *path)
{
    (void)pthread_mutex_lock(&recorder->lock);
    for (uint32_t i = 0; i < recorder->n_models; i++)
        if (strcmp(recorder->models[i].path, path) == 0)
            forget_locked(&recorder->models[i]);
    (void)pthread_mutex_unlock(&recorder->lock);
}
