/*
 * Between the index room (C, in libfrt) and a plug-in that searches on a GPU (libfrt_cuda.so): a table of
 * functions behind one exported symbol. No type of a vendor's crosses it, and no exception.
 *
 * The plug-in holds corpora. A corpus is a run of vectors, addressed by position; it lies in slabs of equally
 * many positions, so that it can grow in place:
 *
 *     position p ── slab p / slab_rows ── row p % slab_rows:   row[row_bytes] · scale f32
 *
 * A position whose scale is not a number is passed over by searches: that is how every position begins, and how
 * it ends (tombstones). Two formats of rows:
 *
 *     i8    score = scale · q_scale · Σ row[i] · q[i]      q of 8 bits; or of 16, as two planes: 256 · hi + lo
 *     f16   the same with half floats, q in half floats
 *
 * A search returns for each query the `k` positions of highest score, in any order, of those whose score
 * reaches its floor; among equal scores lower positions come first. Scores are exact to float rounding for the
 * query as it was given: what the caller's own rounding of a query costs, the caller knows
 * (src/index/native_gpu.c).
 *
 * Threading: searches of one device run side by side, also beside one append or tombstone of the same corpus;
 * of these there is one at a time. What a search sees of positions that are being changed is either state.
 * Every call returns within its timeout (searches) or a few seconds (the others), whatever the device does;
 * what the device still holds of work that did not come back in time is freed at a later open, when it has come
 * to rest.
 */
#ifndef FRT_INDEX_GPU_PLUGIN_H
#define FRT_INDEX_GPU_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FRT_GPU_ABI 1u
#define FRT_GPU_SYMBOL "frt_gpu_module"

enum {
    FRT_GPU_MAX_K = 2048,
    FRT_GPU_MAX_QUERIES = 256,
    FRT_GPU_MAX_ROW_BYTES = 8192, /* a multiple of 16 */
    FRT_GPU_MIN_SLAB_ROWS = 1024
};

enum frt_gpu_result {
    FRT_GPU_OK = 0,
    FRT_GPU_NONE,      /* no driver, no device, or none that the plug-in has code for */
    FRT_GPU_NO_MEMORY, /* of the device's */
    FRT_GPU_BUSY,      /* as many searches as there is scratch for are under way: not an error */
    FRT_GPU_TIMEOUT,
    FRT_GPU_REFUSED, /* an argument the plug-in cannot work with */
    FRT_GPU_LOST     /* anything else: the device must be opened anew */
};

struct frt_gpu_why {
    char text[256];
};

struct frt_gpu_device;
struct frt_gpu_corpus;

struct frt_gpu_open {
    uint32_t index;         /* of the device */
    uint64_t scratch_bytes; /* for searches under way, all together; taken at once */
};

struct frt_gpu_facts {
    char name[96];
    uint64_t total_bytes, free_bytes; /* of the device's memory, now */
    uint64_t scratch_bytes;           /* taken */
    uint32_t lanes;                   /* searches at once */
    uint32_t queries_together;        /* in one pass over 512 components of 8 bits */
};

enum frt_gpu_format { FRT_GPU_I8 = 0, FRT_GPU_F16 };

struct frt_gpu_layout {
    enum frt_gpu_format format;
    uint32_t row_bytes;
    uint32_t slab_rows; /* a power of two */
    uint32_t max_slabs; /* positions stay below 2^32 - 1 */
};

struct frt_gpu_search {
    const void *queries;   /* [planes][n][row_bytes]; planes: the more significant first */
    const float *q_scales; /* [n] */
    const float *floors;   /* [n]; what scores less need not be returned; -2 = everything */
    uint32_t n, planes;    /* planes 2: i8 and n = 1 only */
    uint32_t k;            /* 1..FRT_GPU_MAX_K */
    uint32_t n_positions;  /* the corpus up to here */
    uint32_t timeout_ms;
    uint32_t *positions; /* out [n][k] */
    float *scores;       /* out [n][k] */
    uint32_t *counts;    /* out [n]; less than k: there are no more */
};

/** Ceilings of this device, measured now, for benchmarks. 0 = not measured. */
struct frt_gpu_ceilings {
    double read_bytes_per_s;            /* a kernel that only reads, vectorised, over `bytes` */
    double copy_bytes_per_s;            /* device to device, read and written bytes together */
    double i8_ops_per_s, f16_ops_per_s; /* 8192³ matrix products of cuBLASLt, two operations a multiply-add */
    double mma_i8_ops_per_s,
        mma_f16_ops_per_s; /* mma.sync from registers: what this plug-in's kernels could reach */
    char note[256];        /* what could not be measured, and why */
};

struct frt_gpu_module {
    uint32_t abi;
    uint32_t bytes; /* of this struct */
    const char *name;

    enum frt_gpu_result (*open)(const struct frt_gpu_open *options, struct frt_gpu_device **out,
                                struct frt_gpu_why *why);
    /* Its corpora have been freed. */
    void (*close)(struct frt_gpu_device *device);
    enum frt_gpu_result (*facts)(struct frt_gpu_device *device, struct frt_gpu_facts *out,
                                 struct frt_gpu_why *why);

    enum frt_gpu_result (*corpus_new)(struct frt_gpu_device *device, const struct frt_gpu_layout *layout,
                                      struct frt_gpu_corpus **out, struct frt_gpu_why *why);
    /* No search is under way. */
    void (*corpus_free)(struct frt_gpu_corpus *corpus);
    /* Make sure of slabs for positions below `n_positions`. NO_MEMORY: as it was. */
    enum frt_gpu_result (*reserve)(struct frt_gpu_corpus *corpus, uint64_t n_positions,
                                   struct frt_gpu_why *why);
    /* Write rows [n][row_bytes] and scales [n] to positions first.. that are reserved. NaN = not to be found.
     * Returns when they are there. The memory is only borrowed. */
    enum frt_gpu_result (*append)(struct frt_gpu_corpus *corpus, uint32_t first, uint32_t n, const void *rows,
                                  const float *scales, struct frt_gpu_why *why);
    enum frt_gpu_result (*tombstone)(struct frt_gpu_corpus *corpus, const uint32_t *positions, uint32_t n,
                                     struct frt_gpu_why *why);
    enum frt_gpu_result (*search)(struct frt_gpu_corpus *corpus, struct frt_gpu_search *search,
                                  struct frt_gpu_why *why);

    /* For benchmarks: n made-up rows at positions first.., components roughly normal, scaled to unit length,
     * from a counter-based generator: row i of seed s is always the same. */
    enum frt_gpu_result (*synthesize)(struct frt_gpu_corpus *corpus, uint32_t first, uint32_t n, uint64_t seed,
                                      struct frt_gpu_why *why);
    enum frt_gpu_result (*measure)(struct frt_gpu_device *device, uint64_t bytes, struct frt_gpu_ceilings *out,
                                   struct frt_gpu_why *why);
    /* Milliseconds on the device of the last search of this thread. */
    double (*last_ms)(void);
};

#ifdef __cplusplus
}
#endif

#endif
