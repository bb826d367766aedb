/*
 * Searches on a GPU, each beside what the device could do at most, measured in the same run.
 *
 *     bench_gpu [--device DEVICE] [--batch N] [CASE…]     default: all
 *
 *     search-1m-512-fp16     one query among 1,000,000 rows of half floats, beside reading them once
 *     search-100m-512-int8   one query among 100,000,000 rows of 8 bits (51.6 GB), beside reading them once
 *     search-batch256        256 queries together among the same, beside the slower of reading them once and of
 *                            cuBLASLt's multiplying them
 *     embed-r50-fp16         an R50 in half floats through the inference backend: images a second at batches of
 * 1, 8, 32 and 64, beside what cuBLASLt's rate would make of the net's multiplications
 *
 * DEVICE is embed's (cuda): cpu, or another that docs/accelerators.md names, drives the same code where there
 * is no CUDA; its figures bear the device's name. N: one batch only.
 *
 * Times of searches are the device's, from the queries' upload to the answers' download, medians of 31; every
 * query is a row of the corpus, which must come first. Rows are made up on the device. What cannot run is
 * passed over: SKIP and why.
 */
#include "bench.h"
#include "core/clock.h"
#include "core/mem.h"
#include "gpu/embed_case.h"
#include "index/gpu_mirror.h"

#ifndef BENCH_GPU_PLUGIN
#define BENCH_GPU_PLUGIN "" /* not built here: look for it */
#endif

enum {
    RUNS = 31,
    DIM = 512,
    K = 72 /* candidates for ten hits: native_gpu.c */,
    TIMEOUT_MS = 10000,
    MANY = 256
};
static const uint64_t row_seed = 20, measured_bytes = UINT64_C(4) << 30;

struct bench_gpu {
    const struct frt_gpu_module *module;
    struct frt_gpu_device *device;
    struct frt_gpu_facts facts;
    struct frt_gpu_ceilings ceilings;
};

static void skip_case(const char *name, const char *why)
{
    (void)fprintf(stderr, "SKIP %s: %s\n", name, why);
}

/* The generator of the plug-in (cuda_kernels.h), for queries that are rows. */
static uint64_t mixed(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static float row_of(uint32_t position, int8_t *out)
{
    double square = 0;
    for (uint32_t d = 0; d < DIM; d++) {
        const uint64_t bits = mixed(row_seed ^ mixed((uint64_t)position << 16 | d));
        const int sum = (int)((bits & 255) + (bits >> 8 & 255) + (bits >> 16 & 255) + (bits >> 24 & 255)) - 510;
        out[d] = (int8_t)(sum / 8);
        square += (double)out[d] * out[d];
    }
    return (float)(1 / sqrt(square));
}

static uint16_t half_of(int8_t value) /* whole numbers below 128 are exact */
{
    const float x = value;
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return value == 0 ? 0 : (uint16_t)((bits >> 16 & 0x8000) | ((bits >> 13) - (112u << 10)) % (1u << 15));
}

/* A corpus of made-up rows; NULL: why says why not. */
static struct frt_gpu_corpus *corpus_of(struct bench_gpu *b, enum frt_gpu_format format, uint32_t n,
                                        struct frt_gpu_why *why)
{
    const struct frt_gpu_layout layout = {format, format == FRT_GPU_I8 ? DIM : DIM * 2, 65536, n / 65536 + 1};
    const uint64_t bytes = (uint64_t)n * (layout.row_bytes + 4);
    struct frt_gpu_corpus *corpus = NULL;
    if (b->module->facts(b->device, &b->facts, why) != FRT_GPU_OK)
        return NULL;
    if (bytes + (UINT64_C(1) << 28) > b->facts.free_bytes) {
        (void)snprintf(why->text, sizeof why->text, "%.1f GB of rows, and the device has %.1f GB free",
                       (double)bytes / 1e9, (double)b->facts.free_bytes / 1e9);
        return NULL;
    }
    if (b->module->corpus_new(b->device, &layout, &corpus, why) != FRT_GPU_OK)
        return NULL;
    if (b->module->reserve(corpus, n, why) != FRT_GPU_OK ||
        b->module->synthesize(corpus, 0, n, row_seed, why) != FRT_GPU_OK) {
        b->module->corpus_free(corpus);
        return NULL;
    }
    return corpus;
}

/* Median milliseconds of a search for n queries; false: it failed, and why is said. */
static bool time_searches(struct bench_gpu *b, const char *name, struct frt_gpu_corpus *corpus,
                          enum frt_gpu_format format, uint32_t n_rows, uint32_t n, double *ms)
{
    static uint32_t positions[MANY * K], counts[MANY], wanted[MANY];
    static float scores[MANY * K], scales[MANY], floors[MANY];
    static _Alignas(64) unsigned char queries[MANY * DIM * 2];
    const uint32_t planes = n == 1 && format == FRT_GPU_I8 ? 2 : 1;
    double times[RUNS];
    struct frt_gpu_why why = {""};
    for (uint32_t run = 0; run < RUNS + 3; run++) { /* three to warm up */
        memset(queries, 0, sizeof queries);
        for (uint32_t q = 0; q < n; q++) {
            int8_t row[DIM];
            wanted[q] = (uint32_t)(mixed(run * 1000 + q) % n_rows);
            floors[q] = -2;
            scales[q] = row_of(wanted[q], row) / (planes == 2 ? 256 : 1);
            for (uint32_t d = 0; d < DIM; d++) {
                const uint16_t h = half_of(row[d]);
                if (format == FRT_GPU_I8)
                    queries[q * DIM + d] =
                        (unsigned char)row[d]; /* of two planes the first; the second is zeros */
                else
                    memcpy(queries + (q * DIM + d) * 2, &h, sizeof h);
            }
        }
        struct frt_gpu_search s = {queries, scales,     floors,    n,      planes, K,
                                   n_rows,  TIMEOUT_MS, positions, scores, counts};
        if (b->module->search(corpus, &s, &why) != FRT_GPU_OK) {
            skip_case(name, why.text);
            return false;
        }
        for (uint32_t q = 0; q < n; q++) {
            uint32_t best = 0;
            for (uint32_t i = 1; i < counts[q]; i++)
                best = scores[q * K + i] > scores[q * K + best] ? i : best;
            if (counts[q] != K || positions[q * K + best] != wanted[q] ||
                fabsf(scores[q * K + best] - 1) > 1e-3f) {
                (void)fprintf(stderr, "bench: %s: row %u was not found\n", name, wanted[q]);
                exit(1);
            }
        }
        if (run >= 3)
            times[run - 3] = b->module->last_ms();
    }
    *ms = bench_median(times, RUNS);
    return true;
}

static void search_case(struct bench_gpu *b, const char *name, enum frt_gpu_format format, uint32_t n_rows,
                        uint32_t n)
{
    struct frt_gpu_why why = {""};
    double ms = 0;
    struct frt_gpu_corpus *corpus = corpus_of(b, format, n_rows, &why);
    if (corpus == NULL) {
        skip_case(name, why.text);
        return;
    }
    const double bytes = (double)n_rows * (format == FRT_GPU_I8 ? DIM + 4 : DIM * 2 + 4);
    const double read_ms = bytes / b->ceilings.read_bytes_per_s * 1e3;
    if (time_searches(b, name, corpus, format, n_rows, n, &ms)) {
        struct bench_figure f = {"gpu", name, "ms", ms, "limit-memory-read", read_ms};
        if (n == 1) {
            bench_print_wished(&f, (struct bench_wish){.at_most = format == FRT_GPU_I8 ? 1.5 : 2});
        } else {
            const double ops = 2.0 * DIM * (double)n_rows * n;
            const double multiply_ms =
                ops / b->ceilings.i8_ops_per_s * 1e3; /* infinite where it was not measured */
            const bool memory_binds = read_ms > multiply_ms || b->ceilings.i8_ops_per_s == 0;
            f.peer = memory_binds ? "limit-memory-read" : "limit-cublaslt-int8";
            f.peer_value = memory_binds ? read_ms : multiply_ms;
            bench_print_wished(&f, (struct bench_wish){.at_most = 1 / 0.6});
            f.peer = "limit-mma-sync-int8";
            f.peer_value = ops / b->ceilings.mma_i8_ops_per_s * 1e3;
            bench_print(&f);
        }
    }
    b->module->corpus_free(corpus);
}

static void print_ceilings(const struct bench_gpu *b)
{
    const struct frt_gpu_ceilings *c = &b->ceilings;
    const struct {
        const char *name, *unit;
        double value;
    } rows[] = {{"ceiling-read", "GB/s", c->read_bytes_per_s / 1e9},
                {"ceiling-copy", "GB/s", c->copy_bytes_per_s / 1e9},
                {"ceiling-cublaslt-int8", "TOP/s", c->i8_ops_per_s / 1e12},
                {"ceiling-cublaslt-fp16", "TOP/s", c->f16_ops_per_s / 1e12},
                {"ceiling-mma-sync-int8", "TOP/s", c->mma_i8_ops_per_s / 1e12},
                {"ceiling-mma-sync-fp16", "TOP/s", c->mma_f16_ops_per_s / 1e12}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct bench_figure f = {
            .bench = "gpu", .name = rows[i].name, .unit = rows[i].unit, .ours = rows[i].value};
        bench_print(&f);
    }
    (void)fprintf(stderr, "bench: %s, %.1f GB%s%s\n", b->facts.name, (double)b->facts.total_bytes / 1e9,
                  c->note[0] != '\0' ? "; " : "", c->note);
}

struct arguments {
    struct bench_embed_options embed;
    char **cases; /* those named */
    int n_cases;
};

static void parse_arguments(int argc, char **argv, struct arguments *out)
{
    struct frt_error err = {0};
    int i = 1;
    out->embed.device = (struct frt_device){FRT_DEVICE_CUDA, 0};
    for (; i + 1 < argc && strncmp(argv[i], "--", 2) == 0; i += 2) {
        if (strcmp(argv[i], "--device") == 0 &&
            frt_device_parse(argv[i + 1], &out->embed.device, &err) == FRT_OK)
            continue;
        if (strcmp(argv[i], "--batch") == 0 && atoi(argv[i + 1]) > 0) {
            out->embed.batch = (uint32_t)atoi(argv[i + 1]);
            continue;
        }
        break;
    }
    if (i < argc && argv[i][0] == '-') {
        (void)fprintf(stderr, "bench: %s: %s\n", argv[i], err.text[0] != '\0' ? err.text : "no such option");
        exit(2);
    }
    out->cases = argv + i;
    out->n_cases = argc - i;
}

static bool is_wanted(const struct arguments *arguments, const char *name)
{
    for (int i = 0; i < arguments->n_cases; i++) {
        if (strcmp(arguments->cases[i], name) == 0)
            return true;
    }
    return arguments->n_cases == 0;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        enum frt_gpu_format format;
        uint32_t n_rows, n;
    } searches[] = {{"search-1m-512-fp16", FRT_GPU_F16, 1000000, 1},
                    {"search-100m-512-int8", FRT_GPU_I8, 100000000, 1},
                    {"search-batch256", FRT_GPU_I8, 100000000, MANY}};
    enum { N_SEARCHES = sizeof searches / sizeof *searches };
    struct bench_gpu b = {0};
    struct frt_error err = {0};
    struct frt_gpu_why why = {""};
    const struct frt_gpu_open options = {0, UINT64_C(512) << 20};
    struct arguments arguments = {0};
    const char *trouble = NULL;
    parse_arguments(argc, argv, &arguments);
    if (frt_gpu_plugin_load(BENCH_GPU_PLUGIN, &b.module, &err) != FRT_OK)
        trouble = err.text;
    else if (b.module->open(&options, &b.device, &why) != FRT_GPU_OK)
        trouble = why.text;
    else if (b.module->facts(b.device, &b.facts, &why) != FRT_GPU_OK ||
             b.module->measure(b.device, measured_bytes, &b.ceilings, &why) != FRT_GPU_OK)
        trouble = why.text;
    if (trouble == NULL)
        print_ceilings(&b);
    for (size_t i = 0; i < N_SEARCHES; i++) {
        if (!is_wanted(&arguments, searches[i].name))
            continue;
        if (trouble != NULL)
            skip_case(searches[i].name, trouble);
        else
            search_case(&b, searches[i].name, searches[i].format, searches[i].n_rows, searches[i].n);
    }
    if (b.device != NULL)
        b.module->close(b.device);
    if (arguments.embed.device.kind == FRT_DEVICE_CUDA || arguments.embed.device.kind == FRT_DEVICE_TENSORRT)
        arguments.embed.peak_ops_per_s = b.ceilings.f16_ops_per_s;
    arguments.embed.peak_missing = trouble;
    if (is_wanted(&arguments, "embed-r50-fp16") && !bench_embed_case("embed-r50-fp16", &arguments.embed))
        return 1;
    return 0;
}
