/*
 * Embedders as the pack loader rewrites them (model/rewrite.h), one core, beside the same runtime with the file
 * as published ("onnxruntime-stock"), taking turns in one process. A second line for each: how far the two
 * outputs are apart, as 1 − cosine.
 *
 * Models: FRT_TEST_ASSETS (default ../shared/assets); one that is absent is passed over with a message.
 */
#include "bench.h"
#include "core/clock.h"
#include "core/mem.h"
#include "infer/infer.h"
#include "model/model_file.h"
#include "model/rewrite.h"

enum { SIDE = 112, RUNS = 41, SKIPPED = 77, MAX_DIM = 1024 };

static const struct {
    const char *name, *file;
} models[] = {{"mobilefacenet-fp32", "w600k_mbf_dequant_fp32.onnx"},
              {"mobilefacenet-y1-fp32", "insightface_y1.converted.onnx"}};

static void need(enum frt_status status, const struct frt_error *err)
{
    if (status != FRT_OK) {
        (void)fprintf(stderr, "bench: %s\n", err->text);
        exit(status == FRT_ERUNTIME ? SKIPPED : 1);
    }
}

static double run(const struct frt_session *session, const float *photo, float *out, size_t *dim)
{
    const struct frt_tensor in = {.data = photo, .n_dims = 4, .dims = {1, 3, SIDE, SIDE}};
    struct frt_outputs outputs;
    struct frt_error err;
    const int64_t start = frt_now_ns();
    need(frt_session_run(session, &in, 1, &outputs, &err), &err);
    const double ms = frt_elapsed_ms(start);
    *dim = frt_tensor_size(&outputs.tensors[0]);
    if (*dim > MAX_DIM)
        *dim = MAX_DIM;
    memcpy(out, outputs.tensors[0].data, *dim * sizeof *out);
    frt_outputs_release(&outputs);
    return ms;
}

static double apart(const float *a, const float *b, size_t n)
{
    double ab = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < n; i++) {
        ab += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    return 1 - ab / sqrt(aa * bb);
}

static void measure(struct frt_backend *backend, const char *name, const void *bytes, size_t size,
                    const float *photo)
{
    struct frt_session *sessions[2] = {NULL, NULL};
    struct frt_error err = {0};
    double ms[2][RUNS];
    float out[2][MAX_DIM];
    char second[64];
    uint8_t *rewritten = NULL;
    size_t n = 0, dim = 0;
    need(frt_rewrite_for_runtime(bytes, size, &rewritten, &n, NULL, &err), &err);
    need(frt_session_open_bytes(backend, rewritten, n, &sessions[0], &err), &err);
    need(frt_session_open_bytes(backend, bytes, size, &sessions[1], &err), &err);
    for (int i = -3; i < RUNS; i++) /* the first ones do not count */
        for (int k = 0; k < 2; k++)
            ms[k][i < 0 ? 0 : i] = run(sessions[k], photo, out[k], &dim);
    (void)snprintf(second, sizeof second, "%s-apart", name);
    bench_print(&(struct bench_figure){"infer", name, "ms", bench_median(ms[0], RUNS), "onnxruntime-stock",
                                       bench_median(ms[1], RUNS)});
    bench_print(
        &(struct bench_figure){"infer", second, "1e-6 of 1-cosine", 1e6 * apart(out[0], out[1], dim), NULL, 0});
    for (int k = 0; k < 2; k++)
        frt_session_free(sessions[k]);
    frt_free(rewritten);
}

int main(void)
{
    const char *assets = getenv("FRT_TEST_ASSETS");
    struct frt_backend *backend = NULL;
    struct frt_error err = {0};
    int measured = 0;
    need(frt_backend_onnxruntime_new(&(struct frt_onnxruntime_options){.threads = 1}, &backend, &err), &err);
    float *photo = frt_alloc_array(3 * SIDE * SIDE, sizeof *photo);
    if (photo == NULL)
        return 1;
    for (size_t i = 0, seed = 1; i < 3 * SIDE * SIDE; i++) {
        seed = seed * 6364136223846793005U + 1442695040888963407U;
        photo[i] = (float)((double)(seed >> 33) / (double)(1U << 30) - 1.0);
    }
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        char path[1024];
        const void *bytes = NULL;
        size_t size = 0;
        (void)snprintf(path, sizeof path, "%s/models/recognize/%s",
                       assets != NULL ? assets : "../shared/assets", models[i].file);
        if (frt_model_file_map(path, 1U << 30, &bytes, &size, &err) != FRT_OK) {
            (void)fprintf(stderr, "bench: %s: not measured: %s\n", models[i].name, err.text);
            continue;
        }
        measure(backend, models[i].name, bytes, size, photo);
        frt_model_file_unmap(bytes, size);
        measured++;
    }
    frt_free(photo);
    frt_backend_free(backend);
    return measured > 0 ? 0 : SKIPPED;
}
