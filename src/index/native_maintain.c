/*
 * Upkeep of the native engine: space of removed vectors is reclaimed, lists are trained.
 *
 *     take what lies still (the tail is closed, a new one begun) ─ build new segments from it, without a lock
 *         ─ with write_lock: bring over what was removed meanwhile, put the new segments in the place of the
 * old
 *
 * Lists are tried when there are enough vectors for the first time, and again when their number has doubled or
 * a third of the vectors came after the training. Where the check of lists.h finds that they would lose people
 * or save little, there are none, and the index stays an exhaustive one.
 */
#include <string.h>

#include "core/mem.h"
#include "index/lists.h"
#include "index/native.h"

enum {
    LISTS_FROM = 400000, /* vectors: below, an exhaustive search takes a millisecond or two */
    RECLAIM_LEAST = 256  /* removed vectors in a segment that are worth a copy */
};

static bool worth_reclaiming(const struct frt_segment *s)
{
    const uint32_t removed = atomic_load_explicit(&s->n_removed, memory_order_relaxed);
    return s->n_lists == 0 && removed >= RECLAIM_LEAST && removed > frt_segment_count(s) / 4;
}

static bool lists_due(struct frt_native *native, const struct frt_view *view)
{
    const uint64_t from = native->index.options.ivf_from == 0 ? LISTS_FROM : native->index.options.ivf_from;
    uint64_t live = 0, listed = 0, removed = 0;
    for (uint32_t i = 0; i < view->n; i++) {
        const uint32_t n = frt_segment_live(view->segments[i]);
        live += n;
        listed += view->segments[i]->n_lists > 0 ? n : 0;
        removed += view->segments[i]->n_lists > 0
                       ? atomic_load_explicit(&view->segments[i]->n_removed, memory_order_relaxed)
                       : 0;
    }
    (void)pthread_mutex_lock(&native->view_lock);
    const uint64_t trained_at = native->trained_at;
    (void)pthread_mutex_unlock(&native->view_lock);
    if (live < from)
        return removed > listed / 4 + RECLAIM_LEAST; /* what is left of lists needs none any more */
    return trained_at == 0 || live >= 2 * trained_at ||
           (listed > 0 && (live - listed > live / 3 || removed > listed / 4 + RECLAIM_LEAST));
}

bool frt_native_wants_maintenance(struct frt_index *index)
{
    struct frt_native *native = (struct frt_native *)(void *)index;
    struct frt_view *view = frt_native_view(native);
    bool wants = lists_due(native, view);
    for (uint32_t i = 0; i < view->n && !wants; i++)
        wants = worth_reclaiming(view->segments[i]);
    frt_view_release(view);
    return wants;
}

/* ------------------------------------------------------------------- build */

/* Old places in their new order, and the segments made of them. */
struct building {
    struct frt_native *native;
    struct frt_view *view;   /* what it is made of, a reference */
    bool *taken;             /* [view->n]: this segment is replaced */
    struct frt_place *order; /* [n]; segment NULL = a gap */
    uint32_t n;
    struct frt_segment *made[FRT_NATIVE_MAX_SEGMENTS];
    uint32_t n_made;
};

static void building_deinit(struct building *b)
{
    for (uint32_t i = 0; i < b->n_made; i++)
        frt_segment_release(b->made[i]);
    frt_view_release(b->view);
    frt_free(b->taken);
    frt_free(b->order);
}

/* Close the tail, so that everything in the view lies still but for its removals. */
static enum frt_status begin(struct frt_native *native, struct building *b, struct frt_error *err)
{
    *b = (struct building){.native = native};
    (void)pthread_mutex_lock(&native->write_lock);
    for (uint32_t i = 0; i < native->view->n; i++)
        native->view->segments[i]->sealed = true;
    (void)pthread_mutex_unlock(&native->write_lock);
    b->view = frt_native_view(native);
    b->taken = frt_alloc_zero(b->view->n + 1, sizeof *b->taken);
    return b->taken == NULL ? frt_fail_nomem(err, "an index") : FRT_OK;
}

/* Places of the live vectors of the segments taken. */
static enum frt_status gather(struct building *b, struct frt_error *err)
{
    uint64_t total = 0;
    for (uint32_t s = 0; s < b->view->n; s++)
        total += b->taken[s] ? frt_segment_count(b->view->segments[s]) : 0;
    if (total > UINT32_MAX / 4)
        return frt_fail(err, FRT_ENOMEM, "too many vectors for one part of an index");
    b->order = frt_alloc_array((size_t)total + 1, sizeof *b->order);
    if (b->order == NULL)
        return frt_fail_nomem(err, "an index");
    for (uint32_t s = 0; s < b->view->n; s++) {
        const struct frt_segment *segment = b->view->segments[s];
        const uint32_t n = b->taken[s] ? frt_segment_count(segment) : 0;
        for (uint32_t at = 0; at < n; at++) {
            if (!frt_segment_is_removed(segment, at))
                b->order[b->n++] = (struct frt_place){segment, at};
        }
    }
    return FRT_OK;
}

static enum frt_status copy_run(struct building *b, uint32_t first, uint32_t n, uint32_t n_lists,
                                struct frt_error *err)
{
    const struct frt_encoder *encoder = &b->native->encoder;
    struct frt_segment *segment = NULL;
    uint64_t last = 0;
    bool ascending = true;
    for (uint32_t i = first; i < first + n; i++) {
        const uint64_t key = b->order[i].segment != NULL ? b->order[i].segment->keys[b->order[i].at] : 0;
        ascending = ascending && key > last;
        last = key;
    }
    enum frt_status status = frt_segment_new(encoder, n, n_lists, !ascending, &segment, err);
    if (status != FRT_OK)
        return status;
    for (uint32_t i = 0; i < n; i++) {
        const struct frt_place *p = &b->order[first + i];
        if (p->segment != NULL)
            frt_segment_copy(segment, encoder, i, p->segment, p->at);
        else
            frt_segment_gap(segment, encoder, i);
    }
    segment->sealed = true;
    frt_segment_publish(segment, n);
    if (segment->order != NULL)
        frt_segment_sort(segment);
    b->made[b->n_made++] = segment;
    return FRT_OK;
}

/* Put what was made in the place of what was taken. Removals that came meanwhile are brought over with the lock
 * that stops further ones. */
static enum frt_status finish(struct building *b, struct frt_error *err)
{
    struct frt_native *native = b->native;
    struct frt_segment **segments = frt_alloc_array(FRT_NATIVE_MAX_SEGMENTS, sizeof *segments);
    struct frt_view *view = NULL;
    uint32_t n = 0, run = 0, at = 0;
    if (segments == NULL)
        return frt_fail_nomem(err, "an index");
    (void)pthread_mutex_lock(&native->write_lock);
    for (uint32_t i = 0; i < b->n_made; i++)
        segments[n++] = b->made[i];
    for (uint32_t i = 0; i < native->view->n && n < FRT_NATIVE_MAX_SEGMENTS; i++) {
        /* the view's first segments are those of b->view: writers only append to the list */
        if (i >= b->view->n || !b->taken[i])
            segments[n++] = native->view->segments[i];
    }
    enum frt_status status = frt_view_new(segments, n, &view, err);
    for (uint32_t i = 0; i < b->n && status == FRT_OK; i++) {
        if (at == frt_segment_count(b->made[run])) {
            run++;
            at = 0;
        }
        if (b->order[i].segment != NULL && frt_segment_is_removed(b->order[i].segment, b->order[i].at))
            (void)frt_segment_remove(b->made[run], at);
        at++;
    }
    if (status == FRT_OK)
        frt_native_publish(native, view);
    (void)pthread_mutex_unlock(&native->write_lock);
    frt_free(segments);
    return status;
}

/* ----------------------------------------------------------------- reclaim */

static enum frt_status reclaim(struct frt_native *native, struct frt_error *err)
{
    struct building b;
    bool any = false;
    enum frt_status status = begin(native, &b, err);
    for (uint32_t s = 0; status == FRT_OK && s < b.view->n; s++) {
        b.taken[s] = worth_reclaiming(b.view->segments[s]);
        any = any || b.taken[s];
    }
    for (uint32_t s = 0; status == FRT_OK && any && s < b.view->n; s++) /* small neighbours come along */
        b.taken[s] = b.taken[s] || (b.view->segments[s]->n_lists == 0 &&
                                    frt_segment_count(b.view->segments[s]) < FRT_NATIVE_SEGMENT_MAX / 4);
    if (status == FRT_OK && any)
        status = gather(&b, err);
    for (uint32_t first = 0; status == FRT_OK && any && first < b.n; first += FRT_NATIVE_SEGMENT_MAX)
        status = copy_run(&b, first,
                          b.n - first < FRT_NATIVE_SEGMENT_MAX ? b.n - first : FRT_NATIVE_SEGMENT_MAX, 0, err);
    if (status == FRT_OK && any)
        status = finish(&b, err);
    building_deinit(&b);
    return status;
}

/* ------------------------------------------------------------------- lists */

/* Order places by list, each list beginning at a whole block. first [lists->n + 1]: where lists begin. */
static enum frt_status by_list(struct building *b, const struct frt_lists *lists, uint32_t *first,
                               struct frt_error *err)
{
    struct frt_place *ordered = NULL;
    uint64_t total = 0;
    memset(first, 0, ((size_t)lists->n + 1) * sizeof *first);
    for (uint32_t i = 0; i < b->n; i++)
        first[lists->list_of[i] + 1]++;
    for (uint32_t l = 1; l <= lists->n; l++) {
        const uint32_t rounded = (first[l] + FRT_CODE_BLOCK - 1) / FRT_CODE_BLOCK * FRT_CODE_BLOCK;
        total += rounded;
        first[l] = first[l - 1] + rounded;
    }
    uint32_t *next = frt_alloc_array((size_t)lists->n + 1, sizeof *next);
    ordered = frt_alloc_zero((size_t)total + 1, sizeof *ordered);
    if (ordered == NULL || next == NULL) {
        frt_free(ordered);
        frt_free(next);
        return frt_fail_nomem(err, "lists");
    }
    memcpy(next, first, ((size_t)lists->n + 1) * sizeof *next);
    for (uint32_t i = 0; i < b->n; i++)
        ordered[next[lists->list_of[i]]++] = b->order[i];
    frt_free(next);
    frt_free(b->order);
    b->order = ordered;
    b->n = (uint32_t)total;
    return FRT_OK;
}

static void write_centroids(const struct frt_encoder *encoder, const struct frt_lists *lists,
                            struct frt_segment *s)
{
    for (uint32_t l = 0; l < lists->n; l++)
        s->centroid_scales[l] = frt_encoder_row(encoder, lists->centroids + (size_t)l * encoder->dim,
                                                s->centroids + (size_t)l * encoder->row_bytes);
}

static enum frt_status train(struct frt_native *native, bool (*stop)(void *arg), void *arg,
                             struct frt_error *err)
{
    struct building b;
    struct frt_lists lists = {0};
    uint32_t *first = NULL, live = 0;
    bool listed = false;
    enum frt_status status = begin(native, &b, err);
    for (uint32_t s = 0; status == FRT_OK && s < b.view->n; s++) {
        b.taken[s] = true;
        listed = listed || b.view->segments[s]->n_lists > 0;
    }
    if (status == FRT_OK)
        status = gather(&b, err);
    live = b.n;
    if (status == FRT_OK)
        status = frt_lists_train(native, b.order, b.n, stop, arg, &lists, err);
    if (status == FRT_OK && lists.n > 0) {
        first = frt_alloc_array((size_t)lists.n + 1, sizeof *first);
        status = first == NULL ? frt_fail_nomem(err, "lists") : by_list(&b, &lists, first, err);
        if (status == FRT_OK)
            status = copy_run(&b, 0, b.n, lists.n, err);
        if (status == FRT_OK && first != NULL) {
            memcpy(b.made[0]->list_first, first, ((size_t)lists.n + 1) * sizeof *first);
            write_centroids(&native->encoder, &lists, b.made[0]);
            status = finish(&b, err);
        }
    } else if (status == FRT_OK && listed) {
        /* lists that were fine once are not any more: an exhaustive index again */
        for (uint32_t at = 0; status == FRT_OK && at < b.n; at += FRT_NATIVE_SEGMENT_MAX)
            status =
                copy_run(&b, at, b.n - at < FRT_NATIVE_SEGMENT_MAX ? b.n - at : FRT_NATIVE_SEGMENT_MAX, 0, err);
        if (status == FRT_OK)
            status = finish(&b, err);
    }
    if (status == FRT_OK) {
        (void)pthread_mutex_lock(&native->view_lock);
        native->trained_at = live;
        native->probes = lists.n > 0 ? lists.probes : 0;
        native->built_loss = lists.n > 0 ? lists.loss : 0;
        (void)pthread_mutex_unlock(&native->view_lock);
    }
    frt_lists_deinit(&lists);
    frt_free(first);
    building_deinit(&b);
    return status;
}

enum frt_status frt_native_maintain(struct frt_index *index, bool (*stop)(void *arg), void *arg,
                                    struct frt_error *err)
{
    struct frt_native *native = (struct frt_native *)(void *)index;
    enum frt_status status = FRT_OK;
    (void)pthread_mutex_lock(&native->maintain_lock);
    struct frt_view *view = frt_native_view(native);
    const bool lists = lists_due(native, view);
    bool removed = false;
    for (uint32_t i = 0; i < view->n; i++)
        removed = removed || worth_reclaiming(view->segments[i]);
    frt_view_release(view);
    if (lists)
        status = train(native, stop, arg, err);
    else if (removed)
        status = reclaim(native, err);
    (void)pthread_mutex_unlock(&native->maintain_lock);
    return status == FRT_ECANCELLED ? FRT_OK : status;
}
