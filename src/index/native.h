/*
 * The native engine: exhaustive scan of compact codes with a re-rank, lists where they are proven harmless.
 *
 *     index ─ view (immutable list of segments) ─┬─ base: from a snapshot or a merge; may have lists
 *                                                ├─ …
 *                                                └─ tail: appended to
 *
 * A search takes a reference to the current view and never waits. A writer appends to the tail and publishes
 * its count, or publishes a new view; the old one goes with its last reader. Removing sets a bit.
 *
 * Locks, in the order in which they are taken:
 *     maintain_lock   one maintenance, save or rebuild at a time
 *     write_lock      add, remove, and the moment at which maintenance swaps segments
 *     view_lock       the pointer to the view, for a few instructions; a leaf
 *
 * Files: native.c (life, add, remove), native_search.c, native_maintain.c (reclaim, lists), native_file.c
 * (snapshot).
 */
#ifndef FRT_INDEX_NATIVE_H
#define FRT_INDEX_NATIVE_H

#include <pthread.h>

#include "index/index_engine.h"
#include "index/search_team.h"
#include "index/segment.h"

enum {
    FRT_NATIVE_MAX_SEGMENTS = 4096,
    FRT_NATIVE_SEGMENT_MIN = 1024, /* vectors of the first tail; each further one is twice as large, up to */
    FRT_NATIVE_SEGMENT_MAX = 65536
};

struct frt_view {
    atomic_uint refs;
    uint32_t n;
    struct frt_segment *segments[]; /* oldest first; the last is the tail; references */
};

struct frt_native {
    struct frt_index index; /* first: see index_engine.h */
    struct frt_encoder encoder;
    struct frt_search_team *team; /* NULL = searches use one thread */
    struct frt_mirror *mirror;    /* rows on a device (gpu_mirror.h); NULL = none is wanted */

    pthread_mutex_t maintain_lock, write_lock, view_lock;
    struct frt_view *view; /* guarded by view_lock; replaced only with write_lock */
    float *scratch;        /* f32[dim], the writer's */
    uint64_t max_key;      /* greatest ever added; the writer's */

    /* lists; guarded by view_lock */
    uint32_t probes;
    double built_loss;
    uint64_t trained_at; /* vectors when lists were last tried; 0 = never */
};

/** The current view, with a reference of the caller's. */
struct frt_view *frt_native_view(struct frt_native *native);
void frt_view_release(struct frt_view *view);
/** A view of segments; each gets a further reference. */
FRT_NODISCARD enum frt_status frt_view_new(struct frt_segment *const *segments, uint32_t n,
                                           struct frt_view **out, struct frt_error *err);
/** Make `view` the current one. CONSUMES view. With write_lock. */
void frt_native_publish(struct frt_native *native, struct frt_view *view);
/** An engine without vectors. */
FRT_NODISCARD enum frt_status frt_native_make(const struct frt_index_options *options, struct frt_native **out,
                                              struct frt_error *err);

enum frt_status frt_native_search(struct frt_index *index, const struct frt_index_query *query,
                                  struct frt_index_hit *hits, size_t *n_hits, struct frt_error *err);
bool frt_native_wants_maintenance(struct frt_index *index);
enum frt_status frt_native_maintain(struct frt_index *index, bool (*stop)(void *arg), void *arg,
                                    struct frt_error *err);
enum frt_status frt_native_save(struct frt_index *index, const char *path, const struct frt_index_tag *tag,
                                struct frt_error *err);
enum frt_status frt_native_load(const struct frt_index_options *options, const char *path,
                                struct frt_index_tag *tag, struct frt_index **out, struct frt_error *err);

#endif
