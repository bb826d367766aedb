/*
 * Inside of gpu_search.h: the device of the process, and the mirror of an index.
 *
 *     corpus ── ranges ── positions base .. base + capacity: one segment;  uploaded: how many of its rows are
 * there
 *
 * Ranges are only appended. One whose segment has left the index is dead: it has no segment any more, and what
 * is found there is passed over. When a quarter of a corpus is dead, it is begun anew; searches are the
 * processor's until that is done.
 *
 * Generations: a device that failed is opened anew under the next number, and a corpus of another generation
 * than the device's is not searched. The device is closed when its last corpus has gone, and that goes with the
 * last search.
 *
 * Threading: internally locked. Locks, all leaves, never held together nor with another of this room:
 *     gpu.lock      the device's state, the list of mirrors, the counters
 *     mirror.lock   the pointer to the corpus
 * Files: gpu_loader.c (the plug-in), gpu_search.c (device, uploader), gpu_mirror.c (what is on the device),
 * native_gpu.c (searches).
 */
#ifndef FRT_INDEX_GPU_MIRROR_H
#define FRT_INDEX_GPU_MIRROR_H

#include <stdatomic.h>

#include "index/gpu_plugin.h"
#include "index/gpu_search.h"
#include "index/native.h"

/** An opened device. Reference-counted; the last one closes it. */
struct frt_gpu_device_ref {
    atomic_uint refs;
    const struct frt_gpu_module *module;
    struct frt_gpu_device *handle;
    uint64_t generation;
};
void frt_gpu_device_release(struct frt_gpu_device_ref *device);

struct frt_gpu_range {
    _Atomic(struct frt_segment *) segment; /* a reference of the uploader's; NULL = dead */
    uint32_t base, capacity;
    atomic_uint uploaded;
    /* the uploader's */
    uint32_t buried;
    uint64_t *shadow; /* [capacity / 64 + 1]: removed, as the device has it */
};

enum { FRT_GPU_MAX_RANGES = 2 * FRT_NATIVE_MAX_SEGMENTS };

/** Reference-counted; but for the atomics only the uploader changes anything. */
struct frt_gpu_corpus_ref {
    atomic_uint refs;
    struct frt_gpu_device_ref *device; /* a reference */
    struct frt_gpu_corpus *handle;
    atomic_uint n_ranges; /* published */
    struct frt_gpu_range *ranges[FRT_GPU_MAX_RANGES];
    uint64_t slab_bytes;
    uint32_t n_positions, dead_positions, slab_rows, n_slabs;
};

struct frt_mirror {
    struct frt_native *native; /* borrowed */
    struct frt_mirror *next;   /* gpu.lock */
    pthread_mutex_t lock;
    struct frt_gpu_corpus_ref *corpus; /* mirror.lock; a reference; changed by the uploader only */
    atomic_int_fast64_t used_ns;       /* of the last search; 0 = never */
    atomic_uint_fast64_t bytes;        /* on the device; 0 = nothing; set by the uploader */
    /* the uploader's */
    int64_t refused_until_ns; /* it did not fit */
    bool told;                /* … and the log has it */
};

/* ------------------------------------------------- gpu_search.c, for others */

/** Settings with the defaults filled in. */
const struct frt_gpu_search_settings *frt_gpu_settings(void);
/** The device as it stands, with a reference; NULL = down or absent. */
struct frt_gpu_device_ref *frt_gpu_device_get(void);
/** It failed: with what result, in whose words. Said once; mirrors of its generation go. */
void frt_gpu_device_failed(const struct frt_gpu_device_ref *device, const char *what);
uint64_t frt_gpu_memory_limit(void);

/* The uploader's: bytes of all mirrors; and the one with some that was used longest ago (NULL = none), which
 * stays until frt_gpu_least_used_done. */
uint64_t frt_gpu_memory_used(void);
struct frt_mirror *frt_gpu_least_used(const struct frt_mirror *other_than);
void frt_gpu_least_used_done(bool evicted);
void frt_gpu_count_upload(uint64_t bytes);

/** The plug-in, once for the process (gpu_loader.c). path  "" = look for it. Errors: FRT_EUNAVAILABLE. */
FRT_NODISCARD enum frt_status frt_gpu_plugin_load(const char *path, const struct frt_gpu_module **out,
                                                  struct frt_error *err);

/* --------------------------------------------------------- of one mirror */

/** Errors: FRT_ENOMEM. native outlives it. Without a plug-in there is one all the same, which never has
 * anything. */
FRT_NODISCARD enum frt_status frt_mirror_new(struct frt_native *native, struct frt_mirror **out,
                                             struct frt_error *err);
/** No search runs. NULL is fine. */
void frt_mirror_free(struct frt_mirror *mirror);

/** What there is on the device, with a reference; NULL = nothing, now. Counts as a use. */
struct frt_gpu_corpus_ref *frt_mirror_begin(struct frt_mirror *mirror);
/** NULL is fine. */
void frt_gpu_corpus_release(struct frt_gpu_corpus_ref *corpus);

/** What of a view is on the device. */
struct frt_mirror_cover {
    const struct frt_view *view;
    const uint32_t *counts; /* [view->n] of its segments' vectors */
    uint32_t *covered;      /* out [view->n]: all of them, or a multiple of FRT_CODE_BLOCK */
    uint32_t *view_of;      /* out [n_ranges]: the segment of each range; UINT32_MAX = none of this view */
    uint32_t n_ranges;      /* read before */
    uint32_t n_positions;   /* out: what to search */
};
/** False: so little that the processor is better. */
bool frt_mirror_cover(struct frt_gpu_corpus_ref *corpus, struct frt_mirror_cover *cover);
/** Let the device search. False: it did not; what is to be done about it has been done. */
bool frt_mirror_search(struct frt_gpu_corpus_ref *corpus, struct frt_gpu_search *search);
/** What came of the device is not so: it is not asked again for a while. */
void frt_mirror_distrust(const struct frt_gpu_corpus_ref *corpus, const char *what);
/** A search has had what it wanted of the device. uncertain: queries it has to do again. */
void frt_mirror_count(uint32_t uncertain);

/** The uploader's: one slice of what is to be done. True: there is more to do now. (gpu_mirror.c) */
bool frt_mirror_step(struct frt_mirror *mirror);
/** Take away what it has on the device. The uploader's. */
void frt_mirror_drop(struct frt_mirror *mirror);

#endif
