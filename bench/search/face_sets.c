#include "search/face_sets.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/cores.h"
#include "core/crypto.h"
#include "core/json_read.h"
#include "core/mem.h"
#include "index/index.h"
#include "simd/dot.h"

enum { MAX_THREADS = 64 };

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

void *bench_need(void *memory)
{
    if (memory == NULL) {
        fputs("bench: not enough memory\n", stderr);
        exit(1);
    }
    return memory;
}

struct making {
    struct face_set *set;
    const float *spread;       /* [dim] standard deviations, or NULL: mean + lower · Gaussian */
    const float *mean, *lower; /* [dim], [dim][dim] lower triangle */
    const float *people;       /* [n / photos][dim], whose photos are made; or NULL */
    size_t first;
    atomic_size_t next;
};

static void make_one(const struct making *m, uint64_t *state, float *out)
{
    const uint32_t dim = m->set->dim;
    float *draw = m->spread != NULL ? out : bench_need(frt_alloc_array(dim, sizeof *draw));
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

/* `own` as made by make_one, brought to the given cosine with `of`. */
static void bring_near(float *own, const float *of, uint32_t dim, float cosine)
{
    const float along = frt_dot_f32(own, of, dim);
    for (uint32_t i = 0; i < dim; i++)
        own[i] -= along * of[i];
    unit(own, dim);
    for (uint32_t i = 0; i < dim; i++)
        own[i] = cosine * of[i] + sqrtf(1 - cosine * cosine) * own[i];
    unit(own, dim);
}

/* A photo of a person: two of them are then 0.6 ± 0.08 alike. */
static void make_photo(const struct making *m, uint64_t *state, const float *person, float *out)
{
    float jitter[2];
    make_one(m, state, out);
    gauss(state, jitter, 2);
    bring_near(out, person, m->set->dim, fminf(sqrtf(0.6f) + 0.07f * jitter[0], 0.97f));
}

static void *make_some(void *arg)
{
    struct making *m = arg;
    for (;;) {
        const size_t first = atomic_fetch_add(&m->next, 1000);
        if (first >= m->set->n)
            return NULL;
        uint64_t state = first * 7919 + 1;
        for (size_t i = first < m->first ? m->first : first; i < m->set->n && i < first + 1000; i++) {
            float *out = m->set->gallery + i * m->set->dim;
            if (m->people != NULL)
                make_photo(m, &state, m->people + i / m->set->photos * m->set->dim, out);
            else
                make_one(m, &state, out);
        }
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
static float *spread_of(uint32_t dim)
{
    float *spread = bench_need(frt_alloc_array(dim, sizeof *spread));
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
    return spread;
}

static void set_new(struct face_set *set, uint32_t dim, size_t n)
{
    *set = (struct face_set){.dim = dim, .photos = 1, .n = n, .n_probes = FACE_SET_PROBES};
    set->gallery = bench_need(frt_alloc_array(n, dim * sizeof(float)));
    set->probes = bench_need(frt_alloc_array(FACE_SET_PROBES, dim * sizeof(float)));
    set->mate = bench_need(frt_alloc_array(FACE_SET_PROBES, sizeof *set->mate));
    set->exact = bench_need(frt_alloc_array(FACE_SET_PROBES, sizeof *set->exact));
}

void face_set_even(struct face_set *set, uint32_t dim, size_t n)
{
    float *spread = spread_of(dim);
    set_new(set, dim, n);
    struct making m = {.set = set, .spread = spread};
    make_gallery(&m);
    uint64_t state = 4711;
    for (size_t p = 0; p < FACE_SET_PROBES; p++) {
        float *out = set->probes + p * dim, jitter[2];
        set->mate[p] = (uint32_t)(splitmix(&state) % n);
        const float *of = set->gallery + (size_t)set->mate[p] * dim;
        make_one(&m, &state, out);
        gauss(&state, jitter, 2);
        bring_near(out, of, dim, fminf(0.6f + 0.08f * jitter[0], 0.95f));
        set->exact[p] = frt_dot_f32(out, of, dim);
    }
    frt_free(spread);
}

void face_set_archive(struct face_set *set, uint32_t dim, size_t n)
{
    float *spread = spread_of(dim),
          *people = bench_need(frt_alloc_array(n / FACE_SET_ARCHIVE_PHOTOS, dim * sizeof *people));
    set_new(set, dim, n);
    set->photos = FACE_SET_ARCHIVE_PHOTOS;
    struct making m = {.set = set, .spread = spread, .people = people};
    uint64_t state = 815;
    for (size_t i = 0; i < n / FACE_SET_ARCHIVE_PHOTOS; i++)
        make_one(&m, &state, people + i * dim);
    make_gallery(&m);
    for (size_t p = 0; p < FACE_SET_PROBES; p++) {
        const size_t person = splitmix(&state) % (n / FACE_SET_ARCHIVE_PHOTOS);
        float *out = set->probes + p * dim;
        make_photo(&m, &state, people + person * dim, out);
        set->mate[p] = (uint32_t)person * FACE_SET_ARCHIVE_PHOTOS;
        set->exact[p] = -1;
        for (size_t i = 0; i < FACE_SET_ARCHIVE_PHOTOS; i++)
            set->exact[p] =
                fmaxf(set->exact[p], frt_dot_f32(out, set->gallery + (set->mate[p] + i) * dim, dim));
    }
    frt_free(spread);
    frt_free(people);
}

/* Mean, and the Cholesky factor of the covariance with a little added to the diagonal. */
static void covariance(const float *vectors, size_t n, uint32_t dim, float *mean, float *lower)
{
    double *c = bench_need(frt_alloc_zero((size_t)dim * dim, sizeof *c));
    float *v = bench_need(frt_alloc_array(dim, sizeof *v));
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
            seeds = bench_need(frt_realloc(seeds, (n + 1) * sizeof *seeds));
            *dim = (uint32_t)(bytes / sizeof(float));
            person_of(name, seeds[n].person);
            seeds[n].embedding = bench_need(frt_alloc(bytes));
            memcpy(seeds[n++].embedding, vector, bytes);
        }
        frt_json_free(json);
    }
    free(line);
    (void)fclose(file);
    *out = seeds;
    return n;
}

bool face_set_seeds(struct face_set *set, size_t n)
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
    *set = (struct face_set){.dim = dim, .photos = 1, .n = n};
    set->gallery = bench_need(frt_alloc_array(n, dim * sizeof(float)));
    set->probes = bench_need(frt_alloc_array(n_seeds, dim * sizeof(float)));
    set->mate = bench_need(frt_alloc_array(n_seeds, sizeof *set->mate));
    set->exact = bench_need(frt_alloc_array(n_seeds, sizeof *set->exact));
    float *all = bench_need(frt_alloc_array(n_seeds, dim * sizeof(float)));
    float *mean = bench_need(frt_alloc_array(dim, sizeof *mean)),
          *lower = bench_need(frt_alloc_zero((size_t)dim * dim, sizeof *lower));
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

void face_set_deinit(struct face_set *set)
{
    frt_free(set->gallery);
    frt_free(set->probes);
    frt_free(set->mate);
    frt_free(set->exact);
}

bool face_set_is_mate(const struct face_set *set, size_t p, uint64_t id)
{
    return id < set->n && id / set->photos == set->mate[p] / set->photos;
}
