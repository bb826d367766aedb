/*
 * The k best hits of one query, as a heap whose root is the worst. Ties: the lower key is better.
 * Threading: one owner.
 */
#ifndef FRT_INDEX_BEST_HITS_H
#define FRT_INDEX_BEST_HITS_H

#include "index/index.h"

struct frt_best_hits {
    struct frt_index_hit *hits; /* [k] */
    uint32_t n;
};

static inline bool frt_hit_worse(const struct frt_index_hit *a, const struct frt_index_hit *b)
{
    return a->score != b->score ? a->score < b->score : a->key > b->key;
}

/** Offer a hit; true when it was taken and k are there. */
static inline bool frt_best_offer(struct frt_best_hits *best, uint32_t k, struct frt_index_hit hit)
{
    struct frt_index_hit *hits = best->hits;
    uint32_t i = 0;
    if (best->n < k) {
        for (i = best->n++; i > 0 && frt_hit_worse(&hit, &hits[(i - 1) / 2]); i = (i - 1) / 2)
            hits[i] = hits[(i - 1) / 2];
        hits[i] = hit;
        return best->n == k;
    }
    if (!frt_hit_worse(&hits[0], &hit))
        return false;
    for (;;) {
        uint32_t child = 2 * i + 1;
        if (child >= k)
            break;
        if (child + 1 < k && frt_hit_worse(&hits[child + 1], &hits[child]))
            child++;
        if (!frt_hit_worse(&hits[child], &hit))
            break;
        hits[i] = hits[child];
        i = child;
    }
    hits[i] = hit;
    return true;
}

#endif
