/*
 * A search of the native engine with the help of a device: what the device finds among the rows it has,
 * compared again with the index's own rows, and proven complete.
 *
 * The proof, for each query. The device compares rows with the query rounded to 8 or 16 bits a component, so
 * its score is off by at most  slack = |q − q̂| · |row|  (Cauchy-Schwarz) and float rounding. It returns the k'
 * > k rows it finds best, and what it does not return scores at most their worst, `cut`. So when the k-th best
 * score by our own rows is above cut + slack, or the least score that is wanted is, or fewer than k' came,
 * nothing is missing, and hits and scores are those of an exhaustive search. Otherwise (equal faces without
 * end, say) the query is done again, more finely, and in the end by the processor.
 *
 * Threading: pure but for the mirror, which is internally locked.
 */
#ifndef FRT_INDEX_NATIVE_GPU_H
#define FRT_INDEX_NATIVE_GPU_H

#include "index/best_hits.h"
#include "index/native.h"

struct frt_native_gpu {
    const struct frt_native *native;
    const struct frt_view *view;
    const uint32_t *counts; /* [view->n] */
    const struct frt_index_query *query;
    const struct frt_prepared *prepared; /* [query->n] */
    struct frt_best_hits *best;          /* [query->n], empty; filled with hits among what is covered */
    uint32_t *covered; /* out [view->n]: vectors of each segment that need not be looked at … */
    bool *certain;     /* out [query->n]: … for the queries for which this says so */
};

/** False: the device took no part; covered is zeros and best is empty. */
bool frt_native_gpu_search(struct frt_native_gpu *search);

#endif
