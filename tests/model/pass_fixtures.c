#include "model/pass_fixtures.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "core/mem.h"

struct frt_backend *fixture_backend; /* NULL: no runtime */

static uint32_t seed = 1;
float fixture_draw(void)
{
    seed = seed * 1664525U + 1013904223U;
    return (float)(seed >> 8) / (float)(1 << 23) - 1.0F;
}

int fixture_weights(struct frt_onnx_graph *g, const char *name, struct frt_onnx_shape shape, float scale)
{
    int value = FRT_ONNX_NONE;
    float *to = frt_onnx_const_space(g, name, &shape, &value);
    for (int64_t i = 0; to != NULL && i < frt_onnx_shape_size(&shape); i++)
        to[i] = scale * fixture_draw();
    return value;
}

int fixture_conv(struct frt_onnx_graph *g, int x, int w, int64_t outputs, int64_t group, int64_t pad)
{
    const struct frt_onnx_node node = {
        .op = "Conv",
        .n_inputs = 2,
        .inputs = {x, w},
        .outputs = {SHAPE(-1, outputs, SIDE, SIDE)},
        .n_attributes = 2,
        .attributes = {{.name = "group", .kind = FRT_ONNX_INT, .i = group},
                       {.name = "pads", .kind = FRT_ONNX_INTS, .n_ints = 4, .ints = {pad, pad, pad, pad}}}};
    return frt_onnx_node_add(g, &node);
}

int fixture_prelu(struct frt_onnx_graph *g, int x, int slopes)
{
    const struct frt_onnx_node node = {
        .op = "PRelu", .n_inputs = 2, .inputs = {x, slopes}, .outputs = {frt_onnx_shape_of(g, x)}};
    return frt_onnx_node_add(g, &node);
}

/* CONSUMES g. */
struct fixture_file_bytes fixture_file(struct frt_onnx_graph *g, int y)
{
    struct fixture_file_bytes file = {0};
    struct frt_error err = {0};
    frt_onnx_output(g, y, "y");
    if (frt_onnx_serialise(g, &file.bytes, &file.size, &err) != FRT_OK)
        fail_msg("%s", err.text);
    frt_onnx_free(g);
    return file;
}

struct frt_onnx_graph *fixture_graph(int *x)
{
    struct frt_onnx_graph *g = NULL;
    struct frt_onnx_shape shape = SHAPE(-1, 3, SIDE, SIDE);
    assert_int_equal(frt_onnx_new("test", &g, NULL), FRT_OK);
    *x = frt_onnx_input(g, "x", &shape);
    return g;
}

size_t fixture_run(const void *bytes, size_t size, int64_t batch, int64_t side, float *out)
{
    struct frt_session *session = NULL;
    struct frt_error err = {0};
    struct frt_outputs outputs;
    if (frt_session_open_bytes(fixture_backend, bytes, size, &session, &err) != FRT_OK)
        fail_msg("%s", err.text);
    const size_t n = (size_t)(batch * 3 * side * side);
    float *in = frt_alloc_array(n, sizeof *in);
    seed = 7;
    for (size_t i = 0; i < n; i++)
        in[i] = fixture_draw();
    const struct frt_tensor tensor = {.data = in, .n_dims = 4, .dims = {batch, 3, side, side}};
    if (frt_session_run(session, &tensor, 1, &outputs, &err) != FRT_OK)
        fail_msg("%s", err.text);
    const size_t count = frt_tensor_size(&outputs.tensors[0]);
    assert_in_range(count, 1, MAX_OUT);
    memcpy(out, outputs.tensors[0].data, count * sizeof *out);
    frt_outputs_release(&outputs);
    frt_session_free(session);
    frt_free(in);
    return count;
}

void fixture_assert_same(const struct fixture_file_bytes *before, const void *after, size_t size, int64_t side)
{
    static float a[MAX_OUT], b[MAX_OUT];
    double largest = 0, difference = 0;
    if (fixture_backend == NULL)
        return;
    const size_t n = fixture_run(before->bytes, before->size, 2, side, a);
    assert_int_equal(fixture_run(after, size, 2, side, b), n);
    for (size_t i = 0; i < n; i++) {
        largest = fmax(largest, fabs((double)a[i]));
        difference = fmax(difference, fabs((double)a[i] - (double)b[i]));
    }
    assert_true(largest > 0);
    if (!(difference <= TOLERANCE * largest))
        fail_msg("results differ by %g of %g", difference, largest);
}
