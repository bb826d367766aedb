/*
 * Maintenance of the FAISS engine: one new part beside the old ones, then a swap.
 *
 *     train   k-means over a sample, every vector into its list   no lists yet, or the count has doubled or
 * halved merge   the same lists, with what came since                a tenth came since, or a fifth is removed
 *     flat    one flat part                                       few vectors, or many small parts
 *
 * The tail is sealed first, so that what is copied no longer grows; what is removed meanwhile is removed from
 * the new part before it is published.
 */
#include <string.h>

#include "core/mem.h"
#include "index/faiss_engine.h"

enum {
    MAX_FLAT_PARTS = 32,
    SAMPLE_PER_LIST = 64, /* FAISS's own limit is 256, for four times the time and memory */
    ROUNDS = 10,          /* FAISS's default */
    CHECKED = 64          /* vectors that the check of a build searches */
};
static const float check_from = 0.35f; /* hits below say nothing about people that are lost */

enum work { NOTHING, TRAIN, MERGE, FLAT };

static uint32_t count_lists(uint64_t n)
{
    uint64_t lists = n / 10 > 100 ? n / 10 : 100;
    lists = lists < 4096 ? lists : 4096;
    return (uint32_t)(lists < n ? lists : n);
}

static enum work what_is_due(struct frt_faiss_engine *engine)
{
    struct frt_faiss_view *view = frt_faiss_view_get(engine);
    uint64_t rows = 0, removed = 0, listed = 0, flat_parts = 0;
    bool has_lists = false;
    for (uint32_t i = 0; i < view->n; i++) {
        const struct frt_faiss_part *part = view->parts[i];
        const uint32_t n = atomic_load_explicit(&part->n, memory_order_acquire);
        removed += atomic_load_explicit(&part->n_removed, memory_order_acquire);
        rows += n;
        has_lists = has_lists || part->ivf != NULL;
        listed += part->ivf != NULL ? n : 0;
        flat_parts += part->ivf == NULL;
    }
    frt_faiss_view_release(view);
    (void)pthread_mutex_lock(&engine->view_lock);
    const uint64_t trained_at = engine->trained_at;
    (void)pthread_mutex_unlock(&engine->view_lock);
    const uint64_t ivf_from =
        engine->index.options.ivf_from != 0 ? engine->index.options.ivf_from : FRT_FAISS_IVF_FROM;
    const uint64_t live = rows - removed, new_ones = rows - listed;
    const bool many_removed = removed > FRT_FAISS_BATCH / 4 && removed > rows / 5;
    if (live >= ivf_from && (!has_lists || live >= trained_at * 2 || live < trained_at / 2))
        return TRAIN;
    if (has_lists && live < ivf_from)
        return FLAT;
    if (has_lists && (many_removed || (new_ones >= FRT_FAISS_BATCH && new_ones >= listed / 10)))
        return MERGE;
    return !has_lists && (many_removed || flat_parts > MAX_FLAT_PARTS) ? FLAT : NOTHING;
}

bool frt_faiss_wants_maintenance(struct frt_index *index)
{
    return what_is_due((struct frt_faiss_engine *)(void *)index) != NOTHING;
}

/* ---------------------------------------------------------------- building */

struct build {
    struct frt_faiss_engine *engine;
    const struct frt_faiss_module *module;
    struct frt_faiss_gather gather;
    struct frt_faiss_part *part; /* the new one */
    uint32_t dim, threads, n_lists;
    float *centroids; /* f32[n_lists][dim] */
    uint32_t *lists;  /* [n]: of each row */
    float *batch;     /* f32[FRT_FAISS_BATCH][dim] */
    uint32_t *batch_rows, *batch_lists;
    uint32_t n_batch;
    float *sample;
    uint32_t n_sample, max_sample, stride;
    bool (*stop)(void *arg);
    void *stop_arg;
    bool stopped;
    struct frt_faiss_failure why;
    bool failed;
};

static bool asked_to_stop(struct build *b)
{
    b->stopped = b->stopped || (b->stop != NULL && b->stop(b->stop_arg));
    return b->stopped;
}

static bool take_sample(void *arg, uint32_t row, uint32_t list, const float *vector)
{
    struct build *b = arg;
    (void)list;
    /* every stride-th row: rows are in order of key, which says nothing about faces */
    if (row % b->stride == 0 && b->n_sample < b->max_sample)
        memcpy(b->sample + (size_t)b->n_sample++ * b->dim, vector, b->dim * sizeof *vector);
    return true;
}

static bool flush_batch(struct build *b)
{
    if (b->n_batch == 0)
        return true;
    if (!b->module->ivf_assign(b->part->ivf, b->n_batch, b->batch, b->threads, b->batch_lists, &b->why)) {
        b->failed = true;
        return false;
    }
    for (uint32_t i = 0; i < b->n_batch; i++)
        b->lists[b->batch_rows[i]] = b->batch_lists[i] < b->n_lists ? b->batch_lists[i] : 0;
    b->n_batch = 0;
    return !asked_to_stop(b);
}

static bool assign_one(void *arg, uint32_t row, uint32_t list, const float *vector)
{
    struct build *b = arg;
    if (list != UINT32_MAX) { /* in a list already; only when merging */
        b->lists[row] = list;
        return true;
    }
    memcpy(b->batch + (size_t)b->n_batch * b->dim, vector, b->dim * sizeof *vector);
    b->batch_rows[b->n_batch++] = row;
    return b->n_batch < FRT_FAISS_BATCH || flush_batch(b);
}

static bool assign_anew(void *arg, uint32_t row, uint32_t list, const float *vector)
{
    (void)list;
    return assign_one(arg, row, UINT32_MAX, vector);
}

static bool append_one(void *arg, uint32_t row, uint32_t list, const float *vector)
{
    struct build *b = arg;
    const int64_t id = row;
    (void)list;
    b->failed = !b->module->ivf_append(b->part->ivf, b->lists[row], 1, &id, vector, &b->why);
    return !b->failed && (row % FRT_FAISS_BATCH != 0 || !asked_to_stop(b));
}

static bool copy_one(void *arg, uint32_t row, uint32_t list, const float *vector)
{
    struct build *b = arg;
    (void)list;
    memcpy(b->part->vectors + (size_t)row * b->dim, vector, b->dim * sizeof *vector);
    return row % FRT_FAISS_BATCH != 0 || !asked_to_stop(b);
}

/* Centroids by k-means, one round at a time so that it can be stopped. */
static enum frt_status train(struct build *b, struct frt_error *err)
{
    b->max_sample = b->gather.n / b->n_lists >= SAMPLE_PER_LIST ? b->n_lists * SAMPLE_PER_LIST : b->gather.n;
    b->stride = b->gather.n / b->max_sample;
    size_t floats;
    if (!frt_mul_size(b->max_sample, b->dim, &floats))
        return frt_fail_nomem(err, "training lists");
    b->sample = frt_alloc_array(floats, sizeof *b->sample);
    if (b->sample == NULL)
        return frt_fail_nomem(err, "training lists");
    (void)frt_faiss_gather_visit(&b->gather, take_sample, b);
    for (int round = 0; round < ROUNDS && !asked_to_stop(b); round++) {
        if (!b->module->train(b->dim, b->n_lists, b->n_sample, b->sample, round == 0, b->threads, b->centroids,
                              &b->why))
            return frt_faiss_failed(err, &b->why);
    }
    frt_free(b->sample);
    b->sample = NULL;
    return FRT_OK;
}

static enum frt_status build_lists(struct build *b, enum work work, struct frt_error *err)
{
    uint32_t *sizes = NULL;
    const struct frt_faiss_part *old = NULL;
    enum frt_status status = FRT_OK;
    for (uint32_t i = 0; i < b->gather.view->n; i++)
        old = b->gather.view->parts[i]->ivf != NULL ? b->gather.view->parts[i] : old;
    b->n_lists = work == MERGE ? old->n_lists : count_lists(b->gather.n);
    b->centroids = frt_alloc_array((size_t)b->n_lists * b->dim, sizeof *b->centroids);
    b->lists = frt_alloc_array(b->gather.n, sizeof *b->lists);
    b->batch = frt_alloc_array((size_t)FRT_FAISS_BATCH * b->dim, sizeof *b->batch);
    b->batch_rows = frt_alloc_array(FRT_FAISS_BATCH, sizeof *b->batch_rows);
    b->batch_lists = frt_alloc_array(FRT_FAISS_BATCH, sizeof *b->batch_lists);
    sizes = frt_alloc_zero(b->n_lists, sizeof *sizes);
    if (b->centroids == NULL || b->lists == NULL || b->batch == NULL || b->batch_rows == NULL ||
        b->batch_lists == NULL || sizes == NULL) {
        status = frt_fail_nomem(err, "lists");
        goto done;
    }
    if (work == TRAIN)
        status = train(b, err);
    else
        memcpy(b->centroids, b->module->ivf_centroids(old->ivf),
               (size_t)b->n_lists * b->dim * sizeof *b->centroids);
    if (status != FRT_OK || b->stopped)
        goto done;
    b->failed = !b->module->ivf_new(b->dim, b->n_lists, b->centroids, &b->part->ivf, &b->why);
    if (b->failed)
        goto done;
    b->part->n_lists = b->n_lists;
    if (!frt_faiss_gather_visit(&b->gather, work == MERGE ? assign_one : assign_anew, b) || !flush_batch(b))
        goto done;
    for (uint32_t row = 0; row < b->gather.n; row++)
        sizes[b->lists[row]]++;
    for (uint32_t list = 0; list < b->n_lists && !b->failed; list++)
        b->failed = !b->module->ivf_reserve(b->part->ivf, list, sizes[list], &b->why);
    if (!b->failed && frt_faiss_gather_visit(&b->gather, append_one, b))
        status = frt_faiss_part_list(b->part, err);
done:
    frt_free(sizes);
    return status == FRT_OK && b->failed ? frt_faiss_failed(err, &b->why) : status;
}

/* Share of good hits that the probes miss: some of the vectors themselves, against all lists. */
static double check_loss(struct build *b)
{
    enum { K = 10 };
    float scores[2][K];
    int64_t rows[2][K];
    size_t found = 0, lost = 0;
    const uint32_t step = b->n_lists / CHECKED > 0 ? b->n_lists / CHECKED : 1;
    for (uint32_t list = 0; list < b->n_lists && !asked_to_stop(b); list += step) {
        const int64_t *ids;
        const float *vectors;
        if (b->module->ivf_list(b->part->ivf, list, &ids, &vectors) == 0)
            continue;
        for (int all = 0; all < 2; all++) {
            const struct frt_faiss_search search = {.queries = vectors,
                                                    .n = 1,
                                                    .k = K,
                                                    .dim = b->dim,
                                                    .threads = b->threads,
                                                    .scores = scores[all],
                                                    .rows = rows[all]};
            if (!b->module->ivf_search(b->part->ivf, &search, all ? b->n_lists : frt_faiss_probes(b->n_lists),
                                       &b->why))
                return 0; /* no figure is better than a failed build: the lists are good */
        }
        for (int i = 0; i < K && rows[1][i] >= 0 && scores[1][i] >= check_from; i++) {
            bool there = false;
            if (rows[1][i] == ids[0])
                continue; /* itself */
            for (int j = 0; j < K; j++)
                there = there || rows[0][j] == rows[1][i];
            found++;
            lost += !there;
        }
    }
    return found > 0 ? (double)lost / (double)found : 0;
}

/* The new part in place of the gathered ones. With write_lock. */
static enum frt_status swap(struct build *b, struct frt_error *err)
{
    struct frt_faiss_engine *engine = b->engine;
    const struct frt_faiss_view *now = engine->view, *before = b->gather.view;
    struct frt_faiss_view *view = NULL;
    struct frt_faiss_part **parts = frt_alloc_array((size_t)now->n + 1, sizeof *parts);
    uint32_t n = 0;
    if (parts == NULL)
        return frt_fail_nomem(err, "a view of an index");
    if (b->part->capacity > 0)
        parts[n++] = b->part;
    for (uint32_t i = before->n; i < now->n; i++) /* only appended to since: parts are replaced by us alone */
        parts[n++] = now->parts[i];
    enum frt_status status = frt_faiss_view_new(parts, n, &view, err);
    frt_free(parts);
    if (status != FRT_OK)
        return status;
    for (uint32_t p = 0; p < before->n; p++) {
        const struct frt_faiss_part *part = before->parts[p];
        if (atomic_load_explicit(&part->n_removed, memory_order_acquire) == b->gather.n_before[p])
            continue;
        for (uint32_t row = 0; row < b->gather.counts[p]; row++) {
            const uint32_t new_row = b->gather.rows[p][row];
            if (new_row != UINT32_MAX && frt_faiss_part_removed(part, row))
                frt_faiss_part_remove(b->part, new_row);
        }
    }
    frt_faiss_publish(engine, view);
    return FRT_OK;
}

static void seal_tail(struct frt_faiss_engine *engine)
{
    (void)pthread_mutex_lock(&engine->write_lock);
    if (engine->view->n > 0)
        engine->view->parts[engine->view->n - 1]->sealed = true;
    (void)pthread_mutex_unlock(&engine->write_lock);
}

enum frt_status frt_faiss_maintain(struct frt_index *index, bool (*stop)(void *arg), void *arg,
                                   struct frt_error *err)
{
    struct frt_faiss_engine *engine = (struct frt_faiss_engine *)(void *)index;
    struct frt_faiss_view *view = NULL;
    struct build b = {.engine = engine,
                      .module = engine->module,
                      .dim = index->options.dim,
                      .threads = index->options.threads,
                      .stop = stop,
                      .stop_arg = arg};
    enum frt_status status = FRT_OK;
    double loss = 0;
    (void)pthread_mutex_lock(&engine->maintain_lock);
    enum work work = what_is_due(engine);
    if (work == NOTHING || asked_to_stop(&b))
        goto done;
    seal_tail(engine);
    view = frt_faiss_view_get(engine);
    status = frt_faiss_gather_init(&b.gather, view, b.dim, FRT_FAISS_ALL, err);
    if (status != FRT_OK)
        goto done;
    if (b.gather.n == 0)
        work = FLAT; /* all went meanwhile */
    status = frt_faiss_part_new(engine, b.gather.n, work == FLAT, &b.part, err);
    if (status != FRT_OK)
        goto done;
    memcpy(b.part->keys, b.gather.keys, b.gather.n * sizeof *b.gather.keys);
    memcpy(b.part->groups, b.gather.groups, b.gather.n * sizeof *b.gather.groups);
    b.part->sealed = true;
    atomic_init(&b.part->n, b.gather.n);
    if (work == FLAT)
        (void)frt_faiss_gather_visit(&b.gather, copy_one, &b);
    else
        status = build_lists(&b, work, err);
    if (status != FRT_OK || b.stopped)
        goto done;
    loss = work == FLAT ? 0 : check_loss(&b);
    (void)pthread_mutex_lock(&engine->write_lock);
    status = swap(&b, err);
    (void)pthread_mutex_unlock(&engine->write_lock);
    if (status != FRT_OK)
        goto done;
    (void)pthread_mutex_lock(&engine->view_lock);
    engine->built_loss = loss;
    if (work != MERGE)
        engine->trained_at = work == TRAIN ? b.gather.n : 0;
    (void)pthread_mutex_unlock(&engine->view_lock);
done:
    frt_free(b.centroids);
    frt_free(b.lists);
    frt_free(b.batch);
    frt_free(b.batch_rows);
    frt_free(b.batch_lists);
    frt_free(b.sample);
    frt_faiss_gather_deinit(&b.gather);
    frt_faiss_part_release(b.part); /* the view has its own reference */
    frt_faiss_view_release(view);
    (void)pthread_mutex_unlock(&engine->maintain_lock);
    return status;
}
