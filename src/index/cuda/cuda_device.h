/*
 * What the parts of the plug-in share: the device with its lanes, a corpus, and how a failure is said.
 *
 *     cuda_device.cpp   opening and closing, lanes, waiting with a clock
 *     cuda_corpus.cpp   rows come to the device and are buried there
 *     cuda_search.cpp   one search
 *     index_cuda.cpp    the table of gpu_plugin.h
 *
 * Locks: frt_gpu_device.lock guards the lanes' states and the orphans; cuda_device.cpp has another for devices
 * left behind. Both are leaves.
 */
#ifndef FRT_INDEX_CUDA_DEVICE_H
#define FRT_INDEX_CUDA_DEVICE_H

#include <pthread.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "cuda_view.h"
#include "index/gpu_plugin.h"

namespace frt_cuda
{

enum { MAX_LANES = 8, STAGING_BYTES = 8 << 20, WRITE_TIMEOUT_MS = 5000 };

struct lane {
    cudaStream_t stream;
    cudaEvent_t begun, done;
    bool busy, stuck;
    unsigned char *scratch; /* of the device; holds: */
    uint64_t *candidates, *floors;
    float *q_scales;
    uint32_t *counts, *lost;
    unsigned char *queries;
    unsigned char *pinned; /* of the host; holds: */
    uint64_t *h_best, *h_floors;
    float *h_scales;
    uint32_t *h_counts, *h_lost;
    unsigned char *h_queries;
};

/* Memory of a corpus that went while the device was still at work, perhaps on it. */
struct orphan {
    orphan *next;
    void *memory;
};

} // namespace frt_cuda

struct frt_gpu_device {
    int index;
    uint32_t processors, n_lanes, capacity;
    size_t block_memory; /* a block may have at most */
    uint64_t scratch_bytes;
    char name[96];
    std::atomic<bool> dead;
    pthread_mutex_t lock;
    pthread_cond_t freed;
    frt_cuda::lane lanes[frt_cuda::MAX_LANES];
    cudaStream_t writer;
    unsigned char *staging[2];
    cudaEvent_t staged[2];
    frt_cuda::orphan *orphans; /* guarded by lock */
    frt_gpu_device *next;      /* among those left behind */
};

struct frt_gpu_corpus {
    frt_gpu_device *device;
    frt_gpu_layout layout;
    corpus_view view;
    unsigned char **slabs; /* [max_slabs], as on the device; the writer's */
    std::atomic<uint32_t> n_slabs;
    uint32_t *buried; /* on the device: positions for bury */
};

namespace frt_cuda
{

int64_t now_us();
/* Fills *why, which may be NULL; returns `result`. */
frt_gpu_result say(frt_gpu_why *why, frt_gpu_result result, const char *what, const char *text);
/* A failure of the runtime, in the plug-in's words. Any but a lack of memory ends the device; it may be NULL.
 */
frt_gpu_result failed(frt_gpu_device *device, cudaError_t error, const char *what, frt_gpu_why *why);
/* Before anything else that the calling thread does with the device. */
frt_gpu_result enter(frt_gpu_device *device, frt_gpu_why *why);
/* Until the event is there, or the time is over. */
frt_gpu_result await(frt_gpu_device *device, cudaEvent_t event, uint32_t timeout_ms, const char *what,
                     frt_gpu_why *why);
/* Does the device still work on a search that was given up? */
bool is_stuck(frt_gpu_device *device);
/* Are positions first..first + n reserved? */
bool within(const frt_gpu_corpus *corpus, uint32_t first, uint32_t n);
/* Of a corpus with rows of row_bytes: how many queries, up to n, one launch takes together; 1 = no such kernel
 * fits the device. */
uint32_t queries_together(const frt_gpu_device *device, uint32_t row_bytes, uint32_t n);
/* Kernels that take more block memory than 48 KB say so beforehand. */
cudaError_t allow_memory(const frt_gpu_device *device);

/* The table's; see gpu_plugin.h. */
frt_gpu_result device_open(const frt_gpu_open *options, frt_gpu_device **out, frt_gpu_why *why);
void device_close(frt_gpu_device *device);
frt_gpu_result device_facts(frt_gpu_device *device, frt_gpu_facts *out, frt_gpu_why *why);
frt_gpu_result corpus_new(frt_gpu_device *device, const frt_gpu_layout *layout, frt_gpu_corpus **out,
                          frt_gpu_why *why);
void corpus_free(frt_gpu_corpus *corpus);
frt_gpu_result reserve(frt_gpu_corpus *corpus, uint64_t n_positions, frt_gpu_why *why);
frt_gpu_result append(frt_gpu_corpus *corpus, uint32_t first, uint32_t n, const void *rows, const float *scales,
                      frt_gpu_why *why);
frt_gpu_result tombstone(frt_gpu_corpus *corpus, const uint32_t *positions, uint32_t n, frt_gpu_why *why);
frt_gpu_result synthesize(frt_gpu_corpus *corpus, uint32_t first, uint32_t n, uint64_t seed, frt_gpu_why *why);
frt_gpu_result search(frt_gpu_corpus *corpus, frt_gpu_search *s, frt_gpu_why *why);
double last_ms();

} // namespace frt_cuda

#endif
