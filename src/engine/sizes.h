/*
 * How much the service does at once, decided once from the settings and the cores it may use, so that the
 * service, its first log line and `frt doctor` say the same.
 *
 *     workers = min(32, 4 × cores)             requests in progress; most of them wait
 *     http_threads = min(4, cores)             read, write, answer from memory
 *     image 16, detect and recognize min(8, cores)   stages (core/stage.h); together at most `cores` compute
 *     store 20                                 reads and writes of the database
 *     threads                                  of one inference (engine/context.h)
 *
 * Threading: pure, but for reading which cores there are.
 */
#ifndef FRT_ENGINE_SIZES_H
#define FRT_ENGINE_SIZES_H

#include "core/config.h"
#include "core/cores.h"
#include "frt/frt.h"

struct frt_sizes {
    struct frt_cores found;
    uint32_t workers, http_threads, threads;
    struct frt_stage_limits stages;
};

void frt_sizes_decide(const struct frt_config *config, struct frt_sizes *out);
/** Which cores are used and why: "2: all of the machine's", "4: as set; 2 found". Returns `out`. */
const char *frt_sizes_cores_text(const struct frt_sizes *sizes, char *out, size_t size);

#endif
