#include "engine/sizes.h"

#include <stdio.h>

#include "engine/context.h"

enum { WORKERS_PER_CORE = 4, MOST_WORKERS = 32, MOST_HTTP_THREADS = 4 };

void frt_sizes_decide(const struct frt_config *config, struct frt_sizes *out)
{
    struct frt_sizes s = {0};
    frt_cores_find("", &s.found);
    uint32_t cores = config->cores != 0 ? config->cores : s.found.usable;
    uint32_t most = cores < MOST_WORKERS / WORKERS_PER_CORE ? WORKERS_PER_CORE * cores : MOST_WORKERS;
    s.workers = config->workers != 0 ? config->workers : most;
    s.http_threads = config->http_threads != 0   ? config->http_threads
                     : cores < MOST_HTTP_THREADS ? cores
                                                 : MOST_HTTP_THREADS;
    if (s.http_threads > config->connections) /* each takes its share of the connections: never none */
        s.http_threads = config->connections;
    s.stages = (struct frt_stage_limits){.cores = cores,
                                         .image = config->image_workers,
                                         .detect = config->detection_workers,
                                         .recognize = config->recognition_workers,
                                         .store = config->store_workers};
    frt_stage_limits_fill(&s.stages);
    s.threads = frt_context_threads(config->threads, &s.stages);
    *out = s;
}

const char *frt_sizes_cores_text(const struct frt_sizes *sizes, char *out, size_t size)
{
    if (sizes->stages.cores == sizes->found.usable)
        return frt_cores_text(&sizes->found, out, size);
    (void)snprintf(out, size, "%u: as set; %u found", sizes->stages.cores, sizes->found.usable);
    return out;
}
