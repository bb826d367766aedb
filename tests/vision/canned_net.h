/* A net for tests that answers what it is told and remembers what it was shown. */
#ifndef TESTS_VISION_CANNED_NET_H
#define TESTS_VISION_CANNED_NET_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"
#include "infer/infer_fake.h"

struct canned_answer {
    int64_t dims[FRT_TENSOR_MAX_DIMS];
    uint32_t n_dims;
    float *values;
};

struct canned_net {
    struct frt_fake_model model;
    struct canned_answer answers[FRT_SESSION_MAX_OUTPUTS];
    int runs;
    int silent_runs; /* the first runs answer zeros */
    /* Asked before each answer when set; may change the answers. */
    void (*before)(struct canned_net *net, const struct frt_tensor *input);
    int64_t seen_dims[FRT_TENSOR_MAX_DIMS];
    float *seen; /* the last input, owned */
    struct frt_backend *backend;
    struct frt_session *session;
};

static enum frt_status canned_run(void *arg, const struct frt_tensor *inputs, uint32_t n_inputs,
                                  struct frt_fake_output *outputs, struct frt_error *err)
{
    struct canned_net *net = arg;
    (void)n_inputs;
    size_t size = frt_tensor_size(&inputs[0]) * sizeof(float);
    frt_free(net->seen);
    net->seen = frt_alloc(size);
    if (net->seen == NULL)
        return frt_fail_nomem(err, "what the fake saw");
    memcpy(net->seen, inputs[0].data, size);
    memcpy(net->seen_dims, inputs[0].dims, sizeof net->seen_dims);
    net->runs++;
    if (net->before != NULL)
        net->before(net, &inputs[0]);
    for (uint32_t i = 0; i < net->model.info.n_outputs; i++) {
        const struct canned_answer *answer = &net->answers[i];
        float *out = frt_fake_output_alloc(&outputs[i], answer->dims, answer->n_dims);
        struct frt_tensor shape = {.n_dims = answer->n_dims};
        if (out == NULL)
            return frt_fail_nomem(err, "the fake's answer");
        memcpy(shape.dims, answer->dims, sizeof shape.dims);
        if (answer->values != NULL && net->runs > net->silent_runs)
            memcpy(out, answer->values, frt_tensor_size(&shape) * sizeof(float));
    }
    return FRT_OK;
}

/* Input [1,3,height,width]; -1 = dynamic. Then canned_output for each output, then canned_open. */
static inline void canned_init(struct canned_net *net, int64_t height, int64_t width)
{
    memset(net, 0, sizeof *net);
    net->model.file = "canned.onnx";
    net->model.run = canned_run;
    net->model.arg = net;
    net->model.info.n_inputs = 1;
    net->model.info.inputs[0] = (struct frt_tensor_info){"input", {1, 3, height, width}, 4, true};
}

/* An output [1, channels, side, side]. Returns its zeroed values, owned by the net. */
static inline float *canned_map(struct canned_net *net, int64_t channels, int64_t side)
{
    uint32_t i = net->model.info.n_outputs++;
    struct canned_answer *answer = &net->answers[i];
    *answer = (struct canned_answer){.dims = {1, channels, side, side}, .n_dims = 4};
    answer->values = frt_alloc_zero((size_t)(channels * side * side), sizeof(float));
    assert_non_null(answer->values);
    net->model.info.outputs[i] = (struct frt_tensor_info){.n_dims = 4, .is_float = true};
    memcpy(net->model.info.outputs[i].dims, answer->dims, sizeof answer->dims);
    return answer->values;
}

/* An output of shape [rows, channels], with a batch dimension in front if `batch`. Returns its zeroed
 * values, owned by the net. */
static inline float *canned_output(struct canned_net *net, bool batch, int64_t rows, int64_t channels)
{
    uint32_t i = net->model.info.n_outputs++;
    struct canned_answer *answer = &net->answers[i];
    struct frt_tensor_info *info = &net->model.info.outputs[i];
    answer->n_dims = batch ? 3 : 2;
    answer->dims[0] = batch ? 1 : rows;
    answer->dims[1] = batch ? rows : channels;
    answer->dims[2] = batch ? channels : 0;
    answer->values = frt_alloc_zero((size_t)(rows * channels), sizeof(float));
    assert_non_null(answer->values);
    *info = (struct frt_tensor_info){.n_dims = answer->n_dims, .is_float = true};
    memcpy(info->dims, answer->dims, sizeof info->dims);
    return answer->values;
}

static inline void canned_open(struct canned_net *net)
{
    assert_int_equal(frt_backend_fake_new(&net->model, 1, &net->backend, NULL), FRT_OK);
    assert_int_equal(frt_session_open(net->backend, "canned.onnx", &net->session, NULL), FRT_OK);
}

static inline void canned_close(struct canned_net *net)
{
    frt_session_free(net->session);
    frt_backend_free(net->backend);
    frt_free(net->seen);
    for (uint32_t i = 0; i < net->model.info.n_outputs; i++)
        frt_free(net->answers[i].values);
}

/* Reproducible noise. */
static inline float canned_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (float)(*state >> 8) / 16777216.0f;
}

#endif
