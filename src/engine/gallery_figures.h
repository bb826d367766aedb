/*
 * What a gallery's owner watches: its store and the indexes it made. Threading: internally locked, but for
 * frt_gallery_watch_store, which comes before other calls.
 */
#ifndef FRT_ENGINE_GALLERY_FIGURES_H
#define FRT_ENGINE_GALLERY_FIGURES_H

#include "cache/cache.h"
#include "frt/gallery.h"

struct frt_gallery_figures {
    struct {
        uint32_t limit, busy, waiting; /* connections: there may be, in use, and who waits for one */
        uint64_t refused;              /* gave up waiting */
        uint64_t reconnects, errors;   /* connections to a server lost; calls that failed by the database */
        const char *kind;              /* "sqlite", "postgresql" */
    } store;
    /* indexes since start: mapped from a snapshot; built from the store's rows */
    uint64_t index_loads, index_builds;
    double index_load_ms, index_build_ms; /* in all */
    bool feed_connected;                  /* changes of the store are heard of */
    double behind_s;                      /* since when indexes did not follow all of them; 0 = they do */
};
void frt_gallery_figures_get(struct frt_gallery *gallery, struct frt_gallery_figures *out);

/** Figures of its caches, "index" first, then "subject": fills out[0..max), returns how many. */
size_t frt_gallery_cache_stats(struct frt_gallery *gallery, struct frt_cache_stats *out, size_t max);

/** `done` hears what each read or write of the store took, on the thread that did it. */
void frt_gallery_watch_store(struct frt_gallery *gallery, void (*done)(void *arg, double ms), void *arg);

#endif
