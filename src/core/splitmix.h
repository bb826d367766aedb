/*
 * SplitMix64 (Steele et al. 2014): small, seedable, the same everywhere. For draws and tests, not for secrets.
 * Threading: the state has one owner.
 */
#ifndef FRT_CORE_SPLITMIX_H
#define FRT_CORE_SPLITMIX_H

#include <stdint.h>

static inline uint64_t frt_splitmix_next(uint64_t *state)
{
    uint64_t z = (*state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

#endif
