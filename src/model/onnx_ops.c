#include "model/onnx_ops.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { SHAPE_TEXT = 96 };

/* "[N,3,150,150]" for error texts. */
static const char *shape_text(const struct frt_onnx_shape *shape, char text[SHAPE_TEXT])
{
    size_t at = 0;
    text[at++] = '[';
    for (uint32_t i = 0; i < shape->n_dims && at < SHAPE_TEXT - 24; i++) {
        int n = shape->dims[i] < 0
                    ? snprintf(text + at, SHAPE_TEXT - at, "%s?", i == 0 ? "" : ",")
                    : snprintf(text + at, SHAPE_TEXT - at, "%s%" PRId64, i == 0 ? "" : ",", shape->dims[i]);
        at += (size_t)n;
    }
    text[at++] = ']';
    text[at] = '\0';
    return text;
}

static int misfit(struct frt_onnx_graph *graph, const char *op, int a, int b, const char *rule)
{
    char left[SHAPE_TEXT], right[SHAPE_TEXT];
    if (a == FRT_ONNX_NONE || b == FRT_ONNX_NONE) /* the graph has failed before */
        return FRT_ONNX_NONE;
    struct frt_onnx_shape sa = frt_onnx_shape_of(graph, a), sb = frt_onnx_shape_of(graph, b);
    return frt_onnx_fail(graph, FRT_EBAD_MODEL, "%s of %s and %s: %s", op, shape_text(&sa, left),
                         shape_text(&sb, right), rule);
}

static int misfit_one(struct frt_onnx_graph *graph, const char *op, int x, const char *rule)
{
    char text[SHAPE_TEXT];
    if (x == FRT_ONNX_NONE)
        return FRT_ONNX_NONE;
    struct frt_onnx_shape shape = frt_onnx_shape_of(graph, x);
    return frt_onnx_fail(graph, FRT_EBAD_MODEL, "%s of %s: %s", op, shape_text(&shape, text), rule);
}

static void attribute_ints(struct frt_onnx_node *node, const char *name, uint32_t n, const int64_t *ints)
{
    struct frt_onnx_attribute *attribute = &node->attributes[node->n_attributes++];
    attribute->name = name;
    attribute->kind = FRT_ONNX_INTS;
    attribute->n_ints = n;
    memcpy(attribute->ints, ints, n * sizeof *ints);
}

static void attribute_int(struct frt_onnx_node *node, const char *name, int64_t value)
{
    node->attributes[node->n_attributes++] =
        (struct frt_onnx_attribute){.name = name, .kind = FRT_ONNX_INT, .i = value};
}

int frt_op_scalar(struct frt_onnx_graph *graph, float value)
{
    char name[48];
    struct frt_onnx_shape shape = {0};
    (void)snprintf(name, sizeof name, "scalar_%.9g", (double)value);
    return frt_onnx_const_f32(graph, name, &shape, &value);
}

/* A list of whole numbers as a constant operand, named by its content and so shared. */
static int int_list(struct frt_onnx_graph *graph, uint32_t n, const int64_t *list)
{
    char name[256] = "ints";
    size_t at = strlen(name);
    for (uint32_t i = 0; i < n; i++)
        at += (size_t)snprintf(name + at, sizeof name - at, "_%" PRId64, list[i]);
    return frt_onnx_const_i64(graph, name, n, list);
}

/* Outputs of a sliding window along one axis and the padding at both ends; false: it does not fit. */
static bool slide(int64_t size, int64_t kernel, int64_t stride, enum frt_onnx_padding padding, int64_t *before,
                  int64_t *after, int64_t *out)
{
    if (kernel < 1 || stride < 1 || kernel > INT32_MAX || stride > INT32_MAX)
        return false;
    if (padding != FRT_ONNX_EXPLICIT)
        *before = *after = 0;
    if (*before < 0 || *after < 0 || *before >= kernel || *after >= kernel)
        return false;
    if (size < 0) { /* dynamic: "same" would need to know it */
        *out = -1;
        return padding != FRT_ONNX_SAME;
    }
    if (padding == FRT_ONNX_SAME) {
        *out = (size + stride - 1) / stride;
        int64_t missing = (*out - 1) * stride + kernel - size;
        missing = missing > 0 ? missing : 0;
        *before = missing / 2;
        *after = missing - missing / 2;
        return true;
    }
    int64_t covered = size + *before + *after - kernel;
    *out = covered / stride + 1;
    return covered >= 0;
}

/* Attributes kernel_shape, strides and pads, and the result's height and width. */
static bool window_apply(struct frt_onnx_node *node, const struct frt_onnx_shape *x,
                         const struct frt_onnx_window *window, const int64_t kernel[2],
                         struct frt_onnx_shape *out)
{
    int64_t stride[2] = {window->stride[0] == 0 ? 1 : window->stride[0],
                         window->stride[1] == 0 ? 1 : window->stride[1]};
    int64_t pads[4];
    memcpy(pads, window->pads, sizeof pads);
    for (int axis = 0; axis < 2; axis++) {
        if (!slide(x->dims[2 + axis], kernel[axis], stride[axis], window->padding, &pads[axis], &pads[2 + axis],
                   &out->dims[2 + axis]))
            return false;
    }
    attribute_ints(node, "kernel_shape", 2, kernel);
    attribute_ints(node, "strides", 2, stride);
    attribute_ints(node, "pads", 4, pads);
    return true;
}

int frt_op_conv(struct frt_onnx_graph *graph, int x, int w, int bias, int64_t groups,
                const struct frt_onnx_window *window)
{
    struct frt_onnx_shape sx = frt_onnx_shape_of(graph, x), sw = frt_onnx_shape_of(graph, w);
    if (sx.n_dims != 4 || sw.n_dims != 4 || groups < 1 || sx.dims[1] != sw.dims[1] * groups ||
        sw.dims[0] % groups != 0)
        return misfit(graph, "Conv", x, w, "the input has other channels than the filters");
    struct frt_onnx_node node = {.op = "Conv", .n_inputs = 2, .inputs = {x, w}};
    if (bias != FRT_ONNX_NO_BIAS) {
        struct frt_onnx_shape sb = frt_onnx_shape_of(graph, bias);
        if (sb.n_dims != 1 || sb.dims[0] != sw.dims[0])
            return misfit(graph, "Conv bias", w, bias, "one value per filter would fit");
        node.inputs[node.n_inputs++] = bias;
    }
    node.outputs[0] = (struct frt_onnx_shape){.n_dims = 4, .dims = {sx.dims[0], sw.dims[0]}};
    int64_t kernel[2] = {sw.dims[2], sw.dims[3]};
    if (!window_apply(&node, &sx, window, kernel, &node.outputs[0]))
        return misfit(graph, "Conv", x, w, "the filter does not fit into the input");
    attribute_int(&node, "group", groups);
    return frt_onnx_node_add(graph, &node);
}

static int pool(struct frt_onnx_graph *graph, const char *op, int x, const struct frt_onnx_window *window)
{
    struct frt_onnx_shape sx = frt_onnx_shape_of(graph, x);
    struct frt_onnx_node node = {.op = op, .n_inputs = 1, .inputs = {x}};
    node.outputs[0] = sx;
    if (sx.n_dims != 4 || !window_apply(&node, &sx, window, window->kernel, &node.outputs[0]))
        return misfit_one(graph, op, x, "the window does not fit into the input");
    return frt_onnx_node_add(graph, &node);
}

int frt_op_max_pool(struct frt_onnx_graph *graph, int x, const struct frt_onnx_window *window)
{
    return pool(graph, "MaxPool", x, window);
}

int frt_op_average_pool(struct frt_onnx_graph *graph, int x, const struct frt_onnx_window *window)
{
    return pool(graph, "AveragePool", x, window);
}

int frt_op_global_average(struct frt_onnx_graph *graph, int x)
{
    struct frt_onnx_shape shape = frt_onnx_shape_of(graph, x);
    if (shape.n_dims != 4)
        return misfit_one(graph, "GlobalAveragePool", x, "four dimensions would fit");
    shape.dims[2] = shape.dims[3] = 1;
    struct frt_onnx_node node = {.op = "GlobalAveragePool", .n_inputs = 1, .inputs = {x}, .outputs = {shape}};
    return frt_onnx_node_add(graph, &node);
}

int frt_op_unary(struct frt_onnx_graph *graph, const char *op, int x)
{
    if (x == FRT_ONNX_NONE)
        return x;
    struct frt_onnx_node node = {
        .op = op, .n_inputs = 1, .inputs = {x}, .outputs = {frt_onnx_shape_of(graph, x)}};
    return frt_onnx_node_add(graph, &node);
}

int frt_op_relu6(struct frt_onnx_graph *graph, int x)
{
    if (x == FRT_ONNX_NONE)
        return x;
    int low = frt_op_scalar(graph, 0), high = frt_op_scalar(graph, 6);
    struct frt_onnx_node node = {
        .op = "Clip", .n_inputs = 3, .inputs = {x, low, high}, .outputs = {frt_onnx_shape_of(graph, x)}};
    return frt_onnx_node_add(graph, &node);
}

int frt_op_leaky_relu(struct frt_onnx_graph *graph, int x, float slope)
{
    if (x == FRT_ONNX_NONE)
        return x;
    struct frt_onnx_node node = {.op = "LeakyRelu",
                                 .n_inputs = 1,
                                 .inputs = {x},
                                 .outputs = {frt_onnx_shape_of(graph, x)},
                                 .n_attributes = 1,
                                 .attributes = {{.name = "alpha", .kind = FRT_ONNX_FLOAT, .f = slope}}};
    return frt_onnx_node_add(graph, &node);
}

int frt_op_softmax(struct frt_onnx_graph *graph, int x, int64_t axis)
{
    struct frt_onnx_shape shape = frt_onnx_shape_of(graph, x);
    if (axis < 0 || axis >= (int64_t)shape.n_dims)
        return misfit_one(graph, "Softmax", x, "no such axis");
    struct frt_onnx_node node = {.op = "Softmax", .n_inputs = 1, .inputs = {x}, .outputs = {shape}};
    attribute_int(&node, "axis", axis);
    return frt_onnx_node_add(graph, &node);
}

int frt_op_binary(struct frt_onnx_graph *graph, const char *op, int a, int b)
{
    struct frt_onnx_shape sa = frt_onnx_shape_of(graph, a), sb = frt_onnx_shape_of(graph, b), out = {0};
    if (a == FRT_ONNX_NONE || b == FRT_ONNX_NONE)
        return FRT_ONNX_NONE;
    out.n_dims = sa.n_dims > sb.n_dims ? sa.n_dims : sb.n_dims;
    for (uint32_t i = 0; i < out.n_dims; i++) { /* aligned at the last dimension */
        uint32_t at = out.n_dims - 1 - i;
        int64_t da = i < sa.n_dims ? sa.dims[sa.n_dims - 1 - i] : 1;
        int64_t db = i < sb.n_dims ? sb.dims[sb.n_dims - 1 - i] : 1;
        if (da != db && da != 1 && db != 1)
            return misfit(graph, op, a, b, "the shapes do not broadcast");
        out.dims[at] = da == 1 ? db : da;
    }
    struct frt_onnx_node node = {.op = op, .n_inputs = 2, .inputs = {a, b}, .outputs = {out}};
    return frt_onnx_node_add(graph, &node);
}

int frt_op_dense(struct frt_onnx_graph *graph, int x, int w, int bias)
{
    struct frt_onnx_shape sx = frt_onnx_shape_of(graph, x), sw = frt_onnx_shape_of(graph, w);
    if (sx.n_dims != 2 || sw.n_dims != 2 || sx.dims[1] != sw.dims[0])
        return misfit(graph, "MatMul", x, w, "[N,K] and [K,M] would fit");
    struct frt_onnx_shape out = {.n_dims = 2, .dims = {sx.dims[0], sw.dims[1]}};
    if (bias == FRT_ONNX_NO_BIAS) {
        struct frt_onnx_node node = {.op = "MatMul", .n_inputs = 2, .inputs = {x, w}, .outputs = {out}};
        return frt_onnx_node_add(graph, &node);
    }
    struct frt_onnx_shape sb = frt_onnx_shape_of(graph, bias);
    if (sb.n_dims != 1 || sb.dims[0] != sw.dims[1])
        return misfit(graph, "MatMul bias", w, bias, "one value per column would fit");
    struct frt_onnx_node node = {.op = "Gemm", .n_inputs = 3, .inputs = {x, w, bias}, .outputs = {out}};
    return frt_onnx_node_add(graph, &node);
}

int frt_op_reshape(struct frt_onnx_graph *graph, int x, uint32_t n_dims, const int64_t *dims)
{
    struct frt_onnx_shape in = frt_onnx_shape_of(graph, x), out = {.n_dims = n_dims};
    if (n_dims < 1 || n_dims > FRT_ONNX_MAX_DIMS || x == FRT_ONNX_NONE)
        return misfit_one(graph, "Reshape", x, "1 to 6 dimensions fit");
    /* what is copied or given cancels out; one dynamic dimension may be copied */
    struct frt_onnx_shape rest_in = in, rest_out = {0};
    int32_t wild = -1;
    for (uint32_t i = 0; i < n_dims; i++) {
        if (i < in.n_dims && dims[i] == 0) {
            out.dims[i] = in.dims[i];
            rest_in.dims[i] = 1;
        } else if (dims[i] == -1 && wild < 0) {
            wild = (int32_t)i;
        } else if (dims[i] > 0) {
            out.dims[i] = dims[i];
            rest_out.dims[rest_out.n_dims++] = dims[i];
        } else {
            return misfit_one(graph, "Reshape", x, "a dimension of the new shape is no size");
        }
    }
    int64_t have = frt_onnx_shape_size(&rest_in), used = frt_onnx_shape_size(&rest_out);
    if (wild >= 0 && have > 0 && used > 0 && have % used == 0)
        out.dims[wild] = have / used;
    else if (wild >= 0 && have < 0 && used > 0)
        out.dims[wild] = -1;
    else if (wild >= 0 || have != used)
        return misfit_one(graph, "Reshape", x, "the new shape holds another number of elements");
    struct frt_onnx_node node = {
        .op = "Reshape", .n_inputs = 2, .inputs = {x, int_list(graph, n_dims, dims)}, .outputs = {out}};
    return frt_onnx_node_add(graph, &node);
}

int frt_op_transpose(struct frt_onnx_graph *graph, int x, uint32_t n_dims, const int64_t *order)
{
    struct frt_onnx_shape in = frt_onnx_shape_of(graph, x), out = {.n_dims = n_dims};
    uint32_t seen = 0;
    if (in.n_dims != n_dims)
        return misfit_one(graph, "Transpose", x, "the order has another number of dimensions");
    for (uint32_t i = 0; i < n_dims; i++) {
        if (order[i] < 0 || order[i] >= (int64_t)n_dims)
            return misfit_one(graph, "Transpose", x, "the order names a dimension that is not there");
        seen |= 1U << order[i];
        out.dims[i] = in.dims[order[i]];
    }
    if (seen != (1U << n_dims) - 1)
        return misfit_one(graph, "Transpose", x, "the order names a dimension twice");
    struct frt_onnx_node node = {.op = "Transpose", .n_inputs = 1, .inputs = {x}, .outputs = {out}};
    attribute_ints(&node, "perm", n_dims, order);
    return frt_onnx_node_add(graph, &node);
}

int frt_op_concat(struct frt_onnx_graph *graph, const int *xs, uint32_t n, int64_t axis)
{
    if (n < 1 || n > FRT_ONNX_MAX_NODE_INPUTS)
        return frt_onnx_fail(graph, FRT_EINVAL, "Concat of %u values; 1 to %d fit", n,
                             FRT_ONNX_MAX_NODE_INPUTS);
    struct frt_onnx_shape out = frt_onnx_shape_of(graph, xs[0]);
    if (axis < 0 || axis >= (int64_t)out.n_dims)
        return misfit_one(graph, "Concat", xs[0], "no such axis");
    struct frt_onnx_node node = {.op = "Concat", .n_inputs = n, .inputs = {xs[0]}};
    for (uint32_t i = 1; i < n; i++) {
        struct frt_onnx_shape other = frt_onnx_shape_of(graph, xs[i]);
        bool fits = other.n_dims == out.n_dims;
        for (uint32_t d = 0; fits && d < out.n_dims; d++)
            fits = d == axis || other.dims[d] == out.dims[d];
        if (!fits || out.dims[axis] < 0 || other.dims[axis] < 0)
            return misfit(graph, "Concat", xs[0], xs[i], "shapes equal but for the axis would fit");
        out.dims[axis] += other.dims[axis];
        node.inputs[i] = xs[i];
    }
    node.outputs[0] = out;
    attribute_int(&node, "axis", axis);
    return frt_onnx_node_add(graph, &node);
}

int frt_op_slice(struct frt_onnx_graph *graph, int x, int64_t axis, int64_t start, int64_t end)
{
    struct frt_onnx_shape shape = frt_onnx_shape_of(graph, x);
    if (axis < 0 || axis >= (int64_t)shape.n_dims || start < 0 || end <= start || end > shape.dims[axis])
        return misfit_one(graph, "Slice", x, "the slice is not inside");
    shape.dims[axis] = end - start;
    int from = int_list(graph, 1, &start), to = int_list(graph, 1, &end), along = int_list(graph, 1, &axis);
    struct frt_onnx_node node = {
        .op = "Slice", .n_inputs = 4, .inputs = {x, from, to, along}, .outputs = {shape}};
    return frt_onnx_node_add(graph, &node);
}

int frt_op_pad_end(struct frt_onnx_graph *graph, int x, const int64_t *more)
{
    struct frt_onnx_shape shape = frt_onnx_shape_of(graph, x);
    int64_t pads[2 * FRT_ONNX_MAX_DIMS] = {0};
    if (x == FRT_ONNX_NONE)
        return x;
    for (uint32_t i = 0; i < shape.n_dims; i++) {
        if (more[i] < 0 || (more[i] > 0 && shape.dims[i] < 0))
            return misfit_one(graph, "Pad", x, "only known dimensions grow");
        pads[shape.n_dims + i] = more[i];
        shape.dims[i] += more[i];
    }
    struct frt_onnx_node node = {
        .op = "Pad", .n_inputs = 2, .inputs = {x, int_list(graph, 2 * shape.n_dims, pads)}, .outputs = {shape}};
    return frt_onnx_node_add(graph, &node);
}
