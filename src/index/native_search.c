/*
 * Search: one pass over the codes for all queries, and a re-rank of what the pass keeps.
 *
 *     chunks of the segments ── taken by workers ── for each query: scan the chunk's codes, score what is kept
 * by row, keep the k best workers' best ── merged
 *
 * The cut of the first pass: what is wanted is every vector whose cosine reaches the floor (the least score
 * asked for, or the k-th best found so far, whichever is higher). The estimate is off by a normal error of
 * known spread, so a vector at the very floor is lost with the chance that the error falls below -MARGIN
 * spreads: 0.0013; a vector one spread above it with 3e-5. The k-th best of one worker raises the floor of
 * all.
 *
 * Threading: the caller's search only; workers share the floors (atomic) and the next chunk (atomic).
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "index/native.h"
#include "index/native_gpu.h"

enum {
    CHUNK = 4096,        /* vectors that one query looks at in one go */
    SHARED_CHUNK = 512,  /* of several queries: codes of 32 KiB stay in the first-level cache for all */
    SPREAD_FROM = 65536, /* vectors × queries from which on more than one thread pays */
    PREFETCH = 6,        /* rows ahead */
    FEW_LISTS = 16,      /* probes up to which they are picked one by one */
    LIST_HEAD = 64       /* vectors of a list that are looked at before the others */
};

struct chunk {
    const struct frt_segment *segment;
    uint32_t first, end; /* first: at a whole block */
    uint32_t query;      /* the only one that looks here, or UINT32_MAX: all */
};

/* Cosine from which on a vector is wanted. */
struct floor {
    _Atomic float score;
};

struct search {
    const struct frt_native *native;
    const struct frt_index_query *query;
    struct frt_prepared *prepared; /* [n] */
    struct floor *floors;          /* [n] */
    struct chunk *chunks;
    size_t n_chunks;
    atomic_size_t next;
    struct frt_best_hits *best; /* [workers][n] */
    atomic_bool failed;
    uint32_t workers;
    uint32_t *counts;  /* [segments of the view]: vectors, when the search began */
    uint32_t *covered; /* [segments]: of these, those a device has looked at … */
    bool *certain;     /* [n]: … for these queries */
};

static void raise_floor(struct floor *floor, float to)
{
    /* relaxed: a floor seen late only costs a few more rows */
    float now = atomic_load_explicit(&floor->score, memory_order_relaxed);
    while (now < to && !atomic_compare_exchange_weak_explicit(&floor->score, &now, to, memory_order_relaxed,
                                                              memory_order_relaxed))
        ;
}

static void prefetch_row(const int8_t *row, uint32_t bytes)
{
    for (uint32_t i = 0; i < bytes; i += 64)
        __builtin_prefetch(row + i);
}

/* Score rows `at[0..n)` of a segment and keep the best. */
static void rank_rows(struct search *search, uint32_t q, const struct frt_segment *segment, const uint32_t *at,
                      size_t n, struct frt_best_hits *best)
{
    const struct frt_encoder *encoder = &search->native->encoder;
    const uint32_t row_bytes = encoder->row_bytes, k = search->query->k;
    const float least = search->query->min_score;
    for (size_t i = 0; i < n; i++) {
        if (i + PREFETCH < n)
            prefetch_row(segment->rows + (size_t)at[i + PREFETCH] * row_bytes, row_bytes);
        if (frt_segment_is_removed(segment, at[i]))
            continue;
        const float score =
            frt_encoder_score(encoder, &search->prepared[q], segment->rows + (size_t)at[i] * row_bytes,
                              segment->row_scales[at[i]]);
        if (score < least)
            continue;
        if (frt_best_offer(best, k,
                           (struct frt_index_hit){segment->keys[at[i]], segment->groups[at[i]], score}))
            raise_floor(&search->floors[q], best->hits[0].score);
    }
}

/* Codes that will be wanted soon, fetched while the present ones are worked on by query after query. */
struct ahead {
    const char *codes;
    size_t bytes, done, step;
};

static void fetch_ahead(struct ahead *ahead)
{
    const size_t end = ahead->bytes - ahead->done < ahead->step ? ahead->bytes : ahead->done + ahead->step;
    for (; ahead->done < end; ahead->done += 64)
        __builtin_prefetch(ahead->codes + ahead->done, 0, 2);
}

static const char *codes_of(const struct frt_encoder *encoder, const struct frt_segment *segment, uint32_t at)
{
    return (const char *)segment->codes + at / FRT_CODE_BLOCK * encoder->block_bytes;
}

static void search_chunk(struct search *search, uint32_t q, const struct chunk *chunk, struct ahead *ahead,
                         uint32_t *kept, struct frt_best_hits *best)
{
    const struct frt_encoder *encoder = &search->native->encoder;
    const struct frt_segment *segment = chunk->segment;
    const uint32_t whole = chunk->end - (chunk->end - chunk->first) % FRT_CODE_BLOCK;
    const float floor = atomic_load_explicit(&search->floors[q].score, memory_order_relaxed);
    const float cut =
        search->query->exhaustive ? -INFINITY : floor - FRT_FIRST_PASS_MARGIN * search->prepared[q].spread;
    size_t n = frt_encoder_scan(encoder, &search->prepared[q], codes_of(encoder, segment, chunk->first),
                                segment->factors + chunk->first, (whole - chunk->first) / FRT_CODE_BLOCK,
                                chunk->first, cut, kept);
    fetch_ahead(ahead);
    /* behind the last whole block a writer may be at work: those few by row alone */
    for (uint32_t at = whole; at < chunk->end; at++)
        kept[n++] = at;
    rank_rows(search, q, segment, kept, n, best);
}

/* The chunk that this worker will probably take next, when several queries share each: one alone is as fast as
 * memory, and the machine's own prefetch is enough. */
static struct ahead ahead_of(const struct search *search, size_t at)
{
    struct ahead ahead = {0};
    if (search->query->n > 1 && at + search->workers < search->n_chunks) {
        const struct chunk *next = &search->chunks[at + search->workers];
        const struct frt_encoder *encoder = &search->native->encoder;
        ahead.codes = codes_of(encoder, next->segment, next->first);
        ahead.bytes = (next->end - next->first) / FRT_CODE_BLOCK * encoder->block_bytes;
        ahead.step = (ahead.bytes / search->query->n + 64) / 64 * 64;
    }
    return ahead;
}

static void work(void *arg, uint32_t worker)
{
    struct search *search = arg;
    const size_t n_queries = search->query->n;
    uint32_t *kept = NULL;
    if (worker >= search->workers)
        return;
    kept = frt_alloc_array(CHUNK + FRT_CODE_BLOCK, sizeof *kept);
    if (kept == NULL) {
        if (worker == 0) /* a helper without memory just leaves the work to others */
            atomic_store(&search->failed, true);
        return;
    }
    for (;;) {
        const size_t next = atomic_fetch_add_explicit(&search->next, 1, memory_order_relaxed);
        if (next >= search->n_chunks)
            break;
        const struct chunk *chunk = &search->chunks[next];
        struct ahead ahead = ahead_of(search, next);
        for (uint32_t q = 0; q < n_queries; q++) {
            if (chunk->query == UINT32_MAX || chunk->query == q)
                search_chunk(search, q, chunk, &ahead, kept, &search->best[worker * n_queries + q]);
        }
    }
    frt_free(kept);
}

/* ------------------------------------------------------------------ chunks */

struct chunk_list {
    struct chunk *chunks;
    size_t n, capacity;
    uint32_t size; /* vectors of a chunk */
};

static bool push_range(struct chunk_list *list, const struct frt_segment *segment, uint32_t first, uint32_t end,
                       uint32_t query)
{
    while (first < end) {
        const uint32_t to = end - first > list->size ? first + list->size : end;
        if (list->n == list->capacity) {
            const size_t capacity = list->capacity == 0 ? 64 : list->capacity * 2;
            struct chunk *chunks = frt_realloc(list->chunks, capacity * sizeof *chunks);
            if (chunks == NULL)
                return false;
            list->chunks = chunks;
            list->capacity = capacity;
        }
        list->chunks[list->n++] = (struct chunk){segment, first, to, query};
        first = to;
    }
    return true;
}

struct scored_list {
    float score;
    uint32_t list;
};

/* The `want` highest scores come first, in any order. Source: Hoare, Find, 1961. */
static void bring_best_forward(struct scored_list *list, uint32_t n, uint32_t want)
{
    int64_t left = 0, right = (int64_t)n - 1;
    while (want < n && left < right) {
        const float pivot = list[(left + right) / 2].score;
        int64_t i = left, j = right;
        while (i <= j) {
            while (list[i].score > pivot)
                i++;
            while (list[j].score < pivot)
                j--;
            if (i > j)
                break;
            const struct scored_list swapped = list[i];
            list[i++] = list[j];
            list[j--] = swapped;
        }
        if ((int64_t)want <= j)
            right = j;
        else if ((int64_t)want > i)
            left = i;
        else
            break;
    }
}

/* The same for a few, which most do not come near: each is compared with the worst of them. */
static void bring_few_forward(struct scored_list *list, uint32_t n, uint32_t want)
{
    uint32_t worst = 0;
    for (uint32_t j = 1; j < want; j++)
        worst = list[j].score < list[worst].score ? j : worst;
    for (uint32_t i = want; i < n; i++) {
        if (list[i].score <= list[worst].score)
            continue;
        const struct scored_list swapped = list[i];
        list[i] = list[worst];
        list[worst] = swapped;
        for (uint32_t j = 0; j < want; j++)
            worst = list[j].score < list[worst].score ? j : worst;
    }
}

/* A list in two parts: what the first finds raises the floor for the second. */
static bool push_list(struct chunk_list *list, const struct frt_segment *segment, uint32_t number, uint32_t q)
{
    const uint32_t first = segment->list_first[number], end = segment->list_first[number + 1];
    const uint32_t middle = end - first > 2 * LIST_HEAD ? first + LIST_HEAD : end;
    return push_range(list, segment, first, middle, q) && push_range(list, segment, middle, end, q);
}

/* The lists of a segment that a query looks into: those whose centre is most similar. */
static bool push_lists(struct chunk_list *list, const struct search *search, const struct frt_segment *segment,
                       uint32_t q, uint32_t probes)
{
    const struct frt_encoder *encoder = &search->native->encoder;
    struct scored_list *scored = frt_alloc_array(segment->n_lists, sizeof *scored);
    int32_t *dots = frt_alloc_array(segment->n_lists, sizeof *dots);
    int8_t *row = frt_alloc_array(encoder->row_bytes, sizeof *row);
    bool done = scored != NULL && dots != NULL && row != NULL;
    if (done) {
        /* the query in 8 bits, too: its scale is the same for all, and so left out */
        (void)frt_encoder_row(encoder, search->prepared[q].rotated, row);
        encoder->kernels->dots_i8(row, segment->centroids, encoder->row_bytes, segment->n_lists, dots);
    }
    for (uint32_t i = 0; done && i < segment->n_lists; i++)
        scored[i] = (struct scored_list){segment->centroid_scales[i] * (float)dots[i], i};
    /* the best to the front; sorting all would cost more than comparing them did */
    if (done && probes <= FEW_LISTS)
        bring_few_forward(scored, segment->n_lists, probes);
    else if (done)
        bring_best_forward(scored, segment->n_lists, probes);
    for (uint32_t i = 0; done && i < probes && i < segment->n_lists; i++)
        done = push_list(list, segment, scored[i].list, q);
    frt_free(scored);
    frt_free(dots);
    frt_free(row);
    return done;
}

/* Vectors that a device has looked at are left out, but for queries that it could not answer for sure. */
static bool plan(struct search *search, const struct frt_view *view, uint32_t probes, struct chunk_list *list)
{
    bool done = true;
    for (uint32_t s = 0; done && s < view->n; s++) {
        const struct frt_segment *segment = view->segments[s];
        const uint32_t covered = search->covered[s];
        const bool whole = segment->n_lists == 0 || search->query->exhaustive || probes >= segment->n_lists;
        if (covered > 0 || whole)
            done = push_range(list, segment, covered, search->counts[s], UINT32_MAX);
        for (uint32_t q = 0; done && q < search->query->n; q++) {
            if (covered == 0 && !whole)
                done = push_lists(list, search, segment, q, probes);
            else if (covered > 0 && !search->certain[q])
                done = push_range(list, segment, 0, covered, q);
        }
    }
    return done;
}

/* ------------------------------------------------------------------ search */

static int best_first(const void *a, const void *b)
{
    return frt_hit_worse(a, b) ? 1 : frt_hit_worse(b, a) ? -1 : 0;
}

/* The best of all workers, in order. `room` holds workers × k hits. */
static void merge(const struct search *search, struct frt_index_hit *room, struct frt_index_hit *hits,
                  size_t *n_hits)
{
    const size_t n_queries = search->query->n, k = search->query->k;
    for (size_t q = 0; q < n_queries; q++) {
        size_t n = 0;
        for (uint32_t w = 0; w < search->workers; w++) {
            const struct frt_best_hits *best = &search->best[w * n_queries + q];
            memcpy(room + n, best->hits, best->n * sizeof *room);
            n += best->n;
        }
        qsort(room, n, sizeof *room, best_first);
        n_hits[q] = n < k ? n : k;
        memcpy(hits + q * k, room, n_hits[q] * sizeof *hits);
    }
}

/* What a device finds goes into the first worker's best, and raises the floors for what is left. */
static void ask_device(struct search *search, const struct frt_view *view)
{
    struct frt_native_gpu ask = {.native = search->native,
                                 .view = view,
                                 .counts = search->counts,
                                 .query = search->query,
                                 .prepared = search->prepared,
                                 .best = search->best,
                                 .covered = search->covered,
                                 .certain = search->certain};
    if (!frt_native_gpu_search(&ask))
        return;
    for (size_t q = 0; q < search->query->n; q++) {
        if (search->best[q].n == search->query->k)
            raise_floor(&search->floors[q], search->best[q].hits[0].score);
    }
}

enum frt_status frt_native_search(struct frt_index *index, const struct frt_index_query *query,
                                  struct frt_index_hit *hits, size_t *n_hits, struct frt_error *err)
{
    struct frt_native *native = (struct frt_native *)(void *)index;
    const size_t scratch_bytes = frt_prepared_bytes(&native->encoder);
    struct search search = {.native = native, .query = query};
    struct chunk_list list = {.size = query->n > 1 ? SHARED_CHUNK : CHUNK};
    struct frt_index_hit *room = NULL;
    char *scratch = NULL;
    size_t total = 0;
    enum frt_status status = FRT_OK;
    struct frt_view *view = frt_native_view(native);
    (void)pthread_mutex_lock(&native->view_lock);
    const uint32_t probes = native->probes;
    (void)pthread_mutex_unlock(&native->view_lock);

    search.counts = frt_alloc_array((size_t)view->n + 1, sizeof *search.counts);
    search.covered = frt_alloc_zero((size_t)view->n + 1, sizeof *search.covered);
    search.certain = frt_alloc_zero(query->n, sizeof *search.certain);
    if (search.counts == NULL || search.covered == NULL || search.certain == NULL) {
        status = frt_fail_nomem(err, "a search");
        goto done;
    }
    for (uint32_t i = 0; i < view->n; i++) {
        search.counts[i] = frt_segment_count(view->segments[i]);
        total += search.counts[i];
    }
    search.workers = query->one_thread || native->team == NULL || total * query->n < SPREAD_FROM
                         ? 1
                         : index->options.threads;
    search.prepared = frt_alloc_array(query->n, sizeof *search.prepared);
    search.floors = frt_alloc_array(query->n, sizeof *search.floors);
    scratch = frt_alloc_aligned(64, query->n * scratch_bytes);
    search.best = frt_alloc_zero(search.workers * query->n, sizeof *search.best);
    /* one k for each worker's best, and as much again for the merge of one query */
    room = frt_alloc_array((query->n + 1) * search.workers * query->k, sizeof *room);
    if (search.prepared == NULL || search.floors == NULL || scratch == NULL || search.best == NULL ||
        room == NULL) {
        status = frt_fail_nomem(err, "a search");
        goto done;
    }
    for (size_t q = 0; q < query->n; q++) {
        frt_encoder_prepare(&native->encoder, query->vectors + q * index->options.dim,
                            scratch + q * scratch_bytes, &search.prepared[q]);
        atomic_init(&search.floors[q].score, query->min_score > -1 ? query->min_score : -INFINITY);
    }
    for (size_t i = 0; i < search.workers * query->n; i++)
        search.best[i].hits = room + (search.workers + i) * query->k;
    if (native->mirror != NULL)
        ask_device(&search, view);
    if (!plan(&search, view, probes, &list)) {
        status = frt_fail_nomem(err, "a search");
        goto done;
    }
    search.chunks = list.chunks;
    search.n_chunks = list.n;
    frt_search_team_run(native->team, search.workers - 1, work, &search);
    if (atomic_load(&search.failed)) {
        status = frt_fail_nomem(err, "a search");
        goto done;
    }
    merge(&search, room, hits, n_hits);
done:
    frt_view_release(view);
    frt_free(list.chunks);
    frt_free(room);
    frt_free(search.best);
    frt_free(scratch);
    frt_free(search.floors);
    frt_free(search.prepared);
    frt_free(search.counts);
    frt_free(search.covered);
    frt_free(search.certain);
    return status;
}
