#include "engine/gallery_gpu.h"

#include <string.h>

#include "index/faiss_engine.h"
#include "index/gpu_search.h"

void frt_gallery_gpu_configure(const struct frt_gpu_search_options *options)
{
    const struct frt_gpu_search_settings settings = {.device = options->device,
                                                     .memory_bytes = options->memory_bytes,
                                                     .scratch_bytes = options->scratch_bytes,
                                                     .from = options->from};
    frt_gpu_search_configure(&settings);
}

void frt_gallery_gpu_get(struct frt_gallery_gpu *out)
{
    struct frt_gpu_search_stats s;
    frt_gpu_search_stats_get(&s);
    *out = (struct frt_gallery_gpu){.wanted = s.mirrors > 0,
                                    .up = s.state == FRT_GPU_UP,
                                    .memory_bytes = s.bytes,
                                    .limit_bytes = s.limit_bytes,
                                    .resident = s.resident,
                                    .searches = s.searches,
                                    .fallbacks = s.fallbacks,
                                    .uncertain = s.uncertain,
                                    .evictions = s.evictions,
                                    .failures = s.failures,
                                    .uploaded_bytes = s.uploaded_bytes};
    memcpy(out->device, s.device, sizeof out->device);
    /* of the engine faiss: a process has one engine or the other */
    struct frt_faiss_gpu_figures f;
    frt_faiss_gpu_figures_get(&f);
    out->wanted = out->wanted || f.wanted;
    out->up = out->up || f.resident > 0;
    out->memory_bytes += f.bytes;
    out->resident += f.resident;
    out->searches += f.searches;
    out->fallbacks += f.fallbacks;
    out->uncertain += f.uncertain;
    out->failures += f.failures;
}

enum frt_status frt_gallery_gpu_probe(const struct frt_gpu_search_options *options, char name[96],
                                      struct frt_error *err)
{
    frt_gallery_gpu_configure(options);
    return frt_gpu_search_probe(name, err);
}
