/*
 * PReLU → relu(x') + a/(1−a)·x' with x' = (1−a)·x, which the convolution before gives when its weights are
 * multiplied; where it cannot, relu(x)·(1−a) + a·x. The products are 1 × 1 depthwise convolutions, as the
 * runtime keeps those in its blocked layout (a PReLU costs two changes of layout). A slope that is the same for
 * all channels → LeakyRelu, which becomes part of the convolution before it.
 */
#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "model/passes.h"

enum {
    NAME = 300,
    BLOCK =
        16 /* channels of the runtime's blocks with AVX-512, a multiple of those with less: what is not whole
              blocks is not in the blocked layout, and PReLU is no slower than what would take its place */
};
/* Up to here 1 − a is far enough from 0 to divide by. */
#define FOLDED_SLOPE 0.99F

/* Channels of a value that is, beyond doubt, four-dimensional: a convolution's, or a normalised one. 0: not
 * known. */
static int64_t channels_of(const struct frt_onnx_model *model, const char *value)
{
    struct frt_onnx_shape shape;
    const float *data;
    uint32_t maker;
    if (!frt_onnx_model_maker(model, value, &maker))
        return 0;
    if (strcmp(frt_onnx_model_op(model, maker), "BatchNormalization") == 0 &&
        !frt_onnx_model_maker(model, frt_onnx_model_input(model, maker, 0), &maker))
        return 0;
    if (strcmp(frt_onnx_model_op(model, maker), "Conv") != 0 ||
        !frt_onnx_model_weights(model, frt_onnx_model_input(model, maker, 1), &shape, &data) ||
        shape.n_dims != 4)
        return 0;
    return shape.dims[0];
}

/* One number a channel, of `channels`: [C,1,1] or [1,C,1,1]. */
static bool is_per_channel(const struct frt_onnx_shape *shape, int64_t channels)
{
    const uint32_t at = shape->n_dims == 4 ? 1 : 0;
    return (shape->n_dims == 3 || (shape->n_dims == 4 && shape->dims[0] == 1)) && shape->dims[at] == channels &&
           shape->dims[at + 1] == 1 && shape->dims[at + 2] == 1;
}

static bool all_equal(const float *values, int64_t n)
{
    for (int64_t i = 1; i < n; i++)
        if (values[i] != values[0])
            return false;
    return true;
}

static enum frt_status replace_by_leaky(struct frt_onnx_model *model, uint32_t node, float slope,
                                        struct frt_error *err)
{
    char x[NAME], y[NAME];
    (void)snprintf(x, sizeof x, "%s", frt_onnx_model_input(model, node, 0));
    (void)snprintf(y, sizeof y, "%s", frt_onnx_model_output(model, node, 0));
    const struct frt_onnx_new_node leaky = {
        .op = "LeakyRelu", .inputs = {x}, .output = y, .alpha = slope, .has_alpha = true};
    return frt_onnx_model_replace(model, node, &leaky, 1, err);
}

/* The names of what takes a node's place. */
struct names {
    char x[NAME], y[NAME], positive[NAME + 16], left[NAME + 16], right[NAME + 16], a[NAME + 16], b[NAME + 16];
};

static void name_parts(const struct frt_onnx_model *model, uint32_t node, struct names *n)
{
    (void)snprintf(n->x, sizeof n->x, "%s", frt_onnx_model_input(model, node, 0));
    (void)snprintf(n->y, sizeof n->y, "%s", frt_onnx_model_output(model, node, 0));
    (void)snprintf(n->positive, sizeof n->positive, "%s/frt_relu", n->y);
    (void)snprintf(n->left, sizeof n->left, "%s/frt_left", n->y);
    (void)snprintf(n->right, sizeof n->right, "%s/frt_right", n->y);
    (void)snprintf(n->a, sizeof n->a, "%s/frt_a", n->y);
    (void)snprintf(n->b, sizeof n->b, "%s/frt_b", n->y);
}

/* y = conv(relu(x), 1 − a) + conv(x, a) */
static enum frt_status replace_by_parts(struct frt_onnx_model *model, uint32_t node, const float *slopes,
                                        int64_t channels, struct frt_error *err)
{
    const struct frt_onnx_shape shape = {.n_dims = 4, .dims = {channels, 1, 1, 1}};
    struct names n;
    name_parts(model, node, &n);
    float *rest = frt_alloc_array((size_t)channels, sizeof *rest);
    if (rest == NULL)
        return frt_fail_nomem(err, "slopes");
    for (int64_t i = 0; i < channels; i++)
        rest[i] = 1.0F - slopes[i];
    enum frt_status status = frt_onnx_model_add_weights(model, n.a, &shape, slopes, err);
    if (status == FRT_OK)
        status = frt_onnx_model_add_weights(model, n.b, &shape, rest, err);
    frt_free(rest);
    if (status != FRT_OK)
        return status;
    const struct frt_onnx_new_node parts[] = {
        {.op = "Relu", .inputs = {n.x}, .output = n.positive},
        {.op = "Conv", .inputs = {n.positive, n.b}, .output = n.left, .group = channels},
        {.op = "Conv", .inputs = {n.x, n.a}, .output = n.right, .group = channels},
        {.op = "Add", .inputs = {n.left, n.right}, .output = n.y}};
    return frt_onnx_model_replace(model, node, parts, sizeof parts / sizeof *parts, err);
}

/* A convolution or normalisation of nobody else's whose weights can be multiplied by 1 − a, each of which is
 * positive: inputs 1 and 2 in both, of which a convolution may lack the second. */
static bool can_fold(const struct frt_onnx_model *model, uint32_t node, const float *slopes, int64_t channels,
                     uint32_t *maker)
{
    struct frt_onnx_shape shape;
    const float *data;
    const char *x = frt_onnx_model_input(model, node, 0);
    if (frt_onnx_model_readers(model, x) != 1 || !frt_onnx_model_maker(model, x, maker) ||
        !(strcmp(frt_onnx_model_op(model, *maker), "Conv") == 0 ||
          (strcmp(frt_onnx_model_op(model, *maker), "BatchNormalization") == 0 &&
           frt_onnx_model_weights(model, frt_onnx_model_input(model, *maker, 1), &shape, &data) &&
           frt_onnx_shape_size(&shape) == channels)))
        return false;
    for (int64_t i = 0; i < channels; i++)
        if (!(slopes[i] <= FOLDED_SLOPE))
            return false;
    const char *bias = frt_onnx_model_input(model, *maker, 2);
    return bias[0] == '\0' ||
           (frt_onnx_model_weights(model, bias, &shape, &data) && frt_onnx_shape_size(&shape) == channels);
}

/* Input `i` of a node, times factor[c] for each of its output channels, under another name. `made`: false where
 * there is no such input. */
static enum frt_status multiply_weights(struct frt_onnx_model *model, uint32_t node, uint32_t i,
                                        const char *name, const float *factor, int64_t channels, bool *made,
                                        struct frt_error *err)
{
    struct frt_onnx_shape shape;
    const float *data;
    *made = frt_onnx_model_weights(model, frt_onnx_model_input(model, node, i), &shape, &data);
    if (!*made)
        return FRT_OK; /* no bias */
    const int64_t n = frt_onnx_shape_size(&shape), each = n / channels;
    float *scaled = frt_alloc_array((size_t)n, sizeof *scaled);
    if (scaled == NULL)
        return frt_fail_nomem(err, "weights");
    for (int64_t k = 0; k < n; k++)
        scaled[k] = data[k] * factor[k / each];
    enum frt_status status = frt_onnx_model_add_weights(model, name, &shape, scaled, err);
    frt_free(scaled);
    return status;
}

/* The maker's weights and bias, times 1 − a. */
static enum frt_status scale_maker(struct frt_onnx_model *model, uint32_t maker, const struct names *n,
                                   const float *rest, int64_t channels, struct frt_error *err)
{
    const char *names[] = {n->b, n->left};
    enum frt_status status = FRT_OK;
    for (uint32_t i = 0; status == FRT_OK && i < 2; i++) {
        bool made = false;
        status = multiply_weights(model, maker, 1 + i, names[i], rest, channels, &made, err);
        if (status == FRT_OK && made)
            status = frt_onnx_model_set_input(model, maker, 1 + i, names[i], err);
    }
    return status;
}

static bool is_depthwise(const struct frt_onnx_model *model, uint32_t node, int64_t channels)
{
    struct frt_onnx_shape shape;
    const float *data;
    return strcmp(frt_onnx_model_op(model, node), "Conv") == 0 &&
           frt_onnx_model_int(model, node, "group", 1) == channels &&
           frt_onnx_model_weights(model, frt_onnx_model_input(model, node, 1), &shape, &data) &&
           shape.dims[0] == channels && shape.dims[1] == 1 &&
           strlen(frt_onnx_model_input(model, node, 0)) < NAME;
}

/* The maker twice: y = conv(z, a·w) + relu(conv(z, (1 − a)·w)) */
static enum frt_status double_maker(struct frt_onnx_model *model, uint32_t node, uint32_t maker,
                                    const struct names *n, const float *slopes, const float *rest,
                                    int64_t channels, struct frt_error *err)
{
    char z[NAME], bias[NAME + 16];
    bool made = false, has_bias = false;
    (void)snprintf(z, sizeof z, "%s", frt_onnx_model_input(model, maker, 0));
    (void)snprintf(bias, sizeof bias, "%s/frt_bias", n->y);
    enum frt_status status = multiply_weights(model, maker, 1, n->a, slopes, channels, &made, err);
    if (status == FRT_OK)
        status = multiply_weights(model, maker, 2, bias, slopes, channels, &has_bias, err);
    if (status == FRT_OK)
        status = scale_maker(model, maker, n, rest, channels, err);
    if (status != FRT_OK)
        return status;
    const struct frt_onnx_new_node activation[] = {
        {.op = "Relu", .inputs = {n->x}, .output = n->positive},
        {.op = "Add", .inputs = {n->right, n->positive}, .output = n->y}};
    const struct frt_onnx_new_node twice[] = {{.op = "Conv",
                                               .inputs = {z, n->b, has_bias ? n->left : NULL},
                                               .output = n->x,
                                               .like = true,
                                               .group = channels},
                                              {.op = "Conv",
                                               .inputs = {z, n->a, has_bias ? bias : NULL},
                                               .output = n->right,
                                               .like = true,
                                               .group = channels}};
    status = frt_onnx_model_replace(model, node, activation, sizeof activation / sizeof *activation, err);
    return status == FRT_OK ? frt_onnx_model_replace(model, maker, twice, sizeof twice / sizeof *twice, err)
                            : status;
}

/* With x' = (1 − a)·x from the convolution before: y = conv(x', a / (1 − a)) + relu(x') */
static enum frt_status scale_and_split(struct frt_onnx_model *model, uint32_t node, uint32_t maker,
                                       const struct names *n, const float *slopes, const float *rest,
                                       int64_t channels, struct frt_error *err)
{
    const struct frt_onnx_shape shape = {.n_dims = 4, .dims = {channels, 1, 1, 1}};
    float *ratio = frt_alloc_array((size_t)channels, sizeof *ratio);
    if (ratio == NULL)
        return frt_fail_nomem(err, "slopes");
    for (int64_t i = 0; i < channels; i++)
        ratio[i] = slopes[i] / rest[i];
    enum frt_status status = frt_onnx_model_add_weights(model, n->a, &shape, ratio, err);
    frt_free(ratio);
    if (status == FRT_OK)
        status = scale_maker(model, maker, n, rest, channels, err);
    if (status != FRT_OK)
        return status;
    const struct frt_onnx_new_node parts[] = {
        {.op = "Relu", .inputs = {n->x}, .output = n->positive},
        {.op = "Conv", .inputs = {n->x, n->a}, .output = n->right, .group = channels},
        {.op = "Add", .inputs = {n->right, n->positive}, .output = n->y}};
    return frt_onnx_model_replace(model, node, parts, sizeof parts / sizeof *parts, err);
}

static enum frt_status fold_into_maker(struct frt_onnx_model *model, uint32_t node, uint32_t maker,
                                       const float *slopes, int64_t channels, struct frt_error *err)
{
    struct names n;
    name_parts(model, node, &n);
    float *rest = frt_alloc_array((size_t)channels, sizeof *rest);
    if (rest == NULL)
        return frt_fail_nomem(err, "slopes");
    for (int64_t i = 0; i < channels; i++)
        rest[i] = 1.0F - slopes[i];
    enum frt_status status = is_depthwise(model, maker, channels)
                                 ? double_maker(model, node, maker, &n, slopes, rest, channels, err)
                                 : scale_and_split(model, node, maker, &n, slopes, rest, channels, err);
    frt_free(rest);
    return status;
}

enum frt_status frt_pass_prelu(struct frt_onnx_model *model, uint32_t *changed, struct frt_error *err)
{
    enum frt_status status = FRT_OK;
    for (uint32_t i = 0; status == FRT_OK && i < frt_onnx_model_nodes(model); i++) {
        struct frt_onnx_shape shape;
        const float *slopes;
        if (strcmp(frt_onnx_model_op(model, i), "PRelu") != 0 ||
            strlen(frt_onnx_model_input(model, i, 0)) >= NAME ||
            strlen(frt_onnx_model_output(model, i, 0)) >= NAME ||
            !frt_onnx_model_weights(model, frt_onnx_model_input(model, i, 1), &shape, &slopes))
            continue;
        const int64_t channels = channels_of(model, frt_onnx_model_input(model, i, 0)),
                      n = frt_onnx_shape_size(&shape);
        if (channels == 0 || !(n == 1 || is_per_channel(&shape, channels)) ||
            (channels % BLOCK != 0 && !all_equal(slopes, n)))
            continue;
        if (all_equal(slopes, n)) {
            status = replace_by_leaky(model, i, slopes[0], err);
        } else {
            uint32_t maker = 0;
            status = can_fold(model, i, slopes, channels, &maker)
                         ? fold_into_maker(model, i, maker, slopes, channels, err)
                         : replace_by_parts(model, i, slopes, channels, err);
        }
        (*changed)++;
    }
    return status;
}
