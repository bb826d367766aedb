/*
 * The caches: what a hit costs, which replacement policy would have what, and what is saved.
 *
 *     bench_cache [hit] [policy] [savings]    none named: all
 *
 *   hit      frt_cache_fetch and frt_cache_return of a value that is there, 500 values, 1, 2 and 4 threads:
 *            time of a busy core, and the median and 99th percentile of one call (which has two readings of
 *            the clock in it). Peer: the design's target of 3 us. And the key: SHA-256 over a photo of 20 and
 *            100 KB.
 *   policy   hit ratios over the traces of policies/traces.h at the three capacities that the service has,
 *            and accesses a second by 1, 2 and 4 threads over the first trace and where all hit. Peer: exact
 *            LRU.
 *   savings  embedding, detections and an index of 100,000 faces: the first request and the ones after it.
 *            Peer: the first. Needs the default pack and the sample photos; without them that part is left
 *            out and said so.
 */
#include <pthread.h>
#include <unistd.h>

#include "bench.h"
#include "cache/cache.h"
#include "core/clock.h"
#include "core/mem.h"
#include "engine/context.h"
#include "engine/photo.h"
#include "frt/gallery.h"
#include "image/jpeg_write.h"
#include "policies/policy.h"
#include "policies/traces.h"
#include "store/store.h"

enum { VALUES = 500, HITS = 300000, ACCESSES = 1000000, MAX_THREADS = 4, ROUNDS = 5 };
static const uint32_t capacities[] = {500, 200, 50};
static const uint32_t thread_counts[] = {1, 2, 4};

static void must(enum frt_status status, const struct frt_error *err)
{
    if (status != FRT_OK) {
        (void)fprintf(stderr, "bench_cache: %s\n", err->text);
        exit(1);
    }
}

static void print(const char *name, const char *unit, double ours, const char *peer, double peer_value)
{
    bench_print(&(struct bench_figure){"cache", name, unit, ours, peer, peer_value});
}

static uint64_t next(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* Starts `run` on n threads at once; milliseconds until the last is done. */
static double together(uint32_t n, void *(*run)(void *arg), void *args, size_t arg_size)
{
    pthread_t threads[MAX_THREADS];
    const int64_t start = frt_now_ns();
    for (uint32_t i = 0; i < n; i++)
        if (pthread_create(&threads[i], NULL, run, (char *)args + i * arg_size) != 0)
            exit(1);
    for (uint32_t i = 0; i < n; i++)
        (void)pthread_join(threads[i], NULL);
    return frt_elapsed_ms(start);
}

static uint32_t busy_cores(uint32_t threads)
{
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return threads < (uint32_t)cores ? threads : (uint32_t)cores;
}

/* ------------------------------------------------------------------- hits */

struct hitting {
    struct frt_cache *cache;
    const struct frt_cache_key *keys;
    uint64_t seed;
    double *us; /* [HITS]; NULL = calls are not timed one by one */
};

static enum frt_status never(void *arg, void **value, size_t *bytes, struct frt_error *err)
{
    (void)arg;
    (void)value;
    (void)bytes;
    return frt_fail(err, FRT_ERUNTIME, "a value that ought to be there is not");
}

static void *hit(void *arg)
{
    struct hitting *h = arg;
    for (size_t i = 0; i < HITS; i++) {
        struct frt_cache_loan loan = {0};
        const struct frt_cache_key *key = &h->keys[next(&h->seed) % VALUES];
        struct frt_error err = {0};
        const int64_t start = h->us != NULL ? frt_now_ns() : 0;
        must(frt_cache_fetch(h->cache, key, NULL, never, NULL, &loan, NULL, &err), &err);
        frt_cache_return(h->cache, &loan);
        if (h->us != NULL)
            h->us[i] = (double)(frt_now_ns() - start) / 1000;
    }
    return NULL;
}

static void bench_hits(void)
{
    static struct frt_cache_key keys[VALUES];
    static int values[VALUES];
    const struct frt_cache_options options = {.name = "bench", .entries = VALUES, .ttl_ms = 3600000};
    struct frt_cache *cache = NULL;
    struct frt_error err = {0};
    uint64_t seed = 1;
    must(frt_cache_new(&options, &cache, &err), &err);
    for (size_t i = 0; i < VALUES; i++) {
        for (size_t k = 0; k < FRT_CACHE_KEY_BYTES; k++)
            keys[i].bytes[k] = (uint8_t)next(&seed);
        frt_cache_put(cache, &keys[i], &values[i], 1000);
    }
    for (size_t t = 0; t < sizeof thread_counts / sizeof *thread_counts; t++) {
        const uint32_t n = thread_counts[t];
        struct hitting hitting[MAX_THREADS];
        double core_us[ROUNDS], *us = frt_alloc_array((size_t)HITS * MAX_THREADS, sizeof *us);
        char name[64];
        must(us == NULL ? FRT_ENOMEM : FRT_OK, &err);
        for (int timed = 0; timed <= 1; timed++) {
            for (uint32_t i = 0; i < n; i++)
                hitting[i] = (struct hitting){cache, keys, i + 1, timed ? us + (size_t)i * HITS : NULL};
            for (int r = 0; r < (timed ? 1 : ROUNDS); r++) {
                const double ms = together(n, hit, hitting, sizeof *hitting);
                if (!timed)
                    core_us[r] = ms * 1000 * busy_cores(n) / ((double)HITS * n);
            }
        }
        (void)snprintf(name, sizeof name, "hit-%u-threads", n);
        print(name, "us of a core", bench_median(core_us, ROUNDS), "target", 3);
        const double median = bench_median(us, (size_t)HITS * n); /* sorts */
        (void)snprintf(name, sizeof name, "hit-%u-threads-p50", n);
        print(name, "us", median, "target", 3);
        (void)snprintf(name, sizeof name, "hit-%u-threads-p99", n);
        print(name, "us", us[(size_t)HITS * n * 99 / 100], "target", 3);
        frt_free(us);
    }
    frt_cache_free(cache);
}

/* --------------------------------------------------------------- policies */

static void bench_ratios(enum trace_kind kind, const uint32_t *keys, uint32_t n_keys)
{
    for (size_t c = 0; c < sizeof capacities / sizeof *capacities; c++) {
        double lru = NAN;
        for (int p = POLICY_LRU; p < POLICY_COUNT; p++) {
            struct policy *policy = policy_new((enum policy_kind)p, capacities[c], n_keys);
            uint64_t hits = 0;
            char name[96];
            if (policy == NULL)
                exit(1);
            for (size_t i = 0; i < ACCESSES; i++)
                hits += policy_access(policy, keys[i]);
            if (policy_resident(policy) > capacities[c]) {
                (void)fputs("bench_cache: a policy keeps more than it may\n", stderr);
                exit(1);
            }
            const double ratio = 100.0 * (double)hits / ACCESSES;
            lru = p == POLICY_LRU ? ratio : lru;
            (void)snprintf(name, sizeof name, "hit-ratio-%s-%u-%s", trace_name(kind), capacities[c],
                           policy_name((enum policy_kind)p));
            print(name, "%", ratio, p == POLICY_LRU ? NULL : "lru", lru);
            policy_free(policy);
        }
    }
}

struct accessing {
    struct policy *policy;
    const uint32_t *keys;
    size_t first; /* each thread begins elsewhere in the trace */
};

static void *run_accesses(void *arg)
{
    const struct accessing *a = arg;
    for (size_t i = 0; i < ACCESSES; i++)
        (void)policy_access(a->policy, a->keys[(a->first + i) % ACCESSES]);
    return NULL;
}

/* The policies take turns, so that whatever else the machine does falls on all of them. */
static void bench_throughput(const char *trace, const uint32_t *keys, uint32_t n_keys)
{
    for (size_t t = 0; t < sizeof thread_counts / sizeof *thread_counts; t++) {
        const uint32_t n = thread_counts[t];
        double rates[POLICY_COUNT][ROUNDS], lru = NAN;
        for (int r = 0; r < ROUNDS; r++) {
            for (int p = POLICY_LRU; p < POLICY_COUNT; p++) {
                struct accessing accessing[MAX_THREADS];
                struct policy *policy = policy_new((enum policy_kind)p, VALUES, n_keys);
                if (policy == NULL)
                    exit(1);
                for (uint32_t i = 0; i < n; i++)
                    accessing[i] = (struct accessing){policy, keys, (size_t)i * (ACCESSES / MAX_THREADS)};
                rates[p][r] =
                    (double)ACCESSES * n / together(n, run_accesses, accessing, sizeof *accessing) / 1000;
                policy_free(policy);
            }
        }
        for (int p = POLICY_LRU; p < POLICY_COUNT; p++) {
            char name[96];
            const double rate = bench_median(rates[p], ROUNDS);
            lru = p == POLICY_LRU ? rate : lru;
            (void)snprintf(name, sizeof name, "throughput-%s-%u-threads-%s", trace, n,
                           policy_name((enum policy_kind)p));
            print(name, "million/s", rate, p == POLICY_LRU ? NULL : "lru", lru);
        }
    }
}

static void bench_policies(void)
{
    uint32_t *keys = frt_alloc_array(ACCESSES, sizeof *keys);
    if (keys == NULL)
        exit(1);
    for (int kind = TRACE_ZIPF; kind < TRACE_COUNT; kind++)
        bench_ratios((enum trace_kind)kind, keys, trace_make((enum trace_kind)kind, 1, keys, ACCESSES));
    uint32_t n_keys = trace_make(TRACE_ZIPF, 1, keys, ACCESSES);
    bench_throughput("zipf", keys, n_keys);
    for (size_t i = 0; i < ACCESSES; i++)
        keys[i] %= VALUES * 4 / 5;
    bench_throughput("hits", keys, n_keys);
    frt_free(keys);
}

/* ----------------------------------------------------------- what is saved */

enum { PHOTOS = 6, REPEATS = 50 };

static void bench_key(const struct frt_pack *pack, size_t size, const char *name)
{
    enum { SIDE = 64, TIMES = 201 };
    static uint8_t pixels[SIDE * SIDE * 3];
    const struct frt_detect_options options = {0};
    struct frt_image *image = NULL;
    struct frt_error err = {0};
    struct frt_cache_key key;
    uint8_t *jpeg = NULL, *bytes = frt_alloc_zero(size, 1);
    size_t jpeg_size = 0;
    double us[TIMES];
    must(bytes == NULL ? FRT_ENOMEM : FRT_OK, &err);
    must(frt_jpeg_encode(pixels, SIDE, SIDE, (size_t)SIDE * 3, 90, &jpeg, &jpeg_size, &err), &err);
    memcpy(bytes, jpeg, jpeg_size); /* what follows a JPEG's end is hashed as well */
    must(frt_image_open_memory(pack->context, bytes, size, &image, &err), &err);
    for (int i = 0; i < TIMES; i++) {
        const int64_t start = frt_now_ns();
        if (!frt_photo_key(pack, image, &options, &key))
            exit(1);
        us[i] = (double)(frt_now_ns() - start) / 1000;
    }
    print(name, "us", bench_median(us, TIMES), NULL, 0);
    frt_image_free(image);
    frt_jpeg_bytes_free(jpeg);
    frt_free(bytes);
}

/* Milliseconds of a call; the first time the caches are empty, or hold the photo's detections. */
static double ask(const struct frt_pack *pack, struct frt_image *image, bool embed)
{
    struct frt_faces *faces = NULL;
    struct frt_error err = {0};
    const int64_t start = frt_now_ns();
    must((embed ? frt_embed : frt_detect)(pack, image, NULL, &faces, &err), &err);
    const double ms = frt_elapsed_ms(start);
    frt_faces_free(faces);
    return ms;
}

static void forget(const struct frt_pack *pack)
{
    frt_cache_clear(pack->context->embedding_cache);
    frt_cache_clear(pack->context->image_cache);
}

static void bench_photos(const struct frt_pack *pack, struct frt_image *const images[PHOTOS])
{
    double embed_first[PHOTOS * ROUNDS], embed_again[PHOTOS * ROUNDS], embed_detected[PHOTOS * ROUNDS],
        detect_first[PHOTOS * ROUNDS], detect_again[PHOTOS * ROUNDS], again[REPEATS];
    size_t n = 0;
    (void)ask(pack, images[0], true); /* warm up */
    for (int r = 0; r < ROUNDS; r++) {
        for (int i = 0; i < PHOTOS; i++, n++) {
            forget(pack);
            embed_first[n] = ask(pack, images[i], true);
            for (int k = 0; k < REPEATS; k++)
                again[k] = ask(pack, images[i], true);
            embed_again[n] = bench_median(again, REPEATS);
            forget(pack);
            detect_first[n] = ask(pack, images[i], false);
            for (int k = 0; k < REPEATS; k++)
                again[k] = ask(pack, images[i], false);
            detect_again[n] = bench_median(again, REPEATS);
            embed_detected[n] = ask(pack, images[i], true);
        }
    }
    const double first = bench_median(embed_first, n), looked = bench_median(detect_first, n);
    print("embedding-first", "ms", first, NULL, 0);
    print("embedding-again", "ms", bench_median(embed_again, n), "first", first);
    print("embedding-of-detected", "ms", bench_median(embed_detected, n), "first", first);
    print("image-first", "ms", looked, NULL, 0);
    print("image-again", "ms", bench_median(detect_again, n), "first", looked);
}

enum { DIM = 512, FACES = 100000, BATCH = 1000 };
static const char gallery_path[] = "build/bench-cache/frt.db", model[] = "made-up 1";

static void fill(uint64_t number, float *out)
{
    float norm = 0;
    number *= DIM;
    for (int i = 0; i < DIM; i++) {
        out[i] = (float)(int32_t)(uint32_t)(next(&number) >> 32) / 2147483648.0f;
        norm += out[i] * out[i];
    }
    for (int i = 0; i < DIM; i++)
        out[i] /= sqrtf(norm);
}

static void make_gallery(void)
{
    static float vectors[BATCH][DIM];
    static struct frt_store_face faces[BATCH];
    static char names[BATCH][32];
    static uint64_t keys[BATCH];
    const struct frt_store_options options = {.path = gallery_path};
    const struct frt_store_collection people = {.name = "people", .threshold = NAN, .target_fpir = (double)NAN};
    struct frt_store *store = NULL;
    struct frt_error err = {0};
    (void)unlink(gallery_path);
    (void)unlink("build/bench-cache/frt.db.index/1.frtx");
    must(frt_store_open(&options, &store, &err), &err);
    must(frt_store_collection_add(store, &people, &err), &err);
    for (uint64_t first = 0; first < FACES; first += BATCH) {
        for (uint64_t i = 0; i < BATCH; i++) {
            fill(first + i, vectors[i]);
            (void)snprintf(names[i], sizeof names[i], "person-%llu", (unsigned long long)(first + i));
            faces[i] = (struct frt_store_face){
                .subject = names[i], .embedding = vectors[i], .quality = NAN, .threshold = NAN};
        }
        const struct frt_store_add add = {
            .collection = "people", .model = model, .dim = DIM, .faces = faces, .n = BATCH};
        must(frt_store_faces_add(store, &add, keys, NULL, NULL, &err), &err);
    }
    frt_store_close(store);
}

static double load_ms(struct frt_gallery *gallery, uint64_t number)
{
    float probe[DIM];
    struct frt_identified found = {0};
    struct frt_error err = {0};
    fill(number, probe);
    must(frt_identify_embeddings(gallery, "people", model, probe, 1, DIM, 0.5f, NULL, &found, &err), &err);
    if (!found.faces[0].known)
        exit(1);
    const double ms = found.load_ms;
    frt_identified_deinit(&found);
    return ms;
}

static void bench_index(void)
{
    double first[2], again[2][REPEATS];
    make_gallery();
    for (int snapshot = 0; snapshot <= 1; snapshot++) {
        struct frt_gallery *gallery = NULL;
        struct frt_error err = {0};
        must(frt_gallery_open(&(struct frt_gallery_options){.path = gallery_path}, &gallery, &err), &err);
        first[snapshot] = load_ms(gallery, 1);
        for (uint64_t i = 0; i < REPEATS; i++)
            again[snapshot][i] = load_ms(gallery, 77 * i);
        frt_gallery_close(gallery); /* writes the snapshot */
    }
    print("index-first-from-store", "us", first[0] * 1000, NULL, 0);
    print("index-again", "us", bench_median(again[0], REPEATS) * 1000, "first, from store", first[0] * 1000);
    print("index-first-from-snapshot", "us", first[1] * 1000, NULL, 0);
    print("index-again", "us", bench_median(again[1], REPEATS) * 1000, "first, from snapshot", first[1] * 1000);
    (void)unlink(gallery_path);
    (void)unlink("build/bench-cache/frt.db.index/1.frtx");
}

static bool open_photos(struct frt_context *context, struct frt_image *images[PHOTOS])
{
    struct frt_error err = {0};
    for (int i = 0; i < PHOTOS; i++) {
        char path[128];
        (void)snprintf(path, sizeof path, "node_modules/@vladmandic/face-api/demo/sample%d.jpg", i + 1);
        if (frt_image_open_file(context, path, &images[i], &err) != FRT_OK) {
            (void)fprintf(stderr, "bench_cache: photos left out: %s\n", err.text);
            return false;
        }
    }
    return true;
}

static void bench_savings(void)
{
    const struct frt_context_options options = {.embedding_cache = {500, 0, 0}, .image_cache = {200, 0, 0}};
    struct frt_context *context = NULL;
    struct frt_pack *pack = NULL;
    struct frt_image *images[PHOTOS] = {NULL};
    struct frt_error err = {0};
    bench_index();
    if (frt_context_new(&options, &context, &err) != FRT_OK ||
        frt_pack_open(context, NULL, NULL, &pack, &err) != FRT_OK) {
        (void)fprintf(stderr, "bench_cache: photos left out: %s\n", err.text);
    } else {
        bench_key(pack, 20000, "key-of-20-kb");
        bench_key(pack, 100000, "key-of-100-kb");
        if (open_photos(context, images))
            bench_photos(pack, images);
    }
    for (int i = 0; i < PHOTOS; i++)
        frt_image_free(images[i]);
    frt_pack_free(pack);
    frt_context_free(context);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } parts[] = {{"hit", bench_hits}, {"policy", bench_policies}, {"savings", bench_savings}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        bool wanted = argc == 1;
        for (int k = 1; k < argc; k++)
            wanted = wanted || strcmp(argv[k], parts[i].name) == 0;
        if (wanted)
            parts[i].run();
    }
    return 0;
}
