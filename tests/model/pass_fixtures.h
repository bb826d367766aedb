/*
 * Small graphs with random weights for tests of passes, and the comparison of two files by running both.
 */
#ifndef TESTS_MODEL_PASS_FIXTURES_H
#define TESTS_MODEL_PASS_FIXTURES_H

#include "infer/infer.h"
#include "model/onnx_graph.h"

#define SHAPE(...)                                                                                             \
    ((struct frt_onnx_shape){.n_dims = sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t),                     \
                             .dims = {__VA_ARGS__}})
/* Relative to the largest output: what reordering f32 sums may change. */
#define TOLERANCE 1e-4
enum { SIDE = 12, CHANNELS = 32, MAX_OUT = 1 << 16 };

extern struct frt_backend *fixture_backend; /* NULL: no runtime, nothing is compared */

struct fixture_file_bytes {
    uint8_t *bytes;
    size_t size;
};

float fixture_draw(void);
int fixture_weights(struct frt_onnx_graph *g, const char *name, struct frt_onnx_shape shape, float scale);
int fixture_conv(struct frt_onnx_graph *g, int x, int w, int64_t outputs, int64_t group, int64_t pad);
int fixture_prelu(struct frt_onnx_graph *g, int x, int slopes);
/** CONSUMES g. */
struct fixture_file_bytes fixture_file(struct frt_onnx_graph *g, int y);
/** A graph with the input x of [?,3,SIDE,SIDE]. */
struct frt_onnx_graph *fixture_graph(int *x);
/** The first output of a run on random numbers: how many, at most MAX_OUT. */
size_t fixture_run(const void *bytes, size_t size, int64_t batch, int64_t side, float *out);
void fixture_assert_same(const struct fixture_file_bytes *before, const void *after, size_t size, int64_t side);

#endif
