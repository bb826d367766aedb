#include "infer/infer_fake.h"

#include <string.h>

#include "core/clock.h"
#include "core/mem.h"

struct fake_backend {
    struct frt_backend base;
    const struct frt_fake_model *models;
    size_t n_models;
};

struct fake_session {
    struct frt_session base;
    const struct frt_fake_model *model;
};

float *frt_fake_output_alloc(struct frt_fake_output *output, const int64_t *dims, uint32_t n_dims)
{
    struct frt_tensor shape = {.n_dims = n_dims};
    if (n_dims > FRT_TENSOR_MAX_DIMS)
        return NULL;
    memcpy(shape.dims, dims, n_dims * sizeof *dims);
    float *data = frt_alloc_zero(frt_tensor_size(&shape), sizeof *data);
    if (data == NULL)
        return NULL;
    frt_free(output->data);
    output->data = data;
    output->n_dims = n_dims;
    memcpy(output->dims, shape.dims, sizeof output->dims);
    return data;
}

static enum frt_status fake_run(const struct frt_session *session, const struct frt_tensor *inputs,
                                uint32_t n_inputs, struct frt_outputs *out, struct frt_error *err)
{
    const struct frt_fake_model *model = ((const struct fake_session *)session)->model;
    struct frt_fake_output outputs[FRT_SESSION_MAX_OUTPUTS] = {0};
    uint32_t n = session->info.n_outputs;
    int64_t start = frt_now_ns();
    enum frt_status status = model->run(model->arg, inputs, n_inputs, outputs, err);
    if (status != FRT_OK) {
        for (uint32_t i = 0; i < n; i++)
            frt_free(outputs[i].data);
        return status;
    }
    memset(out, 0, sizeof *out);
    out->n = n;
    out->session = session;
    out->run_ms = frt_elapsed_ms(start);
    for (uint32_t i = 0; i < n; i++) {
        out->owner[i] = outputs[i].data;
        out->tensors[i].data = outputs[i].data;
        out->tensors[i].n_dims = outputs[i].n_dims;
        memcpy(out->tensors[i].dims, outputs[i].dims, sizeof outputs[i].dims);
    }
    return FRT_OK;
}

static void fake_release(const struct frt_session *session, struct frt_outputs *out)
{
    (void)session;
    for (uint32_t i = 0; i < out->n; i++)
        frt_free(out->owner[i]);
}

static void fake_session_free(struct frt_session *session)
{
    frt_free(session);
}

static const struct frt_session_ops fake_session_ops = {
    .run = fake_run, .release = fake_release, .free = fake_session_free};

static enum frt_status fake_open(struct frt_backend *backend, const char *path, struct frt_session **out,
                                 struct frt_error *err)
{
    const struct fake_backend *fake = (const struct fake_backend *)backend;
    const char *slash = strrchr(path, '/');
    const char *file = slash == NULL ? path : slash + 1;
    for (size_t i = 0; i < fake->n_models; i++) {
        if (strcmp(fake->models[i].file, file) != 0)
            continue;
        struct fake_session *session = frt_alloc_zero(1, sizeof *session);
        if (session == NULL)
            return frt_fail_nomem(err, "a fake session");
        session->base.ops = &fake_session_ops;
        session->base.info = fake->models[i].info;
        session->model = &fake->models[i];
        *out = &session->base;
        return FRT_OK;
    }
    return frt_fail(err, FRT_ENOTFOUND, "the fake backend has no model %s", file);
}

static const char *fake_version(const struct frt_backend *backend)
{
    (void)backend;
    return "0";
}

static void fake_backend_free(struct frt_backend *backend)
{
    frt_free(backend);
}

static const struct frt_backend_ops fake_ops = {
    .name = "fake", .device = "cpu", .version = fake_version, .open = fake_open, .free = fake_backend_free};

enum frt_status frt_backend_fake_new(const struct frt_fake_model *models, size_t n, struct frt_backend **out,
                                     struct frt_error *err)
{
    struct fake_backend *fake = frt_alloc_zero(1, sizeof *fake);
    if (fake == NULL)
        return frt_fail_nomem(err, "a fake backend");
    fake->base.ops = &fake_ops;
    fake->models = models;
    fake->n_models = n;
    *out = &fake->base;
    return FRT_OK;
}
