#include "engine/gallery_figures.h"

#include "engine/gallery_state.h"

void frt_gallery_figures_get(struct frt_gallery *gallery, struct frt_gallery_figures *out)
{
    const struct frt_store_stats store = frt_store_stats_get(gallery->store);
    const struct gallery_counts *c = &gallery->counts;
    /* relaxed: only counts */
    *out = (struct frt_gallery_figures){
        .store = {.limit = store.limit,
                  .busy = store.busy,
                  .waiting = store.waiting,
                  .refused = store.refused,
                  .reconnects = store.reconnects,
                  .errors = store.errors,
                  .kind = store.kind},
        .index_loads = atomic_load_explicit(&c->loads, memory_order_relaxed),
        .index_builds = atomic_load_explicit(&c->builds, memory_order_relaxed),
        .index_load_ms = (double)atomic_load_explicit(&c->load_us, memory_order_relaxed) / 1000,
        .index_build_ms = (double)atomic_load_explicit(&c->build_us, memory_order_relaxed) / 1000};
    gallery_feed_figures(gallery, &out->feed_connected, &out->behind_s);
}

size_t frt_gallery_cache_stats(struct frt_gallery *gallery, struct frt_cache_stats *out, size_t max)
{
    struct frt_cache *const caches[] = {gallery->indexes, gallery->subjects};
    size_t n = 0;
    for (; n < sizeof caches / sizeof *caches && n < max; n++)
        out[n] = frt_cache_stats_get(caches[n]);
    return n;
}

void frt_gallery_watch_store(struct frt_gallery *gallery, void (*done)(void *arg, double ms), void *arg)
{
    frt_store_watch(gallery->store, done, arg);
}
