/*
 * The store on a PostgreSQL server, beside a file's: the same calls to both, in turns.
 *
 *     FRT_BENCH_STORE=postgresql:host=… bench_store_postgres [ROUNDS]
 *
 * The server's database must be empty; without the variable nothing is measured.
 */
#include <unistd.h>

#include "bench.h"
#include "core/clock.h"
#include "core/mem.h"
#include "store/store.h"

enum { DIM = 512, BATCH = 1000, BATCHES = 10, READ_KEYS = 5 };

static void must(enum frt_status status, const struct frt_error *err)
{
    if (status != FRT_OK) {
        fprintf(stderr, "bench_store_postgres: %s\n", err->text);
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

struct side {
    const char *path;
    struct frt_store *store;
    uint64_t collection, added;
    double *times;
};

static void add(struct side *side, size_t n, double *ms)
{
    static float vectors[BATCH][DIM];
    static struct frt_store_face faces[BATCH];
    static char names[BATCH][32];
    struct frt_error err = {0};
    for (size_t i = 0; i < n; i++) {
        fill(side->added + i, vectors[i]);
        (void)snprintf(names[i], sizeof names[i], "person-%llu", (unsigned long long)(side->added + i));
        faces[i] = (struct frt_store_face){
            .subject = names[i], .embedding = vectors[i], .quality = NAN, .threshold = NAN};
    }
    const struct frt_store_add adding = {
        .collection = "people", .model = "made-up 1", .dim = DIM, .faces = faces, .n = n};
    const int64_t start = frt_now_ns();
    must(frt_store_faces_add(side->store, &adding, NULL, NULL, NULL, &err), &err);
    *ms = frt_elapsed_ms(start);
    side->added += n;
}

static void read_some(struct side *side, uint64_t round, double *ms)
{
    struct frt_error err = {0};
    struct frt_store_page *page = NULL;
    uint64_t wanted[READ_KEYS];
    for (uint64_t j = 0; j < READ_KEYS; j++)
        wanted[j] = 1 + (round * READ_KEYS + j) * 7919 % side->added;
    const int64_t start = frt_now_ns();
    must(frt_store_faces_by_key(side->store, side->collection, wanted, READ_KEYS, true, &page, &err), &err);
    *ms = frt_elapsed_ms(start);
    frt_store_page_free(page);
}

static void open_side(struct side *side, size_t rounds)
{
    const struct frt_store_options options = {.path = side->path};
    const struct frt_store_collection people = {.name = "people", .threshold = NAN, .target_fpir = (double)NAN};
    struct frt_store_collection row;
    struct frt_store_page *page = NULL;
    struct frt_error err = {0};
    side->times = frt_alloc_array(rounds, sizeof *side->times);
    must(side->times == NULL ? FRT_ENOMEM : frt_store_open(&options, &side->store, &err), &err);
    must(frt_store_collection_add(side->store, &people, &err), &err);
    must(frt_store_collection_get(side->store, "people", &page, &row, &err), &err);
    side->collection = row.key;
    frt_store_page_free(page);
}

static void say(const char *name, const char *unit, struct side sides[2], size_t n, double factor)
{
    bench_print(&(struct bench_figure){"store", name, unit, bench_median(sides[0].times, n) * factor, "SQLite",
                                       bench_median(sides[1].times, n) * factor});
}

int main(int argc, char **argv)
{
    const size_t rounds = argc > 1 ? strtoull(argv[1], NULL, 10) : 200;
    static const char path[] = "build/bench-store/beside.db";
    struct side sides[2] = {{.path = getenv("FRT_BENCH_STORE")}, {.path = path}};
    if (sides[0].path == NULL || rounds < BATCHES) {
        fprintf(stderr,
                "bench_store_postgres: FRT_BENCH_STORE names no empty database, or fewer than %d rounds\n",
                BATCHES);
        return 0;
    }
    (void)unlink(path);
    for (int s = 0; s < 2; s++)
        open_side(&sides[s], rounds);
    for (size_t i = 0; i < BATCHES; i++)
        for (int s = 0; s < 2; s++)
            add(&sides[s], BATCH, &sides[s].times[i]);
    say("postgresql-batch-of-1000-durable", "ms", sides, BATCHES, 1);
    for (size_t i = 0; i < rounds; i++)
        for (int s = 0; s < 2; s++)
            add(&sides[s], 1, &sides[s].times[i]);
    say("postgresql-add-one-durable", "ms", sides, rounds, 1);
    for (size_t i = 0; i < rounds; i++)
        for (int s = 0; s < 2; s++)
            read_some(&sides[s], i, &sides[s].times[i]);
    say("postgresql-faces-by-key", "us a call of 5", sides, rounds, 1000);
    for (int s = 0; s < 2; s++) {
        frt_store_close(sides[s].store);
        frt_free(sides[s].times);
    }
    (void)unlink(path);
    return 0;
}
