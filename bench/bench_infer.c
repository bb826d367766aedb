/*
 * Models as FRT compiles them, one core, beside the same runtime with the file as published
 * ("onnxruntime-stock"), taking turns in one process. After each line the agreement of the two outputs: mean
 * cosine over inputs that nothing was calibrated on.
 *
 *     bench_infer [CASE…]     default: all
 *
 * Real models and photos: FRT_TEST_ASSETS (default ../shared/assets); the SSD: FRT_PACK (default
 * data/packs/default). What is absent is passed over with a message. r50 and r100 are their topology with
 * random weights on smooth noise: their times are real, their agreement is that of a random net.
 */
#include "bench.h"
#include "core/clock.h"
#include "core/mem.h"
#include "infer/infer_inputs.h"
#include "infer/iresnet.h"
#include "model/quantize.h"

enum { RUNS = 31, WAVES = 12, SKIPPED = 77, SIDE = 112 };

struct model_case {
    const char *name;
    const char *manifest; /* NULL: a ResNet */
    enum frt_model_role role;
    enum frt_precision precision;
    double at_most; /* ratio asked for */
    uint32_t inputs;
    uint32_t blocks[4];
};

static const struct model_case cases[] = {
    {"mobilefacenet-fp32",
     "share/packs/yunet-mobilefacenet.json",
     FRT_ROLE_EMBEDDER,
     FRT_PRECISION_FP32,
     0.33,
     12,
     {0}},
    {"mobilefacenet-int8",
     "share/packs/yunet-mobilefacenet.json",
     FRT_ROLE_EMBEDDER,
     FRT_PRECISION_INT8,
     0.33,
     72,
     {0}},
    {"r50-int8", NULL, FRT_ROLE_EMBEDDER, FRT_PRECISION_INT8, 0.31, WAVES, {3, 4, 14, 3}},
    {"r100-int8", NULL, FRT_ROLE_EMBEDDER, FRT_PRECISION_INT8, 0.33, WAVES, {3, 13, 30, 3}},
    {"scrfd2.5g-int8",
     "share/packs/scrfd-mobilefacenet.json",
     FRT_ROLE_DETECTOR,
     FRT_PRECISION_INT8,
     0.5,
     30,
     {0}},
    {"ssd-int8", "", FRT_ROLE_DETECTOR, FRT_PRECISION_INT8, 0.5, 24, {0}},
};

static void need(enum frt_status status, const struct frt_error *err)
{
    if (status != FRT_OK) {
        (void)fprintf(stderr, "bench: %s\n", err->text);
        exit(status == FRT_ERUNTIME ? SKIPPED : 1);
    }
}

/* ------------------------------------------------------------- comparison */

static double cosine(const struct frt_outputs *a, const struct frt_outputs *b)
{
    double ab = 0, aa = 0, bb = 0;
    for (uint32_t k = 0; k < a->n && k < b->n; k++) {
        for (size_t i = 0; i < frt_tensor_size(&a->tensors[k]); i++) {
            const double x = (double)a->tensors[k].data[i], y = (double)b->tensors[k].data[i];
            ab += x * y;
            aa += x * x;
            bb += y * y;
        }
    }
    return ab / sqrt(aa * bb);
}

static void measure(const struct model_case *c, struct frt_session *const sessions[2],
                    const struct frt_compile_inputs *inputs)
{
    double ms[2][RUNS], sum = 0;
    char name[64];
    for (int i = -2; i < RUNS; i++) { /* the first ones do not count */
        struct frt_outputs out[2];
        struct frt_error err;
        for (int k = 0; k < 2; k++) {
            const int64_t start = frt_now_ns();
            need(
                frt_session_run(sessions[k], &inputs->tensors[(uint32_t)(i + 2) % inputs->n], 1, &out[k], &err),
                &err);
            ms[k][i < 0 ? 0 : i] = frt_elapsed_ms(start);
        }
        sum += i < 0 ? 0 : cosine(&out[0], &out[1]);
        frt_outputs_release(&out[0]);
        frt_outputs_release(&out[1]);
    }
    bench_print_wished(&(struct bench_figure){"infer", c->name, "ms", bench_median(ms[0], RUNS),
                                              "onnxruntime-stock", bench_median(ms[1], RUNS)},
                       (struct bench_wish){.at_most = c->at_most});
    (void)snprintf(name, sizeof name, "%s-agreement", c->name);
    bench_print(&(struct bench_figure){"infer", name, "1e-4 of 1-cosine", 1e4 * (1 - sum / RUNS), NULL, 0});
}

/* ------------------------------------------------------------- compilation */

/* A ResNet of random weights: no search, as there is nothing to be right about. */
static enum frt_status quantise_all(struct frt_onnx_model *model, const struct frt_quantise_task *task,
                                    struct frt_quantise_report *report, struct frt_error *err)
{
    static const struct frt_q_options options = {.method = FRT_RANGE_MSE, .inputs = 4, .any_speed = true};
    return frt_quantise_with(model, task, &options, report, err);
}

static void compile_and_measure(struct frt_backend *backend, const struct model_case *c,
                                const struct bench_inputs *in)
{
    struct frt_session *sessions[2] = {NULL, NULL};
    struct frt_compile_report report;
    struct frt_error err = {0};
    uint8_t *bytes = NULL;
    size_t size = 0;
    const struct frt_quantise_task task = {.backend = backend,
                                           .spec = &in->spec,
                                           .inputs = &in->calibrate,
                                           .bounds = frt_compile_bounds_default(c->precision)};
    const struct frt_compile_options options = {.precision = c->precision,
                                                .quantise = c->manifest == NULL ? quantise_all : frt_quantise,
                                                .task = &task};
    char text[FRT_SPEC_PATH_MAX];
    need(frt_compile_model(in->model, in->model_size, &options, &bytes, &size, &report, &err), &err);
    frt_compile_report_text(&report, text);
    (void)fprintf(stderr, "bench: %s: %s\n", c->name, text);
    need(frt_session_open_bytes(backend, bytes, size, &sessions[0], &err), &err);
    frt_free(bytes);
    need(frt_session_open_bytes(backend, in->model, in->model_size, &sessions[1], &err), &err);
    measure(c, sessions, &in->compare);
    frt_session_free(sessions[0]);
    frt_session_free(sessions[1]);
}

static void run_resnet(struct frt_backend *backend, const struct model_case *c)
{
    struct frt_tensor waves[WAVES];
    struct frt_error err = {0};
    uint8_t *bytes = NULL;
    struct bench_inputs in = {.calibrate = {waves, WAVES / 2},
                              .compare = {waves + WAVES / 2, WAVES / 2},
                              .spec = {.role = FRT_ROLE_EMBEDDER, .dim = 512}};
    need(bench_waves(WAVES, SIDE, waves, &err), &err);
    need(bench_iresnet(c->blocks, &bytes, &in.model_size, &err), &err);
    in.model = bytes;
    compile_and_measure(backend, c, &in);
    frt_free(bytes);
    frt_free((void *)(uintptr_t)waves[0].data);
}

static bool run_case(struct frt_backend *backend, const struct model_case *c, const char *assets)
{
    struct bench_inputs in = {0};
    struct frt_error err = {0};
    const char *pack = getenv("FRT_PACK");
    if (c->manifest == NULL) {
        run_resnet(backend, c);
        return true;
    }
    const char *manifest = c->manifest[0] != '\0' ? c->manifest : pack != NULL ? pack : "data/packs/default";
    if (bench_inputs_of_pack(backend, assets, manifest, c->role, c->inputs, &in, &err) != FRT_OK) {
        (void)fprintf(stderr, "bench: %s: not measured: %s\n", c->name, err.text);
        return false;
    }
    compile_and_measure(backend, c, &in);
    bench_inputs_deinit(&in);
    return true;
}

int main(int argc, char **argv)
{
    const char *assets = getenv("FRT_TEST_ASSETS");
    struct frt_backend *backend = NULL;
    struct frt_error err = {0};
    int measured = 0;
    need(frt_backend_onnxruntime_new(&(struct frt_onnxruntime_options){.threads = 1}, &backend, &err), &err);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool wanted = argc < 2;
        for (int k = 1; k < argc; k++)
            wanted = wanted || strcmp(argv[k], cases[i].name) == 0;
        if (wanted)
            measured += run_case(backend, &cases[i], assets != NULL ? assets : "../shared/assets");
    }
    frt_backend_free(backend);
    return measured > 0 ? 0 : SKIPPED;
}
