/*
 * The net is the topology with random weights (infer/iresnet.h): how long it takes does not depend on them. Its
 * answers are compared with those of the f32 graph on the CPU, so that a device that computes something else
 * gives no figure.
 */
#include "gpu/embed_case.h"

#include "bench.h"
#include "core/clock.h"
#include "core/mem.h"
#include "gpu/half_graph.h"
#include "infer/infer_inputs.h"
#include "infer/iresnet.h"

enum { SIDE = 112, LARGEST_BATCH = 64, WARM_UP = 3, RUNS = 31, LEAST_RUNS = 3, PATIENCE_MS = 8000 };
#define LEAST_COSINE 0.99
static const uint64_t memory_limit_bytes = UINT64_C(4) << 30; /* as the service's default */

struct embed {
    const char *name;
    const struct bench_embed_options *options;
    struct frt_backend *backend, *cpu;
    struct frt_session *half, *wide;
    struct frt_tensor waves[LARGEST_BATCH];
    double flops; /* an image */
    uint32_t halved;
    char device[FRT_DEVICE_NAME_MAX];
};

static enum frt_status open_sessions(struct embed *e, struct frt_error *err)
{
    static const uint32_t r50[4] = {3, 4, 14, 3};
    const struct frt_onnxruntime_options on_device = {.device = e->options->device,
                                                      .memory_limit_bytes = memory_limit_bytes},
                                         on_cpu = {.threads = 0};
    uint8_t *wide = NULL, *half = NULL;
    size_t wide_size = 0, half_size = 0;
    /* first the one that may be missing */
    enum frt_status status = frt_backend_onnxruntime_new(&on_device, &e->backend, err);
    if (status == FRT_OK)
        status = frt_backend_onnxruntime_new(&on_cpu, &e->cpu, err);
    if (status == FRT_OK)
        status = bench_iresnet(r50, &wide, &wide_size, err);
    if (status == FRT_OK)
        status = bench_graph_flops(wide, wide_size, &e->flops, err);
    if (status == FRT_OK)
        status = bench_half_graph(wide, wide_size, &half, &half_size, &e->halved, err);
    if (status == FRT_OK)
        status = frt_session_open_bytes(e->cpu, wide, wide_size, &e->wide, err);
    if (status == FRT_OK)
        status = frt_session_open_bytes(e->backend, half, half_size, &e->half, err);
    if (status == FRT_OK)
        status = bench_waves(LARGEST_BATCH, SIDE, e->waves, err);
    frt_free(wide);
    frt_free(half);
    return status;
}

/* The least cosine of what a batch gives and what the f32 graph gives for each image alone. */
static enum frt_status compare(const struct embed *e, uint32_t n, double *least, struct frt_error *err)
{
    struct frt_tensor batch = e->waves[0];
    struct frt_outputs ours, theirs;
    batch.dims[0] = n;
    enum frt_status status = frt_session_run(e->half, &batch, 1, &ours, err);
    if (status != FRT_OK)
        return status;
    *least = 1;
    for (uint32_t i = 0; i < n && status == FRT_OK; i++) {
        status = frt_session_run(e->wide, &e->waves[i], 1, &theirs, err);
        if (status != FRT_OK)
            break;
        const size_t dim = frt_tensor_size(&theirs.tensors[0]);
        double ab = 0, aa = 0, bb = 0;
        for (size_t d = 0; d < dim && frt_tensor_size(&ours.tensors[0]) == dim * n; d++) {
            const double a = (double)ours.tensors[0].data[i * dim + d], b = (double)theirs.tensors[0].data[d];
            ab += a * b;
            aa += a * a;
            bb += b * b;
        }
        const double cosine = aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : 0;
        *least = cosine >= *least ? *least : cosine; /* not a number counts as less */
        frt_outputs_release(&theirs);
    }
    frt_outputs_release(&ours);
    return status;
}

/* Median milliseconds of a batch: of 31 runs, or of as many as there is patience for. */
static enum frt_status time_batch(const struct embed *e, uint32_t n, double *ms, struct frt_error *err)
{
    struct frt_tensor batch = e->waves[0];
    double times[RUNS];
    size_t timed = 0;
    const int64_t begun = frt_now_ns();
    batch.dims[0] = n;
    for (uint32_t run = 0; timed < RUNS; run++) {
        struct frt_outputs out;
        const int64_t start = frt_now_ns();
        const enum frt_status status = frt_session_run(e->half, &batch, 1, &out, err);
        if (status != FRT_OK)
            return status;
        frt_outputs_release(&out);
        /* where one run takes seconds, warm-up is not what matters */
        if (run >= WARM_UP || frt_elapsed_ms(begun) > PATIENCE_MS)
            times[timed++] = frt_elapsed_ms(start);
        if (timed >= LEAST_RUNS && frt_elapsed_ms(begun) > PATIENCE_MS)
            break;
    }
    *ms = bench_median(times, timed);
    return FRT_OK;
}

static enum frt_status one_batch(const struct embed *e, uint32_t n, bool *right, struct frt_error *err)
{
    char name[96];
    double least = 0, ms = 0;
    const double peak = e->options->peak_ops_per_s;
    enum frt_status status = compare(e, n < 8 ? n : 8, &least, err);
    if (status == FRT_OK && least < LEAST_COSINE) {
        (void)fprintf(stderr, "bench: %s on %s: cosine %.4f to the f32 graph on the CPU: wrong\n", e->name,
                      e->device, least);
        *right = false;
        return FRT_OK;
    }
    if (status == FRT_OK)
        status = time_batch(e, n, &ms, err);
    if (status != FRT_OK)
        return status;
    const bool cuda = e->options->device.kind == FRT_DEVICE_CUDA;
    (void)snprintf(name, sizeof name, "%s%s%s-b%u", e->name, cuda ? "" : "-", cuda ? "" : e->device, n);
    bench_print(&(struct bench_figure){"gpu", name, "images/s", n / ms * 1e3,
                                       peak > 0 ? "limit-cublaslt-fp16" : NULL,
                                       peak > 0 ? peak / e->flops : 0});
    (void)fprintf(stderr, "bench: %s: %.3f ms, %.3f TFLOP/s, least cosine to f32 on the CPU %.5f\n", name, ms,
                  n * e->flops / ms / 1e9, least);
    return FRT_OK;
}

bool bench_embed_case(const char *name, const struct bench_embed_options *options)
{
    static const uint32_t batches[] = {1, 8, 32, LARGEST_BATCH};
    struct embed e = {.name = name, .options = options};
    struct frt_error err = {0};
    bool right = true;
    (void)frt_device_name(&options->device, e.device);
    enum frt_status status = open_sessions(&e, &err);
    if (status == FRT_OK) {
        (void)fprintf(stderr, "bench: %s on %s: %.2f GFLOP an image, %u nodes in f16%s%s\n", name,
                      frt_session_device(e.half), e.flops / 1e9, e.halved,
                      options->peak_ops_per_s > 0 ? "" : "; no peak beside it: ",
                      options->peak_ops_per_s > 0     ? ""
                      : options->peak_missing != NULL ? options->peak_missing
                                                      : "not measured");
    }
    for (size_t i = 0; status == FRT_OK && right && i < sizeof batches / sizeof *batches; i++) {
        if (options->batch == 0)
            status = one_batch(&e, batches[i], &right, &err);
    }
    if (status == FRT_OK && options->batch != 0)
        status = one_batch(&e, options->batch < LARGEST_BATCH ? options->batch : LARGEST_BATCH, &right, &err);
    if (status != FRT_OK)
        (void)fprintf(stderr, "SKIP %s: %s\n", name, err.text);
    frt_session_free(e.half);
    frt_session_free(e.wide);
    frt_free((void *)(uintptr_t)e.waves[0].data);
    frt_backend_free(e.cpu);
    frt_backend_free(e.backend);
    return right;
}
