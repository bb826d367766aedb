/*
 * Two models over the same faces: who is whose nearest neighbour, and how far mates and strangers lie apart.
 *
 * Probes are faces of people with several, evenly over the collection; where there are none, any faces. All
 * faces stream past the probes, page by page; scores are counted in bins.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "engine/gallery_state.h"
#include "engine/migrate.h"
#include "simd/dot.h"
#include "store/store_migrate.h"

enum { MAX_PROBES = 1000, PAGE = 500, BINS = 8192, LEAST_EVENTS = 10 };
static const double fars[2] = {1e-3, 1e-4};

/* One model's view. */
struct view {
    uint32_t dim;
    float *page;   /* f32[PAGE][dim] */
    float *probes; /* f32[MAX_PROBES][dim] */
    float best[MAX_PROBES];
    uint64_t nearest[MAX_PROBES]; /* whose face that is */
    uint64_t mates[BINS], strangers[BINS];
    uint64_t mates_above;
    float threshold;
};

struct comparing {
    struct frt_gallery *gallery;
    struct frt_store_migration m;
    struct view views[2]; /* present, coming */
    uint64_t keys[PAGE], subjects[PAGE];
    size_t n; /* of the page */
    uint64_t probe_keys[MAX_PROBES], probe_subjects[MAX_PROBES];
    bool has_mates[MAX_PROBES];
    size_t n_probes, taken;
    uint64_t faces, n_mates, n_strangers;
};

struct face {
    uint64_t key, subject;
};

static int by_subject(const void *a, const void *b)
{
    const struct face *x = a, *y = b;
    return x->subject != y->subject ? (x->subject > y->subject) - (x->subject < y->subject)
                                    : (x->key > y->key) - (x->key < y->key);
}

static int by_key(const void *a, const void *b)
{
    const struct face *x = a, *y = b;
    return (x->key > y->key) - (x->key < y->key);
}

/* Every page of the collection, in order of key. */
static enum frt_status each_page(struct comparing *c, enum frt_status (*look)(struct comparing *c, void *arg),
                                 void *arg, struct frt_error *err)
{
    uint64_t after = 0;
    for (;;) {
        enum frt_status status =
            frt_store_migration_pairs(c->gallery->store, &c->m, after, PAGE, c->keys, c->subjects,
                                      c->views[0].page, c->views[1].page, &c->n, err);
        if (status == FRT_OK && c->n > 0)
            status = look(c, arg);
        if (status == FRT_ENOMEM)
            return frt_fail_nomem(err, "a comparison");
        if (status != FRT_OK || c->n < PAGE)
            return status;
        after = c->keys[c->n - 1];
    }
}

struct all {
    struct face *faces;
    size_t n, capacity;
};

static enum frt_status note_all(struct comparing *c, void *arg)
{
    struct all *all = arg;
    if (all->n + c->n > all->capacity) {
        const size_t capacity = 2 * (all->n + c->n);
        struct face *more = frt_realloc(all->faces, capacity * sizeof *more);
        if (more == NULL)
            return FRT_ENOMEM;
        all->faces = more;
        all->capacity = capacity;
    }
    for (size_t i = 0; i < c->n; i++)
        all->faces[all->n++] = (struct face){c->keys[i], c->subjects[i]};
    return FRT_OK;
}

static void choose_probes(struct comparing *c, struct all *all)
{
    size_t with = 0;
    qsort(all->faces, all->n, sizeof *all->faces, by_subject);
    c->faces = all->n;
    for (size_t i = 0; i < all->n; i++) /* those with mates to the front */
        if ((i > 0 && all->faces[i - 1].subject == all->faces[i].subject) ||
            (i + 1 < all->n && all->faces[i + 1].subject == all->faces[i].subject))
            with++;
    const size_t from = with > 0 ? with : all->n, step = from > MAX_PROBES ? from / MAX_PROBES : 1;
    struct face *chosen = all->faces; /* in place: never ahead of what is read */
    size_t n = 0, seen = 0;
    uint64_t last = 0;
    for (size_t i = 0; i < all->n && n < MAX_PROBES; i++) {
        const uint64_t subject = all->faces[i].subject;
        const bool mates =
            (i > 0 && last == subject) || (i + 1 < all->n && all->faces[i + 1].subject == subject);
        last = subject;
        if ((with == 0 || mates) && seen++ % step == 0)
            chosen[n++] = all->faces[i];
    }
    qsort(chosen, n, sizeof *chosen, by_key);
    for (size_t i = 0; i < n; i++) {
        c->probe_keys[i] = chosen[i].key;
        c->probe_subjects[i] = chosen[i].subject;
        c->has_mates[i] = with > 0;
    }
    c->n_probes = n;
}

static enum frt_status take_probes(struct comparing *c, void *arg)
{
    (void)arg;
    for (size_t i = 0; i < c->n && c->taken < c->n_probes; i++) {
        if (c->keys[i] != c->probe_keys[c->taken])
            continue;
        for (size_t v = 0; v < 2; v++)
            memcpy(c->views[v].probes + c->taken * c->views[v].dim, c->views[v].page + i * c->views[v].dim,
                   c->views[v].dim * sizeof(float));
        c->taken++;
    }
    return FRT_OK;
}

static size_t bin_of(float score)
{
    const double at = ((double)score + 1) / 2 * BINS;
    return at < 0 ? 0 : at >= BINS ? BINS - 1 : (size_t)at;
}

static enum frt_status score_page(struct comparing *c, void *arg)
{
    (void)arg;
    for (size_t p = 0; p < c->taken; p++) {
        for (size_t i = 0; i < c->n; i++) {
            if (c->keys[i] == c->probe_keys[p])
                continue;
            const bool mate = c->subjects[i] == c->probe_subjects[p];
            c->n_mates += mate;
            c->n_strangers += !mate;
            for (size_t v = 0; v < 2; v++) {
                struct view *view = &c->views[v];
                const float score =
                    frt_dot_f32(view->probes + p * view->dim, view->page + i * view->dim, view->dim);
                (mate ? view->mates : view->strangers)[bin_of(score)]++;
                view->mates_above += mate && score >= view->threshold;
                if (score > view->best[p]) {
                    view->best[p] = score;
                    view->nearest[p] = c->subjects[i];
                }
            }
        }
    }
    return FRT_OK;
}

/* Share of mates above the lowest bin that lets at most `far` of the strangers pass. */
static double tar_at(const struct view *view, uint64_t mates, uint64_t strangers, double far)
{
    uint64_t passed = 0, accepted = 0;
    if (mates == 0 || (double)strangers * far < LEAST_EVENTS)
        return (double)NAN;
    for (size_t bin = BINS; bin-- > 0;) {
        passed += view->strangers[bin];
        if ((double)passed > far * (double)strangers)
            break;
        accepted += view->mates[bin];
    }
    return (double)accepted / (double)mates;
}

static void tell_side(const struct comparing *c, const struct view *view, struct frt_migrate_side *out)
{
    uint64_t with = 0, right = 0;
    for (size_t p = 0; p < c->taken; p++) {
        with += c->has_mates[p];
        right += c->has_mates[p] && view->nearest[p] == c->probe_subjects[p];
    }
    out->rank1 = with > 0 ? (double)right / (double)with : (double)NAN;
    for (size_t i = 0; i < 2; i++)
        out->tar[i] = tar_at(view, c->n_mates, c->n_strangers, fars[i]);
    out->threshold = view->threshold;
    out->mates_above = isnan(view->threshold) || c->n_mates == 0
                           ? (double)NAN
                           : (double)view->mates_above / (double)c->n_mates;
}

static void tell(const struct comparing *c, struct frt_migrate_report *out)
{
    uint64_t agreed = 0;
    *out = (struct frt_migrate_report){.faces = c->faces,
                                       .probes = c->taken,
                                       .mates = c->n_mates,
                                       .strangers = c->n_strangers,
                                       .agreement = (double)NAN};
    for (size_t p = 0; p < c->taken; p++) {
        agreed += c->views[0].nearest[p] == c->views[1].nearest[p];
        out->probes_with_mates += c->has_mates[p];
    }
    if (c->taken > 0 && c->faces > 1)
        out->agreement = (double)agreed / (double)c->taken;
    tell_side(c, &c->views[0], &out->before);
    tell_side(c, &c->views[1], &out->after);
}

enum frt_status frt_migrate_compare(struct frt_gallery *gallery, const char *collection, float before,
                                    float after, struct frt_migrate_report *out, struct frt_error *err)
{
    struct comparing *c = frt_alloc_zero(1, sizeof *c);
    struct all all = {0};
    enum frt_status status = FRT_OK;
    if (c == NULL)
        return frt_fail_nomem(err, "a comparison");
    c->gallery = gallery;
    status = frt_store_migration_get(gallery->store, collection, &c->m, err);
    c->views[0].threshold = before;
    c->views[1].threshold = after;
    c->views[0].dim = c->m.dim;
    c->views[1].dim = c->m.coming_dim;
    if (status == FRT_OK && c->m.coming == 0) {
        tell(c, out);
        goto done;
    }
    for (size_t v = 0; v < 2 && status == FRT_OK; v++) {
        struct view *view = &c->views[v];
        view->page = frt_alloc_array(PAGE, view->dim * sizeof(float));
        view->probes = frt_alloc_array(MAX_PROBES, view->dim * sizeof(float));
        for (size_t p = 0; p < MAX_PROBES; p++)
            view->best[p] = -2;
        if (view->page == NULL || view->probes == NULL)
            status = frt_fail_nomem(err, "a comparison");
    }
    if (status == FRT_OK)
        status = each_page(c, note_all, &all, err);
    if (status == FRT_OK) {
        choose_probes(c, &all);
        status = each_page(c, take_probes, NULL, err);
    }
    if (status == FRT_OK)
        status = each_page(c, score_page, NULL, err);
    if (status == FRT_OK)
        tell(c, out);
done:
    for (size_t v = 0; v < 2; v++) {
        frt_free(c->views[v].page);
        frt_free(c->views[v].probes);
    }
    frt_free(all.faces);
    frt_free(c);
    return status;
}
