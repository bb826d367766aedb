#include "model/shape_operators.h"

#include <math.h>
#include <string.h>

typedef const struct frt_shape_question question;
typedef struct frt_shape_fact fact;

/* Sizes beyond this are taken for unknown: no sum or product of two of them overflows. */
static const int64_t MOST = INT32_MAX;

static int64_t attribute(question *q, const char *name, int64_t missing)
{
    return frt_onnx_model_int(q->model, q->node, name, missing);
}

/* A dimension counted from the end when it is negative; -1: there is none such. */
static int64_t axis_of(int64_t axis, int64_t n_dims)
{
    if (axis < 0)
        axis += n_dims;
    return axis >= 0 && axis < n_dims ? axis : -1;
}

/* An attribute in old opsets, an input in new ones: false where neither is known in full. */
static bool numbers_of(question *q, const char *name, uint32_t input, int64_t out[FRT_SHAPES_MAX_VALUES],
                       uint32_t *n)
{
    if (frt_onnx_model_ints(q->model, q->node, name, FRT_SHAPES_MAX_VALUES, out, n))
        return true;
    if (input >= q->n_inputs || !q->in[input].has_numbers)
        return false;
    *n = q->in[input].n_numbers;
    for (uint32_t i = 0; i < *n; i++) {
        out[i] = q->in[input].numbers[i];
        if (out[i] == FRT_SHAPES_UNKNOWN)
            return false;
    }
    return true;
}

static bool is_left_out(question *q, uint32_t input)
{
    return input >= q->n_inputs || frt_onnx_model_input(q->model, q->node, input)[0] == '\0';
}

/* ------------------------------------------------------------- elementwise */

static void same(question *q, fact *out)
{
    out[0].known = q->in[0].known;
    out[0].shape = q->in[0].shape;
}

static void cast(question *q, fact *out)
{
    out[0] = q->in[0];
    if (attribute(q, "to", 0) != FRT_ONNX_I64)
        out[0].has_numbers = false;
}

static void identity(question *q, fact *out)
{
    out[0] = q->in[0];
}

static bool broadcast_two(const struct frt_onnx_shape *a, const struct frt_onnx_shape *b,
                          struct frt_onnx_shape *out)
{
    struct frt_onnx_shape s = {.n_dims = a->n_dims > b->n_dims ? a->n_dims : b->n_dims};
    for (uint32_t i = 0; i < s.n_dims; i++) { /* from the last dimension on */
        const int64_t x = i < a->n_dims ? a->dims[a->n_dims - 1 - i] : 1;
        const int64_t y = i < b->n_dims ? b->dims[b->n_dims - 1 - i] : 1;
        int64_t *z = &s.dims[s.n_dims - 1 - i];
        if (x == y || y == 1)
            *z = x;
        else if (x == 1)
            *z = y;
        else if (x < 0 || y < 0)
            *z = x < 0 ? y : x; /* one that is over 1 decides */
        else
            return false;
    }
    *out = s;
    return true;
}

static bool broadcast_all(question *q, struct frt_onnx_shape *out)
{
    struct frt_onnx_shape s = q->in[0].shape;
    for (uint32_t i = 0; i < q->n_inputs; i++)
        if (!q->in[i].known || !broadcast_two(&s, &q->in[i].shape, &s))
            return false;
    *out = s;
    return q->n_inputs > 0;
}

static void broadcast(question *q, fact *out)
{
    out[0].known = broadcast_all(q, &out[0].shape);
}

static int64_t compute(const char *op, int64_t a, int64_t b)
{
    if (a == FRT_SHAPES_UNKNOWN || b == FRT_SHAPES_UNKNOWN || a > MOST || a < -MOST || b > MOST || b < -MOST)
        return FRT_SHAPES_UNKNOWN;
    switch (op[0]) {
    case 'A':
        return a + b;
    case 'S':
        return a - b;
    case 'M':
        return a * b;
    default: /* Div; rounding towards zero or down is the same for sizes */
        return b > 0 && a >= 0 ? a / b : FRT_SHAPES_UNKNOWN;
    }
}

static void arithmetic(question *q, fact *out)
{
    broadcast(q, out);
    if (q->n_inputs != 2 || !q->in[0].has_numbers || !q->in[1].has_numbers || !out[0].known)
        return;
    const fact *a = &q->in[0], *b = &q->in[1];
    const uint32_t n = a->n_numbers > b->n_numbers ? a->n_numbers : b->n_numbers;
    if ((a->n_numbers != n && a->n_numbers != 1) || (b->n_numbers != n && b->n_numbers != 1))
        return;
    out[0].has_numbers = true;
    out[0].n_numbers = n;
    for (uint32_t i = 0; i < n; i++)
        out[0].numbers[i] = compute(frt_onnx_model_op(q->model, q->node), a->numbers[a->n_numbers == 1 ? 0 : i],
                                    b->numbers[b->n_numbers == 1 ? 0 : i]);
}

/* ---------------------------------------------------- convolutions and pools */

enum { MAX_SPATIAL = 3 };

struct window {
    int64_t kernel[MAX_SPATIAL], strides[MAX_SPATIAL], dilations[MAX_SPATIAL], pads[2 * MAX_SPATIAL];
};

static bool read_window(question *q, uint32_t n, const int64_t *kernel, struct window *w)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < MAX_SPATIAL; i++)
        w->strides[i] = w->dilations[i] = 1;
    memset(w->pads, 0, sizeof w->pads);
    if (kernel != NULL)
        memcpy(w->kernel, kernel, n * sizeof *kernel);
    else if (!frt_onnx_model_ints(q->model, q->node, "kernel_shape", MAX_SPATIAL, w->kernel, &found) ||
             found != n)
        return false;
    if (frt_onnx_model_ints(q->model, q->node, "strides", MAX_SPATIAL, w->strides, &found) && found != n)
        return false;
    if (frt_onnx_model_ints(q->model, q->node, "dilations", MAX_SPATIAL, w->dilations, &found) && found != n)
        return false;
    if (frt_onnx_model_ints(q->model, q->node, "pads", 2 * MAX_SPATIAL, w->pads, &found) && found != 2 * n)
        return false;
    for (uint32_t i = 0; i < n; i++)
        if (w->kernel[i] < 1 || w->kernel[i] > MOST || w->strides[i] < 1 || w->strides[i] > MOST ||
            w->dilations[i] < 1 || w->dilations[i] > MOST / w->kernel[i] || w->pads[i] < -MOST ||
            w->pads[i] > MOST || w->pads[n + i] < -MOST || w->pads[n + i] > MOST)
            return false;
    return true;
}

/* Size of an output; -1: not known. */
static int64_t slide(question *q, const struct window *w, uint32_t n, uint32_t i, int64_t size)
{
    const bool set = frt_onnx_model_text_is(q->model, q->node, "auto_pad", "NOTSET", true);
    const int64_t reach = (w->kernel[i] - 1) * w->dilations[i] + 1;
    if (size < 0 || size > MOST)
        return -1;
    if (!set && !frt_onnx_model_text_is(q->model, q->node, "auto_pad", "VALID", false))
        return (size + w->strides[i] - 1) / w->strides[i]; /* SAME_UPPER, SAME_LOWER */
    const int64_t room = size + (set ? w->pads[i] + w->pads[n + i] : 0) - reach;
    if (room < 0)
        return -1;
    int64_t steps = room / w->strides[i];
    if (attribute(q, "ceil_mode", 0) != 0 && room % w->strides[i] != 0 &&
        /* a window that begins in the padding at the end is left out */
        (steps + 1) * w->strides[i] < size + (set ? w->pads[i] : 0))
        steps++;
    return steps + 1;
}

static void slide_all(question *q, int64_t channels, const int64_t *kernel, fact *out)
{
    const struct frt_onnx_shape *x = &q->in[0].shape;
    struct window w;
    if (!q->in[0].known || x->n_dims < 3 || x->n_dims > 2 + MAX_SPATIAL ||
        !read_window(q, x->n_dims - 2, kernel, &w))
        return;
    out[0].known = true;
    out[0].shape = *x;
    out[0].shape.dims[1] = channels;
    for (uint32_t i = 0; i + 2 < x->n_dims; i++)
        out[0].shape.dims[2 + i] = slide(q, &w, x->n_dims - 2, i, x->dims[2 + i]);
}

static void conv(question *q, fact *out)
{
    if (q->n_inputs >= 2 && q->in[1].known && q->in[0].known && q->in[1].shape.n_dims == q->in[0].shape.n_dims)
        slide_all(q, q->in[1].shape.dims[0], q->in[1].shape.dims + 2, out);
}

static void pool(question *q, fact *out)
{
    slide_all(q, q->in[0].shape.dims[1], NULL, out);
}

static void global_pool(question *q, fact *out)
{
    same(q, out);
    for (uint32_t i = 2; i < out[0].shape.n_dims; i++)
        out[0].shape.dims[i] = 1;
}

/* ---------------------------------------------------------------- products */

static void gemm(question *q, fact *out)
{
    if (q->n_inputs < 2 || !q->in[0].known || !q->in[1].known || q->in[0].shape.n_dims != 2 ||
        q->in[1].shape.n_dims != 2)
        return;
    out[0].known = true;
    out[0].shape.n_dims = 2;
    out[0].shape.dims[0] = q->in[0].shape.dims[attribute(q, "transA", 0) != 0 ? 1 : 0];
    out[0].shape.dims[1] = q->in[1].shape.dims[attribute(q, "transB", 0) != 0 ? 0 : 1];
}

static void matmul(question *q, fact *out)
{
    if (q->n_inputs != 2 || !q->in[0].known || !q->in[1].known || q->in[0].shape.n_dims < 2 ||
        q->in[1].shape.n_dims < 2)
        return;
    struct frt_onnx_shape a = q->in[0].shape, b = q->in[1].shape, s;
    const int64_t rows = a.dims[a.n_dims - 2], columns = b.dims[b.n_dims - 1];
    a.n_dims -= 2;
    b.n_dims -= 2;
    if (!broadcast_two(&a, &b, &s))
        return;
    s.dims[s.n_dims++] = rows;
    s.dims[s.n_dims++] = columns;
    out[0].known = true;
    out[0].shape = s;
}

/* ------------------------------------------------------------------ shapes */

/* Product of dimensions; -1: one is not known, or it is too large. */
static int64_t product(const int64_t *dims, uint32_t n)
{
    int64_t p = 1;
    for (uint32_t i = 0; i < n; i++) {
        if (dims[i] < 0 || dims[i] > MOST || p > MOST)
            return -1;
        p *= dims[i];
    }
    return p > MOST ? -1 : p;
}

static void reshape(question *q, fact *out)
{
    if (q->n_inputs < 2 || !q->in[1].has_numbers || q->in[1].n_numbers > FRT_ONNX_MAX_DIMS)
        return;
    const struct frt_onnx_shape *x = &q->in[0].shape;
    struct frt_onnx_shape s = {.n_dims = q->in[1].n_numbers};
    int64_t rest = -1; /* which dimension is what is left */
    bool whole = true; /* all others are numbers */
    for (uint32_t i = 0; i < s.n_dims; i++) {
        const int64_t number = q->in[1].numbers[i];
        if (number == -1)
            rest = i;
        const bool copied = number == 0 && attribute(q, "allowzero", 0) == 0;
        if (copied && (!q->in[0].known || i >= x->n_dims))
            return;
        s.dims[i] = copied ? x->dims[i] : number > 0 && number <= MOST ? number : -1;
        whole = whole && (s.dims[i] >= 0 || number == -1);
    }
    if (rest >= 0 && whole && q->in[0].known) {
        const int64_t all = product(x->dims, x->n_dims);
        s.dims[rest] = 1;
        const int64_t others = product(s.dims, s.n_dims);
        s.dims[rest] = all >= 0 && others > 0 && all % others == 0 ? all / others : -1;
    }
    out[0].known = true;
    out[0].shape = s;
}

static void flatten(question *q, fact *out)
{
    const struct frt_onnx_shape *x = &q->in[0].shape;
    int64_t axis = attribute(q, "axis", 1);
    if (!q->in[0].known)
        return;
    axis += axis < 0 ? x->n_dims : 0;
    if (axis < 0 || axis > x->n_dims)
        return;
    out[0].known = true;
    out[0].shape.n_dims = 2;
    out[0].shape.dims[0] = product(x->dims, (uint32_t)axis);
    out[0].shape.dims[1] = product(x->dims + axis, x->n_dims - (uint32_t)axis);
}

static void transpose(question *q, fact *out)
{
    const struct frt_onnx_shape *x = &q->in[0].shape;
    int64_t perm[FRT_ONNX_MAX_DIMS];
    uint32_t n = x->n_dims;
    if (!q->in[0].known)
        return;
    for (uint32_t i = 0; i < n; i++)
        perm[i] = n - 1 - i;
    if (frt_onnx_model_ints(q->model, q->node, "perm", FRT_ONNX_MAX_DIMS, perm, &n) && n != x->n_dims)
        return;
    out[0].shape.n_dims = x->n_dims;
    for (uint32_t i = 0; i < x->n_dims; i++) {
        if (perm[i] < 0 || perm[i] >= x->n_dims)
            return;
        out[0].shape.dims[i] = x->dims[perm[i]];
    }
    out[0].known = true;
}

static void concat_numbers(question *q, fact *out)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < q->n_inputs; i++) {
        if (!q->in[i].has_numbers || q->in[i].n_numbers > FRT_SHAPES_MAX_VALUES - n)
            return;
        memcpy(out[0].numbers + n, q->in[i].numbers, q->in[i].n_numbers * sizeof *out[0].numbers);
        n += q->in[i].n_numbers;
    }
    out[0].has_numbers = true;
    out[0].n_numbers = n;
}

static void concat(question *q, fact *out)
{
    if (q->n_inputs == 0 || !q->in[0].known)
        return;
    struct frt_onnx_shape s = q->in[0].shape;
    const int64_t axis = axis_of(attribute(q, "axis", 0), s.n_dims);
    if (axis < 0)
        return;
    for (uint32_t i = 1; i < q->n_inputs; i++) {
        const struct frt_onnx_shape *x = &q->in[i].shape;
        if (!q->in[i].known || x->n_dims != s.n_dims)
            return;
        for (uint32_t k = 0; k < s.n_dims; k++) {
            if (k != axis)
                s.dims[k] = s.dims[k] < 0 ? x->dims[k] : s.dims[k];
            else
                s.dims[k] = s.dims[k] < 0 || x->dims[k] < 0 || s.dims[k] > MOST || x->dims[k] > MOST
                                ? -1
                                : s.dims[k] + x->dims[k];
        }
    }
    out[0].known = true;
    out[0].shape = s;
    if (s.n_dims == 1)
        concat_numbers(q, out);
}

static void shape(question *q, fact *out)
{
    const struct frt_onnx_shape *x = &q->in[0].shape;
    if (!q->in[0].known)
        return;
    int64_t from = attribute(q, "start", 0), to = attribute(q, "end", x->n_dims);
    from += from < 0 ? x->n_dims : 0;
    to += to < 0 ? x->n_dims : 0;
    from = from < 0 ? 0 : from > x->n_dims ? x->n_dims : from;
    to = to < from ? from : to > x->n_dims ? x->n_dims : to;
    out[0].known = out[0].has_numbers = true;
    out[0].shape.n_dims = 1;
    out[0].shape.dims[0] = to - from;
    out[0].n_numbers = (uint32_t)(to - from);
    for (int64_t i = from; i < to; i++)
        out[0].numbers[i - from] = x->dims[i] < 0 ? FRT_SHAPES_UNKNOWN : x->dims[i];
}

static void gather(question *q, fact *out)
{
    if (q->n_inputs != 2 || !q->in[0].known || !q->in[1].known)
        return;
    const struct frt_onnx_shape *x = &q->in[0].shape, *index = &q->in[1].shape;
    const int64_t axis = axis_of(attribute(q, "axis", 0), x->n_dims);
    struct frt_onnx_shape s = {0};
    if (axis < 0 || x->n_dims + index->n_dims - 1 > FRT_ONNX_MAX_DIMS)
        return;
    for (int64_t i = 0; i < axis; i++)
        s.dims[s.n_dims++] = x->dims[i];
    for (uint32_t i = 0; i < index->n_dims; i++)
        s.dims[s.n_dims++] = index->dims[i];
    for (int64_t i = axis + 1; i < x->n_dims; i++)
        s.dims[s.n_dims++] = x->dims[i];
    out[0].known = true;
    out[0].shape = s;
    if (!q->in[0].has_numbers || x->n_dims != 1 || !q->in[1].has_numbers)
        return;
    out[0].has_numbers = true;
    out[0].n_numbers = q->in[1].n_numbers;
    for (uint32_t i = 0; i < q->in[1].n_numbers; i++) {
        const int64_t at = q->in[1].numbers[i];
        const int64_t from = at == FRT_SHAPES_UNKNOWN ? -1 : axis_of(at, q->in[0].n_numbers);
        out[0].numbers[i] = from < 0 ? FRT_SHAPES_UNKNOWN : q->in[0].numbers[from];
    }
}

/* Squeeze and Unsqueeze change no numbers: a vector of one becomes a scalar, or the other way round. */
static void keep_numbers(question *q, fact *out)
{
    if (!q->in[0].has_numbers || out[0].shape.n_dims > 1)
        return;
    out[0].has_numbers = true;
    out[0].n_numbers = q->in[0].n_numbers;
    memcpy(out[0].numbers, q->in[0].numbers, sizeof out[0].numbers);
}

static void unsqueeze(question *q, fact *out)
{
    const struct frt_onnx_shape *x = &q->in[0].shape;
    int64_t axes[FRT_SHAPES_MAX_VALUES];
    bool fresh[FRT_ONNX_MAX_DIMS] = {false};
    uint32_t n;
    if (!q->in[0].known || !numbers_of(q, "axes", 1, axes, &n) || x->n_dims + n > FRT_ONNX_MAX_DIMS)
        return;
    struct frt_onnx_shape s = {.n_dims = x->n_dims + n};
    for (uint32_t i = 0; i < n; i++) {
        const int64_t axis = axis_of(axes[i], s.n_dims);
        if (axis < 0 || fresh[axis])
            return;
        fresh[axis] = true;
    }
    for (uint32_t i = 0, from = 0; i < s.n_dims; i++)
        s.dims[i] = fresh[i] ? 1 : x->dims[from++];
    out[0].known = true;
    out[0].shape = s;
    keep_numbers(q, out);
}

static void squeeze(question *q, fact *out)
{
    const struct frt_onnx_shape *x = &q->in[0].shape;
    int64_t axes[FRT_SHAPES_MAX_VALUES];
    bool gone[FRT_ONNX_MAX_DIMS] = {false};
    uint32_t n = 0;
    if (!q->in[0].known)
        return;
    const bool told = numbers_of(q, "axes", 1, axes, &n);
    if (!told && !is_left_out(q, 1))
        return;
    for (uint32_t i = 0; i < n; i++) {
        const int64_t axis = axis_of(axes[i], x->n_dims);
        if (axis < 0)
            return;
        gone[axis] = true;
    }
    struct frt_onnx_shape s = {0};
    for (uint32_t i = 0; i < x->n_dims; i++) {
        if (!told && x->dims[i] < 0)
            return; /* may be 1 */
        if (told ? !gone[i] : x->dims[i] != 1)
            s.dims[s.n_dims++] = x->dims[i];
    }
    out[0].known = true;
    out[0].shape = s;
    keep_numbers(q, out);
}

struct cut {
    int64_t from, to, step;
};

/* How many of `size` a slice takes, and where it begins. */
static int64_t cut_size(struct cut *c, int64_t size)
{
    const int64_t low = c->step > 0 ? 0 : -1, high = c->step > 0 ? size : size - 1;
    c->from += c->from < 0 ? size : 0;
    c->to += c->to < 0 ? size : 0;
    c->from = c->from < low ? low : c->from > high ? high : c->from;
    c->to = c->to < low ? low : c->to > high ? high : c->to;
    const int64_t span = c->step > 0 ? c->to - c->from : c->from - c->to;
    const int64_t step = c->step > 0 ? c->step : -c->step;
    return span <= 0 ? 0 : (span + step - 1) / step;
}

static void slice(question *q, fact *out)
{
    const struct frt_onnx_shape *x = &q->in[0].shape;
    int64_t from[FRT_SHAPES_MAX_VALUES], to[FRT_SHAPES_MAX_VALUES], axes[FRT_SHAPES_MAX_VALUES],
        steps[FRT_SHAPES_MAX_VALUES];
    uint32_t n, n_to, n_axes = 0, n_steps = 0;
    if (!q->in[0].known)
        return;
    out[0].known = true; /* the number of dimensions stays; their sizes where the cut is known */
    out[0].shape = *x;
    for (uint32_t i = 0; i < x->n_dims; i++)
        out[0].shape.dims[i] = -1;
    if (!numbers_of(q, "starts", 1, from, &n) || !numbers_of(q, "ends", 2, to, &n_to) || n_to != n)
        return;
    if (!numbers_of(q, "axes", 3, axes, &n_axes) && !is_left_out(q, 3))
        return;
    if (!is_left_out(q, 4) && !numbers_of(q, "steps", 4, steps, &n_steps))
        return;
    if ((n_axes != 0 && n_axes != n) || (n_steps != 0 && n_steps != n))
        return;
    struct frt_onnx_shape s = *x;
    struct cut only = {0};
    for (uint32_t i = 0; i < n; i++) {
        const int64_t axis = axis_of(n_axes != 0 ? axes[i] : i, s.n_dims);
        struct cut c = {from[i], to[i], n_steps != 0 ? steps[i] : 1};
        if (axis < 0 || c.step == 0 || c.step > MOST || c.step < -MOST || s.dims[axis] > MOST)
            return;
        if (s.dims[axis] >= 0)
            s.dims[axis] = cut_size(&c, s.dims[axis]);
        only = c;
    }
    out[0].shape = s;
    if (!q->in[0].has_numbers || n != 1 || s.n_dims != 1 || s.dims[0] < 0)
        return;
    out[0].has_numbers = true;
    out[0].n_numbers = (uint32_t)s.dims[0];
    for (uint32_t i = 0; i < out[0].n_numbers; i++)
        out[0].numbers[i] = q->in[0].numbers[only.from + i * only.step];
}

/* --------------------------------------------------------- sizes that change */

static void resize(question *q, fact *out)
{
    const bool upsample = strcmp(frt_onnx_model_op(q->model, q->node), "Upsample") == 0;
    const bool old = upsample || frt_onnx_model_opset(q->model) < 11;
    const uint32_t scales_at = old ? 1 : 2;
    struct frt_onnx_tensor scales;
    if (!q->in[0].known ||
        !frt_onnx_model_text_is(q->model, q->node, "keep_aspect_ratio_policy", "stretch", true))
        return;
    struct frt_onnx_shape s = q->in[0].shape;
    int64_t axes[FRT_SHAPES_MAX_VALUES];
    uint32_t n;
    if (frt_onnx_model_ints(q->model, q->node, "axes", FRT_SHAPES_MAX_VALUES, axes, &n))
        return; /* some dimensions only: opset 18, and rare */
    if (!old && !is_left_out(q, 3)) {
        if (!q->in[3].has_numbers || q->in[3].n_numbers != s.n_dims)
            return;
        for (uint32_t i = 0; i < s.n_dims; i++)
            s.dims[i] = q->in[3].numbers[i] == FRT_SHAPES_UNKNOWN ? -1 : q->in[3].numbers[i];
    } else if (!is_left_out(q, scales_at) &&
               frt_onnx_model_tensor(q->model, frt_onnx_model_input(q->model, q->node, scales_at), &scales) &&
               scales.type == FRT_ONNX_F32 && frt_onnx_tensor_count(&scales) == s.n_dims) {
        for (uint32_t i = 0; i < s.n_dims; i++) {
            const double size = floor((double)s.dims[i] * (double)((const float *)scales.data)[i]);
            s.dims[i] = s.dims[i] >= 0 && size >= 0 && size <= (double)MOST ? (int64_t)size : -1;
        }
    } else {
        for (uint32_t i = 0; i < s.n_dims; i++)
            s.dims[i] = -1;
    }
    out[0].known = true;
    out[0].shape = s;
}

static void pad(question *q, fact *out)
{
    int64_t pads[FRT_SHAPES_MAX_VALUES];
    uint32_t n;
    if (!q->in[0].known || !is_left_out(q, 3))
        return;
    struct frt_onnx_shape s = q->in[0].shape;
    const bool told = numbers_of(q, "pads", 1, pads, &n) && n == 2 * s.n_dims;
    for (uint32_t i = 0; i < s.n_dims; i++) {
        if (!told || s.dims[i] < 0 || s.dims[i] > MOST || pads[i] > MOST || pads[i] < -MOST ||
            pads[s.n_dims + i] > MOST || pads[s.n_dims + i] < -MOST)
            s.dims[i] = -1;
        else
            s.dims[i] += pads[i] + pads[s.n_dims + i];
    }
    out[0].known = true;
    out[0].shape = s;
}

static void reduce(question *q, fact *out)
{
    int64_t axes[FRT_SHAPES_MAX_VALUES];
    uint32_t n = 0;
    bool gone[FRT_ONNX_MAX_DIMS] = {false};
    const bool kept = attribute(q, "keepdims", 1) != 0;
    if (!q->in[0].known || attribute(q, "noop_with_empty_axes", 0) != 0)
        return;
    const struct frt_onnx_shape *x = &q->in[0].shape;
    const bool told = numbers_of(q, "axes", 1, axes, &n);
    if (!told && !is_left_out(q, 1))
        return;
    for (uint32_t i = 0; i < (told ? n : x->n_dims); i++) {
        const int64_t axis = axis_of(told ? axes[i] : i, x->n_dims);
        if (axis < 0)
            return;
        gone[axis] = true;
    }
    struct frt_onnx_shape s = {0};
    for (uint32_t i = 0; i < x->n_dims; i++)
        if (!gone[i] || kept)
            s.dims[s.n_dims++] = gone[i] ? 1 : x->dims[i];
    out[0].known = true;
    out[0].shape = s;
}

static void split(question *q, fact *out)
{
    const uint32_t n = frt_onnx_model_n_outputs(q->model, q->node);
    int64_t sizes[FRT_SHAPES_MAX_VALUES];
    uint32_t n_sizes = 0;
    if (!q->in[0].known || n == 0 || n > FRT_SHAPE_MAX_OUTPUTS)
        return;
    const struct frt_onnx_shape *x = &q->in[0].shape;
    const int64_t axis = axis_of(attribute(q, "axis", 0), x->n_dims);
    if (axis < 0)
        return;
    const bool told = numbers_of(q, "split", 1, sizes, &n_sizes) && n_sizes == n;
    const bool even =
        !told && is_left_out(q, 1) && n_sizes == 0 && x->dims[axis] >= 0 && x->dims[axis] % n == 0;
    for (uint32_t i = 0; i < n; i++) {
        out[i].known = true;
        out[i].shape = *x;
        out[i].shape.dims[axis] = told ? sizes[i] : even ? x->dims[axis] / n : -1;
    }
}

/* --------------------------------------------------------------- the table */

static const struct {
    const char *op;
    void (*find)(question *q, fact *out);
} operators[] = {
    {"Add", arithmetic},
    {"AveragePool", pool},
    {"BatchNormalization", same},
    {"Cast", cast},
    {"Clip", same},
    {"Concat", concat},
    {"Conv", conv},
    {"Div", arithmetic},
    {"Dropout", same},
    {"Elu", same},
    {"Erf", same},
    {"Exp", same},
    {"Flatten", flatten},
    {"Gather", gather},
    {"Gemm", gemm},
    {"GlobalAveragePool", global_pool},
    {"GlobalMaxPool", global_pool},
    {"HardSigmoid", same},
    {"HardSwish", same},
    {"Identity", identity},
    {"InstanceNormalization", same},
    {"LeakyRelu", same},
    {"Log", same},
    {"LogSoftmax", same},
    {"MatMul", matmul},
    {"Max", broadcast},
    {"MaxPool", pool},
    {"Min", broadcast},
    {"Mul", arithmetic},
    {"Neg", same},
    {"PRelu", same},
    {"Pad", pad},
    {"Pow", broadcast},
    {"Reciprocal", same},
    {"ReduceMax", reduce},
    {"ReduceMean", reduce},
    {"ReduceMin", reduce},
    {"ReduceSum", reduce},
    {"Relu", same},
    {"Reshape", reshape},
    {"Resize", resize},
    {"Shape", shape},
    {"Sigmoid", same},
    {"Slice", slice},
    {"Softmax", same},
    {"Softplus", same},
    {"Split", split},
    {"Sqrt", same},
    {"Squeeze", squeeze},
    {"Sub", arithmetic},
    {"Sum", broadcast},
    {"Tanh", same},
    {"Transpose", transpose},
    {"Unsqueeze", unsqueeze},
    {"Upsample", resize},
};

void frt_shape_of_node(const struct frt_shape_question *q, struct frt_shape_fact *out)
{
    const char *op = frt_onnx_model_op(q->model, q->node);
    if (q->n_inputs == 0)
        return;
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++) {
        if (strcmp(operators[i].op, op) == 0) {
            operators[i].find(q, out);
            break;
        }
    }
    /* a result of too many numbers, or none at all, is no fact */
    for (uint32_t i = 0; i < FRT_SHAPE_MAX_OUTPUTS; i++)
        if (out[i].has_numbers && (!out[i].known || out[i].n_numbers > FRT_SHAPES_MAX_VALUES))
            out[i].has_numbers = false;
}
