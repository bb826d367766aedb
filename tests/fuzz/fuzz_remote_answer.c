/* rooms: infer_remote infer net simd core */
/*
 * What a model server may send, and what a client of ours as a model server: metadata and answers of both
 * protocols, any bytes. The first byte says what the rest is taken for, the next two where the JSON of a binary
 * answer ends. Whatever is taken fits what was asked: shapes, and that every number is there and finite.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "infer/kserve.h"
#include "infer/remote_protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct frt_remote_model model = {
    .name = {.name = "toy"},
    .info = {.n_inputs = 1,
             .n_outputs = 3,
             .inputs = {{"x", {-1, 3, 4}, 3, true}},
             .outputs = {{"y", {-1, 5}, 2, true}, {"z", {-1, -1, 2}, 3, true}, {"n", {1}, 1, false}}}};

static void check_answer(const struct frt_remote_answer *answer)
{
    for (uint32_t i = 0; i < model.info.n_outputs; i++) {
        const struct frt_remote_tensor *t = &answer->tensors[i];
        struct frt_tensor shape = {.n_dims = t->n_dims};
        if (!model.info.outputs[i].is_float) {
            if (t->data != NULL)
                abort();
            continue;
        }
        memcpy(shape.dims, t->dims, sizeof shape.dims);
        if (t->data == NULL || !frt_remote_shape_fits(&model.info.outputs[i], t->dims, t->n_dims))
            abort();
        for (size_t k = 0; k < frt_tensor_size(&shape); k++)
            if (!isfinite(t->data[k]))
                abort();
    }
}

static void check_info(const struct frt_session_info *info)
{
    if (info->n_inputs < 1 || info->n_inputs > FRT_SESSION_MAX_INPUTS || info->n_outputs < 1 ||
        info->n_outputs > FRT_SESSION_MAX_OUTPUTS)
        abort();
    for (uint32_t i = 0; i < info->n_outputs; i++)
        if (info->outputs[i].n_dims > FRT_TENSOR_MAX_DIMS ||
            memchr(info->outputs[i].name, '\0', sizeof info->outputs[i].name) == NULL)
            abort();
}

/* As a server reads them. */
static void read_inputs(const char *body, size_t size, size_t json_size)
{
    struct frt_json *json = NULL;
    struct frt_kserve_tensor tensors[FRT_SESSION_MAX_INPUTS];
    uint32_t n = 0;
    if (frt_json_parse(body, json_size, &json, NULL) != FRT_OK)
        return;
    if (frt_kserve_read_tensors(frt_json_get(frt_json_root(json), "inputs"), body + json_size, size - json_size,
                                tensors, FRT_SESSION_MAX_INPUTS, &n, NULL) == FRT_OK) {
        for (uint32_t i = 0; i < n; i++) {
            /* a shape alone must not take memory: its numbers are in the body, or it is refused */
            if (tensors[i].count > size + FRT_KSERVE_JSON_MAX)
                abort();
            float *values = frt_alloc_array(tensors[i].count, sizeof *values);
            if (values != NULL && frt_kserve_values(&tensors[i], values, NULL) == FRT_OK &&
                tensors[i].count > 0)
                (void)values[tensors[i].count - 1];
            frt_free(values);
        }
    }
    frt_json_free(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct frt_remote_protocol *const protocols[] = {&frt_remote_kserve, &frt_remote_tfserving};
    struct frt_error err;
    struct frt_remote_answer answer;
    struct frt_session_info info;
    if (size < 3)
        return 0;
    const struct frt_remote_protocol *protocol = protocols[data[0] & 1];
    const char *body = (const char *)data + 3;
    const size_t n = size - 3, asked = (size_t)data[1] | (size_t)data[2] << 8;
    const size_t json_size = asked == 0 || asked > n ? n : asked;
    switch (data[0] >> 1 & 3) {
    case 0:
        if (protocol->read_answer(&model, body, n, json_size, &answer, &err) == FRT_OK) {
            check_answer(&answer);
            frt_remote_answer_deinit(&answer);
        }
        break;
    case 1:
        if (protocol->read_metadata(body, n, &info, &err) == FRT_OK)
            check_info(&info);
        break;
    default:
        read_inputs(body, n, json_size);
    }
    return 0;
}
