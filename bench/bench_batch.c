/*
 * What batches and threads gain, model by model (docs/design/stages.md).
 *
 *     NAME/threads-T/batch-B   ms a face when B share an inference; peer: alone, with as many threads. With one
 *                              thread its CPU time, with more the wall's
 *     NAME/alone               ms of one inference with nothing else to do: wide; peer: narrow (infer/infer.h)
 *     NAME/callers-C           inferences a second of C = cores callers at once, narrow; peer: the same, wide
 *     NAME/callers-C/cpu       CPU time of one of these inferences, which other work on the machine changes
 * less
 *
 * Everything takes turns within one process. Times are the first decile, throughputs the median of slices.
 * Models: data/packs/default, and FRT_TEST_ASSETS (default ../shared/assets); one that is absent is passed
 * over.
 */
#include <pthread.h>
#include <time.h>

#include "bench.h"
#include "core/clock.h"
#include "core/cores.h"
#include "core/mem.h"
#include "infer/infer.h"
#include "model/model_file.h"
#include "model/rewrite.h"

enum { SKIPPED = 77, SIZES = 5, MOST = 16, MAX_TURNS = 400, SLICES = 12, SLICE_MS = 250, MAX_CALLERS = 64 };
/* Time spent on one model's batches. */
#define BATCH_MS 6000.0

static const uint32_t sizes[SIZES] = {1, 2, 4, 8, MOST};

struct subject {
    const char *name, *file; /* below the pack, or below the assets */
    uint32_t side;
    bool in_pack, embedder;
};

static const struct subject subjects[] = {
    {"default-recognition", "face_recognition.onnx", 150, true, true},
    {"w600k_mbf", "recognize/w600k_mbf_dequant_fp32.onnx", 112, false, true},
    {"insightface_y1", "recognize/insightface_y1.converted.onnx", 112, false, true},
    {"mobileface_v2", "recognize/MobileFace_Identification_V2.converted.onnx", 112, false, true},
    {"default-ssd", "ssd_mobilenetv1.onnx", 512, true, false},
    {"yunet-320", "detect/yunet_n_dynamic.onnx", 320, false, false},
};

static void need(enum frt_status status, const struct frt_error *err)
{
    if (status != FRT_OK) {
        (void)fprintf(stderr, "bench: %s\n", err->text);
        exit(status == FRT_ERUNTIME ? SKIPPED : 1);
    }
}

static void run(const struct frt_session *session, const float *data, uint32_t side, uint32_t n)
{
    const bool channels_last = session->info.inputs[0].dims[3] == 3;
    const struct frt_tensor in = {
        .data = data, .n_dims = 4, .dims = {n, channels_last ? side : 3, side, channels_last ? 3 : side}};
    struct frt_outputs outputs;
    struct frt_error err;
    need(frt_session_run(session, &in, 1, &outputs, &err), &err);
    frt_outputs_release(&outputs);
}

/* --------------------------------------------------------------- batches */

static double cpu_ms(clockid_t clock)
{
    struct timespec t;
    (void)clock_gettime(clock, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static double decile(double *values, size_t n)
{
    qsort(values, n, sizeof *values, bench_ascending);
    return values[n / 10];
}

static void batches(const struct frt_session *session, const struct subject *s, const float *data,
                    uint32_t threads)
{
    static double ms[2][SIZES][MAX_TURNS];
    size_t n = 0;
    int64_t start = frt_now_ns();
    for (size_t turn = 0; n < MAX_TURNS && (n < 5 || frt_elapsed_ms(start) < BATCH_MS); turn++) {
        for (int wide = 0; wide < 2; wide++)
            for (size_t k = 0; k < SIZES; k++) {
                frt_infer_width_set(wide ? FRT_INFER_WIDE : FRT_INFER_NARROW);
                double one = wide ? (double)frt_now_ns() / 1e6 : cpu_ms(CLOCK_THREAD_CPUTIME_ID);
                run(session, data, s->side, sizes[k]);
                double then = wide ? (double)frt_now_ns() / 1e6 : cpu_ms(CLOCK_THREAD_CPUTIME_ID);
                ms[wide][k][n] = (then - one) / sizes[k];
            }
        n += turn > 0; /* the first turn does not count */
    }
    for (int wide = 0; wide < 2; wide++) {
        double alone = decile(ms[wide][0], n);
        for (size_t k = 0; k < SIZES; k++) {
            char name[96];
            (void)snprintf(name, sizeof name, "%s/threads-%u/batch-%u", s->name, wide ? threads : 1, sizes[k]);
            bench_print(
                &(struct bench_figure){"batch", name, "ms a face", decile(ms[wide][k], n), "alone", alone});
        }
    }
}

/* --------------------------------------------------------------- threads */

struct caller {
    pthread_t thread;
    const struct frt_session *session;
    const float *data;
    uint32_t side;
    enum frt_infer_width width;
    int64_t until_ns;
    unsigned runs;
};

static void *call(void *arg)
{
    struct caller *c = arg;
    frt_infer_width_set(c->width);
    while (frt_now_ns() < c->until_ns) {
        run(c->session, c->data, c->side, 1);
        c->runs++;
    }
    return NULL;
}

/* Inferences a second of so many callers, and CPU time of each. */
static double slice(const struct frt_session *session, const struct subject *s, const float *data,
                    uint32_t callers, enum frt_infer_width width, double *each_cpu_ms)
{
    static struct caller c[MAX_CALLERS];
    unsigned runs = 0;
    double cpu = cpu_ms(CLOCK_PROCESS_CPUTIME_ID);
    int64_t start = frt_now_ns();
    for (uint32_t i = 0; i < callers; i++) {
        c[i] = (struct caller){.session = session,
                               .data = data,
                               .side = s->side,
                               .width = width,
                               .until_ns = start + (int64_t)SLICE_MS * 1000000};
        if (pthread_create(&c[i].thread, NULL, call, &c[i]) != 0)
            exit(1);
    }
    for (uint32_t i = 0; i < callers; i++) {
        (void)pthread_join(c[i].thread, NULL);
        runs += c[i].runs;
    }
    *each_cpu_ms = (cpu_ms(CLOCK_PROCESS_CPUTIME_ID) - cpu) / runs;
    return runs * 1000.0 / frt_elapsed_ms(start);
}

static void threads_of(const struct frt_session *session, const struct subject *s, const float *data,
                       uint32_t cores)
{
    double alone[2][SLICES], all[2][SLICES], cpu[2][SLICES], other;
    char name[96];
    for (int i = -1; i < SLICES; i++)
        for (int width = 0; width < 2; width++) {
            int at = i < 0 ? 0 : i;
            alone[width][at] = 1000 / slice(session, s, data, 1, (enum frt_infer_width)width, &other);
            all[width][at] = slice(session, s, data, cores, (enum frt_infer_width)width, &cpu[width][at]);
        }
    (void)snprintf(name, sizeof name, "%s/alone", s->name);
    bench_print(&(struct bench_figure){"batch", name, "ms", bench_median(alone[FRT_INFER_WIDE], SLICES),
                                       "narrow", bench_median(alone[FRT_INFER_NARROW], SLICES)});
    (void)snprintf(name, sizeof name, "%s/callers-%u", s->name, cores);
    bench_print(&(struct bench_figure){"batch", name, "1/s", bench_median(all[FRT_INFER_NARROW], SLICES),
                                       "wide", bench_median(all[FRT_INFER_WIDE], SLICES)});
    (void)snprintf(name, sizeof name, "%s/callers-%u/cpu", s->name, cores);
    bench_print(&(struct bench_figure){"batch", name, "ms", bench_median(cpu[FRT_INFER_NARROW], SLICES), "wide",
                                       bench_median(cpu[FRT_INFER_WIDE], SLICES)});
}

static bool measure(struct frt_backend *backend, const struct subject *s, const float *data, uint32_t cores)
{
    const char *assets = getenv("FRT_TEST_ASSETS");
    char path[1024];
    const void *bytes = NULL;
    size_t size = 0, n = 0;
    uint8_t *rewritten = NULL;
    struct frt_session *session = NULL;
    struct frt_error err = {0};
    if (s->in_pack)
        (void)snprintf(path, sizeof path, "data/packs/default/%s", s->file);
    else
        (void)snprintf(path, sizeof path, "%s/models/%s", assets != NULL ? assets : "../shared/assets",
                       s->file);
    if (frt_model_file_map(path, 1U << 30, &bytes, &size, &err) != FRT_OK) {
        (void)fprintf(stderr, "bench: %s: not measured: %s\n", s->name, err.text);
        return false;
    }
    need(frt_rewrite_for_runtime(bytes, size, &rewritten, &n, NULL, &err), &err); /* as a pack is opened */
    need(frt_session_open_bytes(backend, rewritten != NULL ? rewritten : bytes, rewritten != NULL ? n : size,
                                &session, &err),
         &err);
    if (s->embedder)
        batches(session, s, data, cores);
    threads_of(session, s, data, cores);
    frt_session_free(session);
    frt_free(rewritten);
    frt_model_file_unmap(bytes, size);
    return true;
}

int main(void)
{
    struct frt_backend *backend = NULL;
    struct frt_error err = {0};
    const size_t floats = (size_t)3 * 512 * 512 + (size_t)MOST * 3 * 150 * 150;
    uint32_t cores = frt_usable_cores();
    int measured = 0;
    cores = cores < MAX_CALLERS ? cores : MAX_CALLERS;
    const struct frt_onnxruntime_options options = {.threads = cores, .narrow_too = true};
    need(frt_backend_onnxruntime_new(&options, &backend, &err), &err);
    float *data = frt_alloc_array(floats, sizeof *data);
    if (data == NULL)
        return 1;
    for (size_t i = 0, seed = 1; i < floats; i++) {
        seed = seed * 6364136223846793005U + 1442695040888963407U;
        data[i] = (float)((double)(seed >> 33) / (double)(1U << 30) - 1.0);
    }
    for (size_t i = 0; i < sizeof subjects / sizeof *subjects; i++)
        measured += measure(backend, &subjects[i], data, cores);
    frt_free(data);
    frt_backend_free(backend);
    return measured > 0 ? 0 : SKIPPED;
}
