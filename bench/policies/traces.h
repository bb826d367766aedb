/*
 * Sequences of keys to try a cache with. Reproducible: a seed gives the same keys everywhere.
 *
 *     zipf         Zipf 0.8 over 10,000 photos
 *     zipf-scans   the same; after every 5,000 requests 2,000 photos that come once and never again
 *     shift        a working set of 1,000, Zipf 0.8 within, all of it replaced every 10,000 requests
 *     drift        a working set of 1,000, Zipf 0.8 by age, the newest most wanted; one is replaced every 20
 *                  requests
 */
#ifndef BENCH_POLICIES_TRACES_H
#define BENCH_POLICIES_TRACES_H

#include <stddef.h>
#include <stdint.h>

enum trace_kind { TRACE_ZIPF = 0, TRACE_SCANS, TRACE_SHIFT, TRACE_DRIFT, TRACE_COUNT };

const char *trace_name(enum trace_kind kind);
/** Fills keys[n]; returns one more than the largest, 0 without memory. */
uint32_t trace_make(enum trace_kind kind, uint64_t seed, uint32_t *keys, size_t n);

#endif
