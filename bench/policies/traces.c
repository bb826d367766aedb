#include "policies/traces.h"

#include <math.h>
#include <stdlib.h>

enum {
    ZIPF_KEYS = 10000,
    SCAN_EVERY = 5000,
    SCAN_KEYS = 2000,
    SET_KEYS = 1000,
    SHIFT_EVERY = 10000,
    DRIFT_EVERY = 20
};

const char *trace_name(enum trace_kind kind)
{
    static const char *const names[TRACE_COUNT] = {"zipf", "zipf-scans", "shift", "drift"};
    return names[kind];
}

static double uniform(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (double)((z ^ z >> 31) >> 11) / 9007199254740992.0;
}

/* Sums of rank^-0.8: below[i] = of the first i + 1. */
static double *zipf_table(uint32_t n)
{
    double *below = malloc(n * sizeof *below), sum = 0;
    for (uint32_t i = 0; below != NULL && i < n; i++) {
        sum += pow(i + 1, -0.8);
        below[i] = sum;
    }
    return below;
}

static uint32_t zipf(const double *below, uint32_t n, uint64_t *state)
{
    const double wanted = uniform(state) * below[n - 1];
    uint32_t from = 0, to = n - 1;
    while (from < to) {
        const uint32_t middle = from + (to - from) / 2;
        if (below[middle] <= wanted)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

uint32_t trace_make(enum trace_kind kind, uint64_t seed, uint32_t *keys, size_t n)
{
    const uint32_t set = kind == TRACE_ZIPF || kind == TRACE_SCANS ? ZIPF_KEYS : SET_KEYS;
    double *below = zipf_table(set);
    uint64_t state = seed;
    uint32_t fresh = set, most = 0;
    if (below == NULL)
        return 0;
    for (size_t i = 0; i < n; i++) {
        const uint32_t rank = zipf(below, set, &state);
        switch (kind) {
        case TRACE_SCANS:
            keys[i] = i % (SCAN_EVERY + SCAN_KEYS) < SCAN_EVERY ? rank : fresh++;
            break;
        case TRACE_SHIFT:
            keys[i] = (uint32_t)(i / SHIFT_EVERY) * SET_KEYS + rank;
            break;
        case TRACE_DRIFT:
            keys[i] = (uint32_t)(i / DRIFT_EVERY) + SET_KEYS - 1 - rank;
            break;
        default:
            keys[i] = rank;
        }
        most = keys[i] > most ? keys[i] : most;
    }
    free(below);
    return most + 1;
}
