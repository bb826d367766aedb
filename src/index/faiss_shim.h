/*
 * Between the FAISS engine (C, in libfrt) and the plug-in frt_faiss.so (C++, the only place that includes
 * FAISS): a table of functions behind one exported symbol. No exception crosses it, and nothing here needs C++.
 *
 * A failing function returns false and says why: text at most 256 bytes; `no_memory` where that was it.
 *
 * Threading: searches run side by side on the same vectors or lists; what changes an object has it alone.
 */
#ifndef FRT_INDEX_FAISS_SHIM_H
#define FRT_INDEX_FAISS_SHIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FRT_FAISS_ABI 2u
#define FRT_FAISS_SYMBOL "frt_faiss_module"

/** An IndexIVFFlat over inner products. */
struct frt_faiss_ivf;

struct frt_faiss_failure {
    bool no_memory;
    char text[256];
};

struct frt_faiss_search {
    const float *queries; /* f32[n][dim] */
    size_t n, k;
    const void *removed; /* u64[], bit i: row i is passed over; read atomically; NULL = none */
    uint32_t dim, threads;
    float *scores; /* out [n][k], best first */
    int64_t *rows; /* out [n][k]; -1 = there are no more */
};

/** What lists want of a GPU; where the plug-in has none, nothing comes of it. */
struct frt_faiss_gpu_wish {
    uint32_t device;
    uint64_t scratch_bytes;
    uint64_t from; /* vectors of lists that are worth a copy */
};

/** Of the process. */
struct frt_faiss_gpu_figures {
    bool wanted; /* there were lists that were worth a copy, and a FAISS that could make one */
    uint32_t resident;
    uint64_t bytes;               /* as far as we know: rows, ids and centroids */
    uint64_t searches, fallbacks; /* the device answered; it failed or was busy */
    uint64_t uncertain;           /* queries whose best were removed rows: the processor's */
    uint64_t failures;            /* copies that could not be made, or were given up */
    char trouble[256];            /* of the last one */
};

struct frt_faiss_module {
    uint32_t abi;
    const char *version; /* "1.7.3" */

    /* Exhaustive, over rows f32[n_rows][dim] that lie with the caller: what IndexFlatIP does. */
    bool (*flat_search)(const struct frt_faiss_search *search, const float *vectors, size_t n_rows,
                        struct frt_faiss_failure *why);

    /* Lists around centroids f32[n_lists][dim]. */
    bool (*ivf_new)(uint32_t dim, size_t n_lists, const float *centroids, struct frt_faiss_ivf **out,
                    struct frt_faiss_failure *why);
    void (*ivf_free)(struct frt_faiss_ivf *ivf);
    /* One round of k-means: centroids f32[n_lists][dim] are made (first) or moved. */
    bool (*train)(uint32_t dim, size_t n_lists, size_t n, const float *sample, bool first, uint32_t threads,
                  float *centroids, struct frt_faiss_failure *why);
    /* The list that each vector belongs into. */
    bool (*ivf_assign)(const struct frt_faiss_ivf *ivf, size_t n, const float *vectors, uint32_t threads,
                       uint32_t *lists, struct frt_faiss_failure *why);
    bool (*ivf_reserve)(struct frt_faiss_ivf *ivf, size_t list, size_t size, struct frt_faiss_failure *why);
    /* Rows with their vectors behind those of a list. */
    bool (*ivf_append)(struct frt_faiss_ivf *ivf, size_t list, size_t n, const int64_t *rows,
                       const float *vectors, struct frt_faiss_failure *why);
    bool (*ivf_search)(const struct frt_faiss_ivf *ivf, const struct frt_faiss_search *search, size_t probes,
                       struct frt_faiss_failure *why);
    /* Nothing is added any more: make a copy for a GPU. That it cannot is no failure: the figures say so. */
    void (*ivf_seal)(struct frt_faiss_ivf *ivf, const struct frt_faiss_gpu_wish *wish);
    void (*gpu_figures)(struct frt_faiss_gpu_figures *out);
    /* Borrowed until the list changes. */
    size_t (*ivf_list)(const struct frt_faiss_ivf *ivf, size_t list, const int64_t **rows,
                       const float **vectors);
    const float *(*ivf_centroids)(const struct frt_faiss_ivf *ivf);
    uint64_t (*ivf_bytes)(const struct frt_faiss_ivf *ivf);

    /* FAISS's own reading and writing of files, for tests that hold ours against them. Never for files that
     * come from elsewhere: it trusts what it reads. */
    bool (*read_file)(const char *path, uint32_t dim, size_t n_max, float *vectors, int64_t *ids, size_t *n,
                      struct frt_faiss_failure *why);
    /* kind: an index_factory text, as "IDMap2,Flat" or "IVF16,Flat"; ids NULL = 0..n-1; l2: not inner product
     */
    bool (*write_file)(const char *path, const char *kind, bool l2, uint32_t dim, size_t n,
                       const float *vectors, const int64_t *ids, struct frt_faiss_failure *why);
};

#ifdef __cplusplus
}
#endif

#endif
