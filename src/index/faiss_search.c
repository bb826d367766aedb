/*
 * Search of the FAISS engine: FAISS finds candidates, part by part; what they score is ours.
 *
 * FAISS sums in an order of its own, which depends on the BLAS beneath it, on the number of queries and on the
 * place of a row in memory: the same vector twice may score twice differently in the last digits, and which of
 * two equal ones comes first, or at the k-th place at all, is then left to chance. So a few more than k are
 * asked for and scored again by the kernel that the other engine and the gallery use (simd/dot.h): equal
 * vectors score equally, and ties come in order of key. What FAISS left out scores at most what it gave to the
 * last that it returned, and its rounding more; while that reaches our k-th, more are asked for.
 *
 * Threading: a search has its own scratch; parts are read as faiss_engine.h says.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "index/faiss_engine.h"
#include "simd/dot.h"

enum {
    SPARE = 8,      /* candidates of each part beyond k, and a sixteenth of k: seldom too few */
    ASK_MAX = 16384 /* candidates of one part that are fetched to sort out ties at the k-th */
};

/* FAISS's score and ours, each within 2e-7 · sqrt(dim) of the exact sum (the contract of simd/dot.h; BLAS sums
 * as well as that or better). */
static float rounding(uint32_t dim)
{
    return 4e-7f * sqrtf((float)dim);
}

/* What one search works with; grown as needed. */
struct scratch {
    float *scores;
    int64_t *rows;
    size_t room;                /* of both */
    struct frt_index_hit *best; /* [n][k], so far */
    size_t *n_best;
    struct frt_index_hit *fine, *merged; /* candidates of one query, and those joined with its best */
    size_t fine_room;                    /* of fine; merged has k more */
};

static enum frt_status make_room(struct scratch *s, size_t hits, size_t candidates, size_t k,
                                 struct frt_error *err)
{
    if (s->scores == NULL || s->rows == NULL || s->room < hits) {
        frt_free(s->scores);
        frt_free(s->rows);
        s->room = 0;
        s->scores = frt_alloc_array(hits, sizeof *s->scores);
        s->rows = frt_alloc_array(hits, sizeof *s->rows);
        if (s->scores == NULL || s->rows == NULL)
            return frt_fail_nomem(err, "a search");
        s->room = hits;
    }
    if (s->fine == NULL || s->merged == NULL || s->fine_room < candidates) {
        frt_free(s->fine);
        frt_free(s->merged);
        s->fine_room = 0;
        s->fine = frt_alloc_array(candidates, sizeof *s->fine);
        s->merged = frt_alloc_array(candidates + k, sizeof *s->merged);
        if (s->fine == NULL || s->merged == NULL)
            return frt_fail_nomem(err, "a search");
        s->fine_room = candidates;
    }
    return FRT_OK;
}

static int better_hit(const void *a, const void *b)
{
    const struct frt_index_hit *x = a, *y = b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return (x->key > y->key) - (x->key < y->key);
}

static const float *vector_of(const struct frt_faiss_part *part, uint32_t row)
{
    return part->vectors != NULL ? part->vectors + (size_t)row * part->dim : part->listed[row];
}

/* Our own scores of what FAISS found, best first. How many. */
static size_t score_again(struct scratch *s, const struct frt_faiss_part *part, const float *query,
                          const int64_t *rows, size_t n)
{
    frt_dot_f32_fn *dot = frt_dot_f32_get(frt_simd_tier_active());
    size_t found = 0;
    for (; found < n && rows[found] >= 0; found++) {
        /* a row may have been removed since FAISS looked at it: that is another search's business */
        const uint32_t row = (uint32_t)rows[found];
        s->fine[found] = (struct frt_index_hit){part->keys[row], part->groups[row],
                                                dot(query, vector_of(part, row), part->dim)};
    }
    qsort(s->fine, found, sizeof *s->fine, better_hit);
    return found;
}

/* s->fine[0..n) joins the best so far. */
static void join(struct scratch *s, size_t query, uint32_t k, size_t n)
{
    struct frt_index_hit *best = s->best + query * k;
    const size_t have = s->n_best[query];
    size_t a = 0, b = 0, out = 0;
    while (out < k && (a < have || b < n)) {
        const bool take_best = b == n || (a < have && better_hit(&best[a], &s->fine[b]) <= 0);
        s->merged[out++] = take_best ? best[a++] : s->fine[b++];
    }
    memcpy(best, s->merged, out * sizeof *best);
    s->n_best[query] = out;
}

static bool ask(const struct frt_faiss_part *part, const struct frt_faiss_search *search, uint32_t n_rows,
                bool exhaustive, struct frt_faiss_failure *why)
{
    return part->vectors != NULL
               ? part->module->flat_search(search, part->vectors, n_rows, why)
               : part->module->ivf_search(part->ivf, search,
                                          exhaustive ? part->n_lists : frt_faiss_probes(part->n_lists), why);
}

/* Can nothing that FAISS left out be among the k best? scores, rows: what it returned, `asked` of them; found
 * of them are in s->fine. */
static bool complete(const struct scratch *s, const struct frt_faiss_part *part, uint32_t k,
                     const float *scores, size_t asked, size_t found)
{
    return found < asked || (found >= k && scores[asked - 1] + rounding(part->dim) < s->fine[k - 1].score);
}

/* One query against one part, with more and more candidates. */
static enum frt_status search_deeper(struct scratch *s, const struct frt_faiss_part *part,
                                     struct frt_faiss_search search, uint32_t n_rows, size_t q,
                                     const struct frt_index_query *query, struct frt_error *err)
{
    struct frt_faiss_failure why;
    size_t found = 0;
    search.queries = query->vectors + q * part->dim;
    search.n = 1;
    do {
        search.k = search.k * 2 < n_rows ? search.k * 2 : n_rows;
        enum frt_status status = make_room(s, search.k, search.k, query->k, err);
        if (status != FRT_OK)
            return status;
        search.scores = s->scores;
        search.rows = s->rows;
        if (!ask(part, &search, n_rows, query->exhaustive, &why))
            return frt_faiss_failed(err, &why);
        found = score_again(s, part, search.queries, s->rows, search.k);
    } while (search.k < n_rows && search.k < ASK_MAX &&
             !complete(s, part, query->k, s->scores, search.k, found));
    join(s, q, query->k, found);
    return FRT_OK;
}

/* All queries against one part. */
static enum frt_status search_part(struct scratch *s, const struct frt_faiss_part *part, uint32_t threads,
                                   const struct frt_index_query *query, struct frt_error *err)
{
    struct frt_faiss_failure why;
    const uint32_t n_rows = atomic_load_explicit(&part->n, memory_order_acquire);
    const uint32_t n_removed = atomic_load_explicit(&part->n_removed, memory_order_acquire);
    bool deeper[FRT_INDEX_MAX_QUERIES] = {false};
    if (n_rows == 0)
        return FRT_OK;
    const size_t wanted = (size_t)query->k + query->k / 16 + SPARE, asked = wanted < n_rows ? wanted : n_rows;
    enum frt_status status = make_room(s, asked * query->n, asked, query->k, err);
    if (status != FRT_OK)
        return status;
    const struct frt_faiss_search search = {.queries = query->vectors,
                                            .n = query->n,
                                            .k = asked,
                                            .removed = n_removed > 0 ? part->removed_memory : NULL,
                                            .dim = part->dim,
                                            .threads = threads,
                                            .scores = s->scores,
                                            .rows = s->rows};
    if (!ask(part, &search, n_rows, query->exhaustive, &why))
        return frt_faiss_failed(err, &why);
    for (size_t q = 0; q < query->n; q++) {
        const size_t found = score_again(s, part, query->vectors + q * part->dim, s->rows + q * asked, asked);
        deeper[q] = asked < n_rows && !complete(s, part, query->k, s->scores + q * asked, asked, found);
        if (!deeper[q])
            join(s, q, query->k, found);
    }
    for (size_t q = 0; q < query->n && status == FRT_OK; q++) {
        if (deeper[q])
            status = search_deeper(s, part, search, n_rows, q, query, err);
    }
    return status;
}

enum frt_status frt_faiss_search(struct frt_index *index, const struct frt_index_query *query,
                                 struct frt_index_hit *hits, size_t *n_hits, struct frt_error *err)
{
    struct frt_faiss_engine *engine = (struct frt_faiss_engine *)(void *)index;
    struct scratch s = {0};
    struct frt_faiss_view *view = NULL;
    size_t n_best = 0;
    enum frt_status status = FRT_OK;
    if (!frt_mul_size(query->n, query->k, &n_best))
        return frt_fail_nomem(err, "a search");
    s.best = frt_alloc_array(n_best, sizeof *s.best);
    s.n_best = frt_alloc_zero(query->n, sizeof *s.n_best);
    if (s.best == NULL || s.n_best == NULL) {
        status = frt_fail_nomem(err, "a search");
        goto done;
    }
    view = frt_faiss_view_get(engine);
    for (uint32_t i = 0; i < view->n && status == FRT_OK; i++)
        status = search_part(&s, view->parts[i], query->one_thread ? 1 : index->options.threads, query, err);
    if (status != FRT_OK)
        goto done;
    for (size_t q = 0; q < query->n; q++) {
        size_t n = 0;
        while (n < s.n_best[q] && s.best[q * query->k + n].score >= query->min_score)
            n++;
        memcpy(hits + q * query->k, s.best + q * query->k, n * sizeof *hits);
        n_hits[q] = n;
    }
done:
    frt_faiss_view_release(view);
    frt_free(s.scores);
    frt_free(s.rows);
    frt_free(s.best);
    frt_free(s.n_best);
    frt_free(s.fine);
    frt_free(s.merged);
    return status;
}
