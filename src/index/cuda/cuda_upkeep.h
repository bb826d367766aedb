/* Kernels that change a corpus: tombstones, and the made-up rows of benchmarks. In the terms of cuda_layer.h.
 */
#ifndef FRT_INDEX_CUDA_UPKEEP_H
#define FRT_INDEX_CUDA_UPKEEP_H

#include "cuda_view.h"

FRT_KERNEL(8 * WARP, 1) bury(corpus_view corpus, const uint32_t *positions, uint32_t n)
{
    FOR_LANES(l)
    {
        for (uint32_t i = (block_index() * warp_count() + warp_index()) * WARP + static_cast<uint32_t>(l);
             i < n; i += block_count() * warp_count() * WARP)
            *scale_at(corpus, positions[i]) = not_a_number();
    }
}

/* Source: Steele, Lea and Flood, Fast splittable pseudorandom number generators, 2014 (the mixing function). */
FRT_FUNCTION uint64_t mixed(uint64_t x)
{
    x += 0x9e3779b97f4a7c15ULL;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
    return x ^ x >> 31;
}

/* Made-up rows: components are sums of four bytes over 8, -63..63, roughly normal. A warp a row. */
template <bool HALF>
FRT_KERNEL(8 * WARP, 1)
make_up(corpus_view corpus, uint32_t first, uint32_t n, uint64_t seed)
{
    const uint32_t dim = HALF ? corpus.row_bytes / 2 : corpus.row_bytes;
    for (uint64_t i = static_cast<uint64_t>(block_index()) * warp_count() + warp_index(); i < n;
         i += static_cast<uint64_t>(block_count()) * warp_count()) {
        const uint32_t position = first + static_cast<uint32_t>(i);
        unsigned char *row = row_at(corpus, position);
        per_lane<float> square;
        FOR_LANES(l)
        {
            square[l] = 0;
            for (uint32_t d = static_cast<uint32_t>(l); d < dim; d += WARP) {
                const uint64_t bits = mixed(seed ^ mixed(static_cast<uint64_t>(position) << 16 | d));
                const int sum = static_cast<int>((bits & 255) + (bits >> 8 & 255) + (bits >> 16 & 255) +
                                                 (bits >> 24 & 255)) -
                                510;
                const float v = static_cast<float>(sum / 8);
                if (HALF)
                    static_cast<uint16_t *>(static_cast<void *>(row))[d] = half_of(v);
                else
                    row[d] = static_cast<unsigned char>(static_cast<signed char>(sum / 8));
                square[l] += v * v;
            }
        }
        lane_sum<WARP>(square);
        FOR_LANES(l)
        {
            if (l == 0)
                *scale_at(corpus, position) = square[l] > 0 ? 1.0F / sqrtf(square[l]) : not_a_number();
        }
    }
}

#endif
