/*
 * Searches on a GPU, the half of it that is ours: what lies on the device, and when it is not used.
 *
 *     native index ── the truth: segments in memory, always complete
 *         └ mirror ── rows of the segments on the device, kept up by one thread of the process; may be missing,
 *                     behind, or gone at any moment
 *
 * A search asks the mirror what it has of its view (frt_mirror_begin, frt_mirror_cover), lets the device find
 * candidates among that, compares them with its own rows (native_gpu.c), and looks at the rest itself. Whatever
 * fails, the rest is everything, and the answer the same.
 *
 * One thread, the uploader, does all that changes a device: it brings segments over in slices, buries what was
 * removed, drops mirrors that have not been used for longest where memory is short, opens the device again
 * after a failure, first soon and then ever later. A mirror is begun by the first search of an index that is
 * large enough.
 *
 * Threading: internally locked.
 */
#ifndef FRT_INDEX_GPU_SEARCH_H
#define FRT_INDEX_GPU_SEARCH_H

#include "core/status.h"

enum { FRT_GPU_SEARCH_MAX_K = 1000 /* hits; more are the processor's */ };

/** Zeros are the defaults. Times in ms. */
struct frt_gpu_search_settings {
    char plugin[512]; /* file; "" = looked for as docs/accelerators.md says */
    uint32_t device;
    uint64_t memory_bytes;  /* of all mirrors; 0 = three quarters of what is free when the device is opened */
    uint64_t scratch_bytes; /* 0 = 512 MiB */
    uint64_t from;          /* vectors from which on an index is mirrored; 0 = 50,000 */
    /* for tests */
    uint32_t slab_rows;   /* 0 = 65,536 */
    uint32_t idle_ms;     /* a mirror that was not used for so long may make room for another; 0 = 10 s */
    uint32_t timeout_ms;  /* of a search; 0 = 1 s */
    uint32_t retry_ms;    /* first pause before a lost device is tried again, doubled up to 5 min; 0 = 1 s */
    uint32_t interval_ms; /* the uploader looks at least so often; 0 = 200 */
    uint32_t slice_bytes; /* of one upload; 0 = 32 MiB */
};

/** For the indexes that are made from now on. Before the first of them. */
void frt_gpu_search_configure(const struct frt_gpu_search_settings *said);

enum frt_gpu_state { FRT_GPU_UNUSED = 0, FRT_GPU_ABSENT, FRT_GPU_DOWN, FRT_GPU_UP };

struct frt_gpu_search_stats {
    enum frt_gpu_state
        state;         /* unused: no index wants it; absent: no plug-in; down: it failed, and is tried again */
    char device[96];   /* "" = not known */
    char trouble[300]; /* why absent or down; when up, what was the matter last */
    uint64_t limit_bytes, bytes; /* of mirrors */
    uint64_t scratch_bytes;
    uint32_t mirrors, resident; /* indexes that want one; that have one */
    uint64_t searches;          /* that the device took part in */
    uint64_t fallbacks;         /* that it should have and failed */
    uint64_t uncertain;         /* queries that it could not answer for sure, searched again by the processor */
    uint64_t evictions, failures, uploaded_bytes;
};
void frt_gpu_search_stats_get(struct frt_gpu_search_stats *out);
/** Can a device be used? For 'frt doctor': loads the plug-in and opens the device for the moment. Errors:
 *  FRT_EUNAVAILABLE (why). name: out. */
FRT_NODISCARD enum frt_status frt_gpu_search_probe(char name[96], struct frt_error *err);

#endif
