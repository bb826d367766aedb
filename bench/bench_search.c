/*
 * Search among many faces, beside FAISS and hnswlib, on the same vectors in one run.
 *
 *     bench_search [CASE…]      10k-512, 100k-512, 1m-512, 1m-128, 10m-128, seeds-1m-512, open-1m, insert;
 * default: all but 10m
 *
 * Vectors: identities spread evenly, impostors near 0 ± 0.06, mates near 0.6 ± 0.08 of the identity's enrolled
 * face: components are Gaussian with variances exp(-j / tau), tau chosen for that spread. Probes are mates of
 * random identities. `seeds`: FRT_BENCH_SEEDS names a file of embeddings of real photos (`frt embed --json
 * --encoding base64 FOLDER`, one folder a person): first photos are enrolled, further ones are probes, and
 * distractors with the covariance of the real ones fill up the gallery.
 *
 * Lost: a probe's mate that an exact search puts first, at or above the threshold of 0.35, and the engine does
 * not return among its five best. Times are medians over probes, on one thread unless the case says otherwise;
 * FAISS and hnswlib are timed on one thread each.
 */
#include <math.h>
#include <stdatomic.h>
#include <unistd.h>

#include "bench.h"
#include "core/clock.h"
#include "core/cores.h"
#include "core/crypto.h"
#include "core/json_read.h"
#include "core/mem.h"
#include "core/sha256.h"
#include "index/index.h"
#include "peers/bench_peers.h"
#include "simd/dot.h"

#include <pthread.h>

enum { PROBES = 1000, TOP = 5, BATCH = 16, MAX_THREADS = 64 };
static const float threshold = 0.35f;

/* ------------------------------------------------------------------ vectors */

struct set {
    uint32_t dim;
    size_t n, n_probes;
    float *gallery; /* f32[n][dim] */
    float *probes;  /* f32[n_probes][dim] */
    uint32_t *mate; /* [n_probes]: number in the gallery */
    float *exact;   /* [n_probes]: cosine to it */
};

static uint64_t splitmix(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* Two Gaussian numbers at a time. Source: Box and Muller, 1958. */
static void gauss(uint64_t *state, float *out, uint32_t n)
{
    for (uint32_t i = 0; i < n; i += 2) {
        const float u = ((float)(splitmix(state) >> 40) + 0.5f) / 16777216.0f;
        const float v = (float)(splitmix(state) >> 40) / 16777216.0f * 6.2831853f;
        const float r = sqrtf(-2 * logf(u));
        out[i] = r * cosf(v);
        if (i + 1 < n)
            out[i + 1] = r * sinf(v);
    }
}

static void unit(float *v, uint32_t dim)
{
    const float norm = sqrtf(frt_dot_f32(v, v, dim));
    for (uint32_t i = 0; i < dim; i++)
        v[i] /= norm;
}

static void *need(void *memory)
{
    if (memory == NULL) {
        fputs("bench_search: not enough memory\n", stderr);
        exit(1);
    }
    return memory;
}

struct making {
    struct set *set;
    const float *spread;       /* [dim] standard deviations, or NULL: mean + lower · Gaussian */
    const float *mean, *lower; /* [dim], [dim][dim] lower triangle */
    size_t first;
    atomic_size_t next;
};

static void make_one(const struct making *m, uint64_t *state, float *out)
{
    const uint32_t dim = m->set->dim;
    float *draw = m->spread != NULL ? out : need(frt_alloc_array(dim, sizeof *draw));
    gauss(state, draw, dim);
    if (m->spread != NULL) {
        for (uint32_t i = 0; i < dim; i++)
            out[i] *= m->spread[i];
    } else {
        for (uint32_t i = 0; i < dim; i++)
            out[i] = m->mean[i] + frt_dot_f32(m->lower + (size_t)i * dim, draw, i + 1);
        frt_free(draw);
    }
    unit(out, dim);
}

static void *make_some(void *arg)
{
    struct making *m = arg;
    for (;;) {
        const size_t first = atomic_fetch_add(&m->next, 1000);
        if (first >= m->set->n)
            return NULL;
        uint64_t state = first * 7919 + 1;
        for (size_t i = first < m->first ? m->first : first; i < m->set->n && i < first + 1000; i++)
            make_one(m, &state, m->set->gallery + i * m->set->dim);
    }
}

static void make_gallery(struct making *m)
{
    pthread_t threads[MAX_THREADS];
    const uint32_t n = frt_usable_cores() < MAX_THREADS ? frt_usable_cores() : MAX_THREADS;
    for (uint32_t i = 0; i < n; i++)
        if (pthread_create(&threads[i], NULL, make_some, m) != 0)
            exit(1);
    for (uint32_t i = 0; i < n; i++)
        (void)pthread_join(threads[i], NULL);
}

/* Variances whose mixture has impostors at ± 0.06: 1 / 0.06² = 278 components that count; as many as there are
 * at most. */
static void face_like(struct set *set, uint32_t dim, size_t n)
{
    float *spread = need(frt_alloc_array(dim, sizeof *spread)),
          *noise = need(frt_alloc_array(dim, sizeof *noise));
    const double wanted = 278;
    double tau = 1e6;
    for (double t = 20; dim > wanted && t < 2000; t *= 1.01) {
        double sum = 0, squares = 0;
        for (uint32_t i = 0; i < dim; i++) {
            sum += exp(-(double)i / t);
            squares += exp(-2 * (double)i / t);
        }
        if (sum * sum / squares >= wanted) {
            tau = t;
            break;
        }
    }
    for (uint32_t i = 0; i < dim; i++)
        spread[i] = (float)exp(-(double)i / tau / 2);
    *set = (struct set){.dim = dim, .n = n, .n_probes = PROBES};
    set->gallery = need(frt_alloc_array(n, dim * sizeof(float)));
    set->probes = need(frt_alloc_array(PROBES, dim * sizeof(float)));
    set->mate = need(frt_alloc_array(PROBES, sizeof *set->mate));
    set->exact = need(frt_alloc_array(PROBES, sizeof *set->exact));
    struct making m = {.set = set, .spread = spread};
    make_gallery(&m);
    uint64_t state = 4711;
    for (size_t p = 0; p < PROBES; p++) {
        float *out = set->probes + p * dim, jitter[2];
        set->mate[p] = (uint32_t)(splitmix(&state) % n);
        const float *of = set->gallery + (size_t)set->mate[p] * dim;
        make_one(&m, &state, noise);
        gauss(&state, jitter, 2);
        const float cosine = fminf(0.6f + 0.08f * jitter[0], 0.95f), along = frt_dot_f32(noise, of, dim);
        for (uint32_t i = 0; i < dim; i++)
            noise[i] -= along * of[i];
        unit(noise, dim);
        for (uint32_t i = 0; i < dim; i++)
            out[i] = cosine * of[i] + sqrtf(1 - cosine * cosine) * noise[i];
        unit(out, dim);
        set->exact[p] = frt_dot_f32(out, of, dim);
    }
    frt_free(spread);
    frt_free(noise);
}

/* Mean, and the Cholesky factor of the covariance with a little added to the diagonal. */
static void covariance(const float *vectors, size_t n, uint32_t dim, float *mean, float *lower)
{
    double *c = need(frt_alloc_zero((size_t)dim * dim, sizeof *c));
    float *v = need(frt_alloc_array(dim, sizeof *v));
    memset(mean, 0, dim * sizeof *mean);
    for (size_t p = 0; p < n; p++)
        for (uint32_t i = 0; i < dim; i++)
            mean[i] += vectors[p * dim + i] / (float)n;
    for (size_t p = 0; p < n; p++) {
        for (uint32_t i = 0; i < dim; i++)
            v[i] = vectors[p * dim + i] - mean[i];
        for (uint32_t i = 0; i < dim; i++)
            for (uint32_t j = 0; j <= i; j++)
                c[(size_t)i * dim + j] += (double)v[i] * (double)v[j] / (double)n;
    }
    for (uint32_t i = 0; i < dim; i++) {
        for (uint32_t j = 0; j <= i; j++) {
            double sum = c[(size_t)i * dim + j] + (i == j ? 1e-6 : 0);
            for (uint32_t k = 0; k < j; k++)
                sum -= c[(size_t)i * dim + k] * c[(size_t)j * dim + k];
            c[(size_t)i * dim + j] = i == j ? sqrt(sum > 1e-12 ? sum : 1e-12) : sum / c[(size_t)j * dim + j];
            lower[(size_t)i * dim + j] = (float)c[(size_t)i * dim + j];
        }
    }
    frt_free(c);
    frt_free(v);
}

/* The folder's name in a path: the person. */
static void person_of(const char *path, char out[256])
{
    const char *slash = strrchr(path, '/');
    const char *before = slash;
    while (before != NULL && before > path && before[-1] != '/')
        before--;
    (void)snprintf(out, 256, "%.*s", slash != NULL ? (int)(slash - before) : 0, before != NULL ? before : "");
}

struct seed {
    char person[256];
    float *embedding;
};

static int by_person(const void *a, const void *b)
{
    return strcmp(((const struct seed *)a)->person, ((const struct seed *)b)->person);
}

static size_t read_seeds(const char *path, struct seed **out, uint32_t *dim)
{
    FILE *file = fopen(path, "r");
    struct seed *seeds = NULL;
    char *line = NULL;
    size_t room = 0, n = 0;
    ssize_t size;
    if (file == NULL) {
        fprintf(stderr, "bench_search: %s: no such file\n", path);
        exit(1);
    }
    while ((size = getline(&line, &room, file)) > 0) {
        struct frt_json *json = NULL;
        if (frt_json_parse(line, (size_t)size, &json, NULL) != FRT_OK)
            continue;
        const struct frt_json_value *root = frt_json_root(json);
        const struct frt_json_value *face = frt_json_first(frt_json_get(root, "faces"));
        const char *text = frt_json_text(frt_json_get(face, "embedding"));
        const char *name = frt_json_text(frt_json_get(root, "file"));
        float vector[FRT_MAX_DIM + 4];
        size_t bytes = 0;
        if (text != NULL && name != NULL &&
            frt_base64_decode(text, strlen(text), vector, sizeof vector, &bytes, NULL) == FRT_OK) {
            seeds = need(frt_realloc(seeds, (n + 1) * sizeof *seeds));
            *dim = (uint32_t)(bytes / sizeof(float));
            person_of(name, seeds[n].person);
            seeds[n].embedding = need(frt_alloc(bytes));
            memcpy(seeds[n++].embedding, vector, bytes);
        }
        frt_json_free(json);
    }
    free(line);
    (void)fclose(file);
    *out = seeds;
    return n;
}

static bool from_seeds(struct set *set, size_t n)
{
    struct seed *seeds = NULL;
    const char *path = getenv("FRT_BENCH_SEEDS");
    uint32_t dim = 0;
    if (path == NULL) {
        fputs("bench_search: seeds-1m-512 is left out: FRT_BENCH_SEEDS names no file\n", stderr);
        return false;
    }
    const size_t n_seeds = read_seeds(path, &seeds, &dim);
    qsort(seeds, n_seeds, sizeof *seeds, by_person);
    *set = (struct set){.dim = dim, .n = n};
    set->gallery = need(frt_alloc_array(n, dim * sizeof(float)));
    set->probes = need(frt_alloc_array(n_seeds, dim * sizeof(float)));
    set->mate = need(frt_alloc_array(n_seeds, sizeof *set->mate));
    set->exact = need(frt_alloc_array(n_seeds, sizeof *set->exact));
    float *all = need(frt_alloc_array(n_seeds, dim * sizeof(float)));
    float *mean = need(frt_alloc_array(dim, sizeof *mean)),
          *lower = need(frt_alloc_zero((size_t)dim * dim, sizeof *lower));
    size_t people = 0;
    for (size_t i = 0; i < n_seeds; i++) {
        memcpy(all + i * dim, seeds[i].embedding, dim * sizeof(float));
        if (i == 0 || strcmp(seeds[i].person, seeds[i - 1].person) != 0) {
            memcpy(set->gallery + people++ * dim, seeds[i].embedding, dim * sizeof(float));
        } else {
            float *probe = set->probes + set->n_probes * dim;
            memcpy(probe, seeds[i].embedding, dim * sizeof(float));
            set->mate[set->n_probes] = (uint32_t)people - 1;
            set->exact[set->n_probes++] = frt_dot_f32(probe, set->gallery + (people - 1) * dim, dim);
        }
    }
    covariance(all, n_seeds, dim, mean, lower);
    struct making m = {.set = set, .mean = mean, .lower = lower, .first = people};
    make_gallery(&m);
    fprintf(stderr, "seeds: %zu photos, %zu people, %zu probes, %u dimensions\n", n_seeds, people,
            set->n_probes, dim);
    return true;
}

static void set_free(struct set *set)
{
    frt_free(set->gallery);
    frt_free(set->probes);
    frt_free(set->mate);
    frt_free(set->exact);
}

/* ------------------------------------------------------------------ measure */

struct result {
    double ms;   /* median a query */
    double loss; /* share of mates lost */
    double bytes_per_face;
};

/* Among those that exact search finds: at the threshold or above. (Whether another face is nearer still is the
 * model's affair; among the five best the mate then still is, or it is not counted.) */
static bool counts(const struct set *set, size_t p)
{
    return set->exact[p] >= threshold;
}

static void print_case(const char *name, const char *unit_name, double ours, const char *peer,
                       double peer_value, const struct result *mine, const struct result *theirs)
{
    struct frt_buf line;
    struct frt_json_writer w;
    char machine[256];
    bench_machine(machine, sizeof machine);
    frt_buf_init(&line, 4096);
    frt_json_writer_init(&w, &line, false);
    frt_json_object(&w);
    frt_json_key(&w, "bench");
    frt_json_string(&w, "search");
    frt_json_key(&w, "case");
    frt_json_string(&w, name);
    frt_json_key(&w, "unit");
    frt_json_string(&w, unit_name);
    frt_json_key(&w, "ours");
    frt_json_fixed(&w, ours, 4);
    frt_json_key(&w, "peer");
    frt_json_string(&w, peer);
    frt_json_key(&w, "peer_value");
    frt_json_fixed(&w, peer != NULL ? peer_value : NAN, 4);
    frt_json_key(&w, "ratio");
    frt_json_fixed(&w, peer != NULL && peer_value > 0 ? ours / peer_value : NAN, 4);
    frt_json_key(&w, "loss");
    frt_json_fixed(&w, mine->loss, 5);
    frt_json_key(&w, "bytes_per_face");
    frt_json_fixed(&w, mine->bytes_per_face, 1);
    if (theirs != NULL) {
        frt_json_key(&w, "peer_loss");
        frt_json_fixed(&w, theirs->loss, 5);
        frt_json_key(&w, "peer_bytes_per_face");
        frt_json_fixed(&w, theirs->bytes_per_face, 1);
    }
    frt_json_key(&w, "machine");
    frt_json_string(&w, machine);
    frt_json_key(&w, "flags");
    frt_json_string(&w, FRT_BENCH_FLAGS);
    frt_json_end(&w);
    if (frt_buf_status(&line) != FRT_OK || puts(line.data) < 0 || fflush(stdout) != 0)
        exit(1);
    frt_buf_deinit(&line);
}

static void must(enum frt_status status, const struct frt_error *err)
{
    if (status != FRT_OK) {
        fprintf(stderr, "bench_search: %s\n", err->text);
        exit(1);
    }
}

static struct frt_index *build(const struct set *set, uint64_t ivf_from, double *per_second)
{
    const struct frt_index_options options = {.dim = set->dim, .ivf_from = ivf_from};
    struct frt_index *index = NULL;
    struct frt_error err = {0};
    uint64_t keys[1000];
    uint32_t groups[1000];
    must(frt_index_new(&options, &index, &err), &err);
    const int64_t start = frt_now_ns();
    for (size_t i = 0; i < set->n; i += 1000) {
        const size_t n = set->n - i < 1000 ? set->n - i : 1000;
        for (size_t j = 0; j < n; j++) {
            keys[j] = i + j + 1;
            groups[j] = (uint32_t)(i + j);
        }
        must(frt_index_add(index, n, keys, groups, set->gallery + i * set->dim, &err), &err);
    }
    *per_second = (double)set->n / frt_elapsed_ms(start) * 1000;
    return index;
}

/* All probes, `batch` at a time. */
static struct result run_ours(const struct set *set, struct frt_index *index, size_t batch, bool one_thread,
                              float least)
{
    struct frt_index_hit hits[BATCH * TOP];
    size_t n_hits[BATCH], lost = 0, mates = 0, n_times = 0;
    double *times = need(frt_alloc_array(set->n_probes, sizeof *times));
    struct frt_error err = {0};
    for (size_t p = 0; p + batch <= set->n_probes; p += batch) {
        const struct frt_index_query query = {.vectors = set->probes + p * set->dim,
                                              .n = batch,
                                              .k = TOP,
                                              .min_score = least,
                                              .one_thread = one_thread};
        const int64_t start = frt_now_ns();
        must(frt_index_search(index, &query, hits, n_hits, &err), &err);
        times[n_times++] = frt_elapsed_ms(start) / (double)batch;
        for (size_t b = 0; b < batch; b++) {
            bool found = false;
            for (size_t i = 0; i < n_hits[b]; i++)
                found = found || hits[b * TOP + i].key == set->mate[p + b] + 1;
            mates += counts(set, p + b);
            lost += counts(set, p + b) && !found;
        }
    }
    const struct frt_index_stats stats = frt_index_stats_get(index);
    const struct result result = {bench_median(times, n_times), (double)lost / (double)mates,
                                  (double)stats.bytes / (double)set->n};
    frt_free(times);
    return result;
}

static bool run_peer(const struct set *set, const char *name, uint32_t ef, struct bench_peer **kept,
                     struct result *out)
{
    const struct bench_peer_options options = {.dim = set->dim, .train_per_list = set->n <= 100000 ? 0 : 39};
    struct bench_peer *peer = *kept;
    char why[256] = "";
    float scores[TOP];
    int64_t ids[TOP];
    const bool flat =
        strncmp(name, "faiss-flat", 10) == 0; /* exact: a few probes tell its time, and it loses nobody */
    const size_t most = flat ? 25 : 200, probes = set->n_probes < most ? set->n_probes : most;
    size_t lost = 0, mates = 0;
    if (peer == NULL &&
        (!bench_peer_open(name, &options, &peer, why) || !bench_peer_build(peer, set->n, set->gallery, why))) {
        fprintf(stderr, "bench_search: peer %s is left out: %s\n", name, why);
        bench_peer_close(peer);
        return false;
    }
    *kept = peer;
    if (ef > 0)
        (void)bench_peer_set(peer, "ef", ef);
    double *times = need(frt_alloc_array(set->n_probes, sizeof *times));
    for (size_t p = 0; p < probes; p++) {
        const int64_t start = frt_now_ns();
        if (!bench_peer_search(peer, 1, set->probes + p * set->dim, TOP, scores, ids, why)) {
            fprintf(stderr, "bench_search: %s: %s\n", name, why);
            exit(1);
        }
        times[p] = frt_elapsed_ms(start);
    }
    /* what is lost is counted over all probes, and not timed */
    for (size_t p = 0; p < set->n_probes; p++) {
        if (flat && p >= probes)
            break;
        if (!bench_peer_search(peer, 1, set->probes + p * set->dim, TOP, scores, ids, why))
            exit(1);
        bool found = false;
        for (int i = 0; i < TOP; i++)
            found = found || ids[i] == (int64_t)set->mate[p];
        mates += counts(set, p);
        lost += counts(set, p) && !found;
    }
    *out = (struct result){bench_median(times, probes), (double)lost / (double)mates,
                           (double)bench_peer_bytes(peer) / (double)set->n};
    frt_free(times);
    return true;
}

static void with_peers(const struct set *set, const char *name, const struct result *ours, bool hnsw)
{
    static const char *const peers[] = {"faiss-flat", "faiss-flat-avx2", "faiss-ivfflat", "faiss-ivfflat-avx2"};
    struct result theirs;
    for (size_t i = 0; i < sizeof peers / sizeof *peers; i++) {
        struct bench_peer *peer = NULL;
        if (run_peer(set, peers[i], 0, &peer, &theirs))
            print_case(name, "ms", ours->ms, peers[i], theirs.ms, ours, &theirs);
        bench_peer_close(peer);
    }
    struct bench_peer *peer = NULL;
    static const uint32_t efs[] = {64, 256, 1024};
    for (size_t i = 0; hnsw && i < sizeof efs / sizeof *efs; i++) {
        char label[64];
        (void)snprintf(label, sizeof label, "hnswlib ef=%u", efs[i]);
        if (!run_peer(set, "hnswlib", efs[i], &peer, &theirs))
            break;
        print_case(name, "ms", ours->ms, label, theirs.ms, ours, &theirs);
    }
    bench_peer_close(peer);
}

static void case_size(const char *label, uint32_t dim, size_t n, bool peers)
{
    struct set set;
    char name[64];
    double per_second = 0;
    face_like(&set, dim, n);
    struct frt_index *index = build(&set, UINT64_MAX, &per_second);
    (void)snprintf(name, sizeof name, "exhaustive-%s", label);
    const struct result one = run_ours(&set, index, 1, true, threshold);
    print_case(name, "ms", one.ms, NULL, 0, &one, NULL);
    const struct result spread = run_ours(&set, index, 1, false, threshold);
    (void)snprintf(name, sizeof name, "cores-%s", label);
    print_case(name, "ms", spread.ms, "one core", one.ms, &spread, &one);
    const struct result batch = run_ours(&set, index, BATCH, true, threshold);
    (void)snprintf(name, sizeof name, "batch16-%s", label);
    print_case(name, "ms a query", batch.ms, "one by one", one.ms, &batch, &one);
    const struct result all = run_ours(&set, index, 1, true, -1);
    (void)snprintf(name, sizeof name, "five-best-%s", label);
    print_case(name, "ms", all.ms, "with the threshold", one.ms, &all, &one);
    if (peers) {
        (void)snprintf(name, sizeof name, "exhaustive-%s", label);
        with_peers(&set, name, &one, n <= 100000 || getenv("FRT_BENCH_HNSW") != NULL);
    }
    frt_index_free(index);
    set_free(&set);
}

static void case_lists(const char *name, struct set *set)
{
    double per_second = 0;
    struct frt_error err = {0};
    struct frt_index *index = build(set, UINT64_MAX, &per_second);
    const struct result flat = run_ours(set, index, 1, true, threshold);
    frt_index_free(index);
    index = build(set, set->n / 2, &per_second);
    const int64_t start = frt_now_ns();
    must(frt_index_maintain(index, NULL, NULL, &err), &err);
    const struct frt_index_stats stats = frt_index_stats_get(index);
    fprintf(stderr, "%s: upkeep took %.1f s: %s, %u of %u lists, loss of its own check %.4f\n", name,
            frt_elapsed_ms(start) / 1000, stats.kind, stats.probes, stats.lists, stats.built_loss);
    const struct result lists = run_ours(set, index, 1, true, threshold);
    char label[64];
    (void)snprintf(label, sizeof label, "exhaustive (index decided for %s)", stats.kind);
    print_case(name, "ms", lists.ms, label, flat.ms, &lists, &flat);
    with_peers(set, name, &lists, false);
    frt_index_free(index);
}

static void case_open(void)
{
    struct set set;
    struct frt_error err = {0};
    double per_second = 0, times[7];
    struct frt_index_tag tag = {.collection_key = 1, .seq = 1};
    char path[] = "build/bench-search.frtx";
    face_like(&set, 512, 1000000);
    struct frt_index *index = build(&set, UINT64_MAX, &per_second);
    must(frt_index_save(index, path, &tag, &err), &err);
    frt_index_free(index);
    for (size_t i = 0; i < 7; i++) {
        const struct frt_index_options options = {.dim = 512};
        const int64_t start = frt_now_ns();
        must(frt_index_load(&options, path, &tag, &index, &err), &err);
        times[i] = frt_elapsed_ms(start);
        if (i < 6)
            frt_index_free(index);
    }
    const struct result result = run_ours(&set, index, 1, true, threshold);
    print_case("open-1m", "ms", bench_median(times, 7), "target", 100, &result, NULL);
    (void)unlink(path);
    frt_index_free(index);
    set_free(&set);
}

static void case_insert(void)
{
    struct set set;
    double per_second = 0;
    face_like(&set, 512, 200000);
    struct frt_index *index = build(&set, UINT64_MAX, &per_second);
    const struct result none = {.loss = 0,
                                .bytes_per_face = (double)frt_index_stats_get(index).bytes / (double)set.n};
    print_case("insert", "faces/s into the index", per_second, "target (durable: bench_store)", 20000, &none,
               NULL);
    frt_index_free(index);
    set_free(&set);
}

/* Searches while another thread enrolls, a hundred batches of ten a second, and deletes as many. */
struct enrolling {
    struct frt_index *index;
    const struct set *set;
    atomic_bool over;
};

static void *enroll_on(void *arg)
{
    struct enrolling *e = arg;
    for (uint64_t key = UINT64_C(1) << 32; !atomic_load(&e->over); key += 10) {
        uint64_t keys[10];
        uint32_t groups[10] = {0};
        struct frt_error err = {0};
        for (uint64_t i = 0; i < 10; i++)
            keys[i] = key + i;
        must(frt_index_add(e->index, 10, keys, groups, e->set->gallery + key % (e->set->n - 10) * e->set->dim,
                           &err),
             &err);
        (void)usleep(10000);
        must(frt_index_remove(e->index, 10, keys, NULL, &err), &err);
    }
    return NULL;
}

static double p99(const struct set *set, struct frt_index *index)
{
    enum { SEARCHES = 2000 };
    struct frt_index_hit hits[TOP];
    struct frt_error err = {0};
    double *times = need(frt_alloc_array(SEARCHES, sizeof *times));
    size_t n_hits;
    for (size_t i = 0; i < SEARCHES; i++) {
        const struct frt_index_query query = {.vectors = set->probes + i % set->n_probes * set->dim,
                                              .n = 1,
                                              .k = TOP,
                                              .min_score = threshold,
                                              .one_thread = true};
        const int64_t start = frt_now_ns();
        must(frt_index_search(index, &query, hits, &n_hits, &err), &err);
        times[i] = frt_elapsed_ms(start);
    }
    qsort(times, SEARCHES, sizeof *times, bench_ascending);
    const double value = times[SEARCHES * 99 / 100];
    frt_free(times);
    return value;
}

static void case_enrolling(void)
{
    struct set set;
    double per_second = 0;
    pthread_t thread;
    face_like(&set, 512, 1000000);
    struct enrolling e = {.index = build(&set, UINT64_MAX, &per_second), .set = &set};
    const double quiet = p99(&set, e.index);
    if (pthread_create(&thread, NULL, enroll_on, &e) != 0)
        exit(1);
    const double busy = p99(&set, e.index);
    atomic_store(&e.over, true);
    (void)pthread_join(thread, NULL);
    const struct result none = {.bytes_per_face = (double)frt_index_stats_get(e.index).bytes / (double)set.n};
    print_case("p99-while-enrolling-1m-512", "ms", busy, "quiet", quiet, &none, NULL);
    frt_index_free(e.index);
    set_free(&set);
}

int main(int argc, char **argv)
{
    static const char *const all[] = {"insert",     "10k-512",      "100k-512",         "1m-512", "1m-128",
                                      "ivf-1m-512", "seeds-1m-512", "enrolling-1m-512", "open-1m"};
    const size_t n = argc > 1 ? (size_t)argc - 1 : sizeof all / sizeof *all;
    for (size_t i = 0; i < n; i++) {
        const char *name = argc > 1 ? argv[i + 1] : all[i];
        struct set set;
        if (strcmp(name, "10k-512") == 0)
            case_size(name, 512, 10000, true);
        else if (strcmp(name, "100k-512") == 0)
            case_size(name, 512, 100000, true);
        else if (strcmp(name, "1m-512") == 0)
            case_size(name, 512, 1000000, true);
        else if (strcmp(name, "1m-128") == 0)
            case_size(name, 128, 1000000, true);
        else if (strcmp(name, "10m-128") == 0)
            case_size(name, 128, 10000000, false);
        else if (strcmp(name, "ivf-1m-512") == 0) {
            face_like(&set, 512, 1000000);
            case_lists(name, &set);
            set_free(&set);
        } else if (strcmp(name, "seeds-1m-512") == 0) {
            if (from_seeds(&set, 1000000)) {
                case_lists(name, &set);
                set_free(&set);
            }
        } else if (strcmp(name, "enrolling-1m-512") == 0)
            case_enrolling();
        else if (strcmp(name, "open-1m") == 0)
            case_open();
        else if (strcmp(name, "insert") == 0)
            case_insert();
        else {
            fprintf(stderr, "bench_search: no case '%s'\n", name);
            return 2;
        }
    }
    return 0;
}
