/*
 * What does not depend on the input is computed once: Constant nodes become weights, nodes over weights become
 * what they would make, and vectors of sizes that shape inference knows become constants.
 *
 * Computed here, not by the runtime: the operators are few and simple, and no file's bytes reach anybody else's
 * code for it. Results of more than MOST elements are left to be computed.
 */
#include <math.h>
#include <string.h>

#include "core/mem.h"
#include "model/layer_weights.h"
#include "model/passes.h"
#include "model/shape_inference.h"

enum { MOST = 1 << 22 };

typedef struct frt_onnx_tensor tensor;

/* ------------------------------------------------------------ one operator */

static double compute_two(char op, double a, double b)
{
    return op == 'A' ? a + b : op == 'S' ? a - b : op == 'M' ? a * b : a / b;
}

/* The element of an operand that meets element `at` of the result. */
static size_t spread(const struct frt_onnx_shape *operand, const struct frt_onnx_shape *result, size_t at)
{
    size_t index = 0, stride = 1;
    for (uint32_t i = 0; i < result->n_dims; i++) { /* from the last dimension on */
        const size_t size = (size_t)result->dims[result->n_dims - 1 - i], coordinate = at % size;
        at /= size;
        if (i < operand->n_dims) {
            const size_t own = (size_t)operand->dims[operand->n_dims - 1 - i];
            index += own == 1 ? 0 : coordinate * stride;
            stride *= own;
        }
    }
    return index;
}

/* Add, Sub, Mul, Div of f32; the shape inference has found the result's shape. */
static bool arithmetic(char op, const tensor *a, const tensor *b, tensor *out, float *to)
{
    if (a->type != FRT_ONNX_F32 || b->type != FRT_ONNX_F32)
        return false;
    const size_t n = frt_onnx_tensor_count(out);
    for (size_t i = 0; i < n; i++)
        to[i] = (float)compute_two(op, (double)((const float *)a->data)[spread(&a->shape, &out->shape, i)],
                                   (double)((const float *)b->data)[spread(&b->shape, &out->shape, i)]);
    return true;
}

static bool unary(const char *op, const tensor *a, float *to)
{
    if (a->type != FRT_ONNX_F32)
        return false;
    for (size_t i = 0; i < frt_onnx_tensor_count(a); i++) {
        const float x = ((const float *)a->data)[i];
        to[i] = strcmp(op, "Sqrt") == 0 ? sqrtf(x) : strcmp(op, "Neg") == 0 ? -x : 1 / x;
    }
    return true;
}

static bool transpose(const struct frt_onnx_model *model, uint32_t node, const tensor *a, const tensor *out,
                      unsigned char *to)
{
    int64_t perm[FRT_ONNX_MAX_DIMS];
    size_t strides[FRT_ONNX_MAX_DIMS];
    uint32_t n = a->shape.n_dims;
    const size_t each = frt_onnx_type_bytes(a->type);
    for (uint32_t i = 0; i < n; i++)
        perm[i] = n - 1 - i;
    (void)frt_onnx_model_ints(model, node, "perm", FRT_ONNX_MAX_DIMS, perm, &n);
    if (n != a->shape.n_dims)
        return false;
    size_t stride = 1;
    for (uint32_t i = n; i-- > 0; stride *= (size_t)a->shape.dims[i])
        strides[i] = stride;
    for (size_t at = 0; at < frt_onnx_tensor_count(out); at++) {
        size_t rest = at, from = 0;
        for (uint32_t i = n; i-- > 0; rest /= (size_t)out->shape.dims[i])
            from += rest % (size_t)out->shape.dims[i] * strides[perm[i]];
        memcpy(to + at * each, (const unsigned char *)a->data + from * each, each);
    }
    return true;
}

static float f32_of_f16(uint16_t half)
{
    const uint32_t exponent = half >> 10 & 31U, fraction = half & 1023U;
    float value = exponent == 31  ? (fraction != 0 ? NAN : INFINITY)
                  : exponent == 0 ? ldexpf((float)fraction, -24)
                                  : ldexpf((float)(fraction | 1024U), (int)exponent - 25);
    return (half & 0x8000U) != 0 ? -value : value;
}

static bool cast(const struct frt_onnx_model *model, uint32_t node, const tensor *a, float *to)
{
    if (frt_onnx_model_int(model, node, "to", 0) != FRT_ONNX_F32)
        return false;
    for (size_t i = 0; i < frt_onnx_tensor_count(a); i++) {
        if (a->type == FRT_ONNX_F16)
            to[i] = f32_of_f16(((const uint16_t *)a->data)[i]);
        else if (a->type == FRT_ONNX_I64)
            to[i] = (float)((const int64_t *)a->data)[i];
        else if (a->type == FRT_ONNX_I32)
            to[i] = (float)((const int32_t *)a->data)[i];
        else
            return false;
    }
    return true;
}

enum operator{ NONE, ARITHMETIC, UNARY, TRANSPOSE, CAST, SAME_BYTES };

static enum operator operator_of(const char *op)
{
    static const struct {
        const char *op;
        enum operator is;
    } known[] = {{"Add", ARITHMETIC},      {"Sub", ARITHMETIC},      {"Mul", ARITHMETIC},
                 {"Div", ARITHMETIC},      {"Sqrt", UNARY},          {"Neg", UNARY},
                 {"Reciprocal", UNARY},    {"Transpose", TRANSPOSE}, {"Cast", CAST},
                 {"Reshape", SAME_BYTES},  {"Flatten", SAME_BYTES},  {"Squeeze", SAME_BYTES},
                 {"Unsqueeze", SAME_BYTES}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].op, op) == 0)
            return known[i].is;
    return NONE;
}

/* ----------------------------------------------------------------- folding */

/* Weights in the place of a node's only output. CONSUMES nothing. */
static enum frt_status put(struct frt_onnx_model *model, uint32_t node, const tensor *value, bool *done,
                           struct frt_error *err)
{
    const char *y = frt_onnx_model_output(model, node, 0);
    enum frt_status status = frt_onnx_model_add_tensor(model, y, value, err);
    if (status != FRT_OK)
        return status;
    frt_onnx_model_remove(model, node);
    *done = true;
    return FRT_OK;
}

static bool may_be_weights(const struct frt_onnx_model *model, uint32_t node)
{
    const char *y = frt_onnx_model_output(model, node, 0);
    struct frt_onnx_tensor taken;
    return frt_onnx_model_n_outputs(model, node) == 1 && y[0] != '\0' && !frt_onnx_model_is_output(model, y) &&
           !frt_onnx_model_tensor(model, y, &taken);
}

static enum frt_status fold_numbers(struct frt_onnx_model *model, const struct frt_shapes *shapes,
                                    uint32_t node, bool *done, struct frt_error *err)
{
    int64_t numbers[FRT_SHAPES_MAX_VALUES];
    uint32_t n = 0;
    tensor value = {.type = FRT_ONNX_I64, .data = numbers};
    if (!frt_shapes_numbers(shapes, frt_onnx_model_output(model, node, 0), numbers, &n) || n == 0 ||
        !frt_shapes_get(shapes, frt_onnx_model_output(model, node, 0), &value.shape))
        return FRT_OK;
    for (uint32_t i = 0; i < n; i++)
        if (numbers[i] == FRT_SHAPES_UNKNOWN)
            return FRT_OK;
    value.bytes = n * sizeof *numbers;
    return put(model, node, &value, done, err);
}

/* Room for the result of a node over weights: NULL data where it is not known, or too large. */
static bool plan(const struct frt_onnx_model *model, const struct frt_shapes *shapes, uint32_t node,
                 enum operator is, const tensor *a, tensor *out)
{
    const char *y = frt_onnx_model_output(model, node, 0);
    if (!frt_shapes_get(shapes, y, &out->shape))
        return false;
    out->type = is == TRANSPOSE || is == SAME_BYTES ? a->type : FRT_ONNX_F32;
    const int64_t n = out->shape.n_dims == 0 ? 1 : frt_onnx_shape_size(&out->shape);
    if (n <= 0 || n > MOST)
        return false;
    out->bytes = (size_t)n * frt_onnx_type_bytes(out->type);
    return is == ARITHMETIC || (size_t)n == frt_onnx_tensor_count(a);
}

static enum frt_status fold_weights(struct frt_onnx_model *model, const struct frt_shapes *shapes,
                                    uint32_t node, bool *done, struct frt_error *err)
{
    const char *op = frt_onnx_model_op(model, node);
    const enum operator is = operator_of(op);
    tensor a, b = {0}, out = {0};
    bool good = true;
    if (is == NONE || !frt_onnx_model_tensor(model, frt_onnx_model_input(model, node, 0), &a) ||
        (is == ARITHMETIC && !frt_onnx_model_tensor(model, frt_onnx_model_input(model, node, 1), &b)) ||
        !plan(model, shapes, node, is, &a, &out))
        return FRT_OK;
    void *to = frt_alloc(out.bytes);
    if (to == NULL)
        return frt_fail_nomem(err, "a constant");
    if (is == ARITHMETIC)
        good = arithmetic(op[0], &a, &b, &out, to);
    else if (is == UNARY)
        good = unary(op, &a, to);
    else if (is == TRANSPOSE)
        good = transpose(model, node, &a, &out, to);
    else if (is == CAST)
        good = cast(model, node, &a, to);
    else
        memcpy(to, a.data, out.bytes);
    out.data = to;
    const enum frt_status status = good ? put(model, node, &out, done, err) : FRT_OK;
    frt_free(to);
    return status;
}

enum frt_status frt_pass_constants(struct frt_onnx_model *model, uint32_t *changed, struct frt_error *err)
{
    struct frt_shapes *shapes = NULL;
    enum frt_status status = FRT_OK;
    for (uint32_t i = 0; status == FRT_OK && i < frt_onnx_model_nodes(model);) {
        tensor value;
        bool done = false;
        if (may_be_weights(model, i) && frt_onnx_model_constant(model, i, &value)) {
            status = put(model, i, &value, &done, err);
        } else if (may_be_weights(model, i)) {
            if (shapes == NULL)
                status = frt_shapes_infer(model, &shapes, err);
            if (status == FRT_OK)
                status = fold_numbers(model, shapes, i, &done, err);
            if (status == FRT_OK && !done)
                status = fold_weights(model, shapes, i, &done, err);
        }
        if (done) {
            (*changed)++;
        } else {
            i++;
        }
    }
    frt_shapes_free(shapes);
    return status;
}
