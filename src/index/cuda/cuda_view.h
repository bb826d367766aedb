/* A corpus as kernels see it. */
#ifndef FRT_INDEX_CUDA_VIEW_H
#define FRT_INDEX_CUDA_VIEW_H

#include "cuda_layer.h"

/** A corpus as kernels see it; see gpu_plugin.h. */
struct corpus_view {
    unsigned char *const *slabs;
    uint32_t slab_shift, row_bytes;
    size_t scales_at; /* bytes from the begin of a slab */
};

FRT_FUNCTION unsigned char *row_at(const corpus_view &corpus, uint32_t position)
{
    const uint32_t row = position & ((1U << corpus.slab_shift) - 1);
    return corpus.slabs[position >> corpus.slab_shift] + static_cast<size_t>(row) * corpus.row_bytes;
}
FRT_FUNCTION float *scale_at(const corpus_view &corpus, uint32_t position)
{
    unsigned char *slab = corpus.slabs[position >> corpus.slab_shift];
    float *scales = static_cast<float *>(static_cast<void *>(slab + corpus.scales_at));
    return scales + (position & ((1U << corpus.slab_shift) - 1));
}

#endif
