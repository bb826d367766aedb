#include "model/ranges_collect.h"

#include <math.h>
#include <string.h>

#include "core/mem.h"

static void note_channels(struct frt_ranges_tensor *tensor, const struct frt_tensor *value)
{
    const size_t n = frt_tensor_size(value);
    if (tensor->channels == NULL || value->n_dims < 2 || value->dims[0] != 1 ||
        value->dims[1] != (int64_t)tensor->n_channels)
        return;
    const size_t each = n / tensor->n_channels;
    for (size_t c = 0; c < tensor->n_channels; c++) {
        float largest = 0;
        for (size_t i = 0; i < each; i++)
            largest = fmaxf(largest, fabsf(value->data[c * each + i]));
        tensor->channels[c] += largest;
    }
}

static void note(struct frt_ranges_tensor *tensor, const struct frt_tensor *value)
{
    note_channels(tensor, value);
    if (tensor->shape.n_dims == 0) {
        tensor->shape.n_dims = value->n_dims;
        memcpy(tensor->shape.dims, value->dims, value->n_dims * sizeof *value->dims);
    }
    if (tensor->stats != NULL)
        frt_range_add(tensor->stats, value->data, frt_tensor_size(value));
}

static enum frt_status step(const struct frt_quantise_task *task, uint32_t done, uint32_t total,
                            struct frt_error *err)
{
    if (task->cancelled != NULL && task->cancelled(task->cancelled_arg))
        return frt_fail(err, FRT_ECANCELLED, "cancelled while ranges were collected");
    if (task->progress != NULL)
        task->progress(task->progress_arg, "ranges", done, total);
    return FRT_OK;
}

/* The model, answering with these tensors only. */
static enum frt_status open_slice(const void *bytes, size_t size, struct frt_ranges_tensor *const *slice,
                                  uint32_t n, struct frt_backend *backend, struct frt_session **out,
                                  struct frt_error *err)
{
    struct frt_onnx_model *model = NULL;
    uint8_t *changed = NULL;
    size_t changed_size = 0;
    enum frt_status status = frt_onnx_model_parse(bytes, size, &model, err);
    if (status == FRT_OK) {
        frt_onnx_model_forget_shapes(model);
        frt_onnx_model_drop_outputs(model);
    }
    for (uint32_t i = 0; i < n && status == FRT_OK; i++)
        status = frt_onnx_model_add_output(model, slice[i]->name, FRT_ONNX_F32, err);
    if (status == FRT_OK)
        status = frt_onnx_model_pack(model, &changed, &changed_size, err);
    frt_onnx_model_free(model);
    if (status == FRT_OK)
        status = frt_session_open_bytes(backend, changed, changed_size, out, err);
    frt_free(changed);
    return status;
}

static enum frt_status run_slice(const struct frt_session *session, struct frt_ranges_tensor *const *slice,
                                 uint32_t n, const struct frt_quantise_task *task, uint32_t done,
                                 uint32_t total, struct frt_error *err)
{
    enum frt_status status = FRT_OK;
    for (uint32_t i = 0; i < task->inputs->n && status == FRT_OK; i++) {
        struct frt_outputs outputs;
        status = step(task, done + i, total, err);
        if (status == FRT_OK)
            status = frt_session_run(session, &task->inputs->tensors[i], 1, &outputs, err);
        if (status != FRT_OK)
            break;
        for (uint32_t k = 0; k < n && k < outputs.n; k++)
            note(slice[k], &outputs.tensors[k]);
        frt_outputs_release(&outputs);
    }
    return status;
}

enum frt_status frt_ranges_collect(const void *bytes, size_t size, struct frt_ranges_tensor *tensors,
                                   uint32_t n, const struct frt_quantise_task *task, struct frt_error *err)
{
    struct frt_onnx_model *model = NULL;
    struct frt_onnx_value input;
    enum frt_status status = frt_onnx_model_parse(bytes, size, &model, err);
    if (status != FRT_OK)
        return status;
    if (!frt_onnx_model_graph_input(model, 0, &input))
        input.name = "";
    const uint32_t total = (n + FRT_RANGES_SLICE - 1) / FRT_RANGES_SLICE * task->inputs->n;
    uint32_t done = 0;
    for (uint32_t at = 0; at < n && status == FRT_OK;) {
        struct frt_ranges_tensor *slice[FRT_RANGES_SLICE];
        struct frt_session *session = NULL;
        uint32_t taken = 0;
        for (; at < n && taken < FRT_RANGES_SLICE; at++) {
            if (strcmp(tensors[at].name, input.name) != 0) {
                slice[taken++] = &tensors[at];
                continue;
            }
            for (uint32_t i = 0; i < task->inputs->n; i++) /* the graph's input: as it is given */
                note(&tensors[at], &task->inputs->tensors[i]);
        }
        if (taken == 0)
            break;
        status = open_slice(bytes, size, slice, taken, task->backend, &session, err);
        if (status == FRT_OK)
            status = run_slice(session, slice, taken, task, done, total, err);
        frt_session_free(session);
        done += task->inputs->n;
    }
    frt_onnx_model_free(model);
    return status == FRT_OK ? step(task, total, total, err) : status;
}
