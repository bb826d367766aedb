/*
 * Embedding of aligned faces by an R50 that computes in half floats, through the inference backend, as many
 * images a second as it gives from memory to memory.
 *
 * Threading: one owner.
 */
#ifndef FRT_BENCH_EMBED_CASE_H
#define FRT_BENCH_EMBED_CASE_H

#include "infer/device.h"

struct bench_embed_options {
    struct frt_device device;
    uint32_t batch;           /* 0: 1, 8, 32 and 64 */
    double peak_ops_per_s;    /* what the device multiplies at most, f16; 0 = not measured */
    const char *peak_missing; /* why not; may be NULL */
};

/** Prints figures, or SKIP and why. false: what it computes is wrong. */
bool bench_embed_case(const char *name, const struct bench_embed_options *options);

#endif
