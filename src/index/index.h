/*
 * The vector index: keys and unit vectors in, the most similar ones out. Derived from the store, never the
 * truth.
 *
 *     frt_index_* ── checks arguments ── struct frt_index_ops ──┬── index_native.c   codes, re-rank, IVF
 *                                                               └── FAISS, a plug-in loaded at run time
 *
 * An index knows nothing of collections or subjects: a vector has a key (of the face) and a group (of the
 * subject), both numbers of the store.
 *
 * Threading: internally locked. Searches run side by side and never wait for a writer; add, remove, maintain
 * and save take turns among themselves. A vector is found by every search that begins after its add returned,
 * and by none that begins after its remove returned.
 */
#ifndef FRT_INDEX_INDEX_H
#define FRT_INDEX_INDEX_H

#include "core/status.h"

struct frt_index;

enum { FRT_INDEX_MAX_K = 4096, FRT_INDEX_MAX_QUERIES = 256, FRT_INDEX_MAX_THREADS = 64 };

/* cuda: native, with a copy of its rows on a GPU where there is one (gpu_search.h); the same snapshots */
enum frt_index_engine { FRT_INDEX_NATIVE = 0, FRT_INDEX_FAISS, FRT_INDEX_CUDA };

struct frt_index_options {
    enum frt_index_engine engine;
    uint32_t dim;     /* 8..FRT_MAX_DIM */
    uint32_t threads; /* one search may use; 0 = the cores of the process */
    /* From how many vectors on lists are tried; 0 = the engine's own threshold; UINT64_MAX = never. */
    uint64_t ivf_from;
};

/** An empty index. Errors: FRT_EINVAL, FRT_ENOMEM, FRT_EUNAVAILABLE (the engine is not in this build: what to
 *  install). */
FRT_NODISCARD enum frt_status frt_index_new(const struct frt_index_options *options, struct frt_index **out,
                                            struct frt_error *err);
/** No other call may run. NULL is fine. */
void frt_index_free(struct frt_index *index);

/**
 * Add vectors.
 *
 * keys     u64[n], none of them in the index, not 0.
 * groups   u32[n].
 * vectors  f32[n][dim], L2-normalised (|norm - 1| <= 1e-3), borrowed for the call.
 * Errors: FRT_EINVAL (a vector that is not finite or not normalised, a key that stands already or is 0: nothing
 * was added), FRT_ENOMEM (nothing was added).
 */
FRT_NODISCARD enum frt_status frt_index_add(struct frt_index *index, size_t n, const uint64_t *keys,
                                            const uint32_t *groups, const float *vectors,
                                            struct frt_error *err);
/** Remove by key; keys that are not there are passed over. removed: out, may be NULL. */
FRT_NODISCARD enum frt_status frt_index_remove(struct frt_index *index, size_t n, const uint64_t *keys,
                                               size_t *removed, struct frt_error *err);

struct frt_index_hit {
    uint64_t key;
    uint32_t group;
    float score; /* cosine, within frt_index_stats.score_error of the exact one (nearly always) */
};

struct frt_index_query {
    const float *vectors; /* f32[n][dim], L2-normalised, borrowed for the call */
    size_t n;             /* 1..FRT_INDEX_MAX_QUERIES */
    uint32_t k;           /* 1..FRT_INDEX_MAX_K: most hits of each */
    float
        min_score; /* hits below may be left out: the higher, the cheaper; -1 = the k best, whatever they are */
    bool exhaustive; /* score every vector finely, without lists or first pass: for self-checks */
    bool one_thread; /* do not spread one search over cores */
};

/**
 * The most similar vectors of each query.
 *
 * hits    out [n][k]: of query i from hits[i * k], best first; ties in order of key.
 * n_hits  out [n]: how many.
 * Errors: FRT_EINVAL (k, n, a query that is not finite or not normalised), FRT_ENOMEM. Outputs untouched.
 * Cost: one pass over the codes for all queries together, and a re-rank.
 */
FRT_NODISCARD enum frt_status frt_index_search(struct frt_index *index, const struct frt_index_query *query,
                                               struct frt_index_hit *hits, size_t *n_hits,
                                               struct frt_error *err);

struct frt_index_stats {
    const char *engine;     /* "native", "faiss", "cuda"; static */
    const char *kind;       /* "exact" (every vector is looked at) or "ivf"; static */
    uint64_t vectors;       /* those that searches find */
    uint64_t removed;       /* those whose space has not been reclaimed yet */
    uint64_t bytes;         /* memory, mapped snapshot included */
    uint32_t lists, probes; /* IVF: lists, and how many a search looks into; 0 otherwise */
    float score_error;      /* see frt_index_hit; 0 = exact to float rounding */
    double built_loss;      /* IVF: share of hits that the last build's own check lost; 0 otherwise */
};
struct frt_index_stats frt_index_stats_get(struct frt_index *index);

/**
 * Do what is due in the background: reclaim space, train lists, merge. Returns when it is done; searches and
 * (but for short moments) writers go on meanwhile. stop  asked now and then; true ends the work early, leaving
 * a good index. NULL = never.
 */
FRT_NODISCARD enum frt_status frt_index_maintain(struct frt_index *index, bool (*stop)(void *arg), void *arg,
                                                 struct frt_error *err);
/** Is frt_index_maintain worth calling? Cheap. */
bool frt_index_wants_maintenance(struct frt_index *index);

/* ---------------------------------------------------------------- snapshot */

/** What a snapshot belongs to; a file that belongs to something else is refused. */
struct frt_index_tag {
    uint8_t store_id[16];    /* of the store's file, random */
    uint64_t collection_key; /* in the store */
    uint64_t seq;            /* the last change that the index has */
};

/** Write the index to a file: whole or not at all (temporary file, fsync, rename, fsync of the folder). */
FRT_NODISCARD enum frt_status frt_index_save(struct frt_index *index, const char *path,
                                             const struct frt_index_tag *tag, struct frt_error *err);
/**
 * Open a snapshot.
 *
 * tag  in: store_id and collection_key must be the file's; out: seq of the file.
 * Errors: FRT_ENOTFOUND, FRT_EIO, FRT_ESTORE_DAMAGED (magic, version, sizes, checksum, another dim or engine:
 * the text says what; nothing of it is used), FRT_EINVAL (options).
 */
FRT_NODISCARD enum frt_status frt_index_load(const struct frt_index_options *options, const char *path,
                                             struct frt_index_tag *tag, struct frt_index **out,
                                             struct frt_error *err);

#endif
