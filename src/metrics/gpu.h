/*
 * What a GPU says of itself. Threading: internally locked by the driver's library.
 */
#ifndef FRT_METRICS_GPU_H
#define FRT_METRICS_GPU_H

#include <stdbool.h>
#include <stdint.h>

struct frt_gpu;

struct frt_gpu_reading {
    char name[96];
    uint64_t memory_used_bytes, memory_total_bytes; /* used: by all programs */
    double utilization_percent;                     /* of the driver's last sampling period */
};

/** GPU number `index`, as CUDA counts them: among those that CUDA_VISIBLE_DEVICES lists, where it lists
 * numbers. NULL when there is none, or no driver. library: NULL = libnvidia-ml.so.1. May take a second where
 * the driver sleeps. Owned. */
struct frt_gpu *frt_gpu_open(const char *library, unsigned index);
/** False: the driver does not answer any more. */
bool frt_gpu_read(struct frt_gpu *gpu, struct frt_gpu_reading *out);
/** NULL is fine. */
void frt_gpu_close(struct frt_gpu *gpu);

#endif
