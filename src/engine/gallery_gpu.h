/*
 * Searches on a GPU as a gallery's owner sees them: figures of the process, and whether it would work here.
 * Threading: internally locked.
 */
#ifndef FRT_ENGINE_GALLERY_GPU_H
#define FRT_ENGINE_GALLERY_GPU_H

#include "frt/gallery.h"

struct frt_gallery_gpu {
    bool wanted; /* some index's engine is cuda, or faiss with a GPU */
    bool up;     /* the device is open and in use */
    char device[96];
    uint64_t memory_bytes, limit_bytes; /* of indexes on the device */
    uint32_t resident;                  /* indexes on the device */
    uint64_t searches, fallbacks;       /* the device took part; it should have, and the processor did it */
    uint64_t uncertain;                 /* queries that the processor did again */
    uint64_t evictions, failures, uploaded_bytes;
};
void frt_gallery_gpu_get(struct frt_gallery_gpu *out);

/** Would it work? name: of the device. Errors: FRT_EUNAVAILABLE (why not). */
FRT_NODISCARD enum frt_status frt_gallery_gpu_probe(const struct frt_gpu_search_options *options, char name[96],
                                                    struct frt_error *err);
/** Settings for the galleries that are opened from now on. */
void frt_gallery_gpu_configure(const struct frt_gpu_search_options *options);

#endif
