/*
 * The store: durable additions (a batch is on disk when the call returns) and the reads behind a search.
 *
 *     bench_store [ROWS]    default 200,000 rows of 512 numbers in build/bench-store
 */
#include <unistd.h>

#include "bench.h"
#include "core/clock.h"
#include "core/mem.h"
#include "store/store.h"

enum { DIM = 512, BATCH = 1000, SINGLES = 200, READS = 5000 };

static void must(enum frt_status status, const struct frt_error *err)
{
    if (status != FRT_OK) {
        fprintf(stderr, "bench_store: %s\n", err->text);
        exit(1);
    }
}

static void fill(uint64_t number, float *out)
{
    uint64_t state = number * UINT64_C(0x9e3779b97f4a7c15) + 1;
    float norm = 0;
    for (int i = 0; i < DIM; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out[i] = (float)(int32_t)(state >> 32) / 2147483648.0f;
        norm += out[i] * out[i];
    }
    for (int i = 0; i < DIM; i++)
        out[i] /= sqrtf(norm);
}

int main(int argc, char **argv)
{
    const uint64_t rows = argc > 1 ? strtoull(argv[1], NULL, 10) : 200000;
    static const char path[] = "build/bench-store/frt.db";
    static float vectors[BATCH][DIM];
    static struct frt_store_face faces[BATCH];
    static char names[BATCH][32];
    static uint64_t keys[BATCH];
    const struct frt_store_options options = {.path = path};
    const struct frt_store_collection people = {.name = "people", .threshold = NAN, .target_fpir = (double)NAN};
    struct frt_store *store = NULL;
    struct frt_store_collection row;
    struct frt_store_page *page = NULL;
    struct frt_error err = {0};
    double *times = frt_alloc_array((size_t)(rows / BATCH) + SINGLES, sizeof *times);
    size_t n = 0;
    (void)unlink(path);
    must(times == NULL ? FRT_ENOMEM : frt_store_open(&options, &store, &err), &err);
    must(frt_store_collection_add(store, &people, &err), &err);
    for (uint64_t first = 0; first < rows; first += BATCH) {
        for (uint64_t i = 0; i < BATCH; i++) {
            fill(first + i, vectors[i]);
            (void)snprintf(names[i], sizeof names[i], "person-%llu",
                           (unsigned long long)((first + i) * 7919 % rows / 3));
            faces[i] = (struct frt_store_face){
                .subject = names[i], .embedding = vectors[i], .quality = NAN, .threshold = NAN};
        }
        const struct frt_store_add add = {
            .collection = "people", .model = "made-up 1", .dim = DIM, .faces = faces, .n = BATCH};
        const int64_t start = frt_now_ns();
        must(frt_store_faces_add(store, &add, keys, NULL, NULL, &err), &err);
        times[n++] = frt_elapsed_ms(start);
    }
    double early = 0, late = 0;
    const size_t tenth = n / 10 > 0 ? n / 10 : 1;
    for (size_t i = 0; i < tenth; i++) {
        early += times[i];
        late += times[n - 1 - i];
    }
    bench_print(&(struct bench_figure){"store", "last-tenth-of-batches", "ms a batch of 1000",
                                       late / (double)tenth, "first tenth", early / (double)tenth});
    double total = 0;
    for (size_t i = 0; i < n; i++)
        total += times[i];
    bench_print(&(struct bench_figure){"store", "insert-durable", "faces/s", (double)n * BATCH / total * 1000,
                                       "target", 20000});
    for (int i = 0; i < SINGLES; i++) {
        const struct frt_store_add add = {
            .collection = "people", .model = "made-up 1", .dim = DIM, .faces = faces, .n = 1};
        const int64_t start = frt_now_ns();
        must(frt_store_faces_add(store, &add, NULL, NULL, NULL, &err), &err);
        times[i] = frt_elapsed_ms(start);
    }
    bench_print(
        &(struct bench_figure){"store", "add-one-durable", "ms", bench_median(times, SINGLES), NULL, 0});
    must(frt_store_collection_get(store, "people", &page, &row, &err), &err);
    const uint64_t collection = row.key;
    frt_store_page_free(page);
    const int64_t start = frt_now_ns();
    for (uint64_t i = 0; i < READS; i++) {
        uint64_t wanted[5];
        for (uint64_t j = 0; j < 5; j++)
            wanted[j] = 1 + (i * 5 + j) * 7919 % rows;
        must(frt_store_faces_by_key(store, collection, wanted, 5, true, &page, &err), &err);
        frt_store_page_free(page);
    }
    bench_print(&(struct bench_figure){"store", "faces-by-key", "us a face",
                                       frt_elapsed_ms(start) * 1000 / READS / 5, NULL, 0});
    frt_store_close(store);
    (void)unlink(path);
    frt_free(times);
    return 0;
}
